# SPDX-License-Identifier: Apache-2.0
"""Keys: Go's letter cases and Go's types."""

from collections.abc import Callable, Mapping

import pytest

from metacni.cni import keys
from metacni.cni.errors import CniError
from metacni.cni.jsontext import Json, Real


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({"isGateway": 1}, 1, id="exact"),
        pytest.param({"ISGATEWAY": 1}, 1, id="any-case"),
        pytest.param({"isgateway": 1, "isGateway": 2}, 2, id="exact-before-any-case"),
        pytest.param({"isGateway": 2, "isgateway": 1}, 2, id="exact-even-when-first"),
        pytest.param({"isgateway": 1, "ISGATEWAY": 2}, 2, id="the-last-of-two-others"),
        pytest.param({"i\u017fGateway": 1}, 1, id="go-folds-the-long-s"),
        pytest.param({"isGatewaß": 1}, None, id="another-key"),
        pytest.param({}, None, id="absent"),
    ],
)
def test_a_key_is_found_exactly_or_in_any_case(body: dict[str, Json], expected: Json) -> None:
    """Node configurations in use rely on it."""
    assert keys.find(body, "isGateway") == expected


def test_two_letters_for_one_do_not_match() -> None:
    """Go folds letter by letter, so "ß" is not "ss"."""
    assert keys.find({"addreß": 1, "addressß": 2}, "address") is None


def test_a_guard_sees_every_spelling() -> None:
    """A plugin may take any of them, so none may slip by."""
    body: dict[str, Json] = {"DataDir": "/etc", "dataDir": "/var", "data": 1, "datadir": None}
    assert keys.spellings(body, "dataDir") == ("DataDir", "dataDir", "datadir")


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        pytest.param(keys.text, "x", "x", id="text"),
        pytest.param(keys.text, "", "", id="empty-text"),
        pytest.param(keys.flag, True, True, id="true"),
        pytest.param(keys.flag, False, False, id="false"),
        pytest.param(keys.integer, 1500, 1500, id="integer"),
        pytest.param(keys.integer, -(2**63), -(2**63), id="smallest-integer"),
        pytest.param(keys.texts, ["a", "b"], ("a", "b"), id="texts"),
        pytest.param(keys.mapping, {"a": 1}, {"a": 1}, id="mapping"),
        pytest.param(keys.items, [1, None], [1, None], id="items"),
        pytest.param(keys.text, None, "", id="null-text"),
        pytest.param(keys.flag, None, False, id="null-flag"),
        pytest.param(keys.integer, None, None, id="null-integer"),
        pytest.param(keys.texts, None, (), id="null-texts"),
        pytest.param(keys.mapping, None, None, id="null-mapping"),
        pytest.param(keys.items, None, None, id="null-items"),
    ],
)
def test_a_value_of_the_right_type_is_read(
    read: Callable[[Mapping[str, Json], str], object], value: Json, expected: object
) -> None:
    """Null counts as absent."""
    assert read({"KEY": value}, "key") == expected


def test_an_absent_key_has_the_default() -> None:
    """For texts and flags the caller may name it."""
    assert keys.text({}, "key", "x") == "x"
    assert keys.flag({}, "key", default=True) is True


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        pytest.param(keys.text, 1, "cannot decode key 'key': 1 is not a string", id="number-for-text"),
        pytest.param(keys.flag, "true", """cannot decode key 'key': "true" is not a boolean""", id="quoted-boolean"),
        pytest.param(keys.flag, 1, "cannot decode key 'key': 1 is not a boolean", id="one-for-true"),
        pytest.param(
            keys.integer, "1500", """cannot decode key 'key': "1500" is not a whole number""", id="quoted-number"
        ),
        pytest.param(keys.integer, True, "cannot decode key 'key': true is not a whole number", id="true-for-one"),
        pytest.param(keys.integer, 1.5, "cannot decode key 'key': 1.5 is not a whole number", id="fraction"),
        pytest.param(keys.integer, Real("1e3"), "cannot decode key 'key': 1e3 is not a whole number", id="exponent"),
        pytest.param(
            keys.integer, 2**63, "cannot decode key 'key': 9223372036854775808 is not a whole number", id="too-large"
        ),
        pytest.param(keys.texts, "a", """cannot decode key 'key': "a" is not a list of strings""", id="text-for-texts"),
        pytest.param(
            keys.texts, ["a", None], "cannot decode key 'key': […] is not a list of strings", id="null-in-texts"
        ),
        pytest.param(keys.mapping, [], "cannot decode key 'key': [] is not an object", id="list-for-mapping"),
        pytest.param(keys.items, {}, "cannot decode key 'key': {} is not a list", id="mapping-for-items"),
    ],
)
def test_a_value_of_a_wrong_type_is_refused(
    read: Callable[[Mapping[str, Json], str], object], value: Json, message: str
) -> None:
    """Go refuses it too, and the message names key and value."""
    with pytest.raises(CniError) as caught:
        read({"key": value}, "key")
    assert (caught.value.code, caught.value.msg) == (6, message)

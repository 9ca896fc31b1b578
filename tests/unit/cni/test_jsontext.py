# SPDX-License-Identifier: Apache-2.0
"""JSON text: numbers and order survive, absurd input is refused as a CniError."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json, Real, describe, dumps, loads, loads_object, loads_unique


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"1000000000000", id="large"),
        pytest.param(b"1.0e12", id="exponent"),
        pytest.param(b"1E+2", id="capital-exponent"),
        pytest.param(b"1.10", id="trailing-zero"),
        pytest.param(b"0.1", id="plain-float"),
        pytest.param(b"-0", id="minus-zero"),
        pytest.param(b"-0.0", id="minus-zero-float"),
        pytest.param(b"123456789012345678901234567890", id="thirty-digits"),
        pytest.param(b"0.1000000000000000055511151231257827", id="more-digits-than-a-float"),
        pytest.param(b"1e999999", id="larger-than-a-float"),
        pytest.param(b'{"b":1,"a":[1.10,{"z":null,"y":true}],"A":"\xc3\xa4"}', id="order-and-nesting"),
        pytest.param(b'{"a":1.50,"quote\\"d":["\\\\",false,[],{}]}', id="own-writer-escapes"),
        pytest.param(b'"\xf0\x9f\x90\xb3"', id="not-ascii"),
    ],
)
def test_text_survives(text: bytes) -> None:
    """What only a plugin understands leaves as it came."""
    assert dumps(loads(text)) == text


def test_plain_numbers_are_plain_values() -> None:
    """Only a number that Python would write otherwise is a Real."""
    assert loads("[1, 1.5, 1.50]") == [1, 1.5, Real("1.50")]


def test_a_real_is_compared_by_its_text() -> None:
    """Two spellings of one number are two values, or one of them would be lost in a set."""
    assert {Real("1.0"), Real("1.0"), Real("1.00")} == {Real("1.00"), Real("1.0")}
    assert float(Real("1.50")) == 1.5


@pytest.mark.parametrize("text", ["", "x", "1,2", "01", "+1", "1.", "NaN", '1"', "1\n", "\u0661"])
def test_a_real_is_a_number(text: str) -> None:
    """It is written out raw, so it must not be able to carry anything else."""
    with pytest.raises(ValueError, match="not a JSON number"):
        Real(text)


def test_the_last_of_two_equal_keys_wins() -> None:
    """As in Go."""
    assert loads('{"a":1,"b":2,"a":3}') == {"a": 3, "b": 2}


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        pytest.param(b"", "expecting value at line 1 column 1", id="empty"),
        pytest.param(b"{", "expecting property name enclosed in double quotes at line 1 column 2", id="cut"),
        pytest.param(b"{} x", "extra data at line 1 column 4", id="more-after-it"),
        pytest.param(b"NaN", "NaN is not JSON", id="nan"),
        pytest.param(b"[-Infinity]", "-Infinity is not JSON", id="infinity"),
        pytest.param(b"\xff", "not UTF-8 at byte 0", id="not-utf-8"),
        pytest.param(b"\0", "expecting value at line 1 column 1", id="nul"),
        pytest.param(b'"\0"', "invalid control character at at line 1 column 2", id="nul-in-a-string"),
        pytest.param(b'{"\\ud800":1}', "a lone surrogate", id="escaped-lone-surrogate"),
        pytest.param(b'{"a":["\\uDC00",1.50]}', "a lone surrogate", id="escaped-lone-surrogate-beside-a-real"),
        pytest.param('"\ud800"', "a lone surrogate", id="lone-surrogate"),
        pytest.param(b"9" * 5_000, "a number of more than 1000 digits", id="huge-integer"),
        pytest.param(b"0." + b"9" * 5_000, "a number of more than 1000 digits", id="huge-fraction"),
        pytest.param(b"[" * 100_000, "nested too deeply", id="very-deep"),
        pytest.param(b'{"a":' * 100_000, "nested too deeply", id="very-deep-objects"),
        pytest.param(b"[" * 201 + b"]" * 201, "nested more than 200 levels deep", id="deeper-than-allowed"),
    ],
)
def test_absurd_text_is_refused(text: bytes | str, cause: str) -> None:
    """Nothing but a CniError comes of it, and its message holds nothing of the text."""
    with pytest.raises(CniError) as caught:
        loads_object(text, "the configuration")
    assert caught.value.code == Code.DECODE
    assert caught.value.msg == f"cannot decode the configuration: {cause}"


def test_depth_is_counted_and_not_brackets() -> None:
    """A long flat list and brackets inside strings are fine."""
    assert loads(b"[" + b"[]," * 1_000 + b'"[[{{"' + b"]")
    assert loads(b"[" * 200 + b"]" * 200)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("[1]", "[…]", id="list"),
        pytest.param("null", "null", id="null"),
        pytest.param("1.0", "1.0", id="real"),
    ],
)
def test_an_object_is_asked_for_and_another_value_is_named(text: str, found: str) -> None:
    """Configurations and results are objects."""
    with pytest.raises(CniError) as caught:
        loads_object(text, "x")
    assert (caught.value.code, caught.value.msg) == (6, f"cannot decode x: it is not a JSON object but {found}")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", ["\ud800", Real("1.0")]])
def test_what_json_cannot_hold_is_not_written(value: Json) -> None:
    """An error of ours, since no input can bring such a value in."""
    with pytest.raises(CniError) as caught:
        dumps(value)
    assert caught.value.code == Code.INTERNAL


def test_a_value_in_a_message_is_short() -> None:
    """A message shows a value by its JSON text, on one line."""
    assert describe("b\nc") == '"b\\nc"'
    assert describe(Real("1.0")) == "1.0"
    assert len(describe("x" * 1_000_000)) == 64
    assert describe("\ud800") == '"\ufffd"'
    assert describe(float("nan")) == "a value that JSON cannot hold"


def test_what_an_object_or_a_list_holds_is_in_no_message() -> None:
    """It may be a password, and messages end in logs and Events (decision 16)."""
    assert [describe({"password": "x"}), describe(["x"]), describe({}), describe([])] == ["{…}", "[…]", "{}", "[]"]


_NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
_TEXTS = st.recursive(
    st.one_of(
        _NUMBERS, st.sampled_from(["null", "true", "false"]), st.text().map(lambda x: json.dumps(x, ensure_ascii=False))
    ),
    lambda inner: (
        st.lists(inner).map(lambda parts: f"[{','.join(parts)}]")
        | st.dictionaries(st.text(), inner).map(
            lambda pairs: (
                "{" + ",".join(f"{json.dumps(key, ensure_ascii=False)}:{text}" for key, text in pairs.items()) + "}"
            )
        )
    ),
    max_leaves=15,
)


@given(_TEXTS)
def test_every_compact_text_survives(text: str) -> None:
    """Reading and writing is the identity on compact JSON."""
    assert dumps(loads(text)).decode() == text


@given(st.binary() | st.text(st.sampled_from('{}[]",:0e.-\\ud8\0')))
def test_no_text_raises_anything_else(text: bytes | str) -> None:
    """A CniError or a value that can be written again."""
    try:
        value = loads(text)
    except CniError as error:
        assert error.code == Code.DECODE  # noqa: PT017 - most texts raise, some do not
    else:
        assert loads(dumps(value)) == value


def test_a_key_that_stands_twice_in_an_object_is_refused_where_it_matters() -> None:
    """Go merges two objects of one key; here the first would be lost without a word."""
    assert loads_unique('{"a": {"b": 1}, "c": [{"b": 1}, {"b": 2}]}', "x") == {
        "a": {"b": 1},
        "c": [{"b": 1}, {"b": 2}],
    }
    for text in ('{"a": 1, "a": 2}', b'{"x": [{"ipam": {}, "ipam": {}}]}'):
        with pytest.raises(CniError, match=r"cannot decode x: key '(a|ipam)' stands there twice") as caught:
            loads_unique(text, "x")
        assert caught.value.code == 6

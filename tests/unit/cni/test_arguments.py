# SPDX-License-Identifier: Apache-2.0
"""CNI_ARGS: pairs out of and into their text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacni.cni import arguments
from metacni.cni.errors import CniError


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        pytest.param("", (), id="empty"),
        pytest.param("A=1", (("A", "1"),), id="one"),
        pytest.param(
            "IgnoreUnknown=1;K8S_POD_NAME=p", (("IgnoreUnknown", "1"), ("K8S_POD_NAME", "p")), id="two-in-order"
        ),
        pytest.param("A=1;A=2", (("A", "1"), ("A", "2")), id="repeated"),
        pytest.param("A=", (("A", ""),), id="empty-value"),
        pytest.param("a= b", (("a", " b"),), id="space"),
    ],
)
def test_pairs_are_read_and_written(text: str, pairs: tuple[tuple[str, str], ...]) -> None:
    """Order, case and spaces are the caller's."""
    assert arguments.parse(text) == pairs
    assert arguments.render(pairs) == text


@pytest.mark.parametrize("text", ["A", "A=1;", ";", "A=1=2", "A=b64==", "A=1;;B=2", "\0"])
def test_a_piece_that_is_no_pair_is_refused(text: str) -> None:
    """As every Go plugin would."""
    with pytest.raises(CniError, match=r"^cannot read CNI_ARGS: .* is not KEY=VALUE$") as caught:
        arguments.parse(text)
    assert caught.value.code == 4


@pytest.mark.parametrize("pair", [("A", "1=2"), ("A", "1;B"), ("A=", "1"), ("A;", "1"), ("A", "\0")])
def test_what_the_text_cannot_hold_is_refused(pair: tuple[str, str]) -> None:
    """There is no escape, so it would fail in the delegate or become another pair."""
    with pytest.raises(CniError, match=r"^cannot put 'A.*' into CNI_ARGS: ") as caught:
        arguments.render([pair])
    assert caught.value.code == 7


_PART = st.text(st.characters(exclude_characters=";=\0"))


@given(st.lists(st.tuples(_PART, _PART)).map(tuple))
def test_written_pairs_are_read_back(pairs: tuple[tuple[str, str], ...]) -> None:
    """Nothing is lost or made up."""
    assert arguments.parse(arguments.render(pairs)) == pairs

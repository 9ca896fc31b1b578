# SPDX-License-Identifier: Apache-2.0
"""Versions: order, negotiation and what depends on them."""

import json

import pytest

from metacni.cni.errors import CniError
from metacni.cni.versions import VERSIONS, Verb, choose, del_has_prev_result, has, known, order, reply


@pytest.mark.parametrize(
    ("version", "check", "gc_and_status", "prev_result_on_del"),
    [
        ("0.1.0", False, False, False),
        ("0.2.0", False, False, False),
        ("0.3.0", False, False, False),
        ("0.3.1", False, False, False),
        ("0.4.0", True, False, True),
        ("1.0.0", True, False, True),
        ("1.1.0", True, True, True),
    ],
)
def test_what_a_version_has(version: str, check: bool, gc_and_status: bool, prev_result_on_del: bool) -> None:  # noqa: FBT001
    """The table of verbs and versions."""
    assert has(Verb.ADD, version)
    assert has(Verb.DEL, version)
    assert has(Verb.VERSION, version)
    assert has(Verb.CHECK, version) is check
    assert has(Verb.GC, version) is gc_and_status
    assert has(Verb.STATUS, version) is gc_and_status
    assert del_has_prev_result(version) is prev_result_on_del


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        pytest.param("1.1.0", (1, 1, 0), id="full"),
        pytest.param("1.10", (1, 10, 0), id="as-numbers"),
        pytest.param("2", (2, 0, 0), id="missing-parts"),
        pytest.param("", (0, 1, 0), id="empty-is-the-oldest"),
    ],
)
def test_a_version_is_ordered_as_numbers(version: str, expected: tuple[int, int, int]) -> None:
    """Up to three integers."""
    assert order(version) == expected


@pytest.mark.parametrize(
    "version", ["x", "1.", ".1", "1.0.0.0", "v1.0.0", "1.0.0\n", "-1", "1.0.0-rc1", "9" * 5_000, "\u0661"]
)
def test_what_is_no_version_is_refused(version: str) -> None:
    """Code 1, and never another exception."""
    with pytest.raises(CniError, match=r"^cannot read CNI version ") as caught:
        order(version)
    assert caught.value.code == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_our_versions_are_known(version: str) -> None:
    """By their exact text."""
    assert known(version) == version


def test_no_version_is_the_oldest() -> None:
    """A configuration without cniVersion."""
    assert known("") == "0.1.0"


@pytest.mark.parametrize("version", ["1.0", "1.1.1", "0.5.0", "01.0.0", "1.0.0 ", "nonsense"])
def test_an_unknown_version_is_refused_with_both_lists(version: str) -> None:
    """The operator sees what was asked and what could be."""
    with pytest.raises(CniError) as caught:
        known(version)
    assert caught.value.code == 1
    assert caught.value.details.endswith("; supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0")


@pytest.mark.parametrize(
    ("version", "versions", "expected"),
    [
        pytest.param("0.4.0", [], "0.4.0", id="alone"),
        pytest.param("", [], "0.1.0", id="none"),
        pytest.param("0.4.0", ["0.3.1", "1.0.0"], "1.0.0", id="the-highest"),
        pytest.param("1.0.0", ["0.3.1"], "1.0.0", id="cniVersion-counts"),
        pytest.param("0.3.1", ["1.1.0", "1.2.0", "2.0.0"], "1.1.0", id="newer-are-skipped"),
        pytest.param("2.0.0", ["1.0.0"], "1.0.0", id="newer-cniVersion-is-skipped"),
        pytest.param("", ["0.4.0"], "0.4.0", id="no-cniVersion"),
    ],
)
def test_the_highest_common_version_is_chosen(version: str, versions: list[str], expected: str) -> None:
    """Out of both keys, not newer than ours."""
    assert choose(version, versions) == expected


@pytest.mark.parametrize(
    ("version", "versions"),
    [
        pytest.param("2.0.0", [], id="only-newer"),
        pytest.param("1.0.0", ["x"], id="unreadable"),
        pytest.param("1.0.0", ["1.0.5"], id="between-ours"),
    ],
)
def test_a_choice_that_no_plugin_knows_is_refused(version: str, versions: list[str]) -> None:
    """It would fail in every plugin."""
    with pytest.raises(CniError) as caught:
        choose(version, versions)
    assert caught.value.code == 1


@pytest.mark.parametrize(
    ("asked", "said"), [("0.4.0", "0.4.0"), ("", "1.1.0"), ("7.0.0", "7.0.0"), ("\ud800", "\ufffd")]
)
def test_version_echoes_what_was_asked(asked: str, said: str) -> None:
    """And lists all versions, since CRI-O refuses a configuration whose version is not in the list."""
    assert json.loads(reply(asked)) == {
        "cniVersion": said,
        "supportedVersions": ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"],
    }

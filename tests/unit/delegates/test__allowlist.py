# SPDX-License-Identifier: Apache-2.0
"""The node's list of allowed sysctls."""

from pathlib import Path

import pytest

from delegates import _allowlist
from metacni.cni.errors import CniError

KEY = "net.ipv4.conf.IFNAME.rp_filter"


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        pytest.param("", False, id="empty"),
        pytest.param(r"^net\.ipv4\.conf\.IFNAME\.[a-z_]*$", True, id="the-documented-one"),
        pytest.param("other\n\n  ^net.ipv4  \n", True, id="lines-are-trimmed"),
        pytest.param("rp_filter", True, id="anywhere"),
        pytest.param("^rp_filter", False, id="only-at-the-start"),
        pytest.param(r"net\.ipv4$", False, id="only-at-the-end"),
        pytest.param("^(?:net|kernel)[.](ipv4|ipv6)[.]", True, id="groups"),
        pytest.param(r"conf\.[^.]+\.rp_\w{6}$", True, id="classes-and-counts"),
        pytest.param(r"[$]$", False, id="a-dollar-in-a-class"),
        pytest.param("rp_filter|(?P<x>y)", None, id="named-group"),
        pytest.param("(?i)NET", None, id="flags"),
        pytest.param("(?=net)", None, id="look-ahead"),
        pytest.param(r"\pL", None, id="unicode-class"),
        pytest.param("[[:alpha:]]", None, id="posix-class"),
        pytest.param("net.*+", None, id="possessive"),
        pytest.param("(net", None, id="broken"),
        pytest.param(r"\Qnet", None, id="quoting"),
        pytest.param("net\\", None, id="ends-in-a-backslash"),
        pytest.param("[z-a]", None, id="range-backwards"),
    ],
)
def test_a_list_allows(tmp_path: Path, text: str, allowed: bool | None) -> None:  # noqa: FBT001 - a row
    """What one of its expressions finds in the key; an expression that Go may read differently allows nothing."""
    path = tmp_path / "allowlist.conf"
    path.write_text(text)
    if allowed:
        _allowlist.require([KEY], path)
        return
    with pytest.raises(CniError) as caught:
        _allowlist.require([KEY], path)
    assert caught.value.code == 7
    assert ("does not allow" in caught.value.msg) is (allowed is not None)


def test_a_dollar_is_the_very_end(tmp_path: Path) -> None:
    """A line end behind it does not count, as it would in Python."""
    path = tmp_path / "allowlist.conf"
    path.write_text("^net$")
    with pytest.raises(CniError):
        _allowlist.require(["net\n"], path)


def test_every_key_has_to_be_allowed(tmp_path: Path) -> None:
    """The one that is not is named; with no key the list is not even read."""
    path = tmp_path / "allowlist.conf"
    path.write_text("ipv4")
    with pytest.raises(CniError, match=r"'net\.core\.somaxconn'"):
        _allowlist.require([KEY, "net.core.somaxconn"], path)
    path.write_bytes(b"\xff")
    _allowlist.require([], path)


def test_no_list_allows_everything(tmp_path: Path) -> None:
    """As the reference does."""
    _allowlist.require([KEY], tmp_path / "none")
    _allowlist.require([KEY], tmp_path / "none/none")


@pytest.mark.parametrize(
    ("make", "code"),
    [
        pytest.param(lambda path: path.mkdir(), 5, id="folder"),
        pytest.param(lambda path: path.write_bytes(b"\xff\xfe"), 7, id="no-text"),
        pytest.param(lambda path: path.write_text("net\n" * 300_000), 7, id="endless"),
        pytest.param(lambda path: path.symlink_to(path.name), 5, id="loop"),
    ],
)
def test_a_list_that_cannot_be_read_allows_nothing(tmp_path: Path, make: object, code: int) -> None:
    """It is an error, not "no list"."""
    path = tmp_path / "allowlist.conf"
    assert callable(make)
    make(path)
    with pytest.raises(CniError) as caught:
        _allowlist.require([KEY], path)
    assert caught.value.code == code

# SPDX-License-Identifier: Apache-2.0
"""Interface names: generated, asked for, and clashing."""

import pytest

from metacni.cni.errors import CniError
from metacni.cni.names import IfName
from metacni.core import naming

_NETWORKS = ("cbr0", "team-a/a", "team-a/b", "team-a/c")


def _names(*requested: str | None, first: str = "eth0") -> tuple[IfName, ...]:
    wanted = [None if name is None else IfName(name) for name in requested]
    return naming.interface_names(_NETWORKS[: len(wanted)], wanted, IfName(first))


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        pytest.param((None,), ("eth0",), id="default-only"),
        pytest.param((None, None, None), ("eth0", "net1", "net2"), id="generated"),
        pytest.param((None, "foo", None), ("eth0", "foo", "net2"), id="a-name-uses-its-number-up"),
        pytest.param((None, "net2", "net1"), ("eth0", "net2", "net1"), id="swapped"),
    ],
)
def test_names(requested: tuple[str | None, ...], expected: tuple[str, ...]) -> None:
    """The default network has the runtime's name, the others their own or `net` and their position."""
    assert _names(*requested) == expected


@pytest.mark.parametrize(
    ("requested", "words"),
    [
        pytest.param((None, "net2", None), ("'net2'", "'team-a/a'", "'team-a/b'"), id="with-a-generated-one"),
        pytest.param((None, "x", None, "x"), ("'x'", "'team-a/a'", "'team-a/c'"), id="twice"),
        pytest.param((None, "eth0"), ("'eth0'", "'cbr0'", "'team-a/a'"), id="with-the-default-network"),
        pytest.param((None, "lo"), ("'lo'", "'team-a/a'"), id="loopback"),
        pytest.param((None, "all"), ("'all'", "'team-a/a'"), id="a-sysctl-folder"),
    ],
)
def test_clashes_are_found_up_front(requested: tuple[str | None, ...], words: tuple[str, ...]) -> None:
    """The error names the interface and both networks."""
    with pytest.raises(CniError) as caught:
        _names(*requested)
    assert caught.value.code == 7
    assert [word for word in words if word not in caught.value.msg] == []


def test_a_generated_name_may_meet_the_runtimes() -> None:
    """A runtime that calls the first interface net1 clashes with the first further network."""
    with pytest.raises(CniError, match="'net1' of network 'team-a/a'"):
        _names(None, None, first="net1")

# SPDX-License-Identifier: Apache-2.0
"""macvlan's configuration; what it does to a kernel stands in tests/contract and tests/kernel."""

from typing import Any

import pytest

from delegates.macvlan import DELEGATE
from metacni.cni.errors import CniError
from tests.unit.delegates.calls import serve

NET = {"cniVersion": "1.1.0", "name": "net", "type": "macvlan", "master": "e0"}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param({}, None, id="layer-2"),
        pytest.param(
            {"MASTER": "e1", "mode": "vepa", "mtu": 1400, "mac": "x", "linkInContainer": True, "bcqueuelen": 5,
             "enabledad": True, "dns": {}, "capabilities": {"mac": True, "ips": True}, "prevResult": {},
             "runtimeConfig": {"mac": "x", "ips": [], "ipRanges": []}, "args": {"cni": {"mac": "x"}}}, None,
            id="all-that-is-known",
        ),
        pytest.param({"vlan": 5}, "key 'vlan' (5) is not known", id="another-plugins-key"),
        pytest.param({"promiscMode": True}, "key 'promiscMode' (true) is not known", id="the-bridges-key"),
        pytest.param(
            {"runtimeConfig": {"bandwidth": {}}}, "key 'runtimeConfig.bandwidth' ({}) is not carried out",
            id="capability",
        ),
        pytest.param({"ipam": {"type": "whereabouts", "x": 1}}, None, id="a-foreign-ipam-is-its-own-matter"),
        pytest.param({"ipam": {"type": "host-local", "x": 1}}, "key 'ipam.x' (1) is not known", id="ours-is-looked-at"),
    ],
)  # fmt: skip
def test_reasons_to_leave_it_to_another(more: dict[str, Any], expected: str | None) -> None:
    """Whatever would not be done to the letter."""
    body: Any = NET | more
    assert DELEGATE.declines(body, lambda _: True) == expected


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        pytest.param({"wheels": 4}, 2, "'wheels' (4)", id="unknown"),
        pytest.param({"mode": "source"}, 7, "source", id="mode"),
        pytest.param({"mode": True}, 6, "mode", id="mode-a-flag"),
        pytest.param({"mtu": 1.5}, 6, "mtu", id="half-a-byte"),
        pytest.param({"mtu": -1}, 7, "mtu", id="mtu-negative"),
        pytest.param({"mtu": 65536}, 7, "mtu", id="mtu-too-large"),
        pytest.param({"master": "a/b"}, 7, "master", id="master-no-name"),
        pytest.param({"master": 5}, 6, "master", id="master-a-number"),
        pytest.param({"linkInContainer": 1}, 6, "linkInContainer", id="flag-as-number"),
        pytest.param({"bcqueuelen": -1}, 7, "bcqueuelen", id="queue-negative"),
        pytest.param({"bcqueuelen": 2**32}, 7, "bcqueuelen", id="queue-too-long"),
        pytest.param({"mac": "x"}, 7, "mac", id="mac"),
        pytest.param({"mac": "03:00:00:00:00:01"}, 7, "mac", id="mac-of-many"),
        pytest.param({"runtimeConfig": {"mac": "x"}}, 7, "runtimeConfig.mac", id="mac-of-the-runtime"),
        pytest.param({"enabledad": "no"}, 6, "enabledad", id="duplicates"),
        pytest.param({"ipam": "host-local"}, 6, "ipam", id="ipam-no-object"),
    ],
)
@pytest.mark.parametrize("verb", ["ADD", "CHECK", "STATUS"])
def test_bad_input_is_named_and_touches_nothing(verb: str, more: dict[str, Any], code: int, says: str) -> None:
    """The edges fail the test when they are used."""
    with pytest.raises(CniError) as caught:
        serve(DELEGATE, verb, NET | more)
    assert caught.value.code == code
    assert says in caught.value.msg


@pytest.mark.parametrize("args", [pytest.param("MAC=x", id="no-mac"), pytest.param("WHEELS=4", id="unknown")])
def test_bad_arguments_are_the_environments(args: str) -> None:
    """Code 4 names the variable."""
    with pytest.raises(CniError, match="CNI_ARGS") as caught:
        serve(DELEGATE, "ADD", NET, CNI_ARGS=args)
    assert caught.value.code == 4

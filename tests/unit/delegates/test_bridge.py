# SPDX-License-Identifier: Apache-2.0
"""The bridge's configuration; what it does to a kernel stands in tests/contract and tests/kernel."""

from typing import Any

import pytest

from delegates.bridge import DELEGATE
from metacni.cni.errors import CniError
from tests.unit.delegates.calls import Ipam, serve

LAYER2 = {"cniVersion": "1.1.0", "name": "net", "type": "bridge"}


def reason(visible: bool = True, **more: Any) -> str | None:  # noqa: FBT001, FBT002 - a row
    """Why this configuration is left to another plugin."""
    body: Any = LAYER2 | more
    return DELEGATE.declines(body, lambda _: visible)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param({}, None, id="layer-2"),
        pytest.param(
            {"Bridge": "br1", "isGateway": True, "isDefaultGateway": True, "forceAddress": True, "mtu": 1400,
             "hairpinMode": True, "promiscMode": True, "enabledad": True, "disableContainerInterface": True,
             "dns": {}, "args": {"cni": {"labels": []}}, "runtimeConfig": {"mac": "x", "ips": [], "ipRanges": []},
             "capabilities": {"mac": True}, "prevResult": {}, "cni.dev/attachments": []}, None, id="all-that-is-known",
        ),
        pytest.param(
            {"ipMasq": False, "vlan": 0, "vlanTrunk": None, "macspoofchk": False, "portIsolation": False,
             "preserveDefaultVlan": True, "ipMasqBackend": "nftables"}, None, id="keys-without-effect",
        ),
        pytest.param({"ipMasq": True, "macspoofchk": True, "portIsolation": True}, None, id="rules-and-isolation"),
        pytest.param({"vlan": 5, "vlanTrunk": [{"id": 7}], "preserveDefaultVlan": True}, None, id="vlans"),
        pytest.param(
            {"vlan": 5}, "key 'preserveDefaultVlan' is missing, whose default depends on the version of the plugin",
            id="vlan-and-nothing-said-of-the-default",
        ),
        pytest.param({"IPMASQ": True, "ipMasqBackend": "iptables"},
                     "key 'ipMasqBackend' (\"iptables\") is not carried out", id="iptables"),
        pytest.param({"ipMask": True}, "key 'ipMask' (true) is not known", id="mistyped"),
        pytest.param(
            {"runtimeConfig": {"aliases": []}}, "key 'runtimeConfig.aliases' ([]) is not carried out", id="capability"
        ),
        pytest.param({"ipam": {"type": "whereabouts", "range": "x"}}, None, id="a-foreign-ipam-is-its-own-matter"),
        pytest.param({"ipam": {"type": "host-local", "x": 1}}, "key 'ipam.x' (1) is not known", id="ours-is-looked-at"),
    ],
)  # fmt: skip
def test_reasons_to_leave_it_to_another(more: dict[str, Any], expected: str | None) -> None:
    """Whatever would not be done to the letter."""
    assert reason(**more) == expected


def test_a_path_that_is_not_visible_is_a_reason() -> None:
    """The leases would be kept where the reference does not find them."""
    ipam = {"type": "host-local", "subnet": "10.1.0.0/24", "dataDir": "/var/lib/x"}
    assert reason(ipam=ipam) is None
    assert reason(visible=False, ipam=ipam) == "path '/var/lib/x' of key 'ipam.dataDir' is not mounted in the agent"


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        pytest.param({"ipMasq": True, "ipMasqBackend": "iptables"}, 2, "'ipMasqBackend'", id="not-carried-out"),
        pytest.param({"ipMasq": True, "ipMasqBackend": "x"}, 7, "'ipMasqBackend'", id="no-such-backend"),
        pytest.param({"vlan": 5}, 2, "'preserveDefaultVlan'", id="depends-on-the-version"),
        pytest.param({"vlan": 4095}, 7, "'vlan'", id="vlan-too-high"),
        pytest.param(
            {"vlan": 4000, "bridge": "bridge-of-12", "isGateway": True, "ipam": {"type": "far"}},
            7,
            "'vlan'",
            id="name-of-the-leg-too-long",
        ),
        pytest.param({"wheels": 4}, 2, "'wheels' (4)", id="unknown"),
        pytest.param({"hairpinMode": 1}, 6, "hairpinMode", id="flag-as-number"),
        pytest.param({"mtu": 1.5}, 6, "mtu", id="half-a-byte"),
        pytest.param({"mtu": -1}, 7, "mtu", id="mtu-negative"),
        pytest.param({"mtu": 67}, 7, "mtu", id="mtu-too-small"),
        pytest.param({"vlan": -1}, 7, "vlan", id="vlan-negative"),
        pytest.param({"bridge": "a/b"}, 7, "bridge", id="no-name"),
        pytest.param({"ipam": "host-local"}, 6, "ipam", id="ipam-no-object"),
        pytest.param({"dns": {"search": "a"}}, 6, "search", id="dns"),
        pytest.param({"hairpinMode": True, "promiscMode": True}, 7, "hairpinMode", id="both-modes"),
    ],
)
@pytest.mark.parametrize("verb", ["ADD", "CHECK", "STATUS"])
def test_bad_input_is_named_and_touches_nothing(verb: str, more: dict[str, Any], code: int, says: str) -> None:
    """The edges fail the test when they are used."""
    with pytest.raises(CniError) as caught:
        serve(DELEGATE, verb, LAYER2 | more)
    assert caught.value.code == code
    assert says in caught.value.msg


def test_status_is_the_ipams() -> None:
    """Without one it is well."""
    assert serve(DELEGATE, "STATUS", LAYER2) == {}
    with pytest.raises(CniError) as caught:
        serve(DELEGATE, "STATUS", LAYER2 | {"ipam": {"type": "far"}}, ipam=Ipam(refuses=CniError(50, "empty")))
    assert caught.value.code == 50

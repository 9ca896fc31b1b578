# SPDX-License-Identifier: Apache-2.0
"""The network-status annotation."""

import json
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from metacni.cni import config
from metacni.cni.jsontext import Json
from metacni.cni.names import IfName, NetnsPath
from metacni.cni.result import Address, Dns, Interface, Result, Route
from metacni.core import status
from metacni.core.plan import Attachment

_NETNS = NetnsPath("/run/netns/c1")
_V4, _V6 = ip_network("0.0.0.0/0"), ip_network("::/0")


def _attached(network: str, ifname: str, asked: list[str] | None = None) -> Attachment:
    return Attachment(
        network=network,
        ifname=IfName(ifname),
        config=config.parse({"name": "lan", "type": "bridge"}),
        capability_args={},
        cni_args="",
        default=ifname == "eth0",
        default_route=None if asked is None else tuple(map(ip_address, asked)),
    )


_CBR0, _LAN = _attached("cbr0", "eth0"), _attached("team-a/lan", "net1")


def _pod(name: str, mac: str = "", mtu: int | None = None) -> Interface:
    return Interface(name=name, mac=mac, mtu=mtu, sandbox=_NETNS)


def _ip(text: str, interface: int | None = None, gateway: str | None = None) -> Address:
    hop = None if gateway is None else ip_address(gateway)
    return Address(address=ip_interface(text), interface=interface, gateway=hop)


def _entries(attachment: Attachment, result: Result) -> Json:
    found: Json = json.loads(status.network_status([attachment], [result], _NETNS))
    return found


def test_the_whole_text() -> None:
    """Compact, one entry for each attachment and the default network's first."""
    cbr0 = Result(
        interfaces=(Interface(name="veth0", mac="02:00:00:00:00:99"), _pod("eth0", "02:00:00:00:00:01", 1450)),
        ips=(_ip("10.0.0.5/24", 1, "10.0.0.1"), _ip("fd00::5/64", 1)),
        routes=(Route(dst=_V4, gw=ip_address("10.0.0.1")),),
        dns=Dns(nameservers=("10.0.0.53",), search=("local",)),
    )
    lan = Result(interfaces=(_pod("net1"),), ips=(_ip("10.1.0.5/24", 0),))
    assert status.network_status([_CBR0, _LAN], [cbr0, lan], _NETNS) == (
        '[{"name":"cbr0","interface":"eth0","ips":["10.0.0.5","fd00::5"],"mac":"02:00:00:00:00:01","mtu":1450,'
        '"default":true,"dns":{"nameservers":["10.0.0.53"],"search":["local"]},"gateway":["10.0.0.1"]},'
        '{"name":"team-a/lan","interface":"net1","ips":["10.1.0.5"],"default":false,"dns":{}}]'
    )


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        pytest.param(
            Result(ips=(_ip("10.0.0.5/24"),)),
            [{"name": "cbr0", "interface": "eth0", "ips": ["10.0.0.5"], "default": True, "dns": {}}],
            id="no-interfaces",
        ),
        pytest.param(
            Result(), [{"name": "cbr0", "interface": "eth0", "default": True, "dns": {}}], id="nothing-reported"
        ),
        pytest.param(
            Result(interfaces=(Interface(name="veth0"),), ips=(_ip("10.0.0.5/24", 0),)),
            [{"name": "cbr0", "interface": "eth0", "ips": ["10.0.0.5"], "default": True, "dns": {}}],
            id="only-the-host's",
        ),
        pytest.param(
            Result(interfaces=(Interface(name="eth0", mac="02:00:00:00:00:01"),), ips=(_ip("10.0.0.5/24"),)),
            [
                {
                    "name": "cbr0",
                    "interface": "eth0",
                    "ips": ["10.0.0.5"],
                    "mac": "02:00:00:00:00:01",
                    "default": True,
                    "dns": {},
                }
            ],
            id="no-sandbox",
        ),
        pytest.param(
            Result(
                interfaces=(_pod("aux0"), _pod("eth0")),
                ips=(_ip("10.0.0.5/24"), _ip("10.5.0.5/24", 0)),
                dns=Dns(domain="x"),
            ),
            [
                {"name": "cbr0", "interface": "aux0", "ips": ["10.5.0.5"], "default": False, "dns": {"domain": "x"}},
                {"name": "cbr0", "interface": "eth0", "ips": ["10.0.0.5"], "default": True, "dns": {"domain": "x"}},
            ],
            id="two-in-the-pod",
        ),
        pytest.param(
            Result(
                interfaces=(_pod("eth0"), _pod("aux0")),
                ips=(_ip("10.0.0.5/24", 0), _ip("10.5.0.5/24", 1, "10.5.0.1")),
            ),
            [
                {"name": "cbr0", "interface": "eth0", "ips": ["10.0.0.5"], "default": False, "dns": {}},
                {"name": "cbr0", "interface": "aux0", "ips": ["10.5.0.5"], "default": True, "dns": {}},
            ],
            id="the-gateway-leads",
        ),
        pytest.param(
            Result(
                interfaces=(Interface(name="br0"), _pod("eth0"), _pod("aux0")),
                ips=(_ip("10.0.0.1/24", 0, "10.0.0.254"), _ip("10.0.0.5/24", 1)),
            ),
            [
                {"name": "cbr0", "interface": "eth0", "ips": ["10.0.0.5"], "default": True, "dns": {}},
                {"name": "cbr0", "interface": "aux0", "default": False, "dns": {}},
            ],
            id="a-gateway-on-the-host-leads-nothing",
        ),
    ],
)
def test_unusual_results_have_their_entries(result: Result, expected: Json) -> None:
    """No address and no attachment goes without an entry, and exactly one is the default."""
    assert _entries(_CBR0, result) == expected


@pytest.mark.parametrize(
    ("asked", "routes", "expected"),
    [
        pytest.param(None, (), {}, id="none"),
        pytest.param(None, (Route(dst=ip_network("10.8.0.0/16"), gw=ip_address("10.1.0.9")),), {}, id="no-default"),
        pytest.param(None, (Route(dst=_V4, gw=ip_address("10.1.0.1")),), {"gateway": ["10.1.0.1"]}, id="multus's-key"),
        pytest.param(None, (Route(dst=_V4),), {"gateway": ["10.1.0.2"]}, id="the-address-knows-it"),
        pytest.param(None, (Route(dst=_V6),), {}, id="no-next-hop-is-left-out"),
        pytest.param(
            ["10.1.0.1"],
            (Route(dst=_V4, gw=ip_address("10.1.0.1")),),
            {"gateway": ["10.1.0.1"], "default-route": ["10.1.0.1"]},
            id="asked-for",
        ),
        pytest.param([], (), {"default-route": []}, id="asked-for-what-the-plugin-has-not"),
    ],
)
def test_gateways(asked: list[str] | None, routes: tuple[Route, ...], expected: dict[str, Json]) -> None:
    """Those of the default routes in force, and under the standard's key too where they were asked for."""
    result = Result(interfaces=(_pod("net1"),), ips=(_ip("10.1.0.5/24", 0, "10.1.0.2"),), routes=routes)
    assert _entries(_attached("team-a/lan", "net1", asked), result) == [
        {"name": "team-a/lan", "interface": "net1", "ips": ["10.1.0.5"], "default": False, "dns": {}, **expected}
    ]

# SPDX-License-Identifier: Apache-2.0
"""The answer to the runtime, and when it is the primary's part only."""

from ipaddress import ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacni.cni import config
from metacni.cni.jsontext import Json
from metacni.cni.names import IfName, NetnsPath, NetworkName, PluginType
from metacni.cni.result import Address, Dns, Interface, Result, Route
from metacni.cni.versions import VERSIONS
from metacni.core import merge
from metacni.core.merge import ResultMode
from metacni.core.plan import Attachment

_NETNS = NetnsPath("/run/netns/c1")
_V4, _V6 = ip_network("0.0.0.0/0"), ip_network("::/0")


def _attached(ifname: str) -> Attachment:
    return Attachment(
        network=ifname,
        ifname=IfName(ifname),
        config=config.parse({"name": "lan", "type": "bridge"}),
        capability_args={},
        cni_args="",
        default=ifname == "eth0",
        default_route=None,
    )


_ATTACHED = [_attached("eth0"), _attached("net1"), _attached("net2")]


def _pod(name: str, mac: str = "") -> Interface:
    return Interface(name=name, mac=mac, sandbox=_NETNS)


def _ip(text: str, interface: int | None = None, gateway: str | None = None) -> Address:
    hop = None if gateway is None else ip_address(gateway)
    return Address(address=ip_interface(text), interface=interface, gateway=hop)


def _merge(*results: Result, primary_only: bool = False, version: str = "1.1.0") -> Result:
    return merge.merge(_ATTACHED[: len(results)], results, netns=_NETNS, primary_only=primary_only, version=version)


_PRIMARY = Result(
    interfaces=(Interface(name="cbr0"), Interface(name="veth0"), _pod("eth0", "02:00:00:00:00:01")),
    ips=(_ip("10.0.0.5/24", 2, "10.0.0.1"),),
    routes=(Route(dst=_V4, gw=ip_address("10.0.0.1")), Route(dst=ip_network("10.8.0.0/16"))),
    dns=Dns(nameservers=("10.0.0.53",)),
)
_LAN = Result(
    interfaces=(Interface(name="veth1"), _pod("net1")),
    ips=(_ip("10.1.0.5/24", 1, "10.1.0.1"), _ip("fd01::5/64")),
    routes=(Route(dst=_V4, gw=ip_address("10.1.0.1")), Route(dst=ip_network("10.9.0.0/16"))),
    dns=Dns(nameservers=("10.1.0.53",)),
)
_OLD = Result(ips=(_ip("10.2.0.5/24"),))


def test_all_networks_are_merged() -> None:
    """The primary's first; indexes are shifted and always set; routes and dns are the primary's."""
    assert _merge(_PRIMARY, _LAN, _OLD) == Result(
        interfaces=(*_PRIMARY.interfaces, *_LAN.interfaces, _pod("net2")),
        ips=(
            _ip("10.0.0.5/24", 2, "10.0.0.1"),
            _ip("10.1.0.5/24", 4, "10.1.0.1"),
            _ip("fd01::5/64", 4),
            _ip("10.2.0.5/24", 5),
        ),
        routes=_PRIMARY.routes,
        dns=_PRIMARY.dns,
    )


@pytest.mark.parametrize(
    ("primary_only", "version"),
    [
        pytest.param(True, "1.1.0", id="asked-for"),
        pytest.param(False, "0.1.0", id="0.1.0"),
        pytest.param(False, "0.2.0", id="0.2.0"),
    ],
)
def test_the_primary_alone(primary_only: bool, version: str) -> None:  # noqa: FBT001
    """Where the runtime would take every address for the pod's, and in versions that cannot say whose it is."""
    assert _merge(_PRIMARY, _LAN, primary_only=primary_only, version=version) == _PRIMARY


def test_an_address_without_an_index_is_the_attachments_own() -> None:
    """It would count as eth0's otherwise."""
    merged = _merge(_PRIMARY, Result(interfaces=(Interface(name="veth1"), _pod("net1")), ips=(_ip("10.1.0.5/24"),)))
    assert merged.interfaces[merged.ips[1].interface or 0].name == "net1"


@pytest.mark.parametrize("primary_only", [True, False], ids=["primary", "merged"])
def test_a_hosts_interface_does_not_hide_the_pods(primary_only: bool) -> None:  # noqa: FBT001
    """Runtimes go by the name alone; what it had is left out with it."""
    primary = Result(
        interfaces=(_pod("eth0", "02:00:00:00:00:01"), Interface(name="eth0", mac="02:00:00:00:00:99")),
        ips=(_ip("10.0.0.5/24", 0), _ip("192.0.2.1/24", 1)),
    )
    secondary = Result(
        interfaces=(Interface(name="eth0"), _pod("net1")), ips=(_ip("10.1.0.5/24", 1), _ip("192.0.2.1/24", 0))
    )
    merged = _merge(primary, secondary, primary_only=primary_only)
    assert merged.interfaces[0] == _pod("eth0", "02:00:00:00:00:01")
    assert [interface.name for interface in merged.interfaces] == (["eth0"] if primary_only else ["eth0", "net1"])
    assert [str(item.address) for item in merged.ips] == ["10.0.0.5/24", "10.1.0.5/24"][: 1 if primary_only else 2]


def test_a_secondary_cannot_speak_of_the_pods_first_interface() -> None:
    """Its addresses would become the pod's."""
    intruder = Result(interfaces=(_pod("eth0"), _pod("net1")), ips=(_ip("10.6.6.6/24", 0), _ip("10.1.0.5/24", 1)))
    merged = _merge(_PRIMARY, intruder)
    assert [str(item.address) for item in merged.ips] == ["10.0.0.5/24", "10.1.0.5/24"]
    assert [interface.name for interface in merged.interfaces] == ["cbr0", "veth0", "eth0", "net1"]


@pytest.mark.parametrize(
    ("primary", "secondaries", "expected"),
    [
        pytest.param((_V4,), ((_V4,),), ("10.0.0.1",), id="the-primary-has-it"),
        pytest.param((), ((_V4,),), ("10.1.0.1",), id="only-the-secondary-has-it"),
        pytest.param((_V6,), ((_V4,),), ("fd00::1", "10.1.0.1"), id="one-family-each"),
        pytest.param((), ((), (_V4,)), ("10.2.0.1",), id="the-third-has-it"),
        pytest.param((), ((_V4,), (_V4,)), ("10.1.0.1",), id="the-first-that-has-it"),
    ],
)
def test_default_routes_in_force(
    primary: tuple[object, ...], secondaries: tuple[tuple[object, ...], ...], expected: tuple[str, ...]
) -> None:
    """A secondary's appears where no earlier network has one of its family, and says its gateway."""
    results = []
    for number, families in enumerate((primary, *secondaries)):
        hops = {_V4: f"10.{number}.0.1", _V6: f"fd0{number}::1"}
        ips = (_ip(f"10.{number}.0.5/24", 0, hops[_V4]), _ip(f"fd0{number}::5/64", 0, hops[_V6]))
        gw = ip_address("fd00::1") if number == 0 and _V6 in families else None
        routes = [
            Route(dst=dst, gw=gw or ip_address(hops[dst]) if not number else None) for dst in hops if dst in families
        ]
        results.append(Result(interfaces=(_pod(_ATTACHED[number].ifname),), ips=ips, routes=tuple(routes)))
    assert tuple(str(route.gw) for route in _merge(*results).routes) == expected


_interfaces = st.builds(
    Interface, name=st.sampled_from(["eth0", "net1", "net2", "cbr0"]), sandbox=st.sampled_from(["", _NETNS])
)
_results = st.builds(
    Result,
    interfaces=st.lists(_interfaces, max_size=4).map(tuple),
    ips=st.lists(
        st.builds(Address, address=st.just(ip_interface("10.0.0.5/24")), interface=st.none() | st.integers(-2, 6)),
        max_size=4,
    ).map(tuple),
)


@given(st.lists(_results, min_size=1, max_size=3), st.booleans(), st.sampled_from(VERSIONS))
def test_no_answer_can_end_the_runtimes_handler(results: list[Result], primary_only: bool, version: str) -> None:  # noqa: FBT001
    """Whatever the plugins report, every index is one of an interface, and a name in the pod is no host's."""
    merged = _merge(*results, primary_only=primary_only, version=version)
    assert all(item.interface is not None and 0 <= item.interface < len(merged.interfaces) for item in merged.ips)
    inside = {interface.name for interface in merged.interfaces if interface.sandbox}
    assert not inside & {interface.name for interface in merged.interfaces if not interface.sandbox}


def _list(name: str, *types: str) -> dict[str, Json]:
    return {"name": name, "plugins": [{"type": each} for each in types]}


@pytest.mark.parametrize(
    ("mode", "node_type", "parent", "lists", "expected"),
    [
        pytest.param("primary", "metacni", "", [], True, id="always-primary"),
        pytest.param("merged", "multus", "crio", [], False, id="always-merged"),
        pytest.param("auto", "metacni", "containerd", [], False, id="no-list-seen"),
        pytest.param("auto", "multus", "containerd", [], True, id="multus"),
        pytest.param("auto", "multus-shim", "containerd", [], True, id="multus-shim"),
        pytest.param("auto", "metacni", "crio", [], True, id="crio"),
        pytest.param("auto", "metacni", "", [_list("node", "metacni")], False, id="alone"),
        pytest.param("auto", "metacni", "", [_list("node", "metacni", "portmap")], True, id="another-after-us"),
        pytest.param("auto", "metacni", "", [_list("node", "first", "metacni")], False, id="the-last-one"),
        pytest.param("auto", "metacni", "", [_list("other", "metacni", "portmap")], False, id="another-network"),
        pytest.param("auto", "metacni", "", [_list("node", "bridge", "portmap")], False, id="not-ours"),
        pytest.param(
            "auto",
            "metacni",
            "",
            [_list("node", "bridge"), _list("node", "metacni"), _list("node", "metacni", "portmap")],
            False,
            id="the-first-of-ours-counts",
        ),
        pytest.param(
            "auto",
            "metacni",
            "",
            [{}, {"name": "node", "plugins": "x"}, {"name": "node", "plugins": [None]}, {"name": "node"}],
            False,
            id="nonsense-is-passed-over",
        ),
    ],
)
def test_who_sees_the_primary_only(
    mode: ResultMode,
    node_type: str,
    parent: str,
    lists: list[dict[str, Json]],
    expected: bool,  # noqa: FBT001
) -> None:
    """Who would take every address for the pod's own: CRI-O, users of Multus, and plugins that come after us."""
    assert (
        merge.primary_only(
            mode=mode,
            node_type=PluginType(node_type),
            node_network=NetworkName("node"),
            parent=parent,
            lists=lists,
        )
        is expected
    )

# SPDX-License-Identifier: Apache-2.0
"""Which request reaches which network, and how."""

import pytest

from metacni.cni import config
from metacni.cni.config import NetworkList
from metacni.cni.errors import CniError
from metacni.cni.jsontext import Json
from metacni.cni.names import Namespace
from metacni.core import capabilities
from metacni.core.selection import NetworkSelection

_MAC = "02:00:5e:10:00:ff"
_RUNTIME = (
    ("K8S_POD_UID", "u1"),
    ("K8S_POD_NAME", "web"),
    ("IgnoreUnknown", "1"),
    ("FOO", "bar"),
    ("K8S_POD_INFRA_CONTAINER_ID", "c1"),
    ("K8S_POD_NAMESPACE", "team-a"),
)
_ORDERED = (
    ("IgnoreUnknown", "true"),
    ("K8S_POD_NAMESPACE", "team-a"),
    ("K8S_POD_NAME", "web"),
    ("K8S_POD_INFRA_CONTAINER_ID", "c1"),
    ("K8S_POD_UID", "u1"),
    ("FOO", "bar"),
)


def _network(*declared: list[str], **keys: Json) -> NetworkList:
    plugins: list[Json] = [
        {"type": f"p{index}", "capabilities": dict.fromkeys(names, True), **keys}
        for index, names in enumerate(declared or [[]])
    ]
    return config.parse({"name": "lan", "plugins": plugins})


def _selection(**capability_args: Json) -> NetworkSelection:
    return NetworkSelection(namespace=Namespace("team-a"), name="lan", capability_args=capability_args, cni_args={})


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param(
            {"portMappings": [{"HostPort": 80, "ContainerPort": 8080, "Protocol": "tcp", "HostIP": ""}]},
            {"portMappings": [{"hostPort": 80, "containerPort": 8080, "protocol": "tcp", "hostIP": ""}]},
            id="ports",
        ),
        pytest.param(
            {"bandwidth": {"IngressRate": 1, "EgressBurst": 2}},
            {"bandwidth": {"ingressRate": 1, "egressBurst": 2}},
            id="bandwidth",
        ),
        pytest.param(
            {"dns": {"Servers": ["10.0.0.1"], "Searches": [], "Options": []}},
            {"dns": {"servers": ["10.0.0.1"], "searches": [], "options": []}},
            id="dns",
        ),
        pytest.param(
            {"ipRanges": [[{"Subnet": "10.0.0.0/24", "RangeStart": "10.0.0.9"}]]},
            {"ipRanges": [[{"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.9"}]]},
            id="ranges-in-lists",
        ),
        pytest.param({"bandwidth": {"Custom": 1}}, {"bandwidth": {"Custom": 1}}, id="unknown-inside"),
        pytest.param(
            {"io.kubernetes.cri.pod-annotations": {"HostPort": "x"}, "cgroupPath": "/x", "Aliases": ["HostPort"]},
            {"io.kubernetes.cri.pod-annotations": {"HostPort": "x"}, "cgroupPath": "/x", "Aliases": ["HostPort"]},
            id="others-untouched",
        ),
    ],
)
def test_the_runtimes_values_get_documented_names(sent: dict[str, Json], expected: dict[str, Json]) -> None:
    """containerd sends the names of its Go structs, which only a Go plugin understands."""
    assert capabilities.documented(sent) == expected


def test_what_no_plugin_takes_is_left_out() -> None:
    """Every key counts, known to us or not, as long as some plugin of the network declares it."""
    network = _network(["portMappings"], ["aliases"])
    offered: dict[str, Json] = {"aliases": ["a"], "mac": _MAC, "portMappings": []}
    assert capabilities.granted(offered, network) == {"aliases": ["a"], "portMappings": []}


@pytest.mark.parametrize(
    ("network", "asked", "missing"),
    [
        pytest.param(_network(), {}, (), id="nothing-asked"),
        pytest.param(_network(["ips"], ["mac"]), {"ips": ["10.0.0.5"], "mac": _MAC}, (), id="by-two-plugins"),
        pytest.param(_network(["ips"]), {"ips": ["10.0.0.5"], "mac": _MAC}, ("mac",), id="one-of-two"),
        pytest.param(_network(), {"infinibandGUID": "x"}, ("infiniband-guid",), id="as-the-user-wrote-it"),
    ],
)
def test_requests_that_no_plugin_can_take(
    network: NetworkList, asked: dict[str, Json], missing: tuple[str, ...]
) -> None:
    """They are told by the annotation's keys."""
    assert capabilities.unserved(_selection(**asked), network) == missing


def test_the_standard_fails_such_an_attachment() -> None:
    """The error names network and request, and the hint says what to write."""
    capabilities.require_served(_selection(ips=["10.0.0.5"]), _network(["ips"]))
    with pytest.raises(CniError) as caught:
        capabilities.require_served(_selection(ips=["10.0.0.5"], mac=_MAC), _network())
    assert (caught.value.code, caught.value.msg) == (
        7,
        "cannot attach network 'team-a/lan': no plugin of it can take 'ips', 'mac'",
    )
    assert "capability" in caught.value.details


@pytest.mark.parametrize(
    ("incoming", "expected"),
    [
        pytest.param((), (("IgnoreUnknown", "true"),), id="none"),
        pytest.param(_RUNTIME, _ORDERED, id="ordered"),
        pytest.param((*_RUNTIME, ("FOO", "baz")), (*_ORDERED[:-1], ("FOO", "baz")), id="last-of-two-equal-keys"),
        pytest.param(
            (*_RUNTIME, ("IP", "10.0.0.5")), (*_ORDERED, ("IP", "10.0.0.5")), id="the-first-address-is-the-default's"
        ),
    ],
)
def test_arguments_of_the_default_network(
    incoming: tuple[tuple[str, str], ...], expected: tuple[tuple[str, str], ...]
) -> None:
    """The pairs of the runtime in Multus's order, each key once."""
    assert capabilities.default_arguments(incoming) == expected


@pytest.mark.parametrize(
    ("network", "asked", "extra"),
    [
        pytest.param(_network(), {}, (), id="nothing-asked"),
        pytest.param(_network(), {"mac": _MAC}, (("MAC", _MAC),), id="mac"),
        pytest.param(_network(["mac"]), {"mac": _MAC}, (("MAC", _MAC),), id="mac-beside-the-capability"),
        pytest.param(_network(), {"ips": ["10.0.0.5/24"]}, (("IP", "10.0.0.5/24"),), id="one-address"),
        pytest.param(_network(), {"ips": ["10.0.0.5", "fd00::5"]}, (), id="host-local-takes-one"),
        pytest.param(_network(["ips"]), {"ips": ["10.0.0.5"]}, (), id="the-capability-is-there"),
        pytest.param(_network([], ["ips"]), {"ips": ["10.0.0.5"]}, (), id="in-a-later-plugin"),
    ],
)
def test_arguments_of_a_selected_network(
    network: NetworkList, asked: dict[str, Json], extra: tuple[tuple[str, str], ...]
) -> None:
    """The runtime's pairs and the request's; never those about the pod's first address."""
    incoming = (*_RUNTIME, ("IP", "10.9.9.9"), ("MAC", "02:00:00:00:00:99"), ("GATEWAY", "10.9.9.1"))
    assert capabilities.selected_arguments(incoming, _selection(**asked), network) == (*_ORDERED, *extra)
    assert capabilities.further_arguments(incoming) == _ORDERED


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        pytest.param({}, {"args": {"cni": {"a": 1, "b": {"c": 2}}}}, id="none-there"),
        pytest.param({"args": None}, {"args": {"cni": {"a": 1, "b": {"c": 2}}}}, id="null"),
        pytest.param(
            {"args": {"cni": {"a": 9, "z": 0}, "org": {"k": 1}}},
            {"args": {"cni": {"a": 1, "z": 0, "b": {"c": 2}}, "org": {"k": 1}}},
            id="merged-key-by-key",
        ),
        pytest.param({"Args": {"CNI": {"z": 0}}}, {"Args": {"CNI": {"z": 0, "a": 1, "b": {"c": 2}}}}, id="any-case"),
    ],
)
def test_cni_args_reach_every_plugin(keys: dict[str, Json], expected: dict[str, Json]) -> None:
    """They are merged into what the definition says, and win."""
    network = capabilities.with_cni_args(_network([], [], **keys), {"a": 1, "b": {"c": 2}})
    assert [plugin.raw for plugin in network.plugins] == [
        {"type": "p0", "capabilities": {}, **expected},
        {"type": "p1", "capabilities": {}, **expected},
    ]


def test_no_cni_args_change_nothing() -> None:
    """A network without a request stays as it is written."""
    network = _network(args={"cni": {"a": 1}})
    assert capabilities.with_cni_args(network, {}) == network


@pytest.mark.parametrize("keys", [{"args": "x"}, {"args": {"cni": []}}], ids=["args", "args-cni"])
def test_cni_args_need_an_object(keys: dict[str, Json]) -> None:
    """What a definition has there must be what Go takes."""
    with pytest.raises(CniError, match="'p0'") as caught:
        capabilities.with_cni_args(_network(**keys), {"a": 1})
    assert caught.value.code == 6

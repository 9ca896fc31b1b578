# SPDX-License-Identifier: Apache-2.0
"""The complete plan, and its form in the journal."""

from dataclasses import replace
from ipaddress import ip_address
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacni.cni import config, jsontext
from metacni.cni.config import NetworkList
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError
from metacni.cni.jsontext import Json, Real, dumps
from metacni.cni.names import ContainerId, IfName, Namespace, NetnsPath, NetworkName, PodName, PodUid
from metacni.cni.versions import VERSIONS, Verb
from metacni.core import nodeconf, plan, selection
from metacni.core.nodeconf import NodeConfig
from metacni.core.owner import AGENT, PROGRAM, Owner
from metacni.core.plan import Attachment, Plan, Pod

_ENVIRONMENT = Environment(
    verb=Verb.ADD,
    container_id=ContainerId("c1"),
    netns=NetnsPath("/run/netns/c1"),
    ifname=IfName("eth0"),
    args=(("K8S_POD_NAME", "web"), ("K8S_POD_NAMESPACE", "team-a"), ("IP", "10.9.9.9")),
    path=("/opt/cni/bin", "/usr/lib/cni"),
)
_POD = Pod(namespace=Namespace("team-a"), name=PodName("web"), uid=PodUid("u1"))
_CBR0: dict[str, Json] = {
    "name": "cbr0",
    "cniVersion": "0.4.0",
    "plugins": [{"type": "bridge"}, {"type": "portmap", "capabilities": {"portMappings": True, "aliases": True}}],
}
_EXTRA: dict[str, Json] = {"name": "extra", "type": "dummy", "capabilities": {"portMappings": True}}
_MACVLAN: dict[str, Json] = {"name": "lan", "type": "macvlan", "capabilities": {"ips": True}}


def _node(**keys: Json) -> NodeConfig:
    body: dict[str, Json] = {"name": "node-net", "cniVersion": "1.1.0", "type": "metacni", "delegates": [_CBR0], **keys}
    return nodeconf.parse(dumps(body))


def _build(node: NodeConfig, annotation: str = "", *definitions: dict[str, Json]) -> Plan:
    return plan.build(
        environment=_ENVIRONMENT,
        node=node,
        pod=_POD,
        selections=selection.parse(annotation, Namespace("team-a")),
        definitions=[config.parse(body) for body in definitions],
        primary_only=False,
    )


def test_the_default_network_alone() -> None:
    """It gets the runtime's interface, arguments, those values that a plugin takes, and the chain's result."""
    node = _node(
        runtimeConfig={"portMappings": [{"HostPort": 80}], "aliases": ["a"], "cgroupPath": "/x"},
        prevResult={"cniVersion": "1.1.0"},
        binDir="/opt/own",
    )
    assert _build(node) == Plan(
        container_id=ContainerId("c1"),
        netns=NetnsPath("/run/netns/c1"),
        pod=_POD,
        node_network=NetworkName("node-net"),
        version="1.1.0",
        primary_only=False,
        search_path=("/opt/own", "/opt/cni/bin", "/usr/lib/cni"),
        attachments=(
            Attachment(
                network="cbr0",
                ifname=IfName("eth0"),
                config=config.parse(_CBR0),
                capability_args={"portMappings": [{"hostPort": 80}], "aliases": ["a"]},
                cni_args="IgnoreUnknown=true;K8S_POD_NAMESPACE=team-a;K8S_POD_NAME=web;IP=10.9.9.9",
                default=True,
                default_route=None,
            ),
        ),
        prev_result={"cniVersion": "1.1.0"},
    )


def test_further_delegates_of_the_node_are_not_the_default_network() -> None:
    """They count in the names, and neither the runtime's values nor the first address are for them."""
    node = _node(delegates=[_CBR0, _EXTRA], runtimeConfig={"portMappings": [{"hostPort": 80}]})
    first, extra, lan = _build(node, "lan", _MACVLAN).attachments
    assert (first.default, first.capability_args) == (True, {"portMappings": [{"hostPort": 80}]})
    assert (extra.network, extra.ifname, extra.default, extra.capability_args) == ("extra", "net1", False, {})
    assert extra.cni_args == "IgnoreUnknown=true;K8S_POD_NAMESPACE=team-a;K8S_POD_NAME=web"
    assert (lan.network, lan.ifname) == ("team-a/lan", "net2")


def test_a_selected_network_gets_what_the_annotation_asks() -> None:
    """Its own name, values, arguments and args.cni; nothing of the runtime's values."""
    annotation = (
        '[{"name":"lan","interface":"ext0","ips":["10.0.0.5/24"],"cni-args":{"k":1.10},"default-route":["10.0.0.1"]}]'
    )
    node = _node(runtimeConfig={"ips": ["10.8.8.8"]})
    _, lan = _build(node, annotation, _MACVLAN).attachments
    assert lan == Attachment(
        network="team-a/lan",
        ifname=IfName("ext0"),
        config=config.parse({**_MACVLAN, "args": {"cni": {"k": Real("1.10")}}}),
        capability_args={"ips": ["10.0.0.5/24"]},
        cni_args="IgnoreUnknown=true;K8S_POD_NAMESPACE=team-a;K8S_POD_NAME=web",
        default=False,
        default_route=(ip_address("10.0.0.1"),),
    )


def test_the_same_network_twice_is_two_attachments() -> None:
    """Each with its own interface."""
    found = _build(_node(), "lan,lan", _MACVLAN, _MACVLAN).attachments
    assert [(item.network, item.ifname) for item in found[1:]] == [("team-a/lan", "net1"), ("team-a/lan", "net2")]


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        pytest.param('[{"name":"lan","mac":"02:00:00:00:00:01"}]', "'mac'", id="request-no-plugin-takes"),
        pytest.param("lan@eth0", "'eth0'", id="the-default's-name"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_none(annotation: str, words: str) -> None:
    """The fault shows before anything runs."""
    with pytest.raises(CniError, match=words) as caught:
        _build(_node(), annotation, _MACVLAN)
    assert caught.value.code == 7


def test_multus_lets_a_request_pass_that_no_plugin_takes() -> None:
    """Under its type the attachment is made, by CNI_ARGS if need be, and there is something to warn of."""
    node = _node(type="multus")
    annotation = '[{"name":"lan","mac":"02:00:00:00:00:01","ips":["10.0.0.5"]}]'
    _, lan = _build(node, annotation, _MACVLAN).attachments
    assert lan.capability_args == {"ips": ["10.0.0.5"]}
    assert lan.cni_args.endswith(";MAC=02:00:00:00:00:01")
    chosen = selection.parse(annotation, Namespace("team-a"))
    networks: list[NetworkList] = [config.parse(_MACVLAN)]
    assert plan.warnings(node, chosen, networks) == (
        "network 'team-a/lan' may pass over mac: no plugin of it declares that capability",
    )
    assert plan.warnings(_node(), chosen, networks) == ()


def test_a_plugin_without_an_owner_is_a_programs() -> None:
    """As in a record from before there were owners."""
    (one,) = _build(_node()).attachments
    assert [one.owner(index) for index in range(2)] == [PROGRAM, PROGRAM]
    owned = replace(one, owners=(AGENT,))
    assert [owned.owner(index) for index in range(2)] == [AGENT, PROGRAM]


def test_the_owners_stand_in_the_journal() -> None:
    """In words, and with what kept us from it; whoever attached takes away, whatever is installed by then."""
    planned = _build(_node())
    owners = (AGENT, Owner(resident=False, why="key 'x' is not known"))
    written = plan.to_json(replace(planned, attachments=(replace(planned.attachments[0], owners=owners),)))
    (one,) = cast("list[dict[str, Json]]", written["attachments"])
    assert one["owners"] == [{"by": "agent"}, {"by": "program", "why": "key 'x' is not known"}]
    assert plan.from_json(written).attachments[0].owners == owners


def test_a_record_from_before_there_were_owners_is_read() -> None:
    """It was programs that attached it."""
    written = plan.to_json(_build(_node()))
    (one,) = cast("list[dict[str, Json]]", written["attachments"])
    del one["owners"]
    (read,) = plan.from_json(written).attachments
    assert [read.owner(index) for index in range(2)] == [PROGRAM, PROGRAM]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        pytest.param((), None, id="a-call-by-hand"),
        pytest.param((("K8S_POD_NAMESPACE", "team-a"), ("K8S_POD_NAME", "")), None, id="no-name"),
        pytest.param((("K8S_POD_NAMESPACE", ""), ("K8S_POD_NAME", "web")), None, id="no-namespace"),
        pytest.param(
            (("K8S_POD_NAMESPACE", "team-a"), ("K8S_POD_NAME", "web"), ("K8S_POD_UID", "u1")), _POD, id="in-full"
        ),
        pytest.param(
            (("K8S_POD_NAMESPACE", "team-a"), ("K8S_POD_NAME", "web.0")),
            Pod(namespace=Namespace("team-a"), name=PodName("web.0"), uid=PodUid("")),
            id="no-uid",
        ),
    ],
)
def test_the_pod_is_told_by_the_arguments(args: tuple[tuple[str, str], ...], expected: Pod | None) -> None:
    """A call without a pod's name is for none."""
    assert plan.pod_of(args) == expected


@pytest.mark.parametrize(
    ("namespace", "name"),
    [pytest.param("../x", "web", id="namespace"), pytest.param("team-a", "a/b", id="name")],
)
def test_a_pod_with_a_bad_name_is_refused(namespace: str, name: str) -> None:
    """The names go into the paths of the API; the fault is the environment's."""
    with pytest.raises(CniError) as caught:
        plan.pod_of((("K8S_POD_NAMESPACE", namespace), ("K8S_POD_NAME", name)))
    assert caught.value.code == 4


_texts = st.text(st.characters(codec="utf-8"), max_size=8)
_numbers: st.SearchStrategy[Json] = st.sampled_from(
    [Real("1.0e12"), Real("1.10"), Real("-0"), 10**30, 1000000000000, 0.1, -7]
)
_leaves: st.SearchStrategy[Json] = st.one_of(st.none(), st.booleans(), _numbers, _texts)
_json: st.SearchStrategy[Json] = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)
_objects: st.SearchStrategy[dict[str, Json]] = st.dictionaries(_texts, _json, max_size=3)
_names = st.from_regex(r"[a-z][a-z0-9.]{0,8}", fullmatch=True)
_capabilities: st.SearchStrategy[dict[str, Json]] = st.dictionaries(_names, st.booleans(), max_size=2)
_own_keys = ("type", "capabilities")


@st.composite
def _networks(draw: st.DrawFn) -> NetworkList:
    plugins: list[Json] = [
        {
            **{key: value for key, value in draw(_objects).items() if key.casefold() not in _own_keys},
            "type": draw(_names),
            "capabilities": dict(draw(_capabilities)),
        }
        for _ in range(draw(st.integers(1, 3)))
    ]
    switches: dict[str, Json] = {"disableCheck": draw(st.booleans()), "disableGC": draw(st.booleans())}
    return config.parse(
        {"name": draw(_names), "cniVersion": draw(st.sampled_from(VERSIONS)), "plugins": plugins, **switches}
    )


_attachments = st.builds(
    Attachment,
    network=_texts,
    ifname=_names.map(IfName),
    config=_networks(),
    capability_args=_objects,
    cni_args=_texts,
    default=st.booleans(),
    default_route=st.none() | st.lists(st.ip_addresses(), max_size=2).map(tuple),
    owners=st.lists(st.builds(Owner, resident=st.booleans(), why=_texts), max_size=3).map(tuple),
)
_plans = st.builds(
    Plan,
    container_id=_names.map(ContainerId),
    netns=_texts.map(NetnsPath),
    pod=st.none() | st.builds(Pod, namespace=_names.map(Namespace), name=_names.map(PodName), uid=_texts.map(PodUid)),
    node_network=_names.map(NetworkName),
    version=st.sampled_from(VERSIONS),
    primary_only=st.booleans(),
    search_path=st.lists(_texts, max_size=3).map(tuple),
    attachments=st.lists(_attachments, min_size=1, max_size=3).map(tuple),
    prev_result=st.none() | _objects,
)


@given(_plans)
def test_a_plan_comes_back_from_the_journal_as_it_was(given_plan: Plan) -> None:
    """Through the bytes on disk: key order, number formats and all; what it writes again is the same to the byte."""
    written = dumps(plan.to_json(given_plan))
    read = plan.from_json(jsontext.loads_object(written, "plan"))
    assert read == given_plan
    assert dumps(plan.to_json(read)) == written


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param({}, "form null", id="empty"),
        pytest.param({"form": 2}, "form 2", id="later-form"),
        pytest.param({"form": 1, "attachments": [5]}, "attachment", id="attachment"),
        pytest.param({"form": 1, "containerID": 5}, "'containerID'", id="container"),
        pytest.param({"form": 1, "attachments": [{"config": _CBR0, "defaultRoute": ["x"]}]}, "'x'", id="default-route"),
        pytest.param({"form": 1, "attachments": [{"config": _CBR0, "owners": ["agent"]}]}, "no owner", id="owner"),
        pytest.param({"form": 1, "attachments": [{"config": _CBR0, "owners": [{"by": "x"}]}]}, "no owner", id="by"),
        pytest.param({"form": 1, "attachments": [{"config": _CBR0, "owners": 5}]}, "'owners'", id="owners"),
    ],
)
def test_a_record_that_is_none_of_ours_is_refused(body: dict[str, Json], words: str) -> None:
    """Rather than guessed at."""
    with pytest.raises(CniError, match=words) as caught:
        plan.from_json(body)
    assert caught.value.code == 6

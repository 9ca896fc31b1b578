# SPDX-License-Identifier: Apache-2.0
"""The networks annotation: both forms, every key, and what bad input gets."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacni.cni.errors import CniError
from metacni.cni.jsontext import Json, dumps
from metacni.cni.names import IfName, Namespace
from metacni.core import selection
from metacni.core.selection import NetworkSelection

_POD = Namespace("team-a")


def _chosen(name: str, namespace: str = "team-a", interface: str | None = None) -> NetworkSelection:
    return NetworkSelection(
        namespace=Namespace(namespace),
        name=name,
        interface=None if interface is None else IfName(interface),
        capability_args={},
        cni_args={},
    )


def _one(**keys: Json) -> NetworkSelection:
    (found,) = selection.parse(dumps([{"name": "lan", **keys}]).decode(), _POD)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", (), id="empty"),
        pytest.param(" \n", (), id="blank"),
        pytest.param("[]", (), id="empty-list"),
        pytest.param("null", (), id="null"),
        pytest.param("lan", (_chosen("lan"),), id="name"),
        pytest.param("lan,storage", (_chosen("lan"), _chosen("storage")), id="two"),
        pytest.param("lan,lan", (_chosen("lan"), _chosen("lan")), id="the-same-twice"),
        pytest.param(
            " shared / lan @ ext0 ,\n storage ", (_chosen("lan", "shared", "ext0"), _chosen("storage")), id="blanks"
        ),
        pytest.param("lan@NET_1.a", (_chosen("lan", interface="NET_1.a"),), id="any-name-the-kernel-takes"),
        pytest.param('[{"name":"lan"}]', (_chosen("lan"),), id="json-name"),
        pytest.param('[{"NAME":"lan","NameSpace":"shared"}]', (_chosen("lan", "shared"),), id="json-any-case"),
        pytest.param('[{"name":"lan.v2"}]', (_chosen("lan.v2"),), id="json-dots"),
        pytest.param('[{"name":"lan","namespace":""}]', (_chosen("lan"),), id="json-empty-namespace"),
        pytest.param('[{"name":"lan","interface":"ext0"}]', (_chosen("lan", interface="ext0"),), id="json-interface"),
        pytest.param('[{"name":"lan","interfaceRequest":"e0"}]', (_chosen("lan", interface="e0"),), id="json-alias"),
        pytest.param(
            '[{"name":"lan","interface":"a0","interfaceRequest":"b0"}]',
            (_chosen("lan", interface="a0"),),
            id="json-alias-comes-second",
        ),
        pytest.param('[{"name":"lan","example.com/x":1,"later":{}}]', (_chosen("lan"),), id="json-unknown-keys"),
        pytest.param('[{"name":"lan","mac":null,"ips":null}]', (_chosen("lan"),), id="json-null-is-absent"),
        pytest.param('[{"name":"lan","deviceID":"","mac":""}]', (_chosen("lan"),), id="json-empty-text-is-absent"),
    ],
)
def test_both_forms_are_read(text: str, expected: tuple[NetworkSelection, ...]) -> None:
    """An annotation gives its networks in its order, in the pod's namespace unless it names another."""
    assert selection.parse(text, _POD) == expected


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        pytest.param("lan storage", 7, "'lan storage'", id="neither-form"),
        pytest.param("a/b/c", 7, "'a/b/c'", id="two-slashes"),
        pytest.param("a@b@c", 7, "'a@b@c'", id="two-ats"),
        pytest.param("lan,", 7, "empty item", id="trailing-comma"),
        pytest.param(",", 7, "empty item", id="only-a-comma"),
        pytest.param("Lan", 7, "network name 'Lan'", id="capital"),
        pytest.param("lan.v2", 7, "network name 'lan.v2'", id="dot-in-comma-form"),
        pytest.param("../lan", 7, "namespace '..'", id="dots-as-namespace"),
        pytest.param("/lan", 7, "namespace ''", id="no-namespace"),
        pytest.param("a/", 7, "network name ''", id="no-name"),
        pytest.param("Shared/lan", 7, "namespace 'Shared'", id="bad-namespace"),
        pytest.param("lan@", 7, "interface name ''", id="no-interface"),
        pytest.param("lan@a b", 7, "interface name 'a b'", id="blank-in-interface"),
        pytest.param("lan@net/1", 7, "interface name 'net/1'", id="slash-in-interface"),
        pytest.param("lan@abcdefghijklmnop", 7, "longer than 15 bytes", id="long-interface"),
        pytest.param("[", 6, "cannot decode", id="cut-json"),
        pytest.param('"lan"', 6, "not a list", id="json-text"),
        pytest.param('{"name":"lan"}', 6, "not a list", id="lone-object"),
        pytest.param('["lan"]', 6, "element 1", id="element-is-text"),
        pytest.param("[null]", 6, "element 1", id="element-is-null"),
        pytest.param('[{"name":"a"},{"name":1}]', 6, "element 2: cannot decode key 'name': 1", id="name-is-a-number"),
        pytest.param("[{}]", 7, "network name ''", id="no-json-name"),
        pytest.param('[{"name":"a/b"}]', 7, "network name 'a/b'", id="slash-in-json-name"),
        pytest.param('[{"name":"a","namespace":"x.y"}]', 7, "namespace 'x.y'", id="dot-in-namespace"),
        pytest.param('[{"name":"a","namespace":["x"]}]', 6, "'namespace': […]", id="namespace-is-a-list"),
        pytest.param('[{"name":"a","interface":"a:b"}]', 7, "interface name 'a:b'", id="colon-in-interface"),
        pytest.param('[{"name":"a","interface":7}]', 6, "'interface': 7", id="interface-is-a-number"),
        pytest.param('[{"name":"a","cni-args":"x"}]', 6, "'cni-args': \"x\"", id="cni-args-is-text"),
        pytest.param('[{"name":"a","deviceID":"0000:03:02.3"}]', 2, "'deviceID' with value", id="device"),
        pytest.param('[{"name":"a","ipam-claim-reference":"c"}]', 2, "'ipam-claim-reference' with value", id="claim"),
        pytest.param('[{"name":"a","deviceID":3}]', 6, "'deviceID': 3", id="device-is-a-number"),
        pytest.param(",".join(["lan"] * 33), 7, "33 networks", id="too-many"),
        pytest.param("[" + ",".join(['{"name":"lan"}'] * 33) + "]", 7, "33 networks", id="too-many-in-json"),
        pytest.param("a" * 65537, 7, "65537 bytes", id="too-long"),
        pytest.param("é" * 32769, 7, "65538 bytes", id="too-long-in-bytes"),
    ],
)
def test_bad_annotations_are_refused(text: str, code: int, words: str) -> None:
    """One line that names the annotation and the fault, with the code of its kind."""
    with pytest.raises(CniError) as caught:
        selection.parse(text, _POD)
    assert (caught.value.code, words in caught.value.msg) == (code, True), caught.value.msg
    assert caught.value.msg.startswith("annotation k8s.v1.cni.cncf.io/networks: ")
    assert "\n" not in caught.value.msg


def test_as_many_networks_as_allowed() -> None:
    """The limit itself is fine."""
    assert len(selection.parse(",".join(["lan"] * 32), _POD)) == 32


def test_requests_are_kept() -> None:
    """What the pod asks of a network stands under the names of capabilities, in the order of the standard."""
    asked: dict[str, Json] = {"mac": "02:00:00:00:00:01", "ips": ["10.0.0.5"], "cni-args": {"x": 1}}
    found = _one(**asked)
    assert found.capability_args == {"ips": ["10.0.0.5"], "mac": "02:00:00:00:00:01"}
    assert found.cni_args == {"x": 1}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        pytest.param({}, None, id="absent"),
        pytest.param({"default-route": []}, (), id="empty-is-not-absent"),
        pytest.param({"default-route": ["10.0.0.1"]}, (ip_address("10.0.0.1"),), id="one"),
        pytest.param(
            {"default-route": ["10.0.0.1", "fd00::1"]}, (ip_address("10.0.0.1"), ip_address("fd00::1")), id="both"
        ),
    ],
)
def test_default_route_is_read(keys: dict[str, Json], expected: tuple[object, ...] | None) -> None:
    """An absent key and an empty list are two different wishes."""
    assert _one(**keys).default_route == expected


@pytest.mark.parametrize(
    ("gateways", "words"),
    [
        pytest.param((["10.0.0.1", "10.0.0.2"],), "10.0.0.1, 10.0.0.2", id="two-in-one-element"),
        pytest.param((["10.0.0.1"], ["10.0.1.1"]), "10.0.0.1, 10.0.1.1", id="two-elements"),
        pytest.param((["fd00::1"], ["fd01::1"]), "one IPv6 gateway", id="two-of-ipv6"),
    ],
)
def test_two_gateways_of_a_family_are_refused(gateways: tuple[list[Json], ...], words: str) -> None:
    """Over all elements together one gateway of each family is possible."""
    body: list[Json] = [{"name": "lan", "default-route": each} for each in gateways]
    with pytest.raises(CniError) as caught:
        selection.parse(dumps(body).decode(), _POD)
    assert (caught.value.code, words in caught.value.msg) == (7, True)


def test_the_families_may_be_on_different_networks() -> None:
    """One IPv4 and one IPv6 gateway on two elements are fine."""
    found = selection.parse(
        '[{"name":"a","default-route":["10.0.0.1"]},{"name":"b","default-route":["fd00::1"]}]', _POD
    )
    assert [item.default_route for item in found] == [(ip_address("10.0.0.1"),), (ip_address("fd00::1"),)]


def test_annotations_without_the_key_select_nothing() -> None:
    """A pod with no networks annotation has its default network only."""
    assert selection.from_annotations({"other": "x"}, _POD) == ()
    assert selection.from_annotations({"k8s.v1.cni.cncf.io/networks": "lan"}, _POD) == (_chosen("lan"),)


def test_the_default_network_annotation_is_refused() -> None:
    """It is known and not carried out, so it fails rather than being passed over."""
    with pytest.raises(CniError) as caught:
        selection.from_annotations({"v1.multus-cni.io/default-network": "other"}, _POD)
    assert (caught.value.code, "'other'" in caught.value.msg) == (2, True)


def test_the_network_is_called_by_both_its_names() -> None:
    """Status and errors speak of namespace and name."""
    assert _chosen("lan", "shared").network == "shared/lan"


@given(st.text(max_size=80) | st.text('[]{}":,@/ abe0.-', max_size=40))
def test_no_text_whatever_breaks_it(text: str) -> None:
    """Any annotation gives selections or a CniError of code 2, 6 or 7."""
    code = 0
    try:
        selection.parse(text, _POD)
    except CniError as error:
        code = error.code
    assert code in {0, 2, 6, 7}

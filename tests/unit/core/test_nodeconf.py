# SPDX-License-Identifier: Apache-2.0
"""The node's configuration on stdin: Multus's keys, their defaults, and what is refused."""

import pytest

from metacni.cni.errors import CniError
from metacni.cni.jsontext import Json, dumps
from metacni.core import nodeconf
from metacni.core.nodeconf import NodeConfig

_CBR0: dict[str, Json] = {"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{"type": "bridge"}]}
_BASE: dict[str, Json] = {"cniVersion": "1.1.0", "name": "node-net", "type": "metacni", "delegates": [_CBR0]}


def _parse(**keys: Json) -> NodeConfig:
    return nodeconf.parse(dumps({**_BASE, **keys}))


def test_defaults_are_those_of_multus() -> None:
    """A configuration with nothing but delegates gets the folders and namespaces that Multus would use."""
    node = nodeconf.parse(dumps(_BASE))
    assert (node.name, node.type, node.version) == ("node-net", "metacni", "1.1.0")
    assert (node.conf_dir, node.bin_dir, node.multus_namespace) == (
        "/etc/cni/multus/net.d",
        "/opt/cni/bin",
        "kube-system",
    )
    assert (node.namespace_isolation, node.global_namespaces) == (False, frozenset({"default"}))
    assert (node.runtime_config, node.prev_result, node.raw) == ({}, None, _BASE)
    assert [network.name for network in node.delegates] == ["cbr0"]


def test_every_key_is_read() -> None:
    """In any letter case, as Go reads it."""
    node = _parse(
        ConfDir="/etc/nets",
        BINDIR="/opt/bin",
        namespaceisolation=True,
        globalNamespaces=" shared, ,default ",
        multusNamespace="infra",
        prevResult={"cniVersion": "1.1.0"},
        runtimeConfig={"aliases": ["a"], "portMappings": [{"HostPort": 80, "ContainerPort": 8080}]},
    )
    assert (node.conf_dir, node.bin_dir, node.multus_namespace) == ("/etc/nets", "/opt/bin", "infra")
    assert (node.namespace_isolation, node.global_namespaces) == (True, frozenset({"shared", "default"}))
    assert node.prev_result == {"cniVersion": "1.1.0"}
    assert node.runtime_config == {"aliases": ["a"], "portMappings": [{"hostPort": 80, "containerPort": 8080}]}


@pytest.mark.parametrize(
    ("own", "strict"),
    [
        pytest.param("metacni", True, id="metacni"),
        pytest.param("multus", False, id="multus"),
        pytest.param("multus-shim", False, id="shim"),
    ],
)
def test_the_type_decides_how_strict_it_is(own: str, strict: bool) -> None:  # noqa: FBT001
    """The standard holds under our own name, Multus's leniency under its names."""
    assert _parse(type=own).strict is strict


@pytest.mark.parametrize(
    ("keys", "code", "words"),
    [
        pytest.param({"name": ""}, 7, "network name", id="no-name"),
        pytest.param({"name": "../x"}, 7, "network name '../x'", id="bad-name"),
        pytest.param({"name": 5}, 6, "key 'name': 5", id="name-number"),
        pytest.param({"cniVersion": "1.2.0"}, 1, "'1.2.0'", id="version"),
        pytest.param({"type": ""}, 7, "plugin type", id="no-type"),
        pytest.param({"delegates": []}, 7, "default network", id="no-delegates"),
        pytest.param({"delegates": None}, 7, "default network", id="null-delegates"),
        pytest.param({"delegates": {}}, 6, "'delegates'", id="delegates-object"),
        pytest.param({"delegates": [None]}, 6, "delegate 0", id="delegate-null"),
        pytest.param(
            {"delegates": [_CBR0, {"type": "bridge"}]}, 7, "delegate 1: cannot take network name", id="unnamed"
        ),
        pytest.param({"delegates": [{"name": "x", "plugins": []}]}, 7, "delegate 0", id="delegate-empty"),
        pytest.param({"delegates": [{"name": "x", "type": "../sh"}]}, 7, "'../sh'", id="delegate-path"),
        pytest.param({"delegates": [{"name": "x", "type": "multus"}]}, 7, "from within metacni", id="own-type"),
        pytest.param(
            {"delegates": [{"name": "x", "type": "flannel", "delegate": {"type": "metacni"}}]},
            7,
            "from within metacni",
            id="nested-own-type",
        ),
        pytest.param({"confDir": "etc"}, 7, "not an absolute path", id="relative-conf-dir"),
        pytest.param({"binDir": 5}, 6, "'binDir': 5", id="bin-dir-number"),
        pytest.param({"namespaceIsolation": "true"}, 6, "'namespaceIsolation': \"true\"", id="flag-as-text"),
        pytest.param({"globalNamespaces": ["a"]}, 6, "'globalNamespaces'", id="namespaces-list"),
        pytest.param({"multusNamespace": "a/b"}, 7, "'a/b'", id="bad-namespace"),
        pytest.param({"runtimeConfig": []}, 6, "'runtimeConfig'", id="runtime-config-list"),
        pytest.param({"prevResult": "x"}, 6, "'prevResult'", id="prev-result-text"),
        pytest.param({"clusterNetwork": "calico"}, 2, "'clusterNetwork' with value \"calico\"", id="not-yet"),
        pytest.param({"ClusterNetwork": "calico"}, 2, "'ClusterNetwork'", id="not-yet-any-case"),
        pytest.param({"defaultNetworks": ["a"]}, 2, "'defaultNetworks'", id="not-yet-list"),
        pytest.param({"retryDeleteOnError": True}, 2, "'retryDeleteOnError'", id="not-yet-flag"),
        pytest.param({"bindir2": "/x"}, 2, "cannot use key 'bindir2': unknown", id="unknown"),
    ],
)
def test_bad_configurations_are_refused(keys: dict[str, Json], code: int, words: str) -> None:
    """With the code of the fault's kind, and naming the key, and the value of one that is known."""
    with pytest.raises(CniError) as caught:
        _parse(**keys)
    assert (caught.value.code, words in caught.value.msg) == (code, True), caught.value.msg


@pytest.mark.parametrize("own", ["multus", "multus-shim"])
def test_unknown_keys_are_ignored_under_the_names_of_multus(own: str) -> None:
    """Configurations in use hold keys that never worked."""
    assert _parse(type=own, allowTryDeleteOnErr=True, daemonSocketDir="/run/multus").type == own


@pytest.mark.parametrize("own", ["metacni", "multus"])
def test_keys_that_are_not_carried_out_may_ask_for_nothing(own: str) -> None:
    """An empty value has no effect in Multus either."""
    node = _parse(
        type=own, clusterNetwork="", defaultNetworks=[], readinessindicatorfile=None, retryDeleteOnError=False
    )
    assert node.type == own


@pytest.mark.parametrize(
    ("stdin", "code"),
    [
        pytest.param(b"", 6, id="nothing"),
        pytest.param(b"[]", 6, id="list"),
        pytest.param(b'{"name": "x"', 6, id="cut"),
        pytest.param(b'{"cniVersion":"9.9.9","type":""}', 7, id="name-before-version"),
        pytest.param(b'{"name":"x","cniVersion":"9.9.9","what":1}', 1, id="version-before-keys"),
    ],
)
def test_faults_come_in_the_order_of_every_plugin(stdin: bytes, code: int) -> None:
    """JSON, then the name, then the version, then the rest."""
    with pytest.raises(CniError) as caught:
        nodeconf.parse(stdin)
    assert caught.value.code == code


def test_a_whole_list_gets_the_hint_that_one_plugin_is_wanted() -> None:
    """Whoever calls the shim by hand has the runtime's file before them."""
    with pytest.raises(CniError) as caught:
        nodeconf.parse(dumps({"cniVersion": "1.0.0", "name": "node", "plugins": [_BASE]}))
    assert (caught.value.code, "'plugins'" in caught.value.msg, "one plugin" in caught.value.details) == (7, True, True)


def test_a_configuration_without_a_version_has_the_oldest() -> None:
    """As the library has it."""
    body = {key: value for key, value in _BASE.items() if key != "cniVersion"}
    assert nodeconf.parse(dumps(body)).version == "0.1.0"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        pytest.param({"cni.dev/valid-attachments": None}, frozenset(), id="null-is-an-empty-list"),
        pytest.param({"cni.dev/valid-attachments": []}, frozenset(), id="empty"),
        pytest.param(
            {"cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]},
            frozenset({("c1", "eth0")}),
            id="one",
        ),
        pytest.param(
            {"cni.dev/attachments": [{"containerID": "c1", "ifname": "eth0"}]},
            frozenset({("c1", "eth0")}),
            id="the-misnamed-key",
        ),
        pytest.param(
            {"cni.dev/valid-attachments": None, "cni.dev/attachments": [{"containerID": "c1", "ifname": "eth0"}]},
            frozenset({("c1", "eth0")}),
            id="either-key-keeps-it",
        ),
    ],
)
def test_what_garbage_collection_must_leave_alone(keys: dict[str, Json], expected: frozenset[tuple[str, str]]) -> None:
    """null and [] say that nothing is valid; both spellings of the key count, and are known under a strict type."""
    assert nodeconf.valid_attachments(_parse(**keys).raw) == expected


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        pytest.param({}, 7, id="absent-does-not-mean-nothing"),
        pytest.param({"cni.dev/valid-attachments": {}}, 6, id="object"),
        pytest.param({"cni.dev/valid-attachments": ["c1"]}, 6, id="text"),
        pytest.param({"cni.dev/valid-attachments": [{"containerID": "c1"}]}, 6, id="no-ifname"),
        pytest.param({"cni.dev/valid-attachments": [{"containerID": 1, "ifname": "eth0"}]}, 6, id="number"),
    ],
)
def test_a_doubtful_list_deletes_nothing(raw: dict[str, Json], code: int) -> None:
    """What is valid must be said plainly before anything else may go."""
    with pytest.raises(CniError) as caught:
        nodeconf.valid_attachments(raw)
    assert caught.value.code == code


def test_the_runtime_hands_the_annotations_over() -> None:
    """They come under their capability; None where the runtime did not send them."""
    handed: dict[str, Json] = {"io.kubernetes.cri.pod-annotations": {"a": "b"}}
    assert nodeconf.pod_annotations(_parse(runtimeConfig=handed)) == {"a": "b"}
    assert nodeconf.pod_annotations(_parse(runtimeConfig={"io.kubernetes.cri.pod-annotations": {}})) == {}
    assert nodeconf.pod_annotations(_parse()) is None


@pytest.mark.parametrize("value", ["x", {"a": 1}], ids=["text", "number-inside"])
def test_annotations_of_a_wrong_type_are_refused(value: Json) -> None:
    """An annotation is text."""
    with pytest.raises(CniError) as caught:
        nodeconf.pod_annotations(_parse(runtimeConfig={"io.kubernetes.cri.pod-annotations": value}))
    assert caught.value.code == 6


def test_plugins_are_looked_for_in_the_nodes_folder_first() -> None:
    """Then in the runtime's, each folder once."""
    assert nodeconf.search_path(_parse(), ("/usr/lib/cni", "/opt/cni/bin")) == ("/opt/cni/bin", "/usr/lib/cni")

# SPDX-License-Identifier: Apache-2.0
"""A definition's text, and the guard over what its author may write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacni.cni import config
from metacni.cni.errors import CniError
from metacni.cni.jsontext import Json, Real, dumps
from metacni.core import definition
from metacni.core.definition import Rules

_PATHS = ("/var/lib/cni", "/run/cni", "/etc/cni", "/var/log")
_STATE = "/var/lib/cni/metacni"
_ANY = Rules(allowed_paths=_PATHS, allowed_types=None, namespace="team-a", private=(_STATE,))


def _check(plugin: dict[str, Json], rules: Rules = _ANY) -> None:
    definition.check_reserved(config.parse({"name": "lan", "plugins": [{"type": "bridge"}, plugin]}), rules)


def _nested(levels: int) -> dict[str, Json]:
    body: dict[str, Json] = {"dataDir": "/etc/shadow"}
    for _ in range(levels):
        body = {"x": body}
    return {"type": "bridge", **body}


@pytest.mark.parametrize(
    ("text", "name", "types"),
    [
        pytest.param('{"cniVersion":"1.0.0","type":"macvlan"}', "lan", ["macvlan"], id="single"),
        pytest.param('{"name":"","type":"macvlan"}', "lan", ["macvlan"], id="empty-name"),
        pytest.param('{"name":null,"type":"macvlan"}', "lan", ["macvlan"], id="null-name"),
        pytest.param('{"name":"own","type":"macvlan"}', "own", ["macvlan"], id="own-name"),
        pytest.param(
            '{"name":"own","plugins":[{"type":"macvlan"},{"type":"tuning"}]}', "own", ["macvlan", "tuning"], id="list"
        ),
    ],
)
def test_a_definition_is_read(text: str, name: str, types: list[str]) -> None:
    """It is called by the definition's name unless it has its own."""
    network = definition.parse(text, nad_name="lan")
    assert (network.name, [plugin.type for plugin in network.plugins]) == (name, types)


def test_numbers_survive() -> None:
    """Putting the name in does not change a number that Python would write differently."""
    network = definition.parse('{"type":"x","big":1000000000000,"real":1.0e12}', nad_name="lan")
    assert network.plugins[0].raw == {"type": "x", "big": 1000000000000, "real": Real("1.0e12"), "name": "lan"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("not json", 6, id="not-json"),
        pytest.param("[]", 6, id="list"),
        pytest.param("null", 6, id="null"),
        pytest.param("{}", 7, id="no-type"),
        pytest.param('{"type":""}', 7, id="empty-type"),
        pytest.param('{"type":5}', 6, id="type-number"),
        pytest.param('{"type":"../../bin/sh"}', 7, id="path-in-type"),
        pytest.param('{"plugins":[]}', 7, id="no-plugins"),
        pytest.param('{"plugins":[null]}', 6, id="null-plugin"),
        pytest.param('{"plugins":[{}]}', 7, id="plugin-without-type"),
        pytest.param('{"name":"../x","type":"bridge"}', 7, id="name-that-leaves-its-folder"),
        pytest.param('{"name":7,"type":"bridge"}', 6, id="name-number"),
        pytest.param('{"cniVersion":"7","type":"bridge"}', 1, id="version"),
    ],
)
def test_bad_definitions_are_refused(text: str, code: int) -> None:
    """One line that names the definition."""
    with pytest.raises(CniError) as caught:
        definition.parse(text, nad_name="lan")
    assert (caught.value.code, caught.value.msg.startswith("definition 'lan': ")) == (code, True)
    assert "\n" not in caught.value.msg


@pytest.mark.parametrize(
    "plugin",
    [
        pytest.param({"type": "macvlan", "master": "eth0", "ipam": {"type": "host-local"}}, id="plain"),
        pytest.param({"type": "x", "args": {"cni": {"ips": ["10.0.0.5"], "logFile": "/x"}}}, id="args-cni"),
        pytest.param({"type": "x", "args": None}, id="args-null"),
        pytest.param({"type": "x", "ipam": {"type": "host-local", "dataDir": "/var/lib/cni/lan"}}, id="path-below"),
        pytest.param({"type": "x", "logFile": "/var/log"}, id="path-itself"),
        pytest.param({"type": "x", "logFile": "/var//log/./cni.log"}, id="path-normalised"),
        pytest.param({"type": "x", "logFile": "", "kubeconfig": None}, id="path-empty"),
        pytest.param({"type": "x", "filter": {"type": "hash", "runtimeConfig": 1}}, id="no-plugin's-object"),
        pytest.param({"type": "x", "ipam": {}}, id="empty-ipam"),
        pytest.param({"type": "metacni-bridge"}, id="a-delegate-of-ours"),
    ],
)
def test_what_a_definition_may_hold(plugin: dict[str, Json]) -> None:
    """Anything that is only the plugin's business."""
    _check(plugin)


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        pytest.param({"type": "x", "runtimeConfig": {}}, "'runtimeConfig'", id="runtime-config"),
        pytest.param({"type": "x", "RuntimeConfig": {}}, "'RuntimeConfig'", id="any-case"),
        pytest.param({"type": "x", "prevResult": {}}, "'prevResult'", id="prev-result"),
        pytest.param({"type": "x", "prevRe\u017fult": {}}, "key", id="long-s-folds-to-s"),
        pytest.param({"type": "x", "cni.dev/valid-attachments": []}, "'cni.dev/valid-attachments'", id="cni-dev"),
        pytest.param({"type": "x", "args": {"cni": {}, "org": {}}}, "'args'", id="args-of-others"),
        pytest.param({"type": "x", "args": []}, "'args'", id="args-list"),
        pytest.param({"type": "x", "args": {"cni": 5}}, "'args.cni'", id="args-cni-number"),
        pytest.param({"type": "x", "ipam": 5}, "'ipam'", id="ipam-number"),
        pytest.param({"type": "x", "delegate": {"IPAM": []}}, "'IPAM'", id="nested-ipam-list"),
        pytest.param({"type": "x", "delegate": {"runtimeConfig": {}}}, "'runtimeConfig'", id="delegate"),
        pytest.param({"type": "x", "Delegate": {"prevResult": 1}}, "'prevResult'", id="delegate-any-case"),
        pytest.param({"type": "x", "delegates": [{}, {"prevResult": 1}]}, "'prevResult'", id="delegates"),
        pytest.param({"type": "x", "plugins": [{"prevResult": 1}]}, "'prevResult'", id="plugins"),
        pytest.param({"type": "x", "ipam": {"prevResult": 1}}, "'prevResult'", id="ipam"),
        pytest.param({"type": "x", "a": {"b": {"delegate": {"prevResult": 1}}}}, "'prevResult'", id="deep"),
        pytest.param({"type": "metacni"}, "'type' with value \"metacni\"", id="own-type"),
        pytest.param({"type": "multus"}, "from within metacni", id="multus"),
        pytest.param({"type": "multus-shim"}, "from within metacni", id="shim"),
        pytest.param({"type": "x", "ipam": {"type": "multus"}}, "from within metacni", id="own-ipam"),
        pytest.param({"type": "x", "delegate": {"Type": "multus"}}, "from within metacni", id="own-any-case"),
        pytest.param({"type": "x", "TYPE": "multus"}, "from within metacni", id="second-spelling"),
        pytest.param({"type": "x", "any": [{"type": "metacni"}]}, "from within metacni", id="own-anywhere"),
        pytest.param({"type": "x", "ipam": {"type": "../../sh"}}, "'../../sh'", id="path-in-ipam-type"),
        pytest.param({"type": "x", "delegate": {"type": 5}}, "not a string", id="type-number"),
        pytest.param({"type": "x", "ipam": {"dataDir": "/etc/kubernetes"}}, "must lie under", id="data-dir"),
        pytest.param({"type": "x", "logFile": "/var/log/../../etc/x"}, "must lie under", id="dots"),
        pytest.param({"type": "x", "logFile": "/var/logs"}, "must lie under", id="only-a-prefix"),
        pytest.param({"type": "x", "LOGFILE": "/etc/x"}, "'LOGFILE'", id="path-any-case"),
        pytest.param({"type": "x", "log_file": "/etc/x"}, "'log_file'", id="whereabouts-log"),
        pytest.param({"type": "x", "kubeconfig": "config"}, "must lie under", id="relative"),
        pytest.param({"type": "x", "resolvConf": "/etc/resolv.conf"}, "must lie under", id="resolv-conf"),
        pytest.param({"type": "x", "daemonSocketPath": ["/x"]}, "not a string", id="path-list"),
        pytest.param({"type": "x", "dataDir": {}}, "not a string", id="path-object"),
        pytest.param(
            {"type": "x", "ipam": {"dataDir": f"{_STATE}/sandboxes"}},
            "no definition may write into this folder",
            id="path-to-the-journal",
        ),
        pytest.param(
            {"type": "x", "logFile": "/var/lib/cni//./metacni"},
            "no definition may write into this folder",
            id="path-to-our-state",
        ),
        pytest.param({"type": "x", "ipam": {"kubernetes": {"kubeconfig": "/srv/x"}}}, "'kubeconfig'", id="path-deep"),
        pytest.param({"type": "x", "logFile": "/var/log/a\0b"}, "must lie under", id="nul"),
        pytest.param(_nested(17), "nested", id="too-deep"),
        pytest.param(_nested(3), "'dataDir'", id="path-below-others"),
    ],
)
def test_what_a_definition_must_not_hold(plugin: dict[str, Json], words: str) -> None:
    """The runtime's keys, our own types, and paths of the host: in any letter case and wherever they are nested."""
    with pytest.raises(CniError) as caught:
        _check(plugin)
    assert (caught.value.code, words in caught.value.msg) == (7, True), caught.value.msg


def _rules(**allowed: frozenset[str]) -> Rules:
    spelled = {"*" if name == "others" else name.replace("_", "-"): types for name, types in allowed.items()}
    return Rules(allowed_paths=_PATHS, allowed_types=spelled, namespace="team-a", private=(_STATE,))


@pytest.mark.parametrize(
    ("rules", "plugin", "allowed"),
    [
        pytest.param(_rules(team_a=frozenset({"bridge", "vlan"})), {"type": "vlan"}, True, id="named"),
        pytest.param(_rules(others=frozenset({"bridge", "vlan"})), {"type": "vlan"}, True, id="anyone"),
        pytest.param(_rules(team_a=frozenset({"bridge"})), {"type": "vlan"}, False, id="not-named"),
        pytest.param(
            _rules(team_a=frozenset({"bridge"}), others=frozenset({"bridge", "vlan"})),
            {"type": "vlan"},
            False,
            id="own-list-replaces-anyone's",
        ),
        pytest.param(_rules(team_b=frozenset({"bridge"})), {"type": "bridge"}, False, id="nothing-for-us"),
        pytest.param(
            _rules(team_a=frozenset({"bridge"})), {"type": "bridge", "ipam": {"type": "dhcp"}}, False, id="ipam"
        ),
        pytest.param(
            _rules(team_a=frozenset({"bridge"})), {"type": "bridge", "x": {"type": "hash"}}, True, id="other-types"
        ),
    ],
)
def test_a_namespace_may_be_held_to_types(rules: Rules, plugin: dict[str, Json], allowed: bool) -> None:  # noqa: FBT001
    """Its own list replaces everyone's; a namespace that no list is for may use none."""
    try:
        _check(plugin, rules)
    except CniError as error:
        outcome: object = error.code
    else:
        outcome = True
    assert outcome == (True if allowed else 7)


def test_nothing_may_be_written_where_no_path_is_allowed() -> None:
    """An empty list of paths allows none."""
    with pytest.raises(CniError, match="must lie under nothing"):
        _check(
            {"type": "x", "logFile": "/var/log/x"},
            Rules(allowed_paths=(), allowed_types=None, namespace="team-a", private=(_STATE,)),
        )


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.sampled_from(["metacni", "/etc/x", "bridge", ""]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["type", "ipam", "delegates", "dataDir", "args", "x"]), inner, max_size=4)
        ),
        max_leaves=20,
    )
)
def test_no_structure_whatever_breaks_the_guard(value: Json) -> None:
    """Any definition passes or is refused with an error of ours; what passes holds no type of ours outside `args`."""
    code = 0
    try:
        network = definition.parse(dumps({"type": "x", "body": value}).decode(), nad_name="lan")
        definition.check_reserved(network, _ANY)
    except CniError as error:
        code = error.code
    assert code in {0, 7}

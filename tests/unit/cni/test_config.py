# SPDX-License-Identifier: Apache-2.0
"""Configurations: lists, single plugins, and the request of each plugin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacni.cni import config
from metacni.cni.config import NetworkList, PluginConfig
from metacni.cni.errors import CniError
from metacni.cni.jsontext import Json, dumps, loads_object
from metacni.cni.names import NetworkName, PluginType
from metacni.cni.versions import VERSIONS

_BRIDGE: dict[str, Json] = {"type": "bridge"}


def _plugin(raw: dict[str, Json], *capabilities: str) -> PluginConfig:
    return PluginConfig(type=PluginType(str(raw["type"])), capabilities=frozenset(capabilities), raw=raw)


def _network(*plugins: PluginConfig, version: str = "1.0.0", check: bool = False, gc: bool = False) -> NetworkList:
    return NetworkList(name=NetworkName("lan"), version=version, plugins=plugins, disable_check=check, disable_gc=gc)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({"plugins": [_BRIDGE]}, _network(_plugin(_BRIDGE)), id="list"),
        pytest.param(
            {"plugins": [_BRIDGE, {"type": "tuning"}], "disableCheck": True, "disableGC": True},
            _network(_plugin(_BRIDGE), _plugin({"type": "tuning"}), check=True, gc=True),
            id="switches",
        ),
        pytest.param(
            {"plugins": [_BRIDGE], "disableCheck": "TRUE", "disableGC": "False"},
            _network(_plugin(_BRIDGE), check=True),
            id="switches-as-words",
        ),
        pytest.param(
            {"plugins": [_BRIDGE], "DisableCheck": True, "disablecheck": True},
            _network(_plugin(_BRIDGE)),
            id="list-keys-are-exact",
        ),
        pytest.param(
            {"plugins": [_BRIDGE], "type": "x", "loadOnlyInlinedPlugins": False},
            _network(_plugin(_BRIDGE)),
            id="list-wins",
        ),
        pytest.param({"plugins": [{"TYPE": "bridge"}]}, None, id="plugin-keys-in-any-case"),
    ],
)
def test_a_list_is_read(version: str, body: dict[str, Json], expected: NetworkList | None) -> None:
    """In every version."""
    got = config.parse({"name": "lan", "cniVersion": version, **body})
    if expected is None:
        assert (got.plugins[0].type, got.plugins[0].raw) == ("bridge", {"TYPE": "bridge"})
    else:
        assert got == NetworkList(
            name=expected.name,
            version=version,
            plugins=expected.plugins,
            disable_check=expected.disable_check,
            disable_gc=expected.disable_gc,
        )


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"name": "lan", "type": "bridge", "cniVersion": "1.0.0", "mtu": 1}, id="plain"),
        pytest.param({"Name": "lan", "Type": "bridge", "CNIVersion": "1.0.0"}, id="keys-in-any-case"),
        pytest.param(
            {"name": "lan", "type": "bridge", "cniVersion": "1.0.0", "disableCheck": True, "cniVersions": ["1.1.0"]},
            id="list-keys-mean-nothing",
        ),
    ],
)
def test_a_single_plugin_is_a_list_of_one(body: dict[str, Json]) -> None:
    """Only its name and version are the list's, and there are no siblings."""
    plugin = PluginConfig(type=PluginType("bridge"), capabilities=frozenset(), raw=body)
    assert config.parse(body, [{"type": "sibling"}]) == _network(plugin)


@pytest.mark.parametrize(
    ("keys", "version"),
    [
        pytest.param({}, "0.1.0", id="none-is-the-oldest"),
        pytest.param({"cniVersion": "0.4.0", "cniVersions": ["0.3.1", "1.0.0", "9.0.0"]}, "1.0.0", id="the-highest"),
        pytest.param({"CNIVersion": "1.0.0"}, "0.1.0", id="exact-key-only"),
    ],
)
def test_a_list_runs_with_the_highest_version_it_names(keys: dict[str, Json], version: str) -> None:
    """Not newer than ours."""
    assert config.parse({"name": "lan", "plugins": [_BRIDGE], **keys}).version == version


@pytest.mark.parametrize(
    ("body", "types"),
    [
        pytest.param({"plugins": [_BRIDGE]}, ["bridge", "one", "two"], id="after-the-inlined"),
        pytest.param({}, ["one", "two"], id="siblings-alone"),
        pytest.param({"plugins": [_BRIDGE], "loadOnlyInlinedPlugins": True}, ["bridge"], id="only-inlined"),
        pytest.param({"plugins": [_BRIDGE], "loadOnlyInlinedPlugins": "true"}, ["bridge"], id="only-inlined-as-a-word"),
    ],
)
def test_siblings_follow_the_inlined_plugins(body: dict[str, Json], types: list[str]) -> None:
    """Unless the list wants only its own."""
    got = config.parse({"name": "lan", **body}, [{"type": "one"}, {"type": "two"}])
    assert [plugin.type for plugin in got.plugins] == types
    assert config.only_inlined(body) is ("loadOnlyInlinedPlugins" in body)


def test_a_capability_counts_when_it_is_true() -> None:
    """False and null are "no", and names of capabilities are exact."""
    body: dict[str, Json] = {"type": "x", "Capabilities": {"ips": True, "mac": False, "Mac": True, "aliases": None}}
    assert config.parse({"name": "lan", "plugins": [body]}).plugins[0].capabilities == {"ips", "Mac"}


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        pytest.param({"plugins": [_BRIDGE]}, 7, "cannot take network name '': empty", id="no-name"),
        pytest.param(
            {"Name": "lan", "plugins": [_BRIDGE]}, 7, "cannot take network name '': empty", id="name-in-other-case"
        ),
        pytest.param({"type": "bridge"}, 7, "cannot take network name '': empty", id="single-without-name"),
        pytest.param(
            {"name": 1, "plugins": [_BRIDGE]}, 6, "cannot decode key 'name': 1 is not a string", id="name-type"
        ),
        pytest.param(
            {"name": None, "plugins": []}, 6, "cannot decode key 'name': null is not a string", id="null-name"
        ),
        pytest.param(
            {"name": "../x", "plugins": []}, 7, "cannot take network name '../x': bad characters", id="name-path"
        ),
        pytest.param(
            {"name": "lan"},
            7,
            "network 'lan': cannot read configuration: it has neither plugins nor a type",
            id="nothing-to-run",
        ),
        pytest.param(
            {"name": "lan", "plugins": []}, 7, "network 'lan': cannot read key 'plugins': it is empty", id="no-plugins"
        ),
        pytest.param(
            {"name": "lan", "plugins": {}},
            6,
            "network 'lan': cannot decode key 'plugins': {} is not a list",
            id="no-list",
        ),
        pytest.param(
            {"name": "lan", "plugins": None},
            6,
            "network 'lan': cannot decode key 'plugins': null is not a list",
            id="null-plugins",
        ),
        pytest.param(
            {"name": "lan", "plugins": [None]},
            6,
            "network 'lan': plugin 0: cannot decode configuration: null is not an object",
            id="null-plugin",
        ),
        pytest.param(
            {"name": "lan", "plugins": [_BRIDGE, {"mtu": 1}]},
            7,
            "network 'lan': plugin 1: cannot read key 'type': missing or empty",
            id="no-type",
        ),
        pytest.param(
            {"name": "lan", "plugins": [{"type": "../x"}]},
            7,
            "network 'lan': plugin 0: cannot take plugin type '../x': not a bare file name",
            id="type-path",
        ),
        pytest.param(
            {"name": "lan", "type": 5},
            6,
            "network 'lan': cannot decode key 'type': 5 is not a string",
            id="single-type-type",
        ),
        pytest.param(
            {"name": "lan", "plugins": [{"type": "x", "capabilities": {"ips": "true"}}]},
            6,
            "network 'lan': plugin 0: cannot decode capability 'ips': \"true\" is not a boolean",
            id="capability-type",
        ),
        pytest.param(
            {"name": "lan", "plugins": [_BRIDGE], "disableCheck": "yes"},
            6,
            "network 'lan': cannot decode key 'disableCheck': \"yes\" is not a boolean",
            id="switch-word",
        ),
        pytest.param(
            {"name": "lan", "plugins": [_BRIDGE], "disableGC": 1},
            6,
            "network 'lan': cannot decode key 'disableGC': 1 is not a boolean",
            id="switch-number",
        ),
        pytest.param(
            {"name": "lan", "plugins": [_BRIDGE], "disableGC": None},
            6,
            "network 'lan': cannot decode key 'disableGC': null is not a boolean",
            id="switch-null",
        ),
        pytest.param(
            {"name": "lan", "plugins": [_BRIDGE], "cniVersion": 1.0},
            6,
            "network 'lan': cannot decode key 'cniVersion': 1.0 is not a string",
            id="version-type",
        ),
        pytest.param(
            {"name": "lan", "plugins": [_BRIDGE], "cniVersions": "1.0.0"},
            6,
            "network 'lan': cannot decode key 'cniVersions': \"1.0.0\" is not a list of strings",
            id="versions-type",
        ),
        pytest.param(
            {"name": "lan", "plugins": [_BRIDGE], "cniVersions": None},
            6,
            "network 'lan': cannot decode key 'cniVersions': null is not a list of strings",
            id="versions-null",
        ),
        pytest.param(
            {"name": "lan", "plugins": [_BRIDGE], "cniVersion": "1.0"},
            1,
            "network 'lan': cannot use CNI version '1.0': it is not supported",
            id="version-unknown",
        ),
        pytest.param(
            {"name": "lan", "type": "x", "cniVersion": "2.0.0"},
            1,
            "network 'lan': cannot use CNI version '2.0.0': it is not supported",
            id="single-version-unknown",
        ),
    ],
)
def test_a_bad_configuration_is_refused(body: dict[str, Json], code: int, message: str) -> None:
    """In one line that says where."""
    with pytest.raises(CniError) as caught:
        config.parse(body)
    assert (caught.value.code, caught.value.msg) == (code, message)


def test_only_inlined_plugins_must_exist() -> None:
    """A list that wants only its own needs the key."""
    with pytest.raises(CniError, match="loadOnlyInlinedPlugins is set") as caught:
        config.parse({"name": "lan", "loadOnlyInlinedPlugins": True}, [_BRIDGE])
    assert caught.value.code == 7


_REQUEST_LIST = _network(
    _plugin({"type": "x", "name": "own", "b": 1, "cniVersion": "0.1.0", "capabilities": {"mac": True}}, "mac"),
    version="1.1.0",
)


@pytest.mark.parametrize(
    ("runtime_config", "prev_result", "expected"),
    [
        pytest.param(
            {},
            None,
            b'{"type":"x","name":"lan","b":1,"cniVersion":"1.1.0","capabilities":{"mac":true}}',
            id="name-and-version",
        ),
        pytest.param(
            {"ips": ["10.0.0.2/24"]},
            None,
            b'{"type":"x","name":"lan","b":1,"cniVersion":"1.1.0","capabilities":{"mac":true}}',
            id="no-capability-asked-for",
        ),
        pytest.param(
            {"ips": [], "mac": "02:00:00:00:00:01"},
            {"cniVersion": "1.1.0"},
            b'{"type":"x","name":"lan","b":1,"cniVersion":"1.1.0","capabilities":{"mac":true},'
            b'"runtimeConfig":{"mac":"02:00:00:00:00:01"},"prevResult":{"cniVersion":"1.1.0"}}',
            id="all",
        ),
    ],
)
def test_a_request_has_the_runtime_keys_over_the_plugin_own(
    runtime_config: dict[str, Json], prev_result: Json, expected: bytes
) -> None:
    """In the plugin's order, what was not there at the end; no empty runtimeConfig."""
    got = config.request(
        _REQUEST_LIST.plugins[0], _REQUEST_LIST, runtime_config=runtime_config, prev_result=prev_result
    )
    assert dumps(got) == expected


def test_a_request_leaves_unknown_keys_as_they_are() -> None:
    """Order, nesting, letter case and the form of numbers."""
    text = b'{"z":1000000000000,"a":{"y":1.0e12,"b":[1.10,-0]},"ISGATEWAY":true,"type":"x",'
    text += b'"name":"lan","cniVersion":"1.0.0"}'
    body = loads_object(text, "configuration")
    network = config.parse({"name": "lan", "cniVersion": "1.0.0", "plugins": [body]})
    assert dumps(config.request(network.plugins[0], network, runtime_config={}, prev_result=None)) == text


@pytest.mark.parametrize("key", ["runtimeConfig", "RuntimeConfig", "prevResult", "PREVRESULT", "Name", "CNIVERSION"])
def test_a_plugin_cannot_bring_the_runtime_keys_itself(key: str) -> None:
    """In no spelling: Go takes the last one in the text."""
    network = _network(_plugin({"type": "x", key: {"mac": "evil"}}, "mac"))
    got = config.request(network.plugins[0], network, runtime_config={}, prev_result=None)
    assert got == {"type": "x", "name": "lan", "cniVersion": "1.0.0"}
    got = config.request(network.plugins[0], network, runtime_config={"mac": "good"}, prev_result={})
    assert got == {
        "type": "x",
        "name": "lan",
        "cniVersion": "1.0.0",
        "runtimeConfig": {"mac": "good"},
        "prevResult": {},
    }


def test_a_request_changes_nothing_of_the_network() -> None:
    """The same plugin is asked again for CHECK and DEL."""
    before = dumps(_REQUEST_LIST.plugins[0].raw)
    config.request(_REQUEST_LIST.plugins[0], _REQUEST_LIST, runtime_config={"mac": "x"}, prev_result={})
    assert dumps(_REQUEST_LIST.plugins[0].raw) == before


_RAW = st.builds(
    lambda kind, rest, caps: {**rest, "type": kind, "capabilities": caps},
    st.from_regex(r"[a-z][a-z-]{0,9}", fullmatch=True),
    st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=5)),
    st.dictionaries(st.sampled_from(["ips", "mac", "portMappings"]), st.booleans()),
)


@given(
    st.lists(_RAW, min_size=1, max_size=3),
    st.sampled_from(VERSIONS),
    st.sampled_from([True, False, "True", "false"]),
    st.booleans(),
)
def test_the_list_form_is_the_same_network(raws: list[Json], version: str, check: Json, gc: Json) -> None:
    """Also through the journal's text, and for a single plugin."""
    lists: dict[str, Json] = {
        "name": "lan",
        "cniVersion": version,
        "plugins": raws,
        "disableCheck": check,
        "disableGC": gc,
    }
    first = raws[0]
    assert isinstance(first, dict)
    for body in (lists, {**first, "name": "lan", "cniVersion": version}):
        network = config.parse(body)
        assert config.parse(loads_object(dumps(config.to_json(network)), "list")) == network

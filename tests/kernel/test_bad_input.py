# SPDX-License-Identifier: Apache-2.0
"""What bad input gets: one line with the right CNI code, nothing attached, nothing left.

Every row goes through the real shim and one agent that must survive them all. The default network is a plugin that
records its calls: a plan that cannot be carried out must not even begin.
"""

import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.conftest import run_ip
from tests.kernel.networks import bridge, macvlan, node_config, scripted
from tests.kernel.node import Node, calls_of, eventually, made_node, node_of_test

node = node_of_test

LAN = bridge("10.10.0.0/24", name="lan0")
STATE = "/var/lib/cni/metacni/sandboxes"
NESTED = scripted() | {"delegates": [{"type": "multus"}]}
DEFINITIONS: dict[str, dict[str, Any] | str] = {
    "lan": LAN,
    "no-json": "{'type': 'bridge'}",
    "no-object": "[1, 2]",
    "no-type": {"cniVersion": "1.0.0", "bridge": "lan0"},
    "unknown-type": {"cniVersion": "1.0.0", "type": "no-such-plugin"},
    "reserved-key": LAN | {"runtimeConfig": {"mac": "02:00:00:00:00:01"}},
    "reserved-spelling": LAN | {"PREVRESULT": {}},
    "reserved-prefix": LAN | {"cni.dev/valid-attachments": []},
    "reserved-args": LAN | {"args": {"org.example": 1}},
    "host-path": LAN | {"ipam": {"type": "host-local", "subnet": "10.1.0.0/24", "dataDir": "/var/lib/cni/../../etc"}},
    "our-state": LAN | {"ipam": {"type": "host-local", "subnet": "10.1.0.0/24", "dataDir": STATE}},
    "number-as-ipam": LAN | {"ipam": 5},
    "secret": LAN | {"args": {"org.example": {"password": "hunter2"}}},
    "path-as-type": {"cniVersion": "1.0.0", "type": "../bin/bridge"},
    "path-as-ipam": LAN | {"ipam": {"type": "/bin/true"}},
    "own-type": {"cniVersion": "1.0.0", "type": "metacni", "delegates": []},
    "own-ipam": LAN | {"ipam": {"type": "multus-shim"}},
    "own-nested": NESTED,
    "no-plugins": {"cniVersion": "1.0.0", "plugins": []},
    "null-plugin": {"cniVersion": "1.0.0", "plugins": [None]},
    "bad-version": LAN | {"cniVersion": "1.0"},
    "bad-name": LAN | {"name": "../lan"},
    "empty": "",
}
MANY = ",".join(f"lan@if{number}" for number in range(33))
LONG = "[" + " " * 65_536 + "]"

BAD_ANNOTATIONS = [
    pytest.param('{"name": "lan"}', 6, "not a list", id="neither form: an object"),
    pytest.param("lan;storage", 7, "not a DNS label", id="neither form: no commas"),
    pytest.param('["lan"]', 6, "not an object", id="neither form: a list of names"),
    pytest.param('[{"name": "lan"', 6, "", id="neither form: JSON cut short"),
    pytest.param("lan,,lan", 7, "empty item", id="an empty item"),
    pytest.param('[{"name": 5}]', 6, "name", id="name of the wrong type"),
    pytest.param('[{"name": "lan", "ips": "10.10.0.9"}]', 6, "ips", id="ips of the wrong type"),
    pytest.param('[{"name": "lan", "mac": 2}]', 6, "mac", id="mac of the wrong type"),
    pytest.param('[{"name": "lan", "default-route": "10.10.0.1"}]', 6, "default-route", id="gateway of the wrong type"),
    pytest.param('[{"name": "lan", "portMappings": {}}]', 6, "portMappings", id="port mappings of the wrong type"),
    pytest.param('[{"name": "lan", "bandwidth": []}]', 6, "bandwidth", id="bandwidth of the wrong type"),
    pytest.param('[{"name": "lan", "cni-args": []}]', 6, "cni-args", id="cni-args of the wrong type"),
    pytest.param('[{"name": "lan", "ips": ["10.10.0.900"]}]', 7, "10.10.0.900", id="no address"),
    pytest.param('[{"name": "lan", "mac": "01:00:5e:00:00:01"}]', 7, "01:00:5e", id="a group's MAC"),
    pytest.param('[{"name": "lan", "mac": "02:00:00:00:00:01"}]', 7, "'mac'", id="a request that nobody can take"),
    pytest.param('[{"name": "lan", "deviceID": "0000:00:1f.6"}]', 2, "deviceID", id="a key not carried out"),
    pytest.param("LAN", 7, "not a DNS label", id="bad network name"),
    pytest.param('[{"name": "lan/../x"}]', 7, "not a DNS subdomain", id="bad network name in JSON"),
    pytest.param("de_mo/lan", 7, "namespace", id="bad namespace"),
    pytest.param('[{"name": "lan", "namespace": "../demo"}]', 7, "namespace", id="bad namespace in JSON"),
    pytest.param("lan@a:b", 7, "a:b", id="bad interface name"),
    pytest.param("lan@abcdefghijklmnop", 7, "15 bytes", id="interface name too long"),
    pytest.param('[{"name": "lan", "interface": "a/b"}]', 7, "a/b", id="bad interface name in JSON"),
    pytest.param("lan@lo", 7, "'lo'", id="the loopback's name"),
    pytest.param("lan@net%d", 7, "'%'", id="a pattern for the kernel"),
    pytest.param('[{"name": "lan", "interface": "\\u001b[31m"}]', 7, "printed", id="a name that colours terminals"),
    pytest.param("lan@eth0", 7, "'eth0'", id="the default network's interface"),
    pytest.param("lan@x,lan@x", 7, "'x'", id="the same interface twice"),
    pytest.param("lan,lan@net1", 7, "'net1'", id="a number's name taken"),
    pytest.param("lan,gone", 7, "'demo/gone'", id="a missing definition"),
    pytest.param("other/lan", 7, "'other/lan'", id="a definition of another namespace that is missing"),
    pytest.param("lan,no-json", 6, "demo/no-json", id="configuration that is no JSON"),
    pytest.param("lan,no-object", 6, "demo/no-object", id="configuration that is no object"),
    pytest.param("lan,no-type", 7, "demo/no-type", id="no type"),
    pytest.param("lan,unknown-type", 7, "'no-such-plugin'", id="unknown type"),
    pytest.param("lan,reserved-key", 7, "runtimeConfig", id="reserved key"),
    pytest.param("lan,reserved-spelling", 7, "PREVRESULT", id="reserved key in another case"),
    pytest.param("lan,reserved-prefix", 7, "cni.dev/", id="reserved prefix"),
    pytest.param("lan,reserved-args", 7, "args", id="reserved part of args"),
    pytest.param("lan,host-path", 7, "dataDir", id="host path outside what is allowed"),
    pytest.param("lan,our-state", 7, "no definition may write into this folder", id="the journal as a lease folder"),
    pytest.param("lan,number-as-ipam", 7, "'ipam'", id="an IPAM that is no object"),
    pytest.param("lan,secret", 7, "value {…}", id="a value that may be secret"),
    pytest.param("lan,path-as-type", 7, "../bin/bridge", id="a path in the type"),
    pytest.param("lan,path-as-ipam", 7, "/bin/true", id="a path in the IPAM's type"),
    pytest.param("lan,own-type", 7, "metacni", id="our own type"),
    pytest.param("lan,own-ipam", 7, "multus-shim", id="our own type as IPAM"),
    pytest.param("lan,own-nested", 7, "multus", id="our own type nested"),
    pytest.param("lan,no-plugins", 7, "plugins", id="plugins: []"),
    pytest.param("lan,null-plugin", (6, 7), "plugin 0", id="plugins: [null]"),
    pytest.param("lan,bad-version", 1, "1.0", id="unknown version"),
    pytest.param("lan,bad-name", 7, "../lan", id="a path in the network's name"),
    pytest.param("lan,empty", 7, "'empty'", id="an empty spec and no file on the node"),
    pytest.param(MANY, 7, "33", id="more than 32 networks"),
    pytest.param(LONG, 7, "65538", id="over 64 KiB"),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One node for all rows: its agent must survive every one of them."""
    with made_node(tmp_path_factory.mktemp("bad")) as made:
        for name, body in DEFINITIONS.items():
            made.define(name, body)
        made.config["delegates"] = [scripted(name="pod-network", record=str(made.root / "calls"))]
        made.start()
        yield made


def require_untouched(node: Node) -> None:
    """Nothing ran, nothing is attached, nothing is left."""
    assert calls_of(node.root / "calls") == []
    assert node.left() == []


@pytest.mark.parametrize(("annotation", "code", "said"), BAD_ANNOTATIONS)
def test_a_bad_annotation_or_definition_begins_nothing(
    shared: Node, annotation: str, code: int | tuple[int, ...], said: str
) -> None:
    """The whole plan is settled before the first plugin runs, so one bad network of two starts none."""
    pod = shared.pod(annotation)
    answer = shared.call("ADD", pod)
    assert answer.code in (code if isinstance(code, tuple) else (code,)), answer.message
    assert said in answer.message
    assert pod.name in answer.message
    assert len(answer.message) < 1000
    assert pod.addresses() == {}
    require_untouched(shared)
    shared.delete(pod)  # which the runtime sends after a failed ADD
    require_untouched(shared)
    pod.vanish()


BAD_VARIABLES = [
    pytest.param({"containerid": "x" * 300}, 4, "200", id="a sandbox id of 300 characters"),
    pytest.param({"containerid": "../x"}, 4, "container id", id="a sandbox id that is a path"),
    pytest.param({"containerid": ""}, 4, "CNI_CONTAINERID", id="no sandbox id"),
    pytest.param({"netns": "", "ifname": ""}, 4, "CNI_NETNS,CNI_IFNAME", id="two variables missing"),
    pytest.param({"ifname": "a/b"}, 4, "a/b", id="bad CNI_IFNAME"),
    pytest.param({"args": "K8S_POD_NAME"}, 4, "CNI_ARGS", id="CNI_ARGS without a value"),
    pytest.param({"netns": "/run/netns/none"}, 4, "/run/netns/none", id="no such namespace"),
    pytest.param({"netns": "/etc/passwd"}, 8, "no network namespace", id="a file that is no namespace"),
    pytest.param({"netns": "/proc/self/ns/net"}, 8, "node's own", id="the node's own namespace"),
    pytest.param({"command": "JOIN"}, 4, "JOIN", id="unknown command"),
]


@pytest.mark.parametrize(("variables", "code", "said"), BAD_VARIABLES)
def test_bad_variables_begin_nothing(shared: Node, variables: dict[str, Any], code: int, said: str) -> None:
    """A call that makes no sense is answered, with the code of a bad environment or namespace."""
    pod = shared.pod("lan")
    answer = shared.call("ADD", pod, **variables)
    assert answer.code == code, answer.message
    assert said in answer.message
    assert pod.addresses() == {}
    require_untouched(shared)
    pod.vanish()


BAD_STDIN = [
    pytest.param({"stdin": "{"}, 6, id="no JSON"),
    pytest.param({"stdin": ""}, 6, id="nothing"),
    pytest.param({"stdin": " " * 5_000_000}, 5, id="more than 4 MiB"),
    pytest.param({"body": node_config() | {"name": ""}}, 7, id="no name"),
    pytest.param({"body": node_config() | {"name": "a/b"}}, 7, id="bad name"),
    pytest.param({"body": node_config() | {"cniVersion": "9.0.0"}}, 1, id="unknown version"),
    pytest.param({"body": node_config() | {"delegates": []}}, 7, id="no delegates"),
    pytest.param(
        {"body": node_config() | {"delegates": [{"name": "x", "type": "multus"}]}}, 7, id="ourselves below us"
    ),
    pytest.param({"body": node_config() | {"clusterNetwork": "x"}}, 2, id="a key of Multus that is not carried out"),
    pytest.param({"body": node_config() | {"delegate": []}}, 2, id="a misspelt key"),
]


@pytest.mark.parametrize(("given", "code"), BAD_STDIN)
def test_a_bad_node_configuration_begins_nothing(shared: Node, given: dict[str, Any], code: int) -> None:
    """What stands on stdin is judged before anything else happens."""
    pod = shared.pod("lan")
    answer = shared.call("ADD", pod, **given)
    assert answer.code == code, answer.message
    assert pod.addresses() == {}
    require_untouched(shared)
    pod.vanish()


def test_a_call_for_a_pod_that_was_made_again_is_told_to_try_again(node: Node) -> None:
    """The name is the same, the UID is not: the annotation is another pod's."""
    node.define("lan", LAN)
    old = node.pod("lan", uid="u-old")
    new = node.pod("lan", uid="u-new")
    new.name = old.name
    node.define_pod(new)
    node.start()
    answer = node.call("ADD", old)
    assert answer.code == 11
    assert "u-new" in answer.message
    assert "u-old" in answer.message
    assert node.left(old, new) == []
    node.add(new)
    node.delete(new)
    assert node.left(old, new) == []


BAD_DELEGATES = [
    pytest.param("nothing", 6, "printed no result", id="prints nothing"),
    pytest.param("prose", 6, "printed 'all is well", id="prints prose"),
    pytest.param("flood", 999, "printed more than 1048576 bytes", id="prints 10 MB"),
    pytest.param("crash", 999, "died of SIGSEGV", id="dies by a signal"),
    pytest.param("fail", 105, "it was told to fail", id="fails with a code of its own"),
]


@pytest.mark.parametrize(("behaviour", "code", "said"), BAD_DELEGATES)
def test_a_bad_delegate_third_of_three_leaves_nothing(node: Node, behaviour: str, code: int, said: str) -> None:
    """What was attached before it is taken back, last first, and it gets its own DEL, too."""
    record = node.root / "calls"
    node.define("lan", LAN)
    node.define("storage", macvlan("10.20.0.0/24"))
    node.define("bad", scripted(script={"ADD": behaviour}, record=str(record)))
    node.start()
    pod = node.pod("lan,storage,bad")
    answer = node.call("ADD", pod)
    assert answer.code == code, answer.message
    for word in (said, pod.name, "demo/bad", "net3", "scripted"):
        assert word in answer.message
    assert len(answer.message) < 1000
    assert node.left(pod) == []
    assert [call["env"]["CNI_COMMAND"] for call in calls_of(record)] == ["ADD", "DEL"]
    node.delete(pod)
    assert node.left(pod) == []


def test_a_grandchild_that_holds_the_pipes_holds_nobody(node: Node) -> None:
    """A plugin is done when its first process has ended, whoever still has its stdout open (decision 2)."""
    node.define("bad", scripted(script={"ADD": "orphan"}))
    node.start()
    pod = node.pod("bad")
    answer = node.call("ADD", pod)
    assert answer.status == 0
    assert answer.seconds < 1.5
    node.delete(pod)
    assert node.left(pod) == []
    eventually(lambda: len(node.host.processes()) == 1)  # the agent; the grandchild has gone


def test_delegates_that_never_end_are_killed_and_named(node: Node) -> None:
    """At the deadline the plugin's whole group goes: on STATUS after 2 s, on DEL after 25, on ADD after 60."""
    record = node.root / "calls"
    node.config = node_config("1.1.0")
    node.config["delegates"][0] = scripted("1.1.0", name="pod-network", script={"STATUS": "hang"})
    node.define("bad", scripted(script={"ADD": "hang"}, record=str(record)))
    node.define("worse", scripted(script={"DEL": "hang"}, record=str(record)))
    node.define("lan", LAN)
    node.start()
    adding, deleting = node.pod("lan,bad"), node.pod("lan,worse")
    node.add(deleting)
    add, delete = node.popen("ADD", adding), node.popen("DEL", deleting)
    status = node.call("STATUS")
    assert status.code == 11
    assert 2 <= status.seconds < 4
    deleted = delete.answer(40)
    assert deleted.code == 11
    assert "demo/worse" in deleted.message
    assert 25 <= deleted.seconds < 30
    assert "net1" not in deleting.addresses()  # the other attachments went all the same
    added = add.answer(70)
    assert added.code == 11
    assert "demo/bad" in added.message
    assert 60 <= added.seconds < 66
    assert node.left(adding) == [f"record {deleting.sandbox}", f"pending {deleting.sandbox}"]
    assert not [call["pid"] for call in calls_of(record) if runs(call["pid"])]
    assert len(node.host.processes()) == 1, "the agent alone: no grandchild is left"


def runs(pid: int) -> bool:
    """Whether such a process exists."""
    return Path(f"/proc/{pid}").exists()


HEADER = struct.Struct("<HBBII")
CALL = 1
BAD_FRAMES = [
    pytest.param(HEADER.pack(0x4D43, 9, CALL, 0, 0), "version 9", id="another version"),
    pytest.param(HEADER.pack(0x4D43, 1, CALL, 0, 0xFFFFFFFF), "limit", id="too long"),
    pytest.param(HEADER.pack(0x4D43, 1, 99, 0, 0), "type 99", id="unknown type"),
    pytest.param(HEADER.pack(0x4D43, 1, CALL, 0, 3) + b"\xff\xff\xff", "fill it exactly", id="a field that is cut"),
    pytest.param(b"GET / HTTP/1.1\r\n\r\n", "starts with", id="no frame at all"),
    pytest.param(HEADER.pack(0x4D43, 1, CALL, 0, 100)[:7], None, id="cut in its header"),
    pytest.param(HEADER.pack(0x4D43, 1, CALL, 0, 100) + b"x" * 40, None, id="cut in its payload"),
]


@pytest.mark.parametrize(("data", "said"), BAD_FRAMES)
def test_a_bad_frame_is_answered_and_the_agent_goes_on(shared: Node, data: bytes, said: str | None) -> None:
    """Whatever arrives on the socket, the next call is served."""
    with connected(shared) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    if said is None:
        assert answer == b""
    else:
        assert HEADER.unpack_from(answer)[3] == 0
        body = json.loads(answer[answer.index(b"{") : answer.rindex(b"}") + 1])
        assert said in body["msg"]
    assert shared.call("DEL", containerid="x", ifname="eth0").status == 0
    require_untouched(shared)


def test_a_peer_that_says_nothing_holds_nobody_up(shared: Node) -> None:
    """A connection that never sends its call is not waited for, and is dropped in the end."""
    with connected(shared) as client:
        client.sendall(b"CM")
        begin = time.monotonic()
        assert shared.call("DEL", containerid="x", ifname="eth0").status == 0
        assert time.monotonic() - begin < 2


def test_only_root_may_call(shared: Node) -> None:
    """The socket is root's alone, and a peer of another user is refused even where its mode was opened."""
    path = shared.run / "cni.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o666)
    path.parent.chmod(0o755)
    try:
        client = connected(shared, user=65534)
    finally:
        path.chmod(0o600)
        path.parent.chmod(0o700)
    with client:
        assert client.recv(1) == b""
    assert "runs as UID 65534" in shared.log()


def connected(node: Node, *, user: int = 0) -> socket.socket:
    """Connect to the agent; by the folder's descriptor, because the path may be longer than a socket's may be."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    folder = os.open(node.run, os.O_PATH)
    os.seteuid(user)
    try:
        client.connect(f"/proc/self/fd/{folder}/cni.sock")
    finally:
        os.seteuid(0)
        os.close(folder)
    return client


def test_nothing_of_the_rows_reached_the_node(shared: Node) -> None:
    """No bridge of a refused network was made, whatever order the rows came in."""
    names = {one["ifname"] for one in run_ip(shared.host, "link")}
    assert names == {"lo", "eth1", "eth1-wire"}

# SPDX-License-Identifier: Apache-2.0
"""Delegates of our own in the agent: which code serves what, that whoever attached takes away, and calls from within.

What a delegate does to the kernel is compared with the reference in tests/contract.
"""

import json
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import parts
from tests.kernel.call import Answer
from tests.kernel.conftest import run_ip
from tests.kernel.networks import bridge, macvlan, scripted
from tests.kernel.node import Node, Pod, eventually, made_node, node_of_test

node = node_of_test
SETTINGS = {"auto": "auto", "none": "none"}


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Node]:
    """A node that has no plugin at all."""
    (tmp_path / "none").mkdir()
    with made_node(tmp_path, tmp_path / "none") as made:
        yield made


def owners(node: Node, pod: Pod) -> list[list[dict[str, str]]]:
    """Who made each attachment, plugin by plugin, as the journal has it."""
    return [one["owners"] for one in node.file_of(pod, "plan")["attachments"]]


def watched(node: Node, kind: str) -> Callable[[], list[str]]:
    """Have a reference plugin note its verbs; what it noted so far."""
    noted = node.root / f"{kind}.verbs"
    node.program(kind, f'#!/bin/sh\necho $CNI_COMMAND >>{noted}\nexec {parts.PLUGINS / kind} "$@"\n')
    return lambda: noted.read_text().split() if noted.exists() else []


def checked(node: Node, pod: Pod, result: Mapping[str, Any]) -> Answer:
    """CHECK, with the result of the ADD as a runtime hands it over."""
    return node.call("CHECK", pod, body=node.config | {"binDir": str(node.bin), "prevResult": result})


def test_a_node_without_any_plugin_attaches_and_detaches(bare: Node) -> None:
    """Bridges with host-local need no program: not to attach, not to check, not to take away."""
    bare.define("lan", bridge("10.10.0.0/24 fd10::/64", name="lan0"))
    bare.start()
    pod, other = bare.pod("lan,lan"), bare.pod("lan")
    result = bare.add(pod)
    bare.add(other)
    assert owners(bare, pod) == [[{"by": "agent"}]] * 3
    assert sorted(pod.addresses()) == ["eth0", "net1", "net2"]
    other.ping("net1", pod.addresses()["net2"][0])
    assert checked(bare, pod, result).status == 0
    bare.delete(pod)
    bare.delete(other)
    assert bare.left(pod, other) == []


def test_a_key_that_we_do_not_know_is_left_to_the_program_and_the_reason_is_kept(node: Node) -> None:
    """The program may know it; the journal and the log say why, the log once."""
    node.define("lan", bridge("10.10.0.0/24", name="lan0", newKey=1))
    node.start()
    pods = [node.pod("lan"), node.pod("lan")]
    for pod in pods:
        node.add(pod)
    why = "key 'newKey' (1) is not known"
    assert owners(node, pods[0]) == [[{"by": "agent"}], [{"by": "program", "why": why}]]
    assert node.log().count(f"plugin 'bridge' is left to a program: {why}") == 1
    for pod in pods:
        node.delete(pod)
    assert node.left(*pods) == []


def test_a_missing_program_is_told_together_with_the_reason_why_it_is_needed(bare: Node) -> None:
    """Whoever reads it must not wonder why the node's other bridges work."""
    bare.define("lan", bridge("10.10.0.0/24", name="lan0", newKey=1))
    bare.start()
    pod = bare.pod("lan")
    answer = bare.call("ADD", pod)
    assert answer.code == 7
    assert "cannot find plugin 'bridge'" in answer.message
    assert "the agent leaves it to a program: key 'newKey' (1) is not known" in answer.message
    assert bare.left(pod) == []


def test_a_type_of_the_list_is_ours_whatever_it_holds(bare: Node) -> None:
    """With `resident: [bridge]` what we cannot carry out is refused, not left to anybody; nothing has been touched."""
    bare.define("lan", bridge("10.10.0.0/24", name="lan0", newKey=1))
    bare.start(resident=["bridge"])
    pod = bare.pod("lan")
    answer = bare.call("ADD", pod)
    assert answer.code == 2
    assert "cannot serve plugin 'bridge' in the agent: key 'newKey' (1) is not known" in answer.message
    assert bare.left(pod) == []
    plain = bare.pod()
    bare.add(plain)
    bare.delete(plain)
    assert bare.left(pod, plain) == []


@pytest.mark.parametrize(("before", "after"), [("auto", "none"), ("none", "auto")])
@pytest.mark.parametrize("verb", ["DEL", "GC"])
def test_whoever_attached_takes_away(node: Node, before: str, after: str, verb: str) -> None:
    """Switched over while pods live: CHECK, DEL and GC go to the code that made the attachment, and nothing is lost."""
    noted = watched(node, "bridge")
    node.define("lan", bridge("10.10.0.0/24", name="lan0", version="1.1.0"))
    node.config = node.config | {"cniVersion": "1.1.0"}
    node.start(resident=before)
    old, stays = node.pod("lan"), node.pod("lan")
    result = node.add(old)
    node.add(stays)
    node.stop()
    node.start(resident=after)
    young = node.pod("lan")
    node.add(young)
    by_program = {"auto": "agent", "none": "program"}
    assert [owners(node, pod)[1][0]["by"] for pod in (old, young)] == [by_program[before], by_program[after]]
    assert checked(node, old, result).status == 0
    if verb == "DEL":
        node.delete(old)
    else:
        living = [{"containerID": pod.sandbox, "ifname": "eth0"} for pod in (stays, young)]
        body = node.config | {"binDir": str(node.bin), "cni.dev/valid-attachments": living}
        assert node.call("GC", body=body).status == 0
    assert sorted(node.records()) == sorted([stays.sandbox, young.sandbox])
    assert len(node.leases()) == 4
    for pod in (stays, young):
        assert sorted(pod.addresses()) == ["eth0", "net1"]
        node.delete(pod)
    assert node.left(old, stays, young) == []
    program = {"ADD": noted().count("ADD"), "CHECK": noted().count("CHECK")}
    assert program == ({"ADD": 2, "CHECK": 0} if before == "auto" else {"ADD": 4, "CHECK": 2})


def test_an_attachment_of_ours_is_taken_away_by_an_agent_of_resident_none_with_no_program_there(bare: Node) -> None:
    """The owner is on record: what is configured today plays no part."""
    bare.start()
    pod = bare.pod()
    bare.add(pod)
    bare.stop(signal.SIGKILL)
    bare.start(resident="none")
    bare.delete(pod)
    assert bare.left(pod) == []


@pytest.mark.parametrize("verb", ["ADD", "DEL"])
def test_a_foreign_ipam_of_a_delegate_runs_as_a_program(node: Node, verb: str) -> None:
    """It is found before anything runs, gets the delegate's whole configuration, and a failure leaves nothing."""
    record = node.root / "calls"
    answer = {"cniVersion": "1.0.0", "ips": [{"address": "10.10.0.7/24"}]}
    script = f"#!/bin/sh\n[ $CNI_COMMAND = ADD ] && echo '{json.dumps(answer)}'\necho $CNI_COMMAND >>{record}\nexit 0\n"
    node.define("lan", bridge("10.10.0.0/24", name="lan0") | {"ipam": {"type": "far"}})
    node.define("late", scripted(script={"ADD": "fail"}))
    node.start()
    pod = node.pod("lan")
    assert "cannot find plugin 'far'" in node.call("ADD", pod).message
    node.program("far", script)
    node.add(pod)
    assert owners(node, pod)[1] == [{"by": "agent"}]
    assert pod.addresses()["net1"] == ["10.10.0.7/24"]
    if verb == "DEL":
        node.delete(pod)
        assert record.read_text().split() == ["ADD", "DEL"]
    else:  # an ADD that fails after it
        node.delete(pod)
        failing = node.pod("lan,late")
        assert node.call("ADD", failing).code == 105
        assert record.read_text().split() == ["ADD", "DEL", "ADD", "DEL"]
        assert node.left(failing) == []
    assert node.left(pod) == []


def test_a_killed_shim_under_a_foreign_ipam_of_a_delegate_leaves_nothing(node: Node) -> None:
    """The delegate undoes itself, then the executor undoes the rest; the runtime never calls again."""
    record = node.root / "calls"
    node.program("far", f"#!/bin/sh\necho $CNI_COMMAND >>{record}\n[ $CNI_COMMAND = DEL ] || exec sleep 600\n")
    node.define("lan", bridge("10.10.0.0/24", name="lan0") | {"ipam": {"type": "far"}})
    node.start()
    pod = node.pod("lan")
    call = node.popen("ADD", pod)
    eventually(record.exists)
    call.process.kill()
    call.answer()
    eventually(lambda: node.left(pod) == [])
    assert record.read_text().split() == ["ADD", "DEL"]
    assert "an ADD was undone whose shim was killed" in node.log()


def nested(node: Node, name: str, verb: str, pod: Pod | None, body: Mapping[str, Any], **more: str) -> Any:
    """A call of the shim under one of our delegates' names, as a runtime or a plugin makes it."""
    return node.popen(verb, pod, body=dict(body), program=name, **more)


BRIDGE = bridge("10.10.0.0/24", name="lan0", version="1.1.0") | {"name": "lan", "type": "metacni-bridge"}


def test_the_shim_under_a_delegates_name_is_that_plugin(bare: Node) -> None:
    """A runtime may put `metacni-bridge` into a list of its own: all verbs, and the journal knows nothing of it."""
    bare.start()
    pod = bare.pod()
    result = nested(bare, "metacni-bridge", "ADD", pod, BRIDGE).answer().result
    assert pod.addresses() == {"eth0": [result["ips"][0]["address"]]}
    assert bare.records() == []
    assert nested(bare, "metacni-bridge", "CHECK", pod, BRIDGE | {"prevResult": result}).answer().status == 0
    assert nested(bare, "metacni-bridge", "STATUS", None, BRIDGE).answer().status == 0
    valid = [{"containerID": pod.sandbox, "ifname": "eth0"}]
    assert (
        nested(bare, "metacni-bridge", "GC", None, BRIDGE | {"cni.dev/valid-attachments": valid}).answer().status == 0
    )
    assert len(bare.leases()) == 1
    run_ip(pod.namespace, "link", "set", "eth0", "down")
    run_ip(pod.namespace, "addr", "flush", "dev", "eth0")
    assert nested(bare, "metacni-bridge", "CHECK", pod, BRIDGE | {"prevResult": result}).answer().status == 1
    for _ in range(2):
        assert nested(bare, "metacni-bridge", "DEL", pod, BRIDGE).answer().status == 0
    assert bare.left(pod) == []


def test_a_name_of_no_delegate_is_refused(bare: Node) -> None:
    """A link to the shim under any other name is a mistake of whoever made it."""
    bare.start()
    (bare.bin / "metacni-nosuch").symlink_to("metacni")
    answer = nested(bare, "metacni-nosuch", "STATUS", None, BRIDGE).answer()
    assert answer.code == 7
    assert "cannot serve 'metacni-nosuch'" in answer.message


def test_foreign_plugins_that_call_our_ipam_from_within_an_add_never_wait_for_it_in_vain(node: Node) -> None:
    """32 at once, four at a time, each with its sandbox's lock while its plugin calls the agent again (decision 14)."""
    ipam = {"type": "metacni-host-local", "ranges": [[{"subnet": "10.20.0.0/24"}]]}
    node.define("storage", macvlan("10.20.0.0/24") | {"ipam": ipam})
    node.start(resident="none", limits={"add": 4, "delete": 4})
    pods = [node.pod("storage") for _ in range(32)]
    for call in [node.popen("ADD", pod) for pod in pods]:
        call.answer(120).result  # noqa: B018 - it fails unless the ADD succeeded
    assert len(node.leases()) == 64
    assert len({pod.addresses()["net1"][0] for pod in pods}) == 32
    for call in [node.popen("DEL", pod) for pod in pods]:
        assert call.answer(120).status == 0
    assert node.left(*pods) == []


def meddle_lo(pod: Pod, group: str) -> None:
    """Put `lo` into the group."""
    run_ip(pod.namespace, "link", "set", "lo", "group", group)


def meddle_out(pod: Pod, _: str) -> None:
    """Take a link out."""
    run_ip(pod.namespace, "link", "set", "net1", "group", "0")


def meddle_in(pod: Pod, group: str) -> None:
    """Move a link of the pod's own in."""
    run_ip(pod.namespace, "link", "add", "mine", "type", "veth", "peer", "name", "mine2")
    run_ip(pod.namespace, "link", "set", "mine", "group", group)


@pytest.mark.parametrize("meddle", [meddle_lo, meddle_out, meddle_in, lambda *_: None], ids=["lo", "out", "in", "not"])
def test_a_pod_that_meddles_with_its_links_group_loses_exactly_what_was_attached(
    bare: Node, meddle: Callable[[Pod, str], None]
) -> None:
    """The group is deleted only when it is as we left it; what the pod made itself stays (decision 6)."""
    bare.define("lan", bridge("10.10.0.0/24", name="lan0"))
    bare.start()
    pod = bare.pod("lan,lan,lan")
    bare.add(pod)
    group = next(one["group"] for one in run_ip(pod.namespace, "link") if one["ifname"] == "net1")
    meddle(pod, group)
    own = {one["ifname"] for one in run_ip(pod.namespace, "link")} - {"eth0", "net1", "net2", "net3"}
    bare.delete(pod)
    assert {one["ifname"] for one in run_ip(pod.namespace, "link")} == own
    if "mine" in own:
        run_ip(pod.namespace, "link", "del", "mine")
    assert bare.left(pod) == []


def leases_symlink(folder: Path) -> None:
    """A symbolic link to somewhere else."""
    (folder.parent / "elsewhere").mkdir()
    folder.symlink_to("elsewhere")


def leases_file(folder: Path) -> None:
    """A file where the folder should be."""
    folder.write_text("")


@pytest.mark.parametrize("spoil", [leases_symlink, leases_file], ids=["symlink", "file"])
def test_a_lease_folder_that_cannot_be_trusted_fails_the_add_and_nothing_is_left(
    bare: Node, spoil: Callable[[Path], None]
) -> None:
    """Code 5 names the folder; the pod keeps nothing of either network."""
    bare.define("lan", bridge("10.10.0.0/24", name="lan0"))
    bare.start()
    folder = bare.root / "varlib/cni/networks/lan"
    folder.parent.mkdir(parents=True)
    spoil(folder)
    pod = bare.pod("lan")
    answer = bare.call("ADD", pod)
    assert answer.code == 5
    assert "/var/lib/cni/networks/lan" in answer.message
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    assert bare.left(pod) == []

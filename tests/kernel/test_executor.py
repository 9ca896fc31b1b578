# SPDX-License-Identifier: Apache-2.0
"""Nothing is left although the runtime never calls again: what the second executor is for, with real plugins."""

import os
import signal
import time
from pathlib import Path

import pytest

from metacni import shim
from metacni.cni.names import PluginType
from metacni.exec.executor import STAY, Executor
from metacni.exec.frames import Execution
from tests.kernel.call import Call
from tests.kernel.networks import bridge, macvlan, scripted
from tests.kernel.node import Node, Pod, calls_of, eventually, node_of_test

node = node_of_test


def define(node: Node, verb: str = "ADD") -> tuple[Path, Path]:
    """Two real networks, and one that hangs at a verb with a grandchild while a file is there; record and file."""
    record, flag = node.root / "calls", node.root / "flag"
    node.define("lan", bridge("10.10.0.0/24", name="lan0"))
    node.define("storage", macvlan("10.20.0.0/24"))
    node.define("stuck", scripted(script={verb: "hang_while"}, record=str(record), flag=str(flag)))
    flag.touch()
    return record, flag


def hanging(node: Node, record: Path, verb: str, pod: Pod) -> Call:
    """A call that has come to the plugin that hangs."""
    record.unlink(missing_ok=True)
    call = node.popen(verb, pod)
    eventually(lambda: calls_of(record))
    return call


def end(call: Call) -> None:
    """Do as a runtime whose patience is over."""
    call.process.kill()
    call.answer()


def straggler(node: Node, plugin: int) -> list[int]:
    """The grandchildren that hang on although their plugin is dead."""
    others = [pid for pid in node.host.processes() if pid != plugin]
    return [pid for pid in others if b"scripted" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def messages(node: Node, text: str) -> int:
    """How many lines of the log hold this."""
    return node.log().count(text)


def test_an_add_whose_shim_is_killed_between_two_plugins_is_undone_without_a_further_call(node: Node) -> None:
    """The plugin dies with the shim, its grandchild lives on for five seconds more, then the undo begins."""
    record, flag = define(node)
    node.start()
    pod = node.pod("lan,stuck,storage")
    call = hanging(node, record, "ADD", pod)
    assert len(node.leases()) == 2
    flag.unlink()
    began = time.monotonic()
    end(call)
    plugin = calls_of(record)[0]["pid"]
    eventually(lambda: not Path(f"/proc/{plugin}").exists(), seconds=2)
    (grandchild,) = straggler(node, plugin)
    eventually(lambda: node.left(pod) == [])
    assert time.monotonic() - began > 4.5
    assert [one["env"]["CNI_COMMAND"] for one in calls_of(record)] == ["ADD", "DEL"]
    os.kill(grandchild, signal.SIGKILL)
    node.delete(pod)  # the runtime's DEL, should it come: there is nothing to delete
    node.add(pod)
    node.delete(pod)
    assert node.left(pod) == []


def test_the_undo_begins_as_soon_as_the_last_process_is_gone(node: Node) -> None:
    """No wait without need; a DEL that comes meanwhile waits for the undo and succeeds."""
    record, flag = define(node)
    node.start()
    pod = node.pod("lan,storage,stuck")
    call = hanging(node, record, "ADD", pod)
    flag.unlink()
    end(call)
    plugin = calls_of(record)[0]["pid"]
    delete = node.popen("DEL", pod)
    time.sleep(0.2)
    assert delete.process.poll() is None
    for pid in straggler(node, plugin):
        os.kill(pid, signal.SIGKILL)
    answer = delete.answer()
    assert (answer.status, node.left(pod)) == (0, [])
    assert answer.seconds < 4


def test_a_delete_whose_shim_is_killed_is_finished_without_a_further_call(node: Node) -> None:
    """What the runtime has given up is done all the same, and the recorded DEL is settled."""
    record, flag = define(node, "DEL")
    node.start()
    pod = node.pod("lan,stuck,storage")
    node.add(pod)
    call = hanging(node, record, "DEL", pod)
    flag.unlink()
    end(call)
    eventually(lambda: node.left(pod) == [])
    end_stragglers(node)


def test_agent_and_shim_killed_in_an_add_leave_nothing_once_an_agent_is_back(node: Node) -> None:
    """The sandbox still stands, and no call comes: the next agent undoes the ADD by itself."""
    record, flag = define(node)
    node.start()
    pod = node.pod("lan,stuck,storage")
    call = hanging(node, record, "ADD", pod)
    node.stop(signal.SIGKILL)
    end(call)
    flag.unlink()
    end_stragglers(node)
    assert node.left(pod) != []
    node.start()
    eventually(lambda: node.left(pod) == [])
    node.delete(pod)


def test_a_delete_that_no_agent_saw_is_carried_out_by_the_next_one(node: Node) -> None:
    """No agent for ten minutes: DEL succeeds, and its work is done later; a living sandbox is left alone."""
    define(node)
    node.start()
    pod, other = node.pod("lan,storage"), node.pod("lan,storage")
    node.add(pod)
    node.add(other)
    node.stop(signal.SIGKILL)
    os.utime(node.run / "alive", (0, 0))
    assert node.call("DEL", pod).status == 0
    assert f"pending {pod.sandbox}" in node.left()
    node.start()
    eventually(lambda: node.records() == [other.sandbox])
    eventually(lambda: not list((node.run / "pending").iterdir()))
    assert (pod.addresses(), len(other.addresses())) == ({}, 3)
    other.ping("net1", "10.10.0.1")
    node.delete(other)
    assert node.left(pod, other) == []


def test_a_sandbox_that_went_while_no_agent_lived_is_taken_down(node: Node) -> None:
    """Its namespace is gone; what it held on the node (leases, links) is released."""
    define(node)
    node.start()
    pod = node.pod("lan,storage")
    node.add(pod)
    node.stop(signal.SIGKILL)
    pod.vanish()
    assert len(node.leases()) == 3
    node.start()
    eventually(lambda: node.left() == [])


def test_without_an_executor_all_that_waits_for_the_runtime_and_is_told(node: Node) -> None:
    """`executor: none`: an undo, a recovered ADD and a recorded DEL; the runtime's DEL does each of them."""
    record, flag = define(node)
    node.start(executor="none")
    killed, unfinished, recorded = node.pod("lan,stuck"), node.pod("lan,stuck"), node.pod("lan,storage")
    node.add(recorded)
    end(hanging(node, record, "ADD", killed))
    end_stragglers(node)
    eventually(lambda: messages(node, "undo failed; the runtime's DEL will repeat it") == 1)
    call = hanging(node, record, "ADD", unfinished)
    node.stop(signal.SIGKILL)
    end(call)
    end_stragglers(node)
    os.utime(node.run / "alive", (0, 0))
    assert node.call("DEL", recorded).status == 0
    node.start(executor="none")
    eventually(lambda: messages(node, "an ADD was not finished, or its sandbox has gone") == 2)
    assert messages(node, "a DEL came while no agent lived; it waits for the runtime's next call") == 1
    assert messages(node, "the setting `executor` is `none`") >= 1
    assert sorted(node.records()) == sorted(pod.sandbox for pod in (killed, unfinished, recorded))
    flag.unlink()
    for pod in (killed, unfinished, recorded):
        node.delete(pod)
    assert node.left(killed, unfinished, recorded) == []


@pytest.mark.parametrize("count", [5])
def test_many_at_once_are_taken_down_one_after_another(node: Node, count: int) -> None:
    """A node that lost its agent in a storm of ADDs is clean soon after the next start; calls are served beside."""
    record, flag = define(node)
    node.start()
    pods = [node.pod("lan,storage,stuck") for _ in range(count)]
    calls = [node.popen("ADD", pod) for pod in pods]
    eventually(lambda: len(calls_of(record)) == count)
    node.stop(signal.SIGKILL)
    for call in calls:
        assert call.answer().code == 11
    flag.unlink()
    end_stragglers(node)
    node.start()
    late = node.pod("lan,storage")
    node.add(late)
    node.delete(late)
    eventually(lambda: node.left(*pods, late) == [])


def test_plugins_run_in_the_mount_namespace_of_the_host_pid(node: Node) -> None:
    """An agent in a container sees other files; a plugin must see the host's, and nothing of the agent's variables."""
    node.program("looking", "#!/bin/sh\npwd; ls /var/lib/only-on-this-node; echo ${KUBECONFIG-none}\n")
    (node.root / "varlib" / "only-on-this-node").touch()
    request = Execution(type=PluginType("looking"), path=(str(node.bin),), environment={}, stdin=b"")
    with Executor(shim.binary(), node.mounts_of).runner() as runner:
        output = runner.run(request, timeout=10)
    assert (output.status, output.stdout) == (0, b"/\n/var/lib/only-on-this-node\nnone\n")
    with Executor(shim.binary(), STAY).runner() as runner:
        assert b"only-on-this-node" not in runner.run(request, timeout=10).stdout


def end_stragglers(node: Node) -> None:
    """End the grandchildren that outlived their plugin."""
    for pid in straggler(node, 0):
        os.kill(pid, signal.SIGKILL)


def test_a_sandbox_whose_namespace_goes_without_a_delete_is_swept_away(node: Node) -> None:
    """The runtime has forgotten it; one that lives beside it keeps everything."""
    record, _ = define(node)
    node.define("noted", scripted(record=str(record)))
    node.start(sweepSeconds=1)
    forgotten, lives = node.pod("lan,storage,noted"), node.pod("lan")
    node.add(forgotten)
    node.add(lives)
    forgotten.vanish()
    eventually(lambda: node.records() == [lives.sandbox])
    assert [one["env"]["CNI_COMMAND"] for one in calls_of(record)] == ["ADD", "DEL"]
    assert len(node.leases()) == 2
    time.sleep(1.5)  # another look
    assert sorted(lives.addresses()) == ["eth0", "net1"]
    node.delete(lives)
    node.delete(forgotten)
    assert node.left(lives) == []


def test_a_gc_whose_shim_is_killed_is_finished_without_a_further_call(node: Node) -> None:
    """What is stale must go, whether or not anybody waits for the answer; what is valid stays."""
    record, flag = define(node, "DEL")
    node.config = node.config | {"cniVersion": "1.1.0"}
    node.start()
    stale, lives = node.pod("lan,stuck"), node.pod("lan")
    node.add(stale)
    node.add(lives)
    record.unlink()
    living = [{"containerID": lives.sandbox, "ifname": "eth0"}]
    call = node.popen("GC", body=node.config | {"binDir": str(node.bin), "cni.dev/valid-attachments": living})
    eventually(lambda: calls_of(record))
    flag.unlink()
    end(call)
    for pid in straggler(node, calls_of(record)[0]["pid"]):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: node.records() == [lives.sandbox])
    eventually(lambda: "a GC was finished whose shim was killed" in node.log())
    assert sorted(lives.addresses()) == ["eth0", "net1"]
    node.delete(lives)
    assert node.left(lives, stale) == []

# SPDX-License-Identifier: Apache-2.0
"""What goes wrong around an ADD: a full disk, an agent that comes late or goes, a killed shim, many pods at once."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.networks import bridge, macvlan, node_config, scripted
from tests.kernel.node import Node, calls_of, eventually, node_both_ways

node = node_both_ways

PAGE = 4096


def define_two(node: Node) -> None:
    """A bridge and a macvlan."""
    node.define("lan", bridge("10.10.0.0/24", name="lan0"))
    node.define("storage", macvlan("10.20.0.0/24"))


def small_state(node: Node, pages: int) -> Path:
    """Put the agent's state on a disk of so many pages; beside the journal a file that can be made smaller."""
    node.state.mkdir()
    node.sh("mount", "-t", "tmpfs", "-o", f"size={pages * PAGE}", "small", "/var/lib/cni/metacni")
    return Path("/var/lib/cni/metacni/ballast")


def occupy(node: Node, ballast: Path, pages: int) -> None:
    """Leave room for `pages` pages less."""
    node.sh("sh", "-c", f"rm -f {ballast}; head -c {pages * PAGE} /dev/zero > {ballast} || true")


def test_a_full_disk_fails_the_add_at_whatever_step_and_leaves_nothing(node: Node) -> None:
    """With room for any number of the journal's files an ADD works whole or not at all; DEL needs no room."""
    define_two(node)
    ballast = small_state(node, 20)
    node.start()
    outcomes = []
    for room in range(14):
        occupy(node, ballast, 20 - room)
        pod = node.pod("lan,storage")
        answer = node.call("ADD", pod)
        outcomes.append(0 if answer.status == 0 else answer.code)
        if answer.status == 0:
            occupy(node, ballast, 20)  # as much as still fits
        else:
            assert "no space left on device" in answer.message.lower()
            assert node.left(pod) == []
            assert node.sh("ls", "/var/lib/cni/metacni/sandboxes") == ""
        node.delete(pod)
        assert node.left(pod) == []
        assert node.sh("ls", "-A", "/var/lib/cni/metacni/sandboxes") == ""
        pod.vanish()
    assert outcomes[0] == 5
    assert outcomes[-1] == 0
    assert outcomes == sorted(outcomes, reverse=True), "more room never hurts"
    assert outcomes.count(5) >= 6, "every file of the record was missed once"


def test_status_says_that_the_disk_is_full(node: Node) -> None:
    """A node whose journal cannot be written can serve no ADD: code 50, until there is room again."""
    node.config = node_config("1.1.0")
    ballast = small_state(node, 4)
    node.start()
    assert node.call("STATUS").status == 0
    node.sh("sh", "-c", f"head -c {4 * PAGE} /dev/zero > {ballast} || true")  # the state has a file in it already
    full = node.call("STATUS")
    assert full.code == 50
    assert "journal" in full.message
    node.sh("rm", str(ballast))
    assert node.call("STATUS").status == 0


def test_an_add_waits_for_an_agent_that_is_not_there_yet(node: Node) -> None:
    """The shim of an ADD waits 45 s for an agent; one that comes back meanwhile serves it."""
    define_two(node)
    node.start()
    assert node.stop() == 0
    pod = node.pod("lan,storage")
    call = node.popen("ADD", pod)
    time.sleep(0.5)
    assert call.process.poll() is None
    node.start()
    assert len(call.answer().result["ips"]) == 3
    node.delete(pod)
    assert node.left(pod) == []


def test_an_agent_that_dies_under_an_add_is_answered_for_by_the_shim(node: Node) -> None:
    """The plugin dies with it, the runtime is told to try again, and DEL waits for the next agent."""
    record = node.root / "calls"
    node.define("lan", bridge("10.10.0.0/24", name="lan0"))
    node.define("slow", scripted(script={"ADD": "hang"}, record=str(record)))
    node.start()
    pod = node.pod("lan,slow")
    call = node.popen("ADD", pod)
    eventually(lambda: calls_of(record))
    node.stop(signal.SIGKILL)
    answer = call.answer()
    assert answer.code == 11
    assert answer.seconds < 5
    assert not runs(calls_of(record)[0]["pid"])
    deletion = node.popen("DEL", pod)
    time.sleep(0.3)
    assert deletion.process.poll() is None
    node.start()
    assert deletion.answer().status == 0
    assert node.left(pod) == []
    end_stragglers(node)


def test_a_delete_is_recorded_when_no_agent_has_lived_for_long(node: Node) -> None:
    """An agent that was uninstalled holds no pod in Terminating; the next one works the record off (decision 1)."""
    answer = node.call("DEL", pod := node.pod())
    assert answer.status == 0
    assert node.left() == [f"pending {pod.sandbox}"]
    node.start()
    eventually(lambda: node.left() == [], seconds=5)


def test_two_adds_of_one_sandbox_at_once_attach_it_once(node: Node) -> None:
    """The runtime should not do that; one of the two is told that it is attached already."""
    define_two(node)
    node.start()
    pod = node.pod("lan,storage")
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _: node.call("ADD", pod), range(2)))
    assert sorted(answer.status for answer in answers) == [0, 1]
    assert [answer.code for answer in answers if answer.status] == [4]
    assert node.call("CHECK", pod).status == 0
    node.delete(pod)
    assert node.left(pod) == []


def test_thirty_two_sandboxes_at_once(node: Node) -> None:
    """All are attached to three networks, all addresses differ, all go again, some of them while others come."""
    define_two(node)
    node.start()
    pods = [node.pod("lan,storage") for _ in range(32)]
    with ThreadPoolExecutor(32) as threads:
        results = list(threads.map(node.add, pods))
        addresses = [address["address"] for result in results for address in result["ips"]]
        assert len(set(addresses)) == 3 * 32
        assert [len(pod.addresses()) for pod in pods] == [3] * 32
        pods[0].ping("net1", pods[31].addresses()["net1"][0])
        pods[31].ping("net2", pods[0].addresses()["net2"][0])
        mixed = list(threads.map(lambda numbered: turn(node, *numbered), enumerate(pods)))
        assert mixed == [None] * 32
        list(threads.map(node.delete, pods))
    assert node.left(*pods) == []


def turn(node: Node, number: int, pod: Any) -> None:
    """Every second pod goes and comes back under another sandbox id, while the others are only checked."""
    if number % 2:
        node.delete(pod)
        pod.sandbox = f"again-{number}"
        node.add(pod)
    else:
        assert node.call("CHECK", pod).status == 0


def test_sigterm_lets_an_add_end_and_turns_new_calls_over_to_the_next_agent(node: Node) -> None:
    """Draining: what runs may end, what comes waits for the agent after this one."""
    record = node.root / "calls"
    node.define("slow", scripted(script={"ADD": "slow"}, seconds=1, record=str(record)))
    node.start()
    running, late = node.pod("slow"), node.pod()
    first = node.popen("ADD", running)
    eventually(lambda: calls_of(record))
    agent, node.agent = node.agent, None
    assert agent is not None
    agent.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    second = node.popen("ADD", late)
    assert first.answer().status == 0
    assert agent.wait(10) == 0
    assert second.process.poll() is None
    node.start()
    assert second.answer().status == 0
    for pod in (running, late):
        node.delete(pod)
    assert node.left(running, late) == []


@pytest.mark.parametrize("verb", ["ADD", "DEL"])
def test_a_shim_that_is_killed_takes_its_plugin_along(node: Node, verb: str) -> None:
    """The runtime gives up: nothing goes on working in its back, and its DEL leaves nothing."""
    record, flag = node.root / "calls", node.root / "flag"
    define_two(node)
    flag.touch()
    node.define("stuck", scripted(script={verb: "hang_while"}, record=str(record), flag=str(flag)))
    node.start()
    pod = node.pod("lan,storage,stuck")
    if verb == "DEL":
        node.add(pod)
        record.unlink()
    call = node.popen(verb, pod)
    eventually(lambda: calls_of(record))
    call.process.kill()
    call.answer()
    plugin = calls_of(record)[0]["pid"]
    eventually(lambda: not runs(plugin), seconds=2)
    end_stragglers(node)
    flag.unlink()
    node.delete(pod)
    assert node.left(pod) == []


def runs(pid: int) -> bool:
    """Whether such a process exists."""
    return Path(f"/proc/{pid}").exists()


def end_stragglers(node: Node) -> None:
    """End the grandchildren that outlived their plugin: PDEATHSIG does not reach them."""
    for pid in node.host.processes():
        with suppress(ProcessLookupError, FileNotFoundError):
            if b"scripted" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)


def test_a_plugin_that_is_being_replaced_is_tried_again(node: Node) -> None:
    """An installer holds the file open for writing: the exec fails with ETXTBSY and is repeated (B10)."""
    node.define("busy", scripted() | {"type": "busy"})
    program = node.program("busy", (node.bin / "scripted").read_text())
    node.start()
    pod = node.pod("busy")
    with program.open("ab"):
        call = node.popen("ADD", pod)
        time.sleep(0.5)
        assert call.process.poll() is None
    answer = call.answer()
    assert answer.status == 0
    assert answer.seconds > 0.9
    node.delete(pod)
    assert node.left(pod) == []


def test_a_failing_undo_keeps_the_record_for_the_runtimes_delete(node: Node) -> None:
    """What could not be taken back is not forgotten: DEL repeats it, and reports what still fails."""
    record = node.root / "calls"
    define_two(node)
    node.define("sticky", scripted(script={"DEL": "fail"}, record=str(record)))
    node.define("bad", scripted(script={"ADD": "fail"}))
    node.start()
    pod = node.pod("lan,sticky,bad")
    assert node.call("ADD", pod).code == 105
    assert node.left(pod) == [f"record {pod.sandbox}"]
    again = node.call("DEL", pod)
    assert again.code == 105
    assert "demo/sticky" in again.message
    assert [call["env"]["CNI_COMMAND"] for call in calls_of(record)] == ["ADD", "DEL", "DEL"]


def test_a_delete_goes_on_after_a_failure_and_names_every_one(node: Node) -> None:
    """One attachment that cannot go keeps no other (B40)."""
    define_two(node)
    for name in ("sticky", "stuck"):
        node.define(name, scripted(script={"DEL": "fail"}))
    node.start()
    pod = node.pod("sticky,lan,stuck,storage")
    node.add(pod)
    answer = node.call("DEL", pod)
    assert answer.code == 105
    assert "demo/sticky" in answer.message
    assert "demo/stuck" in answer.message
    assert pod.addresses() == {}
    assert node.leases() == []
    assert node.records() == [pod.sandbox]


def test_a_second_agent_on_the_same_node_does_not_start(node: Node) -> None:
    """Two agents would work on one journal; the second says so and ends, the first goes on."""
    node.start()
    first, node.agent = node.agent, None
    node.start(wait=False)
    second = node.agent
    assert second is not None
    assert second.wait(20) == 1
    node.agent = first
    lines = [line for line in node.log().splitlines() if not line.startswith("{")]
    assert lines == ["metacni agent: cannot use the state folder '/var/lib/cni/metacni': another agent uses it"]
    pod = node.pod()
    node.add(pod)
    node.delete(pod)
    (node.root / "agent.log").write_text("")  # the line above is not the first agent's


def test_hanging_adds_hold_up_neither_status_nor_delete_nor_the_queue(node: Node) -> None:
    """Each kind of request has its own pool; a full one says try again, and who gave up is never started."""
    record, flag = node.root / "calls", node.root / "flag"
    flag.touch()
    node.config = node_config("1.1.0")
    node.define("stuck", scripted(script={"ADD": "hang_while"}, record=str(record), flag=str(flag)))
    node.start(limits={"add": 1, "delete": 1, "queue": 2})
    done, stuck, gone, waits, refused = (node.pod() for _ in range(5))
    node.add(done)
    stuck.annotations = node.pod("stuck").annotations
    running = node.popen("ADD", stuck)
    eventually(lambda: calls_of(record))
    queued = [node.popen("ADD", pod) for pod in (gone, waits)]
    time.sleep(0.3)  # both are in the queue
    assert node.call("ADD", refused).code == 11
    status = node.call("STATUS")
    assert status.status == 0
    assert status.seconds < 1
    node.delete(done)
    queued[0].process.kill()
    queued[0].answer()
    running.process.kill()
    running.answer()
    end_stragglers(node)
    assert queued[1].answer().status == 0
    flag.unlink()
    eventually(lambda: node.records() == [waits.sandbox])  # the one whose shim was killed is undone by itself
    for pod in (stuck, waits, gone):
        node.delete(pod)
    assert node.left(stuck, waits, gone, refused) == []


DAMAGE = [
    pytest.param("plan", b"", id="an empty plan"),
    pytest.param("plan", b"0" * 64 + b"\n{}", id="a changed plan"),
    pytest.param("sandbox", b"x", id="a broken sandbox"),
    pytest.param("answer", b"x", id="a broken answer"),
    pytest.param("step-1-0", b"x", id="a broken step"),
]


@pytest.mark.parametrize(("name", "content"), DAMAGE)
def test_a_damaged_record_does_not_keep_a_pod_from_going(node: Node, name: str, content: bytes) -> None:
    """A bad disk block must not leave pods in Terminating: DEL does what it still can, and the record goes (B18)."""
    define_two(node)
    node.start()
    pod = node.pod("lan,storage")
    node.add(pod)
    (node.state / "sandboxes" / pod.sandbox / name).write_bytes(content)
    if name != "step-1-0":  # of no use once the answer is there
        assert node.call("CHECK", pod).code == 5
    node.delete(pod)
    assert node.left(pod) == []


def test_a_delete_succeeds_and_says_so_only_when_its_plugin_is_there(node: Node) -> None:
    """A plugin that was uninstalled cannot undo its work; the error must not read like success to containerd (G15)."""
    node.define("brief", scripted() | {"type": "brief"})
    program = node.program("brief", (node.bin / "scripted").read_text())
    node.start()
    pod = node.pod("brief")
    node.add(pod)
    program.rename(node.bin / "away")
    answer = node.call("DEL", pod)
    assert answer.code == 7
    assert "'brief'" in answer.message
    assert "not found" not in answer.stdout.lower()
    assert "no such file" not in answer.stdout.lower()
    (node.bin / "away").rename(program)
    node.delete(pod)
    assert node.left(pod) == []

# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the agent beside each of its journal's writes, and at any moment: the runtime's DEL leaves nothing."""

import random
import signal
import time
from pathlib import Path
from typing import Final

import pytest

from tests.kernel.networks import bridge, macvlan, scripted
from tests.kernel.node import Node, Pod, node_both_ways

node = node_both_ways

CRASHING: Final = Path(__file__).with_name("crashing_agent.py")
WRITES: Final = ("begin", "step 0 0", "step 1 0", "step 2 0", "step 3 0", "step 3 1", "finish", "publish", "published")
POINTS: Final = tuple(f"{when} {write}" for write in WRITES for when in ("before", "after"))
ROUNDS: Final = 20


def three_networks(node: Node) -> Pod:
    """A pod that asks for a bridge, a macvlan and a list of two plugins."""
    first = bridge("10.30.0.0/24", name="tuned0")
    del first["cniVersion"]
    node.define("lan", bridge("10.10.0.0/24", name="lan0"))
    node.define("storage", macvlan("10.20.0.0/24"))
    node.define("tuned", {"cniVersion": "1.0.0", "name": "tuned", "plugins": [first, {"type": "tuning", "mtu": 1400}]})
    return node.pod("lan,storage,tuned")


def start_crashing(node: Node, point: str) -> None:
    """Start an agent that dies at a point."""
    node.start(program=(str(CRASHING), point), variables={"METACNI_POINTS": str(node.root / "points")})


def test_the_points_are_all_the_writes_of_an_add(node: Node) -> None:
    """No write is missing from the table below: an ADD passes each of its points once, in this order."""
    pod = three_networks(node)
    start_crashing(node, "none")
    node.add(pod)
    assert (node.root / "points").read_text().splitlines() == list(POINTS)
    node.delete(pod)
    assert (node.root / "points").read_text().splitlines()[len(POINTS) :] == ["before remove", "after remove"]
    assert node.left(pod) == []


@pytest.mark.parametrize("point", POINTS)
def test_an_agent_that_dies_beside_a_write_leaves_nothing_behind_the_delete(node: Node, point: str) -> None:
    """The ADD fails in the runtime's eyes, the next agent starts, the runtime sends DEL."""
    pod = three_networks(node)
    start_crashing(node, point)
    assert node.call("ADD", pod).code == 11
    assert node.agent is not None
    assert node.agent.wait(20) == -signal.SIGKILL
    node.start()
    node.delete(pod)
    assert node.left(pod) == []
    assert node.call("ADD", pod).status == 0  # and the sandbox can be attached as if nothing had been
    node.delete(pod)
    assert node.left(pod) == []


@pytest.mark.parametrize("point", ["before remove", "after remove"])
def test_an_agent_that_dies_at_the_end_of_a_delete_leaves_nothing_behind_the_next(node: Node, point: str) -> None:
    """The shim sends the same DEL again as soon as an agent listens, and the runtime never knows."""
    pod = three_networks(node)
    start_crashing(node, point)
    node.add(pod)
    call = node.popen("DEL", pod)
    assert node.agent is not None
    assert node.agent.wait(20) == -signal.SIGKILL
    node.start()
    assert call.answer().status == 0
    assert node.left(pod) == []


@pytest.mark.parametrize("point", ["before step 3 0", "after step 3 0", "before remove", "after remove"])
def test_an_agent_that_dies_around_an_undo_leaves_nothing_behind_the_delete(node: Node, point: str) -> None:
    """The fourth network fails, and the agent dies before, while or after it takes the others back."""
    three_networks(node)
    node.define("bad", scripted(script={"ADD": "fail"}))
    pod = node.pod("lan,storage,tuned,bad")
    start_crashing(node, point)
    assert node.call("ADD", pod).code == 11
    assert node.agent is not None
    assert node.agent.wait(20) == -signal.SIGKILL
    node.start()
    node.delete(pod)
    assert node.left(pod) == []


def test_an_agent_that_dies_at_any_moment_leaves_nothing_behind_the_delete(node: Node) -> None:
    """Twenty rounds, each with a kill at a random moment of an ADD or shortly after it.

    Two things are the reference plugins' own: a macvlan that has not got its name yet goes with the pod's namespace,
    and a lease that host-local has created but not written yet is an empty file.
    """
    length = seconds_of_an_add(node)
    moments = random.Random(20_250_101)  # noqa: S311  reproducible, not secret
    statuses = set()
    for number in range(ROUNDS):
        pod = node.pod("lan,storage,tuned")
        call = node.popen("ADD", pod)
        time.sleep(moments.uniform(0, 1.2 * length))
        node.stop(signal.SIGKILL)
        statuses.add(call.answer().status)
        node.start()
        node.delete(pod)
        assert not {"eth0", "net1", "net2", "net3"} & set(pod.addresses()), f"round {number}"
        pod.vanish()
        assert node.left() == empty_leases(node), f"round {number}"
    assert 1 in statuses, "no ADD was hit"


def seconds_of_an_add(node: Node) -> float:
    """How long an ADD takes here, the networks being defined by the way."""
    pod = three_networks(node)
    node.start()
    answer = node.call("ADD", pod)
    assert answer.status == 0
    node.delete(pod)
    return answer.seconds


def empty_leases(node: Node) -> list[str]:
    """Leases that say nothing of their owner, as `node.left()` has them."""
    folder = node.root / "varlib/cni/networks"
    return [f"lease {name}" for name in node.leases() if not (folder / name).read_bytes()]

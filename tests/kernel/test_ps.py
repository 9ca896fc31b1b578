# SPDX-License-Identifier: Apache-2.0
"""`metacni ps` on a real node: what is attached, by whom, and what waits."""

import json
import signal
import sys
from typing import Any

from tests import parts
from tests.kernel.networks import bridge
from tests.kernel.node import Node, eventually, node_of_test

node = node_of_test


def ps(node: Node, *options: str) -> str:
    """Run it beside the agent, as an admin on the node does."""
    command = f"cd {parts.ROOT} && exec {sys.executable} -m metacni.cli.main ps {' '.join(options)}"
    return node.sh("sh", "-c", command)


def listed(node: Node) -> list[dict[str, Any]]:
    """The same for programs."""
    found: list[dict[str, Any]] = json.loads(ps(node, "--json"))
    return found


def test_each_interface_is_shown_with_its_addresses_and_whoever_attached_it(node: Node) -> None:
    """A key that only a program may know is named as the reason."""
    node.define("lan", bridge("10.10.0.0/24", name="lan0", newKey=1))
    node.start()
    assert listed(node) == []
    assert "no sandbox is attached" in ps(node)
    pod = node.pod("lan")
    node.add(pod)
    (only,) = listed(node)
    assert (only["pod"], only["container_id"], only["state"]) == (f"demo/{pod.name}", pod.sandbox, "attached")
    assert [(one["ifname"], one["network"], one["addresses"], one["plugins"]) for one in only["interfaces"]] == [
        ("eth0", "pod-network", pod.addresses()["eth0"], [{"type": "bridge", "by": "agent", "why": ""}]),
        (
            "net1",
            "demo/lan",
            pod.addresses()["net1"],
            [{"type": "bridge", "by": "program", "why": "key 'newKey' (1) is not known"}],
        ),
    ]
    shown = ps(node)
    assert f"demo/{pod.name}" in shown
    assert "bridge: program" in shown
    assert "network 'demo/lan': bridge is left to a program: key 'newKey' (1) is not known" in shown
    node.delete(pod)


def test_what_waits_without_an_executor_is_shown_until_the_runtime_calls(node: Node) -> None:
    """`executor: none`: an ADD whose shim was killed stays on record, and ps says for whom it waits."""
    record = node.root / "calls"
    node.program("stuck", f"#!/bin/sh\necho $CNI_COMMAND >>{record}\n[ $CNI_COMMAND = DEL ] || exec sleep 600\n")
    node.define("stuck", {"cniVersion": "1.0.0", "type": "stuck"})
    node.start(executor="none")
    pod = node.pod("stuck")
    call = node.popen("ADD", pod)
    eventually(record.exists)
    call.process.kill()
    call.answer()
    eventually(lambda: "undo failed" in node.log())
    assert [one["state"] for one in listed(node)] == ["unfinished"]
    assert "waits to be undone by the runtime's DEL" in ps(node)
    node.delete(pod)
    assert listed(node) == []


def test_gone_and_damaged_sandboxes_are_told_from_those_that_live(node: Node) -> None:
    """It reads what it can, changes nothing, and works with no agent there."""
    node.start()
    lives, gone, damaged = node.pod(), node.pod(), node.pod()
    for pod in (lives, gone, damaged):
        node.add(pod)
    node.stop(signal.SIGKILL)
    gone.vanish()
    (node.state / "sandboxes" / damaged.sandbox / "plan").write_text("x")
    states = {one["container_id"]: one["state"] for one in listed(node)}
    assert states == {lives.sandbox: "attached", gone.sandbox: "gone", damaged.sandbox: "damaged"}
    assert sorted(node.records()) == sorted([lives.sandbox, gone.sandbox, damaged.sandbox])
    node.start()
    for pod in (lives, gone, damaged):
        node.delete(pod)
    assert node.left(lives) == []

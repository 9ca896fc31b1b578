# SPDX-License-Identifier: Apache-2.0
"""STATUS: ready or not, at once."""

from typing import Any

import pytest

from metacni.agent.status import status
from metacni.cni.errors import CniError, Code
from metacni.kube.source import Health
from tests.unit.agent import fakes
from tests.unit.agent.delegates import FakeDelegate
from tests.unit.agent.fakes import Bench, default_delegate, failure, node_config


def ask(bench: Bench, *delegates: dict[str, Any]) -> bytes:
    """STATUS with these default networks."""
    return status(bench.node, bench.request("STATUS", config=node_config(*delegates)))


def fault_of(bench: Bench, *delegates: dict[str, Any]) -> CniError:
    """How it fails."""
    with pytest.raises(CniError) as caught:
        ask(bench, *delegates)
    return caught.value


def test_the_default_networks_plugins_are_asked_in_order(bench: Bench) -> None:
    """With their own configuration and nothing of any container (B7, B21)."""
    plugins = [{"type": "bridge", "capabilities": {"ips": True}}, {"type": "portmap"}]
    chained = {"cniVersion": "1.1.0", "name": "cbr0", "plugins": plugins}
    assert ask(bench, chained, default_delegate(name="second", type="other")) == b""
    assert bench.runner.calls == [("STATUS", "bridge", ""), ("STATUS", "portmap", "")]
    assert fakes.stdin_of(bench.runner.executions[1]) == {"type": "portmap", "name": "cbr0", "cniVersion": "1.1.0"}
    assert {one.environment["CNI_CONTAINERID"] for one in bench.runner.executions} == {""}


@pytest.mark.parametrize("code", [50, 51, 11])
def test_a_plugins_code_survives(bench: Bench, code: int) -> None:
    """The runtime distinguishes 50 and 51 (B21); the next plugin is not asked."""
    bench.runner.script("bridge", "STATUS", failure(code, "pool is empty"))
    fault = fault_of(bench)
    assert (fault.code, fault.msg) == (code, "network 'cbr0', STATUS: plugin 'bridge': pool is empty")


def test_a_plugin_that_does_not_know_status_is_ready(bench: Bench) -> None:
    """Below 1.1.0 there is nobody to ask (B21)."""
    assert ask(bench, default_delegate(cniVersion="1.0.0")) == b""
    assert bench.runner.calls == []


@pytest.mark.parametrize(
    ("detail", "shown"),
    [("connection refused", "connection refused"), ("", "the first list is under way")],
    ids=["with-a-cause", "at-the-start"],
)
def test_an_agent_that_has_read_no_definitions_is_not_ready(bench: Bench, detail: str, shown: str) -> None:
    """Code 50 (A30), and no plugin is bothered."""
    bench.source.condition = Health(synced=False, age_seconds=1.0, detail=detail)
    fault = fault_of(bench)
    assert (fault.code, fault.msg) == (50, f"cannot attach networks yet: no definitions were read: {shown}")
    assert bench.runner.calls == []


def test_an_api_server_that_went_away_does_not_make_the_node_not_ready(bench: Bench) -> None:
    """What is cached is enough for an ADD (decision 8)."""
    bench.source.condition = Health(synced=True, age_seconds=3600.0, detail="connection refused")
    assert ask(bench) == b""


def test_a_journal_that_cannot_be_written_is_not_ready(bench: Bench) -> None:
    """No ADD can begin without it."""
    (bench.folder / "state" / "sandboxes").rmdir()
    fault = fault_of(bench)
    assert fault.code == Code.NOT_AVAILABLE
    assert fault.msg.startswith("cannot attach networks: the journal cannot be written: ")


def test_status_leaves_nothing_in_the_journal(bench: Bench) -> None:
    """It is asked every few seconds."""
    ask(bench)
    assert list((bench.folder / "state" / "sandboxes").iterdir()) == []


def test_whoever_would_attach_is_asked(bench: Bench) -> None:
    """A delegate of ours without a pod; what it would not attach is the program's to answer for."""
    bridge = FakeDelegate("bridge")
    bench.load(bridge)
    ask(bench)
    assert (bridge.calls, bench.runner.calls) == ([("STATUS", "")], [])
    assert bridge.served[0].pod is None
    bridge.replies["STATUS"] = CniError(51, "pool is empty")
    assert fault_of(bench).msg == "network 'cbr0', STATUS: plugin 'bridge': pool is empty"
    bench.load(FakeDelegate("bridge", reason="odd"))
    ask(bench)
    assert bench.runner.calls == [("STATUS", "bridge", "")]

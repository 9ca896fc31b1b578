# SPDX-License-Identifier: Apache-2.0
"""CHECK: every network against what its ADD answered."""

import json
from typing import Any

import pytest

from metacni.agent.add import add
from metacni.agent.check import check
from metacni.cni.errors import CniError, Code
from metacni.exec.channel import ShimGone
from tests.unit.agent import fakes
from tests.unit.agent.delegates import FakeDelegate
from tests.unit.agent.fakes import Bench, failure, network


def attach(bench: Bench) -> None:
    """A pod with the default network and a whereabouts one."""
    bench.source.definitions["team", "lan"] = network("macvlan", ipam={"type": "whereabouts"})
    add(bench.node, bench.request("ADD", networks="lan"))
    bench.runner.forget()


def fault_of(bench: Bench, **more: Any) -> CniError:
    """How this CHECK fails."""
    with pytest.raises(CniError) as caught:
        check(bench.node, bench.request("CHECK", **more))
    return caught.value


def test_every_network_is_asked_with_its_final_result(bench: Bench) -> None:
    """All of them, not only the default one (D33), whatever the definitions say today (B24)."""
    attach(bench)
    bench.source.definitions.clear()
    assert check(bench.node, bench.request("CHECK")) == b""
    assert bench.runner.calls == [("CHECK", "bridge", "eth0"), ("CHECK", "macvlan", "net1")]
    results = [fakes.stdin_of(one)["prevResult"] for one in bench.runner.executions]
    assert [one["interfaces"][0]["name"] for one in results] == ["eth0", "net1"]
    assert "answer" in bench.files()


def test_a_sandbox_that_nobody_knows_is_code_3(bench: Bench) -> None:
    """The runtime may skip its cleanup (A20)."""
    fault = fault_of(bench)
    assert (fault.code, fault.msg) == (3, "cannot check sandbox 'c1': no ADD of it is on record")


def test_an_add_that_did_not_finish_is_code_3(bench: Bench) -> None:
    """There is no result to check against."""
    for verb in ("ADD", "DEL"):
        bench.runner.script("bridge", verb, ShimGone("killed"))
    with pytest.raises(ShimGone):
        add(bench.node, bench.request("ADD"))
    fault = fault_of(bench)
    assert (fault.code, fault.msg) == (3, "cannot check sandbox 'c1': its ADD did not finish")


@pytest.mark.parametrize("netns", [None, "another"], ids=["gone", "another-sandboxs"])
def test_a_namespace_that_is_not_the_sandboxs_is_refused(bench: Bench, netns: str | None) -> None:
    """No plugin is asked about another pod's interfaces."""
    attach(bench)
    with (bench.folder / "another").open("w") as other:
        fault = fault_of(bench, netns=None if netns is None else other.fileno())
    assert (fault.code, fault.msg) == (4, "cannot check sandbox 'c1': CNI_NETNS is not its namespace")
    assert bench.runner.calls == []


@pytest.mark.parametrize("name", ["plan", "sandbox", "answer"])
def test_a_damaged_record_is_an_error_and_no_plugin_is_asked(bench: Bench, name: str) -> None:
    """CHECK must not say "as it should be" of what it cannot read; the file is named (code 5)."""
    attach(bench)
    bench.damage(name)
    fault = fault_of(bench)
    assert fault.code == Code.IO
    assert f"c1/{name}': its checksum does not match" in fault.msg
    assert bench.runner.calls == []


def test_only_types_that_the_settings_name_may_object(bench: Bench) -> None:
    """whereabouts is tolerated as shipped (G22), the default network's bridge is not."""
    attach(bench)
    bench.runner.script("macvlan", "CHECK", failure(100, "not implemented"))
    check(bench.node, bench.request("CHECK"))
    bench.runner.script("bridge", "CHECK", failure(101, "address is missing"))
    fault = fault_of(bench)
    assert (fault.code, fault.msg) == (101, "network 'cbr0' (eth0), CHECK: plugin 'bridge': address is missing")


def test_whoever_attached_is_asked(bench: Bench) -> None:
    """A delegate with the pod's namespace and its final result; it may object like a program (B19)."""
    bridge = FakeDelegate("bridge")
    bench.load(bridge)
    attach(bench)
    bench.load(bridge, types=frozenset({"macvlan"}))
    check(bench.node, bench.request("CHECK"))
    assert (bridge.calls, bench.runner.calls) == ([("ADD", "eth0"), ("CHECK", "eth0")], [("CHECK", "macvlan", "net1")])
    assert bridge.served[1].pod == bench.netns
    assert json.loads(bridge.served[1].stdin)["prevResult"]["interfaces"][0]["name"] == "eth0"
    bridge.replies["CHECK"] = CniError(101, "address is missing")
    fault = fault_of(bench)
    assert (fault.code, fault.msg) == (101, "network 'cbr0' (eth0), CHECK: plugin 'bridge': address is missing")

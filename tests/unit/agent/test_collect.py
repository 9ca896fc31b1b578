# SPDX-License-Identifier: Apache-2.0
"""GC: what is stale goes, and no plugin is ever told that something living is stale."""

import json
import os
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metacni.agent.add import add
from metacni.agent.collect import collect
from metacni.cni.errors import CniError, Code
from metacni.exec.channel import ShimGone
from metacni.exec.executor import Unavailable
from metacni.journal.journal import Journal
from tests.unit.agent import fakes
from tests.unit.agent.delegates import FakeDelegate, forget_owners
from tests.unit.agent.fakes import Bench, default_delegate, failure, network, node_config

Pairs = Iterable[tuple[str, str]]


def attach(bench: Bench, container: str, networks: str, config: dict[str, Any] | None = None) -> None:
    """A pod on these networks."""
    add(bench.node, bench.request("ADD", container=container, networks=networks, config=config))
    bench.runner.forget()


def gc_config(valid: Pairs, config: dict[str, Any] | None = None) -> dict[str, Any]:
    """The runtime's list on stdin."""
    attachments = [{"containerID": container, "ifname": name} for container, name in valid]
    return (config or node_config()) | {"cni.dev/valid-attachments": attachments}


def gc(bench: Bench, *valid: str, config: dict[str, Any] | None = None) -> bytes:
    """GC as a runtime asks for it: these containers' eth0 are valid."""
    named = gc_config([(each, "eth0") for each in valid], config)
    return collect(bench.node, bench.request("GC", config=named))


def fault_of(bench: Bench, *valid: str) -> CniError:
    """How it fails."""
    with pytest.raises(CniError) as caught:
        gc(bench, *valid)
    return caught.value


def told(bench: Bench) -> dict[str, list[tuple[str, str]]]:
    """What each network's plugins heard, by "network/plugin"."""
    heard = {}
    for one in bench.runner.executions:
        if fakes.verb_of(one) == "GC":
            body = fakes.stdin_of(one)
            assert body["cni.dev/valid-attachments"] == body["cni.dev/attachments"]
            pairs = [(each["containerID"], each["ifname"]) for each in body["cni.dev/attachments"]]
            heard[f"{body['name']}/{one.type}"] = pairs
    return heard


def deleted(bench: Bench) -> list[tuple[str, str, str]]:
    """(container, plugin, namespace) of every DEL."""
    return [
        (one.environment["CNI_CONTAINERID"], one.type, one.environment["CNI_NETNS"])
        for one in bench.runner.executions
        if fakes.verb_of(one) == "DEL"
    ]


@pytest.fixture
def networks(bench: Bench) -> Bench:
    """`lan` and `copy` share a CNI name, so they share their leases; `old` does not know GC, `off` wants none."""
    bench.source.definitions |= {
        ("team", "lan"): network("macvlan", "tuning", name="shared"),
        ("team", "copy"): network("ipvlan", name="shared"),
        ("team", "old"): network("old", version="1.0.0"),
        ("team", "off"): network("off").replace('"plugins"', '"disableGC":true,"plugins"'),
    }
    return bench


def test_every_networks_plugins_hear_what_is_valid_of_their_network(networks: Bench) -> None:
    """Not the runtime's own list, which knows no net1 (B46), but the union over all of one CNI name (B47)."""
    attach(networks, "c1", "lan, old, off")
    attach(networks, "c2", "copy, lan")
    gc(networks, "c1", "c2")
    shared = [("c1", "net1"), ("c2", "net1"), ("c2", "net2")]
    assert told(networks) == {
        "cbr0/bridge": [("c1", "eth0"), ("c2", "eth0")],
        "shared/macvlan": shared,
        "shared/tuning": shared,
        "shared/ipvlan": shared,
    }
    assert deleted(networks) == []


def test_what_the_runtime_gave_up_is_deleted_whole_and_then_no_longer_valid(networks: Bench) -> None:
    """Full DEL, last network first (B20); the namespace is handed on, for it still stands."""
    attach(networks, "c1", "lan")
    attach(networks, "c2", "lan")
    gc(networks, "c2")
    assert deleted(networks) == [
        ("c1", "tuning", networks.path),
        ("c1", "macvlan", networks.path),
        ("c1", "bridge", networks.path),
    ]
    assert networks.files("c1") == []
    assert told(networks)["shared/macvlan"] == [("c2", "net1")]


@pytest.mark.parametrize("now", ["gone", "replaced"])
def test_a_namespace_that_is_gone_or_anothers_is_not_handed_on(networks: Bench, now: str) -> None:
    """The path proves nothing: device and inode must match (decision 10)."""
    attach(networks, "c1", "")
    os.rename(networks.path, f"{networks.path}-moved")  # noqa: PTH104  the path is a text here
    if now == "replaced":
        Path(networks.path).touch()
    gc(networks)
    assert deleted(networks) == [("c1", "bridge", "")]


def test_null_and_an_empty_list_mean_that_nothing_is_valid(networks: Bench) -> None:
    """Go writes null for an empty list (A32)."""
    attach(networks, "c1", "")
    config = node_config() | {"cni.dev/valid-attachments": None}
    collect(networks.node, networks.request("GC", config=config))
    assert networks.files("c1") == []
    assert told(networks) == {"cbr0/bridge": []}


def test_without_a_list_nothing_is_collected(networks: Bench) -> None:
    """An absent key is no list (A32): code 7, nothing touched."""
    attach(networks, "c1", "")
    with pytest.raises(CniError) as caught:
        collect(networks.node, networks.request("GC"))
    assert caught.value.code == Code.CONFIG
    assert networks.runner.calls == []
    assert "answer" in networks.files("c1")


def test_another_node_networks_sandboxes_are_not_ours_to_give_up(networks: Bench) -> None:
    """Its own GC speaks for them; until then all they hold is valid."""
    attach(networks, "c1", "lan", node_config() | {"name": "other-net"})
    gc(networks)
    assert deleted(networks) == []
    assert told(networks)["shared/macvlan"] == [("c1", "net1")]


def test_a_wrong_interface_is_not_our_sandboxs(networks: Bench) -> None:
    """Valid means container and interface together (A31)."""
    attach(networks, "c1", "")
    collect(networks.node, networks.request("GC", config=gc_config([("c1", "eth7")])))
    assert [container for container, _, _ in deleted(networks)] == ["c1"]


def test_a_sandbox_from_before_our_time_loses_nothing(networks: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Valid and without a record, as on a node that ran Multus: its eth0 stays valid, other networks are let be."""
    attach(networks, "c1", "lan")
    config = node_config(default_delegate(), default_delegate(name="second", type="dummy"))
    gc(networks, "c1", "before-us", config=config)
    assert told(networks) == {"cbr0/bridge": [("before-us", "eth0"), ("c1", "eth0")]}
    assert "only the default network is collected" in caplog.text


@pytest.mark.parametrize("how", ["plan", "mode"])
def test_a_record_that_cannot_be_read_frees_nothing(networks: Bench, how: str) -> None:
    """What it holds is not known, so no plugin is told that the rest is all; stale ones go all the same (A31)."""
    attach(networks, "c1", "lan")
    attach(networks, "c2", "lan")
    attach(networks, "c3", "lan")
    if how == "plan":
        networks.damage("plan", "c1")
    else:
        networks.record("c1").chmod(0o755)
    fault = fault_of(networks, "c1", "c2")
    assert fault.code == Code.IO
    assert fault.msg.startswith("sandbox 'c1': cannot trust ")
    assert told(networks) == {}
    assert {container for container, _, _ in deleted(networks)} == {"c3"}


def test_a_stale_sandbox_with_a_damaged_answer_is_deleted_by_its_steps(networks: Bench) -> None:
    """As by DEL (B18)."""
    attach(networks, "c1", "lan")
    networks.damage("answer", "c1")
    gc(networks)
    assert networks.files("c1") == []
    assert "prevResult" in fakes.stdin_of(networks.runner.executions[0])


def test_failures_are_told_together_and_stop_nothing(networks: Bench) -> None:
    """A DEL and a GC that fail: everything else is done, the record stays (A31)."""
    attach(networks, "c1", "lan")
    attach(networks, "c2", "lan")
    networks.runner.script("macvlan", "DEL", failure(5, "disk"))
    networks.runner.script("bridge", "GC", failure(11, "not found"))
    fault = fault_of(networks, "c2")
    assert fault.code == 5
    assert fault.msg == (
        "sandbox 'c1': network 'team/lan' (net1), DEL: plugin 'macvlan': disk; "
        "network 'cbr0', GC: plugin 'bridge': missing"
    )
    assert "plan" in networks.files("c1")
    assert [plugin for _, plugin, _ in deleted(networks)] == ["tuning", "macvlan", "bridge"]
    assert told(networks)["shared/tuning"] == [("c2", "net1")]


def test_a_gc_whose_shim_is_gone_is_finished_by_the_executor(networks: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Begun again, as DEL is: what is stale must go, whether or not anybody waits for the answer."""
    attach(networks, "c1", "lan")
    attach(networks, "c2", "lan")
    networks.runner.script("bridge", "DEL", ShimGone("killed"), fakes.DONE)
    spare = fakes.FakeRunner()
    networks.executor.plugins = spare
    with caplog.at_level("INFO"):
        assert gc(networks, "c2") == b""
    assert [plugin for _, plugin, _ in deleted(networks)] == ["tuning", "macvlan", "bridge"]
    assert [call for call in spare.calls if call[0] == "DEL"] == [
        ("DEL", "tuning", "net1"),
        ("DEL", "macvlan", "net1"),
        ("DEL", "bridge", "eth0"),
    ]
    assert [plugin for verb, plugin, _ in spare.calls if verb == "GC"] == ["bridge", "macvlan", "tuning"]
    assert {timeout > 20 for timeout in spare.timeouts} == {True}
    assert (networks.files("c1"), networks.executor.started) == ([], 1)
    assert "a GC was finished whose shim was killed" in caplog.text


def test_a_gc_whose_shim_dies_while_plugins_are_told_is_finished_too(networks: Bench) -> None:
    """Nothing is stale; all plugins are told, those that had heard already once more."""
    attach(networks, "c1", "lan")
    networks.runner.script("macvlan", "GC", ShimGone("killed"), fakes.DONE)
    gc(networks, "c1")
    assert networks.runner.calls == [
        ("GC", "bridge", ""),
        ("GC", "macvlan", ""),
        ("GC", "bridge", ""),
        ("GC", "macvlan", ""),
        ("GC", "tuning", ""),
    ]


def test_without_an_executor_a_gc_whose_shim_is_gone_ends(networks: Bench) -> None:
    """Code 11; the record stays for the next one."""
    attach(networks, "c1", "")
    networks.runner.script("bridge", "DEL", ShimGone("killed"))
    networks.executor.fault = Unavailable("no executor")
    assert fault_of(networks).code == Code.TRY_AGAIN
    assert "answer" in networks.files("c1")


def test_gc_goes_to_whoever_attached(networks: Bench) -> None:
    """The recorded owner, not today's: the delegate is loaded only now, and gone again later."""
    bridge, macvlan = FakeDelegate("bridge"), FakeDelegate("macvlan")
    networks.load(bridge, macvlan)
    attach(networks, "c1", "lan")
    networks.load(bridge, macvlan, types=frozenset())
    attach(networks, "c2", "copy")
    bridge.served.clear()
    macvlan.served.clear()
    gc(networks, "c1", "c2")
    assert told(networks) == {
        "cbr0/bridge": [("c1", "eth0"), ("c2", "eth0")],
        "shared/tuning": [("c1", "net1"), ("c2", "net1")],
        "shared/ipvlan": [("c1", "net1"), ("c2", "net1")],
    }
    assert (bridge.calls, macvlan.calls) == ([("GC", "")], [("GC", "")])
    (heard,) = macvlan.served
    assert json.loads(heard.stdin)["cni.dev/valid-attachments"] == [
        {"containerID": "c1", "ifname": "net1"},
        {"containerID": "c2", "ifname": "net1"},
    ]
    assert heard.pod is None


def test_the_delegate_of_today_collects_what_nobody_has_attached_yet(networks: Bench) -> None:
    """The default network is collected even where no sandbox is left: by whoever would attach it."""
    bridge = FakeDelegate("bridge")
    networks.load(bridge)
    gc(networks)
    assert (bridge.calls, networks.runner.calls) == ([("GC", "")], [])


def test_a_delegate_takes_a_stale_sandbox_away_with_its_namespace(networks: Bench) -> None:
    """Open, while that of the ADD still stands; for a delegate whose links were recorded they go first."""
    bridge = FakeDelegate("bridge")
    networks.load(bridge)
    attach(networks, "c1", "")
    gc(networks)
    add_call, del_call, gc_call = bridge.served
    assert [verb for verb, _ in bridge.calls] == ["ADD", "DEL", "GC"]
    assert (add_call.pod, del_call.pod is not None, gc_call.pod) == (networks.netns, True, None)
    assert del_call.variables["CNI_NETNS"] == networks.path
    assert networks.files("c1") == []


def test_each_owner_hears_of_a_network_once(networks: Bench) -> None:
    """Whatever kept us from it, and in a record from before there were owners too, it is the same program."""
    networks.load(FakeDelegate("bridge", reason="odd"))
    attach(networks, "c1", "")
    networks.load(FakeDelegate("bridge", reason="odder"))
    attach(networks, "c2", "")
    networks.load()
    attach(networks, "c3", "")
    forget_owners(networks, "c3")
    gc(networks, "c1", "c2", "c3")
    assert networks.runner.calls == [("GC", "bridge", "")]


def test_gc_waits_for_no_sandbox_longer_than_it_has(networks: Bench) -> None:
    """Code 11: it excludes ADD and DEL, and they it (B23)."""
    busy = networks.request("DEL").environment.container_id
    config = gc_config([])
    with networks.node.locks.sandbox(busy, time.monotonic() + 10), pytest.raises(CniError) as caught:
        collect(networks.node, networks.request("GC", config=config, seconds=0.02))
    assert caught.value.code == Code.TRY_AGAIN
    assert networks.runner.calls == []


def test_a_restarted_agent_collects_from_disk_alone(networks: Bench) -> None:
    """Nothing of the journal is kept in memory (decision 10)."""
    attach(networks, "c1", "lan")
    networks.node.journal.close()
    with closing(Journal(networks.folder / "state")) as journal:
        networks.node = replace(networks.node, journal=journal)
        gc(networks)
    assert networks.files("c1") == []

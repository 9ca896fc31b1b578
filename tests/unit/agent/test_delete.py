# SPDX-License-Identifier: Apache-2.0
"""DEL: whatever is left of the journal and of the sandbox, and never a permanent failure for damage of ours."""

import json
import os
import shutil
from dataclasses import replace
from typing import Any

import pytest

from metacni.agent.add import add
from metacni.agent.delete import delete
from metacni.cni import jsontext
from metacni.cni.errors import CniError, Code
from metacni.cni.names import PluginType
from metacni.core import plan
from metacni.exec.channel import ShimGone
from metacni.exec.frames import Execution
from metacni.kube.errors import SourceUnavailable
from metacni.netns import sandbox
from tests.unit.agent import fakes
from tests.unit.agent.delegates import FakeDelegate, Served, forget_owners
from tests.unit.agent.fakes import Bench, failure, network, node_config, output

ALL = ["ipvlan", "tuning", "macvlan", "bridge"]


def attach(bench: Bench, container: str = "c1") -> None:
    """A pod with three networks, four plugins."""
    bench.source.definitions |= {
        ("team", "lan"): network("macvlan", "tuning"),
        ("team", "storage"): network("ipvlan"),
    }
    add(bench.node, bench.request("ADD", container=container, networks="lan, storage"))
    bench.pending.settled.clear()
    bench.runner.forget()


def attach_half(bench: Bench) -> None:
    """The same, but the agent dies after `macvlan`: nothing is undone."""
    for verb in ("ADD", "DEL"):
        bench.runner.script("tuning", verb, ShimGone("killed"), fakes.DONE)
    with pytest.raises(ShimGone):
        attach(bench)
    bench.runner.script("tuning", "DEL", fakes.DONE)
    bench.runner.forget()


def deleted(bench: Bench) -> list[str]:
    """The plugins that were told to take something back, in order."""
    assert {verb for verb, _, _ in bench.runner.calls} <= {"DEL"}
    return [plugin for _, plugin, _ in bench.runner.calls]


def namespaces(bench: Bench) -> set[str]:
    """The CNI_NETNS of all calls."""
    return {one.environment["CNI_NETNS"] for one in bench.runner.executions}


def prev_results(bench: Bench) -> list[str | None]:
    """The first interface of the prevResult of each call."""
    bodies = map(fakes.stdin_of, bench.runner.executions)
    return [body["prevResult"]["interfaces"][0]["name"] if "prevResult" in body else None for body in bodies]


def fault_of(bench: Bench, **more: Any) -> CniError:
    """How this DEL fails."""
    with pytest.raises(CniError) as caught:
        delete(bench.node, bench.request("DEL", **more))
    return caught.value


def test_everything_is_taken_back_last_first_and_the_record_goes(bench: Bench) -> None:
    """All three networks, with their final results; statuses that wait are dropped, the shim's note too."""
    attach(bench)
    assert delete(bench.node, bench.request("DEL")) == b""
    assert deleted(bench) == ALL
    assert prev_results(bench) == ["net2", "net1", "net1", "eth0"]
    assert namespaces(bench) == {bench.path}
    assert bench.files() == []
    assert bench.publisher.forgotten == ["c1"]
    assert bench.pending.settled == ["c1"]


def test_a_sandbox_that_nobody_knows_is_deleted_already(bench: Bench) -> None:
    """Success, at once, and the shim's note goes (A26)."""
    assert delete(bench.node, bench.request("DEL")) == b""
    assert (bench.runner.calls, bench.pending.settled) == ([], ["c1"])


def test_del_twice_is_harmless(bench: Bench) -> None:
    """The runtime does that after a failed ADD (B38, G14)."""
    attach(bench)
    delete(bench.node, bench.request("DEL"))
    bench.runner.forget()
    delete(bench.node, bench.request("DEL"))
    assert bench.runner.calls == []


def test_today_does_not_matter(bench: Bench) -> None:
    """Definitions changed or gone, the API away, another configuration on stdin: the ADD's plan counts (B24, B42)."""
    attach(bench)
    bench.source.definitions.clear()
    bench.source.pods.clear()
    bench.source.fault = SourceUnavailable("away")
    delete(bench.node, bench.request("DEL", stdin=b"not even JSON"))
    assert deleted(bench) == ALL
    assert bench.source.reads == []


@pytest.mark.parametrize("netns", [None, "another"], ids=["gone", "another-sandboxs"])
def test_a_path_that_leads_elsewhere_by_now_is_not_handed_on(bench: Bench, netns: str | None) -> None:
    """Plugins get an empty namespace, and free what is on the node all the same (A27)."""
    attach(bench)
    with (bench.folder / "another").open("w") as other:
        delete(bench.node, bench.request("DEL", netns=None if netns is None else other.fileno()))
    assert namespaces(bench) == {""}
    assert deleted(bench) == ALL


def test_an_add_that_did_not_finish_is_deleted_whole(bench: Bench) -> None:
    """Also what was never reached (B15); each network gets the last result that is known (B16)."""
    attach_half(bench)
    delete(bench.node, bench.request("DEL"))
    assert deleted(bench) == ALL
    assert prev_results(bench) == [None, "net1", "net1", "eth0"]


def test_failures_are_one_error_and_the_record_stays_for_the_next_try(bench: Bench) -> None:
    """Every network is tried (B40), the first code counts, and the next DEL does the rest."""
    attach(bench)
    bench.runner.script("ipvlan", "DEL", failure(11, "busy", "wait"), fakes.DONE)
    bench.runner.script("macvlan", "DEL", failure(5, "disk"), fakes.DONE)
    fault = fault_of(bench)
    assert (fault.code, fault.details) == (11, "wait")
    assert fault.msg == (
        "network 'team/storage' (net2), DEL: plugin 'ipvlan': busy; "
        "network 'team/lan' (net1), DEL: plugin 'macvlan': disk"
    )
    assert deleted(bench) == ALL
    assert "plan" in bench.files()
    assert (bench.pending.settled, bench.publisher.forgotten) == ([], [])
    bench.runner.forget()
    delete(bench.node, bench.request("DEL"))
    assert deleted(bench) == ALL
    assert bench.files() == []


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        pytest.param("bridge not found", "bridge missing", id="not-found"),
        pytest.param("Not  Found", "missing", id="any-case"),
        pytest.param("open /x: no such file or directory", "open /x: path does not exist", id="no-such-file"),
    ],
)
def test_no_real_failure_reads_like_success(bench: Bench, said: str, shown: str) -> None:
    """containerd takes these words for "gone already" (B41, G15), in message and hint."""
    attach(bench)
    bench.runner.script("ipvlan", "DEL", failure(999, said, said))
    fault = fault_of(bench)
    assert fault.msg == f"network 'team/storage' (net2), DEL: plugin 'ipvlan': {shown}"
    assert fault.details == shown


def test_when_the_shim_is_gone_the_record_stays(bench: Bench) -> None:
    """Half of it may be deleted; the next DEL does all of it again."""
    attach(bench)
    bench.runner.script("macvlan", "DEL", ShimGone("killed"))
    with pytest.raises(ShimGone):
        delete(bench.node, bench.request("DEL"))
    assert "answer" in bench.files()
    assert bench.pending.settled == []


def test_a_del_whose_shim_is_gone_is_finished_by_the_executor(bench: Bench) -> None:
    """From its beginning: what was deleted already may be deleted again, and the runtime's next DEL finds nothing."""
    attach(bench)
    bench.runner.script("macvlan", "DEL", ShimGone("killed"), fakes.DONE)
    delete(bench.node, bench.request("DEL", seconds=20))
    assert bench.executor.started == 1
    assert (bench.files(), bench.pending.settled) == ([], ["c1"])
    assert min(bench.runner.timeouts[-3:]) > 20  # it has got a time of its own


def test_a_request_without_time_fails_and_keeps_the_record(bench: Bench) -> None:
    """Nothing was started, so nothing is forgotten."""
    attach(bench)
    assert fault_of(bench, seconds=0).code == Code.TRY_AGAIN
    assert (bench.runner.calls, "plan" in bench.files()) == ([], True)


def test_a_damaged_answer_is_made_up_for_by_the_steps(bench: Bench) -> None:
    """DEL goes on and succeeds (B18)."""
    attach(bench)
    bench.damage("answer")
    delete(bench.node, bench.request("DEL"))
    assert prev_results(bench) == ["net2", "net1", "net1", "eth0"]
    assert bench.files() == []


def test_a_damaged_step_leaves_only_its_result_out(bench: Bench) -> None:
    """The step before it is the last known one (B18)."""
    attach_half(bench)
    bench.damage("step-0-0")
    delete(bench.node, bench.request("DEL"))
    assert prev_results(bench) == [None, "net1", "net1", None]
    assert bench.files() == []


def test_a_step_that_no_plugin_should_have_printed_does_not_hold_the_pod(bench: Bench) -> None:
    """The ADD failed over it and its undo failed, too; DEL must not fail over it for ever (B18)."""
    nonsense = output({"cniVersion": "1.1.0", "ips": [{"address": "nonsense"}]})
    bench.runner.script("ipvlan", "ADD", nonsense)
    bench.runner.script("ipvlan", "DEL", failure(999, "no"), fakes.DONE)
    with pytest.raises(CniError):
        attach(bench)
    assert "step-2-0" in bench.files()
    bench.runner.forget()
    delete(bench.node, bench.request("DEL"))
    assert prev_results(bench) == [None, "net1", "net1", "eth0"]
    assert bench.files() == []


@pytest.mark.parametrize("name", ["plan", "sandbox"])
def test_a_damaged_file_does_not_stop_del(bench: Bench, name: str) -> None:
    """Without the plan: today's definitions and no result; without the identity: the path as it came."""
    attach(bench)
    bench.damage(name)
    delete(bench.node, bench.request("DEL", networks="lan, storage"))
    assert deleted(bench) == ALL
    assert namespaces(bench) == {bench.path}
    assert prev_results(bench) == ([None] * 4 if name == "plan" else ["net2", "net1", "net1", "eth0"])
    assert bench.files() == []


@pytest.mark.parametrize("how", ["link", "file", "mode"])
def test_a_record_that_cannot_be_trusted_at_all_is_replaced_by_todays_definitions(bench: Bench, how: str) -> None:
    """It is removed, not followed (B18)."""
    attach(bench)
    folder = bench.record()
    if how == "mode":
        folder.chmod(0o755)
    else:
        shutil.move(folder, bench.folder / "moved")
    if how == "link":
        folder.symlink_to(bench.folder / "moved")
    if how == "file":
        folder.write_text("x")
    delete(bench.node, bench.request("DEL", networks="lan, storage"))
    assert deleted(bench) == ALL
    assert not os.path.lexists(folder)
    assert how == "mode" or (bench.folder / "moved" / "plan").exists()
    assert bench.pending.settled == ["c1"]


def test_a_damaged_plan_of_a_pod_that_changed_uses_no_result_of_other_networks(bench: Bench) -> None:
    """Numbers of another plan say nothing: with fewer networks today, nothing is out of range, nothing mixed up."""
    attach(bench)
    bench.damage("plan")
    bench.source.definitions.clear()
    delete(bench.node, bench.request("DEL", networks=""))
    assert deleted(bench) == ["bridge"]
    assert prev_results(bench) == [None]
    assert bench.files() == []


@pytest.mark.parametrize("gone", ["pod", "another-pod", "definition"])
def test_a_damaged_plan_of_a_pod_that_is_gone_deletes_the_nodes_networks(bench: Bench, gone: str) -> None:
    """A permanent condition must not fail DEL, or the pod would be Terminating for ever (G15)."""
    attach(bench)
    bench.damage("plan")
    bench.source.definitions.clear()
    if gone == "definition":
        bench.source.pods["team", "web"] = fakes.pod(networks="lan")
    else:
        bench.source.pods.clear()
        bench.source.live |= {("team", "web"): fakes.pod("u2")} if gone == "another-pod" else {}
    delete(bench.node, bench.request("DEL"))
    assert deleted(bench) == ["bridge"]
    assert bench.files() == []


def test_a_damaged_plan_waits_for_an_api_server_that_is_only_away(bench: Bench) -> None:
    """That is no permanent condition: code 11, the record stays, the runtime asks again."""
    attach(bench)
    bench.damage("plan")
    bench.source.pods.clear()
    bench.source.fault = SourceUnavailable("connection refused")
    fault = fault_of(bench)
    assert (fault.code, fault.msg) == (Code.TRY_AGAIN, "cannot read the pod: connection refused")
    assert (bench.runner.calls, "plan" in bench.files()) == ([], True)


def test_a_plan_of_another_form_is_deleted_by_todays_definitions(bench: Bench) -> None:
    """A newer metacni wrote it; after a downgrade no pod may wait for ever (B18)."""
    attach(bench)
    record = bench.node.journal.open(bench.request("DEL").environment.container_id)
    assert record is not None
    body = jsontext.loads_object(record.plan, "plan") | {"form": plan.FORM + 1}
    record._replace("plan", jsontext.dumps(body))
    assert delete(bench.node, bench.request("DEL")) == b""
    assert deleted(bench) == ["bridge"]
    assert bench.files() == []


def test_every_plugin_reads_on_del_what_it_read_on_add_and_its_result(bench: Bench) -> None:
    """Golden, over journal and disk: capability arguments, CNI_ARGS, unknown keys and forms of numbers (B24, B35)."""
    raw = '{"cniVersion":"1.0.0","name":"x","plugins":[{"type":"macvlan","mtu":1.50e3,"capabilities":{"ips":true}}]}'
    bench.source.definitions["team", "lan"] = raw
    ports = [{"HostPort": 80, "ContainerPort": 8080, "Protocol": "tcp", "HostIP": ""}]
    default = {
        "cniVersion": "0.4.0",
        "name": "cbr0",
        "plugins": [{"type": "bridge", "z": 1, "a": {}}, {"type": "portmap", "capabilities": {"portMappings": True}}],
    }
    config = node_config(default) | {
        "runtimeConfig": {
            "portMappings": ports,
            fakes.ANNOTATIONS: {fakes.NETWORKS: '[{"name":"lan","ips":["10.9.9.9/24"],"cni-args":{"k":[1.0]}}]'},
        }
    }
    add(bench.node, bench.request("ADD", config=config))
    added = {one.type: one for one in bench.runner.executions}
    answer = json.loads((bench.record() / "answer").read_bytes()[65:])
    final = {"bridge": answer["results"][0], "portmap": answer["results"][0], "macvlan": answer["results"][1]}
    bench.runner.forget()
    delete(bench.node, bench.request("DEL"))
    assert deleted(bench) == ["macvlan", "portmap", "bridge"]
    for one in bench.runner.executions:
        before = {key: value for key, value in fakes.stdin_of(added[one.type]).items() if key != "prevResult"}
        assert fakes.stdin_of(one) == {**before, "prevResult": final[one.type]}
        head, _, _ = added[one.type].stdin.partition(b',"prevResult":')
        assert one.stdin.startswith(head.rstrip(b"}"))
        assert {**one.environment, "CNI_COMMAND": "ADD"} == added[one.type].environment
    assert b'"mtu":1.50e3' in bench.runner.executions[0].stdin
    assert b'"portMappings":[{"hostPort":80' in bench.runner.executions[1].stdin


def attach_ours(bench: Bench, **more: Any) -> tuple[FakeDelegate, FakeDelegate]:
    """A pod whose `bridge` and `ipvlan` are delegates of ours, with links; `macvlan` and `tuning` are programs."""

    def linked(one: Served) -> bytes:
        for index in (4, 5):
            one.edges.made(index)
        return fakes.attached(
            Execution(type=PluginType("x"), path=(), environment=one.variables, stdin=one.stdin)
        ).stdout

    ours = FakeDelegate("bridge", replies={"ADD": linked}), FakeDelegate("ipvlan", replies={"ADD": linked})
    bench.load(*ours, **more)
    attach(bench)
    for one in ours:
        one.served.clear()
    return ours


def test_whoever_attached_takes_away(bench: Bench) -> None:
    """Whatever the setting says today: a delegate gets the pod's namespace and the result, a program its path."""
    bridge, ipvlan = attach_ours(bench)
    bench.load(bridge, ipvlan, FakeDelegate("macvlan"), types=frozenset({"macvlan"}))
    delete(bench.node, bench.request("DEL"))
    assert (bridge.calls, ipvlan.calls) == ([("DEL", "eth0")], [("DEL", "net2")])
    assert deleted(bench) == ["tuning", "macvlan"]
    assert [one.pod for one in (*bridge.served, *ipvlan.served)] == [bench.netns] * 2
    assert json.loads(bridge.served[0].stdin)["prevResult"]["interfaces"][0]["name"] == "eth0"
    assert bench.files() == []


def test_a_delegate_that_is_not_loaded_any_more_keeps_the_record(bench: Bench) -> None:
    """Its network is told (code 7), the others are taken away, and a later DEL with it does the rest."""
    bridge, ipvlan = attach_ours(bench)
    bench.load(ipvlan)
    fault = fault_of(bench)
    assert (fault.code, fault.msg) == (
        Code.CONFIG,
        "network 'cbr0' (eth0), DEL: plugin 'bridge': the agent has no such delegate",
    )
    assert (ipvlan.calls, deleted(bench)) == ([("DEL", "net2")], ["tuning", "macvlan"])
    bench.load(bridge, ipvlan)
    delete(bench.node, bench.request("DEL"))
    assert (bridge.calls, bench.files()) == ([("DEL", "eth0")], [])


def test_a_record_from_before_there_were_owners_is_the_programs(bench: Bench) -> None:
    """They attached it; a delegate that has come since does not touch it."""
    attach(bench)
    forget_owners(bench)
    bridge = FakeDelegate("bridge")
    bench.load(bridge)
    delete(bench.node, bench.request("DEL"))
    assert (bridge.calls, deleted(bench), bench.files()) == ([], ALL, [])


@pytest.mark.parametrize("netns", [None, "another"], ids=["gone", "another-sandboxs"])
def test_a_delegate_gets_no_namespace_that_is_not_the_adds(bench: Bench, netns: str | None) -> None:
    """Neither open nor as a path; and no link of that other sandbox is deleted."""
    bridge, ipvlan = attach_ours(bench)
    with (bench.folder / "another").open("w") as other:
        delete(bench.node, bench.request("DEL", netns=None if netns is None else other.fileno()))
    served = (*bridge.served, *ipvlan.served)
    assert [(one.pod, one.variables["CNI_NETNS"]) for one in served] == [(None, "")] * 2
    assert bench.files() == []


def test_the_recorded_links_go_first_and_their_failure_is_none(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Here the agent cannot enter the pod at all, so each delegate looks for itself."""
    attach_ours(bench)
    with caplog.at_level("INFO"):
        delete(bench.node, bench.request("DEL"))
    assert caplog.text.count("the pod's links are deleted one by one") == 2  # a program stands between the two
    assert bench.files() == []


def test_without_a_plan_todays_owners_take_away(bench: Bench) -> None:
    """A delegate that would refuse to attach this today does so too: a permanent condition must not fail DEL (G15)."""
    attach_ours(bench)
    bench.damage("plan")
    bridge, ipvlan = FakeDelegate("bridge", reason="odd"), FakeDelegate("ipvlan")
    bench.load(bridge, ipvlan, types=frozenset({"bridge"}))
    delete(bench.node, bench.request("DEL", networks="lan, storage"))
    assert (bridge.calls, ipvlan.calls) == ([("DEL", "eth0")], [])
    assert deleted(bench) == ["ipvlan", "tuning", "macvlan"]
    assert bench.files() == []


@pytest.mark.parametrize("name", ["plan", "sandbox"])
def test_a_file_that_an_unmount_left_is_no_namespace(bench: Bench, name: str) -> None:
    """Also where the record does not say which it was: nobody is sent there (E15), and DEL succeeds."""
    bridge, ipvlan = attach_ours(bench)
    bench.damage(name)
    bench.node = replace(bench.node, require_foreign=sandbox.require_foreign)
    delete(bench.node, bench.request("DEL", networks="lan, storage"))
    assert namespaces(bench) == {""}
    assert [one.pod for one in (*bridge.served, *ipvlan.served)] == [None, None]
    assert bench.files() == []


def test_a_del_whose_shim_is_gone_goes_on_with_the_namespace(bench: Bench) -> None:
    """It is the request's own; a delegate that ran already may be asked again."""
    bridge, ipvlan = attach_ours(bench)
    bench.runner.script("macvlan", "DEL", ShimGone("killed"), fakes.DONE)
    delete(bench.node, bench.request("DEL"))
    assert (ipvlan.calls, bridge.calls) == ([("DEL", "net2")] * 2, [("DEL", "eth0")])
    assert bridge.served[0].pod == bench.netns
    assert (bench.files(), bench.executor.started) == ([], 1)

# SPDX-License-Identifier: Apache-2.0
"""ADD from the call to the answer, around a real journal; above all what is left when it fails."""

import json
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metacni.agent.add import add
from metacni.agent.delete import delete
from metacni.cni.errors import CniError, Code
from metacni.cni.names import ContainerId, PluginType
from metacni.exec.channel import ShimGone
from metacni.exec.frames import Execution
from metacni.exec.outcome import Output
from metacni.kube.errors import SourceUnavailable
from metacni.netns import sandbox as namespaces
from tests.unit.agent import fakes
from tests.unit.agent.delegates import FakeDelegate, Served
from tests.unit.agent.fakes import Bench, FullDiskJournal, failure, network, node_config, output


def two_networks(bench: Bench) -> None:
    """`lan` (two plugins) and `storage` (one), which the pod asks for."""
    bench.source.definitions |= {
        ("team", "lan"): network("macvlan", "tuning", ipam={"type": "host-local"}),
        ("team", "storage"): network("ipvlan"),
    }


def fault_of(bench: Bench, **more: Any) -> CniError:
    """How this ADD fails."""
    with pytest.raises(CniError) as caught:
        add(bench.node, bench.request("ADD", **more))
    return caught.value


def deleted(bench: Bench) -> list[str]:
    """The plugins that were told to take something back, in order."""
    return [plugin for verb, plugin, _ in bench.runner.calls if verb == "DEL"]


def test_everything_is_attached_in_order_and_the_result_merged(bench: Bench) -> None:
    """The default network first, then the annotation's (B36); the answer holds every interface (decision 9)."""
    two_networks(bench)
    answer = json.loads(add(bench.node, bench.request("ADD", networks="lan, storage")))
    assert bench.runner.calls == [
        ("ADD", "bridge", "eth0"),
        ("ADD", "macvlan", "net1"),
        ("ADD", "tuning", "net1"),
        ("ADD", "ipvlan", "net2"),
    ]
    assert answer["cniVersion"] == "1.1.0"
    assert [one["name"] for one in answer["interfaces"]] == ["eth0", "net1", "net2"]
    assert [(ip["address"], ip["interface"]) for ip in answer["ips"]] == [
        ("10.0.0.2/24", 0),
        ("10.0.1.2/24", 1),
        ("10.0.2.2/24", 2),
    ]


def test_the_journal_holds_each_step_and_the_answer(bench: Bench) -> None:
    """What DEL and CHECK need, and the status until it is written (decisions 10 and 11)."""
    two_networks(bench)
    add(bench.node, bench.request("ADD", networks="lan"))
    assert bench.files() == ["answer", "plan", "sandbox", "step-0-0", "step-1-0", "step-1-1", "unsent"]
    ((pod, text, done),) = bench.publisher.statuses
    assert (pod.namespace, pod.name, pod.uid) == ("team", "web", "u1")
    assert [(one["name"], one["interface"]) for one in json.loads(text)] == [("cbr0", "eth0"), ("team/lan", "net1")]
    done()
    assert "unsent" not in bench.files()


def test_one_event_lists_all_interfaces(bench: Bench) -> None:
    """Decision 11."""
    two_networks(bench)
    add(bench.node, bench.request("ADD", networks="lan"))
    message = "Add eth0 [10.0.0.2/24] from cbr0; Add net1 [10.0.1.2/24] from team/lan"
    assert bench.publisher.events == [("AddedInterface", message, False)]


def test_a_call_that_names_no_pod_gets_the_nodes_networks(bench: Bench) -> None:
    """By hand, with cnitool: nothing is looked up and nobody is told (D30)."""
    answer = json.loads(add(bench.node, bench.request("ADD", args="")))
    assert [one["name"] for one in answer["interfaces"]] == ["eth0"]
    assert (bench.publisher.statuses, bench.publisher.events, bench.source.reads) == ([], [], [])
    assert "unsent" not in bench.files()


def test_the_answer_is_in_the_version_of_the_call(bench: Bench) -> None:
    """Whatever the delegate speaks (A40), and in the old form the primary's part only."""
    two_networks(bench)
    config = node_config(fakes.default_delegate(cniVersion="1.0.0")) | {"cniVersion": "0.2.0"}
    answer = json.loads(add(bench.node, bench.request("ADD", config=config, networks="lan")))
    assert (answer["cniVersion"], answer["ip4"]["ip"]) == ("0.2.0", "10.0.0.2/24")
    assert stamps(bench) == ["1.0.0", "1.1.0", "1.1.0"]


def stamps(bench: Bench) -> list[str]:
    """The version that each plugin was called with."""
    return [fakes.stdin_of(one)["cniVersion"] for one in bench.runner.executions]


@pytest.mark.parametrize("culprit", ["bridge", "macvlan", "tuning", "ipvlan"])
def test_a_plugin_that_fails_at_any_step_leaves_nothing(bench: Bench, culprit: str) -> None:
    """What was begun is deleted last first, the record is gone, and an Event says why (B37, B38)."""
    two_networks(bench)
    bench.runner.script(culprit, "ADD", failure(100, "no"))
    fault = fault_of(bench, networks="lan, storage")
    assert fault.code == 100
    order = {"bridge": 1, "macvlan": 3, "tuning": 3, "ipvlan": 4}
    assert deleted(bench) == ["ipvlan", "tuning", "macvlan", "bridge"][4 - order[culprit] :]
    assert bench.files() == []
    assert bench.publisher.statuses == []
    assert bench.publisher.events == [("FailedAttach", fault.msg, True)]


def test_an_undo_that_fails_keeps_the_record_and_the_adds_own_error(bench: Bench) -> None:
    """The runtime's DEL finds it and tries again."""
    two_networks(bench)
    bench.runner.script("ipvlan", "ADD", failure(100, "no"))
    bench.runner.script("macvlan", "DEL", failure(5, "disk"), fakes.DONE)
    assert "plugin 'ipvlan': no" in fault_of(bench, networks="lan, storage").msg
    assert "answer" not in bench.files()
    bench.runner.forget()
    delete(bench.node, bench.request("DEL"))
    assert deleted(bench) == ["ipvlan", "tuning", "macvlan", "bridge"]
    assert bench.files() == []


def test_when_the_shim_is_gone_the_executor_undoes_it(bench: Bench) -> None:
    """Nothing is left without a further call; the path is handed on no more, for it leads elsewhere by now."""
    two_networks(bench)

    def hang_up(_: Execution) -> Output:
        (bench.folder / "netns").rename(bench.folder / "elsewhere")
        raise ShimGone("hung up")

    bench.runner.script("tuning", "ADD", hang_up)
    with pytest.raises(ShimGone):
        add(bench.node, bench.request("ADD", networks="lan, storage"))
    assert (deleted(bench), bench.executor.started) == (["tuning", "macvlan", "bridge"], 1)
    assert {one.environment["CNI_NETNS"] for one in bench.runner.executions[-3:]} == {""}
    assert bench.files() == []


def test_when_the_shim_is_gone_and_there_is_no_executor_the_record_stays(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can run the undo: the plan must be there for the runtime's DEL, and the log says so."""
    two_networks(bench)
    bench.executor.fault = CniError(Code.TRY_AGAIN, "no executor")
    bench.runner.script("tuning", "ADD", ShimGone("hung up"))
    with pytest.raises(ShimGone):
        add(bench.node, bench.request("ADD", networks="lan, storage"))
    assert bench.files() == ["plan", "sandbox", "step-0-0", "step-1-0"]
    assert "undo failed; the runtime's DEL will repeat it" in caplog.text


@pytest.mark.parametrize("room", range(7))
def test_a_disk_that_fills_up_at_any_write_leaves_nothing(tmp_path: Path, room: int) -> None:
    """Plan, four steps, answer, status: whichever cannot be written, all that ran is taken back (B14, B39)."""
    with closing(FullDiskJournal(tmp_path / "state", room=room)) as journal:
        bench = fakes.bench(tmp_path, journal)
        two_networks(bench)
        with pytest.raises(OSError, match="No space left on device"):
            add(bench.node, bench.request("ADD", networks="lan, storage"))
        begun = [[], ["bridge"], ["tuning", "macvlan", "bridge"], ["tuning", "macvlan", "bridge"]]
        everything = ["ipvlan", "tuning", "macvlan", "bridge"]
        assert deleted(bench) == [*begun, everything, everything, everything][room]
        assert bench.files() == []
        assert bench.publisher.statuses == []


def test_the_last_write_is_the_last(tmp_path: Path) -> None:
    """The table above is complete: with room for seven writes the ADD succeeds."""
    with closing(FullDiskJournal(tmp_path / "state", room=7)) as journal:
        bench = fakes.bench(tmp_path, journal)
        two_networks(bench)
        assert add(bench.node, bench.request("ADD", networks="lan, storage"))
        assert journal.room == 0


def test_a_record_that_rots_between_two_steps_takes_the_attachments_back(bench: Bench) -> None:
    """A folder that others may write to is no longer trusted, and what ran is undone."""

    def open_to_all(execution: Execution) -> Output:
        bench.record().chmod(0o777)
        return fakes.attached(execution)

    bench.runner.script("bridge", "ADD", open_to_all)
    with pytest.raises(Exception, match="others may use it"):
        add(bench.node, bench.request("ADD"))
    assert deleted(bench) == ["bridge"]
    assert bench.files() == []


def test_a_second_add_without_del_is_refused_and_changes_nothing(bench: Bench) -> None:
    """A24: the first one's record and attachments are untouched."""
    add(bench.node, bench.request("ADD"))
    before = bench.files()
    bench.runner.forget()
    fault = fault_of(bench)
    assert fault.code == Code.ENVIRONMENT
    assert fault.msg == "cannot attach sandbox 'c1': it has a record already"
    assert (bench.runner.calls, bench.files()) == ([], before)


def test_a_second_add_waits_for_the_first_and_gives_up_in_time(bench: Bench) -> None:
    """Two calls for one sandbox never overlap (B23)."""
    entered, release = threading.Event(), threading.Event()

    def slow(execution: Execution) -> Output:
        entered.set()
        release.wait(10)
        return fakes.attached(execution)

    bench.runner.script("bridge", "ADD", slow)
    first = threading.Thread(target=add, args=(bench.node, bench.request("ADD")))
    first.start()
    entered.wait(10)
    fault = fault_of(bench, seconds=0.05)
    release.set()
    first.join()
    assert (fault.code, fault.msg) == (Code.TRY_AGAIN, "cannot start: sandbox 'c1' is busy")
    assert bench.runner.calls == [("ADD", "bridge", "eth0")]


def test_a_plugin_that_is_missing_is_found_out_before_anything_runs(bench: Bench) -> None:
    """Every missing type, the networks that need it, and where it was sought (B1)."""
    two_networks(bench)
    bench.runner.missing = frozenset({PluginType("tuning"), PluginType("ipvlan")})
    fault = fault_of(bench, networks="lan, storage")
    assert fault.code == Code.CONFIG
    assert fault.msg == (
        "network 'team/lan', network 'team/storage': "
        "cannot find plugin 'ipvlan', 'tuning' in '/opt/cni/bin:/usr/lib/cni'"
    )
    assert (bench.runner.calls, bench.files()) == ([], [])
    assert bench.runner.finds == [(("bridge", "macvlan", "tuning", "ipvlan"), ("/opt/cni/bin", "/usr/lib/cni"))]


def test_a_missing_definition_has_an_event_of_its_own(bench: Bench) -> None:
    """Code 7, nothing attached, reason NoNetworkFound (C28)."""
    fault = fault_of(bench, networks="none")
    assert fault.code == Code.CONFIG
    assert bench.publisher.events == [
        ("NoNetworkFound", "network 'team/none': there is no NetworkAttachmentDefinition of that name", True)
    ]
    assert bench.files() == []


def test_an_outage_of_the_api_server_matters_only_for_what_is_not_known(bench: Bench) -> None:
    """Annotations with the call and definitions in the cache are enough (decision 8)."""
    two_networks(bench)
    bench.source.fault = SourceUnavailable("connection refused")
    add(bench.node, bench.request("ADD", networks="lan"))
    assert bench.source.reads == []
    fault = fault_of(bench, container="c2", networks="lan, other")
    assert fault.code == Code.TRY_AGAIN
    assert fault.msg == "network 'team/other': cannot read its definition: connection refused"


def test_without_a_namespace_nothing_is_attached(bench: Bench) -> None:
    """The shim could not open the path (code 4)."""
    fault = fault_of(bench, netns=None)
    assert fault.code == Code.ENVIRONMENT
    assert fault.msg == f"cannot open the network namespace '{bench.path}' of CNI_NETNS"
    assert bench.files() == []


def test_a_descriptor_that_is_no_pods_namespace_is_refused_first(bench: Bench) -> None:
    """The real check: a file is no namespace, and the test's own is the node's."""
    bench.node = replace(bench.node, require_foreign=namespaces.require_foreign)
    assert fault_of(bench).code == Code.NETNS
    with Path("/proc/thread-self/ns/net").open("rb") as own:
        assert "it is the node's own" in fault_of(bench, netns=own.fileno()).msg
    assert (bench.runner.calls, bench.files()) == ([], [])


def gateway_requested(bench: Bench) -> str:
    """An annotation that asks for a default route over `storage`."""
    two_networks(bench)
    return '[{"name":"storage","default-route":["10.0.1.1"]}]'


def test_a_default_route_is_set_and_told(bench: Bench) -> None:
    """The plan is carried out in the pod, and the answer and the status say what is in force (C53, C54)."""
    answer = json.loads(add(bench.node, bench.request("ADD", networks=gateway_requested(bench))))
    (made,) = bench.routes.plans
    assert [(name, str(gateway)) for name, gateway in made.add] == [("net1", "10.0.1.1")]
    assert answer["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.0.1.1"}]
    assert json.loads(bench.publisher.statuses[0][1])[1]["default-route"] == ["10.0.1.1"]


def test_a_default_route_that_cannot_be_set_takes_everything_back(bench: Bench) -> None:
    """Where Multus leaves the interfaces behind (B39)."""
    bench.routes.fault = CniError(Code.INTERNAL, "cannot set the default route")
    assert fault_of(bench, networks=gateway_requested(bench)).msg == "cannot set the default route"
    assert deleted(bench) == ["ipvlan", "bridge"]
    assert bench.files() == []


@pytest.mark.parametrize("result", [{"ips": [{"address": "x"}]}, {"cniVersion": "9.9.9"}], ids=["address", "version"])
def test_a_result_that_cannot_be_used_takes_everything_back(bench: Bench, result: object) -> None:
    """The plugin ran and said success, so its DEL is due."""
    two_networks(bench)
    bench.runner.script("ipvlan", "ADD", output(result))
    fault_of(bench, networks="storage")
    assert deleted(bench) == ["ipvlan", "bridge"]
    assert bench.files() == []


def test_a_lenient_node_says_what_it_passes_over(bench: Bench) -> None:
    """Type multus attaches all the same, with a warning Event; type metacni refuses (C41, decision 18)."""
    two_networks(bench)
    asked = '[{"name":"storage","ips":["10.9.9.9/24"]}]'
    add(bench.node, bench.request("ADD", config=node_config() | {"type": "multus"}, networks=asked))
    ((_, _, warning), (reason, message, serious)) = bench.publisher.events
    assert (warning, reason, serious) == (False, "UnservedRequest", True)
    assert message == "network 'team/storage' may pass over ips: no plugin of it declares that capability"
    assert "no plugin of it can take 'ips'" in fault_of(bench, container="c2", networks=asked).msg


def test_a_plan_with_a_lease_outside_the_node_may_be_written_in_any_spelling(bench: Bench) -> None:
    """Keys are found as Go finds them, also where it is decided whether to sync; a wrong type is an error in words."""
    bench.source.definitions["team", "lan"] = network("macvlan", IPAM={"Type": "whereabouts"})
    add(bench.node, bench.request("ADD", networks="lan"))
    bad = node_config(fakes.default_delegate(ipam={"type": ["x"]}))
    assert fault_of(bench, container="c2", config=bad).code == Code.DECODE
    assert bench.files("c2") == []


def test_no_secret_of_the_configuration_is_told(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the log nor the Event nor the error holds what stands on stdin (decision 16)."""
    bench.source.definitions["team", "lan"] = network("macvlan", key="s3cret")
    bench.runner.script("macvlan", "ADD", failure(999, "no"))
    bench.runner.script("macvlan", "DEL", failure(999, "no"))
    with caplog.at_level("DEBUG"):
        fault = fault_of(bench, networks="lan")
    told = "".join(str(vars(line)) for line in caplog.records) + repr(fault) + repr(bench.publisher.events)
    assert "nothing more can be done" in told
    assert "s3cret" not in told
    assert "s3cret" in bench.runner.executions[-2].stdin.decode()


def test_an_add_takes_back_the_record_of_an_earlier_del(bench: Bench) -> None:
    """One that was refused and never repeated must not take the living pod down at the agent's next start."""
    add(bench.node, bench.request("ADD"))
    assert bench.pending.settled == ["c1"]


def test_what_is_ours_is_carried_out_in_the_agent(bench: Bench) -> None:
    """No program is sought for it, its delegate gets the pod's namespace, and the answer is put together as ever."""
    two_networks(bench)
    bridge, macvlan = FakeDelegate("bridge"), FakeDelegate("macvlan")
    bench.load(bridge, macvlan)
    answer = json.loads(add(bench.node, bench.request("ADD", networks="lan, storage")))
    assert [one["name"] for one in answer["interfaces"]] == ["eth0", "net1", "net2"]
    assert (bridge.calls, macvlan.calls) == ([("ADD", "eth0")], [("ADD", "net1")])
    assert [one.pod for one in (*bridge.served, *macvlan.served)] == [bench.netns] * 2
    assert bench.runner.calls == [("ADD", "tuning", "net1"), ("ADD", "ipvlan", "net2")]
    assert [types for types, _ in bench.runner.finds] == [("host-local", "tuning", "ipvlan")]


def test_where_all_is_ours_no_program_is_sought(bench: Bench) -> None:
    """A round trip to the shim less."""
    bench.load(FakeDelegate("bridge"), FakeDelegate("host-local"))
    add(bench.node, bench.request("ADD"))
    assert (bench.runner.finds, bench.runner.calls) == ([], [])


def test_the_ipam_of_a_delegate_is_missed_before_anything_runs(bench: Bench) -> None:
    """A foreign plugin's is that one's to find; ours asks the shim for it, so its network is named (B1)."""
    bridge = FakeDelegate("bridge")
    bench.load(bridge)
    bench.source.definitions["team", "lan"] = network("macvlan", ipam={"type": "dhcp"})
    bench.runner.missing = frozenset({PluginType("dhcp")})
    config = node_config(fakes.default_delegate(ipam={"type": "dhcp"}))
    fault = fault_of(bench, networks="lan", config=config)
    assert fault.code == Code.CONFIG
    assert fault.msg == "network 'cbr0': cannot find plugin 'dhcp' in '/opt/cni/bin:/usr/lib/cni'"
    assert (bridge.calls, bench.runner.calls, bench.files()) == ([], [], [])


def test_the_journal_holds_owners_and_links(bench: Bench) -> None:
    """Who takes it away, why not we, and which links may go together: of each attachment, in order."""
    two_networks(bench)
    made = {"eth0": [4], "net2": [7, 8]}

    def linked(one: Served) -> bytes:
        for index in made[one.variables["CNI_IFNAME"]]:
            one.edges.made(index)
        return b'{"cniVersion":"1.1.0"}'

    bench.load(
        FakeDelegate("bridge", replies={"ADD": linked}),
        FakeDelegate("macvlan", reason="key 'bc' is not known"),
        FakeDelegate("ipvlan", replies={"ADD": linked}),
    )
    add(bench.node, bench.request("ADD", networks="lan, storage"))
    record = bench.node.journal.open(ContainerId("c1"))
    assert record is not None
    assert [one["owners"] for one in json.loads(record.plan)["attachments"]] == [
        [{"by": "agent"}],
        [{"by": "program", "why": "key 'bc' is not known"}, {"by": "program"}],
        [{"by": "agent"}],
    ]
    assert json.loads(record.answer or b"")["links"] == [[4], [], [7, 8]]


def test_what_must_be_ours_and_cannot_leaves_nothing(bench: Bench) -> None:
    """Code 2 with the network in front, an Event, and not a step was made."""
    bridge = FakeDelegate("bridge", reason="key 'x' is not known")
    bench.load(bridge, types=frozenset({"bridge"}))
    fault = fault_of(bench)
    told = "network 'cbr0' (eth0): cannot serve plugin 'bridge' in the agent: key 'x' is not known"
    assert (fault.code, fault.msg) == (Code.UNSUPPORTED_FIELD, told)
    assert bench.publisher.events == [("FailedAttach", told, True)]
    assert (bridge.calls, bench.runner.calls, bench.files()) == ([], [], [])


def test_a_failure_after_a_delegate_takes_back_what_that_made(bench: Bench) -> None:
    """With the pod's namespace, and also after the shim's death, while the namespace stands."""
    two_networks(bench)
    bridge = FakeDelegate("bridge")
    bench.load(bridge)
    bench.runner.script("macvlan", "ADD", failure(100, "no"), ShimGone("killed"))
    fault_of(bench, networks="lan")
    assert (bridge.calls, bench.files()) == ([("ADD", "eth0"), ("DEL", "eth0")], [])
    assert bridge.served[1].pod == bench.netns
    with pytest.raises(ShimGone):
        add(bench.node, bench.request("ADD", networks="lan"))
    assert bridge.calls[2:] == [("ADD", "eth0"), ("DEL", "eth0")]
    assert bridge.served[3].pod not in (None, bench.netns)
    assert (bridge.served[3].variables["CNI_NETNS"], bench.files()) == (bench.path, [])


def test_a_namespace_that_the_agent_cannot_see_at_its_path_is_refused(bench: Bench) -> None:
    """An agent that sees it only as a descriptor would take the pod for gone later, and free its addresses."""
    (bench.folder / "netns").rename(bench.folder / "elsewhere")
    with pytest.raises(CniError, match="does not see namespace") as told:
        add(bench.node, bench.request("ADD"))
    assert told.value.code == 4
    assert "netnsDir" in told.value.details
    assert bench.runner.calls == []

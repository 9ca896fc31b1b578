# SPDX-License-Identifier: Apache-2.0
"""The order of things: forward, backward, and how far when something fails."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacni.agent import attach
from metacni.agent.attach import Known
from metacni.agent.runner import Sandbox
from metacni.cni import config, jsontext
from metacni.cni.errors import CniError
from metacni.cni.jsontext import Json
from metacni.cni.names import ContainerId, IfName, NetnsPath, NetworkName
from metacni.core.owner import AGENT, PROGRAM
from metacni.core.plan import Attachment, Plan
from metacni.exec.channel import ShimGone
from metacni.exec.outcome import Output
from tests.unit.agent.delegates import FakeResident
from tests.unit.agent.fakes import DONE, FakeRunner, failure, output, stdin_of

NONE: frozenset[str] = frozenset()
POD = 77
"""A number that stands for the pod's open namespace."""


class Notebook:
    """Steps in memory, each with how many plugins had run by then."""

    def __init__(self, plugins: FakeRunner) -> None:
        self._plugins = plugins
        self.kept: list[tuple[int, int, int]] = []

    def step(self, attachment: int, plugin: int, result: bytes) -> None:
        """Keep it."""
        assert json.loads(result)
        self.kept.append((attachment, plugin, len(self._plugins.executions)))


def attachment(number: int, *types: str, version: str = "1.1.0", **keys: Json) -> Attachment:
    """Network number `number`, a list of plugins of these types; `keys` stand in the list."""
    plugins: list[Json] = [{"type": each} for each in types]
    body: dict[str, Json] = {"cniVersion": version, "name": f"n{number}", "plugins": plugins, **keys}
    return Attachment(
        network=f"n{number}",
        ifname=IfName(f"net{number}" if number else "eth0"),
        config=config.parse(body),
        capability_args={},
        cni_args="",
        default=number == 0,
        default_route=None,
    )


def sandbox(
    plugins: FakeRunner, *attachments: Attachment, prev_result: Json = None, resident: FakeResident | None = None
) -> Sandbox:
    """A sandbox with these attachments."""
    plan = Plan(
        container_id=ContainerId("c1"),
        netns=NetnsPath("/run/netns/c1"),
        pod=None,
        node_network=NetworkName("node-net"),
        version="1.1.0",
        primary_only=False,
        search_path=("/bin",),
        attachments=attachments,
        prev_result=prev_result,
    )
    return Sandbox(
        plan=plan,
        netns=plan.netns,
        pod=POD,
        runner=plugins,
        resident=resident or FakeResident(plugins),
        deadline=time.monotonic() + 100,
    )


def add_and_undo(where: Sandbox, plugins: FakeRunner) -> bool:
    """ADD that takes back what it began; whether all of it went."""
    gone: list[bool] = []
    with pytest.raises(CniError), attach.Undo(where, lambda: gone.append(True), lambda: nullcontext(where)) as undo:
        attach.add(where, Notebook(plugins), undo)
    return gone == [True]


def add(where: Sandbox, notebook: "Notebook") -> None:
    """ADD that nothing is expected to fail."""
    with attach.Undo(where, lambda: None, lambda: nullcontext(where)) as undo:
        attach.add(where, notebook, undo)


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        pytest.param({"cniVersion": "9.9.9"}, "cannot use CNI version '9.9.9'", id="version"),
        pytest.param({"cniVersion": 5}, "cannot decode key 'cniVersion'", id="version-number"),
        pytest.param({"ips": [{"address": "nonsense"}]}, "cannot decode result key 'address'", id="address"),
    ],
)
def test_a_result_that_makes_no_sense_is_the_fault_of_its_plugin(printed: dict[str, Json], said: str) -> None:
    """Network, interface, verb and plugin stand in front (decision 16), and no later plugin is given it."""
    plugins = FakeRunner()
    plugins.script("a", "ADD", output({"cniVersion": "1.1.0"} | printed))
    with pytest.raises(CniError) as caught:
        add(sandbox(plugins, attachment(0, "a", "b")), Notebook(plugins))
    assert caught.value.msg.startswith(f"network 'n0' (eth0), ADD: plugin 'a': {said}")
    assert [one.type for one in plugins.executions if one.environment["CNI_COMMAND"] == "ADD"] == ["a"]


@given(
    shape=st.lists(st.integers(min_value=1, max_value=3), min_size=1, max_size=4),
    choice=st.integers(min_value=0, max_value=11),
)
def test_a_failure_at_any_step_deletes_exactly_what_was_begun_last_first(shape: list[int], choice: int) -> None:
    """The failed attachment included, whole lists, each in reverse (B15, B37); what was not begun is not touched."""
    steps = [(number, f"p{number}-{index}") for number, count in enumerate(shape) for index in range(count)]
    failing, culprit = steps[choice % len(steps)]
    plugins = FakeRunner()
    plugins.script(culprit, "ADD", failure(999, "no"))
    where = sandbox(
        plugins,
        *(attachment(number, *(f"p{number}-{index}" for index in range(count))) for number, count in enumerate(shape)),
    )
    assert add_and_undo(where, plugins)
    begun = [step for step in steps if step[0] <= failing]
    tried = steps[: steps.index((failing, culprit)) + 1]
    assert [(verb, plugin) for verb, plugin, _ in plugins.calls] == [
        *(("ADD", plugin) for _, plugin in tried),
        *(("DEL", plugin) for _, plugin in reversed(begun)),
    ]


def test_each_result_is_kept_before_the_next_plugin_runs() -> None:
    """A crash between two steps loses nothing that ran."""
    plugins = FakeRunner()
    notebook = Notebook(plugins)
    add(sandbox(plugins, attachment(0, "bridge", "portmap"), attachment(1, "macvlan")), notebook)
    assert notebook.kept == [(0, 0, 1), (0, 1, 2), (1, 0, 3)]


def test_a_result_goes_to_the_next_plugin_of_its_list_only() -> None:
    """The first plugin of a list gets none (B5)."""
    plugins = FakeRunner()
    add(sandbox(plugins, attachment(0, "a", "b"), attachment(1, "c", "d")), Notebook(plugins))
    prev = [stdin_of(one).get("prevResult", {}).get("interfaces", [{}])[0].get("name") for one in plugins.executions]
    assert prev == [None, "eth0", None, "net1"]


def test_a_result_that_was_handed_to_us_goes_to_the_default_networks_first_plugin() -> None:
    """Chained ourselves, we chain on (B6)."""
    plugins = FakeRunner()
    ours: Json = {"cniVersion": "1.1.0", "ips": []}
    where = sandbox(plugins, attachment(0, "a"), attachment(1, "b"), prev_result=ours)
    add(where, Notebook(plugins))
    assert [stdin_of(one).get("prevResult") for one in plugins.executions] == [ours, None]


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_the_stdin_of_del_is_that_of_add_and_the_result(version: str) -> None:
    """Byte for byte, numbers and order of keys included; the result is the list's last, from version 0.4.0 on (B5)."""
    plugins = FakeRunner()
    raw = jsontext.loads_object(
        '{"type":"bridge","mtu":1.50e3,"z":1,"a":[1.10,10000000000000000000000],"capabilities":{"ips":true}}', "test"
    )
    list_body: dict[str, Json] = {"cniVersion": version, "name": "n", "plugins": [raw, {"type": "tuning"}]}
    one = Attachment(
        network="n",
        ifname=IfName("eth0"),
        config=config.parse(list_body),
        capability_args={"ips": ["10.0.0.9/24"]},
        cni_args="",
        default=True,
        default_route=None,
    )
    where = sandbox(plugins, one)
    add(where, Notebook(plugins))
    added = {str(each.type): each.stdin for each in plugins.executions}
    plugins.forget()
    final: Json = {"cniVersion": version, "ips": []}
    assert attach.delete(where, Known(results={0: final})) == []
    tail = b',"prevResult":' + jsontext.dumps(final) if version != "0.3.1" else b""
    first = added["bridge"]
    assert first == (
        b'{"type":"bridge","mtu":1.50e3,"z":1,"a":[1.10,10000000000000000000000],"capabilities":{"ips":true},'
        b'"name":"n","cniVersion":"%s","runtimeConfig":{"ips":["10.0.0.9/24"]}}' % version.encode()
    )
    assert [each.stdin for each in plugins.executions] == [
        b'{"type":"tuning","name":"n","cniVersion":"%s"%s}' % (version.encode(), tail),
        first[:-1] + tail + b"}",
    ]


def test_del_goes_on_to_the_next_network_but_not_within_a_list() -> None:
    """Later plugins of a list may depend on earlier cleanup, other networks do not (B17, B40)."""
    plugins = FakeRunner()
    plugins.script("d", "DEL", failure(5, "disk"))
    plugins.script("b", "DEL", failure(11, "busy"))
    where = sandbox(plugins, attachment(0, "a", "b"), attachment(1, "c", "d"), attachment(2, "e"))
    failures = attach.delete(where, Known())
    assert [plugin for _, plugin, _ in plugins.calls] == ["e", "d", "b"]
    assert [(fault.code, fault.msg) for fault in failures] == [
        (5, "network 'n1' (net1), DEL: plugin 'd': disk"),
        (11, "network 'n0' (eth0), DEL: plugin 'b': busy"),
    ]


def test_del_ends_when_the_shim_is_gone() -> None:
    """Nobody can run plugins any more, so it is not one network's failure."""
    plugins = FakeRunner()
    plugins.script("b", "DEL", ShimGone("hung up"))
    with pytest.raises(ShimGone):
        attach.delete(sandbox(plugins, attachment(0, "a"), attachment(1, "b")), Known())
    assert [plugin for _, plugin, _ in plugins.calls] == ["b"]


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(failure(999, "no"), id="the-plugin-fails"),
        pytest.param(OSError("disk"), id="anything-else"),
    ],
)
def test_an_undo_that_fails_is_remembered_and_does_not_stop_the_others(
    trouble: Output | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """The ADD's own error stays the error; the record must be kept."""
    plugins = FakeRunner()
    plugins.script("c", "ADD", failure(7, "no"))
    plugins.script("b", "DEL", trouble)
    where = sandbox(plugins, attachment(0, "a"), attachment(1, "b"), attachment(2, "c"))
    assert not add_and_undo(where, plugins)
    assert [plugin for verb, plugin, _ in plugins.calls if verb == "DEL"] == ["c", "b", "a"]
    assert "undo failed" in caplog.text


@pytest.mark.parametrize("verb", ["ADD", "DEL"])
def test_an_undo_without_the_shim_is_done_by_the_spare_runner(verb: str) -> None:
    """Whether the shim goes in the ADD or in the undo of it: all that was begun is taken back, last first."""
    plugins, spare = FakeRunner(), FakeRunner()
    plugins.script("b", "ADD", failure(7, "no"))
    plugins.script("b", verb, ShimGone("killed"))
    where = sandbox(plugins, attachment(0, "a"), attachment(1, "b"))
    gone: list[bool] = []
    undoing = attach.Undo(where, lambda: gone.append(True), lambda: nullcontext(replace(where, runner=spare)))
    with pytest.raises((CniError, ShimGone)), undoing as undo:
        attach.add(where, Notebook(plugins), undo)
    assert spare.calls == [("DEL", "b", "net1"), ("DEL", "a", "eth0")]
    assert gone == [True]


def test_an_undo_whose_spare_runner_dies_too_is_left_to_the_runtime(caplog: pytest.LogCaptureFixture) -> None:
    """The record must be kept, and the ADD's own error stays the error."""
    plugins, spare = FakeRunner(), FakeRunner()
    plugins.script("b", "ADD", ShimGone("killed"))
    spare.script("a", "DEL", ShimGone("killed, too"))
    where = sandbox(plugins, attachment(0, "a"), attachment(1, "b"))
    gone: list[bool] = []
    undoing = attach.Undo(where, lambda: gone.append(True), lambda: nullcontext(replace(where, runner=spare)))
    with pytest.raises(ShimGone, match=r"^killed$"), undoing as undo:
        attach.add(where, Notebook(plugins), undo)
    assert gone == []
    assert "undo failed" in caplog.text


def check(plugins: FakeRunner, results: Sequence[Json], *attachments: Attachment, tolerated: frozenset[str]) -> None:
    """CHECK these attachments."""
    attach.check(sandbox(plugins, *attachments), results, tolerated)


def test_check_goes_forward_and_every_plugin_gets_the_final_result() -> None:
    """B5, B19."""
    plugins = FakeRunner()
    results: list[Json] = [{"cniVersion": "1.1.0", "ips": []}, {"cniVersion": "0.4.0", "ips": []}]
    check(plugins, results, attachment(0, "a", "b"), attachment(1, "c", version="0.4.0"), tolerated=NONE)
    assert plugins.calls == [("CHECK", "a", "eth0"), ("CHECK", "b", "eth0"), ("CHECK", "c", "net1")]
    assert [stdin_of(one)["prevResult"] for one in plugins.executions] == [results[0], results[0], results[1]]


@pytest.mark.parametrize(
    "passed_over",
    [
        pytest.param(attachment(1, "x", version="0.3.1"), id="older-than-check"),
        pytest.param(attachment(1, "x", disableCheck=True), id="disabled"),
    ],
)
def test_check_passes_over_what_cannot_be_checked(passed_over: Attachment) -> None:
    """Without a word, and the others are checked all the same (B19, G22)."""
    plugins = FakeRunner()
    check(plugins, [{}, {}, {}], attachment(0, "a"), passed_over, attachment(2, "b"), tolerated=NONE)
    assert [plugin for _, plugin, _ in plugins.calls] == ["a", "b"]


def test_check_stops_at_the_first_objection() -> None:
    """B19."""
    plugins = FakeRunner()
    plugins.script("a", "CHECK", failure(100, "gone"))
    with pytest.raises(CniError, match="plugin 'a': gone"):
        check(plugins, [{}, {}], attachment(0, "a", "b"), attachment(1, "c"), tolerated=frozenset({"b"}))
    assert [plugin for _, plugin, _ in plugins.calls] == ["a"]


def test_a_tolerated_type_may_object_as_a_plugin_or_as_the_ipam(caplog: pytest.LogCaptureFixture) -> None:
    """whereabouts, the IPAM, fails every CHECK of the interface plugin that asks it (G22); the log says so."""
    plugins = FakeRunner()
    plugins.script("macvlan", "CHECK", failure(100, "not implemented"))
    plugins.script("whereabouts", "CHECK", failure(100, "not implemented"))
    plugins.script("last", "CHECK", DONE)
    by_ipam = config.parse({"cniVersion": "1.0.0", "name": "n", "type": "macvlan", "ipam": {"type": "whereabouts"}})
    one = attachment(0, "whereabouts", "last")
    other = Attachment(
        network="n",
        ifname=IfName("net1"),
        config=by_ipam,
        capability_args={},
        cni_args="",
        default=False,
        default_route=None,
    )
    with caplog.at_level(logging.WARNING):
        check(plugins, [{}, {}], one, other, tolerated=frozenset({"whereabouts"}))
    assert [plugin for _, plugin, _ in plugins.calls] == ["whereabouts", "last", "macvlan"]
    assert caplog.text.count("CHECK failed and is tolerated") == 2


def test_a_result_that_no_plugin_should_print_fails_the_add_after_it_was_kept() -> None:
    """What was printed is on record, so that DEL and whoever looks for the cause can see it."""
    plugins = FakeRunner()
    plugins.script("a", "ADD", output({"cniVersion": "1.1.0", "ips": [{"address": "nonsense"}]}))
    notebook = Notebook(plugins)
    with pytest.raises(CniError):
        add(sandbox(plugins, attachment(0, "a")), notebook)
    assert notebook.kept == [(0, 0, 1)]


@pytest.mark.parametrize(
    ("plugins_of_it", "culprit", "add_status", "gone"),
    [
        pytest.param(("a",), "a", 1, True, id="it-refused-both"),
        pytest.param(("a",), "a", -9, False, id="it-died-on-add"),
        pytest.param(("a", "b"), "b", 1, False, id="a-later-one-refused"),
    ],
)
def test_a_plugin_that_refused_add_cannot_hold_the_sandbox_by_refusing_del(
    plugins_of_it: tuple[str, ...], culprit: str, add_status: int, *, gone: bool
) -> None:
    """A typo in `master` must not leave a pod that can never be deleted; what may be there is kept (B15)."""
    plugins = FakeRunner()
    refusal = failure(999, "Link missing")
    plugins.script(culprit, "ADD", Output(status=add_status, stdout=refusal.stdout, stderr=b""))
    plugins.script(culprit, "DEL", refusal)
    assert add_and_undo(sandbox(plugins, attachment(0, *plugins_of_it)), plugins) is gone


def ours(number: int, *types: str) -> Attachment:
    """A network whose plugins are all delegates of ours."""
    return replace(attachment(number, *types), owners=(AGENT,) * len(types))


def test_the_links_that_may_go_with_their_group_are_kept_by_attachment() -> None:
    """In order; what a program made is the program's."""
    plugins = FakeRunner()
    resident = FakeResident(plugins, makes={"eth0": [4], "net2": [7, 8]})
    where = sandbox(plugins, ours(0, "bridge"), attachment(1, "macvlan"), ours(2, "ipvlan"), resident=resident)
    with attach.Undo(where, lambda: None, lambda: nullcontext(where)) as undo:
        attached = attach.add(where, Notebook(plugins), undo)
    assert [one.links for one in attached] == [(4,), (), (7, 8)]
    assert [[str(ip.address) for ip in one.result.ips] for one in attached] == [
        ["10.0.0.2/24"],
        ["10.0.1.2/24"],
        ["10.0.2.2/24"],
    ]
    assert resident.pods == [POD, POD]


MIXED = replace(attachment(1, "a", "b"), owners=(AGENT, PROGRAM))


@pytest.mark.parametrize(
    ("between", "links", "deletions"),
    [
        pytest.param(ours(1, "b"), {0: [4], 1: [5], 2: [6, 7]}, [(POD, (6, 7, 5, 4), 0)], id="one-group"),
        pytest.param(
            attachment(1, "b"), {0: [3, 4], 1: [], 2: [6, 7]}, [(POD, (6, 7), 0), (POD, (3, 4), 2)], id="two-groups"
        ),
        pytest.param(MIXED, {0: [3, 4], 2: [6, 7]}, [(POD, (6, 7), 0), (POD, (3, 4), 3)], id="half-a-programs"),
        pytest.param(ours(1, "b"), {2: [6, 7]}, [(POD, (6, 7), 0)], id="some-unknown"),
        pytest.param(attachment(1, "b"), {0: [4], 1: [], 2: [6]}, [], id="one-link-alone"),
        pytest.param(ours(1, "b"), {}, [], id="none-known"),
    ],
)
def test_the_links_of_delegates_that_follow_each_other_are_deleted_together(
    between: Attachment, links: Mapping[int, Sequence[int]], deletions: list[tuple[int, tuple[int, ...], int]]
) -> None:
    """Once, before their DELs, and never across a program (decision 6); every DEL is made all the same."""
    plugins = FakeRunner()
    resident = FakeResident(plugins)
    where = sandbox(plugins, ours(0, "a"), between, ours(2, "c"), resident=resident)
    assert attach.delete(where, Known(links=links)) == []
    assert resident.deletions == deletions
    assert [name for _, _, name in plugins.calls] == ["net2", *["net1"] * len(between.config.plugins), "eth0"]


def test_a_group_that_cannot_be_deleted_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """Each delegate's own DEL tries again, and tells."""
    plugins = FakeRunner()
    resident = FakeResident(plugins, fault=CniError(5, "cannot delete links of the pod"))
    where = sandbox(plugins, ours(0, "a"), ours(1, "b"), resident=resident)
    with caplog.at_level(logging.INFO):
        assert attach.delete(where, Known(links={0: [4], 1: [5]})) == []
    assert len(resident.deletions) == 1
    assert plugins.calls == [("DEL", "b", "net1"), ("DEL", "a", "eth0")]
    assert "the pod's links are deleted one by one" in caplog.text


def test_a_fault_of_a_delegate_keeps_no_other_network_from_being_taken_away(caplog: pytest.LogCaptureFixture) -> None:
    """A traceback is for the log; DEL fails with one line and goes on with the network before."""
    plugins = FakeRunner()
    plugins.script("b", "DEL", ZeroDivisionError("ours"))
    where = sandbox(plugins, ours(0, "a"), ours(1, "b"))
    (fault,) = attach.delete(where, Known())
    assert (fault.code, fault.msg) == (999, "network 'n1' (net1), DEL: internal error: ZeroDivisionError")
    assert plugins.calls == [("DEL", "b", "net1"), ("DEL", "a", "eth0")]
    assert "Traceback" in caplog.text


def test_without_the_pod_no_links_are_deleted() -> None:
    """They went with it; their delegates are told all the same."""
    plugins = FakeRunner()
    resident = FakeResident(plugins)
    where = replace(sandbox(plugins, ours(0, "a"), ours(1, "b"), resident=resident), pod=None)
    assert attach.delete(where, Known(links={0: [4], 1: [5]})) == []
    assert (resident.deletions, resident.pods) == ([], [None, None])


def test_an_undo_tells_each_owner_and_deletes_nothing_together() -> None:
    """What was begun only is known to its delegate, so it looks for itself."""
    plugins = FakeRunner()
    plugins.script("macvlan", "ADD", failure(7, "no"))
    resident = FakeResident(plugins, makes={"eth0": [4, 5]})
    assert add_and_undo(
        sandbox(plugins, ours(0, "bridge"), attachment(1, "tuning"), ours(2, "macvlan"), resident=resident), plugins
    )
    assert [plugin for verb, plugin, _ in plugins.calls if verb == "DEL"] == ["macvlan", "tuning", "bridge"]
    assert resident.pods == [POD] * 4
    assert resident.deletions == []


def test_what_a_delegate_did_not_foresee_is_undone_too() -> None:
    """A fault of the code in the agent leaves no more behind than a plugin that fails."""
    plugins = FakeRunner()
    plugins.script("b", "ADD", KeyError("a fault of ours"))
    where = sandbox(plugins, ours(0, "a"), ours(1, "b"))
    gone: list[bool] = []
    undoing = attach.Undo(where, lambda: gone.append(True), lambda: nullcontext(where))
    with pytest.raises(KeyError), undoing as undo:
        attach.add(where, Notebook(plugins), undo)
    assert [plugin for verb, plugin, _ in plugins.calls if verb == "DEL"] == ["b", "a"]
    assert gone == [True]


def test_a_delegate_that_refused_add_cannot_hold_the_sandbox_by_refusing_del() -> None:
    """As with programs (B15)."""
    plugins = FakeRunner()
    plugins.script("a", "ADD", failure(999, "no"))
    plugins.script("a", "DEL", failure(999, "no"))
    assert add_and_undo(sandbox(plugins, ours(0, "a")), plugins)

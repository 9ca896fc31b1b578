# SPDX-License-Identifier: Apache-2.0
"""From a call to an answer, over a real connection: every verb, every refusal, every unforeseen end."""

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from metacni.agent import dispatch
from metacni.agent.dispatch import Dispatcher
from metacni.agent.settings import Limits, Settings
from metacni.cni.errors import CniError
from metacni.exec.connection import Connection
from metacni.exec.frames import Execution
from metacni.exec.outcome import Output
from tests.unit.agent import fakes
from tests.unit.agent.delegates import FakeDelegate, Served
from tests.unit.agent.fakes import Bench, failure, node_config
from tests.unit.agent.shim_end import ShimEnd

STDIN = json.dumps(node_config() | {"runtimeConfig": {fakes.ANNOTATIONS: {}}}).encode()


class Agent:
    """A dispatcher without its server: calls are handed to it as the front thread would."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.dispatcher = Dispatcher(bench.node)
        self.finished = threading.Semaphore(0)
        self.sockets: list[socket.socket] = []

    def shim(self) -> tuple[ShimEnd, Connection]:
        """A shim that has connected."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sockets.append(theirs)
        return ShimEnd(theirs, self.bench.runner), Connection(ours)

    def begin(self, verb: str, stdin: bytes = STDIN, **more: Any) -> ShimEnd:
        """Send a call and hand it over."""
        shim, connection = self.shim()
        shim.call(verb, stdin, **more)
        call = connection.feed()
        assert call is not None
        self.dispatcher.take(connection, call, self.finished.release)
        return shim

    def call(self, verb: str, stdin: bytes = STDIN, **more: Any) -> tuple[int, Any]:
        """One call to its end."""
        shim = self.begin(verb, stdin, **more)
        answer = shim.result()
        assert shim.hung_up()
        assert self.finished.acquire(timeout=10)
        return answer


@pytest.fixture
def agent(bench: Bench) -> Iterator[Agent]:
    """A dispatcher over the bench."""
    yield from running(bench)


def running(bench: Bench) -> Iterator[Agent]:
    """One that is closed afterwards."""
    made = Agent(bench)
    yield made
    made.dispatcher.close()
    for each in made.sockets:
        each.close()


def test_every_verb_is_served(agent: Agent) -> None:
    """ADD, CHECK, GC, STATUS, VERSION and DEL over one connection each; nothing is printed but results (A23)."""
    netns = agent.bench.netns
    status, printed = agent.call("ADD", netns=netns)
    assert (status, printed["interfaces"][0]["name"]) == (0, "eth0")
    assert agent.call("CHECK", netns=netns) == (0, None)
    valid = {"cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]}
    assert agent.call("GC", json.dumps(node_config() | valid).encode()) == (0, None)
    assert agent.call("STATUS") == (0, None)
    assert agent.call("VERSION", b'{"cniVersion":"0.4.0"}')[1]["cniVersion"] == "0.4.0"
    assert agent.call("DEL", netns=netns) == (0, None)
    verbs = ["ADD", "CHECK", "GC", "STATUS", "DEL"]
    assert [verb for verb, _, _ in agent.bench.runner.calls] == verbs


@pytest.mark.parametrize("stdin", [b"", b"{}", b"no json"], ids=["empty", "no-version", "no-json"])
def test_version_needs_nothing(agent: Agent, stdin: bytes) -> None:
    """No variable, no configuration (A34)."""
    bare = dict.fromkeys(("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH"), "")
    status, printed = agent.call("VERSION", stdin, **bare)
    assert (status, printed["cniVersion"], printed["supportedVersions"][0]) == (0, "1.1.0", "0.1.0")


@pytest.mark.parametrize(
    ("changes", "code", "told"),
    [
        pytest.param({"program": "metacni-x"}, 7, "'metacni-x': the agent has no such", id="program"),
        pytest.param({"verb": "add"}, 4, "unknown CNI_COMMAND: 'add'", id="verb"),
        pytest.param({"CNI_IFNAME": "", "CNI_NETNS": ""}, 4, "[CNI_NETNS,CNI_IFNAME] missing", id="missing"),
        pytest.param({"CNI_CONTAINERID": "x" * 300}, 4, "longer than 200 characters", id="long-id"),
        pytest.param({"CNI_CONTAINERID": "../x"}, 4, "'../x'", id="path-in-id"),
        pytest.param({"CNI_ARGS": "a=b=c"}, 4, "a=b=c", id="arguments"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused_at_once(
    agent: Agent, changes: dict[str, Any], code: int, told: str
) -> None:
    """Code 4 for the variables, all missing ones at once (A6); code 7 for a name that is not ours."""
    status, printed = agent.call(**{"verb": "ADD", **changes})
    assert (status, printed["code"]) == (1, code)
    assert told in printed["msg"]
    assert agent.bench.runner.calls == []


@pytest.mark.parametrize("program", ["metacni", "multus", "multus-shim"])
def test_the_runtime_may_call_us_by_three_names(agent: Agent, program: str) -> None:
    """A node that ran Multus keeps its configuration."""
    assert agent.call("STATUS", program=program) == (0, None)


def test_an_error_names_the_pod_and_is_stamped_with_the_calls_version(agent: Agent) -> None:
    """One line: pod, network, interface, plugin, cause (decision 16); cniVersion as on stdin (A18)."""
    agent.bench.runner.script("bridge", "ADD", failure(100, "no", "look"))
    status, printed = agent.call(
        "ADD", json.dumps(json.loads(STDIN) | {"cniVersion": "1.0.0"}).encode(), netns=agent.bench.netns
    )
    assert (status, printed) == (
        1,
        {
            "cniVersion": "1.0.0",
            "code": 100,
            "msg": "pod 'team/web': network 'cbr0' (eth0), ADD: plugin 'bridge': no",
            "details": "look",
        },
    )


def test_a_pods_name_makes_no_message_long(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    """CNI_ARGS hold up to 128 KiB, and any characters."""
    args = "K8S_POD_NAMESPACE=team;K8S_POD_NAME=web\n" + "x" * 100_000
    with caplog.at_level("INFO"):
        status, printed = agent.call("ADD", args=args)
    assert (status, printed["code"]) == (1, 4)
    assert len(printed["msg"]) < 1000
    assert "\n" not in printed["msg"]
    assert len(vars(caplog.records[-1])["pod"]) < 300


def test_an_error_of_del_never_reads_like_success(agent: Agent) -> None:
    """Whatever its cause: here the journal itself (G15)."""
    assert agent.call("ADD", netns=agent.bench.netns)[0] == 0
    (agent.bench.folder / "state" / "sandboxes" / "c1" / "plan").unlink()
    agent.bench.source.pods.clear()
    agent.bench.runner.script("bridge", "DEL", failure(5, "file not found: No such file or directory"))
    status, printed = agent.call("DEL", netns=agent.bench.netns)
    assert (status, printed["code"]) == (1, 5)
    assert "not found" not in printed["msg"].lower()
    assert "no such file" not in printed["msg"].lower()


@pytest.mark.parametrize(
    ("verb", "version", "code"),
    [("CHECK", "0.3.1", 1), ("GC", "1.0.0", 1), ("STATUS", "1.0.0", 1), ("CHECK", "0.4.0", 3)],
    ids=str,
)
def test_a_verb_that_the_version_does_not_know_is_code_1(agent: Agent, verb: str, version: str, code: int) -> None:
    """As every Go plugin answers (A35); the last row is new enough, and unknown for another reason."""
    stdin = json.dumps(node_config() | {"cniVersion": version}).encode()
    assert agent.call(verb, stdin)[1]["code"] == code


def test_a_full_disk_is_code_5(tmp_path: Path) -> None:
    """With a hint; and nothing is left (the ADD's own tests say more)."""
    with closing(fakes.FullDiskJournal(tmp_path / "state", room=1)) as journal:
        for agent in running(fakes.bench(tmp_path, journal)):
            status, printed = agent.call("ADD", netns=agent.bench.netns)
            assert (status, printed["code"]) == (1, 5)
            assert "No space left on device" in printed["msg"]
            assert agent.bench.files() == []


def test_a_damaged_journal_is_code_5_and_names_the_file(agent: Agent) -> None:
    """Not an internal error: an admin can mend it."""
    agent.bench.record().write_text("in the way")
    status, printed = agent.call("ADD", netns=agent.bench.netns)
    assert (status, printed["code"]) == (1, 5)
    assert "c1': it is not a folder" in printed["msg"]


def test_a_fault_of_ours_is_an_error_in_words_and_a_traceback_in_the_log(
    agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    """Code 999, never silence; the text of the exception stays in the log."""
    agent.bench.source.fault = KeyError("s3cret")
    agent.bench.source.pods.clear()
    stdin = json.dumps(node_config()).encode()
    status, printed = agent.call("ADD", stdin, netns=agent.bench.netns)
    assert (status, printed["code"], printed["msg"]) == (1, 999, "pod 'team/web': internal error: KeyError")
    assert "failed in an unforeseen way" in caplog.text


def test_nothing_of_stdin_is_told(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    """Neither to the log nor in the answer, however broken it is (decision 16)."""
    with caplog.at_level(logging.DEBUG):
        answers = [
            agent.call("ADD", b'{"password":"s3cret"', netns=agent.bench.netns),
            agent.call("STATUS", b'{"s3cret"}'),
            agent.call("GC", b'{"name":"n","type":"metacni","cniVersion":"1.1.0","delegates":[{"x":"s3cret"}]}'),
        ]
    assert [printed["code"] for _, printed in answers] == [6, 6, 7]
    assert "s3cret" not in repr(answers) + "".join(str(vars(line)) for line in caplog.records)


def test_a_call_whose_shim_left_the_queue_is_dropped_before_it_starts(bench: Bench) -> None:
    """Nothing has begun, so nothing is to be undone (decision 14)."""
    for agent in running(limited(bench, Limits(add=1, delete=1, queue=4))):
        release = block(bench)
        first = agent.begin("ADD", netns=bench.netns)
        answer = in_background(first.result)
        second = agent.begin("ADD", netns=bench.netns, CNI_CONTAINERID="c2")
        second.sock.close()
        release()
        assert answer()[0] == 0
        assert agent.finished.acquire(timeout=10)
        assert agent.finished.acquire(timeout=10)
        assert bench.files("c2") == []


def test_a_full_queue_refuses_adds_and_holds_up_nothing_else(bench: Bench) -> None:
    """Code 11 at once; DEL and STATUS have their own threads (decision 14)."""
    for agent in running(limited(bench, Limits(add=1, delete=1, queue=1))):
        release = block(bench)
        answers = [
            in_background(agent.begin("ADD", netns=bench.netns, CNI_CONTAINERID=each).result) for each in ("c1", "c2")
        ]
        status, printed = agent.call("ADD", netns=bench.netns, CNI_CONTAINERID="c3")
        assert (status, printed["code"]) == (1, 11)
        assert printed["msg"] == "cannot start: the queue of ADD requests is full"
        assert agent.call("STATUS") == (0, None)
        assert agent.call("DEL", CNI_CONTAINERID="c9") == (0, None)
        release()
        assert [answer()[0] for answer in answers] == [0, 0]


def inner(kind: str = "metacni-bridge", **keys: Any) -> bytes:
    """What a foreign plugin hands to a delegate of ours."""
    return json.dumps({"cniVersion": "1.1.0", "name": "inner", "type": kind, **keys}).encode()


def test_a_call_under_a_delegates_name_is_that_delegates(bench: Bench) -> None:
    """Every verb, with the variables as they came; nothing of it reaches journal, definitions or another plugin."""
    bridge = FakeDelegate("bridge", replies={"VERSION": lambda _: b'{"cniVersion":"1.1.0"}'})
    bench.load(bridge)
    for agent in running(bench):
        status, printed = agent.call("ADD", inner(), program="metacni-bridge", netns=bench.netns, CNI_MORE="1")
        assert (status, printed["interfaces"][0]["name"]) == (0, "eth0")
        for verb in ("CHECK", "STATUS", "GC", "DEL"):
            assert agent.call(verb, inner(), program="metacni-bridge") == (0, None)
        assert agent.call("VERSION", inner(), program="metacni-bridge") == (0, {"cniVersion": "1.1.0"})
        assert [verb for verb, _ in bridge.calls] == ["ADD", "CHECK", "STATUS", "GC", "DEL", "VERSION"]
        assert bridge.served[0].variables["CNI_MORE"] == "1"
        assert bridge.served[0].pod is not None
        assert (bench.files(), bench.runner.calls, bench.source.reads) == ([], [], [])


def test_a_delegates_error_goes_to_its_caller_with_the_version_it_asked_in(bench: Bench) -> None:
    """Its code kept, the pod in front like any answer of ours."""
    bench.load(FakeDelegate("bridge", replies={"ADD": CniError(7, "no master", "name one")}))
    for agent in running(bench):
        status, printed = agent.call("ADD", inner(cniVersion="0.4.0"), program="metacni-bridge", netns=bench.netns)
        assert (status, printed) == (
            1,
            {"cniVersion": "0.4.0", "code": 7, "msg": "pod 'team/web': no master", "details": "name one"},
        )


def test_a_delegate_that_is_not_loaded_is_refused(bench: Bench) -> None:
    """Code 7 at once; the hint says what there is."""
    bench.load(FakeDelegate("bridge"))
    for agent in running(bench):
        status, printed = agent.call("ADD", inner("metacni-x"), program="metacni-x", netns=bench.netns)
        assert (status, printed["code"]) == (1, 7)
        assert printed["msg"] == "cannot serve 'metacni-x': the agent has no such plugin"
        assert "its delegates under `metacni-`" in printed["details"]
        assert agent.call("ADD", inner("bridge"), program="bridge")[1]["code"] == 7


def test_a_full_pool_of_adds_does_not_hold_up_a_delegate_that_one_of_them_waits_for(bench: Bench) -> None:
    """A foreign plugin inside an ADD calls our delegate while every place for ADDs is taken (decision 14)."""
    bridge = FakeDelegate("bridge")
    bench.load(bridge, types=frozenset())
    for agent in running(limited(bench, Limits(add=1, delete=1, queue=1))):
        queued: list[ShimEnd] = []
        bench.runner.script("bridge", "ADD", partial(call_ours, agent, queued), fakes.attached)
        assert agent.call("ADD", netns=bench.netns)[0] == 0
        assert queued[0].result()[0] == 0
    assert [verb for verb, _ in bridge.calls] == ["ADD", "CHECK", "DEL", "STATUS"]


def call_ours(agent: Agent, queued: list[ShimEnd], execution: Execution) -> Output:
    """A foreign plugin that fills the queue of ADDs, and then leaves its work to a delegate of ours."""
    netns = agent.bench.netns
    queued.append(agent.begin("ADD", netns=netns, CNI_CONTAINERID="c2"))
    assert agent.call("ADD", netns=netns, CNI_CONTAINERID="c3")[1]["code"] == 11
    for verb in ("ADD", "CHECK", "DEL", "STATUS"):
        assert agent.call(verb, inner(), program="metacni-bridge", netns=netns)[0] == 0
    return fakes.attached(execution)


def test_delegates_have_a_bound_of_their_own(bench: Bench) -> None:
    """What calls them can no more flood the agent than the runtime can; the runtime's calls go on."""
    released = threading.Event()

    def wait(_: Served) -> bytes:
        released.wait(10)
        return b""

    bench.load(FakeDelegate("bridge", replies={"DEL": wait}))
    for agent in running(limited(bench, Limits(add=1, delete=1, queue=1))):
        under_way = [agent.begin("DEL", inner(), program="metacni-bridge") for _ in range(2)]
        status, printed = agent.call("DEL", inner(), program="metacni-bridge")
        assert (status, printed["code"], printed["msg"]) == (
            1,
            11,
            "cannot start: the queue of plugin requests is full",
        )
        assert agent.call("DEL", CNI_CONTAINERID="c9") == (0, None)
        released.set()
        assert [shim.result() for shim in under_way] == [(0, None)] * 2


def test_a_delegate_that_fails_in_an_unforeseen_way_takes_its_add_back(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of code in the agent: code 999, its traceback in the log, and nothing is left in pod or journal."""
    bridge = FakeDelegate("bridge", replies={"ADD": KeyError("s3cret")})
    bench.load(bridge)
    for agent in running(bench):
        status, printed = agent.call("ADD", netns=bench.netns)
        assert (status, printed["code"], printed["msg"]) == (1, 999, "pod 'team/web': internal error: KeyError")
    assert "Traceback" in caplog.text
    assert bridge.calls == [("ADD", "eth0"), ("DEL", "eth0")]
    assert bench.files() == []


def test_a_shim_that_dies_in_the_middle_leaves_the_record_for_the_executor(
    agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    """It undoes the ADD; the agent goes on serving, and the runtime's DEL finds nothing any more."""

    def die(_execution: Execution) -> Output:
        shim.sock.close()
        raise OSError("killed")

    agent.bench.runner.script("bridge", "ADD", die)
    shim = agent.begin("ADD", netns=agent.bench.netns)
    with pytest.raises(OSError, match="killed"):
        shim.result()
    assert agent.finished.acquire(timeout=10)
    assert "the runtime did not wait for the answer" in caplog.text
    assert (agent.bench.files(), agent.bench.executor.started) == ([], 1)
    assert agent.call("DEL", netns=agent.bench.netns) == (0, None)
    assert agent.bench.files() == []


def test_a_closed_dispatcher_tells_callers_to_try_again(agent: Agent) -> None:
    """The agent is stopping; another one will be there in a moment."""
    agent.dispatcher.close()
    status, printed = agent.call("STATUS")
    assert (status, printed["code"], printed["msg"]) == (1, 11, "cannot start: the agent is stopping")


def test_every_request_has_one_line_in_the_log(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    """With verb, sandbox and pod; STATUS, asked all the time, only at level debug."""
    with caplog.at_level(logging.INFO, logger=dispatch.__name__):
        agent.call("STATUS")
        agent.call("ADD", netns=agent.bench.netns)
        agent.bench.runner.script("bridge", "DEL", failure(5, "disk"))
        agent.call("DEL", netns=agent.bench.netns)
    shown = [{key: vars(line).get(key) for key in ("verb", "sandbox", "pod", "code")} for line in caplog.records]
    assert shown == [
        {"verb": "ADD", "sandbox": "c1", "pod": "team/web", "code": None},
        {"verb": "DEL", "sandbox": "c1", "pod": "team/web", "code": 5},
    ]
    assert [line.levelname for line in caplog.records] == ["INFO", "ERROR"]


def limited(bench: Bench, limits: Limits) -> Bench:
    """The same agent with fewer threads."""
    settings = Settings(cni_conf_dir=bench.folder / "none", limits=limits)
    bench.node = replace(bench.node, settings=settings)
    return bench


def block(bench: Bench) -> Callable[[], None]:
    """Let the next ADD hang until what is returned is called; returns once it is certain to."""
    released = threading.Event()

    def wait(execution: Execution) -> Output:
        released.wait(10)
        return fakes.attached(execution)

    bench.runner.script("bridge", "ADD", wait)
    return released.set


def in_background(work: Callable[[], tuple[int, Any]]) -> Callable[[], tuple[int, Any]]:
    """Start it; what is returned waits for its result."""
    found: list[tuple[int, Any]] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()

    def result() -> tuple[int, Any]:
        thread.join(10)
        return found[0]

    return result

# SPDX-License-Identifier: Apache-2.0
"""How long the shim waits for an agent, and what it answers then, with seconds that last 10 ms.

The lower bounds are exact and the code says which limit it was; upper bounds would only test how busy the machine is.
"""

import json
import os
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from metacni.exec import frames
from tests.unit.shim.host import CONFIG, Host, dead, until

SECOND = 0.01


def ask(
    host: Host, verb: str, variables: Mapping[str, str] | None = None, name: str | None = None
) -> tuple[int, float, dict[str, object]]:
    """Call the shim: its status, the seconds as it counts them, the error it printed."""
    began = time.monotonic()
    status, stdout, _ = host.call(verb, CONFIG, name=name, **(variables or {}))
    return status, (time.monotonic() - began) / SECOND, json.loads(stdout or "{}")


@pytest.mark.parametrize(("verb", "seconds"), [("ADD", 45), ("DEL", 5), ("CHECK", 5), ("GC", 5)])
def test_without_an_agent_a_verb_waits_and_asks_for_another_try(lonely: Host, verb: str, seconds: int) -> None:
    """An agent was alive just now: it is being restarted."""
    lonely.alive(1)
    status, waited, error = ask(lonely, verb)
    assert waited >= seconds
    assert (status, error["code"]) == (1, 11)
    assert error["msg"] == f"cannot reach the agent at '{lonely.address}': it does not exist"


def test_a_dead_agents_socket_is_no_agent(lonely: Host) -> None:
    """The file that a killed agent leaves refuses connections."""
    lonely.listen()
    lonely.deafen()
    status, _, error = ask(lonely, "CHECK")
    assert (status, error["code"]) == (1, 11)
    assert error["msg"] == f"cannot reach the agent at '{lonely.address}': Connection refused"


@pytest.mark.parametrize("verb", ["ADD", "DEL"])
def test_an_agent_that_comes_in_time_is_asked(host_of: Callable[[int], Host], verb: str) -> None:
    """A restart in the middle of a pod's start costs a moment; here with real seconds, for one of them must suffice."""
    host = host_of(1000)
    host.alive(1)
    shim = host.start(verb)
    time.sleep(0.1)
    host.listen()
    connection, _ = host.accept()
    connection.answer(0, b"{}")
    assert shim.finish() == (0, b"{}", b"")


@pytest.mark.parametrize("age", [pytest.param(700, id="dead for long"), pytest.param(None, id="never lived")])
def test_an_uninstalled_agent_holds_no_pod(lonely: Host, age: float | None) -> None:
    """DEL succeeds at once, with the record in place for an agent that may come."""
    if age is not None:
        lonely.alive(age)
    assert ask(lonely, "DEL")[0::2] == (0, {})
    assert frames.record((lonely.folder / "pending" / "c1").read_bytes()).environment["CNI_COMMAND"] == "DEL"
    assert ask(lonely, "DEL")[0] == 0


@pytest.mark.parametrize("age", [pytest.param(700, id="dead for long"), pytest.param(None, id="never lived")])
@pytest.mark.parametrize("recorded", [False, True])
def test_a_nested_del_never_succeeds_without_an_agent(lonely: Host, age: float | None, *, recorded: bool) -> None:
    """Nobody would release what it names, and the record of the sandbox's own DEL is not its."""
    if age is not None:
        lonely.alive(age)
    if recorded:
        assert ask(lonely, "DEL", name="multus")[0] == 0
    status, waited, error = ask(lonely, "DEL", name="metacni-host-local")
    assert (status, error["code"]) == (1, 11)
    assert waited >= 5
    assert (lonely.folder / "pending").exists() == recorded


@pytest.mark.parametrize(("age", "status"), [pytest.param(30, 0, id="just now"), pytest.param(90, 1, id="long ago")])
def test_a_nested_status_goes_by_the_same_sign_of_life(host_of: Callable[[int], Host], age: float, status: int) -> None:
    """An upgrade must not make the network of another plugin NotReady either."""
    host = host_of(1000)
    host.alive(age)
    assert ask(host, "STATUS", name="metacni-bridge")[0] == status


def test_a_nested_add_waits_as_any_other(lonely: Host) -> None:
    """The agent is being restarted."""
    status, waited, error = ask(lonely, "ADD", name="metacni-bridge")
    assert waited >= 45
    assert (status, error["code"]) == (1, 11)


def test_a_socket_alone_is_an_agent_that_has_only_begun(lonely: Host) -> None:
    """It has not left a sign of life yet, and must not be taken for one that never lived."""
    lonely.listen()
    lonely.deafen()
    assert ask(lonely, "DEL")[2]["code"] == 11
    os.utime(lonely.address, times=(0, 0))
    assert ask(lonely, "DEL")[0] == 0


@pytest.mark.parametrize("name", ["", "../c1"])
def test_a_del_that_is_not_recorded_does_not_succeed_without_an_agent(lonely: Host, name: str) -> None:
    """An answer is final: what nobody will do is not done."""
    assert ask(lonely, "DEL", {"CNI_CONTAINERID": name})[2]["code"] == 11


def test_the_folder_is_made_for_the_record(lonely: Host) -> None:
    """After a reboot /run is empty, and the runtime's DELs may come before the agent."""
    lonely.folder.rmdir()
    assert ask(lonely, "DEL")[0] == 0
    assert stat.S_IMODE(lonely.folder.stat().st_mode) == 0o700
    assert (lonely.folder / "pending" / "c1").exists()


def test_no_more_than_the_folder_is_made(lonely: Host, tmp_path: Path) -> None:
    """A mistyped socket does not grow a tree; nothing is recorded, so nothing succeeds."""
    _, _, error = ask(lonely, "DEL", {"METACNI_SOCKET": str(tmp_path / "a" / "b" / "cni.sock")})
    assert error["code"] == 11
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("age", "status", "code"),
    [
        pytest.param(30, 0, None, id="just now"),
        pytest.param(-30, 0, None, id="clock set back"),
        pytest.param(90, 1, 50, id="too long ago"),
        pytest.param(None, 1, 50, id="never"),
    ],
)
def test_status_without_an_agent_goes_by_its_sign_of_life(
    host_of: Callable[[int], Host], age: float | None, status: int, code: int | None
) -> None:
    """An upgrade must not make the node NotReady, a dead agent must; neither answer waits (G16)."""
    host = host_of(1000)
    if age is not None:
        host.alive(age)
    got, _, error = ask(host, "STATUS")
    assert (got, error.get("code")) == (status, code)


@pytest.mark.parametrize(("verb", "seconds"), [("ADD", 90), ("DEL", 50), ("CHECK", 90), ("GC", 90)])
def test_an_agent_that_does_not_answer_is_given_up(lonely: Host, verb: str, seconds: int) -> None:
    """No call outlives its total, whatever the agent does."""
    lonely.listen()
    status, waited, error = ask(lonely, verb)
    assert waited >= seconds
    assert (status, error["code"]) == (1, 11)
    assert error["msg"] == f"cannot finish {verb}: the agent did not answer within {seconds} s"


def test_status_has_little_time(host_of: Callable[[int], Host]) -> None:
    """G16: the runtime holds a lock meanwhile. Longer seconds here, for 50 ms are soon gone on a busy machine."""
    host = host_of(100)
    host.listen()
    status, waited, error = ask(host, "STATUS")
    assert waited * SECOND >= 0.5
    assert (status, error["code"]) == (1, 11)


def test_a_plugin_does_not_outlive_the_total(lonely: Host) -> None:
    """The shim leaves nothing running behind an error."""
    lonely.listen()
    lonely.plugin("sleep 1000 & echo $! > $0.pid; sleep 1000")
    shim = lonely.start("GC")
    agent = lonely.raw()
    agent.sendall(frames.execute(1, lonely.request()))
    status, stdout, _ = shim.finish()
    assert (status, json.loads(stdout)["code"]) == (1, 11)
    until(lambda: dead(lonely.pid()))


def test_an_agent_that_dies_on_each_call_ends_with_the_total(lonely: Host) -> None:
    """A DEL goes to the next agent again and again, but not for ever."""
    lonely.listen()
    shim = lonely.start("DEL")
    calls = 0
    while shim.process.poll() is None:
        with suppress(TimeoutError):
            lonely.raw(wait=0.1).close()
            calls += 1
    status, stdout, _ = shim.finish()
    assert (status, json.loads(stdout)["code"]) == (1, 11)
    assert calls > 2

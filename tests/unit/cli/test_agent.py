# SPDX-License-Identifier: Apache-2.0
"""`metacni agent`: the edges it chooses, and its life as a real process."""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from metacni.agent.settings import Settings
from metacni.cli import agent
from metacni.cli.command import CommandError
from metacni.cli.main import parser
from metacni.cni.names import PluginType
from metacni.exec.executor import Unavailable
from metacni.exec.frames import Type, pack
from metacni.kube.directory import DirectorySource
from metacni.kube.silent import NoPublisher
from metacni.kube.source import Health
from tests.unit.agent.fakes import FakeSource


def options(*arguments: str) -> argparse.Namespace:
    """A command line."""
    return parser().parse_args(["agent", *arguments])


def command(folder: Path, *arguments: str) -> list[str]:
    """An agent whose state and socket are in this folder."""
    return [
        *(sys.executable, "-m", "metacni.cli.main", "agent", "--definitions", str(folder)),
        *("--state-dir", str(folder / "state"), *arguments),
    ]


def listens(path: Path) -> bool:
    """Whether somebody does: the file is there a moment earlier."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        return peer.connect_ex(str(path)) == 0


@contextmanager
def running(folder: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """An agent that listens on `run/cni.sock` of the folder."""
    path = folder / "run" / "cni.sock"
    with subprocess.Popen(
        command(folder),
        env=os.environ | {"METACNI_SOCKET": str(path), **environment},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            until = time.monotonic() + 20
            while not listens(path):
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.01)
            yield process
        finally:
            process.kill()


def stopped(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> list[dict[str, Any]]:
    """Send a signal; the log of the whole life."""
    process.send_signal(number)
    _, written = process.communicate(timeout=20)
    return [json.loads(line) for line in written.splitlines()]


def failure(folder: Path, *arguments: str) -> str:
    """What an agent that cannot start says."""
    done = subprocess.run(command(folder, *arguments), capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 1
    return done.stderr.removeprefix("metacni agent: ").removesuffix("\n")


def test_a_folder_of_definitions_needs_no_cluster(tmp_path: Path) -> None:
    """The embedded default of the demo (decision 12)."""
    source, publisher = agent.edges(options("--definitions", str(tmp_path)))
    assert isinstance(source, DirectorySource)
    assert isinstance(publisher, NoPublisher)


def test_credentials_that_are_not_there_are_an_error_in_words(tmp_path: Path) -> None:
    """Before anything listens."""
    with pytest.raises(CommandError, match="kubeconfig"):
        agent.edges(options("--kubeconfig", str(tmp_path / "kubeconfig")))


@pytest.mark.parametrize(
    ("arguments", "variable", "expected"),
    [
        pytest.param(("--node-name", "a"), "b", "a", id="the-option-first"),
        pytest.param((), "b", "b", id="then-the-environment"),
        pytest.param((), "", socket.gethostname(), id="then-the-hosts-name"),
    ],
)
def test_whose_pods_to_follow(
    arguments: tuple[str, ...], variable: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A DaemonSet sets NODE_NAME from spec.nodeName."""
    monkeypatch.setenv("NODE_NAME", variable)
    assert agent.node_name(options(*arguments)) == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(tmp_path: Path, number: int) -> None:
    """Exit status 0, a line of JSON for each thing that happened, nothing on the way but files of its own."""
    with running(tmp_path) as process:
        time.sleep(0.1)  # its signals are set up last of all
        log = stopped(process, number)
        assert process.returncode == 0
    assert [line["msg"] for line in log] == ["serving", "stopped"]
    assert (tmp_path / "state" / "sandboxes").stat().st_mode & 0o777 == 0o700


def test_it_asks_the_kernel_who_calls(tmp_path: Path) -> None:
    """Root is answered, anybody else hung up on."""
    with running(tmp_path) as process, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.connect(str(tmp_path / "run" / "cni.sock"))
        peer.sendall(pack(Type.CALL, 0, b"\0", b"metacni", b"", b"{}", b"CNI_COMMAND=VERSION"))
        peer.settimeout(10)
        try:
            answer = peer.recv(1 << 16)
        except ConnectionResetError:  # hung up on, and not a byte was read
            answer = b""
        assert (b"supportedVersions" in answer) == (os.geteuid() == 0)
        stopped(process)


@dataclass
class SlowSource(FakeSource):
    """One whose first list takes some looks at its health."""

    conditions: list[Health] = field(default_factory=list)

    def health(self) -> Health:
        """The next condition; the last one stays."""
        return self.conditions.pop(0) if len(self.conditions) > 1 else self.conditions[0]


@pytest.mark.parametrize(
    ("end", "seconds"),
    [
        pytest.param(Health(synced=True, age_seconds=0.0), 0.0, id="listed"),
        pytest.param(Health(synced=False, age_seconds=0.0, detail="connection refused"), 0.0, id="trouble"),
        pytest.param(Health(synced=False, age_seconds=0.0), agent.FIRST_LIST_SECONDS, id="silence"),
    ],
)
def test_the_first_list_is_waited_for_but_not_long(end: Health, seconds: float) -> None:
    """Shims answer STATUS for us meanwhile, and better than an agent could that has read nothing yet."""
    source = SlowSource(conditions=[*[Health(synced=False, age_seconds=0.0)] * 3, end])
    began = time.monotonic()
    agent.await_first_list(source)
    assert len(source.conditions) == 1
    assert seconds <= time.monotonic() - began < seconds + 1


def test_a_second_agent_does_not_start(tmp_path: Path) -> None:
    """Neither on the same state nor on the same socket; the first one goes on."""
    other = tmp_path / "other"
    other.mkdir()
    with running(tmp_path) as process:
        path = tmp_path / "run" / "cni.sock"
        same_state = failure(tmp_path, "--socket", str(tmp_path / "second.sock"))
        assert same_state == f"cannot use the state folder '{tmp_path / 'state'}': another agent uses it"
        assert failure(other, "--socket", str(path)) == f"cannot listen on '{path}': another agent serves it"
        assert process.poll() is None
        assert path.exists()


def test_a_state_folder_that_cannot_be_used_is_an_error_in_words(tmp_path: Path) -> None:
    """One line, no traceback."""
    (tmp_path / "state").write_text("in the way")
    told = failure(tmp_path, "--socket", str(tmp_path / "s"))
    assert told.startswith(f"cannot use the state folder '{tmp_path / 'state'}': ")
    assert "\n" not in told


def test_a_broken_manifest_is_an_error_at_the_start(tmp_path: Path) -> None:
    """Later, when pods depend on it, it would only be reported."""
    (tmp_path / "a.yaml").write_text("a: [")
    assert "a.yaml" in failure(tmp_path, "--socket", str(tmp_path / "s"))


def test_a_damaged_record_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    """After a power cut the node must come up."""
    (tmp_path / "state" / "sandboxes" / "c1").mkdir(parents=True, mode=0o755)
    (tmp_path / "state" / "sandboxes").chmod(0o700)
    with running(tmp_path) as process:
        time.sleep(0.1)
        assert [line["msg"] for line in stopped(process)][-1] == "stopped"


def test_the_setting_decides_whether_there_is_an_executor() -> None:
    """`none` refuses and names itself; else there is one, where --host-pid says."""
    with pytest.raises(Unavailable, match=r"the setting `executor` is `none`"):
        agent.executor_of(options(), Settings(executor="none")).runner().__enter__()
    with agent.executor_of(options("--host-pid", "0"), Settings()).runner() as runner:
        assert runner.find([PluginType("gone")], ()) == {"gone"}


@pytest.mark.parametrize(
    ("resident", "expected"),
    [
        pytest.param("auto", None, id="auto"),
        pytest.param("none", frozenset(), id="none"),
        pytest.param(frozenset({"bridge"}), frozenset({"bridge"}), id="a-list"),
        pytest.param(frozenset(), frozenset(), id="an-empty-list"),
    ],
)
def test_the_setting_decides_which_types_are_served_in_the_agent(
    resident: Literal["auto", "none"] | frozenset[str], expected: frozenset[str] | None
) -> None:
    """None of ours, those that are listed, or those that carry a reference plugin's configuration out."""
    assert agent.types_of(Settings(resident=resident)) == expected


def test_a_delegate_that_nobody_offers_is_an_error_at_the_start(tmp_path: Path) -> None:
    """In one line that names the setting."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "agent.yaml").write_text("trustedDelegates: [acme]")
    told = failure(tmp_path, "--socket", str(tmp_path / "s"), "--config", str(tmp_path / "conf" / "agent.yaml"))
    assert told.splitlines()[-1].endswith(
        "cannot load delegate 'acme' of `trustedDelegates`: no installed package offers it in 'metacni.delegates'"
    )


@pytest.mark.parametrize("text", ["-1", "one", "", "1.0"])
def test_a_host_pid_that_is_none_is_a_mistake_in_the_call(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The usage is shown, and no agent starts."""
    with pytest.raises(SystemExit):
        options(f"--host-pid={text}")
    assert f"argument --host-pid: {text!r} is no process id" in capsys.readouterr().err


def test_a_type_to_be_served_that_no_delegate_has_is_a_mistake() -> None:
    """A slip would leave every type to programs, without a word."""
    names = {"bridge", "ipam"}
    agent.require_delegates(Settings(resident=frozenset({"bridge", "metacni-ipam"})), names)
    agent.require_delegates(Settings(resident="none"), names)
    with pytest.raises(CommandError, match="there is no delegate 'brigde'; there are bridge, ipam"):
        agent.require_delegates(Settings(resident=frozenset({"bridge", "brigde"})), names)

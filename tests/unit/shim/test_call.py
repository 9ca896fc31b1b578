# SPDX-License-Identifier: Apache-2.0
"""The shim as a runtime sees it: what travels to the agent, what is printed, what it says by itself."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from metacni.cni import versions
from metacni.exec import frames
from metacni.exec.frames import Type
from tests.unit.shim.host import CONFIG, LIMIT, Host


def test_a_call_brings_all_that_the_agent_needs(host: Host) -> None:
    """Program, parent, stdin, the four kinds of variables and the netns arrive; no other variable does."""
    shim = host.start(
        "ADD", b"{}", CNI_NETNS="/proc/self/ns/net", CNI_X="1", TRACEPARENT="t", TRACESTATE="s", BAGGAGE="b", HOME="/"
    )
    _, call = host.accept()
    del shim
    assert (call.program, call.stdin) == (host.binary.name, b"{}")
    assert call.parent == Path("/proc/self/comm").read_text().strip()
    assert call.environment == {
        "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_NETNS": "/proc/self/ns/net", "CNI_X": "1",
        "TRACEPARENT": "t", "TRACESTATE": "s", "BAGGAGE": "b",
    }  # fmt: skip
    assert call.netns is not None
    assert os.fstat(call.netns).st_ino == Path("/proc/self/ns/net").stat().st_ino
    assert not os.get_inheritable(call.netns)


def test_a_call_says_in_which_cgroups_it_was_made(host: Host) -> None:
    """The shim is where its parent is, and the kernel's own text travels."""
    host.start("ADD")
    assert host.accept()[1].cgroup == Path("/proc/self/cgroup").read_text()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(None, "", id="unreadable"),
        pytest.param(b"", "", id="empty"),
        pytest.param(b"0::/caf\xe9\n", "0::/caf\udce9\n", id="any bytes"),
        pytest.param(b"2:memory:/a\n0::/b", "2:memory:/a\n", id="half a line is another cgroup"),
        pytest.param(b"1:pids:/%b\n" % (b"x" * 4087), f"1:pids:/{'x' * 4087}\n", id="as much as fits"),
        pytest.param(b"1:pids:/a\n0::/%b\n" % (b"x" * 4087), "1:pids:/a\n", id="more than fits"),
        pytest.param(b"0::/%b\n" % (b"x" * 5000), "", id="not one line fits"),
    ],
)
def test_only_whole_lines_are_told_of_cgroups(odd: Host, tmp_path: Path, text: bytes | None, told: str) -> None:
    """What is unknown is left out, and the call goes on; a recorded DEL holds the same."""
    if text is not None:
        (tmp_path / "cgroup").write_bytes(text)
    odd.start("DEL", b"{}")
    _, call = odd.accept()
    kept = frames.record((odd.folder / "pending" / "c1").read_bytes())
    assert [(one.cgroup, one.stdin, one.environment["CNI_COMMAND"]) for one in (call, kept)] == [
        (told, b"{}", "DEL")
    ] * 2


@pytest.mark.parametrize("verb", ["ADD", "DEL", "CHECK"])
def test_a_netns_that_cannot_be_opened_is_left_to_the_agent(host: Host, verb: str) -> None:
    """A vanished namespace is no reason for the shim to fail: DEL must get through."""
    host.start(verb, CNI_NETNS="/nowhere/at/all")
    assert host.accept()[1].netns is None


def test_the_answer_is_printed_as_it_came(host: Host) -> None:
    """Status, stdout and stderr of the RESULT are the shim's, byte for byte."""
    shim = host.start("ADD")
    connection, _ = host.accept()
    connection.answer(3, b'{"a":\xff}' + b"x" * 300_000, b"warning\n")
    assert shim.finish() == (3, b'{"a":\xff}' + b"x" * 300_000, b"warning\n")


EXECVE = """
import ctypes, sys
_, program, *variables = sys.argv
array = lambda texts: (ctypes.c_char_p * (len(texts) + 1))(*[text.encode() for text in texts], None)
ctypes.CDLL(None).execve(program.encode(), array(["shim"]), array(variables))
"""


def test_of_a_variable_that_comes_twice_the_last_one_counts(host: Host) -> None:
    """B8, for the shim's own choice of verb and for what the agent sees; only C can make such an environment."""
    twice = ["CNI_COMMAND=GC", "CNI_COMMAND=DEL", "CNI_CONTAINERID=a", "CNI_CONTAINERID=b"]
    command = [sys.executable, "-c", EXECVE, str(host.binary), f"METACNI_SOCKET={host.address}", *twice]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        connection, call = host.accept()
        connection.answer(0, b"")
        assert process.wait(LIMIT) == 0
    assert (call.environment["CNI_COMMAND"], call.environment["CNI_CONTAINERID"]) == ("DEL", "b")
    assert (host.folder / "pending" / "b").exists()


@pytest.mark.parametrize(
    ("stdin", "version"),
    [
        pytest.param(b"", "1.1.0", id="empty"),
        pytest.param(b'{"cniVersion":"0.4.0"}', "0.4.0", id="echo"),
        pytest.param(
            b'{"a":{"cniVersion":"0.1.0"},"b":"cniVersion", "cniVersion" : "0.3.1"}', "0.3.1", id="top level only"
        ),
        pytest.param(b'{"a":"\\"cniVersion\\":\\"9\\""}', "1.1.0", id="inside a string"),
        pytest.param(b'{"cniVersion":"1\\"}"}', "1.1.0", id="no version"),
        pytest.param(b'{"cniVersion":7}', "1.1.0", id="no string"),
        pytest.param(b'{"cniVersion"', "1.1.0", id="cut after the key"),
        pytest.param(b'{"cniVersion":"1.0', "1.0", id="cut in the value"),
        pytest.param(b'["cniVersion", "cniVersion\\', "1.1.0", id="not an object"),
        pytest.param(b"\x00\xff" * 5000, "1.1.0", id="not JSON"),
        pytest.param(b" " * 5_000_000, "1.1.0", id="too much"),
    ],
)
def test_version_needs_nothing_but_stdin(host_of: Callable[[int], Host], stdin: bytes, version: str) -> None:
    """A33, A34, B22: every version is listed and a version on stdin is echoed, with no agent anywhere."""
    status, stdout, stderr = host_of(1000).call(
        "VERSION", stdin, CNI_NETNS="dummy", CNI_IFNAME="dummy", CNI_PATH="dummy"
    )
    assert (status, stderr) == (0, b"")
    assert json.loads(stdout) == {"cniVersion": version, "supportedVersions": list(versions.VERSIONS)}


def test_version_does_not_wait_for_a_stdin_that_stays_open(lonely: Host) -> None:
    """A person who tries it by hand gets an answer, too."""
    status, stdout, _ = lonely.call("VERSION", None)
    assert (status, json.loads(stdout)["cniVersion"]) == (0, "1.1.0")


def test_without_a_command_it_says_what_it_is(lonely: Host) -> None:
    """A8: about line and versions on stderr, exit 0."""
    status, stdout, stderr = lonely.call("")
    assert (status, stdout) == (0, b"")
    assert b"metacni 9.8.7" in stderr
    assert b"1.1.0" in stderr


@pytest.mark.parametrize(
    ("name", "told"),
    [
        pytest.param("metacni", b"metacni 9.8.7: a CNI meta-plugin", id="ours"),
        pytest.param("/opt/cni/bin/multus", b"metacni 9.8.7: a CNI meta-plugin", id="in its place"),
        pytest.param("/opt/metacni-1/bridge", b"metacni 9.8.7: a CNI meta-plugin", id="only the folder"),
        pytest.param("/opt/metacni-bridge", b"metacni-bridge 9.8.7: a CNI plugin of the metacni agent's", id="nested"),
    ],
)
def test_what_it_is_goes_by_its_name(lonely: Host, name: str, told: bytes) -> None:
    """A plugin of the agent's does not introduce itself as the runtime's."""
    status, _, stderr = lonely.call("", name=name)
    assert (status, stderr.partition(b"\n")[0]) == (0, told)


@pytest.mark.parametrize(
    ("argument", "status", "stdout"),
    [("--version", 0, b"metacni 9.8.7\n"), ("--help", 0, b"metacni 9.8.7: the CNI plugin"), ("--oops", 2, b"")],
)
def test_arguments_are_for_people(lonely: Host, argument: str, status: int, stdout: bytes) -> None:
    """Two are known, and no other is taken for a call."""
    run = subprocess.run([lonely.binary, argument], capture_output=True, check=False, timeout=LIMIT)
    assert (run.returncode, run.stdout[: len(stdout)]) == (status, stdout)
    assert bool(run.stderr) == (status != 0)


MANY_MSG = "cannot pass the call on: its CNI_ variables are too many or too large"
MANY = {f"CNI_{i}": "" for i in range(256)}
LONG = "/" + "x" * 107


@pytest.mark.parametrize(
    ("verb", "variables", "code", "msg"),
    [
        pytest.param("add", {}, 4, "unknown CNI_COMMAND: 'add'", id="verb"),
        pytest.param("ADD", MANY, 4, MANY_MSG, id="many"),
        pytest.param("ADD", {"METACNI_SOCKET": LONG}, 4, f"cannot use METACNI_SOCKET '{LONG}'", id="socket"),
        pytest.param('A"\\\n\xe4\x7f', {}, 4, "unknown CNI_COMMAND: 'A\"\\\n???'", id="escapes"),
    ],
)
def test_what_cannot_be_passed_on_is_a_cni_error(
    lonely: Host, verb: str, variables: dict[str, str], code: int, msg: str
) -> None:
    """The shim's own errors are valid JSON on stdout, with the CNI code."""
    status, stdout, stderr = lonely.call(verb, CONFIG, **variables)
    body = json.loads(stdout)
    assert (status, stderr, body["code"], body["msg"]) == (1, b"", code, msg)


@pytest.mark.parametrize(
    ("stdin", "cause"),
    [
        pytest.param(b"[" * 4194305, "it is larger than 4 MiB", id="too large"),
        pytest.param(None, "it does not end", id="stays open"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_an_io_error(lonely: Host, stdin: bytes | None, cause: str) -> None:
    """Code 5 (A20), within the verb's total, and with little memory."""
    status, stdout, _ = lonely.call("ADD", stdin)
    body = json.loads(stdout)
    assert (status, body["code"], body["msg"]) == (1, 5, f"cannot read the network configuration from stdin: {cause}")


def test_a_terminal_is_no_configuration(lonely: Host) -> None:
    """A person who tries it by hand is not left waiting for the end of a stdin."""
    master, terminal = os.openpty()
    environment = {"CNI_COMMAND": "STATUS", "METACNI_SOCKET": str(lonely.address)}
    run = subprocess.run([lonely.binary], env=environment, stdin=terminal, capture_output=True, check=False)
    os.close(master)
    os.close(terminal)
    assert json.loads(run.stdout)["code"] == 50


def test_an_error_carries_the_version_of_the_configuration(lonely: Host) -> None:
    """A18: callers find cniVersion in an error when it is known."""
    _, stdout, _ = lonely.call("ADD", b'{"cniVersion":"0.4.0"}')
    assert json.loads(stdout)["cniVersion"] == "0.4.0"


def test_a_del_is_on_disk_before_the_agent_hears_of_it(host: Host) -> None:
    """The record is the CALL itself, private, and the agent's to remove."""
    shim = host.start("DEL", b'{"cniVersion":"1.0.0"}', CNI_NETNS="/proc/self/ns/net")
    connection, call = host.accept()
    record = host.folder / "pending" / "c1"
    assert (stat.S_IMODE(record.stat().st_mode), stat.S_IMODE(record.parent.stat().st_mode)) == (0o600, 0o700)
    kept = frames.record(record.read_bytes())
    assert (kept.environment, kept.stdin, kept.netns) == (call.environment, call.stdin, None)
    assert [file.name for file in record.parent.iterdir()] == ["c1"]
    connection.answer(0, b"")
    assert shim.finish() == (0, b"", b"")
    assert record.exists()


@pytest.mark.parametrize(
    ("name", "recorded"),
    [
        pytest.param("metacni", True, id="metacni"),
        pytest.param("multus", True, id="multus"),
        pytest.param("multus-shim", True, id="multus-shim"),
        pytest.param("metacnix", True, id="any other"),
        pytest.param("metacni-bridge", False, id="nested"),
        pytest.param("/opt/cni/bin/metacni-host-local", False, id="nested, by its path"),
    ],
)
def test_only_the_sandboxs_own_del_is_recorded(host: Host, name: str, *, recorded: bool) -> None:
    """Recovery takes a sandbox down for a record; one plugin's DEL, perhaps in the middle of an ADD, must not."""
    shim = host.start("DEL", CNI_NETNS="/proc/self/ns/net", name=name)
    connection, call = host.accept()
    assert (call.program, call.netns is None) == (name.rpartition("/")[2], False)
    assert (host.folder / "pending" / "c1").exists() == recorded
    connection.answer(0, b"")
    assert shim.finish() == (0, b"", b"")


def test_an_older_record_stays(host: Host) -> None:
    """A repeated DEL knows less than the first, whose namespace was still there."""
    (host.folder / "pending").mkdir()
    (host.folder / "pending" / "c1").write_bytes(b"older")
    host.start("DEL")
    host.accept()
    assert (host.folder / "pending" / "c1").read_bytes() == b"older"


@pytest.mark.parametrize("name", ["", "../c1", "a/b", ".hidden", "x" * 201, "a b", "c1\n"])
def test_a_bad_container_id_is_not_recorded_but_passed_on(host: Host, name: str) -> None:
    """No file name is made of it, and the agent says what is wrong."""
    host.start("DEL", CNI_CONTAINERID=name)
    assert host.accept()[1].environment["CNI_CONTAINERID"] == name
    assert not (host.folder / "pending").exists()


def test_a_del_that_cannot_be_recorded_is_only_worth_a_warning(host: Host) -> None:
    """While an agent answers, its answer counts."""
    (host.folder / "pending").write_text("in the way")
    shim = host.start("DEL")
    connection, _ = host.accept()
    connection.answer(0, b"")
    assert shim.finish() == (0, b"", b"metacni: cannot record this DEL: Not a directory\n")


def test_a_record_never_follows_a_link(host: Host, tmp_path: Path) -> None:
    """Nobody leads root's writes elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    (host.folder / "pending").symlink_to(tmp_path / "elsewhere")
    host.start("DEL")
    host.accept()
    assert not list((tmp_path / "elsewhere").iterdir())


HEADER = b"\x43\x4d\x01\x08" + bytes(4)
OTHER = "its version is another: shim and agent are of different releases"
FORM = "a field is missing or of the wrong form"


@pytest.mark.parametrize(
    ("answer", "code", "msg"),
    [
        pytest.param(b"\x43\x4d\x02\x08" + bytes(8), 11, OTHER, id="version"),
        pytest.param(b"HTTP/1.1 400", 11, "it does not start as one", id="magic"),
        pytest.param(b"\x43\x4d\x01\x01" + bytes(8), 11, "its type is unknown", id="our own type"),
        pytest.param(HEADER + b"\xff\xff\xff\xff", 11, "it is too long", id="length"),
        pytest.param(HEADER + b"\x05\0\0\0\x02\0\0\0x", 999, "its fields do not fill it exactly", id="cut field"),
        pytest.param(frames.pack(Type.RESULT, 0, b"1", b""), 999, FORM, id="a field too few"),
        pytest.param(frames.pack(Type.KILL, 0, b""), 999, FORM, id="a field too many"),
        pytest.param(frames.pack(Type.FIND, 0, b"", *[b"x"] * 65), 999, FORM, id="types"),
        pytest.param(frames.pack(Type.EXEC, 0, b"x", b"/", b"", b"LD_PRELOAD=x"), 999, FORM, id="environment"),
        pytest.param(frames.pack(Type.EXEC, 0, b"x\0", b"/", b""), 999, FORM, id="NUL"),
    ],
)
def test_a_bad_frame_ends_the_call_with_a_cni_error(host: Host, answer: bytes, code: int, msg: str) -> None:
    """Cut, too long, of another version: the runtime learns which, and can decode it."""
    shim = host.start("ADD")
    host.raw().sendall(answer)
    status, stdout, _ = shim.finish()
    body = json.loads(stdout)
    assert (status, body["code"], body["msg"]) == (1, code, f"cannot take a frame from the agent: {msg}")


def test_only_one_user_is_trusted_to_listen(shims: Callable[..., Path], host: Host) -> None:
    """The peer's UID decides, as the kernel gives it: root's in production, another one for this test."""
    host.binary = shims("plain", 1000, os.getuid() + 1)
    status, stdout, _ = host.call("ADD")
    body = json.loads(stdout)
    assert (status, body["code"]) == (1, 999)
    assert body["msg"] == f"cannot use the listener at '{host.address}': it runs as UID {os.getuid()}"


def test_a_slow_agent_may_send_byte_by_byte(host: Host) -> None:
    """A frame need not come in one piece."""
    shim = host.start("GC")
    sock = host.raw()
    for byte in frames.result(0, b"", b"done\n"):
        sock.sendall(bytes([byte]))
    assert shim.finish() == (0, b"", b"done\n")

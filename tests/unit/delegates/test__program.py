# SPDX-License-Identifier: Apache-2.0
"""A delegate as a program: what stands on stdout and stderr, and the exit status."""

import io
import json
import os
import sys
from pathlib import Path

import pytest

from delegates import _program
from delegates.ipam.host_local import DELEGATE
from metacni.cni.errors import CniError
from metacni.cni.names import PluginType
from tests.unit.delegates.calls import variables


def run(variables: dict[str, str], stdin: bytes = b"") -> tuple[int, bytes, str]:
    """One run; status, stdout, stderr."""
    stdout, stderr = io.BytesIO(), io.StringIO()
    status = _program.run(DELEGATE, variables, io.BytesIO(stdin), stdout, stderr)
    return status, stdout.getvalue(), stderr.getvalue()


def test_by_hand_it_tells_what_it_is() -> None:
    """On stderr, and succeeds; nothing is on stdout."""
    status, stdout, stderr = run({})
    assert (status, stdout) == (0, b"")
    assert stderr == (
        "metacni host-local: addresses of this node's own, from ranges\n"
        "CNI versions: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n"
    )


@pytest.mark.parametrize(
    ("stdin", "version", "code"),
    [
        pytest.param(b"nonsense", "1.1.0", 6, id="no-json"),
        pytest.param(b'{"cniVersion":"0.4.0"}', "0.4.0", 7, id="in-the-asked-version"),
        pytest.param(b" " * (4 * 1024 * 1024 + 1), "1.1.0", 5, id="too-much"),
        pytest.param(b'{"cniVersion":"1.1.0","name":"n","ipam":{"subnet":"10.1.0.0/24"}}', "1.1.0", 8, id="netns-last"),
    ],
)
def test_an_error_stands_on_stdout(stdin: bytes, version: str, code: int) -> None:
    """As an object of the asked version, and the status is 1; what is wrong with the configuration comes first."""
    status, stdout, stderr = run(variables("ADD", CNI_NETNS="/proc/self/ns/net"), stdin)
    body = json.loads(stdout)
    assert (status, stderr) == (1, "")
    assert (body["code"], body["cniVersion"]) == (code, version)


def test_missing_variables_are_told_before_stdin_is_read() -> None:
    """Stdin may be a terminal that never ends."""
    status, stdout, _ = run({"CNI_COMMAND": "ADD"})
    assert status == 1
    assert json.loads(stdout)["msg"] == "required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME] missing"


def test_del_takes_a_namespace_that_is_gone_for_done(tmp_path: Path) -> None:
    """Absent, its folder absent, or a plain file since it was unmounted."""
    plain = tmp_path / "netns"
    plain.touch()
    for path in ("", str(tmp_path / "none"), str(plain / "below"), str(plain)):
        assert _program.open_netns(path, gone_is_fine=True) is None


@pytest.mark.parametrize("gone_is_fine", [True, False])
def test_our_own_namespace_is_no_pods(gone_is_fine: bool) -> None:  # noqa: FBT001 - a row
    """Code 8, for DEL, too."""
    with pytest.raises(CniError, match="node's own") as caught:
        _program.open_netns("/proc/self/ns/net", gone_is_fine=gone_is_fine)
    assert caught.value.code == 8


@pytest.mark.parametrize("name", ["none", "plain", "/dev/null"])
def test_add_needs_a_namespace(name: str, tmp_path: Path) -> None:
    """Code 8; in words that containerd does not take for success."""
    (tmp_path / "plain").touch()
    with pytest.raises(CniError, match=r"^cannot open network namespace ") as caught:
        _program.open_netns(str(tmp_path / name), gone_is_fine=False)
    assert caught.value.code == 8
    assert "no such file" not in caught.value.msg


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """An IPAM plugin that says what it was given, or fails when told to."""
    program = tmp_path / "toy"
    program.write_text(
        f"#!{sys.executable}\nimport os, sys, json\n"
        "if os.environ['CNI_COMMAND'] == 'CHECK':\n    print('{\"code\": 77, \"msg\": \"no\"}'); sys.exit(1)\n"
        "print(json.dumps([os.environ['CNI_COMMAND'], sys.stdin.read()]))\n"
    )
    program.chmod(0o755)
    return program


def test_an_ipam_is_found_and_run(plugin: Path) -> None:
    """On the search path, with the verb in its environment and the configuration on stdin."""
    runner = _program.IpamPrograms(["/nonexistent", str(plugin.parent)])
    environment = dict(os.environ) | {"CNI_COMMAND": "DEL"}
    assert json.loads(runner.run(PluginType("toy"), environment, b"{}")) == ["DEL", "{}"]
    with pytest.raises(CniError, match=r"^no$") as caught:
        runner.run(PluginType("toy"), environment | {"CNI_COMMAND": "CHECK"}, b"{}")
    assert caught.value.code == 77


def test_an_ipam_that_is_nowhere_or_no_program_is_an_error(plugin: Path) -> None:
    """Named, with a code."""
    plugin.chmod(0o644)
    runner = _program.IpamPrograms([str(plugin.parent)])
    for kind, code in (("none", 7), ("toy", 5)):
        with pytest.raises(CniError, match=f"'{kind}'") as caught:
            runner.run(PluginType(kind), {}, b"{}")
        assert caught.value.code == code

# SPDX-License-Identifier: Apache-2.0
"""A delegate as a program, the way any CNI plugin is called: variables, stdin, stdout, exit status (A1, A18).

The only module of the delegates that looks at the process it runs in. It runs in the node's namespace and stays there.
"""

import errno
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NoReturn, TextIO, TypeVar

from delegates._call import EVERYTHING, IpamRunner, Visible
from delegates._call import Opener as AnyOpener
from delegates._skeleton import Delegate, asked_version
from metacni.cni import environment
from metacni.cni.environment import COMMAND, Environment
from metacni.cni.errors import CniError, Code, from_output
from metacni.cni.names import PluginType
from metacni.cni.versions import NEWEST, VERSIONS, Verb
from metacni.netns import sandbox, sysctl
from metacni.netns.netlink import Netlink, own_socket
from metacni.netns.opener import Opened, Opener

Conf = TypeVar("Conf")

MAX_STDIN: Final = 4 << 20
IPAM_PATIENCE: Final = 60.0
_GONE: Final = (errno.ENOENT, errno.ENOTDIR)


def _open_host() -> AbstractContextManager[Netlink]:
    return Netlink(own_socket())


def _nobody(_: int) -> None:
    """Nobody deletes a program's links by their group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """The outside world of a program: a process that runs on the node."""

    opener: AnyOpener
    ipam: IpamRunner
    host: Callable[[], AbstractContextManager[Netlink]] = _open_host
    require_pod: Callable[[int], None] = sandbox.require_foreign
    sysctls: Path = sysctl.NODE
    visible: Visible = EVERYTHING
    made: Callable[[int], None] = _nobody


def main(delegate: Delegate[Conf]) -> NoReturn:
    """Be that plugin, for one operation."""
    sys.exit(run(delegate, os.environ, sys.stdin.buffer, sys.stdout.buffer, sys.stderr))


def run(
    delegate: Delegate[Conf], variables: Mapping[str, str], stdin: BinaryIO, stdout: BinaryIO, stderr: TextIO
) -> int:
    """One operation; the exit status."""
    if not variables.get(COMMAND):
        stderr.write(f"metacni {delegate.name}: {delegate.about}\nCNI versions: {', '.join(VERSIONS)}\n")  # A8
        return 0
    text = b""
    try:
        parsed = environment.parse(variables)  # before stdin is read (A7)
        text = _read(stdin)
        stdout.write(_serve(delegate, parsed, variables, text))
    except CniError as error:
        return _fail(error, text, stdout)
    except Exception as error:  # noqa: BLE001 - a fault of ours still has to reach the caller as an error object
        stderr.write(traceback.format_exc())
        return _fail(CniError(Code.INTERNAL, f"cannot serve {variables[COMMAND]}: {error!r}"), text, stdout)
    stdout.flush()
    return 0


def _serve(delegate: Delegate[Conf], parsed: Environment, variables: Mapping[str, str], stdin: bytes) -> bytes:
    opener = _Opener()
    edges = Edges(opener=opener, ipam=IpamPrograms(parsed.path))
    pod = None
    try:
        try:
            pod = open_netns(parsed.netns, gone_is_fine=parsed.verb is Verb.DEL)
        except CniError:
            if parsed.verb is not Verb.DEL:  # a bad configuration is told first (A7)
                delegate.serve(variables, stdin, pod=None, edges=edges)
            raise
        return delegate.serve(variables, stdin, pod=pod, edges=edges)
    finally:
        opener.stop()
        if pod is not None:
            os.close(pod)


def open_netns(path: str, *, gone_is_fine: bool) -> int | None:
    """The pod's namespace; None when there is none, or when it is gone and that is fine (A26, E15).

    Raises:
        CniError: code 8.
    """
    if not path:
        return None
    what = f"cannot open network namespace {path!r}"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if gone_is_fine and error.errno in _GONE:
            return None
        raise CniError(Code.NETNS, f"{what}: {sandbox.cause(error)}").defused() from error
    try:
        if sandbox.is_network_namespace(fd):
            sandbox.require_foreign(fd)
            return os.dup(fd)
        if gone_is_fine:
            return None
        raise CniError(Code.NETNS, f"{what}: it is no network namespace")
    finally:
        os.close(fd)


class IpamPrograms:
    """IPAM plugins as programs on a search path."""

    def __init__(self, path: Sequence[str]) -> None:
        self._path = path

    def run(self, kind: PluginType, variables: Mapping[str, str], stdin: bytes) -> bytes:
        """Run one to its end."""
        program = next((at for folder in self._path if (at := Path(folder, kind)).is_file()), None)
        if program is None:
            raise CniError(Code.CONFIG, f"cannot run plugin {kind!r}: no folder of CNI_PATH has it")
        try:
            done = subprocess.run(
                [program], input=stdin, env=dict(variables), capture_output=True, timeout=IPAM_PATIENCE, check=False
            )
        except OSError as error:
            raise CniError(Code.IO, f"cannot run plugin {kind!r}: {sandbox.cause(error)}") from error
        except subprocess.TimeoutExpired as error:
            raise CniError(Code.TRY_AGAIN, f"cannot run plugin {kind!r}: no end in {IPAM_PATIENCE:.0f} s") from error
        if done.returncode != 0:
            raise from_output(done.returncode, done.stdout, done.stderr)
        return done.stdout


class _Opener:
    """The opener, started when somebody first asks: many operations never enter a pod."""

    def __init__(self) -> None:
        self._opener: Opener | None = None

    def open(self, netns_fd: int, sysctls: Sequence[str] = ()) -> Opened:
        if self._opener is None:
            self._opener = Opener()
            self._opener.start()
        return self._opener.open(netns_fd, sysctls)

    def stop(self) -> None:
        if self._opener is not None:
            self._opener.stop()


def _read(stdin: BinaryIO) -> bytes:
    try:
        text = stdin.read(MAX_STDIN + 1)
    except OSError as error:
        raise CniError(Code.IO, f"cannot read stdin: {sandbox.cause(error)}") from error
    if len(text) > MAX_STDIN:
        raise CniError(Code.IO, f"cannot read stdin: more than {MAX_STDIN} bytes")
    return text


def _fail(error: CniError, stdin: bytes, stdout: BinaryIO) -> int:
    stdout.write(error.to_json(asked_version(stdin) or NEWEST))
    stdout.flush()
    return 1

# SPDX-License-Identifier: Apache-2.0
"""One accepted connection from a shim: the call it brings, the plugins it runs for us, the answer it takes back.

First a selector's thread feeds it, without ever blocking, until the call is complete; then one worker owns it and may
block, always with a limit. Every descriptor that arrives belongs to the connection and is closed with it, whatever
happened in between. It judges no plugin's output: that is `outcome`'s.
"""

import os
import select
import socket
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from metacni.cni.errors import CniError, Code
from metacni.cni.names import PluginType
from metacni.exec import frames, outcome
from metacni.exec.channel import Channel, ShimGone, translated
from metacni.exec.frames import Call, Done, Execution, How, Type
from metacni.exec.outcome import Output

_FIND_LIMIT = 5.0  # seconds; a search path on a dead file server must not hold a worker
_KILL_LIMIT = 2.0  # from KILL to DONE
_SETTLE_LIMIT = 5.0  # until the last process of a plugin is gone; an undo starts then


class Connection:
    """A shim that called. Use it in a `with`, or close it."""

    def __init__(self, sock: socket.socket) -> None:
        self._channel = Channel(sock)
        self._netns: int | None = None
        self._live: int | None = None  # reads EOF when the last process of the last plugin is gone
        self._tag = 0
        self._unfinished: PluginType | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """Give the socket's descriptor, so that a selector can watch the connection itself."""
        return self._channel.fileno()

    def feed(self) -> Call | None:
        """Take what has arrived, without blocking; the call once it is complete, None before that."""
        self._channel.pull()
        frame = self._channel.take()
        if frame is None:
            return None
        head, payload = frame
        self._netns = self._channel.descriptor()
        if head.type != Type.CALL or not self._channel.idle():
            raise _unexpected(head)
        with translated():
            return frames.call(payload, self._netns)

    def find(self, types: Sequence[PluginType], path: Sequence[str]) -> frozenset[PluginType]:
        """Ask which of these types no folder of the search path holds."""
        self._require_idle()
        missing: frozenset[PluginType] = frozenset()
        for start in range(0, len(types), frames.MAX_TYPES):
            missing |= self._find(types[start : start + frames.MAX_TYPES], path)
        return missing

    def run(self, request: Execution, *, timeout: float) -> Output:
        """Run one plugin; a bad end is reported once all its processes are gone, or `settle` gave up on them."""
        deadline = time.monotonic() + timeout
        self._require_idle()
        self._tag += 1
        with translated(Code.CONFIG):
            frame = frames.execute(self._tag, request)
        try:
            self._channel.send(frame)
            self._unfinished = request.type
            done = self._done(deadline) or self._kill(request.type, timeout)
        except ShimGone:
            self.settle()
            raise
        self._unfinished = None
        if (done.how, done.value) != (How.EXITED, 0):
            self.settle()
        return outcome.output_of(done, request)

    def settle(self, timeout: float = _SETTLE_LIMIT) -> bool:
        """Wait until every process of the last plugin is gone; False if one outlived the time."""
        if self._live is None:
            return True
        watch = select.poll()
        watch.register(self._live, select.POLLIN)  # nobody writes: an event means that every write end is closed
        gone = bool(watch.poll(timeout * 1000))
        self._forget_live()
        return gone

    def answer(self, status: int, stdout: bytes, stderr: bytes = b"") -> None:
        """End the call: what the shim prints and exits with."""
        with translated():
            frame = frames.result(status, stdout, stderr)
        self._channel.send(frame)

    def gone(self) -> bool:
        """Say whether the shim hung up; safe beside a worker that uses the connection."""
        return self._channel.gone()

    def close(self) -> None:
        """Hang up and close every descriptor that came with the call."""
        self._channel.close()
        self._forget_live()
        if self._netns is not None:
            os.close(self._netns)
            self._netns = None

    def _find(self, types: Sequence[PluginType], path: Sequence[str]) -> frozenset[PluginType]:
        self._tag += 1
        with translated(Code.CONFIG):
            frame = frames.find(self._tag, path, types)
        self._channel.send(frame)
        answer = self._channel.receive(time.monotonic() + _FIND_LIMIT)
        if answer is None:
            hint = f"does a folder of {':'.join(path)!r} hang?"
            raise CniError(Code.TRY_AGAIN, f"cannot look for plugins: no answer within {_FIND_LIMIT:g} s", hint)
        head, payload = answer
        if (head.type, head.tag) != (Type.FOUND, self._tag):
            raise _unexpected(head)
        with translated():
            present = frames.found(payload, len(types))
        return frozenset(name for name, there in zip(types, present, strict=True) if not there)

    def _require_idle(self) -> None:
        """Refuse to go on while a plugin that a KILL did not end in time still holds the shim."""
        if self._unfinished is not None:
            if self._done(time.monotonic()) is None:
                raise CniError(Code.TRY_AGAIN, f"cannot go on: plugin {self._unfinished!r} was killed but does not end")
            self._unfinished = None
        self._forget_live()

    def _kill(self, plugin: PluginType, timeout: float) -> Done:
        """End a plugin whose time is up; its DONE if it ended by itself meanwhile."""
        self._channel.send(frames.kill(self._tag))
        done = self._done(time.monotonic() + _KILL_LIMIT)
        if done is not None:
            self._unfinished = None
            if done.how != How.SIGNALLED:
                return done
        self.settle()
        raise CniError(Code.TRY_AGAIN, f"plugin {plugin!r} did not finish within {timeout:g} s", "it was killed")

    def _done(self, deadline: float) -> Done | None:
        """Wait for the running plugin's DONE and take its liveness pipe on the way; None when the time is up."""
        while (frame := self._channel.receive(deadline)) is not None:
            head, payload = frame
            if head.tag != self._tag:
                raise _unexpected(head)
            if head.type == Type.DONE:
                with translated():
                    return frames.done(payload)
            live = self._channel.descriptor() if head.type == Type.STARTED and self._live is None else None
            if live is None:
                raise _unexpected(head)
            self._live = live
        return None

    def _forget_live(self) -> None:
        if self._live is not None:
            os.close(self._live)
            self._live = None


def _unexpected(head: frames.Header) -> CniError:
    return CniError(
        Code.INTERNAL, f"cannot go on with the shim: a {head.type.name} frame came unasked or without its due"
    )

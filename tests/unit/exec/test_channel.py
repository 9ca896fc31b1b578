# SPDX-License-Identifier: Apache-2.0
"""Bytes, descriptors and time limits on a real socket."""

import gc
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacni.cni.errors import CniError
from metacni.exec import frames
from metacni.exec.channel import Channel, ShimGone, translated
from metacni.exec.frames import FrameError, VersionError


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    """Make a channel and the shim's end of its socket."""
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    with theirs:
        yield channel, theirs
    channel.close()


def soon() -> float:
    """Give a deadline that is not far."""
    return time.monotonic() + 0.05


def descriptors() -> int:
    """Count this process's open descriptors."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def send_descriptors(sock: socket.socket, data: bytes, count: int) -> None:
    """Send bytes with descriptors."""
    read, write = os.pipe()
    socket.send_fds(sock, [data], [read] * count)
    os.close(read)
    os.close(write)


def test_a_frame_may_come_in_any_pieces(ends: tuple[Channel, socket.socket]) -> None:
    """Byte by byte or two at once."""
    channel, shim = ends
    frame = frames.pack(frames.Type.FOUND, 7, b"\1\0")
    for byte in frame[:-1]:
        shim.sendall(bytes([byte]))
        channel.pull()
        assert channel.take() is None
    shim.sendall(frame[-1:] + frame + frame[:5])
    for _ in range(2):
        got = channel.receive(soon())
        assert got is not None
        assert (got[0].tag, got[1]) == (7, frame[12:])
    assert channel.receive(soon()) is None
    assert not channel.idle()


def test_nothing_there_is_no_fault(ends: tuple[Channel, socket.socket]) -> None:
    """A pull never blocks, a receive ends with its deadline, even one that has passed."""
    channel, _ = ends
    channel.pull()
    assert channel.receive(soon()) is None
    assert channel.receive(time.monotonic() - 1) is None
    assert channel.idle()
    assert not channel.gone()


def test_a_hang_up_is_seen(ends: tuple[Channel, socket.socket]) -> None:
    """By whoever looks first; what had been sent before it is still read."""
    channel, shim = ends
    shim.sendall(frames.kill(3))
    assert not channel.gone()
    shim.close()
    assert channel.receive(soon()) is not None
    assert channel.gone()
    with pytest.raises(ShimGone):
        channel.receive(soon())
    with pytest.raises(ShimGone):
        channel.send(b"x")


def test_a_reset_is_a_hang_up(ends: tuple[Channel, socket.socket]) -> None:
    """A killed shim leaves what we sent unread."""
    channel, shim = ends
    channel.send(b"x")
    shim.close()
    assert channel.gone()
    with pytest.raises(ShimGone):
        channel.pull()


def test_a_large_frame_waits_for_its_reader(ends: tuple[Channel, socket.socket]) -> None:
    """More than the socket's buffer holds, to a reader that is slow."""
    channel, shim = ends
    got = bytearray()

    def read() -> None:
        while len(got) < 3_000_000:
            time.sleep(0.001)
            got.extend(shim.recv(1 << 18))

    reader = threading.Thread(target=read)
    reader.start()
    channel.send(bytes(range(250)) * 12_000)
    reader.join()
    assert bytes(got) == bytes(range(250)) * 12_000


def test_a_descriptor_is_handed_over_once(ends: tuple[Channel, socket.socket]) -> None:
    """Whoever takes it owns it, and no child inherits it."""
    channel, shim = ends
    send_descriptors(shim, b"x", 1)
    channel.pull()
    descriptor = channel.descriptor()
    assert descriptor is not None
    assert not os.get_inheritable(descriptor)
    assert channel.descriptor() is None
    os.close(descriptor)


@pytest.mark.parametrize("count", [1, 4, 5, 200])
def test_descriptors_never_leak(ends: tuple[Channel, socket.socket], count: int) -> None:
    """However many come and whether or not that is a fault: closed with the channel."""
    channel, shim = ends
    before = descriptors()
    try:
        for _ in range(2):
            send_descriptors(shim, b"x", count)
            channel.pull()
    except CniError as error:
        assert error.code == 999  # noqa: PT017  # either way is fine, as long as nothing leaks
    else:
        assert count == 1
    channel.close()
    assert descriptors() == before - 1


@given(st.binary(min_size=1, max_size=100))
def test_no_bytes_break_it(data: bytes) -> None:
    """Whatever arrives is a frame, the beginning of one, or a CNI error."""
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    with theirs:
        theirs.sendall(data)
        try:
            channel.receive(time.monotonic())
        except CniError as error:
            assert error.code in (11, 999)  # noqa: PT017  # any outcome but another exception is right
        channel.close()


def test_a_frame_error_becomes_a_cni_error() -> None:
    """An upgrade is worth another try, damage is not."""
    with pytest.raises(CniError) as caught, translated():
        raise FrameError("cannot read it")
    assert (caught.value.code, caught.value.msg) == (999, "cannot read it")
    with pytest.raises(CniError) as caught, translated():
        raise VersionError("cannot read version 2")
    assert (caught.value.code, caught.value.msg) == (11, "cannot read version 2")

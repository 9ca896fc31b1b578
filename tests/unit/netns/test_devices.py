# SPDX-License-Identifier: Apache-2.0
"""The link verbs as bytes for a kernel in memory; with real links they stand in tests/kernel and tests/contract."""

import errno
from collections.abc import Callable

import pytest

from metacni.netns import devices, wire
from metacni.netns.devices import HEADER, Veth
from metacni.netns.netlink import Netlink, own_socket
from tests.unit.netns.kernels import Kernel, ack, handle


def sent(act: Callable[[Netlink], object]) -> tuple[int, int, tuple[int, ...], dict[int, bytes]]:
    """The one message of a verb: kind, flags, header, attributes."""
    kernel = Kernel()
    act(handle(kernel))
    (message,) = kernel.sent
    return message.kind, message.flags, HEADER.unpack_from(message.body), wire.attributes(message.body, HEADER.size)


def test_a_veth_is_made_whole_in_one_message() -> None:
    """The near end up and in its bridge; the far one in the pod, with its MAC and its group, and not up."""
    plan = Veth(
        host_name="veth1", pod_name="eth0", netns_fd=9, group=77, master=3, mtu=1400,
        mac="02:00:5e:00:00:01", host_mac="02:00:5e:00:00:02",
    )  # fmt: skip
    kind, flags, header, near = sent(lambda netlink: devices.create_veth(netlink, plan))
    assert (kind, flags, header) == (16, 0x605, (0, 0, 0, 1, 1))
    assert (near[3], near[4], near[10]) == (b"veth1\0", b"\x78\x05\0\0", b"\3\0\0\0")
    assert near[1] == bytes.fromhex("02005e000002")
    assert 27 not in near
    info = wire.attributes(near[18])
    assert info[1] == b"veth"
    peer = wire.attributes(info[2])[1]
    far = wire.attributes(peer, HEADER.size)
    assert HEADER.unpack_from(peer) == (0, 0, 0, 0, 0)
    assert far == {
        3: b"eth0\0", 28: b"\x09\0\0\0", 27: b"M\0\0\0", 4: b"\x78\x05\0\0", 1: bytes.fromhex("02005e000001"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("act", "header", "attributes"),
    [
        pytest.param(lambda n: devices.bring_up(n, 5), (0, 0, 5, 1, 1), {}, id="up"),
        pytest.param(lambda n: devices.set_promiscuous(n, 5), (0, 0, 5, 256, 256), {}, id="promiscuous"),
        pytest.param(
            lambda n: devices.set_mac(n, 5, "02:00:5e:00:00:01"), (0, 0, 5, 0, 0), {1: b"\2\0\x5e\0\0\1"}, id="mac"
        ),
        pytest.param(lambda n: devices.set_alias(n, 5, "us"), (0, 0, 5, 0, 0), {20: b"us"}, id="alias"),
        pytest.param(lambda n: devices.delete(n, 5), (0, 0, 5, 0, 0), {}, id="delete"),
        pytest.param(lambda n: devices.delete_group(n, 7), (0, 0, 0, 0, 0), {27: b"\7\0\0\0"}, id="delete-group"),
    ],
)  # fmt: skip
def test_a_verb_is_one_message(
    act: Callable[[Netlink], object], header: tuple[int, ...], attributes: dict[int, bytes]
) -> None:
    """It names one link, or one group, and what changes."""
    assert sent(act)[2:] == (header, attributes)


def test_a_link_that_is_not_there_is_none() -> None:
    """Not an error: whoever asks wants to know."""
    assert devices.find(handle(Kernel([ack(errno.ENODEV)])), "x") is None
    assert devices.at(handle(Kernel([ack(errno.ENODEV)])), 9) is None
    assert devices.delete(handle(Kernel([ack(errno.ENODEV)])), 9) is False
    assert devices.delete(handle(Kernel()), 9) is True


def test_other_refusals_are_errors() -> None:
    """Only "no such device" is an answer."""
    with pytest.raises(PermissionError):
        devices.find(handle(Kernel([ack(errno.EPERM)])), "x")
    with pytest.raises(PermissionError):
        devices.delete(handle(Kernel([ack(errno.EPERM)])), 9)


def test_a_link_is_described_as_the_kernel_does() -> None:
    """The loopback interface of the real one."""
    with Netlink(own_socket()) as netlink:
        lo = devices.find(netlink, "lo")
        assert lo is not None
        assert (lo.index, lo.name, lo.kind, lo.mac, lo.master, lo.alias) == (1, "lo", "", "00:00:00:00:00:00", 0, "")
        assert devices.at(netlink, 1) == lo
        assert lo in devices.every(netlink)


def test_a_link_has_further_names() -> None:
    """All are read; one that is longer than a name may be is asked for as such."""
    names = wire.nested(52, wire.attribute(53, "first"), wire.attribute(53, "a-name-of-more-than-15-bytes"))
    kernel = Kernel([(16, 0, HEADER.pack(0, 0, 5, 0, 0) + wire.attribute(3, "e5") + names)])
    found = devices.find(handle(kernel), "a-name-of-more-than-15-bytes")
    assert found is not None
    assert found.other_names == ("first", "a-name-of-more-than-15-bytes")
    (message,) = kernel.sent
    assert wire.attributes(message.body, HEADER.size)[53] == b"a-name-of-more-than-15-bytes\0"

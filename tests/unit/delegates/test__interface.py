# SPDX-License-Identifier: Apache-2.0
"""What a pod's interface needs of the opener, and the wait for it; with a real one it stands in tests/contract."""

from ipaddress import ip_interface
from typing import Any

import pytest

from delegates import _interface
from delegates._call import Pod
from metacni.cni.errors import CniError
from metacni.cni.result import Address, Interface, Result
from metacni.netns import wire
from metacni.netns.devices import HEADER
from metacni.netns.opener import Opened
from tests.unit.netns.kernels import Kernel, ack, handle

V4 = Address(address=ip_interface("10.1.0.5/24"), interface=2)
V6 = Address(address=ip_interface("fd01::5/64"), interface=2)
MAC = "02005e00000a"
UP, DOWN = ((16, 0, HEADER.pack(0, 0, 5, 1, 0) + wire.attribute(16, bytes([state]))) for state in (6, 2))


def test_no_more_settings_are_opened_than_are_written() -> None:
    """IPv6's only for its addresses; an address without interface is nobody's."""
    four = {"ipv4/conf/net.1/arp_notify", "ipv6/conf/net.1/accept_dad", "ipv6/conf/net.1/enhanced_dad"}
    six = {f"ipv6/conf/net.1/{name}" for name in ("disable_ipv6", "keep_addr_on_down", "ndisc_notify")}
    assert set(_interface.settings("net.1", Result(ips=(V4,)))) == four
    assert set(_interface.settings("net.1", Result(ips=(V4, V6)))) == four | six | {"ipv6/conf/lo/disable_ipv6"}
    loose = Address(address=V6.address)
    assert set(_interface.settings("net.1", Result(ips=(V4, loose)))) == four


def lone(*answers: list[tuple[int, int, bytes]]) -> Pod:
    """A pod whose kernel answers so."""
    sock: Any = Kernel(*answers)
    return Pod(Opened(socket=sock))


def test_the_interface_is_the_one_that_was_reported() -> None:
    """By name, and by MAC in whichever case; a MAC that was not reported is any."""
    found = (16, 0, HEADER.pack(0, 0, 5, 1, 0) + wire.attribute(3, "eth0") + wire.attribute(1, bytes.fromhex(MAC)))
    for mac in ("02:00:5E:00:00:0A", ""):
        assert _interface.standing(lone([found]), Interface(name="eth0", mac=mac)).index == 5
    with pytest.raises(CniError, match=r"'eth0': its MAC is 02:00:5e:00:00:0a, not x") as caught:
        _interface.standing(lone([found]), Interface(name="eth0", mac="x"))
    assert caught.value.code == 999
    with pytest.raises(CniError, match=r"'eth0': it is gone"):
        _interface.standing(lone([ack(19)]), Interface(name="eth0"))


def test_a_port_is_waited_for() -> None:
    """Looked at again until frames pass."""
    kernel = Kernel([DOWN], [DOWN], [UP])
    assert _interface.wait_until_operational(handle(kernel), 5, "veth1", 5).operational
    assert len(kernel.sent) == 3


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [pytest.param(DOWN, 11, "operational", id="never-up"), pytest.param(ack(19), 5, "gone", id="gone")],
)
def test_a_port_that_does_not_come_up_is_an_error(answer: tuple[int, int, bytes], code: int, says: str) -> None:
    """After these seconds, or at once when it is gone."""
    with pytest.raises(CniError, match=says) as caught:
        _interface.wait_until_operational(handle(Kernel(*[[answer]] * 100)), 5, "veth1", 0.01)
    assert caught.value.code == code

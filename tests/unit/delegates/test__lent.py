# SPDX-License-Identifier: Apache-2.0
"""What stands on a lent link, and how it is made whole again; with real links it stands in tests/kernel."""

import errno
import struct
from collections.abc import Mapping

import pytest

from delegates import _lent
from delegates._call import Attachment
from delegates._lent import Before
from metacni.cni.errors import CniError
from metacni.cni.names import ContainerId, IfName, NetworkName
from metacni.netns import devices, wire
from metacni.netns.devices import HEADER, Device
from tests.unit.netns.kernels import DONE, Kernel, ack, handle

NET = NetworkName("net")
MARK = "metacni:net:c1:eth0"


def owner(container: str = "c1") -> Attachment:
    """An attachment."""
    return Attachment(container=ContainerId(container), ifname=IfName("eth0"))


def link(name: str, *marks: str, alias: str = "", up: bool = False, mac: str = "020000000009") -> Device:
    """A link on the node."""
    body = HEADER.pack(0, 0, 5, int(up), 0)
    body += wire.attribute(3, name) + wire.attribute(20, alias) + wire.attribute(1, bytes.fromhex(mac))
    body += wire.attribute(4, 1500) + wire.nested(52, *(wire.attribute(53, mark) for mark in marks))
    found = devices.at(handle(Kernel([(16, 0, body)])), 5)
    assert found is not None
    return found


def restored(device: Device, refused: Mapping[int, int] | None = None) -> list[tuple[int, int, dict[int, bytes]]]:
    """What the kernel is asked for: kind, flags of the link that change, attributes; some refused, by their number."""
    kernel = Kernel(*([ack((refused or {}).get(number, 0))] for number in range(9)))
    _lent.restore(handle(kernel), device)
    return [
        (sent.kind, HEADER.unpack_from(sent.body)[3], wire.attributes(sent.body, HEADER.size)) for sent in kernel.sent
    ]


def name(text: str) -> dict[int, bytes]:
    """An alternative name, as an attribute."""
    return {52: wire.attribute(53, text)}


def test_the_mark_says_whose_it_is() -> None:
    """In words; where they are too long for the kernel, by a digest, which is as good for finding it."""
    assert _lent.owner_mark(NET, owner()) == MARK
    long = _lent.owner_mark(NetworkName("n" * 60), owner("c" * 64))
    assert long.startswith("metacni:")
    assert len(long) == 72
    assert long != _lent.owner_mark(NetworkName("n" * 60), owner("c" * 65))


def test_the_mark_says_how_it_was() -> None:
    """An alias too long to be kept is left out; all else fits always."""
    was = Before(name="ens5", up=True, mtu=9000, mac="02:00:00:00:00:09", alias="rack 7: left")
    assert was.mark() == "metacni-was:ens5:1:9000:020000000009:rack%207%3A%20left"
    longest = Before(name="n" * 15, up=True, mtu=65535, mac=":".join(["02"] * 20), alias="x" * 200)
    assert len(longest.mark()) <= 127
    assert longest.mark().endswith(":")


def test_a_link_that_came_home_under_another_name_is_made_what_it_was() -> None:
    """Off, MAC, MTU, name, remark, on; then the marks, whose it is last."""
    was = "metacni-was:ens5:1:9000:020000000001:uplink"
    assert restored(link("eth0", "other", was, MARK, alias="ens5", up=True)) == [
        (19, 0, {}),
        (19, 0, {1: b"\2\0\0\0\0\1"}),
        (19, 0, {4: b"\x28\x23\0\0"}),
        (19, 0, {3: b"ens5\0"}),
        (19, 0, {20: b"uplink"}),
        (19, 1, {}),
        (109, 0, name(was)),
        (109, 0, name(MARK)),
    ]


def test_a_link_that_never_left_loses_its_marks_only() -> None:
    """Its own remark is not taken for a name."""
    was = "metacni-was:ens5:1:1500:020000000009:a%20remark"
    unmoved = link("ens5", MARK, was, alias="a remark", up=True)
    assert [kind for kind, _, _ in restored(unmoved)] == [109, 109]
    assert restored(link("ens5", MARK, alias="a remark", up=True)) == [(109, 0, name(MARK))]


def test_what_the_reference_lent_gets_its_name_back() -> None:
    """Nothing else is known about it: it stays off."""
    assert restored(link("eth0", alias="ens5")) == [(19, 0, {3: b"ens5\0"}), (19, 0, {20: b""})]


def test_a_name_that_is_taken_is_kept_as_a_remark() -> None:
    """The link stays under the name it has, and its marks go all the same."""
    was = "metacni-was:ens5:0:1500:020000000009:"
    asked = restored(link("eth0", MARK, was), {0: errno.EEXIST})
    assert asked == [(19, 0, {3: b"ens5\0"}), (19, 0, {20: b"ens5"}), (109, 0, name(was)), (109, 0, name(MARK))]


def test_a_driver_that_refuses_a_setting_holds_nothing_up() -> None:
    """Its MAC is told in the log; the name is given back."""
    was = "metacni-was:ens5:0:1500:020000000001:"
    asked = restored(link("eth0", MARK, was, alias="ens5"), {0: errno.EOPNOTSUPP})
    assert [attributes.get(3) for _, _, attributes in asked if attributes.get(3)] == [b"ens5\0"]


def test_a_name_that_cannot_be_given_back_is_an_error() -> None:
    """The marks stay on, so that the next DEL tries again."""
    with pytest.raises(CniError, match="cannot restore device 'ens5': cannot set its name") as caught:
        restored(link("eth0", MARK, "metacni-was:ens5:0:1500:020000000009:"), {0: errno.EPERM})
    assert caught.value.code == 5


@pytest.mark.parametrize(
    "mark", ["metacni-was:", "metacni-was:a:b", "metacni-was:ens5:1:x::", "metacni-was:ens5:1:1500:02:00:"]
)
def test_a_mark_that_is_none_of_ours_is_not_believed(mark: str) -> None:
    """A pod can write what it likes; the link is then as it is."""
    assert [kind for kind, _, _ in restored(link("ens5", MARK, mark))] == [109, 109]


def test_only_a_networks_own_garbage_is_collected() -> None:
    """Not what is valid, not another network's, not what is not lent."""

    def body(index: int, *marks: str) -> tuple[int, int, bytes]:
        names = wire.nested(52, *(wire.attribute(53, mark) for mark in marks))
        return 16, 2, HEADER.pack(0, 0, index, 0, 0) + wire.attribute(3, f"e{index}") + names

    kernel = Kernel([
        body(2, MARK), body(3, "metacni:net:c2:eth0"), body(4, "metacni:net2:c2:eth0"), body(5), body(6, "altname"),
        (DONE, 2, struct.pack("=i", 0)),
    ])  # fmt: skip
    _lent.restore_others(handle(kernel), NET, [owner("c1")])
    assert [HEADER.unpack_from(sent.body)[2] for sent in kernel.sent if sent.kind == 109] == [3]

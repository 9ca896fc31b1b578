# SPDX-License-Identifier: Apache-2.0
"""The guard of the group deletion over a kernel in memory; with a pod that meddles it stands in tests/kernel."""

import errno

import pytest

from metacni.cni.errors import CniError
from metacni.netns import groups, wire
from metacni.netns.devices import HEADER
from tests.unit.netns.kernels import DONE, Kernel, ack, handle

DUMP, DELETE = 18, 17
Answer = list[tuple[int, int, bytes]]


def pod(**links: int) -> Answer:
    """A dump: groups by index, as i3=77."""
    found = [
        (16, 2, HEADER.pack(0, 0, int(name[1:]), 0, 0) + wire.attribute(27, group)) for name, group in links.items()
    ]
    return [*found, (DONE, 2, bytes(4))]


def deleted(kernel: Kernel) -> list[int]:
    """The indexes of the deletions in order, 0 for that of a group."""
    return [HEADER.unpack_from(message.body)[2] for message in kernel.sent if message.kind == DELETE]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(pod(i1=0, i3=77, i4=77), [0], id="as-recorded"),
        pytest.param(pod(i1=0, i3=77), [0], id="one-is-gone"),
        pytest.param(pod(i1=77, i3=77, i4=77), [3, 4], id="lo-is-in-it"),
        pytest.param(pod(i1=0, i3=77, i4=0), [3, 4], id="one-was-taken-out"),
        pytest.param(pod(i1=0, i3=77, i4=77, i9=77), [3, 4], id="a-foreign-one-is-in-it"),
        pytest.param(pod(i1=0, i9=77), [], id="all-gone-and-the-group-is-the-pods"),
    ],
)
def test_the_group_goes_only_when_it_is_what_is_recorded(answer: Answer, expected: list[int]) -> None:
    """Otherwise each recorded link that still stands, and no other."""
    kernel = Kernel(answer)
    groups.delete(handle(kernel), [4, 3], 77)
    assert deleted(kernel) == expected


def test_a_refused_group_is_deleted_one_by_one() -> None:
    """As when `lo` came in after the look: the kernel deletes nothing of it."""
    kernel = Kernel(pod(i3=77, i4=77), [ack(errno.EOPNOTSUPP)])
    groups.delete(handle(kernel), [3, 4], 77)
    assert deleted(kernel) == [0, 3, 4]


def test_a_link_that_cannot_be_deleted_keeps_no_other() -> None:
    """All are tried, then it is told which failed."""
    kernel = Kernel(pod(i3=0, i4=0), [ack(errno.EPERM)])
    with pytest.raises(CniError, match=r"^cannot delete links of the pod: link 3: operation not permitted$") as caught:
        groups.delete(handle(kernel), [3, 4], 77)
    assert deleted(kernel) == [3, 4]
    assert caught.value.code == 5


def test_nothing_recorded_asks_nothing() -> None:
    """Not even for a list."""
    kernel = Kernel()
    groups.delete(handle(kernel), [], 77)
    assert kernel.sent == []

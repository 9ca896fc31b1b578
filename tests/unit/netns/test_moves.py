# SPDX-License-Identifier: Apache-2.0
"""A link's way from one namespace to another, as bytes for a kernel in memory."""

from collections.abc import Callable

import pytest

from metacni.netns import moves, wire
from metacni.netns.devices import HEADER
from metacni.netns.netlink import Netlink
from tests.unit.netns.kernels import Kernel, handle


@pytest.mark.parametrize(
    ("act", "kind", "header", "attributes"),
    [
        pytest.param(
            lambda n: moves.move(n, 5, 9, "eth0"), 19, (0, 0, 5, 0, 0), {28: b"\x09\0\0\0", 3: b"eth0\0"}, id="move"
        ),
        pytest.param(
            lambda n: moves.move(n, 5, 9, "eth0", alias="ens5"),
            19, (0, 0, 5, 0, 0), {28: b"\x09\0\0\0", 3: b"eth0\0", 20: b"ens5"}, id="move-with-its-old-name",
        ),
        pytest.param(lambda n: moves.rename(n, 5, "ens5"), 19, (0, 0, 5, 0, 0), {3: b"ens5\0"}, id="rename"),
        pytest.param(lambda n: moves.take_down(n, 5), 19, (0, 0, 5, 0, 1), {}, id="down"),
    ],
)  # fmt: skip
def test_a_verb_is_one_message(
    act: Callable[[Netlink], None], kind: int, header: tuple[int, ...], attributes: dict[int, bytes]
) -> None:
    """So there is no moment in which a kill leaves half of it."""
    kernel = Kernel()
    act(handle(kernel))
    (message,) = kernel.sent
    assert (message.kind, HEADER.unpack_from(message.body)) == (kind, header)
    assert wire.attributes(message.body, HEADER.size) == attributes


@pytest.mark.parametrize(("act", "kind"), [(moves.add_name, 108), (moves.remove_name, 109)])
def test_a_link_has_further_names(act: Callable[[Netlink, int, str], None], kind: int) -> None:
    """Longer ones than its own may be."""
    kernel = Kernel()
    act(handle(kernel), 5, "a-name-of-more-than-15-bytes")
    (message,) = kernel.sent
    assert (message.kind, HEADER.unpack_from(message.body)[2]) == (kind, 5)
    names = wire.attributes(wire.attributes(message.body, HEADER.size)[52])
    assert names == {53: b"a-name-of-more-than-15-bytes\0"}

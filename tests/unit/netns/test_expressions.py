# SPDX-License-Identifier: Apache-2.0
"""The phrases of rules as the kernel gets them; that `nft` gives the very same is compared in tests/contract."""

from collections.abc import Callable
from ipaddress import ip_interface, ip_network

import pytest

from metacni.netns import expressions, wire


def shape(phrase: expressions.Phrase) -> list[tuple[str, dict[int, bytes]]]:
    """Names and data of expressions."""
    return [
        (wire.text(wire.attributes(one)[1]), wire.attributes(wire.attributes(one)[2])) for one in phrase
    ]  # fmt: skip


Make = Callable[[], expressions.Phrase]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(lambda: expressions.to_network(ip_network("10.1.0.0/16")), ["meta", "cmp", "payload", "cmp"],
                     id="whole-bytes"),
        pytest.param(lambda: expressions.to_network(ip_network("10.2.0.0/15")),
                     ["meta", "cmp", "payload", "bitwise", "cmp"], id="masked"),
        pytest.param(lambda: expressions.outside_of(ip_network("0.0.0.0/0")), ["payload", "bitwise", "cmp"], id="all"),
        pytest.param(lambda: expressions.from_address(ip_interface("fd01::2/64")), ["meta", "cmp", "payload", "cmp"],
                     id="address"),
        pytest.param(expressions.masquerade, ["masq"], id="masquerade"),
        pytest.param(expressions.leave, ["immediate"], id="leave"),
    ],
)  # fmt: skip
def test_a_phrase_has_the_expressions_of_nft(make: Make, expected: list[str]) -> None:
    """By their names; that the bytes are the same is compared in tests/contract."""
    assert [name for name, _ in shape(make())] == expected


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(lambda: expressions.to_network(ip_network("10.1.0.0/16")), [b"\2", b"\x0a\1"], id="whole-bytes"),
        pytest.param(lambda: expressions.to_network(ip_network("10.2.0.0/15")), [b"\2", b"\x0a\2\0\0"], id="masked"),
        pytest.param(
            lambda: expressions.from_address(ip_interface("fd01::2/64")),
            [b"\x0a", bytes.fromhex("fd010000000000000000000000000002")],
            id="address",
        ),
        pytest.param(lambda: expressions.from_mac("02:00:5e:00:00:01"), [b"\2\0\x5e\0\0\1"], id="mac"),
        pytest.param(lambda: expressions.from_link("veth0"), [b"veth0".ljust(16, b"\0")], id="link"),
    ],
)
def test_a_phrase_compares_with_the_bytes_of_the_packet(make: Make, expected: list[bytes]) -> None:
    """Of a network with the part that is common to its addresses."""
    constants = [wire.attributes(data[3])[1] for name, data in shape(make()) if name == "cmp"]
    assert constants == expected


@pytest.mark.parametrize(
    ("make", "code", "chain"),
    [
        pytest.param(lambda: expressions.jump("c"), b"\xff\xff\xff\xfd", b"c\0", id="jump"),
        pytest.param(lambda: expressions.goto("c"), b"\xff\xff\xff\xfc", b"c\0", id="goto"),
        pytest.param(expressions.leave, b"\xff\xff\xff\xfb", None, id="return"),
        pytest.param(expressions.drop, bytes(4), None, id="drop"),
    ],
)
def test_a_verdict_has_its_code(make: Make, code: bytes, chain: bytes | None) -> None:
    """And the chain that it leads to."""
    ((_, data),) = shape(make())
    verdict = wire.attributes(wire.attributes(data[2])[2])
    assert (verdict[1], verdict.get(2)) == (code, chain)

# SPDX-License-Identifier: Apache-2.0
"""What nftables rules are made of, in the very form that the program `nft` gives them: only so does it print them back.

One function for each phrase of a rule; it gives the expressions that the kernel runs for it. No socket.
"""

import struct
from collections.abc import Sequence
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import Final

from metacni.netns.wire import attribute, nested

Network = IPv4Network | IPv6Network
Prefixed = IPv4Interface | IPv6Interface
Phrase = Sequence[bytes]

_U32: Final = struct.Struct("!I")
_I32: Final = struct.Struct("!i")

_NAME: Final = 1
_DATA: Final = 2
_VALUE: Final = 1  # of a constant
_VERDICT: Final = 2  # likewise
_CODE: Final = 1
_CHAIN: Final = 2

_NO_REGISTER: Final = 0  # where verdicts go
_REGISTER: Final = 1
_EQUAL: Final = 0
_UNEQUAL: Final = 1
_LINK_LAYER: Final = 0
_NETWORK_LAYER: Final = 1
_INCOMING: Final = 6
_PROTOCOL: Final = 15
_NAME_SIZE: Final = 16
_SOURCE_MAC: Final = 6  # where it stands in its header, like these
_SOURCE: Final = {4: 12, 6: 8}
_DESTINATION: Final = {4: 16, 6: 24}
_FAMILY: Final = {4: b"\x02", 6: b"\x0a"}
_DROP: Final = 0
_JUMP: Final = -3
_GOTO: Final = -4
_RETURN: Final = -5


def from_address(address: Prefixed) -> Phrase:
    """`ip saddr ADDRESS`, in the inet family; the prefix means nothing."""
    packed = address.ip.packed
    at = _SOURCE[address.version]
    return (*_of_family(address.version), _load(_NETWORK_LAYER, at, len(packed)), _compare(_EQUAL, packed))


def to_network(network: Network) -> Phrase:
    """`ip daddr NETWORK`, in the inet family."""
    return (*_of_family(network.version), *_destination(_EQUAL, network))


def outside_of(network: Network) -> Phrase:
    """`ip daddr != NETWORK`, behind a phrase about the same family."""
    return _destination(_UNEQUAL, network)


def from_link(name: str) -> Phrase:
    """`iifname NAME`."""
    return _meta(_INCOMING), _compare(_EQUAL, name.encode().ljust(_NAME_SIZE, b"\0"))


def from_mac(mac: str) -> Phrase:
    """`ether saddr MAC`, in the bridge family."""
    packed = bytes.fromhex(mac.replace(":", ""))
    return _load(_LINK_LAYER, _SOURCE_MAC, len(packed)), _compare(_EQUAL, packed)


def jump(chain: str) -> Phrase:
    """`jump CHAIN`."""
    return _verdict(_JUMP, chain)


def goto(chain: str) -> Phrase:
    """`goto CHAIN`."""
    return _verdict(_GOTO, chain)


def leave() -> Phrase:
    """`return`."""
    return _verdict(_RETURN)


def drop() -> Phrase:
    """`drop`."""
    return _verdict(_DROP)


def masquerade() -> Phrase:
    """`masquerade`."""
    return (_expression("masq"),)


def _of_family(version: int) -> Phrase:
    return _meta(_PROTOCOL), _compare(_EQUAL, _FAMILY[version])


def _destination(operator: int, network: Network) -> Phrase:
    """Of a prefix of whole bytes only those are loaded, of any other all are, and masked."""
    packed, at = network.network_address.packed, _DESTINATION[network.version]
    whole, rest = divmod(network.prefixlen, 8)
    if whole and not rest:
        return _load(_NETWORK_LAYER, at, whole), _compare(operator, packed[:whole])
    mask = _bitwise(network.netmask.packed)
    return _load(_NETWORK_LAYER, at, len(packed)), mask, _compare(operator, packed)


def _meta(key: int) -> bytes:
    return _expression("meta", _number(1, _REGISTER), _number(2, key))


def _load(base: int, at: int, length: int) -> bytes:
    return _expression("payload", _number(1, _REGISTER), _number(2, base), _number(3, at), _number(4, length))


def _bitwise(mask: bytes) -> bytes:
    registers = _number(1, _REGISTER), _number(2, _REGISTER), _number(3, len(mask))
    return _expression("bitwise", *registers, _constant(4, mask), _constant(5, bytes(len(mask))))


def _compare(operator: int, constant: bytes) -> bytes:
    return _expression("cmp", _number(1, _REGISTER), _number(2, operator), _constant(3, constant))


def _verdict(code: int, chain: str = "") -> Phrase:
    parts = [attribute(_CODE, _I32.pack(code))]
    if chain:
        parts.append(attribute(_CHAIN, chain))
    return (_expression("immediate", _number(1, _NO_REGISTER), nested(2, nested(_VERDICT, *parts))),)


def _expression(name: str, *data: bytes) -> bytes:
    return attribute(_NAME, name) + nested(_DATA, *data)


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, _U32.pack(value))


def _constant(kind: int, value: bytes) -> bytes:
    return nested(kind, attribute(_VALUE, value))

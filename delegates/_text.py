# SPDX-License-Identifier: Apache-2.0
"""Addresses, MACs and whole objects out of JSON, with errors that name the key. Must not know which keys there are."""

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
)
from typing import Final

from metacni.cni import keys
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json, describe

Ip = IPv4Address | IPv6Address
Prefixed = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network

_ADDRESS: Final = re.compile(r"[0-9a-fA-F:.]+")  # stricter than ipaddress, which takes zones
_PREFIXED: Final = re.compile(r"[0-9a-fA-F:.]+/[0-9]{1,3}")  # likewise netmasks
_MAC: Final = re.compile(r"[0-9a-f]{2}(([:-])[0-9a-f]{2}(\2[0-9a-f]{2}){4})|([0-9a-f]{4}\.){2}[0-9a-f]{4}")
_MULTICAST: Final = 1


def ip(key: str, text: str, code: Code = Code.CONFIG) -> Ip:
    """An address; an IPv4 one in IPv6's clothes is the IPv4 one, as in Go (F14)."""
    try:
        return _ip(text)
    except ValueError:
        raise CniError(code, f"cannot use {key} {describe(text)}: not an IP address") from None


def requested(key: str, text: str, code: Code = Code.CONFIG) -> Ip:
    """An address that is asked for; a prefix behind it must be one, and means nothing (F9)."""
    if "/" not in text:
        return ip(key, text, code)
    return _plain(prefixed(key, text, code).ip)


def prefixed(key: str, text: str, code: Code = Code.CONFIG) -> Prefixed:
    """An address with a prefix."""
    try:
        return _prefixed(text)
    except ValueError:
        raise CniError(code, f"cannot use {key} {describe(text)}: not an address with a prefix") from None


def network(key: str, text: str) -> Network:
    """A subnet, no bit set behind its prefix (F4)."""
    found = prefixed(key, text)
    if found.ip != found.network.network_address:
        raise CniError(
            Code.CONFIG, f"cannot use {key} {text!r}: host bits are set", f"the network address is {found.network}"
        )
    if isinstance(found, IPv6Interface) and found.ip.ipv4_mapped:
        raise CniError(Code.CONFIG, f"cannot use {key} {text!r}: an IPv4 subnet written as IPv6")
    return found.network


def mac(key: str, text: str, code: Code = Code.CONFIG) -> str:
    """A MAC that a link can have, in the kernel's spelling."""
    folded = text.lower()
    if not _MAC.fullmatch(folded):
        raise CniError(code, f"cannot use {key} {describe(text)}: not a MAC address")
    digits = bytes.fromhex(re.sub(r"[:.-]", "", folded))
    if digits[0] & _MULTICAST or not any(digits):
        raise CniError(code, f"cannot use {key} {describe(text)}: no link can have that MAC address")
    return digits.hex(":")


def objects(body: Mapping[str, Json], key: str) -> list[dict[str, Json]]:
    """A list of objects."""
    found = []
    for item in keys.items(body, key) or []:
        if not isinstance(item, dict):
            raise CniError.decode(f"key {key!r}", f"{describe(item)} is not an object")
        found.append(item)
    return found


def unknown(body: Mapping[str, Json], known: Collection[str]) -> str | None:
    """The first key that is none of these, which stand in lower case; a null counts as absent."""
    return next((key for key, value in body.items() if key.lower() not in known and value is not None), None)


@lru_cache(maxsize=512)  # gateways and subnets are the same for every pod, and ipaddress is slow
def _ip(text: str) -> Ip:
    if not _ADDRESS.fullmatch(text):
        raise ValueError
    return _plain(ip_address(text))


@lru_cache(maxsize=512)
def _prefixed(text: str) -> Prefixed:
    if not _PREFIXED.fullmatch(text):
        raise ValueError
    return ip_interface(text)


def _plain(address: Ip) -> Ip:
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address

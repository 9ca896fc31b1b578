# SPDX-License-Identifier: Apache-2.0
"""What a pod may request of a network, checked and turned into the values of `runtimeConfig`.

A wrong JSON type is a decoding error (code 6), a wrong value a configuration error (code 7); both name key and value.
Nothing is passed on that a plugin would only find out to be nonsense after other networks are attached. This module
must not decide whether a network can take a request: that is `capabilities`.
"""

import re
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, TypeAlias

from metacni.cni import keys
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json, describe

_Reader: TypeAlias = Callable[[Mapping[str, Json], str], Json]

MAX_PORT: Final = 65535
MAX_RATE: Final = 2**63 - 1  # what the integers of a configuration can hold
DEFAULT_BURST: Final = 2**32 - 1  # bits; what containerd sends where only a rate is known
_GROUPED: Final = re.compile(r"[0-9A-Fa-f]{2}([:-])[0-9A-Fa-f]{2}(?:\1[0-9A-Fa-f]{2})*")
_DOTTED: Final = re.compile(r"[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4})+")
_MAC_BYTES: Final = (6, 8, 20)  # Ethernet, EUI-64 and InfiniBand: what Multus lets pass (C32)
_GUID_BYTES: Final = (8,)
_ETHERNET: Final = 6
_PROTOCOLS: Final = ("tcp", "udp", "sctp")
_PREFIX: Final = re.compile(r"0|[1-9][0-9]{0,2}")
_DIRECTIONS: Final = (("ingressRate", "ingressBurst"), ("egressRate", "egressBurst"))


def capability_args(element: Mapping[str, Json]) -> dict[str, Json]:
    """The requests of one element of the annotation, under the names of their capabilities."""
    values = {capability: read(element, key) for key, (capability, read) in _READERS.items() if _has(element, key)}
    return {capability: value for capability, value in values.items() if value is not None}


def default_route(element: Mapping[str, Json]) -> tuple[IPv4Address | IPv6Address, ...] | None:
    """The gateways asked for; None where the key is absent, which is not the same as an empty list (C51)."""
    if not _has(element, "default-route"):
        return None
    return tuple(_gateway("default-route", text) for text in keys.texts(element, "default-route"))


def annotation_key(capability: str) -> str:
    """How the annotation spells a capability's request (C33)."""
    return next((key for key, (name, _) in _READERS.items() if name == capability), capability)


def _has(element: Mapping[str, Json], key: str) -> bool:
    return keys.find(element, key) is not None


def _ips(element: Mapping[str, Json], key: str) -> Json:
    """Addresses with or without a prefix, as they were written: each plugin has its own wish here (C30, C31)."""
    texts = keys.texts(element, key)
    if not texts:
        raise _wrong(key, [], "at least one address is needed")
    for text in texts:
        head, slash, prefix = text.partition("/")
        address = _address(key, head, text)
        if slash and not (_PREFIX.fullmatch(prefix) and int(prefix) <= address.max_prefixlen):
            raise _wrong(key, text, f"the prefix length is a number up to {address.max_prefixlen}")
    return [*texts]


def _address(key: str, text: str, shown: str) -> IPv4Address | IPv6Address:
    try:
        if "%" not in text:  # a zone means nothing outside the host that wrote it, and Go refuses it
            return ip_address(text)
    except ValueError:
        pass
    raise _wrong(key, shown, "not an IP address")


def _gateway(key: str, text: str) -> IPv4Address | IPv6Address:
    address = _address(key, text, text)
    if address.is_unspecified or address.is_multicast:
        raise _wrong(key, text, "no gateway can have this address")
    return address


def _mac(element: Mapping[str, Json], key: str) -> Json:
    """A hardware address; the kernel would refuse a group's or the empty one only when others are attached."""
    text = keys.text(element, key)
    octets = _hardware(key, text, _MAC_BYTES) if text else b""
    if len(octets) == _ETHERNET and (octets[0] & 1 or not any(octets)):
        raise _wrong(key, text, "no interface can have this address")
    return text or None


def _guid(element: Mapping[str, Json], key: str) -> Json:
    text = keys.text(element, key)
    if text:
        _hardware(key, text, _GUID_BYTES)
    return text or None


def _hardware(key: str, text: str, lengths: tuple[int, ...]) -> bytes:
    if _GROUPED.fullmatch(text) or _DOTTED.fullmatch(text):
        octets = bytes.fromhex(re.sub("[:.-]", "", text))
        if len(octets) in lengths:
            return octets
    raise _wrong(key, text, f"not a hardware address of {' or '.join(map(str, lengths))} bytes")


def _port_mappings(element: Mapping[str, Json], key: str) -> Json:
    """Written out in full and with the protocol in lower case, as the runtimes do (C34, G6)."""
    items = keys.items(element, key)
    if not items:
        raise _wrong(key, items, "at least one mapping is needed")
    return [_port_mapping(key, item) for item in items]


def _port_mapping(key: str, item: Json) -> dict[str, Json]:
    if not isinstance(item, dict):
        raise CniError.decode(f"key {key!r}", f"{describe(item)} is not an object")
    protocol = (keys.text(item, "protocol") or "tcp").lower()
    if protocol not in _PROTOCOLS:
        raise _wrong("protocol", protocol, "neither TCP, UDP nor SCTP")
    mapping: dict[str, Json] = {name: _port(item, name) for name in ("hostPort", "containerPort")}
    mapping["protocol"] = protocol
    if host := keys.text(item, "hostIP"):
        mapping["hostIP"] = str(_address("hostIP", host, host))
    return mapping


def _port(item: Mapping[str, Json], key: str) -> int:
    port = keys.integer(item, key)
    if port is None or not 1 <= port <= MAX_PORT:
        raise _wrong(key, port, f"a port is a number from 1 to {MAX_PORT}")
    return port


def _bandwidth(element: Mapping[str, Json], key: str) -> Json:
    """Only the directions that were asked for: an absent one is unlimited, a zero nonsense (C35, C36)."""
    asked = keys.mapping(element, key) or {}
    limits: dict[str, Json] = {}
    for rate_key, burst_key in _DIRECTIONS:
        rate, burst = _amount(asked, rate_key), _amount(asked, burst_key)
        if rate is not None:
            limits |= {rate_key: rate, burst_key: DEFAULT_BURST if burst is None else burst}
        elif burst is not None:
            raise _wrong(burst_key, burst, f"a burst needs its {rate_key}")
    if not limits:
        raise _wrong(key, asked, "it names no rate")
    return limits


def _amount(asked: Mapping[str, Json], key: str) -> int | None:
    amount = keys.integer(asked, key)
    if amount is not None and not 1 <= amount <= MAX_RATE:
        raise _wrong(key, amount, "it must be above zero")
    return amount


def _wrong(key: str, value: Json, cause: str) -> CniError:
    return CniError(Code.CONFIG, f"cannot use key {key!r} with value {describe(value)}: {cause}")


_READERS: Final[Mapping[str, tuple[str, _Reader]]] = {
    "ips": ("ips", _ips),
    "mac": ("mac", _mac),
    "infiniband-guid": ("infinibandGUID", _guid),
    "portMappings": ("portMappings", _port_mappings),
    "bandwidth": ("bandwidth", _bandwidth),
}

# SPDX-License-Identifier: Apache-2.0
"""Addresses that stand in the configuration, or are asked for by the pod (F22-F24).

Nothing is kept, so nothing is given back, and nobody is kept from having the same address: that is for whoever writes
them down. Must not know any interface, nor the plugin that it gives addresses to.
"""

from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface
from typing import Final

from delegates import _arguments, _keys, _program, _text
from delegates._call import Body, Call, Visible
from delegates._skeleton import Delegate
from delegates._text import Prefixed
from delegates.ipam import part
from metacni.cni import keys
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code
from metacni.cni.result import Address, Dns, Result, Route

_KEYS: Final = frozenset({"type", "name", "addresses", "routes", "dns"})  # `name` the reference overwrites
_ADDRESS_KEYS: Final = frozenset({"address", "gateway", "version"})  # `version` means nothing since 0.3
_IP: Final = "IP"
_GATEWAY: Final = "GATEWAY"
_MAPPED: Final = 96  # bits before an IPv4 address in IPv6's clothes


@dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """The configuration."""

    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    dns: Dns = field(default_factory=Dns)


def parse(body: Body, environment: Environment, version: str) -> Conf:
    """Read the part under `ipam`, and what is requested.

    Raises:
        CniError: code 6, a wrong JSON type; code 7, values that cannot be; code 4, bad CNI_ARGS.
    """
    ipam = part.of(body)
    _arguments.require_known(environment, _arguments.KNOWN | {_GATEWAY})
    written = [_Written.parse(item) for item in _text.objects(ipam, "addresses")]
    named = _of_environment(environment)
    replaced = _replacement(body)
    addresses = replaced or (*(item.address() for item in written), *named)
    part.require_room(version, [item.address.version for item in addresses])
    return Conf(addresses=addresses, routes=part.routes(ipam), dns=_keys.dns(ipam) or Dns())


def parse_loosely(_: Body) -> Conf:
    """Nothing is to be given back."""
    return Conf()


def add(call: Call[Conf]) -> Result:
    """Tell the addresses; none is a result, too, which interface plugins refuse."""
    conf = call.conf
    return Result(ips=conf.addresses, routes=conf.routes, dns=conf.dns)


def check(call: Call[Conf]) -> None:
    """An address that the ADD reported has the gateway of the configuration; one that it did not passes (F25)."""
    reported = call.previous().ips
    for wanted in call.conf.addresses:
        found = next((item for item in reported if item.address.ip == wanted.address.ip), None)
        if found is not None and wanted.gateway not in (None, found.gateway):
            raise CniError(
                Code.INTERNAL,
                f"cannot confirm address '{wanted.address}': its gateway is '{found.gateway}', not '{wanted.gateway}'",
            )


def declines(body: Body, _: Visible) -> str | None:
    """Name what stands in the way of doing exactly what the reference would do."""
    ipam = part.of(body)
    for item in _text.objects(ipam, "addresses"):
        key = _text.unknown(item, _ADDRESS_KEYS)
        if key:
            return f"key '{key}' of an address is not known"
    return part.undeclared(ipam, _KEYS)


@dataclass(frozen=True, slots=True)
class _Written:
    """An entry of `addresses`, whose address is read only when it counts: as the reference does."""

    text: str
    gateway: _text.Ip | None

    @classmethod
    def parse(cls, item: Body) -> "_Written":
        keys.text(item, "version")
        gateway = keys.text(item, "gateway")
        return cls(keys.text(item, "address"), _text.ip("gateway", gateway) if gateway else None)

    def address(self) -> Address:
        return Address(address=_prefixed("address", self.text, Code.CONFIG), gateway=self.gateway)


def _of_environment(environment: Environment) -> tuple[Address, ...]:
    """Addresses out of CNI_ARGS, each with the last gateway there that its subnet holds; no other address gets one."""
    where = f"{_IP} of CNI_ARGS"
    addresses = [_prefixed(where, text, Code.ENVIRONMENT) for text in _listed(environment, _IP)]
    where = f"{_GATEWAY} of CNI_ARGS"
    gateways = [_text.ip(where, text, Code.ENVIRONMENT) for text in _listed(environment, _GATEWAY)]
    return tuple(
        Address(
            address=address,
            gateway=next((gateway for gateway in reversed(gateways) if gateway in address.network), None),
        )
        for address in addresses
    )


def _listed(environment: Environment, variable: str) -> list[str]:
    text = _arguments.environment_value(environment, variable)
    return [item.strip() for item in text.split(",")] if text else []


def _replacement(body: Body) -> tuple[Address, ...]:
    """What takes the place of all other addresses: of the runtime before those of `args` (F23)."""
    found: tuple[Address, ...] = ()
    for where, place in _arguments.places(body):  # the weaker first; both have to be sound
        texts = keys.texts(place, "ips")
        if texts:
            found = tuple(Address(address=_prefixed(f"{where}.ips", text, Code.CONFIG)) for text in texts)
    return found


def _prefixed(key: str, text: str, code: Code) -> Prefixed:
    """An address, an IPv4 one in IPv6's clothes as the IPv4 one that it is."""
    found = _text.prefixed(key, text, code)
    if not isinstance(found, IPv6Interface) or found.ip.ipv4_mapped is None:
        return found
    prefix = found.network.prefixlen - _MAPPED
    if prefix < 0:
        raise CniError(code, f"cannot use {key} {text!r}: an IPv4 address with the prefix of an IPv6 one")
    return IPv4Interface((found.ip.ipv4_mapped, prefix))


DELEGATE: Final = Delegate(
    name="static",
    about="addresses that stand in the configuration",
    parse=parse,
    parse_loosely=parse_loosely,
    add=add,
    check=check,
    declines=declines,
)

if __name__ == "__main__":
    _program.main(DELEGATE)

# SPDX-License-Identifier: Apache-2.0
"""Which code carries a plugin out: a delegate of the agent's own, or a program on the node (decision 5).

Decided once, at ADD, and recorded: whoever made an attachment takes it away, whatever is installed or configured by
then. Must not know any delegate, nor how one is run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from metacni.cni import keys
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json
from metacni.cni.names import PluginType

Visible = Callable[[str], bool]
"""Whether a path of the node is the same for the agent."""

OWN: Final = "metacni-"
"""A type that begins so is a delegate of ours, under whatever setting."""

REFERENCE: Final = frozenset(
    (
        *("bridge", "macvlan", "ipvlan", "vlan", "ptp", "host-device", "loopback", "dummy"),
        *("tuning", "sbr", "vrf"),
        *("host-local", "static"),
    )
)
"""The types of the reference plugins that a delegate of ours can stand in for."""

_IPAM: Final = "ipam"
_OTHERS: Final = frozenset({"prevResult", "runtimeConfig", "args"})  # not the author's of the configuration


class Declining(Protocol):
    """What is asked of a delegate here."""

    def declines(self, body: Mapping[str, Json], visible: Visible, /) -> str | None:
        """Why this configuration is better left to a program; None when it is carried out to the letter."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who carries one plugin of one attachment out; `why` says what keeps a delegate of ours from it."""

    resident: bool
    why: str = ""


PROGRAM: Final = Owner(resident=False)
AGENT: Final = Owner(resident=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The node's rule: which delegates there are, and what may be left to them."""

    delegates: Mapping[str, Declining]
    """By name, without `metacni-`."""
    types: frozenset[str] | None
    """The types to serve whatever they hold; None: the reference's, where nothing speaks against it."""
    visible: Visible

    def of(self, kind: PluginType, body: Mapping[str, Json]) -> Owner:
        """Who carries out a plugin of this type with this configuration.

        Raises:
            CniError: code 2, it is to be a delegate of ours, and that one cannot.
        """
        name = delegate_name(kind, self.delegates)
        if name is None:
            return PROGRAM
        forced = kind.startswith(OWN) or (self.types is not None and kind in self.types)
        if not forced and (self.types is not None or kind not in REFERENCE):
            return PROGRAM
        reason = _ambiguous(body) or _reason(self.delegates[name], body, self.visible)
        if reason is None:
            return AGENT
        if not forced:
            return Owner(resident=False, why=reason)
        hint = "" if kind.startswith(OWN) else f"take {kind!r} out of the setting `resident`, and a program does it"
        raise CniError(Code.UNSUPPORTED_FIELD, f"cannot serve plugin {kind!r} in the agent: {reason}", hint)


def delegate_name(kind: str, delegates: Mapping[str, object]) -> str | None:
    """The delegate that a type means; None when there is none."""
    name = kind.removeprefix(OWN)
    return name if name in delegates else None


def foreign_ipam(body: Mapping[str, Json], delegates: Mapping[str, object]) -> PluginType | None:
    """The IPAM program that a resident delegate of this configuration will ask for; None when it is ours, or none."""
    ipam = keys.find(body, _IPAM)
    kind = keys.find(ipam, "type") if isinstance(ipam, dict) else None
    if not isinstance(kind, str) or not kind:  # what makes no sense, the delegate refuses
        return None
    return PluginType(kind) if delegate_name(kind, delegates) is None else None


def _ambiguous(body: Mapping[str, Json]) -> str | None:
    """A key in two spellings: which one counts, programs decide by rules of their own (A65)."""
    stack: list[Json] = [{key: value for key, value in body.items() if key not in _OTHERS}]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack += value
        elif isinstance(value, dict):
            folded = [key.casefold() for key in value]
            for key, each in zip(value, folded, strict=True):
                if folded.count(each) > 1:
                    return f"key {key!r} stands there in two spellings"
            stack += value.values()
    return None


def _reason(delegate: Declining, body: Mapping[str, Json], visible: Visible) -> str | None:
    """What makes no sense to our delegate is no reason: it says so better than a program would (A66)."""
    try:
        return delegate.declines(body, visible)
    except CniError:
        return None

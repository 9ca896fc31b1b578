# SPDX-License-Identifier: Apache-2.0
"""The IPAM of a delegate: one of our own in this process, any other through the runner that was handed in.

A delegate must not see the difference, nor that an IPAM's verb is asked for in an environment variable. Which are our
own stands in one table.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from delegates import _undo
from delegates._call import Body, Call, Visible
from delegates._skeleton import Delegate
from delegates.ipam import host_local, metacni_ipam, static
from metacni.cni import convert, jsontext, keys
from metacni.cni.environment import COMMAND, Environment
from metacni.cni.errors import CniError, Code
from metacni.cni.names import PluginType, plugin_type
from metacni.cni.result import Result
from metacni.cni.versions import Verb

Conf = TypeVar("Conf")


_PREFIX: Final = "metacni-"  # of the names that are always ours
_REFERENCE: Final[tuple[Delegate[Any], ...]] = (host_local.DELEGATE, static.DELEGATE)  # under their bare names, too
_OWN: Final[Mapping[str, Delegate[Any]]] = {
    **{delegate.name: delegate for delegate in _REFERENCE},
    **{_PREFIX + delegate.name: delegate for delegate in (*_REFERENCE, metacni_ipam.DELEGATE)},
}


@dataclass(frozen=True, slots=True)
class _Own:
    """One of ours, and its configuration as it wants it."""

    delegate: Delegate[Any]
    conf: object


@dataclass(frozen=True, slots=True)
class Ipam:
    """Which IPAM a configuration names; `own` is set when it is ours."""

    kind: PluginType
    own: _Own | None = None


def parse(body: Body, environment: Environment, version: str) -> Ipam | None:
    """The IPAM of a configuration, None if it has none. Raises as the parser of that IPAM does."""
    kind = _kind(body)
    own = _OWN.get(kind)
    if own:
        return Ipam(kind, _Own(own, own.parse(body, environment, version)))
    return Ipam(kind) if kind else None


def parse_loosely(body: Body) -> Ipam | None:
    """As `parse`, for taking away."""
    kind = _kind(body)
    own = _OWN.get(kind)
    if own:
        return Ipam(kind, _Own(own, own.parse_loosely(body)))
    return Ipam(kind) if kind else None


def declines(body: Body, visible: Visible) -> str | None:
    """Why the IPAM's part of a configuration is better left to another program."""
    own = _OWN.get(_kind(body))
    return own.declines(body, visible) if own else None


def lease(call: Call[Conf], ipam: Ipam, undo: ExitStack) -> Result:
    """Addresses; `undo` gets the way back. Not a generator: one that `pop_all` drops would give them back at once.

    Raises:
        CniError: the IPAM's own, or code 7 when it gave no address (E3).
    """
    own = ipam.own
    result = own.delegate.add(call.with_conf(own.conf)) if own else _add(call, ipam.kind)
    undo.callback(_give_back, call, ipam)
    if not result.ips:
        raise CniError(Code.CONFIG, f"cannot use IPAM {ipam.kind!r}: it gave no address")
    return result


def check(call: Call[Conf], ipam: Ipam) -> None:
    """Have the IPAM compare what it keeps. Raises CniError."""
    _forward(call, ipam, Verb.CHECK)


def release(call: Call[Conf], ipam: Ipam) -> None:
    """Give back what the container has. Raises CniError."""
    _forward(call, ipam, Verb.DEL)


def status(call: Call[Conf], ipam: Ipam) -> None:
    """Whether an ADD can be served. Raises CniError."""
    _forward(call, ipam, Verb.STATUS)


def gc(call: Call[Conf], ipam: Ipam) -> None:
    """Give back what no valid attachment has. Raises CniError."""
    _forward(call, ipam, Verb.GC)


_VERBS: Final[Mapping[Verb, Callable[[Delegate[Any]], Callable[[Call[Any]], None]]]] = {
    Verb.CHECK: lambda own: own.check,
    Verb.DEL: lambda own: own.delete,
    Verb.STATUS: lambda own: own.status,
    Verb.GC: lambda own: own.gc,
}


def _forward(call: Call[Conf], ipam: Ipam, verb: Verb) -> None:
    if ipam.own:
        _VERBS[verb](ipam.own.delegate)(call.with_conf(ipam.own.conf))
    else:
        _run(call, ipam.kind, verb)


def _kind(body: Body) -> PluginType:
    """The type, empty when there is no IPAM."""
    kind = keys.text(keys.mapping(body, "ipam") or {}, "type")
    return plugin_type(kind) if kind else PluginType("")


def _add(call: Call[Conf], kind: PluginType) -> Result:
    output = _run(call, kind, Verb.ADD)
    return convert.parse(jsontext.loads_object(output, f"result of IPAM {kind!r}"), call.version)


def _run(call: Call[Conf], kind: PluginType, verb: Verb) -> bytes:
    try:
        return call.edges.ipam.run(kind, {**call.variables, COMMAND: verb}, call.stdin)
    except CniError as error:
        raise error.within(f"IPAM {kind!r}") from None


def _give_back(call: Call[Conf], ipam: Ipam) -> None:
    try:
        release(call, ipam)
    except CniError as error:
        _undo.log.warning("cannot give back addresses after a failure: %s", error)

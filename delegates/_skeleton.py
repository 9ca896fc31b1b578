# SPDX-License-Identifier: Apache-2.0
"""What a delegate is, and one operation of any, from variables and bytes to bytes; checks in the order of Go (A7).

A delegate is a handful of functions over a `Call`. The same for one that runs in the agent and for one that is a
program. Must not read the process's own environment, stdin or any file, and must not know any delegate.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from delegates._call import Attachment, Body, Call, Edges, Visible
from metacni.cni import convert, environment, jsontext, keys, versions
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json, describe
from metacni.cni.names import ContainerId, IfName, network_name
from metacni.cni.result import Result
from metacni.cni.versions import Verb
from metacni.netns.sandbox import cause

Conf = TypeVar("Conf")

VALID: Final = "cni.dev/valid-attachments"
_CLEANING: Final = frozenset({Verb.DEL, Verb.GC})
_KNOWN: Final = frozenset({"name", "cniversion", "type", "prevresult", "runtimeconfig", "args", "capabilities"})
_RUNTIMES: Final = "cni.dev/"  # keys that begin so are the runtime's


def _nothing(_: object) -> None:
    """For a verb that has nothing to do."""


def _no_reason(_: Body, __: Visible) -> str | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegate(Generic[Conf]):
    """A plugin of ours."""

    name: str
    about: str
    parse: Callable[[Body, Environment, str], Conf]
    """The configuration, checked for this version. Touches nothing. Raises CniError."""
    parse_loosely: Callable[[Body], Conf]
    """What DEL and GC need of it: one that was edited since must not keep anything from being taken away."""
    add: Callable[[Call[Conf]], Result]
    check: Callable[[Call[Conf]], None] = _nothing
    delete: Callable[[Call[Conf]], None] = _nothing
    status: Callable[[Call[Conf]], None] = _nothing
    gc: Callable[[Call[Conf]], None] = _nothing
    declines: Callable[[Body, Visible], str | None] = _no_reason
    """Why this configuration is better left to a foreign plugin; None when it is carried out to the letter."""

    def serve(self, variables: Mapping[str, str], stdin: bytes, *, pod: int | None, edges: Edges) -> bytes:
        """Carry out one operation; return what goes to stdout, which is nothing for most (A23).

        Args:
            variables: the CNI_* variables.
            stdin: the configuration.
            pod: the pod's namespace, open; None when there is none, which ADD and CHECK refuse and DEL takes for done.
            edges: the outside world.

        Raises:
            CniError: whatever went wrong; nothing else. Code 8: the descriptor is no pod's namespace.
        """
        parsed = environment.parse(variables)
        if parsed.verb is Verb.VERSION:
            return versions.reply(asked_version(stdin))
        body = jsontext.loads_object(stdin, "configuration")
        call = _call(self, parsed, body, stdin, variables=variables, pod=pod, edges=edges)
        if pod is not None:
            edges.require_pod(pod)
        try:
            result = _run(self, call)
        except OSError as error:
            raise CniError(Code.IO, f"cannot serve {parsed.verb}: {cause(error)}") from error
        if result is None:
            return b""
        return jsontext.dumps(convert.render(result, call.version))


def asked_version(stdin: bytes) -> str:
    """The version that a configuration names, as far as it can be read: VERSION answers anybody (A34)."""
    try:
        return keys.text(jsontext.loads_object(stdin, "configuration"), "cniVersion")
    except CniError:
        return ""


def undeclared(body: Body, own: frozenset[str]) -> str | None:
    """The first key of a configuration that is neither one of these nor the specification's, as a reason to decline."""
    for key, value in body.items():
        folded = key.lower()
        if value is not None and folded not in own and folded not in _KNOWN and not folded.startswith(_RUNTIMES):
            return f"key {key!r} ({describe(value)}) is not known"
    return None


def _call(
    delegate: Delegate[Conf],
    parsed: Environment,
    body: dict[str, Json],
    stdin: bytes,
    *,
    variables: Mapping[str, str],
    pod: int | None,
    edges: Edges,
) -> Call[Conf]:
    network = network_name(keys.text(body, "name"))
    version = versions.known(keys.text(body, "cniVersion"))
    if not versions.has(parsed.verb, version):
        raise CniError(Code.VERSION, f"cannot serve {parsed.verb}: CNI version {version!r} does not have it")
    conf = _parse(delegate, parsed, body, version, visible=edges.visible)
    return Call(
        environment=parsed,
        network=network,
        version=version,
        conf=conf,
        body=body,
        stdin=stdin,
        variables=variables,
        prev_result=_previous(body, version) if parsed.verb is not Verb.DEL else None,
        valid=_valid(body) if parsed.verb is Verb.GC else frozenset(),
        pod=pod,
        edges=edges,
    )


def _parse(delegate: Delegate[Conf], parsed: Environment, body: Body, version: str, *, visible: Visible) -> Conf:
    if parsed.verb in _CLEANING:
        return delegate.parse_loosely(body)
    conf = delegate.parse(body, parsed, version)
    reason = delegate.declines(body, visible)
    if reason:  # a key that is not carried out is refused, never ignored
        raise CniError(Code.UNSUPPORTED_FIELD, f"cannot serve {parsed.verb}: {reason}")
    return conf


def _run(delegate: Delegate[Conf], call: Call[Conf]) -> Result | None:
    match call.environment.verb:
        case Verb.ADD:
            call.netns()
            return delegate.add(call)
        case Verb.CHECK:
            call.netns()
            delegate.check(call)
        case Verb.DEL:
            delegate.delete(call)
        case Verb.STATUS:
            delegate.status(call)
        case _:
            delegate.gc(call)
    return None


def _previous(body: Body, version: str) -> Result | None:
    previous = keys.mapping(body, "prevResult")
    return None if previous is None else convert.parse(previous, version)


def _valid(body: Body) -> frozenset[Attachment]:
    """What GC keeps: null is nothing, but an absent key is not "delete everything" (A31, A32)."""
    if VALID not in body:
        raise CniError(Code.CONFIG, f"cannot collect garbage: key {VALID!r} is missing")
    found = []
    for item in keys.items(body, VALID) or []:
        if not isinstance(item, dict):
            raise CniError.decode(f"key {VALID!r}", f"{describe(item)} is not an object")
        container, ifname = keys.text(item, "containerID"), keys.text(item, "ifname")
        if not container or not ifname:  # what names nothing would keep nothing, and all of it be freed
            raise CniError(Code.CONFIG, f"cannot collect garbage: an item of {VALID!r} lacks containerID or ifname")
        found.append(Attachment(container=ContainerId(container), ifname=IfName(ifname)))
    return frozenset(found)

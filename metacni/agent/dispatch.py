# SPDX-License-Identifier: Apache-2.0
"""From a call to an answer: which verb, in which pool, by when; every failure is one line for the runtime.

The one log line of a failure is written here (the code below raises and never logs what it raises).
"""

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial

from metacni.agent.add import add
from metacni.agent.check import check
from metacni.agent.collect import collect
from metacni.agent.delete import delete
from metacni.agent.nested import nested
from metacni.agent.node import Node, Request, deadline
from metacni.agent.pools import Pool
from metacni.agent.status import status
from metacni.cni import environment, jsontext, keys, versions
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code, excerpt
from metacni.cni.names import PluginType
from metacni.cni.versions import Verb
from metacni.exec.channel import ShimGone
from metacni.exec.connection import Connection
from metacni.exec.frames import Call
from metacni.journal.files import CorruptRecord

log = logging.getLogger(__name__)

OUR_NAMES = frozenset({"metacni", "multus", "multus-shim"})
"""The names under which a runtime calls us."""


Work = Callable[[Node, Request], bytes]
"""What is done for a call; what it returns is printed."""


def version(_node: Node, request: Request) -> bytes:
    """VERSION: the shim answers it alone; this is for whoever calls the socket (A33, A34)."""
    try:
        return versions.reply(keys.text(jsontext.loads_object(request.stdin, "stdin"), "cniVersion"))
    except CniError:
        return versions.reply("")


VERBS: Mapping[Verb, Work] = {
    Verb.ADD: add,
    Verb.DEL: delete,
    Verb.CHECK: check,
    Verb.GC: collect,
    Verb.STATUS: status,
    Verb.VERSION: version,
}


class Dispatcher:
    """Hands each call to the pool of its verb, so that no kind of request can hold up another."""

    def __init__(self, node: Node, remember: Callable[[Call], None] = lambda _call: None) -> None:
        """Serve this node; `remember` is told of each call, for it knows where the runtime lives."""
        self._node = node
        self._remember = remember
        limits = node.settings.limits
        delete_pool = Pool("DEL", limits.delete, limits.queue)
        work = Pool("ADD", limits.add, limits.queue)
        quick = Pool("STATUS", 4, 4)  # asked by one runtime, one at a time: more means something is stuck
        self._pools = {
            Verb.ADD: work,
            Verb.CHECK: work,
            Verb.GC: work,
            Verb.DEL: delete_pool,
            Verb.STATUS: quick,
            Verb.VERSION: quick,
        }
        inner, inner_quick = Pool("plugin", limits.add, limits.queue), Pool("plugin STATUS", 4, 4)
        self._nested = dict.fromkeys(Verb, inner) | dict.fromkeys((Verb.STATUS, Verb.VERSION), inner_quick)

    def take(self, connection: Connection, call: Call, finished: Callable[[], None]) -> None:
        """Start the call; `finished` is told when its answer is out, whatever became of it."""
        try:
            pools, work = self._wanted(call)
            self._remember(call)
            asked = environment.parse(call.environment)
            request = Request(
                environment=asked,
                stdin=call.stdin,
                parent=call.parent,
                netns=call.netns,
                runner=connection,
                deadline=deadline(asked.verb),
            )
            pools[asked.verb].submit(lambda: self._serve(connection, request, work or VERBS[asked.verb], finished))
        except CniError as fault:
            _refuse(connection, call, fault)
            finished()

    def close(self) -> None:
        """Take no more calls."""
        for pool in {*self._pools.values(), *self._nested.values()}:
            pool.close()

    def _wanted(self, call: Call) -> tuple[Mapping[Verb, Pool], Work | None]:
        """Whose call it is: the runtime's, or one for a delegate of ours, whose caller may be running inside an ADD.

        That one has pools of its own, or the two could wait for each other (decision 14).

        Raises:
            CniError: code 7, it is for nobody here.
        """
        if call.program in OUR_NAMES:
            return self._pools, None
        if self._node.residents.serves(call.program):
            return self._nested, partial(nested, PluginType(call.program), call.environment)
        raise CniError(
            Code.CONFIG,
            f"cannot serve {call.program!r}: the agent has no such plugin",
            f"it serves {', '.join(sorted(OUR_NAMES))}, and its delegates under `metacni-`",
        )

    def _serve(self, connection: Connection, request: Request, work: Work, finished: Callable[[], None]) -> None:
        try:
            if not connection.gone():  # it gave up while it queued: nothing has begun, so there is nothing to undo
                code, answer = _answer(self._node, request, work)
                connection.answer(code, answer)
        except ShimGone:
            log.warning("the runtime did not wait for the answer", extra=_fields(request.environment))
        except Exception:
            log.exception("a request failed in an unforeseen way", extra=_fields(request.environment))
        finally:
            connection.close()
            finished()


def _answer(node: Node, request: Request, work: Work) -> tuple[int, bytes]:
    """The exit status and what the shim prints."""
    begin = time.monotonic()
    verb = request.environment.verb
    try:
        _require_known(verb, request.stdin)
        printed = work(node, request)
    except ShimGone:
        raise
    except Exception as cause:  # noqa: BLE001  a fault of ours too must reach the runtime, never as silence
        shown = _shown(request, _fault_of(cause))
        _log_failure(request, shown, cause)
        return 1, shown.to_json(_version(request.stdin))
    level = logging.DEBUG if verb is Verb.STATUS else logging.INFO
    took = round((time.monotonic() - begin) * 1000, 1)
    log.log(level, "%s done", verb, extra={"ms": took, **_fields(request.environment)})
    return 0, printed


def _fault_of(cause: Exception) -> CniError:
    """What the runtime is told: the verb's own words, or what can be said of a fault that no verb foresaw."""
    if isinstance(cause, CniError):
        return cause
    if isinstance(cause, OSError | CorruptRecord):
        return CniError(Code.IO, f"cannot use the node's files: {cause}", "is the disk of the state folder full?")
    return CniError(Code.INTERNAL, f"internal error: {type(cause).__name__}", "see the agent's log")


def _log_failure(request: Request, shown: CniError, cause: Exception) -> None:
    """The one line of a failure; a traceback only where we do not know what happened."""
    unforeseen = None if isinstance(cause, CniError | OSError | CorruptRecord) else cause
    extra = {"code": shown.code, "hint": shown.details, **_fields(request.environment)}
    word = "failed" if unforeseen is None else "failed in an unforeseen way"
    log.error("%s %s: %s", request.environment.verb, word, shown.msg, extra=extra, exc_info=unforeseen)


def _require_known(verb: Verb, stdin: bytes) -> None:
    """Refuse a verb that the configuration's version does not know, as every Go plugin does (A35)."""
    if verb in (Verb.CHECK, Verb.GC, Verb.STATUS) and not versions.has(verb, named := _version(stdin)):
        raise CniError(Code.VERSION, f"cannot serve {verb}: version {named!r} of the configuration does not know it")


def _shown(request: Request, fault: CniError) -> CniError:
    """The error as the runtime sees it: the pod in front; on DEL, nothing that means success to containerd (G15)."""
    pod = _pod_name(request.environment)
    named = fault.within(f"pod {pod!r}") if pod else fault
    return named.defused() if request.environment.verb is Verb.DEL else named


def _refuse(connection: Connection, call: Call, fault: CniError) -> None:
    log.error("call refused: %s", fault.msg, extra={"code": fault.code, "program": call.program})
    try:
        connection.answer(1, fault.to_json(_version(call.stdin)))
    except ShimGone:
        pass  # then nobody reads the refusal
    finally:
        connection.close()


def _version(stdin: bytes) -> str:
    """The version in which an error is stamped, as far as stdin tells (A40)."""
    try:
        return versions.known(keys.text(jsontext.loads_object(stdin, "stdin"), "cniVersion"))
    except CniError:
        return versions.NEWEST


def _fields(asked: Environment) -> dict[str, str]:
    pod = _pod_name(asked)
    return {"verb": str(asked.verb), "sandbox": asked.container_id} | ({"pod": pod} if pod else {})


def _pod_name(asked: Environment) -> str:
    """The pod as the caller spells it, good or bad; "" where it names none."""
    args = dict(asked.args)
    pod = f"{args.get('K8S_POD_NAMESPACE', '')}/{args.get('K8S_POD_NAME', '')}"
    return excerpt(pod) if pod != "/" else ""

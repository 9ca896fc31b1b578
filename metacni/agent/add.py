# SPDX-License-Identifier: Apache-2.0
"""ADD: plan, journal, attach, routes, status, answer; a failure after the first plugin takes everything back."""

from collections.abc import Sequence
from functools import partial

from metacni.agent import attach, resolve
from metacni.agent.node import Node, Request, pod_ref, without_shim
from metacni.agent.runner import Sandbox
from metacni.cni import convert, jsontext, keys
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json
from metacni.cni.result import Result
from metacni.core import merge, nodeconf, plan, routes, status
from metacni.core.plan import Plan, Pod
from metacni.journal.journal import Journal, Record
from metacni.journal.sandbox import SandboxIdentity, alive, boot_id
from metacni.netns import sandbox as namespaces

_LEASED_ON_THE_NODE = frozenset({"host-local", "static", "metacni-host-local", "metacni-static", "metacni-ipam", ""})


def add(node: Node, request: Request) -> bytes:
    """Attach every network of the sandbox; the merged result, in the version of the call.

    Raises:
        CniError: what failed; nothing is left, or the journal still holds what could not be undone.
    """
    config = nodeconf.parse(request.stdin)
    netns = _namespace(node, request)
    with node.locks.sandbox(request.environment.container_id, request.deadline):
        try:
            planned, warnings = resolve.plan_for(
                node.source, node.settings, request.environment, config, request.parent
            )
            planned = node.residents.owned(planned)
            require_plugins(node, planned, request)
            answer = _attach(node, request, planned, netns)
        except CniError as fault:
            _report_failure(node, request, fault)
            raise
    if warnings:
        _event(node, planned.pod, "UnservedRequest", "; ".join(warnings), warning=True)
    return answer


def require_plugins(node: Node, planned: Plan, request: Request) -> None:
    """See that every plugin of the plan exists before the first one runs (B1, B22).

    Raises:
        CniError: code 7, naming those that are missing and where they were sought.
    """
    wanted = node.residents.programs(planned)
    missing = request.runner.find(wanted, planned.search_path) if wanted else frozenset()
    if missing:
        names = ", ".join(repr(name) for name in sorted(missing))
        users = [one for one in planned.attachments if missing.intersection(node.residents.programs_of(one))]
        whys = sorted({each.why for one in users for each in one.owners if each.why})
        raise CniError(
            Code.CONFIG,
            f"{', '.join(f'network {one.network!r}' for one in users)}: cannot find plugin {names} in "
            f"{':'.join(planned.search_path)!r}{''.join(f'; the agent leaves it to a program: {why}' for why in whys)}",
            "install the plugin there, or correct the type in the configuration",
        )


def _namespace(node: Node, request: Request) -> int:
    if request.netns is None:
        raise CniError(
            Code.ENVIRONMENT, f"cannot open the network namespace {request.environment.netns!r} of CNI_NETNS"
        )
    node.require_foreign(request.netns)
    return request.netns


def _attach(node: Node, request: Request, planned: Plan, netns: int) -> bytes:
    record = _begin(node.journal, planned, netns)
    node.pending.done(planned.container_id)  # of a DEL before this ADD: recovery would carry it out on a living pod
    sandbox = Sandbox(
        plan=planned,
        netns=planned.netns,
        pod=netns,
        runner=request.runner,
        resident=node.residents,
        deadline=request.deadline,
    )
    with attach.Undo(sandbox, record.remove, partial(without_shim, node, sandbox, record)) as undo:
        attached = attach.add(sandbox, record, undo)
        results = _default_routes(node, planned, tuple(one.result for one in attached), netns)
        answer = jsontext.dumps(convert.render(_merged(planned, results), planned.version))
        record.finish(_final(planned, results, answer, [one.links for one in attached]))
        text = status.network_status(planned.attachments, results, planned.netns)
        if planned.pod is not None:
            record.publish(text.encode())  # before it is sent, so that a restart sends it again
    _publish(node, planned, record, results, text)
    return answer


def _begin(journal: Journal, planned: Plan, netns: int) -> Record:
    """Put the plan on disk, before the first plugin runs (decision 10)."""
    device, inode = namespaces.identity(netns)
    identity = SandboxIdentity(boot_id=boot_id(), netns_path=planned.netns, device=device, inode=inode)
    if not alive(identity):  # later it would pass for gone, and its leases would be freed under a pod that lives
        raise CniError(
            Code.ENVIRONMENT,
            f"cannot attach sandbox {planned.container_id!r}: the agent does not see namespace {planned.netns!r}",
            "where the agent is a pod, mount the runtime's folder of namespaces into it, and name it as `netnsDir`",
        )
    try:
        return journal.begin(
            planned.container_id,
            jsontext.dumps(plan.to_json(planned)),
            sandbox=identity,
            durable=_leases_elsewhere(planned),
        )
    except FileExistsError:
        raise CniError(
            Code.ENVIRONMENT,
            f"cannot attach sandbox {planned.container_id!r}: it has a record already",
            "it is attached, or an ADD of it failed and could not be undone: call DEL first",
        ) from None


def _leases_elsewhere(planned: Plan) -> bool:
    """Whether a power cut could lose a lease that the node itself cannot find again: then the plan is fsynced."""
    ipams = (keys.find(plugin.raw, "ipam") for one in planned.attachments for plugin in one.config.plugins)
    return any(isinstance(ipam, dict) and keys.text(ipam, "type") not in _LEASED_ON_THE_NODE for ipam in ipams)


def _default_routes(node: Node, planned: Plan, results: tuple[Result, ...], netns: int) -> tuple[Result, ...]:
    wanted = routes.plan(planned.attachments, results)
    if wanted is None:
        return results
    node.routes(netns, wanted)
    return routes.apply(wanted, planned.attachments, results)


def _merged(planned: Plan, results: Sequence[Result]) -> Result:
    return merge.merge(
        planned.attachments, results, netns=planned.netns, primary_only=planned.primary_only, version=planned.version
    )


def _final(planned: Plan, results: Sequence[Result], answer: bytes, links: Sequence[Sequence[int]]) -> bytes:
    """What CHECK and DEL need later: each attachment's final result in its own version (A54), its links, the answer."""
    rendered = [
        convert.render(result, one.config.version) for one, result in zip(planned.attachments, results, strict=True)
    ]
    made = [list[Json](indexes) for indexes in links]
    return jsontext.dumps({"results": list(rendered), "links": list(made), "answer": jsontext.loads(answer)})


def _publish(node: Node, planned: Plan, record: Record, results: Sequence[Result], text: str) -> None:
    """Hand the status over, and one Event that lists all interfaces."""
    if planned.pod is None:
        return
    node.publisher.status(pod_ref(planned.pod), text, record.published, sandbox=planned.container_id)
    lines = (
        f"Add {one.ifname} [{' '.join(str(ip.address) for ip in result.ips)}] from {one.network}"
        for one, result in zip(planned.attachments, results, strict=True)
    )
    _event(node, planned.pod, "AddedInterface", "; ".join(lines), warning=False)


def _report_failure(node: Node, request: Request, fault: CniError) -> None:
    reason = "NoNetworkFound" if isinstance(fault, resolve.MissingNetworkError) else "FailedAttach"
    _event(node, plan.pod_of(request.environment.args), reason, fault.msg, warning=True)


def _event(node: Node, pod: Pod | None, reason: str, message: str, *, warning: bool) -> None:
    if pod is not None:
        node.publisher.event(pod_ref(pod), reason=reason, message=message, warning=warning)

# SPDX-License-Identifier: Apache-2.0
"""`metacni agent`: puts the edges together and serves until SIGTERM; the only place where they meet."""

import argparse
import logging
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

from metacni import shim
from metacni.agent import ground, log, settings
from metacni.agent.dispatch import Dispatcher
from metacni.agent.node import Executor, Node
from metacni.agent.recover import recover, tend
from metacni.agent.resident import Residents
from metacni.agent.server import AddressTaken, Server
from metacni.agent.settings import SettingsError
from metacni.cli import delegates
from metacni.cli.command import CommandError
from metacni.core.owner import OWN
from metacni.exec import executor
from metacni.exec.home import Home
from metacni.exec.pending import Pending
from metacni.journal.files import CorruptRecord
from metacni.journal.journal import Journal
from metacni.kube.errors import KubeError
from metacni.kube.source import Publisher, Source
from metacni.netns.links import change_default_routes
from metacni.netns.opener import Opener

FIRST_LIST_SECONDS = 2.0
DEFAULT_SOCKET = "/run/metacni/cni.sock"

logger = logging.getLogger(__name__)


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT, then let the requests that run end."""
    try:
        chosen = settings.load(options.config)
    except SettingsError as fault:
        raise CommandError(str(fault)) from fault
    log.configure(chosen.log_level)
    look(options, chosen)
    return assemble(options, chosen, _journal(options.state_dir))


def look(options: argparse.Namespace, chosen: settings.Settings) -> None:
    """See whether the ground holds, before anything is touched.

    Raises:
        CommandError: it names each thing that no pod can be attached without.
    """
    folders = {"state folder": options.state_dir, "folder of the socket": socket_path(options).parent}
    found = ground.inspect(chosen, folders=folders, host_pid=options.host_pid)
    for line in found.warnings:
        logger.warning(line)
    if found.errors:
        raise CommandError("\n  ".join(("cannot start, for this is missing:", *found.errors)))


def socket_path(options: argparse.Namespace) -> Path:
    """Where shims find the agent."""
    return Path(options.socket or os.environ.get("METACNI_SOCKET", DEFAULT_SOCKET))


def assemble(options: argparse.Namespace, chosen: settings.Settings, journal: Journal) -> int:
    """Put the edges together around this journal, and serve."""
    _allow_descriptors()
    path = socket_path(options)
    source, publisher = edges(options)
    opener = Opener(chosen.sysctl_dir)
    opener.start()
    loaded = delegates.load(chosen.trusted_delegates)
    require_delegates(chosen, {one.name for one in loaded})
    pending = Pending(path.parent)
    home = Home(options.state_dir)
    node = Node(
        settings=replace(chosen, state_dir=options.state_dir.absolute()),
        journal=journal,
        source=source,
        publisher=publisher,
        routes=partial(change_default_routes, opener),
        pending=pending,
        executor=executor_of(options, chosen, home),
        residents=Residents(
            loaded, opener=opener, types=types_of(chosen), visible=ground.visible(chosen), sysctls=chosen.sysctl_dir
        ),
    )
    return serve(node, Server(path, Dispatcher(node, home.remember)), pending)


def require_delegates(chosen: settings.Settings, names: Collection[str]) -> None:
    """See that each type that is to be served in the agent has a delegate.

    Raises:
        CommandError: it names those that have none: a slip would leave every type to programs.
    """
    listed = chosen.resident if isinstance(chosen.resident, frozenset) else frozenset()
    odd = ", ".join(repr(kind) for kind in sorted(listed) if kind.removeprefix(OWN) not in names)
    if odd:
        known = ", ".join(sorted(names))
        raise CommandError(f"cannot use the setting `resident`: there is no delegate {odd}; there are {known}")


def types_of(chosen: settings.Settings) -> frozenset[str] | None:
    """The types that delegates serve whatever they hold; None: those of the reference that they can."""
    if isinstance(chosen.resident, frozenset):
        return chosen.resident
    return None if chosen.resident == "auto" else frozenset()


def executor_of(options: argparse.Namespace, chosen: settings.Settings, home: Home | None = None) -> Executor:
    """Who runs plugins when no shim is there to do it."""
    if chosen.executor == "none":
        return executor.NoExecutor("the setting `executor` is `none`")
    if reason := ground.why_no_executor(chosen, options.host_pid):
        return executor.NoExecutor(reason)
    try:
        return executor.Executor(shim.binary(), options.host_pid, home)
    except FileNotFoundError as cause:
        return executor.NoExecutor(str(cause))


def _allow_descriptors() -> None:
    """A full queue holds a socket and a namespace for each call, which is more than a shell's usual limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _journal(folder: Path) -> Journal:
    try:
        return Journal(folder)
    except BlockingIOError:
        raise CommandError(f"cannot use the state folder {str(folder)!r}: another agent uses it") from None
    except (OSError, CorruptRecord) as cause:
        raise CommandError(f"cannot use the state folder {str(folder)!r}: {cause}") from cause


def edges(options: argparse.Namespace) -> tuple[Source, Publisher]:
    """Where definitions come from and where statuses go: a folder of files, or the API server.

    Raises:
        CommandError: the folder or the credentials cannot be used.
    """
    try:
        if options.definitions is not None:
            from metacni.kube.directory import DirectorySource  # noqa: PLC0415  no cluster, no client library
            from metacni.kube.silent import NoPublisher  # noqa: PLC0415

            return DirectorySource(options.definitions), NoPublisher()
        from metacni.kube import access  # noqa: PLC0415  see above
        from metacni.kube.api import ApiSource  # noqa: PLC0415
        from metacni.kube.publisher import ApiPublisher  # noqa: PLC0415

        credentials = access.from_kubeconfig(options.kubeconfig) if options.kubeconfig else access.in_cluster()
        return ApiSource(credentials, node_name(options)), ApiPublisher(credentials, node_name(options))
    except KubeError as fault:
        raise CommandError(str(fault)) from fault


def node_name(options: argparse.Namespace) -> str:
    """Whose pods to follow."""
    return str(options.node_name or os.environ.get("NODE_NAME") or socket.gethostname())


def serve(node: Node, server: Server, pending: Pending) -> int:
    """Listen early (shims wait for that), then take over what the last agent left, then serve."""
    try:
        node.source.start()  # first: a folder of broken files must not look like an agent that lived
        await_first_list(node.source)
        server.listen()
    except (AddressTaken, KubeError) as fault:
        raise CommandError(str(fault)) from fault
    node.publisher.start()
    due = recover(node, pending)
    threading.Thread(target=tend, args=(node, pending, due), name="recovery", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stopper(server))
    logger.info("serving")
    server.serve()
    drained = server.drain(node.settings.drain_seconds)
    logger.info("stopped" if drained else "stopped with requests under way; the journal holds them")
    node.publisher.stop()
    node.source.stop()
    logging.shutdown()
    os._exit(0 if drained else 1)  # worker threads that a hung plugin holds would keep the interpreter waiting


def await_first_list(source: Source) -> None:
    """Give the first list a moment; with trouble in sight there is nothing to wait for.

    Until we listen, shims answer STATUS by the agent before us, so that an upgrade does not make the node NotReady.
    """
    until = time.monotonic() + FIRST_LIST_SECONDS
    while time.monotonic() < until:
        health = source.health()
        if health.synced or health.detail:
            return
        time.sleep(0.01)


def _stopper(server: Server) -> Callable[[int, object], None]:
    return lambda _number, _frame: server.stop()

# SPDX-License-Identifier: Apache-2.0
"""`metacni`: one parser, one function a command, errors as one line. What a command needs is imported when it runs."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import metacni
from metacni.cli.command import CommandError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="metacni", description="Every pod network of a Kubernetes node through one agent."
    )
    top.add_argument("--version", action="version", version=f"metacni {metacni.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _agent(commands.add_parser("agent", help="serve the runtime's CNI calls on this node"))
    _demo(
        commands.add_parser(
            "demo", help="the main job with no cluster: two pods, three networks, traffic, and nothing left"
        )
    )
    _ps(commands.add_parser("ps", help="what is attached on this node, by which code, and what waits"))
    _install(commands.add_parser("install", help="put the shim where the runtime looks for plugins"))
    return top


def _agent(command: argparse.ArgumentParser) -> None:
    command.description = "Serve the runtime's CNI calls on this node until SIGTERM."
    command.add_argument("--config", type=Path, metavar="FILE", help="the agent's settings (YAML)")
    _folders(command)
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--definitions", type=Path, metavar="DIR", help="read definitions and pods from YAML files, not from a cluster"
    )
    where.add_argument("--kubeconfig", type=Path, metavar="FILE", help="default: the pod's own service account")
    command.add_argument(
        "--host-pid",
        type=_process,
        metavar="PID",
        help="in whose mount namespace plugins run without a call; 0: the agent's (default: 1, or 0 if that is closed)",
    )
    command.add_argument("--node-name", metavar="NAME", help="default: $NODE_NAME, else the host's name")


def _folders(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--socket", type=Path, metavar="PATH", help="default: $METACNI_SOCKET, else /run/metacni/cni.sock"
    )
    command.add_argument(
        "--state-dir", type=Path, metavar="DIR", default=Path("/var/lib/cni/metacni"), help="default: %(default)s"
    )


def _ps(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Show each sandbox of this node's journal: its interfaces, networks and addresses, whether the agent's own "
        "delegates or programs attached them and why, and what waits for the runtime. Changes nothing."
    )
    _folders(command)
    command.add_argument("--json", action="store_true", help="for programs")


def _process(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no process id")
    return int(text)


def _demo(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Start an agent in a network namespace of its own, attach two pods to three networks each through the shim, "
        "show who is attached to what, send traffic over every network, delete both pods, and prove that nothing is "
        "left. Needs root."
    )
    command.add_argument(
        "--examples",
        type=Path,
        metavar="DIR",
        help="where the definitions are (default: the examples beside the sources)",
    )
    command.add_argument(
        "--plugins",
        type=Path,
        metavar="DIR",
        default=Path("/usr/lib/cni"),
        help="the reference plugins (default: %(default)s)",
    )


def _install(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Put the shim where the runtime looks for plugins, as metacni and once more as metacni-NAME for each delegate "
        "of our own: whole or not at all, also over one that runs. Prints what it put there."
    )
    command.add_argument(
        "--bin-dir", type=Path, metavar="DIR", default=Path("/opt/cni/bin"), help="default: %(default)s"
    )
    command.add_argument(
        "--config", type=Path, metavar="FILE", help="the agent's settings, for the delegates that they trust"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    options = parser().parse_args(arguments)
    try:
        command = importlib.import_module(f"metacni.cli.{options.command}")
        status: int = command.run(options)
    except CommandError as fault:
        print(f"metacni {options.command}: {fault}", file=sys.stderr)  # noqa: T201  this is a command line
        return 1
    except KeyboardInterrupt:
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())

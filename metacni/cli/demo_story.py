# SPDX-License-Identifier: Apache-2.0
"""The demo's course, inside its own namespaces: attach, show, ping, detach, count what is left."""

import sys
from pathlib import Path

from rich.console import Console

from metacni.cli import demo_show
from metacni.cli.command import CommandError
from metacni.cli.demo_node import DemoNode, DemoPod


def tell(node: DemoNode, console: Console) -> tuple[int, int]:
    """Play it; how many interfaces were attached, how many things are left over."""
    console.print("[bold]1. A node with an agent[/]: its own network namespace, definitions from files, no cluster")
    node.start()
    console.print("[bold]2. ADD[/], through the shim, as a container runtime calls it")
    for pod in node.pods:
        node.add(pod)
        console.print(f"   pod {pod.name}: {len(node.addresses(pod))} interfaces in {pod.milliseconds:.0f} ms")
    addresses = {pod.name: node.addresses(pod) for pod in node.pods}
    console.print("[bold]3. Who is attached to what[/]")
    console.print(demo_show.picture(node.pods, addresses))
    console.print("[bold]4. The merged result[/] that the runtime got, beside what the kernel says")
    for pod in node.pods:
        console.print(demo_show.result_table(pod, addresses[pod.name]))
    console.print("[bold]5. Traffic[/]: a ping between the pods over every network")
    _ping_all(node, addresses, console)
    console.print("[bold]6. DEL[/]")
    for pod in reversed(node.pods):
        node.delete(pod)
        console.print(f"   pod {pod.name}: detached")
    left = node.leftovers()
    for what in left:
        console.print(f"   left over: {what}", style="red")
    return sum(len(found) for found in addresses.values()), len(left)


def _ping_all(node: DemoNode, addresses: dict[str, dict[str, list[str]]], console: Console) -> None:
    failed = []
    for source in node.pods:
        for target in node.pods:
            if source is not target:
                failed += _ping(node, source, addresses[target.name], target.name, console)
    if failed:
        raise CommandError(f"no answer: {', '.join(failed)}")


def _ping(node: DemoNode, source: DemoPod, targets: dict[str, list[str]], name: str, console: Console) -> list[str]:
    failed = []
    for interface, found in targets.items():
        for address in found:
            bare = address.split("/")[0]
            answered = node.ping(source, interface, bare)
            word = "[green]answered[/]" if answered else "[red]no answer[/]"
            console.print(f"   {source.name} {interface} → {name} {bare}: {word}")
            failed += [] if answered else [f"{source.name} {interface} → {bare}"]
    return failed


def main(example: str, plugins: str, *outside: str) -> int:
    """Make the node and tell the story; the exit status of the demo."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        node = DemoNode(Path(example), Path(plugins), outside)
    except CommandError as fault:
        console.print(f"demo: failed: {fault}", style="red", markup=False)
        return 1
    return play(node, console)


def play(node: DemoNode, console: Console) -> int:
    """Tell the story and say in one last line how it ended."""
    try:
        interfaces, left = tell(node, console)
    except (CommandError, OSError) as fault:
        console.print(f"demo: failed: {fault}", style="red", markup=False)
        console.print(node.log(), style="dim", markup=False)
        return 1
    finally:
        node.stop()
    if left:
        console.print(f"demo: failed, {left} leftovers", style="red")
        return 1
    print(f"demo: ok, {len(node.pods)} pods, {interfaces} interfaces, {left} leftovers")  # noqa: T201  the last line, unstyled
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

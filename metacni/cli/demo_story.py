# SPDX-License-Identifier: Apache-2.0
"""The demo's course, inside its own namespaces: attach, show, ping, detach, count what is left."""

import sys
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from metacni.cli import demo_show, programs, ps
from metacni.cli.command import CommandError
from metacni.cli.demo_node import DemoNode
from metacni.cli.demo_show import Addresses, count, picture

INTERRUPTED = 130


def tell(node: DemoNode, console: Console) -> tuple[int, int]:
    """Play it; how many interfaces were attached, how many things are left over."""
    _head(console, "1. A node with an agent", ": namespaces of its own, networks from files, no cluster")
    node.start()
    _head(console, "2. ADD", ", through the shim, as a container runtime calls it")
    for pod in node.pods:
        node.add(pod)
        attached = count(len(node.addresses(pod)), "interface")
        console.print(f"   pod {pod.name}: {attached} in {pod.milliseconds:.0f} ms")
    addresses = {pod.name: node.addresses(pod) for pod in node.pods}
    _head(console, "3. Who is attached to what", "")
    console.print(picture(node.pods, addresses, columns=console.width), soft_wrap=True)
    _head(console, "4. The merged result", " that the runtime got, beside what the kernel says")
    for pod in node.pods:
        table = demo_show.result_table(pod, addresses[pod.name])
        console.print(Padding.indent(table, 3), soft_wrap=False)
    _head(console, "5. Which code attached it", ": the agent's own delegates or programs, as `metacni ps` shows it")
    console.print(Padding.indent(ps.shown(node.inventory(), console.width - 3), 3), soft_wrap=False)
    _head(console, "6. Traffic", ": a ping between the pods over every network")
    _ping_all(node, addresses, console)
    _head(console, "7. DEL", "")
    for pod in reversed(node.pods):
        node.delete(pod)
        console.print(f"   pod {pod.name}: detached")
    left = node.leftovers()
    for what in left:
        console.print(f"   left over: {what}", style="red")
    return sum(len(found) for found in addresses.values()), len(left)


def _head(console: Console, title: str, rest: str) -> None:
    console.print(Text.assemble((title, "bold"), rest))


def _ping_all(node: DemoNode, addresses: Addresses, console: Console) -> None:
    answers = list(_pings(node, addresses, console))
    if not answers:
        console.print("   no two pods have a network in common")
    if failed := [way for way in answers if way]:
        raise CommandError(f"no answer: {', '.join(failed)}")


def _pings(node: DemoNode, addresses: Addresses, console: Console) -> Iterator[str]:
    """Ping and show; for each ping the way that failed, or nothing."""
    for source, target in permutations(node.pods, 2):
        for interface, address in demo_show.pings(addresses[source.name], addresses[target.name]):
            answered = node.ping(source, interface, address)
            word = ("answered", "green") if answered else ("no answer", "red")
            console.print(Text.assemble(f"   {source.name} {interface} → {target.name} {address}: ", word))
            yield "" if answered else f"{source.name} {interface} → {address}"


def main(example: str, plugins: str, *outside: str) -> int:
    """Make the node and tell the story; the exit status of the demo."""
    console = Console(highlight=False, emoji=False, markup=False)
    console.soft_wrap = not console.is_terminal  # a line of a file is as long as it is
    return guarded(lambda: DemoNode(Path(example), Path(plugins), outside), console)


def guarded(make: Callable[[], DemoNode], console: Console) -> int:
    """Make the node and play; whatever ends it early is told in one line."""
    try:
        programs.stoppable()
        return play(make(), console)
    except CommandError as fault:
        console.print(f"demo: failed: {fault}", style="red")
        return 1
    except KeyboardInterrupt:
        console.print("demo: interrupted, and everything it made is gone", style="red")
        return INTERRUPTED


def play(node: DemoNode, console: Console) -> int:
    """Tell the story and say in one last line how it ended."""
    try:
        interfaces, left = tell(node, console)
    except (CommandError, OSError) as fault:
        console.print(f"demo: failed: {fault}", style="red")
        for line in demo_show.complaints(node.log(), told=str(fault)):
            console.print(f"   the agent says: {line}", style="dim")
        return 1
    finally:
        node.stop()
    if left:
        console.print(f"demo: failed, {count(left, 'leftover')}", style="red")
        return 1
    done = (count(len(node.pods), "pod"), count(interfaces, "interface"), count(left, "leftover"))
    print(f"demo: ok, {', '.join(done)}")  # noqa: T201  the last line, unstyled
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

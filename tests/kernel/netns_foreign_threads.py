# SPDX-License-Identifier: Apache-2.0
"""Misuse handles to pods from random threads: `netns_foreign_threads.py <operations>|trap <pod path>…`.

Run it with `nsenter` in a namespace made for it, never in the machine's: were the handles not safe, it would cut that
one off. Prints how often each kind of outcome was seen.
"""

import json
import os
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pyroute2.iproute.linux import IPRoute

from metacni.netns import sandbox
from metacni.netns.links import PodLinks
from metacni.netns.opener import Opener

plain_handle: Any = IPRoute
HARM = SimpleNamespace(remove=[("eth0", 4), ("eth0", 6)], add=[("eth0", ip_address("10.1.0.254"))])
OPERATIONS: dict[str, Callable[[Any, PodLinks], object]] = {
    "apply": lambda _, pod: pod.apply(HARM),
    "default_routes": lambda _, pod: pod.default_routes(4),
    "del default": lambda raw, _: raw.route("del", dst="default", gateway="10.1.0.1"),
    "flush": lambda raw, _: raw.flush_routes(family=2),
    "del link": lambda raw, _: raw.link("del", ifname="eth0"),
    "link down": lambda raw, _: raw.link("set", index=2, state="down"),
    "add address": lambda raw, _: raw.addr("add", index=1, address="10.66.0.1", prefixlen=32),
    "lookup": lambda raw, _: raw.link_lookup(ifname="eth0"),
    "dump": lambda raw, _: list(raw.get_links()),
    "send": lambda raw, _: raw.send(b"\0" * 64),
    "sendto": lambda raw, _: raw.sendto(b"\0" * 64, (0, 0)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """A handle, and the one thread it belongs to: the pool's only one."""

    owner: ThreadPoolExecutor
    pod: PodLinks

    @property
    def raw(self) -> Any:
        """The IPRoute inside."""
        return self.pod._netlink._netlink


def make(opener: Opener, path: Path) -> Handle:
    """A handle to a pod, made in a thread of its own."""
    owner = ThreadPoolExecutor(1)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return Handle(owner=owner, pod=owner.submit(lambda: PodLinks(opener.open(fd))).result())
    finally:
        os.close(fd)


def misuse(handle: Handle) -> str:
    """One operation, from the calling thread, which is not the handle's."""
    name = random.choice(list(OPERATIONS))  # noqa: S311 - chance, not secrecy
    try:
        OPERATIONS[name](handle.raw, handle.pod)
    except RuntimeError:
        return "raised"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is to be seen
        return f"{name}: {error!r}"
    return f"{name}: went through"


def in_a_fresh_thread(handle: Handle, seen: list[str]) -> None:
    """As `misuse`, in a thread that lives for it alone: thread numbers are used anew."""
    thread = threading.Thread(target=lambda: seen.append(misuse(handle)))
    thread.start()
    thread.join()


def main() -> None:
    """Misuse, with the owners at work at the same time; then let the owners close."""
    opener = Opener()
    opener.start()
    handles = [make(opener, Path(path)) for path in sys.argv[2:]]
    seen: list[str] = []
    with ThreadPoolExecutor(8) as strangers:
        for number in range(int(sys.argv[1])):
            handle = random.choice(handles)  # noqa: S311 - likewise
            if number % 10 == 0:
                in_a_fresh_thread(handle, seen)
            elif number % 10 == 1:
                seen.append(f"owner sees {len(handle.owner.submit(handle.pod.default_routes, 4).result())}")
            else:
                strangers.submit(lambda handle: seen.append(misuse(handle)), handle)
    for handle in handles:
        handle.owner.submit(handle.pod.close).result()
        handle.owner.shutdown()
    opener.stop()
    print(json.dumps(Counter(seen)))  # noqa: T201


def trap(path: str) -> None:
    """What a plain handle does: made in a pod's namespace, used in another thread, it hits the node's default route."""

    def make_in_pod() -> Any:
        sandbox.enter(os.open(path, os.O_RDONLY))
        return plain_handle()

    thread = ThreadPoolExecutor(1)
    handle = thread.submit(make_in_pod).result()
    handle.route("del", dst="default", family=2)


if __name__ == "__main__":
    if sys.argv[1] == "trap":
        trap(sys.argv[2])
    else:
        main()

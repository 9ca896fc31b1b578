# SPDX-License-Identifier: Apache-2.0
"""Work on pods from random threads and watch the node meanwhile: `netns_canary.py <operations> <pod path>…`.

Run it with `nsenter` in a namespace made for it, never in the machine's. Prints what came of the operations, and how
many changes the node's kernel told of, which has to be none.
"""

import json
import os
import random
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import ip_interface, ip_network

from metacni.cni.result import Route
from metacni.netns import addresses, devices, routes
from metacni.netns.netlink import Netlink, own_socket
from metacni.netns.opener import Opener

CHANGES = 0x1 | 0x4 | 0x10 | 0x40 | 0x100 | 0x400  # links, neighbours' settings, addresses and routes of both families
BATCH = 5
ADDRESS = ip_interface("10.66.0.2/24")
ROUTE = Route(dst=ip_network("10.77.0.0/16"))


def _index(netlink: Netlink) -> int:
    device = devices.find(netlink, "eth0")
    return device.index if device else 0


OPERATIONS: tuple[Callable[[Netlink], object], ...] = (
    lambda netlink: devices.find(netlink, "eth0"),
    devices.every,
    lambda netlink: devices.bring_up(netlink, _index(netlink)),
    lambda netlink: devices.set_mac(netlink, _index(netlink), "02:00:5e:00:00:01"),
    lambda netlink: devices.set_alias(netlink, _index(netlink), "canary"),
    lambda netlink: devices.set_promiscuous(netlink, _index(netlink)),
    lambda netlink: addresses.add(netlink, _index(netlink), ADDRESS, detect_duplicates=False),
    lambda netlink: addresses.delete(netlink, _index(netlink), ADDRESS),
    lambda netlink: addresses.of(netlink, _index(netlink), 4),
    lambda netlink: routes.add(netlink, _index(netlink), ROUTE, None),
    lambda netlink: routes.every(netlink, 4),
    lambda netlink: devices.create_bridge(netlink, "br0", 0),
    lambda netlink: devices.delete(netlink, getattr(devices.find(netlink, "br0"), "index", 999)),
    lambda netlink: devices.delete_group(netlink, 4711),
)


def work(opener: Opener, pod: int, told: Counter[str]) -> None:
    """Enter a pod and do several things there; each may fail there, as an address that is there already."""
    with Netlink(opener.socket(pod)) as netlink:
        for _ in range(BATCH):
            try:
                random.choice(OPERATIONS)(netlink)  # noqa: S311 - chance, not secrecy
                told["done"] += 1
            except OSError:
                told["refused by the pod's kernel"] += 1


def misuse(handle: Netlink, told: Counter[str]) -> None:
    """The same over a handle of another thread: nothing may be sent at all."""
    for _ in range(BATCH):
        try:
            random.choice(OPERATIONS)(handle)  # noqa: S311 - likewise
            told["went through in a foreign thread"] += 1
        except RuntimeError:
            told["raised in a foreign thread"] += 1


def changes(watch: socket.socket) -> int:
    """How many messages the node's kernel has sent about itself."""
    count = 0
    with suppress(BlockingIOError):
        while watch.recv(1 << 16):
            count += 1
    return count


def main() -> None:
    """Work, misuse, and count."""
    opener = Opener()
    opener.start()
    pods = [os.open(path, os.O_RDONLY) for path in sys.argv[2:]]
    watch = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    watch.bind((0, CHANGES))
    told: Counter[str] = Counter()
    lent = [Netlink(opener.socket(pod)) for pod in pods]  # of the main thread
    lent.append(Netlink(own_socket()))  # even the node's own handle
    with ThreadPoolExecutor(8) as pool:
        for number in range(int(sys.argv[1]) // BATCH):
            if number % 10 == 0:
                pool.submit(misuse, random.choice(lent), told)  # noqa: S311 - likewise
            elif number % 10 == 1:  # thread numbers are used anew
                thread = threading.Thread(target=work, args=(opener, random.choice(pods), told))  # noqa: S311 - likewise
                thread.start()
                thread.join()
            else:
                pool.submit(work, opener, random.choice(pods), told)  # noqa: S311 - likewise
    print(json.dumps(told | {"changes of the node": changes(watch)}))  # noqa: T201
    for handle in lent:
        handle.close()
    opener.stop()


if __name__ == "__main__":
    main()

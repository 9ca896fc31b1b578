# SPDX-License-Identifier: Apache-2.0
"""A handle to a pod in the wrong thread: it must raise, and the node must not notice."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.conftest import Ip, Namespace

PROGRAM = Path(__file__).with_name("netns_foreign_threads.py")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def node(host: Namespace, pod: Callable[[], Namespace]) -> Namespace:
    """The test's node with a canary: an interface named as the pods name theirs, with an address and default routes."""
    host.cable("eth0", pod(), "peer", "10.1.0.2/24", "fd00:1::2/64")
    for family, gateway in (("-4", "10.1.0.1"), ("-6", "fd00:1::1")):
        host.run("ip", family, "route", "add", "default", "via", gateway)
    return host


def _run(node: Namespace, *args: str) -> str:
    command = node.command("env", f"PYTHONPATH={ROOT}", sys.executable, str(PROGRAM), *args)
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def _picture(node: Namespace, ip: Ip) -> object:
    """What harm would show in; not what changes by itself, such as a link-local address that becomes usable."""
    links = [
        (link["ifname"], sorted(link["flags"]), sorted(address["local"] for address in link["addr_info"]))
        for link in ip(node, "address")
    ]
    routes = [*ip(node, "-4", "route"), *ip(node, "-6", "route")]
    return links, sorted((route["dst"], route.get("gateway", ""), route["dev"]) for route in routes)


def test_thousands_of_operations_in_foreign_threads_harm_nobody(
    node: Namespace, pod: Callable[[], Namespace], ip: Ip
) -> None:
    """Every one of them raises, the owners work on, and the canary on the node is as it was; the pods are, too."""
    pods = [pod() for _ in range(3)]
    for number, one in enumerate(pods):
        one.cable("eth0", node, f"veth{number}", "10.1.0.2/24")
        one.run("ip", "route", "add", "default", "via", "10.1.0.1")
    before = [_picture(namespace, ip) for namespace in (node, *pods)]
    seen = json.loads(_run(node, "5000", *(str(one.path) for one in pods)))
    assert seen == {"raised": 4500, "owner sees 1": 500}
    assert [_picture(namespace, ip) for namespace in (node, *pods)] == before


def test_a_plain_handle_would_have_hit_the_node(node: Namespace, pod: Callable[[], Namespace], ip: Ip) -> None:
    """The trap is real in the installed pyroute2: this is why nothing here ever makes a handle without our socket."""
    one = pod()
    one.cable("eth0", node, "veth0", "10.1.0.2/24")
    one.run("ip", "route", "add", "default", "via", "10.1.0.1")
    _run(node, "trap", str(one.path))
    assert len(ip(one, "-4", "route", "show", "default")) == 1
    assert ip(node, "-4", "route", "show", "default") == []

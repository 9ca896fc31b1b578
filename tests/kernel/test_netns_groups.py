# SPDX-License-Identifier: Apache-2.0
"""Group deletion with pods that meddle: what is recorded goes, what is the pod's own stays, nothing else is touched."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from metacni.netns import devices, groups
from metacni.netns.devices import Veth
from metacni.netns.netlink import Netlink
from metacni.netns.opener import Opener
from tests.kernel.conftest import Ip, Namespace

GROUP = str(groups.GROUP)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A node and a pod with three links of ours; handles to both."""

    node: Namespace
    pod: Namespace
    host: Netlink
    links: Netlink
    recorded: tuple[int, ...]


@pytest.fixture
def sandbox(host: Namespace, pod: Callable[[], Namespace]) -> Iterator[Sandbox]:
    """Three veths into one pod, made as the delegates make them."""
    opener, one = Opener(), pod()
    opener.start()
    node_fd, pod_fd = (os.open(namespace.path, os.O_RDONLY) for namespace in (host, one))
    with Netlink(opener.socket(node_fd)) as near, Netlink(opener.socket(pod_fd)) as far:
        for number in range(3):
            plan = Veth(host_name=f"veth{number}", pod_name=f"net{number}", netns_fd=pod_fd, group=groups.GROUP)
            devices.create_veth(near, plan)
        found = [devices.find(far, f"net{number}") for number in range(3)]
        yield Sandbox(host, one, near, far, tuple(device.index for device in found if device))
    os.close(node_fd)
    os.close(pod_fd)
    opener.stop()


JOINS = "link set own group " + GROUP
MEDDLING = {
    "nothing": ((), []),
    "lo-joins": (("link set lo group " + GROUP,), []),
    "a-link-leaves": (("link set net1 group 7",), []),
    "own-link-joins": (("link add own type bridge", JOINS), ["own"]),
    "own-and-lo-join": (("link add own type bridge", JOINS, "link set lo group " + GROUP), ["own"]),
    "one-leaves-one-joins": (("link set net1 group 7", "link add own type bridge", JOINS), ["own"]),
    "a-link-deleted": (("link del net1",), []),
    "all-deleted": (("link del net0", "link del net1", "link del net2"), []),
    "renamed": (("link set net1 name other",), []),
    "names-swapped": (("link add own type bridge", "link set net1 name x", "link set own name net1"), ["net1"]),
}


@pytest.mark.parametrize(("commands", "left"), [pytest.param(*row, id=name) for name, row in MEDDLING.items()])
def test_what_is_recorded_goes_and_nothing_else(
    sandbox: Sandbox, ip: Ip, commands: tuple[str, ...], left: list[str]
) -> None:
    """The pod's own links stay, and the far ends on the node go with ours; a second time is fine."""
    for command in commands:
        sandbox.pod.run("ip", *command.split())
    for _ in range(2):
        groups.delete(sandbox.links, sandbox.recorded)
    assert [link["ifname"] for link in ip(sandbox.pod, "link")] == ["lo", *left]
    assert [link["ifname"] for link in ip(sandbox.node, "link")] == ["lo"]


def test_nothing_recorded_deletes_nothing(sandbox: Sandbox, ip: Ip) -> None:
    """A sandbox without links of ours may have the group, or whatever looks like it, to itself."""
    groups.delete(sandbox.links, ())
    assert len(ip(sandbox.pod, "link")) == 4


def test_the_node_keeps_the_group_for_itself(sandbox: Sandbox, ip: Ip) -> None:
    """Only the pod's ends are in the group: the same operation on the node would find nothing."""
    assert {link["group"] for link in ip(sandbox.node, "link")} == {"default"}
    assert [link["group"] for link in ip(sandbox.pod, "link")] == ["default", GROUP, GROUP, GROUP]

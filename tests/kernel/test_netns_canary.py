# SPDX-License-Identifier: Apache-2.0
"""Ten thousand operations meant for pods, and a node whose kernel would tell of any that went astray."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.kernel.conftest import Ip, Namespace

PROGRAM = Path(__file__).with_name("netns_canary.py")
ROOT = Path(__file__).parents[2]


def picture(node: Namespace, ip: Ip) -> object:
    """Links with flags and addresses, and routes."""
    links = [(link["ifname"], link["flags"], link["address"], link["addr_info"]) for link in ip(node, "address")]
    return links, ip(node, "route")


def test_nothing_is_ever_sent_to_the_wrong_namespace(host: Namespace, pod: Callable[[], Namespace], ip: Ip) -> None:
    """The node has the links of the same names; no change of it is reported while random threads change the pods."""
    far = pod()
    host.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")  # or it would tell of its own addresses
    host.cable("eth0", far, "peer", "10.66.0.9/24")
    host.run("ip", "route", "add", "default", "via", "10.66.0.1")
    host.run("ip", "link", "add", "br0", "type", "bridge")
    pods = [pod() for _ in range(4)]
    for one in pods:
        one.run("ip", "link", "add", "eth0", "type", "veth", "peer", "eth1")  # both in the pod: the node has no part
    before = picture(host, ip)
    command = host.command(
        "env", f"PYTHONPATH={ROOT}", sys.executable, str(PROGRAM), "10000", *(str(one.path) for one in pods)
    )
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["changes of the node"] == 0
    assert told["raised in a foreign thread"] == 1000
    assert told["done"] + told["refused by the pod's kernel"] == 9000
    assert told["done"] > 1000
    assert "went through in a foreign thread" not in told
    assert picture(host, ip) == before

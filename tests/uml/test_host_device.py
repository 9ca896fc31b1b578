# SPDX-License-Identifier: Apache-2.0
"""host-device with a link that the kernel does not destroy with its namespace but brings home, as it does with NICs.

What a veth cannot show. `eql` is such a link: no kind of rtnetlink's, but a driver's own.
"""

import subprocess
import time
from collections.abc import Iterator

import pytest

from delegates.host_device import DELEGATE
from tests.kernel.conftest import fresh_namespace
from tests.kernel.resident import Resident, resident

NIC = "eql"
CONFIG = {"cniVersion": "1.1.0", "name": "net", "type": "host-device", "device": NIC}
MODPROBE = ("modprobe", "-d", "/run/kernel")


@pytest.fixture
def nic() -> Iterator[None]:
    """The link, on the node that is the kernel's first namespace."""
    subprocess.run([*MODPROBE, NIC], check=True, timeout=20)
    subprocess.run(["ip", "link", "set", NIC, "mtu", "700"], check=True, timeout=20)
    yield
    subprocess.run([*MODPROBE, "-r", NIC], check=True, timeout=20)


@pytest.fixture
def lender() -> Iterator[Resident]:
    """The delegate, in this process."""
    with resident(DELEGATE) as made:
        yield made


def shown(name: str) -> list[str]:
    """How a link of the node is: nothing when there is none."""
    done = subprocess.run(["ip", "-o", "link", "show", name], check=False, capture_output=True, text=True, timeout=20)
    return done.stdout.split()


def home(*names: str) -> str:
    """Wait for the kernel to bring it home, under the first of these names that turns up."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for name in names:
            if shown(name):
                return name
        time.sleep(0.05)
    raise AssertionError(f"none of {names} came home")


@pytest.mark.usefixtures("nic")
@pytest.mark.parametrize("verb", ["DEL", "GC", "ADD"])
def test_a_nic_of_a_pod_that_died(lender: Resident, verb: str) -> None:
    """The kernel gives it back under the pod's name for it; then it has its own, and no mark is left."""
    before = shown(NIC)
    with fresh_namespace() as one:
        lender.call("ADD", CONFIG, one)
        assert shown(NIC) == []
    assert home("eth0") == "eth0"
    if verb == "ADD":
        with fresh_namespace() as other:
            lender.call("ADD", CONFIG, other)
            assert shown("eth0") == []
            lender.call("DEL", CONFIG, other)
    else:
        lender.call(verb, CONFIG | {"cni.dev/valid-attachments": []}, None)
    assert shown(NIC)[3:] == before[3:]
    assert "metacni" not in subprocess.run(["ip", "link"], check=True, capture_output=True, text=True).stdout


@pytest.mark.usefixtures("nic")
def test_a_nic_whose_names_are_taken_when_its_pod_dies(lender: Resident) -> None:
    """The kernel has to invent one; it is found all the same."""
    before = shown(NIC)
    subprocess.run(["ip", "link", "add", "eth0", "type", "dummy"], check=True, timeout=20)
    with fresh_namespace() as one:
        lender.call("ADD", CONFIG, one)
    home(*(f"dev{index}" for index in range(50)))
    lender.call("DEL", CONFIG, None)
    assert shown(NIC)[3:] == before[3:]
    subprocess.run(["ip", "link", "del", "eth0"], check=True, timeout=20)

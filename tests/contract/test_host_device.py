# SPDX-License-Identifier: Apache-2.0
"""Our host-device beside the reference's: same answer, same kernel, same leases; each gives back what the other lent.

What stands in sysfs is the test's: a tree in the place of the machine's, in a mount namespace of each call.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.contract import cases_host_device as cases
from tests.contract.cases import V4, V6, Bad, Case, ipam
from tests.contract.cases_host_device import BAD, CASES, net
from tests.contract.twins import Answer, Twin, settled
from tests.kernel.conftest import Namespace, run_ip
from tests.kernel.nics import auxiliary, nic, pci, shown

Pair = Callable[[str], tuple[Twin, Twin]]
pytestmark = pytest.mark.part("network namespaces", "host-device", "host-local", "static")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine(Namespace):
    """A node with hardware of its own."""

    tree: Path

    def command(self, *argv: str) -> list[str]:
        """The command line that runs `argv` there."""
        binds = f"mount --bind {self.tree}/bus /sys/bus && mount --bind {self.tree}/devices /sys/devices/system"
        return ["unshare", "-m", "sh", "-c", f'{binds} && exec "$@"', "sh", *Namespace.command(self, *argv)]


def hardware(tree: Path) -> Path:
    """Devices that are nic0, and some that have no link."""
    pci(tree, cases.PCI, net="nic0", driver="ice")
    pci(tree, cases.VIRTIO, net="nic0", below="virtio3", driver="virtio-pci")
    pci(tree, cases.IDLE)
    pci(tree, cases.BARE, driver="ice")
    pci(tree, cases.DPDK, driver="vfio-pci")
    auxiliary(tree, cases.AUXILIARY, "nic0")
    (tree / "devices" / Path(cases.KERNEL_PATH).name / "net/nic0").mkdir(parents=True)
    return tree


@pytest.fixture
def machines(pair: Pair, tmp_path: Path) -> Callable[[str], list[Twin]]:
    """`machines(ifname)`: the twins, each with a NIC nic0 that is down, and with hardware that tells of it."""
    tree = hardware(tmp_path / "sys")

    def make(ifname: str = "eth0") -> list[Twin]:
        made = []
        for twin in pair(ifname):
            nic(twin.host, up=False)
            made.append(replace(twin, host=Machine(name=twin.host.name, tree=tree)))
        return made

    return make


def call(twin: Twin, verb: str, config: dict[str, Any], args: str = "") -> Answer:
    """One operation of host-device."""
    return twin.call(verb, config, args, type_="host-device")


def state(twin: Twin) -> dict[str, Any]:
    """What both have to leave behind alike, the old name as a remark too.

    Ours announces addresses (arp_notify) and never waits for duplicates (accept_dad): on purpose.
    """
    found = twin.state()
    remarks = {link["ifname"]: link.get("ifalias") for side in (twin.host, twin.pod) for link in run_ip(side, "link")}
    return found | {"pod settings": found["pod settings"][2:], "remarks": remarks}


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_both_do_the_same(machines: Callable[[str], list[Twin]], case: Case) -> None:
    """ADD, CHECK and DEL: each time result, links, addresses, routes, remarks and leases are the same."""
    results, states, after = [], [], []
    for twin in machines(case.ifname):
        for command in case.before:
            twin.host.run("ip", *command.split())
        added = call(twin, "ADD", case.config, case.args)
        assert added.status == 0, added.body
        results.append(twin.alike(added.body))
        states.append(settled(state(twin)))
        done = case.config | {"prevResult": added.body}
        if case.check:
            assert call(twin, "CHECK", done, case.args).body == {}
        assert call(twin, "DEL", done, case.args).body == {}
        after.append(settled(state(twin)))
    assert results[1] == results[0]
    assert states[1] == states[0]
    assert after[1] == after[0]


@pytest.mark.parametrize("config", [pytest.param(net(), id="layer-2"), pytest.param(net(ipam=ipam()), id="addresses")])
def test_each_gives_back_what_the_other_lent(machines: Callable[[str], list[Twin]], config: dict[str, Any]) -> None:
    """Name and remark are as they were, and no lease is left; CHECK of the one believes the other's ADD."""
    for twin in machines("eth0"):
        before = shown(twin.host, "nic0")
        assert before is not None
        added = call(twin, "ADD", config)
        other = replace(twin, ours=not twin.ours)
        done = config | {"prevResult": added.body}
        assert call(other, "CHECK", done).body == {}
        assert call(other, "DEL", done).body == {}
        after = shown(twin.host, "nic0")
        assert after is not None
        if twin.ours:  # alternative names are ours, which the reference does not know; our next ADD takes them away
            after["names"] = [name for name in after["names"] if not name.startswith("metacni")]
        assert after == before
        assert [name for name in twin.leases() if name.startswith("10.")] == []
        assert call(replace(twin, ours=True), "ADD", config).status == 0


SABOTAGE = {
    "address-taken": "address del 10.1.0.2/24 dev eth0",
    "other-prefix": "address change 10.1.0.2/25 dev eth0",
    "ipv6-address-taken": "address del fd01::2/64 dev eth0",
    "default-route-taken": "route del default",
    "route-taken": "route del 10.200.0.0/16",
    "link-down": "link set eth0 down",
    "interface-renamed": "link set eth0 down name eth9",
    "mac-changed": "link set eth0 address 02:00:5e:00:00:77",
    "mtu-changed": "link set eth0 mtu 1400",
    "remark-taken": "link set eth0 alias x",
    "more-addresses": "address add 10.1.0.200/24 dev eth0",
    "nothing": "link show",
}
WATCHED = net(ipam=ipam(ranges=[*V4, *V6], routes=[{"dst": "0.0.0.0/0"}, {"dst": "10.200.0.0/16", "gw": "10.1.0.1"}]))


@pytest.mark.parametrize("command", [pytest.param(row, id=name) for name, row in SABOTAGE.items()])
def test_both_judge_the_same_sabotage_alike(machines: Callable[[str], list[Twin]], command: str) -> None:
    """What the one's CHECK finds wrong the other's does, and what it lets pass, too."""
    verdicts = []
    for twin in machines("eth0"):
        added = call(twin, "ADD", WATCHED)
        twin.pod.run("ip", *command.split())
        verdicts.append(call(twin, "CHECK", WATCHED | {"prevResult": added.body}).status)
    assert verdicts[1] == verdicts[0]


@pytest.mark.parametrize(
    "prev",
    [
        pytest.param(None, id="missing"),
        pytest.param({"interfaces": [{"name": "eth0", "sandbox": "/x"}]}, id="elsewhere"),
    ],
)
def test_both_refuse_to_check_without_a_result(machines: Callable[[str], list[Twin]], prev: object) -> None:
    """CHECK needs the result of the very attachment; ours says 7."""
    codes = []
    for twin in machines("eth0"):
        call(twin, "ADD", net())
        codes.append(call(twin, "CHECK", net() if prev is None else net(prevResult=prev)).code)
    assert codes[0] != 0
    assert codes[1] == 7


@pytest.mark.parametrize("bad", [pytest.param(bad, id=name) for name, bad in BAD.items()])
def test_both_refuse_the_same(machines: Callable[[str], list[Twin]], bad: Bad) -> None:
    """What the reference refuses ours does, with the specification's code, the culprit's name, and nothing changed."""
    reference, ours = machines("eth0")
    before = shown(ours.host, "nic0")
    assert call(reference, "ADD", bad.config, bad.args).status != 0
    answer = call(ours, "ADD", bad.config, bad.args)
    assert (answer.status, answer.code) == (1, bad.code), answer.body
    assert bad.says in answer.body["msg"] + answer.body.get("details", "")
    assert run_ip(ours.pod, "link")[1:] == []
    assert shown(ours.host, "nic0") == before
    assert [name for name in ours.leases() if name != "lock" and not name.startswith("last")] == []


def test_both_refuse_a_name_that_the_pod_has(machines: Callable[[str], list[Twin]]) -> None:
    """The NIC stays on the node, and the pod's own interface where it is, also after the DEL that follows."""
    for twin in machines("eth0"):
        twin.pod.run("ip", "link", "add", "eth0", "type", "veth", "peer", "eth1")
        answer = call(twin, "ADD", net())
        assert answer.status == 1
        if twin.ours:
            assert answer.body["msg"] == "cannot move device 'nic0' to the pod: the pod has an interface 'eth0'"
            assert call(twin, "DEL", net()).body == {}
        assert {link["ifname"] for link in run_ip(twin.pod, "link")} == {"lo", "eth0", "eth1"}
        assert shown(twin.host, "nic0") is not None


@pytest.mark.parametrize(
    "where", [pytest.param("again", id="twice"), pytest.param("gone", id="namespace-gone"), pytest.param("", id="none")]
)
def test_ours_releases_where_the_reference_fails_or_forgets(
    machines: Callable[[str], list[Twin]], where: str
) -> None:  # fmt: skip
    """E51: with no namespace the reference keeps the lease, with one that is gone and a second time it fails."""
    config = net(ipam=ipam())
    outcomes = []
    for twin in machines("eth0"):
        assert call(twin, "ADD", config).status == 0
        if where == "again":
            assert call(twin, "DEL", config).status == 0
        else:
            twin.more["CNI_NETNS"] = f"/run/netns/is-{where}" if where else ""
        status = call(twin, "DEL", config).status
        outcomes.append((status, [name for name in twin.leases() if re.match(r"10\.", name)]))
    assert outcomes[1] == (0, [])
    assert outcomes[0] == {"again": (1, []), "gone": (1, ["10.1.0.2"]), "": (0, ["10.1.0.2"])}[where]

# SPDX-License-Identifier: Apache-2.0
"""Our vrf beside the reference plugin, on a kernel that has VRFs: same answer, same links, routes and addresses."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.chained import Link, Pair, attach, state
from tests.contract.twins import Answer, Twin
from tests.kernel.conftest import Namespace, run_ip
from tests.uml.cases_vrf import BAD, CASES, OTHER_PORT, Bad, Case, dual, net

pytestmark = pytest.mark.part("vrf")


@pytest.fixture(autouse=True, scope="module")
def _ipv6() -> Iterator[None]:
    """It is a module of this kernel, loaded for the first socket of its kind and not for the first address."""
    with socket.socket(socket.AF_INET6):
        yield


def call(twin: Twin, verb: str, config: dict[str, Any]) -> Answer:
    """One operation of vrf."""
    return twin.call(verb, config, type_="vrf")


def picture(twin: Twin) -> dict[str, Any]:
    """The pod, each VRF's table and ports included."""
    links = run_ip(twin.pod, "-d", "link")
    return state(twin) | {
        "vrfs": sorted(
            (link["ifname"], link["linkinfo"]["info_data"]["table"], link["flags"])
            for link in links
            if link.get("linkinfo", {}).get("info_kind") == "vrf"
        ),
        "masters": sorted((link["ifname"], link.get("master", "")) for link in links),
        "local": sorted(_local(twin.pod)),
    }


def _local(pod: Namespace) -> list[tuple[str, str, str]]:
    """What the pod answers to, in which table; the kernel's link-local ones come in their own time."""
    found = [
        route for family in ("-4", "-6")
        for route in run_ip(pod, family, "route", "show", "table", "all", "type", "local")
    ]  # fmt: skip
    return [
        (route["dst"], route["dev"], str(route.get("table"))) for route in found if not route["dst"].startswith("fe80")
    ]


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_both_do_the_same(pair: Pair, case: Case) -> None:
    """ADD, CHECK, DEL and one more DEL: at each step result, links, routes and addresses are the same."""
    results, states = [], []
    for twin in pair(case.ifname):
        config = case.config | {"prevResult": attach(twin, case.link, case.config["cniVersion"])}
        added = call(twin, "ADD", config)
        assert added.status == 0, added.body
        results.append(twin.alike(added.body))
        steps = [picture(twin)]
        done = config | {"prevResult": added.body}
        if case.check:
            assert call(twin, "CHECK", done).body == {}
        for _ in range(2):
            assert call(twin, "DEL", done).body == {}
            steps.append(picture(twin))
        states.append(steps)
    assert results[1] == results[0]
    assert states[1] == states[0]


@pytest.mark.parametrize("bad", [pytest.param(bad, id=name) for name, bad in BAD.items()])
def test_both_refuse_the_same(pair: Pair, bad: Bad) -> None:
    """What the reference refuses ours does, with the specification's code, the culprit's name, and nothing changed."""
    for twin in pair("eth0"):
        prev = attach(twin, bad.link)
        config = bad.config | ({"prevResult": prev} if bad.prev else {})
        before = picture(twin)
        answer = call(twin, "ADD", config)
        assert answer.status != 0
        if twin.ours:
            assert (answer.status, answer.code) == (1, bad.code), answer.body
            assert bad.says in answer.body["msg"] + answer.body.get("details", "")
            assert picture(twin) == before


SABOTAGE = {
    "vrf-gone": "link del blue",
    "no-port": "link set eth0 nomaster",
    "interface-gone": "link del eth0",
    "interface-down": "link set eth0 down",
    "vrf-down": "link set blue down",
    "address-taken": "address del 10.1.0.2/24 dev eth0",
    "nothing": "link show",
}


@pytest.mark.parametrize("command", [pytest.param(command, id=name) for name, command in SABOTAGE.items()])
def test_both_judge_the_same_sabotage_alike(pair: Pair, command: str) -> None:
    """What the one's CHECK finds wrong the other's does, and what it lets pass, too; ours says 999."""
    codes = []
    for twin in pair("eth0"):
        config = net(prevResult=attach(twin, Link()))
        done = config | {"prevResult": call(twin, "ADD", config).body}
        twin.pod.run("ip", *command.split())
        codes.append(call(twin, "CHECK", done).code)
    assert codes[1] in (0, 999)
    assert (codes[1] == 0) == (codes[0] == 0)


def test_both_refuse_to_check_without_a_result(pair: Pair) -> None:
    """Ours says 7."""
    for twin in pair("eth0"):
        config = net(prevResult=attach(twin, Link()))
        call(twin, "ADD", config)
        assert call(twin, "CHECK", net()).code == (7 if twin.ours else 999)


def test_both_refuse_an_interface_that_is_not_there(pair: Pair) -> None:
    """Of ours no VRF is left behind."""
    for twin in pair("eth0"):
        prev = attach(twin, Link())
        twin.pod.run("ip", "link", "del", "eth0")
        answer = call(twin, "ADD", net(prevResult=prev))
        assert answer.status == 1
        if twin.ours:
            assert (answer.code, "'eth0'" in answer.body["msg"]) == (7, True)
            assert [link["ifname"] for link in run_ip(twin.pod, "link")] == ["lo"]


# ---- where ours differs on purpose


def test_our_routes_on_the_link_are_not_lost(pair: Pair) -> None:
    """The reference leaves out every route of that scope, those of an IPAM with the kernel's."""
    left = []
    for twin in pair("eth0"):
        prev = attach(twin, dual("route add 10.200.0.0/16 dev eth0 scope link", "route add default via 10.1.0.1"))
        assert call(twin, "ADD", net(prevResult=prev)).status == 0
        left.append(
            sorted(route["dst"] for route in run_ip(twin.pod, "route", "show", "table", "1", "type", "unicast"))
        )
    assert left == [["10.1.0.0/24", "default"], ["10.1.0.0/24", "10.200.0.0/16", "default"]]


def test_our_del_works_when_the_interface_is_gone(pair: Pair) -> None:
    """The VRF has lost its last port, and goes; the reference fails, and the runtime asks for ever."""
    codes = []
    for twin in pair("eth0"):
        config = net(prevResult=attach(twin, Link()))
        call(twin, "ADD", config)
        twin.pod.run("ip", "link", "del", "eth0")
        codes.append(call(twin, "DEL", config).code)
        if twin.ours:
            assert [link["ifname"] for link in run_ip(twin.pod, "link")] == ["lo"]
    assert codes == [999, 0]


def test_our_del_leaves_others_alone(pair: Pair) -> None:
    """An interface that is the port of another VRF by now; the reference takes it out of whatever it is in."""
    masters = []
    for twin in pair("eth0"):
        config = net(prevResult=attach(twin, Link()))
        call(twin, "ADD", config)
        twin.pod.run("ip", "link", "add", "red", "type", "vrf", "table", "9")
        twin.pod.run("ip", "link", "set", "eth0", "master", "red")
        assert call(twin, "DEL", config).body == {}
        masters.append(run_ip(twin.pod, "link", "show", "eth0")[0].get("master"))
    assert masters == [None, "red"]


@pytest.mark.parametrize(
    "change",
    [pytest.param({"vrfname": None}, id="no-name"), pytest.param({"vrfname": "dummy0"}, id="a-link-that-is-no-vrf")],
)
def test_our_del_works_with_an_edited_configuration(pair: Pair, change: dict[str, Any]) -> None:
    """There is nothing of that name to take away; the reference fails."""
    codes = []
    for twin in pair("eth0"):
        attach(twin, dual("link add dummy0 type dummy"))
        codes.append(call(twin, "DEL", net(**change)).code)
    assert codes == [999, 0]


def test_addresses_work_when_add_answers(pair: Pair) -> None:
    """IPv6 addresses, which the kernel takes away on the way, can be spoken from at once, over routes in the VRF."""
    _, ours = pair("eth0")
    prev = attach(ours, dual("route add default via 10.1.0.1", "route add default via fd01::1"))
    ours.host.run("ip", "address", "add", "10.1.0.1/24", "dev", "far0")
    ours.host.run("ip", "address", "add", "fd01::1/64", "dev", "far0", "nodad")
    ours.host.run("ip", "address", "add", "fd99::1/64", "dev", "lo")
    begin = time.monotonic()
    assert call(ours, "ADD", net(prevResult=prev)).status == 0
    assert time.monotonic() - begin < 3
    for target in ("10.1.0.1", "fd01::1", "fd99::1"):
        assert " 0% packet loss" in ours.pod.run("ping", "-I", "blue", "-c", "1", "-W", "2", target)


def test_a_vrf_goes_with_its_last_port(pair: Pair) -> None:
    """Not before."""
    _, ours = pair("eth0")
    config = net(prevResult=attach(ours, dual("link add blue type vrf table 5", "link set blue up", *OTHER_PORT)))
    call(ours, "ADD", config)
    assert call(ours, "DEL", config).body == {}
    assert "blue" in [link["ifname"] for link in run_ip(ours.pod, "link")]
    ours.pod.run("ip", "link", "del", "net9")
    assert call(ours, "DEL", config).body == {}
    assert "blue" not in [link["ifname"] for link in run_ip(ours.pod, "link")]

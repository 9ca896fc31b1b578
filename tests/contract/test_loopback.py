# SPDX-License-Identifier: Apache-2.0
"""Our loopback beside the reference's: same answer, same `lo`, same verdicts, same refusals."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.twins import Answer, Twin
from tests.kernel.conftest import run_ip

Pair = Callable[[str], tuple[Twin, Twin]]
pytestmark = pytest.mark.part("network namespaces", "loopback")

PREV: dict[str, Any] = {
    "cniVersion": "1.1.0",
    "interfaces": [{"name": "eth0", "mac": "02:00:5e:00:00:01", "sandbox": "/x"}],
    "ips": [{"address": "10.1.0.2/24", "gateway": "10.1.0.1", "interface": 0}],
    "routes": [{"dst": "0.0.0.0/0"}],
    "dns": {"nameservers": ["10.1.0.3"]},
}


def net(**more: Any) -> dict[str, Any]:
    """A configuration, of the newest version unless another is given; a None takes a key out."""
    config = {"cniVersion": "1.1.0", "name": "net", "type": "loopback"} | more
    return {key: value for key, value in config.items() if value is not None}


def call(twin: Twin, verb: str, config: dict[str, Any], args: str = "") -> Answer:
    """One operation of loopback."""
    return twin.call(verb, config, args, type_="loopback")


def lo(twin: Twin) -> list[Any]:
    """The interface as the kernel has it."""
    return run_ip(twin.pod, "address", "show", "lo")  # type: ignore[no-any-return]


def begun(twin: Twin, before: tuple[str, ...]) -> Twin:
    """`lo` as a new namespace has it, then these commands of `ip` in the pod."""
    for command in ("link set lo down", *before):
        twin.pod.run("ip", *command.split())
    return twin


DOWN = ()
ROWS = {
    "plain": (net(), DOWN, "lo"),
    "another-name": (net(), DOWN, "eth0"),
    "it-is-up-already": (net(), ("link set lo up",), "lo"),
    "more-addresses": (net(), ("link set lo up", "address add 127.0.0.9/8 dev lo"), "lo"),
    "ipv6-is-off": (net(), ("link set lo up", "address del ::1/128 dev lo"), "lo"),
    "no-address": (net(), ("link set lo up", "address del 127.0.0.1/8 dev lo", "address del ::1/128 dev lo"), "lo"),
    "in-a-chain": (net(prevResult=PREV), DOWN, "eth0"),
    "in-an-old-chain": (
        net(
            cniVersion="0.4.0", prevResult={"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.1.0.2/24"}]}
        ),
        DOWN,
        "eth0",
    ),
    "other-links-around": (net(), ("link add x0 type veth peer x1",), "lo"),
    "runtimes-keys": (net(args={"cni": {}}, capabilities={"mac": True}), DOWN, "lo"),
    "version-1.0.0": (net(cniVersion="1.0.0"), DOWN, "lo"),
    "no-version": (net(cniVersion=None), DOWN, "lo"),
}


@pytest.mark.parametrize(("config", "before", "ifname"), [pytest.param(*row, id=name) for name, row in ROWS.items()])
def test_both_do_the_same(pair: Pair, config: dict[str, Any], before: tuple[str, ...], ifname: str) -> None:
    """ADD twice, CHECK, DEL twice: at each step answer and interface are the same."""
    told = []
    for twin in pair(ifname):
        begun(twin, before)
        seen: list[Any] = []
        for verb in ("ADD", "ADD", "CHECK", "DEL", "DEL"):
            if verb == "CHECK" and "cniVersion" not in config:
                continue
            answer = call(twin, verb, config)
            assert answer.status == 0, answer.body
            body = answer.body
            for item in body.get("interfaces", []):
                item["sandbox"] = item["sandbox"].replace(str(twin.pod.path), "POD")
            seen += [body, lo(twin)]
        told.append(seen)
    assert told[1] == told[0]


OLD_IPS = [
    {"version": "4", "interface": 0, "address": "127.0.0.1/8"},
    {"version": "6", "interface": 0, "address": "::1/128"},
]


@pytest.mark.parametrize(
    ("version", "ips"),
    [
        pytest.param("0.4.0", {"ips": OLD_IPS}, id="0.4.0"),
        pytest.param("0.3.1", {"ips": OLD_IPS}, id="0.3.1"),
        pytest.param("0.2.0", {"ip4": {"ip": "127.0.0.1/8"}, "ip6": {"ip": "::1/128"}}, id="0.2.0"),
    ],
)
def test_an_old_version_gets_its_own_words(pair: Pair, version: str, ips: dict[str, Any]) -> None:
    """The reference stamps the version on what has the newest one's form, where no `version` of an address is."""
    reference, ours = (begun(twin, DOWN) for twin in pair("lo"))
    assert "version" not in call(reference, "ADD", net(cniVersion=version)).body["ips"][0]
    body = call(ours, "ADD", net(cniVersion=version)).body
    assert {key: body.get(key) for key in ("cniVersion", *ips)} == {"cniVersion": version} | ips
    assert lo(ours) == lo(reference)


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(("address add 10.1.0.5/24 dev lo",), id="ipv4"),
        pytest.param(("link set lo up", "address add fd01::5/64 dev lo"), id="ipv6"),
    ],
)
def test_both_refuse_an_address_that_others_could_use(pair: Pair, before: tuple[str, ...]) -> None:
    """Ours leaves the interface as it was."""
    reference, ours = (begun(twin, before) for twin in pair("lo"))
    assert call(reference, "ADD", net()).status != 0
    was = lo(ours)
    assert call(ours, "ADD", net()).code == 7
    assert lo(ours)[0]["flags"] == was[0]["flags"]


@pytest.mark.parametrize(
    ("config", "code", "says"),
    [
        pytest.param(net(name="../x"), 7, "network name", id="name"),
        pytest.param(net(cniVersion="7.0.0"), 1, "7.0.0", id="version"),
        pytest.param(net(prevResult={"cniVersion": "1.1.0", "ips": [{"address": "x"}]}), 6, "address", id="result"),
    ],
)
def test_both_refuse_the_same(pair: Pair, config: dict[str, Any], code: int, says: str) -> None:
    """With the specification's code, and the interface stays down."""
    reference, ours = (begun(twin, DOWN) for twin in pair("lo"))
    assert call(reference, "ADD", config).status != 0
    answer = call(ours, "ADD", config)
    assert (answer.code, "UP" in lo(ours)[0]["flags"]) == (code, False), answer.body
    assert says in answer.body["msg"]


@pytest.mark.parametrize("state", ["up", "down"])
def test_both_judge_alike(pair: Pair, state: str) -> None:
    """CHECK looks whether it is on, and at no result."""
    verdicts = []
    for twin in pair("lo"):
        call(twin, "ADD", net())
        twin.pod.run("ip", "link", "set", "lo", state)
        verdicts.append(call(twin, "CHECK", net()).status)
    assert verdicts[1] == verdicts[0] == (state == "down")


def test_both_are_done_where_there_is_no_namespace_any_more(pair: Pair) -> None:
    """Gone, or never named."""
    for twin in pair("lo"):
        for gone in ("/run/netns/is-gone", ""):
            twin.more["CNI_NETNS"] = gone
            assert call(twin, "DEL", net()).body == {}

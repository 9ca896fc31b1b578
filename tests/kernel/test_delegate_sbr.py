# SPDX-License-Identifier: Apache-2.0
"""The resident sbr: every step that can fail, two at once, and the keys that the reference's release does not have.

What it has in common with the reference is compared in tests/contract.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from delegates.sbr import DELEGATE
from metacni.cni.errors import CniError
from tests.kernel.conftest import Ip, Namespace
from tests.kernel.resident import Pod, Resident, attached, resident

NET = {"cniVersion": "1.1.0", "name": "net", "type": "sbr"}


@pytest.fixture
def sbr() -> Iterator[Resident]:
    """The delegate."""
    with resident(DELEGATE) as made:
        yield made


def routing(pod: Namespace) -> list[str]:
    """Every rule and route of the pod but the kernel's link-local ones, as `ip` tells them."""
    commands = (family + kind for family in (["-4"], ["-6"]) for kind in (["rule"], ["route", "show", "table", "all"]))
    lines = [line.strip() for command in commands for line in pod.run("ip", *command).splitlines()]
    return sorted({line for line in lines if "fe80::" not in line and "ff00::" not in line})


def dual(pod: Namespace, host: Namespace, **gateways: str) -> dict[str, Any]:
    """An interface of both families, with a default route in the main table."""
    prev = attached(pod, host, "10.1.0.2/24", "fd01::2/64")
    pod.run("ip", "route", "add", "default", "via", "10.1.0.1")
    pod.run("ip", "route", "add", "default", "via", "fd01::1")
    for item, family in zip(prev["ips"], ("v4", "v6"), strict=True):
        item.update({"gateway": gateways[family]} if family in gateways else {})
    return prev


@pytest.mark.parametrize(
    ("more", "prev", "code", "says"),
    [
        pytest.param({"gateways": ["10.1.0.1", "fd07::1"]}, {}, 5, "table 101", id="the-second-table"),
        pytest.param({"gateways": ["10.7.0.1"]}, {}, 5, "table 100", id="the-first-table"),
        pytest.param(
            {"addSourceHints": True}, {"ips": [{"address": "10.1.0.2/24"}, {"address": "10.1.0.66/24"}]}, 5,
            "main table", id="leaving-the-main-table",
        ),
        pytest.param(
            {}, {"ips": [{"address": "fd01::2/64"}, {"address": "10.1.0.2/24", "gateway": "10.7.0.1"}]}, 5,
            "table 101", id="behind-ipv6",
        ),
    ],
)  # fmt: skip
def test_a_step_that_fails_undoes_those_before(
    sbr: Resident, pod: Pod, host: Namespace, *, more: dict[str, Any], prev: dict[str, Any], code: int, says: str
) -> None:
    """Every rule and route is as it was, a stale rule that was in the way included; then the same pod can be set up."""
    one = pod()
    given = dual(one, host)
    one.run("ip", "rule", "add", "from", "10.1.0.2", "lookup", "100", "pref", "99")
    before = routing(one)
    with pytest.raises(CniError) as caught:
        sbr.call("ADD", NET | more | {"prevResult": given | prev}, one)
    assert (caught.value.code, says in caught.value.msg) == (code, True), caught.value.msg
    assert routing(one) == before
    sbr.call("ADD", NET | {"prevResult": given}, one)


def test_the_pod_answers_from_the_interface_that_was_asked(sbr: Resident, pod: Pod, host: Namespace, ip: Ip) -> None:
    """From each address the way leads over its own interface, whatever the main table says."""
    one = pod()
    results = {name: attached(one, host, address, ifname=name) for name, address in
               {"eth0": "10.1.0.2/24", "net1": "10.2.0.2/24"}.items()}  # fmt: skip
    one.run("ip", "route", "add", "default", "via", "10.1.0.1")
    results["net1"]["ips"][0]["gateway"] = "10.2.0.1"
    sbr.call("ADD", NET | {"prevResult": results["net1"]}, one, ifname="net1")
    ways = [
        (way["dev"], way["gateway"])
        for source in ("10.1.0.2", "10.2.0.2")
        for way in ip(one, "route", "get", "192.0.2.1", "from", source)
    ]
    assert ways == [("eth0", "10.1.0.1"), ("net1", "10.2.0.1")]


def test_a_chosen_gateway_is_used(sbr: Resident, pod: Pod, host: Namespace, ip: Ip) -> None:
    """Instead of the address's, and of the interface's default route."""
    one = pod()
    prev = dual(one, host, v4="10.1.0.9")
    sbr.call("ADD", NET | {"gateways": ["fd01::fe", "10.1.0.254"], "prevResult": prev}, one)
    tables = {(family, table): ip(one, family, "route", "show", "table", table) for family, table in
              (("-4", "100"), ("-6", "101"))}  # fmt: skip
    gateways = [[route["gateway"] for route in routes if route["dst"] == "default"] for routes in tables.values()]
    assert gateways == [["10.1.0.254"], ["fd01::fe"]]


def test_hints_keep_the_subnets_in_the_main_table(sbr: Resident, pod: Pod, host: Namespace) -> None:
    """Each from its address; the default routes leave. The reference's next release makes the very same."""
    one = pod()
    prev = dual(one, host, v4="10.1.0.1", v6="fd01::1")
    sbr.call("ADD", NET | {"addSourceHints": True, "prevResult": prev}, one)
    main = [line for line in routing(one) if "dev eth0" in line and "table" not in line]
    assert main == ["10.1.0.0/24 dev eth0 scope link src 10.1.0.2",
                    "fd01::/64 dev eth0 src fd01::2 metric 1024 pref medium"]  # fmt: skip
    assert "default via 10.1.0.1 dev eth0 table 100" in routing(one)
    assert "default via fd01::1 dev eth0 table 101 metric 1024 pref medium" in routing(one)


def test_two_at_once_share_a_pod(sbr: Resident, pod: Pod, host: Namespace, ip: Ip) -> None:
    """Four interfaces at the same time: four tables."""
    one = pod()
    names = [f"net{number}" for number in range(4)]
    results = [attached(one, host, f"10.{number}.0.2/24", ifname=name) for number, name in enumerate(names, 1)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: sbr.call("ADD", NET | {"prevResult": results[n]}, one, ifname=names[n]), range(4)))
    assert sorted(rule["table"] for rule in ip(one, "rule") if rule["src"] != "all") == ["100", "101", "102", "103"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: sbr.call("DEL", NET | {"prevResult": results[n]}, one, ifname=names[n]), range(4)))
    assert [rule["src"] for rule in ip(one, "rule")] == ["all"] * 3


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="no-result"),
        pytest.param({"prevResult": {"cniVersion": "1.1.0", "ips": [{"address": "x"}]}}, id="a-broken-result"),
        pytest.param({"table": "x", "wheels": 4, "gateways": 7}, id="edited"),
    ],
)
def test_del_finds_the_rules_by_the_interface(
    sbr: Resident, pod: Pod, host: Namespace, ip: Ip, more: dict[str, Any]
) -> None:
    """Whatever stands in the configuration by now, and a second time; rules of others stay."""
    one = pod()
    one.run("ip", "rule", "add", "from", "10.9.0.1", "lookup", "100")
    sbr.call("ADD", NET | {"prevResult": dual(one, host)}, one)
    for _ in range(2):
        sbr.call("DEL", NET | more, one)
        sources = [rule["src"] for family in ("-4", "-6") for rule in ip(one, family, "rule")]
        assert [source for source in sources if source != "all"] == ["10.9.0.1"]


def test_a_rule_to_the_main_table_is_no_leftover(sbr: Resident, pod: Pod, host: Namespace, ip: Ip) -> None:
    """A rule of the pod's own, of the same address: it stays, and CHECK does not take it for ours."""
    one = pod()
    prev = attached(one, host, "10.1.0.2/24")
    one.run("ip", "rule", "add", "from", "10.1.0.2", "lookup", "main", "pref", "99")
    sbr.call("ADD", NET | {"prevResult": prev}, one)
    assert [rule["table"] for rule in ip(one, "rule") if rule["src"] == "10.1.0.2"] == ["100", "main"]
    one.run("ip", "rule", "del", "from", "10.1.0.2", "lookup", "100")
    with pytest.raises(CniError, match="no rule leads"):
        sbr.call("CHECK", NET | {"prevResult": prev}, one)


def test_del_without_a_pod_is_done(sbr: Resident) -> None:
    """There is nothing outside it."""
    assert sbr.call("DEL", NET, None) is None
    assert sbr.call("GC", NET | {"cni.dev/valid-attachments": []}, None) is None

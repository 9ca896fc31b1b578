# SPDX-License-Identifier: Apache-2.0
"""Our static beside the reference's: the same answer to the same words, the same verdict, the same refusals."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.contract.twins import Twin

Pair = Callable[[str], tuple[Twin, Twin]]
pytestmark = pytest.mark.part("static")

HERE: Final = {"address": "10.1.0.5/24", "gateway": "10.1.0.1"}
SIX: Final = {"address": "fd01::5/64", "gateway": "fd01::1"}
BARE: Final = {"cniVersion": "1.1.0", "name": "net", "type": "x"}
ARGS: Final = "IgnoreUnknown=1;K8S_POD_NAME=p"


def net(*addresses: Any, part: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A network with these addresses; `part` is more of the IPAM's, the rest stands beside it."""
    ipam = {"type": "static", "addresses": list(addresses)} | (part or {})
    config = BARE | {"ipam": ipam} | more
    return {key: value for key, value in config.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A configuration; `code` is ours where both refuse it, `says` what our message then names."""

    config: dict[str, Any]
    args: str = ""
    code: int = 0
    says: str = ""


def asked(*ips: str) -> dict[str, Any]:
    """What a pod asks for."""
    return {"ips": list(ips)}


GOOD: Final = {
    "one": Row(config=net(HERE)),
    "none": Row(config=net()),
    "no-key": Row(config=net(part={"addresses": None})),
    "both-families": Row(config=net(HERE, SIX)),
    "no-gateway": Row(config=net({"address": "10.1.0.5/24"})),
    "empty-gateway": Row(config=net(HERE | {"gateway": ""})),
    "gateway-outside": Row(config=net(HERE | {"gateway": "10.9.0.1"})),
    "gateway-of-the-other-family": Row(config=net(HERE | {"gateway": "fd01::1"})),
    "gateway-mapped": Row(config=net(HERE | {"gateway": "::ffff:10.1.0.1"})),
    "a-whole-address": Row(config=net({"address": "10.1.0.5/32"}, {"address": "fd01::5/128"})),
    "a-point-to-point-prefix": Row(config=net({"address": "10.1.0.0/31"}, {"address": "fd01::/127"})),
    "the-network-address": Row(config=net({"address": "10.1.0.0/24"})),
    "the-same-twice": Row(config=net(HERE, HERE)),
    "ipv6-in-long": Row(config=net({"address": "FD01:0:0::0005/64"})),
    "ipv4-in-ipv6": Row(config=net({"address": "::ffff:10.1.0.5/120"})),
    "old-version-key": Row(config=net(HERE | {"version": "4"})),
    "routes": Row(
        config=net(HERE, part={"routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.9.0.0/16", "gw": "10.1.0.9"},
                                          {"dst": "fd77::/64", "gw": "fd01::9"}]})
    ),
    "route-with-all-keys": Row(
        config=net(HERE, part={"routes": [{"dst": "10.9.0.0/16", "gw": "10.1.0.9", "mtu": 1400, "advmss": 1300,
                                           "priority": 5, "table": 77, "scope": 0}]})
    ),
    "dns": Row(
        config=net(HERE, part={"dns": {"nameservers": ["10.1.0.3"], "domain": "a", "search": ["b"], "options": ["c"]}})
    ),
    "keys-in-any-case": Row(config=BARE | {"IPAM": {"Type": "static", "ADDRESSES": [HERE]}}),
    "ip-of-cni-args": Row(config=net(), args="IP=10.2.0.5/24"),
    "ip-beside-the-configuration": Row(config=net(HERE), args=f"{ARGS};IP=10.2.0.5/24,fd01::5/64"),
    "ip-and-gateway": Row(config=net(HERE), args="IP=10.2.0.5/24, 10.3.0.5/24;GATEWAY=10.1.0.9, 10.3.0.1,10.2.0.1"),
    "gateway-alone": Row(config=net({"address": "10.1.0.5/24"}), args="GATEWAY=10.1.0.1"),
    "the-last-gateway": Row(config=net(), args="IP=10.2.0.5/24;GATEWAY=10.2.0.1,10.2.0.2"),
    "empty-cni-args": Row(config=net(HERE), args="IP=;GATEWAY="),
    "args": Row(config=net(HERE, args={"cni": asked("10.3.0.5/24", "fd03::5/64")})),
    "args-before-cni-args": Row(config=net(args={"cni": asked("10.3.0.5/24")}), args="IP=10.2.0.5/24;GATEWAY=10.3.0.1"),
    "runtime": Row(config=net(HERE, runtimeConfig=asked("10.4.0.5/24"))),
    "runtime-before-args": Row(
        config=net(HERE, args={"cni": asked("10.3.0.5/24")}, runtimeConfig=asked("10.4.0.5/24", "fd04::5/64"))
    ),
    "runtime-asks-for-none": Row(config=net(HERE, runtimeConfig=asked())),
    "replaced-nonsense": Row(config=net({"address": "nonsense"}, runtimeConfig=asked("10.4.0.5/24"))),
    "version-0.4.0": Row(config=net(HERE, SIX, cniVersion="0.4.0")),
    "version-0.3.0": Row(config=net(HERE, HERE, cniVersion="0.3.0")),
    "version-0.2.0": Row(config=net(HERE, SIX, cniVersion="0.2.0", part={"routes": [{"dst": "0.0.0.0/0"}]})),
    "no-version": Row(config=net(HERE, cniVersion=None)),
}  # fmt: skip

BAD: Final = {
    "no-prefix": Row(config=net({"address": "10.1.0.5"}), code=7, says="10.1.0.5"),
    "prefix-too-long": Row(config=net({"address": "10.1.0.5/33"}), code=7, says="10.1.0.5/33"),
    "no-address": Row(config=net({}), code=7, says="address"),
    "leading-zeros": Row(config=net({"address": "010.1.0.5/24"}), code=7, says="010.1.0.5/24"),
    "an-address-in-a-text": Row(config=net("10.1.0.5/24"), code=6, says="addresses"),
    "an-address-that-is-a-number": Row(config=net({"address": 5}), code=6, says="address"),
    "addresses-an-object": Row(config=net(part={"addresses": HERE}), code=6, says="addresses"),
    "gateway-no-address": Row(config=net(HERE | {"gateway": "10.1"}), code=7, says="gateway"),
    "gateway-with-a-prefix": Row(config=net(HERE | {"gateway": "10.1.0.1/24"}), code=7, says="gateway"),
    "replaced-with-a-bad-gateway": Row(
        config=net(HERE | {"gateway": "x"}, runtimeConfig=asked("10.4.0.5/24")), code=7, says="gateway"
    ),
    "version-a-number": Row(config=net(HERE | {"version": 4}), code=6, says="version"),
    "cni-args-no-prefix": Row(config=net(HERE), args="IP=10.2.0.5", code=4, says="IP"),
    "cni-args-empty-piece": Row(config=net(HERE), args="IP=10.2.0.5/24,", code=4, says="IP"),
    "cni-args-gateway": Row(config=net(HERE), args="GATEWAY=x", code=4, says="GATEWAY"),
    "cni-args-unknown": Row(config=net(HERE), args="FOO=1", code=4, says="FOO"),
    "args-no-prefix": Row(config=net(HERE, args={"cni": asked("10.3.0.5")}), code=7, says="args.cni.ips"),
    "runtime-no-prefix": Row(config=net(HERE, runtimeConfig=asked("10.4.0.5")), code=7, says="runtimeConfig.ips"),
    "runtime-a-text": Row(config=net(HERE, runtimeConfig={"ips": "10.4.0.5/24"}), code=6, says="ips"),
    "two-of-a-family-in-0.2.0": Row(config=net(HERE, HERE, cniVersion="0.2.0"), code=7, says="family"),
    "none-in-0.2.0": Row(config=net(cniVersion="0.2.0"), code=999, says="IP addresses"),
    "no-ipam": Row(config=BARE, code=7, says="ipam"),
    "route-no-network": Row(config=net(HERE, part={"routes": [{"dst": "10.1"}]}), code=7, says="dst"),
    "route-gateway-no-address": Row(
        config=net(HERE, part={"routes": [{"dst": "10.1.0.0/16", "gw": "x"}]}), code=7, says="gw"
    ),
    "dns-a-text": Row(config=net(HERE, part={"dns": "10.1.0.3"}), code=6, says="dns"),
}  # fmt: skip


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in GOOD.items()])
def test_both_say_the_same(pair: Pair, row: Row) -> None:
    """ADD, and CHECK of its result where the version has it."""
    answers = []
    for twin in pair("eth0"):
        added = twin.call("ADD", row.config, row.args, type_="static")
        assert added.status == 0, added.body
        verdict = twin.call("CHECK", row.config | {"prevResult": added.body}, row.args, type_="static")
        gone = [twin.call("DEL", row.config, row.args, type_="static") for _ in range(2)]
        answers.append((added, verdict.status, gone))
    assert answers[1] == answers[0]


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in BAD.items()])
def test_both_refuse_the_same(pair: Pair, row: Row) -> None:
    """Ours with the specification's code and the culprit's name."""
    reference, ours = pair("eth0")
    assert reference.call("ADD", row.config, row.args, type_="static").status == 1
    answer = ours.call("ADD", row.config, row.args, type_="static")
    assert (answer.status, answer.code) == (1, row.code), answer.body
    assert row.says in answer.body["msg"]


REPORTED: Final = {
    "the-same": [HERE],
    "another-prefix": [HERE | {"address": "10.1.0.5/16"}],
    "another-gateway": [HERE | {"gateway": "10.1.0.2"}],
    "no-gateway": [{"address": "10.1.0.5/24"}],
    "another-address": [{"address": "10.1.0.6/24"}],
    "none": [],
    "no-result": None,
}


@pytest.mark.parametrize("ips", [pytest.param(ips, id=name) for name, ips in REPORTED.items()])
def test_both_judge_the_same_result_alike(pair: Pair, ips: list[Any] | None) -> None:
    """What the one's CHECK finds wrong the other's does, and what it lets pass, too."""
    prev = None if ips is None else {"cniVersion": "1.1.0", "ips": ips}
    verdicts = [twin.call("CHECK", net(HERE, prevResult=prev), type_="static").status for twin in pair("eth0")]
    assert verdicts[1] == verdicts[0]


def test_host_bits_of_a_route_ours_refuses_first(pair: Pair) -> None:
    """On purpose: the reference tells the route, and the kernel refuses it to every interface plugin, late."""
    reference, ours = pair("eth0")
    config = net(HERE, part={"routes": [{"dst": "10.9.3.4/16"}]})
    assert reference.call("ADD", config, type_="static").status == 0
    answer = ours.call("ADD", config, type_="static")
    assert (answer.code, "10.9.3.4/16" in answer.body["msg"]) == (7, True)


def test_an_old_result_holds_no_newer_keys_of_ours(pair: Pair) -> None:
    """On purpose (A52): the reference writes `mtu` and `table` of a route into a result of 1.0.0."""
    config = net(HERE, cniVersion="1.0.0", part={"routes": [{"dst": "10.9.0.0/16", "mtu": 1400, "table": 77}]})
    routes = [twin.call("ADD", config, type_="static").body["routes"] for twin in pair("eth0")]
    assert routes == [[{"dst": "10.9.0.0/16", "mtu": 1400, "table": 77}], [{"dst": "10.9.0.0/16"}]]


def test_del_needs_no_configuration_of_worth(pair: Pair) -> None:
    """Neither looks at it."""
    for twin in pair("eth0"):
        assert twin.call("DEL", net("nonsense"), type_="static").status == 0

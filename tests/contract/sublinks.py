# SPDX-License-Identifier: Apache-2.0
"""What the tests of macvlan, ipvlan, vlan and dummy share: rows, and the ways in which twins are compared.

Ours differs on purpose, everywhere, in two settings of the pod: it announces addresses (arp_notify) and never waits for
IPv6 to look for duplicates (accept_dad). Where it differs in more the row says what, and why.
"""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import unified_diff
from typing import Any, Final

from tests.contract.cases import MACS, V4, V6, ipam
from tests.contract.twins import Answer, Twin
from tests.kernel.conftest import run_ip

Pair = Callable[[str], tuple[Twin, Twin]]
Config = dict[str, Any]

NODE: Final = (
    f"link add e0 address {MACS[0]} type veth peer e1",
    "link set e0 up",
    "link set e1 up",
)  # fmt: skip
"""The node's way out: `e0`."""
DEFAULT: Final = (*NODE, "address add 10.9.0.9/24 dev e0", "route add default via 10.9.0.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A configuration that works."""

    config: Config
    args: str = ""
    node: tuple[str, ...] = NODE
    """Commands of `ip` on the node before the ADD."""
    pod: tuple[str, ...] = ()
    """Likewise in the pod."""
    ifname: str = "eth0"
    check: bool = True
    """Whether the version has CHECK, and the reference's passes."""
    delete: bool = True
    """Whether the reference's DEL works."""
    ours: Config = field(default_factory=dict)
    """Keys in which the result of ours differs on purpose: the value that it has, None for a key that it has not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A configuration that both refuse; `code` is ours."""

    config: Config
    code: int
    says: str
    """What our message names."""
    args: str = ""
    node: tuple[str, ...] = NODE
    pod: tuple[str, ...] = ()


def net(type_: str, **more: Any) -> Config:
    """A network, of the newest version unless another is given; a None takes a key out."""
    config = {"cniVersion": "1.1.0", "name": "net", "type": type_, "master": "e0", "ipam": ipam()} | more
    return {key: value for key, value in config.items() if value is not None}


def watched(command: str) -> Config:
    """An IPAM for a network whose CHECK is tried; with IPv6, for which the reference waits, only where it matters."""
    routes = [{"dst": "0.0.0.0/0"}, {"dst": "10.200.0.0/16", "gw": "10.1.0.1"}]
    return ipam(ranges=[*V4, *V6], routes=[*routes, {"dst": "fd77::/64"}]) if "fd" in command else ipam(routes=routes)


SABOTAGE: Final = {
    "address-taken": ("pod", "address del 10.1.0.2/24 dev eth0"),
    "other-prefix": ("pod", "address change 10.1.0.2/25 dev eth0"),
    "ipv6-address-taken": ("pod", "address del fd01::2/64 dev eth0"),
    "default-route-taken": ("pod", "route del default"),
    "default-route-another": ("pod", "route replace default via 10.1.0.99"),
    "route-taken": ("pod", "route del 10.200.0.0/16"),
    "route-another-gateway": ("pod", "route replace 10.200.0.0/16 via 10.1.0.99"),
    "ipv6-route-taken": ("pod", "-6 route del fd77::/64"),
    "link-down": ("pod", "link set eth0 down"),
    "interface-gone": ("pod", "link del eth0"),
    "interface-renamed": ("pod", "link set eth0 down name eth9"),
    "mtu-changed": ("pod", "link set eth0 mtu 1400"),
    "more-addresses": ("pod", "address add 10.1.0.200/24 dev eth0"),
    "more-routes": ("pod", "route add 10.77.0.0/16 via 10.1.0.1"),
    "nothing": ("pod", "link show"),
}
"""What is done between ADD and CHECK, the same for all kinds."""
PREVIOUS: Final = {
    "missing": None,
    "empty": {"cniVersion": "1.1.0"},
    "elsewhere": {"interfaces": [{"name": "eth0", "sandbox": "/x"}]},
}
"""Results with which there is nothing to compare."""


def call(twin: Twin, verb: str, config: Config, args: str = "") -> Answer:
    """One operation."""
    return twin.call(verb, config, args, type_=config["type"])


def prepared(twin: Twin, row: Row | Refused) -> Twin:
    """Have its commands run."""
    for side, commands in ((twin.host, row.node), (twin.pod, row.pod)):
        if commands:
            batch = ["ip", "-n", side.name, "-batch", "-"]
            subprocess.run(batch, input="\n".join(commands), text=True, check=True, timeout=20)
    return twin


def seen(twin: Twin) -> dict[str, Any]:
    """What both have to leave behind alike; of a link with a carrier the kernel tells in its own time that it is up."""
    state = twin.state()
    for link in [*state["host"]["links"], *state["pod"]["links"]]:
        if "LOWER_UP" in link["flags"]:
            link["state"] = "UP"
    return state | {"pod settings": state["pod settings"][2:]}


def names(twin: Twin) -> tuple[list[str], list[str]]:
    """Of the links on the node and in the pod."""
    host, pod = ([link["ifname"] for link in run_ip(side, "link")] for side in (twin.host, twin.pod))
    return host, pod


def require_same(ours: object, theirs: object) -> None:
    """Fail with the lines that differ, and nothing else."""
    was, now = (json.dumps(side, indent=1, sort_keys=True).splitlines() for side in (theirs, ours))
    assert ours == theirs, "\n".join(unified_diff(was, now, "reference", "ours", n=2, lineterm=""))


def do_the_same(pair: Pair, row: Row) -> None:
    """ADD, CHECK, DEL and one more DEL: at each step results, links, addresses, routes and leases are the same."""
    reference, ours = (prepared(twin, row) for twin in pair(row.ifname))
    results, states, after = [], [], []
    for twin in (reference, ours):
        added = call(twin, "ADD", row.config, row.args)
        assert added.status == 0, added.body
        results.append(twin.alike(added.body))
        states.append(seen(twin))
        done = row.config | {"prevResult": added.body}
        if row.check or (twin.ours and row.config.get("cniVersion", "0.1.0") >= "0.4.0"):
            assert call(twin, "CHECK", done, row.args).body == {}
        for _ in range(2):
            if row.delete or twin.ours:
                assert call(twin, "DEL", done, row.args).body == {}
        after.append(seen(twin))
    expected = {key: value for key, value in (results[0] | row.ours).items() if value is not None}
    require_same(results[1], expected)
    require_same(states[1], states[0])
    require_same(after[1], after[0] if row.delete else after[1])
    assert row.ifname not in names(ours)[1]


def judge_alike(pair: Pair, config: Config, where: str, command: str) -> None:
    """What the one's CHECK finds wrong the other's does, and what it lets pass, too."""
    verdicts = []
    for twin in pair("eth0"):
        added = call(prepared(twin, Row(config=config)), "ADD", config)
        for part in command.split("; "):
            (twin.pod if where == "pod" else twin.host).run("ip", *part.split())
        verdicts.append(call(twin, "CHECK", config | {"prevResult": added.body}).status)
    assert verdicts[1] == verdicts[0]


def refuse_to_check(pair: Pair, config: Config, prev: Config | None) -> None:
    """CHECK needs the result of the very attachment; ours says 7."""
    codes = []
    for twin in pair("eth0"):
        assert call(prepared(twin, Row(config=config)), "ADD", config).status == 0
        codes.append(call(twin, "CHECK", config if prev is None else config | {"prevResult": prev}).code)
    assert codes[0] != 0
    assert codes[1] == 7


def refuse_the_same(pair: Pair, bad: Refused) -> None:
    """What the reference refuses ours does, with the specification's code, the culprit's name, and nothing left."""
    reference, ours = (prepared(twin, bad) for twin in pair("eth0"))
    before = names(ours)
    assert call(reference, "ADD", bad.config, bad.args).status != 0
    answer = call(ours, "ADD", bad.config, bad.args)
    assert (answer.status, answer.code) == (1, bad.code), answer.body
    assert bad.says in answer.body["msg"] + answer.body.get("details", "")
    assert names(ours) == before
    assert [name for name in ours.leases() if name.startswith(("10.", "fd"))] == []

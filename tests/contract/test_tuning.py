# SPDX-License-Identifier: Apache-2.0
"""Our tuning beside the reference plugin: same answer, same kernel, same saved state."""

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.contract.cases_tuning import ALL, BAD, CASES, MARTIANS, OTHER, Bad, Case, net
from tests.contract.chained import MAC, Link, Pair, attach, saved, state
from tests.contract.twins import Answer, Twin
from tests.kernel.conftest import Namespace, run_ip

pytestmark = pytest.mark.part("network namespaces", "tuning")


def call(twin: Twin, verb: str, config: dict[str, Any], args: str = "") -> Answer:
    """One operation of tuning."""
    return twin.call(verb, config, args, type_="tuning")


def settings(twin: Twin, names: tuple[str, ...]) -> list[str]:
    """Some sysctls of the pod."""
    return [twin.pod.run("cat", f"/proc/sys/net/{name.format(twin.ifname)}") for name in names]


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_both_do_the_same(pair: Pair, case: Case) -> None:
    """ADD, CHECK, DEL and one more DEL: at each step result, link, settings and saved state are the same."""
    results, states = [], []
    for twin in pair(case.ifname):
        config = case.config | {"prevResult": attach(twin, case.link, case.config["cniVersion"])}
        untouched = state(twin)
        added = call(twin, "ADD", config, case.args)
        assert added.status == 0, added.body
        results.append(twin.alike(added.body))
        steps = [state(twin) | {"settings": settings(twin, case.settings)}]
        done = config | {"prevResult": added.body}
        if case.check:
            assert call(twin, "CHECK", done, case.args).body == {}
        for _ in range(2):
            assert call(twin, "DEL", done, case.args).body == {}
            steps.append(state(twin) | {"settings": settings(twin, case.settings)})
        assert state(twin) == untouched
        states.append(steps)
    assert results[1] == results[0]
    assert states[1] == states[0]


@pytest.mark.parametrize("bad", [pytest.param(bad, id=name) for name, bad in BAD.items()])
def test_both_refuse_the_same(pair: Pair, bad: Bad) -> None:
    """What the reference refuses ours does, with the specification's code, the culprit's name, and nothing changed."""
    for twin in pair("eth0"):
        prev = attach(twin, Link())
        config = bad.config | ({"prevResult": prev} if bad.prev else {})
        before = state(twin)
        answer = call(twin, "ADD", config, bad.args)
        assert answer.status != 0
        if twin.ours:
            assert (answer.status, answer.code) == (1, bad.code), answer.body
            assert bad.says in answer.body["msg"] + answer.body.get("details", "")
            assert state(twin) == before


def test_both_refuse_an_interface_that_is_not_there(pair: Pair) -> None:
    """Ours before any sysctl is set."""
    for twin in pair("eth0"):
        prev = attach(twin, Link())
        twin.pod.run("ip", "link", "del", "eth0")
        config = net(mtu=1400, sysctl={"net.ipv4.conf.all.log_martians": "1"}, prevResult=prev)
        answer = call(twin, "ADD", config)
        assert answer.status == 1
        if twin.ours:
            assert (answer.code, "'eth0'" in answer.body["msg"]) == (7, True)
            assert settings(twin, ("ipv4/conf/all/log_martians",)) == ["0\n"]


SABOTAGE = {
    "mac": "ip link set eth0 address 02:00:5e:00:00:77",
    "mtu": "ip link set eth0 mtu 1401",
    "not-promiscuous": "ip link set eth0 promisc off",
    "not-all-multicast": "ip link set eth0 allmulticast off",
    "queue": "ip link set eth0 txqueuelen 8",
    "sysctl": "sh -c 'echo 0 >/proc/sys/net/ipv4/conf/eth0/log_martians'",
    "down": "ip link set eth0 down",
    "address-taken": "ip address del 10.1.0.2/24 dev eth0",
    "gone": "ip link del eth0",
    "renamed": "sh -c 'ip link set eth0 down; ip link set eth0 name eth9'",
    "nothing": "true",
}


@pytest.mark.parametrize("command", [pytest.param(command, id=name) for name, command in SABOTAGE.items()])
def test_both_judge_the_same_sabotage_alike(pair: Pair, command: str) -> None:
    """What the one's CHECK finds wrong the other's does, and what it lets pass, too."""
    codes = []
    for twin in pair("eth0"):
        config = net(**ALL, sysctl={MARTIANS: "1"}, prevResult=attach(twin, Link()))
        done = config | {"prevResult": call(twin, "ADD", config).body}
        twin.pod.run("sh", "-c", command)
        codes.append(call(twin, "CHECK", done).code)
    assert (codes[1] == 0) == (codes[0] == 0)
    assert codes[1] in (0, 7, 999)


def test_both_refuse_to_check_without_a_result(pair: Pair) -> None:
    """Ours says 7."""
    reference, ours = pair("eth0")
    assert call(reference, "CHECK", net()).status == 1
    assert call(ours, "CHECK", net()).code == 7


@pytest.mark.parametrize("first", [pytest.param(0, id="theirs"), pytest.param(1, id="ours")])
def test_either_restores_what_the_other_saved(pair: Pair, first: int) -> None:
    """A node changes from one to the other while a pod lives."""
    twin = pair("eth0")[first]
    config = net(**ALL, prevResult=attach(twin, Link(before=("link set eth0 mtu 1450",))))
    before = state(twin)
    done = config | {"prevResult": call(twin, "ADD", config).body}
    other = replace(twin, ours=not twin.ours)
    assert call(other, "CHECK", done).body == {}
    assert call(other, "DEL", done).body == {}
    assert state(twin) == before
    assert saved(twin) == {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(Namespace):
    """A node whose file of allowed sysctls has these lines; the machine's own /etc is not touched."""

    lines: str

    def command(self, *argv: str) -> list[str]:
        """Within a mount namespace of its own, with an /etc of its own."""
        script = (
            'mount -t tmpfs none /etc && mkdir -p /etc/cni/tuning && printf "%s" "$0" >/etc/cni/tuning/allowlist.conf'
        )
        return ["unshare", "--mount", "sh", "-c", f'{script} && exec "$@"', self.lines, *Namespace.command(self, *argv)]


@pytest.mark.parametrize(
    ("lines", "sysctls", "allowed"),
    [
        pytest.param("", [MARTIANS], False, id="an-empty-list"),
        pytest.param("", [], True, id="an-empty-list-and-no-sysctl"),
        pytest.param("^net\\.ipv4\\.conf\\.IFNAME\\.[a-z_]*$\n", [MARTIANS], True, id="as-it-is-spelt"),
        pytest.param("^net\\.ipv4\\.conf\\.eth0\\.[a-z_]*$\n", [MARTIANS], False, id="not-as-it-is-meant"),
        pytest.param("rp_filter\n\n  log_  \n", [MARTIANS], True, id="a-part-of-it"),
        pytest.param("log_", [MARTIANS, "net.ipv4.ip_forward"], False, id="each-has-to-be"),
        pytest.param("log_\n(\n", [MARTIANS], True, id="a-broken-line-behind"),
        pytest.param("(\nlog_\n", [MARTIANS], False, id="a-broken-line-before"),
        pytest.param("^net\\.ipv4\\.(conf\\.(IFNAME|all)|neigh)\\.\\w+$", [MARTIANS], True, id="groups"),
    ],
)
def test_both_obey_the_list_of_the_node(pair: Pair, lines: str, sysctls: list[str], allowed: bool) -> None:  # noqa: FBT001 - a row
    """What it does not name is refused, with code 7, and not set; CHECK does not ask it."""
    for twin in pair("eth0"):
        listed = replace(twin, host=Listed(name=twin.host.name, lines=lines))
        config = net(sysctl=dict.fromkeys(sysctls, "1"), prevResult=attach(twin, Link()))
        answer = call(listed, "ADD", config)
        assert (answer.status == 0) == allowed, answer.body
        if twin.ours and not allowed:
            assert answer.code == 7
            assert settings(twin, ("ipv4/conf/{}/log_martians",)) == ["0\n"]


def test_the_machine_has_no_list_of_its_own() -> None:
    """Or the rows above it would not mean what they say."""
    assert not Path("/etc/cni/tuning/allowlist.conf").exists()
    assert subprocess.run(["mountpoint", "-q", "/etc"], check=False).returncode != 0


# ---- where ours differs on purpose


def test_our_check_takes_spaces_for_tabs(pair: Pair) -> None:
    """The reference compares texts, so the value that everybody writes fails its CHECK, and CRI-O kills the pod."""
    verdicts = []
    for twin in pair("eth0"):
        config = net(sysctl={"net.ipv4.ip_local_port_range": "20000 30000"}, prevResult=attach(twin, Link()))
        done = config | {"prevResult": call(twin, "ADD", config).body}
        verdicts.append(call(twin, "CHECK", done).status)
    assert verdicts == [1, 0]


def test_our_check_leaves_alone_what_nobody_asked_for(pair: Pair) -> None:
    """A later plugin, or a tcpdump, makes the link promiscuous: the reference takes that for damage."""
    verdicts = []
    for twin in pair("eth0"):
        config = net(mtu=1400, prevResult=attach(twin, Link()))
        done = config | {"prevResult": call(twin, "ADD", config).body}
        twin.pod.run("ip", "link", "set", "eth0", "promisc", "on")
        verdicts.append(call(twin, "CHECK", done).status)
    assert verdicts == [1, 0]


def test_our_mac_is_spelt_as_the_kernel_does(pair: Pair) -> None:
    """The reference repeats the configuration's spelling in its result, and then fails its own CHECK."""
    told, verdicts = [], []
    for twin in pair("eth0"):
        config = net(mac="02-00-5E-00-00-0A", prevResult=attach(twin, Link()))
        added = call(twin, "ADD", config).body
        told.append(added["interfaces"][1]["mac"])
        verdicts.append(call(twin, "CHECK", config | {"prevResult": added}).status)
    assert told == ["02-00-5E-00-00-0A", "02:00:5e:00:00:0a"]
    assert verdicts == [1, 0]


def test_our_sysctls_may_come_from_the_pod_alone(pair: Pair) -> None:
    """Without a `sysctl` of the network the reference falls over."""
    statuses = []
    for twin in pair("eth0"):
        config = net(args={"cni": {"sysctl": {MARTIANS: "1"}}}, prevResult=attach(twin, Link()))
        statuses.append(call(twin, "ADD", config).status)
    assert statuses[0] != 0
    assert statuses[1] == 0


def test_our_saved_state_goes_with_the_link(pair: Pair) -> None:
    """With a link that is gone, or a pod that is gone, the reference's DEL leaves its file behind for good."""
    left = []
    for twin in pair("eth0"):
        config = net(mtu=1400, prevResult=attach(twin, Link()))
        call(twin, "ADD", config)
        twin.pod.run("ip", "link", "del", "eth0")
        assert call(twin, "DEL", config).body == {}
        left.append(list(saved(twin)))
    assert left == [["c1_eth0.json"], []]


def test_two_of_ours_in_one_list_give_back_the_first_state(pair: Pair) -> None:
    """The reference's second one writes over what the first one saved."""
    macs = []
    for twin in pair("eth0"):
        first = net(mac=OTHER[0], prevResult=attach(twin, Link()))
        second = net(mac=OTHER[1], txQLen=5, prevResult=call(twin, "ADD", first).body)
        assert call(twin, "ADD", second).status == 0
        for config in (second, first):
            assert call(twin, "DEL", config).body == {}
        macs.append(run_ip(twin.pod, "link", "show", "eth0")[0]["address"])
    assert macs == [OTHER[0], MAC]

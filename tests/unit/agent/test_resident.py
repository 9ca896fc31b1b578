# SPDX-License-Identifier: Apache-2.0
"""Our own delegates in the agent: who owns what, what a delegate gets, and how it fails."""

import logging
import time
from pathlib import Path
from typing import Any

import pytest

from metacni.agent import resident
from metacni.agent.resident import ForeignIpam, Residents
from metacni.agent.runner import nobody
from metacni.cni import config
from metacni.cni.config import NetworkList
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json
from metacni.cni.names import ContainerId, IfName, NetnsPath, NetworkName, PluginType
from metacni.core.owner import AGENT, PROGRAM, Owner
from metacni.core.plan import Attachment, Plan
from metacni.exec.channel import ShimGone
from metacni.exec.frames import Execution
from metacni.exec.outcome import Output
from metacni.netns import devices
from tests.unit.agent import fakes
from tests.unit.agent.delegates import FakeDelegate
from tests.unit.agent.fakes import FakeRunner, failure

VARIABLES = {"CNI_COMMAND": "ADD", "CNI_IFNAME": "eth0", "CNI_NETNS": "/run/netns/c1", "CNI_PATH": "/opt/cni/bin"}


def network(*types: str, name: str = "lan", **keys: Json) -> NetworkList:
    """A list of plugins of these types; `keys` go into each."""
    plugins: list[Json] = [{"type": each, **keys} for each in types]
    return config.parse({"cniVersion": "1.1.0", "name": name, "plugins": plugins})


def plan(*networks: NetworkList, **capability_args: Json) -> Plan:
    """A sandbox on these networks."""
    return Plan(
        container_id=ContainerId("c1"),
        netns=NetnsPath("/run/netns/c1"),
        pod=None,
        node_network=NetworkName("node-net"),
        version="1.1.0",
        primary_only=False,
        search_path=("/opt/cni/bin",),
        attachments=tuple(
            Attachment(
                network=f"team/{one.name}",
                ifname=IfName(f"net{number}"),
                config=one,
                capability_args=capability_args,
                cni_args="",
                default=number == 0,
                default_route=None,
            )
            for number, one in enumerate(networks)
        ),
        prev_result=None,
    )


def owners(planned: Plan) -> list[tuple[Owner, ...]]:
    """Those of each attachment."""
    return [one.owners for one in planned.attachments]


def execution(kind: str, verb: str = "ADD") -> Execution:
    """A call of that plugin."""
    return Execution(
        type=PluginType(kind),
        path=("/opt/cni/bin",),
        environment=VARIABLES | {"CNI_COMMAND": verb},
        stdin=b'{"cniVersion":"1.1.0"}',
    )


def run(loaded: Residents, kind: str, verb: str = "ADD", *, runner: FakeRunner | None = None) -> bytes:
    """One operation, with a pod and seven seconds."""
    return loaded.run(execution(kind, verb), pod=5, runner=runner or FakeRunner(), timeout=7, made=nobody)


def test_a_plan_is_given_its_owners() -> None:
    """Plugin by plugin; nothing else of it changes."""
    loaded = fakes.residents(FakeDelegate("bridge"), FakeDelegate("macvlan", reason="key 'bc' is not known"))
    planned = plan(network("bridge", "portmap"), network("macvlan"))
    owned = loaded.owned(planned)
    assert owners(owned) == [
        (AGENT, PROGRAM),
        (Owner(resident=False, why="key 'bc' is not known"),),
    ]
    assert [one.config for one in owned.attachments] == [one.config for one in planned.attachments]


def test_a_delegate_judges_what_it_would_be_given() -> None:
    """Name, version and the capability arguments that this plugin takes included: those may be what it declines."""
    bridge = FakeDelegate("bridge")
    body: dict[str, Json] = {"type": "bridge", "capabilities": {"mac": True}}
    lan = config.parse({"cniVersion": "1.1.0", "name": "lan", "plugins": [body]})
    fakes.residents(bridge).owned(plan(lan, mac="02:00:00:00:00:01", ips=["10.0.0.5"]))
    assert bridge.seen == [
        {**body, "name": "lan", "cniVersion": "1.1.0", "runtimeConfig": {"mac": "02:00:00:00:00:01"}},
    ]


def test_what_must_be_served_and_cannot_fails_the_add_and_names_the_network() -> None:
    """Code 2, before anything runs."""
    loaded = fakes.residents(FakeDelegate("bridge", reason="odd"), types=frozenset({"bridge"}))
    with pytest.raises(CniError) as caught:
        loaded.owned(plan(network("bridge")))
    assert caught.value.code == Code.UNSUPPORTED_FIELD
    assert caught.value.msg == "network 'team/lan' (net0): cannot serve plugin 'bridge' in the agent: odd"


def test_for_taking_away_a_delegate_is_good_enough() -> None:
    """What it would refuse to attach it takes away all the same; nothing else changes."""
    loaded = fakes.residents(FakeDelegate("bridge", reason="odd"), types=frozenset({"bridge"}))
    planned = plan(network("bridge", "portmap"), network("macvlan"))
    assert owners(loaded.owned(planned, taking_away=True)) == [(AGENT, PROGRAM), (PROGRAM,)]


def test_a_network_without_a_sandbox_has_owners_too() -> None:
    """Whoever would attach it; one that nobody could is left to programs rather than failing STATUS."""
    loaded = fakes.residents(FakeDelegate("bridge"))
    assert loaded.owners(network("bridge", "portmap")) == (AGENT, PROGRAM)
    forced = fakes.residents(FakeDelegate("bridge", reason="odd"), types=frozenset({"bridge"}))
    assert forced.owners(network("bridge")) == ()


def test_a_reason_is_logged_once_for_each_network(caplog: pytest.LogCaptureFixture) -> None:
    """With its network, and however many pods there are."""
    loaded = fakes.residents(FakeDelegate("bridge", reason="key 'vlan' is not known"))
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            loaded.owned(plan(network("bridge"), network("bridge", name="other")))
        loaded.owners(network("bridge"))
    assert [(line.getMessage(), line.__dict__["network"]) for line in caplog.records] == [
        ("plugin 'bridge' is left to a program: key 'vlan' is not known", "lan"),
        ("plugin 'bridge' is left to a program: key 'vlan' is not known", "other"),
    ]


def test_not_every_reason_that_users_think_up_is_remembered(caplog: pytest.LogCaptureFixture) -> None:
    """The memory of it has a bound, and beyond that the log stays silent."""
    loaded = fakes.residents(FakeDelegate("bridge", reason="odd"))
    with caplog.at_level(logging.INFO):
        for number in range(resident.MOST_REASONS + 5):
            loaded.owners(network("bridge", name=f"n{number}"))
    assert len(caplog.records) == resident.MOST_REASONS


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        pytest.param([network("bridge")], (), id="all-ours"),
        pytest.param([network("portmap", "firewall")], ("portmap", "firewall"), id="all-foreign"),
        pytest.param([network("bridge", "portmap"), network("portmap", "sbr")], ("portmap", "sbr"), id="each-once"),
        pytest.param([network("macvlan", ipam={"type": "dhcp"})], ("macvlan",), id="the-ipam-of-a-foreign-plugin"),
        pytest.param([network("bridge", ipam={"type": "dhcp"})], ("dhcp",), id="a-foreign-ipam-of-ours"),
        pytest.param([network("bridge", ipam={"type": "host-local"})], (), id="an-ipam-of-ours"),
    ],
)
def test_only_programs_are_sought(networks: list[NetworkList], expected: tuple[str, ...]) -> None:
    """A delegate of ours is here already; a foreign IPAM that it asks for must be there."""
    loaded = fakes.residents(FakeDelegate("bridge"), FakeDelegate("host-local"))
    owned = loaded.owned(plan(*networks))
    assert loaded.programs(owned) == expected
    assert {kind for one in owned.attachments for kind in loaded.programs_of(one)} == set(expected)


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        pytest.param("metacni-bridge", True, id="ours"),
        pytest.param("bridge", False, id="bare"),
        pytest.param("metacni", False, id="the-agent"),
        pytest.param("metacni-other", False, id="not-loaded"),
    ],
)
def test_the_names_that_calls_may_come_under(program: str, expected: object) -> None:
    """With our prefix only: a bare name is some program's."""
    assert fakes.residents(FakeDelegate("bridge")).serves(program) is expected


@pytest.mark.parametrize("kind", ["bridge", "metacni-bridge"])
def test_a_delegate_gets_what_a_program_would_and_the_outside_world(kind: str) -> None:
    """Variables, stdin, the pod's namespace; its way out is the agent's."""
    bridge = FakeDelegate("bridge")
    runner = FakeRunner()
    made: list[int] = []
    loaded = fakes.residents(bridge)
    printed = loaded.run(execution(kind), pod=5, runner=runner, timeout=7, made=made.append)
    assert b'"name": "eth0"' in printed
    (one,) = bridge.served
    assert (one.variables, one.stdin, one.pod) == (VARIABLES, b'{"cniVersion":"1.1.0"}', 5)
    assert (one.edges.visible("/shared/x"), one.edges.visible("/var/x")) == (True, False)
    assert one.edges.sysctls == Path("/proc/sys/net")
    assert (one.edges.ipam.runner, one.edges.ipam.path) == (runner, ("/opt/cni/bin",))
    assert one.edges.ipam.until == pytest.approx(time.monotonic() + 7, abs=1)
    one.edges.made(9)
    assert made == [9]


def test_the_nodes_links_are_those_of_the_agents_namespace(tmp_path: Path) -> None:
    """And what is no pod's namespace is refused by the same check as a whole ADD's."""
    bridge = FakeDelegate("bridge")
    run(fakes.residents(bridge), "bridge")
    edges = bridge.served[0].edges
    with edges.host() as links:
        assert devices.find(links, "lo") is not None
    with (tmp_path / "file").open("w") as file, pytest.raises(CniError, match="no network namespace"):
        edges.require_pod(file.fileno())


def test_a_delegate_that_is_gone_is_an_error_with_a_hint() -> None:
    """Its attachment stays on record: an admin can bring it back (code 7)."""
    with pytest.raises(CniError) as caught:
        run(fakes.residents(FakeDelegate("bridge")), "acme", "DEL")
    assert (caught.value.code, caught.value.msg) == (Code.CONFIG, "the agent has no such delegate")
    assert "`trustedDelegates`" in caught.value.details


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(CniError(7, "no"), id="its-own"),
        pytest.param(ShimGone("killed"), id="the-shim's-death"),
        pytest.param(KeyError("a fault of ours"), id="unforeseen"),
    ],
)
def test_what_a_delegate_raises_goes_up_as_it_is(fault: Exception) -> None:
    """So the ADD is undone, by whoever can."""
    with pytest.raises(type(fault)) as caught:
        run(fakes.residents(FakeDelegate("bridge", replies={"ADD": fault})), "bridge")
    assert caught.value is fault


def foreign(runner: FakeRunner, *, seconds: float = 7) -> ForeignIpam:
    """The way to IPAM programs with so much time left."""
    return ForeignIpam(runner=runner, path=("/opt/cni/bin",), until=time.monotonic() + seconds)


def test_a_foreign_ipam_is_run_by_the_shim_within_the_time_of_its_delegate() -> None:
    """Found where the delegate itself would have been, told what the delegate says; what it prints is handed back."""
    runner = FakeRunner()
    runner.script("dhcp", "ADD", Output(status=0, stdout=b'{"ips":[]}', stderr=b""))
    assert foreign(runner).run(PluginType("dhcp"), VARIABLES, b"{}") == b'{"ips":[]}'
    (one,) = runner.executions
    assert (one.type, one.path, one.environment, one.stdin) == ("dhcp", ("/opt/cni/bin",), VARIABLES, b"{}")
    assert runner.timeouts == [pytest.approx(7, abs=1)]


@pytest.mark.parametrize(
    ("reply", "code", "told"),
    [
        pytest.param(failure(100, "pool is full"), 100, "pool is full", id="its-own-error"),
        pytest.param(Output(status=1, stdout=b"", stderr=b"no luck\n"), 999, "no luck", id="prose"),
        pytest.param(Output(status=-9, stdout=b"", stderr=b""), 999, "SIGKILL", id="killed"),
        pytest.param(CniError(11, "it ran for 7 s"), 11, "it ran for 7 s", id="too-long"),
    ],
)
def test_a_foreign_ipam_that_fails_is_an_error_of_its_own(reply: Any, code: int, told: str) -> None:
    """Its code is kept (A21)."""
    runner = FakeRunner()
    runner.script("dhcp", "ADD", reply)
    with pytest.raises(CniError, match=told) as caught:
        foreign(runner).run(PluginType("dhcp"), VARIABLES, b"{}")
    assert caught.value.code == code


def test_a_foreign_ipam_is_not_started_once_the_time_is_up() -> None:
    """Code 11: the runtime asks again."""
    runner = FakeRunner()
    with pytest.raises(CniError, match="not started: the request's time is up") as caught:
        foreign(runner, seconds=-1).run(PluginType("dhcp"), VARIABLES, b"{}")
    assert (caught.value.code, runner.executions) == (Code.TRY_AGAIN, [])


def test_links_of_what_is_no_pod_are_not_deleted(tmp_path: Path) -> None:
    """The opener refuses the descriptor (code 8) before anything is sent."""
    with (tmp_path / "file").open("w") as file, pytest.raises(CniError) as caught:
        fakes.residents().delete_links(file.fileno(), [4, 5])
    assert caught.value.code == Code.NETNS

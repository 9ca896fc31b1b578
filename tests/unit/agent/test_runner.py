# SPDX-License-Identifier: Apache-2.0
"""One plugin call spelled out: what the plugin is told, how long it may take, and what becomes of its failure."""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from metacni.agent import runner
from metacni.agent.runner import Made, Network, Refused, Runner, Sandbox
from metacni.cni import config
from metacni.cni.errors import CniError, Code
from metacni.cni.names import ContainerId, IfName, NetnsPath, NetworkName
from metacni.cni.versions import Verb
from metacni.core.owner import AGENT, PROGRAM, Owner
from metacni.core.plan import Attachment, Plan
from metacni.exec.frames import Execution
from metacni.exec.outcome import Output
from tests.unit.agent.delegates import FakeResident
from tests.unit.agent.fakes import FakeRunner, failure

LAN = config.parse({"cniVersion": "1.1.0", "name": "lan", "plugins": [{"type": "macvlan"}, {"type": "tuning"}]})
ATTACHMENT = Attachment(
    network="team/lan",
    ifname=IfName("net1"),
    config=LAN,
    capability_args={},
    cni_args="IgnoreUnknown=true;K8S_POD_NAME=web",
    default=False,
    default_route=None,
)
OURS = replace(ATTACHMENT, owners=(AGENT, PROGRAM))
PLAN = Plan(
    container_id=ContainerId("c1"),
    netns=NetnsPath("/run/netns/c1"),
    pod=None,
    node_network=NetworkName("node-net"),
    version="1.1.0",
    primary_only=False,
    search_path=("/opt/cni/bin", "/usr/lib/cni"),
    attachments=(ATTACHMENT,),
    prev_result=None,
)


def sandbox(plugins: FakeRunner, *, netns: str = "/run/netns/c1", seconds: float = 100.0) -> Sandbox:
    """A request with so much time left."""
    return Sandbox(
        plan=PLAN,
        netns=NetnsPath(netns),
        pod=None,
        runner=plugins,
        resident=FakeResident(plugins),
        deadline=time.monotonic() + seconds,
    )


def on_its_own(plugins: FakeRunner, *owners: Owner, resident: FakeResident | None = None) -> Network:
    """The network without a sandbox."""
    return Network(
        config=LAN,
        owners=owners,
        search_path=("/bin",),
        runner=plugins,
        resident=resident or FakeResident(plugins),
        deadline=time.monotonic() + 100,
    )


@dataclass
class Carrier:
    """Carries delegates out by a script of their own, and makes a link whose index is the descriptor of the pod."""

    plugins: FakeRunner

    def run(self, execution: Execution, *, pod: int | None, runner: Runner, timeout: float, made: Made) -> bytes:
        """Play it."""
        assert runner is not self.plugins
        if pod is not None:
            made(pod)
        return self.plugins.run(execution, timeout=timeout).stdout

    def delete_links(self, pod: int, indexes: Sequence[int]) -> None:
        """Not asked for here."""
        raise AssertionError((pod, indexes))


def fault_of(plugins: FakeRunner, verb: Verb = Verb.ADD, **more: Any) -> CniError:
    """How a call of the first plugin fails."""
    with pytest.raises(CniError) as caught:
        runner.run(sandbox(plugins, **more), verb, ATTACHMENT, 0, b"{}")
    return caught.value


def test_a_plugin_is_told_everything_that_the_specification_names() -> None:
    """All six variables are set, CNI_PATH too (A5), and stdin passes through as it is."""
    plugins = FakeRunner()
    runner.run(sandbox(plugins), Verb.DEL, ATTACHMENT, 1, b'{"a":1.10}')
    (ran,) = plugins.executions
    assert (ran.type, ran.path, ran.stdin) == ("tuning", ("/opt/cni/bin", "/usr/lib/cni"), b'{"a":1.10}')
    assert ran.environment == {
        "CNI_COMMAND": "DEL",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/run/netns/c1",
        "CNI_IFNAME": "net1",
        "CNI_ARGS": "IgnoreUnknown=true;K8S_POD_NAME=web",
        "CNI_PATH": "/opt/cni/bin:/usr/lib/cni",
    }


def test_the_namespace_is_the_sandboxs_and_not_the_plans() -> None:
    """A path that leads elsewhere by now is not handed on."""
    plugins = FakeRunner()
    runner.run(sandbox(plugins, netns=""), Verb.DEL, ATTACHMENT, 0, b"{}")
    assert plugins.executions[0].environment["CNI_NETNS"] == ""


@pytest.mark.parametrize(
    ("verb", "left", "longest"),
    [
        pytest.param(Verb.ADD, 100, 60, id="add"),
        pytest.param(Verb.DEL, 100, 25, id="del"),
        pytest.param(Verb.CHECK, 100, 60, id="check"),
        pytest.param(Verb.ADD, 7, 7, id="no-longer-than-the-request"),
    ],
)
def test_a_plugin_gets_its_time_and_never_more_than_the_request_has_left(verb: Verb, left: float, longest: int) -> None:
    """The limits of decision 1."""
    plugins = FakeRunner()
    plugins.script("macvlan", str(verb), Output(status=0, stdout=b"{}", stderr=b""))
    runner.run(sandbox(plugins, seconds=left), verb, ATTACHMENT, 0, b"{}")
    assert plugins.timeouts == [pytest.approx(longest, abs=1)]


def test_a_plugin_is_not_started_once_the_requests_time_is_up() -> None:
    """Code 11, and nothing ran."""
    plugins = FakeRunner()
    fault = fault_of(plugins, seconds=-1)
    assert (fault.code, fault.msg) == (
        Code.TRY_AGAIN,
        "network 'team/lan' (net1), ADD: not started: the request's time is up",
    )
    assert plugins.executions == []


@pytest.mark.parametrize("code", [3, 7, 11, 50, 51, 100, 999, 4294967295])
def test_a_plugins_code_is_kept_whatever_it_is(code: int) -> None:
    """Callers key their retries on it (A21, A22); network, interface, verb and plugin stand in front."""
    plugins = FakeRunner()
    plugins.script("macvlan", "ADD", failure(code, "master is away", "look at ens5"))
    fault = fault_of(plugins)
    assert (fault.code, fault.msg, fault.details) == (
        code,
        "network 'team/lan' (net1), ADD: plugin 'macvlan': master is away",
        "look at ens5",
    )


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        pytest.param(Output(status=0, stdout=b"", stderr=b""), "printed no result for ADD", id="nothing"),
        pytest.param(Output(status=0, stdout=b"done!", stderr=b""), "'done!': cannot decode its result", id="prose"),
        pytest.param(Output(status=-9, stdout=b"", stderr=b""), "died of SIGKILL", id="killed"),
        pytest.param(Output(status=1, stdout=b"", stderr=b"no luck\n"), "exited with status 1: no luck", id="stderr"),
    ],
)
def test_a_plugin_that_ends_badly_is_named(printed: Output, told: str) -> None:
    """Every bad end is one line with network and plugin in it."""
    plugins = FakeRunner()
    plugins.script("macvlan", "ADD", printed)
    fault = fault_of(plugins)
    assert fault.msg.startswith("network 'team/lan' (net1), ADD: plugin 'macvlan' ") or "'macvlan':" in fault.msg
    assert told in fault.msg
    assert "\n" not in fault.msg


def test_what_a_plugin_prints_for_del_means_nothing() -> None:
    """Only ADD has a result (A23)."""
    plugins = FakeRunner()
    plugins.script("macvlan", "DEL", Output(status=0, stdout=b"prose", stderr=b""))
    assert runner.run(sandbox(plugins), Verb.DEL, ATTACHMENT, 0, b"{}") == b""


def test_a_plugins_stderr_goes_to_the_log_and_its_stdin_does_not(caplog: pytest.LogCaptureFixture) -> None:
    """B9, and decision 16: the end of stderr at level debug, nothing of the configuration."""
    plugins = FakeRunner()
    plugins.script("macvlan", "ADD", Output(status=0, stdout=b"{}", stderr=b"x" * 3000 + b" last words"))
    with caplog.at_level(logging.DEBUG):
        runner.run(sandbox(plugins), Verb.ADD, ATTACHMENT, 0, b'{"password":"s3cret"}')
    (line,) = caplog.records
    shown = line.__dict__["stderr"]
    assert shown.endswith(b" last words")
    assert len(shown) == 2000
    assert "s3cret" not in json.dumps({key: str(value) for key, value in line.__dict__.items()})


def test_each_plugin_goes_to_its_owner() -> None:
    """One of ours is carried out in the agent and told of each link; what it is told is what a program would be."""
    programs, agent = FakeRunner(), FakeRunner()
    asked = replace(sandbox(programs), pod=5, resident=Carrier(agent))
    made: list[int] = []
    for index in range(2):
        runner.run(asked, Verb.ADD, OURS, index, b'{"cniVersion":"1.1.0"}', made=made.append)
    assert agent.calls == [("ADD", "macvlan", "net1")]
    assert programs.calls == [("ADD", "tuning", "net1")]
    assert agent.executions[0].environment == programs.executions[0].environment
    assert agent.executions[0].path == ("/opt/cni/bin", "/usr/lib/cni")
    assert made == [5]
    assert agent.timeouts == [pytest.approx(60, abs=1)]


def test_a_delegate_of_ours_fails_like_a_program_that_said_no() -> None:
    """With its code, its hint and the same words in front: the runtime cannot tell, and the undo may (B15)."""
    plugins = FakeRunner()
    plugins.script("macvlan", "ADD", failure(7, "master is away", "look at ens5"))
    with pytest.raises(CniError) as caught:
        runner.run(sandbox(plugins), Verb.ADD, OURS, 0, b"{}")
    fault = caught.value
    assert isinstance(fault, Refused)
    assert (fault.code, fault.msg, fault.details) == (
        7,
        "network 'team/lan' (net1), ADD: plugin 'macvlan': master is away",
        "look at ens5",
    )


def test_what_a_delegate_of_ours_did_not_foresee_is_no_refusal() -> None:
    """It goes up as it is: the ADD is undone, and the log gets its traceback."""
    plugins = FakeRunner()
    plugins.script("macvlan", "ADD", KeyError("x"))
    with pytest.raises(KeyError):
        runner.run(sandbox(plugins), Verb.ADD, OURS, 0, b"{}")


def test_a_delegate_of_ours_is_not_started_once_the_requests_time_is_up() -> None:
    """As a program is not."""
    plugins = FakeRunner()
    with pytest.raises(CniError, match="not started") as caught:
        runner.run(sandbox(plugins, seconds=-1), Verb.DEL, OURS, 0, b"{}")
    assert caught.value.code == Code.TRY_AGAIN
    assert plugins.executions == []


def test_a_network_on_its_own_goes_to_its_owners_without_a_pod() -> None:
    """STATUS and GC too; where no owner is said, to a program."""
    plugins = FakeRunner()
    resident = FakeResident(plugins)
    network = on_its_own(plugins, AGENT, resident=resident)
    for index in range(2):
        runner.run_on_network(network, Verb.GC, index, b"{}")
    assert plugins.calls == [("GC", "macvlan", ""), ("GC", "tuning", "")]
    assert resident.pods == [None]
    assert plugins.timeouts == [pytest.approx(25, abs=1)] * 2


def test_status_and_gc_are_about_no_container() -> None:
    """Container, namespace, interface and arguments are empty; network and plugin are named in a failure (B7)."""
    plugins = FakeRunner()
    plugins.script("tuning", "STATUS", failure(51, "table full"))
    asked = on_its_own(plugins)
    with pytest.raises(CniError, match=r"^network 'lan', STATUS: plugin 'tuning': table full$") as caught:
        runner.run_on_network(asked, Verb.STATUS, 1, b"{}")
    assert caught.value.code == Code.NOT_AVAILABLE_EXISTING
    assert plugins.timeouts == [pytest.approx(2, abs=0.5)]
    assert plugins.executions[0].environment == {
        "CNI_COMMAND": "STATUS",
        "CNI_CONTAINERID": "",
        "CNI_NETNS": "",
        "CNI_IFNAME": "",
        "CNI_ARGS": "",
        "CNI_PATH": "/bin",
    }

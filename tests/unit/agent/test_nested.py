# SPDX-License-Identifier: Apache-2.0
"""A call under the name of a delegate of ours: straight to it, past journal and locks."""

import os
import time
from typing import Any

import pytest

from metacni.agent.nested import nested
from metacni.cni.errors import CniError, Code
from metacni.cni.names import PluginType
from tests.unit.agent.delegates import FakeDelegate
from tests.unit.agent.fakes import Bench

KIND = PluginType("metacni-bridge")
OWN = "/proc/thread-self/ns/net"


def variables(verb: str) -> dict[str, str]:
    """What the caller says, unknown variables included."""
    return {"CNI_COMMAND": verb, "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0", "CNI_NETNS": "/x", "CNI_MORE": "y"}


def call(bench: Bench, verb: str = "ADD", **more: Any) -> bytes:
    """One call to its end."""
    return nested(KIND, variables(verb), bench.node, bench.request(verb, **more))


@pytest.fixture
def bridge(bench: Bench) -> FakeDelegate:
    """The only delegate of the bench."""
    made = FakeDelegate("bridge")
    bench.load(made)
    return made


def test_the_delegate_gets_the_call_as_it_came(bench: Bench, bridge: FakeDelegate) -> None:
    """Variables, stdin and search path are the caller's own; what it prints is what a program would."""
    stdin = b'{"cniVersion":"1.1.0","name":"n","type":"metacni-bridge"}'
    printed = call(bench, stdin=stdin)
    assert b'"name": "eth0"' in printed
    (one,) = bridge.served
    assert (one.variables, one.stdin, one.pod) == (variables("ADD"), stdin, bench.netns)
    assert (one.edges.ipam.runner, one.edges.ipam.path) == (bench.runner, ("/usr/lib/cni",))
    one.edges.made(4)  # nobody keeps it: no record knows this attachment


def test_it_takes_part_in_no_sandbox_and_waits_for_none(bench: Bench, bridge: FakeDelegate) -> None:
    """Its caller may be a plugin of our own ADD of the same sandbox, or a GC: no deadlock (decision 14)."""
    request = bench.request("ADD", seconds=5)
    container = request.environment.container_id
    with bench.node.locks.sandbox(container, request.deadline):
        call(bench, "ADD", seconds=5)
    with bench.node.locks.everything(request.deadline):
        call(bench, "DEL", seconds=5)
    assert [verb for verb, _ in bridge.calls] == ["ADD", "DEL"]
    assert (bench.files(), bench.pending.settled, bench.runner.calls) == ([], [], [])
    assert bench.publisher.events == []


@pytest.mark.parametrize(
    ("verb", "left", "longest"),
    [
        pytest.param("ADD", 100, 60, id="add"),
        pytest.param("DEL", 100, 25, id="del"),
        pytest.param("STATUS", 100, 2, id="status"),
        pytest.param("VERSION", 100, 2, id="version"),
        pytest.param("ADD", 3, 3, id="no-longer-than-the-request"),
    ],
)
def test_it_has_the_time_of_a_plugin(
    bench: Bench, bridge: FakeDelegate, verb: str, left: float, longest: float
) -> None:
    """The limits of decision 1."""
    call(bench, verb, seconds=left)
    assert bridge.served[0].edges.ipam.until == pytest.approx(time.monotonic() + longest, abs=1)


@pytest.mark.parametrize("verb", ["ADD", "CHECK", "DEL"])
def test_a_file_that_is_no_namespace_is_none_for_del_only(bench: Bench, bridge: FakeDelegate, verb: str) -> None:
    """What an unmount left behind must not keep anything from being freed (E15); ADD and CHECK are to say so."""
    call(bench, verb)
    assert bridge.served[0].pod == (None if verb == "DEL" else bench.netns)


def test_del_gets_a_namespace_that_is_one(bench: Bench, bridge: FakeDelegate) -> None:
    """Whose it is, is for the delegate to see; one that could not be opened is none."""
    own = os.open(OWN, os.O_RDONLY)
    try:
        call(bench, "DEL", netns=own)
        call(bench, "DEL", netns=None)
    finally:
        os.close(own)
    assert [one.pod for one in bridge.served] == [own, None]


def test_its_error_is_handed_on(bench: Bench) -> None:
    """Code, words and hint: the plugin that called reads them."""
    bench.load(FakeDelegate("bridge", replies={"ADD": CniError(7, "no master", "name one")}))
    with pytest.raises(CniError) as caught:
        call(bench)
    fault = caught.value
    assert (fault.code, fault.msg, fault.details) == (Code.CONFIG, "no master", "name one")


def test_a_setting_that_leaves_everything_to_programs_does_not_matter(bench: Bench) -> None:
    """Our name means us, whatever `resident` says, and whatever the configuration holds is the delegate's to judge."""
    bridge = FakeDelegate("bridge", reason="odd")
    bench.load(bridge, types=frozenset())
    call(bench)
    assert bridge.calls == [("ADD", "eth0")]

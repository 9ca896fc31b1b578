# SPDX-License-Identifier: Apache-2.0
"""What cannot be attached, on a real node: the pod waits, its Events say why in one line, and nothing is attached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster import networks

if TYPE_CHECKING:
    from tests.cluster.home import Home

pytestmark = pytest.mark.part("bridge", "host-local")


def refused(home: Home, name: str) -> str:
    """Return the start of what the kubelet's Event says when metacni refused a pod."""
    return f"pod '{home.namespace}/{name}': "


def nothing_is_left(home: Home) -> None:
    """Wait for the runtime to take its sandboxes away, too; between two of its tries there must be nothing."""
    home.cluster.wait_until(f"nothing is attached: {home.leftovers()}", lambda: not home.leftovers(), 15)


def test_a_missing_definition_is_named_and_once_there_the_pod_starts(home: Home) -> None:
    """The pod waits with an Event of its own for this case, nothing is attached, and no restart is needed later."""
    home.define(lan=networks.lan(home.cluster.leases))
    home.cluster.apply(home.pod("early", "lan,late"))
    text = f"network '{home.namespace}/late': there is no NetworkAttachmentDefinition of that name"
    events = home.wait_event("early", "FailedCreatePodSandBox")
    assert f"NoNetworkFound: {text}\n" in f"{events}\n"
    assert f"{refused(home, 'early')}{text}" in events
    nothing_is_left(home)
    assert home.cluster.get("pod", "early", "-n", home.namespace)["status"]["phase"] == "Pending"

    home.define(late=networks.lab(home.cluster.leases))
    home.wait_running("early")
    assert tuple(home.interfaces("early")) == ("eth0", "net1", "net2")


def test_when_the_third_network_fails_the_first_two_are_gone(home: Home) -> None:
    """The plugin's own words reach the pod's Events, and what was attached before is taken back at once."""
    leases = home.cluster.leases
    home.define(lan=networks.lan(leases), lab=networks.lab(leases), third=home.scripted(fail="no cable in port 7"))
    home.cluster.apply(home.pod("unlucky", "lan,lab,third"))
    events = home.wait_event("unlucky", "FailedCreatePodSandBox")
    said = f"network '{home.namespace}/third' (net3), ADD: plugin 'scripted': no cable in port 7"
    assert f"{refused(home, 'unlucky')}{said}" in events
    assert f"FailedAttach: {said}" in events
    assert [call["command"] for call in home.scripted_calls()][:2] == ["ADD", "DEL"]
    nothing_is_left(home)
    assert home.cluster.node.links() >= {"lan0", "lab0"}, "the first two had been attached"


def test_what_is_wrong_is_told_before_anything_runs(home: Home) -> None:
    """Annotations and definitions of every bad kind: one line each, and no plugin has been called."""
    leases = home.cluster.leases
    home.define(
        good=home.scripted(),
        lost={"cniVersion": "1.0.0", "type": "no-such-plugin"},
        prose="a bridge, please",
        own={"cniVersion": "1.0.0", "type": "metacni"},
        empty={"cniVersion": "1.0.0", "plugins": []},
        path={"cniVersion": "1.0.0", "type": "../scripted"},
        reserved={**networks.lan(leases), "runtimeConfig": {"mac": "02:00:00:00:00:01"}},
        outside={**networks.lan(leases), "ipam": {"type": "host-local", "dataDir": "/etc", "subnet": "10.1.0.0/24"}},
    )
    wanted = {
        "no-plugin": ("good,lost", "cannot find plugin 'no-such-plugin'"),
        "no-json": ("good,prose", "cannot decode configuration"),
        "own-type": ("good,own", "metacni cannot be called from within metacni"),
        "no-plugins": ("good,empty", f"network '{home.namespace}/empty': "),
        "path-type": ("good,path", "'../scripted'"),
        "reserved": ("good,reserved", "'runtimeConfig'"),
        "outside": ("good,outside", "dataDir"),
        "bad-name": ("good,La_n", "'La_n'"),
        "bad-ifname": ("good@a/b", "cannot take interface name 'a/b'"),
        "twice": ("good@x,good@x", "'x'"),
        "no-list": ('{"name": "good"}', "not a list of networks"),
        "bad-key": ('[{"name": "good", "ips": "10.1.1.1"}]', "'ips'"),
        "unserved": ('[{"name": "good", "mac": "02:00:00:00:00:01"}]', "mac"),
        "too-many": (",".join(["good"] * 33), "cannot attach 33 networks: the limit is 32"),
        "device": ('[{"name": "good", "deviceID": "0000:01:00.0"}]', "not carried out yet"),
    }
    home.cluster.apply(*(home.pod(name, annotation) for name, (annotation, _) in wanted.items()))
    for name, (_, words) in wanted.items():
        events = home.wait_event(name, "FailedCreatePodSandBox").splitlines()
        failure = next(line for line in events if line.startswith("FailedCreatePodSandBox"))
        assert refused(home, name) in failure
        assert words in failure.partition(refused(home, name))[2], failure
    nothing_is_left(home)
    assert not home.scripted_log.exists()
    assert home.cluster.node.links() == {"store0", "store1"}

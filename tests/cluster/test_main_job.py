# SPDX-License-Identifier: Apache-2.0
"""The main job on a real node: every pod its default network and the networks that it asks for, and nothing left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cluster.home import Home

MAC = "02:00:00:00:00:4b"


def wishes(namespace: str) -> dict[str, object]:
    """Return three ways to ask for the same three networks: comma form, comma form with names, JSON form."""
    return {
        "one": "lan, storage,lab",
        "two": f"{namespace}/lan@left,storage@right,lab",
        "three": [
            {"name": "lan"},
            {"name": "storage", "namespace": namespace},
            {"name": "lab", "interface": "lab", "ips": ["10.30.0.77/24"], "mac": MAC},
        ],
    }


INTERFACES = {
    "one": ("eth0", "net1", "net2", "net3"),
    "two": ("eth0", "left", "right", "net3"),
    "three": ("eth0", "net1", "net2", "lab"),
}


def expected_status(home: Home, name: str) -> list[dict[str, Any]]:
    """Return the status that a pod must have, by what the kernel says of its interfaces."""
    kernel = home.interfaces(name)
    networks = ("pods", *(f"{home.namespace}/{network}" for network in ("lan", "storage", "lab")))
    entries = [
        {"name": network, "interface": ifname, **kernel[ifname], "default": ifname == "eth0", "dns": {}}
        for network, ifname in zip(networks, INTERFACES[name], strict=True)
    ]
    return [entries[0] | {"gateway": ["10.88.0.1"]}, *entries[1:]]


@pytest.mark.parametrize(
    "resident",
    [
        pytest.param("auto", marks=pytest.mark.settings(resident="auto")),
        pytest.param("none", marks=pytest.mark.settings(resident="none")),
    ],
)
@pytest.mark.part("bridge", "macvlan", "host-local", "tuning")
def test_three_pods_on_three_networks_each_talk_and_go(home: Home, resident: str) -> None:
    """Each pod gets what it asks for in either form, reaches the others on every network, and says so in its status."""
    home.define_all()
    home.cluster.apply(*(home.pod(name, wanted) for name, wanted in wishes(home.namespace).items()))
    pods = {name: home.wait_running(name) for name in INTERFACES}
    kernel = {name: home.interfaces(name) for name in INTERFACES}
    assert {name: tuple(found) for name, found in kernel.items()} == INTERFACES
    assert kernel["three"]["lab"] == {"mac": MAC, "ips": ["10.30.0.77"]}
    for name, pod in pods.items():
        assert pod["status"]["podIPs"] == [{"ip": address} for address in kernel[name]["eth0"]["ips"]]
        assert home.wait_status(name) == expected_status(home, name)
        home.wait_event(name, f"AddedInterface: {added(home, name)}")
    for name, other in (("one", "two"), ("two", "three"), ("three", "one")):
        for own, theirs in zip(INTERFACES[name], INTERFACES[other], strict=True):
            address = kernel[other][theirs]["ips"][0]
            ping = ("ping", "-c", "1", "-W", "5", "-I", own, address)
            assert "1 received" in home.cluster.in_pod(name, *ping, namespace=home.namespace)

    by = {"auto": {"agent"}, "none": {"program"}}[resident]
    assert {who for plugin, who in home.owners() if plugin == "bridge"} == by
    home.delete_pod(*INTERFACES)
    assert home.leftovers() == []
    assert home.cluster.node.links() - {"store0", "store1"} == {"cni0", "lan0", "lab0"}


def added(home: Home, name: str) -> str:
    """Return what the Event of an ADD says: all interfaces in one line."""
    return "; ".join(
        f"Add {entry['interface']} [{entry['ips'][0]}/24] from {entry['name']}" for entry in home.status(name)
    )


def test_a_pod_without_annotation_has_the_default_network_only(home: Home) -> None:
    """A plain pod gets eth0, a default route and a status with one entry."""
    home.run_pod("plain")
    assert tuple(home.interfaces("plain")) == ("eth0",)
    assert [(entry["name"], entry["default"]) for entry in home.wait_status("plain")] == [("pods", True)]
    routes = home.cluster.in_pod("plain", "ip", "-j", "route", "show", "default", namespace=home.namespace)
    assert [route["gateway"] for route in json.loads(routes)] == ["10.88.0.1"]

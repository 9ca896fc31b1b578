# SPDX-License-Identifier: Apache-2.0
"""Twins: the reference plugin and ours, each with a node, a pod and a folder of leases of its own, asked the same.

What must differ is named alike before it is compared: random MACs, the random names of veths, paths. What the kernel
makes by itself and in its own time, link-local addresses, is left out.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.kernel.conftest import Namespace, fresh_namespace, run_ip
from tests.parts import PLUGINS

ROOT: Final = Path(__file__).parents[2]
CONTAINER: Final = "c1"
NETWORK: Final = "net"
OURS: Final = {"bridge": "delegates.bridge", "host-local": "delegates.ipam.host_local"}
_VETH: Final = re.compile(r"veth[0-9a-f]{8}")
_POD_SETTINGS: Final = (
    "ipv4/conf/{}/arp_notify",
    "ipv6/conf/{}/accept_dad",
    "ipv6/conf/{}/enhanced_dad",
    "ipv6/conf/{}/disable_ipv6",
    "ipv6/conf/{}/keep_addr_on_down",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one call came to."""

    status: int
    body: dict[str, Any]

    @property
    def code(self) -> int:
        """The error's code, 0 of a success."""
        return int(self.body["code"]) if self.status else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """One of the two."""

    ours: bool
    host: Namespace
    pod: Namespace
    data: Path
    ifname: str = "eth0"
    container: str = CONTAINER
    more: dict[str, str] = field(default_factory=dict)

    def call(self, verb: str, config: dict[str, Any], args: str = "", *, type_: str = "bridge") -> Answer:
        """One operation, as a program."""
        text = json.dumps(config).replace("@DATA@", str(self.data))
        program = [sys.executable, "-m", OURS[type_]] if self.ours else [str(PLUGINS / type_)]
        variables = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "CNI_COMMAND": verb, "CNI_CONTAINERID": self.container,
            "CNI_NETNS": str(self.pod.path), "CNI_IFNAME": self.ifname, "CNI_PATH": str(PLUGINS), "CNI_ARGS": args,
        } | self.more  # fmt: skip
        done = subprocess.run(
            self.host.command(*program),
            input=text,
            text=True,
            env=variables,
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert not self.ours or done.stderr == "", done.stderr
        return Answer(status=done.returncode, body=json.loads(done.stdout) if done.stdout.strip() else {})

    def alike(self, result: dict[str, Any]) -> dict[str, Any]:
        """A result in the words of both twins."""
        text = json.dumps(result).replace(str(self.pod.path), "POD").replace(str(self.data), "@DATA@")
        renamed: dict[str, Any] = json.loads(_VETH.sub("veth", text))
        for item in renamed.get("interfaces", []):
            item["mac"] = _mac(item.get("mac", ""))
        return renamed

    def state(self) -> dict[str, Any]:
        """All that both have to leave behind alike, on the node and in the pod."""
        settings = [f"/proc/sys/net/{name.format(self.ifname)}" for name in _POD_SETTINGS]
        node = ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"]
        return {
            "host": _picture(self.host),
            "pod": _picture(self.pod),
            "pod settings": self.pod.run("sh", "-c", f"cat {' '.join(settings)} 2>/dev/null || true").split(),
            "node settings": self.host.run("cat", *node).split(),
            "leases": self.leases(),
        }

    def leases(self) -> dict[str, tuple[str, str]]:
        """The folder of leases, to the byte."""
        folder = self.data / NETWORK
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        return {file.name: (file.read_bytes().decode(), oct(file.stat().st_mode)) for file in files}


@contextmanager
def twins(folder: Path, ifname: str = "eth0") -> Iterator[tuple[Twin, Twin]]:
    """The reference and ours."""
    with fresh_namespace() as one, fresh_namespace() as two, fresh_namespace() as three, fresh_namespace() as four:
        yield (
            Twin(ours=False, host=one, pod=two, data=folder / "reference", ifname=ifname),
            Twin(ours=True, host=three, pod=four, data=folder / "ours", ifname=ifname),
        )


def settled(state: dict[str, Any]) -> dict[str, Any]:
    """A state without what the kernel changes in its own time after a port has gone."""
    links = [{key: link[key] for key in link if key not in ("state", "flags")} for link in state["host"]["links"]]
    return state | {"host": state["host"] | {"links": links}}


def _mac(mac: str) -> str:
    """A MAC that was asked for stays, one of chance does not."""
    return mac if mac.startswith("02:00:5e") else "MAC"


def _picture(namespace: Namespace) -> dict[str, Any]:
    links = [_link(link) for link in run_ip(namespace, "-d", "address") if link["ifname"] != "lo"]
    routes = [_route(route) for family in ("-4", "-6") for route in _routes(namespace, family)]
    return {"links": sorted(links, key=str), "routes": sorted(routes, key=str)}


def _link(link: dict[str, Any]) -> dict[str, Any]:
    info = link.get("linkinfo", {})
    port = info.get("info_slave_data", {})
    return {
        "name": _VETH.sub("veth", link["ifname"]),
        "kind": info.get("info_kind"),
        "mac": _mac(link["address"]),
        "mtu": link["mtu"],
        "flags": sorted(link["flags"]),
        "state": link["operstate"],
        "master": link.get("master"),
        "promiscuity": link.get("promiscuity"),
        "port": {key: port.get(key) for key in ("hairpin", "isolated", "learning", "flood", "state", "guard")},
        "vlan filtering": info.get("info_data", {}).get("vlan_filtering"),
        "addresses": sorted(
            (item["local"], item["prefixlen"], item.get("broadcast", ""), item["scope"])
            for item in link["addr_info"]
            if item["scope"] != "link"
        ),
    }


def _routes(namespace: Namespace, family: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = run_ip(namespace, family, "route", "show", "table", "all")
    return [
        route for route in found if route.get("table") != "local" and not route["dst"].startswith(("fe80:", "ff00:"))
    ]


def _route(route: dict[str, Any]) -> dict[str, Any]:
    keys = ("dst", "gateway", "dev", "protocol", "scope", "prefsrc", "metric", "table", "nexthops")
    return {key: route.get(key) for key in keys if route.get(key) is not None}

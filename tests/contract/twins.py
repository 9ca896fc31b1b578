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
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from metacni.netns import sandbox
from tests.kernel.conftest import Namespace, fresh_namespace
from tests.parts import PLUGINS
from tests.uml import forked
from tests.uml.inside import INSIDE

ROOT: Final = Path(__file__).parents[2]
CONTAINER: Final = "c1"
NETWORK: Final = "net"
OURS: Final = {name: f"delegates.ipam.{name.replace('-', '_')}" for name in ("host-local", "static", "metacni-ipam")}
_VETH: Final = re.compile(r"veth[0-9a-f]{8}")
_OF_A_KIND: Final = (
    "vlan_filtering",
    "mode",
    "id",
    "protocol",
    "bcqueuelen",
    "flags",
)  # of bridges, and of links on links
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
        module = OURS.get(type_, f"delegates.{type_.replace('-', '_')}")
        program = [sys.executable, "-m", module] if self.ours else [str(PLUGINS / type_)]
        variables = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "CNI_COMMAND": verb, "CNI_CONTAINERID": self.container,
            "CNI_NETNS": str(self.pod.path), "CNI_IFNAME": self.ifname, "CNI_PATH": str(PLUGINS), "CNI_ARGS": args,
        } | self.more  # fmt: skip
        if self.ours and INSIDE in os.environ:
            status, body = forked.run(self.host, module, variables, text)
            return Answer(status=status, body=body)
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
        return {
            "host": _picture(self.host),
            "pod": _picture(self.pod),
            "pod settings": _settings(self.pod, [name.format(self.ifname) for name in _POD_SETTINGS]),
            "node settings": _settings(self.host, ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]),
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
    links, routes = _shown(namespace, "address", "route show table all")
    return {
        "links": sorted((_link(link) for link in links if link["ifname"] != "lo"), key=str),
        "routes": sorted((_route(route) for route in routes if _is_told(route)), key=str),
    }


def _shown(namespace: Namespace, *commands: str) -> list[list[dict[str, Any]]]:
    """What `ip` says to each, of both families; one process, because each takes long in User-Mode Linux."""
    done = subprocess.run(
        ["ip", "-n", namespace.name, "-j", "-d", "-batch", "-"],
        input="\n".join(commands), text=True, capture_output=True, timeout=20, check=True,
    )  # fmt: skip
    found, at, decoder = [], 0, json.JSONDecoder()
    for _ in commands:
        at = done.stdout.index("[", at)
        said, at = decoder.raw_decode(done.stdout, at)
        found.append(said)
    return found


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
        "details": {key: info.get("info_data", {}).get(key) for key in _OF_A_KIND},
        "addresses": sorted(
            (item["local"], item["prefixlen"], item.get("broadcast", ""), item["scope"])
            for item in link["addr_info"]
            if item["scope"] != "link"
        ),
    }


def _settings(namespace: Namespace, names: list[str]) -> list[str]:
    """What stands in those of these files that are there: read by a thread that goes there, without a process."""

    def read() -> list[str]:
        fd = os.open(namespace.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            sandbox.enter(fd)
        finally:
            os.close(fd)
        files = [Path("/proc/sys/net", name) for name in names]
        return [file.read_text().strip() for file in files if file.exists()]

    with ThreadPoolExecutor(1) as thread:  # it ends with its errand, and never works elsewhere again
        return thread.submit(read).result()


def _is_told(route: dict[str, Any]) -> bool:
    return route.get("table") != "local" and not route["dst"].startswith(("fe80:", "ff00:"))


def _route(route: dict[str, Any]) -> dict[str, Any]:
    keys = ("dst", "gateway", "dev", "protocol", "scope", "prefsrc", "metric", "table", "nexthops")
    found = {key: route.get(key) for key in keys if route.get(key) is not None}
    return found | {"dev": _VETH.sub("veth", route["dev"])} if "dev" in found else found

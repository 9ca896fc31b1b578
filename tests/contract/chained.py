# SPDX-License-Identifier: Apache-2.0
"""Twins for plugins that work on an interface which is there: both get the same one, and the same result before them.

The interface is the pod's end of a cable that the test lays itself; its MAC is known, so that it can be compared.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from metacni.cni import convert
from tests.contract.twins import Twin
from tests.kernel.conftest import Namespace, run_ip

Pair = Callable[[str], tuple[Twin, Twin]]
MAC: Final = "02:00:5e:00:00:99"
FAR: Final = "far0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The interface that the plugin before has made, and what that said of it."""

    addresses: tuple[str, ...] = ("10.1.0.2/24", "fd01::2/64")
    gateways: tuple[str, ...] = ("10.1.0.1", "fd01::1")
    """One for each address; an empty text is none."""
    before: tuple[str, ...] = ()
    """Commands of `ip` in the pod that complete it; eth0 stands for its name."""


def attach(twin: Twin, link: Link, version: str = "1.1.0") -> dict[str, Any]:
    """Have the interface in the pod of a twin; the result of the plugin before, in this version's form."""
    twin.pod.cable(twin.ifname, twin.host, FAR)
    twin.pod.run("ip", "link", "set", twin.ifname, "address", MAC)
    for address in link.addresses:
        nodad = ("nodad",) if ":" in address else ()
        twin.pod.run("ip", "address", "add", address, "dev", twin.ifname, *nodad)
    for command in link.before:
        twin.pod.run("ip", *command.replace("eth0", twin.ifname).split())
    far = run_ip(twin.host, "link", "show", FAR)[0]["address"]
    interfaces = [
        {"name": FAR, "mac": far}, {"name": twin.ifname, "mac": MAC, "sandbox": str(twin.pod.path)}
    ]  # fmt: skip
    ips = [
        {"address": address, "interface": 1} | ({"gateway": gateway} if gateway else {})
        for address, gateway in zip(link.addresses, link.gateways, strict=True)
    ]
    routes = [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}]
    body: Any = {"cniVersion": "1.1.0", "interfaces": interfaces, "ips": ips, "routes": routes}
    return convert.render(convert.parse(body, "1.1.0"), version)


def state(twin: Twin) -> dict[str, Any]:
    """What chained plugins can change in the pod, besides what every twin is compared by."""
    _settle(twin.pod)
    return {
        "pod": twin.state()["pod"],
        "links": _links(twin.pod, twin.ifname),
        "rules": [rule for family in ("-4", "-6") for rule in run_ip(twin.pod, family, "rule")],
        "saved": saved(twin),
    }


def _settle(pod: Namespace) -> None:
    """Wait for the kernel to notice that links are up, which it does in its own time."""
    end = time.monotonic() + 3
    while any("UP" in link["flags"] and "DOWN" in link["operstate"] for link in run_ip(pod, "link")):
        if time.monotonic() > end:
            return
        time.sleep(0.02)


def saved(twin: Twin) -> dict[str, object]:
    """The files of saved states, without what only ours has in it."""
    files = sorted(twin.data.iterdir()) if twin.data.is_dir() else []
    found: dict[str, object] = {}
    for file in files:
        text = file.read_text()
        assert text == json.dumps(json.loads(text), indent=1)
        assert oct(file.stat().st_mode)[-3:] == "600"
        found[file.name] = [(key, value) for key, value in json.loads(text).items() if key != "network"]
    return found


def _links(pod: Namespace, ifname: str) -> list[object]:
    return [(link.get("txqlen", 0), link["mtu"], link["flags"]) for link in run_ip(pod, "link", "show", ifname)]

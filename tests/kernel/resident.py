# SPDX-License-Identifier: Apache-2.0
"""A chained delegate in this process, as the agent has it, and the interface of a pod for it to work on."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from delegates._program import Edges, IpamPrograms
from delegates._skeleton import Delegate
from metacni.netns.opener import Opener
from tests.kernel.conftest import Namespace

MAC = "02:00:5e:00:00:99"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """One delegate, called like the agent calls it."""

    delegate: Delegate[Any]
    opener: Opener = field(default_factory=Opener)

    def call(
        self, verb: str, config: dict[str, Any], pod: Namespace | None, *, ifname: str = "eth0", args: str = ""
    ) -> Any:
        """One operation."""
        path = str(pod.path) if pod else ""
        variables = {
            "CNI_COMMAND": verb, "CNI_CONTAINERID": "c1", "CNI_NETNS": path, "CNI_IFNAME": ifname, "CNI_ARGS": args
        }  # fmt: skip
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if path else None
        edges = Edges(opener=self.opener, ipam=IpamPrograms(()), sysctls=Path("/nonexistent"))
        try:
            output = self.delegate.serve(variables, json.dumps(config).encode(), pod=fd, edges=edges)
        finally:
            if fd is not None:
                os.close(fd)
        return json.loads(output) if output else None


@contextmanager
def resident(delegate: Delegate[Any]) -> Iterator[Resident]:
    """A delegate whose opener runs."""
    made = Resident(delegate=delegate)
    made.opener.start()
    yield made
    made.opener.stop()


def attached(pod: Namespace, host: Namespace, *addresses: str, ifname: str = "eth0") -> dict[str, Any]:
    """Lay a cable into the pod; the result of the plugin that would have done it."""
    pod.cable(ifname, host, f"far-{ifname}"[:15], *addresses)
    pod.run("ip", "link", "set", ifname, "address", MAC)
    return {
        "cniVersion": "1.1.0",
        "interfaces": [{"name": ifname, "mac": MAC, "sandbox": str(pod.path)}],
        "ips": [{"address": address, "interface": 0} for address in addresses],
    }


Pod = Callable[[], Namespace]

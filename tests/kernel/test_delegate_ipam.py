# SPDX-License-Identifier: Apache-2.0
"""metacni-ipam where it hurts: writers killed at any moment, bad disks, and foreign plugins, many at once."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final

import pytest

from delegates.ipam import database
from metacni.cni.errors import CniError
from tests.kernel import lease_worker
from tests.kernel.conftest import Namespace, fresh_namespace, run_ip
from tests.parts import PLUGINS

ROOT: Final = Path(__file__).parents[2]
MODULE: Final = "delegates.ipam.metacni_ipam"
SECONDS: Final = 8.0
WORKERS: Final = 4


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    database.close()


class Storm:
    """Workers that are killed at any moment, each time cleaned up after as the runtime would."""

    def __init__(self, folder: Path, module: str, source: subprocess.Popen[str]) -> None:
        self.folder = folder
        self.kills = 0
        self._module = module
        self._source = source
        self._workers: dict[str, int] = {}
        for name in ("claims", "containers"):
            (folder / name).mkdir()

    def run(self) -> None:
        """For some seconds."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            while len(self._workers) < WORKERS:
                self._start(f"w{self.kills + len(self._workers)}")
            time.sleep(random.uniform(0, 0.03))  # noqa: S311 - chance, not secrecy
            self.kill(random.choice(list(self._workers)))  # noqa: S311 - likewise
            assert not (self.folder / "twice").exists(), (self.folder / "twice").read_text()
        for name in list(self._workers):
            self.kill(name)

    def kill(self, name: str) -> None:
        """One of them."""
        pid = self._workers.pop(name)
        os.kill(pid, signal.SIGKILL)  # fails when it has ended by itself
        self.kills += 1
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.001)
        for claim in (self.folder / "claims").iterdir():
            with suppress(FileNotFoundError):  # another one's, given back meanwhile
                if claim.readlink().name.startswith(f"{name}-"):
                    claim.unlink()
        for container in (self.folder / "containers").glob(f"{name}-*"):
            lease_worker.call(self._module, "DEL", self.folder, container.name)
            container.unlink()

    def _start(self, name: str) -> None:
        assert self._source.stdin is not None
        assert self._source.stdout is not None
        self._source.stdin.write(f"{name}\n")
        self._source.stdin.flush()
        self._workers[name] = int(self._source.stdout.readline())


@pytest.mark.parametrize("module", [MODULE, "delegates.ipam.host_local"], ids=["metacni-ipam", "host-local"])
def test_no_kill_gives_an_address_twice_or_loses_one(tmp_path: Path, module: str) -> None:
    """After a storm of kill -9 every address of the range can be had, each once."""
    script = [sys.executable, lease_worker.__file__, str(tmp_path), module]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(script, env=environment, stdin=PIPE, stdout=PIPE, text=True) as source:
        storm = Storm(tmp_path, module, source)
        try:
            storm.run()
        finally:
            source.kill()
    assert storm.kills > 50
    given = [lease_worker.call(module, "ADD", tmp_path, f"c{number}")["ips"][0]["address"] for number in range(29)]
    assert len(set(given)) == 29
    with pytest.raises(CniError) as caught:
        lease_worker.call(module, "ADD", tmp_path, "one-more")
    assert caught.value.code == 11


def ipam(folder: Path, mount: str, verb: str, netns: str = "", after: str = "true") -> tuple[int, str]:
    """One operation over a folder that is mounted so; code and message."""
    part = {"type": "metacni-ipam", "dataDir": str(folder), "ranges": [[{"subnet": "10.1.0.0/24"}]]}
    config = json.dumps({"cniVersion": "1.1.0", "name": "net", "type": "x", "ipam": part})
    variables = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "CNI_COMMAND": verb, "CNI_CONTAINERID": "c1",
        "CNI_IFNAME": "eth0", "CNI_NETNS": netns, "CNI_PATH": "/x",
    }  # fmt: skip
    script = f"set -e; {mount}; {sys.executable} -m {MODULE} || true; {after} >&2"
    command = ["unshare", "-m", "sh", "-c", script]
    done = subprocess.run(command, input=config, env=variables, capture_output=True, text=True, timeout=20, check=True)
    body: dict[str, Any] = json.loads(done.stdout) if done.stdout else {"code": 0, "msg": ""}
    return body.get("code", 0), body.get("msg", "") + done.stderr


READ_ONLY: Final = "mount --bind {0} {0} && mount -o remount,ro,bind {0}"


def test_a_folder_that_is_read_only_is_told(tmp_path: Path, pod: Callable[[], Namespace]) -> None:
    """By ADD and by DEL, with code 5 and the folder's name; the lease stands."""
    netns = str(pod().path)
    assert ipam(tmp_path, "true", "ADD", netns)[0] == 0
    for verb in ("ADD", "DEL"):
        code, msg = ipam(tmp_path, READ_ONLY.format(tmp_path), verb, netns)
        assert (code, str(tmp_path) in msg) == (5, True), msg
        assert "read-only file system" in msg
    assert ipam(tmp_path, "true", "DEL")[0] == 0


def test_a_full_disk_gives_no_address(tmp_path: Path, pod: Callable[[], Namespace]) -> None:
    """Code 5; when there is space again it goes on."""
    full = f"mount -t tmpfs -o size=4k,nr_inodes=64 none {tmp_path}"
    code, msg = ipam(tmp_path, full, "ADD", str(pod().path))
    assert (code, "no space left on device" in msg) == (5, True), msg


LAUNCHER: Final = "#!/bin/sh\nPYTHONPATH={} exec {} -m " + MODULE + "\n"


@pytest.mark.part("bridge", "macvlan")
@pytest.mark.parametrize("kind", ["bridge", "macvlan"])
def test_foreign_plugins_lease_from_it_many_at_once(tmp_path: Path, host: Namespace, kind: str) -> None:
    """Thirty-two at a time: none waits for another for ever, no address twice, and all are given back."""
    launcher = tmp_path / "bin" / "metacni-ipam"
    launcher.parent.mkdir()
    launcher.write_text(LAUNCHER.format(ROOT, sys.executable))
    launcher.chmod(0o755)
    link = {"bridge": "br1"} if kind == "bridge" else {"master": "up0"}
    if kind == "macvlan":
        host.run("ip", "link", "add", "up0", "type", "veth", "peer", "up1")
        host.run("ip", "link", "set", "up0", "up")
    part = {"type": "metacni-ipam", "dataDir": str(tmp_path / "data"), "ranges": [[{"subnet": "10.1.0.0/26"}]]}
    config = {"cniVersion": "1.0.0", "name": "net", "type": kind, "ipam": part} | link

    def call(verb: str, pod: Namespace) -> dict[str, Any]:
        variables = {
            "PATH": os.environ["PATH"], "CNI_COMMAND": verb, "CNI_CONTAINERID": pod.name, "CNI_IFNAME": "eth0",
            "CNI_NETNS": str(pod.path), "CNI_PATH": str(launcher.parent),
        }  # fmt: skip
        done = subprocess.run(
            host.command(str(PLUGINS / kind)), input=json.dumps(config), env=variables, capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else {}

    with ExitStack() as made, ThreadPoolExecutor(32) as pool:
        pods = [made.enter_context(fresh_namespace()) for _ in range(32)]
        results = list(pool.map(lambda pod: call("ADD", pod), pods))
        told = [item["address"] for result in results for item in result["ips"]]
        have = [run_ip(pod, "-4", "address", "show", "eth0")[0]["addr_info"][0]["local"] for pod in pods]
        assert len(set(told)) == 32
        assert [f"{address}/26" for address in have] == told
        list(pool.map(lambda pod: call("DEL", pod), pods))
        again = call("ADD", pods[0])["ips"][0]["address"]
        assert again not in told  # 61 addresses: fresh ones come first

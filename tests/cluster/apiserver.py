# SPDX-License-Identifier: Apache-2.0
"""A real kube-apiserver over a real etcd on loopback, for every test that needs the true API.

It exists so that the tests of the Kubernetes edge and those of the whole node share one way of starting it. It must
not start anything else of a cluster (no kubelet, no scheduler, no controllers: a pod stays what it was written as),
and it ends only the processes that it started, by their handles.
"""

from __future__ import annotations

import http.client
import os
import signal
import ssl
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ADMIN_TOKEN = "admintoken"  # noqa: S105 - a server of our own, for the length of a test
READY_SECONDS = 60.0
END_SECONDS = 20.0


class ApiServer:
    """etcd and kube-apiserver at `port` (etcd takes the two ports above it), everything below `work_dir`."""

    admin_token = ADMIN_TOKEN

    def __init__(self, bin_dir: Path, work_dir: Path, port: int) -> None:
        self.bin_dir, self.work_dir, self.port = bin_dir, work_dir, port
        self.url = f"https://127.0.0.1:{port}"
        self.kubeconfig = work_dir / "kubeconfig"
        self.ca_file = work_dir / "ca.crt"
        self.tokens_file = work_dir / "tokens.csv"
        self._etcd: subprocess.Popen[bytes] | None = None
        self._api: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start both and return when the API server says that it is ready."""
        self.work_dir.mkdir(parents=True, exist_ok=True)
        self._write_keys()
        self.kubeconfig.write_text(self.kubeconfig_text(f"token: {ADMIN_TOKEN}"))
        client, peer = (f"http://127.0.0.1:{self.port + step}" for step in (1, 2))
        listen = f"--listen-client-urls {client} --advertise-client-urls {client} --listen-peer-urls {peer}"
        cluster = f"--initial-advertise-peer-urls {peer} --initial-cluster default={peer}"
        self._etcd = self._spawn("etcd", ["etcd", *f"--data-dir etcd --unsafe-no-fsync {listen} {cluster}".split()])
        self.start_api()

    def start_api(self) -> None:
        """Start the API server alone, on the etcd that runs: the end of an outage."""
        flags = [
            *[f"--etcd-servers=http://127.0.0.1:{self.port + 1}", "--bind-address=127.0.0.1"],
            *[f"--secure-port={self.port}", "--tls-cert-file=ca.crt", "--tls-private-key-file=ca.key"],
            *["--token-auth-file=tokens.csv", "--authorization-mode=RBAC", "--cert-dir=certs"],
            *["--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=sa.key"],
            *["--service-account-signing-key-file=sa.key", "--service-cluster-ip-range=10.96.0.0/16"],
            "--disable-admission-plugins=ServiceAccount",  # no controller makes the accounts that it asks for
        ]
        self._api = self._spawn("apiserver", [str(self.bin_dir / "kube-apiserver"), *flags])
        self._await_ready()

    def stop_api(self, *, kill: bool = False) -> None:
        """End the API server alone: the beginning of an outage; `kill` as a crash would end it."""
        _end(self._api, signal.SIGKILL if kill else signal.SIGTERM)
        self._api = None

    def stop(self) -> None:
        """End both; what they wrote stays in `work_dir`."""
        self.stop_api()
        _end(self._etcd, signal.SIGTERM)
        self._etcd = None

    @property
    def running(self) -> bool:
        """Whether the API server's process lives."""
        return self._api is not None and self._api.poll() is None

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl as the admin and return what it printed; a failure shows its own words."""
        command = [str(self.bin_dir / "kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def kubeconfig_text(self, user: str, *, server: str = "") -> str:
        """Return a kubeconfig whose user entry is the YAML flow mapping `user`, such as `tokenFile: t`."""
        cluster = f'{{server: "{server or self.url}", certificate-authority: "{self.ca_file}"}}'
        return "\n".join(
            [
                "apiVersion: v1",
                "kind: Config",
                "current-context: c",
                "contexts: [{name: c, context: {cluster: k, user: a}}]",
                f"users: [{{name: a, user: {{{user}}}}}]",
                f"clusters: [{{name: k, cluster: {cluster}}}]",
                "",
            ]
        )

    def _write_keys(self) -> None:
        if not (self.work_dir / "sa.key").exists():
            self._openssl("genrsa", "-out", "sa.key", "2048")
        if not self.ca_file.exists():
            self._openssl(
                *["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=kube-apiserver"],
                *["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:kubernetes.default.svc"],
                *["-addext", "keyUsage=digitalSignature,keyCertSign", "-keyout", "ca.key", "-out", "ca.crt"],
            )
        if not self.tokens_file.exists():
            self.tokens_file.write_text(f'{ADMIN_TOKEN},admin,admin,"system:masters"\n')

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.work_dir, check=True, capture_output=True)

    def _spawn(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.work_dir / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=self.work_dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(os.environ)
            )

    def _await_ready(self) -> None:
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            for process, name in ((self._etcd, "etcd"), (self._api, "apiserver")):
                assert process is None or process.poll() is None, f"{name} ended: {self._last_words(name)}"
            if self._ready():
                return
            time.sleep(0.2)
        raise AssertionError(f"no API server within {READY_SECONDS:.0f} s: {self._last_words('apiserver')}")

    def _ready(self) -> bool:
        context = ssl.create_default_context(cafile=str(self.ca_file))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5, context=context)
        try:
            connection.request("GET", "/readyz", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _last_words(self, name: str) -> str:
        lines = (self.work_dir / f"{name}.log").read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it said nothing"


def _end(process: subprocess.Popen[bytes] | None, how: signal.Signals) -> None:
    """Send `how`, wait, and kill what does not end: a test must never wait for a process for ever."""
    if process is None:
        return
    process.send_signal(how)
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(END_SECONDS)

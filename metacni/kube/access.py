# SPDX-License-Identifier: Apache-2.0
"""Where the API server is and who we are to it: a pod's service account or a kubeconfig (D12).

The client library reads both, but it reads a token file once and keeps it (projected tokens live an hour), and it puts
a file's trailing newline into the header. So the token is ours: looked at before each request by one stat, read again
when the file changed or the server answers 401. This module must not open a connection.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import yaml
from kubernetes.client.configuration import Configuration
from kubernetes.config.kube_config import KubeConfigLoader

from metacni.kube.errors import BadAccess, SourceUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOADER: Any = KubeConfigLoader  # the client is untyped: Any stays in this file
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Credentials(Protocol):
    """Who we are, as the value of an Authorization header."""

    def header(self) -> str | None:
        """Return the value to send now; None: the TLS client certificate speaks for us."""

    def refresh(self) -> bool:
        """Look again after a 401; True if there is now something else to send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """All that a connection to the API server needs."""

    configuration: Configuration
    credentials: Credentials


def in_cluster(folder: Path = SERVICE_ACCOUNT, environment: Mapping[str, str] = os.environ) -> Access:
    """Return what a pod's service account gives: server from the environment, token and CA from `folder`."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise BadAccess("cannot find the API server: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
    for name in ("token", "ca.crt"):
        if not (folder / name).is_file():
            raise BadAccess(f"cannot use service account folder {str(folder)!r}: it has no file {name!r}")
    configuration = _configuration()
    configuration.host = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    configuration.ssl_ca_cert = str(folder / "ca.crt")
    return Access(configuration=configuration, credentials=TokenFile(folder / "token"))


def from_kubeconfig(path: Path) -> Access:
    """Return what the current context of a kubeconfig gives."""
    configuration, token_file = _load(path)
    if token_file is not None:
        return Access(configuration=configuration, credentials=TokenFile(token_file))
    return Access(configuration=configuration, credentials=_KubeconfigUser(path, configuration))


class TokenFile:
    """A bearer token in a file that something else rotates."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._token = ""

    def header(self) -> str:
        """Return the token, read anew if the file is another one; the last good one while it cannot be read."""
        self._read_if_changed()
        return f"Bearer {self._token}"

    def refresh(self) -> bool:
        """Read the file whatever its times say: a coarse clock may hide a change."""
        before, self._seen = self._token, None
        self._read_if_changed()
        return self._token != before

    def _read_if_changed(self) -> None:
        try:
            status = self._path.stat()  # follows the symlink that the kubelet swaps
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
            if seen == self._seen:
                return
            token = self._path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as cause:
            if self._token:
                return
            raise SourceUnavailable(f"cannot read token file {str(self._path)!r}: {_reason(cause)}") from cause
        if token:  # empty: caught between truncation and writing
            self._token, self._seen = token, seen
        elif not self._token:
            raise SourceUnavailable(f"cannot use token file {str(self._path)!r}: it is empty")


class _KubeconfigUser:
    """A token, password or exec plugin of a kubeconfig; the whole file is read anew after a 401."""

    def __init__(self, path: Path, configuration: Configuration) -> None:
        self._path, self._configuration = path, configuration

    def header(self) -> str | None:
        try:
            settings: Any = self._configuration.auth_settings()  # runs the library's own renewal (exec plugins, OIDC)
        except Exception as cause:
            raise SourceUnavailable(f"cannot renew credentials of {str(self._path)!r}: {_reason(cause)}") from cause
        values = [setting["value"] for setting in settings.values() if setting["value"]]
        return str(values[0]) if values else None

    def refresh(self) -> bool:
        before = self.header()
        try:
            self._configuration, _ = _load(self._path)
        except BadAccess as cause:
            raise SourceUnavailable(str(cause)) from cause
        return self.header() != before


def _load(path: Path) -> tuple[Configuration, Path | None]:
    """Read a kubeconfig; a `tokenFile` of its user is taken out first, for it goes before `token` and is ours."""
    configuration = _configuration()
    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        token_file = _take_token_file(_user(document))
        loader: Any = _LOADER(config_dict=document, config_base_path=str(path.parent.absolute()))
        loader.load_and_set(configuration)
    except Exception as cause:  # an odd file makes the library raise nearly anything: TypeError, KeyError, …
        raise BadAccess(f"cannot use kubeconfig {str(path)!r}: {_reason(cause)}") from cause
    if not configuration.host.startswith(("https://", "http://")):
        raise BadAccess(f"cannot use kubeconfig {str(path)!r}: server {configuration.host!r} is no http(s) address")
    return configuration, None if token_file is None else path.parent / token_file


def _user(document: Any) -> Any:
    """Return the current context's user; whatever is missing on the way there is named, for the library does not."""
    if not isinstance(document, dict):
        raise BadAccess("it is empty" if document is None else "it is not a mapping of keys to values")
    current = document.get("current-context")
    if not current:
        raise BadAccess("key 'current-context' is missing or empty at the top")
    context = _entry(document, "context", current, "key 'current-context'")
    if not context.get("cluster"):
        raise BadAccess(f"key 'cluster' is missing in context {current!r}")
    if not _entry(document, "cluster", context["cluster"], f"context {current!r}").get("server"):
        raise BadAccess(f"key 'server' is missing in cluster {context['cluster']!r}")
    return _entry(document, "user", context["user"], f"context {current!r}") if context.get("user") else {}


def _entry(document: Any, kind: str, name: Any, asked: str) -> Any:
    """Return what the named entry of a section holds: of `users`, the `user` of the one with that `name`."""
    entries = document.get(f"{kind}s")
    if not isinstance(entries, list):
        raise BadAccess(f"key '{kind}s' is missing or not a list")
    found = next((each for each in entries if isinstance(each, dict) and each.get("name") == name), None)
    if found is None:
        raise BadAccess(f"no entry of '{kind}s' is named {name!r}, which {asked} asks for")
    body = found.get(kind)
    if not isinstance(body, dict):
        raise BadAccess(f"key {kind!r} is missing in entry {name!r} of '{kind}s'")
    return body


def _take_token_file(user: Any) -> str | None:
    if not user.get("tokenFile"):
        return None
    user.pop("token", None)
    return str(user.pop("tokenFile"))


def _configuration() -> Configuration:
    configuration = Configuration()
    configuration.retries = False  # repeats are decided in retry.py, not inside urllib3
    return configuration


def _reason(cause: BaseException) -> str:
    """Return a cause in one line, without what the library repeats of the file."""
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    text = " ".join(str(cause).split()) or type(cause).__name__
    return text[:200]

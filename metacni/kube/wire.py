# SPDX-License-Identifier: Apache-2.0
"""The only way to the API server: raw calls over the client library's pool, with our own bounds and errors.

It exists because the library's calls build 10 MB of models, repeat by themselves and cannot be interrupted. Here each
call has a deadline, a size limit and no repeats (but one after a 401, when the token has changed), and `close` wakes
every thread that is blocked on a read. No exception of kubernetes or urllib3 leaves this module.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import urllib3
from kubernetes.client.rest import RESTClientObject

from metacni.kube import errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from metacni.cni.jsontext import Json
    from metacni.kube.access import Access

CONNECT_SECONDS = 3.0
BODY_LIMIT = 128 << 20  # a page of 500 definitions of the largest size that etcd takes would be 750 MB: refuse before
LINE_LIMIT = 8 << 20  # one watch event; etcd holds no object over 1.5 MB
MERGE_PATCH = "application/merge-patch+json"
JSON = "application/json"
# Objects without spec and status: of a pod we need its metadata only, a hundredth of its text. A list has another
# name than one object or a watch; with the wrong one the server ends a watch at its first event.
METADATA = f"{JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1,{JSON}"
METADATA_LIST = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,{JSON}"
_CHUNK = 64 << 10
_UNAUTHORIZED, _FIRST_ERROR = 401, 400
_TEXT_LIMIT = 256  # of what the server says: enough for its reason, too little to copy an object into a log


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request; `seconds` bounds it all, but of a watch only each wait for the next byte."""

    path: str
    seconds: float
    query: Mapping[str, str] | None = None
    method: str = "GET"
    body: Json = None
    content_type: str = JSON
    accept: str = JSON

    def __str__(self) -> str:
        return f"cannot {self.method.lower()} {self.path!r}"


class Wire:
    """Connections to one API server as one user; safe to use from many threads."""

    def __init__(self, access: Access) -> None:
        self._credentials = access.credentials
        self._base = access.configuration.host.rstrip("/")
        self._sockets = _Sockets()
        self._pool = RESTClientObject(access.configuration).pool_manager
        self._pool.connection_pool_kw["socket_options"] = _KEEPALIVE
        self._pool.pool_classes_by_scheme = _tracked_pools(self._sockets)

    def call(self, ask: Ask) -> dict[str, Json]:
        """Send one request and return the JSON object that it answers."""
        deadline = time.monotonic() + ask.seconds
        with _translated(ask), contextlib.closing(self._open(ask)) as response:
            body = _read(response, deadline)
            response.release_conn()
        return _object(ask, body)

    @contextlib.contextmanager
    def watch(self, ask: Ask) -> Iterator[Iterator[dict[str, Json]]]:
        """Open a watch: the iterator gives one event after the other and ends when the server ends the watch."""
        with _translated(ask), contextlib.closing(self._open(ask)) as response:
            yield (_object(ask, line) for line in _lines(response))

    def close(self) -> None:
        """End every call, now and later, with SourceUnavailable."""
        self._sockets.close()
        self._pool.clear()

    def _open(self, ask: Ask) -> urllib3.BaseHTTPResponse:
        """Send the request and return the response once it is known to be a good one."""
        response = self._send(ask)
        if response.status == _UNAUTHORIZED and self._credentials.refresh():
            response.close()
            response = self._send(ask)
        if response.status >= _FIRST_ERROR:
            with contextlib.closing(response):
                raise errors.of_status(response.status, str(ask), _said(response))
        return response

    def _send(self, ask: Ask) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": ask.accept, "User-Agent": "metacni"}
        authorization = self._credentials.header()
        if authorization is not None:
            if not (authorization.isascii() and authorization.isprintable()):
                # http.client would refuse it too, but quote it in its error
                raise errors.SourceUnavailable(f"{ask}: the credentials hold a character that no header can")
            headers["Authorization"] = authorization
        if ask.body is not None:
            headers["Content-Type"] = ask.content_type
        return self._pool.request(
            ask.method,
            f"{self._base}{ask.path}?{urlencode(ask.query or {})}".rstrip("?"),
            body=None if ask.body is None else json.dumps(ask.body).encode(),
            headers=headers,
            timeout=urllib3.Timeout(total=ask.seconds, connect=min(CONNECT_SECONDS, ask.seconds), read=ask.seconds),
            retries=False,
            redirect=False,
            preload_content=False,
        )


class _Sockets:
    """Every socket of a wire, so that a blocked read can be ended from outside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._closed = False

    def add(self, opened: socket.socket) -> None:
        with self._lock:
            if self._closed:
                opened.close()
                raise OSError(None, "the wire is closed")
            self._open.add(opened)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for each in self._open:
                with contextlib.suppress(OSError):
                    # Not SSLSocket.shutdown: it takes the TLS object away under the thread that reads from it.
                    socket.socket.shutdown(each, socket.SHUT_RDWR)


def _tracked_pools(sockets: _Sockets) -> dict[str, Any]:
    """Return urllib3's two pool classes with connections that report their sockets."""

    class Plain(urllib3.connection.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    class Tls(urllib3.connection.HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Tls

    return {"http": PlainPool, "https": TlsPool}


# A watch may be silent for a minute; a peer that has vanished must be noticed before its time-out.
_KEEPALIVE = [
    *urllib3.connection.HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]


@contextlib.contextmanager
def _translated(ask: Ask) -> Iterator[None]:
    try:
        yield
    except errors.KubeError:
        raise
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as cause:
        # ValueError: a header or URL that http.client refuses, JSON that is none, a socket closed under a read
        raise errors.SourceUnavailable(f"{ask}: {_root(cause)}") from cause


def _root(error: BaseException) -> str:
    """Return the innermost cause in one line: urllib3 wraps the one interesting word in three sentences."""
    while True:
        inner = error.__cause__ or error.__context__
        if inner is None:
            break
        error = inner
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return " ".join(str(error).split())[:_TEXT_LIMIT] or type(error).__name__


def _read(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    body = bytearray()
    for chunk in response.stream(_CHUNK):
        body += chunk
        if len(body) > BODY_LIMIT:
            raise ValueError("the answer is too long")
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(body)


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    for chunk in response.stream(_CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_LIMIT:
            raise ValueError("a watch event is too long")
        yield from (line for line in lines if line)


def _object(ask: Ask, text: bytes) -> dict[str, Json]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise errors.SourceUnavailable(f"{ask}: the answer is not JSON") from cause
    if not isinstance(value, dict):
        raise errors.SourceUnavailable(f"{ask}: the answer is not a JSON object")
    return value


def _said(response: urllib3.BaseHTTPResponse) -> str:
    """Return the message of the Status object that comes with an error, or the HTTP reason."""
    try:
        message = json.loads(response.read(_CHUNK))["message"]
    except (urllib3.exceptions.HTTPError, OSError, ValueError, KeyError, TypeError, RecursionError):
        message = response.reason
    return " ".join(str(message or "no reason given").split())[:_TEXT_LIMIT]

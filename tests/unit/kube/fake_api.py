# SPDX-License-Identifier: Apache-2.0
"""A small HTTP API server that keeps objects, lists them in pages, streams watches, and misbehaves when told to.

Real sockets and real HTTP, so that the tests of the Kubernetes edge meet what a network does. It knows just enough of
Kubernetes for one client; what the true server does is settled in tests/cluster.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from kubernetes.client.configuration import Configuration

from metacni.kube.access import Access

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEFINITIONS = "/apis/k8s.cni.cncf.io/v1/network-attachment-definitions"
PODS = "/api/v1/pods"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request as the server saw it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    at: float


class Token:
    """Credentials that a test can swap, as a rotated file would be."""

    def __init__(self, current: str = "good", *later: str) -> None:
        self._tokens = [current, *later]

    def header(self) -> str:
        """Return the present token."""
        return f"Bearer {self._tokens[0]}"

    def refresh(self) -> bool:
        """Go on to the next token, if there is one."""
        if len(self._tokens) == 1:
            return False
        self._tokens.pop(0)
        return True


@dataclass
class FakeApi:
    """The server; every attribute may be changed while it runs."""

    objects: dict[str, dict[tuple[str, str], dict[str, Any]]] = field(
        default_factory=lambda: {DEFINITIONS: {}, PODS: {}}
    )
    seen: list[Seen] = field(default_factory=list)
    token: str = "good"  # noqa: S105 - the only one that is let in
    answers: list[int] = field(default_factory=list)  # statuses for the next requests, in place of an answer
    closed: set[str] = field(default_factory=set)  # path beginnings that are forbidden (403)
    silent: bool = False  # take requests and never answer
    eager_end: bool = False  # end every watch as soon as it is open
    oldest: int = 0  # versions up to this one have been compacted away
    version: int = 100

    def __post_init__(self) -> None:
        """Begin to listen on a port of the system's choice."""
        self.changed = threading.Condition()
        self.log: list[tuple[int, str, str, dict[str, Any]]] = []
        self.epoch = 0
        self.stopping = False
        self.connections = 0
        self.server = _Server(("127.0.0.1", 0), _handler(self))
        self.server.api = self
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def access(self, credentials: Token | None = None) -> Access:
        """Return what a client needs to come here."""
        return Access(configuration=Configuration(host=self.url), credentials=credentials or Token())

    def put(self, collection: str, namespace: str, name: str, **rest: Any) -> None:
        """Create or change an object; `rest` may have `metadata`, which is merged, and any other top-level key."""
        with self.changed:
            self.version += 1
            kind = "MODIFIED" if (namespace, name) in self.objects[collection] else "ADDED"
            metadata = {"resourceVersion": str(self.version), **rest.pop("metadata", {})}
            body = {"metadata": {"namespace": namespace, "name": name, **metadata}, **rest}
            self.objects[collection][namespace, name] = body
            self.log.append((self.version, collection, kind, body))
            self.changed.notify_all()

    def delete(self, collection: str, namespace: str, name: str) -> None:
        """Delete an object."""
        with self.changed:
            self.version += 1
            body = self.objects[collection].pop((namespace, name))
            body = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
            self.log.append((self.version, collection, "DELETED", body))
            self.changed.notify_all()

    def say(self, collection: str, kind: str, body: dict[str, Any]) -> None:
        """Send one event of any kind to the watchers, such as a BOOKMARK or an ERROR."""
        with self.changed:
            self.version += 1
            self.log.append((self.version, collection, kind, body))
            self.changed.notify_all()

    def end_watches(self) -> None:
        """End every watch that is open, as a server does at its time-out."""
        with self.changed:
            self.epoch += 1
            self.changed.notify_all()

    def asked(self, method: str, path: str, **query: str) -> list[Seen]:
        """Return the requests of this method and path that have these query values."""
        return [
            each
            for each in list(self.seen)
            if each.method == method and each.path == path and query.items() <= each.query.items()
        ]

    def stop(self) -> None:
        """End everything, also requests that hang."""
        with self.changed:
            self.stopping = True
            self.changed.notify_all()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    api: FakeApi

    def get_request(self) -> tuple[socket.socket, Any]:
        self.api.connections += 1
        return super().get_request()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what half of the tests do."""


def _handler(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        pass

    Handler.api = api
    return Handler


class _Handler(BaseHTTPRequestHandler):
    api: FakeApi
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def do_GET(self) -> None:
        if self._admitted(None):
            path, query = self.seen.path, self.seen.query
            if query.get("watch") == "true":
                self._watch(path, int(query["resourceVersion"]))
            elif path in self.api.objects:
                self._list(path, query)
            else:
                found = self._find(path)
                self._answer(200 if found else 404, found or {"message": "no such object"})

    def do_PATCH(self) -> None:
        if not self._admitted(self._body()):
            return
        found = self._find(self.seen.path.removesuffix("/status"))
        wanted = self.seen.body.get("metadata", {}).get("uid")
        if found is None:
            self._answer(404, {"message": "no such object"})
        elif wanted not in (None, found["metadata"].get("uid")):
            self._answer(422, {"message": "uid is immutable"})
        else:
            self._answer(200, found)

    def do_POST(self) -> None:
        if self._admitted(self._body()):
            self._answer(201, self.seen.body)

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _admitted(self, body: Any) -> bool:
        """Note the request and answer it if it is to be refused."""
        url = urlsplit(self.path)
        self.seen = Seen(
            method=self.command, path=url.path, query=dict(parse_qsl(url.query)),
            headers=dict(self.headers), body=body, at=time.monotonic(),
        )  # fmt: skip
        self.api.seen.append(self.seen)
        if self.api.silent:
            with self.api.changed:
                self.api.changed.wait_for(lambda: self.api.stopping or not self.api.silent, 30)
            return False
        if self.headers["Authorization"] != f"Bearer {self.api.token}":
            return self._answer(401, {"message": "who are you"})
        if any(url.path.startswith(each) for each in self.api.closed):
            return self._answer(403, {"message": "not for you"})
        if self.api.answers:
            return self._answer(self.api.answers.pop(0), {"message": "as the test\nwants it"})
        return True

    def _answer(self, status: int, body: dict[str, Any]) -> bool:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        return False

    def _find(self, path: str) -> dict[str, Any] | None:
        *_, namespace, kind, name = path.split("/")
        collection = PODS if kind == "pods" else DEFINITIONS
        return self.api.objects[collection].get((namespace, name))

    def _list(self, path: str, query: dict[str, str]) -> None:
        with self.api.changed:
            every, version = list(self.api.objects[path].values()), self.api.version
        begin, limit = int(query.get("continue", "0")), int(query.get("limit", "1000000"))
        more = str(begin + limit) if begin + limit < len(every) else ""
        metadata = {"resourceVersion": str(version), "continue": more}
        self._answer(200, {"metadata": metadata, "items": every[begin : begin + limit]})

    def _watch(self, path: str, version: int) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if version < self.api.oldest:
            self._chunk({"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}})
            self.wfile.write(b"0\r\n\r\n")
            return
        wrong = "PartialObjectMetadataList" in self.headers["Accept"]  # the true server ends such a watch, too
        epoch, position, over = self.api.epoch, 0, self.api.eager_end or wrong
        while not over:
            fresh, over = self._next(position, epoch)
            position += len(fresh)
            for at, collection, kind, body in fresh:
                if collection == path and at > version:
                    self._chunk({"type": kind, "object": body})
        self.wfile.write(b"0\r\n\r\n")

    def _next(self, position: int, epoch: int) -> tuple[list[tuple[int, str, str, dict[str, Any]]], bool]:
        """Wait for events after `position` or for the end of this watch."""
        api = self.api
        with api.changed:
            api.changed.wait_for(lambda: api.stopping or api.epoch != epoch or len(api.log) > position, 30)
            return api.log[position:], api.stopping or api.epoch != epoch

    def _chunk(self, event: dict[str, Any]) -> None:
        line = json.dumps(event).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.flush()


class HangingUp:
    """A port that takes every connection and closes it at once: an API server behind a proxy during an outage."""

    def __init__(self) -> None:
        """Begin to listen."""
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                connection.close()

    def stop(self) -> None:
        """Stop listening."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def access(self) -> Access:
        """Return what a client needs to come here."""
        return Access(configuration=Configuration(host=self.url), credentials=Token())


@contextlib.contextmanager
def running(*parts: Any) -> Iterator[None]:
    """Start what has `start`, and stop everything at the end, last first."""
    with contextlib.ExitStack() as stack:
        for part in parts:
            part.start()
            stack.callback(part.stop)
        yield


def eventually(true: Callable[[], object], seconds: float = 8.0) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.01)

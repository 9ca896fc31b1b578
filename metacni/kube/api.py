# SPDX-License-Identifier: Apache-2.0
"""The API server as a source: definitions and this node's pods from memory, one bounded question when they lack one.

It exists to keep the API server off the way of a request (decision: no API read when the cache has it). It must not
write anything, and must not wait longer than it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from metacni.kube import objects
from metacni.kube.errors import Gone, NotFound, Rejected, SourceUnavailable
from metacni.kube.reflector import STOP_SECONDS, Collection, Reflector
from metacni.kube.source import Health, NetworkDefinition, PodInfo
from metacni.kube.wire import METADATA, Ask, Wire

if TYPE_CHECKING:
    from metacni.cni.jsontext import Json
    from metacni.kube.access import Access

DEFINITION_SECONDS = 1.0
POD_SECONDS = 2.0


class ApiSource:
    """A Source over one API server, for the pods of one node."""

    def __init__(self, access: Access, node_name: str) -> None:
        self._wire = Wire(access)
        self._definitions = Reflector(self._wire, Collection(path=objects.DEFINITIONS_PATH, keep=objects.definition))
        self._pods = Reflector(
            self._wire,
            Collection(
                path=objects.PODS_PATH,
                keep=objects.pod,
                query={"fieldSelector": f"spec.nodeName={node_name}"},
                metadata_only=True,
            ),
        )

    def start(self) -> None:
        """Begin to follow both collections."""
        self._definitions.start()
        self._pods.start()

    def stop(self) -> None:
        """End both threads, blocked or not."""
        self._definitions.halt()
        self._pods.halt()
        self._wire.close()
        self._definitions.join(STOP_SECONDS)
        self._pods.join(STOP_SECONDS)

    def definition(self, namespace: str, name: str) -> NetworkDefinition | None:
        """Return a definition; one that is not cached may be younger than the last event, so it is asked for once."""
        cached = self._definitions.get(namespace, name)
        if cached is not None or not objects.possible(namespace, name):
            return cached
        body = self._live(Ask(path=objects.definition_path(namespace, name), seconds=DEFINITION_SECONDS))
        return objects.definition(body) if body else None

    def pod(self, namespace: str, name: str) -> PodInfo | None:
        """Return a pod of this node from memory."""
        return self._pods.get(namespace, name)

    def pod_live(self, namespace: str, name: str) -> PodInfo | None:
        """Ask the server for a pod, whatever is cached."""
        if not objects.possible(namespace, name):
            return None
        body = self._live(Ask(path=objects.pod_path(namespace, name), seconds=POD_SECONDS, accept=METADATA))
        return objects.pod(body) if body else None

    def _live(self, ask: Ask) -> dict[str, Json] | None:
        """Return the object, None if there is none; SourceUnavailable or Forbidden for every other answer."""
        try:
            return self._wire.call(ask)
        except NotFound:
            return None
        except (Gone, Rejected) as odd:  # no answer to a GET, so not one that says anything about the object
            raise SourceUnavailable(str(odd)) from odd

    def health(self) -> Health:
        """Return the worse of both collections."""
        both = (self._definitions.health(), self._pods.health())
        return Health(
            synced=all(each.synced for each in both),
            age_seconds=max(each.age_seconds for each in both),
            detail="; ".join(dict.fromkeys(each.detail for each in both if each.detail)),
        )

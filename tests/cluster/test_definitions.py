# SPDX-License-Identifier: Apache-2.0
"""Definitions that change, come late or are not known at all, on a real node."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cluster.cluster import NODE_NAME
from tests.cluster.home import CRD, give_rights

if TYPE_CHECKING:
    from tests.cluster.home import Home

pytestmark = pytest.mark.part("bridge", "host-local")


def test_deletion_uses_the_definition_that_the_pod_was_attached_with(home: Home) -> None:
    """An edit, and even the end of a definition, does not reach a pod that runs: its DEL has the old bytes."""
    home.define(edited=home.scripted(said="first"), dropped=home.scripted(said="dropped"))
    home.run_pod("old", "edited,dropped")
    home.define(edited=home.scripted(said="second"))
    home.cluster.kubectl("delete", "nad", "dropped", "-n", home.namespace)
    home.run_pod("new", "edited")  # the agent knows the edit by now, for this pod is attached with it
    home.delete_pod("old")
    calls = [(call["command"], call["config"]["said"]) for call in home.scripted_calls()]
    assert calls == [
        ("ADD", "first"),
        ("ADD", "dropped"),
        ("ADD", "second"),
        ("DEL", "dropped"),
        ("DEL", "first"),
    ]


def test_a_cluster_that_knows_no_definitions_makes_the_node_not_ready(home: Home) -> None:
    """STATUS says which resource is missing, and is content as soon as it is there."""
    reason = "network-attachment-definitions': the API server does not know this resource; is its CRD applied?"
    home.cluster.kubectl("delete", "-f", str(CRD))
    try:
        home.cluster.kill_agent()
        home.cluster.restart_agent()
        home.cluster.wait_until("STATUS says what is missing", lambda: reason in home.ask_status()[1])
        code, answer = home.ask_status()
        assert (code, json.loads(answer)["code"]) == (1, 50)
        if home.cluster.cni_version == "1.1.0":  # an older runtime does not ask
            home.cluster.wait_until("the node says so, too", lambda: reason in unready(home))
    finally:
        give_rights(home.cluster)
    home.cluster.wait_until("STATUS succeeds", lambda: home.ask_status() == (0, ""))
    home.cluster.wait_ready()


def unready(home: Home) -> str:
    """Return why the node is not ready; "" when it is."""
    conditions = home.cluster.get("node", NODE_NAME)["status"]["conditions"]
    return "".join(one["message"] for one in conditions if one["type"] == "Ready" and one["status"] == "False")

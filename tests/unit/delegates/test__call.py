# SPDX-License-Identifier: Apache-2.0
"""What a verb gets, and what it may not have."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from delegates import tuning
from delegates._call import Call
from delegates._skeleton import Delegate
from delegates.ipam import host_local, metacni_ipam
from metacni.cni.errors import CniError
from metacni.cni.result import Result
from tests.unit.delegates.calls import edges, variables


def a_call() -> Call[str]:
    """A CHECK without a result and without a pod, as a delegate sees one; DEL, where both are allowed."""
    kept: list[Call[str]] = []
    delegate = Delegate(
        name="toy",
        about="",
        parse=lambda *_: "",
        parse_loosely=lambda _: "conf",
        add=lambda _: Result(),
        delete=kept.append,
    )
    config = {"cniVersion": "1.1.0", "name": "net"}
    delegate.serve(variables("DEL"), json.dumps(config).encode(), pod=None, edges=edges())
    return kept[0]


def test_what_is_needed_and_absent_is_told() -> None:
    """The namespace with code 8, the result with code 7."""
    for ask, code in ((a_call().netns, 8), (a_call().open_pod, 8), (a_call().previous, 7)):
        with pytest.raises(CniError) as caught:
            ask()
        assert caught.value.code == code


def test_the_same_call_for_another_delegate() -> None:
    """Only the configuration's reading is another."""
    call = a_call()
    other = call.with_conf(7)
    assert (other.conf, other.environment, other.body, other.edges) == (7, call.environment, call.body, call.edges)


def test_verbs_that_a_delegate_does_not_have_do_nothing() -> None:
    """And it declines nothing."""
    delegate: Delegate[str] = Delegate(
        name="toy", about="", parse=lambda *_: "", parse_loosely=lambda _: "", add=lambda _: Result()
    )
    for verb in (delegate.check, delegate.delete, delegate.status, delegate.gc):
        verb(a_call())
    assert delegate.declines({}, lambda _: False) is None


@pytest.mark.parametrize("verb", ["DEL", "GC"])
@pytest.mark.parametrize(
    ("delegate", "key"), [(host_local.DELEGATE, "ipam"), (metacni_ipam.DELEGATE, "ipam"), (tuning.DELEGATE, "")]
)
def test_state_of_the_node_that_is_not_seen_does_not_pass_for_gone(
    tmp_path: Path, delegate: Delegate[Any], key: str, verb: str
) -> None:
    """An agent whose mounts were changed must not say that it gave back what it cannot even see (decision 5)."""
    folder = {"dataDir": str(tmp_path)}
    body: dict[str, Any] = {"cniVersion": "1.1.0", "name": "net", "type": "x", "cni.dev/valid-attachments": []}
    body |= {key: folder} if key else folder
    blind = replace(edges(), visible=lambda _: False)
    with pytest.raises(CniError, match="is not mounted in the agent") as caught:
        delegate.serve(variables(verb), json.dumps(body).encode(), pod=None, edges=blind)
    assert caught.value.code == 5
    assert str(tmp_path) in caught.value.msg
    assert "hostPaths" in caught.value.details

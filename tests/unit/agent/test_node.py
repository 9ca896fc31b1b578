# SPDX-License-Identifier: Apache-2.0
"""How long a request may take."""

import time

import pytest

from metacni.agent import node
from metacni.agent.runner import LONGEST
from metacni.cni.versions import Verb


@pytest.mark.parametrize("verb", Verb)
def test_every_verb_has_a_deadline(verb: Verb) -> None:
    """No call is without one, whatever the socket brings."""
    assert 0 < node.deadline(verb) - time.monotonic() <= 90


@pytest.mark.parametrize(("verb", "patience"), [(Verb.ADD, 90), (Verb.DEL, 50)], ids=str)
def test_the_agent_answers_before_the_shim_gives_up(verb: Verb, patience: float) -> None:
    """Then the answer is ours and says why (decision 1)."""
    assert node.BUDGET[verb] < patience


@pytest.mark.parametrize("verb", LONGEST)
def test_one_hung_plugin_leaves_time_for_the_rest(verb: Verb) -> None:
    """After its limit there is still time to undo, or for the other networks."""
    assert node.BUDGET[verb] - LONGEST[verb] >= 2

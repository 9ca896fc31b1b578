# SPDX-License-Identifier: Apache-2.0
"""Who carries a plugin out: every rule, as a table."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from metacni.cni.errors import CniError
from metacni.cni.jsontext import Json
from metacni.cni.names import PluginType
from metacni.core import owner
from metacni.core.owner import AGENT, PROGRAM, Choice, Owner, Visible


@dataclass
class Reasoned:
    """A delegate that declines for this reason, or cannot read the configuration at all."""

    reason: str | CniError | None = None
    asked: list[tuple[Mapping[str, Json], bool]] = field(default_factory=list)

    def declines(self, body: Mapping[str, Json], visible: Visible) -> str | None:
        """As the test says."""
        self.asked.append((body, visible("/shared/x")))
        if isinstance(self.reason, CniError):
            raise self.reason
        return self.reason


def choice(reason: str | CniError | None, *types: str, auto: bool = False) -> Choice:
    """`bridge` of the reference and `acme` of somebody else, in the agent."""
    return Choice(
        delegates={"bridge": Reasoned(reason), "acme": Reasoned(reason)},
        types=None if auto else frozenset(types),
        visible=lambda path: path.startswith("/shared"),
    )


ELSEWHERE = Owner(resident=False, why="odd")
NONSENSE = CniError.decode("key 'mtu'", "'x' is not a number")


@pytest.mark.parametrize(
    ("kind", "rule", "expected"),
    [
        pytest.param("bridge", choice(None, auto=True), AGENT, id="auto-takes-the-reference's"),
        pytest.param("bridge", choice("odd", auto=True), ELSEWHERE, id="auto-leaves-what-is-declined"),
        pytest.param("bridge", choice(NONSENSE, auto=True), AGENT, id="auto-takes-what-makes-no-sense"),
        pytest.param("macvlan", choice(None, auto=True), PROGRAM, id="auto-has-no-such-delegate"),
        pytest.param("acme", choice(None, auto=True), PROGRAM, id="auto-leaves-other-types"),
        pytest.param("metacni-acme", choice(None, auto=True), AGENT, id="auto-takes-others-by-our-name"),
        pytest.param("bridge", choice(None, "bridge"), AGENT, id="listed"),
        pytest.param("acme", choice(None, "acme"), AGENT, id="listed-of-another-package"),
        pytest.param("bridge", choice(NONSENSE, "bridge"), AGENT, id="listed-and-makes-no-sense"),
        pytest.param("bridge", choice(None, "macvlan"), PROGRAM, id="not-listed"),
        pytest.param("macvlan", choice(None, "macvlan"), PROGRAM, id="listed-without-a-delegate"),
        pytest.param("bridge", choice(None), PROGRAM, id="none"),
        pytest.param("metacni-bridge", choice(None), AGENT, id="none-but-by-our-name"),
        pytest.param("metacni-bridge", choice(None, "macvlan"), AGENT, id="not-listed-but-by-our-name"),
        pytest.param("metacni-other", choice(None, auto=True), PROGRAM, id="our-prefix-but-no-delegate"),
        pytest.param("Bridge", choice(None, auto=True), PROGRAM, id="a-type-is-a-file-name-and-has-a-case"),
    ],
)
def test_who_carries_a_plugin_out(kind: str, rule: Choice, expected: Owner) -> None:
    """A delegate of ours where the node's setting and the configuration let it; else a program, and it says why."""
    assert rule.of(PluginType(kind), {}) == expected


@pytest.mark.parametrize(
    ("kind", "rule", "hint"),
    [
        pytest.param(
            "bridge",
            choice("odd", "bridge"),
            "take 'bridge' out of the setting `resident`, and a program does it",
            id="listed",
        ),
        pytest.param("metacni-bridge", choice("odd", auto=True), "", id="by-our-name"),
        pytest.param("metacni-bridge", choice("odd", "metacni-bridge"), "", id="by-our-name-and-listed"),
        pytest.param("metacni-acme", choice("odd"), "", id="by-our-name-though-none"),
    ],
)
def test_what_must_be_ours_and_cannot_is_refused(kind: str, rule: Choice, hint: str) -> None:
    """Code 2 before anything runs, never something else than was asked for (A66)."""
    with pytest.raises(CniError) as caught:
        rule.of(PluginType(kind), {})
    fault = caught.value
    assert (fault.code, fault.msg, fault.details) == (2, f"cannot serve plugin {kind!r} in the agent: odd", hint)


def test_a_delegate_sees_the_configuration_and_which_paths_it_can_reach() -> None:
    """It is asked once, and only where the setting lets it."""
    body: dict[str, Json] = {"type": "bridge", "mtu": 1500}
    bridge = Reasoned()
    found = Choice(delegates={"bridge": bridge}, types=None, visible=lambda path: path.startswith("/shared"))
    found.of(PluginType("bridge"), body)
    found.of(PluginType("macvlan"), body)
    assert bridge.asked == [(body, True)]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        pytest.param("bridge", "bridge", id="bare"),
        pytest.param("metacni-bridge", "bridge", id="by-our-name"),
        pytest.param("metacni-metacni-bridge", None, id="only-one-prefix"),
        pytest.param("metacni", None, id="ourselves"),
        pytest.param("metacni-", None, id="prefix-alone"),
        pytest.param("whereabouts", None, id="foreign"),
    ],
)
def test_a_type_means_a_delegate_bare_or_by_our_name(kind: str, expected: str | None) -> None:
    """Nothing else does."""
    assert owner.delegate_name(kind, {"bridge": None, "host-local": None}) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({}, None, id="no-ipam"),
        pytest.param({"ipam": {}}, None, id="layer-2"),
        pytest.param({"ipam": None}, None, id="null"),
        pytest.param({"ipam": {"type": "host-local"}}, None, id="ours"),
        pytest.param({"ipam": {"type": "metacni-host-local"}}, None, id="ours-by-our-name"),
        pytest.param({"ipam": {"type": "whereabouts"}}, "whereabouts", id="foreign"),
        pytest.param({"IPAM": {"Type": "dhcp"}}, "dhcp", id="in-any-case"),
    ],
)
def test_an_ipam_that_is_not_ours_is_a_program_to_be_found(body: dict[str, Json], expected: str | None) -> None:
    """A delegate of ours asks for it through the shim."""
    assert owner.foreign_ipam(body, {"host-local": None}) == expected


@pytest.mark.parametrize(
    "body",
    [{"type": "x", "bridge": "a", "Bridge": "b"}, {"type": "x", "ipam": {"ranges": [{"subnet": 1, "SUBNET": 2}]}}],
    ids=["top", "deep"],
)
def test_a_key_in_two_spellings_is_left_to_the_program(body: dict[str, Json]) -> None:
    """Which of them counts, it decides by rules of its own (A65); what the runtime added is not looked at."""
    found = choice(None, auto=True).of(PluginType("bridge"), body)
    assert (found.resident, "in two spellings" in found.why) == (False, True)
    assert choice(None, auto=True).of(PluginType("bridge"), {"type": "bridge", "args": {"a": 1, "A": 2}}).resident

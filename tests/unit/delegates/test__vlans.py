# SPDX-License-Identifier: Apache-2.0
"""Which VLANs a configuration wants; given to real ports they are in tests/uml."""

from typing import Any

import pytest

from delegates import _vlans
from delegates._vlans import Vlans
from metacni.cni.errors import CniError


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({}, Vlans(), id="none"),
        pytest.param({"vlan": 0, "vlanTrunk": None}, Vlans(), id="none-in-words"),
        pytest.param({"VLAN": 5}, Vlans(native=5, filtering=True), id="native"),
        pytest.param({"vlanTrunk": []}, Vlans(filtering=True), id="an-empty-trunk-filters"),
        pytest.param(
            {"vlanTrunk": [{"id": 9}, {"minID": 3, "maxID": 5, "id": 4094}, {}], "preserveDefaultVlan": True},
            Vlans(tagged=frozenset({3, 4, 5, 9, 4094}), filtering=True, keep_default=True), id="trunk",
        ),
        pytest.param(
            {"vlan": 4, "vlanTrunk": [{"minID": 4, "maxID": 4}]},
            Vlans(native=4, tagged=frozenset({4}), filtering=True), id="native-in-the-trunk",
        ),
    ],
)  # fmt: skip
def test_vlans_are_read(body: dict[str, Any], expected: Vlans) -> None:
    """Ids, ranges, and both in one entry."""
    assert _vlans.parse(body) == expected


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        pytest.param({"vlan": 4095}, 7, "4095 is not in 0-4094", id="too-high"),
        pytest.param({"vlan": -1}, 7, "-1", id="negative"),
        pytest.param({"vlan": True}, 6, "vlan", id="boolean"),
        pytest.param({"vlanTrunk": [None]}, 6, "vlanTrunk", id="null-entry"),
        pytest.param({"vlanTrunk": [{"id": 1}, {"id": 0}]}, 7, "'vlanTrunk[1].id': 0 is not in 1-4094", id="id-zero"),
        pytest.param({"vlanTrunk": [{"id": "5"}]}, 6, "id", id="id-as-text"),
        pytest.param({"vlanTrunk": [{"minID": 5}]}, 7, "'vlanTrunk[0].minID': 'maxID' is missing", id="no-end"),
        pytest.param({"vlanTrunk": [{"maxID": 5}]}, 7, "'vlanTrunk[0].maxID': 'minID' is missing", id="no-start"),
        pytest.param({"vlanTrunk": [{"minID": 6, "maxID": 5}]}, 7, "6 is above", id="upside-down"),
    ],
)
def test_vlans_that_cannot_be_are_refused(body: dict[str, Any], code: int, says: str) -> None:
    """Naming key and value."""
    with pytest.raises(CniError) as caught:
        _vlans.parse(body)
    assert caught.value.code == code
    assert says in caught.value.msg


MISSING = "key 'preserveDefaultVlan' is missing, whose default depends on the version of the plugin"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({"vlan": 5}, MISSING, id="native"),
        pytest.param({"vlanTrunk": [{"id": 5}], "preserveDefaultVlan": None}, MISSING, id="trunk"),
        pytest.param({"vlan": 0, "vlanTrunk": []}, None, id="no-vlan-to-set"),
        pytest.param({"vlan": 5, "preserveDefaultVlan": False}, None, id="said-no"),
        pytest.param({"vlan": 5, "PRESERVEDEFAULTVLAN": True}, None, id="said-yes"),
        pytest.param(
            {"vlanTrunk": [{"vid": 5}], "preserveDefaultVlan": True}, "key 'vlanTrunk[0].vid' (5) is not known",
            id="mistyped",
        ),
    ],
)  # fmt: skip
def test_what_depends_on_the_version_is_left_to_it(body: dict[str, Any], expected: str | None) -> None:
    """The same configuration isolates pods with one version of the reference, and does not with another."""
    assert _vlans.declines(body) == expected


def test_the_leg_is_named_after_bridge_and_vlan() -> None:
    """If a link can have that name."""
    assert _vlans.leg_name("br1", Vlans(native=5)) == "br1.5"
    with pytest.raises(CniError, match=r"bridge-of-12\.4000") as caught:
        _vlans.leg_name("bridge-of-12", Vlans(native=4000))
    assert caught.value.code == 7

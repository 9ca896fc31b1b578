# SPDX-License-Identifier: Apache-2.0
"""Every way in which leases and node can differ."""

from ipaddress import ip_address

from delegates.ipam.allocator import Holder
from delegates.ipam.audit import Attached, Audit, Leased, audit
from metacni.cni.names import ContainerId, IfName

C1, C2 = (Holder(ContainerId(name), IfName("eth0")) for name in ("c1", "c2"))


def leased(address: str, holder: Holder = C1) -> Leased:
    """A lease."""
    return Leased(address=ip_address(address), holder=holder, pod="ns/p")


def has(address: str, holder: Holder = C1) -> Attached:
    """An address in use."""
    return Attached(address=ip_address(address), holder=holder)


def test_all_is_well() -> None:
    """In whatever order, and told twice."""
    found = audit([leased("fd01::2"), leased("10.1.0.2")], [has("10.1.0.2"), has("fd01::2"), has("10.1.0.2")])
    assert found == Audit(unused=(), unleased=(), mistaken=(), shared=())
    assert found.sound
    assert audit([], []).sound


def test_a_lease_without_its_holder() -> None:
    """Sorted as addresses are, not as text."""
    found = audit([leased("10.1.0.10"), leased("10.1.0.9"), leased("fd01::2")], [has("fd01::2")])
    assert found.unused == (leased("10.1.0.9"), leased("10.1.0.10"))
    assert (found.unleased, found.mistaken, found.shared, found.sound) == ((), (), (), False)


def test_an_address_without_a_lease() -> None:
    """Somebody else may be given it."""
    found = audit([leased("10.1.0.2")], [has("10.1.0.2"), has("10.1.0.3", C2)])
    assert found == Audit(unused=(), unleased=(has("10.1.0.3", C2),), mistaken=(), shared=())
    assert not found.sound


def test_an_address_of_somebody_else() -> None:
    """Its lease is unused, too."""
    found = audit([leased("10.1.0.2")], [has("10.1.0.2", C2)])
    assert found == Audit(unused=(leased("10.1.0.2"),), unleased=(), mistaken=(has("10.1.0.2", C2),), shared=())


def test_an_address_of_two() -> None:
    """Both are told, and which of them is not its holder."""
    found = audit([leased("10.1.0.2")], [has("10.1.0.2", C2), has("10.1.0.2")])
    both = (has("10.1.0.2"), has("10.1.0.2", C2))
    assert found == Audit(unused=(), unleased=(), mistaken=(both[1],), shared=both)

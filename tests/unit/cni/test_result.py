# SPDX-License-Identifier: Apache-2.0
"""Results as values."""

from dataclasses import FrozenInstanceError
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from metacni.cni.result import Address, Dns, Interface, Result, Route


def test_a_result_is_a_value() -> None:
    """Equal parts make equal results, which can be kept in a set and not be changed."""
    one, two = (
        Result(
            interfaces=(Interface(name="eth0"),),
            ips=(Address(address=IPv4Interface("10.0.0.2/24"), gateway=IPv4Address("10.0.0.1"), interface=0),),
            routes=(Route(dst=IPv4Network("0.0.0.0/0")),),
            dns=Dns(nameservers=("10.0.0.53",)),
        )
        for _ in range(2)
    )
    assert {one} == {two}
    with pytest.raises(FrozenInstanceError):
        one.ips = ()  # type: ignore[misc]


def test_an_empty_result_says_nothing() -> None:
    """All parts may be absent."""
    assert Result() == Result(interfaces=(), ips=(), routes=(), dns=Dns())


def test_an_address_keeps_its_host_bits() -> None:
    """The address is the pod's, not the network's."""
    assert str(Address(address=IPv4Interface("10.0.0.2/24")).address) == "10.0.0.2/24"

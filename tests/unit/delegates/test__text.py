# SPDX-License-Identifier: Apache-2.0
"""Addresses and MACs out of JSON: what Go takes is taken, what no kernel can use is refused, and named."""

from ipaddress import ip_address, ip_interface, ip_network

import pytest

from delegates import _text
from metacni.cni.errors import CniError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("10.1.0.5", "10.1.0.5", id="ipv4"),
        pytest.param("FD00::5", "fd00::5", id="ipv6-in-capitals"),
        pytest.param("::ffff:10.1.0.5", "10.1.0.5", id="ipv4-in-ipv6s-clothes"),
        pytest.param("10.1.0.5/24", "10.1.0.5", id="the-prefix-means-nothing"),
    ],
)
def test_a_requested_address_is_read(text: str, expected: str) -> None:
    """With or without a prefix."""
    assert _text.requested("ips", text) == ip_address(expected)


@pytest.mark.parametrize(
    "text", ["", "10.1", "10.1.0.256", "fe80::1%eth0", "10.01.0.5", "x", "10.1.0.5/33", "10.1.0.5/"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """With the key and the text."""
    with pytest.raises(CniError, match=r"^cannot use ips ") as caught:
        _text.requested("ips", text)
    assert caught.value.code == 7


@pytest.mark.parametrize(
    "text", ["10.1.0.0", "10.1.0.1/24", "10.1.0.0/255.255.255.0", "::ffff:10.1.0.0/120", "/24", "fd00::1/64"]
)
def test_what_is_no_network_is_refused(text: str) -> None:
    """Host bits, a netmask, and IPv4 written as IPv6 included."""
    with pytest.raises(CniError, match=r"^cannot use subnet ") as caught:
        _text.network("subnet", text)
    assert caught.value.code == 7


def test_a_network_is_read() -> None:
    """Of either family."""
    assert _text.network("subnet", "10.1.0.0/24") == ip_network("10.1.0.0/24")
    assert _text.prefixed("address", "fd00::2/64") == ip_interface("fd00::2/64")


@pytest.mark.parametrize("text", ["02:00:5E:00:00:01", "02-00-5e-00-00-01", "0200.5e00.0001"])
def test_a_mac_is_read_in_each_spelling_of_go(text: str) -> None:
    """And told in the kernel's."""
    assert _text.mac("mac", text) == "02:00:5e:00:00:01"


@pytest.mark.parametrize(
    "text",
    ["", "02:00:5e:00:00", "02:00-5e:00:00:01", "02:00:5e:00:00:01\n", "01:00:5e:00:00:01", "00:00:00:00:00:00"],
)
def test_what_no_link_can_have_is_refused(text: str) -> None:
    """Multicast and all zeros, too: the kernel would say no only after the link was made."""
    with pytest.raises(CniError, match=r"^cannot use mac ") as caught:
        _text.mac("mac", text)
    assert caught.value.code == 7


def test_unknown_keys_are_found_in_any_case() -> None:
    """A null counts as absent."""
    assert _text.unknown({"MTU": 1, "gone": None}, {"mtu"}) is None
    assert _text.unknown({"mtu": 1, "Mtuu": 2}, {"mtu"}) == "Mtuu"


def test_a_list_of_objects_holds_objects() -> None:
    """Anything else is a wrong JSON type."""
    assert _text.objects({"routes": [{"dst": "x"}]}, "routes") == [{"dst": "x"}]
    with pytest.raises(CniError, match="routes") as caught:
        _text.objects({"routes": ["x"]}, "routes")
    assert caught.value.code == 6

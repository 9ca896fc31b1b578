# SPDX-License-Identifier: Apache-2.0
"""Which file a sysctl's spelling means."""

import pytest

from delegates import _sysctls
from metacni.cni.errors import CniError


@pytest.mark.parametrize(
    ("key", "ifname", "expected"),
    [
        pytest.param("net.ipv4.ip_forward", "eth0", "ipv4/ip_forward", id="dots"),
        pytest.param("net/ipv4/ip_forward", "eth0", "ipv4/ip_forward", id="slashes"),
        pytest.param("net/ipv4.ip_forward", "eth0", "ipv4/ip_forward", id="both"),
        pytest.param("net.ipv4.conf.IFNAME.rp_filter", "eth0", "ipv4/conf/eth0/rp_filter", id="interface"),
        pytest.param("net.ipv4.conf.IFNAME.rp_filter", "net.17", "ipv4/conf/net.17/rp_filter", id="interface-dots"),
        pytest.param("net/ipv4/conf/net.17/rp_filter", "x", "ipv4/conf/net/17/rp_filter", id="dots-are-slashes"),
        pytest.param("net.IFNAME.IFNAME", "e", "e/IFNAME", id="the-first-alone"),
        pytest.param(".net..core.somaxconn.", "e", "core/somaxconn", id="too-many-dots"),
        pytest.param("net/../../etc/passwd", "e", "etc/passwd", id="two-dots-are-two-slashes"),
    ],
)
def test_a_spelling_means_a_file(key: str, ifname: str, expected: str) -> None:
    """Below /proc/sys/net, whatever is tried."""
    assert _sysctls.file(key, ifname) == expected


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("kernel.hostname", id="elsewhere"),
        pytest.param("", id="empty"),
        pytest.param("net", id="the-root"),
        pytest.param("net.", id="the-root-again"),
        pytest.param("network.x", id="a-longer-word"),
        pytest.param("net.ipv4\0", id="nul"),
        pytest.param("net.ipv4.\n", id="line-end"),
        pytest.param("net." + "x" * 253, id="endless"),
    ],
)
def test_what_is_no_setting_of_the_network_is_refused(key: str) -> None:
    """Code 7, naming it."""
    with pytest.raises(CniError) as caught:
        _sysctls.file(key, "eth0")
    assert (caught.value.code, "sysctl" in caught.value.msg) == (7, True)


def test_two_spellings_of_one_are_one() -> None:
    """With the same value; with two it cannot be known which is meant."""
    same = {"net.ipv4.conf.IFNAME.rp_filter": "1", "net.ipv4.conf.eth0.rp_filter": "1"}
    assert [item.key for item in _sysctls.settings(same, "eth0")] == ["net.ipv4.conf.IFNAME.rp_filter"]
    with pytest.raises(CniError, match=r"are one, with two values"):
        _sysctls.settings(same | {"net/ipv4/conf/eth0/rp_filter": "0"}, "eth0")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'{"sysctl": {"a": "1", "a": "1"}}', id="twice"),
        pytest.param(b'{"Sysctl": {"a": "1"}, "sysctl": {"a": "1"}}', id="in-two-objects"),
    ],
)
def test_the_same_key_twice_is_refused(text: bytes) -> None:
    """Even with the same value."""
    with pytest.raises(CniError) as caught:
        _sysctls.refuse_twice(text)
    assert (caught.value.code, "'a' stands there twice" in caught.value.msg) == (7, True)


def test_keys_of_other_objects_do_not_count() -> None:
    """They are not ours to judge."""
    _sysctls.refuse_twice(b'{"sysctl": {"a": "1", "b": "1"}, "x": {"a": 1, "a": 2, "sysctl": {"b": 1, "b": 1}}}')
    _sysctls.refuse_twice(b'{"sysctl": null}')


def test_a_null_is_none() -> None:
    """As in every other place."""
    assert _sysctls.texts({"SYSCTL": {"a": None, "b": "1"}}) == {"b": "1"}

# SPDX-License-Identifier: Apache-2.0
"""Keys that several delegates have."""

from typing import Any

import pytest

from delegates import _keys
from metacni.cni.errors import CniError
from metacni.cni.result import Dns


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({}, 0, id="absent"),
        pytest.param({"mtu": 0}, 0, id="the-kernels-choice"),
        pytest.param({"MTU": 1400}, 1400, id="in-any-case"),
        pytest.param({"mtu": 68}, 68, id="smallest"),
        pytest.param({"mtu": 65535}, 65535, id="largest"),
    ],
)
def test_an_mtu_is_one_that_a_link_can_have(body: dict[str, Any], expected: int) -> None:
    """Or none."""
    assert _keys.mtu(body) == expected


@pytest.mark.parametrize(
    ("value", "code"),
    [
        pytest.param(67, 7, id="too-small"),
        pytest.param(65536, 7, id="too-large"),
        pytest.param(-1, 7, id="negative"),
        pytest.param("1500", 6, id="text"),
        pytest.param(1.5, 6, id="half"),
    ],
)
def test_an_mtu_that_cannot_be_is_named(value: Any, code: int) -> None:
    """With the key."""
    with pytest.raises(CniError, match="mtu") as caught:
        _keys.mtu({"mtu": value})
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(None, None, id="absent"),
        pytest.param({}, None, id="empty"),
        pytest.param({"domain": ""}, None, id="empty-domain"),
        pytest.param({"nameservers": []}, Dns(), id="empty-list-is-set"),
        pytest.param({"domain": "a", "search": ["b"]}, Dns(domain="a", search=("b",)), id="some"),
    ],
)
def test_resolver_settings_count_when_a_field_is_set(given: Any, expected: Dns | None) -> None:
    """E5: otherwise the IPAM's do."""
    assert _keys.dns({} if given is None else {"dns": given}) == expected

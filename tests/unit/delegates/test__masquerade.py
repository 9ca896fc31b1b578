# SPDX-License-Identifier: Apache-2.0
"""Who is asked to masquerade, and how the rules are signed; the rules themselves stand in tests/contract."""

from typing import Any

import pytest

from delegates import _masquerade
from delegates._call import Attachment
from metacni.cni.errors import CniError
from metacni.cni.names import ContainerId, IfName, NetworkName


@pytest.mark.parametrize(
    ("body", "wanted", "reason"),
    [
        pytest.param({}, False, None, id="not-asked"),
        pytest.param({"ipMasq": True}, True, None, id="backend-of-our-choice"),
        pytest.param({"IPMASQ": True, "ipmasqbackend": "nftables"}, True, None, id="in-any-case"),
        pytest.param({"ipMasq": True, "ipMasqBackend": None}, True, None, id="null-is-absent"),
        pytest.param(
            {"ipMasq": True, "ipMasqBackend": "iptables"},
            True, "key 'ipMasqBackend' (\"iptables\") is not carried out", id="iptables",
        ),
        pytest.param({"ipMasqBackend": "iptables"}, False, None, id="without-effect"),
        pytest.param({"ipMasq": False, "ipMasqBackend": "ipvs"}, False, None, id="unknown-without-effect"),
    ],
)  # fmt: skip
def test_it_is_asked_for_by_a_key(body: dict[str, Any], wanted: bool, reason: str | None) -> None:  # noqa: FBT001 - a row
    """A backend that is named is kept to: iptables is another program's."""
    assert _masquerade.parse(body) is wanted
    assert _masquerade.declines(body) == reason


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        pytest.param({"ipMasq": "yes"}, 6, "ipMasq", id="flag-as-text"),
        pytest.param({"ipMasqBackend": 1}, 6, "ipMasqBackend", id="backend-as-number"),
        pytest.param({"ipMasq": True, "ipMasqBackend": "ipvs"}, 7, '"ipvs"', id="unknown"),
        pytest.param({"ipMasq": True, "ipMasqBackend": ""}, 7, '""', id="empty"),
    ],
)
def test_a_backend_that_nobody_has_is_refused(body: dict[str, Any], code: int, says: str) -> None:
    """Naming it."""
    with pytest.raises(CniError) as caught:
        _masquerade.parse(body)
    assert caught.value.code == code
    assert says in caught.value.msg


def test_a_rule_is_signed_as_the_reference_signs_it() -> None:
    """Network and attachment as hashes, then in words, cut where `nft` cuts."""
    net, short = NetworkName("net"), Attachment(container=ContainerId("c1"), ifname=IfName("eth0"))
    assert _masquerade._remark(net, short) == "a4861f4ae9f7d238-f4d01f2ef4b92245, net: net, if: eth0, id: c1"
    long = Attachment(container=ContainerId("c" * 64), ifname=IfName("eth0"))
    assert len(_masquerade._remark(net, long)) == 123
    assert len(_masquerade._remark(NetworkName("n" * 30), long)) == 128

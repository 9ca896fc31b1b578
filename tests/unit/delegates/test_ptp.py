# SPDX-License-Identifier: Apache-2.0
"""ptp's configuration; what it does to a kernel stands in tests/contract and tests/kernel."""

from typing import Any

import pytest

from delegates.ptp import DELEGATE
from metacni.cni.errors import CniError
from tests.unit.delegates.calls import Ipam, serve

FAR: dict[str, Any] = {"type": "far"}
NET: dict[str, Any] = {"cniVersion": "1.1.0", "name": "net", "type": "ptp", "ipam": FAR}


def reason(visible: bool = True, **more: Any) -> str | None:  # noqa: FBT001, FBT002 - a row
    """Why this configuration is left to another plugin."""
    body: Any = NET | more
    return DELEGATE.declines(body, lambda _: visible)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param({}, None, id="plain"),
        pytest.param(
            {"MTU": 1400, "ipMasq": True, "ipMasqBackend": "nftables", "enabledad": True, "dns": {},
             "args": {"cni": {"labels": []}}, "runtimeConfig": {"ips": [], "ipRanges": []},
             "capabilities": {"ips": True}, "prevResult": {}, "cni.dev/attachments": []}, None, id="all-that-is-known",
        ),
        pytest.param({"bridge": "br1"}, "key 'bridge' (\"br1\") is not known", id="anothers"),
        pytest.param({"runtimeConfig": {"mac": "x"}}, "key 'runtimeConfig.mac' (\"x\") is not carried out", id="mac"),
        pytest.param({"ipam": {"type": "host-local", "x": 1}}, "key 'ipam.x' (1) is not known", id="the-ipams"),
    ],
)  # fmt: skip
def test_reasons_to_leave_it_to_another(more: dict[str, Any], expected: str | None) -> None:
    """Whatever would not be done to the letter."""
    assert reason(**more) == expected


def test_a_path_that_is_not_visible_is_a_reason() -> None:
    """The leases would be kept where the reference does not find them."""
    ipam = {"type": "host-local", "subnet": "10.1.0.0/24", "dataDir": "/var/lib/x"}
    assert reason(ipam=ipam) is None
    assert reason(visible=False, ipam=ipam) == "path '/var/lib/x' of key 'ipam.dataDir' is not mounted in the agent"


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        pytest.param({"wheels": 4}, 2, "'wheels' (4)", id="unknown"),
        pytest.param({"ipam": None}, 7, "ipam", id="no-ipam"),
        pytest.param({"ipam": {}}, 7, "ipam", id="no-ipam-type"),
        pytest.param({"ipam": "far"}, 6, "ipam", id="ipam-no-object"),
        pytest.param({"mtu": -1}, 7, "mtu", id="mtu-negative"),
        pytest.param({"mtu": True}, 6, "mtu", id="mtu-a-flag"),
        pytest.param({"ipMasq": 1}, 6, "ipMasq", id="flag-as-number"),
        pytest.param({"ipMasq": True, "ipMasqBackend": "pf"}, 7, "ipMasqBackend", id="backend"),
        pytest.param({"dns": {"search": "a"}}, 6, "search", id="dns"),
    ],
)
@pytest.mark.parametrize("verb", ["ADD", "CHECK", "STATUS"])
def test_bad_input_is_named_and_touches_nothing(verb: str, more: dict[str, Any], code: int, says: str) -> None:
    """The edges fail the test when they are used."""
    with pytest.raises(CniError) as caught:
        serve(DELEGATE, verb, NET | more)
    assert caught.value.code == code
    assert says in caught.value.msg


def test_status_is_the_ipams() -> None:
    """Its refusal is ours."""
    assert serve(DELEGATE, "STATUS", NET, ipam=Ipam()) == {}
    with pytest.raises(CniError) as caught:
        serve(DELEGATE, "STATUS", NET, ipam=Ipam(refuses=CniError(50, "empty")))
    assert caught.value.code == 50

# SPDX-License-Identifier: Apache-2.0
"""Where in the pod a result's addresses are."""

from ipaddress import ip_interface

import pytest

from metacni.cni import config
from metacni.cni.names import IfName, NetnsPath
from metacni.cni.result import Address, Interface, Result
from metacni.core import podside
from metacni.core.plan import Attachment

_NETNS = NetnsPath("/run/netns/c1")
_ATTACHED = Attachment(
    network="lan",
    ifname=IfName("net1"),
    config=config.parse({"name": "lan", "type": "bridge"}),
    capability_args={},
    cni_args="",
    default=False,
    default_route=None,
)
_HOST, _POD = Interface(name="veth1"), Interface(name="net1", sandbox=_NETNS)


def _ip(text: str, interface: int | None) -> Address:
    return Address(address=ip_interface(text), interface=interface)


@pytest.mark.parametrize(
    ("interfaces", "indexes", "made", "placed"),
    [
        pytest.param((_HOST, _POD), (1,), (_HOST, _POD), (1,), id="as-it-should-be"),
        pytest.param((_HOST, _POD), (None,), (_HOST, _POD), (1,), id="no-index"),
        pytest.param((_HOST, _POD), (-1, 2, 0), (_HOST, _POD), (1, 1, 0), id="wrong-indexes"),
        pytest.param((), (None, None), (_POD,), (0, 0), id="no-interfaces"),
        pytest.param((_HOST,), (0, None), (_HOST, _POD), (1, 1), id="none-in-the-pod"),
        pytest.param((Interface(name="net1"),), (0,), (_POD,), (0,), id="no-sandbox-given"),
        pytest.param((), (), (), (), id="nothing-at-all"),
        pytest.param((_HOST,), (), (_HOST,), (), id="no-address"),
        pytest.param(
            (Interface(name="aux0", sandbox=_NETNS), _POD),
            (None, 0),
            (Interface(name="aux0", sandbox=_NETNS), _POD),
            (1, 0),
            id="its-own-name-comes-first",
        ),
        pytest.param(
            (_HOST, Interface(name="aux0", sandbox=_NETNS)),
            (None,),
            (_HOST, Interface(name="aux0", sandbox=_NETNS)),
            (1,),
            id="another-name",
        ),
    ],
)
def test_every_address_is_on_an_interface(
    interfaces: tuple[Interface, ...],
    indexes: tuple[int | None, ...],
    made: tuple[Interface, ...],
    placed: tuple[int, ...],
) -> None:
    """On its own interface if the result says so, else on the one that the attachment was asked for."""
    given = Result(interfaces=interfaces, ips=tuple(_ip("10.0.0.5/24", index) for index in indexes))
    expected = Result(interfaces=made, ips=tuple(_ip("10.0.0.5/24", index) for index in placed))
    assert podside.placed(_ATTACHED, given, _NETNS) == expected

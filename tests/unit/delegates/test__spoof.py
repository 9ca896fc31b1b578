# SPDX-License-Identifier: Apache-2.0
"""Names of the spoof check's chains; the rules stand in tests/contract, what they do to frames in tests/kernel."""

import pytest

from delegates import _spoof
from metacni.cni import environment
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError
from metacni.netns import expressions, nftables, wire
from tests.unit.delegates.calls import variables
from tests.unit.netns.kernels import DONE, Kernel, handle


def attachment(container: str) -> Environment:
    """An ADD of this container."""
    return environment.parse(variables("ADD", CNI_CONTAINERID=container))


def test_an_id_that_no_chain_can_be_named_after_is_refused() -> None:
    """Code 7, before anything is made; containerd's, of 64 digits, fit."""
    _spoof.require_short(attachment("c" * 64))
    _spoof.require_short(attachment("c" * 105))
    with pytest.raises(CniError, match="macspoofchk") as caught:
        _spoof.require_short(attachment("c" * 106))
    assert caught.value.code == 7


def test_an_addition_replaces_what_stood_there() -> None:
    """An entry of a container that came before under the same name goes in the same batch."""
    table = nftables.Table(nftables.BRIDGE, "nat")
    stale = [*expressions.from_link("veth9"), *expressions.jump("cni-br-iface-c1-eth0")]
    other = [*expressions.from_link("veth8"), *expressions.jump("cni-br-iface-c1-eth0x")]
    rules = [
        (0xA06, 2, nftables.new_rule(table, "PREROUTING", rule).body + wire.attribute(3, bytes([0] * 7 + [at])))
        for at, rule in ((1, stale), (2, other))
    ]
    kernel = Kernel([*rules, (DONE, 2, bytes(4))])
    changes = _spoof._addition(handle(kernel), attachment("c1"), "veth1", "02:00:5e:00:00:01")
    deleted = [wire.attributes(change.body, 4)[3] for change in changes if wire.attributes(change.body, 4).get(3)]
    assert [handle_ for handle_ in deleted if len(handle_) == 8] == [b"\0\0\0\0\0\0\0\1"]
    assert [change.kind & 0xFF for change in changes] == [0, 3, 3, 3, 8, 8, 8, 6, 6, 6, 6]

# SPDX-License-Identifier: Apache-2.0
"""What our IPAMs read alike."""

from pathlib import Path
from typing import Any

import pytest

from delegates.ipam import part
from metacni.cni.errors import CniError

KNOWN = frozenset({"type", "routes", "dns"})


def test_the_part_is_an_object_under_ipam() -> None:
    """In any case; its absence is an error."""
    assert part.of({"IPAM": {"type": "x"}}) == {"type": "x"}
    with pytest.raises(CniError, match="'ipam' is missing") as caught:
        part.of({"name": "net"})
    assert caught.value.code == 7


@pytest.mark.parametrize(
    ("ipam", "reason"),
    [
        pytest.param({"Type": "x", "wheels": None}, None, id="any-case-and-null"),
        pytest.param({"wheels": 4}, "key 'ipam.wheels' (4) is not known", id="of-the-part"),
        pytest.param({"routes": [{"dst": "::/0", "src": 5}]}, "key 'src' of a route (5) is not known", id="a-route"),
        pytest.param({"dns": {"wheels": 4}}, "key 'ipam.dns.wheels' (4) is not known", id="of-dns"),
    ],
)
def test_what_nobody_carries_out_is_named(ipam: dict[str, Any], reason: str | None) -> None:
    """The first such key."""
    assert part.undeclared(ipam, KNOWN) == reason


def test_a_path_that_is_not_mounted_is_named() -> None:
    """An empty one is no path."""
    assert part.hidden(lambda path: path == "/a", dataDir="/a", resolvConf="") is None
    reason = part.hidden(lambda path: path == "/a", dataDir="/a", resolvConf="/b")
    assert reason == "path '/b' of key 'ipam.resolvConf' is not mounted in the agent"


def test_a_folder_is_an_absolute_path() -> None:
    """The default counts when it is absent or empty."""
    assert part.data_dir({}, "/var/lib/x") == Path("/var/lib/x")
    assert part.data_dir({"dataDir": ""}, "/var/lib/x") == Path("/var/lib/x")
    assert part.data_dir({"datadir": "/a/b"}, "/var/lib/x") == Path("/a/b")
    for text in ("relative", "../up", "/a/../etc", "/a/..", "/a\0b"):
        with pytest.raises(CniError, match="'dataDir'") as caught:
            part.data_dir({"dataDir": text}, "/var/lib/x")
        assert caught.value.code == 7


def test_routes_keep_all_their_keys() -> None:
    """And IPv6's host bits are cut off, as the kernel does."""
    route: Any = {"dst": "fd00::1/64", "gw": "fd01::1", "mtu": 1, "advmss": 2, "priority": 3, "table": 4, "scope": 0}
    (found,) = part.routes({"routes": [route]})
    assert (str(found.dst), str(found.gw)) == ("fd00::/64", "fd01::1")
    assert (found.mtu, found.advmss, found.priority, found.table, found.scope) == (1, 2, 3, 4, 0)


@pytest.mark.parametrize(
    ("route", "code", "says"),
    [
        pytest.param({}, 7, "dst", id="no-destination"),
        pytest.param({"dst": "10.1"}, 7, "dst", id="no-network"),
        pytest.param({"dst": "10.1.2.3/16"}, 7, "10.1.2.3/16", id="host-bits"),
        pytest.param({"dst": "10.1.0.0/16", "gw": "fd01::1"}, 7, "gw", id="of-another-family"),
        pytest.param({"dst": "10.1.0.0/16", "gw": "10.1"}, 7, "gw", id="gateway-no-address"),
        pytest.param({"dst": "10.1.0.0/16", "mtu": -1}, 7, "mtu", id="negative"),
        pytest.param({"dst": "10.1.0.0/16", "scope": 256}, 7, "scope", id="scope-too-large"),
        pytest.param({"dst": "10.1.0.0/16", "mtu": "1"}, 6, "mtu", id="number-as-text"),
        pytest.param("10.1.0.0/16", 6, "routes", id="no-object"),
    ],
)
def test_a_route_that_cannot_be_is_refused(route: Any, code: int, says: str) -> None:
    """With the key and the value."""
    with pytest.raises(CniError, match=says) as caught:
        part.routes({"routes": [route]})
    assert caught.value.code == code


def test_two_of_a_family_can_be_too_many() -> None:
    """For results that hold one per family."""
    part.require_room("0.3.0", [4, 4])
    part.require_room("0.2.0", [4, 6])
    with pytest.raises(CniError, match="family") as caught:
        part.require_room("0.2.0", [4, 4])
    assert caught.value.code == 7

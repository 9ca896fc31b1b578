# SPDX-License-Identifier: Apache-2.0
"""metacni-ipam over the skeleton and a file on disk; its schema and its parser agree."""

import importlib.resources
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from delegates.ipam import database, ledger
from delegates.ipam.allocator import Holder
from delegates.ipam.audit import Attached, audit
from delegates.ipam.metacni_ipam import DELEGATE
from metacni.cni.errors import CniError
from metacni.cni.names import ContainerId, IfName
from tests.unit.delegates.calls import serve

SCHEMA = json.loads(importlib.resources.files("crds").joinpath("metacni-ipam.schema.json").read_text("utf-8"))
SMALL = {"subnet": "10.1.0.0/30"}  # one address besides the gateway
NET = {"subnet": "10.1.0.0/24"}
POD = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME="


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    database.close()


def config(folder: Path, **more: Any) -> dict[str, Any]:
    """A configuration whose leases lie here."""
    part = {"type": "metacni-ipam", "dataDir": str(folder), "ranges": [[NET]]} | more
    return {"cniVersion": "1.1.0", "name": "net", "type": "bridge", "bridge": "br1", "ipam": part}


def got(conf: dict[str, Any], container: str = "c1", args: str = "") -> list[str]:
    """What an ADD gives."""
    return [item["address"] for item in serve(DELEGATE, "ADD", conf, CNI_CONTAINERID=container, CNI_ARGS=args)["ips"]]


def leases(folder: Path) -> dict[str, str]:
    """Who has what."""
    with ledger.existing(folder, "net") as found:
        return {str(item.address): item.holder.container for item in (found.leases() if found else ())}


def test_a_life(tmp_path: Path) -> None:
    """ADD, CHECK, DEL, DEL; the gateway is told, and routes and resolver settings are passed on."""
    conf = config(tmp_path, routes=[{"dst": "0.0.0.0/0", "mtu": 1400}], dns={"nameservers": ["10.1.0.3"]})
    added = serve(DELEGATE, "ADD", conf)
    assert added == {
        "cniVersion": "1.1.0",
        "ips": [{"address": "10.1.0.2/24", "gateway": "10.1.0.1"}],
        "routes": [{"dst": "0.0.0.0/0", "mtu": 1400}],
        "dns": {"nameservers": ["10.1.0.3"]},
    }
    for _ in range(2):
        assert serve(DELEGATE, "CHECK", conf | {"prevResult": added}) == {}
    for _ in range(2):
        assert serve(DELEGATE, "DEL", conf) == {}
    assert leases(tmp_path) == {}
    with pytest.raises(CniError, match="'c1'") as caught:
        serve(DELEGATE, "CHECK", conf | {"prevResult": added})
    assert caught.value.code == 999


def test_check_compares_the_addresses_of_our_ranges(tmp_path: Path) -> None:
    """One that is reported and not leased is told; one of another IPAM is not ours to judge."""
    conf = config(tmp_path)
    serve(DELEGATE, "ADD", conf)
    prev = {"cniVersion": "1.1.0", "ips": [{"address": "10.1.0.2/24"}, {"address": "10.9.0.2/24"}]}
    assert serve(DELEGATE, "CHECK", conf | {"prevResult": prev}) == {}
    prev["ips"] = [{"address": "10.1.0.9/24"}]
    with pytest.raises(CniError, match=r"10\.1\.0\.9") as caught:
        serve(DELEGATE, "CHECK", conf | {"prevResult": prev})
    assert caught.value.code == 999


def test_an_exhausted_set_is_told_by_add_and_status(tmp_path: Path) -> None:
    """11 and 50; STATUS is well before and after, and takes nothing."""
    conf = config(tmp_path, ranges=[[SMALL]])
    assert serve(DELEGATE, "STATUS", conf) == {}
    serve(DELEGATE, "ADD", conf)
    for verb, code in (("ADD", 11), ("STATUS", 50)):
        with pytest.raises(CniError, match=r"10\.1\.0\.1-10\.1\.0\.2") as caught:
            serve(DELEGATE, verb, conf, CNI_CONTAINERID="c2")
        assert caught.value.code == code
    serve(DELEGATE, "DEL", conf)
    for _ in range(3):
        assert serve(DELEGATE, "STATUS", conf) == {}
    assert got(conf) == ["10.1.0.2/30"]


def test_status_tells_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    """50, with the reason."""
    (tmp_path / "net").symlink_to("/")
    with pytest.raises(CniError, match="symbolic link") as caught:
        serve(DELEGATE, "STATUS", config(tmp_path))
    assert caught.value.code == 50


def test_garbage_is_collected(tmp_path: Path) -> None:
    """What is not valid goes."""
    conf = config(tmp_path)
    for container in ("c1", "c2", "c3"):
        got(conf, container)
    serve(DELEGATE, "GC", conf | {"cni.dev/valid-attachments": [{"containerID": "c2", "ifname": "eth0"}]})
    assert leases(tmp_path) == {"10.1.0.3": "c2"}
    serve(DELEGATE, "GC", conf | {"cni.dev/valid-attachments": None})
    assert leases(tmp_path) == {}


def test_del_needs_no_more_than_the_folder(tmp_path: Path) -> None:
    """A configuration that was edited into nonsense keeps no address, and nothing is made that is not there."""
    serve(DELEGATE, "ADD", config(tmp_path))
    serve(DELEGATE, "DEL", config(tmp_path, ranges="nonsense", routes=7, wheels=4, sticky="yes"))
    assert leases(tmp_path) == {}
    serve(DELEGATE, "DEL", config(tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_an_address_rests_though_the_process_ends(tmp_path: Path) -> None:
    """The queue is on disk."""
    conf = config(tmp_path, ranges=[[{"subnet": "10.1.0.0/29"}]])
    told = []
    for number in range(8):
        told += got(conf, f"c{number}")
        serve(DELEGATE, "DEL", conf, CNI_CONTAINERID=f"c{number}")
        database.close()
    assert [address[7] for address in told] == ["2", "3", "4", "5", "6", "2", "3", "4"]


def test_a_sticky_pod_gets_its_addresses_again(tmp_path: Path) -> None:
    """Of both families, in a new container; without the key it does not."""
    conf = config(tmp_path, sticky=True, ranges=[[NET], [{"subnet": "fd01::/64"}]])
    first = got(conf, "c1", POD + "db-0")
    got(conf, "c2", POD + "db-1")
    serve(DELEGATE, "DEL", conf)
    got(conf, "c3", POD + "db-2")
    assert got(conf, "c4", POD + "db-0") == first == ["10.1.0.2/24", "fd01::2/64"]
    serve(DELEGATE, "DEL", conf, CNI_CONTAINERID="c4")
    assert got(config(tmp_path), "c5", POD + "db-0") == ["10.1.0.5/24"]


def test_many_threads_get_as_many_addresses(tmp_path: Path) -> None:
    """As in the agent: sixteen at a time, some of which give back meanwhile."""
    conf = config(tmp_path)

    def live(number: int) -> str:
        for _ in range(3):
            (address,) = got(conf, f"c{number}")
            serve(DELEGATE, "DEL", conf, CNI_CONTAINERID=f"c{number}")
        (address,) = got(conf, f"c{number}")
        return address

    with ThreadPoolExecutor(16) as pool:
        told = list(pool.map(live, range(60)))
    assert len(set(told)) == 60
    assert {f"{address}/24" for address in leases(tmp_path)} == set(told)


def test_leases_can_be_audited(tmp_path: Path) -> None:
    """What the leases say beside what is attached: all is well, until a pod goes without a DEL."""
    conf = config(tmp_path)
    holders = [Holder(ContainerId(name), IfName("eth0")) for name in ("c1", "c2")]
    attached = [Attached(address=ip_interface(got(conf, holder.container)[0]).ip, holder=holder) for holder in holders]
    with ledger.existing(tmp_path, "net") as found:
        leased = found.leases() if found else ()
    assert audit(leased, attached).sound
    assert [item.holder.container for item in audit(leased, attached[:1]).unused] == ["c2"]


@pytest.mark.parametrize("args", ["", "IgnoreUnknown=1;K8S_POD_NAME=db-0", "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop"])
def test_nobody_can_be_recognised_without_a_name(tmp_path: Path, args: str) -> None:
    """Code 4; what is not wanted needs no name."""
    with pytest.raises(CniError, match="'sticky'") as caught:
        got(config(tmp_path, sticky=True), args=args)
    assert caught.value.code == 4
    assert got(config(tmp_path), args=args) == ["10.1.0.2/24"]


@pytest.mark.parametrize(
    ("more", "args", "expected"),
    [
        pytest.param({"runtimeConfig": {"ips": ["10.1.0.50"]}}, "", ["10.1.0.50/24"], id="runtime"),
        pytest.param({"runtimeConfig": {"ips": ["10.1.0.50/16"]}}, "", ["10.1.0.50/24"], id="prefix-means-nothing"),
        pytest.param({"args": {"cni": {"ips": ["10.1.0.51"]}}}, "", ["10.1.0.51/24"], id="args"),
        pytest.param({}, "IgnoreUnknown=1;IP=10.1.0.52;K8S_POD_NAME=p", ["10.1.0.52/24"], id="cni-args"),
        pytest.param({}, "K8S_POD_NAMESPACE=a;K8S_POD_NAME=p", ["10.1.0.2/24"], id="kubernetes-names-are-known"),
        pytest.param(
            {"runtimeConfig": {"ipRanges": [[{"subnet": "10.7.0.0/24", "exclude": ["10.7.0.2"]}]]}},
            "",
            ["10.7.0.3/24", "10.1.0.2/24"],
            id="ranges-of-the-runtime",
        ),
    ],
)
def test_what_a_pod_asks_for(tmp_path: Path, more: dict[str, Any], args: str, expected: list[str]) -> None:
    """From all three places, and more ranges."""
    assert got(config(tmp_path) | more, args=args) == expected


GOOD = [
    pytest.param({}, id="the-least"),
    pytest.param({"ranges": None, "subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9"}, id="one-range-in-the-old-form"),
    pytest.param({"ranges": [[NET, {"subnet": "10.2.0.0/16"}], [{"subnet": "fd01::/64"}]]}, id="dual-stack"),
    pytest.param(
        {"ranges": [[NET | {"rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.99", "gateway": "10.1.0.254"}]]}, id="bounds"
    ),
    pytest.param({"ranges": [[NET | {"exclude": ["10.1.0.9", "10.1.0.16/28", "10.1.0.3-10.1.0.5"]}]]}, id="exclude"),
    pytest.param(
        {"routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.9", "mtu": 1400, "table": 7, "scope": 0}]}, id="routes"
    ),
    pytest.param({"dns": {"nameservers": ["10.1.0.3"], "domain": "a", "search": [], "options": ["x"]}}, id="dns"),
    pytest.param({"sticky": True}, id="sticky"),
    pytest.param({"sticky": False, "dataDir": "/run/leases"}, id="another-folder"),
]
BAD = [
    pytest.param({"ranges": []}, 7, "no range", id="no-range"),
    pytest.param({"ranges": None}, 7, "no range", id="no-range-at-all"),
    pytest.param({"ranges": [[]]}, 7, "empty", id="empty-set"),
    pytest.param({"ranges": [NET]}, 6, "range set 0", id="no-list-of-lists"),
    pytest.param({"ranges": [[{}]]}, 7, "subnet", id="no-subnet"),
    pytest.param({"ranges": [[{"subnet": 10}]]}, 6, "subnet", id="subnet-a-number"),
    pytest.param({"ranges": [[{"subnet": "10.1.0.0"}]]}, 7, "10.1.0.0", id="subnet-no-subnet"),
    pytest.param({"ranges": [[NET | {"exclude": "10.1.0.4"}]]}, 6, "exclude", id="exclude-a-text"),
    pytest.param({"ranges": [[NET | {"wheels": 4}]]}, 2, "wheels", id="unknown-key-of-a-range"),
    pytest.param({"routes": [{"gw": "10.1.0.1"}]}, 7, "dst", id="route-nowhere"),
    pytest.param({"routes": [{"dst": "::/0", "mtu": "1"}]}, 6, "mtu", id="number-as-text"),
    pytest.param({"routes": [{"dst": "::/0", "mtu": -1}]}, 7, "mtu", id="negative"),
    pytest.param({"routes": [{"dst": "::/0", "scope": 256}]}, 7, "scope", id="scope-too-large"),
    pytest.param({"routes": [{"dst": "::/0", "src": "x"}]}, 2, "src", id="unknown-key-of-a-route"),
    pytest.param({"dns": {"nameservers": "10.1.0.3"}}, 6, "nameservers", id="dns-a-text"),
    pytest.param({"dns": {"wheels": 4}}, 2, "wheels", id="unknown-key-of-dns"),
    pytest.param({"dataDir": "relative"}, 7, "dataDir", id="relative-folder"),
    pytest.param({"dataDir": "/var/../etc"}, 7, "dataDir", id="a-way-up"),
    pytest.param({"dataDir": 5}, 6, "dataDir", id="folder-a-number"),
    pytest.param({"sticky": "true"}, 6, "sticky", id="flag-as-text"),
    pytest.param({"resolvConf": "/etc/resolv.conf"}, 2, "resolvConf", id="a-key-of-host-local"),
    pytest.param({"wheels": 4}, 2, "wheels", id="unknown-key"),
]
BEYOND = [  # what only the parser can know
    pytest.param({"ranges": [[{"subnet": "10.1.0.1/24"}]]}, 7, "10.1.0.1/24", id="host-bits"),
    pytest.param({"ranges": [[{"subnet": "10.1.0.0/31"}]]}, 7, "too small", id="point-to-point"),
    pytest.param({"ranges": [[{"subnet": "fd01::/127"}]]}, 7, "too small", id="point-to-point-ipv6"),
    pytest.param({"ranges": [[NET, {"subnet": "fd01::/64"}]]}, 7, "mixes", id="families-mixed"),
    pytest.param({"ranges": [[NET], [{"subnet": "10.1.0.0/16"}]]}, 7, "overlaps", id="sets-overlap"),
    pytest.param({"ranges": [[NET, {"subnet": "10.1.0.0/16"}]]}, 7, "overlaps", id="ranges-overlap"),
    pytest.param({"ranges": [[NET | {"rangeStart": "10.2.0.1"}]]}, 7, "rangeStart", id="start-outside"),
    pytest.param({"ranges": [[NET | {"rangeEnd": "10.2.0.1"}]]}, 7, "rangeEnd", id="end-outside"),
    pytest.param(
        {"ranges": [[NET | {"rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.5"}]]}, 7, "rangeEnd", id="backwards"
    ),
    pytest.param({"ranges": [[NET | {"gateway": "10.2.0.1"}]]}, 7, "gateway '10.2.0.1'", id="gateway-outside"),
    pytest.param({"ranges": [[NET | {"gateway": "fd01::1"}]]}, 7, "gateway", id="gateway-of-another-family"),
    pytest.param({"ranges": [[NET | {"exclude": ["10.2.0.1"]}]]}, 7, "exclude '10.2.0.1'", id="exclude-outside"),
    pytest.param({"ranges": [[NET | {"exclude": ["10.1.0.0/24"]}]]}, 7, "leave no address", id="all-excluded"),
    pytest.param(
        {"ranges": [[NET | {"rangeStart": "10.1.0.1", "rangeEnd": "10.1.0.1"}]]}, 7, "leave no", id="gateway-alone"
    ),
    pytest.param({"routes": [{"dst": "10.1"}]}, 7, "dst", id="route-no-network"),
    pytest.param({"routes": [{"dst": "fd00::/64", "gw": "10.1.0.1"}]}, 7, "gw", id="route-of-another-family"),
]  # fmt: skip


def written(part: dict[str, Any]) -> dict[str, Any]:
    """A part without what was taken out of it."""
    return {key: value for key, value in part.items() if value is not None}


def parsed(part: dict[str, Any]) -> None:
    """Have it read as for a CHECK, which touches nothing."""
    conf = {"cniVersion": "1.1.0", "name": "net", "ipam": part}
    serve(DELEGATE, "STATUS", conf)


@pytest.mark.parametrize("more", GOOD)
def test_schema_and_parser_take_what_is_good(tmp_path: Path, more: dict[str, Any]) -> None:
    """Both say yes."""
    part = written({"type": "metacni-ipam", "ranges": [[NET]]} | more)
    jsonschema.validate(part, SCHEMA)
    parsed(part | {"dataDir": str(tmp_path)})


@pytest.mark.parametrize(("more", "code", "says"), BAD)
def test_schema_and_parser_refuse_what_is_bad(tmp_path: Path, more: dict[str, Any], code: int, says: str) -> None:
    """Both say no; the parser names the key or the value, and touches nothing."""
    part = written(config(tmp_path / "none", **more)["ipam"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(part, SCHEMA)
    refused(tmp_path, part, code, says)


@pytest.mark.parametrize(("more", "code", "says"), BEYOND)
def test_the_parser_refuses_what_cannot_be(tmp_path: Path, more: dict[str, Any], code: int, says: str) -> None:
    """It names the key or the value, and touches nothing."""
    refused(tmp_path, config(tmp_path / "none", **more)["ipam"], code, says)


def refused(folder: Path, part: dict[str, Any], code: int, says: str) -> None:
    """An ADD that fails and makes nothing."""
    with pytest.raises(CniError) as caught:
        serve(DELEGATE, "ADD", {"cniVersion": "1.1.0", "name": "net", "ipam": part})
    assert (caught.value.code, says in caught.value.msg) == (code, True), caught.value.msg
    assert list(folder.iterdir()) == []


def test_two_of_a_family_are_too_many_for_an_old_version(tmp_path: Path) -> None:
    """Its result can hold one."""
    conf = config(tmp_path, ranges=[[NET], [{"subnet": "10.2.0.0/24"}]]) | {"cniVersion": "0.2.0"}
    with pytest.raises(CniError, match="family") as caught:
        serve(DELEGATE, "ADD", conf)
    assert caught.value.code == 7


def test_a_folder_that_is_not_mounted_is_told() -> None:
    """The default one, too."""
    body: Any = {"ipam": {"type": "metacni-ipam", "ranges": [[NET]]}}
    reason = DELEGATE.declines(body, lambda _: False)
    assert reason == "path '/var/lib/cni/metacni-ipam' of key 'ipam.dataDir' is not mounted in the agent"


def test_no_ipam_at_all_is_refused() -> None:
    """By ADD; DEL has nothing to do then."""
    with pytest.raises(CniError, match="'ipam'") as caught:
        serve(DELEGATE, "ADD", {"cniVersion": "1.1.0", "name": "net"})
    assert caught.value.code == 7

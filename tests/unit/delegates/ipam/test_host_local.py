# SPDX-License-Identifier: Apache-2.0
"""host-local over the skeleton and a folder on disk; beside the reference it stands in tests/contract."""

from pathlib import Path
from typing import Any

import pytest

from delegates.ipam.host_local import DELEGATE
from metacni.cni.errors import CniError
from tests.unit.delegates.calls import serve

SMALL = {"subnet": "10.1.0.0/30"}  # one address besides the gateway


def config(folder: Path, **more: Any) -> dict[str, Any]:
    """A configuration whose leases lie here."""
    part = {"type": "host-local", "dataDir": str(folder), "ranges": [[SMALL]]} | more
    return {"cniVersion": "1.1.0", "name": "net", "type": "bridge", "bridge": "br1", "ipam": part}


def leases(folder: Path) -> set[str]:
    """The addresses that are leased."""
    return {file.name for file in (folder / "net").iterdir() if file.name[0].isdigit()}


def test_a_life(tmp_path: Path) -> None:
    """ADD, CHECK, DEL, DEL; the gateway is told, and routes are passed on with all their keys."""
    route = {"dst": "0.0.0.0/0", "priority": 5, "table": 7, "mtu": 1400, "advmss": 1300, "scope": 0}
    conf = config(tmp_path, routes=[route])
    assert serve(DELEGATE, "ADD", conf) == {
        "cniVersion": "1.1.0",
        "ips": [{"address": "10.1.0.2/30", "gateway": "10.1.0.1"}],
        "routes": [{"dst": "0.0.0.0/0", "mtu": 1400, "advmss": 1300, "priority": 5, "table": 7, "scope": 0}],
    }
    assert serve(DELEGATE, "CHECK", conf) == {}
    assert serve(DELEGATE, "DEL", conf) == {}
    assert leases(tmp_path) == set()
    assert serve(DELEGATE, "DEL", conf) == {}
    with pytest.raises(CniError, match="'c1'") as caught:
        serve(DELEGATE, "CHECK", conf)
    assert caught.value.code == 999


def test_an_exhausted_set_is_told_by_add_and_status(tmp_path: Path) -> None:
    """11 and 50; STATUS is well before and after."""
    conf = config(tmp_path)
    assert serve(DELEGATE, "STATUS", conf) == {}
    serve(DELEGATE, "ADD", conf)
    for verb, code in (("ADD", 11), ("STATUS", 50)):
        with pytest.raises(CniError, match=r"10\.1\.0\.1-10\.1\.0\.2") as caught:
            serve(DELEGATE, verb, conf, CNI_CONTAINERID="c2")
        assert caught.value.code == code
    serve(DELEGATE, "DEL", conf)
    assert serve(DELEGATE, "STATUS", conf) == {}


def test_status_tells_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    """50, with the reason."""
    (tmp_path / "net").symlink_to("/")
    with pytest.raises(CniError, match="symbolic link") as caught:
        serve(DELEGATE, "STATUS", config(tmp_path))
    assert caught.value.code == 50


def test_garbage_is_collected(tmp_path: Path) -> None:
    """What is not valid goes."""
    conf = config(tmp_path, ranges=[[{"subnet": "10.1.0.0/24"}]])
    for container in ("c1", "c2", "c3"):
        serve(DELEGATE, "ADD", conf, CNI_CONTAINERID=container)
    serve(DELEGATE, "GC", conf | {"cni.dev/valid-attachments": [{"containerID": "c2", "ifname": "eth0"}]})
    assert leases(tmp_path) == {"10.1.0.3"}
    serve(DELEGATE, "GC", conf | {"cni.dev/valid-attachments": None})
    assert leases(tmp_path) == set()


def test_del_needs_no_more_than_the_folder(tmp_path: Path) -> None:
    """A configuration that was edited into nonsense keeps no address, and nothing is made that is not there."""
    serve(DELEGATE, "ADD", config(tmp_path))
    serve(DELEGATE, "DEL", config(tmp_path, ranges="nonsense", routes=7, wheels=4))
    assert leases(tmp_path) == set()
    serve(DELEGATE, "DEL", config(tmp_path / "other"))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        pytest.param({}, None, id="all-known"),
        pytest.param({"RANGES": [[SMALL]], "resolvConf": None}, None, id="in-any-case-and-null"),
        pytest.param({"wheels": 4}, "key 'ipam.wheels' (4) is not known", id="unknown"),
        pytest.param(
            {"ranges": [[SMALL | {"exclude": []}]]},
            "key 'exclude' of a range ([]) is not known",
            id="unknown-of-a-range",
        ),
        pytest.param(
            {"routes": [{"dst": "10.2.0.0/16", "src": "x"}]}, "key 'src' of a route (\"x\") is not known", id="route"
        ),
        pytest.param(
            {"resolvConf": "/etc/resolv.conf"},
            "path '/etc/resolv.conf' of key 'ipam.resolvConf' is not mounted in the agent",
            id="not-visible",
        ),
    ],
)
def test_reasons_to_leave_it_to_another(tmp_path: Path, more: dict[str, Any], reason: str | None) -> None:
    """Unknown keys, and paths that are not the host's here."""
    assert DELEGATE.declines(config(tmp_path, **more), lambda path: path == str(tmp_path)) == reason


def test_a_default_folder_must_be_visible_too() -> None:
    """An absent dataDir names a path as well."""
    body: Any = {"ipam": {"type": "host-local"}}
    reason = DELEGATE.declines(body, lambda _: False)
    assert reason == "path '/var/lib/cni/networks' of key 'ipam.dataDir' is not mounted in the agent"


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        pytest.param({"dataDir": "relative"}, 7, "dataDir", id="relative-folder"),
        pytest.param({"dataDir": 5}, 6, "dataDir", id="folder-no-text"),
        pytest.param({"routes": [{"dst": "10.2.0.0/16", "mtu": -1}]}, 7, "mtu", id="negative"),
        pytest.param({"routes": [{"dst": "10.2.0.0/16", "scope": 256}]}, 7, "scope", id="scope-too-large"),
        pytest.param({"routes": [{"dst": "10.2.0.0/16", "mtu": "1"}]}, 6, "mtu", id="number-as-text"),
        pytest.param({"wheels": 4}, 2, "wheels", id="not-carried-out"),
    ],
)
def test_bad_input_is_named_and_touches_nothing(tmp_path: Path, more: dict[str, Any], code: int, says: str) -> None:
    """Not even a folder is made."""
    with pytest.raises(CniError, match=says) as caught:
        serve(DELEGATE, "ADD", config(tmp_path / "none", **more))
    assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []


def test_no_ipam_at_all_is_refused() -> None:
    """By ADD; DEL has nothing to do then."""
    with pytest.raises(CniError, match="'ipam'") as caught:
        serve(DELEGATE, "ADD", {"cniVersion": "1.1.0", "name": "net"})
    assert caught.value.code == 7

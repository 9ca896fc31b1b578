# SPDX-License-Identifier: Apache-2.0
"""The resident tuning: every step that can fail, and what is left to give back.

What it has in common with the reference is compared in tests/contract.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from delegates.tuning import DELEGATE
from metacni.cni.errors import CniError
from tests.kernel.conftest import Ip, Namespace
from tests.kernel.resident import MAC, Pod, Resident, attached, resident

OTHER = "02:00:5e:00:00:01"
MARTIANS = "net.ipv4.conf.IFNAME.log_martians"
ALL = {"mac": OTHER, "promisc": True, "mtu": 1400, "allmulti": True, "txQLen": 7}
BEFORE = (MAC, 1500, 1000, ["BROADCAST", "LOWER_UP", "MULTICAST", "UP"])


@pytest.fixture
def tuning() -> Iterator[Resident]:
    """The delegate."""
    with resident(DELEGATE) as made:
        yield made


def config(folder: Path, prev: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A tuning whose saved state is the test's."""
    base = {"cniVersion": "1.1.0", "name": "net", "type": "tuning", "dataDir": str(folder)}
    return base | ({"prevResult": prev} if prev else {}) | more


def picture(pod: Namespace, ip: Ip) -> tuple[str, int, int, list[str]]:
    """All of the link that can be tuned."""
    link = ip(pod, "link", "show", "eth0")[0]
    return link["address"], link["mtu"], link["txqlen"], sorted(link["flags"])


def martians(pod: Namespace) -> str:
    """A setting of the interface."""
    return pod.run("cat", "/proc/sys/net/ipv4/conf/eth0/log_martians").strip()


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        pytest.param({"sysctl": {MARTIANS: "1", "net.ipv4.ip_forward": "yes"}}, 7, "ip_forward", id="a-later-sysctl"),
        pytest.param({"sysctl": {MARTIANS: "1", "net.core.none": "1"}}, 7, "net.core.none", id="a-sysctl-of-none"),
        pytest.param({"mtu": 70000}, 7, "mtu", id="mtu-behind-mac-and-promisc"),
    ],
)
@pytest.mark.parametrize("earlier", ["", '{"mac": "02:00:5e:00:00:07"}'], ids=["alone", "behind-another"])
def test_a_step_that_fails_undoes_those_before(
    tuning: Resident, pod: Pod, host: Namespace, ip: Ip, tmp_path: Path, *,
    more: dict[str, Any], code: int, says: str, earlier: str,
) -> None:  # fmt: skip
    """Settings, link and saved state are as they were; what an earlier plugin saved is still there."""
    one = pod()
    prev = attached(one, host)
    file = tmp_path / "c1_eth0.json"
    if earlier:
        file.write_text(earlier)
    with pytest.raises(CniError) as caught:
        tuning.call("ADD", config(tmp_path, prev, sysctl={MARTIANS: "1"}) | ALL | more, one)
    assert (caught.value.code, says in caught.value.msg) == (code, True), caught.value.msg
    assert (picture(one, ip), martians(one)) == (BEFORE, "0")
    assert [path.read_text() for path in tmp_path.iterdir()] == ([earlier] if earlier else [])


@pytest.mark.parametrize("broken", ["folder", "file"])
def test_a_state_that_cannot_be_saved_changes_nothing(
    tuning: Resident, pod: Pod, host: Namespace, ip: Ip, tmp_path: Path, *, broken: str
) -> None:
    """Code 5: what cannot be given back must not be taken; the sysctls before are undone."""
    one = pod()
    prev = attached(one, host)
    (tmp_path / "target").mkdir()
    if broken == "folder":
        (tmp_path / "saved").symlink_to(tmp_path / "target")
    else:
        (tmp_path / "saved").mkdir()
        (tmp_path / "saved/c1_eth0.json.new").mkdir()
    with pytest.raises(CniError, match="saved") as caught:
        tuning.call("ADD", config(tmp_path / "saved", prev, sysctl={MARTIANS: "1"}, mtu=1400), one)
    assert caught.value.code == 5
    assert (picture(one, ip), martians(one)) == (BEFORE, "0")


def test_the_state_is_saved_with_its_network(tuning: Resident, pod: Pod, host: Namespace, tmp_path: Path) -> None:
    """The network is what garbage collection goes by; nothing but the saved state is left in the folder."""
    one = pod()
    tuning.call("ADD", config(tmp_path, attached(one, host), mtu=1400), one)
    (file,) = tmp_path.iterdir()
    assert json.loads(file.read_text()) == {"mtu": 1500, "network": "net"}
    tuning.call("GC", config(tmp_path) | {"cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]}, None)
    assert list(tmp_path.iterdir()) == [file]
    tuning.call("GC", config(tmp_path) | {"cni.dev/valid-attachments": []}, None)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_add_is_given_back(tuning: Resident, pod: Pod, host: Namespace, ip: Ip, tmp_path: Path) -> None:
    """It had saved the state and got as far as the MAC; half a new state lies beside it."""
    one = pod()
    attached(one, host)
    (tmp_path / "c1_eth0.json").write_text(json.dumps({"mac": MAC, "promisc": False, "mtu": 1500, "txQLen": 1000}))
    (tmp_path / "c1_eth0.json.new").write_text('{\n "ma')
    one.run("ip", "link", "set", "eth0", "address", OTHER)
    for _ in range(2):
        tuning.call("DEL", config(tmp_path), one)
        assert (picture(one, ip), list(tmp_path.iterdir())) == (BEFORE, [])


@pytest.mark.parametrize(
    ("saved", "expected", "told"),
    [
        pytest.param('{"mtu": 70000, "txQLen": 9}', (MAC, 1500, 9, BEFORE[3]), "mtu: invalid argument", id="too-large"),
        pytest.param('{"mtu": "x", "txQLen": 9}', BEFORE, "mtu", id="wrong-type"),
        pytest.param("", BEFORE, "saved state", id="empty"),
    ],
)
def test_del_comes_to_an_end(
    tuning: Resident, pod: Pod, host: Namespace, ip: Ip, tmp_path: Path, *,
    caplog: pytest.LogCaptureFixture, saved: str, expected: object, told: str,
) -> None:  # fmt: skip
    """What the link cannot have any more, or nobody can read, is told in the log and given up; the rest is restored."""
    one = pod()
    attached(one, host)
    (tmp_path / "c1_eth0.json").write_text(saved)
    with caplog.at_level(logging.WARNING):
        tuning.call("DEL", config(tmp_path), one)
    assert (picture(one, ip), list(tmp_path.iterdir())) == (expected, [])
    assert told in caplog.text


def test_del_without_link_or_pod_removes_the_state(tuning: Resident, pod: Pod, host: Namespace, tmp_path: Path) -> None:
    """The interface is gone, or the namespace; the configuration was edited since."""
    one = pod()
    prev = attached(one, host)
    for where in (one, None):
        tuning.call("ADD", config(tmp_path, prev, mtu=1400), one)
        if where is None:
            tuning.call("DEL", config(tmp_path, mtu="x", wheels=4), None)
        else:
            one.run("ip", "link", "set", "eth0", "name", "eth9")
            tuning.call("DEL", config(tmp_path), one)
            one.run("ip", "link", "set", "eth9", "name", "eth0")
        assert list(tmp_path.iterdir()) == []


def test_another_interface_is_not_touched(tuning: Resident, pod: Pod, host: Namespace, ip: Ip, tmp_path: Path) -> None:
    """Two attachments of one pod have a state each."""
    one = pod()
    results = {name: attached(one, host, ifname=name) for name in ("eth0", "net.1")}
    for name, prev in results.items():
        tuning.call("ADD", config(tmp_path, prev, mtu=1400, sysctl={MARTIANS: "1"}), one, ifname=name)
    tuning.call("DEL", config(tmp_path), one, ifname="net.1")
    assert [ip(one, "link", "show", name)[0]["mtu"] for name in results] == [1400, 1500]
    assert [file.name for file in tmp_path.iterdir()] == ["c1_eth0.json"]


def test_the_nodes_own_settings_stay(tuning: Resident, pod: Pod, host: Namespace, tmp_path: Path) -> None:
    """A setting that both have is written in the pod, from a thread that lives on the node."""
    one = pod()
    before = Path("/proc/sys/net/ipv4/conf/all/log_martians").read_text()
    other = "1" if before.strip() == "0" else "0"
    tuning.call("ADD", config(tmp_path, attached(one, host), sysctl={"net.ipv4.conf.all.log_martians": other}), one)
    assert one.run("cat", "/proc/sys/net/ipv4/conf/all/log_martians").strip() == other
    assert Path("/proc/sys/net/ipv4/conf/all/log_martians").read_text() == before

# SPDX-License-Identifier: Apache-2.0
"""The tuning's configuration; what it does to a kernel stands in tests/contract and tests/kernel."""

from typing import Any

import pytest

from delegates.tuning import DELEGATE, parse
from metacni.cni import environment
from metacni.cni.errors import CniError
from tests.unit.delegates.calls import serve, variables

MACS = [f"02:00:5e:00:00:0{number}" for number in range(5)]
TUNING = {"cniVersion": "1.1.0", "name": "net", "type": "tuning", "prevResult": {"cniVersion": "1.1.0"}}
LIST = "/etc/cni/tuning/allowlist.conf"


def hidden(path: str) -> Any:
    """What declines with everything visible but this."""
    return lambda asked: asked != path


@pytest.mark.parametrize(
    ("more", "path", "expected"),
    [
        pytest.param({}, "", None, id="nothing"),
        pytest.param(
            {"Sysctl": {"net.ipv4.ip_forward": "1"}, "mac": MACS[0], "MTU": 1400, "promisc": True, "allmulti": False,
             "txQLen": 0, "dataDir": "/run/x", "args": {"cni": {"labels": []}}, "runtimeConfig": {"mac": "x"}},
            "", None, id="all-that-is-known",
        ),
        pytest.param({"speed": 4}, "", "key 'speed' (4) is not known", id="unknown"),
        pytest.param(
            {"runtimeConfig": {"ips": []}}, "", "key 'runtimeConfig.ips' ([]) is not carried out", id="capability"
        ),
        pytest.param({"mtu": 1400}, LIST, None, id="no-sysctl-no-list"),
        pytest.param(
            {"sysctl": {"net.ipv4.ip_forward": "1"}}, LIST,
            f"path '{LIST}', which key 'sysctl' depends on, is not mounted in the agent", id="list-not-visible",
        ),
        pytest.param(
            {"args": {"cni": {"sysctl": {"net.ipv4.ip_forward": "1"}}}}, LIST,
            f"path '{LIST}', which key 'sysctl' depends on, is not mounted in the agent", id="a-pod-asks-for-one",
        ),
        pytest.param(
            {}, "/run/cni/tuning", "path '/run/cni/tuning' of key 'dataDir' is not mounted in the agent", id="folder"
        ),
        pytest.param(
            {"dataDir": "/x"}, "/x", "path '/x' of key 'dataDir' is not mounted in the agent", id="another-folder"
        ),
        pytest.param(
            {"sysctl": {"net.ipv4.route.flush": "1"}}, "",
            "key 'sysctl.net.ipv4.route.flush' is not carried out: it cannot be read back", id="write-only",
        ),
    ],
)  # fmt: skip
def test_reasons_to_leave_it_to_another(more: dict[str, Any], path: str, expected: str | None) -> None:
    """Whatever would not be done to the letter; a list of allowed sysctls that is not seen would allow everything."""
    body: Any = TUNING | more
    assert DELEGATE.declines(body, hidden(path)) == expected


@pytest.mark.parametrize(
    ("more", "args", "mac"),
    [
        pytest.param({"mac": MACS[0]}, "", MACS[0], id="configuration"),
        pytest.param({"mac": MACS[0]}, f"MAC={MACS[1]}", MACS[1], id="cni-args"),
        pytest.param({"mac": MACS[0], "runtimeConfig": {"mac": MACS[2]}}, f"MAC={MACS[1]}", MACS[2], id="runtime"),
        pytest.param(
            {"runtimeConfig": {"mac": MACS[2]}, "args": {"cni": {"mac": MACS[3]}}}, f"MAC={MACS[1]}", MACS[3], id="args"
        ),
        pytest.param({"mac": MACS[0], "args": {"cni": {"mac": ""}}}, f"MAC={MACS[1]}", None, id="taken-back"),
        pytest.param({"mac": "02-00-5E-00-00-09"}, "", "02:00:5e:00:00:09", id="spelt-as-the-kernel-does"),
        pytest.param({}, "IgnoreUnknown=1;IP=10.1.0.1", None, id="none"),
    ],
)
def test_the_strongest_mac_wins(more: dict[str, Any], args: str, mac: str | None) -> None:
    """From the configuration up to args.cni, which can also say that none is wanted."""
    body: Any = TUNING | more
    assert parse(body, environment.parse(variables("ADD", CNI_ARGS=args)), "1.1.0").wanted.mac == mac


def test_what_a_pod_asks_for_is_stronger() -> None:
    """args.cni beats the configuration, also with false and with another value of a sysctl; zero MTU is none."""
    asked = {"promisc": False, "mtu": 1300, "allmulti": False, "txQLen": 0, "sysctl": {"net.ipv4.ip_forward": "0"}}
    body: Any = TUNING | {
        "promisc": True, "mtu": 1400, "allmulti": True, "txQLen": 5,
        "sysctl": {"net.ipv4.ip_forward": "1", "net.core.somaxconn": "9"}, "args": {"cni": asked},
    }  # fmt: skip
    conf = parse(body, environment.parse(variables("ADD")), "1.1.0")
    assert (conf.wanted.promisc, conf.wanted.mtu, conf.wanted.allmulti, conf.wanted.queue) == (None, 1300, False, 0)
    assert [(item.name, item.value) for item in conf.settings] == [("ipv4/ip_forward", "0"), ("core/somaxconn", "9")]
    body["args"]["cni"] = {"mtu": 0}
    assert parse(body, environment.parse(variables("ADD")), "1.1.0").wanted.mtu is None


@pytest.mark.parametrize(
    ("more", "args", "code", "says"),
    [
        pytest.param({"wheels": 4}, "", 2, "'wheels' (4)", id="unknown"),
        pytest.param({"sysctl": {"net.ipv4.ip_forward": 1}}, "", 6, "sysctl.net.ipv4.ip_forward", id="sysctl-number"),
        pytest.param({"sysctl": []}, "", 6, "sysctl", id="sysctl-list"),
        pytest.param({"sysctl": {"kernel.hostname": "x"}}, "", 7, "kernel.hostname", id="sysctl-elsewhere"),
        pytest.param(
            {"sysctl": {"net.ipv4.ip_forward": "1", "net/ipv4/ip_forward": "0"}}, "", 7, "net/ipv4/ip_forward",
            id="two-spellings-two-values",
        ),
        pytest.param({"mac": "nonsense"}, "", 7, "'mac'", id="mac"),
        pytest.param({"mac": "01:00:5e:00:00:01"}, "", 7, "'mac'", id="mac-multicast"),
        pytest.param({"args": {"cni": {"mac": "x"}}}, "", 7, "args.cni.mac", id="mac-of-args"),
        pytest.param({}, "MAC=x", 4, "MAC of CNI_ARGS", id="mac-of-cni-args"),
        pytest.param({}, "IP=10.1.0.1", 4, "IP", id="cni-args-unknown"),
        pytest.param({"mtu": -1}, "", 7, "mtu", id="mtu-negative"),
        pytest.param({"mtu": "1400"}, "", 6, "mtu", id="mtu-text"),
        pytest.param({"txQLen": -1}, "", 7, "txQLen", id="queue-negative"),
        pytest.param({"txQLen": 1 << 32}, "", 7, "txQLen", id="queue-too-long"),
        pytest.param({"promisc": 1}, "", 6, "promisc", id="promisc-number"),
        pytest.param({"allmulti": "no"}, "", 6, "allmulti", id="allmulti-text"),
        pytest.param({"args": {"cni": {"promisc": "x"}}}, "", 6, "promisc", id="promisc-of-args"),
        pytest.param({"dataDir": "run"}, "", 7, "dataDir", id="folder-relative"),
        pytest.param({"dataDir": "/run/../etc"}, "", 7, "dataDir", id="folder-upwards"),
        pytest.param({"dataDir": 1}, "", 6, "dataDir", id="folder-number"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("verb", ["ADD", "CHECK"])
def test_bad_input_is_named_and_touches_nothing(
    verb: str, more: dict[str, Any], args: str, code: int, says: str
) -> None:
    """The edges fail the test when they are used."""
    with pytest.raises(CniError) as caught:
        serve(DELEGATE, verb, TUNING | more, CNI_ARGS=args)
    assert caught.value.code == code
    assert says in caught.value.msg


@pytest.mark.parametrize("verb", ["ADD", "CHECK"])
def test_without_a_result_there_is_nothing_to_tune(verb: str) -> None:
    """Code 7, before the pod is entered."""
    with pytest.raises(CniError, match="'prevResult' is missing") as caught:
        serve(DELEGATE, verb, TUNING | {"prevResult": None})
    assert caught.value.code == 7


def test_del_without_anything_saved_does_nothing(tmp_path: Any) -> None:
    """Whatever else stands in the configuration by now, with no folder, and with an empty one."""
    config = TUNING | {"mtu": "x", "wheels": 4, "dataDir": str(tmp_path / "none")}
    assert serve(DELEGATE, "DEL", config) == {}
    assert serve(DELEGATE, "DEL", config | {"dataDir": str(tmp_path)}) == {}
    assert list(tmp_path.iterdir()) == []


def test_del_without_a_namespace_removes_what_was_saved(tmp_path: Any) -> None:
    """The link went with the pod; another attachment's file stays."""
    for name in ("c1_eth0.json", "c1_eth0.json.new", "c1_eth1.json"):
        (tmp_path / name).write_text('{"mtu": 1500}')
    for _ in range(2):
        serve(DELEGATE, "DEL", TUNING | {"dataDir": str(tmp_path)})
        assert [file.name for file in tmp_path.iterdir()] == ["c1_eth1.json"]


def test_garbage_is_what_is_saved_of_this_network_alone(tmp_path: Any) -> None:
    """Files of other networks, and of the reference, which names none, stay."""
    for name, text in {
        "c1_eth0.json": '{"network": "net"}', "c2_eth0.json": '{"network": "net"}', "c3_eth0.json": "{}",
        "c4_eth0.json": '{"network": "other"}', "c5_eth0.json": "{", "notes.txt": '{"network": "net"}',
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    valid = [{"containerID": "c1", "ifname": "eth0"}]
    config = TUNING | {"dataDir": str(tmp_path), "cni.dev/valid-attachments": valid}
    serve(DELEGATE, "GC", config)
    assert sorted(file.name[:2] for file in tmp_path.iterdir()) == ["c1", "c3", "c4", "c5", "no"]
    serve(DELEGATE, "GC", config | {"dataDir": str(tmp_path / "none")})

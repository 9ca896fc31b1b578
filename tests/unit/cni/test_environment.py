# SPDX-License-Identifier: Apache-2.0
"""The environment of a call: what each verb needs, and what it gets when something is wrong."""

import pytest

from metacni.cni.environment import Environment, parse
from metacni.cni.errors import CniError
from metacni.cni.names import ContainerId, IfName, NetnsPath
from metacni.cni.versions import Verb

_FULL = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "c1",
    "CNI_NETNS": "/run/netns/x",
    "CNI_IFNAME": "eth0",
    "CNI_ARGS": "A=1;B=2",
    "CNI_PATH": "/opt/cni/bin::/usr/lib/cni",
}


@pytest.mark.parametrize("verb", [Verb.ADD, Verb.CHECK, Verb.DEL])
def test_a_full_environment_is_read(verb: Verb) -> None:
    """All six variables, checked and split."""
    assert parse({**_FULL, "CNI_COMMAND": verb}) == Environment(
        verb=verb,
        container_id=ContainerId("c1"),
        netns=NetnsPath("/run/netns/x"),
        ifname=IfName("eth0"),
        args=(("A", "1"), ("B", "2")),
        path=("/opt/cni/bin", "/usr/lib/cni"),
    )


@pytest.mark.parametrize("verb", [Verb.GC, Verb.STATUS, Verb.VERSION])
def test_a_verb_without_a_container_ignores_the_rest(verb: Verb) -> None:
    """Even bad values: they mean nothing there."""
    env = {"CNI_COMMAND": verb.value, "CNI_CONTAINERID": "/", "CNI_IFNAME": "/", "CNI_ARGS": "x", "CNI_PATH": "/bin"}
    assert parse(env) == Environment(
        verb=verb, container_id=ContainerId(""), netns=NetnsPath(""), ifname=IfName(""), args=(), path=("/bin",)
    )


def test_del_works_without_namespace_and_path() -> None:
    """The namespace may be gone, and our own configuration gives a search path."""
    got = parse({"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0", "CNI_NETNS": ""})
    assert (got.netns, got.path, got.args) == ("", (), ())


@pytest.mark.parametrize(
    ("env", "code", "message"),
    [
        pytest.param({}, 4, "required env variables [CNI_COMMAND] missing", id="nothing"),
        pytest.param(
            {"CNI_COMMAND": "ADD"},
            4,
            "required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME] missing",
            id="all-missing-at-once",
        ),
        pytest.param(
            {**_FULL, "CNI_COMMAND": "CHECK", "CNI_NETNS": ""},
            4,
            "required env variables [CNI_NETNS] missing",
            id="empty",
        ),
        pytest.param(
            {"CNI_COMMAND": "DEL"}, 4, "required env variables [CNI_CONTAINERID,CNI_IFNAME] missing", id="del"
        ),
        pytest.param({**_FULL, "CNI_COMMAND": "add"}, 4, "unknown CNI_COMMAND: 'add'", id="lower-case-command"),
        pytest.param({"CNI_COMMAND": "UPDATE"}, 4, "unknown CNI_COMMAND: 'UPDATE'", id="unknown-command"),
        pytest.param({**_FULL, "CNI_ARGS": "x"}, 4, "cannot read CNI_ARGS: 'x' is not KEY=VALUE", id="bad-arguments"),
        pytest.param({**_FULL, "CNI_ARGS": "A=\udcff"}, 4, "cannot read CNI_ARGS: not UTF-8", id="bytes-in-arguments"),
        pytest.param({**_FULL, "CNI_NETNS": "/\udcff"}, 4, "cannot read CNI_NETNS: not UTF-8", id="bytes-in-netns"),
        pytest.param({**_FULL, "CNI_PATH": "/\udcff"}, 4, "cannot read CNI_PATH: not UTF-8", id="bytes-in-path"),
    ],
)
def test_a_bad_environment_is_code_4(env: dict[str, str], code: int, message: str) -> None:
    """With the variables in the message."""
    with pytest.raises(CniError) as caught:
        parse(env)
    assert (caught.value.code, caught.value.msg) == (code, message)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("CNI_CONTAINERID", "../x", id="container"),
        pytest.param("CNI_CONTAINERID", "c" * 300, id="long-container"),
        pytest.param("CNI_IFNAME", "a/b", id="interface"),
        pytest.param("CNI_IFNAME", "\udcff", id="bytes-in-interface"),
    ],
)
def test_a_bad_name_is_code_4(name: str, value: str) -> None:
    """Before stdin is read."""
    with pytest.raises(CniError) as caught:
        parse({**_FULL, name: value})
    assert caught.value.code == 4

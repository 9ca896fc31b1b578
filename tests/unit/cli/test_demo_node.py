# SPDX-License-Identifier: Apache-2.0
"""The demo's node, as far as it goes without a namespace: its example, its guard, and what it reads from `ip`."""

import json
from pathlib import Path

import pytest

from metacni.cli import demo_node
from metacni.cli.command import CommandError
from metacni.cli.demo_node import DemoNode, DemoPod

DELEGATE = {"name": "pods", "type": "bridge"}
CONFLIST = {"name": "node", "cniVersion": "1.0.0", "plugins": [{"type": "metacni", "delegates": [DELEGATE]}]}
MANIFESTS = """
apiVersion: v1
kind: Pod
metadata: {name: left, namespace: demo, annotations: {k8s.v1.cni.cncf.io/networks: lan}}
---
apiVersion: v1
kind: Pod
metadata: {name: right}
"""


def example(folder: Path) -> Path:
    """A folder with an example's two files."""
    (folder / "node.conflist").write_text(json.dumps(CONFLIST))
    (folder / "definitions.yaml").write_text(MANIFESTS)
    return folder


def node(folder: Path) -> DemoNode:
    """A node that is not started."""
    return DemoNode(folder, folder / "plugins", ())


def test_the_pods_are_those_of_the_example(tmp_path: Path) -> None:
    """With their namespaces and annotations."""
    pods = [(pod.namespace, pod.name, dict(pod.annotations)) for pod in node(example(tmp_path)).pods]
    assert pods == [
        ("demo", "left", {"k8s.v1.cni.cncf.io/networks": "lan"}),
        ("default", "right", {}),
    ]


def test_the_configuration_is_what_a_runtime_would_hand_over(tmp_path: Path) -> None:
    """The list's name and version in the plugin, and where this node's plugins and files are."""
    (tmp_path / "net.d").mkdir()
    assert node(example(tmp_path))._config == {
        "type": "metacni",
        "delegates": [{"name": "pods", "type": "bridge"}],
        "name": "node",
        "cniVersion": "1.0.0",
        "binDir": "/run/metacni-demo/bin",
        "confDir": str(tmp_path / "net.d"),
    }


@pytest.mark.parametrize(
    ("printed", "said", "words"),
    [
        pytest.param('{"code": 7, "msg": "no \\u2026 such\\nthing"}', "", "no … such thing", id="message"),
        pytest.param('{"code": 7, "msg": "no", "details": "try it"}', "", "no (try it)", id="hint"),
        pytest.param("", "panic: x\n", "exited with status 1: panic: x", id="words-on-stderr"),
        pytest.param("[]", "", "exited with status 1 and printed no error object but '[]'", id="another-json"),
    ],
)
def test_an_error_of_the_shim_is_told_in_words(printed: str, said: str, words: str) -> None:
    """The object that a runtime gets is JSON; a person gets its message and hint."""
    assert demo_node._in_words(1, printed, said) == words


def test_an_answer_that_is_no_json_is_an_error_in_one_line(tmp_path: Path) -> None:
    """Whatever stands where the shim should: the demo ends with a sentence, not with a traceback."""
    made = ShimNode(example(tmp_path), tmp_path / "plugins", ())
    with pytest.raises(CommandError, match=r"^ADD of pod left answered no JSON: "):
        made.add(made.pods[0])


class ShimNode(DemoNode):
    """A node whose shim talks nonsense."""

    def _call(self, verb: str, pod: DemoPod) -> str:
        return f"{verb} {pod.name}"


def test_two_pods_have_two_sandboxes() -> None:
    """The id is random, so that a demo never meets another one's records."""
    left, right = DemoPod(name="left", annotations={}), DemoPod(name="right", annotations={})
    assert left.sandbox != right.sandbox
    assert left.netns == "/run/netns/left"


@pytest.mark.parametrize(
    "outside",
    [
        pytest.param((), id="not-told"),
        pytest.param(demo_node.namespaces(), id="the-machines-own"),
        pytest.param((demo_node.namespaces()[0], "mnt:[1]"), id="only-the-mounts-are-fresh"),
        pytest.param(("net:[1]", demo_node.namespaces()[1]), id="only-the-network-is-fresh"),
    ],
)
def test_it_never_works_in_the_machines_own_namespaces(tmp_path: Path, outside: tuple[str, ...]) -> None:
    """start() would mount over /run: it refuses before it does anything."""
    with pytest.raises(CommandError, match="runs inside its own namespaces only"):
        DemoNode(example(tmp_path), tmp_path, outside).start()


def test_namespaces_are_named_as_the_kernel_does() -> None:
    """Network and mount, in this order."""
    assert [name.split(":")[0] for name in demo_node.namespaces()] == ["net", "mnt"]


def test_addresses_are_the_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Global ones with their prefix, by interface; the loopback is no network."""
    seen = [
        {"ifname": "lo", "addr_info": [{"scope": "host", "local": "127.0.0.1", "prefixlen": 8}]},
        {
            "ifname": "eth0",
            "addr_info": [
                {"scope": "global", "local": "10.88.0.2", "prefixlen": 24},
                {"scope": "link", "local": "fe80::1", "prefixlen": 64},
            ],
        },
    ]
    (tmp_path / "ip").write_text(f"#!/bin/sh\nprintf %s '{json.dumps(seen)}'\n")
    (tmp_path / "ip").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert node(example(tmp_path)).addresses(DemoPod(name="left", annotations={})) == {"eth0": ["10.88.0.2/24"]}


def test_a_node_that_never_started_can_be_stopped_and_has_no_log(tmp_path: Path) -> None:
    """The story's end comes whatever happened before."""
    made = node(example(tmp_path))
    made.stop()
    assert made.log() == ""

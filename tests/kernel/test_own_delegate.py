# SPDX-License-Identifier: Apache-2.0
"""A delegate of another package: the example, installed as its README says, and what its being there does not do."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import parts
from tests.kernel.call import Answer
from tests.kernel.conftest import run_ip
from tests.kernel.node import Node, made_node

EXAMPLE = parts.ROOT / "examples" / "own-delegate"
TAP: dict[str, Any] = {"cniVersion": "1.0.0", "name": "tap", "type": "metacni-wire", "nodeEnd": "tap0"}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the example is installed, by pip as any other package."""
    target = tmp_path_factory.mktemp("site")
    options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
    command = [sys.executable, "-m", "pip", "install", *options, "--root-user-action", "ignore"]
    subprocess.run([*command, "--target", str(target), str(EXAMPLE)], check=True, timeout=60)
    return target


@pytest.fixture
def node(tmp_path: Path, package: Path) -> Iterator[Node]:
    """A node with no plugin, with the package, and with the shim under its delegate's name."""
    (tmp_path / "none").mkdir()
    with made_node(tmp_path, tmp_path / "none") as made:
        settings = tmp_path / "trusting.yaml"
        settings.write_text("trustedDelegates: [wire]")
        command = [sys.executable, "-m", "metacni.cli.main", "install", "--bin-dir", str(made.bin)]
        subprocess.run([*command, "--config", str(settings)], env=env(package), check=True, stdout=subprocess.DEVNULL)
        yield made


def env(package: Path) -> dict[str, str]:
    """Where Python looks for packages."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": f"{package}:{parts.ROOT}"}


def start(node: Node, package: Path, **settings: Any) -> None:
    """Start an agent that can see the package."""
    node.start(variables=env(package), **settings)


def test_a_trusted_delegate_attaches_checks_and_takes_away(node: Node, package: Path) -> None:
    """In the agent, beside ours: its link has the name the network chose, and all goes at once."""
    node.define("tap", TAP)
    start(node, package, trustedDelegates=["wire"])
    pod = node.pod("tap")
    result = node.add(pod)
    assert {"tap0", "net1"} <= {one["name"] for one in result["interfaces"]}
    assert node.file_of(pod, "plan")["attachments"][1]["owners"] == [{"by": "agent"}]
    body = node.config | {"binDir": str(node.bin), "prevResult": result}
    assert node.call("CHECK", pod, body=body).status == 0
    second = node.call("ADD", node.pod("tap"))
    assert second.code == 5
    assert "cannot lay wire 'tap0': file exists" in second.message
    node.delete(pod)
    assert node.left(pod) == []


def test_a_mistake_in_its_configuration_is_told_before_anything_is_touched(node: Node, package: Path) -> None:
    """The skeleton gives every delegate the order of checks."""
    node.define("tap", TAP | {"nodeEnd": "much-too-long-a-name"})
    start(node, package, trustedDelegates=["wire"])
    pod = node.pod("tap")
    answer = node.call("ADD", pod)
    assert answer.code == 7
    assert "cannot use key 'nodeEnd'" in answer.message
    assert node.left(pod) == []


def test_a_package_that_is_there_but_not_trusted_is_never_loaded(node: Node, package: Path) -> None:
    """It would run as root; its type is a program's, and the shim under its name is refused."""
    node.define("tap", TAP)
    start(node, package)
    pod = node.pod("tap")
    answer = node.call("ADD", pod)
    assert "metacni-wire" in answer.message
    assert answer.status == 1
    assert node.left(pod) == []


def test_its_name_is_a_plugin_for_any_runtime(node: Node, package: Path) -> None:
    """The shim under `metacni-wire` needs no plan of ours."""
    start(node, package, trustedDelegates=["wire"])
    pod = node.pod()

    def call(verb: str, body: dict[str, Any]) -> Answer:
        return node.popen(verb, pod, body=body, program="metacni-wire").answer()

    result = call("ADD", TAP).result
    assert call("CHECK", TAP | {"prevResult": result}).status == 0
    run_ip(node.host, "link", "del", "tap0")
    assert call("CHECK", TAP | {"prevResult": result}).code == 999
    assert call("DEL", TAP).status == 0
    assert node.left(pod) == []


def test_a_name_that_nobody_offers_keeps_the_agent_from_starting(node: Node) -> None:
    """Better told now than by the first pod that needs it."""
    node.start(wait=False, trustedDelegates=["nobodys"])
    assert node.agent is not None
    assert node.agent.wait(20) == 1
    told = node.log()
    assert "cannot load delegate 'nobodys' of `trustedDelegates`: no installed package offers it" in told
    (node.root / "agent.log").write_text("")  # it is no line of a log, and was looked at


def test_the_example_is_a_program_too(node: Node, package: Path) -> None:
    """`python -m wire_delegate`, as its README says."""
    pod = node.pod()
    variables = {"CNI_CONTAINERID": "c1", "CNI_NETNS": str(pod.namespace.path), "CNI_IFNAME": "wire0", "CNI_PATH": "/"}
    for verb in ("ADD", "DEL"):
        done = subprocess.run(
            node.inside(sys.executable, "-m", "wire_delegate"),
            input=json.dumps(TAP),
            env=env(package) | variables | {"CNI_COMMAND": verb},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert node.left(pod) == []

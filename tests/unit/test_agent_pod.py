# SPDX-License-Identifier: Apache-2.0
"""examples/agent-pod agrees with itself and with the rest of the tree; that it runs is shown in tests/cluster."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import metacni
from metacni.agent import settings
from metacni.agent.settings import Settings

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "agent-pod"


@pytest.fixture
def manifest() -> tuple[Settings, dict[str, Any]]:
    """The settings of the ConfigMap, and the pod's specification."""
    config, daemon_set = yaml.safe_load_all((EXAMPLE / "agent.yaml").read_text())
    stated = settings.parse(yaml.safe_load(config["data"]["agent.yaml"]), "agent.yaml")
    return stated, daemon_set["spec"]["template"]["spec"]


def pins(lock: Path) -> dict[str, str]:
    """Each requirement and its version."""
    return dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", lock.read_text(), re.MULTILINE))


def test_the_image_has_the_packages_that_the_tests_ran_on() -> None:
    """Its lock is the other one without what only developers need (`make lock` writes both)."""
    image, everything = (pins(folder / "requirements.lock") for folder in (EXAMPLE, ROOT))
    assert image.items() <= everything.items()
    assert {"kubernetes", "jsonschema", "pyroute2", "tenacity", "pyyaml", "rich"} <= image.keys()
    assert not {"pytest", "ruff", "mypy"} & image.keys()


def test_the_image_is_this_version(manifest: tuple[Settings, dict[str, Any]]) -> None:
    """In both containers, and in what the README builds."""
    _, pod = manifest
    name = f"localhost/metacni:{metacni.__version__}"
    assert {container["image"] for container in (*pod["initContainers"], *pod["containers"])} == {name}
    assert name in (EXAMPLE / "README.md").read_text()


def test_what_the_settings_call_the_hosts_is_mounted_at_its_own_path(manifest: tuple[Settings, dict[str, Any]]) -> None:
    """A mount that shows something else there would have a delegate work on the wrong files."""
    stated, pod = manifest
    volumes = {volume["name"]: volume.get("hostPath", {}).get("path") for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in pod["containers"][0]["volumeMounts"]}
    shown = {path for path, host in mounts.items() if path == host and path.startswith("/var/")}
    assert stated.host_paths is not None
    assert set(stated.host_paths) == shown
    assert mounts[str(stated.sysctl_dir)] == "/proc/sys/net"
    for path in (stated.netns_dir, stated.cni_conf_dir, "/run/metacni"):
        assert mounts[str(path)] == str(path)
    assert "/" not in volumes.values()


def test_the_kubelet_waits_longer_than_the_agent_drains(manifest: tuple[Settings, dict[str, Any]]) -> None:
    """Or it would be killed with requests under way."""
    stated, pod = manifest
    assert pod["terminationGracePeriodSeconds"] >= stated.drain_seconds + 10

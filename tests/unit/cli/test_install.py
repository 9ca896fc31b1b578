# SPDX-License-Identifier: Apache-2.0
"""Installing the shim, also over one that runs."""

import json
import subprocess
from pathlib import Path

import pytest

from metacni import shim
from metacni.cli import delegates, install
from metacni.cli.command import CommandError


def test_the_shim_is_installed_and_works(tmp_path: Path) -> None:
    """A runtime can call what was installed at once: VERSION needs nothing else (A34)."""
    path, *_ = install.install(tmp_path / "bin")
    assert path == tmp_path / "bin" / "metacni"
    done = subprocess.run([path], env={"CNI_COMMAND": "VERSION"}, input="", capture_output=True, text=True, check=True)
    assert "1.1.0" in json.loads(done.stdout)["supportedVersions"]


def test_each_delegate_of_ours_can_be_called_by_its_name(tmp_path: Path) -> None:
    """The same program under `metacni-<name>`: for foreign plugins, and for a runtime that wants no agent's plan."""
    ours = [f"metacni-{name}" for name in sorted(delegates.chosen(()))]
    assert {"metacni-bridge", "metacni-host-local"} <= set(ours)
    paths = install.install(tmp_path)
    assert [path.name for path in paths] == ["metacni", *ours]
    assert {path.read_bytes() for path in paths} == {shim.binary().read_bytes()}


def test_the_settings_name_the_trusted_delegates_and_a_mistake_in_them_is_told(tmp_path: Path) -> None:
    """One that nobody offers is named: it must not be found missing by the first pod."""
    settings = tmp_path / "agent.yaml"
    settings.write_text("trustedDelegates: [nobodys]\n")
    with pytest.raises(CommandError, match="cannot load delegate 'nobodys' of `trustedDelegates`"):
        install.install(tmp_path / "bin", install.trusted(settings))
    settings.write_text("trustedDelegate: []\n")
    with pytest.raises(CommandError, match="did you mean 'trustedDelegates'"):
        install.trusted(settings)
    assert not list((tmp_path / "bin").glob("*"))


def test_an_installed_shim_that_runs_is_replaced_without_harm(tmp_path: Path) -> None:
    """The running program keeps its file; no "text file busy", and no leftover beside it."""
    path, *_ = install.install(tmp_path)
    environment = {
        "CNI_COMMAND": "DEL",
        "CNI_CONTAINERID": "a",
        "CNI_IFNAME": "eth0",
        "METACNI_SOCKET": str(tmp_path / "s"),
    }
    with subprocess.Popen([path], env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as running:
        before = path.stat().st_ino
        install.install(tmp_path)
        assert running.poll() is None
        assert path.stat().st_ino != before
        running.kill()
    assert path.read_bytes() == shim.binary().read_bytes()
    assert list(tmp_path.glob(".metacni*")) == []


def test_it_is_executable_for_everybody_and_writable_for_root_only(tmp_path: Path) -> None:
    """Mode 0755: the runtime may run it under any user."""
    assert {path.stat().st_mode & 0o7777 for path in install.install(tmp_path)} == {0o755}


def test_a_folder_that_cannot_be_written_is_an_error_in_words() -> None:
    """Nothing is half installed."""
    with pytest.raises(CommandError, match="cannot install into '/proc/x'"):
        install.install(Path("/proc/x"))

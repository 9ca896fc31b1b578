# SPDX-License-Identifier: Apache-2.0
"""Whether a sandbox still stands: the same boot, and the same namespace at the same path."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from metacni.journal.sandbox import SandboxIdentity, alive, boot_id, gone

BOOT = "0d3c3b54-5f5c-4c3c-9c39-0f6a9a4b8f10"


@pytest.fixture
def boot_file(tmp_path: Path) -> Path:
    """A stand-in for the kernel's file."""
    path = tmp_path / "boot_id"
    path.write_text(f"{BOOT}\n")
    return path


@pytest.fixture
def identity(tmp_path: Path) -> SandboxIdentity:
    """A sandbox whose "namespace" is a file."""
    netns = tmp_path / "netns"
    netns.touch()
    status = netns.stat()
    return SandboxIdentity(boot_id=BOOT, netns_path=str(netns), device=status.st_dev, inode=status.st_ino)


def test_the_kernel_names_its_boot() -> None:
    """By default the id is the kernel's, a UUID without a line end."""
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", boot_id())


def test_the_same_boot_and_namespace_is_alive(identity: SandboxIdentity, boot_file: Path) -> None:
    """All four facts agree: the pod may be running."""
    assert alive(identity, boot_id_path=boot_file)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"boot_id": "another"}, id="another-boot"),
        pytest.param({"inode": 1}, id="another-namespace-at-the-path"),
        pytest.param({"device": 1}, id="another-device-as-of-a-leftover-plain-file"),
        pytest.param({"netns_path": "/nonexistent/netns"}, id="the-path-is-gone"),
        pytest.param({"netns_path": "/dev/null/netns"}, id="a-file-in-the-path"),
        pytest.param({"netns_path": ""}, id="no-path"),
    ],
)
def test_any_other_fact_means_gone(identity: SandboxIdentity, boot_file: Path, change: dict[str, str]) -> None:
    """After a reboot, or with another namespace at the path, what the sandbox held can be released."""
    assert not alive(replace(identity, **change), boot_id_path=boot_file)  # type: ignore[arg-type]


def test_a_path_that_cannot_be_looked_at_is_no_sign_of_death(identity: SandboxIdentity, boot_file: Path) -> None:
    """A loop of symlinks (or no permission) raises: what an unseen pod holds must not be released."""
    loop = Path(identity.netns_path).with_name("loop")
    loop.symlink_to(loop)
    with pytest.raises(OSError, match="symbolic links"):
        alive(replace(identity, netns_path=str(loop)), boot_id_path=boot_file)


def test_an_identity_survives_the_disk() -> None:
    """Reading what was written gives the same value, a path with odd characters included."""
    identity = SandboxIdentity(boot_id=BOOT, netns_path='/run/netns/cni-"ü', device=4, inode=4026531840)
    assert SandboxIdentity.from_json(identity.to_json()) == identity


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"[]", id="no-object"),
        pytest.param(b"{}", id="nothing-in-it"),
        pytest.param(b'{"boot_id":"b","netns_path":"p","device":"1","inode":2}', id="wrong-type"),
        pytest.param(b'{"boot_id":"b","netns_path":"p","device":1,"inode":2,"more":3}', id="unknown-field"),
        pytest.param(b"\xff", id="no-text"),
    ],
)
def test_anything_else_is_no_identity(text: bytes) -> None:
    """A file that passes its checksum but says something else is refused."""
    with pytest.raises((TypeError, ValueError)):
        SandboxIdentity.from_json(text)


def own_namespace(**change: object) -> SandboxIdentity:
    """The identity of the namespace that the test runs in."""
    found = Path("/proc/self/ns/net").stat()
    known = {"boot_id": BOOT, "netns_path": "/proc/self/ns/net", "device": found.st_dev, "inode": found.st_ino}
    return SandboxIdentity(**known | change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, False, id="it-stands"),
        pytest.param({"boot_id": "another"}, True, id="another-boot"),
        pytest.param({"inode": 1}, True, id="another-namespace-at-the-path"),
        pytest.param({"netns_path": "/proc/self/ns/none"}, True, id="missing-among-others"),
        pytest.param({"netns_path": "/nonexistent/netns"}, False, id="the-folder-is-not-mounted-here"),
        pytest.param({"netns_path": "/proc/self/status"}, False, id="a-plain-file-under-a-mount-unseen"),
    ],
)
def test_only_proof_means_gone(boot_file: Path, change: dict[str, object], *, expected: bool) -> None:
    """What an agent merely cannot see may be a living pod."""
    assert gone(own_namespace(**change), boot_id_path=boot_file) is expected


def test_an_empty_folder_is_no_proof(boot_file: Path, tmp_path: Path) -> None:
    """A container's own /run/netns is there and empty."""
    folder = tmp_path / "netns"
    folder.mkdir()
    assert not gone(own_namespace(netns_path=str(folder / "cni-1")), boot_id_path=boot_file)

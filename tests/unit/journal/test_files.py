# SPDX-License-Identifier: Apache-2.0
"""Files of the journal: whole or absent, private, and never reached through a symlink."""

import os
import re
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metacni.journal import files
from metacni.journal.files import CorruptRecord

CONTENT = b'{"plan":1}'
ON_DISK = b'8a8c3e38e4a4f3b5a8dc3eb8b2a1a0eb4a4a2b0e0d4f2b4e9d8c7b6a5f4e3d2c\n{"plan":1}'  # a wrong checksum


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[int]:
    """An open, private folder: `tmp_path` itself."""
    tmp_path.chmod(0o700)
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_a_written_file_reads_back_and_is_private(tmp_path: Path, parent: int) -> None:
    """What was written is read, and only its owner may use the file (B28)."""
    files.write("plan", parent, CONTENT, tmp_path / "plan")
    assert files.read("plan", parent, tmp_path / "plan") == CONTENT
    assert stat.S_IMODE((tmp_path / "plan").stat().st_mode) == 0o600


def test_the_format_is_a_checksum_line_and_the_content(tmp_path: Path, parent: int) -> None:
    """Line 1 is the SHA-256 of everything after it, so that `tail -n +2` and `sha256sum` suffice to look."""
    files.write("plan", parent, b"abc", tmp_path / "plan")
    assert (tmp_path / "plan").read_bytes() == (
        b"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\nabc"
    )


def test_an_empty_content_is_not_an_empty_file(tmp_path: Path, parent: int) -> None:
    """Nothing, written on purpose, reads back as nothing."""
    files.write("plan", parent, b"", tmp_path / "plan")
    assert files.read("plan", parent, tmp_path / "plan") == b""


def test_a_missing_file_is_none(tmp_path: Path, parent: int) -> None:
    """Absent is no error: a step may not have run."""
    assert files.read("plan", parent, tmp_path / "plan") is None


def test_replace_leaves_no_unfinished_file(tmp_path: Path, parent: int) -> None:
    """The older content is replaced by a rename, and nothing else is left in the folder."""
    files.replace("answer", parent, b"old", tmp_path / "answer")
    files.replace("answer", parent, b"new", tmp_path / "answer")
    assert files.read("answer", parent, tmp_path / "answer") == b"new"
    assert files.names(parent) == ["answer"]


def test_replace_does_not_write_through_a_symlink(tmp_path: Path, parent: int) -> None:
    """A symlink in a file's place is replaced; what it points to stays as it was."""
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    (tmp_path / "answer").symlink_to(target)
    files.replace("answer", parent, b"new", tmp_path / "answer")
    assert target.read_bytes() == b"precious"
    assert not (tmp_path / "answer").is_symlink()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flipped(path: Path) -> None:
    text = bytearray(path.read_bytes())
    text[-2] ^= 1
    path.write_bytes(text)


def _flipped_checksum(path: Path) -> None:
    text = bytearray(path.read_bytes())
    text[0] ^= 1
    path.write_bytes(text)


def _symlink(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _replaced_by(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def _huge(path: Path) -> None:
    os.truncate(path, files.MAX_FILE + 1)


DAMAGES = (
    pytest.param(_cut, "its checksum does not match", id="cut-by-one-byte"),
    pytest.param(lambda path: os.truncate(path, 20), "it is cut short", id="cut-in-the-checksum"),
    pytest.param(lambda path: os.truncate(path, 64), "it is cut short", id="cut-after-the-checksum"),
    pytest.param(_flipped, "its checksum does not match", id="one-bit-of-the-content"),
    pytest.param(_flipped_checksum, "its checksum does not match", id="one-bit-of-the-checksum"),
    pytest.param(lambda path: os.truncate(path, 0), "it is cut short", id="empty-as-after-a-power-cut"),
    pytest.param(lambda path: path.write_bytes(b"\0" * 4096), "it does not start with a checksum", id="zeros"),
    pytest.param(lambda path: path.write_bytes(os.urandom(32)), "it is cut short", id="short-garbage"),
    pytest.param(lambda path: path.write_bytes(ON_DISK), "its checksum does not match", id="another-checksum"),
    pytest.param(_huge, "it is larger than 16777216 bytes", id="huge"),
    pytest.param(_symlink, "it is not a regular file", id="symlink"),
    pytest.param(_replaced_by(Path.mkdir), "it is not a regular file", id="folder"),
    pytest.param(_replaced_by(os.mkfifo), "it is not a regular file", id="fifo"),
    pytest.param(_replaced_by(_socket), "it is not a regular file", id="socket"),
    pytest.param(lambda path: path.chmod(0o640), "its mode is 0640: others may use it", id="group-may-read"),
)


@pytest.mark.parametrize(("damage", "reason"), DAMAGES)
def test_damage_is_named(tmp_path: Path, parent: int, damage: Callable[[Path], object], reason: str) -> None:
    """A file that is not as we wrote it is never read as if it were: the error names it and says why."""
    path = tmp_path / "plan"
    files.write("plan", parent, CONTENT, path)
    damage(path)
    with pytest.raises(CorruptRecord, match=re.escape(f"cannot trust {str(path)!r}: {reason}")) as caught:
        files.read("plan", parent, path)
    assert (caught.value.path, caught.value.reason) == (path, reason)


def _folder_symlink(path: Path) -> None:
    path.rmdir()
    path.with_name("elsewhere").mkdir(mode=0o700)
    path.symlink_to("elsewhere")


def _folder_file(path: Path) -> None:
    path.rmdir()
    path.touch()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        pytest.param(_folder_symlink, "it is not a folder", id="symlink"),
        pytest.param(_folder_file, "it is not a folder", id="file"),
        pytest.param(lambda path: path.chmod(0o750), "its mode is 0750: others may use it", id="group-may-enter"),
    ],
)
def test_a_damaged_folder_is_named(tmp_path: Path, parent: int, damage: Callable[[Path], object], reason: str) -> None:
    """A folder that is a symlink, or that others may enter, is not entered."""
    path = tmp_path / "sandbox"
    files.make_folder("sandbox", parent, path)
    damage(path)
    with (
        pytest.raises(CorruptRecord, match=re.escape(f"cannot trust {str(path)!r}: {reason}")),
        files.folder("sandbox", parent, path),
    ):
        pytest.fail("it was entered")


def test_a_folder_made_here_is_private(tmp_path: Path, parent: int) -> None:
    """Only its owner may enter a folder of the journal (B28)."""
    files.make_folder("sandbox", parent, tmp_path / "sandbox")
    assert stat.S_IMODE((tmp_path / "sandbox").stat().st_mode) == 0o700


def test_an_error_names_the_whole_path(tmp_path: Path, parent: int) -> None:
    """Calls relative to a folder know only a piece of the path; the error has all of it."""
    with pytest.raises(FileNotFoundError) as caught, files.folder("gone", parent, tmp_path / "gone"):
        pytest.fail("it was entered")
    assert caught.value.filename == str(tmp_path / "gone")


def test_write_refuses_a_name_that_is_taken(tmp_path: Path, parent: int) -> None:
    """Creating is exclusive: what stands there stays."""
    files.write("plan", parent, b"first", tmp_path / "plan")
    with pytest.raises(FileExistsError):
        files.write("plan", parent, b"second", tmp_path / "plan")
    assert files.read("plan", parent, tmp_path / "plan") == b"first"


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path, parent: int) -> None:
    """A plan that is too large fails the ADD; found out by the DEL, it would leave the pod's networks behind."""
    largest = files.MAX_FILE - 65  # the checksum and its line end
    files.write("plan", parent, bytes(largest), tmp_path / "plan")
    assert files.read("plan", parent, tmp_path / "plan") == bytes(largest)
    with pytest.raises(OSError, match="File too large"):
        files.replace("plan", parent, bytes(largest + 1), tmp_path / "plan")
    assert files.names(parent) == ["plan"]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(Path.touch, id="file"),
        pytest.param(lambda path: path.symlink_to("keep"), id="symlink"),
        pytest.param(Path.mkdir, id="empty-folder"),
        pytest.param(lambda path: (path / "a" / "b").mkdir(parents=True), id="folder-of-folders"),
        pytest.param(lambda _: None, id="nothing"),
    ],
)
def test_delete_takes_whatever_stands_there(tmp_path: Path, parent: int, make: Callable[[Path], object]) -> None:
    """Files, symlinks (not their targets) and folders go; nothing at all is fine."""
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep" / "file").touch()
    make(tmp_path / "old")
    files.delete("old", parent, tmp_path / "old")
    assert sorted(files.names(parent)) == ["keep"]
    assert (tmp_path / "keep" / "file").exists()

# SPDX-License-Identifier: Apache-2.0
"""The folder: the reference's files, and every way in which a folder can be no folder of leases."""

import fcntl
import os
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path

import pytest

from delegates.ipam import store
from delegates.ipam.allocator import Holder
from metacni.cni.errors import CniError
from metacni.cni.names import ContainerId, IfName

C1, C2 = (Holder(ContainerId(name), IfName("eth0")) for name in ("c1", "c2"))
NET1 = Holder(ContainerId("c1"), IfName("net1"))
A, B = ip_address("10.1.0.2"), ip_address("fd01::2")


def files(folder: Path) -> dict[str, bytes]:
    """What stands in a folder, less the lock."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file() and file.name != "lock"}


def test_a_lease_is_a_file_of_the_reference(tmp_path: Path) -> None:
    """To the byte and to the mode."""
    with store.make(tmp_path / "deep/er", "net") as folder:
        assert folder.reserve(A, C1) is True
        assert folder.reserve(A, C2) is False
        folder.remember(0, ip_address("10.1.0.200"))
        folder.remember(0, A)
    where = tmp_path / "deep/er/net"
    assert files(where) == {"10.1.0.2": b"c1\r\neth0", "last_reserved_ip.0": b"10.1.0.2"}
    assert oct((where / "10.1.0.2").stat().st_mode) == "0o100600"
    assert oct(where.stat().st_mode) == "0o40755"


def test_leases_are_found_and_given_back_by_what_they_say(tmp_path: Path) -> None:
    """All of one container's interface, and no other's."""
    with store.make(tmp_path, "net") as folder:
        for address, holder in ((A, C1), (B, C1), (ip_address("10.1.0.3"), NET1), (ip_address("10.1.0.4"), C2)):
            folder.reserve(address, holder)
        assert set(folder.held(C1)) == {A, B}
        folder.release(C1)
        assert folder.held(C1) == []
        assert folder.taken() == {ip_address("10.1.0.3"), ip_address("10.1.0.4")}


def test_the_oldest_form_counts_when_there_is_no_exact_one(tmp_path: Path) -> None:
    """A file that holds the container alone."""
    with store.make(tmp_path, "net") as folder:
        (tmp_path / "net/10.1.0.9").write_text("c1\n")
        folder.reserve(A, C1)
        folder.release(C1)
        assert set(files(tmp_path / "net")) == {"10.1.0.9"}
        folder.release(C1)
        assert files(tmp_path / "net") == {}


def test_garbage_is_what_nobody_holds(tmp_path: Path) -> None:
    """The lock, the turn and what is no lease stay."""
    with store.make(tmp_path, "net") as folder:
        for address, holder in ((A, C1), (B, C2), (ip_address("10.1.0.3"), NET1)):
            folder.reserve(address, holder)
        (tmp_path / "net/10.1.0.9").write_text("c1")
        (tmp_path / "net/README").write_text("not a lease")
        folder.remember(0, A)
        folder.release_others([C1])
    assert set(files(tmp_path / "net")) == {"10.1.0.2", "10.1.0.9", "last_reserved_ip.0", "README"}


def test_a_file_that_nobody_filled_blocks_no_address_for_ever(tmp_path: Path) -> None:
    """Its writer was killed. It is nobody's after a minute: for the next who asks, and for GC."""
    with store.make(tmp_path, "net") as folder:
        for name in ("10.1.0.2", "10.1.0.3", "10.1.0.4", "README"):
            (tmp_path / "net" / name).touch()
        folder.release_others([])
        assert set(files(tmp_path / "net")) == {"10.1.0.2", "10.1.0.3", "10.1.0.4", "README"}
        assert folder.reserve(A, C1) is False
        long_ago = time.time() - 61
        for name in ("10.1.0.2", "10.1.0.3", "README"):
            os.utime(tmp_path / "net" / name, (long_ago, long_ago))
        assert folder.taken() == {ip_address("10.1.0.4")}
        assert folder.reserve(A, C1) is True
        folder.release_others([C1])
        assert files(tmp_path / "net") == {"10.1.0.2": b"c1\r\neth0", "10.1.0.4": b"", "README": b""}


@pytest.mark.parametrize("text", [b"", b"garbage", b"\xff\xfe", b"10.1.0.2 10.1.0.3"])
def test_a_turn_that_cannot_be_read_begins_anew(tmp_path: Path, text: bytes) -> None:
    """It is no reason to fail."""
    with store.make(tmp_path, "net") as folder:
        (tmp_path / "net/last_reserved_ip.0").write_bytes(text)
        assert folder.last(0) is None
        folder.remember(0, A)
        assert folder.last(0) == A


def test_a_folder_full_of_oddities_still_serves(tmp_path: Path) -> None:
    """Folders, pipes, links that lead nowhere, empty and huge files under the names of addresses."""
    with store.make(tmp_path, "net") as folder:
        where = tmp_path / "net"
        (where / "10.1.0.9").mkdir()
        os.mkfifo(where / "10.1.0.8")
        (where / "10.1.0.7").symlink_to("/etc/passwd")
        (where / "10.1.0.6").write_bytes(b"")
        (where / "10.1.0.5").write_bytes(b"x" * 100_000)
        folder.reserve(A, C1)
        assert folder.held(C1) == [A]
        assert not folder.reserve(ip_address("10.1.0.7"), C1)
        folder.release(C1)
        assert folder.held(C1) == []
    assert Path("/etc/passwd").exists()


def _link(path: Path) -> None:
    (path.parent / "elsewhere").mkdir()
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("what", ["net", "."], ids=["the-networks", "the-data-dir"])
@pytest.mark.parametrize("make", [_link, Path.touch], ids=["symbolic-link", "plain-file"])
def test_a_folder_that_is_none_is_refused(tmp_path: Path, what: str, make: object) -> None:
    """For every verb, with code 5 and its path; nothing is made behind it."""
    data = tmp_path / "data"
    if what == "net":
        data.mkdir()
    path = data / "net" if what == "net" else data
    (_link if make is _link else Path.touch)(path)
    with pytest.raises(CniError, match="lease folder") as caught:
        store.make(data, "net")
    assert caught.value.code == 5
    with pytest.raises(CniError, match="lease folder"), store.existing(data, "net"):
        pass
    elsewhere = path.parent / "elsewhere"
    assert not elsewhere.exists() or list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", ["lock", "last_reserved_ip.0", "10.1.0.2"])
def test_a_symbolic_link_inside_is_not_followed(tmp_path: Path, name: str) -> None:
    """Or a file of the node could be overwritten."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / name).symlink_to(victim)

    def use() -> bool:
        with store.make(tmp_path, "net") as folder:
            reserved = folder.reserve(A, C1)
            folder.remember(0, A)
            return reserved

    if name == "10.1.0.2":
        assert use() is False
    else:
        with pytest.raises(CniError, match=r"lease folder") as caught:
            use()
        assert caught.value.code == 5
    assert victim.read_text() == "precious"


def test_what_is_not_there_is_not_made_to_look_at(tmp_path: Path) -> None:
    """Neither the folder nor the one above it."""
    with store.existing(tmp_path / "none", "net") as folder:
        assert folder is None
    with store.existing(tmp_path, "net") as folder:
        assert folder is None
    assert list(tmp_path.iterdir()) == []


def test_one_at_a_time(tmp_path: Path) -> None:
    """Threads of ours wait for each other as programs do."""
    inside: list[int] = []

    def work(number: int) -> None:
        with store.make(tmp_path, "net"):
            inside.append(number)
            time.sleep(0.002)
            assert inside == [number]
            inside.remove(number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(20)))


def test_the_lock_is_the_references(tmp_path: Path) -> None:
    """flock on the file `lock`; whoever holds it is waited for."""
    with store.make(tmp_path, "net"):
        pass
    fd = os.open(tmp_path / "net/lock", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: store.make(tmp_path, "net").__enter__())
        time.sleep(0.05)
        assert not waiting.done()
        os.close(fd)
        waiting.result(5).__exit__(None, None, None)


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    """However it ends."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net/lock").mkdir()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted, not walked
    with pytest.raises(CniError), store.make(tmp_path, "net"):
        pass
    with store.make(tmp_path, "other"), store.existing(tmp_path, "other2"):
        pass
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - likewise

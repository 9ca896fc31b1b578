# SPDX-License-Identifier: Apache-2.0
"""The file: kept or undone as a whole, one at a time, and every way in which it can be no file of leases."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from delegates.ipam import database
from metacni.cni.errors import CniError

SCHEMA = "CREATE TABLE words (word TEXT);"


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    database.close()


def say(path: Path, word: str) -> None:
    """Write a word down."""
    with database.transaction(path, SCHEMA, make=True) as connection:
        assert connection is not None
        connection.execute("INSERT INTO words VALUES (?)", (word,))


def words(path: Path) -> list[str] | None:
    """What stands there; None: nothing does."""
    with database.transaction(path, SCHEMA, make=False) as connection:
        return None if connection is None else [word for (word,) in connection.execute("SELECT word FROM words")]


def test_it_is_made_for_nobody_else(tmp_path: Path) -> None:
    """And only when it is to be made."""
    net = tmp_path / "deep" / "net"
    assert words(net) is None
    assert not net.parent.exists()
    say(net, "one")
    assert words(net) == ["one"]
    assert oct(net.stat().st_mode) == "0o40700"
    assert {oct(file.stat().st_mode) for file in net.iterdir()} == {"0o100600"}


def test_what_fails_is_undone(tmp_path: Path) -> None:
    """Whatever the failure."""
    net = tmp_path / "net"
    say(net, "one")

    def fail(failure: BaseException) -> None:
        with database.transaction(net, SCHEMA, make=True) as connection:
            assert connection is not None
            connection.execute("INSERT INTO words VALUES ('two')")
            raise failure

    for failure in (CniError(7, "no"), KeyboardInterrupt()):
        with pytest.raises(type(failure)):
            fail(failure)
    assert words(net) == ["one"]


def test_it_outlives_the_process(tmp_path: Path) -> None:
    """Closed and opened again; nothing of SQLite's own is left beside it."""
    net = tmp_path / "net"
    say(net, "one")
    database.close()
    assert [file.name for file in net.iterdir()] == ["leases.db"]
    assert words(net) == ["one"]


def test_one_thread_at_a_time(tmp_path: Path) -> None:
    """They wait for each other, and none is lost."""
    net, inside = tmp_path / "net", list[int]()

    def work(number: int) -> None:
        with database.transaction(net, SCHEMA, make=True) as connection:
            assert connection is not None
            inside.append(number)
            time.sleep(0.001)
            connection.execute("INSERT INTO words VALUES (?)", (str(number),))
            assert inside == [number]
            inside.clear()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    assert sorted(map(int, words(net) or [])) == list(range(40))


def test_another_process_is_waited_for(tmp_path: Path) -> None:
    """Here it is another connection."""
    net = tmp_path / "net"
    say(net, "one")
    other = sqlite3.connect(net / "leases.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(say, net, "two")
        time.sleep(0.05)
        assert not waiting.done()
        other.execute("COMMIT")
        waiting.result(5)
    other.close()
    assert words(net) == ["one", "two"]


def test_a_folder_that_was_replaced_is_opened_anew(tmp_path: Path) -> None:
    """What a process has open is not what counts, but what stands there."""
    net = tmp_path / "net"
    say(net, "one")
    net.rename(tmp_path / "old")
    assert words(net) is None
    say(net, "two")
    assert words(net) == ["two"]
    assert words(tmp_path / "old") == ["one"]


def test_so_many_are_kept_open_and_no_more(tmp_path: Path) -> None:
    """A node of many networks does not run out of descriptors; each is found again."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted, not walked
    for number in range(database.MAX_OPEN + 8):
        say(tmp_path / f"net{number}", str(number))
    assert len(os.listdir("/proc/self/fd")) <= before + 3 * database.MAX_OPEN  # noqa: PTH208 - likewise
    assert [words(tmp_path / f"net{number}") for number in (0, 39)] == [["0"], ["39"]]
    database.close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - likewise


def test_threads_over_more_networks_than_are_kept_open(tmp_path: Path) -> None:
    """One closes what another was about to use."""

    def work(number: int) -> None:
        say(tmp_path / f"net{number % (database.MAX_OPEN + 3)}", str(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(4 * database.MAX_OPEN)))
    told = [words(tmp_path / f"net{number}") or [] for number in range(database.MAX_OPEN + 3)]
    assert sorted(int(word) for some in told for word in some) == list(range(4 * database.MAX_OPEN))


def _corrupt(net: Path) -> None:
    (net / "leases.db").write_bytes(b"no database" * 1000)


def _half(net: Path) -> None:
    say(net, "one")
    database.close()
    with (net / "leases.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)


def _newer(net: Path) -> None:
    with sqlite3.connect(net / "leases.db") as connection:
        connection.execute("PRAGMA user_version=7")
    connection.close()


def _link(net: Path) -> None:
    (net.parent / "victim").write_text("precious")
    (net / "leases.db").symlink_to(net.parent / "victim")


def _dangling(net: Path) -> None:
    (net / "leases.db-wal").symlink_to(net.parent / "none")


def _folder(net: Path) -> None:
    (net / "leases.db").mkdir()


def _open_to_others(net: Path) -> None:
    net.chmod(0o777)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(_corrupt, "corrupt", id="garbage"),
        pytest.param(_half, "corrupt", id="half-of-it"),
        pytest.param(_newer, "version 7", id="of-a-newer-version"),
        pytest.param(_link, "symbolic link", id="symbolic-link"),
        pytest.param(_dangling, "symbolic link", id="symbolic-link-beside"),
        pytest.param(_folder, "no file", id="a-folder"),
        pytest.param(_open_to_others, "others may write", id="open-to-others"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, spoil: Callable[[Path], None], says: str) -> None:
    """With code 5 and its path, every time; nothing is changed by it."""
    net = tmp_path / "net"
    net.mkdir(mode=0o700)
    spoil(net)
    for _ in range(2):
        with pytest.raises(CniError, match=says) as caught:
            say(net, "two")
        assert (caught.value.code, str(net) in caught.value.msg) == (5, True)
    assert not (tmp_path / "none").exists()
    if spoil is _link:
        assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.parametrize("what", ["net", "."], ids=["the-network", "the-data-dir"])
def test_a_symbolic_link_is_not_followed(tmp_path: Path, what: str) -> None:
    """Neither to the network's folder nor to the one above it."""
    (tmp_path / "elsewhere").mkdir()
    data = tmp_path / "data"
    if what == "net":
        data.mkdir()
    (data / "net" if what == "net" else data).symlink_to(tmp_path / "elsewhere")
    for make in (True, False):
        with (
            pytest.raises(CniError, match="symbolic link") as caught,
            database.transaction(data / "net", SCHEMA, make=make),
        ):
            pytest.fail("it was opened")
        assert caught.value.code == 5
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_repaired_file_is_used_at_once(tmp_path: Path) -> None:
    """By the process that has found it corrupt."""
    net = tmp_path / "net"
    say(net, "one")
    database.close()
    _corrupt(net)
    with pytest.raises(CniError, match="corrupt"):
        say(net, "two")
    for file in net.iterdir():
        file.unlink()
    say(net, "three")
    assert words(net) == ["three"]


def test_no_thread_is_left_waiting(tmp_path: Path) -> None:
    """After a failure the lock is free."""
    net = tmp_path / "net"
    say(net, "one")
    with pytest.raises(CniError, match="SQLITE_ERROR"), database.transaction(net, "", make=True) as connection:
        (connection or pytest.fail("there is none")).execute("INSERT INTO nowhere VALUES (1)")
    thread = threading.Thread(target=say, args=(net, "two"))
    thread.start()
    thread.join(5)
    assert words(net) == ["one", "two"]

# SPDX-License-Identifier: Apache-2.0
"""What is kept of a link, on a real disk."""

from pathlib import Path

import pytest

from delegates import _saved
from delegates._call import Attachment
from delegates._saved import State
from metacni.cni.errors import CniError
from metacni.cni.names import ContainerId, IfName

OWNER = Attachment(container=ContainerId("c1"), ifname=IfName("eth0"))
FULL = State(mac="02:00:5e:00:00:01", promisc=False, mtu=1500, allmulti=True, queue=1000)
TEXT = (
    b'{\n "mac": "02:00:5e:00:00:01",\n "promisc": false,\n "mtu": 1500,\n "allmulti": true,\n "txQLen": 1000,\n'
    b' "network": "net"\n}'
)


def test_a_state_is_written_in_the_references_form() -> None:
    """To the byte, but for the network; what nobody cares about is left out."""
    assert _saved.encoded(FULL, "net") == TEXT
    assert _saved.encoded(State(mtu=9), "net") == b'{\n "mtu": 9,\n "network": "net"\n}'


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(TEXT, FULL, id="ours"),
        pytest.param(b'{\n "mac": "02:00:5e:00:00:01"\n}', State(mac="02:00:5e:00:00:01"), id="theirs"),
        pytest.param(b"{}", State(), id="empty"),
        pytest.param(b'{"txQLen": 0, "mtu": 0, "mac": ""}', State(queue=0), id="zeros"),
    ],
)
def test_a_state_is_read(data: bytes, expected: State) -> None:
    """Of either program."""
    assert _saved.decoded(data) == expected


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'{"mtu": "x"}', id="wrong-type"),
        pytest.param(b'{"mac": "x"}', id="no-mac"),
        pytest.param(b'{"txQLen": -1}', id="negative"),
    ],
)
def test_what_is_no_state_is_refused(data: bytes) -> None:
    """The caller decides what that means."""
    with pytest.raises(CniError):
        _saved.decoded(data)


def test_a_file_is_written_read_and_removed(tmp_path: Path) -> None:
    """Only for root to read; nothing else is left in the folder, which is made as needed."""
    folder = tmp_path / "a/b"
    with _saved.make(folder, OWNER) as file:
        assert file.read() is None
        file.write(b"one")
        file.write(b"two")
        assert file.read() == b"two"
    (there,) = folder.iterdir()
    assert (there.name, oct(there.stat().st_mode)[-3:]) == ("c1_eth0.json", "600")
    with _saved.existing(folder, OWNER) as again:
        assert again is not None
        again.remove()
        again.remove()
    assert list(folder.iterdir()) == []
    with _saved.existing(tmp_path / "none", OWNER) as none:
        assert none is None


def test_no_symbolic_link_is_followed(tmp_path: Path) -> None:
    """Neither as the folder nor as a file."""
    (tmp_path / "target").write_text("secret")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    (tmp_path / "folder/c1_eth0.json").symlink_to(tmp_path / "target")
    (tmp_path / "folder/c1_eth0.json.new").symlink_to(tmp_path / "target")
    with pytest.raises(CniError, match="a symbolic link, or no folder") as caught:
        _saved.make(tmp_path / "link", OWNER)
    assert caught.value.code == 5
    with _saved.make(tmp_path / "folder", OWNER) as file:
        with pytest.raises(CniError):
            file.read()
        with pytest.raises(CniError):
            file.write(b"x")
    assert (tmp_path / "target").read_text() == "secret"


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    """Code 5, with its name."""
    (tmp_path / "x").write_text("")
    for folder in (tmp_path / "x", tmp_path / "x/y"):
        with pytest.raises(CniError, match="folder") as caught:
            _saved.make(folder, OWNER)
        assert caught.value.code == 5

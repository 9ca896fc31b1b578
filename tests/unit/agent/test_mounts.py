# SPDX-License-Identifier: Apache-2.0
"""mountinfo as the kernel writes it, and what is below what."""

from pathlib import Path

import pytest

from metacni.agent import mounts
from metacni.agent.mounts import Mount

TABLE = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
22 27 0:21 / /proc rw,relatime - proc proc rw
101 27 254:0 /srv/a\\040b /data/a\\040b rw,relatime shared:3 master:2 - ext4 /dev/vda rw
102 27 254:0 /x /data ro,relatime master:9 propagate_from:1 - ext4 /dev/vda rw
103 102 0:21 /sys/net /data/net rw - proc proc rw
"""


def process(folder: Path, text: str = TABLE) -> Path:
    """A folder of a process, with this table."""
    folder.mkdir()
    (folder / "mountinfo").write_text(text)
    return folder


def test_a_line_is_read_whatever_tags_it_has(tmp_path: Path) -> None:
    """The tags are a list of any length that ends with a dash; spaces in a path are written as octal digits."""
    assert mounts.of(process(tmp_path / "1")) == (
        Mount(id=27, point="/", kind="ext4", shared=False),
        Mount(id=22, point="/proc", kind="proc", shared=False),
        Mount(id=101, point="/data/a b", kind="ext4", shared=True),
        Mount(id=102, point="/data", kind="ext4", shared=True),
        Mount(id=103, point="/data/net", kind="proc", shared=False),
    )


@pytest.mark.parametrize(
    ("path", "point"),
    [
        pytest.param("/", "/", id="root"),
        pytest.param("/etc", "/", id="nothing-nearer"),
        pytest.param("/data", "/data", id="itself"),
        pytest.param("/data/net/ipv4", "/data/net", id="the-nearest"),
        pytest.param("/database", "/", id="not-by-letters"),
    ],
)
def test_a_path_lies_on_the_nearest_mount(path: str, point: str, tmp_path: Path) -> None:
    """Names count as a whole."""
    found = mounts.under(path, mounts.of(process(tmp_path / "1")))
    assert found is not None
    assert found.point == point


def test_the_later_of_two_mounts_on_one_folder_is_the_one_that_is_seen() -> None:
    """It lies on top."""
    first, second = (Mount(id=number, point="/a", kind="tmpfs", shared=False) for number in (1, 2))
    assert mounts.under("/a/b", (first, second)) == second


@pytest.mark.parametrize(
    ("path", "folder", "expected"),
    [
        pytest.param("/var/lib/cni", "/var/lib/cni", True, id="itself"),
        pytest.param("/var/lib/cni/networks/a", "/var/lib/cni/", True, id="below"),
        pytest.param("/var/lib/cni2", "/var/lib/cni", False, id="beside"),
        pytest.param("/var/lib/cni/../../../etc", "/var/lib/cni", False, id="upwards"),
        pytest.param("var/lib/cni", "/", False, id="relative"),
        pytest.param("//var//lib/./cni/x", "/var/lib/cni", True, id="spelt-oddly"),
        pytest.param("", "/", False, id="empty"),
    ],
)
def test_below_is_said_of_names(path: str, folder: str, expected: bool) -> None:  # noqa: FBT001
    """Whoever writes the path must not get out of the folder by its spelling."""
    assert mounts.below(path, folder) is expected


def test_two_processes_share_a_namespace_when_their_root_is_the_same_mount(tmp_path: Path) -> None:
    """Its number, not its name: in another namespace everything has other numbers."""
    one = process(tmp_path / "1")
    assert mounts.same_namespace(one, process(tmp_path / "2"))
    assert not mounts.same_namespace(one, process(tmp_path / "3", TABLE.replace("27 1", "81 1")))


@pytest.mark.parametrize("text", [pytest.param("", id="empty"), pytest.param("what is this\n", id="not-a-table")])
def test_what_cannot_be_told_is_no(text: str, tmp_path: Path) -> None:
    """Somebody else's files are never taken for the host's by mistake; the process may also be hidden from us."""
    one = process(tmp_path / "1")
    assert not mounts.same_namespace(one, process(tmp_path / "2", text))
    assert not mounts.same_namespace(one, tmp_path / "none")

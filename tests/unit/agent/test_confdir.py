# SPDX-License-Identifier: Apache-2.0
"""Configuration files of the node, in real folders."""

from pathlib import Path

import pytest

from metacni.agent import confdir
from metacni.cni.errors import CniError, Code


def write(folder: Path, **files: str) -> Path:
    """Files by name; `__` stands for the dot before the ending."""
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def test_a_list_file_wins_over_a_single_configuration_of_the_same_name(tmp_path: Path) -> None:
    """Lists are looked through first, whatever the file names say (C5)."""
    write(
        tmp_path,
        a__conf='{"name":"lan","type":"macvlan"}',
        z__conflist='{"name":"lan","plugins":[{"type":"bridge"}]}',
    )
    assert [plugin.type for plugin in confdir.network(tmp_path, "lan").plugins] == ["bridge"]


def test_plugins_beside_the_list_are_appended(tmp_path: Path) -> None:
    """`<confDir>/<network name>/*.conf` in name order, after the inlined ones (A59)."""
    write(tmp_path, lan__conflist='{"name":"lan","plugins":[{"type":"bridge"}]}')
    (tmp_path / "lan").mkdir()
    write(tmp_path / "lan", b__conf='{"type":"portmap"}', a__conf='{"type":"tuning"}', c__txt="no")
    assert [plugin.type for plugin in confdir.network(tmp_path, "lan").plugins] == ["bridge", "tuning", "portmap"]


def test_a_list_that_wants_only_its_own_plugins_gets_no_others(tmp_path: Path) -> None:
    """loadOnlyInlinedPlugins is obeyed (A59)."""
    write(tmp_path, lan__conflist='{"name":"lan","loadOnlyInlinedPlugins":true,"plugins":[{"type":"bridge"}]}')
    (tmp_path / "lan").mkdir()
    write(tmp_path / "lan", a__conf='{"type":"tuning"}')
    assert [plugin.type for plugin in confdir.network(tmp_path, "lan").plugins] == ["bridge"]


@pytest.mark.parametrize("name", ["../x", "/etc", ".", ".."])
def test_a_network_name_never_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    """The sibling folder is found by name, and the name is user input."""
    outside = tmp_path / "x"
    outside.mkdir()
    write(outside, a__conf='{"type":"evil"}')
    folder = tmp_path / "conf"
    folder.mkdir()
    assert confdir.siblings(folder, {"name": name, "plugins": []}) == ()


def test_a_name_that_no_file_has_is_an_error_that_says_where_it_was_sought(tmp_path: Path) -> None:
    """Code 7, with the folder."""
    with pytest.raises(CniError, match="cannot find a configuration named 'lan'") as caught:
        confdir.network(tmp_path / "none", "lan")
    assert caught.value.code == Code.CONFIG


def test_a_broken_file_on_the_way_ends_the_search_and_is_named(tmp_path: Path) -> None:
    """As libcni does (A62): to skip it could pick another network than the one meant."""
    write(tmp_path, a__conflist="{", b__conflist='{"name":"lan","plugins":[{"type":"bridge"}]}')
    with pytest.raises(CniError, match=r"a\.conflist") as caught:
        confdir.network(tmp_path, "lan")
    assert caught.value.code == Code.DECODE


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    """Reading is bounded."""
    write(tmp_path, a__conflist=" " * (confdir.MAX_FILE + 1))
    with pytest.raises(CniError, match="larger than"):
        confdir.network(tmp_path, "lan")


def test_the_runtimes_folder_may_hold_broken_files(tmp_path: Path) -> None:
    """They are the runtime's to report; the readable ones come in name order."""
    write(tmp_path, c__conflist='{"name":"c"}', a__conflist="{", b__conf='{"name":"b"}', d__txt="{}")
    assert [body["name"] for body in confdir.runtime_lists(tmp_path)] == ["b", "c"]


def test_a_runtime_folder_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    """No folder, no lists."""
    assert confdir.runtime_lists(tmp_path / "none") == ()

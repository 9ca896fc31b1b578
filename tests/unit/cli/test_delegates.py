# SPDX-License-Identifier: Apache-2.0
"""Which delegates are loaded: real packages, as an installer leaves them, in a folder of their own."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from metacni.cli import delegates
from metacni.cli.command import CommandError

CODE = """
class Acme:
    def __init__(self, name):
        self.name = name
    def declines(self, body, visible):
        return None
    def serve(self, variables, stdin, *, pod, edges):
        return b""

BRIDGE = Acme("bridge")
ACME = Acme("acme")
DUMB = type("Dumb", (), {"name": "dumb", "declines": None, "serve": Acme.serve})()
SILENT = type("Silent", (), {"name": "silent", "declines": Acme.declines})()
"""


class Site:
    """A folder of installed packages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, package: str, **offers: str) -> None:
        """Install a package that offers these delegates; `_` in a name stands for `-`."""
        info = self.folder / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        points = "".join(f"{name.replace('_', '-')} = {value}\n" for name, value in offers.items())
        (info / "entry_points.txt").write_text(f"[{delegates.GROUP}]\n{points}")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A package of ours with one delegate, before whatever is really installed; its code is in `site_of_a_test`."""
    (tmp_path / "site_of_a_test.py").write_text(CODE)
    (tmp_path / "broken_in_a_test.py").write_text("raise RuntimeError('no\\nluck')\n")
    monkeypatch.syspath_prepend(tmp_path)
    made = Site(tmp_path)
    made.install("metacni", bridge="site_of_a_test:BRIDGE")
    yield made
    for name in ("site_of_a_test", "broken_in_a_test"):
        sys.modules.pop(name, None)


def names(*trusted: str) -> list[str]:
    """The delegates that are loaded when these are trusted."""
    return [one.name for one in delegates.load(trusted)]


def fault_of(*trusted: str) -> str:
    """Why they cannot be loaded."""
    with pytest.raises(CommandError) as caught:
        delegates.load(trusted)
    return str(caught.value)


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("trusted", [[], ["bridge"]], ids=["not-named", "named"])
def test_ours_are_loaded_without_a_word(trusted: list[str]) -> None:
    """They come with the agent, and to name them changes nothing."""
    assert names(*trusted) == ["bridge"]


def test_those_of_others_are_not_even_imported_unless_they_are_trusted(site: Site) -> None:
    """They would run as root: to be installed is not enough, and a broken one that nobody asked for harms nobody."""
    site.install("acme-cni", acme="site_of_a_test:ACME", broken="broken_in_a_test:X")
    assert names() == ["bridge"]
    assert "broken_in_a_test" not in sys.modules
    assert names("acme") == ["bridge", "acme"]


def test_nobody_takes_the_place_of_one_of_ours(site: Site) -> None:
    """Without trust it is passed over; with it, it must be told which is meant."""
    site.install("acme-cni", bridge="broken_in_a_test:X")
    assert names() == ["bridge"]
    assert fault_of("bridge") == (
        "cannot load delegate 'bridge' of `trustedDelegates`: offered by several: acme-cni, metacni"
    )


def test_a_name_that_nobody_offers_is_a_mistake(site: Site) -> None:
    """A typing error must not silently leave a node without its delegate."""
    site.install("acme-cni", acme="site_of_a_test:ACME")
    assert fault_of("acme", "acne") == (
        "cannot load delegate 'acne' of `trustedDelegates`: no installed package offers it in 'metacni.delegates'"
    )


def test_a_name_that_two_offer_is_a_mistake(site: Site) -> None:
    """Which of them runs as root must not depend on the order of a path."""
    site.install("acme-cni", acme="site_of_a_test:ACME")
    site.install("other-cni", acme="site_of_a_test:ACME")
    assert fault_of("acme") == (
        "cannot load delegate 'acme' of `trustedDelegates`: offered by several: acme-cni, other-cni"
    )


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        pytest.param("acme", "gone_in_a_test:X", "ModuleNotFoundError: No module named 'gone_in_a_test'", id="module"),
        pytest.param("acme", "broken_in_a_test:X", "RuntimeError: no luck", id="fails-on-import"),
        pytest.param(
            "acme",
            "site_of_a_test:NONE",
            "AttributeError: module 'site_of_a_test' has no attribute 'NONE'",
            id="attribute",
        ),
        pytest.param("other", "site_of_a_test:ACME", "'site_of_a_test:ACME' is no delegate of that name", id="name"),
        pytest.param("acme", "site_of_a_test:CODE", "AttributeError", id="nothing-there"),
        pytest.param("acme", "site_of_a_test:Acme", "is no delegate of that name", id="a-class"),
        pytest.param("silent", "site_of_a_test:SILENT", "is no delegate of that name", id="does-not-serve"),
        pytest.param("dumb", "site_of_a_test:DUMB", "is no delegate of that name", id="does-not-decline"),
    ],
)
def test_what_cannot_be_loaded_or_is_none_keeps_the_agent_from_starting(
    site: Site, name: str, value: str, told: str
) -> None:
    """One line that names the delegate and the package, before a pod depends on it."""
    site.install("acme-cni", **{name: value})
    fault = fault_of(name)
    assert fault.startswith(f"cannot load delegate {name!r} of package 'acme-cni': ")
    assert told in fault
    assert "\n" not in fault


def test_the_names_of_ours_may_hold_a_hyphen(site: Site) -> None:
    """As `host-local` does."""
    site.install("acme-cni", acme_ipam="site_of_a_test:ACME")
    assert sorted(delegates.chosen(["acme-ipam"])) == ["acme-ipam", "bridge"]

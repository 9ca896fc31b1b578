# SPDX-License-Identifier: Apache-2.0
"""The real parts of the test bed, and the table that proves that tests ran on them.

A test that silently stops meeting the real thing is worse than no test. So a test says what it runs on (the mark
`part`, the folder it stands in, or a fixture whose value has `real_parts`), and a full run (`--all-parts`, which is
what `make test` is) fails when a part is absent, when no test passed on it, or when any test was skipped. This plugin
judges runs; it must never start a part.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

ROOT = Path(__file__).parent.parent
NEED_ROOT = ("kernel", "contract", "cluster", "uml")  # folders below tests/ whose tests make namespaces
FOLDER_PARTS = dict.fromkeys(("kernel", "contract", "cluster"), ("network namespaces",)) | {"uml": ("user-mode-linux",)}


def _pinned() -> dict[str, str]:
    lines = (ROOT / "tests/testbed/versions.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


VERSIONS = _pinned()


def built(part: str, version: str) -> Path:
    """Return the folder of the cache that tests/testbed/build.sh fills for this part."""
    cache = os.environ.get("METACNI_CACHE") or str(Path.home() / ".cache/metacni")
    return Path(cache) / f"{part}-{version}"


KUBERNETES = built("kubernetes", VERSIONS["KUBERNETES"])
CONTAINERD = built("containerd", VERSIONS["CONTAINERD"])
PLUGINS = built("cni-plugins", VERSIONS["CNI_PLUGINS"])
CNITOOL = built("cnitool", VERSIONS["CNITOOL"]) / "cnitool"
BUILDAH = built("image", VERSIONS["DEBIAN"])
SHIM = ROOT / "metacni/shim/metacni-shim"


def _says(*command: str | Path) -> str:
    """Return the first version in what a program prints; nothing is on its standard input, nothing in CNI_COMMAND."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CNI_")}
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    found = re.search(r"\d+\.\d+[\w.~+-]*", done.stdout + done.stderr)
    if found is None:
        raise OSError(f"{command[0]} tells no version")
    return found.group()


def _pinned_file(path: Path, version: str) -> str:
    path.stat()
    return version


def _shim() -> str:
    SHIM.stat()
    return importlib.metadata.version("metacni")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A real thing that tests run on; `version` raises OSError when it is not there."""

    name: str
    version: Callable[[], str]
    required: bool = True


def _plugin(name: str, *, required: bool = True) -> Part:
    return Part(name=name, version=lambda: _says(PLUGINS / name), required=required)


PARTS = (
    Part(name="network namespaces", version=lambda: os.uname().release),
    Part(name="user-mode-linux", version=lambda: _says("linux.uml", "--version")),
    Part(name="shim", version=_shim),
    Part(name="shim under ASan and UBSan", version=lambda: "cc " + _says("gcc", "-dumpfullversion")),
    Part(name="etcd", version=lambda: _says("etcd", "--version")),
    Part(name="kube-apiserver", version=lambda: _says(KUBERNETES / "kube-apiserver", "--version")),
    Part(name="kubelet", version=lambda: _says(KUBERNETES / "kubelet", "--version")),
    Part(name="containerd-1.6", version=lambda: _says("containerd", "--version")),
    Part(name="containerd-2", version=lambda: _says(CONTAINERD / "containerd", "--version")),
    Part(name="runc", version=lambda: _says("runc", "--version")),
    Part(name="buildah", version=lambda: _says("buildah", "--version")),
    Part(name="the agent as a pod", version=lambda: _pinned_file(BUILDAH / "stamp", VERSIONS["DEBIAN"])),
    Part(name="cnitool", version=lambda: _pinned_file(CNITOOL, VERSIONS["CNITOOL"])),
    *map(_plugin, ("bridge", "macvlan", "loopback", "host-local", "static", "tuning", "portmap")),
    *map(_plugin, ("ptp", "host-device", "sbr", "ipvlan", "vlan", "dummy", "vrf")),
    # these need what not every kernel has; a test that runs on one shows up in the table
    *(_plugin(name, required=False) for name in ("bandwidth", "firewall")),
)
NAMES = frozenset(part.name for part in PARTS)


class Ledger:
    """What has run on which part in this session."""

    def __init__(self) -> None:
        self.passed: Counter[str] = Counter()
        self.used: dict[str, set[str]] = {}

    def use(self, nodeid: str, names: Iterable[str]) -> None:
        """Note that this test runs on these parts; it counts when the test has passed."""
        names = set(names)
        unknown = sorted(names - NAMES)
        if unknown:
            raise pytest.UsageError(f"{nodeid}: no such part: {', '.join(unknown)} (see tests/parts.py)")
        self.used.setdefault(nodeid, set()).update(names)

    def count(self, nodeid: str) -> None:
        """Note that this test has passed."""
        self.passed.update(self.used.get(nodeid, ()))

    def missing(self) -> list[str]:
        """Return the required parts on which no test passed."""
        return [part.name for part in PARTS if part.required and not self.passed[part.name]]


LEDGER = pytest.StashKey[Ledger]()


@dataclass(frozen=True, slots=True)
class Parts:
    """The fixture `parts`: for a test that learns only while it runs what it runs on."""

    nodeid: str
    ledger: Ledger

    def use(self, *names: str) -> None:
        """Note that this test runs on these parts."""
        self.ledger.use(self.nodeid, names)


@pytest.fixture
def parts(request: pytest.FixtureRequest) -> Parts:
    """Let a test name the real parts that it runs on."""
    return Parts(request.node.nodeid, request.config.stash[LEDGER])


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--all-parts`."""
    text = "a full run: fail when a real part is absent or unused, or when a test is skipped"
    parser.addoption("--all-parts", action="store_true", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark; refuse a full run at once when it cannot succeed."""
    config.stash[LEDGER] = Ledger()
    config.addinivalue_line("markers", "part(*names): the real parts that the test runs on (tests/parts.py)")
    if config.getoption("--all-parts"):
        if os.geteuid() != 0:
            raise pytest.UsageError("--all-parts needs root: the tests make network namespaces and run a node")
        absent = [part.name for part in PARTS if part.required and version_of(part) is None]
        if absent:
            raise pytest.UsageError(f"--all-parts: not on this machine: {', '.join(absent)} (`make test` installs all)")


def version_of(part: Part) -> str | None:
    """Return the version that the part tells of itself, None when it is not there."""
    try:
        return part.version()
    except (OSError, subprocess.SubprocessError, importlib.metadata.PackageNotFoundError):
        return None


def folder(path: Path) -> str:
    """Return the first folder below tests/ of a test file."""
    below = path.relative_to(ROOT / "tests").parts if path.is_relative_to(ROOT / "tests") else ()
    return below[0] if below else ""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Read the marks, so that a misspelt part ends the run before it begins; say what needs root."""
    ledger = config.stash[LEDGER]
    for item in items:
        ledger.use(item.nodeid, FOLDER_PARTS.get(folder(item.path), ()))
        for mark in item.iter_markers("part"):
            ledger.use(item.nodeid, mark.args)
        if os.geteuid() != 0 and folder(item.path) in NEED_ROOT:
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count a test that has passed for its parts, those of its fixtures included."""
    report = yield
    ledger = item.config.stash[LEDGER]
    if report.when == "call" and report.passed:
        for value in getattr(item, "funcargs", {}).values():
            ledger.use(item.nodeid, getattr(value, "real_parts", ()))
        ledger.count(item.nodeid)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turn a full run that skipped a test or missed a part into a failed one."""
    config = session.config
    full = config.getoption("--all-parts") and not config.getoption("--collect-only")
    if full and session.exitstatus == pytest.ExitCode.OK and (skipped(config) or config.stash[LEDGER].missing()):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def skipped(config: pytest.Config) -> list[str]:
    """Return what was skipped or expected to fail: tests, and whole modules, which no test report names."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    stats = reporter.stats if reporter else {}
    return [report.nodeid for kind in ("skipped", "xfailed") for report in stats.get(kind, ())]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table of a full run; pytest's own last line stays the last."""
    if not config.getoption("--all-parts") or config.getoption("--collect-only"):
        return
    ledger = config.stash[LEDGER]
    terminalreporter.section("real parts")
    for part in PARTS:
        count = ledger.passed[part.name]
        if count or part.required:
            colour = {"green": True} if count else {"red": True}
            text = f"{part.name:<28}{version_of(part) or 'absent':<34}{count:>5} tests passed"
            terminalreporter.write_line(text, **colour)
    for nodeid in skipped(config):
        terminalreporter.write_line(f"skipped, which a full run must not do: {nodeid}", red=True)
    for name in ledger.missing():
        terminalreporter.write_line(f"no test passed on {name!r}: the run fails", red=True)

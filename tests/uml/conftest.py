# SPDX-License-Identifier: Apache-2.0
"""Everything in this folder runs in User-Mode Linux: for link kinds and features that the machine's kernel may lack.

How to use it: write a test here (tests/uml/test_<what>.py) as you would in tests/kernel, and run it as any other:

    .venv/bin/pytest tests/uml/test_machine.py        (as root; Debian's packages user-mode-linux and kmod)

- The session outside collects, and starts the kernel once (2-3 s), which runs all the collected tests of this folder
  in their order, beside the session's other tests; these are put before. Their reports come back as real outcomes:
  failures with their trace, durations, skips; `--all-parts` counts them. `-k`, node ids, parametrization and random
  order work; only pdb and `-s` do not.
- It is Linux 6.1 with dummy, ipvlan, macvlan, vlan, vrf, bonding, bridge with VLAN filtering, veth, vxlan, ifb,
  nf_tables, traffic control …, each loaded when first used. Root, `lo` is up, no other link. One CPU; a Python program
  takes 0.5 s to start there, so call a delegate in the process (`DELEGATE.serve`) where a table has many rows;
  `Twin.call` forks ours (forked.py). A row with twins costs some 4 s of a processor: only what needs this kernel.
- Files are this machine's (hostfs): the checkout, .venv, the reference plugins in the cache. /run is the guest's own,
  and `tmp_path` lies there. Never write elsewhere.
- Fixtures: those of tests/kernel (`host`, `pod`, `ip`) and of tests/contract (`pair`), so a twin test runs here
  unchanged. `pytestmark = pytest.mark.part("vrf")` counts for the reference plugin; the part
  "user-mode-linux" is counted by itself.
- What a test prints shows with its failure; if the kernel itself dies, its console does.

For a script without pytest: `tests.uml.machine.start("/path/to/script", work=folder, folder=ROOT).wait()`.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.conftest import pair
from tests.kernel.conftest import host, ip, pod
from tests.parts import LEDGER, ROOT
from tests.uml import machine
from tests.uml.inside import INSIDE

__all__ = ["host", "ip", "pair", "pod"]

Reports = dict[str, list[pytest.TestReport]]
_FOLDER = Path(__file__).parent
_KERNEL = pytest.StashKey[machine.Kernel]()
_RAN = pytest.StashKey[tuple[Reports, machine.Ran]]()


def _is_for_inside(item: pytest.Item) -> bool:
    return INSIDE not in os.environ and item.path.is_relative_to(_FOLDER) and os.geteuid() == 0


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the other tests first: meanwhile those of this folder run."""
    items.sort(key=_is_for_inside)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Start the kernel with all the tests that are for it."""
    tests = [item.nodeid for item in session.items if _is_for_inside(item)]
    if tests and not session.config.option.collectonly:
        factory: pytest.TempPathFactory = session.config._tmp_path_factory  # type: ignore[attr-defined] # no fixture is made yet
        work = factory.mktemp("uml")
        (work / "tests").write_text(json.dumps(tests))
        command = (sys.executable, "-m", "tests.uml.inside", str(work))
        session.config.stash[_KERNEL] = machine.start(*command, work=work, folder=ROOT)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Replay what happened to this test inside."""
    config = item.config
    if not _is_for_inside(item):
        return None
    if _RAN not in config.stash:
        config.stash[_RAN] = _all_of_it(config)
    reports, ran = config.stash[_RAN]
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in reports.get(item.nodeid) or [_lost(item, ran)]:
        item.ihook.pytest_runtest_logreport(report=report)
        if report.when == "call" and report.passed:
            config.stash[LEDGER].count(item.nodeid)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave nothing running when the session ends early."""
    if _KERNEL in session.config.stash:
        session.config.stash[_KERNEL].end()


def _all_of_it(config: pytest.Config) -> tuple[Reports, machine.Ran]:
    kernel = config.stash[_KERNEL]
    ran = kernel.wait()
    found: Reports = {}
    for report in _reports(config, kernel.work / "reports"):
        found.setdefault(report.nodeid, []).append(report)
    return found, ran


def _reports(config: pytest.Config, file: Path) -> Iterator[pytest.TestReport]:
    for line in file.read_text().splitlines() if file.is_file() else ():
        try:
            data: dict[str, Any] = json.loads(line)
        except ValueError:
            return  # the kernel ended while it was written
        yield config.hook.pytest_report_from_serializable(config=config, data=data)


def _lost(item: pytest.Item, ran: machine.Ran) -> pytest.TestReport:
    """For a test that did not come to its turn."""
    text = f"not run: User-Mode Linux ended before (status {ran.status}); its console:\n{ran.console[-6000:]}"
    return pytest.TestReport(
        nodeid=item.nodeid, location=item.location, keywords={}, outcome="failed", longrepr=text, when="call"
    )

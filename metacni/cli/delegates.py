# SPDX-License-Identifier: Apache-2.0
"""Finds the delegates: entry points of the group `metacni.delegates`.

They run as root, in the agent. So those of other packages are loaded only when the node's admin names them, and none of
them can take the place of one of ours.
"""

from collections.abc import Collection, Mapping
from importlib.metadata import EntryPoint, entry_points

from metacni.agent.resident import Delegate
from metacni.cli.command import CommandError

GROUP = "metacni.delegates"
OURS = "metacni"
"""The distribution whose delegates need no trust beyond having been installed."""


def load(trusted: Collection[str]) -> tuple[Delegate, ...]:
    """Load ours, and those that are named.

    Raises:
        CommandError: a name that nobody offers, or two do; a delegate that cannot be loaded, or is none.
    """
    return tuple(_loaded(point) for point in chosen(trusted).values())


def chosen(trusted: Collection[str]) -> Mapping[str, EntryPoint]:
    """The entry points of ours and of those that are named, by name.

    Raises:
        CommandError: a name that nobody offers, or two do.
    """
    found = {point.name: point for point in entry_points(group=GROUP) if _package(point) == OURS}
    for name in sorted(trusted):
        offers = {_package(point): point for point in entry_points(group=GROUP) if point.name == name}
        if not offers:
            raise CommandError(
                f"cannot load delegate {name!r} of `trustedDelegates`: no installed package offers it in {GROUP!r}"
            )
        if len(offers) > 1:
            packages = ", ".join(sorted(offers))
            raise CommandError(f"cannot load delegate {name!r} of `trustedDelegates`: offered by several: {packages}")
        (found[name],) = offers.values()
    return found


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else ""


def _loaded(point: EntryPoint) -> Delegate:
    where = f"cannot load delegate {point.name!r} of package {_package(point)!r}"
    try:
        delegate: Delegate = point.load()
    except Exception as cause:  # importing somebody's module can fail in any way
        raise CommandError(f"{where}: {type(cause).__name__}: {' '.join(str(cause).split())}") from cause
    able = all(callable(getattr(delegate, method, None)) for method in ("declines", "serve"))
    if getattr(delegate, "name", None) != point.name or not able:
        raise CommandError(f"{where}: {point.value!r} is no delegate of that name")
    return delegate

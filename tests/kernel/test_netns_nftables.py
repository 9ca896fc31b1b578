# SPDX-License-Identifier: Apache-2.0
"""Handles to the packet filter of a namespace that is not the thread's own, and batches of a real kernel."""

import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from metacni.netns import expressions, nftables, sandbox
from metacni.netns.netlink import Netlink
from metacni.netns.nftables import Hook, Table
from metacni.netns.opener import Opener
from tests.kernel.conftest import Namespace

TABLE = Table(nftables.INET, "mine")
Links = Callable[[Namespace], Netlink]


@pytest.fixture
def links() -> Iterator[Links]:
    """`links(namespace)`: a handle to its links."""
    opener = Opener()
    opener.start()

    def of(namespace: Namespace) -> Netlink:
        fd = os.open(namespace.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return Netlink(opener.socket(fd))
        finally:
            os.close(fd)

    yield of
    opener.stop()


def ruleset(namespace: Namespace) -> str:
    """What `nft` prints."""
    return namespace.run("nft", "list", "ruleset")


def test_the_filter_is_that_of_the_links(links: Links, host: Namespace, pod: Callable[[], Namespace]) -> None:
    """One after the other, and the thread stays where it is."""
    home = sandbox.own_identity()
    one = pod()
    for namespace in (host, one, host):
        with links(namespace) as netlink:
            nftables.commit(nftables.beside(netlink), [nftables.new_table(TABLE)])
        assert ruleset(namespace) == "table inet mine {\n}\n"
    assert sandbox.own_identity() == home
    assert Path("/proc/thread-self/ns/net").stat().st_ino == home[1]


def test_a_batch_is_made_whole_or_not_at_all(links: Links, host: Namespace) -> None:
    """A change that cannot be made takes those before and behind it along."""
    with links(host) as netlink:
        filters = nftables.beside(netlink)
        with pytest.raises(FileNotFoundError):
            nftables.commit(
                filters,
                [
                    nftables.new_table(TABLE),
                    nftables.new_rule(TABLE, "nowhere", expressions.drop()),
                    nftables.new_chain(TABLE, "c"),
                ],
            )
        assert ruleset(host) == ""
        nftables.commit(filters, [nftables.new_table(TABLE), nftables.new_chain(TABLE, "c")])
        assert nftables.has_chain(filters, TABLE, "c")


def test_a_loop_is_refused(links: Links, host: Namespace) -> None:
    """The kernel sees it only when it commits: that, too, is heard of, and nothing is made."""
    hook = Hook(kind="filter", number=nftables.PREROUTING, priority=0)
    with links(host) as netlink:
        filters = nftables.beside(netlink)
        changes = [
            nftables.new_table(TABLE), nftables.new_chain(TABLE, "entry", hook), nftables.new_chain(TABLE, "c"),
            nftables.new_rule(TABLE, "entry", expressions.jump("c")),
            nftables.new_rule(TABLE, "c", expressions.jump("c")),
        ]  # fmt: skip
        with pytest.raises(OSError, match="Too many") as caught:
            nftables.commit(filters, changes)
        assert caught.value.errno in (errno.ELOOP, errno.EMLINK)
        assert ruleset(host) == ""
        assert not nftables.has_chain(filters, TABLE, "c")


def test_a_long_list_is_read_whole(links: Links, host: Namespace) -> None:
    """More than one datagram holds, while others change the same table."""
    with links(host) as netlink:
        filters = nftables.beside(netlink)
        rules = [nftables.new_rule(TABLE, "c", expressions.from_link(f"v{at}"), f"rule {at}") for at in range(600)]
        nftables.commit(filters, [nftables.new_table(TABLE), nftables.new_chain(TABLE, "c"), *rules])

        def churn(turn: int) -> None:
            with links(host) as own:
                mine = nftables.beside(own)
                other = Table(nftables.INET, f"other{turn}")
                nftables.commit(mine, [nftables.new_table(other), nftables.new_chain(other, "x")])
                nftables.commit(mine, [nftables.delete_chain(other, "x")])

        with ThreadPoolExecutor(2) as pool:
            turns = [pool.submit(churn, turn) for turn in range(20)]
            for _ in range(10):
                assert [rule.comment for rule in nftables.rules(filters, TABLE, "c")] == [
                    f"rule {at}" for at in range(600)
                ]
            for turn in turns:
                turn.result()
        assert [rule.comment for rule in nftables.rules(filters, TABLE, "c", "rule 59")][:2] == ["rule 59", "rule 590"]

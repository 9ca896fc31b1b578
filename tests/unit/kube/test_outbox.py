# SPDX-License-Identifier: Apache-2.0
"""Letters that nobody waits for: newest wins, one gate in an outage, nothing spins."""

from __future__ import annotations

import threading
import time

from metacni.kube.errors import Forbidden, KubeError, SourceUnavailable
from metacni.kube.outbox import Outbox
from tests.unit.kube.fake_api import eventually


class Post:
    """Takes letters, or refuses them with the errors it was given."""

    def __init__(self, *errors: KubeError | None) -> None:
        self.errors = list(errors)
        self.tried: list[str] = []
        self.sent: list[str] = []
        self.open = threading.Event()
        self.open.set()

    def send(self, letter: str) -> None:
        """Carry one letter."""
        self.tried.append(letter)
        self.open.wait(5)
        error = self.errors.pop(0) if self.errors else None
        if error:
            raise error


def _started(post: Post, *, limit: int | None = None) -> Outbox[str]:
    outbox = Outbox("test", post.send, sent=post.sent.append, limit=limit)
    outbox.start()
    return outbox


def _end(outbox: Outbox[str]) -> None:
    outbox.halt()
    outbox.join(2)


def test_letters_are_sent_and_reported() -> None:
    """Each letter is sent once, and its sender hears of it."""
    post = Post()
    outbox = _started(post)
    outbox.put("a", "one")
    outbox.put("b", "two")
    eventually(lambda: post.sent == ["one", "two"])
    assert (len(outbox), outbox.oldest_seconds) == (0, 0.0)
    _end(outbox)


def test_a_newer_letter_takes_the_place_of_an_unsent_one() -> None:
    """While the first is on its way, the second is replaced by the third; only the last is reported."""
    post = Post()
    post.open.clear()
    outbox = _started(post)
    outbox.put("a", "one")
    eventually(lambda: post.tried)
    outbox.put("a", "two")
    outbox.put("a", "three")
    post.open.set()
    eventually(lambda: post.sent)
    assert (post.tried, post.sent) == (["one", "three"], ["three"])
    _end(outbox)


def test_a_forgotten_letter_is_not_reported() -> None:
    """What is forgotten while it is on its way is not sent again, nor reported."""
    post = Post()
    post.open.clear()
    outbox = _started(post)
    outbox.put("a", "one")
    eventually(lambda: post.tried)
    outbox.drop(lambda letter: letter == "one")
    post.open.set()
    outbox.put("b", "two")
    eventually(lambda: post.sent)
    assert post.sent == ["two"]
    _end(outbox)


def test_an_outage_holds_all_letters_behind_one_gate() -> None:
    """Fifty letters during an outage cost one attempt per pause, and all arrive afterwards."""
    post = Post(SourceUnavailable("away"), SourceUnavailable("away"))
    outbox = _started(post)
    for number in range(50):
        outbox.put(number, f"{number}")
    time.sleep(0.4)
    assert len(post.tried) == 1
    assert outbox.oldest_seconds > 0.3
    eventually(lambda: len(post.sent) == 50)
    assert len(post.tried) == 52
    _end(outbox)


def test_a_refused_letter_waits_alone() -> None:
    """What the server refuses is tried again later; the others go on meanwhile."""
    post = Post(Forbidden("no"))
    outbox = _started(post)
    outbox.put("a", "refused")
    outbox.put("b", "good")
    eventually(lambda: len(post.sent) == 2)
    assert post.sent == ["good", "refused"]
    _end(outbox)


def test_with_a_limit_the_oldest_makes_room() -> None:
    """A bounded outbox keeps the newest and counts what it dropped."""
    post = Post()
    outbox = Outbox("test", post.send, sent=post.sent.append, limit=2)
    for letter in ("one", "two", "three"):
        outbox.put(letter, letter)
    outbox.start()
    eventually(lambda: post.sent == ["two", "three"])
    assert outbox.dropped == 1
    _end(outbox)


def test_a_callback_that_fails_does_not_end_the_thread() -> None:
    """The caller's own fault costs the caller, not the letters behind."""
    sent: list[str] = []

    def report(letter: str) -> None:
        if letter == "one":
            raise ValueError
        sent.append(letter)

    outbox = Outbox("test", lambda _: None, sent=report)
    outbox.start()
    outbox.put("a", "one")
    outbox.put("b", "two")
    eventually(lambda: sent == ["two"])
    _end(outbox)


def test_a_stop_does_not_wait_for_a_pause() -> None:
    """An outbox that waits for the end of an outage stops at once."""
    post = Post(SourceUnavailable("away"))
    outbox = _started(post)
    outbox.put("a", "one")
    eventually(lambda: post.tried)
    began = time.monotonic()
    _end(outbox)
    assert time.monotonic() - began < 0.3

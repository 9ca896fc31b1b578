# SPDX-License-Identifier: Apache-2.0
"""Every way a plugin can end, and what the caller gets for it."""

import errno

import pytest

from metacni.cni.errors import CniError
from metacni.cni.names import PluginType
from metacni.cni.versions import Verb
from metacni.exec import outcome
from metacni.exec.frames import Done, Execution, How
from metacni.exec.outcome import Output

FAKE = PluginType("fake")
REQUEST = Execution(type=FAKE, path=("/a", "/b"), environment={}, stdin=b"")


def output(status: int = 0, stdout: bytes = b"", stderr: bytes = b"") -> Output:
    """Make an output."""
    return Output(status=status, stdout=stdout, stderr=stderr)


@pytest.mark.parametrize(
    ("verb", "stdout", "result"),
    [
        pytest.param(Verb.ADD, b'  {"ips":[]}\n', b'{"ips":[]}', id="a result"),
        pytest.param(Verb.ADD, b"null\n", b"{}", id="null is tolerated"),
        pytest.param(Verb.VERSION, b'{"cniVersion":"1.0.0"}', b'{"cniVersion":"1.0.0"}', id="VERSION prints one"),
        pytest.param(Verb.DEL, b"", b"", id="DEL prints nothing"),
        pytest.param(Verb.DEL, b"prose", b"", id="what DEL prints means nothing"),
        pytest.param(Verb.CHECK, b"{}", b"", id="CHECK"),
        pytest.param(Verb.GC, b"{}", b"", id="GC"),
        pytest.param(Verb.STATUS, b"{}", b"", id="STATUS"),
    ],
)
def test_success(verb: Verb, stdout: bytes, result: bytes) -> None:
    """A23: two verbs print, and what the others print is not looked at."""
    assert outcome.result_of(output(stdout=stdout), verb, FAKE) == result


@pytest.mark.parametrize(
    ("stdout", "text"),
    [
        pytest.param(b"", "plugin 'fake' printed no result for ADD", id="nothing"),
        pytest.param(b" \n", "plugin 'fake' printed no result for ADD", id="blanks"),
        pytest.param(b"interface is up\n", "plugin 'fake' printed 'interface is up': ", id="prose"),
        pytest.param(b"[]", "plugin 'fake' printed '[]': ", id="no object"),
        pytest.param(b'{"a":', "plugin 'fake' printed '{\"a\":': ", id="cut"),
        pytest.param(b"\xff\n", "plugin 'fake' printed '\N{REPLACEMENT CHARACTER}': ", id="bytes"),
    ],
)
def test_exit_0_without_a_result_is_a_failure(stdout: bytes, text: str) -> None:
    """Code 6, one line, with what was printed in it."""
    with pytest.raises(CniError) as caught:
        outcome.result_of(output(stdout=stdout, stderr=b"why\n"), Verb.ADD, FAKE)
    assert caught.value.code == 6
    assert caught.value.msg.startswith(text)
    assert "\n" not in caught.value.msg


def test_stderr_is_the_hint_when_nothing_was_printed() -> None:
    """Its end, where the reason usually stands."""
    with pytest.raises(CniError) as caught:
        outcome.result_of(output(stderr=b"x" * 500 + b"the reason\n"), Verb.ADD, FAKE)
    assert caught.value.details.endswith("the reason'")
    assert len(caught.value.details) < 250


def test_much_prose_is_cut() -> None:
    """An error is for reading."""
    with pytest.raises(CniError) as caught:
        outcome.result_of(output(stdout=b"x" * 100_000), Verb.ADD, FAKE)
    assert len(caught.value.msg) < 500


@pytest.mark.parametrize("verb", [Verb.ADD, Verb.DEL, Verb.CHECK, Verb.GC, Verb.STATUS])
def test_a_failed_plugins_own_error_survives(verb: Verb) -> None:
    """A22: its code stays, its message is inside, its name in front."""
    with pytest.raises(CniError) as caught:
        outcome.result_of(output(1, b'{"code":117,"msg":"no luck"}'), verb, FAKE)
    assert caught.value.code == 117
    assert caught.value.msg.startswith("plugin 'fake': ")
    assert "no luck" in caught.value.msg


@pytest.mark.parametrize(
    ("how", "value", "status"), [(How.EXITED, 0, 0), (How.EXITED, 255, 255), (How.SIGNALLED, 9, -9)]
)
def test_an_end_becomes_a_status(how: How, value: int, status: int) -> None:
    """As subprocess counts them."""
    done = Done(how=how, value=value, truncated=False, stdout=b"o", stderr=b"e")
    assert outcome.output_of(done, REQUEST) == output(status, b"o", b"e")


@pytest.mark.parametrize(
    ("how", "value", "code", "msg"),
    [
        (How.ABSENT, 0, 7, "cannot run plugin 'fake': it is in no folder of '/a:/b'"),
        (How.FAILED, errno.ENOENT, 5, "cannot run plugin 'fake': the interpreter it names is missing"),
        (How.FAILED, errno.EACCES, 5, "cannot run plugin 'fake': permission denied"),
        (How.FAILED, errno.ETXTBSY, 11, "cannot run plugin 'fake': text file busy"),
    ],
)
def test_a_plugin_that_never_ran_is_an_error(how: How, value: int, code: int, msg: str) -> None:
    """Never in the words that containerd takes for a successful DEL (G15)."""
    done = Done(how=how, value=value, truncated=False, stdout=b"", stderr=b"")
    with pytest.raises(CniError) as caught:
        outcome.output_of(done, REQUEST)
    assert (caught.value.code, caught.value.msg) == (code, msg)


def test_too_much_output_is_an_error_however_it_ended() -> None:
    """What was cut off is no result, even from a plugin that managed to exit with 0."""
    done = Done(how=How.EXITED, value=0, truncated=True, stdout=b"{}", stderr=b"")
    with pytest.raises(CniError, match="printed more than 1048576 bytes"):
        outcome.output_of(done, REQUEST)

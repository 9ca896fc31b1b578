# SPDX-License-Identifier: Apache-2.0
"""Errors: their wire form, a failed plugin's output, and foreign text in messages."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacni.cni.errors import CniError, Code, defuse, excerpt, from_output


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(
            CniError(Code.CONFIG, "bad", "look"),
            b'{"cniVersion":"1.0.0","code":7,"msg":"bad","details":"look"}',
            id="with-details",
        ),
        pytest.param(CniError(Code.IO, "bad"), b'{"cniVersion":"1.0.0","code":5,"msg":"bad"}', id="without-details"),
        pytest.param(CniError(123, "bad"), b'{"cniVersion":"1.0.0","code":123,"msg":"bad"}', id="a-plugin's-own-code"),
        pytest.param(
            CniError(Code.INTERNAL, "\ud800\0"),
            b'{"cniVersion":"1.0.0","code":999,"msg":"\\ud800\\u0000"}',
            id="no-text-can-make-it-fail",
        ),
    ],
)
def test_an_error_is_one_compact_object(error: CniError, expected: bytes) -> None:
    """Details appear only when there are any."""
    assert error.to_json("1.0.0") == expected


def test_within_puts_the_place_in_front_and_keeps_code_and_hint() -> None:
    """A caller's retry depends on the code, so no level may change it."""
    told = CniError(Code.TRY_AGAIN, "busy", "wait").within("network 'lan'")
    assert (told.code, str(told), told.details) == (11, "network 'lan': busy", "wait")


@pytest.mark.parametrize(
    ("status", "stdout", "stderr", "expected"),
    [
        pytest.param(1, b'{"code":11,"msg":"busy","details":"soon"}', b"", (11, "busy", "soon"), id="error-object"),
        pytest.param(1, b'{"cniVersion":"1.0.0","code":120,"msg":"x"}', b"", (120, "x", ""), id="unknown-code-is-kept"),
        pytest.param(1, b'{"Code":7,"MSG":"x"}', b"", (7, "x", ""), id="any-letter-case"),
        pytest.param(1, b'{"code":0,"msg":"x"}', b"", (0, "x", ""), id="code-0"),
        pytest.param(1, b'{"msg":"x"}', b"", (999, "x", ""), id="no-code"),
        pytest.param(1, b'{"code":"7","msg":"x"}', b"", (999, "x", ""), id="code-of-a-wrong-type"),
        pytest.param(1, b'{"code":true,"msg":"x"}', b"", (999, "x", ""), id="code-true"),
        pytest.param(1, b'{"code":-1,"msg":"x"}', b"", (999, "x", ""), id="negative-code"),
        pytest.param(1, b'{"code":7,"details":"only"}', b"", (7, "only", ""), id="details-instead-of-msg"),
        pytest.param(1, b'{"code":7}', b"", (7, "failed with code 7 and no message", ""), id="code-alone"),
        pytest.param(1, b'{"code":7,"msg":"a\\nb\\u0007"}', b"", (7, "a b\ufffd", ""), id="one-printable-line"),
        pytest.param(-9, b'{"code":7,"msg":"x"}', b"", (7, "x", ""), id="spoke-before-it-died"),
        pytest.param(
            1,
            b"Oops\nit broke",
            b"trace",
            (999, "exited with status 1 and printed no error object but 'Oops it broke'", "trace"),
            id="prose",
        ),
        pytest.param(
            1,
            b'{"cniVersion":"1.0.0"}',
            b"",
            (999, """exited with status 1 and printed no error object but '{"cniVersion":"1.0.0"}'""", ""),
            id="an-object-that-is-no-error",
        ),
        pytest.param(
            2, b"[1]", b"", (999, "exited with status 2 and printed no error object but '[1]'", ""), id="no-object"
        ),
        pytest.param(2, b"", b"boom\n", (999, "exited with status 2: boom", ""), id="stderr-only"),
        pytest.param(2, b" \n", b"", (999, "exited with status 2 and said nothing", ""), id="nothing"),
        pytest.param(-9, b"", b"", (999, "died of SIGKILL and said nothing", ""), id="signal"),
        pytest.param(-11, b"", b"fault", (999, "died of SIGSEGV: fault", ""), id="signal-with-stderr"),
        pytest.param(-40, b"", b"", (999, "died of signal 40 and said nothing", ""), id="real-time-signal"),
        pytest.param(
            1,
            b"\xff\xfe",
            b"",
            (999, "exited with status 1 and printed no error object but '\ufffd\ufffd'", ""),
            id="not-utf-8",
        ),
    ],
)
def test_a_failed_plugin_becomes_an_error(
    status: int, stdout: bytes, stderr: bytes, expected: tuple[int, str, str]
) -> None:
    """Whatever a plugin printed, the runtime gets one error with the plugin's own code if it gave one."""
    error = from_output(status, stdout, stderr)
    assert (error.code, error.msg, error.details) == expected


@pytest.mark.parametrize(
    "stdout",
    [
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{"code":' + b"9" * 5_000 + b"}", id="huge-number"),
        pytest.param(b'{"code":NaN,"msg":"' + b"x" * 1_000_000 + b'"}', id="long-message"),
        pytest.param(b"x" * 10_000_000, id="ten-megabytes"),
    ],
)
def test_absurd_output_stays_a_short_error(stdout: bytes) -> None:
    """No output makes the message long or raises anything."""
    assert len(from_output(1, stdout, b"").msg) < 400


@given(st.integers(-64, 255), st.binary(), st.binary())
def test_no_output_raises(status: int, stdout: bytes, stderr: bytes) -> None:
    """Any bytes give an error that can be sent."""
    assert json.loads(from_output(status, stdout, stderr).to_json("1.1.0"))["msg"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Link not found", "Link missing", id="first-phrase"),
        pytest.param("Not Found", "missing", id="any-case"),
        pytest.param("open /x: no such file or directory", "open /x: path does not exist", id="second-phrase"),
        pytest.param("not\nfound, no such  file or\tdirectory", "missing, path does not exist", id="any-space"),
        pytest.param("notfound", "notfound", id="not-the-phrase"),
        pytest.param("not not found found", "not missing found", id="nested"),
    ],
)
def test_defuse_rewords_what_containerd_takes_for_success(text: str, expected: str) -> None:
    """A real failure of DEL must not be read as "already gone"."""
    assert defuse(text) == expected


@given(st.lists(st.sampled_from(["not", "found", " ", "\n", "NO such file or ", "Directory", "\u017f"])).map("".join))
def test_a_defused_text_never_holds_the_phrases(text: str) -> None:
    """Not even as the outcome of the rewording itself."""
    told = CniError(Code.IO, text, text).defused()
    for part in (told.msg, told.details):
        assert "not found" not in part.lower()
        assert "no such file or directory" not in part.lower()


def test_an_excerpt_keeps_the_start_and_the_end() -> None:
    """The start says what it is, the end what went wrong."""
    assert excerpt("head" + "x" * 1000 + "tail", 20) == "headxxxx … xxxxxtail"


@given(st.text(max_size=40) | st.binary(max_size=40), st.integers(0, 400))
def test_an_excerpt_is_one_printable_line_of_bounded_length(text: str | bytes, times: int) -> None:
    """Foreign text can neither forge a line nor flood a message."""
    line = excerpt(text * times)
    assert len(line) <= 256
    assert line.isprintable()

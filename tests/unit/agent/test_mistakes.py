# SPDX-License-Identifier: Apache-2.0
"""What a mistake in the settings says to the person who made it."""

import pytest
import yaml

from metacni.agent import mistakes, settings

YAML_HINT = " (to YAML, yes, no, on and off without quotes are true and false)"
KEYS = (
    "resultMode, cniConfDir, allowedPaths, allowedTypes, checkTolerates, logLevel, limits, drainSeconds, "
    "sweepSeconds, executor, resident, trustedDelegates, sysctlDir, netnsDir, hostPaths"
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("logLevel: debug", "", id="none"),
        pytest.param(
            "loglevel: info", f"there is no key 'loglevel' (did you mean 'logLevel'?); the keys are {KEYS}", id="near"
        ),
        pytest.param("xyz: 1", f"there is no key 'xyz'; the keys are {KEYS}", id="far"),
        pytest.param(
            "limits: {ad: 1}",
            "key 'limits': there is no key 'ad' (did you mean 'add'?); the keys are add, delete, queue",
            id="below",
        ),
        pytest.param(
            "resultMode: yes", f"key 'resultMode': true is not one of auto, merged, primary{YAML_HINT}", id="yes"
        ),
        pytest.param("resultMode: both", "key 'resultMode': \"both\" is not one of auto, merged, primary", id="value"),
        pytest.param("logLevel: [a]", "key 'logLevel': [\"a\"] is not one of debug, info, warning, error", id="list"),
        pytest.param("limits:", "key 'limits': it is empty, and must be a mapping of keys to values", id="empty"),
        pytest.param("limits: {add: '5'}", "key 'limits.add': \"5\" is text, and must be a whole number", id="quoted"),
        pytest.param(
            "limits: {add: on}",
            f"key 'limits.add': true is true or false, and must be a whole number{YAML_HINT}",
            id="on",
        ),
        pytest.param("drainSeconds: 5s", "key 'drainSeconds': \"5s\" is text, and must be a number", id="unit"),
        pytest.param("drainSeconds: .nan", "key 'drainSeconds': nan is no number", id="nan"),
        pytest.param(
            'cniConfDir: "/a\\0b"', "key 'cniConfDir': \"/a\\u0000b\" is not an absolute path", id="nul-in-a-path"
        ),
        pytest.param("drainSeconds: 900", "key 'drainSeconds': 900 is more than 90", id="too-much"),
        pytest.param(
            "allowedPaths: /srv", "key 'allowedPaths': \"/srv\" is text, and must be a list", id="one-of-a-list"
        ),
        pytest.param(
            "cniConfDir: 2020-01-01", "key 'cniConfDir': \"2020-01-01\" is a date, and must be text", id="date"
        ),
        pytest.param("checkTolerates: ['']", "key 'checkTolerates[0]': it is empty", id="empty-text"),
        pytest.param(
            "allowedTypes: {12: [bridge]}",
            "allowedTypes: key 12 is a number, and a key must be text (put it in quotes)",
            id="a-namespace-that-is-a-number",
        ),
        pytest.param(
            "resident: atuo",
            "key 'resident': \"atuo\" is not one of auto, none, and no list",
            id="word",
        ),
        pytest.param(
            "resident: no", f"key 'resident': false is not one of auto, none, and no list{YAML_HINT}", id="no"
        ),
        pytest.param(
            "resident:", "key 'resident': it is empty, and must be one of auto, none, or a list", id="neither"
        ),
        pytest.param(
            "resident: [bridge, 5]", "key 'resident[1]': 5 is a number, and must be text", id="inside-an-alternative"
        ),
        pytest.param("resident: ['']", "key 'resident[0]': it is empty", id="nothing-inside-an-alternative"),
        pytest.param("text", "the whole file is text, and must be a mapping of keys to values", id="no-mapping"),
    ],
)
def test_a_mistake_is_told_in_words(text: str, told: str) -> None:
    """Which key, what was written, what is wanted."""
    assert mistakes.of_values(yaml.safe_load(text), settings.schema()) == told


def test_a_long_value_is_cut() -> None:
    """The message stays one line that can be read."""
    told = mistakes.of_values({"resultMode": "x" * 1000}, settings.schema())
    assert len(told) < 200


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("a: 1\nb: c: d", "line 2: mapping values are not allowed here", id="problem"),
        pytest.param(
            "\na: [",
            "line 2: expected the node content, but found '<stream end>' while parsing a flow node",
            id="context",
        ),
        pytest.param(
            "\0",
            'unacceptable character #x0000: special characters are not allowed in "<unicode string>", position 0',
            id="no-line",
        ),
    ],
)
def test_a_text_that_is_no_yaml_is_told_with_its_line(text: str, told: str) -> None:
    """Where to look, and what the parser met there."""
    with pytest.raises(yaml.YAMLError) as caught:
        yaml.safe_load(text)
    assert mistakes.of_yaml(caught.value) == told

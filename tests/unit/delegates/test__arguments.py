# SPDX-License-Identifier: Apache-2.0
"""Requests from three places, the weakest first."""

from collections.abc import Mapping

import pytest

from delegates import _arguments
from metacni.cni import environment
from metacni.cni.errors import CniError
from metacni.cni.jsontext import Json
from tests.unit.delegates.calls import variables

BODY: Mapping[str, Json] = {
    "args": {"cni": {"mac": "two", "ips": ["b"]}},
    "runtimeConfig": {"mac": "three", "ips": ["c", "d"]},
}


def test_the_strongest_stands_last() -> None:
    """CNI_ARGS, args.cni, runtimeConfig."""
    parsed = environment.parse(variables("ADD", CNI_ARGS="MAC=one;IP=a"))
    assert [item.text for item in _arguments.single(BODY, parsed, "MAC", "mac")] == ["one", "two", "three"]
    assert _arguments.single(BODY, parsed, "MAC", "mac")[0].where == "MAC of CNI_ARGS"
    assert [item.text for item in _arguments.several(BODY, parsed, "IP", "ips")] == ["a", "b", "c", "d"]


def test_nothing_asked_is_nothing() -> None:
    """Absent and empty are the same."""
    parsed = environment.parse(variables("ADD", CNI_ARGS="MAC="))
    assert _arguments.single({"runtimeConfig": {"mac": ""}, "args": None}, parsed, "MAC", "mac") == []


@pytest.mark.parametrize(
    ("args", "fine"),
    [
        pytest.param("", True, id="none"),
        pytest.param("IP=10.1.0.5;MAC=x", True, id="known"),
        pytest.param("FOO=1", False, id="unknown"),
        pytest.param("mac=x", False, id="the-case-counts"),
        pytest.param("FOO=1;IgnoreUnknown=1", True, id="unknown-but-ignored"),
        pytest.param("IgnoreUnknown=TRUE;K8S_POD_NAME=p", True, id="true-in-any-case"),
        pytest.param("FOO=1;IgnoreUnknown=0", False, id="not-ignored"),
        pytest.param("IgnoreUnknown=perhaps", False, id="no-boolean"),
    ],
)
def test_unknown_names_are_refused_unless_ignored(args: str, fine: bool) -> None:  # noqa: FBT001 - a row
    """As every Go plugin does."""
    parsed = environment.parse(variables("ADD", CNI_ARGS=args))
    if fine:
        _arguments.require_known(parsed, _arguments.KNOWN)
        return
    with pytest.raises(CniError, match="CNI_ARGS") as caught:
        _arguments.require_known(parsed, _arguments.KNOWN)
    assert caught.value.code == 4


def test_a_capability_that_nobody_takes_is_named() -> None:
    """With its value, as the specification wants for keys that are not carried out."""
    assert _arguments.undeclared({"runtimeConfig": {"MAC": "x"}}, {"mac"}) is None
    told = _arguments.undeclared({"runtimeConfig": {"portMappings": []}}, {"mac"})
    assert told == "key 'runtimeConfig.portMappings' ([]) is not carried out"

# SPDX-License-Identifier: Apache-2.0
"""The order of checks, and what each verb gets, on a delegate in memory."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_interface
from typing import Any

import pytest

from delegates import _skeleton
from delegates._call import Body, Call, Visible
from delegates._skeleton import Delegate
from metacni.cni import keys
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code
from metacni.cni.result import Address, Result
from metacni.netns import sandbox
from tests.unit.delegates.calls import edges, serve, variables

CONFIG = {"cniVersion": "1.1.0", "name": "net", "type": "toy"}
VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]


class Toy:
    """A delegate that notes what it is asked to do."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.calls: list[Call[str]] = []
        self._fails = fails
        self.delegate = Delegate(
            name="toy", about="a toy", parse=self.parse, parse_loosely=lambda _: "loosely", add=self.add,
            check=self.note, delete=self.note, status=self.note, gc=self.note, declines=self.declines,
        )  # fmt: skip

    def parse(self, body: Body, environment: Environment, version: str) -> str:
        """Any configuration that has no number as its toy."""
        assert environment.verb
        return keys.text(body, "toy", version)

    def declines(self, body: Body, visible: Visible) -> str | None:
        """Whoever wants wheels."""
        assert visible("/anything")
        return "key 'wheels' (4) is not carried out" if "wheels" in body else None

    def add(self, call: Call[str]) -> Result:
        """Give one address."""
        self.note(call)
        return Result(ips=(Address(address=ip_interface("10.1.0.2/24")),))

    def note(self, call: Call[str]) -> None:
        """Keep the call."""
        self.calls.append(call)
        if self._fails:
            raise self._fails


@pytest.mark.parametrize("version", VERSIONS)
def test_add_answers_in_the_version_of_the_configuration(version: str) -> None:
    """All seven."""
    toy = Toy()
    body = serve(toy.delegate, "ADD", CONFIG | {"cniVersion": version})
    assert body["cniVersion"] == version
    assert "10.1.0.2/24" in json.dumps(body)
    assert toy.calls[0].conf == version


@pytest.mark.parametrize(
    ("verb", "version", "has"),
    [
        *(pytest.param("CHECK", version, version in VERSIONS[4:], id=f"CHECK-{version}") for version in VERSIONS),
        *(pytest.param("DEL", version, True, id=f"DEL-{version}") for version in VERSIONS),
        *(pytest.param("STATUS", version, version == VERSIONS[6], id=f"STATUS-{version}") for version in VERSIONS),
        *(pytest.param("GC", version, version == VERSIONS[6], id=f"GC-{version}") for version in VERSIONS),
    ],
)
def test_a_verb_that_the_version_does_not_have_is_refused(verb: str, version: str, has: bool) -> None:  # noqa: FBT001 - a row
    """Code 1, and the delegate is not asked; otherwise it is, and nothing is printed."""
    toy = Toy()
    config = CONFIG | {"cniVersion": version, "cni.dev/valid-attachments": []}
    if has:
        assert serve(toy.delegate, verb, config) == {}
        assert len(toy.calls) == 1
        return
    with pytest.raises(CniError, match=verb) as caught:
        serve(toy.delegate, verb, config)
    assert (caught.value.code, toy.calls) == (1, [])


@pytest.mark.parametrize(
    ("changes", "stdin", "code"),
    [
        pytest.param({"CNI_IFNAME": ""}, b"not json", 4, id="variables-first"),
        pytest.param({}, b"not json", 6, id="then-json"),
        pytest.param({}, b'{"cniVersion":"9"}', 7, id="then-the-name"),
        pytest.param({}, b'{"cniVersion":"9","name":"n","toy":1}', 1, id="then-the-version"),
        pytest.param({}, b'{"name":"n","toy":1,"wheels":4}', 6, id="then-types-of-keys"),
        pytest.param({}, b'{"name":"n","wheels":4}', 2, id="then-keys-that-are-not-carried-out"),
    ],
)
def test_the_order_of_checks_is_gos(changes: Mapping[str, str], stdin: bytes, code: int) -> None:
    """Callers tell by the code what is wrong first."""
    toy = Toy()
    with pytest.raises(CniError) as caught:
        toy.delegate.serve(variables("ADD", **changes), stdin, pod=-1, edges=edges())
    assert (caught.value.code, toy.calls) == (code, [])


@pytest.mark.parametrize("verb", ["ADD", "CHECK"])
def test_no_namespace_is_refused_where_one_is_needed(verb: str) -> None:
    """Code 8, before anything is done."""
    toy = Toy()
    with pytest.raises(CniError, match="'/run/netns/p'") as caught:
        toy.delegate.serve(variables(verb), json.dumps(CONFIG).encode(), pod=None, edges=edges())
    assert (caught.value.code, toy.calls) == (8, [])


@pytest.mark.parametrize("verb", ["ADD", "CHECK", "DEL"])
@pytest.mark.parametrize("path", ["/proc/self/ns/net", "/dev/null"])
def test_a_descriptor_that_is_no_pods_is_refused(verb: str, path: str) -> None:
    """The node's own namespace, or none: code 8, before a link could be made in it."""
    toy, fd = Toy(), os.open(path, os.O_RDONLY)
    outside = replace(edges(), require_pod=sandbox.require_foreign)
    with pytest.raises(CniError) as caught:
        toy.delegate.serve(variables(verb), json.dumps(CONFIG).encode(), pod=fd, edges=outside)
    os.close(fd)
    assert (caught.value.code, toy.calls) == (8, [])


@pytest.mark.parametrize("verb", ["DEL", "GC"])
def test_taking_away_reads_loosely(verb: str) -> None:
    """A configuration that was edited into one that is refused does not keep anything."""
    toy = Toy()
    config: dict[str, Any] = CONFIG | {
        "wheels": 4,
        "toy": 1,
        "cni.dev/valid-attachments": None,
        "prevResult": {"ips": [{}]},
    }
    if verb == "GC":
        del config["prevResult"]
    assert serve(toy.delegate, verb, config) == {}
    assert toy.calls[0].conf == "loosely"


@pytest.mark.parametrize(
    ("valid", "expected"),
    [
        pytest.param([{"containerID": "c1", "ifname": "eth0"}], [("c1", "eth0")], id="one"),
        pytest.param([], [], id="none"),
        pytest.param(None, [], id="null-is-none"),
    ],
)
def test_gc_is_told_what_is_valid(valid: Any, expected: list[tuple[str, str]]) -> None:
    """As containers and interfaces."""
    toy = Toy()
    serve(toy.delegate, "GC", CONFIG | {"cni.dev/valid-attachments": valid})
    assert [(item.container, item.ifname) for item in toy.calls[0].valid] == expected


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({}, 7),
        ({"cni.dev/valid-attachments": ["x"]}, 6),
        ({"cni.dev/valid-attachments": [{}]}, 7),
        ({"cni.dev/valid-attachments": [{"containerID": "c1"}]}, 7),
        ({"cni.dev/valid-attachments": [{"container_id": "c1", "ifname": "eth0"}]}, 7),
    ],
    ids=["absent", "no-object", "empty", "no-interface", "misspelt"],
)
def test_gc_does_not_guess(more: dict[str, Any], code: int) -> None:
    """An absent key is not "delete everything"."""
    toy = Toy()
    with pytest.raises(CniError) as caught:
        serve(toy.delegate, "GC", CONFIG | more)
    assert (caught.value.code, toy.calls) == (code, [])


def test_check_has_the_result_in_its_own_version() -> None:
    """Whatever the configuration's is."""
    toy = Toy()
    previous = {"cniVersion": "0.3.1", "ips": [{"version": "4", "address": "10.1.0.2/24"}]}
    serve(toy.delegate, "CHECK", CONFIG | {"prevResult": previous})
    result = toy.calls[0].previous()
    assert [str(item.address) for item in result.ips] == ["10.1.0.2/24"]


def test_version_answers_anybody() -> None:
    """The asked version back when there is one to read, else the newest."""
    toy = Toy()
    for stdin, version in ((b'{"cniVersion":"0.4.0"}', "0.4.0"), (b"", "1.1.0"), (b"nonsense", "1.1.0")):
        output = toy.delegate.serve({"CNI_COMMAND": "VERSION"}, stdin, pod=None, edges=edges())
        assert json.loads(output) == {"cniVersion": version, "supportedVersions": VERSIONS}


def test_only_errors_of_ours_leave() -> None:
    """The system's refusals are told by their number."""
    with pytest.raises(CniError, match=r"^cannot serve ADD: permission denied$") as caught:
        serve(Toy(PermissionError(13, "Permission denied")).delegate, "ADD", CONFIG)
    assert caught.value.code == 5
    with pytest.raises(CniError, match=r"^mine$") as caught:
        serve(Toy(CniError(Code.CONFIG, "mine")).delegate, "ADD", CONFIG)
    assert caught.value.code == 7


def test_keys_of_the_specification_are_nobodys() -> None:
    """What is neither those nor the delegate's is found."""
    body = {"name": 1, "CNIVERSION": 1, "cni.dev/x": 1, "mine": 1, "none": None, "other": 1}
    assert _skeleton.undeclared(body, frozenset({"mine"})) == "key 'other' (1) is not known"

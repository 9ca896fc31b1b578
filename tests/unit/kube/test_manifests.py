# SPDX-License-Identifier: Apache-2.0
"""One file of definitions and pods: what is taken, and what each mistake is told."""

from __future__ import annotations

import pytest

from metacni.kube import manifests
from metacni.kube.errors import BadManifest
from metacni.kube.source import NetworkDefinition, PodInfo

TWO = b"""\
# a comment first
---
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: {name: lan, namespace: a}
spec:
  config: |
    {"type": "bridge"}
---
---
apiVersion: v1
kind: Pod
metadata:
  name: p
  annotations: {k8s.v1.cni.cncf.io/networks: lan}
spec: {containers: [{name: c}]}
"""
NAD = "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\n"


def test_documents_become_definitions_and_pods() -> None:
    """Both kinds are read from one file; the namespace is `default` unless given."""
    found = manifests.parse(TWO, "f.yaml")
    assert found.definitions == (NetworkDefinition(namespace="a", name="lan", config='{"type": "bridge"}\n'),)
    assert found.pods == (
        PodInfo(namespace="default", name="p", uid="", annotations={"k8s.v1.cni.cncf.io/networks": "lan"}),
    )


def test_json_is_read_too() -> None:
    """A JSON file holds one document, which may be a List as kubectl prints it."""
    text = (
        b'{"kind": "List", "apiVersion": "v1", "items": [{"apiVersion": "k8s.cni.cncf.io/v1",'
        b'"kind": "NetworkAttachmentDefinition", "metadata": {"name": "lan"}}]}'
    )
    assert manifests.parse(text, "f.json").definitions == (NetworkDefinition(namespace="default", name="lan"),)


def test_an_empty_file_holds_nothing() -> None:
    """A file of comments is no mistake."""
    assert manifests.parse(b"# later\n", "f.yaml") == manifests.Manifest()


def test_other_kinds_are_ignored_with_a_note() -> None:
    """A file written for a cluster may hold more than we read."""
    found = manifests.parse(b"apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n", "f.yaml")
    assert found == manifests.Manifest(notes=("f.yaml:1: ignored, kind 'Namespace' is not read",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("a: [1\nb: 2\n", "cannot parse f.yaml:2: did not find expected ',' or ']'", id="no YAML"),
        pytest.param("a: 1\n---\nb: {\n", "cannot parse f.yaml:4: did not find expected node content", id="second"),
        pytest.param("- 1\n", "cannot use f.yaml:1: the document is not a mapping", id="a list"),
        pytest.param("a: !!python/object:os.system x\n",
                     "cannot parse f.yaml:1: could not determine a constructor for the tag "
                     "'tag:yaml.org,2002:python/object:os.system'", id="a Python object"),
        pytest.param("a: 2026-99-99\n", "cannot parse f.yaml:1: month must be in 1..12", id="a date that is none"),
        pytest.param(NAD, "cannot use f.yaml:1: metadata must be a mapping", id="no metadata"),
        pytest.param("x: 1\n---\n" + NAD + "metadata: {}\n",
                     "cannot use f.yaml:3: 'default'/None are no names of a namespace and an object", id="no name"),
        pytest.param(NAD + "metadata: {name: ../x}\n",
                     "cannot use f.yaml:1: 'default'/'../x' are no names of a namespace and an object", id="bad name"),
        pytest.param(NAD + "metadata: {name: 7}\n",
                     "cannot use f.yaml:1: 'default'/7 are no names of a namespace and an object", id="a number"),
        pytest.param("apiVersion: v1\nkind: NetworkAttachmentDefinition\nmetadata: {name: lan}\n",
                     "cannot use f.yaml:1: apiVersion must be 'k8s.cni.cncf.io/v1', not 'v1'", id="wrong version"),
        pytest.param(NAD + "metadata: {name: lan}\nspec: x\n",
                     "cannot use f.yaml:1: spec must be a mapping", id="bad spec"),
        pytest.param(NAD + "metadata: {name: lan}\nspec: {config: {type: bridge}}\n",
                     "cannot use f.yaml:1: spec.config must be text that holds JSON (write `config: |`)", id="object"),
        pytest.param("apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {a: true}}\n",
                     "cannot use f.yaml:1: annotation 'a' must be text (put it in quotes)", id="annotation no text"),
        pytest.param("apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: [a]}\n",
                     "cannot use f.yaml:1: annotations must be a mapping", id="annotations no mapping"),
        pytest.param("kind: List\nitems: [1]\n",
                     "cannot use f.yaml:1: items of a List must be a list of mappings", id="bad list"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_file_and_line(text: str, message: str) -> None:
    """Each mistake is one line that says where and what."""
    with pytest.raises(BadManifest) as caught:
        manifests.parse(text.encode(), "f.yaml")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        pytest.param("f.json", b'{\n"a": }', "cannot parse f.json:2: expecting value", id="no JSON"),
        pytest.param("f.json", b"\xff", "cannot parse f.json:1: ", id="JSON, not UTF-8"),
        pytest.param("f.json", b"[" * 100_000, "cannot parse f.json:1: ", id="JSON, too deep"),
        pytest.param("f.yaml", b"a: 1\nb: \xff\n", "cannot parse f.yaml:2: not UTF-8", id="YAML, not UTF-8"),
        pytest.param(
            "f.yaml", b"[" * 200_000 + b"]" * 200_000, "cannot parse f.yaml:1: nested too deeply", id="YAML, too deep"
        ),
        pytest.param("f.yaml", b"a: \x00", "cannot parse f.yaml:1: ", id="YAML, a NUL"),
    ],
)
def test_text_that_is_none_is_one_error(file: str, text: bytes, message: str) -> None:
    """Bytes that cannot be text of that form end in the same kind of error."""
    with pytest.raises(BadManifest) as caught:
        manifests.parse(text, file)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_aliases_that_multiply_cost_nothing() -> None:
    """A thousand million laughs are read as references and never written out."""
    text = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(9)
    )
    assert len(manifests.parse((text + "kind: X\n").encode(), "f.yaml").notes) == 1

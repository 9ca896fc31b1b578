# SPDX-License-Identifier: Apache-2.0
"""Reading an example of the demo: it may be the user's own, so what is wrong is one line that names file and key."""

import json
from pathlib import Path

import pytest

from metacni.cli import demo_example
from metacni.cli.command import CommandError

DELEGATE = {"name": "pods", "type": "bridge"}
OWN = {"type": "metacni", "delegates": [DELEGATE]}
CONFLIST = {"name": "node", "cniVersion": "1.0.0", "plugins": [OWN]}
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: demo}\n"


def example(folder: Path, *, conflist: object = None, manifests: str = POD % "left") -> Path:
    """A folder with an example's two files."""
    text = conflist if isinstance(conflist, str) else json.dumps(CONFLIST if conflist is None else conflist)
    (folder / "node.conflist").write_text(text)
    (folder / "definitions.yaml").write_text(manifests)
    return folder


def test_an_example_gives_what_the_runtime_hands_over_and_the_pods(tmp_path: Path) -> None:
    """The list's name and version stand in the plugin; net.d is where the node's own files are."""
    (tmp_path / "net.d").mkdir()
    read = demo_example.load(example(tmp_path, manifests=POD % "left" + "---\n" + POD % "right" + "---\n"))
    assert read.config == OWN | {"name": "node", "cniVersion": "1.0.0", "confDir": str(tmp_path / "net.d")}
    assert [(pod.namespace, pod.name) for pod in read.pods] == [("demo", "left"), ("demo", "right")]


@pytest.mark.parametrize("missing", ["node.conflist", "definitions.yaml"])
def test_an_example_needs_both_files(tmp_path: Path, missing: str) -> None:
    """The one that is missing is named, and how to name another example."""
    (example(tmp_path) / missing).unlink()
    with pytest.raises(CommandError, match=f"it has no {missing}; name one with --examples DIR"):
        demo_example.load(tmp_path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """With the reason."""
    (example(tmp_path) / "node.conflist").unlink()
    (tmp_path / "node.conflist").mkdir()
    with pytest.raises(CommandError, match=r"^cannot read '.*/node\.conflist': is a directory$"):
        demo_example.load(tmp_path)


@pytest.mark.parametrize(
    ("conflist", "told"),
    [
        pytest.param("{", "cannot decode node.conflist: ", id="not-json"),
        pytest.param([], "it is not a JSON object but []", id="no-object"),
        pytest.param({}, "key 'plugins' is missing", id="no-plugins"),
        pytest.param({"plugins": []}, "key 'plugins' is not a list whose first item is an object", id="no-plugin"),
        pytest.param(
            {"plugins": [1]}, "key 'plugins' is not a list whose first item is an object", id="no-object-in-it"
        ),
        pytest.param(
            {**CONFLIST, "plugins": [DELEGATE]},
            'key \'type\' of the first plugin is "bridge", not "metacni"',
            id="type",
        ),
        pytest.param(
            {"plugins": [OWN], "name": "node"}, "key 'cniVersion' is missing beside 'plugins'", id="no-version"
        ),
        pytest.param({"plugins": [OWN], "cniVersion": "1.0.0"}, "key 'name' is missing beside 'plugins'", id="no-name"),
        pytest.param({**CONFLIST, "cniVersion": "9.0.0"}, "'9.0.0'", id="version"),
        pytest.param({**CONFLIST, "plugins": [{"type": "metacni"}]}, "key 'delegates' is missing", id="no-delegates"),
        pytest.param({**CONFLIST, "plugins": [OWN | {"delegate": []}]}, "key 'delegate': unknown", id="unknown-key"),
    ],
)
def test_a_broken_configuration_names_file_and_key(tmp_path: Path, conflist: object, told: str) -> None:
    """In one line, and in no words of Python's."""
    with pytest.raises(CommandError) as caught:
        demo_example.load(example(tmp_path, conflist=conflist))
    text = str(caught.value)
    assert text.startswith(f"cannot use '{tmp_path}/node.conflist': ")
    assert (told in text, "\n" in text) == (True, False), text


@pytest.mark.parametrize(
    ("manifests", "told"),
    [
        pytest.param("a: [", "definitions.yaml:2: ", id="not-yaml"),
        pytest.param("apiVersion: v1\nkind: Pod\n", "definitions.yaml:1: metadata must be a mapping", id="no-metadata"),
        pytest.param("", "/definitions.yaml': it has no object of kind Pod", id="no-pod"),
        pytest.param(
            POD % "a" + "---\n" + POD % "a",
            "/definitions.yaml': two pods are called 'a', and the demo tells pods by their name",
            id="twice",
        ),
    ],
)
def test_broken_definitions_name_the_file(tmp_path: Path, manifests: str, told: str) -> None:
    """And the line, where there is one."""
    with pytest.raises(CommandError) as caught:
        demo_example.load(example(tmp_path, manifests=manifests))
    assert (told in str(caught.value), "\n" in str(caught.value)) == (True, False), str(caught.value)

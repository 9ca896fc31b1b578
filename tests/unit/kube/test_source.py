# SPDX-License-Identifier: Apache-2.0
"""The seam itself: values without behaviour, and no Kubernetes client behind it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from metacni.kube.source import NetworkDefinition


def test_values_cannot_be_changed() -> None:
    """A cached definition is shared by threads, so nobody may write to it."""
    definition = NetworkDefinition(namespace="a", name="lan")
    with pytest.raises(dataclasses.FrozenInstanceError):
        definition.config = "{}"  # type: ignore[misc]


def test_without_a_cluster_the_client_is_never_loaded() -> None:
    """The directory source, the silent publisher and the seam do not import the Kubernetes client."""
    modules = "metacni.kube.source, metacni.kube.directory, metacni.kube.silent"
    program = f"import sys, {modules}; print(any(name.startswith(('kubernetes', 'urllib3')) for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

# SPDX-License-Identifier: Apache-2.0
"""The agent's image, from this tree: examples/agent-pod/Containerfile by buildah, over a base that build.sh has made.

It asks no registry: Debian and the locked requirements were fetched when the test bed was built, and are layers in its
cache. What is built each time is the wheel, and the two layers above it. One archive is kept, by what it was made of.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.parts import BUILDAH, ROOT

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster

IMAGE = "metacni.test/metacni:1"
EXAMPLE = ROOT / "examples" / "agent-pod"
BASE = "localhost/metacni.test/debian:1"


def bring(cluster: Cluster) -> None:
    """See that the node has the image, once."""
    if IMAGE not in cluster.ctr("image", "ls", "-q").split():
        cluster.import_image(archive())


def archive() -> Path:
    """Return the image of this tree as an archive."""
    with tempfile.TemporaryDirectory(prefix="metacni-image-") as folder:
        context = Path(folder)
        wheels = context / "build" / "image"
        pip = (sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "--no-build-isolation")
        _run(*pip, "--wheel-dir", str(wheels), str(ROOT))
        (wheel,) = wheels.iterdir()
        recipe = (EXAMPLE / "Containerfile", EXAMPLE / "requirements.lock")
        made_of = hashlib.sha256(b"".join(file.read_bytes() for file in (wheel, *recipe))).hexdigest()
        target = BUILDAH / f"{made_of[:16]}.tar"
        if not target.exists():
            (context / "examples").mkdir()
            shutil.copytree(EXAMPLE, context / "examples" / "agent-pod")
            _build(context, target)
        return target


def _build(context: Path, target: Path) -> None:
    """Build, in two steps that may be repeated; older archives and what only they used go."""
    # Nothing is fetched: with the base and the requirements in the cache no step needs the network.
    options = ("--isolation", "chroot", "--layers", "--pull-never", "--build-arg", f"BASE={BASE}")
    recipe = context / "examples" / "agent-pod" / "Containerfile"
    _buildah("bud", "--quiet", *options, "--tag", f"localhost/{IMAGE}", "--file", str(recipe), str(context))
    temporary = target.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    _buildah("push", "--quiet", f"localhost/{IMAGE}", f"docker-archive:{temporary}:{IMAGE}")
    for old in target.parent.glob("*.tar"):
        old.unlink()
    temporary.rename(target)
    _buildah("rmi", "--prune")


def _buildah(*arguments: str) -> None:
    driver = (BUILDAH / "driver").read_text().strip()
    where = ("--root", str(BUILDAH / "storage"), "--runroot", str(BUILDAH / "run"), "--storage-driver", driver)
    _run("buildah", *where, *arguments)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}{done.stdout}"

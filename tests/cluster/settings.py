# SPDX-License-Identifier: Apache-2.0
"""What containerd and the kubelet of a test node are told: everything of theirs below the node's folder.

Both are functions to text, so that a difference between the two containerds can be read side by side.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.cluster.image import IMAGE
from tests.cluster.node import ADDRESS

CONTAINERD_COMMON = """
root = '{folder}/containerd'
state = '{folder}/run'
[grpc]
address = '{folder}/containerd.sock'
[plugins.'io.containerd.internal.v1.opt']
path = '{folder}/opt'
"""

# restrict_oom_score_adj: where root lacks CAP_SYS_RESOURCE, no container starts without it.
# netns_mounts_under_state_dir: the pods' namespaces are bound below our folder, not in the machine's /run/netns.
# annotations: containerd 1.6 and 2 hand a pod's annotations to a plugin that declares the capability.
CONTAINERD_1 = """version = 2
{common}
[plugins.'io.containerd.grpc.v1.cri']
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
sandbox_image = '{image}'
[plugins.'io.containerd.grpc.v1.cri'.cni]
bin_dir = '{bin_dir}'
conf_dir = '{conf_dir}'
[plugins.'io.containerd.grpc.v1.cri'.containerd]
snapshotter = '{snapshotter}'
"""

CONTAINERD_2 = """version = 3
{common}
[plugins.'io.containerd.nri.v1.nri']
disable = true
[plugins.'io.containerd.cri.v1.images']
snapshotter = '{snapshotter}'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '{image}'
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['{bin_dir}']
conf_dir = '{conf_dir}'
"""


def containerd(template: str, folder: Path, bin_dir: Path, conf_dir: Path) -> str:
    """Return containerd's configuration; `template` is CONTAINERD_1 or CONTAINERD_2."""
    common = CONTAINERD_COMMON.format(folder=folder)
    return template.format(
        common=common, image=IMAGE, bin_dir=bin_dir, conf_dir=conf_dir, snapshotter=snapshotter(folder)
    )


def snapshotter(folder: Path) -> str:
    """Return how containerd keeps its layers: `native` copies whole images for each container, but works anywhere."""
    known = "overlay" in Path("/proc/filesystems").read_text().split()
    done = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True, check=True)
    return "overlayfs" if known and done.stdout.strip() != "overlayfs" else "native"


def kubelet(folder: Path, cgroup: str) -> str:
    """Return the kubelet's configuration as JSON, which YAML is a superset of."""
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "staticPodPath": f"{folder}/manifests",
        "podLogsDir": f"{folder}/logs",
        "volumePluginDir": f"{folder}/volume-plugins",
        "address": ADDRESS,
        "cgroupRoot": f"/{cgroup}",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,  # some machines still mount v1, which the kubelet refuses by itself
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": False,
        # a test must not fail because the machine's disk is nearly full
        "evictionHard": {"nodefs.available": "0%", "imagefs.available": "0%", "memory.available": "1Mi"},
        "imageGCHighThresholdPercent": 100,
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "maxPods": 250,
        "fileCheckFrequency": "1s",
        "syncFrequency": "5s",
        "nodeStatusUpdateFrequency": "1s",
        "resolvConf": "",  # the machine's name servers are no business of a test pod
    }
    return json.dumps(settings, indent=2)

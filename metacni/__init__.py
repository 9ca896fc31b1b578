# SPDX-License-Identifier: Apache-2.0
"""The multi-network layer of a Kubernetes node: a CNI meta-plugin."""

__version__ = "0.1.0"

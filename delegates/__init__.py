# SPDX-License-Identifier: Apache-2.0
"""Delegates of our own, one module each; and here, what a delegate of another package is made of.

Modules with an underscore are what ours share: they may change with every release, these names do not.
"""

from delegates._call import Body, Call, Edges, Pod, Visible
from delegates._program import main
from delegates._skeleton import Delegate

__all__ = ["Body", "Call", "Delegate", "Edges", "Pod", "Visible", "main"]

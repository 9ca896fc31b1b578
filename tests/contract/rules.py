# SPDX-License-Identifier: Apache-2.0
"""The packet filter of a twin, in words of both: what `nft` prints, less names of chance and empty tables."""

import re
from typing import Final

from tests.contract.twins import Twin

_VETH: Final = re.compile(r"veth[0-9a-f]{8}")
_MAC: Final = re.compile(r"(?<=ether saddr )(?!02:00:5e)\S+")
_NAMES: Final = "  [ meta load iifname => reg 1 ]"
_NAMED: Final = "  [ cmp eq reg 1 NAME ]"
_EMPTY: Final = re.compile(r"table \S+ \S+ \{\n\}\n")


def rules(twin: Twin) -> str:
    """The rules of the node."""
    text = twin.host.run("nft", "--stateless", "list", "ruleset")
    return _EMPTY.sub("", _MAC.sub("MAC", _VETH.sub("veth", text)))


def bytecode(twin: Twin) -> list[str]:
    """What the kernel runs for them, without handles and names of links: two spellings may print alike, and differ."""
    text = twin.host.run("nft", "--debug=netlink", "list", "ruleset")
    lines = [line for line in text.splitlines() if line.startswith("  [")]
    return [_NAMED if before == _NAMES else line for before, line in zip(["", *lines], lines, strict=False)]

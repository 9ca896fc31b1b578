# SPDX-License-Identifier: Apache-2.0
"""The parameters of one CNI call, from its environment variables.

The variables come in as a mapping: this module must not read the process's own environment, which is the shim's and
not the agent's. What else a call needs stands on stdin and is not looked at here (A7).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from metacni.cni import arguments
from metacni.cni.errors import CniError, Code, excerpt
from metacni.cni.names import ContainerId, IfName, NetnsPath, container_id, interface_name
from metacni.cni.versions import Verb

COMMAND: Final = "CNI_COMMAND"
CONTAINER: Final = "CNI_CONTAINERID"
NETNS: Final = "CNI_NETNS"
IFNAME: Final = "CNI_IFNAME"
ARGS: Final = "CNI_ARGS"
PATH: Final = "CNI_PATH"

_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {  # A4, less CNI_PATH, which `binDir` can stand in for (A5)
    Verb.ADD: (CONTAINER, NETNS, IFNAME),
    Verb.CHECK: (CONTAINER, NETNS, IFNAME),
    Verb.DEL: (CONTAINER, IFNAME),
    Verb.GC: (),
    Verb.STATUS: (),
    Verb.VERSION: (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One call's parameters, checked; empty where the verb needs none."""

    verb: Verb
    container_id: ContainerId
    netns: NetnsPath
    ifname: IfName
    args: tuple[tuple[str, str], ...]
    path: tuple[str, ...]


def parse(env: Mapping[str, str]) -> Environment:
    """Read the six variables; an empty one counts as missing, and all missing ones are named at once (A4, A6)."""
    command = env.get(COMMAND, "")
    required = _REQUIRED.get(command, ())
    missing = [name for name in (COMMAND, *required) if not env.get(name)]
    if missing:
        raise CniError(Code.ENVIRONMENT, f"required env variables [{','.join(missing)}] missing")
    if command not in _REQUIRED:
        raise CniError(Code.ENVIRONMENT, f"unknown CNI_COMMAND: {excerpt(command)!r}")
    path = tuple(part for part in _value(env, PATH).split(":") if part)
    if not required:
        return Environment(
            verb=Verb(command), container_id=ContainerId(""), netns=NetnsPath(""), ifname=IfName(""), args=(), path=path
        )
    return Environment(
        verb=Verb(command),
        container_id=container_id(env[CONTAINER]),
        netns=NetnsPath(_value(env, NETNS)),
        ifname=interface_name(env[IFNAME]),
        args=arguments.parse(_value(env, ARGS)),
        path=path,
    )


def _value(env: Mapping[str, str], name: str) -> str:
    """A variable's text; bytes that are no text reach Python as lone surrogates, which no JSON can carry on."""
    value = env.get(name, "")
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        raise CniError(Code.ENVIRONMENT, f"cannot read {name}: not UTF-8")
    return value

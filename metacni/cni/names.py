# SPDX-License-Identifier: Apache-2.0
"""Names that look alike and must not be mixed up, and the one check each has to pass.

These checks are also the guard against path traversal: container ids, network names and plugin types become parts of
paths. A name that has its NewType has been checked; nothing here may be lenient. Names of pods and namespaces come
from Kubernetes, which has checked them.
"""

import re
from typing import NewType

from metacni.cni.errors import CniError, Code, excerpt

ContainerId = NewType("ContainerId", str)
NetworkName = NewType("NetworkName", str)
IfName = NewType("IfName", str)
PluginType = NewType("PluginType", str)
NetnsPath = NewType("NetnsPath", str)
Namespace = NewType("Namespace", str)
PodName = NewType("PodName", str)
PodUid = NewType("PodUid", str)

MAX_PATH_NAME = 200  # a container id or network name, so that a folder with a suffix of ours can still carry it
MAX_INTERFACE = 15  # bytes: the kernel's IFNAMSIZ less the closing NUL
MAX_FILE = 255
MAX_LABEL = 63
MAX_SUBDOMAIN = 253

_PATH_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_PATH_HINT = "letters, digits, '_', '.' and '-', the first a letter or digit"
_LABEL_HINT = "lower case letters, digits and '-', first and last a letter or digit"


def container_id(text: str) -> ContainerId:
    """A sandbox's id (A9): fullmatch, because `$` would let a line end pass (A10)."""
    if not text:
        raise CniError(Code.UNKNOWN_CONTAINER, "cannot take container id '': it is empty")
    return ContainerId(_path_name(text, "container id", Code.ENVIRONMENT))


def network_name(text: str) -> NetworkName:
    """A network's CNI name, with the alphabet of a container id (A9)."""
    return NetworkName(_path_name(text, "network name", Code.CONFIG))


def interface_name(text: str) -> IfName:
    """An interface's name, by the kernel's rules (A11)."""
    cause = _interface_fault(text)
    if cause:
        raise CniError(Code.ENVIRONMENT, f"cannot take interface name {excerpt(text)!r}: {cause}")
    return IfName(text)


def plugin_type(text: str) -> PluginType:
    """A plugin's type: a bare file name, or it could leave the search path (A12)."""
    cause = _file_fault(text)
    if cause:
        raise CniError(Code.CONFIG, f"cannot take plugin type {excerpt(text)!r}: {cause}")
    return PluginType(text)


def dns_label(text: str, what: str) -> str:
    """An RFC 1123 label, such as a namespace's name; `what` names it in the error."""
    if len(text) <= MAX_LABEL and _LABEL.fullmatch(text):
        return text
    raise CniError(Code.CONFIG, f"cannot take {what} {excerpt(text)!r}: not a DNS label", _LABEL_HINT)


def dns_subdomain(text: str, what: str) -> str:
    """Labels joined by dots, such as the name of most Kubernetes objects."""
    if len(text) <= MAX_SUBDOMAIN and _SUBDOMAIN.fullmatch(text):
        return text
    raise CniError(Code.CONFIG, f"cannot take {what} {excerpt(text)!r}: not a DNS subdomain", _LABEL_HINT)


def _path_name(text: str, what: str, code: Code) -> str:
    if len(text) > MAX_PATH_NAME:
        raise CniError(code, f"cannot take {what} {excerpt(text, 64)!r}: longer than {MAX_PATH_NAME} characters")
    if not _PATH_NAME.fullmatch(text):
        raise CniError(
            code, f"cannot take {what} {excerpt(text)!r}: {'bad characters' if text else 'empty'}", _PATH_HINT
        )
    return text


def _interface_fault(text: str) -> str:
    if not text:
        return "it is empty"
    if text in {".", ".."}:
        return "it is reserved"
    if any(char in "/:" or char.isspace() or not char.isprintable() for char in text):
        return "it holds '/', ':', a space or what cannot be printed"
    if "%" in text:
        return "the kernel takes '%' for the place of a number and makes an interface of another name"
    if len(text.encode()) > MAX_INTERFACE:
        return f"longer than {MAX_INTERFACE} bytes"
    return ""


def _file_fault(text: str) -> str:
    if not text:
        return "it is empty"
    if text in {".", ".."} or any(char in "/\0" or "\ud800" <= char <= "\udfff" for char in text):
        return "not a bare file name"
    if len(text.encode()) > MAX_FILE:
        return f"longer than {MAX_FILE} bytes"
    return ""

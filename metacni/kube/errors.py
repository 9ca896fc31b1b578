# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: N818 - the names say what is so ("forbidden", "gone"), and the agent reads them in except clauses
"""What can go wrong between us and the API server, as our own types.

The client library may change, so neither its exceptions nor urllib3's leave this package, and callers decide by type:

    KubeError
    ├── SourceUnavailable    no usable answer: connection, time-out, TLS, 401, 429, 5xx; try again later
    ├── Forbidden            the server knows us and says no (403): an admin must grant it
    ├── NotFound             the server says that there is no such object (404)
    ├── Gone                 the version asked for is too old to continue from (410): list again
    ├── Rejected             the server understood and refuses (409, 422, any other 4xx); has `.status`
    ├── BadAccess            the kubeconfig or the service account's folder cannot be used: an admin must mend it
    └── BadManifest          a file of the definitions directory cannot be used: names file and line

Texts are one line and never hold a token or a request body.
"""

from __future__ import annotations


class KubeError(Exception):
    """Any failure of this package."""


class SourceUnavailable(KubeError):
    """There is no answer now; the same question may be answered later."""


class Forbidden(KubeError):
    """The API server denies this to our account."""


class NotFound(KubeError):
    """There is no such object (or no such resource type)."""


class Gone(KubeError):
    """The resource version or continue token has expired on the server."""


class Rejected(KubeError):
    """The API server refuses this very request; sending it again changes nothing."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class BadAccess(KubeError):
    """What should tell us server, TLS and credentials is missing or broken."""


class BadManifest(KubeError):
    """A file of definitions that cannot be read, parsed or understood."""


def of_status(status: int, what: str, reason: str) -> KubeError:
    """Return the error for an HTTP status of 400 and above; `what` says what was attempted."""
    text = f"{what}: {reason} (HTTP {status})"
    if status in _BY_STATUS:
        return _BY_STATUS[status](text)
    return SourceUnavailable(text) if status >= _SERVER_FAULT else Rejected(text, status)


_SERVER_FAULT = 500
# 401 is "unavailable": tokens rotate, and the next try reads the file anew. 408 and 429 ask us to come back.
_BY_STATUS: dict[int, type[Forbidden | NotFound | Gone | SourceUnavailable]] = {
    401: SourceUnavailable,
    403: Forbidden,
    404: NotFound,
    408: SourceUnavailable,
    410: Gone,
    429: SourceUnavailable,
}

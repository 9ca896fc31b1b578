# SPDX-License-Identifier: Apache-2.0
"""The bytes that one plugin of an attachment reads from stdin.

Built from the plan alone: what a DEL sends is what the ADD sent, and the result. Must not look at a definition.
"""

from collections.abc import Iterable

from metacni.cni import config, convert, jsontext, keys
from metacni.cni.config import NetworkList
from metacni.cni.jsontext import Json
from metacni.core.nodeconf import VALID_ATTACHMENTS
from metacni.core.plan import Attachment


def stdin(attachment: Attachment, index: int, prev_result: Json) -> bytes:
    """The request of plugin `index` for ADD, DEL and CHECK (B2-B5)."""
    network = attachment.config
    request = config.request(
        network.plugins[index],
        network,
        runtime_config=attachment.capability_args,
        prev_result=_in_version(prev_result, network.version),
    )
    return jsontext.dumps(request)


def status_stdin(network: NetworkList, index: int) -> bytes:
    """The request of plugin `index` for STATUS: nothing of any attachment (B7)."""
    return jsontext.dumps(_bare(network, index))


def gc_stdin(network: NetworkList, index: int, valid: Iterable[tuple[str, str]]) -> bytes:
    """The request of plugin `index` for GC: what is valid, under the right key and the one libcni also reads (B7)."""
    attachments: list[Json] = [{"containerID": container, "ifname": ifname} for container, ifname in sorted(valid)]
    return jsontext.dumps(_bare(network, index) | dict.fromkeys(VALID_ATTACHMENTS, attachments))


def _bare(network: NetworkList, index: int) -> dict[str, Json]:
    return config.request(network.plugins[index], network, runtime_config={}, prev_result=None)


def _in_version(prev_result: Json, version: str) -> Json:
    """A result in the version of the configuration it is put into; one that is so already stays as it came (A54)."""
    if not isinstance(prev_result, dict) or keys.text(prev_result, "cniVersion", version) == version:
        return prev_result
    return convert.render(convert.parse(prev_result, version), version)

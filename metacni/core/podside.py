# SPDX-License-Identifier: Apache-2.0
"""Where in the pod a result's addresses are, so that the answer to the runtime and the status agree (G29).

Old plugins leave out indexes, sandboxes or interfaces altogether (A49, A50). Everything that reads several results
reads them through here; the results in the journal stay as the plugins gave them.
"""

from dataclasses import replace

from metacni.cni.names import NetnsPath
from metacni.cni.result import Address, Interface, Result
from metacni.core.plan import Attachment


def placed(attachment: Attachment, result: Result, netns: NetnsPath) -> Result:
    """The result with every address on an interface: those on none are on the attachment's own.

    A result that knows no interface in the pod has all its addresses there.
    """
    own = own_index(attachment, result)
    if own is None:
        if not result.ips:
            return result
        own = len(result.interfaces)
        made = (*result.interfaces, Interface(name=attachment.ifname, sandbox=netns))
        return replace(result, interfaces=made, ips=tuple(replace(address, interface=own) for address in result.ips))
    sandbox = result.interfaces[own].sandbox or netns
    interfaces = tuple(
        replace(interface, sandbox=sandbox) if index == own else interface
        for index, interface in enumerate(result.interfaces)
    )
    return replace(result, interfaces=interfaces, ips=tuple(_on(address, own, interfaces) for address in result.ips))


def own_index(attachment: Attachment, result: Result) -> int | None:
    """The interface that the attachment was asked for: by name in the pod, else the pod's first, else by name alone."""
    named = [index for index, interface in enumerate(result.interfaces) if interface.name == attachment.ifname]
    inside = [index for index, interface in enumerate(result.interfaces) if interface.sandbox]
    both = [index for index in named if index in inside]
    return next(iter((*both, *inside, *named)), None)


def _on(address: Address, own: int, interfaces: tuple[Interface, ...]) -> Address:
    """An address with an index that can be used; a wrong one would end containerd's handler (G10)."""
    index = address.interface
    return replace(address, interface=index if index is not None and 0 <= index < len(interfaces) else own)

# SPDX-License-Identifier: Apache-2.0
"""Settings and properties of an interface that another plugin has made; the properties are given back on DEL (E56).

Settings are the pod's: they go with the interface, or with the pod. Only those of the network can be set, and only
through files that were opened in the pod. What can be checked is checked before anything is changed.
"""

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar

from delegates import _allowlist, _arguments, _chained, _program, _saved, _skeleton, _sysctls, _text, _undo
from delegates._call import Attachment, Body, Call, Pod, Visible
from delegates._saved import NAMES, State
from delegates._skeleton import Delegate
from delegates._sysctls import Setting
from metacni.cni import keys
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code, excerpt
from metacni.cni.jsontext import Json, describe
from metacni.cni.result import Result
from metacni.netns import devices, properties, setting
from metacni.netns.failures import failing
from metacni.netns.netlink import Netlink
from metacni.netns.properties import Properties
from metacni.netns.sandbox import cause

Value = TypeVar("Value")

_KEYS: Final = frozenset({"sysctl", "mac", "promisc", "mtu", "allmulti", "txqlen", "datadir"})
_CAPABILITIES: Final = frozenset({"mac"})
_ARGUMENTS: Final = frozenset({"MAC"})
_MTU: Final = range(1, 1 << 31)
_QUEUE: Final = range(1 << 32)
_AGAIN: Final = (errno.EINTR, errno.ETIMEDOUT, errno.EBUSY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """The configuration, what the pod asks for included."""

    settings: tuple[Setting, ...] = ()
    wanted: State = field(default_factory=State)
    folder: Path = _saved.FOLDER

    @property
    def changes_link(self) -> bool:
        """Whether anything but settings is asked for."""
        return self.wanted != State()


def parse(body: Body, environment: Environment, version: str) -> Conf:
    """Read and check the whole configuration; `args.cni` is the strongest place (E18).

    Raises:
        CniError: code 6, a wrong JSON type; code 7, values that cannot be; code 4, bad CNI_ARGS.
    """
    del version  # all have the same keys
    asked = _asked(body)
    both = (asked, body)
    return Conf(
        settings=_sysctls.settings(_sysctls.texts(body) | _sysctls.texts(asked), environment.ifname),
        wanted=State(
            mac=_mac(body, asked, environment),
            promisc=_first(keys.flag, both, "promisc") or None,  # false leaves it as it is
            mtu=_number("mtu", _first(keys.integer, both, "mtu") or None, _MTU),
            allmulti=_first(keys.flag, both, "allmulti"),
            queue=_number("txQLen", _first(keys.integer, both, "txQLen"), _QUEUE),
        ),
        folder=_folder(keys.text(body, "dataDir") or str(_saved.FOLDER)),
    )


def parse_loosely(body: Body) -> Conf:
    """Read where the saved state is."""
    return Conf(folder=_folder(keys.text(body, "dataDir") or str(_saved.FOLDER)))


def declines(body: Body, visible: Visible) -> str | None:
    """Name what stands in the way of doing exactly what the reference would do.

    Raises:
        CniError: as `parse`.
    """
    if unknown := _skeleton.undeclared(body, _KEYS):
        return unknown
    sysctls = _sysctls.texts(body) | _sysctls.texts(_asked(body))
    for name in sysctls:
        if _sysctls.file(name, "") in _sysctls.WRITE_ONLY:
            return f"key 'sysctl.{name}' is not carried out: it cannot be read back"
    if sysctls and not visible(str(_allowlist.PATH)):  # one that is not seen would allow everything
        return f"path '{_allowlist.PATH}', which key 'sysctl' depends on, is not mounted in the agent"
    folder = keys.text(body, "dataDir") or str(_saved.FOLDER)
    if not visible(folder):
        return f"path {folder!r} of key 'dataDir' is not mounted in the agent"
    return _arguments.undeclared(body, _CAPABILITIES)


def add(call: Call[Conf]) -> Result:
    """Set what is asked for; when a step fails, all those before are undone."""
    conf = call.conf
    result = _chained.previous(call)
    _sysctls.refuse_twice(call.stdin)
    _allowlist.require([item.key for item in conf.settings])
    with _opened(call) as (pod, files), ExitStack() as undo:
        link = _link(pod, call.environment.ifname) if conf.changes_link else None
        for item in conf.settings:
            _set(item, files[item.name], undo)
        if link is not None:
            _save(call, link, undo)
            for name in NAMES:
                if getattr(conf.wanted, name) is not None:
                    _tune(pod.links, link, name, conf.wanted, undo)
        undo.pop_all()
    return _with_mac(call, result)


def check(call: Call[Conf]) -> None:
    """Compare with what was asked for; what nobody asked for may be as it likes."""
    call.previous()
    _sysctls.refuse_twice(call.stdin)
    conf, ifname = call.conf, call.environment.ifname
    with _opened(call) as (pod, files):
        for item in conf.settings:
            with failing(f"cannot read sysctl {item.key!r}"):
                found = setting.read(files[item.name])
            if found.split() != item.value.split():  # the kernel writes tabs where people write spaces
                raise _wrong(f"sysctl {item.key!r}", f"it is {excerpt(found)!r}, not {excerpt(item.value)!r}")
        with failing(f"cannot look at interface {ifname!r}"):
            link = properties.find(pod.links, ifname)
    if link is None:
        raise _wrong(f"interface {ifname!r}", "it is gone")
    now = _state_of(link)
    for name, key in NAMES.items():
        wanted, found_value = getattr(conf.wanted, name), getattr(now, name)
        if wanted is not None and wanted != found_value:
            raise _wrong(f"interface {ifname!r}", f"its {key} is {_shown(found_value)}, not {_shown(wanted)}")


def delete(call: Call[Conf]) -> None:
    """Give the link back as it was, if it still is; either way nothing of it is kept."""
    with _saved.existing(call.on_node(call.conf.folder), _owner(call)) as file:
        data = file.read() if file is not None else None
        if file is None or data is None:
            return
        try:
            before = _saved.decoded(data)
        except CniError as error:  # a DEL that insisted would never end
            _undo.log.warning("cannot restore interface %r: %s", call.environment.ifname, error)
            before = State()
        if call.pod is not None:
            with call.open_pod() as pod:
                _restore(pod.links, call.environment.ifname, before)
        file.remove()


def gc(call: Call[Conf]) -> None:
    """Remove what was saved of attachments that are not valid any more: their pods are gone."""
    _saved.remove_others(call.on_node(call.conf.folder), call.network, call.valid)


def _asked(body: Body) -> dict[str, Json]:
    return dict(_arguments.places(body))["args.cni"]


def _first(read: Callable[[Body, str], Value | None], places: Sequence[Body], key: str) -> Value | None:
    """The value of the first of several places that has one at all."""
    return next((read(place, key) for place in places if keys.find(place, key) is not None), None)


def _mac(body: Body, asked: Body, environment: Environment) -> str | None:
    """`mac` < CNI_ARGS < `runtimeConfig` < `args.cni`; an empty one there takes the others back (E18)."""
    _arguments.require_known(environment, _ARGUMENTS)
    if keys.find(asked, "mac") is not None and not keys.text(asked, "mac"):
        return None
    found = {item.where: item for item in _arguments.single(body, environment, "MAC", "mac")}
    for where in ("args.cni.mac", "runtimeConfig.mac", "MAC of CNI_ARGS"):
        if where in found:
            return _text.mac(where, found[where].text, found[where].code)
    text = keys.text(body, "mac")
    return _text.mac("key 'mac'", text) if text else None


def _number(key: str, value: int | None, possible: range) -> int | None:
    if value is not None and value not in possible:
        raise CniError(Code.CONFIG, f"cannot use key {key!r}: {value} is not in {possible[0]}-{possible[-1]}")
    return value


def _folder(text: str) -> Path:
    if not text.startswith("/") or "\0" in text or ".." in text.split("/"):
        raise CniError(Code.CONFIG, f"cannot use key 'dataDir' {describe(text)}: not an absolute path")
    return Path(text)


@contextmanager
def _opened(call: Call[Conf]) -> Iterator[tuple[Pod, Mapping[str, int]]]:
    """The pod, and the file of each setting, of which none is missing."""
    try:
        opened = call.edges.opener.open(call.netns(), [item.name for item in call.conf.settings])
    except CniError as error:
        if isinstance(error.__cause__, IsADirectoryError):
            raise CniError(Code.CONFIG, error.msg, "it holds settings, and is none") from error
        raise
    with Pod(opened) as pod:
        for item in call.conf.settings:
            if item.name not in opened.sysctls:
                hint = "an interface whose name has dots is written IFNAME" if "." in item.key else ""
                raise CniError(Code.CONFIG, f"cannot use sysctl {item.key!r}: the pod has none of that name", hint)
        yield pod, opened.sysctls


def _link(pod: Pod, ifname: str) -> Properties:
    with failing(f"cannot look at interface {ifname!r}"):
        link = properties.find(pod.links, ifname)
    if link is None:
        raise _chained.missing(ifname)
    return link


def _state_of(link: Properties) -> State:
    return State(
        mac=link.mac, promisc=link.promiscuous, mtu=link.mtu, allmulti=link.all_multicast, queue=link.queue
    )  # fmt: skip


def _set(item: Setting, fd: int, undo: ExitStack) -> None:
    with failing(f"cannot set sysctl {item.key!r} to {excerpt(item.value)!r}", code=Code.CONFIG):
        before = setting.read(fd)
        undo.callback(_set_back, item, fd, before)
        setting.write(fd, item.value)


def _set_back(item: Setting, fd: int, value: str) -> None:
    try:
        setting.write(fd, value)
    except OSError as error:
        _undo.log.warning("cannot set sysctl %r back after a failure: %s", item.key, cause(error))


def _save(call: Call[Conf], link: Properties, undo: ExitStack) -> None:
    """Keep what will be changed. What an earlier plugin of the list has saved is older, and stays."""
    now = _state_of(link)
    changed = {name: getattr(now, name) for name in NAMES if getattr(call.conf.wanted, name) is not None}
    with _saved.make(call.conf.folder, _owner(call)) as file:
        data = file.read()
        try:
            older = _saved.decoded(data) if data else State()
        except CniError:  # broken: no loss
            older = State()
        standing = {name: value for name in NAMES if (value := getattr(older, name)) is not None}
        undo.callback(_unsave, call, data)
        file.write(_saved.encoded(State(**(changed | standing)), call.network))


def _unsave(call: Call[Conf], data: bytes | None) -> None:
    try:
        with _saved.make(call.conf.folder, _owner(call)) as file:
            if data is None:
                file.remove()
            else:
                file.write(data)
    except CniError as error:
        _undo.log.warning("cannot forget a saved state after a failure: %s", error)


def _owner(call: Call[Conf]) -> Attachment:
    return Attachment(container=call.environment.container_id, ifname=call.environment.ifname)


def _tune(links: Netlink, before: Properties, name: str, wanted: State, undo: ExitStack) -> None:
    what = f"cannot set {NAMES[name]} of the interface to {_shown(getattr(wanted, name))}"
    undo.callback(_tune_back, links, before, name)
    with failing(what, code=Code.CONFIG):  # the kernel knows what the link cannot have
        _change(links, before.index, name, wanted)


def _tune_back(links: Netlink, before: Properties, name: str) -> None:
    try:
        _change(links, before.index, name, _state_of(before))
    except OSError as error:
        _undo.log.warning("cannot set %s of an interface back after a failure: %s", NAMES[name], cause(error))


def _restore(links: Netlink, ifname: str, before: State) -> None:
    """Give the link back as it was. What it cannot have any more is told in the log: asking again would not help.

    Raises:
        CniError: code 11, asking again may help; the rest has been restored.
    """
    with failing(f"cannot look at interface {ifname!r}"):
        link = properties.find(links, ifname)
    if link is None:
        return
    again = []
    for name in NAMES:
        try:
            _change(links, link.index, name, before)
        except OSError as error:
            told = f"{NAMES[name]}: {cause(error)}"
            if error.errno in _AGAIN:
                again.append(told)
            else:
                _undo.log.warning("cannot restore interface %r: %s", ifname, told)
    if again:
        raise CniError(Code.TRY_AGAIN, f"cannot restore interface {ifname!r}: {'; '.join(again)}")


def _change(links: Netlink, index: int, name: str, state: State) -> None:
    """Have the link be like this in one respect, if the state says anything of it."""
    if name == "mac" and state.mac:
        devices.set_mac(links, index, state.mac)
    elif name == "promisc" and state.promisc is not None:
        properties.set_promiscuous(links, index, on=state.promisc)
    elif name == "mtu" and state.mtu is not None:
        properties.set_mtu(links, index, state.mtu)
    elif name == "allmulti" and state.allmulti is not None:
        properties.set_all_multicast(links, index, on=state.allmulti)
    elif name == "queue" and state.queue is not None:
        properties.set_queue(links, index, state.queue)


def _with_mac(call: Call[Conf], result: Result) -> Result:
    """The result with the new MAC; a link of the node may have the interface's name, and keeps its own."""
    mac, ifname = call.conf.wanted.mac, call.environment.ifname
    if mac is None:
        return result
    interfaces = tuple(
        replace(item, mac=mac) if item.name == ifname and item.sandbox else item for item in result.interfaces
    )
    return replace(result, interfaces=interfaces)


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _wrong(what: str, why: str) -> CniError:
    return CniError(Code.INTERNAL, f"cannot confirm {what}: {why}")


DELEGATE: Final = Delegate(
    name="tuning",
    about="sysctls, MAC, MTU, queue and modes of an interface that another plugin has made",
    parse=parse,
    parse_loosely=parse_loosely,
    add=add,
    check=check,
    delete=delete,
    gc=gc,
    declines=declines,
)

if __name__ == "__main__":
    _program.main(DELEGATE)

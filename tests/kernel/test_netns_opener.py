# SPDX-License-Identifier: Apache-2.0
"""The opener with real namespaces: what it opens is the pod's, the process stays where it was, or ends."""

import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from metacni.cni.errors import CniError
from metacni.netns import sandbox
from metacni.netns.opener import Opener
from metacni.netns.rtnetlink import Rtnetlink
from tests.kernel.conftest import Namespace

Pod = Callable[[], Namespace]


@pytest.fixture
def opener() -> Iterator[Opener]:
    """A started opener, at home in the machine's namespace; nothing here writes without a pod's descriptor."""
    made = Opener()
    made.start()
    yield made
    made.stop()


@contextmanager
def entry(namespace: Namespace) -> Iterator[int]:
    """The namespace as the shim sends it: an open descriptor."""
    fd = os.open(namespace.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def links(sock: socket.socket) -> set[str]:
    """What the kernel lists over that socket."""
    handle = Rtnetlink(sock)
    try:
        return set(handle.links().values())
    finally:
        handle.close()


def test_a_socket_is_the_pods(opener: Opener, host: Namespace, pod: Pod) -> None:
    """It lists the pod's links, and can be used by the thread that asked."""
    one = pod()
    one.cable("net1", host, "veth1")
    with entry(one) as fd:
        assert links(opener.socket(fd)) == {"lo", "net1"}


def test_nobody_moves(opener: Opener, pod: Pod) -> None:
    """After the visit every thread of the process is where it was, the opener's too."""
    with entry(pod()) as fd:
        opener.socket(fd).close()
    homes = {(task / "ns/net").readlink() for task in Path("/proc/self/task").iterdir()}
    assert homes == {Path("/proc/self/ns/net").readlink()}


def test_a_sysctl_file_is_the_pods(opener: Opener, host: Namespace, pod: Pod) -> None:
    """Written here, in another thread and namespace, it changes the pod and not the other end of the cable."""
    one = pod()
    one.cable("net1", host, "net1")
    name = "ipv6/conf/net1/accept_ra_defrtr"
    with entry(one) as fd:
        opened = opener.open(fd, [name, "ipv6/conf/net2/accept_ra_defrtr"])
    assert set(opened.sysctls) == {name}
    assert os.pread(opened.sysctls[name], 10, 0) == b"1\n"
    os.pwrite(opened.sysctls[name], b"0", 0)
    opened.close()
    assert one.run("cat", f"/proc/sys/net/{name}") == "0\n"
    assert host.run("cat", f"/proc/sys/net/{name}") == "1\n"


def test_a_sysctl_file_is_the_pods_where_the_folder_is_mounted_again(host: Namespace, pod: Pod, tmp_path: Path) -> None:
    """What a container has in place of its own read-only /proc/sys follows the thread just as well."""
    one = pod()
    one.cable("net1", host, "net1")
    name = "ipv6/conf/net1/accept_ra_defrtr"
    subprocess.run(["mount", "--bind", "/proc/sys/net", tmp_path], check=True)
    opener = Opener(tmp_path)
    opener.start()
    try:
        with entry(one) as fd:
            opened = opener.open(fd, [name])
        os.pwrite(opened.sysctls[name], b"0", 0)
        opened.close()
    finally:
        opener.stop()
        subprocess.run(["umount", tmp_path], check=True)
    assert one.run("cat", f"/proc/sys/net/{name}") == "0\n"
    assert host.run("cat", f"/proc/sys/net/{name}") == "1\n"


def test_each_of_many_gets_its_own(opener: Opener, host: Namespace, pod: Pod) -> None:
    """Eight threads ask for five pods, a thousand times: never another pod's socket, and no descriptor is left."""
    pods = [pod() for _ in range(5)]
    for number, one in enumerate(pods):
        one.cable(f"only{number}", host, f"veth{number}")
    fds = [os.open(one.path, os.O_RDONLY | os.O_CLOEXEC) for one in pods]

    def ask(_: int) -> bool:
        number = random.randrange(len(pods))  # noqa: S311 - chance, not secrecy
        return links(opener.socket(fds[number])) == {"lo", f"only{number}"}

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(8)))
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted, not walked
        assert all(pool.map(ask, range(1000)))
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - likewise
    for fd in fds:
        os.close(fd)


class OldKernelSocket(socket.socket):
    """A netlink socket as Linux before 5.14 has it: it cannot tell its namespace's cookie."""

    def getsockopt(self, level: int, option: int, size: int = 0) -> bytes:  # type: ignore[override]
        """Refuse SO_NETNS_COOKIE, the only option asked for."""
        assert (level, option, size) == (socket.SOL_SOCKET, 71, 8)
        raise OSError(92, "Protocol not available")


def _host_socket(kind: type[socket.socket]) -> socket.socket:
    return kind(socket.AF_NETLINK, socket.SOCK_DGRAM, socket.NETLINK_ROUTE)


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        pytest.param(socket.socket, "the node's own", id="by-cookie"),
        pytest.param(OldKernelSocket, "another pod's", id="before-5.14-by-the-sockets-own-namespace"),
    ],
)
def test_a_socket_of_the_host_never_passes_for_the_pods(kind: type[socket.socket], where: str, pod: Pod) -> None:
    """What a mistake in the opener would bring: refused before the first write, and closed."""
    sock = _host_socket(kind)
    with (
        entry(pod()) as fd,
        pytest.raises(CniError, match=f"^cannot use a socket: it is in {where} network namespace$"),
    ):
        sandbox.checked(sock, fd)
    assert sock.fileno() == -1


def test_a_socket_of_another_pod_is_refused(opener: Opener, pod: Pod) -> None:
    """Not only the node is protected from the pod's writes: its neighbours are, too."""
    with entry(pod()) as one, entry(pod()) as other:
        sock = opener.socket(one)
        with pytest.raises(
            CniError, match=r"^cannot use a socket: it is in another pod's network namespace$"
        ) as caught:
            sandbox.checked(sock, other)
    assert (caught.value.code, sock.fileno()) == (999, -1)


def test_an_old_kernel_passes_the_right_socket(opener: Opener, pod: Pod) -> None:
    """Without the cookie the namespace's inode decides, and a pod's socket passes."""
    with entry(pod()) as fd:
        sock = OldKernelSocket(fileno=opener.socket(fd).detach())
        assert sandbox.checked(sock, fd) is sock
        sock.close()


def test_identity_is_what_the_path_shows(pod: Pod) -> None:
    """The journal compares it with a stat of the path, later."""
    one = pod()
    status = one.path.stat()
    with entry(one) as fd:
        assert sandbox.identity(fd) == (status.st_dev, status.st_ino)
        sandbox.require_foreign(fd)


def ask_in_a_process(preparation: str, pod: Namespace, *wrapper: str) -> tuple[int, str, str]:
    """Ask an opener twice in a process of its own, after some preparation; status and output of that process."""
    program = f"""
import os, sys
from metacni.cni.errors import CniError
from metacni.netns.opener import Opener
opener = Opener()
opener.start()
pod = os.open(sys.argv[1], os.O_RDONLY)
{preparation}
for _ in range(2):
    try:
        opener.socket(pod)
    except CniError as error:
        print(error.code, error)
"""
    done = subprocess.run(
        [*wrapper, sys.executable, "-c", program, pod.path],
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]},
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("preparation", "reason"),
    [
        pytest.param("opener._home = 10**6", "bad file descriptor", id="closed"),
        pytest.param(
            "os.dup2(pod, opener._home)", "the way home leads elsewhere", id="closed-and-the-number-used-anew"
        ),
    ],
)
def test_a_process_that_cannot_come_back_ends(preparation: str, reason: str, pod: Pod) -> None:
    """Rather no agent, with a reason, than one with a thread in a pod: the runtime's next call starts it anew."""
    assert ask_in_a_process(preparation, pod()) == (
        70,
        "",
        f"metacni: cannot leave a pod's network namespace: {reason}; the agent ends\n",
    )


def test_a_refused_entry_is_an_error_and_the_thread_lives_on(pod: Pod) -> None:
    """Without SYS_ADMIN nothing can be entered: code 8, and the next one who asks is answered, too."""
    without = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
    said = "8 cannot enter the pod's network namespace: operation not permitted\n"
    assert ask_in_a_process("", pod(), *without) == (0, said * 2, "")

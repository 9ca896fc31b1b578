# SPDX-License-Identifier: Apache-2.0
"""Server and credentials from a service account's folder or a kubeconfig."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

import pytest

from metacni.kube import access, errors

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENT = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a service account's folder as the kubelet projects it: the files are links into a dated folder."""
    (tmp_path / "..1").mkdir()
    (tmp_path / "..1" / "token").write_text("first\n")
    (tmp_path / "..1" / "ca.crt").write_text("certificate\n")
    (tmp_path / "..data").symlink_to("..1")
    for name in ("token", "ca.crt"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    return tmp_path


def _kubeconfig(folder: Path, user: str, server: str = "https://10.0.0.1:6443") -> Path:
    path = folder / "kubeconfig"
    path.write_text(
        "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: a}}]\n"
        f"users: [{{name: other, user: {{token: wrong}}}}, {{name: a, user: {{{user}}}}}]\n"
        f"clusters: [{{name: k, cluster: {{server: '{server}'}}}}]\n"
    )
    return path


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        pytest.param("10.96.0.1", "https://10.96.0.1:443", id="IPv4"),
        pytest.param("fd00::1", "https://[fd00::1]:443", id="IPv6"),
    ],
)
def test_a_service_account_gives_server_and_ca(folder: Path, host: str, expected: str) -> None:
    """The server stands in the environment, the CA in the folder."""
    found = access.in_cluster(folder, {**ENVIRONMENT, "KUBERNETES_SERVICE_HOST": host})
    assert (found.configuration.host, found.configuration.ssl_ca_cert) == (expected, str(folder / "ca.crt"))


def test_outside_a_pod_the_error_says_what_is_missing(folder: Path) -> None:
    """Without the variables that the kubelet sets there is no server to talk to."""
    with pytest.raises(errors.BadAccess, match="KUBERNETES_SERVICE_HOST"):
        access.in_cluster(folder, {})


def test_a_folder_without_token_is_named(tmp_path: Path) -> None:
    """A pod without a mounted service account is told so."""
    with pytest.raises(errors.BadAccess, match="it has no file 'token'"):
        access.in_cluster(tmp_path, ENVIRONMENT)


def test_a_projected_token_is_read_anew_when_the_kubelet_swaps_it(folder: Path) -> None:
    """The kubelet swaps the link of the folder, not the file; the next request has the new token."""
    credentials = access.in_cluster(folder, ENVIRONMENT).credentials
    before = credentials.header()
    (folder / "..2").mkdir()
    (folder / "..2" / "token").write_text("second\n")
    (folder / "..new").symlink_to("..2")
    (folder / "..new").rename(folder / "..data")
    assert (before, credentials.header()) == ("Bearer first", "Bearer second")


def test_a_token_file_that_vanishes_keeps_the_last_token(folder: Path) -> None:
    """Between two versions of a file there may be none for an instant."""
    credentials = access.in_cluster(folder, ENVIRONMENT).credentials
    credentials.header()
    (folder / "..1" / "token").unlink()
    assert credentials.header() == "Bearer first"


@pytest.mark.parametrize("text", [pytest.param(None, id="absent"), pytest.param("\n", id="empty")])
def test_a_token_file_without_token_is_unavailable(tmp_path: Path, text: str | None) -> None:
    """Without any token nothing is sent, and the file is named."""
    path = tmp_path / "token"
    if text is not None:
        path.write_text(text)
    with pytest.raises(errors.SourceUnavailable, match=r"token file '.*/token'"):
        access.TokenFile(path).header()


def test_a_refresh_reads_the_file_whatever_its_times_say(tmp_path: Path) -> None:
    """A change within the clock's grain, of the same length, is found after a 401."""
    path = tmp_path / "token"
    path.write_text("aaaa")
    credentials = access.TokenFile(path)
    credentials.header()
    seen = path.stat()
    path.write_text("bbbb")
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert (credentials.header(), credentials.refresh(), credentials.header()) == ("Bearer aaaa", True, "Bearer bbbb")


def test_a_refresh_without_change_says_so(tmp_path: Path) -> None:
    """Sending the same refused token again would be of no use."""
    path = tmp_path / "token"
    path.write_text("aaaa")
    credentials = access.TokenFile(path)
    credentials.header()
    assert credentials.refresh() is False


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        pytest.param("token: abc", "Bearer abc", id="token"),
        pytest.param("tokenFile: t", "Bearer from-file", id="token file, relative"),
        pytest.param("token: abc, tokenFile: t", "Bearer from-file", id="token file goes before token"),
        pytest.param("username: u, password: p", "Basic " + base64.b64encode(b"u:p").decode(), id="password"),
        pytest.param("", None, id="nobody"),
    ],
)
def test_a_kubeconfig_gives_the_users_credentials(tmp_path: Path, user: str, expected: str | None) -> None:
    """The user of the current context speaks, in each of the forms of a kubeconfig (D12)."""
    (tmp_path / "t").write_text("from-file\n")
    assert access.from_kubeconfig(_kubeconfig(tmp_path, user)).credentials.header() == expected


def test_a_rewritten_kubeconfig_is_read_after_a_refusal(tmp_path: Path) -> None:
    """Some installers write the token into the file itself and rewrite it when it rotates."""
    credentials = access.from_kubeconfig(_kubeconfig(tmp_path, "token: old")).credentials
    _kubeconfig(tmp_path, "token: new")
    assert (credentials.header(), credentials.refresh(), credentials.header()) == ("Bearer old", True, "Bearer new")


def test_repeats_inside_the_client_are_off(tmp_path: Path) -> None:
    """One request is one attempt: pauses are decided in retry.py."""
    assert access.from_kubeconfig(_kubeconfig(tmp_path, "token: t")).configuration.retries is False


CONTEXT = "current-context: x\ncontexts: [{name: x, context: {cluster: k, user: u}}]\n"
CLUSTER = "clusters: [{name: k, cluster: {server: 'https://10.0.0.1'}}]\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(None, "no such file or directory", id="absent"),
        pytest.param("", "it is empty", id="empty"),
        pytest.param("a: [", "while parsing", id="no YAML"),
        pytest.param("[1, 2]", "it is not a mapping of keys to values", id="a list"),
        pytest.param("a: 1", "key 'current-context' is missing or empty at the top", id="no current context"),
        pytest.param("current-context: x\n", "key 'contexts' is missing or not a list", id="no contexts"),
        pytest.param(
            "current-context: x\ncontexts: []\n",
            "no entry of 'contexts' is named 'x', which key 'current-context' asks for",
            id="no such context",
        ),
        pytest.param(
            "current-context: x\ncontexts: [{name: x}]\n",
            "key 'context' is missing in entry 'x' of 'contexts'",
            id="empty context",
        ),
        pytest.param(
            "current-context: x\ncontexts: [{name: x, context: {user: u}}]\n",
            "key 'cluster' is missing in context 'x'",
            id="context without cluster",
        ),
        pytest.param(
            CONTEXT + "clusters: []\n",
            "no entry of 'clusters' is named 'k', which context 'x' asks for",
            id="no cluster",
        ),
        pytest.param(
            CONTEXT + "clusters: [{name: k, cluster: {}}]\n", "key 'server' is missing in cluster 'k'", id="no server"
        ),
        pytest.param(CONTEXT + CLUSTER, "key 'users' is missing or not a list", id="no users"),
        pytest.param(
            CONTEXT + CLUSTER + "users: [{name: u}]", "key 'user' is missing in entry 'u' of 'users'", id="no user"
        ),
        pytest.param(
            CONTEXT + "users: [{name: u, user: {}}]\nclusters: [{name: k, cluster: {server: 'here'}}]\n",
            "server 'here' is no http(s) address",
            id="no address",
        ),
    ],
)
def test_a_useless_kubeconfig_is_one_clear_error(tmp_path: Path, text: str | None, told: str) -> None:
    """Whatever is wrong with the file, the error names it and the key in one line."""
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    with pytest.raises(errors.BadAccess) as caught:
        access.from_kubeconfig(path)
    assert str(caught.value).startswith(f"cannot use kubeconfig '{path}': {told}")
    assert "\n" not in str(caught.value)

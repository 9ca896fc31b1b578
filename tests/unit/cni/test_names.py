# SPDX-License-Identifier: Apache-2.0
"""Names: what each may be, and which code a bad one gets."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacni.cni import names
from metacni.cni.errors import CniError

_LABEL_63 = "a" * 63


def _label(text: str) -> str:
    return names.dns_label(text, "namespace")


def _subdomain(text: str) -> str:
    return names.dns_subdomain(text, "network")


@pytest.mark.parametrize(
    ("check", "text"),
    [
        pytest.param(names.container_id, "0a9-B_c.d", id="container"),
        pytest.param(names.container_id, "a" * 200, id="container-of-200"),
        pytest.param(names.network_name, "cbr0", id="network"),
        pytest.param(names.network_name, "a..b", id="network-with-dots-inside"),
        pytest.param(names.interface_name, "eth0.100@x", id="interface"),
        pytest.param(names.interface_name, "a" * 15, id="interface-of-15"),
        pytest.param(names.interface_name, "ä" * 7, id="interface-of-14-bytes"),
        pytest.param(names.plugin_type, "bridge", id="type"),
        pytest.param(names.plugin_type, "...", id="type-of-three-dots"),
        pytest.param(names.plugin_type, "a" * 255, id="type-of-255"),
        pytest.param(_label, "kube-system", id="label"),
        pytest.param(_label, "0", id="label-of-one"),
        pytest.param(_label, _LABEL_63, id="label-of-63"),
        pytest.param(_subdomain, "a.b-c.0", id="subdomain"),
        pytest.param(_subdomain, "a" * 253, id="subdomain-of-253"),
    ],
)
def test_a_good_name_comes_back_as_it_is(check: Callable[[str], str], text: str) -> None:
    """A check changes nothing."""
    assert check(text) == text


@pytest.mark.parametrize(
    ("check", "text", "code"),
    [
        pytest.param(names.container_id, "", 3, id="no-container"),
        pytest.param(names.container_id, "..", 4, id="container-dots"),
        pytest.param(names.container_id, "a/b", 4, id="container-slash"),
        pytest.param(names.container_id, "a\n", 4, id="container-line-end"),
        pytest.param(names.container_id, "ä", 4, id="container-letter"),
        pytest.param(names.container_id, "a" * 201, 4, id="container-long"),
        pytest.param(names.container_id, "a" * 300, 4, id="container-of-300"),
        pytest.param(names.network_name, "", 7, id="no-network"),
        pytest.param(names.network_name, "_a", 7, id="network-start"),
        pytest.param(names.network_name, "a\n", 7, id="network-line-end"),
        pytest.param(names.network_name, "a\0", 7, id="network-nul"),
        pytest.param(names.network_name, "a" * 201, 7, id="network-long"),
        pytest.param(names.interface_name, "", 4, id="no-interface"),
        pytest.param(names.interface_name, ".", 4, id="interface-dot"),
        pytest.param(names.interface_name, "..", 4, id="interface-dots"),
        pytest.param(names.interface_name, "a/b", 4, id="interface-slash"),
        pytest.param(names.interface_name, "a:1", 4, id="interface-colon"),
        pytest.param(names.interface_name, "a b", 4, id="interface-space"),
        pytest.param(names.interface_name, "net%d", 4, id="interface-of-the-kernel's-choice"),
        pytest.param(names.interface_name, "a\x1b[31m", 4, id="interface-escape"),
        pytest.param(names.interface_name, "a\u200b", 4, id="interface-no-width"),
        pytest.param(names.interface_name, "a\u2003", 4, id="interface-em-space"),
        pytest.param(names.interface_name, "a\0", 4, id="interface-nul"),
        pytest.param(names.interface_name, "\ud800", 4, id="interface-surrogate"),
        pytest.param(names.interface_name, "a" * 16, 4, id="interface-long"),
        pytest.param(names.interface_name, "ä" * 8, 4, id="interface-of-16-bytes"),
        pytest.param(names.plugin_type, "", 7, id="no-type"),
        pytest.param(names.plugin_type, ".", 7, id="type-dot"),
        pytest.param(names.plugin_type, "..", 7, id="type-dots"),
        pytest.param(names.plugin_type, "../bridge", 7, id="type-path"),
        pytest.param(names.plugin_type, "a\0", 7, id="type-nul"),
        pytest.param(names.plugin_type, "\udcff", 7, id="type-surrogate"),
        pytest.param(names.plugin_type, "ä" * 128, 7, id="type-of-256-bytes"),
        pytest.param(_label, "", 7, id="no-label"),
        pytest.param(_label, "A", 7, id="label-capital"),
        pytest.param(_label, "-a", 7, id="label-start"),
        pytest.param(_label, "a-", 7, id="label-end"),
        pytest.param(_label, "a.b", 7, id="label-dot"),
        pytest.param(_label, "a\n", 7, id="label-line-end"),
        pytest.param(_label, _LABEL_63 + "a", 7, id="label-long"),
        pytest.param(_subdomain, "", 7, id="no-subdomain"),
        pytest.param(_subdomain, "a..b", 7, id="subdomain-dots"),
        pytest.param(_subdomain, ".a", 7, id="subdomain-start"),
        pytest.param(_subdomain, "a" * 254, 7, id="subdomain-long"),
    ],
)
def test_a_bad_name_is_refused(check: Callable[[str], str], text: str, code: int) -> None:
    """With the code of the thing it names."""
    with pytest.raises(CniError) as caught:
        check(text)
    assert caught.value.code == code


@given(st.text(st.characters() | st.sampled_from("a./\0\n")))
def test_a_name_that_passes_is_one_step_in_a_path(text: str) -> None:
    """These checks guard every path that such a name becomes part of."""
    for check in (names.container_id, names.network_name, names.interface_name, names.plugin_type):
        try:
            name: str = check(text)
        except CniError:
            continue
        assert name
        assert name not in {".", ".."}
        assert not set(name) & {"/", "\0"}


def test_a_message_quotes_the_name_and_says_why() -> None:
    """One line, the cause last, the hint apart."""
    with pytest.raises(CniError) as caught:
        names.dns_label("My_NS", "namespace")
    assert caught.value.msg == "cannot take namespace 'My_NS': not a DNS label"
    assert caught.value.details == "lower case letters, digits and '-', first and last a letter or digit"

# SPDX-License-Identifier: Apache-2.0
"""Results in every version: literal examples, and nothing lost that the version can hold."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacni.cni.convert import parse, render
from metacni.cni.errors import CniError
from metacni.cni.jsontext import Json, Real, dumps, loads_object
from metacni.cni.result import Address, Dns, Interface, Result, Route
from metacni.cni.versions import VERSIONS, shape

_DNS: dict[str, Json] = {"nameservers": ["10.0.0.53"], "domain": "d", "search": ["s"], "options": ["o"]}
_LINKS: list[Json] = [{"name": "cni0"}, {"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/run/netns/x"}]
_IP4: dict[str, Json] = {"interface": 1, "address": "10.0.0.2/24", "gateway": "10.0.0.1"}
_IP6: dict[str, Json] = {"interface": 1, "address": "fd00::2/64"}
_ROUTES: list[Json] = [{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}, {"dst": "fd01::/64"}]
_PAIR: dict[str, Json] = {
    "ip4": {"ip": "10.0.0.2/24", "gateway": "10.0.0.1", "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}]},
    "ip6": {"ip": "fd00::2/64", "routes": [{"dst": "fd01::/64"}]},
    "dns": _DNS,
}
_FAMILY: dict[str, Json] = {
    "interfaces": _LINKS,
    "ips": [{"version": "4", **_IP4}, {"version": "6", **_IP6}],
    "routes": _ROUTES,
    "dns": _DNS,
}
_PLAIN: dict[str, Json] = {"interfaces": _LINKS, "ips": [_IP4, _IP6], "routes": _ROUTES, "dns": _DNS}
_TUNED: dict[str, Json] = {
    "interfaces": [
        {"name": "cni0"},
        {
            "name": "eth0",
            "mac": "02:00:00:00:00:01",
            "mtu": 1400,
            "sandbox": "/run/netns/x",
            "socketPath": "/run/s",
            "pciID": "0000:00:1f.6",
        },
    ],
    "ips": [_IP4, _IP6],
    "routes": [
        {
            "dst": "0.0.0.0/0",
            "gw": "10.0.0.1",
            "mtu": 1300,
            "advmss": 1200,
            "priority": 5,
            "table": 100,
            "scope": 0,
        },
        {"dst": "fd01::/64"},
    ],
    "dns": _DNS,
}
_EXAMPLES: dict[str, dict[str, Json]] = {
    "0.1.0": _PAIR,
    "0.2.0": _PAIR,
    "0.3.0": _FAMILY,
    "0.3.1": _FAMILY,
    "0.4.0": _FAMILY,
    "1.0.0": _PLAIN,
    "1.1.0": _TUNED,
}
_NEWEST = Result(
    interfaces=(
        Interface(name="cni0"),
        Interface(
            name="eth0",
            mac="02:00:00:00:00:01",
            mtu=1400,
            sandbox="/run/netns/x",
            socket_path="/run/s",
            pci_id="0000:00:1f.6",
        ),
    ),
    ips=(
        Address(address=IPv4Interface("10.0.0.2/24"), gateway=IPv4Address("10.0.0.1"), interface=1),
        Address(address=IPv6Interface("fd00::2/64"), interface=1),
    ),
    routes=(
        Route(
            dst=IPv4Network("0.0.0.0/0"),
            gw=IPv4Address("10.0.0.1"),
            mtu=1300,
            advmss=1200,
            priority=5,
            table=100,
            scope=0,
        ),
        Route(dst=IPv6Network("fd01::/64")),
    ),
    dns=Dns(nameservers=("10.0.0.53",), domain="d", search=("s",), options=("o",)),
)


def _held(result: Result, version: str) -> Result:
    """What of a result that uses everything a version can hold."""
    target = shape(version)
    if target.tuning:
        return result
    routes = tuple(Route(dst=item.dst, gw=item.gw) for item in result.routes)
    links = tuple(Interface(name=item.name, mac=item.mac, sandbox=item.sandbox) for item in result.interfaces)
    if target.lists:
        return replace(result, interfaces=links, routes=routes)
    return replace(
        result, interfaces=(), routes=routes, ips=tuple(replace(item, interface=None) for item in result.ips)
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_a_full_result_is_written_as_the_version_has_it(version: str) -> None:
    """What the target cannot hold is left out, all else is there."""
    assert render(_NEWEST, version) == {"cniVersion": version, **_EXAMPLES[version]}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_full_result_is_read_from_every_version(version: str) -> None:
    """Up-conversion makes nothing up."""
    assert parse({"cniVersion": version, **_EXAMPLES[version]}, "1.1.0") == _held(_NEWEST, version)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("0.3.0", b'{"cniVersion":"0.3.0","dns":{}}'),
        ("0.3.1", b'{"cniVersion":"0.3.1","dns":{}}'),
        ("0.4.0", b'{"cniVersion":"0.4.0","dns":{}}'),
        ("1.0.0", b'{"cniVersion":"1.0.0"}'),
        ("1.1.0", b'{"cniVersion":"1.1.0"}'),
    ],
)
def test_an_empty_result_is_short(version: str, expected: bytes) -> None:
    """Empty lists are left out; `dns` stays where Go's results always had it."""
    assert dumps(render(Result(), version)) == expected
    assert parse(loads_object(expected, "result"), "") == Result()


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_a_result_without_address_has_no_old_form(version: str) -> None:
    """The old shape is nothing but addresses."""
    with pytest.raises(CniError, match=f"^cannot render result as CNI version '{version}': no valid IP addresses$"):
        render(replace(_NEWEST, ips=()), version)


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_the_first_address_of_each_family_survives(version: str) -> None:
    """IPv4 before IPv6 on the way back, whatever the order was; routes without an address of their family go."""
    result = Result(
        ips=tuple(Address(address=IPv6Interface(f"fd00::{host}/64")) for host in (1, 2))
        + tuple(Address(address=IPv4Interface(f"10.0.0.{host}/24")) for host in (1, 2))
    )
    assert render(result, version) == {
        "cniVersion": version,
        "ip4": {"ip": "10.0.0.1/24"},
        "ip6": {"ip": "fd00::1/64"},
        "dns": {},
    }
    assert render(replace(_NEWEST, ips=_NEWEST.ips[1:], dns=Dns()), version) == {
        "cniVersion": version,
        "ip6": {"ip": "fd00::2/64", "routes": [{"dst": "fd01::/64"}]},
        "dns": {},
    }


@pytest.mark.parametrize(
    ("body", "version", "expected"),
    [
        pytest.param({"ip4": {"ip": "10.0.0.2/8"}}, "0.2.0", ("10.0.0.2/8",), id="none-takes-the-configuration's"),
        pytest.param({"cniVersion": "", "ip4": {"ip": "10.0.0.2/8"}}, "0.2.0", ("10.0.0.2/8",), id="empty-likewise"),
        pytest.param({"ip4": {"ip": "10.0.0.2/8"}}, "", ("10.0.0.2/8",), id="none-at-all-is-the-oldest"),
        pytest.param({"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.2/8"}}, "1.0.0", ("10.0.0.2/8",), id="own-wins"),
        pytest.param({"ip4": {"ip": "10.0.0.2/8"}}, "1.0.0", (), id="another-version's-key-is-unknown"),
    ],
)
def test_the_own_version_of_a_result_counts(body: dict[str, Json], version: str, expected: tuple[str, ...]) -> None:
    """And the configuration's where it names none."""
    assert tuple(str(item.address) for item in parse(body, version).ips) == expected


@pytest.mark.parametrize(
    ("interfaces", "index", "expected"),
    [
        pytest.param([{"name": "a"}], 0, 0, id="index"),
        pytest.param([{"name": "a"}], -1, None, id="negative"),
        pytest.param([{"name": "a"}], None, None, id="null"),
        pytest.param([], 0, None, id="index-into-nothing"),
        pytest.param(None, 3, None, id="index-without-list"),
    ],
)
def test_an_index_means_an_interface_or_none(interfaces: Json, index: Json, expected: int | None) -> None:
    """Old plugins wrote -1, or an index with no interfaces."""
    body: dict[str, Json] = {"interfaces": interfaces, "ips": [{"address": "10.0.0.2/24", "interface": index}]}
    assert parse(body, "0.3.1").ips[0].interface == expected


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("empty", [pytest.param({}, id="absent"), pytest.param(None, id="null")])
def test_absent_parts_are_empty(version: str, empty: dict[str, Json] | None) -> None:
    """Null lists, addresses and dns count as absent."""
    names = ("interfaces", "ips", "routes", "ip4", "ip6", "dns")
    body: dict[str, Json] = dict.fromkeys(names, None) if empty is None else {}
    assert parse(body, version) == Result()


def test_keys_are_found_in_any_case_and_unknown_ones_are_passed_over() -> None:
    """As a Go caller would read it."""
    body: dict[str, Json] = {"IPs": [{"Address": "10.0.0.2/24", "gateWay": "", "x": Real("1.0")}], "y": []}
    assert parse(body, "1.0.0") == Result(ips=(Address(address=IPv4Interface("10.0.0.2/24")),))


def test_a_route_may_have_host_bits() -> None:
    """Go takes them, and the kernel drops them."""
    assert parse({"routes": [{"dst": "10.0.0.7/8"}]}, "1.0.0").routes == (Route(dst=IPv4Network("10.0.0.0/8")),)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param({"cniVersion": 1}, "key 'cniVersion': 1 is not a string", id="version-type"),
        pytest.param({"interfaces": {}}, "key 'interfaces': {} is not a list", id="interfaces-type"),
        pytest.param({"interfaces": [None]}, "result key 'interfaces': […] is not a list of objects", id="no-objects"),
        pytest.param({"interfaces": [{}]}, "result key 'name': missing", id="no-name"),
        pytest.param({"interfaces": [{"name": "a", "mtu": "1"}]}, "key 'mtu': \"1\" is not a whole number", id="mtu"),
        pytest.param({"ips": [{}]}, "result key 'address': \"\" is not an address with a prefix", id="no-address"),
        pytest.param(
            {"ips": [{"address": "10.0.0.2"}]},
            "result key 'address': \"10.0.0.2\" is not an address with a prefix",
            id="no-prefix",
        ),
        pytest.param(
            {"ips": [{"address": "10.0.0.2/255.0.0.0"}]},
            "result key 'address': \"10.0.0.2/255.0.0.0\" is not an address with a prefix",
            id="netmask",
        ),
        pytest.param(
            {"ips": [{"address": "10.0.0.2/33"}]},
            "result key 'address': \"10.0.0.2/33\" is not an address with a prefix",
            id="prefix-too-long",
        ),
        pytest.param(
            {"ips": [{"address": "fe80::1%eth0/64"}]},
            "result key 'address': \"fe80::1%eth0/64\" is not an address with a prefix",
            id="zone",
        ),
        pytest.param(
            {"ips": [{"address": "10.0.0.2/8", "gateway": "x"}]},
            "result key 'gateway': \"x\" is not an address",
            id="gw",
        ),
        pytest.param(
            {"ips": [{"address": "10.0.0.2/8", "gateway": "1.2.3.4.5"}]},
            "result key 'gateway': \"1.2.3.4.5\" is not an address",
            id="gateway-of-five",
        ),
        pytest.param(
            {"interfaces": [{"name": "a"}], "ips": [{"address": "10.0.0.2/8", "interface": 1}]},
            "result key 'interface': index 1 of 1 interfaces",
            id="index-too-large",
        ),
        pytest.param({"routes": [{"dst": "default"}]}, "result key 'dst': \"default\" is not a network", id="dst"),
        pytest.param({"dns": []}, "key 'dns': [] is not an object", id="dns-type"),
    ],
)
def test_nonsense_is_refused(body: dict[str, Json], message: str) -> None:
    """With the key, the value and code 6."""
    with pytest.raises(CniError) as caught:
        parse(body, "1.1.0")
    assert (caught.value.code, caught.value.msg) == (6, f"cannot decode {message}")


@pytest.mark.parametrize("version", ["0.2.0", "0.1.0"])
def test_an_old_family_needs_its_address(version: str) -> None:
    """An empty `ip4` is no address."""
    with pytest.raises(CniError, match="result key 'ip'"):
        parse({"ip4": {}}, version)


def test_an_unknown_version_is_code_1() -> None:
    """On either way."""
    with pytest.raises(CniError) as caught:
        parse({"cniVersion": "9.0.0"}, "1.0.0")
    assert caught.value.code == 1
    with pytest.raises(CniError) as caught:
        render(Result(), "9.0.0")
    assert caught.value.code == 1


_WORDS = st.text(max_size=8)
_NUMBERS = st.none() | st.integers(-(2**63), 2**63 - 1)
_V4 = st.tuples(st.ip_addresses(v=4), st.integers(0, 32)).map(lambda pair: IPv4Interface(f"{pair[0]}/{pair[1]}"))
_V6 = st.tuples(st.ip_addresses(v=6), st.integers(0, 128)).map(lambda pair: IPv6Interface(f"{pair[0]}/{pair[1]}"))
_ADDRESSES = st.builds(Address, address=_V4 | _V6, gateway=st.none() | st.ip_addresses(), interface=st.integers(0, 2))
_RESULTS = st.builds(
    Result,
    interfaces=st.tuples(
        *[
            st.builds(
                Interface,
                name=st.text(min_size=1, max_size=8),
                mac=_WORDS,
                mtu=_NUMBERS,
                sandbox=_WORDS,
                socket_path=_WORDS,
                pci_id=_WORDS,
            )
        ]
        * 3
    ),
    ips=st.lists(_ADDRESSES, max_size=4).map(tuple),
    routes=st.lists(
        st.builds(
            Route,
            dst=(_V4 | _V6).map(lambda item: item.network),
            gw=st.none() | st.ip_addresses(),
            mtu=_NUMBERS,
            advmss=_NUMBERS,
            priority=_NUMBERS,
            table=_NUMBERS,
            scope=_NUMBERS,
        ),
        max_size=4,
    ).map(tuple),
    dns=st.builds(
        Dns,
        nameservers=st.lists(_WORDS, max_size=2).map(tuple),
        domain=_WORDS,
        search=st.lists(_WORDS, max_size=2).map(tuple),
        options=st.lists(_WORDS, max_size=2).map(tuple),
    ),
)


def _one_per_family(result: Result) -> Result:
    """A result that even the oldest versions can hold, in their order: IPv4 first, routes only beside an address."""
    firsts = {item.address.version: item for item in reversed(result.ips)}
    ips = tuple(firsts[family] for family in sorted(firsts))
    routes = sorted((item for item in result.routes if item.dst.version in firsts), key=lambda item: item.dst.version)
    return replace(result, ips=ips, routes=tuple(routes))


@pytest.mark.parametrize("version", VERSIONS)
@given(_RESULTS)
def test_what_a_version_can_hold_survives(version: str, drawn: Result) -> None:
    """Written and read again, in text, nothing is lost and nothing is added."""
    target = shape(version)
    result = _held(drawn if target.lists else _one_per_family(drawn), version)
    if target.lists or result.ips:
        assert parse(loads_object(dumps(render(result, version)), "result"), "") == result


@pytest.mark.parametrize("version", VERSIONS)
@given(_RESULTS)
def test_going_down_loses_only_what_the_version_cannot_hold(version: str, drawn: Result) -> None:
    """Writing any result is the same as writing its part that the version can hold."""
    target = shape(version)
    if target.lists or drawn.ips:
        held = _held(drawn if target.lists else _one_per_family(drawn), version)
        assert render(drawn, version) == render(held, version)


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.sampled_from(["10.0.0.1/8", "::1", Real("1.0")])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["ip4", "ips", "interfaces", "name", "address", "interface", "routes"]), inner
        )
    ),
    max_leaves=10,
)


@given(
    st.dictionaries(st.sampled_from(["ip4", "ip6", "ips", "interfaces", "routes", "dns"]), _JSON),
    st.sampled_from(VERSIONS),
)
def test_no_body_raises_anything_else(body: dict[str, Json], version: str) -> None:
    """A result or a CniError of code 6."""
    try:
        parse(body, version)
    except CniError as error:
        assert error.code == 6  # noqa: PT017 - most bodies raise, some do not

# SPDX-License-Identifier: Apache-2.0
"""The values a pod may request: their types, their ranges, and how they are handed on."""

from ipaddress import ip_address

import pytest

from metacni.cni.errors import CniError
from metacni.cni.jsontext import Json
from metacni.core import requested

_IPV6_MAC = "00:00:00:00:fe:80:00:00:00:00:00:00:02:00:5e:10:00:00:00:01"
_PORT: dict[str, Json] = {"hostPort": 8080, "containerPort": 80}


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param(
            {"ips": ["10.0.0.5", "10.0.0.6/24", "fd00::5/64"]},
            {"ips": ["10.0.0.5", "10.0.0.6/24", "fd00::5/64"]},
            id="ips-as-written",
        ),
        pytest.param({"ips": ["::ffff:10.0.0.1/128"]}, {"ips": ["::ffff:10.0.0.1/128"]}, id="mapped-address"),
        pytest.param({"mac": "02:00:5e:10:00:ff"}, {"mac": "02:00:5e:10:00:ff"}, id="mac"),
        pytest.param({"mac": "02-00-5E-10-00-FF"}, {"mac": "02-00-5E-10-00-FF"}, id="mac-dashes"),
        pytest.param({"mac": "0200.5e10.00ff"}, {"mac": "0200.5e10.00ff"}, id="mac-dots"),
        pytest.param({"mac": _IPV6_MAC}, {"mac": _IPV6_MAC}, id="mac-of-20-bytes"),
        pytest.param({"mac": ""}, {}, id="mac-empty-is-absent"),
        pytest.param(
            {"infiniband-guid": "24:8a:07:03:00:8d:ae:2e"}, {"infinibandGUID": "24:8a:07:03:00:8d:ae:2e"}, id="guid"
        ),
        pytest.param(
            {"portMappings": [_PORT]},
            {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]},
            id="ports-default-protocol",
        ),
        pytest.param(
            {"portMappings": [{**_PORT, "protocol": "SCTP", "hostIP": "10.0.0.1"}]},
            {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "sctp", "hostIP": "10.0.0.1"}]},
            id="ports-in-full",
        ),
        pytest.param(
            {"bandwidth": {"ingressRate": 1000, "ingressBurst": 2000, "egressRate": 3000, "egressBurst": 4000}},
            {"bandwidth": {"ingressRate": 1000, "ingressBurst": 2000, "egressRate": 3000, "egressBurst": 4000}},
            id="bandwidth",
        ),
        pytest.param(
            {"bandwidth": {"egressRate": 3000}},
            {"bandwidth": {"egressRate": 3000, "egressBurst": 4294967295}},
            id="bandwidth-one-way-with-a-burst-made-up",
        ),
    ],
)
def test_requests_become_runtime_config(element: dict[str, Json], expected: dict[str, Json]) -> None:
    """Each request stands under its capability's name, in the form that plugins know."""
    assert requested.capability_args(element) == expected


@pytest.mark.parametrize(
    ("element", "code", "words"),
    [
        pytest.param({"ips": "10.0.0.5"}, 6, "key 'ips': \"10.0.0.5\"", id="ips-not-a-list"),
        pytest.param({"ips": [5]}, 6, "key 'ips': […]", id="ips-number"),
        pytest.param({"ips": []}, 7, "at least one", id="ips-empty"),
        pytest.param({"ips": ["10.0.0"]}, 7, '"10.0.0"', id="ips-short"),
        pytest.param({"ips": ["10.0.0.5/33"]}, 7, "up to 32", id="ips-prefix"),
        pytest.param({"ips": ["10.0.0.5/"]}, 7, '"10.0.0.5/"', id="ips-no-prefix"),
        pytest.param({"ips": ["10.0.0.5/024"]}, 7, "/024", id="ips-prefix-with-zero"),
        pytest.param({"ips": ["10.0.0.5/255.255.255.0"]}, 7, "255.255.255.0", id="ips-netmask"),
        pytest.param({"ips": ["fd00::1/129"]}, 7, "up to 128", id="ips-ipv6-prefix"),
        pytest.param({"ips": ["fe80::1%eth0"]}, 7, "eth0", id="ips-zone"),
        pytest.param({"ips": ["10.0.0.5;MAC=x"]}, 7, "MAC", id="ips-injection"),
        pytest.param({"mac": 5}, 6, "key 'mac': 5", id="mac-number"),
        pytest.param({"mac": "02:00:5e:10:00"}, 7, "02:00:5e:10:00", id="mac-short"),
        pytest.param({"mac": "02:00-5e:10:00:ff"}, 7, "hardware address", id="mac-mixed"),
        pytest.param({"mac": "02:00:5e:10:00:fg"}, 7, "hardware address", id="mac-letters"),
        pytest.param({"mac": "02:00:5e:10:00:ff\n"}, 7, "hardware address", id="mac-line-end"),
        pytest.param({"mac": "01:00:5e:10:00:ff"}, 7, "no interface", id="mac-of-a-group"),
        pytest.param({"mac": "00:00:00:00:00:00"}, 7, "no interface", id="mac-of-zeros"),
        pytest.param({"infiniband-guid": "24:8a:07:03:00:8d"}, 7, "8 bytes", id="guid-short"),
        pytest.param({"infiniband-guid": []}, 6, "'infiniband-guid'", id="guid-list"),
        pytest.param({"portMappings": {}}, 6, "'portMappings'", id="ports-not-a-list"),
        pytest.param({"portMappings": []}, 7, "at least one", id="ports-empty"),
        pytest.param({"portMappings": [5]}, 6, "5 is not an object", id="ports-number"),
        pytest.param({"portMappings": [{"hostPort": 1}]}, 7, "'containerPort'", id="ports-missing"),
        pytest.param({"portMappings": [{**_PORT, "hostPort": 0}]}, 7, "'hostPort' with value 0", id="port-zero"),
        pytest.param({"portMappings": [{**_PORT, "hostPort": 65536}]}, 7, "65536", id="port-large"),
        pytest.param({"portMappings": [{**_PORT, "hostPort": "80"}]}, 6, "'hostPort': \"80\"", id="port-text"),
        pytest.param({"portMappings": [{**_PORT, "hostPort": True}]}, 6, "'hostPort': true", id="port-flag"),
        pytest.param({"portMappings": [{**_PORT, "protocol": "icmp"}]}, 7, "icmp", id="protocol"),
        pytest.param({"portMappings": [{**_PORT, "protocol": 6}]}, 6, "'protocol': 6", id="protocol-number"),
        pytest.param({"portMappings": [{**_PORT, "hostIP": "x"}]}, 7, "'hostIP'", id="host-ip"),
        pytest.param({"bandwidth": 5}, 6, "'bandwidth': 5", id="bandwidth-number"),
        pytest.param({"bandwidth": {}}, 7, "no rate", id="bandwidth-empty"),
        pytest.param({"bandwidth": {"ingressRate": 0}}, 7, "'ingressRate' with value 0", id="rate-zero"),
        pytest.param({"bandwidth": {"ingressRate": -1}}, 7, "-1", id="rate-negative"),
        pytest.param({"bandwidth": {"ingressRate": 1.5}}, 6, "1.5", id="rate-real"),
        pytest.param({"bandwidth": {"egressBurst": 5}}, 7, "needs its egressRate", id="burst-alone"),
        pytest.param({"bandwidth": {"egressRate": 5, "egressBurst": 0}}, 7, "'egressBurst'", id="burst-zero"),
    ],
)
def test_bad_requests_are_refused(element: dict[str, Json], code: int, words: str) -> None:
    """A wrong JSON type is code 6, a wrong value code 7, and both name key and value."""
    with pytest.raises(CniError) as caught:
        requested.capability_args(element)
    assert (caught.value.code, words in caught.value.msg) == (code, True), caught.value.msg


@pytest.mark.parametrize(
    ("value", "code", "words"),
    [
        pytest.param("10.0.0.1", 6, "'default-route'", id="text"),
        pytest.param([1], 6, "'default-route': […]", id="number"),
        pytest.param(["10.0.0.1/24"], 7, "10.0.0.1/24", id="with-prefix"),
        pytest.param(["::"], 7, "no gateway", id="unspecified"),
        pytest.param(["ff02::1"], 7, "no gateway", id="multicast"),
        pytest.param(["fe80::1%eth0"], 7, "eth0", id="zone"),
    ],
)
def test_bad_gateways_are_refused(value: Json, code: int, words: str) -> None:
    """Only plain addresses that a router can have."""
    with pytest.raises(CniError) as caught:
        requested.default_route({"default-route": value})
    assert (caught.value.code, words in caught.value.msg) == (code, True), caught.value.msg


def test_gateways_are_addresses() -> None:
    """A link-local router is one too."""
    assert requested.default_route({"Default-Route": ["fe80::1"]}) == (ip_address("fe80::1"),)


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        pytest.param("infinibandGUID", "infiniband-guid", id="another-spelling"),
        pytest.param("ips", "ips", id="the-same"),
        pytest.param("dns", "dns", id="never-requested"),
    ],
)
def test_a_capability_is_told_as_the_annotation_spells_it(capability: str, expected: str) -> None:
    """Errors use the word that the user wrote."""
    assert requested.annotation_key(capability) == expected

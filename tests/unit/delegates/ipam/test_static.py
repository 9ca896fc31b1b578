# SPDX-License-Identifier: Apache-2.0
"""static over the skeleton; beside the reference it stands in tests/contract."""

from typing import Any

import pytest

from delegates.ipam.static import DELEGATE
from metacni.cni.errors import CniError
from tests.unit.delegates.calls import serve

HERE = {"address": "10.1.0.5/24", "gateway": "10.1.0.1"}


def config(*addresses: Any, **more: Any) -> dict[str, Any]:
    """A network with these addresses, and more keys beside `ipam`."""
    return {"cniVersion": "1.1.0", "name": "net", "ipam": {"type": "static", "addresses": list(addresses)}} | more


def got(conf: dict[str, Any], args: str = "") -> list[str]:
    """The addresses that an ADD tells, with their gateways."""
    ips = serve(DELEGATE, "ADD", conf, CNI_ARGS=args).get("ips", [])
    return [" ".join(filter(None, (item["address"], item.get("gateway")))) for item in ips]


def test_all_of_the_configuration_is_told() -> None:
    """Addresses in order, routes with all their keys, and the resolver settings."""
    conf = config(HERE, {"address": "fd01::5/64"})
    conf["ipam"] |= {"routes": [{"dst": "0.0.0.0/0", "mtu": 1400, "table": 7}], "dns": {"nameservers": ["10.1.0.3"]}}
    assert serve(DELEGATE, "ADD", conf) == {
        "cniVersion": "1.1.0",
        "ips": [{"address": "10.1.0.5/24", "gateway": "10.1.0.1"}, {"address": "fd01::5/64"}],
        "routes": [{"dst": "0.0.0.0/0", "mtu": 1400, "table": 7}],
        "dns": {"nameservers": ["10.1.0.3"]},
    }


@pytest.mark.parametrize(
    ("conf", "args", "expected"),
    [
        pytest.param(config(), "", [], id="none"),
        pytest.param(
            config(HERE),
            "IP=10.2.0.5/24, fd01::5/64;GATEWAY=10.2.0.1,10.1.0.9",
            ["10.1.0.5/24 10.1.0.1", "10.2.0.5/24 10.2.0.1", "fd01::5/64"],
            id="cni-args-add",
        ),
        pytest.param(config(HERE), "IP=;GATEWAY=", ["10.1.0.5/24 10.1.0.1"], id="empty-cni-args"),
        pytest.param(
            config(), "IP=10.1.0.5/24;GATEWAY=10.1.0.1,10.1.0.2", ["10.1.0.5/24 10.1.0.2"], id="last-gateway"
        ),
        pytest.param(
            config(HERE, args={"cni": {"ips": ["10.3.0.5/24"]}}), "IP=10.2.0.5/24", ["10.3.0.5/24"], id="args-replace"
        ),
        pytest.param(
            config(HERE, args={"cni": {"ips": ["10.3.0.5/24"]}}, runtimeConfig={"ips": ["10.4.0.5/24", "fd01::5/64"]}),
            "",
            ["10.4.0.5/24", "fd01::5/64"],
            id="runtime-replaces",
        ),
        pytest.param(config(HERE, runtimeConfig={"ips": []}), "", ["10.1.0.5/24 10.1.0.1"], id="empty-list"),
        pytest.param(
            config({"address": "nonsense"}, runtimeConfig={"ips": ["10.4.0.5/24"]}), "", ["10.4.0.5/24"],
            id="what-is-replaced-is-not-read",
        ),
        pytest.param(config({"address": "::ffff:10.1.0.5/120"}), "", ["10.1.0.5/24"], id="ipv4-in-ipv6"),
        pytest.param(config(HERE | {"version": "4"}), "", ["10.1.0.5/24 10.1.0.1"], id="old-version-key"),
        pytest.param(config(HERE, HERE), "", ["10.1.0.5/24 10.1.0.1"] * 2, id="twice"),
    ],
)  # fmt: skip
def test_where_addresses_come_from(conf: dict[str, Any], args: str, expected: list[str]) -> None:
    """CNI_ARGS add, `args.cni.ips` replaces, `runtimeConfig.ips` replaces again."""
    assert got(conf, args) == expected


@pytest.mark.parametrize(
    ("conf", "args", "code", "says"),
    [
        pytest.param(config({"address": "10.1.0.5"}), "", 7, "address", id="no-prefix"),
        pytest.param(config({"address": "10.1.0.5/33"}), "", 7, "10.1.0.5/33", id="prefix-too-long"),
        pytest.param(config({"address": "::ffff:10.1.0.5/64"}), "", 7, "::ffff:10.1.0.5/64", id="mapped-short-prefix"),
        pytest.param(config({}), "", 7, "address", id="no-address"),
        pytest.param(config("10.1.0.5/24"), "", 6, "addresses", id="no-object"),
        pytest.param(config({"address": 5}), "", 6, "address", id="a-number"),
        pytest.param(config(HERE | {"gateway": "10.1"}), "", 7, "gateway", id="gateway-no-address"),
        pytest.param(config(HERE | {"version": 4}), "", 6, "version", id="version-a-number"),
        pytest.param(config(HERE), "IP=10.2.0.5", 4, "IP of CNI_ARGS", id="cni-args-no-prefix"),
        pytest.param(config(HERE), "GATEWAY=x", 4, "GATEWAY of CNI_ARGS", id="cni-args-gateway"),
        pytest.param(config(HERE), "FOO=1", 4, "FOO", id="cni-args-unknown"),
        pytest.param(config(HERE, runtimeConfig={"ips": ["10.1.0.9"]}), "", 7, "runtimeConfig.ips", id="runtime"),
        pytest.param(config(HERE, args={"cni": {"ips": ["x"]}}), "", 7, "args.cni.ips", id="args"),
        pytest.param(
            config(HERE, args={"cni": {"ips": ["x"]}}, runtimeConfig={"ips": ["10.4.0.5/24"]}), "", 7, "args.cni.ips",
            id="args-though-replaced",
        ),
        pytest.param(config(HERE, HERE, cniVersion="0.2.0"), "", 7, "family", id="two-in-0.2.0"),
        pytest.param(config(HERE | {"wheels": 4}), "", 2, "wheels", id="unknown-key-of-an-address"),
        pytest.param({"cniVersion": "1.1.0", "name": "net"}, "", 7, "'ipam'", id="no-ipam"),
    ],
)  # fmt: skip
def test_bad_input_is_named(conf: dict[str, Any], args: str, code: int, says: str) -> None:
    """With its code."""
    with pytest.raises(CniError, match=says) as caught:
        serve(DELEGATE, "ADD", conf, CNI_ARGS=args)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("reported", "code"),
    [
        pytest.param([HERE], 0, id="the-same"),
        pytest.param([HERE | {"address": "10.1.0.5/16"}], 0, id="prefixes-are-not-compared"),
        pytest.param([], 0, id="missing-passes"),
        pytest.param([{"address": "10.1.0.5/24"}], 999, id="no-gateway"),
        pytest.param([{"address": "10.1.0.5/24", "gateway": "10.1.0.2"}], 999, id="another-gateway"),
        pytest.param(None, 7, id="no-result"),
    ],
)
def test_check_compares_gateways(reported: list[Any] | None, code: int) -> None:
    """Of addresses that were reported; without a gateway of ours anything goes."""
    conf = config(HERE)
    if reported is not None:
        conf["prevResult"] = {"cniVersion": "1.1.0", "ips": reported}
    if code:
        with pytest.raises(CniError) as caught:
            serve(DELEGATE, "CHECK", conf)
        assert caught.value.code == code
    else:
        assert serve(DELEGATE, "CHECK", conf) == {}


def test_there_is_nothing_to_give_back() -> None:
    """DEL and GC succeed with whatever configuration."""
    for verb in ("DEL", "GC"):
        assert serve(DELEGATE, verb, config("nonsense", **{"cni.dev/valid-attachments": []})) == {}

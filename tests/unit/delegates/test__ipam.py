# SPDX-License-Identifier: Apache-2.0
"""One IPAM is as the other: ours in this process, a foreign one through the runner."""

import json
import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from delegates import _ipam
from delegates._call import Call
from delegates._ipam import Ipam
from delegates._skeleton import Delegate
from metacni.cni.errors import CniError, Code
from metacni.cni.result import Result
from tests.unit.delegates.calls import Ipam as Foreign
from tests.unit.delegates.calls import edges, serve, variables

ANSWER = '{"cniVersion":"0.4.0","ips":[{"version":"4","address":"10.1.0.9/24","gateway":"10.1.0.1"}]}'


def lease(call: Call[Ipam | None]) -> Result:
    """An ADD that only leases, and fails when told to."""
    assert call.conf is not None
    with ExitStack() as undo:
        result = _ipam.lease(call, call.conf, undo)
        if "fails" in call.body:
            raise CniError(Code.IO, "a later step")
        undo.pop_all()
    return result


def whatever(verb: Any) -> Any:
    """A verb of the IPAM as the delegate's."""
    return lambda call: verb(call, call.conf)


DELEGATE: Delegate[Any] = Delegate(
    name="toy", about="", parse=_ipam.parse, parse_loosely=_ipam.parse_loosely, add=lease, check=whatever(_ipam.check),
    delete=whatever(_ipam.release), status=whatever(_ipam.status), gc=whatever(_ipam.gc),
)  # fmt: skip


def config(kind: str, **more: Any) -> dict[str, Any]:
    """A network with that IPAM."""
    return {"cniVersion": "1.1.0", "name": "net", "ipam": {"type": kind, "subnet": "10.1.0.0/24"} | more}


def test_a_foreign_ipam_gets_each_verb_and_all_that_we_got() -> None:
    """Its answer may be in another version."""
    foreign = Foreign(ANSWER)
    conf = config("far") | {"cni.dev/valid-attachments": []}
    assert serve(DELEGATE, "ADD", conf, ipam=foreign)["ips"] == [{"address": "10.1.0.9/24", "gateway": "10.1.0.1"}]
    for verb in ("CHECK", "DEL", "STATUS", "GC"):
        assert serve(DELEGATE, verb, conf, ipam=foreign) == {}
    assert foreign.asked == [("far", verb, conf) for verb in ("ADD", "CHECK", "DEL", "STATUS", "GC")]


def test_a_later_failure_gives_the_addresses_back() -> None:
    """And stays the error that is told."""
    foreign = Foreign(ANSWER)
    with pytest.raises(CniError, match=r"^a later step$"):
        serve(DELEGATE, "ADD", config("far") | {"fails": 1}, ipam=foreign)
    assert [verb for _, verb, _ in foreign.asked] == ["ADD", "DEL"]


def test_an_undo_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It does not take the place of the error."""

    class Stubborn(Foreign):
        def run(self, kind: Any, environment: Any, stdin: bytes) -> bytes:
            """Lease, but give nothing back."""
            if environment["CNI_COMMAND"] == "DEL":
                raise CniError(Code.IO, "disk on fire")
            return super().run(kind, environment, stdin)

    with caplog.at_level(logging.WARNING), pytest.raises(CniError, match=r"^a later step$"):
        serve(DELEGATE, "ADD", config("far") | {"fails": 1}, ipam=Stubborn(ANSWER))
    assert caplog.messages == ["cannot give back addresses after a failure: IPAM 'far': disk on fire"]


def test_no_address_is_an_error_and_is_given_back() -> None:
    """An IPAM that answers with none."""
    foreign = Foreign('{"cniVersion":"1.1.0"}')
    with pytest.raises(CniError, match="gave no address") as caught:
        serve(DELEGATE, "ADD", config("far"), ipam=foreign)
    assert caught.value.code == 7
    assert [verb for _, verb, _ in foreign.asked] == ["ADD", "DEL"]


def test_the_ipams_own_error_keeps_its_code() -> None:
    """With the IPAM's name in front."""
    foreign = Foreign(refuses=CniError(77, "no"))
    for verb in ("ADD", "CHECK", "DEL", "STATUS"):
        with pytest.raises(CniError, match=r"^IPAM 'far': no$") as caught:
            serve(DELEGATE, verb, config("far"), ipam=foreign)
        assert caught.value.code == 77
    assert [verb for _, verb, _ in foreign.asked] == ["ADD", "CHECK", "DEL", "STATUS"]


@pytest.mark.parametrize("kind", ["host-local", "metacni-host-local"])
def test_ours_runs_here(tmp_path: Any, kind: str) -> None:
    """Under both of its names; nobody else is asked, and a later failure leaves no lease."""
    foreign = Foreign()
    conf = config(kind, dataDir=str(tmp_path)) | {"cni.dev/valid-attachments": []}
    with pytest.raises(CniError, match=r"^a later step$"):
        serve(DELEGATE, "ADD", conf | {"fails": 1}, ipam=foreign)
    assert serve(DELEGATE, "ADD", conf, ipam=foreign)["ips"] == [{"address": "10.1.0.3/24", "gateway": "10.1.0.1"}]
    for verb in ("CHECK", "STATUS", "GC", "DEL"):
        if verb == "DEL":
            assert sorted(file.name for file in (tmp_path / "net").iterdir()) == ["last_reserved_ip.0", "lock"]
        assert serve(DELEGATE, verb, conf, ipam=foreign) == {}
    assert foreign.asked == []


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        pytest.param("static", {"addresses": [{"address": "10.1.0.2/24"}]}, id="static"),
        pytest.param("metacni-static", {"addresses": [{"address": "10.1.0.2/24"}]}, id="metacni-static"),
        pytest.param("metacni-ipam", {"ranges": [[{"subnet": "10.1.0.0/24"}]]}, id="metacni-ipam"),
    ],
)
def test_each_of_ours_runs_here(tmp_path: Path, kind: str, part: dict[str, Any]) -> None:
    """Whatever verb."""
    foreign = Foreign()
    ipam = {"type": kind} | part | ({"dataDir": str(tmp_path)} if "ranges" in part else {})
    conf: dict[str, Any] = {"cniVersion": "1.1.0", "name": "net", "ipam": ipam, "cni.dev/valid-attachments": []}
    added = serve(DELEGATE, "ADD", conf, ipam=foreign)
    assert [item["address"] for item in added["ips"]] == ["10.1.0.2/24"]
    for verb in ("CHECK", "STATUS", "DEL", "GC"):
        assert serve(DELEGATE, verb, conf | {"prevResult": added}, ipam=foreign) == {}
    assert foreign.asked == []


def test_a_bare_name_is_ours_only_where_the_reference_has_it() -> None:
    """`ipam` alone is somebody else's."""
    foreign = Foreign(ANSWER)
    serve(DELEGATE, "ADD", config("ipam"), ipam=foreign)
    assert foreign.asked[0][:2] == ("ipam", "ADD")


@pytest.mark.parametrize("kind", ["a/b", "..", "x\0"])
def test_an_ipam_is_a_bare_file_name(kind: str) -> None:
    """Or it could leave the search path."""
    with pytest.raises(CniError) as caught:
        serve(DELEGATE, "ADD", config(kind))
    assert caught.value.code == 7


def test_no_ipam_is_none() -> None:
    """Absent, or of no type."""
    kept: list[Call[Ipam | None]] = []
    delegate = Delegate(
        name="toy", about="", parse=_ipam.parse, parse_loosely=_ipam.parse_loosely,
        add=lambda _: Result(), delete=kept.append,
    )  # fmt: skip
    for body in ({"name": "net"}, {"name": "net", "ipam": {}}, {"name": "net", "ipam": {"type": ""}}):
        delegate.serve(variables("DEL"), json.dumps(body).encode(), pod=None, edges=edges())
    assert [call.conf for call in kept] == [None, None, None]

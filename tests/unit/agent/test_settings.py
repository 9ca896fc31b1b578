# SPDX-License-Identifier: Apache-2.0
"""The agent's settings: the schema, the defaults, and what a mistake says."""

from pathlib import Path

import pytest

from metacni.agent import settings
from metacni.agent.settings import Limits, Settings, SettingsError


def test_without_a_file_every_setting_has_its_default() -> None:
    """No file is a valid configuration."""
    assert settings.load(None) == Settings()


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    """A file that holds nothing (or comments only) changes nothing."""
    (tmp_path / "agent.yaml").write_text("# nothing yet\n")
    assert settings.load(tmp_path / "agent.yaml") == Settings()


def test_the_defaults_are_those_that_the_schema_states() -> None:
    """What the documentation is made from cannot drift from what the agent does."""
    stated = {key: value["default"] for key, value in settings.schema()["properties"].items() if "default" in value}
    assert settings.parse(stated, "schema") == Settings()
    limits = settings.schema()["properties"]["limits"]["properties"]
    assert Limits(**{key: value["default"] for key, value in limits.items()}) == Limits()


def test_every_key_of_the_schema_reaches_a_setting(tmp_path: Path) -> None:
    """Each key has an effect on the parsed value; none is accepted and dropped."""
    (tmp_path / "agent.yaml").write_text(
        """
        resultMode: merged
        cniConfDir: /etc/other
        allowedPaths: [/srv]
        allowedTypes: {"*": [bridge], lab: [bridge, macvlan]}
        checkTolerates: []
        logLevel: debug
        limits: {add: 1, delete: 2, queue: 3}
        drainSeconds: 5
        sweepSeconds: 60
        executor: none
        resident: [bridge, macvlan]
        sysctlDir: /host/proc/sys/net
        netnsDir: /var/run/netns
        hostPaths: [/var/lib/cni]
        trustedDelegates: [acme]
        """
    )
    assert settings.load(tmp_path / "agent.yaml") == Settings(
        result_mode="merged",
        cni_conf_dir=Path("/etc/other"),
        allowed_paths=("/srv",),
        allowed_types={"*": frozenset({"bridge"}), "lab": frozenset({"bridge", "macvlan"})},
        check_tolerates=frozenset(),
        log_level="debug",
        limits=Limits(add=1, delete=2, queue=3),
        drain_seconds=5.0,
        sweep_seconds=60.0,
        executor="none",
        resident=frozenset({"bridge", "macvlan"}),
        sysctl_dir=Path("/host/proc/sys/net"),
        netns_dir=Path("/var/run/netns"),
        host_paths=("/var/lib/cni",),
        trusted_delegates=frozenset({"acme"}),
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("residents: auto", "there is no key 'residents' (did you mean 'resident'?); the", id="unknown"),
        pytest.param("limits: {add: 0}", "key 'limits.add': 0 is less than 1", id="out-of-range"),
        pytest.param(
            "allowedPaths: [relative]", "key 'allowedPaths[0]': \"relative\" is not an absolute", id="relative"
        ),
        pytest.param("- a list", "the whole file is a list, and must be a mapping", id="not-an-object"),
        pytest.param("a: 1\nb: c: d\n", "line 2: mapping values are not allowed here", id="not-yaml"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_its_key(tmp_path: Path, text: str, told: str) -> None:
    """The person who wrote the file learns which key is wrong and why."""
    (tmp_path / "agent.yaml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        settings.load(tmp_path / "agent.yaml")
    text = str(caught.value)
    assert (told in text, str(tmp_path / "agent.yaml") in text, "\n" in text) == (True, True, False), text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("auto", "auto", id="auto"),
        pytest.param("none", "none", id="none"),
        pytest.param("[]", frozenset(), id="nothing-listed"),
        pytest.param("[bridge, bridge]", frozenset({"bridge"}), id="listed"),
    ],
)
def test_resident_is_a_word_or_a_list(tmp_path: Path, text: str, expected: str | frozenset[str]) -> None:
    """A list stays one: of one type it is not a word."""
    (tmp_path / "agent.yaml").write_text(f"resident: {text}")
    assert settings.load(tmp_path / "agent.yaml").resident == expected


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """A mistyped path must not mean "defaults"."""
    with pytest.raises(
        SettingsError, match=r"^cannot read the configuration '.*/none.yaml': no such file or directory$"
    ):
        settings.load(tmp_path / "none.yaml")


def test_a_file_of_another_encoding_is_an_error(tmp_path: Path) -> None:
    """Its bytes would mean something else to everybody."""
    (tmp_path / "agent.yaml").write_bytes(b"a: \xff")
    with pytest.raises(SettingsError, match="it is not UTF-8"):
        settings.load(tmp_path / "agent.yaml")

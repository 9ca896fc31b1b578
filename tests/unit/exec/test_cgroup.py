# SPDX-License-Identifier: Apache-2.0
"""What /proc says of cgroups, on hosts of every kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacni.exec import cgroup


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        pytest.param("", [], id="unknown"),
        pytest.param("0::/system.slice/containerd.service\n", [":/system.slice/containerd.service"], id="v2"),
        pytest.param("0::/\n", [":/"], id="the root"),
        pytest.param(
            "12:cpu,cpuacct:/a\n4:memory:/b\n1:name=systemd:/c\n0::/d\n",
            ["cpu,cpuacct:/a", "memory:/b", "name=systemd:/c", ":/d"],
            id="hybrid",
        ),
        pytest.param("3:pids:/a:b\n", ["pids:/a:b"], id="a colon in its name, as of CRI-O's"),
        pytest.param("0::/a b\\x2d\u2028\x0b\udce9\n", [":/a b\\x2d\u2028\x0b\udce9"], id="whatever a name may hold"),
        pytest.param("0::/..a/b..\n", [":/..a/b.."], id="dots that lead nowhere"),
        pytest.param("0::/a", [":/a"], id="no end of its line"),
    ],
)
def test_each_hierarchy_has_its_cgroup(text: str, joined: list[str]) -> None:
    """In the form that the executor takes."""
    good, bad = cgroup.parse(text)
    assert ([str(one) for one in good], bad) == (joined, [])


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("0::/../../system.slice/containerd.service", id="outside the namespace"),
        pytest.param("0::/..", id="one above"),
        pytest.param("4:memory:/a/../../b", id="up again"),
        pytest.param("0::a", id="relative"),
        pytest.param("0::", id="no path"),
        pytest.param("4::/a", id="no controllers"),
        pytest.param("0:memory:/a", id="controllers of cgroup2"),
        pytest.param("memory:/a", id="no number"),
        pytest.param("04:memory:/a", id="a number nobody writes"),
        pytest.param("4:me/mory:/a", id="a path for a controller"),
        pytest.param("4:memory:/a\0b", id="NUL"),
        pytest.param("-", id="nothing of the kind"),
    ],
)
def test_what_leads_elsewhere_is_refused_and_the_others_are_taken(line: str) -> None:
    """Its hierarchy is left alone: a guess would put a plugin into somebody else's cgroup."""
    good, bad = cgroup.parse(f"5:pids:/p\n{line}\n0::/q\n")
    assert ([str(one) for one in good], bad) == (["pids:/p", ":/q"], [line])


@given(st.text(alphabet="01:/.,am=\n\0", max_size=40) | st.text(max_size=40))
def test_no_text_makes_more_than_lines_of_it(text: str) -> None:
    """A damaged file is no path to anywhere."""
    good, bad = cgroup.parse(text)
    assert len(good) + len(bad) == len([line for line in text.split("\n") if line])
    assert all(one.path.startswith("/") and "/../" not in f"{one.path}/" and "\0" not in str(one) for one in good)

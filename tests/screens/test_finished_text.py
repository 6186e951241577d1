"""What Finished says fits its screen, and what is to be typed can be pasted."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from homewright.engine.journal import RunRecord, StepRecord
from homewright.engine.states import Action, State
from homewright.screens.finished_text import told
from homewright.screens.services import Outcome
from homewright.site import finding, trusting
from homewright.site.answers import PlatformSettings
from homewright.site.models import Server, Site

SERVERS = tuple(Server(name=f"s{n}", address=f"192.168.1.1{n}", user="admin") for n in range(1, 7))
STEPS = (
    ("00", "00/10", "Names", State.SUCCEEDED),
    ("10", "10/20", "GPU reservation", State.SKIPPED),
    ("40/core/cluster", "40/core/cluster/10", "Nodes", State.SKIPPED),
)
NO_CLUSTER = PlatformSettings()
PAGE = 75
"""Columns of the page in a terminal of 80, beside its margins and its scrollbar."""


def said(zone: str | None, platform: PlatformSettings = NO_CLUSTER) -> list[str]:
    steps = tuple(
        StepRecord("a run", step, "", stage, title, "python", position, state)
        for position, (stage, step, title, state) in enumerate(STEPS)
    )
    run = RunRecord("a run", Action.RUN, State.SUCCEEDED, 0.0, changed=3)
    site = Site(name="attic", zone=zone, servers=SERVERS, platform=platform)
    return told(Outcome(site, run, steps, Path("/home/alice/ca.crt"), ":".join(["A5"] * 32)), ascii=False)


def pasted(lines: list[str], go_on: str) -> list[str]:
    """The commands among these lines, as a shell reads them: a line that goes on and what follows it are one."""
    return "\n".join(line[17:] for line in lines).replace(f" {go_on}\n", " ").splitlines()


def test_every_line_fits_the_screen_and_stages_keep_apart_from_their_steps() -> None:
    assert [line for line in said("home.internal") if len(line) > PAGE] == []
    lines = said("home.internal", PlatformSettings(cluster="kubeadm"))
    assert [line for line in lines if len(line) > PAGE] == []
    assert lines[1:4] == ["  ✓ 00  Names", "  ⊘ 10  GPU reservation", "  ⊘ 40/core/cluster Nodes"]


def test_a_cluster_that_nobody_chose_is_said_to_be_missing() -> None:
    missing = "  ⊘ 40  no cluster was chosen, so none was made (see Platform)"
    assert said(None)[3:5] == [missing, ""], "in place of each stage that needs one"
    assert missing not in said(None, PlatformSettings(cluster="kubeadm"))


@pytest.mark.parametrize("where", ["Linux", "macOS", "Debian, Ubuntu"])
def test_commands_that_take_several_lines_can_be_pasted(where: str) -> None:
    site = Site(name="attic", zone="home.internal", servers=SERVERS)
    way = next(way for way in (*finding.ways(site), *trusting.WAYS) if way.where == where)
    lines = said("home.internal")
    commands = [shlex.split(line) for line in pasted(lines, "\\") if line.strip() and line.count("'") % 2 == 0]
    assert all(shlex.split(step) in commands for step in way.steps)


def test_router_split_dns_and_lines_of_its_own_name_the_zone_and_the_first_server() -> None:
    text = "\n".join(said("home.internal"))
    for words in (
        "server=/home.internal/192.168.1.11",
        "-Namespace .home.internal",
        "/etc/resolver/home.internal",
        "192.168.1.14 s4.home.internal",
        "and so on, for 2 more",
        "To see that it worked: ping s1.home.internal",
    ):
        assert words in text
    assert "192.168.1.15" not in text


def test_without_a_zone_there_is_nothing_to_find() -> None:
    text = "\n".join(said(None))
    assert "there is no name to resolve" in text and "Router" not in text
    assert finding.ways(Site(name="attic", servers=SERVERS)) == ()
    assert finding.test(Site(name="attic", servers=SERVERS)) == ""

"""The plan screen by keyboard alone: views, failed checks in the way, what an edit changes, approving."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from piloting import Compare, Make, both, closed, drive, page, shows, until
from recorded_sites import lay_out
from screen_checks import finding, report_of
from textual.pilot import Pilot

from homewright.checks import running
from homewright.checks.models import Finding
from homewright.planning import kept
from homewright.screens.checks import Checks
from homewright.screens.deploy import Deploy
from homewright.screens.widgets.table import Table
from homewright.site import files
from homewright.site.paths import StateFolder

if TYPE_CHECKING:
    from conftest import Recorded

SIZE = (80, 24)
BAD = (
    finding("host.memory", ["cedar"], "failed", "1 GB", "It has 1 GB, and 2 GB are needed."),
    finding("host.clock", ["maple"], "warning", "40 s", "It is 40 s behind."),
)


def checked(file: Path, state: StateFolder, *wrong: Finding) -> None:
    """A report of the checks, as checking leaves it."""
    site = files.load(file)
    report = report_of([server.name for server in site.servers], wrong, [])
    running.keep(state, report.model_copy(update={"site": site.name, "profile": site.profile}))


def test_a_site_that_was_not_checked_is_sent_to_the_checks(make_app: Make, services: Recorded) -> None:
    file, _ = lay_out("attic")

    async def flow(pilot: Pilot[object]) -> None:
        await page("plan", ("00/40", "not checked yet"), file=file, name="attic")(pilot)
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "this plan cannot be approved yet"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Checks))

    drive(make_app(), SIZE, flow)
    assert services.begun == []


def test_failed_checks_are_named_and_keep_the_plan_from_being_approved(make_app: Make, services: Recorded) -> None:
    file, state = lay_out("attic")
    checked(file, state, *BAD)

    async def flow(pilot: Pilot[object]) -> None:
        await page("plan", ("1 failed check in the way: Memory (cedar)",), file=file, name="attic")(pilot)
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "cannot be approved yet", "Memory · cedar: It has 1 GB"))
        await closed(pilot, "escape")
        await until(pilot, shows(pilot, "8/9 Plan"))
        await pilot.press("V")
        await until(pilot, shows(pilot, "[warnings]", "✗ Memory on cedar", "! Clock on maple"))
        await pilot.press("c")
        await until(pilot, lambda: isinstance(pilot.app.screen, Checks))

    drive(make_app(), SIZE, flow)
    assert services.begun == [] and kept.approved(state) is None


def test_an_approved_plan_is_kept_and_a_later_one_compared_with_it(make_app: Make, services: Recorded) -> None:
    file, state = lay_out("attic")
    checked(file, state, BAD[1])

    async def approve(pilot: Pilot[object]) -> None:
        await page("plan", ("00/40",), file=file, name="attic")(pilot)
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "approve this plan?", "1 warning of the checks not accepted"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Deploy))

    drive(make_app(), SIZE, approve)
    plan = kept.approved(state)
    assert plan is not None and services.begun == [plan.digest]
    files.update(file, {"zone": "home.internal"})

    async def compare(pilot: Pilot[object]) -> None:
        await page("plan", ("Different from the plan that was approved last",), file=file, name="attic")(pilot)
        await pilot.press("v", "v", "v")
        await until(pilot, shows(pilot, "[edit]", "Answer zone: new, home.internal."))
        await pilot.press("end", "up")
        await until(pilot, shows(pilot, "since the last approval"))

    drive(make_app(), SIZE, compare)


def test_a_run_that_is_to_ask_before_what_is_risky(make_app: Make, services: Recorded) -> None:
    file, state = lay_out("attic")
    checked(file, state)

    async def flow(pilot: Pilot[object]) -> None:
        await page("plan", ("could lock you out: 10/10",), file=file, name="attic")(pilot)
        await pilot.press("p")
        await until(pilot, shows(pilot, "It pauses before each step that restarts servers or could lock you out."))
        await pilot.press("p", "p", "ctrl+n")
        await until(pilot, shows(pilot, "! 10/10 could lock you out.", "It pauses before each of these"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Deploy))

    drive(make_app(), SIZE, flow)
    assert services.asks_first


@both
def test_plan_that_pauses_before_what_is_risky(snap_compare: Compare, make_app: Make, size: tuple[int, int]) -> None:
    file, state = lay_out("attic")
    checked(file, state)
    act = page("plan", ("10/10",), "p", ("It pauses before each step",), file=file, name="attic")
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


def test_every_file_and_package_of_a_server_is_shown(make_app: Make) -> None:
    file, state = lay_out("attic")
    checked(file, state)
    services_plan = make_app().services.plan(file, state, None)

    async def flow(pilot: Pilot[object]) -> None:
        await page("plan", ("00/40",), "v", ("[servers]", "birch · "), file=file, name="attic")(pilot)
        rows = {row.key for row in pilot.app.screen.query_one(Table).rows}
        for host in services_plan.hosts:
            assert host.files and host.packages
            assert {f"{host.host} file {use.step} {use.path}" for use in host.files} <= rows
            assert {f"{host.host} package {use.step} {use.name}" for use in host.packages} <= rows
        await pilot.press("v")
        await until(pilot, shows(pilot, "[decisions]", "10.1.0.0/16"))
        assert len(pilot.app.screen.query_one(Table).rows) == len(services_plan.decisions)

    drive(make_app(), SIZE, flow)


def test_saving_the_plan(make_app: Make, tmp_path: Path) -> None:
    file, state = lay_out("attic")
    checked(file, state)

    async def flow(pilot: Pilot[object]) -> None:
        await page("plan", ("00/40",), "ctrl+s", ("Saved in",), file=file, name="attic")(pilot)

    drive(make_app(), SIZE, flow)
    assert '"decisions"' in (tmp_path / "homewright-attic-plan.json").read_text()


@both
def test_plan_of_a_healthy_site_by_server(snap_compare: Compare, make_app: Make, size: tuple[int, int]) -> None:
    file, state = lay_out("attic")
    checked(file, state)
    steps = (("00/40", "no reboot"), "v", ("[servers]",), "down down down down down down")
    assert snap_compare(make_app(), terminal_size=size, run_before=page("plan", *steps, file=file, name="attic"))


@both
def test_plan_that_failed_checks_keep_from_being_approved(
    snap_compare: Compare, make_app: Make, size: tuple[int, int]
) -> None:
    file, state = lay_out("trouble")
    wrong = finding("host.memory", ["pine"], "failed", "8 GB", "It has 8 GB, and 16 GB are needed.")
    checked(file, state, wrong, finding("gpu.iommu", ["pine"], "failed", "off", "The IOMMU is off in its firmware."))
    act = page("plan", ("2 failed checks in the way",), "V", ("[warnings]",), file=file, name="trouble")
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_plan_decisions(snap_compare: Compare, make_app: Make, size: tuple[int, int]) -> None:
    file, state = lay_out("attic")
    checked(file, state)
    act = page("plan", ("00/40",), "v", "v", ("[decisions]",), "down down", file=file, name="attic")
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_plan_after_an_edit(snap_compare: Compare, make_app: Make, size: tuple[int, int]) -> None:
    file, state = lay_out("attic")
    checked(file, state)
    kept.apply(state, make_app().services.plan(file, state, None))
    files.update(file, {"zone": "home.internal", "network.pods": "10.44.0.0/16", "servers.maple": files.UNSET})
    checked(file, state)
    act = page("plan", ("Different from",), "v", "v", "v", ("[edit]",), file=file, name="attic")
    assert snap_compare(make_app(), terminal_size=size, run_before=act)

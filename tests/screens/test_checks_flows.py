"""Checks by keyboard: problems are found, repaired, accepted and rechecked, and nothing is a dead button."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from piloting import SIZES, Make, closed, drive, opened, page, shows, text_of, until
from screen_checks import TROUBLE, finding, report_of
from textual.pilot import Pilot

from homewright.checks import running
from homewright.checks.models import Report
from homewright.errors import HomewrightError, Unreachable
from homewright.screens.check_board import Board
from homewright.screens.services_checks import Heard
from homewright.screens.widgets.matrix import Matrix
from homewright.site import files
from homewright.site.paths import StateFolder

if TYPE_CHECKING:
    from conftest import Recorded

SIZE = (80, 24)
HOSTS = ("s1", "s2", "s3")


def place(pilot: Pilot[object]) -> tuple[str, str]:
    """The check and the server under the cursor."""
    matrix = pilot.app.screen_stack[-1].query_one(Matrix)
    return matrix.cursor_key, matrix.column


def test_servers_appear_as_they_answer(make_app: Make, services: Recorded, site: Path, state: StateFolder) -> None:
    go_on = threading.Event()
    report = report_of(HOSTS, TROUBLE)

    def check(file: Path, state: StateFolder, heard: Callable[[Heard], None]) -> Report:
        heard(Heard("s2", "facts", "", report.of("s2")))
        assert go_on.wait(20)
        return report

    services.check = check  # type: ignore[method-assign]  # for one test

    async def flow(pilot: Pilot[object]) -> None:
        await page("checks", ("1 of 3 answered", "✗ failed", "· …"))(pilot)
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "The checks still run"))
        go_on.set()
        await until(pilot, shows(pilot, "3✗ 1? 3!"))

    drive(make_app(), SIZE, flow)


def test_next_goes_to_the_first_check_that_failed(
    make_app: Make, services: Recorded, site: Path, state: StateFolder
) -> None:
    services.wrong = TROUBLE

    async def flow(pilot: Pilot[object]) -> None:
        await page("checks", ("3✗ 1? 3!",), "ctrl+n", ("Memory · s1 has failed", "first of 3"))(pilot)
        assert place(pilot) == ("host.memory", "s1")
        await until(pilot, shows(pilot, "Measured", "1.2 GB", "A control plane needs more", "1. Put more memory in"))

    drive(make_app(), SIZE, flow)


def test_the_next_problem_is_a_key_away_and_goes_around(
    make_app: Make, services: Recorded, site: Path, state: StateFolder
) -> None:
    services.wrong = TROUBLE
    seen = []

    async def flow(pilot: Pilot[object]) -> None:
        await page("checks", ("3✗ 1? 3!",))(pilot)
        seen.append(place(pilot))
        for _ in range(7):
            await pilot.press("n")
            seen.append(place(pilot))
        await pilot.press("N")
        seen.append(place(pilot))

    drive(make_app(), SIZE, flow)
    assert seen == [
        ("host.memory", "s1"),
        ("host.clock", "s2"),
        ("host.swap", "s3"),
        ("network.ports", "s1"),
        ("gpu.iommu", "s3"),
        ("network.reach", "s2"),
        ("topology.quorum", ""),
        ("host.memory", "s1"),
        ("topology.quorum", ""),
    ]


def test_a_repair_asks_first_and_then_only_what_did_not_pass_is_judged(
    make_app: Make, services: Recorded, site: Path, state: StateFolder
) -> None:
    services.wrong = TROUBLE

    async def flow(pilot: Pilot[object]) -> None:
        await page("checks", ("3✗ 1? 3!",), "n f", ("fix Clock?", "the clock of s2 is set to 12:04"))(pilot)
        await closed(pilot, "escape")
        assert services.fixed == []
        await pilot.press("f")
        await until(pilot, shows(pilot, "fix Clock?"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "2 checks failed. 7 were judged again", "2✗ 1? 3!"))
        assert place(pilot) == ("host.clock", "s2")
        assert "Clock · s2 · ✓ passed" in text_of(pilot.app)

    drive(make_app(), SIZE, flow)
    assert services.fixed == ["host.clock s2"]
    assert services.judged == [25, 7]


def test_everything_that_can_be_repaired_is_at_once(
    make_app: Make, services: Recorded, site: Path, state: StateFolder
) -> None:
    services.wrong = TROUBLE

    async def flow(pilot: Pilot[object]) -> None:
        await page("checks", ("3✗ 1? 3!",), "F", ("fix 2 things?", "nginx of s1 is stopped"), "enter")(pilot)
        await until(pilot, shows(pilot, "1 check failed. 7 were judged again"))

    drive(make_app(), SIZE, flow)
    assert services.fixed == ["host.clock s2", "network.ports s1"]


def test_more_than_fits_is_scrolled_and_the_keys_stay(
    make_app: Make, services: Recorded, site: Path, state: StateFolder
) -> None:
    changes = [f"thing {number} of s2 is changed" for number in range(40)]
    services.wrong = (finding("host.clock", ["s2"], "failed", "25 h behind", fix="clock", changes=changes),)

    async def flow(pilot: Pilot[object]) -> None:
        await page("checks", ("1✗",), "F", ("thing 0 of s2", "change this", "leave it", "scroll"))(pilot)
        assert "thing 39" not in text_of(pilot.app)
        await pilot.press("end")
        await until(pilot, shows(pilot, "thing 39 of s2", "Then what did not pass", "change this"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "Every check passed"))

    drive(make_app(), SIZE, flow)
    assert services.fixed == ["host.clock s2"]


def test_what_several_pairs_see_of_one_server_is_repaired_once(
    make_app: Make, services: Recorded, site: Path, state: StateFolder
) -> None:
    services.wrong = tuple(
        finding("network.reach", ["s2", other], "failed", "1400", fix="mtu", changes=[f"s2, as {other} sees it"])
        for other in ("s1", "s3")
    )

    async def flow(pilot: Pilot[object]) -> None:
        await page("checks", ("2✗",), "F", ("fix Round trip and loss?",), "enter", ("1 check failed",))(pilot)

    drive(make_app(), SIZE, flow)
    assert services.fixed == ["network.reach s2 s1"]


def test_a_repair_that_fails_says_so_and_keeps_no_other_from_being_made(
    make_app: Make, services: Recorded, site: Path, state: StateFolder
) -> None:
    services.wrong = TROUBLE
    fix = services.fix

    def refused(file: Path, state: StateFolder, finding: object, say: Callable[[str], None]) -> None:
        if getattr(finding, "check", "") == "host.clock":
            raise HomewrightError("The clock of s2 was not set.", "date: operation not permitted", ["set it by hand"])
        fix(file, state, finding, say)  # type: ignore[arg-type]  # nobody is asked

    services.fix = refused  # type: ignore[method-assign]  # for one test

    async def flow(pilot: Pilot[object]) -> None:
        await page("checks", ("3✗ 1? 3!",), "F", ("fix 2 things?",), "enter", ("was not set", "set it by hand"))(pilot)
        await closed(pilot, "escape")
        await until(pilot, shows(pilot, "2✗ 1? 3!"))

    drive(make_app(), SIZE, flow)
    assert services.fixed == ["network.ports s1"]


def test_what_cannot_be_repaired_says_how(make_app: Make, services: Recorded, site: Path, state: StateFolder) -> None:
    services.wrong = TROUBLE

    async def flow(pilot: Pilot[object]) -> None:
        await page("checks", ("3✗ 1? 3!",), "f", ("cannot do this by itself", "enter shows how"), "enter")(pilot)
        await until(pilot, shows(pilot, "1. Put more memory in", "esc back"))

    drive(make_app(), SIZE, flow)


def test_a_warning_is_accepted_with_a_reason_that_the_site_keeps(
    make_app: Make, services: Recorded, site: Path, state: StateFolder
) -> None:
    services.wrong = TROUBLE

    async def flow(pilot: Pilot[object]) -> None:
        await page("checks", ("3✗ 1? 3!",), "n n a", ("accept Swap · s3",), "n o enter", ("a reason of 3",))(pilot)
        await pilot.press(*"body minds", "enter")
        await until(pilot, shows(pilot, "Accepted, with the reason", "! accepted", "nobody minds"))
        accepted = files.load(site).accepted
        assert [(one.check, one.subjects, one.reason) for one in accepted] == [("host.swap", ("s3",), "nobody minds")]
        assert accepted[0].measured == "2 GiB on /swapfile"
        await pilot.press("r")
        await until(pilot, shows(pilot, "7 were judged again", "! accepted"))
        await pilot.press("a")
        await until(pilot, shows(pilot, "take back Swap?"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "Taken back", "3✗ 1? 3!"))

    drive(make_app(), SIZE, flow)
    assert files.load(site).accepted == ()


def test_a_failed_check_cannot_be_accepted_and_says_so(
    make_app: Make, services: Recorded, site: Path, state: StateFolder
) -> None:
    services.wrong = TROUBLE

    async def flow(pilot: Pilot[object]) -> None:
        await page("checks", ("3✗ 1? 3!",), "a", ("A failed check cannot be accepted",))(pilot)
        await pilot.press("n", "n", "n", "n", "a")
        await until(pilot, shows(pilot, "What is not known cannot be accepted"))

    drive(make_app(), SIZE, flow)
    assert files.load(site).accepted == ()


def test_the_filter_takes_names_states_and_servers(
    make_app: Make, services: Recorded, site: Path, state: StateFolder
) -> None:
    services.wrong = TROUBLE

    async def flow(pilot: Pilot[object]) -> None:
        await page("checks", ("3✗ 1? 3!",))(pilot)
        await opened(pilot, "/")
        await pilot.press(*"failed", "space", *"s2", "enter")
        await until(pilot, shows(pilot, "filter: failed s2", "Clock"))
        matrix = pilot.app.screen.query_one(Matrix)
        assert [row.key for row in matrix.rows] == ["group host", "host.clock"]
        assert matrix.across == ("s2",)
        await opened(pilot, "/")
        await pilot.press(*["backspace"] * 9, *"nothing", "enter")
        await until(pilot, shows(pilot, "No check has this"))
        # What stands in the way is shown whatever the filter leaves.
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "Memory · s1 has failed"))

    drive(make_app(), SIZE, flow)


def test_a_lost_server_holds_up_nobody_and_is_named_once(
    make_app: Make, services: Recorded, site: Path, state: StateFolder
) -> None:
    services.problems["s3"] = Unreachable("nothing answers at port 22.", "", [])

    async def flow(pilot: Pilot[object]) -> None:
        await page("checks", ("Nothing failed; s3 not reached", "✗ unreached"))(pilot)
        assert "assed" not in text_of(pilot.app).splitlines()[0]
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "s3 could not be reached"))
        await pilot.press("ctrl+n")
        await until(pilot, lambda: "3/9 Checks" not in text_of(pilot.app))

    drive(make_app(), SIZE, flow)


def test_a_report_that_is_there_is_shown_with_its_age(
    make_app: Make, services: Recorded, site: Path, state: StateFolder
) -> None:
    report = report_of(HOSTS)
    running.keep(state, report.model_copy(update={"at": report.at - 300}))

    async def flow(pilot: Pilot[object]) -> None:
        await page("checks", ("all passed · 5m ago",))(pilot)

    drive(make_app(), SIZE, flow)
    assert services.judged == []


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_first_problem_is_in_sight(
    make_app: Make, services: Recorded, site: Path, state: StateFolder, size: tuple[int, int]
) -> None:
    services.real_checks = True
    rows = services.check_rows()
    late = next(row for row in rows if row.id == "host.time-sync")
    wrong = finding("host.clock", ["s2"], "failed").model_copy(update={"check": late.id, "title": late.title})
    report = report_of(HOSTS)
    running.keep(state, report.model_copy(update={"findings": (*report.findings, wrong)}))

    async def flow(pilot: Pilot[object]) -> None:
        await page("checks", ("[✗ failed",))(pilot)
        assert place(pilot) == ("host.time-sync", "s2")

    drive(make_app(), size, flow)


def test_a_report_about_other_servers_is_made_anew(
    make_app: Make, services: Recorded, site: Path, state: StateFolder
) -> None:
    running.keep(state, report_of(("s1", "s2")))

    async def flow(pilot: Pilot[object]) -> None:
        await page("checks", ("Every check passed",))(pilot)

    drive(make_app(), SIZE, flow)
    assert services.judged == [25]


def test_the_report_is_saved(
    make_app: Make, services: Recorded, site: Path, state: StateFolder, tmp_path: Path
) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await page("checks", ("Every check passed",), "ctrl+s", ("Saved in",))(pilot)

    drive(make_app(), SIZE, flow)
    assert len(json.loads((tmp_path / "homewright-attic-checks.json").read_text())["findings"]) == 25


def test_fifty_servers_are_reached_sideways() -> None:
    from screen_checks import rows

    hosts = tuple(f"n{number}" for number in range(50))
    board = Board(hosts, rows())
    board.put(report_of(hosts, lost=["n49"]).findings)
    assert board.state("network.reach", "n0") == "unknown"
    board.lose(["n49"])
    assert board.state("network.reach", "n0") == "unreached"
    assert board.counts("n49") == {"unreached": 55}
    assert list(board.problems(board.rows, hosts)) == []
    shown, across = board.sifted("unreached n49")
    assert across == ("n49",) and len(shown) == 7

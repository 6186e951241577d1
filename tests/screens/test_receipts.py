"""Receipts on their box, from Deploy and before something is taken back."""

from __future__ import annotations

from pathlib import Path

import pytest
from piloting import Compare, Make, both, drive, open_page, page, shows, until
from screen_doubles import HOSTS, RUN, write_run
from textual.pilot import Pilot

from homewright.engine import receipts
from homewright.engine.journal import Reader
from homewright.engine.journal import receipts as rows
from homewright.engine.journal.writer import Writer
from homewright.screens.receipts import MOST_NAMED, receipt_lines, to_be_asked
from homewright.site.paths import StateFolder

WAS = "file 644 root:root, 109 bytes, sha256 " + "9adb29b7" * 8
IS = "file 644 root:root, 231 bytes, sha256 " + "3db40935" * 8
FOLDER = "folder 700 homewright-peer:homewright-peer, 6 entries, sha256 " + "d12ba9cd" * 8
BEFORE = {
    "00/10": {"file": {"/etc/hosts": WAS, "/etc/hostname": WAS}},
    "00/20": {"file": {"/etc/passwd": WAS, "/var/lib/homewright-peer/": ""}, "account": {"homewright-peer": ""}},
}
AFTER = {
    "00/10": {"file": {"/etc/hosts": IS, "/etc/hostname": WAS}},
    "00/20": {
        "file": {"/etc/passwd": IS, "/var/lib/homewright-peer/": FOLDER},
        "account": {"homewright-peer": "uid 999, gid 996, home /var/lib/homewright-peer, shell /bin/sh"},
    },
}


@pytest.fixture
def given(state: StateFolder) -> StateFolder:
    """The first step done on all servers; the second on one, and cut off on another."""
    write_run(state, "failed")
    writer = Writer(state, RUN)
    for host in HOSTS:
        writer.change(rows.found(RUN, "00/10", host, BEFORE["00/10"]), rows.left("00/10", host, AFTER["00/10"], []))
    writer.change(rows.found(RUN, "00/20", "s1", BEFORE["00/20"]), rows.left("00/20", "s1", AFTER["00/20"], []))
    writer.change(rows.found(RUN, "00/20", "s2", BEFORE["00/20"]))
    writer.close()
    return state


def known(state: StateFolder) -> list[receipts.Receipt]:
    return [receipts.receipt(row) for row in Reader(state).receipts()]


def test_a_receipt_in_words(given: StateFolder) -> None:
    told = [(line.label, line.text) for line in receipt_lines(known(given)) if line.text]
    assert told[:4] == [
        ("", "00/10 on s1 · 1 file"),
        ("changed", "/etc/hosts"),
        ("  before", "file 644 root:root, 109 bytes, sha256 9adb29b7…"),
        ("  after", "file 644 root:root, 231 bytes, sha256 3db40935…"),
    ]
    assert ("made", "homewright-peer (account)") in told
    assert told[-1] == ("", "00/20 on s2 · begun; what it changed is not known yet")
    assert [line.text for line in receipt_lines([])] == ["No receipt yet: it changes nothing, or has not run."]


def test_a_question_names_a_few_and_says_how_many_more_there_are(given: StateFolder) -> None:
    assert to_be_asked(known(given), ["00/10", "00/20"]) == [
        "  /etc/passwd: put it back as it was (s1)",
        "  /var/lib/homewright-peer/: remove it (s1)",
        "  homewright-peer: remove the account (s1)",
        "  what it changed is not known: it was cut off or has failed (s2)",
        "  … and 1 more: homewright receipts",
    ]
    assert to_be_asked(known(given), ["00/10"]) == ["  /etc/hosts: put it back as it was (s1, s2, s3)"]
    many = [f"00/{number}" for number in range(10, 20)]
    writer = Writer(given, RUN)
    for step in many[2:]:
        before, after = BEFORE["00/10"], AFTER["00/10"]
        writer.change(rows.found(RUN, step, "s3", before), rows.left(step, "s3", after, []))
    writer.close()
    asked = to_be_asked(known(given), many)
    assert len(asked) == MOST_NAMED + 1
    assert asked[-1] == "  … and 5 more: homewright receipts"
    assert to_be_asked([], many) == ["No receipt says what it changed."]


@both
def test_the_box_of_all_steps(
    snap_compare: Compare, make_app: Make, site: Path, given: StateFolder, size: tuple[int, int]
) -> None:
    act = page("deploy", ("SSH keys", "Initial setup"), "v", ("00/10 on s1",))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


def test_the_box_of_the_step_under_the_cursor(make_app: Make, site: Path, given: StateFolder) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "deploy")
        await until(pilot, shows(pilot, "SSH keys"))
        await pilot.press("down", "down")
        await pilot.press("v")
        await until(pilot, shows(pilot, "receipts · 00/"))
        await pilot.press("escape")

    drive(make_app(), (80, 24), flow)

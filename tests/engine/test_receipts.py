"""Receipts: what a step changed, what that looks like, and whether a roll-back brought it back."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from homewright.engine import receipts
from homewright.engine.journal import Reader, ReceiptRow, schema
from homewright.engine.journal import receipts as rows
from homewright.engine.journal.writer import Writer
from homewright.engine.receipts import Change, Seen
from homewright.engine.runners.looking import SCRIPT, seen_in
from homewright.errors import HomewrightError
from homewright.site.paths import StateFolder

HOSTS = "file 644 root:root, 231 bytes, sha256 " + "a" * 64
LONGER = "file 644 root:root, 300 bytes, sha256 " + "b" * 64
OTHER = "file 644 root:root, 310 bytes, sha256 " + "c" * 64
BEFORE = {"file": {"/etc/hosts": HOSTS, "/etc/new": ""}, "package": {"git": ""}, "account": {"ann": ""}}
AFTER = {"file": {"/etc/hosts": LONGER, "/etc/new": HOSTS}, "package": {"git": "1:2.39"}, "account": {"ann": "uid 5"}}


def row(after: Seen | None = AFTER, mixed: tuple[str, ...] = ()) -> ReceiptRow:
    kept = None if after is None else {kind: dict(names) for kind, names in after.items()}
    return ReceiptRow("00/10", "s1", "r1", 1.0, {k: dict(v) for k, v in BEFORE.items()}, 2.0, kept, mixed)


def test_a_receipt_says_what_changed_and_what_takes_it_back() -> None:
    one = receipts.receipt(row())
    assert [(change.what, change.name, change.inverse) for change in one.changes] == [
        ("changed", "/etc/hosts", "put it back as it was"),
        ("made", "/etc/new", "remove it"),
        ("made", "git", "remove the package"),
        ("made", "ann", "remove the account"),
    ]
    assert one.title == "2 files, 1 package, 1 account"
    assert receipts.receipt(row(BEFORE)).title == "nothing changed"
    assert receipts.receipt(row(None)).title == "begun; what it changed is not known yet"
    removed = next(receipts.differences({"unit": {"x.service": "enabled"}}, {"unit": {"x.service": ""}}))
    assert (removed.what, removed.inverse) == ("removed", "put it back as it was")


def changed(**places: Seen) -> Seen:
    """What is there, some of it another way: `changed(file={...})`."""
    return {kind: {**names, **places.get(kind, {})} for kind, names in BEFORE.items()}


@pytest.mark.parametrize(
    ("until_now", "now", "given", "faults", "shared"),
    [
        (AFTER, BEFORE, row(), [], []),
        (AFTER, changed(file={"/etc/hosts": LONGER}), row(), ["/etc/hosts"], []),
        (AFTER, changed(file={"/etc/new": HOSTS}), row(), ["/etc/new"], []),
        (AFTER, changed(account={"ann": "uid 5"}), row(), ["ann"], []),
        # A package may stay where something else needs it.
        (AFTER, changed(package={"git": "1:2.39"}), row(), [], ["git"]),
        # Somebody edited the file after the step: what is theirs stays.
        ({**AFTER, "file": {"/etc/hosts": OTHER}}, changed(file={"/etc/hosts": OTHER}), row(), [], ["/etc/hosts"]),
        # Or between two runs of the step, where it cannot be told apart.
        (AFTER, changed(file={"/etc/hosts": OTHER}), row(mixed=("/etc/hosts",)), [], ["/etc/hosts"]),
        # The step was cut off: what it left was never seen.
        (AFTER, changed(file={"/etc/hosts": OTHER}), row(None), [], ["/etc/hosts"]),
        (None, changed(file={"/etc/hosts": OTHER}), row(), [], ["/etc/hosts"]),
        # What the step did not change is none of its business.
        (BEFORE, changed(file={"/etc/hosts": OTHER}), row(BEFORE), [], []),
    ],
)
def test_a_rollback_is_held_to_the_receipt(
    until_now: Seen | None, now: Seen, given: ReceiptRow, faults: list[str], shared: list[str]
) -> None:
    found = receipts.astray(given, until_now, now)
    assert tuple([change.name for change in some] for some in found) == (faults, shared)


def test_what_two_runs_changed_is_known_as_mixed() -> None:
    again: Mapping[str, Mapping[str, str]] = {**AFTER, "file": {"/etc/hosts": OTHER, "/etc/new": HOSTS}}
    assert receipts.mixed(row(), again) == {"/etc/hosts"}
    assert receipts.mixed(row(mixed=("/etc/new",)), AFTER) == {"/etc/new"}
    assert receipts.mixed(row(None), AFTER) == frozenset()


def look(*files: Path, **more: list[str]) -> Mapping[str, Mapping[str, str]]:
    """What the servers' script says of this machine."""
    watched = {"files": [str(file) for file in files], "packages": [], "accounts": [], "units": [], **more}
    done = subprocess.run([sys.executable, "-c", SCRIPT, json.dumps(watched)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return seen_in(done.stdout)


def test_what_is_seen_of_files_has_digests_and_names_and_no_contents(tmp_path: Path) -> None:
    file, link, folder = tmp_path / "file", tmp_path / "link", tmp_path / "folder"
    file.write_text("a secret of somebody")
    file.chmod(0o640)
    link.symlink_to("file")
    folder.mkdir()
    (folder / "one").write_text("1")
    seen = look(file, link, folder, tmp_path / "none", file / "below")["file"]
    me = f"{file.owner()}:{file.group()}"
    digest = subprocess.run(["sha256sum", file], capture_output=True, text=True, check=True).stdout.split()[0]
    assert seen[str(file)] == f"file 640 {me}, 20 bytes, sha256 {digest}"
    assert seen[str(link)] == "link to file"
    assert (seen[str(tmp_path / "none")], seen[str(file / "below")]) == ("", "")
    assert seen[str(folder)].startswith(f"folder 755 {me}, 1 entries, sha256 ")
    assert "a secret" not in json.dumps(seen)


def test_a_folder_is_another_one_when_anything_in_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_text("1")
    found = [look(folder)["file"][str(folder)]]
    for change in (
        lambda: (folder / "deep" / "file").write_text("2"),
        lambda: (folder / "deep" / "file").chmod(0o600),
        lambda: (folder / "deep" / "more").symlink_to("file"),
        lambda: (folder / "deep" / "more").rename(folder / "more"),
    ):
        change()
        found.append(look(folder)["file"][str(folder)])
    assert len(set(found)) == 5
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_text("made by whoever looked")
    assert look(folder)["file"][str(folder)] == found[-1]


def test_accounts_packages_and_units_are_seen(tmp_path: Path) -> None:
    told = look(accounts=["root", "nobody-of-this-name"], packages=["dpkg", "no-such-package"], units=["none.service"])
    assert told["account"]["root"].startswith("uid 0, gid 0, home /root, shell /")
    assert told["account"]["nobody-of-this-name"] == ""
    assert told["package"]["dpkg"][:1].isdigit()
    assert told["package"]["no-such-package"] == ""


@pytest.mark.parametrize("text", ["", "[]", '{"file": 1}', "no json"])
def test_a_server_that_tells_something_else_is_not_believed(text: str) -> None:
    with pytest.raises(ValueError):
        seen_in(text)


def test_what_was_there_before_is_kept_until_it_is_taken_back(state: StateFolder, writer: Writer) -> None:
    reader = Reader(state)
    writer.change(rows.found("r1", "00/10", "s1", BEFORE))
    assert (reader.receipts()[0].before, reader.receipts()[0].after) == (BEFORE, None)
    writer.change(rows.found("r2", "00/10", "s1", AFTER))
    writer.change(rows.left("00/10", "s1", AFTER, ["git"]))
    kept = reader.receipts("00/10", "s1")[0]
    assert (kept.run, kept.before, kept.after, kept.mixed, kept.back) == ("r1", BEFORE, AFTER, ("git",), None)
    writer.change(rows.taken_back("00/10", "s1"))
    assert reader.receipts()[0].back is not None
    writer.change(rows.found("r3", "00/10", "s1", AFTER))
    anew = reader.receipts()[0]
    assert (anew.run, anew.before, anew.after, anew.back) == ("r3", AFTER, None, None)
    writer.change(writer.forget_captures("s1"))
    assert reader.receipts() == []


def test_a_journal_from_before_receipts_is_taken_along(state: StateFolder) -> None:
    old = sqlite3.connect(state.journal)
    schema.migrate(old, schema.STATES[:2])
    old.execute("INSERT INTO captures VALUES ('00/10', 's1', '{}', 'r0', 1.0)")
    old.commit()
    old.close()
    assert Reader(state).receipts() == [], "a viewer that is newer than the engine reads what there is"
    Writer(state, "r1").close()
    assert Reader(state).receipts() == []
    assert Reader(state).captures("00/10") == {"s1": {}}


def test_an_error_of_a_look_is_said_and_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from homewright.engine.runners import looking
    from homewright.engine.runners.request import Watched

    class Mute:
        name = "s1"
        watched = Watched(files=("/etc/hosts",))
        said: list[str] = []

        @property
        def emitter(self) -> Mute:
            return self

        def line(self, text: str, **_: object) -> None:
            self.said.append(text)

        def run(self, *_: object, **__: object) -> None:
            raise HomewrightError("s1 has no python3.")

    host = Mute()
    looking.look(host)  # type: ignore[arg-type]  # a host that cannot run anything
    assert len(host.said) == 1
    assert "s1 has no python3." in host.said[0]


def test_a_change_is_named_by_what_it_is() -> None:
    assert os.linesep.join(receipts.lines(receipts.receipt(row()))).splitlines()[:3] == [
        "changed: /etc/hosts",
        "  before: file 644 root:root, 231 bytes, sha256 aaaaaaaa…",
        "  after: file 644 root:root, 300 bytes, sha256 bbbbbbbb…",
    ]
    assert Change("unit", "x", "", "enabled").inverse == "remove the unit"

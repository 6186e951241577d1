"""The site file: errors that name the place, saves that keep comments and other people's edits."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from homewright.errors import SiteError, StateError
from homewright.site import files
from homewright.site.models import Server, Site

GOOD = """\
# top
version: 1
name: attic   # the name

servers:
  # the big one
  - name: s1
    address: 10.0.0.1
    user: ann

  # the small one
  - name: s2
    address: 10.0.0.2   # by the window
    user: ann

# the end
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(GOOD)
    return path


def failing(data: str | bytes, tmp_path: Path) -> SiteError:
    path = tmp_path / "site.yaml"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    with pytest.raises(SiteError) as caught:
        files.load(path)
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize(
    ("change", "line", "column", "field", "reason", "remedy"),
    [
        (("name: attic", "nmae: attic"), 3, 1, "nmae", "no such field", "did you mean name?"),
        (("    user: ann\n\n", "    usr: ann\n\n"), 9, 5, "servers.s1.usr", "no such field", "did you mean user?"),
        (("10.0.0.1", "10.0.0.300"), 8, 5, "servers.s1.address", "IPv4", "correct"),
        (("10.0.0.2", "10.0.0.1"), 13, 5, "servers.s2.address", "two servers have the address 10.0.0.1", "correct"),
        (("name: s2", "name: s1"), 12, 5, "servers.s1.name", "two servers have the name s1", "correct"),
        (("name: s2", "name: S_2"), 12, 5, "servers.S_2.name", "lowercase", "correct"),
        (("version: 1", "version: 2"), 2, 1, "version", "not one that this Homewright knows", "update"),
        (("version: 1", "version: '1'"), 2, 1, "version", "version 1", "write 1"),
        (("name: attic", "name: 12"), 3, 1, "name", "12 is no text here", '"12"'),
        (("name: attic", "name:"), 3, 1, "name", "has no value", "name:"),
        (("name: attic", "name: [a]"), 3, 1, "name", "must be text", "correct"),
        (("# the end", "sudo: yes"), 16, 1, "sudo", "must hold fields", "indented"),
        (("# the end", "sudo: {keep: 'true'}"), 16, 8, "sudo.keep", "neither true nor false", "without quotes"),
        (("# the end", "runs: {revert_minutes: soon}"), 16, 8, "runs.revert_minutes", "soon is no number", "correct"),
        (("# the end", "zone: home"), 16, 1, "zone", "at least two labels", "correct"),
        (("# the end", "profile: villa"), 16, 1, "profile", "'home' or 'lab'", "write"),
        (("# the end", "environment: {A: 1}"), 16, 15, "environment.A", "1 is no text", '"1"'),
        (("# the end", "workspaces: {master: s9}"), 16, 14, "workspaces.master", "no server of this site", "correct"),
        (
            ("# the end", "workspaces: {code_server: {version: 4.1.0}}"),
            16, 28, "workspaces.code_server.version", "known holes", "correct",
        ),
        (("# the end", "host_venv: {packages: ansible}"), 16, 13, "host_venv.packages", "must be a list", "- "),
    ],
)  # fmt: skip
def test_an_error_names_line_field_reason_and_remedy(
    change: tuple[str, str], line: int, column: int, field: str, reason: str, remedy: str, tmp_path: Path
) -> None:
    assert change[0] in GOOD
    error = failing(GOOD.replace(change[0], change[1], 1), tmp_path)
    [problem] = error.problems
    assert (problem.line, problem.column, problem.field) == (line, column, field)
    assert reason in problem.reason
    assert remedy in problem.remedy
    assert problem.file == str(tmp_path / "site.yaml")
    assert f"line {line}" in error.as_text() and field in error.as_text() and problem.remedy in error.as_text()
    assert error.as_json()["error"]["problems"][0]["line"] == line


def test_all_problems_are_told_at_once_in_order(tmp_path: Path) -> None:
    error = failing(GOOD.replace("attic", "Attic").replace("10.0.0.2", "x").replace("# the end", "zoen: a.b"), tmp_path)
    assert [problem.line for problem in error.problems] == [3, 13, 16]
    assert "3 answers" in error.what


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"version: 1\nname: caf\xe9\n", "line 2, column 10"),
        (b"- a\n- b\n", "must hold fields"),
        (b"text", "this is no site file: it must hold fields"),
        (b"version: 1\n", "the field name is missing"),
        (b"x" * (files.MAX_BYTES + 1), "larger than"),
        (b"a: &a [x]\nb: [*a, *a]\n", "anchors"),
        (b"\x00\x01\x02", "character"),
        ("version: 1\nname: attic\n".encode("utf-16"), "no UTF-8"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_what_is_no_site_is_told_so(data: bytes, words: str, tmp_path: Path) -> None:
    assert words in failing(data, tmp_path).as_text()


def test_missing_folder_fifo_and_forbidden(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "a-file").write_text("x")
    for path, words in [
        (tmp_path / "nothing.yaml", "There is no site file"),
        (tmp_path, "is a folder"),
        (tmp_path / "fifo", "no regular file"),
        (tmp_path / "a-file" / "site.yaml", "cannot be read"),
        (tmp_path / ("x" * 300), "cannot be read"),
    ]:
        with pytest.raises(SiteError, match=words):
            files.load(path)


def test_a_new_file_is_private_commented_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "site.yaml"
    site = Site(name="attic", servers=(Server(name="s1", address="10.0.0.1", user="ann", port=2222),))
    saved = files.save(path, site)
    assert saved == site == files.load(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    for field in ("version", "name", "profile", "servers"):
        before = text[: text.index(f"\n{field}:") + 1].rstrip("\n").rpartition("\n")[2]
        assert before.startswith("# "), field


def test_a_loaded_site_is_saved_with_its_comments(file: Path) -> None:
    site = files.load(file)
    third = Server(name="s3", address="10.0.0.3", user="ann")
    saved = files.save(file, site.model_copy(update={"servers": (*site.servers, third)}))
    assert [server.name for server in saved.servers] == ["s1", "s2", "s3"]
    added = "  - name: s3\n    address: 10.0.0.3\n    user: ann\n"
    assert file.read_text() == GOOD.replace("window\n    user: ann\n", f"window\n    user: ann\n{added}")
    files.save(file, saved.model_copy(update={"servers": site.servers}))
    assert file.read_text() == GOOD


def test_saving_what_did_not_change_touches_nothing(file: Path) -> None:
    before = file.stat()
    files.save(file, files.load(file))
    files.update(file, {"servers.s1.port": 22, "name": "attic"})
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_file_that_may_not_be_looked_at_is_told_so(file: Path, tmp_path: Path) -> None:
    long = tmp_path / ("a" * 300) / "site.yaml"
    with pytest.raises(SiteError, match="cannot be read") as caught:
        files.update(long, {"zone": "home.internal"})
    assert "too long" in caught.value.why
    with pytest.raises(StateError, match="cannot be written"):
        files.save(long, files.load(file))
    with pytest.raises(SiteError, match="There is no site file"):
        files.update(tmp_path / "nosuch" / "site.yaml", {"zone": "home.internal"})
    assert not (tmp_path / "nosuch").exists(), "nothing is made for a change of what is not there"


def test_an_edit_made_meanwhile_is_never_overwritten(file: Path) -> None:
    site = files.load(file)
    edited = GOOD.replace("# the end", "zone: home.internal")
    file.write_text(edited)
    assert files.changed_since(file, site)
    with pytest.raises(SiteError, match="changed by somebody else meanwhile"):
        files.save(file, site.model_copy(update={"profile": "lab"}))
    assert file.read_text() == edited
    file.unlink()
    with pytest.raises(SiteError, match="is gone"):
        files.save(file, site)


def test_a_new_site_does_not_overwrite_one(file: Path) -> None:
    with pytest.raises(SiteError, match="already holds a site"):
        files.save(file, Site(name="other"))
    assert file.read_text() == GOOD
    assert files.save(file, Site(name="other"), replace=True).name == "other"


def test_update_keeps_other_peoples_fields_and_refuses_the_same_one(file: Path) -> None:
    seen = files.load(file)
    file.write_text(GOOD.replace("10.0.0.2", "10.0.0.9").replace("# the end", "zone: home.internal"))
    site = files.update(file, {"servers.s1.address": "10.0.0.7"}, since=seen)
    assert [server.address for server in site.servers] == ["10.0.0.7", "10.0.0.9"]
    assert site.zone == "home.internal"
    with pytest.raises(SiteError, match=r"servers\.s2\.address .* changed by somebody else"):
        files.update(file, {"servers.s2.address": "10.0.0.8"}, since=seen)


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"servers.s1.port": "22"}, "servers.s1.port", "no whole number"),
        ({"servers.s2.address": "10.0.0.1"}, "servers.s2.address", "two servers"),
        ({"servers.s7.port": 1}, "servers.s7", "no such entry"),
        ({"servers.s1": files.UNSET, "servers.s8": files.UNSET}, "servers.s8", "no such entry"),
        ({"worskpaces.first_port": 9000}, "worskpaces", "did you mean workspaces?"),
        ({"name.x": "y"}, "name.x", "no such entry"),
        ({"name": files.UNSET}, "name", "missing"),
        ({"a..b": 1}, "a..b", "no field"),
        ({"environment.A": "\udcff"}, "environment.A", "UTF-8"),
    ],
)
def test_a_change_that_does_not_fit_is_refused(changes: dict[str, Any], field: str, words: str, file: Path) -> None:
    with pytest.raises(SiteError) as caught:
        files.update(file, changes)
    assert caught.value.problems[0].field == field
    assert caught.value.problems[0].line == 0  # the answer is in no file yet
    assert words in caught.value.as_text()
    assert file.read_text() == GOOD


def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    files.update(link, {"zone": "home.internal"})
    assert link.is_symlink()
    assert files.load(file).zone == "home.internal"


def test_two_writers_lose_nothing(file: Path) -> None:
    def write(letter: str) -> None:
        for number in range(5):
            files.update(file, {f"environment.{letter}{number}": "x"})

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "ABC"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(files.load(file).environment) == 15


def test_a_lock_that_is_held_is_told(file: Path) -> None:
    from homewright.site.locks import hold

    with hold(file.parent), pytest.raises(StateError, match="is in use"), hold(file.parent, wait=0.05):
        pass


def test_a_full_disk_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateError, match="could not be saved") as caught:
        files.update(file, {"zone": "home.internal"})
    assert "No space left" in caught.value.why
    assert file.read_text() == GOOD
    assert [path.name for path in file.parent.iterdir()] == ["site.yaml"]


def test_sites_compare_by_their_answers(file: Path) -> None:
    site = files.load(file)
    assert site == Site.model_validate(site.model_dump())
    assert site.model_copy() == site

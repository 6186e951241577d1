"""Where things are kept, and files that survive a power loss."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from homewright.errors import SiteError, StateError, speak_of
from homewright.site import paths
from homewright.site.paths import StateFolder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    for name in ("HOMEWRIGHT_SITE", "HOMEWRIGHT_STATE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def known(name: str) -> Path:
    file = paths.config_home() / name / "site.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(f"version: 1\nname: {name}\n")
    return file


def test_the_site_in_force(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SiteError, match="no site yet"):
        paths.site_file()
    attic = known("attic")
    assert paths.site_file() == attic
    cellar = known("cellar")
    with pytest.raises(SiteError, match="Which site") as caught:
        paths.site_file()
    assert "attic, cellar" in caught.value.why
    assert paths.site_file("cellar") == cellar
    monkeypatch.setenv("HOMEWRIGHT_SITE", str(attic))
    assert paths.site_file() == attic
    assert paths.site_file("cellar") == cellar
    monkeypatch.delenv("HOMEWRIGHT_SITE")
    Path("site.yaml").write_text("x")
    assert paths.site_file() == home / "here" / "site.yaml"
    Path("cellar").write_text("x")
    assert paths.site_file("cellar") == home / "here" / "cellar"


def test_a_site_that_is_not_there_is_told_with_those_that_are(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speak_of(site="nosuch")
    try:
        with pytest.raises(SiteError, match="There is no site nosuch") as caught:
            paths.site_file("nosuch")
        assert "There is none under" in caught.value.why
        assert caught.value.do == ("make it: homewright site new nosuch",)
        known("cellar")
        known("attic")
        with pytest.raises(SiteError) as caught:
            paths.site_file("nosuch")
        assert caught.value.why == "There are: attic, cellar."
        # Not about the one that was named, as other commands are: that would make a file of this name here.
        assert caught.value.do == ("choose one: homewright --site attic …", "make it: homewright site new nosuch")
    finally:
        speak_of()
    monkeypatch.setenv("HOMEWRIGHT_SITE", "nosuch")
    with pytest.raises(SiteError) as caught:
        paths.site_file()
    assert caught.value.why == "HOMEWRIGHT_SITE names it. There are: attic, cellar."
    assert "unset HOMEWRIGHT_SITE" in caught.value.do[1]
    # A file may yet be made where it is named.
    assert paths.site_file("new.yaml") == home / "here" / "new.yaml"
    assert paths.site_file("./nosuch") == home / "here" / "nosuch"


def test_other_options_stay_where_a_site_is_not_there(home: Path) -> None:
    speak_of(site="nosuch", state="/mnt/my state", stages=["/a"])
    try:
        with pytest.raises(SiteError) as caught:
            paths.site_file("nosuch")
        assert caught.value.do == ("make it: homewright --state '/mnt/my state' --stages /a site new nosuch",)
        there = "homewright --site './my site.yaml' --state '/mnt/my state' --stages /a site new NAME"
        assert paths.no_site("./my site.yaml").do == (f"make it: {there}",)
    finally:
        speak_of()
    assert paths.no_site("./site.yaml").do == ("make it: homewright --site ./site.yaml site new NAME",)


def test_a_file_that_may_not_be_looked_at_is_named_all_the_same(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why it cannot be read is said by whoever reads it."""
    long = home / ("a" * 300) / "site.yaml"
    assert paths.site_file(str(long)) == long
    assert paths.site_file("a." * 150) == home / "here" / ("a." * 150)
    monkeypatch.setenv("HOMEWRIGHT_SITE", str(long))
    assert paths.site_file() == long
    closed = home / "closed" / "site.yaml"
    closed.parent.mkdir(mode=0)
    try:
        asked = subprocess.run(
            [
                sys.executable,
                "-c",
                "import os, sys; from homewright.site import paths\n"
                "if os.getuid() == 0: os.setgroups([]), os.setgid(65534), os.setuid(65534)\n"
                "print(paths.site_file(sys.argv[1]))",
                str(closed),
            ],
            capture_output=True,
            text=True,
        )
    finally:
        closed.parent.chmod(0o700)
    assert (asked.stdout, asked.stderr) == (f"{closed}\n", "")


def test_the_state_folder_is_private(home: Path) -> None:
    state = paths.StateFolder.of("attic")
    assert state.root == home / "state" / "homewright" / "sites" / "attic"
    state.root.mkdir(parents=True, mode=0o755)
    state.create()
    assert stat.S_IMODE(state.root.stat().st_mode) == 0o700
    deep = home / "one" / "two" / ("x" * 150)
    paths.StateFolder(deep).create()
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o700 for path in (deep, deep.parent, deep.parent.parent))
    assert paths.StateFolder.of("attic", "/x/y").root == Path("/x/y")


def test_a_second_site_file_of_one_name_does_not_get_the_firsts_state(home: Path) -> None:
    first, second = home / "a" / "site.yaml", home / "b" / "site.yaml"
    for file in (first, second):
        file.parent.mkdir()
        file.write_text("version: 1\nname: attic\n")
    StateFolder.of("attic", site=first).create().create()
    theirs = StateFolder.of("attic", site=second)
    for attempt in (theirs.require_own, theirs.create):
        with pytest.raises(SiteError) as caught:
            attempt()
        assert str(first) in caught.value.why and str(second) in caught.value.why
        assert any(f"homewright --site {second} --state DIR" in step for step in caught.value.do)
    StateFolder.of("attic", str(home / "mine"), second).create()
    StateFolder.of("attic").require_own()
    link = home / "link.yaml"
    link.symlink_to(first)
    StateFolder.of("attic", site=link).require_own()

    first.rename(home / "moved.yaml")
    moved = StateFolder.of("attic", site=home / "moved.yaml")
    moved.require_own()
    moved.create()
    assert StateFolder.of("attic", site=second).owner() == home / "moved.yaml"


def test_a_folder_that_cannot_be_made_is_told(home: Path) -> None:
    (home / "file").write_text("x")
    with pytest.raises(StateError, match="cannot be written"):
        paths.StateFolder(home / "file" / "below").create()


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EROFS, "sudo mount -o remount,rw TARGET"),
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EACCES, "ls -ld"),
        (errno.EPERM, "lsattr -d"),
        (errno.ENOTSUP, "or choose another folder"),
    ],
)
def test_why_a_folder_cannot_be_written_decides_what_to_do(home: Path, number: int, said: str) -> None:
    assert said in " ".join(paths.remedies(home / "here", OSError(number, "")))


def test_where_else_to_go_on_depends_on_what_lies_there(home: Path) -> None:
    def last(folder: Path) -> str:
        return paths.remedies(folder, OSError(errno.EACCES, ""))[-1]

    site = home / "site.yaml"
    site.write_text("version: 1\nname: attic\n")
    fresh, recorded = StateFolder.of("fresh"), StateFolder.of("attic", site=site).create()
    assert "homewright --state DIR" in last(fresh.root) and "cp -a" not in last(fresh.root)
    for folder in (recorded.root, recorded.runs / "r1"):
        copied = f"mkdir -p DIR && cp -a {recorded.root}/. DIR/"
        assert last(folder) == f"or go on elsewhere: {copied}, then: homewright --state DIR …"
    assert "XDG_STATE_HOME=DIR" in last(paths.state_home() / "lab")
    assert "XDG_CACHE_HOME=DIR" in last(paths.cache_home() / "lab")
    assert "XDG_CONFIG_HOME=DIR" in last(paths.config_home() / "attic"), "where there are no answers yet"


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("project/site.yaml", "then save it again, or save it elsewhere"),
        ("config/homewright/attic/site.yaml", "or go on with a copy of it elsewhere: homewright --site FILE …"),
        ("state/homewright/practice.json", "or have it elsewhere: XDG_STATE_HOME=DIR homewright …"),
        ("cache/homewright/lab/made.json", "or have it elsewhere: XDG_CACHE_HOME=DIR homewright …"),
        ("state/homewright/sites/fresh/site-file", "or choose another folder, of your own: homewright --state DIR …"),
        ("chosen/site-file", "or choose another folder, of your own: homewright --state DIR …"),
        ("recorded/site-file", "then: homewright --state DIR …"),
        ("recorded/facts/s1.json", "then: homewright --state DIR …"),
    ],
)
def test_of_a_file_that_cannot_be_saved_only_that_is_said_which_leads_elsewhere(
    home: Path, monkeypatch: pytest.MonkeyPatch, file: str, said: str
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    StateFolder(home / "recorded", home / "site.yaml").create()
    (home / file).parent.mkdir(parents=True, exist_ok=True)
    if file.endswith("site.yaml"):
        (home / file).write_bytes(b"")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateError) as caught:
        paths.write_atomically(home / file, b"x")
    first, last = caught.value.do
    assert first.endswith(f"df -h {(home / file).parent}")
    assert last.endswith(said) and ("DIR" in last) is ("DIR" in said)


@pytest.mark.parametrize("there", [False, True])
def test_the_copy_of_a_state_folder_is_one_whether_its_place_is_there_or_not(home: Path, there: bool) -> None:
    recorded = StateFolder(home / "Ann's state", home / "site.yaml").create()
    target = home / "other disk" / "attic"
    if there:
        target.mkdir(parents=True)
    command = paths.moving(recorded.root).replace("DIR", shlex.quote(str(target)))
    subprocess.run(["sh", "-ec", command], check=True, timeout=60)
    assert paths.recorded_above(target / "runs") == target
    assert stat.S_IMODE(target.stat().st_mode) == 0o700


def test_a_save_replaces_as_a_whole_and_leaves_nothing_behind(home: Path) -> None:
    file = home / "a"
    paths.write_atomically(file, b"one")
    inode = file.stat().st_ino
    paths.write_atomically(file, b"two", mode=0o640)
    assert file.read_bytes() == b"two" and file.stat().st_ino != inode
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    with pytest.raises(StateError, match="could not be saved"):
        paths.write_atomically(home / "none" / "a", b"x")
    assert sorted(path.name for path in home.iterdir()) == ["a", "here"]


@pytest.mark.programs
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("site.yaml", "files.save(Path('site.yaml'), Site(name='attic'))"),
        ("secrets.json", "Secrets(Path('secrets.json')).set('a', 'b')"),
    ],
)
def test_data_is_on_the_disk_before_the_name_and_the_name_before_the_end(what: str, code: str, home: Path) -> None:
    trace = home / "trace"
    program = (
        "from pathlib import Path; from homewright.site import files; from homewright.site.models import Site\n"
        f"from homewright.site.secrets import Secrets\n{code}"
    )
    calls = "trace=openat,write,fsync,fdatasync,rename,renameat,renameat2"
    command = ["strace", "-f", "-y", "-e", calls, "-o", str(trace), sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "PTRACE" in result.stderr:
        pytest.skip("tracing is forbidden here")
    assert result.returncode == 0, result.stderr
    lines = trace.read_text().splitlines()

    def at(*words: str) -> int:
        return next(number for number, line in enumerate(lines) if all(word in line for word in words))

    written = at("write(", f".{what}.")
    synced = at("fsync(", f".{what}.")
    renamed = at("rename", f"{what}")
    folder = max(number for number, line in enumerate(lines) if "fsync(" in line and f"{home / 'here'}>" in line)
    assert written < synced < renamed < folder


def test_a_folder_that_everybody_shares_is_no_state_folder_and_stays_open(tmp_path: Path) -> None:
    shared = tmp_path / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(StateError, match="cannot be written") as refused:
        paths.StateFolder(shared).create()
    assert "Everybody shares it" in refused.value.why
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777

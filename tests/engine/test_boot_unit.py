"""The unit that goes on at boot, as text; and what is decided before it is written. Pure."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from homewright.engine.boot import due, unit
from homewright.engine.boot.prospect import Circumstances, judge, passed
from homewright.engine.boot.unit import BootUnit, quoted
from homewright.engine.journal.records import RunRecord
from homewright.engine.states import Action, State
from homewright.errors import StateError

PLAIN = BootUnit("ann", Path("/opt/hw/bin/python"), Path("/home/ann/site.yaml"), Path("/home/ann/state"))


@pytest.mark.parametrize(
    ("word", "setting", "command"),
    [
        ("/plain/path", '"/plain/path"', '"/plain/path"'),
        ("/with a space", '"/with a space"', '"/with a space"'),
        ("/100%", '"/100%%"', '"/100%%"'),
        ('/say "so"', r'"/say \"so\""', r'"/say \"so\""'),
        (r"/back\slash", r'"/back\\slash"', r'"/back\\slash"'),
        ("/$HOME", '"/$HOME"', '"/$$HOME"'),
        ("/größe", '"/größe"', '"/größe"'),
        ("", '""', '""'),
    ],
)
def test_a_word_is_what_it_was_to_systemd(word: str, setting: str, command: str) -> None:
    assert quoted(word) == setting
    assert quoted(word, command=True) == command


@pytest.mark.parametrize("word", ["/two\nlines", "/a\ttab", "/a\x00zero", "/not utf-8 \udcff"])
def test_what_a_unit_cannot_hold_is_refused(word: str) -> None:
    with pytest.raises(StateError, match="unit"):
        quoted(word)
    with pytest.raises(StateError):
        BootUnit("ann", Path("/usr/bin/python3"), Path("/site.yaml"), Path(word)).files()


def test_an_interpreter_with_a_dollar_is_refused() -> None:
    with pytest.raises(StateError):
        BootUnit("ann", Path("/opt/$x/python"), Path("/site.yaml"), Path("/state")).service()


def settings(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_the_service_works_as_its_owner_once_the_places_and_the_network_are_there() -> None:
    made = BootUnit(
        "ann",
        Path("/opt/hw/bin/python"),
        Path("/home/ann/a site.yaml"),
        Path("/srv/state"),
        (Path("/usr/lib/python3.11"), Path("/srv/state")),
        {"XDG_STATE_HOME": "/srv/50%", "LANG": "C.UTF-8"},
    )
    found = settings(made.service())
    assert found["User"] == ["ann"]
    assert found["RequiresMountsFor"] == ['"/srv/state" "/home/ann" "/opt/hw/bin/python" "/usr/lib/python3.11"']
    assert found["Environment"] == ['"LANG=C.UTF-8"', '"XDG_STATE_HOME=/srv/50%%"']
    words = '"/opt/hw/bin/python" "-m" "homewright.engine.boot" "--site" "/home/ann/a site.yaml" "--state" "/srv/state"'
    assert found["ExecStart"] == [words]
    assert {"network-online.target", "ssh.service", "systemd-user-sessions.service"} <= set(found["After"][0].split())
    assert found["LimitCORE"] == ["0"]
    assert found["Wants"] == ["network-online.target"]
    assert (found["Restart"], found["StartLimitBurst"]) == (["on-failure"], [str(unit.RESTARTS)])
    assert found["SuccessExitStatus"] == [str(unit.NOTHING_LEFT)]
    assert found["WantedBy"] == [unit.WANTED_BY]


def test_the_path_unit_starts_the_service_at_the_end_of_a_run_and_not_at_boot() -> None:
    found = settings(PLAIN.path())
    assert found == {
        "Description": ["The end of a run of Homewright"],
        "PathExists": ["/home/ann/state/boot-over"],
        "Unit": [f"{PLAIN.name}.service"],
    }


def test_every_site_has_a_unit_of_its_own_and_always_the_same() -> None:
    other = BootUnit("ann", PLAIN.interpreter, PLAIN.site, Path("/home/ann/state2"))
    assert PLAIN.name != other.name
    assert set(PLAIN.files()) == {f"{PLAIN.name}.service", f"{PLAIN.name}.path"}
    assert unit.name_of(PLAIN.state) == PLAIN.name


@pytest.mark.parametrize(
    ("status", "left"), [("90", set()), ("0", {"link", "service", "path"}), ("", {"link", "service", "path"})]
)
def test_the_removal_takes_everything_away_where_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, left: set[str]
) -> None:
    """The shell of the unit itself, in a folder of the test's and with a systemctl that only notes what it is asked."""
    monkeypatch.setattr(unit, "FOLDER", tmp_path)
    for place in (places := unit.places_of(PLAIN.name)):
        place.parent.mkdir(exist_ok=True)
        place.touch()
    (tmp_path / "bin").mkdir()
    asked = tmp_path / "asked"
    (tmp_path / "bin" / "systemctl").write_text(f'#!/bin/sh\necho "$@" >>{shlex.quote(str(asked))}\n')
    (tmp_path / "bin" / "systemctl").chmod(0o755)
    environment = {"EXIT_STATUS": status, "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    done = subprocess.run(["/bin/sh", "-c", PLAIN.removal()], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert {name for name, place in zip(("link", "service", "path"), places, strict=True) if place.exists()} == left
    words = [] if left else [f"--no-block stop {PLAIN.name}.path", "--no-block daemon-reload"]
    assert (asked.read_text().splitlines() if asked.exists() else []) == words


GOOD = Circumstances(systemd=True)


@pytest.mark.parametrize(
    ("seen", "resumes", "said"),
    [
        (GOOD, True, "/state (for you alone)"),
        (Circumstances(systemd=False), False, "systemd does not manage"),
        (Circumstances(systemd=True, wanted=False), False, "HOMEWRIGHT_AT_BOOT"),
        (Circumstances(systemd=True, practice=True), False, "lab up"),
        (Circumstances(systemd=True, root="none"), False, "takes root"),
        (Circumstances(systemd=True, root="password"), False, "sudo -v"),
        (Circumstances(systemd=True, root="password", asks=True), True, "ask for your password"),
        (Circumstances(systemd=True, kinds={"/state": "tmpfs"}), False, "/state lies in memory"),
        (Circumstances(systemd=True, insisted=True, kinds={"/state": "tmpfs"}), True, "a systemd unit does it"),
        (Circumstances(systemd=True, kinds={"/state": "ecryptfs"}), True, "once /state is unlocked"),
        (Circumstances(systemd=True, kinds={"/state": "ext4", "/code": "btrfs"}), True, "a systemd unit does it"),
    ],
)
def test_whether_it_resumes_at_boot_is_said_with_the_reason(seen: Circumstances, resumes: bool, said: str) -> None:
    found = judge(seen, Path("/state"))
    assert found.resumes is resumes
    assert said in found.why
    assert found.sentence().startswith("Goes on by itself at boot: " if resumes else "No resume at boot: ")


def test_what_ends_with_a_login_is_not_handed_on() -> None:
    outer = {
        "PATH": "/bin",
        "LANG": "C",
        "LC_TIME": "C",
        "XDG_STATE_HOME": "/x",
        "HOMEWRIGHT_SITE": "a",
        "XDG_RUNTIME_DIR": "/run/user/1000",
        "XDG_SESSION_ID": "3",
        "SSH_AUTH_SOCK": "/tmp/agent",
        "TMPDIR": "/tmp/of-the-session",
        "HOME": "/home/ann",
        "HOMEWRIGHT_RUNNER": "mark",
        "AWS_SECRET_ACCESS_KEY": "s",
    }
    assert set(passed(outer)) == {"PATH", "LANG", "LC_TIME", "XDG_STATE_HOME", "HOMEWRIGHT_SITE"}


def record(state: State, action: Action = Action.RUN, reason: str = "") -> RunRecord:
    return RunRecord("r1", action, state, 0.0, reason=reason)


@pytest.mark.parametrize(
    ("latest", "go", "keep"),
    [
        (None, False, False),
        (record(State.INTERRUPTED), True, True),
        (record(State.INTERRUPTED, Action.ROLLBACK), True, True),
        (record(State.INTERRUPTED, Action.VERIFY), False, False),
        (record(State.INTERRUPTED, reason="Paused before 00/20 SSH keys."), False, True),
        (record(State.RUNNING), False, True),
        (record(State.FAILED), False, False),
        (record(State.CANCELLED), False, False),
        (record(State.INCOMPLETE), False, False),
        (record(State.SUCCEEDED), False, False),
        (record(State.ROLLED_BACK), False, False),
    ],
)
def test_what_is_gone_on_with_at_boot(latest: RunRecord | None, go: bool, keep: bool) -> None:
    found = due.look(latest)
    assert (found.go, found.keep) == (go, keep)
    assert found.why
    held = due.look(latest, held=True)
    assert (held.go, held.keep) == (False, keep), "a look lets nothing go on by itself"
    paused = due.look(latest, paused=True)
    assert (paused.go, paused.keep) == (False, keep), "nor does a pause that had not come yet"

"""Site exports: what they carry, that nothing else opens them, and what an import refuses. No server answers here."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import stat
import tarfile
import time
from pathlib import Path

import pyrage
import pytest

from homewright.access import engine_key, key_change
from homewright.cli import main
from homewright.engine import succession
from homewright.engine.journal import Reader
from homewright.engine.journal.writer import Writer
from homewright.engine.succession import Standing, in_the_way
from homewright.errors import Busy, HomewrightError, SiteError, StateError, Unreachable, UsageError
from homewright.site.authority import Authority
from homewright.site.paths import StateFolder
from homewright.site.secrets import Secrets
from homewright.takeover import reminding, sealing
from homewright.takeover.contents import ABOUT, JOURNAL, SITE, Contents, carried, safe
from homewright.takeover.opening import Opened, read, take_over, whole
from homewright.takeover.packing import export, packed

from .age_file import sealed

PHRASE = "correct horse battery staple"
CANARY = "canary-Zq7-secret"
ANSWERS = "version: 1\nname: attic\nservers:\n  - {name: s1, address: 127.0.0.1, user: ann, port: 1}  # the tall one\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    file = tmp_path / "old" / "site.yaml"
    file.parent.mkdir()
    file.write_text(ANSWERS)
    return file


@pytest.fixture
def state(tmp_path: Path, site: Path) -> StateFolder:
    """A state folder as it is after a run that was cut off."""
    made = StateFolder(tmp_path / "state", site).create()
    engine_key.ensure(made.key, "homewright attic")
    Authority.of(made.authority, "attic")
    Secrets(made.secrets).set("administrator/password", CANARY)
    made.known_hosts.write_text("[127.0.0.1]:1 ssh-ed25519 AAAA\n")
    writer = Writer(made, "r1")
    rows = [writer.add_run(action="run", state="interrupted", created=1.0), writer.set_meta("controller", "old-one")]
    writer.change(*rows, writer.set_fence("s1", 7, None), writer.keep_capture("00/10", "s1", {"hosts": "before"}))
    writer.change(writer.set_meta("viewers", "{}"))
    writer.close()
    run = made.run("r1")
    (run / "request.json").write_text("{}")
    (run / "engine.log").write_text("noise")
    (run / "catalogue" / "0").mkdir(parents=True)
    (run / "catalogue" / "0" / "stage.yaml").write_text("id: 00\n")
    return made


@pytest.fixture
def opened(site: Path, state: StateFolder, tmp_path: Path) -> Opened:
    """An export of it, without the second that encryption takes on purpose."""
    return whole(packed(site, state)[1], tmp_path / "attic.age")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that nobody reaches."""
    away = Unreachable("s1 does not answer.")
    monkeypatch.setattr(succession, "look", lambda site, state: {"s1": Standing(error=away)})
    monkeypatch.setattr(succession, "take_over", lambda *_: {"s1": away})


def elsewhere(tmp_path: Path) -> tuple[Path, StateFolder]:
    return tmp_path / "new" / "site.yaml", StateFolder(tmp_path / "there" / "attic")


@pytest.mark.parametrize(
    ("name", "goes"),
    [
        ("secrets.json", True),
        ("id_ed25519", True),
        ("id_ed25519.before", True),
        ("id_ed25519.before.1763764000000000000", True),
        ("key-change.json", True),
        ("ca/ca.key", True),
        ("known_hosts", True),
        ("plans/applied.json", True),
        ("receipts/of-somebody.json", True),
        ("ballast", False),
        ("engine.lock", False),
        ("engine.sock", False),
        ("site-file", False),
        ("export.json", False),
        ("ca/ca.lock", False),
        (".id_ed25519.lock", False),
        ("runs/r1/request.json", True),
        ("runs/r0/request.json", True),
        ("runs/r1/catalogue/0/00/stage.yaml", True),
        ("runs/r0/catalogue/0/00/stage.yaml", False),
        ("runs/r1/catalogue/0/__pycache__/x.pyc", False),
        ("runs/r1/events.db", False),
        ("runs/r1/engine.log", False),
        ("runs/r1", False),
    ],
)
def test_what_is_carried(name: str, goes: bool) -> None:
    assert carried(name, "r1") is goes


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("about.json", True),
        ("site.yaml", True),
        ("state/ca/ca.key", True),
        ("state", False),
        ("other", False),
        ("/etc/passwd", False),
        ("state/../../x", False),
        ("../state/x", False),
        ("state/a\\b", False),
    ],
)
def test_no_member_leaves_its_folder(name: str, inside: bool) -> None:
    assert safe(name) is inside


@pytest.mark.parametrize(
    ("phrase", "said"),
    [("short", "12 characters"), ("aaaaaaaaaaaaaaaa", "different"), (" correct horse battery", "blank"), (PHRASE, "")],
)
def test_passphrases_are_judged(phrase: str, said: str) -> None:
    assert said in sealing.reason(phrase)
    assert bool(said) == bool(sealing.reason(phrase))


def test_an_export_is_private_opens_with_age_and_is_written_over_nothing(
    site: Path, state: StateFolder, tmp_path: Path
) -> None:
    target = tmp_path / "attic.age"
    assert "No site export" in reminding.due(state)
    export(site, state, target, PHRASE)
    assert reminding.due(state) == ""
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    data = target.read_bytes()
    for secret in (CANARY.encode(), state.key.read_bytes()[:60], b"attic", b"127.0.0.1"):
        assert secret not in data
    with tarfile.open(fileobj=io.BytesIO(pyrage.passphrase.decrypt(data, PHRASE))) as archive:
        names = set(archive.getnames())
    assert {ABOUT, SITE, JOURNAL, "state/id_ed25519", "state/ca/ca.key", "state/secrets.json"} <= names
    assert {"state/runs/r1/request.json", "state/runs/r1/catalogue/0/stage.yaml"} <= names
    assert not {name for name in names if "lock" in name or "ballast" in name or name.endswith((".log", "events.db"))}
    with pytest.raises(StateError, match="there already"):
        export(site, state, target, PHRASE)
    assert target.read_bytes() == data


def test_another_passphrase_and_a_damaged_export_are_told_apart(site: Path, state: StateFolder, tmp_path: Path) -> None:
    """Of an age file that another program wrote: what a guess costs is its writer's choice."""
    target = tmp_path / "attic.age"
    data = sealed(packed(site, state)[1], PHRASE)
    target.write_bytes(data)
    assert read(target, PHRASE).site.name == "attic"
    with pytest.raises(sealing.WrongPassphrase, match="another one"):
        read(target, "another passphrase")
    target.write_bytes(data[:-40])
    with pytest.raises(StateError, match="damaged"):
        read(target, PHRASE)


def test_an_export_that_costs_more_than_this_machine_allows_is_not_called_damaged() -> None:
    beginning, made, rest = sealed(b"all of it", PHRASE).split(b"\n", 2)
    costly = b"\n".join([beginning, made.rpartition(b" ")[0] + b" 40", rest])
    with pytest.raises(StateError, match="cannot be opened on this machine now") as caught:
        sealing.unseal(costly, PHRASE, "attic.age")
    assert "too busy, or too slow" in caught.value.why
    assert caught.value.do == ("try again when the machine is idle", "or open it on a faster machine")


def test_what_was_too_costly_for_a_moment_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    data, decrypt = sealed(b"all of it", PHRASE), pyrage.passphrase.decrypt
    busy = ["Excessive work parameter for passphrase."] * (sealing.TRIES - 1)

    def opened(data: bytes, passphrase: str) -> bytes:
        if busy:
            raise pyrage.DecryptError(busy.pop())
        return bytes(decrypt(data, passphrase))

    monkeypatch.setattr(pyrage.passphrase, "decrypt", opened)
    assert sealing.unseal(data, PHRASE, "attic.age") == b"all of it"
    assert not busy


@pytest.mark.parametrize(
    ("made", "taken"),
    [((18,), 18), ((14, 19), 19), ((14, 16, 15, 13), 16)],
    ids=["at once", "busy for a moment", "slow all the time"],
)
def test_an_export_that_is_cheap_to_guess_is_sealed_again(
    monkeypatch: pytest.MonkeyPatch, made: tuple[int, ...], taken: int
) -> None:
    costs = iter(made)
    monkeypatch.setattr(
        pyrage.passphrase,
        "encrypt",
        lambda *_: b"age-encryption.org/v1\n-> scrypt c2FsdA %d\nbody\n--- mac\n" % next(costs),
    )
    assert sealing.work(sealing.seal(b"all of it", PHRASE)) == taken
    assert next(costs, None) is None


def test_what_is_no_export_or_cannot_become_one_is_said(site: Path, state: StateFolder, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="will not do"):
        export(site, state, tmp_path / "x.age", "short")
    assert not (tmp_path / "x.age").exists()
    bare = StateFolder(tmp_path / "bare").create()
    with pytest.raises(StateError, match="nothing to export"):
        export(site, bare, tmp_path / "x.age", PHRASE)
    (tmp_path / "x.age").write_bytes(b"hello")
    with pytest.raises(StateError, match="is no site export"):
        read(tmp_path / "x.age", PHRASE)
    with pytest.raises(StateError, match="cannot be read"):
        read(tmp_path / "none.age", PHRASE)


def test_it_is_taken_over_elsewhere_with_another_controller(opened: Opened, state: StateFolder, tmp_path: Path) -> None:
    file, there = elsewhere(tmp_path)
    assert (opened.site.name, opened.contents.run, opened.contents.run_state) == ("attic", "r1", "interrupted")
    taken = take_over(opened, file, there)
    assert (taken.fenced, list(taken.not_fenced)) == ((), ["s1"])
    assert file.read_text() == ANSWERS
    assert stat.S_IMODE(there.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(there.key.stat().st_mode) == stat.S_IMODE(there.secrets.stat().st_mode) == 0o600
    assert key_change.before(there.key).read_bytes() == state.key.read_bytes() != there.key.read_bytes()
    assert taken.old_key == key_change.owed(there.key) == ("s1",), "a server that was away takes it when it is met"
    assert Secrets(there.secrets).get("administrator/password") == CANARY
    assert Authority.of(there.authority).fingerprint == Authority.of(state.authority).fingerprint
    reader = Reader(there)
    assert reader.run().state == "interrupted"
    assert reader.captures("00/10") == {"s1": {"hosts": "before"}}
    assert reader.meta("controller") not in (None, "old-one")
    assert json.loads(reader.meta("retired") or "") == ["old-one"]
    assert reader.meta("viewers") is None
    assert StateFolder(there.root, file).owner() is None
    assert "keys have changed" in reminding.due(there), "the export opens nothing any more"


def test_a_server_that_leaves_is_taken_over_too(
    site: Path, state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.write_text(
        f"{ANSWERS}leaving:\n"
        "  - {name: s2, address: 127.0.0.1, user: ann, port: 2}\n"
        "  - {name: s3, address: 127.0.0.1, user: ann, port: 3, lost: true}\n"
    )
    file, there = elsewhere(tmp_path)
    monkeypatch.undo()  # nobody listens on these ports
    taken = take_over(whole(packed(site, state)[1], tmp_path / "attic.age"), file, there)
    assert taken.old_key == ("s1", "s2"), "a lost one never comes back"
    assert list(taken.not_fenced) == ["s1", "s2"]


def test_a_second_take_over_keeps_the_key_of_who_was_away_during_the_first(
    opened: Opened, state: StateFolder, tmp_path: Path
) -> None:
    file, there = elsewhere(tmp_path)
    take_over(opened, file, there)
    third = StateFolder(tmp_path / "third" / "attic")
    take_over(whole(packed(file, there)[1], tmp_path / "second.age"), tmp_path / "third.yaml", third)
    olds = key_change.olds(third.key)
    assert [one.read_bytes() for one in olds] == [there.key.read_bytes(), state.key.read_bytes()]
    assert {stat.S_IMODE(one.stat().st_mode) for one in olds} == {0o600}
    assert not list(there.root.parent.glob(".import-*"))


def test_an_import_writes_over_nothing(opened: Opened, site: Path, state: StateFolder, tmp_path: Path) -> None:
    file, there = elsewhere(tmp_path)
    file.parent.mkdir()
    file.write_text("version: 1\nname: attic\n")
    with pytest.raises(SiteError, match="already holds a site"):
        take_over(opened, file, there)
    assert not there.root.exists()
    with pytest.raises(StateError, match="is not empty"):
        take_over(opened, site, state)
    file.write_text(ANSWERS)  # the power failed between the answers and the rest: it goes on from there
    assert take_over(opened, file, there).file == file


def test_an_old_controller_that_may_live_is_said_and_can_be_declared_gone(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {"controller": "old-one", "fence": 7, "host": "tower", "run": "r1", "since": 0, "released": False}
    monkeypatch.setattr(succession, "look", lambda site, state: {"s1": Standing(held)})
    file, there = elsewhere(tmp_path)
    with pytest.raises(Busy, match="may be at work") as caught:
        take_over(opened, file, there)
    assert "s1: tower, run r1 has it since" in caught.value.why
    assert "--old-is-gone" in caught.value.do[-1]
    assert not file.exists() and not there.root.exists()
    assert take_over(opened, file, there, gone=True).state == there


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        (Standing(None), 0),
        (Standing({"released": True}), 0),
        (Standing({"released": False, "host": "tower"}), 1),
        (Standing({"released": True}, ("12 apt-get",)), 1),
        (Standing(error=HomewrightError("no answer")), 0),
    ],
)
def test_what_speaks_for_a_living_controller(standing: Standing, said: int) -> None:
    assert len(in_the_way({"s1": standing})) == said


def remade(opened: Opened, change: str, data: bytes) -> bytes:
    """The same export with one member put in or changed."""
    members = {ABOUT: opened.contents.model_dump_json().encode(), **opened.members, change: data}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("state/secrets.json", b"{}", "is not what was put there"),
        ("state/more.json", b"{}", "is not named in it"),
        ("state/../escape", b"", "does not belong"),
        (ABOUT, b"{}", "is not understood"),
        (ABOUT, b'{"version": 2, "site": "attic"}', "newer Homewright"),
    ],
)
def test_what_was_changed_in_it_is_noticed(opened: Opened, name: str, data: bytes, said: str) -> None:
    with pytest.raises(StateError) as caught:
        whole(remade(opened, name, data), opened.file)
    assert said in caught.value.why


def test_the_program_reminds_again_after_secrets_or_keys_change(state: StateFolder, tmp_path: Path) -> None:
    assert reminding.due(StateFolder(tmp_path / "none")) == ""
    reminding.made(state, tmp_path / "attic.age", time.time())
    assert reminding.due(state) == ""
    Secrets(state.secrets).set("workspace/ann@s1/password", "another secret")
    assert f"since the site export of {time.strftime('%Y-%m-%d')}" in reminding.due(state)
    reminding.made(state, tmp_path / "again.age", time.time())
    assert reminding.due(state) == ""
    state.known_hosts.write_text("")
    assert reminding.due(state)


def test_the_journal_in_it_is_one_moment(state: StateFolder, site: Path, tmp_path: Path) -> None:
    writer = Writer(state, "r2")  # an engine that is writing
    writer.change(writer.add_run(action="run", state="running", created=2.0))
    found = whole(packed(site, state)[1], tmp_path / "now.age")
    writer.close()
    copy = tmp_path / "journal.db"
    copy.write_bytes(found.members[JOURNAL])
    connection = sqlite3.connect(copy)
    assert [row[0] for row in connection.execute("SELECT id FROM runs ORDER BY rowid")] == ["r1", "r2"]
    connection.close()


def run_main(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(list(words))
    told = capsys.readouterr()
    return code, told.out, told.err


def test_both_commands_take_the_passphrase_from_a_file_or_a_descriptor(
    site: Path, state: StateFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "states"))
    phrase = tmp_path / "phrase"
    phrase.write_text(f"{PHRASE}\n")
    phrase.chmod(0o644)
    target = tmp_path / "attic.age"
    words = ["--site", str(site), "--state", str(state.root), "site", "export", "--encrypt", str(target)]
    code, _, err = run_main(capsys, *words, "--passphrase-file", str(phrase))
    assert code == 2 and "Others can read" in err
    phrase.chmod(0o600)
    code, out, _ = run_main(capsys, *words, "--passphrase-file", str(phrase), "--json")
    assert code == 0
    assert Contents.model_validate_json(out).file == str(target)
    code, _, err = run_main(capsys, *words)
    assert code == 2 and "no terminal" in err
    reading, writing = os.pipe()
    os.write(writing, f"{PHRASE}\n".encode())
    os.close(writing)
    code, out, err = run_main(capsys, "site", "import", str(target), "--passphrase-fd", str(reading), "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["file"] == str(tmp_path / "config" / "homewright" / "attic" / "site.yaml")
    assert (found["fenced"], list(found["not_fenced"])) == ([], ["s1"])
    assert CANARY not in out + err


def test_status_names_the_servers_that_may_still_let_the_old_controller_in(
    site: Path, state: StateFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    key_change.begin(state.key, ["s1", "s2"], "x")
    key_change.done(state.key, "s1")
    words = ["--site", str(site), "--state", str(state.root), "status"]
    assert main(words) == 0
    assert "May still let the old controller's key in, until next reached: s2" in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["old_key"] == ["s2"]
    key_change.done(state.key, "s2")
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["old_key"] == []
    record = state.key.with_name(key_change.RECORD)
    record.write_text("half")
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "Run r1" in told and f"{record} cannot be read." in told and f"rm {record}" in told
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["old_key"] == []

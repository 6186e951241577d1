"""Support bundles: what is in one, what never is, that it replays, and what others may hand us in place of one."""

from __future__ import annotations

import base64
import io
import json
import sqlite3
import tarfile
import time
from pathlib import Path

import pytest

from homewright.discovery.bundle import RawBundle, Source
from homewright.discovery.gathering import remember
from homewright.discovery.parsing import parse
from homewright.engine.events import Event, Kind
from homewright.engine.journal import Reader, receipts
from homewright.engine.journal.writer import Writer
from homewright.engine.states import State
from homewright.errors import UsageError
from homewright.rehearsal import opened
from homewright.site import files
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder, write_atomically
from homewright.site.secrets import Secrets
from homewright.support import pack, unpack
from homewright.support.contents import ROOT, Contents

CANARY = "kanarie-7f3a-geheim"
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\n-----END OPENSSH PRIVATE KEY-----\n"
RUN = "20260102-115800-c0de"


@pytest.fixture
def site_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for place in ("STATE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{place}_HOME", str(tmp_path / place.lower()))
    file = tmp_path / "site.yaml"
    files.save(file, Site(name="attic", servers=(Server(name="s1", address="192.0.2.11", user="ann"),)))
    return file


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    """A run that failed, written while nobody knew yet that one of its words is a secret."""
    state = StateFolder(tmp_path / "recorded").create()
    write_atomically(state.key, KEY.encode())
    writer = Writer(state, RUN)
    writer.transition(
        Event(Kind.RUN_STARTED, "Run started."),
        writer.add_run(action="run", state="running", created=1.0, started=1.0),
        writer.add_step("00/10", "", stage="00", title="Names", runner="pyinfra", position=0, state="running"),
        writer.add_step("00/10", "s1", stage="00", title="Names", runner="pyinfra", position=0, state="running"),
        writer.keep_capture("00/10", "s1", {"/etc/hosts": "a file of theirs"}),
        receipts.found(RUN, "00/10", "s1", {"file": {"/etc/hosts": "link to nowhere"}}),
        receipts.left("00/10", "s1", {"file": {"/etc/hosts": f"link to {CANARY}"}}, []),
    )
    writer.line(Event(Kind.LINE, f"the password is {CANARY}", step="00/10", host="s1"))
    writer.line(Event(Kind.LINE, base64.b64encode(f"u:{CANARY}".encode()).decode(), step="00/10", host="s1"))
    for number in range(50):
        writer.line(Event(Kind.LINE, f"line {number}", step="00/10", host="s1", data={"said": CANARY}))
    writer.transition(
        Event(Kind.STEP_FINISHED, "00/10 Names: failed.", step="00/10"),
        writer.set_step("00/10", "", state="failed", finished=2.0, reason=f"it would not take {CANARY}"),
        writer.set_run(state="failed", finished=2.0),
    )
    writer.close()
    (state.run(RUN) / "request.json").write_text(json.dumps({"action": "apply", "version": 1}))
    (state.run(RUN) / "engine.log").write_text(f"Traceback: {CANARY}\n{KEY}")
    folder = state.run(RUN) / "catalogue" / "0" / "00_setup"
    folder.mkdir(parents=True)
    (folder / "10_names.py").write_text("print('hello')\n")
    bundle = RawBundle(
        host="s1", gathered_at=time.time(), sources={"uname-a": Source(stdout=f"Linux s1 6.8 {CANARY}\n", exit_code=0)}
    )
    remember(state, parse(bundle))
    state.machines.mkdir()
    (state.machines / "s1.json").write_text(bundle.model_dump_json())
    Secrets(state.secrets).set("workspace/x/password", CANARY)
    return state


@pytest.fixture
def made(site_file: Path, state: StateFolder, tmp_path: Path) -> Contents:
    return pack(site_file, "attic", state, tmp_path / "bundle.tar.gz")


def everything(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def test_no_secret_is_in_it_in_any_form(made: Contents) -> None:
    file = Path(made.file)
    assert file.stat().st_mode & 0o777 == 0o600
    encoded = base64.b64encode(f"u:{CANARY}".encode()).decode()
    forms = (CANARY, encoded[4:-4], KEY.splitlines()[1], "a file of theirs")
    for name, data in everything(file).items():
        for form in forms:
            assert form.encode() not in data, f"{form} is in {name}"
    assert not [name for name in made.members if "secret" in name or "id_ed25519" in name or "known_hosts" in name]
    assert not list(file.parent.glob(".bundle*")), "nothing is left beside it"


def test_it_says_what_it_contains(made: Contents) -> None:
    assert made.runs == (RUN,)
    wanted = {"site.yaml", "state/journal.db", "state/facts/s1.json", "state/machines/s1.json"}
    wanted |= {f"state/runs/{RUN}/{name}" for name in ("events.db", "request.json", "engine.log")}
    assert wanted <= set(made.members)
    text = everything(Path(made.file))[f"{ROOT}/README.txt"].decode()
    assert "homewright --rehearse" in text and "private keys" in text


def test_it_replays_the_run_as_it_was_seen(made: Contents, state: StateFolder) -> None:
    seen = Reader(state).events(RUN, limit=1000)
    with opened(made.file, anew=False) as here:
        assert files.load(here.site_file).name == "attic"
        reader = Reader(here.state)
        assert reader.run().state is State.FAILED
        again = reader.events(RUN, limit=1000)
        assert [(e.seq, e.ts, e.kind) for e in again] == [(e.seq, e.ts, e.kind) for e in seen]
        assert [e.text for e in again if e.text.startswith("line")] == [f"line {number}" for number in range(50)]
        assert reader.steps(RUN)[0].reason == "it would not take ***"
        assert reader.captures("00/10") == {}
        receipt = reader.receipts("00/10")[0]
        assert receipt.after == {"file": {"/etc/hosts": "link to ***"}}, "receipts are in it, without secrets"


def test_a_bundle_is_made_while_a_run_is_being_written(site_file: Path, state: StateFolder, tmp_path: Path) -> None:
    writer = Writer(state, RUN)
    try:
        writer.line(Event(Kind.LINE, "still at work"))
        writer.flush()
        made = pack(site_file, "attic", state, tmp_path / "running.tar.gz")
        writer.transition(Event(Kind.LINE, "and it goes on"))
    finally:
        writer.close()
    unpack(Path(made.file), tmp_path / "out")
    with sqlite3.connect(tmp_path / "out" / "state" / "runs" / RUN / "events.db") as events:
        assert events.execute("SELECT text FROM events ORDER BY seq DESC LIMIT 1").fetchone()[0] == "still at work"
    events.close()


def member(
    name: str, data: bytes = b"{}", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data)
    return info, data


@pytest.mark.parametrize(
    "foreign",
    [
        member("/etc/passwd"),
        member(f"{ROOT}/../../outside.json"),
        member(f"{ROOT}/state/runs/x/catalogue/../../../../../../outside"),
        member(f"{ROOT}/state/secrets.json"),
        member(f"{ROOT}/state/facts/a.json", b"", tarfile.SYMTYPE, "/etc/passwd"),
        member(f"{ROOT}/state/facts/a.json", b"", tarfile.LNKTYPE, "/etc/passwd"),
        member(f"{ROOT}/state/facts", b"", tarfile.DIRTYPE),
        member("something-else/site.yaml"),
    ],
    ids=lambda pair: f"{pair[0].name} {pair[0].type!r}",
)
def test_what_no_bundle_of_ours_has_is_refused(foreign: tuple[tarfile.TarInfo, bytes], tmp_path: Path) -> None:
    file = tmp_path / "foreign.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        for info, data in (member(f"{ROOT}/about.json"), foreign):
            archive.addfile(info, io.BytesIO(data))
    with pytest.raises(UsageError, match="is no support bundle"):
        unpack(file, tmp_path / "deep" / "er" / "out")
    assert not (tmp_path / "outside.json").exists()


@pytest.mark.parametrize("cut", [0, 10, 600, -40, -8, -1])
def test_a_file_that_is_cut_or_none_is_told_so(made: Contents, tmp_path: Path, cut: int) -> None:
    file = tmp_path / "cut.tar.gz"
    file.write_bytes(Path(made.file).read_bytes()[:cut])
    with pytest.raises(UsageError, match="is no support bundle"):
        unpack(file, tmp_path / "out")


def test_a_place_that_cannot_be_written_is_named(site_file: Path, state: StateFolder) -> None:
    from homewright.errors import StateError

    with pytest.raises(StateError, match="could not be made"):
        pack(site_file, "attic", state, Path("/proc/bundle.tar.gz"))

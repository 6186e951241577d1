"""Whole commands on a disk that takes nothing any more: what only reads works, and all else says why it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from homewright.access import engine_key
from homewright.catalogue.loading import load, shipped
from homewright.engine.events import Event, Kind
from homewright.engine.journal.writer import Writer
from homewright.engine.launch import RunRequest
from homewright.site import files
from homewright.site.authority import Authority
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder, write_atomically

pytestmark = [pytest.mark.programs, pytest.mark.skipif(os.getuid() != 0, reason="a mount of its own needs root")]

RUN = "20260102-115800-c0de"
ANSWERED = {
    "": 0,
    "status": 0,
    "status --json": 0,
    "attach": 1,  # the run that it shows has failed
    "receipts": 0,
    "plan": 0,
    "site show": 0,
    "authority": 0,
    "site export --encrypt {here}/export --passphrase-file {here}/passphrase": 0,
    "support-bundle {here}/bundle.tgz": 0,
    "workspace list": 5,  # its server does not answer
    "lab status": 0,
}
"""Commands that only read, or write elsewhere, with their exit code."""
REFUSED = (
    "apply --yes --json",
    "resume --yes",
    "retry --yes",
    "rollback --all --yes",
    "verify",
    "check",
    "discover",
    "trust --all",
    "workspace create alice",
    "workspace stop alice",
)
LAB = ("lab up --yes", "lab down")
DRIVER = """
import contextlib, io, json, sys
from homewright.cli import main
from homewright.takeover import sealing
sealing.seal = lambda data, passphrase: data  # a second of scrypt, which tests/takeover pay already
said = {}
for words in json.loads(sys.argv[1]):
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        code = main(words.split())
    for stream in streams:
        stream.flush()
    said[words] = [code, *(stream.buffer.getvalue().decode() for stream in streams)]
print(json.dumps(said))
"""


def test_every_command_answers_or_says_why_it_does_not(tmp_path: Path, environment: dict[str, str]) -> None:
    state = StateFolder(Path(environment["XDG_STATE_HOME"]) / "homewright" / "sites" / "attic")
    recorded(Path(environment["XDG_CONFIG_HOME"]) / "homewright" / "attic" / "site.yaml", state)
    write_atomically(tmp_path / "passphrase", b"a long one that nobody guesses\n")
    words = [command.replace("{here}", str(tmp_path)) for command in (*ANSWERED, *REFUSED, *LAB)]
    home = environment["XDG_STATE_HOME"]
    done = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-c"),
            'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"',
            *(home, sys.executable, "-c", DRIVER, json.dumps(words)),
        ],
        capture_output=True, text=True, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = dict(zip((*ANSWERED, *REFUSED, *LAB), json.loads(done.stdout).values(), strict=True))
    assert {command: said[command][0] for command in ANSWERED} == ANSWERED, said
    for command in (*REFUSED, *LAB):
        code, out, errors = said[command]
        assert code == 1, (command, out, errors)
        both = out + errors
        assert "Read-only file system" in both and "findmnt -T" in both, (command, both)
        assert ("XDG_STATE_HOME=DIR" if command in LAB else f"cp -a {state.root}/. DIR/") in both, (command, both)
        assert not any(word in both for word in ("Traceback", "defect of Homewright")), (command, both)
    assert json.loads(said["apply --yes --json"][1])["error"]["code"] == "state"
    assert "from the journal" in said["attach"][1]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["bundle.tgz", "export", "passphrase"]


def recorded(file: Path, state: StateFolder) -> None:
    """A site with one server, trusted once, whose only run has failed."""
    files.save(file, Site(name="attic", servers=(Server(name="s1", address="127.0.0.1", port=1, user="ann"),)))
    StateFolder(state.root, file).create()
    engine_key.ensure(state.key, "homewright@attic")
    write_atomically(state.known_hosts, b"")
    Authority.of(state.authority, "attic")
    writer = Writer(state, RUN)
    writer.transition(
        Event(Kind.LINE, "from the journal"), writer.add_run(action="run", state="failed", created=time.time())
    )
    writer.close()
    write_atomically(state.run(RUN) / "request.json", json.dumps(asdict(RunRequest("apply"))).encode())
    load([shipped()]).copy(state.run(RUN) / "catalogue")

"""What a site's unit starts at boot: ``python -m homewright.engine.boot --site FILE --state DIR``.

Waits until site and state can be read, looks whether a run was cut off, and is then that run's engine. Its exit code
tells systemd whether the unit may go (`unit.NOTHING_LEFT`).
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from pathlib import Path

from homewright.engine import launch, lock
from homewright.engine.boot import due, notice, unit
from homewright.engine.journal import Reader
from homewright.errors import HomewrightError
from homewright.site.paths import StateFolder

PAUSES_S = (1.0, 2.0, 5.0, 10.0)
"""Between looks whether a place is there; the last one for ever after. An encrypted home may be opened days later."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="homewright.engine.boot")
    parser.add_argument("--site", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    args = parser.parse_args()
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # its memory has secrets, and so has its runners'
    state = StateFolder(args.state, args.site)
    try:
        _wait(state, args.site)
        return go_on(args.site, state)
    except HomewrightError as error:
        print(error.as_text(), file=sys.stderr)
        notice.say(f"{error.what} {error.why}")
        return error.exit_code


def _wait(state: StateFolder, site_file: Path) -> None:
    looks = 0
    while missing := [str(place) for place in (state.journal, site_file) if not os.access(place, os.R_OK)]:
        notice.say(f"It waits for {' and '.join(missing)}: not there yet, or not to be read.")
        time.sleep(PAUSES_S[min(looks, len(PAUSES_S) - 1)])
        looks += 1


def go_on(site_file: Path, state: StateFolder) -> int:
    """The exit code for systemd. Raises what keeps the run's engine from starting."""
    over = state.root / unit.OVER
    over.unlink(missing_ok=True)
    held = lock.holder(state)
    if held is not None and not held.finishing:
        return 0  # somebody else's engine: at its end systemd starts us once more
    reader = Reader(state)
    latest = next(iter(reader.runs(1)), None)
    looked, paused = (latest is not None and reader.meta(key) == latest.id for key in ("held", "paused"))
    found = due.look(latest, held=looked, paused=paused)
    if latest is None or not found.keep:
        return unit.NOTHING_LEFT
    if not found.go:
        notice.say(found.why)
        return 0
    notice.say(f"It goes on with run {latest.id}.")
    _engine(site_file, state, latest.id)
    over.unlink(missing_ok=True)
    return 0 if due.look(Reader(state).run(latest.id)).keep else unit.NOTHING_LEFT


def _engine(site_file: Path, state: StateFolder, run: str) -> None:
    """This process is the run's engine, until it has ended."""
    from homewright.engine.process import Engine

    with launch.alone(state.run(run)):
        before = launch.RunRequest.read(state.run(run))
        tried = {row.step: row.attempt for row in Reader(state).steps(run) if not row.host}
        # What the engine that was cut off had not come to yet of what it was asked is still wanted.
        anew = [step for step in before.anew if tried.get(step, 0) < before.attempt]
        launch.ask_again(state, run, anew=anew, new_machines=before.new_machines)
    folder = state.run(run)
    (folder / "engine.pid").write_text(str(os.getpid()))
    log = os.open(folder / "engine.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    os.close(log)
    Engine(site_file, state, run, at_boot=True).live()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads of a connection that hangs must not keep it alive

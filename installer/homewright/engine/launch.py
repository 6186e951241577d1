"""Starts an engine that outlives the terminal, the screens and the login, and waits until it holds the site.

Where systemd manages this machine the engine is a transient unit, out of reach of a dying session; elsewhere it is a
process of its own session, adopted by init. No pydantic here: the screens start runs from their first second.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from homewright import errors
from homewright.engine import lock
from homewright.engine.boot import prospect
from homewright.engine.states import Action
from homewright.errors import HomewrightError, StateError, UsageError
from homewright.site.paths import StateFolder, make_folder, remedies, write_atomically

ACTIONS = {"apply": Action.RUN, "verify": Action.VERIFY, "rollback": Action.ROLLBACK}
START_LIMIT_S = 60.0
"""How long an engine may take to hold the site; it takes half a second on an idle machine."""
MARK = "HOMEWRIGHT_RUNNER"
"""Environment variable that names an engine's run in everything that its runners leave behind."""
_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV")
_KEPT_PREFIXES = ("LC_", "XDG_", "HOMEWRIGHT_")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What an engine is asked to do: `request.json` in the run's folder."""

    action: str
    only: str | None = None
    start_at: str | None = None
    plan_digest: str | None = None
    stages: tuple[str, ...] = ()
    version: int = 1
    attempt: int = 1
    """How many engines were asked to work on this run, this one included."""
    anew: tuple[str, ...] = ()
    """Steps that run again even where their proof holds."""
    skips: Mapping[str, str] = field(default_factory=dict)
    """Steps that are left out, each with the reason."""
    new_machines: tuple[str, ...] = ()
    """Servers that may be other machines than before."""
    ask_first: bool = False
    """Pause before every step that reboots servers or could lock the operator out."""
    hold: bool = False
    """Prove what was done, then wait for a word before anything else is done."""
    servers: tuple[str, ...] = ()
    """The servers that a roll-back is of, of those that leave the site; by default those that are in it."""
    given: Mapping[str, str] = field(default_factory=dict)
    """What the verb that began the run tells its steps, by name; no answer of the site, and no secret."""

    @classmethod
    def read(cls, folder: Path) -> RunRequest:
        """Raises StateError where there is none."""
        try:
            record = json.loads((folder / "request.json").read_text())
            listed = {name: tuple(record.get(name, ())) for name in ("stages", "anew", "new_machines", "servers")}
            return cls(**{**record, **listed})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StateError(f"The request in {folder} cannot be read.", f"{error}.") from error


def start(
    site_file: Path,
    state: StateFolder,
    *,
    action: str = "apply",
    only: str | None = None,
    start_at: str | None = None,
    plan_digest: str | None = None,
    stages: Sequence[Path] = (),
    ask_first: bool = False,
    ask: bool = False,
    servers: Sequence[str] = (),
    new_machines: Sequence[str] = (),
    given: Mapping[str, str] | None = None,
) -> str:
    """Start a run and return its id, once the engine holds the site and the run is in the journal.

    `only` and `start_at` name stages, `servers` those that leave the site and are rolled back, `new_machines` servers
    that may be other machines than before; with `ask_first` the run pauses before steps that are risky; with `ask`,
    sudo may ask on the terminal for the password that resuming at boot takes; `given` is told to the steps. Raises Busy
    with who holds the site, or whatever error the engine met.
    """
    if action not in ACTIONS:
        raise UsageError(f"There is no action {action}.", f"Known: {', '.join(ACTIONS)}.")
    state.create()
    make_folder(state.runs)
    run = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
    folder = state.run(run)
    make_folder(folder)
    catalogues = tuple(str(Path(path).absolute()) for path in stages)
    request = RunRequest(
        action,
        only,
        start_at,
        plan_digest,
        catalogues,
        ask_first=ask_first,
        servers=tuple(servers),
        new_machines=tuple(new_machines),
        given=dict(given or {}),
    )
    write_atomically(folder / "request.json", json.dumps(asdict(request)).encode())
    try:
        _engine(site_file, state, run, request, ask)
    except HomewrightError:
        if not _recorded(state, run):  # else the engine died a moment too late: the run is there, and can go on
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return run


def _recorded(state: StateFolder, run: str) -> bool:
    from homewright.engine.journal import Reader

    with contextlib.suppress(HomewrightError):
        return any(record.id == run for record in Reader(state).runs(1))
    return False


def resume(
    site_file: Path,
    state: StateFolder,
    run: str,
    *,
    anew: Sequence[str] = (),
    skips: Mapping[str, str] | None = None,
    new_machines: Sequence[str] = (),
    hold: bool = False,
    ask: bool = False,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Start another engine on a run that has not ended well; it proves what was done, then does what remains.

    `anew` names steps that run again whatever their proof says, `skips` steps to leave out with the reason,
    `new_machines` servers that may be other machines than before; with `hold` it waits after the proofs until it is
    told to continue, and a run that is cancelled by then stands as it stood; `ask` is as in `start`; `meanwhile` is
    called while the engine comes up, and raises nothing. Raises Busy with who holds the site, StateError where the
    run's request cannot be read, or whatever error the engine met: the run is then as it was.
    """
    with alone(state.run(run)):
        before, request = ask_again(state, run, anew=anew, skips=skips, new_machines=new_machines, hold=hold)
        try:
            _engine(site_file, state, run, request, ask, meanwhile)
        except HomewrightError:
            write_atomically(state.run(run) / "request.json", json.dumps(asdict(before)).encode())
            raise


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One at a time asks for an engine on a run: the request of another must not be written over."""
    try:
        descriptor = os.open(folder / "request.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(
            f"The run in {folder} cannot be gone on with.", f"{error.strerror}.", remedies(folder, error)
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def ask_again(
    state: StateFolder,
    run: str,
    *,
    anew: Sequence[str] = (),
    skips: Mapping[str, str] | None = None,
    new_machines: Sequence[str] = (),
    hold: bool = False,
) -> tuple[RunRequest, RunRequest]:
    """Write what the run's next engine is asked to do; the request before, and the new one. Only while `alone`.

    Raises Busy with who holds the site: nothing is touched then.
    """
    folder = state.run(run)
    before = RunRequest.read(folder)
    kept = {step: reason for step, reason in {**before.skips, **(skips or {})}.items() if step not in anew}
    request = replace(
        before,
        attempt=before.attempt + 1,
        anew=tuple(anew),
        skips=kept,
        new_machines=tuple(new_machines),
        hold=hold,
    )
    held = lock.holder(state)
    if held is not None and not held.finishing:
        raise lock.busy(held)  # before its request is touched
    for left in ("ready", "refused.json", "engine.pid"):
        (folder / left).unlink(missing_ok=True)
    write_atomically(folder / "request.json", json.dumps(asdict(request)).encode())
    return before, request


def _engine(
    site_file: Path,
    state: StateFolder,
    run: str,
    request: RunRequest,
    ask: bool,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    if request.action != "verify":  # which changes nothing, and so leaves nothing half done
        prospect.prepare(site_file, state, run, ask=ask)
    command = [sys.executable, "-m", "homewright.engine"]
    command += ["--site", str(Path(site_file).absolute()), "--state", str(state.root), "--run", run]
    try:
        _spawn(command, state.run(run), run)
        meanwhile()
        _wait(state.run(run))
    except HomewrightError:
        prospect.refused(state)
        raise


def environment(outer: Mapping[str, str]) -> dict[str, str]:
    """What an engine inherits: places and language; no agent, no session, no secret that a shell may carry."""
    kept = {key: value for key, value in outer.items() if key in _KEPT or key.startswith(_KEPT_PREFIXES)}
    kept.pop(MARK, None)
    return kept


_BEGINS = "engine of run "


def _spawn(command: list[str], folder: Path, run: str) -> None:
    _begin_log(folder / "engine.log", run)
    unit = _systemd(run, folder)
    inherited = environment(os.environ)
    if unit is not None:
        settings = [f"--setenv={key}={value}" for key, value in inherited.items()]
        try:
            asked = subprocess.run(
                [*unit, *settings, "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=START_LIMIT_S,
            )
        except (OSError, subprocess.SubprocessError) as error:
            # Not tried in another way: systemd may still start this one.
            raise StateError("systemd did not start the engine.", f"{error}.", ["systemctl status"]) from error
        if asked.returncode == 0:
            return
    log = os.open(folder / "engine.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        # The process forks and ends, and its child goes on: nobody's child but init's, in a session without a terminal.
        done = subprocess.run(
            [*command, "--detach"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            env=inherited,
            timeout=START_LIMIT_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StateError("The engine could not be started.", f"{error}.") from error
    finally:
        os.close(log)
    if done.returncode != 0:
        raise _crashed(folder)


def _begin_log(file: Path, run: str) -> None:
    """A block of the disk is the log's from now on: the last that an engine says may be that there is no other."""
    with contextlib.suppress(OSError):
        log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(log, "w") as begun:
            begun.write(f"{_BEGINS}{run}\n")


def _systemd(run: str, folder: Path) -> list[str] | None:
    """The systemd-run command for this user; None where systemd is not there or would not keep the engine."""
    if not Path("/run/systemd/system").is_dir() or shutil.which("systemd-run") is None:
        return None
    unit = ["systemd-run", "--quiet", "--collect", f"--unit=homewright-engine-{run}", "--property=Type=exec"]
    unit += ["--property=KillMode=mixed", "--property=OOMPolicy=continue", "--description=Homewright engine"]
    # mixed: at a shutdown the engine alone is told, which stops its runners between tasks, not in the middle of one.
    # How the run ended stands in the journal; to systemd an engine that could record it has done its work.
    unit += ["--property=SuccessExitStatus=1 2 3 4 5", "--property=UMask=0077"]
    if not set(str(folder)) & set("% \t"):
        unit += [
            f"--property={stream}=append:{folder / 'engine.log'}" for stream in ("StandardOutput", "StandardError")
        ]
    if os.getuid() == 0:
        return unit
    with contextlib.suppress(KeyError):
        # Without linger the user's manager ends with the last login, and takes its units along.
        name = pwd.getpwuid(os.getuid()).pw_name
        if (Path("/var/lib/systemd/linger") / name).exists() and "XDG_RUNTIME_DIR" in os.environ:
            return [*unit, "--user"]
    return None


def _wait(folder: Path) -> None:
    limit = time.monotonic() + START_LIMIT_S
    while time.monotonic() < limit:
        if (folder / "ready").exists():
            return
        refusal = folder / "refused.json"
        if refusal.exists():
            raise _refused(refusal)
        pid = _pid(folder)
        if pid is not None and lock.start_ticks(pid) is None and not (folder / "ready").exists():
            raise _refused(refusal) if refusal.exists() else _crashed(folder)
        time.sleep(0.01)
    raise StateError(
        "The engine did not come up.",
        f"It said nothing for {START_LIMIT_S:.0f} s.",
        ["homewright status"],
    )


def _pid(folder: Path) -> int | None:
    try:
        return int((folder / "engine.pid").read_text())
    except (OSError, ValueError):
        return None


def _refused(file: Path) -> HomewrightError:
    record = json.loads(file.read_text())["error"]
    kinds: dict[str, type[HomewrightError]] = {}
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, HomewrightError):
            kinds[kind.code] = kind
    return kinds.get(record["code"], HomewrightError)(record["what"], record["why"], record["do"])


def _crashed(folder: Path) -> StateError:
    try:
        last = (folder / "engine.log").read_text(errors="replace").strip().splitlines()[-1:]
    except OSError:
        last = []
    last = [line for line in last if not line.startswith(_BEGINS)]
    return StateError(
        "The engine ended before it began.",
        f"It said: {last[0]}" if last else "It said nothing.",
        ["look whether the installation is whole: homewright --version", "then try again"],
    )

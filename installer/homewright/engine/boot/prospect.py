"""Whether a run goes on by itself after this machine was off: what the machine allows, and what was done about it.

No pydantic here: the screens start runs from their first second.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from homewright.engine import lock
from homewright.engine.boot import root, unit
from homewright.engine.journal.volumes import mount_type
from homewright.errors import HomewrightError
from homewright.site.paths import StateFolder, config_home, state_home, sync_folder, write_atomically
from homewright.site.rehearsed import Rehearsed

SETTING = "HOMEWRIGHT_AT_BOOT"
"""Environment variable: `no` leaves this machine's units alone."""
RECORD = "at-boot.json"
"""File in a run's folder: what was said of it when it began."""
PRACTICE = "practice"
"""The site that the practice servers of this machine bring along."""
IN_MEMORY = ("tmpfs", "ramfs")
LOCKED = ("ecryptfs", "fuse.gocryptfs", "fuse.encfs", "fuse.cryfs", "fuse.securefs")
"""File systems that are there only once their owner has opened them."""
_PASSED = ("LANG", "TZ", "PYTHONPATH", "VIRTUAL_ENV", "PATH")
_PASSED_PREFIXES = ("LC_", "HOMEWRIGHT_")
_MARK = "HOMEWRIGHT_RUNNER"  # of what a run started, never of an engine
_PASSED_HOMES = ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")


@dataclass(frozen=True, slots=True)
class Prospect:
    """What becomes of a run when the machine that Homewright runs on loses power."""

    resumes: bool
    """Whether it goes on at boot, without anybody signed in."""
    why: str
    """One sentence: how, or what is in the way."""

    def sentence(self) -> str:
        """For Plan and `status`."""
        return f"{'Goes on by itself at boot' if self.resumes else 'No resume at boot'}: {self.why}"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What this machine is like, as far as it matters here."""

    systemd: bool
    wanted: bool = True
    """Nobody has said no by the setting."""
    insisted: bool = False
    """Somebody has said yes by the setting: also where it all seems to lie in memory."""
    practice: bool = False
    """The site's servers are this machine's own practice servers."""
    root: str = "free"
    """How root is to be had: `free`, `password` (sudo asks), `none`."""
    asks: bool = False
    """Whether somebody is there whom sudo can ask."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """Kind of the file system of each place that is needed at boot."""


def judge(seen: Circumstances, state: Path) -> Prospect:
    """What to tell before a run begins. Pure."""
    memory = [place for place, kind in seen.kinds.items() if kind in IN_MEMORY and not seen.insisted]
    if not seen.wanted:
        return Prospect(False, f"{SETTING}=no says so.")
    if seen.practice:
        return Prospect(False, "the practice servers are off then as well, until you say: homewright lab up")
    if not seen.systemd:
        return Prospect(False, "systemd does not manage this machine.")
    if memory:
        return Prospect(False, f"{memory[0]} lies in memory, which a power loss empties.")
    if seen.root == "none":
        return Prospect(False, "a systemd unit takes root, and you have no sudo here.")
    if seen.root == "password" and not seen.asks:
        return Prospect(
            False, "a systemd unit takes root, and sudo wants your password: say `sudo -v` first, on this terminal."
        )
    locked = [place for place, kind in seen.kinds.items() if kind in LOCKED]
    asked = " sudo will ask for your password." if seen.root == "password" else ""
    if locked:
        return Prospect(True, f"once {locked[0]} is unlocked, which it waits for.{asked}")
    return Prospect(
        True, f"a systemd unit does it, with the keys and secrets as they lie in {state} (for you alone).{asked}"
    )


def expected(site_file: Path, state: StateFolder, *, asks: bool = False) -> Prospect | None:
    """What to tell of the next run; None in a rehearsal, which does nothing for real."""
    if Rehearsed.of(state) is not None:
        return None
    return judge(look(site_file, state, asks=asks), state.root)


def look(site_file: Path, state: StateFolder, *, asks: bool = False) -> Circumstances:
    """Ask this machine. Costs one `sudo -n true` where this is not root."""
    said = os.environ.get(SETTING, "").lower()
    wanted = said not in ("no", "0", "off", "false")
    systemd = Path("/run/systemd/system").is_dir() and shutil.which("systemctl") is not None
    practice = site_file == config_home() / PRACTICE / "site.yaml" and (state_home() / "lab" / "lab.json").exists()
    if practice or not (wanted and systemd):
        return Circumstances(systemd, wanted, practice)
    had = "free" if root.free() else "password" if shutil.which("sudo") and _may_sudo() else "none"
    kinds = {str(place): mount_type(place) for place in (state.root, site_file.absolute(), *places())}
    return Circumstances(systemd, insisted=said == "yes", root=had, asks=asks, kinds=kinds)


def places() -> tuple[Path, ...]:
    """Folders with the code that runs at boot: the interpreter's, the standard library's, ours."""
    ours = [Path(entry) for entry in sys.path if entry and (Path(entry) / "homewright").is_dir()]
    return tuple(dict.fromkeys([Path(sys.executable).parent, Path(sysconfig.get_path("stdlib")), *ours]))


def _may_sudo() -> bool:
    """Whether sudo knows this user at all: it then wants a password, and says so."""
    try:
        done = subprocess.run(
            ["sudo", "-n", "-l"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
            timeout=root.LIMIT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0 or "password" in done.stderr


def prepare(site_file: Path, state: StateFolder, run: str, *, ask: bool = False) -> Prospect | None:
    """Before a run's engine starts: put the unit in place where that is possible, and record what is to be told.

    Never in the way of a run: what keeps the unit from being installed is told, nothing more. With `ask` sudo may ask
    for the password on the terminal. Where another engine is at work, whose unit it is, nothing is touched.
    """
    held = lock.holder(state)
    prospect = None if held is not None and not held.finishing else expected(site_file, state, asks=ask)
    if prospect is None:
        return None
    if prospect.resumes:
        try:
            if not root.free() and not (ask and root.ask()):
                prospect = Prospect(False, "sudo did not make you root.")
            else:
                made = _unit(site_file, state)
                (state.root / unit.OVER).unlink(missing_ok=True)
                sync_folder(state.root)
                root.by_root(made.name, made.files())
        except KeyboardInterrupt:
            prospect = Prospect(False, "you did not give your password.")
        except (HomewrightError, OSError) as error:
            said = f"{error.what} {error.why}" if isinstance(error, HomewrightError) else f"{error}"
            prospect = Prospect(False, f"the unit could not be installed: {said}")
    write_atomically(state.run(run) / RECORD, json.dumps(asdict(prospect)).encode())
    return prospect


def recorded(state: StateFolder, run: str) -> Prospect | None:
    """What was told when the run began; None where nothing was."""
    try:
        return Prospect(**json.loads((state.run(run) / RECORD).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def installed(state: StateFolder) -> bool:
    """Whether the site's unit is there, so that something would go on at boot."""
    return unit.places_of(unit.name_of(state.root))[0].is_symlink()


def refused(state: StateFolder) -> None:
    """The engine that the unit was put in place for did not begin: it stays only where an earlier run needs it."""
    from homewright.engine.boot import due
    from homewright.engine.journal import Reader

    with contextlib.suppress(HomewrightError):  # why the engine did not begin is what is to be told
        if installed(state) and not due.look(next(iter(Reader(state).runs(1)), None)).keep:
            over(state)


def over(state: StateFolder) -> None:
    """Nothing remains to be gone on with: the unit may go. systemd sees the file and does it; nobody needs root."""
    if installed(state):
        write_atomically(state.root / unit.OVER, b"")


def _unit(site_file: Path, state: StateFolder) -> unit.BootUnit:
    return unit.BootUnit(
        owner=_owner(),
        interpreter=Path(sys.executable),
        site=site_file.absolute(),
        state=state.root,
        places=places(),
        environment=passed(os.environ),
    )


def passed(outer: Mapping[str, str]) -> dict[str, str]:
    """What the engine at boot inherits of this environment: places and language; nothing that ends with a login."""
    return {
        name: value
        for name, value in outer.items()
        if (name in (*_PASSED, *_PASSED_HOMES) or name.startswith(_PASSED_PREFIXES)) and name != _MARK
    }


def _owner() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def asked(state: StateFolder, words: Sequence[str] = ("ActiveState", "StatusText")) -> dict[str, str]:
    """What systemd says of the site's unit; empty where it cannot be asked."""
    command = ["systemctl", "show", f"{unit.name_of(state.root)}.service", *(f"--property={word}" for word in words)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return {}
    pairs = (line.partition("=") for line in done.stdout.splitlines())
    return {name: value for name, _, value in pairs}

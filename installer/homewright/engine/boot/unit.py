"""The unit that goes on with a site's run at boot, as text. Pure.

One unit a site, whatever run it is: at boot it looks which one was cut off. The engine never needs root for it: what
the owner's program finds is its exit code (`NOTHING_LEFT`), and systemd itself then takes the unit's files away. That
also happens at the end of a run, where a path unit starts it once more.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from homewright.errors import StateError

FOLDER = Path("/etc/systemd/system")
WANTED_BY = "multi-user.target"
NOTHING_LEFT = 90
"""Exit code by which the program at boot says that no run of this site remains to be gone on with."""
RESTARTS = 5
RESTARTS_WITHIN_S = 3600
RESTART_S = 30
"""A program that fails is started again so often, in this time, after such a pause; then a person is needed."""
OVER = "boot-over"
"""File in the state folder: the run has ended, so the unit may go. Its appearance is what systemd waits for."""


@dataclass(frozen=True, slots=True)
class BootUnit:
    """What the unit of one site says."""

    owner: str
    """User that it works as."""
    interpreter: Path
    site: Path
    state: Path
    places: Sequence[Path] = ()
    """Folders whose file systems it waits for, besides those of site, state and interpreter: the code's."""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the unit, without its suffix; the same for a state folder at all times."""
        return name_of(self.state)

    def files(self) -> dict[str, str]:
        """Name and text of each file. Raises StateError where a path cannot be written into a unit."""
        return {f"{self.name}.service": self.service(), f"{self.name}.path": self.path()}

    def service(self) -> str:
        """The service. Raises StateError where a path cannot be written into a unit."""
        if "$" in str(self.interpreter):
            raise _unwritable(str(self.interpreter))  # systemd expands no $$ in the name of the program itself
        command = [str(self.interpreter), "-m", "homewright.engine.boot"]
        command += ["--site", str(self.site), "--state", str(self.state)]
        places = dict.fromkeys(map(str, (self.state, self.site.parent, self.interpreter, *self.places)))
        settings = [f"Environment={quoted(f'{name}={value}')}" for name, value in sorted(self.environment.items())]
        lines = [
            "# Written by Homewright when a run began; taken away by itself when the run has ended.",
            "[Unit]",
            "Description=Homewright goes on with a run that was cut off",
            "Wants=network-online.target",
            "After=network-online.target nss-lookup.target nss-user-lookup.target ssh.service sshd.service"
            " systemd-user-sessions.service",  # until then this machine's own sshd lets only root in
            f"RequiresMountsFor={' '.join(quoted(place) for place in places)}",
            f"StartLimitIntervalSec={RESTARTS_WITHIN_S}",
            f"StartLimitBurst={RESTARTS}",
            "",
            "[Service]",
            "Type=exec",
            "NotifyAccess=main",
            f"User={_whole_line(self.owner)}",
            *settings,
            f"ExecStart={' '.join(quoted(word, command=True) for word in command)}",
            f"ExecStopPost=+/bin/sh -c {quoted(self.removal(), command=True)}",
            f"SuccessExitStatus={NOTHING_LEFT}",
            "Restart=on-failure",
            f"RestartSec={RESTART_S}",
            "KillMode=mixed",
            "LimitCORE=0",  # its memory has secrets
            "OOMPolicy=continue",
            "UMask=0077",
            "",
            "[Install]",
            f"WantedBy={WANTED_BY}",
        ]
        return "\n".join(lines) + "\n"

    def path(self) -> str:
        """What starts the service once a run has ended, so that it takes itself away without anybody's password."""
        lines = [
            "[Unit]",
            "Description=The end of a run of Homewright",
            "",
            "[Path]",
            f"PathExists={_whole_line(str(self.state / OVER))}",
            f"Unit={self.name}.service",
        ]
        return "\n".join(lines) + "\n"

    def removal(self) -> str:
        """Shell, for root, after the service has stopped: takes its files away where nothing is left to go on with.

        The link at boot goes first: without it the rest does nothing, and what a power cut leaves is taken away then.
        """
        link, *files = (str(place) for place in places_of(self.name))
        return (
            f'test "$EXIT_STATUS" = {NOTHING_LEFT} || exit 0; '
            f"rm -f {link}; sync {Path(link).parent}; rm -f {' '.join(files)}; sync {FOLDER}; "
            f"systemctl --no-block stop {self.name}.path; systemctl --no-block daemon-reload"
        )


def name_of(state: Path) -> str:
    """The name of a site's unit, without its suffix."""
    return f"homewright-resume-{hashlib.sha256(os.fsencode(state)).hexdigest()[:12]}"


def places_of(name: str) -> tuple[Path, Path, Path]:
    """The link that starts it at boot, the service, and what starts that at the end of a run."""
    return FOLDER / f"{WANTED_BY}.wants" / f"{name}.service", FOLDER / f"{name}.service", FOLDER / f"{name}.path"


def quoted(word: str, *, command: bool = False) -> str:
    """One word of a setting: quotes, backslashes and systemd's own signs escaped. Raises StateError at others."""
    if not word.isprintable():
        raise _unwritable(word)
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text.replace("$", "$$") if command else text}"'


def _whole_line(text: str) -> str:
    """A setting that is the rest of its line as it stands, quotes too: nothing but % has a meaning there."""
    if not text.isprintable():
        raise _unwritable(text)
    return text.replace("%", "%%")


def _unwritable(text: str) -> StateError:
    return StateError(
        "A systemd unit cannot be written for this.",
        f"{text!r} has characters that a unit's file cannot hold.",
        ["put it into a folder with a plain name"],
    )

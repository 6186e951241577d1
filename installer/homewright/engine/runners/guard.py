"""The mark and the guard that every remote command of a step carries.

The mark is a variable in the environment of the remote process and of all its children, inside sudo too, so that a
later engine finds and ends whatever an earlier one left behind. The guard refuses the command where the fence has moved
on. The mark is set before the guard looks, and a later engine moves the fence before it looks for marks: so a command
either sees the moved fence or is itself seen.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from homewright.engine.runners.request import StepRequest

FENCE_FILE = "/var/lib/homewright/fence.json"
MARK = "HOMEWRIGHT_FENCE"
REFUSED = 75
"""Exit code of a command that the guard refused (EX_TEMPFAIL)."""
REFUSED_TEXT = "homewright: another run holds this server now"
_WHO = r's/.*"run": "\([^"]*\)".*"host": "\([^"]*\)".*"site": "\([^"]*\)".*/: run \1 of \2 for the site \3/p'
"""sed's way to say who it is, from the fence's file as `engine.fence` writes it."""


@dataclass(frozen=True)
class Guard:
    """What one run puts around its commands on every host."""

    controller: str
    fence: int

    @classmethod
    def of(cls, request: StepRequest) -> Guard:
        return cls(request.controller, request.fence)

    @property
    def mark(self) -> str:
        """The environment's assignment that all remote processes of this run carry."""
        return f"{MARK}={self.fence}"

    @property
    def check(self) -> str:
        """A line of shell that ends the shell, and says who has the host, unless this run still holds it."""
        who = f'"$(sed -n {shlex.quote(_WHO)} {FENCE_FILE} 2>/dev/null)"'
        return self._check(shlex.quote(REFUSED_TEXT) + who)

    def _check(self, said: str) -> str:
        # The file is one line. By the shell's own words: a process for each look would cost more than most commands.
        number = "|".join(shlex.quote(f'"fence": {self.fence}{end}').join("**") for end in ",}")
        ours = shlex.quote(self.controller).join("**")
        return (
            f"fence=; {{ IFS= read -r fence; }} 2>/dev/null <{FENCE_FILE}; "
            f'case "$fence" in {number}) case "$fence" in {ours}) : ;; *) fence= ;; esac ;; *) fence= ;; esac; '
            f'[ -n "$fence" ] || {{ echo {said} >&2; exit {REFUSED}; }}; unset fence'
        )

    def around(self, command: str) -> str:
        """The shell command, marked and guarded; what it reads and prints, and its exit code, are unchanged."""
        return f"env {self.mark} sh -c {shlex.quote(f'{self.check}; {command}')}"

    @property
    def prefix(self) -> str:
        """What goes before a whole command that is one shell-quoted word."""
        script = f'{self.check}; exec sh -c "$0"'
        return f"exec env {self.mark} sh -c {shlex.quote(script)} "

    def interpreter(self, path: str = "/usr/bin/python3") -> str:
        """A command that starts this Python marked and guarded: Ansible's `ansible_python_interpreter`."""
        script = f'{self._check(shlex.quote(REFUSED_TEXT))}; exec "$0" "$@"'
        return f"/usr/bin/env {self.mark} /bin/sh -c {shlex.quote(script)} {path}"

    def sweep(self, patience_s: int = 10) -> str:
        """A shell command, for root: ends the processes that other runs left behind; 0 when there are none any more.

        They are asked first, because a package manager that is killed outright leaves its database half written.
        Each is looked at again before it counts: the search itself makes marked processes, which are gone then.
        """
        script = (
            f"left() {{ for e in $(grep -lzs '^{MARK}=' /proc/[0-9]*/environ); do "
            f"grep -qzs '^{self.mark}$' $e || ! grep -qzs '^{MARK}=' $e || "
            f"{{ e=${{e#/proc/}}; echo ${{e%/environ}}; }}; done; }}; "
            f'n=0; while p=$(left); [ -n "$p" ]; do '
            f"if [ $n -lt {patience_s * 5} ]; then s=TERM; else s=KILL; fi; "
            f'[ $n -gt {patience_s * 5 + 50} ] && {{ echo "still there: $p" >&2; exit 1; }}; '
            f"kill -$s $p 2>/dev/null; n=$((n+1)); sleep 0.2; done; exit 0"
        )
        return f"env {self.mark} sh -c {shlex.quote(script)}"

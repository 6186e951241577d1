"""What every repair works with: the server, our connection to it, and what is known of the site."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from homewright.access.connection import Connection
from homewright.access.remote import Completed, last_lines
from homewright.checks.ground import Ground
from homewright.checks.models import Finding
from homewright.checks.profiles import Profile
from homewright.discovery.facts import HostFacts
from homewright.errors import HomewrightError
from homewright.site.models import Server, Site

TIMEOUT_S = 60.0
DONE = "did: "
"""What a script prints before each thing that it did."""

_NOISE = re.compile(r"^(sudo: unable to resolve host .*|debconf: .*)$\n?", re.M)


class FixFailed(HomewrightError):
    """A repair did not work; nothing that it says it did is taken back."""

    code = "fix"


@dataclass(frozen=True)
class Repair:
    """One repair on one server. Scripts run as root, and get their arguments as words."""

    ground: Ground
    profile: Profile
    finding: Finding
    server: Server
    connection: Connection
    tell: Callable[[str], None]

    @property
    def site(self) -> Site:
        return self.ground.site

    @property
    def host(self) -> str:
        return self.server.name

    @property
    def facts(self) -> HostFacts:
        """Of this server; empty ones where it was never looked at."""
        return self.ground.facts.get(self.host) or HostFacts(host=self.host, gathered_at=0)

    @property
    def others(self) -> Mapping[str, HostFacts]:
        return {name: facts for name, facts in self.ground.facts.items() if name != self.host}

    @property
    def interface(self) -> str:
        """The interface that carries the server's address. Raises FixFailed where it is not known."""
        nic = self.ground.nic(self.host)
        if nic is None:
            raise self.failed(f"The interface of {self.host} is not known.", "It has not been looked at yet.")
        return nic.name

    def root(self, script: str, *words: str | int | float, what: str, timeout: float = TIMEOUT_S) -> Completed:
        """Run a script as root, and tell what it did. Raises FixFailed, `what` first, with its own last words."""
        done = self.connection.run(
            f"sh -s -- {shlex.join(map(str, words))}", sudo=True, stdin=script.encode(), timeout=timeout, check=False
        )
        for line in done.stdout.splitlines():
            if line.startswith(DONE):
                self.did(line.removeprefix(DONE))
        if done.exit_code != 0:
            said = last_lines(_NOISE.sub("", done.stderr), 3)
            raise self.failed(what, said or f"It ended with {done.exit_code}.")
        return done

    def did(self, what: str) -> None:
        self.tell(f"{self.host}: {what}")

    def failed(self, what: str, why: str) -> FixFailed:
        do = self.finding.remedy.do if self.finding.remedy is not None else ()
        return FixFailed(what, why if why.endswith((".", "!", "?")) else f"{why}.", do)

"""Screens with everything frozen: the clock, the time zone, who sits here, and what the servers answer."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import screen_checks
from screen_doubles import NOW, Manager, facts_of, listing

from homewright.access import known_hosts
from homewright.access.known_hosts import HostKey
from homewright.checks.models import Finding, Report
from homewright.discovery.facts import HostFacts
from homewright.engine.journal import Reader
from homewright.errors import HomewrightError
from homewright.screens import services_checks
from homewright.screens.app import HomewrightApp
from homewright.screens.check_board import CheckRow
from homewright.screens.services import Outcome, Reach, Scanned, Services
from homewright.screens.services_checks import Heard, OnFacts
from homewright.screens.terminal import Terminal
from homewright.site import files
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder

OFFER = HostKey("ssh-ed25519", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBIXFBUWFxgZGhscHR4fICEiIyQlJicoKSorLC0uLzAx")
SERVERS = tuple(Server(name=f"s{n}", address=f"192.168.1.1{n}", user="admin") for n in (1, 2, 3))


class Recorded(Services):
    """The rooms with recorded answers in place of servers; sites, journals and plans are the real ones."""

    def __init__(self, manager: Manager) -> None:
        self.reached: dict[str, Reach] = {}
        self.problems: dict[str, HomewrightError] = {}
        self.passwords: list[tuple[str, str | None]] = []
        self.begun: list[str | None] = []
        self.asks_first = False
        """Whether the run that was begun last pauses before what is risky."""
        self.machines: dict[str, HostFacts] = {}
        self.real_checks = False
        self.wrong: tuple[Finding, ...] = ()
        self.fixed: list[str] = []
        self.judged: list[int] = []
        self.double = manager

    def answering(self, servers: Sequence[tuple[str, int]]) -> int:
        return len(servers)

    def login(self) -> str:
        return "alice"

    def reach(self, server: Server, state: StateFolder) -> Reach:
        return self.reached.get(server.name, Reach(False, "no first contact yet", new=True))

    def scan(self, server: Server, state: StateFolder) -> Scanned:
        if server.name in self.problems:
            raise self.problems[server.name]
        return Scanned(None if self.known(server, state) else OFFER)

    def contact(
        self, server: Server, state: StateFolder, password: str | None, identity: str, say: Callable[[str], None]
    ) -> object:
        from homewright.access.sign_in import PasswordNeeded, PasswordRefused

        self.passwords.append((server.name, password))
        if password is None:
            raise PasswordNeeded("the key is not known there")
        if password != "correct":
            raise PasswordRefused(
                f"{server.name} refuses the password of {server.user}.", "", ["type it again; capitals count"]
            )
        self.reached[server.name] = Reach(True, "reached")
        return None

    def look(self, site: Site, state: StateFolder, hosts: Sequence[str], on_facts: OnFacts) -> None:
        from homewright.discovery.gathering import remember

        for host in hosts:
            facts = self.machines.get(host) or facts_of(host)
            if host not in self.problems:
                remember(state, facts)
            on_facts(host, self.problems.get(host) or facts)

    def save_bundles(self, site: Site, state: StateFolder, folder: Path, on_facts: OnFacts) -> int:
        hosts = [server.name for server in site.servers]
        self.look(site, state, hosts, on_facts)
        return len(hosts) - len(self.problems)

    def check_rows(self) -> tuple[CheckRow, ...]:
        return Services.check_rows(self) if self.real_checks else screen_checks.rows()

    def check(self, file: Path, state: StateFolder, heard: Callable[[Heard], None]) -> Report:
        from homewright.checks import running

        hosts = [server.name for server in self.load(file).servers]
        report = screen_checks.report_of(hosts, self.wrong, list(self.problems))
        for host in hosts:
            error = self.problems[host].what if host in self.problems else ""
            heard(Heard(host, "facts", error, () if error else report.of(host)))
        running.keep(state, report)
        self.judged.append(len(report.ran))
        return report

    def recheck(self, file: Path, state: StateFolder, report: Report, heard: Callable[[Heard], None]) -> Report:
        from homewright.checks import running

        again = {one.key for one in report.findings if one.status != "passed"}
        wrong = {one.key: one for one in self.wrong}
        fresh = [wrong.get(key) or screen_checks.finding(*key) for key in sorted(again)]
        report = services_checks.with_acceptances(self.load(file), report.updated(fresh, NOW, {}))
        running.keep(state, report)
        self.judged.append(len(report.ran))
        return report

    def fix(self, file: Path, state: StateFolder, finding: Finding, say: Callable[[str], None]) -> None:
        self.fixed.append(f"{finding.check} {' '.join(finding.subjects)}")
        self.wrong = tuple(one for one in self.wrong if one.key != finding.key)

    def begin(
        self,
        file: Path,
        state: StateFolder,
        digest: str | None,
        stages: Sequence[str] | None,
        *,
        ask_first: bool = False,
    ) -> str:
        self.asks_first = ask_first
        self.begun.append(digest)
        return "20260102-120000-abcd"

    def outcome(self, file: Path, state: StateFolder) -> Outcome:
        reader = Reader(state)
        run = reader.run()
        place = Path("/home/alice/.local/state/homewright/sites/attic/ca/ca.crt")
        due, old = self.export_due(state), self.old_key(state)
        return Outcome(self.load(file), run, tuple(reader.steps(run.id)), place, ":".join(["A5"] * 32), due, old)

    def manager(self, file: Path, state: StateFolder) -> Manager:  # type: ignore[override]  # it has what the pages use
        return self.double


@pytest.fixture(autouse=True)
def _frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, folder in (("CONFIG", "config"), ("STATE", "state"), ("CACHE", "cache")):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / folder))
    for name in ("HOMEWRIGHT_SITE", "HOMEWRIGHT_STATE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(tmp_path)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def manager() -> Manager:
    return Manager(listing())


@pytest.fixture
def services(manager: Manager) -> Recorded:
    return Recorded(manager)


@pytest.fixture
def site(services: Recorded) -> Path:
    """The site `attic` with three servers, and nothing done yet."""
    file = services.place_of("attic")
    files.save(file, Site(name="attic", servers=SERVERS))
    return file


@pytest.fixture
def state() -> StateFolder:
    return StateFolder.of("attic").create()


@pytest.fixture
def contact(state: StateFolder) -> Callable[[int], None]:
    """First contact with so many of the servers, as it leaves it in the state folder."""

    def contact(count: int) -> None:
        state.key.write_text("the site's own key\n")
        for server in SERVERS[:count]:
            known_hosts.record(state.known_hosts, server.address, server.port, [OFFER])

    return contact


@pytest.fixture
def make_app(services: Recorded, monkeypatch: pytest.MonkeyPatch) -> Callable[..., HomewrightApp]:
    from textual.widgets import Input

    monkeypatch.setattr(Input.cursor_blink, "_default", False)

    def make(terminal: Terminal | None = None) -> HomewrightApp:
        options = argparse.Namespace(site=None, state=None, stages=None)
        return HomewrightApp(options, terminal=terminal or Terminal(), services=services, clock=lambda: NOW)

    return make

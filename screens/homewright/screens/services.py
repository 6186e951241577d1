"""What the screens ask of the rooms behind them. Every room is imported when it is first asked, never before.

Nothing here decides: it calls, and gives the screens what they show. Methods that take time run in threads.
"""

from __future__ import annotations

import functools
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homewright.errors import HomewrightError
from homewright.screens.services_checks import CheckServices
from homewright.screens.services_planning import PlanningServices
from homewright.site.paths import StateFolder, config_home, known_site_files

if TYPE_CHECKING:
    from homewright.access.trust import HostKeyOffer
    from homewright.catalogue import Catalogue
    from homewright.discovery.facts import HostFacts
    from homewright.engine.client import Presence
    from homewright.engine.journal import Reader, RunRecord, StepRecord
    from homewright.engine.receipts import Receipt
    from homewright.engine.remains import Remains
    from homewright.engine.viewers import Viewers
    from homewright.planning import Plan
    from homewright.site.models import Server, Site
    from homewright.takeover.opening import Taken
    from homewright.workspaces.manager import Manager

ANSWER_S = 2.0
"""How long Welcome waits for a server's SSH port."""
GONE_S = 60.0
"""How long an engine that was told to end may take: what cannot be interrupted is ended first."""


@dataclass(frozen=True)
class SiteGlimpse:
    """A site as Welcome shows it: read without the models, so that the first frame waits for nothing."""

    file: Path
    name: str
    servers: tuple[tuple[str, int], ...]
    """Address and port of each."""


@dataclass(frozen=True)
class RunGlimpse:
    """The last run of a site. `ended_at` is Unix seconds; the start while it goes on."""

    id: str
    state: str
    ended_at: float


@dataclass(frozen=True)
class ServerAnswer:
    """What the form about one server holds."""

    name: str
    address: str
    user: str
    port: int = 22
    host_key: str | None = None


@dataclass(frozen=True)
class Reach:
    """Whether a server is reached by key with working sudo. `new`: no first contact yet."""

    ok: bool
    text: str
    new: bool = False
    error: HomewrightError | None = None


@dataclass(frozen=True)
class Scanned:
    """A host key to compare; None where there is nothing to compare."""

    offer: HostKeyOffer | None


@dataclass(frozen=True)
class Standing:
    """Where a run that has not ended well stands."""

    remains: Remains
    ended: float | None
    """When it ended, Unix seconds; None while an engine is at work on it."""
    viewers: Viewers | None
    waits: bool
    """Its proofs are through, and its engine waits for a word."""
    at_boot: str
    """What becomes of it when this machine loses power; empty where nothing is to be said."""


@dataclass(frozen=True)
class Outcome:
    """What a finished run leaves."""

    site: Site
    run: RunRecord
    steps: tuple[StepRecord, ...]
    certificate: Path
    fingerprint: str
    export_due: str = ""
    """Why a site export is worth making; empty where the last one is good."""


def answer_of(server: Server) -> ServerAnswer:
    """A server of the site as its form shows it."""
    return ServerAnswer(server.name, server.address, server.user, server.port, server.host_key)


def glimpse(file: Path) -> SiteGlimpse:
    """Name and addresses in a site file, by eye: enough to list it. Anything more asks the models."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")[:200_000]
    except OSError:
        return SiteGlimpse(file, file.parent.name, ())
    name = re.search(r"^name:\s*[\"']?([a-z0-9-]+)", text, re.MULTILINE)
    servers: list[tuple[str, int]] = []
    for match in re.finditer(r"^[\s-]*(address|port):\s*[\"']?([0-9.]+)", text, re.MULTILINE):
        if match[1] == "address":
            servers.append((match[2], 22))
        elif servers:
            servers[-1] = (servers[-1][0], int(match[2].split(".")[0]))
    return SiteGlimpse(file, name[1] if name else file.parent.name, tuple(servers))


class Services(CheckServices, PlanningServices):
    """The rooms, as the screens use them."""

    _standing: tuple[object, Standing] | None = None

    # Sites

    makes_sites = True
    """Whether sites can be made and opened."""

    def sites(self, chosen: str | None) -> list[SiteGlimpse]:
        """The sites to show: the chosen one first, then ./site.yaml, then the known ones."""
        files: list[Path] = []
        named = chosen or os.environ.get("HOMEWRIGHT_SITE")
        if named:
            path = Path(named).expanduser()
            kept = config_home() / named / "site.yaml"
            files.append(kept if not path.exists() and "/" not in named and kept.exists() else path.absolute())
        here = Path("site.yaml").absolute()
        files += [here] if here.exists() else []
        files += known_site_files()
        return [glimpse(file) for file in dict.fromkeys(files) if file.exists()]

    def place_of(self, name: str) -> Path:
        """Where a new site's answers are kept."""
        return config_home() / name / "site.yaml"

    def name_taken(self, name: str) -> str:
        """Why a new site cannot have this name; empty where it can."""
        if self.place_of(name).exists():
            return f"there is already a site {name}"
        owner = StateFolder.of(name, site=self.place_of(name)).owner()
        return f"that is the name of the site in {owner}" if owner else ""

    def reason(self, model: str, field: str, value: str) -> str:
        """Why a value does not fit a field of site.yaml; empty where it does."""
        adapter = _adapter(model, field)
        from pydantic import ValidationError

        from homewright.site.complaints import said

        try:
            adapter.validate_python(value)
        except ValidationError as error:
            return said(error.errors()[0])
        return ""

    def make_site(self, name: str) -> Path:
        """Write a new site. Raises SiteError or StateError."""
        from homewright.site import files
        from homewright.site.models import Site

        file = self.place_of(name)
        files.save(file, Site(name=name))
        return file

    def load(self, file: Path) -> Site:
        """Raises SiteError with everything that is wrong in it."""
        from homewright.site import files

        return files.load(file)

    def put_servers(self, file: Path, servers: Sequence[object], since: Site | None = None) -> Site:
        """Write the list of servers; the site as it is then. Raises SiteError or StateError.

        With `since`, the site as the screen showed it, a list that somebody changed meanwhile is not overwritten.
        """
        from homewright.site import files
        from homewright.site.models import Server

        plain = [
            Server(
                name=server.name,
                address=server.address,
                user=server.user,
                port=server.port,
                host_key=server.host_key,
            )
            for server in servers
            if isinstance(server, ServerAnswer | Server)
        ]
        return files.update(file, {"servers": plain}, since=since)

    # Where a site stands

    def reader(self, state: StateFolder) -> Reader:
        """The journal of a site."""
        from homewright.engine.journal import Reader

        return Reader(state)

    def last_run(self, state: StateFolder) -> RunGlimpse | None:
        """The newest run that did something; None where nothing was run. Raises SiteError or StateError."""
        state.require_own()
        if not state.journal.exists():
            return None
        runs = self.reader(state).runs(1)
        if not runs:
            return None
        run = runs[0]
        return RunGlimpse(run.id, str(run.state), run.finished or run.started or run.created)

    def answering(self, servers: Sequence[tuple[str, int]]) -> int:
        """How many of these addresses answer on their SSH port."""

        def answers(server: tuple[str, int]) -> bool:
            try:
                with socket.create_connection(server, timeout=ANSWER_S):
                    return True
            except OSError:
                return False

        with ThreadPoolExecutor(max_workers=min(len(servers), 16)) as pool:
            return sum(pool.map(answers, servers))

    def where_to_go(self, file: Path, chosen_state: str | None) -> tuple[str, str]:
        """Name of the site in this file, and the page where it was left. Raises SiteError or StateError."""
        site = self.load(file)
        state = StateFolder.of(site.name, chosen_state, file)
        run = self.last_run(state)
        if run is not None:
            return site.name, "workspaces" if run.state == "succeeded" else self._page_of_run(state)
        if not site.servers or not all(self.known(server, state) for server in site.servers):
            return site.name, "servers"
        facts = self.facts(state)
        if not all(server.name in facts for server in site.servers):
            return site.name, "hardware"
        return site.name, "plan" if self.was_checked(site, state) else "checks"

    def _page_of_run(self, state: StateFolder) -> str:
        """Where to look at a run that has not ended well."""
        from homewright.engine.states import Action, State

        reader = self.reader(state)
        run = reader.run()
        if not run.state.final:
            return "resume" if reader.meta("held") == run.id else "deploy"
        return "resume" if run.action is not Action.VERIFY and run.state is not State.ROLLED_BACK else "deploy"

    def unfinished(self, state: StateFolder) -> list[str]:
        """What to say before leaving while a run goes on; nothing where none does."""
        try:
            run = self.last_run(state)
        except HomewrightError:
            return []
        if run is None or run.state != "running":
            return []
        return [
            "The run goes on without this program, and without this login.",
            "Come back to it with: homewright",
            "or line by line:      homewright attach",
        ]

    # Practice

    def lab_possible(self) -> bool:
        """Whether this machine may run practice servers at all."""
        import sys

        return sys.platform == "linux"

    def lab_up(self, servers: int, say: Callable[[str], None], agree: Callable[[str], bool]) -> tuple[str, Path, str]:
        """Make the practice servers; name and file of their site, and their password. Raises LabError or Busy."""
        from homewright import lab

        status = lab.up(servers, say=say, agree=agree)
        file = self.place_of(lab.SITE_NAME)
        password = lab.password(lab.SITE_NAME, status.servers[0].name) or ""
        return lab.SITE_NAME, file, password

    # First contact

    def known(self, server: Server, state: StateFolder) -> bool:
        """Whether the server's host key is trusted already."""
        from homewright.access import known_hosts

        return bool(known_hosts.lookup(state.known_hosts, server.address, server.port))

    def reach(self, server: Server, state: StateFolder) -> Reach:
        """Try a server: host key, our key, sudo. Never raises HomewrightError: the reason is in what it gives."""
        if not state.key.exists() or not self.known(server, state):
            return Reach(False, "no first contact yet", new=True)
        from homewright.access.connection import Connection
        from homewright.access.endpoint import Endpoint

        try:
            with Connection.open(Endpoint.of(server, state)) as connection:
                connection.run(["true"], sudo=True)
        except HomewrightError as error:
            return Reach(False, error.what, new=error.code == "key-refused", error=error)
        return Reach(True, "reached")

    def scan(self, server: Server, state: StateFolder) -> Scanned:
        """The host key to compare; none where it is trusted already or the site's answers have it.

        Raises Unreachable where no SSH server answers.
        """
        if server.host_key is not None or self.known(server, state):
            return Scanned(None)
        from homewright.access import trust

        return Scanned(trust.scan(server.address, server.port, name=server.name))

    def console_command(self, key_type: str) -> str:
        """What prints the fingerprint on the server's own console."""
        from homewright.access import trust

        return trust.console_command(key_type)

    def accept(self, server: Server, state: StateFolder, offer: HostKeyOffer) -> None:
        """Trust this host key for this server. Raises StateError."""
        from homewright.access import trust

        trust.accept(state.create(), server, offer)

    def contact(
        self, server: Server, state: StateFolder, password: str | None, identity: str, say: Callable[[str], None]
    ) -> object:
        """First contact, or the proof that it was made. Raises what `trust.first_contact` raises."""
        from homewright.access import trust

        means = trust.Means(password=password, identity=Path(identity).expanduser() if identity else None)
        return trust.first_contact(server, state.create(), means=means, say=say)

    # Facts

    def facts(self, state: StateFolder) -> Mapping[str, HostFacts]:
        """The facts that were recorded last, by server."""
        from homewright import discovery

        return discovery.recorded(state)

    # The plan and its run

    def catalogue(self, stages: Sequence[str] | None) -> Catalogue:
        """The shipped stages, with further folders. Raises CatalogueError."""
        from homewright import catalogue

        return catalogue.load([catalogue.shipped(), *(Path(folder) for folder in stages or ())])

    def stage_titles(self, stages: Sequence[str] | None) -> dict[str, str]:
        """Title of every stage."""
        return {stage.id: stage.title for stage in self.catalogue(stages).stages}

    def plan(self, file: Path, state: StateFolder, stages: Sequence[str] | None) -> Plan:
        """What a run would do. Raises SiteError or CatalogueError."""
        from homewright import planning
        from homewright.cli import at_boot
        from homewright.planning.known import known_facts
        from homewright.site.secrets import Secrets

        site = self.load(file)
        history = self.reader(state).history()
        kept = Secrets(state.secrets).names()
        planned = planning.plan(site, self.catalogue(stages), known_facts(site, state), history, secrets=kept)
        return at_boot.foreseen(planned, file, state)

    def begin(
        self,
        file: Path,
        state: StateFolder,
        digest: str | None,
        stages: Sequence[str] | None,
        *,
        ask_first: bool = False,
    ) -> str:
        """Begin a run, which pauses before what is risky where that is asked for; its id.

        Raises Busy, PlanMismatch, or whatever else the engine met.
        """
        from homewright.engine import launch

        catalogues = [Path(folder) for folder in stages or ()]
        return launch.start(file, state, plan_digest=digest, stages=catalogues, ask_first=ask_first)

    def go_on(self, file: Path, state: StateFolder, run: str, skips: Mapping[str, str] | None = None) -> str:
        """Go on with a run that did not end well; its id. `skips` are steps to leave out, with the reason.

        Raises Busy, or whatever else the engine met.
        """
        from homewright.engine import launch

        launch.resume(file, state, run, skips=skips)
        return run

    def standing(self, file: Path, state: StateFolder) -> Standing:
        """Where a run that has not ended well stands. Raises UsageError where there is none, SiteError, StateError."""
        from homewright.cli import at_boot
        from homewright.engine import remains

        reader = self.reader(state)
        run = reader.run()
        viewers, held = reader.viewers(run), remains.held(reader, run)
        seen = (run, held, reader.last_seq(run.id), file.stat().st_mtime_ns if file.exists() else 0)
        if self._standing is not None and self._standing[0] == seen:
            return replace(self._standing[1], viewers=viewers)
        told = " ".join(at_boot.lines(state, run))
        found = Standing(remains.look(file, state, run.id), run.finished, viewers, held and bool(run.reason), told)
        self._standing = (seen, found)  # loading a catalogue takes a tenth of a second, and this is asked twice in one
        return found

    def prove_first(self, file: Path, state: StateFolder, run: str, new_machines: Sequence[str]) -> None:
        """Let an engine prove what a run has done, and wait then for a word. Raises as `go_on`."""
        from homewright.engine import launch

        launch.resume(file, state, run, new_machines=new_machines, hold=True)

    def do_the_rest(
        self,
        file: Path,
        state: StateFolder,
        run: str,
        anew: Sequence[str],
        skips: Mapping[str, str],
        new_machines: Sequence[str],
    ) -> None:
        """Go on with a run: some steps anew, some left out, some servers as other machines. Raises as `go_on`."""
        from homewright.engine import launch

        launch.resume(file, state, run, anew=anew, skips=skips, new_machines=new_machines)

    def engine_gone(self, state: StateFolder) -> None:
        """Wait until no engine works on the site. Raises Busy where one still does after a while."""
        import time

        from homewright.engine import lock

        end = time.monotonic() + GONE_S
        while (held := lock.holder(state)) is not None:
            if time.monotonic() > end:
                raise lock.busy(held)
            time.sleep(0.1)

    def receipts(self, state: StateFolder, step: str | None = None) -> list[Receipt]:
        """What steps changed on the servers, one step alone where it is named. Raises StateError."""
        from homewright.engine import receipts

        return [receipts.receipt(row) for row in self.reader(state).receipts(step)]

    def roll_back(self, file: Path, state: StateFolder, stage: str) -> str:
        """Begin to take a stage back; the id of that run. Raises as `begin`."""
        from homewright.engine import launch

        return launch.start(file, state, action="rollback", only=stage)

    def rings(self, file: Path) -> bool:
        """Whether the site's answers want the terminal's bell. Raises SiteError."""
        return self.load(file).notify.bell

    def tell(self, state: StateFolder, command: str) -> int:
        """Give the running engine a command. Raises UsageError where none is running, StateError where it is silent."""
        from homewright.engine import client

        return client.send(state, command)

    def presence(self, state: StateFolder) -> Presence:
        """Our place among the viewers of the run that goes on, or of the next one; in control where nobody else is."""
        from homewright.engine.client import Presence

        present = Presence(state, "screens", wants=True)
        present.start()
        return present

    def support_bundle(self, file: Path, state: StateFolder, target: Path) -> Path:
        """Write a support bundle of the site; where it is. Raises StateError."""
        from homewright.support import pack

        return Path(pack(file, self.load(file).name, state, target).file)

    def outcome(self, file: Path, state: StateFolder) -> Outcome:
        """What a finished run leaves: its steps, and the site's certificate authority. Raises StateError."""
        from homewright.site.authority import Authority

        site = self.load(file)
        reader = self.reader(state)
        run = reader.run()
        authority = Authority.of(state.authority, site.name)
        certificate = state.authority / "ca.crt"
        due = self.export_due(state)
        return Outcome(site, run, tuple(reader.steps(run.id)), certificate, authority.fingerprint, due)

    # Taking over

    def export_due(self, state: StateFolder) -> str:
        """Why a site export is worth making now; empty where the last one is good."""
        from homewright.takeover import reminding

        return reminding.due(state)

    def export(self, file: Path, state: StateFolder, target: Path, passphrase: str) -> tuple[Path, str]:
        """Write a site export; where it is, and the passphrase where one was made. Raises as `packing.export`."""
        from homewright.site.passwords import generate
        from homewright.takeover.packing import export

        made = "" if passphrase else generate()
        return Path(export(file, state, target, passphrase or made).file), made

    def passphrase_reason(self, passphrase: str) -> str:
        """Why a passphrase will not do; empty where it will."""
        from homewright.takeover.sealing import reason

        return reason(passphrase)

    def is_export(self, file: Path) -> bool:
        """Whether this is a site export."""
        from homewright.takeover.sealing import is_export

        return is_export(file)

    def take_over(self, file: Path, passphrase: str, chosen_state: str | None, gone: bool) -> Taken:
        """Take a site over from its export. Raises what `opening.read` and `opening.take_over` raise."""
        from homewright.takeover.opening import read, take_over

        opened = read(file, passphrase)
        site_file = opened.target()
        return take_over(opened, site_file, StateFolder.of(opened.site.name, chosen_state, site_file), gone=gone)

    # Workspaces

    def login(self) -> str:
        """Who sits here: the likeliest user of a new workspace."""
        import getpass

        return getpass.getuser()

    def manager(self, file: Path, state: StateFolder) -> Manager:
        """The manager of a site's workspaces. Raises SiteError."""
        from homewright.workspaces.manager import Manager

        return Manager(self.load(file), state)


@functools.lru_cache(maxsize=64)
def _adapter(model: str, field: str) -> Any:
    from typing import Annotated

    from pydantic import BaseModel, TypeAdapter

    from homewright.site import answers, models
    from homewright.workspaces.models import Key

    classes: dict[str, type[BaseModel]] = {
        "site": models.Site,
        "server": models.Server,
        "network": answers.NetworkSettings,
        "overlay": answers.Overlay,
        "instance": answers.Instance,
        "reserve": answers.Reserve,
        "tls": answers.Tls,
        "administrator": answers.Administrator,
        "key": Key,
    }
    info = classes[model].model_fields[field]
    kind: Any = info.annotation
    return TypeAdapter(Annotated[kind, info] if info.metadata else kind)

"""What the screens ask of the rooms behind them. Every room is imported when it is first asked, never before.

Nothing here decides: it calls, and gives the screens what they show. Methods that take time run in threads.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homewright.errors import HomewrightError
from homewright.screens.services_checks import CheckServices
from homewright.screens.services_planning import PlanningServices
from homewright.screens.services_runs import RunServices, page_of
from homewright.site.paths import StateFolder, config_home, known_site_files

if TYPE_CHECKING:
    from homewright.access.trust import HostKeyOffer
    from homewright.catalogue import Catalogue
    from homewright.discovery.facts import HostFacts
    from homewright.engine.journal import Reader, RunRecord, StepRecord
    from homewright.planning import Plan
    from homewright.site.models import Server, Site
    from homewright.workspaces.one_manager import OneManager as Manager

ANSWER_S = 2.0
"""How long Welcome waits for a server's SSH port."""


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
class Outcome:
    """What a finished run leaves."""

    site: Site
    run: RunRecord
    steps: tuple[StepRecord, ...]
    certificate: Path
    fingerprint: str
    export_due: str = ""
    """Why a site export is worth making; empty where the last one is good."""
    old_key: str = ""
    """Which hosts may still let in the controller that this one took the place of; empty for none."""


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


class Services(CheckServices, PlanningServices, RunServices):
    """The rooms, as the screens use them."""

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
            by_name = "/" not in named and not os.access(path, os.F_OK) and os.access(kept, os.F_OK)
            files.append(kept if by_name else path.absolute())
        files += [Path("site.yaml").absolute(), *known_site_files()]
        # Not Path.exists, which raises where somebody may not look.
        return [glimpse(file) for file in dict.fromkeys(files) if os.access(file, os.F_OK)]

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

    def where_to_go(self, file: Path, chosen_state: str | None, named: str = "") -> tuple[str, str]:
        """Name of the site in this file, and the page where it was left. Raises SiteError or StateError.

        A run that goes on, or has not ended well, is looked at whatever the file holds: with the site's name known,
        the file is not read before the run is on the screen.
        """
        if named:
            state = StateFolder.of(named, chosen_state, file)
            run = self.last_run(state)
            if run is not None and run.state != "succeeded":
                return named, page_of(self.reader(state))
        site = self.load(file)
        state = StateFolder.of(site.name, chosen_state, file)
        run = self.last_run(state)
        if run is not None:
            return site.name, "workspaces" if run.state == "succeeded" else page_of(self.reader(state))
        if not site.servers or not all(self.known(server, state) for server in site.servers):
            return site.name, "servers"
        facts = self.facts(state)
        if not all(server.name in facts for server in site.servers):
            return site.name, "hardware"
        return site.name, "plan" if self.was_checked(site, state) else "checks"

    def unfinished(self, state: StateFolder) -> list[str]:
        """What to say before leaving while a run goes on; nothing where none does."""
        try:
            run = self.last_run(state)
        except HomewrightError:
            return []
        if run is None or run.state != "running" or self.reader(state).meta("held") == run.id:
            return []  # one that was only proved stands as it stood
        file = state.site
        site = f" --site {shlex.quote(file.parent.name if file in known_site_files() else str(file))}" if file else ""
        return [
            "The run goes on without this program, and without this login.",
            "Come back to it with: homewright",
            f"or line by line:      homewright{site} attach",
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

    def contacted(self, servers: Sequence[tuple[str, int]], state: StateFolder) -> int:
        """With how many of these addresses first contact was made. Raises StateError."""
        from homewright.access import known_hosts

        if not state.key.exists():
            return 0
        return sum(bool(known_hosts.lookup(state.known_hosts, *server)) for server in servers)

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

    def outcome(self, file: Path, state: StateFolder) -> Outcome:
        """What a finished run leaves: its steps, and the site's certificate authority. Raises StateError."""
        from homewright.site.authority import Authority

        site = self.load(file)
        reader = self.reader(state)
        run = reader.run()
        authority = Authority.of(state.authority, site.name)
        certificate = state.authority / "ca.crt"
        due, old = self.export_due(state), self.old_key(state)
        return Outcome(site, run, tuple(reader.steps(run.id)), certificate, authority.fingerprint, due, old)

    # Workspaces

    def login(self) -> str:
        """Who sits here: the likeliest user of a new workspace. Root is nobody: then who ran sudo, or empty."""
        import getpass

        name = getpass.getuser()
        name = os.environ.get("SUDO_USER", "") if name == "root" else name
        return "" if name == "root" else name

    def has_cluster(self, state: StateFolder) -> bool:
        """Whether the site has the kubeconfig of a cluster."""
        from homewright.cluster import SECRET
        from homewright.site.secrets import Secrets

        return Secrets(state.secrets).get(SECRET) is not None

    def manager(self, file: Path, state: StateFolder) -> Manager:
        """The manager of a site's workspaces, on servers and in its cluster. Raises SiteError."""
        from homewright.workspaces.one_manager import OneManager

        return OneManager(self.load(file), StateFolder(state.root, file))


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
        "mirror": models.MirrorSettings,
        "tls": answers.Tls,
        "administrator": answers.Administrator,
        "key": Key,
    }
    info = classes[model].model_fields[field]
    kind: Any = info.annotation
    return TypeAdapter(Annotated[kind, info] if info.metadata else kind)

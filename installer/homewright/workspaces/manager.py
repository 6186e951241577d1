"""The one manager of workspaces. The truth is on the nodes; the site keeps only the passwords."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from homewright.access import openssh
from homewright.access.connection import Connection, Endpoint
from homewright.errors import HomewrightError, Unreachable, UsageError
from homewright.site.authority import Authority
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder
from homewright.site.secrets import Secrets
from homewright.workspaces import naming, placement
from homewright.workspaces.backends.node import LEAST_FREE, NodeBackend, require_template
from homewright.workspaces.errors import InstanceNotFound, NeedsAcceptance, StorageFailed
from homewright.workspaces.models import (
    Key,
    Problem,
    Session,
    Specification,
    Workspace,
    WorkspacesDocument,
    WorkspaceState,
)
from homewright.workspaces.names_here import NamesHere
from homewright.workspaces.observation import NodeReport, Observation, Record
from homewright.workspaces.ordering import in_order
from homewright.workspaces.placement import Place
from homewright.workspaces.states import judge, notes
from homewright.workspaces.templates import NodeTemplate, Template, on_servers

Say = Callable[[str], None]
_POLL_TIMEOUT_S = 5.0
_ACT_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Listing:
    """All workspaces of the nodes that answered."""

    workspaces: tuple[Workspace, ...]
    unreachable: dict[str, str]
    """Nodes that did not answer, and why."""
    polled_at: float
    """When the servers were looked at last, in Unix seconds."""
    heard_at: float | None = None
    """When the cluster that is watched was heard of last; None where none is watched."""
    looking: str = ""
    """What has not been looked at yet, in words; empty where everything has."""
    notes: tuple[str, ...] = ()
    """What is worth knowing about how it was looked at."""

    def document(self) -> WorkspacesDocument:
        return WorkspacesDocument(workspaces=self.workspaces, unreachable=self.unreachable, polled_at=self.polled_at)

    def oldest(self) -> float:
        """How old what is shown may be: the moment of the oldest look, in Unix seconds."""
        return min(self.polled_at, self.heard_at if self.heard_at is not None else self.polled_at)


@dataclass(frozen=True)
class Created:
    """A workspace that runs, or that was there before."""

    workspace: Workspace
    existed: bool
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preview:
    """What creating a workspace would do."""

    node: str
    warnings: tuple[str, ...]
    """What is said with it."""
    must_accept: str
    """A warning that must be accepted (`accept_…`); empty where there is none."""
    existing: Workspace | None
    problems: tuple[Problem, ...] = ()
    """Why it would not start, by the rules that tell it afterwards; the first is what would be seen first."""
    good: tuple[str, ...] = ()
    """What was looked at and is well."""
    unknown: tuple[str, ...] = ()
    """What could not be looked at, and why."""
    misses: tuple[Problem, ...] = ()  # what it would lack: it starts all the same


@dataclass
class _Poll:
    reports: dict[str, NodeReport] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)


class Manager:
    """Every verb on workspaces. Its methods may be called from several threads; all raise HomewrightErrors."""

    def __init__(self, site: Site, state: StateFolder) -> None:
        self.site = site
        self.state = state
        self._secrets = Secrets(state.secrets)
        self._polling: dict[str, Connection] = {}
        self._lock = threading.Lock()
        self._names = NamesHere()
        self._busy: dict[str, tuple[float, float]] = {}
        """Of each workspace's uid: processor seconds and when they were read."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up on all nodes."""
        with self._lock:
            connections, self._polling = list(self._polling.values()), {}
        for connection in connections:
            connection.close()

    def templates(self) -> Mapping[str, Template]:
        """The templates by name."""
        return on_servers()

    def nodes(self) -> tuple[str, ...]:
        """The servers that may get node workspaces."""
        return placement.allowed(self.site)

    def list(self) -> Listing:
        """All workspaces of all nodes that answer, looked at in parallel."""
        poll = self._poll()
        found: list[Workspace] = []
        for node, report in poll.reports.items():
            found += self._seen(node, report)
        found.sort(key=in_order)
        return Listing(tuple(found), poll.silent, time.time())

    def show(self, key: Key) -> Workspace:
        """One workspace as it is now."""
        server, observation, report = self._find(key)
        return self._workspace(server, observation, report)

    def preview(self, spec: Specification) -> Preview:
        """Where a workspace would go and what would be said, without doing anything."""
        template = require_template(on_servers(), spec.template)
        template.preset(spec.preset)
        place, existing, _ = self._place(spec.key)
        return Preview(
            place.node,
            tuple(filter(None, (*placement.warnings(self.site, place), template.warning))),
            "" if existing else self._shared(place, spec.key.user),
            existing,
        )

    def create(self, spec: Specification, say: Say, *, accept_shared_node: bool = False) -> Created:
        """Make a workspace and wait until it answers; one that is there already is returned as it is.

        Repeatable: what an earlier try left undone is done. Raises NeedsAcceptance where it would be a second owner's
        on a node and names of the site's zone are not found here, unless that is accepted.
        """
        template = require_template(on_servers(), spec.template)
        template.preset(spec.preset)
        place, existing, report = self._place(spec.key)
        server = self.site.server(place.node)
        spec = spec.model_copy(update={"key": spec.key.model_copy(update={"node": server.name})})
        slug = naming.slug(spec.key.user, spec.key.name)
        warnings = list(filter(None, (*placement.warnings(self.site, place), template.warning)))
        if existing is not None and _complete(report, slug):
            return Created(existing, True, tuple(warnings))
        shared = "" if existing else self._shared(place, spec.key.user)
        if shared and not accept_shared_node:
            raise NeedsAcceptance(
                f"{place.node} would get a second owner.",
                shared,
                ["accept it: --accept-shared-node", "or choose another node: --node NAME", self._by_name_help()],
            )
        if shared:
            warnings.append(shared)
        if report.free_data is not None and report.free_data < LEAST_FREE:
            raise StorageFailed(
                f"The disk of {server.name} is full.",
                f"{report.free_data >> 20} MiB are free under {self.site.workspaces.data_root}.",
                [f"free some space on {server.name}, then try again"],
            )
        for warning in warnings:
            say(f"warning: {warning}")
        with self._backend(server) as backend:
            say(f"claiming a place for {spec.key} on {server.name}")
            claimed = backend.claim(spec, slug)
            record = Record.model_validate(claimed["record"])
            folder = backend.bring_bundle(
                claimed["architecture"], tuple(claimed["bundles"]), claimed["free_bundles"], say
            )
            if not claimed["new"]:
                backend.stop(record)  # what an earlier try left may run with half of its files
                record = record.model_copy(update={"generation": record.generation + 1})
            workspace, more = self._bring_up(
                backend, record, template, spec.preset, folder, tuple(claimed["files"]), tuple(claimed["mounted"]), say
            )
        return Created(workspace, False, (*warnings, *more))

    def start(self, key: Key, say: Say = lambda _: None) -> Workspace:
        """Start a workspace and wait until it answers. One that runs stays as it is."""
        server, seen, report = self._find(key)
        verdict = judge(seen, report.now)
        if verdict.state is WorkspaceState.RUNNING:
            return self._workspace(server, seen, report)
        record = seen.record
        if verdict.state is WorkspaceState.STARTING:
            with self._backend(server) as backend:  # somebody else's start is not disturbed
                backend.wait_ready(record, require_template(on_servers(), record.template), say)
            return self.show(_on(key, server))
        if not record.complete or seen.unit.loadstate == "not-found":
            raise UsageError(
                f"{key} was never finished.",
                f"{verdict.reason}.",
                [f"homewright workspace create {shlex.quote(f'{key.user}/{key.name}')}"],
            )
        template = require_template(on_servers(), record.template)
        with self._backend(server) as backend:
            if seen.unit.activestate not in ("inactive", "failed"):
                backend.stop(record)
                record = record.model_copy(update={"generation": record.generation + 1})
            folder = backend.bring_bundle(report.architecture, report.bundles, report.free_bundles, say)
            present = ("config.yaml", "tls.crt", "tls.key") if seen.config_present else ()
            workspace, _ = self._bring_up(
                backend, record, template, record.preset, folder, present, report.mounted, say
            )
        return workspace

    def stop(self, key: Key) -> Workspace:
        """Stop a workspace; returns once nothing of it runs any more. Its data stays."""
        server, seen, _ = self._find(key)
        with self._backend(server) as backend:
            backend.stop(seen.record)
        return self.show(_on(key, server))

    def delete(self, key: Key, with_storage: bool) -> str:
        """Take a workspace away. Its storage stays for the next one of this name, or is moved aside.

        Returns where the storage is. The shared folders are never touched.
        """
        server, seen, _ = self._find(key)
        with self._backend(server) as backend:
            storage = backend.delete(seen.record, with_storage)
        self._secrets.delete(naming.password_secret(seen.record.slug, server.name))
        return storage

    def password(self, key: Key) -> str:
        """The password of a workspace, from the site's secrets; its node need not answer for that."""
        names = [naming.password_secret(naming.slug(key.user, key.name), server.name) for server in self._servers(key)]
        found = [secret for name in names if (secret := self._secrets.get(name)) is not None]
        if len(found) > 1:
            raise UsageError(f"Which {key}?", f"There are {len(found)}.", ["name its node: --node NODE"])
        if not found:
            self._find(key)
            quoted = shlex.quote(str(key))
            raise InstanceNotFound(
                f"The password of {key} is not among this site's secrets.",
                "The workspace was made by another controller.",
                [f"delete it (its data stays) and create it again: homewright workspace delete {quoted}"],
            )
        return found[0]

    def sessions(self, key: Key) -> tuple[Session, ...]:
        """Who is on: the computers that have the workspace open now."""
        _, seen, _ = self._find(key)
        return tuple(Session(address=address, connections=count) for address, count in sorted(seen.guests.items()))

    def logs(self, key: Key, lines: int = 100, follow: bool = False) -> Iterator[str]:
        """The last lines of its log, and with `follow` what comes, until the iterator is closed."""
        server, seen, _ = self._find(key)
        with self._backend(server) as backend:
            yield from backend.logs(seen.record, lines, follow)

    def forward(self, workspace: Workspace) -> tuple[str, tuple[str, ...]]:
        """Where a workspace opens through SSH, and the command that must run meanwhile."""
        endpoint = Endpoint.of(self.site.server(workspace.node), self.state)
        port = str(workspace.port)
        words = ("ssh", *openssh.options(endpoint), "-N", "-L", f"{port}:{endpoint.address}:{port}",
                 "-p", str(endpoint.port), "-l", endpoint.user, "--", endpoint.address)  # fmt: skip
        return f"https://localhost:{port}/", words

    def _bring_up(
        self, backend: NodeBackend, record: Record, template: NodeTemplate, preset: str, folder: str,
        present: tuple[str, ...], mounted: tuple[str, ...], say: Say,
    ) -> tuple[Workspace, tuple[str, ...]]:  # fmt: skip
        name = naming.password_secret(record.slug, backend.server.name)
        known = self._secrets.get(name)
        password = known or self._secrets.ensure(name)
        say(f"writing its account, folders, certificate and unit on {backend.server.name}")
        record, more = backend.provision(
            record, template, preset, folder, password=password, present=present, mounted=mounted, rewrite=known is None
        )
        say("starting it")
        record = backend.start(record)
        warning = backend.wait_ready(record, template, say)
        say("proving its walls from inside")
        backend.prove(record, template)
        backend.finish(record)
        report = backend.look(record.slug)
        return self._seen(backend.server.name, report)[0], (*more, *filter(None, (warning,)))

    def _place(self, key: Key) -> tuple[Place, Workspace | None, NodeReport]:
        """The node for a new workspace, or that of the one which is there, with the node's report."""
        if key.node is not None:
            placement.choose(self.site, key.user, key.node, {key.node: Place(key.node, ())}, {})
        poll = self._poll(key.node)
        places: dict[str, Place] = {}
        for node, report in poll.reports.items():
            keys = tuple(seen.key(node) for seen in report.workspaces)
            places[node] = Place(node, keys)
            for seen in report.workspaces:
                if (seen.record.user, seen.record.name) == (key.user, key.name):
                    server = self.site.server(node)
                    return places[node], self._workspace(server, seen, report), report
        self._require_not_out_of_sight(key, poll)
        place = placement.choose(self.site, key.user, key.node, places, poll.silent)
        return place, None, poll.reports[place.node]

    def _require_not_out_of_sight(self, key: Key, poll: _Poll) -> None:
        """No second workspace is made while the first is on a node that does not answer: its password tells of it."""
        slug = naming.slug(key.user, key.name)
        for node, why in poll.silent.items():
            if self._secrets.get(naming.password_secret(slug, node)) is not None:
                raise Unreachable(
                    f"{key} is on {node}, which does not answer.",
                    why,
                    [f"see whether {node} is on, then try again", "or make another one elsewhere: --node NODE"],
                )

    def _find(self, key: Key) -> tuple[Server, Observation, NodeReport]:
        """The workspace of a key; the node may be left out where only one has it."""
        self._servers(key)
        poll = self._poll(key.node)
        found = [
            (self.site.server(node), seen, report)
            for node, report in poll.reports.items()
            for seen in report.workspaces
            if (seen.record.user, seen.record.name) == (key.user, key.name)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            names = [str(_on(key, server)) for server, _, _ in found]
            raise UsageError(f"Which {key}?", f"There are {len(found)}.", [f"name one of: {', '.join(names)}"])
        if poll.silent:
            reasons = "\n".join(f"{node}: {why}" for node, why in poll.silent.items())
            raise Unreachable(
                f"{key} is on no node that answers.", reasons, ["see whether those are on, then try again"]
            )
        raise InstanceNotFound(f"There is no workspace {key}.", "", ["homewright workspace list"])

    def _servers(self, key: Key) -> tuple[Server, ...]:
        """Where a workspace of this key may be. Raises UsageError where its node is no server of the site."""
        servers = tuple(server for server in self.site.servers if key.node in (None, server.name))
        if not servers and key.node is not None:
            raise UsageError(f"There is no server {key.node} in this site.", "", ["homewright site show"])
        return servers

    def _poll(self, only: str | None = None) -> _Poll:
        """Look at all nodes, or at one, in parallel."""
        servers = [server for server in self.site.servers if only is None or server.name == only]
        poll = _Poll()
        if not servers:
            return poll
        authority = self._authority()
        with ThreadPoolExecutor(max_workers=min(32, len(servers))) as pool:
            for server, outcome in zip(servers, pool.map(lambda one: self._look(one, authority), servers), strict=True):
                if isinstance(outcome, NodeReport):
                    poll.reports[server.name] = outcome
                else:
                    poll.silent[server.name] = " ".join(filter(None, (outcome.what, outcome.why)))
        return poll

    def _look(self, server: Server, authority: Authority) -> NodeReport | HomewrightError:
        try:
            return NodeBackend(self.site, server, authority, self._connected(server)).look()
        except HomewrightError as error:
            with self._lock:
                dropped = self._polling.pop(server.name, None)
            if dropped is not None:
                dropped.close()
            return error

    def _connected(self, server: Server) -> Connection:
        """The connection that looks at a server share, opened anew where it was lost."""
        with self._lock:
            connection = self._polling.get(server.name)
        if connection is not None and connection.alive:
            return connection
        fresh = Connection.open(Endpoint.of(server, self.state), timeout=_POLL_TIMEOUT_S)
        with self._lock:
            connection = self._polling.get(server.name)
            if connection is None or not connection.alive:
                self._polling[server.name] = fresh
                connection, spare = fresh, connection
            else:  # another thread was quicker
                spare = fresh
        if spare is not None:
            spare.close()
        return connection

    @contextmanager
    def _backend(self, server: Server) -> Iterator[NodeBackend]:
        with Connection.open(Endpoint.of(server, self.state), timeout=_ACT_TIMEOUT_S) as connection:
            yield NodeBackend(self.site, server, self._authority(), connection)

    def _authority(self) -> Authority:
        return Authority.of(self.state.authority, self.site.name)

    def _seen(self, node: str, report: NodeReport) -> tuple[Workspace, ...]:
        server = self.site.server(node)
        found = [self._workspace(server, seen, report) for seen in report.workspaces]
        for slug, why in report.unreadable.items():
            key = Key.model_construct(user=slug, name="default", node=node)
            found.append(
                Workspace(
                    key=key, slug=slug, template="node", preset="", state=WorkspaceState.ERROR, reason=why, node=node,
                    remedy=f"look at /var/lib/homewright/workspaces/{slug} on {node}",
                )
            )  # fmt: skip
        return tuple(found)

    def _workspace(self, server: Server, seen: Observation, report: NodeReport) -> Workspace:
        record = seen.record
        verdict = judge(seen, report.now)
        zone, port = self.site.zone, record.port
        by_name = naming.node_url(naming.host_name(record.slug, server.name, zone), port) if zone else ""
        on = verdict.state in (WorkspaceState.RUNNING, WorkspaceState.STARTING)
        return Workspace(
            key=seen.key(server.name),
            slug=record.slug,
            template=record.template,
            preset=record.preset,
            state=verdict.state,
            reason=verdict.reason,
            remedy=verdict.remedy,
            node=server.name,
            port=port,
            address=by_name if self._is_found(server) else naming.node_url(server.address, port),
            by_name=by_name,
            created_at=record.created_at,
            started_at=seen.unit.active_since if on else None,
            last_active_at=seen.health.heartbeat if seen.health else None,
            cpu=self._rate(record.uid, seen.cpu_us, report.monotonic),
            memory=seen.memory,
            connections=sum(seen.guests.values()) if on else None,
            notes=notes(seen, report.now, report.controllers),
        )

    def _is_found(self, server: Server) -> bool:
        """Whether names below a node are found here; not where the site has no zone."""
        zone = self.site.zone
        return zone is not None and self._names.lead_to(
            naming.host_name(naming.ANY_SLUG, server.name, zone), server.address
        )

    def _by_name_help(self) -> str:
        zone = self.site.zone
        if zone is None:
            return "or give the site a zone: homewright site set zone home.internal; homewright apply"
        return f"or let this computer ask {self.site.servers[0].address} for {zone}"

    def _shared(self, place: Place, user: str) -> str:
        return placement.shared_node(self.site, place, user, self._is_found(self.site.server(place.node)))

    def _rate(self, uid: str, cpu_us: int | None, at: float) -> float | None:
        """Processors in use since the look before."""
        if cpu_us is None:
            self._busy.pop(uid, None)
            return None
        before = self._busy.get(uid)
        self._busy[uid] = (cpu_us / 1e6, at)
        if before is None or at - before[1] < 0.5 or cpu_us / 1e6 < before[0]:
            return None
        return (cpu_us / 1e6 - before[0]) / (at - before[1])


def _complete(report: NodeReport, slug: str) -> bool:
    return any(
        seen.record.slug == slug and seen.record.complete and seen.unit.loadstate != "not-found" and seen.config_present
        and seen.bundle_present and not seen.record.deleting
        for seen in report.workspaces
    )  # fmt: skip


def _on(key: Key, server: Server) -> Key:
    return key.model_copy(update={"node": server.name})

"""The workspaces of the site's cluster: every verb on them, over all templates."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from homewright.cluster.differences import honours_policies
from homewright.errors import UsageError
from homewright.site.authority import Authority
from homewright.site.models import Site
from homewright.workspaces import at_pods, foreseen, given_up, naming, shown
from homewright.workspaces.backends.kubernetes import manifests, namespace, routes, usage
from homewright.workspaces.backends.kubernetes.api import LOOK_S, Api, Conflict
from homewright.workspaces.backends.kubernetes.index import KINDS, Index
from homewright.workspaces.backends.kubernetes.manifests import Manifest
from homewright.workspaces.backends.kubernetes.observed import Seen
from homewright.workspaces.backends.kubernetes.prediction import Foresight
from homewright.workspaces.backends.kubernetes.streams import Command, Forwarder
from homewright.workspaces.backends.kubernetes.usage import Usage
from homewright.workspaces.backends.kubernetes.verbs import ClusterBackend, Held
from homewright.workspaces.backends.kubernetes.words import MADE_FOR, NAMESPACE
from homewright.workspaces.errors import ChangedMeanwhile, InstanceNotFound, MissingRight, NotOurs
from homewright.workspaces.foresight import Lookout
from homewright.workspaces.git_servers import SignIn
from homewright.workspaces.given_up import Purged
from homewright.workspaces.models import (
    GivenUp,
    Key,
    Repository,
    Session,
    Specification,
    Workspace,
    WorkspaceEvent,
    WorkspaceState,
)
from homewright.workspaces.of_site import surroundings, walls
from homewright.workspaces.ordering import in_order
from homewright.workspaces.repositories import Mode, Synced
from homewright.workspaces.template_models import PodTemplate
from homewright.workspaces.templates import Template, digest

Say = Callable[[str], None]


@dataclass(frozen=True)
class Made:
    """A workspace that runs, or that was there before."""

    workspace: Workspace
    existed: bool


class ClusterWorkspaces:
    """Every verb. Its methods may be called from several threads; all raise HomewrightErrors."""

    def __init__(
        self,
        site: Site,
        api: Api,
        templates: Mapping[str, Template],
        who: str,
        hashed: Callable[[str], str],
        authority: Callable[[], Authority] | None = None,
    ) -> None:
        """`authority` is the site's, for addresses that no issuer of the cluster signs."""
        self.api = api
        self.templates = {name: one for name, one in templates.items() if isinstance(one, PodTemplate)}
        self._versions = {name: digest(one) for name, one in self.templates.items()}
        self.surroundings = surroundings(site)
        self.walls = walls(site)
        self._lookout = Lookout(api)
        self._backends = {
            name: ClusterBackend(api, template, self.surroundings, who, hashed, authority)
            for name, template in self.templates.items()
        }

    def close(self) -> None:
        self.api.close()

    # Looking

    def list(self) -> tuple[Workspace, ...]:
        """All of them. Every kind of object is listed once a namespace, side by side, with LOOK_S of patience."""
        index, lock = Index(self.templates), threading.Lock()

        def take(kind: str, namespace: str) -> None:
            for page in self.api.pages(kind, namespace, KINDS[kind], patience_s=LOOK_S):
                with lock:
                    for manifest in page.items:
                        index.put(kind, namespace, manifest)

        wanted = [(kind, namespace) for namespace in index.namespaces for kind in KINDS]
        with ThreadPoolExecutor(max_workers=8) as pool:
            for done in [pool.submit(take, *each) for each in wanted]:
                done.result()
        now = time.time()
        found = [
            self.workspace_of(seen, template, now)
            for place in index.take_changed()
            for seen, template in index.seen(place)
        ]
        return tuple(sorted(found, key=in_order))

    def usage_of_pods(self) -> dict[tuple[str, str], Usage]:
        """What each pod uses, by namespace and name. Raises NoMetrics where the cluster does not measure that."""
        return usage.of_pods(self.api, Index(self.templates).namespaces)

    def usage_of_workspaces(self) -> dict[tuple[str, str], Usage]:
        """What each uses, by template and slug. Raises NoMetrics."""
        used = self.usage_of_pods()
        return {
            (template.name, pod.removesuffix("-0").removeprefix(f"{template.prefix}-")): one
            for template in self.templates.values()
            for (place, pod), one in used.items()
            if place == template.namespace and pod.startswith(f"{template.prefix}-")
        }

    def foresee(self, spec: Specification) -> Foresight:
        """What would become of one that is not there. Raises NotOurs and StorageFailed as `create` would."""
        backend = self.backend_for(spec)
        place = self.api.get("Namespace", None, backend.template.namespace)
        if place is not None:
            self._require_ours(place)
        return foreseen.of(backend, self._lookout, spec)

    def has(self, key: Key, *, briefly: bool = False) -> bool:
        """Whether there is a workspace of this key; `briefly`: a cluster that is away is given up after LOOK_S."""
        return self._find(key, LOOK_S if briefly else None) is not None

    def show(self, key: Key) -> Workspace:
        """One workspace as it is now, with what leads to it."""
        backend, held = self._require(key)
        route = routes.words(backend.route(held))
        return self._show(backend, held).model_copy(update={"route": route})

    def way_in(self, spec: Specification) -> str:
        """What keeps the address of a workspace from opening, or is worth knowing of it; empty for nothing."""
        backend, zone = self.backend_for(spec), self.surroundings.zone
        if zone is None or not self.api.has_istio():
            return ""
        name = self.surroundings.gateway
        if name is None:
            return "The cluster has Istio, and the site names no gateway of it (workspaces.istio_gateway): by Ingress."
        place, _, own = name.partition("/")
        try:
            gateway = self.api.get("Gateway", place, own)
        except MissingRight as error:
            return f"Whether Istio's gateway {name} leads to it cannot be told. {error.what}"
        slug = naming.slug(spec.key.user, spec.key.name)
        host = manifests.host_name(backend.template, slug, zone)
        return routes.lack(name, gateway, backend.template.namespace, host)

    def existing(self, key: Key) -> Workspace | None:
        """The workspace of a key as it is now; None where there is none."""
        found = self._find(key)
        return self._show(*found) if found is not None else None

    def sessions(self, key: Key) -> tuple[Session, ...]:
        """Who is on cannot be told of a pod: of one that runs it is said that somebody may be."""
        backend, held = self._require(key)
        pods = backend.look(held, events=False).pods
        if not any(one.running_since for pod in pods for one in pod.containers if not one.init):
            return ()  # nobody can be on what never ran
        return (Session(address="unknown: a pod does not tell who is on", connections=0),)

    def events(self, key: Key) -> tuple[WorkspaceEvent, ...]:
        """What the cluster said about it, and who did what; the oldest first."""
        backend, held = self._require(key)
        seen = backend.look(held, always=True)
        told = [
            WorkspaceEvent(at=one.at, what=one.reason, about=one.about[0], message=one.message, count=one.count,
                           warning=one.warning)
            for one in seen.events
        ]  # fmt: skip
        done = [
            WorkspaceEvent(at=deed.at, what=deed.what, about="workspace", message=f"by {deed.who}")
            for deed in held.intent.history
        ]
        return tuple(sorted((*told, *done), key=lambda event: event.at))

    def password(self, key: Key) -> str:
        """Its password, from its Secret."""
        backend, held = self._require(key)
        found = backend.password(held)
        if found is None:
            raise InstanceNotFound(
                f"{key} has no password yet.",
                "Making it was cut off.",
                [f"create it again to finish that: homewright workspace create {shlex.quote(str(key))}"],
            )
        return found

    def logs(self, key: Key, lines: int, follow: bool) -> Iterator[str]:
        """The output of its container."""
        backend, held = self._require(key)
        if not backend.look(held).pods:
            raise UsageError(
                f"{key} has no log now.", "It is stopped, and a pod's log goes with the pod.", ["start it"]
            )
        yield from backend.logs(held, lines, follow)

    def export(self, key: Key) -> tuple[Manifest, ...]:
        """The objects that it is made of, for any other tool; without the password."""
        backend, held = self._require(key)
        return self._objects(backend, held)

    def keeps_apart(self) -> bool | None:
        """Whether the cluster's network honours NetworkPolicy; None where that cannot be told, or not by us."""
        try:
            daemons = self.api.list("DaemonSet", None).items
        except MissingRight:
            return None
        return honours_policies(one["metadata"]["name"] for one in daemons)

    def setup(self) -> tuple[Manifest, ...]:
        """What an administrator makes once: namespaces, walls and rights."""
        return tuple(
            one
            for template in self.templates.values()
            for one in namespace.objects(template, self.walls, constraints=self.api.has_constraints())
        )

    def forward(self, workspace: Workspace) -> tuple[str, tuple[str, ...]]:
        """Where it opens through the API, and the command that must run meanwhile."""
        words = ("homewright", "workspace", "open", "--forward", "--port", "8080", str(workspace.key))
        return "http://localhost:8080/", words

    # Inside

    def shell(self, key: Key, words: Sequence[str], *, terminal: bool, stdin: bool) -> Command:
        """A command inside of it, by default its user's shell."""
        return at_pods.shell(*self._require(key), words, terminal=terminal, stdin=stdin)

    def forwarder(self, key: Key, local: int) -> Forwarder:
        """A port of this machine that leads to its editor through the API; 0 for any that is free."""
        return at_pods.forwarder(*self._require(key), local)

    def sync(self, key: Key, mode: Mode) -> tuple[Repository, Synced]:
        """Bring its repository up to date, or look how it is; which, and what came of it."""
        backend, held = self._require(key)
        return at_pods.repository_of(backend, held)[1], at_pods.sync(backend, held, mode)

    def credentials(self, user: str) -> tuple[str, ...]:
        """The servers that a user's git has credentials for."""
        known = (at_pods.credentials(backend, user) for backend in self._with_repositories())
        return tuple(sorted({host for hosts in known for host in hosts}))

    def sign_in(self, user: str, url: str) -> SignIn | None:
        """What a user's git signs in with at the server of an address."""
        found = (at_pods.sign_in(backend, user, url) for backend in self._with_repositories())
        return next((one for one in found if one is not None), None)

    def give_credentials(self, user: str, url: str, name: str, token: str | None) -> tuple[str, ...]:
        """Keep a user's credentials for a git server, or with None forget them; the servers that there are some for."""
        for backend in self._with_repositories():
            there = self.api.get("Namespace", None, backend.template.namespace) is not None
            if not there and token is not None:
                self._prepare(backend.template, lambda _: None)
            if there or token is not None:
                at_pods.give_credentials(backend, user, url, name, token)
        return self.credentials(user)

    def _with_repositories(self) -> Iterator[ClusterBackend]:
        yield from (one for one in self._backends.values() if one.template.repositories is not None)

    # Doing

    def create(self, spec: Specification, say: Say) -> Made:
        """Make one and wait until it answers; one that is there already is returned as it is."""
        backend = self.backend_for(spec)
        other = self._find(spec.key)
        if other is not None and other[1].intent.template != spec.template:
            return Made(self._show(*other), True)
        self._prepare(backend.template, say)
        held, new = backend.claim(spec)
        if not new:
            intent = held.intent
            if intent.deleting:
                say("finishing its deletion first")
                self._delete(backend, held, intent.deleting == "with-storage")
                held, new = backend.claim(spec)
            elif intent.complete and (intent.wanted == "stopped" or self._is_whole(backend, held)):
                return Made(self._show(backend, held), True)
            else:
                held = backend.change(held, "created again", wanted="running", digest=digest(backend.template))
        say(f"making {spec.key} in namespace {backend.template.namespace}")
        backend.converge(held)
        return Made(self._wait(backend, held, say), False)

    def start(self, key: Key, say: Say) -> Workspace:
        """Start it and wait until it answers. One that runs stays as it is; what is missing of it is made again."""
        backend, held = self._require(key)
        self._refuse_deleted(held)
        seen = self._show(backend, held)
        if seen.state is WorkspaceState.RUNNING:
            return seen
        restarts = held.intent.restarts + (seen.state is WorkspaceState.ERROR)
        held = backend.change(held, "started", wanted="running", restarts=restarts, digest=digest(backend.template))
        backend.converge(held)
        backend.end_outdated(held)
        return self._wait(backend, held, say)

    def restart(self, key: Key, say: Say) -> Workspace:
        """End its pod and wait until the next one answers."""
        backend, held = self._require(key)
        self._refuse_deleted(held)
        held = backend.change(
            held, "restarted", wanted="running", restarts=held.intent.restarts + 1, digest=digest(backend.template)
        )
        backend.converge(held)
        backend.end_outdated(held)
        return self._wait(backend, held, say)

    def stop(self, key: Key) -> Workspace:
        """Stop it; returns once its pod is gone. Its storage stays."""
        backend, held = self._require(key)
        self._refuse_deleted(held)
        if held.intent.wanted == "running":
            held = backend.change(held, "stopped", wanted="stopped")
        backend.scale(held)
        backend.wait_stopped(held)
        return self._show(backend, held)

    def delete(self, key: Key, with_storage: bool) -> tuple[str, ...]:
        """Take it away. Its claims stay, or are given up: kept for seven days, then due for `purge`. Their names."""
        backend, held = self._require(key)
        return self._delete(backend, held, with_storage)

    def set(self, key: Key, preset: str | None, template_now: bool) -> Workspace:
        """Another size, or its template as it is now. What runs goes on as it is until it is started or restarted."""
        backend, held = self._require(key)
        self._refuse_deleted(held)
        changes: dict[str, str] = {}
        if preset is not None and preset != held.intent.preset:
            backend.template.preset(preset)
            changes["preset"] = preset
        if template_now and held.intent.digest != digest(backend.template):
            changes["digest"] = digest(backend.template)
        if changes:
            held = backend.change(
                held, "set " + " and ".join(f"{name} {it}" for name, it in changes.items()), **changes
            )
        backend.scale(held)  # also where nothing is to change: an earlier try may have been cut off before this
        return self._show(backend, held)

    def rename(self, key: Key, title: str) -> Workspace:
        """Another title; what names it in commands and addresses stays for ever."""
        backend, held = self._require(key)
        if title != held.intent.title:
            held = backend.change(held, f"called {title!r}", title=title)
        return self._show(backend, held)

    def given_up(self) -> tuple[GivenUp, ...]:
        """Storage that was given up and is still there."""
        return given_up.listed(self._backends.values())

    def undelete(self, key: Key) -> tuple[str, ...]:
        """Take back the storage that was given up, for the next workspace of this name. The claims' names."""
        return given_up.take_back(self._backends.values(), key)

    def purge(self, key: Key | None) -> Purged:
        """Remove the storage that was given up seven days ago; with a key that one's, however long ago."""
        return given_up.purge(self.api, self._backends.values(), key)

    # Parts of these

    def _delete(self, backend: ClusterBackend, held: Held, with_storage: bool) -> tuple[str, ...]:
        wanted = "with-storage" if with_storage or held.intent.deleting == "with-storage" else "keep"
        if held.intent.deleting != wanted:
            held = backend.change(held, "deleted", wanted="stopped", deleting=wanted)
        backend.scale(held)
        backend.wait_stopped(held)
        return backend.remove(held)

    def _wait(self, backend: ClusterBackend, held: Held, say: Say) -> Workspace:
        say("waiting until it answers")
        backend.wait_running(held, say)
        if not held.intent.complete:
            held = backend.change(held, "answered", complete=True)
        return self._show(backend, held)

    def _is_whole(self, backend: ClusterBackend, held: Held) -> bool:
        state = self._show(backend, held).state
        return state in (WorkspaceState.RUNNING, WorkspaceState.STARTING)

    def _refuse_deleted(self, held: Held) -> None:
        if held.intent.deleting:
            raise UsageError(
                f"{held.intent.key} is being deleted.",
                "",
                [
                    f"finish that: homewright workspace delete {shlex.quote(str(held.intent.key))}",
                    "then create it again",
                ],
            )

    def backend_for(self, spec: Specification) -> ClusterBackend:
        """What makes such a workspace. Raises UsageError where it asks for what there is none of."""
        backend = self._backends[spec.template]
        backend.template.preset(spec.preset)
        if spec.key.node is not None:
            raise UsageError(
                f"{spec.template} workspaces choose no server.",
                "The cluster's scheduler finds a node with room.",
                ["leave --node out"],
            )
        return backend

    def _prepare(self, template: PodTemplate, say: Say) -> None:
        """The namespace with its walls, made where they are missing and renewed where the site has changed since."""
        found = self.api.get("Namespace", None, template.namespace)
        if found is not None:
            self._require_ours(found)
        there = self.api.get("NetworkPolicy", template.namespace, template.policy) if found is not None else None
        if there is not None:
            self._renew(there, namespace.policy(template, self.walls), say)
            self._have_accounts(template.namespace)
            return
        say(f"setting up namespace {template.namespace}")
        for manifest in namespace.objects(template, self.walls, constraints=self.api.has_constraints()):
            metadata = manifest["metadata"]
            there = self.api.get(manifest["kind"], metadata.get("namespace"), metadata["name"])
            try:
                self.api.apply(manifest, there["metadata"]["resourceVersion"] if there is not None else None)
            except Conflict as error:
                raise NotOurs(
                    f"{manifest['kind']} {metadata['name']} of namespace {template.namespace} is somebody else's.",
                    f"{error}.",
                    ["look at it, and remove or rename it"],
                ) from error

    def _require_ours(self, place: Manifest) -> None:
        if (place["metadata"].get("labels") or {}).get(NAMESPACE) != "true":
            raise NotOurs(
                f"The namespace {place['metadata']['name']} is there, and is not Homewright's.",
                f"It does not carry the label {NAMESPACE}=true.",
                ["give the template a namespace of its own", "or set it up: homewright workspace export --setup"],
            )

    def _renew(self, there: Manifest, wanted: Manifest, say: Say) -> None:
        """Walls that are there become those that are wanted. Raises NotOurs where they are somebody else's."""
        name, place = wanted["metadata"]["name"], wanted["metadata"]["namespace"]
        if (there["metadata"].get("labels") or {}).get(MADE_FOR[0]) != MADE_FOR[1]:
            raise NotOurs(
                f"NetworkPolicy {name} of namespace {place} is somebody else's.",
                f"It does not carry the label {MADE_FOR[0]}={MADE_FOR[1]}, and may let through anything.",
                ["look at it, and remove or rename it"],
            )
        if there.get("spec") == wanted["spec"]:
            return
        say(f"renewing the walls of namespace {place}")
        try:
            self.api.apply(wanted, there["metadata"]["resourceVersion"])
        except Conflict as error:
            raise ChangedMeanwhile(
                f"NetworkPolicy {name} of namespace {place} was changed meanwhile.", f"{error}.", ["try again"]
            ) from error

    def _have_accounts(self, place: str) -> None:
        """A namespace that was set up before the cluster had OpenShift's rules; an administrator's part otherwise."""
        if self.api.has_constraints():
            wanted = namespace.accounts_of_pods(place)
            with suppress(MissingRight, Conflict):  # somebody else was as fast
                if self.api.get(wanted["kind"], place, wanted["metadata"]["name"]) is None:
                    self.api.apply(wanted)

    def _find(self, key: Key, patience_s: float | None = None) -> tuple[ClusterBackend, Held] | None:
        for backend in self._backends.values():
            held = backend.find(key, patience_s)
            if held is not None:
                return backend, held
        return None

    def _require(self, key: Key) -> tuple[ClusterBackend, Held]:
        found = self._find(key)
        if found is None:
            raise InstanceNotFound(f"There is no workspace {key}.", "", ["homewright workspace list"])
        return found

    def _show(self, backend: ClusterBackend, held: Held) -> Workspace:
        held = backend.find(held.intent.key) or held
        return self.workspace_of(backend.look(held), backend.template, time.time())

    def _objects(self, backend: ClusterBackend, held: Held) -> tuple[Manifest, ...]:
        template, intent = backend.template, held.intent
        return (
            manifests.record(template, intent),
            *manifests.claims(template, intent, self.surroundings),
            *manifests.parts(template, intent, held.uid, self.surroundings, backend.way()),
        )

    def workspace_of(self, seen: Seen, template: PodTemplate, now: float, used: Usage | None = None) -> Workspace:
        """What is seen of one, and what its pod uses, as everybody is shown it."""
        return shown.workspace_of(seen, template, self._versions[template.name], now, self.surroundings, used)

"""The one manager of all workspaces: those on servers and those in the site's cluster, by the same verbs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from homewright.cluster.kubeconfig import SECRET, read
from homewright.errors import HomewrightError, UsageError
from homewright.site.authority import Authority
from homewright.site.models import Site
from homewright.site.paths import StateFolder
from homewright.workspaces import templates
from homewright.workspaces.backends.node import who
from homewright.workspaces.errors import (
    InstanceNotFound,
    NeedsAcceptance,
    NoMetrics,
    RepositoryDenied,
    WillNotStart,
)
from homewright.workspaces.live import THE_CLUSTER, Live
from homewright.workspaces.manager import Created, Listing, Manager, Preview, Say
from homewright.workspaces.models import (
    GivenUp,
    Key,
    Problem,
    Repository,
    RepositoryCheck,
    ServerTold,
    Session,
    Specification,
    UsageDocument,
    UsageRow,
    Workspace,
    WorkspaceEvent,
)
from homewright.workspaces.ordering import in_order
from homewright.workspaces.passwords import hashed
from homewright.workspaces.template_models import PodTemplate

if TYPE_CHECKING:
    from homewright.workspaces.backends.kubernetes.manifests import Manifest
    from homewright.workspaces.backends.kubernetes.reasons import Finding
    from homewright.workspaces.backends.kubernetes.streams import Command, Forwarder
    from homewright.workspaces.backends.kubernetes.usage import Usage
    from homewright.workspaces.given_up import Purged
    from homewright.workspaces.on_cluster import ClusterWorkspaces
    from homewright.workspaces.repositories import Mode, Synced
    from homewright.workspaces.users_git import UsersGit

Answer = TypeVar("Answer")
OPEN_NETWORK = "Its network, flannel, honours no NetworkPolicy: workspaces can reach one another."
"""What must be accepted where that is so."""
_UNTOLD_NETWORK = "Whether its network honours NetworkPolicy cannot be told: workspaces may reach one another."


class OneManager(Manager):
    """Every verb on every workspace. A key without a node is the cluster's where the cluster has one of it.

    Verbs that only read find one on a server while the cluster cannot be asked. Those that change something do not:
    the one that is meant may be the cluster's. With `in_cluster`, as for one that was listed there, they never go to a
    server at all: the cluster's may have been deleted since, and another of that name is not what was meant.
    """

    def __init__(self, site: Site, state: StateFolder) -> None:
        super().__init__(site, state)
        self._templates = templates.load(templates.folder_of(state.site) if state.site is not None else None)
        self._cluster: ClusterWorkspaces | None = None
        self._git: UsersGit | None = None

    def close(self) -> None:
        super().close()
        if self._cluster is not None:
            self._cluster.close()

    @property
    def cluster(self) -> ClusterWorkspaces | None:
        """The site's cluster; None where it has none."""
        if self._cluster is None and self._secrets.get(SECRET) is not None:
            from homewright.workspaces.backends.kubernetes.api import Api
            from homewright.workspaces.on_cluster import ClusterWorkspaces

            api = Api(lambda: read(self._secrets.get(SECRET) or "", self.site.cluster.context))
            self._cluster = ClusterWorkspaces(self.site, api, self._templates, who(), hashed, self._authority)
        return self._cluster

    def _authority(self) -> Authority:
        return Authority.of(self.state.authority, self.site.name)

    def require_cluster(self) -> ClusterWorkspaces:
        """The site's cluster. Raises UsageError where it has none."""
        if self.cluster is None:
            raise UsageError(
                "This site has no cluster.",
                "Its kubeconfig is kept by stage 40, or given for a cluster that is there already.",
                ["make the cluster: homewright apply", f"or give its kubeconfig: homewright site secret set {SECRET}"],
            )
        return self.cluster

    @property
    def known_templates(self) -> dict[str, templates.Template]:
        """All templates by name, whether or not there is a cluster for them."""
        return self._templates

    def templates(self) -> Mapping[str, templates.Template]:
        """The templates by name; those of the cluster only where there is one."""
        return {name: one for name, one in self._templates.items() if self.cluster or not isinstance(one, PodTemplate)}

    @property
    def places(self) -> int:
        """How many places may not answer."""
        return len(self.site.servers) + (self.cluster is not None)

    def list(self) -> Listing:
        if self.cluster is None:
            return super().list()
        with ThreadPoolExecutor(max_workers=1) as pool:
            asked = pool.submit(self.cluster.list)
            listing = super().list()
            try:
                found = asked.result()
            except HomewrightError as error:
                why = " ".join(filter(None, (error.what, error.why)))
                return Listing(listing.workspaces, {**listing.unreachable, THE_CLUSTER: why}, listing.polled_at)
        every = sorted((*listing.workspaces, *found), key=in_order)
        return Listing(tuple(every), listing.unreachable, listing.polled_at)

    def live(self, changed: Callable[[], None]) -> Live:
        """A listing that renews itself until it is closed; `changed` is called from other threads."""
        return Live(super().list if self.site.servers else None, self.cluster, changed).start()

    def show(self, key: Key) -> Workspace:
        return self._by_place(key, lambda there: there.show(key), lambda: super(OneManager, self).show(key))

    def meant(self, key: Key) -> Workspace:
        """As `show`, for a verb that is to change what it shows."""
        return self._by_place(
            key, lambda there: there.show(key), lambda: super(OneManager, self).show(key), changes=True
        )

    def preview(self, spec: Specification) -> Preview:
        template = templates.require(self._templates, spec.template)
        if not isinstance(template, PodTemplate):
            return super().preview(spec)
        there = self.require_cluster()
        there.backend_for(spec)
        apart, existing = there.keeps_apart(), there.existing(spec.key)
        warnings = _warnings(template, apart, there.way_in(spec))
        if self.site.zone is None:
            warnings.append("The site has no zone, so it gets no address: it is opened by a port-forward.")
        if existing is not None:
            return Preview(THE_CLUSTER, tuple(warnings), "", existing)
        checked = self._checked(template, spec)
        ahead = there.foresee(spec)
        problems = tuple(Problem(reason=one.reason, whose=one.whose, remedy=one.remedy) for one in ahead.problems)
        must_accept = OPEN_NETWORK if apart is False else ""
        good, unknown = ahead.good, ahead.unknown
        if checked is not None:
            good += (checked.words,) if checked.state == "good" else ()
            unknown += (checked.words,) if checked.state == "unknown" else ()
        misses = _misses(checked)
        return Preview(THE_CLUSTER, tuple(warnings), must_accept, None, problems, good, unknown, misses)

    def create(
        self, spec: Specification, say: Say, *, accept_shared_node: bool = False, accept_open_network: bool = False,
        anyway: bool = False,
    ) -> Created:  # fmt: skip
        """As on servers. Raises NeedsAcceptance where the cluster's network keeps nobody apart, unless accepted;
        WillNotStart or RepositoryDenied where that is foreseen, unless it is to be made `anyway`."""
        template = templates.require(self._templates, spec.template)
        if not isinstance(template, PodTemplate):
            return super().create(spec, say, accept_shared_node=accept_shared_node)
        there = self.require_cluster()
        there.backend_for(spec)
        apart, new = there.keeps_apart(), not there.has(spec.key)
        warnings = _warnings(template, apart, there.way_in(spec))
        if apart is False:
            if not accept_open_network and new:
                raise NeedsAcceptance(
                    "The cluster does not keep workspaces apart.",
                    OPEN_NETWORK,
                    ["accept it: --accept-open-network", "or give the cluster a network that does, such as Calico"],
                )
            warnings.append(OPEN_NETWORK)
        checked = self._checked(template, spec) if new else None
        misses = _misses(checked)
        if misses and not anyway:
            raise RepositoryDenied(
                f"The repository of {spec.key} would not be cloned, so it was not made.",
                f"{misses[0].reason[:1].upper()}{misses[0].reason[1:]}.",
                [misses[0].remedy, "or make it all the same, without: --anyway"],
            )
        warnings += [f"It starts, and {one.reason}." for one in misses]
        if new:
            ahead = there.foresee(spec)
            if ahead.problems and not anyway:
                raise _will_not_start(spec, ahead.problems)
            warnings += [f"It will not start: {one.reason}." for one in ahead.problems]
        made = there.create(spec, say)
        return Created(made.workspace, made.existed, tuple(warnings))

    def start(self, key: Key, say: Say = lambda _: None, *, in_cluster: bool = False) -> Workspace:
        return self._by_place(
            key,
            lambda there: there.start(key, say),
            lambda: super(OneManager, self).start(key, say),
            changes=True,
            in_cluster=in_cluster,
        )

    def restart(self, key: Key, say: Say = lambda _: None, *, in_cluster: bool = False) -> Workspace:
        """End it and start it again."""

        def on_server() -> Workspace:
            super(OneManager, self).stop(key)
            return super(OneManager, self).start(key, say)

        return self._by_place(
            key, lambda there: there.restart(key, say), on_server, changes=True, in_cluster=in_cluster
        )

    def stop(self, key: Key, *, in_cluster: bool = False) -> Workspace:
        return self._by_place(
            key,
            lambda there: there.stop(key),
            lambda: super(OneManager, self).stop(key),
            changes=True,
            in_cluster=in_cluster,
        )

    def delete(self, key: Key, with_storage: bool, *, in_cluster: bool = False) -> str:
        return self._by_place(
            key,
            lambda there: ", ".join(there.delete(key, with_storage)),
            lambda: super(OneManager, self).delete(key, with_storage),
            changes=True,
            in_cluster=in_cluster,
        )

    def set(self, key: Key, *, preset: str | None = None, template_now: bool = False) -> Workspace:
        """Another size, or its template as it is now, for one in the cluster, from its next start or restart on."""
        return self._in_cluster(key, "size").set(key, preset, template_now)

    def rename(self, key: Key, title: str) -> Workspace:
        """Another title for one in the cluster."""
        return self._in_cluster(key, "title").rename(key, title)

    def usage(self, key: Key | None = None) -> UsageDocument:
        """What workspaces use now, and how much they may: one's, or everybody's."""
        listing = self.list() if key is None else Listing((self.show(key),), {}, 0.0)
        measured, unmeasured = {}, ""
        if self.cluster is not None and any(one.key.node is None for one in listing.workspaces):
            try:
                measured = self.cluster.usage_of_workspaces()
            except NoMetrics as error:
                unmeasured = f"{error.what} {error.why}"
        return UsageDocument(
            workspaces=tuple(self._usage_row(one, measured) for one in listing.workspaces), unmeasured=unmeasured
        )

    def _usage_row(self, one: Workspace, measured: Mapping[tuple[str, str], Usage]) -> UsageRow:
        template = self._templates.get(one.template)
        size = template.sizes.get(one.preset) if template is not None else None
        used = measured.get((one.template, one.slug))
        return UsageRow(
            workspace=str(one.key),
            template=one.template,
            preset=one.preset,
            cpu=used.cpu if used is not None else one.cpu,
            cpu_limit=size.cpu if size is not None else None,
            memory=used.memory if used is not None else one.memory,
            memory_limit=size.memory_bytes if size is not None else None,
        )

    def _in_cluster(self, key: Key, what: str) -> ClusterWorkspaces:
        """The cluster, for what only its workspaces have."""
        if key.node is not None:
            raise UsageError(
                f"{key} is on a server, and keeps its {what}.",
                "Only workspaces in the cluster can get another one.",
                ["delete it without its storage and create it again: its data stays"],
            )
        return self.require_cluster()

    def given_up(self) -> tuple[GivenUp, ...]:
        """Storage in the cluster that was given up and is still there."""
        return self.require_cluster().given_up()

    def undelete(self, key: Key) -> tuple[str, ...]:
        """Take back storage that was given up. The names of the claims."""
        return self.require_cluster().undelete(key)

    def purge(self, key: Key | None) -> Purged:
        """Remove storage that was given up: what is due, or a key's however long ago."""
        return self.require_cluster().purge(key)

    def password(self, key: Key) -> str:
        return self._by_place(key, lambda there: there.password(key), lambda: super(OneManager, self).password(key))

    def sessions(self, key: Key) -> tuple[Session, ...]:
        """Who is on, as far as that can be told."""
        return self._by_place(key, lambda there: there.sessions(key), lambda: super(OneManager, self).sessions(key))

    def logs(self, key: Key, lines: int = 100, follow: bool = False) -> Iterator[str]:
        yield from self._by_place(
            key,
            lambda there: there.logs(key, lines, follow),
            lambda: super(OneManager, self).logs(key, lines, follow),
        )

    def events(self, key: Key) -> tuple[WorkspaceEvent, ...]:
        """What happened to a workspace of the cluster."""
        return self.require_cluster().events(key)

    def export(self, key: Key | None) -> tuple[Manifest, ...]:
        """The objects of a workspace; without a key what an administrator makes once for all of them."""
        there = self.require_cluster()
        return there.setup() if key is None else there.export(key)

    def shell(self, key: Key, words: Sequence[str] = (), *, terminal: bool, stdin: bool) -> Command:
        """A command inside a workspace of the cluster, by default its user's shell."""
        return self._inside(key, "shell").shell(key, words, terminal=terminal, stdin=stdin)

    def forwarder(self, key: Key, local: int = 0) -> Forwarder:
        """A port of this machine that leads to the editor of a workspace in the cluster."""
        return self._inside(key, "open --forward").forwarder(key, local)

    def sync(self, key: Key, mode: Mode = "pull") -> tuple[Repository, Synced]:
        """Bring the repository of a workspace in the cluster up to date, or look how it is."""
        return self._inside(key, "sync").sync(key, mode)

    def credentials(self, user: str) -> tuple[str, ...]:
        """The git servers that a user's credentials are kept for in the cluster."""
        return self.require_cluster().credentials(user)

    def give_credentials(self, user: str, url: str, name: str, token: str | None) -> tuple[str, ...]:
        """Keep a user's credentials for a git server, or with None forget them."""
        return self.require_cluster().give_credentials(user, url, name, token)

    def check_repository(self, user: str, repository: Repository) -> RepositoryCheck:
        """Whether a user can clone a repository, by their own credentials, as far as this machine sees."""
        return self._users_git().check(user, repository)

    def repositories_of(self, user: str, server: str | None = None) -> tuple[ServerTold, ...]:
        """What the git servers, or one of them, say of a user by their own credentials, and what they have there."""
        return self._users_git().told(user, server)

    def _users_git(self) -> UsersGit:
        there = self.require_cluster()
        if self._git is None:
            from homewright.workspaces.users_git import UsersGit

            self._git = UsersGit(there)
        return self._git

    def _checked(self, template: PodTemplate, spec: Specification) -> RepositoryCheck | None:
        if template.repositories is None or spec.repository is None:
            return None
        return self.check_repository(spec.key.user, spec.repository)

    def _inside(self, key: Key, verb: str) -> ClusterWorkspaces:
        """The cluster, for what goes through its API alone. Raises UsageError for a workspace on a server."""
        there = self.require_cluster() if key.node is None else None
        if there is None or not there.has(key):
            workspace = self.show(key)
            raise UsageError(
                f"`{verb}` is for workspaces in the cluster.",
                f"{workspace.key} is on the server {workspace.node}.",
                [f"use the terminal of its editor: {workspace.address}"],
            )
        return there

    def forward(self, workspace: Workspace) -> tuple[str, tuple[str, ...]]:
        if self.cluster is not None and workspace.key.node is None:
            return self.cluster.forward(workspace)
        return super().forward(workspace)

    def _by_place(
        self,
        key: Key,
        there: Callable[[ClusterWorkspaces], Answer],
        on_server: Callable[[], Answer],
        *,
        changes: bool = False,
        in_cluster: bool = False,
    ) -> Answer:
        """A verb where its workspace is. While the cluster cannot be asked, what is on servers can still be read."""
        if in_cluster:
            return there(self.require_cluster())
        silent: HomewrightError | None = None
        if key.node is None and self.cluster is not None:
            has = False
            try:
                has = self.cluster.has(key, briefly=not changes)
            except HomewrightError as error:
                if changes:
                    raise type(error)(
                        error.what, error.why, [*error.do, "for a workspace on a server, name that: --node NODE"]
                    ) from error
                silent = error
            if has:
                return there(self.cluster)
        try:
            return on_server()
        except InstanceNotFound:
            if silent is not None:
                raise silent from None
            raise


def _warnings(template: PodTemplate, apart: bool | None, way_in: str) -> list[str]:
    """What is said with each of its workspaces."""
    return [*filter(None, (template.warning, _UNTOLD_NETWORK if apart is None else "", way_in))]


def _misses(checked: RepositoryCheck | None) -> tuple[Problem, ...]:
    """What a workspace would lack, by what was said of its repository."""
    if checked is None or checked.state != "wrong":
        return ()
    reason = f"its repository would not be cloned: {checked.words}"
    return (Problem(reason=reason, whose="user", remedy=checked.remedy),)


def _will_not_start(spec: Specification, problems: Sequence[Finding]) -> WillNotStart:
    first, *others = problems
    why = "; ".join(one.reason for one in (first, *others))
    return WillNotStart(
        f"{spec.key} would not start, so it was not made.",
        f"{why[:1].upper()}{why[1:]}.",
        [*(one.remedy for one in problems if one.remedy), "or make it all the same: --anyway"],
    )

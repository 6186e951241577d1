"""Instances: each server as a bar of CPU, memory and disk, and the instances that are to run on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from homewright.errors import HomewrightError, SiteError
from homewright.screens.glyphs import look
from homewright.screens.page import Page
from homewright.screens.widgets.capacity import bar, legend
from homewright.screens.widgets.table import Column, Row, Table

if TYPE_CHECKING:
    from homewright.planning.documents import Misfit
    from homewright.planning.instances import HostShare, InstancePlan
    from homewright.screens.services_planning import Known
    from homewright.site.answers import Instance, Reserve
    from homewright.site.models import Site

KINDS: Mapping[str | None, str] = {
    None: "proposed by what the servers can do",
    "virtual-machine": "virtual machines",
    "container": "containers",
}
NO_ROOM = ("instances.reserve",)
"""What a server without room is told by: it gets no instance, so nothing is given out twice, and one may go on."""
ROLES = {"control-plane": "control plane", "worker": "worker"}


class Instances(Page):
    """What the servers are divided into."""

    CSS_PATH = ["widgets/frame.tcss", "widgets/field.tcss", "instances.tcss"]
    WHERE = "Instances"
    STEP = 6
    HELP = """
The LXD instances that become the cluster's nodes. Each server is a row of three bars (CPU, memory, disk): what
it keeps for itself, what its instances take, what is free; beneath it stand its instances with their size.

a       another instance, on the server under the cursor
enter   on an instance: its name, server, role and size; on a server: what every server keeps for itself
D       remove the instance under the cursor from the plan; one that was made is taken away with all that is in it
s       storage and image: what the instances' disks are kept in, and what they are made of
k       kind: virtual machines (isolated, can be given a GPU), or containers (lighter; the only ones possible
        where the processor cannot run virtual machines), or what is proposed
p       propose again: forget the instances named here, and take one on each server that has room

An instance has at least 2 CPUs, 2 GiB of memory and 20 GiB of disk. More than a server has is refused. With
three servers or more there are three control planes, else one: two cannot form a quorum.

On a site that runs, another server moves an instance with all that is in it, and another size is given to it; a
disk never becomes smaller. Plan says what each means before anything is done.

Where it ends up in site.yaml: instances.kind, instances.reserve, instances.nodes, instances.gone,
instances.storage, mirror.instances. Nothing is made before the plan is approved. Line by line:
homewright site set instances.nodes '[…]', or instances.nodes.NAME.cpu 8
"""
    BINDINGS = [
        Binding("a", "add", "add"),
        Binding("enter", "edit", "edit", key_display="enter"),
        Binding("D", "remove", "remove"),
        Binding("k", "kind", "kind"),
        Binding("s", "sources", "storage, image"),
        Binding("p", "propose", "propose again"),
        Binding("ctrl+n", "next", "next", key_display="ctrl+n"),
        Binding("escape", "back", "back", key_display="esc"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._known: Known | None = None
        self._placed: InstancePlan | None = None

    def body(self) -> ComposeResult:
        yield Static("Reading the site …", id="told", markup=False)
        yield Static(id="legend", markup=False)
        yield Table([], id="instances", empty="")
        with VerticalScroll(id="about", classes="frame", can_focus=False):
            yield Static(id="about-text", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#legend", Static).update(legend(self.ascii))
        sitting = self.home.sitting
        assert sitting is not None
        services = self.home.services
        self.start("load", lambda: services.answers(sitting.file, sitting.state), self._loaded)

    def on_resize(self) -> None:
        super().on_resize()
        self._draw()

    def _loaded(self, known: Known) -> None:
        self._known = known
        self._placed = self.home.services.decided(known, known.site).instances
        self._draw()

    # What is shown

    def _draw(self) -> None:
        known, placed = self._known, self._placed
        if known is None or placed is None:
            return
        self.query_one("#told", Static).update(self._told(known.site, placed))
        wide = self.app.size.width >= 100
        cpu, memory, disk = (18, 19, 20) if self.app.size.width >= 140 else (13, 14, 15) if wide else (12, 14, 15)
        columns = [Column("server"), Column("CPU", cpu), Column("memory GiB", memory)]
        columns += [Column("disk GiB", disk), Column("role", 13)]
        columns += [Column("address", 15)] if wide else []
        table = self.query_one(Table)
        table.set_columns(columns)
        rows: list[Row] = []
        for share in placed.hosts:
            rows.append(self._server(share, (cpu, memory, disk)))
            rows += [self._instance(node) for node in placed.on(share.host)]
        table.set_rows(rows)
        wrong = sum(misfit.field not in NO_ROOM for misfit in placed.problems)
        count = f"{len(placed.nodes)} instance{'' if len(placed.nodes) == 1 else 's'}"
        without = f" · {len(placed.problems)} without room" if placed.problems else ""
        self.retitle(f"{count} · {wrong} to put right" if wrong else f"{count}{without}")
        self._about()
        self.refresh_bindings()

    def _told(self, site: Site, placed: InstancePlan) -> str:
        if not self._wanted(site):
            return f"{placed.nodes_why} Platform is where that is chosen."
        kind = "Virtual machines" if placed.kind == "virtual-machine" else "Containers"
        chosen = "" if site.instances.kind else " (proposed)"
        proposed = " (proposed)" if placed.proposed else ""
        return f"{kind}{chosen}: {placed.why_kind}\nInstances{proposed}: {placed.nodes_why}"

    @staticmethod
    def _wanted(site: Site) -> bool:
        return site.platform.nodes == "instances" and site.platform.cluster != "existing"

    def _server(self, share: HostShare, widths: tuple[int, int, int]) -> Row:
        cells: list[tuple[str, str]] = [(share.host, "strong")]
        full = False
        for part, width in zip(("cpu", "memory", "disk"), widths, strict=True):
            kept, taken, total = (getattr(each, part) for each in (share.reserve, share.used, share.total))
            over = total is not None and taken > 0 and kept + taken > total
            full = full or over
            drawn = bar(kept or 0, taken or 0, total, width, self.ascii)
            cells.append((drawn, "failed" if over else "muted" if total is None else "plain"))
        known = None not in (share.total.cpu, share.total.memory, share.total.disk)
        word = f"{look('failed').mark(self.ascii)} too full" if full else "" if known else "not known"
        if known and not full and not share.instances and self._room(share) < 0:
            cells.append((f"{look('warning').mark(self.ascii)} no room", "warning"))
        else:
            cells.append((word, "failed" if full else "muted"))
        return Row(f"host {share.host}", tuple(cells))

    @staticmethod
    def _room(share: HostShare) -> float:
        """What is left of the scarcest of the three."""
        return min(getattr(share.free, part) or 0 for part in ("cpu", "memory", "disk"))

    def _instance(self, node: Instance) -> Row:
        cells = (f"  {node.name}", str(node.cpu), str(node.memory), str(node.disk), ROLES[node.role])
        return Row(f"node {node.name}", (*cells, node.address or ""))

    @on(Table.Highlighted)
    def _about(self) -> None:
        """What is wrong first; else what there is to know of the row under the cursor."""
        known, placed = self._known, self._placed
        if known is None or placed is None:
            return
        box, text = self.query_one("#about"), self.query_one("#about-text", Static)
        share, node = self._under(placed)
        problems = self._problems_of(placed, share, node)
        lines = [line for misfit in problems for line in self._wrong(misfit)]
        wrong = any(misfit.field not in NO_ROOM for misfit in problems)
        box.border_title = "to put right" if wrong else share.host if share is not None else "instances"
        if not problems:
            lines.append(Content(_free(share) if share is not None and node is None else placed.control_plane_why))
            others = [misfit for misfit in placed.problems if misfit not in problems]
            lines += [line for misfit in others[:1] for line in self._wrong(misfit)[:1]]
        text.update(Content("\n").join(lines))

    def _wrong(self, misfit: Misfit) -> list[Content]:
        """What does not fit, and what to do."""
        mild = misfit.field in NO_ROOM
        mark, style = look("warning" if mild else "failed"), "$text-warning" if mild else "$text-error"
        steps = [step.removeprefix("or ") if number == 1 else step for number, step in enumerate(misfit.do, 1)]
        first = Content.styled(f"{mark.mark(self.ascii)} {misfit.reason}.", style)
        return [first, *(Content(f"  {number}. {step}") for number, step in enumerate(steps, 1))]

    def _under(self, placed: InstancePlan) -> tuple[HostShare | None, Instance | None]:
        """The server of the row under the cursor, and the instance where it is one."""
        kind, _, name = self.query_one(Table).cursor_key.partition(" ")
        node = next((node for node in placed.nodes if node.name == name), None) if kind == "node" else None
        host = node.host if node else name
        return next((share for share in placed.hosts if share.host == host), None), node

    @staticmethod
    def _problems_of(placed: InstancePlan, share: HostShare | None, node: Instance | None) -> list[Misfit]:
        if share is None:
            return []
        names = [node.name] if node is not None else list(share.instances)
        fields = tuple(f"instances.nodes.{name}" for name in names)
        mine = [one for one in placed.problems if one.field.startswith(fields)] if fields else []
        return mine or [one for one in placed.problems if share.host in one.reason.replace(":", " ").split()]

    # What can be done

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        known, placed = self._known, self._placed
        if action in ("add", "edit", "remove", "kind", "propose", "sources"):
            if known is None or placed is None or not self._wanted(known.site):
                return False
            if action == "remove" and self._under(placed)[1] is None:
                return False
            if action == "propose" and placed.proposed:
                return False
        return super().check_action(action, parameters)

    def _named(self) -> list[Instance]:
        """The instances as the site would hold them: proposed ones without the addresses that nobody chose."""
        known, placed = self._known, self._placed
        assert known is not None and placed is not None
        if known.site.instances.nodes is not None:
            return list(known.site.instances.nodes)
        # One that was made keeps its address, whatever becomes of the others.
        made = {node.name for node in known.there}
        return [node if node.name in made else node.model_copy(update={"address": None}) for node in placed.nodes]

    def action_add(self) -> None:
        from homewright.screens.instance_boxes import InstanceBox
        from homewright.site.answers import Instance

        known, placed = self._known, self._placed
        assert known is not None and placed is not None
        share, _ = self._under(placed)
        host = share.host if share else known.site.servers[0].name
        nodes = self._named()
        taken = {node.name for node in nodes} | {server.name for server in known.site.servers}
        name = next(name for number in range(1, 1000) if (name := f"{host[:55]}-node{number}") not in taken)
        left = share.free if share else None
        usual = {"cpu": (2, 4), "memory": (2, 8), "disk": (20, 50)}
        size = {
            part: max(least, min(most, int(room))) if (room := getattr(left, part, None)) is not None else most
            for part, (least, most) in usual.items()
        }
        role = "worker" if nodes else "control-plane"
        new = Instance.model_validate({"name": name, "host": host, "role": role, **size})

        def done(made: Instance | None) -> None:
            if made is not None:
                self._put({"instances.nodes": [*nodes, made]}, f"node {made.name}")

        self.app.push_screen(InstanceBox(known, nodes, None, new), done)

    @on(Table.Chosen)
    def action_edit(self) -> None:
        from homewright.screens.instance_boxes import InstanceBox, ReserveBox

        known, placed = self._known, self._placed
        if known is None or placed is None or not self._wanted(known.site):
            return
        _, node = self._under(placed)
        if node is None:
            self.app.push_screen(ReserveBox(known.site.instances.reserve), self._keep)
            return
        nodes = self._named()
        old = next(one for one in nodes if one.name == node.name)

        def done(made: Instance | None) -> None:
            if made is not None:
                self._put({"instances.nodes": [made if one is old else one for one in nodes]}, f"node {made.name}")

        self.app.push_screen(InstanceBox(known, nodes, old, old), done)

    def _keep(self, reserve: Reserve | None) -> None:
        if reserve is not None:
            self._put({f"instances.reserve.{part}": getattr(reserve, part) for part in ("cpu", "memory", "disk")})

    def action_remove(self) -> None:
        from homewright.screens.ask import AskBox

        known, placed = self._known, self._placed
        node = self._under(placed)[1] if placed is not None else None
        if node is None or known is None:
            return
        name = node.name
        if name in {one.name for one in known.there}:
            self._take_away(known, node)
            return
        nodes = [one for one in self._named() if one.name != name]

        def answer(yes: bool | None) -> None:
            if yes:
                self._put({"instances.nodes": nodes}, f"host {node.host}")

        lines = [f"{name} leaves the plan; nothing is changed on {node.host} before the plan is approved."]
        self.app.push_screen(AskBox(f"remove {name}?", lines, "remove"), answer)

    def _take_away(self, known: Known, node: Instance) -> None:
        """One that was made goes with all that is in it, so its name has to be typed."""
        from homewright.errors import UsageError
        from homewright.screens.ask import AskBox

        try:
            changes = self.home.services.without_instance(known, node.name)
        except UsageError as error:
            self.problem(error)
            return

        def answer(yes: bool | None) -> None:
            if yes:
                self._put(changes, f"host {node.host}")

        lines = [
            f"{node.name} was made on {node.host}. Once the plan is carried out it is taken away with all that is in "
            "it: nothing else is a copy of that. To keep that, open it and give it another server."
        ]
        self.app.push_screen(AskBox(f"take {node.name} away?", lines, "take it away", typed=node.name), answer)

    def action_sources(self) -> None:
        from homewright.screens.instance_boxes import SourcesBox

        known = self._known
        assert known is not None

        def done(answers: dict[str, str | None] | None) -> None:
            if answers is not None:
                self._put({field: value for field, value in answers.items() if value != _at(known.site, field)})

        self.app.push_screen(SourcesBox(known), done)

    def action_kind(self) -> None:
        """The next kind: proposed, virtual machines, containers."""
        assert self._known is not None
        ring = list(KINDS)
        kind = ring[(ring.index(self._known.site.instances.kind) + 1) % len(ring)]
        self._put({"instances.kind": kind}, told=f"Kind: {KINDS[kind]}.")

    def action_propose(self) -> None:
        self._put({"instances.nodes": None}, told="Proposed anew.")

    def _put(self, changes: Mapping[str, Any], cursor: str = "", told: str = "") -> None:
        known, sitting, services = self._known, self.home.sitting, self.home.services
        assert known is not None and sitting is not None

        def saved(site: Site) -> None:
            self._loaded(known.on(site))
            self.say(f"{told} Saved in site.yaml.".strip(), "ok")
            if cursor:
                self.query_one(Table).move_to(cursor)

        def refused(error: HomewrightError) -> None:
            if isinstance(error, SiteError) and error.problems:
                self.say(f"{error.problems[0].field}: {error.problems[0].reason}", "failed")
            else:
                self.problem(error)

        self.start("save", lambda: services.put_answers(sitting.file, changes, known.site), saved, refused)

    def action_next(self) -> None:
        """Go on, or to the first instance that does not fit."""
        placed = self._placed
        if placed is None:
            return
        wrong = [misfit for misfit in placed.problems if misfit.field not in NO_ROOM]
        if wrong:
            misfit = wrong[0]
            table = self.query_one(Table)
            table.focus()
            named = [misfit.field.removeprefix("instances.nodes.").partition(".")[0]]
            named += misfit.reason.replace(":", " ").split()
            any(table.move_to(f"{kind} {name}") for name in named for kind in ("node", "host"))
            self.say(f"{misfit.reason}.", "failed")
            return
        self.onward()

    def action_back(self) -> None:
        self.backward()


def _free(share: HostShare) -> str:
    """What a server has left, or why that is not known."""
    if share.why_unknown:
        return share.why_unknown if share.why_unknown.endswith(".") else f"{share.why_unknown}."
    free, kept = share.free, share.reserve
    where = f" in {share.storage}" if share.storage else ""
    return (
        f"Free: {_amount(free.cpu, 'CPUs')}, {_amount(free.memory, 'GiB of memory')}, "
        f"{_amount(free.disk, 'GiB of disk')}{where}. It keeps {kept.cpu} CPUs, {kept.memory:g} GiB and "
        f"{kept.disk:g} GiB for itself; enter changes that."
    )


def _amount(value: float | None, unit: str) -> str:
    return f"unknown {unit}" if value is None else f"{value:g} {unit}"


def _at(site: Site, field: str) -> str | None:
    return site.instances.storage if field == "instances.storage" else site.mirror.instances

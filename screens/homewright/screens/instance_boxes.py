"""Boxes over the instances: one instance, and what every server keeps for itself. Judged while they are typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from homewright.errors import SiteError
from homewright.screens.page import Box, Result, TooSmall
from homewright.screens.widgets.field import Choice, Field, Rule, first_wrong

if TYPE_CHECKING:
    from homewright.planning.pools import StorageChoice
    from homewright.screens.services_planning import Known
    from homewright.site.answers import Instance, Reserve

AMOUNTS = {"cpu": "CPUs", "memory": "GiB of memory", "disk": "GiB of disk"}


class FormBox(Box[Result]):
    """A box of fields: enter goes to the next, ctrl+s saves."""

    BINDINGS = [Binding("ctrl+s", "save", show=False, priority=True)]

    def buttons(self) -> Static:
        parts = ("enter ", "bold"), "next field    ", ("ctrl+s ", "bold"), "save    ", ("esc ", "bold"), "back"
        return Static(Content.assemble(*parts), classes="buttons")

    def on_mount(self) -> None:
        self.query(Field).first().control_widget.focus()

    @on(Input.Submitted)
    def _submitted(self, message: Input.Submitted) -> None:
        fields = list(self.query(Field))
        at = next(i for i, field in enumerate(fields) if field.control_widget is message.input)
        if at + 1 < len(fields):
            fields[at].insist()
            fields[at + 1].control_widget.focus()
        else:
            self.action_save()

    def action_save(self) -> None:
        raise NotImplementedError

    def amount(self, model: str, name: str) -> Rule:
        """The rule of a whole number."""

        def rule(value: str) -> str:
            if not value.isascii() or not value.isdigit():
                return "must be a whole number"
            reason = self.home.services.reason(model, name, value)
            return reason.replace("should be", "must be")

        return rule


class InstanceBox(FormBox["Instance"]):
    """One instance: what it is called, where it runs, how large it is. What does not fit there is told at once."""

    def __init__(self, known: Known, nodes: Sequence[Instance], old: Instance | None, new: Instance) -> None:
        super().__init__()
        self._known = known
        self._others = [node for node in nodes if old is None or node.name != old.name]
        self._at = nodes.index(old) if old in nodes else len(nodes)
        self._old = old
        self._start = new
        self._misfits: dict[str, str] = {}
        self._about: Mapping[str, str] = {}

    def compose(self) -> ComposeResult:
        start = self._start
        servers = [(server.name, server.name) for server in self._known.site.servers]
        roles = [("control-plane", "control plane"), ("worker", "worker")]
        with Vertical(classes="box") as box:
            box.border_title = f"instance {self._old.name}" if self._old else "another instance"
            with VerticalScroll(can_focus=False):
                yield Field("name", "Name", value=start.name, rule=self._rule("name"))
                yield Field("host", "Server", value=start.host, rule=self._rule("host"), options=servers)
                yield Field("role", "Role", value=start.role, rule=self._rule("role"), options=roles)
                for name, label in (("cpu", "CPUs"), ("memory", "Memory, GiB"), ("disk", "Disk, GiB")):
                    yield Field(name, label, value=str(getattr(start, name)), rule=self._rule(name))
                hint = "By default the next free one of LXD's range"
                yield Field("address", "Address", value=start.address or "", rule=self._rule("address"), hint=hint)
            yield self.buttons()
        yield TooSmall()

    def on_mount(self) -> None:
        super().on_mount()
        self.call_after_refresh(self._judge)

    def _rule(self, name: str) -> Rule:
        def rule(value: str) -> str:
            return self._shape(name, value) or self._misfits.get(name, "")

        return rule

    def _shape(self, name: str, value: str) -> str:
        if name in AMOUNTS:
            return self.amount("instance", name)(value)
        if name == "address" and not value:
            return ""
        return self.home.services.reason("instance", name, value) if value else "this is needed"

    @on(Input.Changed)
    @on(Choice.Changed)
    def _judge(self) -> None:
        """Whether it fits where it is to run, beside the others."""
        self._misfits = {}
        made = self._made()
        if made is not None:
            try:
                site = self.home.services.answered(self._known.site, {"instances.nodes": self._all(made)})
            except SiteError as error:
                for problem in error.problems:
                    self._misfits[problem.field.rpartition(".")[2]] = problem.reason
            else:
                placed = self.home.services.decided(self._known, site).instances
                share = next(share for share in placed.hosts if share.host == made.host)
                for name, unit in AMOUNTS.items():
                    left = getattr(share.free, name)
                    if left is None:
                        continue
                    mine = getattr(made, name)
                    room = max(left + mine, 0)
                    self.query_one(f"#field-{name}", Field).hint(f"{made.host} has {room:g} {unit} for it")
                    if left < 0:
                        self._misfits[name] = f"too much: {made.host} has {room:g} {unit} for it"
                for misfit in placed.problems:
                    if misfit.field == f"instances.nodes.{made.name}.address":
                        self._misfits["address"] = misfit.reason
        for field in self.query(Field):
            field.insist() if field.field in self._misfits else field.refresh_reason()

    def _made(self) -> Instance | None:
        from homewright.site.answers import Instance

        values = {field.field: field.value for field in self.query(Field)}
        if any(self._shape(name, value) for name, value in values.items()):
            return None
        return Instance.model_validate({**values, "address": values["address"] or None})

    def _all(self, made: Instance) -> list[Instance]:
        return [*self._others[: self._at], made, *self._others[self._at :]]

    def action_save(self) -> None:
        self._judge()
        made = self._made()
        if first_wrong(list(self.query(Field))) is None and made is not None:
            self.dismiss(made)


class SourcesBox(FormBox["dict[str, str | None]"]):
    """What the instances' disks are kept in, and the image that they are made of."""

    def __init__(self, known: Known) -> None:
        super().__init__()
        self._known = known
        self._choices: dict[str, StorageChoice] = {}

    def compose(self) -> ComposeResult:
        site = self._known.site
        self._choices = {str(choice.kind): choice for choice in self.home.services.storage(self._known)}
        best = next((kind for kind, choice in self._choices.items() if choice.possible), "")
        only = all(choice.possible is False for kind, choice in self._choices.items() if kind != best)
        kinds = [(kind, kind) for kind in self._choices if not only or kind != best]
        if only:  # it is there once, also where the site has it by its name
            options = [(best if site.instances.storage == best else "", f"{best} (proposed)"), *kinds]
        else:
            options = [("", "the best there is (proposed)"), *kinds]
        with Vertical(classes="box") as box:
            box.border_title = "where instances are kept, and what they are made of"
            with VerticalScroll(can_focus=False):
                yield Field(
                    "storage", "Storage", value=site.instances.storage or "", rule=self._storage, options=options
                )
                hint = "https://SERVER/PATH#IMAGE or a file; else Ubuntu's"
                yield Field("image", "Image", value=site.mirror.instances or "", rule=self._image, hint=hint)
            yield self.buttons()
        yield TooSmall()

    def on_mount(self) -> None:
        super().on_mount()
        self.call_after_refresh(self._tell)

    def _storage(self, value: str) -> str:
        choice = self._choices.get(value)
        return f"not possible: {choice.why}" if choice is not None and choice.possible is False else ""

    def _image(self, value: str) -> str:
        return self.home.services.reason("mirror", "instances", value) if value else ""

    @on(Choice.Changed)
    def _tell(self) -> None:
        """What the chosen storage means."""
        field = self.query_one("#field-storage", Field)
        choice = self._choices.get(field.value)
        field.hint(choice.why if choice is not None else "One kind on all servers: zfs, btrfs, lvm or dir")
        field.insist()

    def action_save(self) -> None:
        fields = list(self.query(Field))
        if first_wrong(fields) is None:
            storage, image = (field.value or None for field in fields)
            self.dismiss({"instances.storage": storage, "mirror.instances": image})


class ReserveBox(FormBox["Reserve"]):
    """What every server keeps for itself."""

    def __init__(self, old: Reserve) -> None:
        super().__init__()
        self._old = old

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = "what every server keeps for itself"
            for name, label, hint in (
                ("cpu", "CPUs", "For the server's own system, LXD and workspaces beside the worker"),
                ("memory", "Memory, GiB", "The same"),
                ("disk", "Disk, GiB", "Of what is free where LXD keeps its instances"),
            ):
                yield Field(
                    name, label, value=str(getattr(self._old, name)), rule=self.amount("reserve", name), hint=hint
                )
            yield self.buttons()
        yield TooSmall()

    def action_save(self) -> None:
        from homewright.site.answers import Reserve

        fields = list(self.query(Field))
        if first_wrong(fields) is None:
            self.dismiss(Reserve.model_validate({field.field: int(field.value) for field in fields}))

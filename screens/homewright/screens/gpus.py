"""GPUs: what becomes of each, why not where it is not possible, and what that changes on its server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from homewright.screens.gpu_text import KEYS, USES, becomes, gpu_lines, preview_lines, short_name
from homewright.screens.page import Box, Page, TooSmall
from homewright.screens.text_box import TextBox
from homewright.screens.widgets.labelled import Labelled, Line
from homewright.screens.widgets.table import Column, Row, Table

if TYPE_CHECKING:
    from homewright.planning.gpus import GpuOption
    from homewright.screens.services_checks import GpuPlan
    from homewright.screens.services_planning import Known
    from homewright.site.answers import GpuChoice
    from homewright.site.models import Site

Use = Literal["containers", "passthrough", "desktop"]
SHORT = 120
"""Cells that the line above the keys has room for, beside what is not possible."""


class Gpus(Page):
    """A row for each GPU; beneath it what it is, who shares its group, and what is possible."""

    CSS_PATH = ["widgets/frame.tcss", "gpus.tcss"]
    WHERE = "GPUs"
    STEP = 5
    HELP = """
What becomes of each GPU (gpus in site.yaml: host, address, use, instance). One that nobody decides about stays
as it is.

c containers    the server's own containers share it (use: containers); needs NVIDIA's driver on the server
p pass through  one virtual machine gets it whole (use: passthrough, instance: its name). It takes everything
                in its IOMMU group with it, so a group that also holds a disk or a network card cannot go
d keep          it stays with the server, for a desktop or its console (use: desktop)
x as it is      take the choice back
t what suits    take what is proposed, for every GPU that nobody has decided about

A server does one or the other: it shares its GPUs with containers, or passes them through. A desktop needs a
GPU of its own. Where something is not possible, the box beneath says why.

Group   the IOMMU group and all that is in it; bridges stay with the server and are not counted
v       shows what reserving GPUs changes in how servers start, file by file, before anything is saved:
        kernel arguments (GRUB), which driver gets the card (VFIO), the initial file system (initramfs)

ctrl+s shows the same once more and saves; ctrl+n saves and goes on. Nothing on a server changes before the
plan is approved.
"""
    BINDINGS = [
        Binding("c", "use('containers')", "containers"),
        Binding("p", "use('passthrough')", "pass"),
        Binding("d", "use('desktop')", "keep"),
        Binding("v", "preview", "preview"),
        Binding("enter", "open", "details", key_display="enter"),
        Binding("x", "leave_it", "as it is"),
        Binding("t", "take", "what suits"),
        Binding("ctrl+s", "save", "save", key_display="ctrl+s"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("ctrl+n", "next", "next", key_display="ctrl+n"),
        Binding("escape", "back", "back", key_display="esc"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._known: Known | None = None
        self._plan: GpuPlan | None = None
        self._chosen: dict[tuple[str, str], GpuChoice] = {}
        """The choices as they stand here, by server and address."""

    def body(self) -> ComposeResult:
        columns = [Column("server", 10), Column("address", 12), Column("GPU"), Column("what becomes of it", 32)]
        yield Table(columns, id="gpus", empty="Looking …")
        with VerticalScroll(id="gpu", classes="frame", can_focus=False):
            yield Labelled(id="gpu-text")

    def on_mount(self) -> None:
        super().on_mount()
        sitting, services = self.home.sitting, self.home.services
        assert sitting is not None

        def load() -> tuple[Known, GpuPlan]:
            known = services.answers(sitting.file, sitting.state)
            return known, services.gpu_plan(known, known.site.gpus)

        def loaded(found: tuple[Known, GpuPlan]) -> None:
            self._known, self._plan = found
            self._chosen = {(one.host, one.address): one for one in self._known.site.gpus}
            self._draw()

        self.start("load", load, loaded)

    # What is shown

    def _draw(self) -> None:
        known, plan = self._known, self._plan
        if known is None or plan is None:
            return
        kept = {(one.host, one.address): one for one in known.site.gpus}
        rows = []
        for option in plan.document.gpus:
            at = option.host, option.address
            text = becomes(option, kept.get(at) == self._chosen.get(at), self.ascii)
            rows.append(Row(" ".join(at), (option.host, option.address, short_name(option.name), text)))
        table = self.query_one("#gpus", Table)
        missing = [server.name for server in known.site.servers if server.name not in known.facts]
        table.empty = "The GPUs are not known." if missing else "No server has a GPU."
        table.set_rows(rows)
        words = [f"{len(rows)} GPUs" if len(rows) != 1 else "1 GPU"]
        words += [f"{', '.join(missing)} not known"] if missing else []
        words += ["* not saved"] if self._changed() else []
        words += [f"filter: {table.needle}"] if table.needle else []
        self.retitle(" · ".join(words))
        self._detail()
        self.refresh_bindings()

    def _here(self) -> GpuOption | None:
        """The GPU under the cursor."""
        key = self.query_one("#gpus", Table).cursor_key
        options = self._plan.document.gpus if self._plan is not None else ()
        return next((option for option in options if f"{option.host} {option.address}" == key), None)

    @on(Table.Highlighted)
    def _detail(self) -> None:
        option, plan = self._here(), self._plan
        box, text = self.query_one("#gpu"), self.query_one("#gpu-text", Labelled)
        if option is None or plan is None:
            box.border_title = "what to do" if plan is not None else ""
            text.show_lines([Line("", self._without(), whole=True)] if plan is not None else [])
            return
        box.border_title = f"{option.name} · {option.host}"
        wrong = [
            Line("Wrong", f"{problem.reason}. {'; '.join(problem.do)}", "failed")
            for problem in plan.document.problems
            if option.address in problem.reason and option.host in problem.reason
        ]
        text.show_lines([*wrong, *gpu_lines(option, plan.members, self.ascii)])
        box.scroll_to(y=0, animate=False)

    def _without(self) -> str:
        """What to say where no GPU is seen."""
        known = self._known
        missing = [one.name for one in known.site.servers if one.name not in known.facts] if known is not None else []
        if self.query_one("#gpus", Table).needle:
            return "No GPU has this text: / and nothing shows all."
        if missing:
            return (
                f"The hardware of {', '.join(missing)} has not been seen. Hardware looks at it; ctrl+n goes on without."
            )
        return "The platform works without a GPU: go on with ctrl+n. One that is built in later is seen by Hardware."

    def _changed(self) -> bool:
        known = self._known
        return known is not None and self._choices() != list(known.site.gpus)

    def _choices(self) -> list[GpuChoice]:
        """The choices in the order of the GPUs; of those that are not seen now, at the end."""
        seen = [(one.host, one.address) for one in self._plan.document.gpus] if self._plan is not None else []
        order = {at: number for number, at in enumerate(seen)}
        return sorted(self._chosen.values(), key=lambda one: order.get((one.host, one.address), len(order)))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("use", "leave_it", "take", "preview", "save", "filter", "open"):
            known = self._plan is not None and bool(self._plan.document.gpus)
            return known and bool(super().check_action(action, parameters))
        return super().check_action(action, parameters)

    # Choosing

    def action_use(self, use: Use) -> None:
        """Choose for the GPU under the cursor; where that is not possible, say why."""
        option = self._here()
        if option is None:
            return
        choice = option.choice(use)
        if choice.possible is False:
            why = (
                choice.why if len(choice.why) <= SHORT else f"The box says why, at {KEYS[use]}; enter shows all of it."
            )
            self.say(f"{USES[use].capitalize()} is not possible. {why}", "failed")
            return

        def chosen(instance: str | None) -> None:
            if instance is not None:
                self._choose(option, use, instance)

        if use == "passthrough" and len(choice.instances) > 1:
            self.app.push_screen(WhichBox(option, choice.instances), chosen)
        else:
            self._choose(option, use, choice.instances[0] if use == "passthrough" and choice.instances else "")

    def _choose(self, option: GpuOption, use: Use, instance: str) -> None:
        from homewright.site.answers import GpuChoice

        # What shares its group goes with it, or nothing goes.
        together = option.together if use == "passthrough" else ()
        for address in (option.address, *together):
            self._chosen[option.host, address] = GpuChoice(
                host=option.host, address=address, use=use, instance=instance or None
            )
        why = option.choice(use).why
        note = f" {why}" if why else ""
        self.say(f"{option.address} of {option.host}: {USES[use]}.{note} ctrl+s saves.", "warning" if why else "ok")
        self._weigh()

    def action_leave_it(self) -> None:
        """Take the choice for the GPU under the cursor back."""
        option = self._here()
        if option is not None and self._chosen.pop((option.host, option.address), None) is not None:
            self.say(f"{option.address} of {option.host} stays as it is.", "ok")
            self._weigh()

    def action_take(self) -> None:
        """Take what is proposed for every GPU that nobody has decided about."""
        from homewright.site.answers import GpuChoice

        plan = self._plan
        if plan is None:
            return
        taken = 0
        for option in plan.document.gpus:
            if option.chosen is None and option.proposed != "desktop":
                instances = option.choice("passthrough").instances if option.proposed == "passthrough" else ()
                self._chosen[option.host, option.address] = GpuChoice(
                    host=option.host,
                    address=option.address,
                    use=option.proposed,
                    instance=instances[0] if instances else None,
                )
                taken += 1
        count = "1 GPU" if taken == 1 else f"{taken} GPUs"
        self.say(f"Taken for {count}; ctrl+s saves." if taken else "There is nothing more that suits a GPU here.")
        self._weigh()

    def _weigh(self) -> None:
        """Let planning look at the choices as they stand."""
        known, services, choices = self._known, self.home.services, self._choices()
        if known is None:
            return

        def weighed(plan: GpuPlan) -> None:
            self._plan = plan
            self._draw()

        self.start("weigh", lambda: services.gpu_plan(known, choices), weighed)

    # Seeing and keeping

    def _preview(self) -> list[Line]:
        plan = self._plan
        changing = [one for one in plan.document.previews if one.gpus] if plan is not None else []
        return preview_lines(changing) or [
            Line("", "No GPU is passed through, so nothing changes in how servers start.", whole=True)
        ]

    def action_open(self) -> None:
        """All about the GPU under the cursor, with room."""
        text = self.query_one("#gpu-text", Labelled)
        if text.lines:
            self.app.push_screen(TextBox(str(self.query_one("#gpu").border_title), text.lines))

    def action_preview(self) -> None:
        self.app.push_screen(TextBox("what changes in how servers start", self._preview()))

    def action_save(self) -> None:
        self._save(lambda: None)

    def _save(self, then: Callable[[], None]) -> None:
        """Show what the choices change, then write them; the first that does not fit is shown instead."""
        known, plan, sitting, services = self._known, self._plan, self.home.sitting, self.home.services
        if known is None or plan is None or sitting is None:
            return
        if self.jobs.running("weigh"):
            self.say("The choices are still being looked at; press it again.", "warning")
            return
        if plan.document.problems:
            self._show_problem()
            return
        if not self._changed():
            then()
            return
        choices = self._choices()

        def saved(site: Site) -> None:
            self._known = type(known)(site, known.facts, known.secrets)
            self._draw()
            self.say("Saved in site.yaml.", "ok")
            then()

        def answer(yes: bool | None) -> None:
            if yes:
                changes = {"gpus": choices or None}
                self.start("save", lambda: services.put_answers(sitting.file, changes, known.site), saved)

        self.app.push_screen(SaveBox("save these choices?", self._preview()), answer)

    def _show_problem(self) -> None:
        plan = self._plan
        assert plan is not None
        problem = plan.document.problems[0]
        for option in plan.document.gpus:
            if option.address in problem.reason and option.host in problem.reason:
                self.query_one("#gpus", Table).move_to(f"{option.host} {option.address}")
                break
        self.say(f"{problem.reason}: {'; '.join(problem.do)}", "failed")

    def action_next(self) -> None:
        """Go on; what is not saved is shown and saved first."""
        if self._plan is not None:
            self._save(self.onward)

    def action_filter(self) -> None:
        from homewright.screens.ask import LineBox

        table = self.query_one("#gpus", Table)

        def sift(needle: str | None) -> None:
            if needle is not None:
                table.set_needle(needle)
                self._draw()

        hint = "Shows the GPUs with this text; nothing shows all"
        self.app.push_screen(LineBox("filter", "Text", value=table.needle, hint=hint, yes="filter"), sift)

    def action_back(self) -> None:
        """Go back; what was not saved is asked about first."""
        from homewright.screens.ask import AskBox

        if not self._changed():
            self.backward()
            return

        def answer(yes: bool | None) -> None:
            if yes:
                self.backward()

        lines = ["What you changed here is not saved yet: ctrl+s saves it."]
        self.app.push_screen(AskBox("go back without saving?", lines, "go back"), answer)


class SaveBox(Box[bool]):
    """What a save changes on servers later, to read before it is made."""

    BINDINGS = [Binding("enter", "yes", show=False)]
    AUTO_FOCUS = "VerticalScroll"

    def __init__(self, title: str, lines: list[Line]) -> None:
        super().__init__()
        self._title = title
        self._lines = lines

    def compose(self) -> ComposeResult:
        parts = ("enter ", "bold"), "save    ", ("esc ", "bold"), "back    ", ("up down ", "bold"), "scroll"
        with Vertical(classes="box wide") as box:
            box.border_title = self._title
            with VerticalScroll(classes="tall"):
                yield Labelled(self._lines)
            yield Static(Content.assemble(*parts), classes="buttons")
        yield TooSmall()

    def action_yes(self) -> None:
        self.dismiss(True)


class WhichBox(Box[str]):
    """Which instance gets a GPU."""

    # Before the list gets the key: else the page beneath gets it too, once this is closed.
    BINDINGS = [Binding("enter", "take", show=False, priority=True)]
    AUTO_FOCUS = "Table"

    def __init__(self, option: GpuOption, instances: tuple[str, ...]) -> None:
        super().__init__()
        self._option = option
        self._instances = instances

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = "which instance gets it?"
            yield Static(f"{self._option.name} of {self._option.host}", markup=False, classes="lead")
            yield Table([Column()], [Row(name, (name,)) for name in self._instances])
            yield Static(
                Content.assemble(("enter ", "bold"), "this one    ", ("esc ", "bold"), "back"), classes="buttons"
            )
        yield TooSmall()

    @on(Table.Chosen)
    def action_take(self) -> None:
        self.dismiss(self.query_one(Table).cursor_key)

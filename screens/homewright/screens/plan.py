"""Plan: what would be done, where and for how long. Approving it begins the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from homewright.screens.page import Page
from homewright.screens.widgets.table import Column, Row, Table

if TYPE_CHECKING:
    from homewright.planning import Plan


class PlanPage(Page):
    """Stages and steps, or the changes on each server; totals; approve."""

    CSS_PATH = ["widgets/frame.tcss", "plan.tcss"]
    WHERE = "Plan"
    STEP = 8
    HELP = """
What a run would do, before it does anything: stages, steps, the servers of each, minutes (from past runs
where there were any), reboots, and what could lock you out. v shows the same by server.

Every step can be run again: what is done already is proved and left alone. Every step can be taken back.

Approving begins the run. It is approved for this site, these stages and these machines: when one of them
changes before the run begins, the run is refused and the plan is shown again.

ctrl+s saves the plan as JSON, as `homewright plan --json` prints it.
"""
    BINDINGS = [
        Binding("ctrl+n", "approve", "approve", key_display="ctrl+n"),
        Binding("v", "turn", "by server"),
        Binding("ctrl+s", "save", "save", key_display="ctrl+s"),
        Binding("r", "again", "again"),
        Binding("escape", "back", "back", key_display="esc"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._plan: Plan | None = None
        self._by_server = False

    def body(self) -> ComposeResult:
        yield Static("Planning …", id="totals")
        yield Table([], id="plan", empty="")
        with VerticalScroll(id="about", classes="frame"):
            yield Static(id="about-text")

    def on_mount(self) -> None:
        super().on_mount()
        self.action_again()

    def action_again(self) -> None:
        sitting = self.home.sitting
        assert sitting is not None
        services, stages = self.home.services, self.home.options.stages
        self.start("plan", lambda: services.plan(sitting.file, sitting.state, stages), self._planned)

    def _planned(self, plan: Plan) -> None:
        self._plan = plan
        self._draw()

    def _draw(self) -> None:
        plan = self._plan
        if plan is None:
            return
        self.query_one("#totals", Static).update(_totals(plan))
        table = self.query_one("#plan", Table)
        if self._by_server:
            table.set_columns([Column()])
            table.set_rows(_by_server(plan))
        else:
            table.set_columns([Column("step"), Column("servers", 22), Column("minutes", 8, right=True), Column("", 12)])
            table.set_rows(_by_stage(plan))
        self.retitle(f"about {max(round(plan.minutes), 1)} min")
        self._about()
        self.refresh_bindings()

    @on(Table.Highlighted)
    def _about(self) -> None:
        plan = self._plan
        if plan is None:
            return
        key = self.query_one("#plan", Table).cursor_key
        box = self.query_one("#about")
        text = self.query_one("#about-text", Static)
        step = next((step for stage in plan.stages for step in stage.steps if step.id == key.split(" ")[0]), None)
        if step is not None:
            box.border_title = f"{step.id} {step.title}"
            lines = [step.summary, f"Servers: {', '.join(step.hosts) or 'none'}. Done by {step.runner}."]
            source = "as it took before" if step.measured else "as the catalogue says"
            lines.append(f"About {_minutes(step.minutes)} min, {source}.")
            if step.reboots:
                lines.append("! It reboots these servers.")
            if step.may_lock_out:
                lines.append("! It could lock you out; it is taken back by itself when no new connection proves it.")
            if step.requires:
                lines.append(f"After {', '.join(step.requires)}.")
            text.update(Content("\n".join(lines)))
        else:
            box.border_title = "worth knowing"
            text.update(Content("\n".join(f"! {warning}" for warning in plan.warnings) or "Nothing special."))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("approve", "turn", "save"):
            return self._plan is not None and bool(super().check_action(action, parameters))
        return super().check_action(action, parameters)

    def action_turn(self) -> None:
        self._by_server = not self._by_server
        self._draw()
        self.query_one("#plan", Table).action_end(-1)

    def action_save(self) -> None:
        from homewright.site.paths import write_atomically

        plan, sitting = self._plan, self.home.sitting
        if plan is None or sitting is None:
            return
        file = Path.home() / f"homewright-{sitting.name}-plan.json"
        data = plan.model_dump_json(indent=2).encode()
        self.start("save", lambda: write_atomically(file, data), lambda _: self.say(f"Saved in {file}", "ok"))

    def action_approve(self) -> None:
        from homewright.screens.ask import AskBox

        plan, sitting = self._plan, self.home.sitting
        if plan is None or sitting is None:
            return
        steps = sum(len(stage.steps) for stage in plan.stages if not stage.skipped)
        where = f"{_count(steps, 'step')} on {_count(len(plan.hosts), 'server')}"
        lines = [f"{where}, about {max(round(plan.minutes), 1)} min."]
        lines += [f"! {', '.join(plan.reboots)} will be rebooted."] if plan.reboots else []
        lines += [f"! {', '.join(plan.may_lock_out)} could lock you out."] if plan.may_lock_out else []
        lines.append("The run goes on even if you leave or lose the connection.")

        def answer(yes: bool | None) -> None:
            if yes:
                self._begin()

        self.app.push_screen(AskBox("approve this plan?", lines, "approve and begin"), answer)

    def _begin(self) -> None:
        plan, sitting = self._plan, self.home.sitting
        assert plan is not None and sitting is not None
        services, stages = self.home.services, self.home.options.stages
        self.say("Starting the engine …")
        self.start(
            "begin",
            lambda: services.begin(sitting.file, sitting.state, plan.digest, stages),
            lambda _: self.home.go("deploy"),
        )

    def action_back(self) -> None:
        self.backward()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _minutes(minutes: float) -> str:
    return f"{minutes:.0f}" if minutes >= 10 else f"{minutes:.1f}"


def _totals(plan: Plan) -> Content:
    steps = sum(len(stage.steps) for stage in plan.stages if not stage.skipped)
    parts = [
        f"{_count(steps, 'step')} on {_count(len(plan.hosts), 'server')}, about {max(round(plan.minutes), 1)} min",
        f"reboots {', '.join(plan.reboots)}" if plan.reboots else "no reboot",
        f"could lock you out: {', '.join(plan.may_lock_out)}" if plan.may_lock_out else "nothing can lock you out",
    ]
    text = Content(" · ".join(parts))
    for warning in plan.warnings:
        text = Content("\n").join([text, Content.styled(f"! {warning}", "$text-warning")])
    return text


def _by_stage(plan: Plan) -> list[Row]:
    rows: list[Row] = []
    for stage in plan.stages:
        title = f"{stage.id} {stage.title}"
        if stage.skipped:
            rows.append(Row(f"stage {stage.id}", ((f"⊘ {title}: {stage.skipped}", "muted"),), heading=True))
            continue
        rows.append(Row(f"stage {stage.id}", ((title, "strong"),), heading=True))
        for step in stage.steps:
            flags = " ".join((["! reboot"] if step.reboots else []) + (["! lock-out"] if step.may_lock_out else []))
            rows.append(
                Row(
                    step.id,
                    (f"{step.id} {step.title}", " ".join(step.hosts), _minutes(step.minutes), (flags, "warning")),
                )
            )
    return rows


def _by_server(plan: Plan) -> list[Row]:
    rows: list[Row] = []
    for host in plan.hosts:
        flags = (" · ! reboots" if host.reboots else "") + (" · ! could lock you out" if host.may_lock_out else "")
        rows.append(Row(host.host, ((f"{host.host}{flags}", "strong"),), heading=True))
        rows += [Row(f"{change.split(' ')[0]} {host.host}", (change,)) for change in host.changes]
    return rows

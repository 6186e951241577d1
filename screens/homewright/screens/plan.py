"""Plan: what would be done, where and for how long, and what stands in the way. Approving it begins the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from homewright.screens.glyphs import look
from homewright.screens.page import Page, Rail
from homewright.screens.plan_views import VIEWS, View, at_boot, count, totals
from homewright.screens.widgets.table import Table

if TYPE_CHECKING:
    from homewright.screens.services_planning import Outlook


MOST_CHANGES = 4
"""Differences that the question before a retry tells."""


class PlanPage(Page):
    """The plan by stage, by server, by decision, by what changed; totals; approve."""

    CSS_PATH = ["widgets/frame.tcss", "plan.tcss"]
    WHERE = "Plan"
    STEP = 8
    HELP = """
What a run would do, before it does anything. v turns to the next view:

stages     stages and steps, the servers of each, minutes (from past runs where there were any), reboots, and
           what could lock you out
servers    what changes on each server: its steps, every file and every package, each with its step
decisions  what was decided about network, instances, GPUs and platform; why stands in the box beneath
edit       what is different from the plan that was approved last, and which old state that leaves behind
warnings   failed checks, answers that do not fit, and what else is worth knowing

Only what this version's stages do is here; other answers are kept for stages to come.

Every step can be run again: what is done already is proved and left alone. Every step can be taken back.
A failed check keeps the plan from being approved; c goes to Checks. A warning does not.

Approving begins the run. It is approved for this site, these stages and these machines: when one of them
changes before the run begins, the run is refused and the plan is shown again.

p has the run pause before every step that restarts servers or could lock you out, until you let it continue.
ctrl+s saves the plan as JSON, as `homewright plan --json` prints it.
"""
    BINDINGS = [
        Binding("ctrl+n", "approve", "approve", key_display="ctrl+n"),
        Binding("v", "turn(1)", "next view"),
        Binding("V", "turn(-1)", show=False),
        Binding("c", "checks", "checks"),
        Binding("p", "ask_first", "ask first"),
        Binding("ctrl+s", "save", "save", key_display="ctrl+s"),
        Binding("r", "again", "again"),
        Binding("escape", "back", "back", key_display="esc"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._outlook: Outlook | None = None
        self._view = next(iter(VIEWS))
        self._ask_first = False
        self._shown: View | None = None

    def body(self) -> ComposeResult:
        yield Static("Planning …", id="totals")
        yield Static(id="views")
        yield Table([], id="plan", empty="")
        with VerticalScroll(id="about", classes="frame", can_focus=False):
            yield Static(id="about-text", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.action_again()

    def action_again(self) -> None:
        sitting = self.home.sitting
        assert sitting is not None
        services, stages = self.home.services, self.home.options.stages

        def planned() -> Outlook:
            plan = services.plan(sitting.file, sitting.state, stages)
            return services.outlook(services.load(sitting.file), plan, sitting.state)

        self.start("plan", planned, self._planned)

    def _planned(self, outlook: Outlook) -> None:
        self._outlook = outlook
        checks = "pending" if outlook.unchecked else "failed" if outlook.blocking else ""
        self.home.left_open = {"Checks": checks} if checks else {}
        self.query_one(Rail).refresh()
        self._draw()

    def _draw(self) -> None:
        outlook = self._outlook
        if outlook is None:
            return
        self.query_one("#totals", Static).update(self._totals(outlook))
        names = [
            Content.styled(f"[{name}]", "bold $foreground") if name == self._view else Content(f" {name} ")
            for name in VIEWS
        ]
        self.query_one("#views", Static).update(Content(" ").join(names))
        self._shown = VIEWS[self._view](outlook)
        table = self.query_one("#plan", Table)
        table.set_columns(self._shown.columns)
        table.set_rows(self._shown.rows)
        self.retitle(f"about {max(round(outlook.plan.minutes), 1)} min")
        self._about()
        self.refresh_bindings()

    def _totals(self, outlook: Outlook) -> Content:
        """The whole in a line; beneath it what keeps it from being approved, else what is worth knowing."""
        lines = [Content(totals(outlook.plan))]
        failed, warning = (look(state).mark(self.ascii) for state in ("failed", "warning"))
        in_the_way = self._in_the_way(outlook)
        if in_the_way:
            lines.append(Content.styled(f"{failed} {in_the_way}", "$text-error"))
        elif outlook.plan.warnings:
            more = len(outlook.plan.warnings) - 1
            also = f" ({more} more under warnings)" if more else ""
            lines.append(Content.styled(f"{warning} {outlook.plan.warnings[0]}{also}", "$text-warning"))
        if self._ask_first and self._risky:
            lines.append(Content("It pauses before each step that restarts servers or could lock you out."))
        if outlook.difference is not None and not outlook.difference.empty:
            lines.append(Content("Different from the plan that was approved last: see edit."))
        return Content("\n").join(lines)

    @property
    def _risky(self) -> bool:
        """Whether there is anything before which the run could pause by itself."""
        return self._outlook is not None and bool(self._outlook.plan.reboots or self._outlook.plan.may_lock_out)

    @staticmethod
    def _in_the_way(outlook: Outlook) -> str:
        """What keeps the plan from being approved; empty where nothing does."""
        if outlook.unchecked:
            return "These servers were not checked yet: c goes to Checks."
        if outlook.blocking:
            named = list(
                dict.fromkeys(f"{one.title} ({', '.join(one.subjects) or 'site'})" for one in outlook.blocking)
            )
            more = f" and {len(named) - 2} more" if len(named) > 2 else ""
            words = f"{count(len(outlook.blocking), 'failed check')} in the way: {', '.join(named[:2])}{more}."
            return f"{words} c goes to Checks."
        if outlook.misfits:
            return f"{outlook.misfits[0].field}: {outlook.misfits[0].reason}."
        return ""

    @on(Table.Highlighted)
    def _about(self) -> None:
        if self._shown is None:
            return
        key = self.query_one("#plan", Table).cursor_key
        title, lines = self._shown.about.get(key, ("worth knowing", ("Nothing special.",)))
        self.query_one("#about").border_title = title
        self.query_one("#about-text", Static).update("\n".join(lines))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("approve", "turn", "save"):
            return self._outlook is not None and bool(super().check_action(action, parameters))
        if action == "ask_first":
            return self._risky and bool(super().check_action(action, parameters))
        return super().check_action(action, parameters)

    def action_ask_first(self) -> None:
        self._ask_first = not self._ask_first
        self._draw()

    def action_turn(self, by: int) -> None:
        names = list(VIEWS)
        self._view = names[(names.index(self._view) + by) % len(names)]
        self._draw()
        table = self.query_one("#plan", Table)
        table.action_end(-1)
        table.scroll_to(y=0, animate=False)

    def action_checks(self) -> None:
        self.home.go("checks")

    def action_save(self) -> None:
        from homewright.site.paths import write_atomically

        outlook, sitting = self._outlook, self.home.sitting
        if outlook is None or sitting is None:
            return
        file = Path.home() / f"homewright-{sitting.name}-plan.json"
        data = outlook.plan.model_dump_json(indent=2).encode()
        self.start("save", lambda: write_atomically(file, data), lambda _: self.say(f"Saved in {file}", "ok"))

    def action_approve(self) -> None:
        from homewright.screens.ask import AskBox

        outlook = self._outlook
        if outlook is None:
            return
        if outlook.unchecked or outlook.blocking:
            self._refuse(outlook)
            return
        if outlook.misfits:
            self.say(f"{self._in_the_way(outlook)} It has to be put right first.", "failed")
            return
        plan = outlook.plan
        begun = [step for step in plan.steps() if not step.skipped]
        where = f"{count(len(begun), 'step')} on {count(len(plan.hosts), 'server')}"
        lines = [f"{where}, about {max(round(plan.minutes), 1)} min."]
        lines += [f"! {', '.join(plan.reboots)} will be rebooted."] if plan.reboots else []
        lines += [f"! {', '.join(plan.may_lock_out)} could lock you out."] if plan.may_lock_out else []
        if self._ask_first and self._risky:
            lines.append("It pauses before each of these, until you let it continue.")
        open_warnings = len(outlook.report.warnings()) if outlook.report is not None else 0
        lines += [f"! {count(open_warnings, 'warning')} of the checks not accepted."] if open_warnings else []
        lines += self._edited(outlook)
        lines.append("The run goes on even if you leave or lose the connection.")
        if plan.at_boot is not None:
            lines.append(f"{'' if plan.at_boot.resumes else '! '}{at_boot(plan.at_boot)}")

        def answer(yes: bool | None) -> None:
            if yes:
                self._begin()

        title, yes = (
            ("retry with this plan?", "retry") if self.home.retrying else ("approve this plan?", "approve and begin")
        )
        self.app.push_screen(AskBox(title, lines, yes), answer)

    def _edited(self, outlook: Outlook) -> list[str]:
        """What is different from what was applied, where the plan is looked at to go on with a run."""
        if not self.home.retrying:
            return []
        from homewright.planning.difference import sentences

        told = list(sentences(outlook.difference)) if outlook.difference is not None else []
        more = [f"and {len(told) - MOST_CHANGES} more, under edit"] if len(told) > MOST_CHANGES else []
        same = ["Nothing is different from the plan that was approved."] if outlook.difference is not None else []
        after = "What was done is proved first; what the changes touch runs again."
        return [*(told[:MOST_CHANGES] or same), *more, after]

    def _refuse(self, outlook: Outlook) -> None:
        """Say what is in the way, and show the way to it."""
        from homewright.screens.ask import AskBox

        lines = ["The checks have not been run for these servers."] if outlook.unchecked else []
        for finding in outlook.blocking[:6]:
            where = ", ".join(finding.subjects) or "site"
            lines.append(f"{look('failed').mark(self.ascii)} {finding.title} · {where}: {finding.reason}")
        if len(outlook.blocking) > 6:
            lines.append(f"and {len(outlook.blocking) - 6} more")

        def answer(yes: bool | None) -> None:
            if yes:
                self.action_checks()

        self.app.push_screen(AskBox("this plan cannot be approved yet", lines, "go to Checks"), answer)

    def _begin(self) -> None:
        outlook, sitting = self._outlook, self.home.sitting
        assert outlook is not None and sitting is not None
        services, stages, plan = self.home.services, self.home.options.stages, outlook.plan
        ask_first = self._ask_first and self._risky
        self.say("Starting the engine …")

        def begin() -> str:
            services.approve(sitting.state, plan)
            run, self.home.retrying = self.home.retrying, ""
            if run:
                return services.go_on(sitting.file, sitting.state, run)
            return services.begin(sitting.file, sitting.state, plan.digest, stages, ask_first=ask_first)

        self.start("begin", begin, lambda _: self.home.go("deploy"))

    def action_back(self) -> None:
        self.backward()

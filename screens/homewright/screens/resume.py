"""Resume: a run that has not ended well. What is done and proved again, what drifted, what was cut off, what remains.

The proofs begin by themselves, in an engine that waits for a word before it does anything else; leaving the screen
ends it, and the run stands as it stood.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from homewright.engine.states import Action, State
from homewright.errors import HomewrightError, addressed
from homewright.screens.glyphs import look
from homewright.screens.page import age_text
from homewright.screens.viewing import Viewing
from homewright.screens.widgets.framed import entitle
from homewright.screens.widgets.table import Column, Row, Table

if TYPE_CHECKING:
    from homewright.engine.receipts import Receipt
    from homewright.engine.remains import Next, Remains, StepRemains
    from homewright.screens.services_runs import Standing

LOOK_S = 0.5
"""Between two looks at what the proofs say."""
_NEXT = {
    "nothing": "done",
    "prove": "pending",
    "run": "pending",
    "mend": "interrupted",
    "skip": "skipped",
    "wait": "unknown",
}


class Resume(Viewing):
    """Steps with what was recorded, what their proofs say now, and what comes next."""

    CSS_PATH = ["widgets/frame.tcss", "resume.tcss"]
    WHERE = "resume"
    HELP = """
A run that was cut off or has failed is gone on with here. Nothing that was recorded is believed: the proof of
every step that is done runs first, on all servers, and changes nothing there.

proved       it is as it was made: nothing is done to it
broken       it was done and is not any more (drift): the step runs again
cannot tell  the server does not answer yet, or something there is still on its way up: it is asked again, and
             never makes anything run
cut off      the step was in the middle: what it left is looked at first, then it runs

Answers that you have changed since make the steps that read them run again; their names stand beside the step.

ctrl+n goes on with it. a marks the step under the cursor to be run again whatever its proof says, k to be left
out. v asks every proof once more. m accepts a server that was replaced or installed anew. R takes the stage
of the step back. l shows the log. Leaving ends the proofs, and the run stands as it stood.
"""
    BINDINGS = [
        Binding("ctrl+n", "go_on", "go on", key_display="ctrl+n"),
        Binding("m", "accept", "accept machine"),
        Binding("v", "prove", "prove again"),
        Binding("a", "anew", "do anew"),
        Binding("k", "skip", "skip"),
        Binding("R", "roll_back", "take back", key_display="R"),
        Binding("l", "log", "log"),
        Binding("t", "take_control", "take control"),
        Binding("ctrl+s", "save", "save as text", key_display="ctrl+s", show=False),
        Binding("escape", "back", "back", key_display="esc"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._remains: Remains | None = None
        self._ended: float | None = None
        self._proving = False
        """We have asked for the proofs, and they are not through."""
        self._anew: set[str] = set()
        self._skips: dict[str, str] = {}
        self._machines: set[str] = set()
        """Servers that are accepted as other machines than before."""
        self._proved_with: set[str] = set()
        """Those of them that the engine which waits has heard of."""
        self._at_boot = ""

    def body(self) -> ComposeResult:
        yield Static("Reading the journal …", id="lead", classes="lead")
        yield Table([Column("step")], id="steps", empty="no step yet")
        with VerticalScroll(id="about"):
            yield Static(id="about-text")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#about").add_class("frame")
        self.query_one("#steps", Table).focus()
        self.be_present()
        self._look(first=True)
        self.set_interval(LOOK_S, self._look)

    # What stands in the journal

    def _look(self, first: bool = False) -> None:
        sitting, services = self.home.sitting, self.home.services
        if sitting is None or self.jobs.running("look") or self.jobs.running("begin"):
            return
        done = self._first if first else self._looked
        self.start("look", lambda: services.standing(sitting.file, sitting.state), done, quiet=not first)

    def _first(self, found: Standing) -> None:
        self._looked(found)
        remains = found.remains
        if remains.state.final and not remains.over:
            self.action_prove()

    def _looked(self, found: Standing) -> None:
        before, self._remains = self._remains, found.remains
        self._ended, self._at_boot = found.ended or self._ended, found.at_boot
        self.show_viewers(found.viewers)
        going = not found.remains.state.final
        if going and not found.remains.held:
            self.home.go("deploy")  # somebody has let it go on
            return
        if found.remains.over:
            self.home.go("finished" if found.remains.action is Action.RUN else "deploy")
            return
        if self._proving and (found.waits or not going):
            self._proving = False
            self._sum_up()
        if before != self._remains or found.waits:
            self._draw()
        self.refresh_bindings()

    def standing_changed(self) -> None:
        self._draw()
        self.refresh_bindings()

    def _sum_up(self) -> None:
        steps = self._remains.steps if self._remains else ()
        broken = [step.id for step in steps if any(host.verdict == "broken" for host in step.hosts)]
        unsure = [step.id for step in steps if step.with_next("wait")]
        if broken:
            self.say(f"Drifted since: {', '.join(broken)}. ctrl+n does that again, and what remains.", "warning")
        elif unsure:
            self.say(f"Whether {', '.join(unsure)} holds cannot be told yet. ctrl+n goes on all the same.", "warning")
        else:
            self.say("All that was done is proved. ctrl+n goes on with the rest.", "ok")

    # How it looks

    def _draw(self) -> None:
        remains = self._remains
        if remains is None:
            return
        self.query_one("#lead", Static).update(self._lead(remains))
        table = self.query_one("#steps", Table)
        wide = self.app.size.width >= 100
        widths = (10, 26, 30) if wide else (10, 17, 22)
        labels = ("recorded", "its proof", "what comes")
        table.set_columns([Column("step"), *map(Column, labels, widths)])
        table.set_rows([self._row(step) for step in remains.steps])
        entitle(self.query_one("#about"), subtitle=self.standing if not remains.state.final else "")
        self._draw_step()
        through = sum(1 for step in remains.steps if step.next in ("nothing", "skip"))
        ago = f"{age_text(self.now() - self._ended)} ago · " if self._ended else ""
        self.retitle(f"{ago}{through} of {len(remains.steps)} steps hold")

    def _lead(self, remains: Remains) -> Content:
        doing = {Action.ROLLBACK: "The roll-back", Action.VERIFY: "The proof of everything"}
        what = doing.get(remains.action, "The run")
        cut = [step.id for step in remains.steps if step.recorded is State.INTERRUPTED]
        state = f"was cut off in {', '.join(cut)}" if cut else look(remains.state).word
        if remains.state is State.FAILED:
            state = "has failed" + (f": {remains.reason}" if remains.reason else "")
        text = f"{what} {state}." if remains.state.final or cut else f"{what} has not ended well."
        parts = [Content(text)]
        for name in remains.replaced:
            accepted = " It is accepted." if name in self._machines else " m accepts it."
            parts.append(Content.styled(f"! {name} is another machine than before.{accepted}", "$text-warning"))
        if remains.changed:
            names = ", ".join(change.what for change in remains.changed)
            parts.append(Content.styled(f"! Answers have changed since: {names}", "$text-warning"))
        if remains.new_servers:
            parts.append(Content.styled(f"! New in the site: {', '.join(remains.new_servers)}", "$text-warning"))
        if remains.gone_servers:
            gone = ", ".join(remains.gone_servers)
            parts.append(Content.styled(f"! No longer in the site, left alone: {gone}", "$text-warning"))
        if self._at_boot:
            parts.append(Content(self._at_boot))
        return Content("\n").join(parts)

    def _row(self, step: StepRemains) -> Row:
        from homewright.engine.remains import recorded_words

        seen = look(step.recorded)
        following, tone = self._following(step)
        title = (f"{seen.mark(self.ascii)} {step.id} {step.title}", seen.tone)
        return Row(step.id, (title, recorded_words(step), self._proof(step), (following, tone)))

    def _proof(self, step: StepRemains) -> tuple[str, str]:
        by = {
            verdict: [host.host for host in step.hosts if host.verdict == verdict]
            for verdict in ("broken", "cannot-tell", "proved")
        }
        for verdict, word in (("broken", "broken"), ("cannot-tell", "cannot tell"), ("proved", "proved")):
            if by[verdict]:
                seen = look(verdict)
                everywhere = verdict == "proved" and len(by[verdict]) == len(step.hosts)
                where = "" if everywhere else f" {' '.join(by[verdict])}"
                return f"{seen.mark(self.ascii)} {word}{where}", seen.tone
        if step.with_next("prove"):
            return ("asking …" if self._proving else "not asked"), "muted"
        return "", "muted"

    def _following(self, step: StepRemains) -> tuple[str, str]:
        if step.id in self._skips:
            return "left out", "warning"
        if step.id in self._anew:
            return "done anew", "running"
        parts = []
        ways: tuple[tuple[Next, str], ...] = (
            ("mend", "done again"),
            ("run", "done again"),
            ("wait", "waited for"),
            ("prove", "proved"),
        )
        for following, word in ways:
            hosts = step.with_next(following)
            if hosts:
                word = "to do" if following == "run" and step.recorded is State.PENDING else word
                parts.append(word if len(hosts) == len(step.hosts) else f"{word} {' '.join(hosts)}")
        tone = {"nothing": "muted", "skip": "muted", "wait": "warning", "mend": "warning"}.get(step.next, "plain")
        return "; ".join(parts) or ("left out" if step.next == "skip" else "nothing"), tone

    @on(Table.Highlighted, "#steps")
    def _moved(self) -> None:
        self._draw_step()
        self.refresh_bindings()

    def _step(self) -> StepRemains | None:
        key = self.query_one("#steps", Table).cursor_key
        return next((step for step in self._remains.steps if step.id == key), None) if self._remains else None

    def _draw_step(self) -> None:
        step = self._step()
        box = self.query_one("#about")
        if step is None:
            return
        box.border_title = f"{step.id} {step.title}"
        parts: list[Content] = []
        for host in step.hosts:
            seen = look(str(host.verdict)) if host.verdict is not None else look(_NEXT[host.next])
            word = str(host.verdict).replace("-", " ") if host.verdict is not None else _words(host.next)
            said = f": {host.said}" if host.said else ""
            parts.append(Content(f"{seen.mark(self.ascii)} {host.host} {word}{said}"))
        if step.because:
            parts.append(Content(f"It reads what has changed: {', '.join(step.because)}."))
        if step.id in self._skips:
            parts.append(Content(f"Left out: {self._skips[step.id]}"))
        if step.say:
            parts.append(Content.assemble(("Why   ", "bold"), step.say))
        parts += [Content(f"  {number}. {addressed(line)}") for number, line in enumerate(step.do, 1)]
        if step.why and step.id not in self._skips:
            parts.append(Content(step.why))
        self.query_one("#about-text", Static).update(Content("\n").join(parts))

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not super().check_action(action, parameters):
            return False
        remains = self._remains
        if action in ("back", "log", "help"):
            return True
        if action == "take_control":
            return self.others is not None
        if remains is None or self.others is not None:
            return False
        applies = remains.action is Action.RUN
        if action == "accept":
            return bool(set(remains.replaced) - self._machines)
        if action == "prove":
            return not self._proving and applies
        if action in ("anew", "skip"):
            return applies and self._step() is not None
        if action == "roll_back":
            return applies and self._step() is not None
        return True

    def action_prove(self) -> None:
        """Ask the proofs of everything that is done."""
        sitting, services, remains = self.home.sitting, self.home.services, self._remains
        if sitting is None or remains is None or self.jobs.running("begin"):
            return
        self._proving = True
        self.jobs.forget("look")  # one from before tells of the proofs before
        self.say("Proving what was done …")
        machines = sorted(self._machines)
        self._proved_with = set(machines)
        if self._presence is not None:
            self._presence.wants = True

        def work() -> None:
            self._end_the_proofs(remains)
            services.prove_first(sitting.file, sitting.state, remains.run, machines)

        self.start("begin", work, lambda _: None, self._not_begun)

    def _not_begun(self, error: HomewrightError) -> None:
        self._proving = False
        self.problem(error)

    def action_anew(self) -> None:
        """Run the step under the cursor again whatever its proof says, or no longer."""
        step = self._step()
        if step is not None:
            self._skips.pop(step.id, None)
            self._anew ^= {step.id}
            self._draw()

    def action_skip(self) -> None:
        """Leave the step under the cursor out, with a reason that is kept; or no longer."""
        from homewright.screens.ask import SkipBox

        step = self._step()
        if step is None:
            return
        if step.id in self._skips:
            del self._skips[step.id]
            self._draw()
            return

        def reasoned(reason: str | None) -> None:
            if reason is not None:
                self._anew.discard(step.id)
                self._skips[step.id] = reason.strip()
                self._draw()

        self.app.push_screen(SkipBox(step.id, step.title), reasoned)

    def action_accept(self) -> None:
        """Say that a server may be another machine: all its steps run again, and nothing old is put back on it."""
        from homewright.screens.ask import AskBox

        names = [name for name in (self._remains.replaced if self._remains else ()) if name not in self._machines]
        if not names:
            return
        lines = [
            f"{names[0]} has another machine-id than the one that was recorded: it was replaced, or installed anew.",
            "All its steps run again there. What was recorded of the old machine's state is forgotten.",
            "If you have not done that, look first which machine answers at its address.",
        ]

        def answered(yes: bool | None) -> None:
            if yes:
                self._machines.add(names[0])
                self.say(f"{names[0]} is accepted; ctrl+n does all its steps again.", "ok")
                self._draw()

        self.app.push_screen(AskBox("another machine", lines, "accept it", typed=names[0]), answered)

    def action_go_on(self) -> None:
        """Do what remains."""
        sitting, services, remains = self.home.sitting, self.home.services, self._remains
        if sitting is None or remains is None:
            return
        unanswered = set(remains.replaced) - self._machines
        if unanswered:
            self.say(f"First say whether {', '.join(sorted(unanswered))} was replaced: m.", "warning")
            return
        self.say("Going on …")
        anew, skips, machines = sorted(self._anew), dict(self._skips), sorted(self._machines)
        as_it_is = remains.held and not (anew or skips or set(machines) - self._proved_with)

        def work() -> None:
            if as_it_is:
                self.tell_engine("continue")
                return
            self._end_the_proofs(remains)
            services.do_the_rest(sitting.file, sitting.state, remains.run, anew, skips, machines)

        self.start("begin", work, lambda _: self.home.go("deploy"))

    def _end_the_proofs(self, remains: Remains) -> None:
        """End the engine that waits, where there is one. Runs in a thread."""
        assert self.home.sitting is not None
        if remains.held:
            self.tell_engine("cancel")
            self.home.services.engine_gone(self.home.sitting.state)

    def action_roll_back(self) -> None:
        """Take the stage of the step under the cursor back, once its name has been typed."""
        from homewright.screens.ask import AskBox
        from homewright.screens.receipts import to_be_asked

        sitting, services, remains, step = self.home.sitting, self.home.services, self._remains, self._step()
        if sitting is None or remains is None or step is None:
            return
        stage, catalogues = step.id.rpartition("/")[0], self.home.options.stages
        steps = [one.id for one in remains.steps if one.id.rpartition("/")[0] == stage]
        lines = [
            f"Everything that stage {stage} made is taken back on all its servers, its last step first.",
            "This run is then over; the next apply begins a new one.",
        ]

        def work() -> None:
            self._end_the_proofs(remains)
            services.roll_back(sitting.file, sitting.state, stage, catalogues)

        def answered(yes: bool | None) -> None:
            if yes:
                self.say("Taking back …")
                self.start("begin", work, lambda _: self.home.go("deploy"))

        def look() -> tuple[list[Receipt], tuple[str, ...]]:
            return services.receipts(sitting.state), services.resting(sitting.file, sitting.state, stage, catalogues)

        def known(found: tuple[list[Receipt], tuple[str, ...]]) -> None:
            receipts, above = found
            before = [f"Before it, what rests on it is taken back: {', '.join(reversed(above))}."] if above else []
            told = [*before, *lines, *to_be_asked(receipts, steps)]
            self.app.push_screen(AskBox(f"take stage {stage} back?", told, "take it back", typed=stage), answered)

        self.start("receipts", look, known)

    def action_log(self) -> None:
        self.home.go("deploy")

    def action_save(self) -> None:
        """All of this as text, in the operator's home."""
        from homewright.engine.remains import sentences
        from homewright.site.paths import write_atomically

        remains, sitting = self._remains, self.home.sitting
        if remains is None or sitting is None:
            return
        file = Path.home() / f"homewright-{sitting.name}-resume.txt"
        data = ("\n".join(sentences(remains)) + "\n").encode()
        self.start("save", lambda: write_atomically(file, data), lambda _: self.say(f"Saved in {file}", "ok"))

    def action_back(self) -> None:
        self.home.back_to_welcome()


def _words(following: str) -> str:
    """What comes next on one server."""
    return {
        "nothing": "needs nothing",
        "prove": "to be proved",
        "run": "to be done",
        "mend": "was cut off: looked at first, then done",
        "skip": "left out",
        "wait": "waited for",
    }[following]

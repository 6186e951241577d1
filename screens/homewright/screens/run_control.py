"""What can be done with a run from its screen: go on, leave out, pause, cancel, save its log, pack it for others."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.engine.journal import RunRecord, StepRecord
from homewright.errors import HomewrightError, StateError
from homewright.screens import progress
from homewright.screens.loglines import View, read_on
from homewright.screens.viewing import Viewing

if TYPE_CHECKING:
    from homewright.screens.services_runs import Read


class RunControl(Viewing):
    """A page that shows a run."""

    def __init__(self) -> None:
        super().__init__()
        self.run_shown: RunRecord | None = None
        self.steps_shown: tuple[StepRecord, ...] = ()
        self._asked = ""
        """What the engine was told last, pause or continue, until the journal shows that it has done so."""

    @property
    def pausing(self) -> bool:
        """Whether the run is paused, or will be when its step has ended."""
        if self._asked:
            return self._asked == "pause"
        return self.run_shown is not None and bool(self.run_shown.reason)

    def show_run(self, run: RunRecord, steps: tuple[StepRecord, ...]) -> None:
        """Show the run as the journal has it now."""
        before = self.run_shown
        if before is None or (before.id, before.reason) != (run.id, run.reason) or run.state.final:
            self._asked = ""
        self.run_shown, self.steps_shown = run, steps

    def watch_again(self) -> None:
        """Show the run from its first line: another engine has begun to work on it."""

    def action_save(self) -> None:
        """The whole log of the run, as text, into the operator's home."""
        run, sitting = self.run_shown, self.home.sitting
        if run is None or sitting is None:
            return
        reader = self.home.services.reader(sitting.state)
        file = Path.home() / f"homewright-{sitting.name}-{run.id}.log"

        def write() -> int:
            count = 0
            try:
                with file.open("w", encoding="utf-8") as handle:
                    file.chmod(0o600)
                    batch = read_on(reader, View(run.id), 0)
                    while True:
                        handle.writelines(f"{line.text}\n" for line in batch.lines)
                        count += len(batch.lines)
                        if not batch.more:
                            return count
                        batch = read_on(reader, View(run.id), batch.after)
            except OSError as error:
                raise StateError(f"{file} could not be written.", f"{error.strerror}.") from error

        self.start("save", write, lambda count: self.say(f"{count} lines saved in {file}", "ok"))

    def action_bundle(self) -> None:
        """One file, without secrets, that shows others what happened, in the operator's home."""
        sitting = self.home.sitting
        if sitting is None:
            return
        services = self.home.services
        file = Path.home() / f"homewright-{sitting.name}-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz"
        self.say("Packing …")

        def told(made: Path) -> None:
            self.say(f"Support bundle without secrets: {made}", "ok")

        self.start("bundle", lambda: services.support_bundle(sitting.file, sitting.state, file), told)

    def action_again(self) -> None:
        """Go on with the run: what was done is proved first, then what failed or was cut off is done again."""
        sitting, run = self.home.sitting, self.run_shown
        if sitting is None or run is None:
            return
        services = self.home.services
        self.say("Starting …")
        self.start("begin", lambda: services.go_on(sitting.file, sitting.state, run.id), self._went_on)

    def _went_on(self, _: str) -> None:
        if self._presence is not None:
            self._presence.wants = True  # whoever starts an engine means to be in control of it
        self.say("The run goes on; what was done is proved first.", "ok")
        self.watch_again()

    def action_edit(self) -> None:
        """Edit an answer that the failed step reads; then the plan shows what that changes, and the run goes on."""
        from homewright.screens.edit_answer import WhichAnswerBox

        sitting, run, step = self.home.sitting, self.run_shown, progress.failed_step(self.steps_shown)
        if sitting is None or run is None or step is None:
            return
        services = self.home.services

        def chosen(key: str | None) -> None:
            kind, _, name = (key or "").partition(" ")
            if kind == "page":
                self.home.retrying = run.id
                self.home.go(name.lower())
            elif kind == "field":
                self._edit_here(run.id, next(one for one in reads if one.field == name))

        reads: tuple[Read, ...] = ()

        def read(found: tuple[Read, ...]) -> None:
            nonlocal reads
            reads = found
            self.app.push_screen(WhichAnswerBox(f"{step.step} {step.title}", found), chosen)

        self.start("reads", lambda: services.reads(sitting.file, sitting.state, run.id, step.step), read)

    def _edit_here(self, run: str, one: Read) -> None:
        """Edit an answer that no page of the wizard asks."""
        from homewright.screens.ask import LineBox

        sitting, services = self.home.sitting, self.home.services
        assert sitting is not None

        def plan(_: None) -> None:
            self.home.retrying = run
            self.home.go("plan")

        def typed(value: str | None) -> None:
            if value is not None:
                self.start("set", lambda: services.set_answer(sitting.file, one.field, value), plan)

        value = one.value if "\n" not in one.value else ""
        hint = "In YAML: a word, a number, [a, b] or {NAME: value}"
        self.app.push_screen(LineBox(one.field, "Value", value=value, hint=hint, yes="save, and see the plan"), typed)

    def action_skip(self) -> None:
        """Skip the step that failed, and go on: with a reason, which is kept with the run."""
        from homewright.screens.ask import SkipBox

        sitting, run, step = self.home.sitting, self.run_shown, progress.failed_step(self.steps_shown)
        if sitting is None or run is None or step is None:
            return
        services = self.home.services

        def reasoned(reason: str | None) -> None:
            if reason is None:
                return
            self.say("Starting …")
            skips = {step.step: reason.strip()}
            self.start("begin", lambda: services.go_on(sitting.file, sitting.state, run.id, skips), self._went_on)

        self.app.push_screen(SkipBox(step.step, step.title), reasoned)

    def action_cancel(self) -> None:
        """End the run, after a question."""
        from homewright.screens.ask import AskBox

        lines = [
            "The step that is at work ends what cannot be interrupted, and no other begins.",
            "What is done stays done. r goes on with the run later.",
        ]

        def answered(yes: bool | None) -> None:
            if yes:
                self._tell("cancel", "The run is being cancelled.")

        self.app.push_screen(AskBox("cancel the run?", lines, "cancel it", no="let it go on"), answered)

    def action_pause(self) -> None:
        """Begin no further step."""
        self._tell("pause", "The run pauses when the step that it is at has ended. p lets it go on.")

    def action_continue(self) -> None:
        """Let a paused run go on; take a pause back that has not come yet."""
        self._tell("continue", "The run goes on.")

    def _tell(self, command: str, said: str) -> None:
        before = self._asked

        def failed(error: HomewrightError) -> None:
            self._asked = before
            self.problem(error)

        if command in ("pause", "continue"):
            self._asked = command
        self.start("control", lambda: self.tell_engine(command), lambda _: self.say(said), failed)

"""What can be done about findings: repairs, acceptances, a file of them. The checks screen is made on this."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.errors import HomewrightError
from homewright.screens.check_board import Board, state_of
from homewright.screens.finding_text import subject
from homewright.screens.page import Page

if TYPE_CHECKING:
    from homewright.checks.models import Finding, Report
    from homewright.site.models import Site


class CheckActs(Page):
    """A page about a report of checks."""

    def __init__(self) -> None:
        super().__init__()
        self._site: Site | None = None
        self._report: Report | None = None
        self._board = Board((), ())

    # What the page itself knows

    def _findings(self) -> tuple[Finding, ...]:
        """What is under the cursor, the worst first."""
        raise NotImplementedError

    def _draw(self) -> None:
        raise NotImplementedError

    def action_recheck(self) -> None:
        """Check again what did not pass."""
        raise NotImplementedError

    # Repairing

    def _all(self) -> tuple[Finding, ...]:
        return self._report.findings if self._report is not None else ()

    @staticmethod
    def _fixable(findings: Sequence[Finding]) -> list[Finding]:
        """Those that Homewright can repair by itself."""
        return [one for one in findings if one.open and one.remedy is not None and one.remedy.fix is not None]

    def action_fix(self) -> None:
        found = self._findings()
        able = self._fixable(found)
        if able:
            self._ask_to_fix(able)
        elif not any(one.open for one in found):
            self.say("Nothing is to be fixed here.")
        else:
            remedy = next((one.remedy for one in found if one.open and one.remedy is not None), None)
            what = f" {remedy.say}" if remedy else ""
            self.say(f"Homewright cannot do this by itself.{what} enter shows how; then r.", "warning")

    def action_fix_all(self) -> None:
        able = self._fixable(self._all())
        if able:
            self._ask_to_fix(able)
        else:
            self.say("There is nothing that Homewright can fix by itself.")

    def _ask_to_fix(self, findings: Sequence[Finding]) -> None:
        """Say what will be changed; one repair on one server may clear several findings, and is said and done once."""
        sitting, services = self.home.sitting, self.home.services
        assert sitting is not None
        self.start("repairs", lambda: services.repairs(sitting.file, sitting.state, findings), self._ask_for)

    def _ask_for(self, repairs: Sequence[Finding]) -> None:
        from homewright.screens.ask import AskBox

        lines = []
        for one in repairs:
            assert one.remedy is not None
            lines.append(f"{one.title} · {subject(one)}")
            lines += [f"  {change}" for change in one.remedy.changes or (one.remedy.say,)]
        lines.append("\nThen what did not pass is checked again.")
        title = f"fix {repairs[0].title}?" if len(repairs) == 1 else f"fix {len(repairs)} things?"

        def answer(yes: bool | None) -> None:
            if yes:
                self._fix(repairs)

        self.app.push_screen(AskBox(title, lines, "change this", no="leave it"), answer)

    def _fix(self, findings: Sequence[Finding]) -> None:
        sitting, services = self.home.sitting, self.home.services
        assert sitting is not None
        tell = self.jobs.teller("fix", self.say)

        def work() -> list[HomewrightError]:
            """Every repair is tried; one that fails keeps no other from being made."""
            failures: list[HomewrightError] = []
            for one in findings:
                tell(f"{one.title} · {subject(one)} …")
                try:
                    services.fix(sitting.file, sitting.state, one, tell)
                except HomewrightError as error:
                    failures.append(error)
            return failures

        def done(failures: list[HomewrightError]) -> None:
            if failures:
                self.problem(failures[0])
            self.action_recheck()

        self.start("fix", work, done)
        self._draw()

    # Accepting

    def action_accept(self) -> None:
        """Accept the warnings under the cursor with a reason, or take that back."""
        found = self._findings()
        warnings = [one for one in found if state_of(one) == "warning"]
        accepted = [one for one in found if state_of(one) == "accepted"]
        if warnings:
            self._ask_for_reason(warnings)
        elif any(one.status == "failed" for one in found):
            self.say(
                "A failed check cannot be accepted: it stops the deployment. f or enter show what to do.", "failed"
            )
        elif accepted:
            self._ask_to_take_back(accepted)
        elif any(one.status == "unknown" for one in found):
            self.say("What is not known cannot be accepted: enter shows why it is not, and what to do.", "warning")
        else:
            self.say("There is no warning here to accept.")

    def _ask_for_reason(self, findings: Sequence[Finding]) -> None:
        from homewright.screens.ask import LineBox

        def rule(value: str) -> str:
            return "" if 3 <= len(" ".join(value.split())) <= 500 else "a reason of 3 to 500 characters"

        def answer(reason: str | None) -> None:
            if reason is not None:
                self._keep(findings, reason)

        about = subject(findings[0]) if len(findings) == 1 else count(len(findings), "warning")
        title = f"accept {findings[0].title} · {about}"
        hint = f"Why {findings[0].measured or 'this'} is acceptable here; kept in site.yaml"
        self.app.push_screen(LineBox(title, "Reason", rule=rule, hint=hint, yes="accept"), answer)

    def _ask_to_take_back(self, findings: Sequence[Finding]) -> None:
        from homewright.screens.ask import AskBox

        lines = [f"It was accepted: {findings[0].accepted}", "Taken back, it is a warning again."]

        def answer(yes: bool | None) -> None:
            if yes:
                self._keep(findings, None)

        self.app.push_screen(AskBox(f"take back {findings[0].title}?", lines, "take it back"), answer)

    def _keep(self, findings: Sequence[Finding], reason: str | None) -> None:
        """Write the acceptance (or, without a reason, take it out), and show it."""
        sitting, services, report = self.home.sitting, self.home.services, self._report
        if sitting is None or report is None:
            return

        def work() -> tuple[Site, Report]:
            from homewright.screens.services_checks import with_acceptances

            if reason is None:
                site = services.take_back(sitting.file, findings)
            else:
                site = services.accept_warnings(sitting.file, findings, reason)
            return site, with_acceptances(site, report)

        def kept(found: tuple[Site, Report]) -> None:
            self._site, self._report = found
            self._board.put(self._report.findings)
            self._draw()
            self.say("Taken back." if reason is None else "Accepted, with the reason, in site.yaml.", "ok")

        self.start("accept", work, kept)

    # Keeping

    def action_save(self) -> None:
        from homewright.site.paths import write_atomically

        report, sitting = self._report, self.home.sitting
        if report is None or sitting is None:
            return
        file = Path.home() / f"homewright-{sitting.name}-checks.json"
        data = report.model_dump_json(indent=2).encode()
        self.start("save", lambda: write_atomically(file, data), lambda _: self.say(f"Saved in {file}", "ok"))


def count(number: int, noun: str) -> str:
    """A number and its noun."""
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"

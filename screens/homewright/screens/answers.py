"""Pages of answers: fields of site.yaml with what planning makes of them beneath, saved when one goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input, Static

from homewright.errors import SiteError
from homewright.screens.page import Page
from homewright.screens.widgets.field import Choice, Field, Rule, first_wrong

if TYPE_CHECKING:
    from homewright.planning.documents import Misfit
    from homewright.screens.services_planning import Known
    from homewright.site.models import Site

WEIGH_AFTER_S = 0.15
"""After the last key, before planning looks at the answers again."""


def heading(text: str) -> Static:
    """A line between fields that says what those beneath it are about."""
    return Static(Content.styled(text, "bold $text-primary"), classes="part")


class AnswersPage(Page):
    """A form about the site. What planning says of an answer stands beneath its field while it is typed."""

    SECRETS: ClassVar[Mapping[str, str]] = {}
    """Fields that are secrets, with the name that each is kept under."""
    BINDINGS = [
        Binding("ctrl+n", "next", "next", key_display="ctrl+n", priority=True),
        Binding("ctrl+s", "save", "save", key_display="ctrl+s", priority=True),
        Binding("escape", "back", "back", key_display="esc"),
    ]
    AUTO_FOCUS = ""

    def __init__(self) -> None:
        super().__init__()
        self._known: Known | None = None
        self._misfits: dict[str, str] = {}
        """What is wrong with the answers as they stand, by their dotted names."""
        self._timer: Timer | None = None

    # What a page says about its answers

    def form(self, known: Known) -> Sequence[Widget]:
        """The fields, and the headings between them."""
        raise NotImplementedError

    def answer_of(self, name: str) -> str:
        """The answer that a field is about, as site.yaml names it; empty for one that is no answer."""
        raise NotImplementedError

    def parsed(self, name: str, text: str) -> Any:
        """What is typed in a field, as the site holds it; None where the default holds."""
        return text or None

    def shape(self, name: str, text: str) -> str:
        """Why what is typed cannot be right, whatever else is answered; empty where it can."""
        return ""

    def weigh(self, site: Site) -> Sequence[Misfit]:
        """Show what planning makes of these answers; what does not fit."""
        raise NotImplementedError

    # The form

    def above(self) -> ComposeResult:
        """What stands above the form and does not scroll with it."""
        yield from ()

    def body(self) -> ComposeResult:
        yield from self.above()
        with VerticalScroll(id="form", can_focus=False):
            yield Static("Reading the site …")

    def on_mount(self) -> None:
        super().on_mount()
        sitting = self.home.sitting
        assert sitting is not None
        services = self.home.services
        self.start("load", lambda: services.answers(sitting.file, sitting.state), self._loaded)

    def _loaded(self, known: Known) -> None:
        self._known = known
        form = self.query_one("#form")

        async def fill() -> None:
            await form.remove_children()
            await form.mount(*self.form(known))
            for field in self.fields[:1]:
                field.control_widget.focus()
            self._weigh_now()

        self.call_next(fill)

    @property
    def fields(self) -> list[Field]:
        """The fields that are shown, from the first to the last."""
        return [field for field in self.query(Field) if field.display]

    def field(self, name: str) -> Field:
        return self.query_one(f"#field-{name}", Field)

    def rule(self, name: str) -> Rule:
        """The rule of a field: its own shape, then what planning says of the answer."""

        def rule(value: str) -> str:
            return self.shape(name, value) or self._misfits.get(self.answer_of(name), "")

        return rule

    @on(Input.Changed)
    @on(Choice.Changed)
    def _typed(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(WEIGH_AFTER_S, self._weigh_now)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.focus_next()

    def _weigh_now(self) -> None:
        """Let planning look at the answers as they stand, and show beneath each field what it says."""
        known = self._known
        if known is None or not self.fields:
            return
        misfits: dict[str, str] = {}
        try:
            site = self.home.services.answered(known.site, self.changes())
        except SiteError as error:
            for problem in error.problems:
                misfits.setdefault(problem.field, problem.reason)
            site = known.site
        for misfit in self.weigh(site):
            misfits.setdefault(misfit.field, misfit.reason)
        self._misfits = misfits
        for field in self.query(Field):
            wrong = field.wrong
            if wrong and (field.query(Choice) or self._misfits.get(self.answer_of(field.field)) == wrong):
                field.insist()  # it was right when it was typed
            else:
                field.refresh_reason()
        if self.about is not None and not self.about.display:
            self.say("")

    def changes(self) -> dict[str, Any]:
        """The answers that are others than the site's; None where the default is to hold again."""
        known = self._known
        assert known is not None
        found: dict[str, Any] = {}
        for field in self.fields:
            answer = self.answer_of(field.field)
            if not answer or self.shape(field.field, field.value):
                continue
            value = self.parsed(field.field, field.value)
            if value != (self.home.services.answer_at(known.site, answer) or None):
                found[answer] = value
        return found

    def secrets(self) -> dict[str, str]:
        """The secrets that were typed here, by the names that they are kept under."""
        typed = {kept: self.field(name).value for name, kept in self.SECRETS.items() if self.field(name).display}
        return {kept: value for kept, value in typed.items() if value}

    # Going on

    def action_next(self) -> None:
        """Save and go on; or go to the first thing that is wrong."""
        self._settle(self.onward)

    def action_save(self) -> None:
        self._settle(lambda: self.say("Saved in site.yaml.", "ok"))

    def _settle(self, then: Callable[[], None]) -> None:
        known, sitting = self._known, self.home.sitting
        if known is None or sitting is None or not self.fields:
            return
        self._weigh_now()
        wrong = first_wrong(self.fields)
        if wrong is not None:
            self.complain(wrong)
            return
        changes, secrets, services = self.changes(), self.secrets(), self.home.services
        if not changes and not secrets:
            then()
            return

        def saved(site: Site) -> None:
            kept = known.secrets | set(secrets)
            self._known = type(known)(site, known.facts, frozenset(kept))
            for name in self.SECRETS:
                self.field(name).value = ""
            self._weigh_now()
            then()

        def save() -> Site:
            services.keep_secrets(sitting.state, secrets)
            return services.put_answers(sitting.file, changes, known.site)

        self.start("save", save, saved)

    def action_back(self) -> None:
        """Go back; what was not saved is asked about first."""
        from homewright.screens.ask import AskBox

        if self._known is None or not (self.changes() or self.secrets()):
            self.backward()
            return

        def answer(yes: bool | None) -> None:
            if yes:
                self.backward()

        lines = ["What you changed here is not saved yet: ctrl+s saves it."]
        self.app.push_screen(AskBox("go back without saving?", lines, "go back"), answer)

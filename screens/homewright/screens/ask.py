"""Boxes over a page: a question, an error, one line to type."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from homewright.errors import HomewrightError
from homewright.screens.page import Box, TooSmall
from homewright.screens.widgets.field import Field, Rule, first_wrong
from homewright.screens.widgets.line import Line


class AskBox(Box[bool]):
    """A question. Where `typed` is given, the answer is yes only once that very word has been typed."""

    BINDINGS = [
        Binding("enter", "yes", "yes", show=False),
        Binding("y", "yes", show=False),
        Binding("n", "close", show=False),
        *(Binding(key, f"read('{key}')", show=False) for key in ("up", "down", "pageup", "pagedown")),
    ]

    def __init__(self, title: str, lines: Sequence[str], yes: str, *, no: str = "stay", typed: str = "") -> None:
        super().__init__()
        self._title = title
        self._lines = lines
        self._yes = yes
        self._no = no
        self._typed = typed

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = self._title
            with VerticalScroll(id="asked-about", can_focus=not self._typed):
                for line in self._lines:
                    yield Static(line, markup=False)
            if self._typed:
                yield Static(f"\nType {self._typed} to go on:", markup=False)
                yield Line(compact=True)
                yield Static("", id="mismatch")
            yield Static(self._keys(), classes="buttons")
        yield TooSmall()

    def _keys(self, more: bool = False) -> Content:
        keys = Content.assemble(("enter ", "bold"), f"{self._yes}    ", ("esc ", "bold"), self._no)
        return Content.assemble(keys, ("    up down ", "bold"), "scroll") if more else keys

    def on_mount(self) -> None:
        if self._typed:
            self.query_one(Input).focus()
        else:
            self.query_one(VerticalScroll).focus()
        self._fit()

    def on_resize(self) -> None:
        self._fit()

    def _fit(self) -> None:
        if self._typed:
            # A box is at most 92 % of the screen; its frame, the line to type and the keys are ten rows of that.
            self.query_one(VerticalScroll).styles.max_height = max(1, self.app.size.height * 92 // 100 - 10)
        self.call_after_refresh(self._look)

    def _look(self) -> None:
        """Say how to see the rest, where there is more than fits."""
        more = self.query_one(VerticalScroll).max_scroll_y > 0
        self.query_one(".buttons", Static).update(self._keys(more))

    def action_read(self, key: str) -> None:
        """Scroll what is asked about, also while one types."""
        about = self.query_one(VerticalScroll)
        scrolls = {
            "up": about.scroll_up, "down": about.scroll_down, "pageup": about.scroll_page_up,
            "pagedown": about.scroll_page_down,
        }  # fmt: skip
        scrolls[key](animate=False)

    @on(Input.Changed)
    def _changed(self) -> None:
        self.query_one("#mismatch", Static).update("")

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_yes()

    def action_yes(self) -> None:
        if self._typed and self.query_one(Input).value.strip() != self._typed:
            self.query_one("#mismatch", Static).update(Content.styled(f"✗ that is not {self._typed}", "$text-error"))
            return
        self.dismiss(True)


class LineBox(Box[str]):
    """One line to type, validated as it is typed."""

    def __init__(
        self, title: str, label: str, *, value: str = "", rule: Rule | None = None, hint: str = "", yes: str = "go on",
        typed: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        """`typed` is told at every key."""
        super().__init__()
        self._typed = typed
        self._title = title
        self._field = Field("line", label, value=value, rule=rule, hint=hint)
        self._yes = yes

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = self._title
            yield self._field
            yield Static(
                Content.assemble(("enter ", "bold"), f"{self._yes}    ", ("esc ", "bold"), "back"), classes="buttons"
            )
        yield TooSmall()

    @on(Input.Changed)
    def _changed(self, message: Input.Changed) -> None:
        self._typed(message.value)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        if first_wrong([self._field]) is None:
            self.dismiss(self._field.value)


class SkipBox(LineBox):
    """Why a step is left out: its reason is kept with the run."""

    def __init__(self, step: str, title: str) -> None:
        super().__init__(
            f"skip {step} {title}?",
            "Reason",
            rule=lambda value: "" if value.strip() else "say why, it is kept with the run",
            hint="What depends on it runs only where its own proof holds",
            yes="skip it",
        )


def parts_of(error: HomewrightError) -> Content:
    """What happened, why, and what to do, as the screens show them."""
    lines: list[Content] = [Content.styled(f"✗ {error.what}", "bold $text-error")]
    if error.why:
        lines += [Content(), Content.assemble(("Why   ", "bold"), error.why)]
    if error.do:
        lines += [Content(), Content.styled("What to do", "bold")]
        lines += [Content(f"  {number}. {step}") for number, step in enumerate(error.do, 1)]
    return Content("\n").join(lines)


class ProblemBox(Box[None]):
    """An error's three parts."""

    BINDINGS = [Binding("enter", "close", show=False)]

    def __init__(self, error: HomewrightError) -> None:
        super().__init__(classes="-error")
        self.error = error

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = "that did not work"
            with VerticalScroll():
                yield Static(parts_of(self.error))
            yield Static(Content.assemble(("esc ", "bold"), "back"), classes="buttons")
        yield TooSmall()

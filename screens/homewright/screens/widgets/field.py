"""Fields of forms: validated as they are typed, with the reason beneath."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual.app import ComposeResult, RenderResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input, Label, Static

from homewright.screens.widgets.line import Line

Rule = Callable[[str], str]
"""A text in, the reason why it is wrong out; empty when it is right."""


class Choice(Widget, can_focus=True):
    """One of a few: left and right change it."""

    BINDINGS = [
        Binding("left", "turn(-1)", show=False),
        Binding("right,space", "turn(1)", show=False),
    ]
    at: reactive[int] = reactive(0)

    @dataclass
    class Changed(Message):
        choice: Choice
        value: str

        @property
        def control(self) -> Choice:
            return self.choice

    def __init__(self, options: Sequence[tuple[str, str]], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.options = list(options)

    @property
    def value(self) -> str:
        """Key of the option that is chosen; empty where there is none."""
        return self.options[self.at][0] if self.options else ""

    def set_options(self, options: Sequence[tuple[str, str]]) -> None:
        """Offer others; the one chosen stays chosen where it is still there."""
        before = self.value
        self.options = list(options)
        self.at = next((i for i, (key, _) in enumerate(self.options) if key == before), 0)
        self.refresh()

    def choose(self, key: str) -> None:
        """Choose the option of this key."""
        self.at = next((i for i, (name, _) in enumerate(self.options) if name == key), self.at)

    def action_turn(self, by: int) -> None:
        if self.options:
            self.at = (self.at + by) % len(self.options)

    def on_click(self) -> None:
        self.action_turn(1)

    def watch_at(self) -> None:
        if self.is_mounted and self.options:
            self.post_message(self.Changed(self, self.value))

    def render(self) -> RenderResult:
        if not self.options:
            return Content("–")
        count = f"  {self.at + 1} of {len(self.options)}" if len(self.options) > 1 else ""
        return Content.assemble(("‹ ", "$quiet"), self.options[self.at][1], (" ›", "$quiet"), (count, "$quiet"))


AT_ONCE = (
    Binding("tab", "app.focus_next", show=False, priority=True),
    Binding("shift+tab", "app.focus_previous", show=False, priority=True),
)
"""The toolkit carries a key's action out behind what is typed after it, and what is typed after tab would land in
the field before. What has priority is done at once."""


class Tick(Widget, can_focus=True):
    """Something to agree to: space ticks it."""

    BINDINGS = [Binding("space", "tick", show=False), *AT_ONCE]
    on: reactive[bool] = reactive(False)

    @dataclass
    class Changed(Message):
        tick: Tick
        on: bool

    def __init__(self, text: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.text = text

    def action_tick(self) -> None:
        self.on = not self.on

    def on_click(self) -> None:
        self.on = not self.on

    def watch_on(self) -> None:
        if self.is_mounted:
            self.post_message(self.Changed(self, self.on))

    def render(self) -> RenderResult:
        return Content(f"[{'x' if self.on else ' '}] {self.text}")


class Field(Container):
    """A label, what is typed or chosen, and the reason or a hint beneath."""

    BINDINGS = [*AT_ONCE]

    @dataclass
    class Judged(Message):
        """What is said beneath a field has changed."""

        judged: Field

    def __init__(
        self,
        name: str,
        label: str,
        *,
        value: str = "",
        rule: Rule | None = None,
        hint: str = "",
        secret: bool = False,
        placeholder: str = "",
        options: Sequence[tuple[str, str]] | None = None,
    ) -> None:
        super().__init__(id=f"field-{name}")
        self.field = name
        self.label = label
        self._start = value
        self._rule = rule
        self._hint = hint
        self._secret = secret
        self._placeholder = placeholder
        self._options = options
        self._touched = bool(value)
        self._shown = hint

    def compose(self) -> ComposeResult:
        yield Label(self.label)
        if self._options is not None:
            choice = Choice(self._options)
            choice.set_reactive(Choice.at, next((i for i, o in enumerate(self._options) if o[0] == self._start), 0))
            yield choice
        else:
            yield Line(self._start, password=self._secret, placeholder=self._placeholder, compact=True)
        yield Static()
        yield Static(self._hint, classes="reason", markup=False)

    def on_mount(self) -> None:
        self._show()

    @property
    def value(self) -> str:
        """What is typed or chosen now."""
        if self._options is not None:
            return self.query_one(Choice).value
        return self.query_one(Input).value if self._secret else self.query_one(Input).value.strip()

    @value.setter
    def value(self, value: str) -> None:
        if self._options is not None:
            self.query_one(Choice).choose(value)
        else:
            self.query_one(Input).value = value

    @property
    def wrong(self) -> str:
        """Why the value is wrong; empty when it is right."""
        return self._rule(self.value) if self._rule else ""

    @property
    def control_widget(self) -> Widget:
        return self.query_one(Choice) if self._options is not None else self.query_one(Input)

    def hint(self, text: str) -> None:
        """Another hint."""
        self._hint = text
        self._show()

    def propose(self, value: str, why: str) -> None:
        """Show in the empty field what holds while nothing is typed, and beneath it why."""
        for line in self.query(Input):
            line.placeholder = f"{value} (proposed)" if value else ""
        self.hint(why)

    def refresh_reason(self) -> None:
        """Look again whether the value is right: what it depends on may have changed."""
        self._show()

    def insist(self) -> str:
        """Show the reason even when nothing has been typed yet; returns it."""
        self._touched = True
        self._show()
        return self.wrong

    def on_descendant_focus(self) -> None:
        # When the focus comes, a new page is not laid out yet.
        self.call_after_refresh(self._come_into_view)

    def _come_into_view(self) -> None:
        """Scroll the field into view with what is said beneath it; the toolkit does so for the line alone."""
        if self._has_the_keys():
            self.scroll_visible(animate=False)
            self.call_after_refresh(self._lead_cursor)

    def _has_the_keys(self) -> bool:
        """Whether it is still there (its page may have been left meanwhile) and has the focus."""
        return self.is_attached and self.control_widget.has_focus

    def _lead_cursor(self) -> None:
        """Screen readers go by the terminal's cursor."""
        if self._has_the_keys():
            control = self.control_widget
            offset = control.cursor_screen_offset if isinstance(control, Input) else control.content_region.offset
            self.app.cursor_position = offset
            control.refresh()

    def on_input_changed(self) -> None:
        self._touched = self._touched or bool(self.value)
        self._show()

    def _show(self) -> None:
        wrong = self.wrong if self._touched else ""
        text = f"✗ {wrong}" if wrong else self._hint
        if text == self._shown:
            return  # a new text has the whole form laid out again
        self._shown = text
        reason = self.query_one(".reason", Static)
        reason.set_class(bool(wrong), "-wrong")
        reason.update(text)
        self.post_message(self.Judged(self))
        self.call_after_refresh(self._come_into_view)  # it may have moved, or grown


def first_wrong(fields: Sequence[Field]) -> Field | None:
    """The first field whose value is wrong, with every reason shown and the focus put on it."""
    wrong = [field for field in fields if field.insist()]
    if wrong:
        wrong[0].control_widget.focus()
        return wrong[0]
    return None

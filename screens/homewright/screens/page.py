"""What every full screen is made of: title line, rail, body, a line for what was said, and the keys that work now."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from rich.cells import cell_len
from textual.app import ComposeResult, RenderResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Static

from homewright.errors import HomewrightError
from homewright.screens.departed import Departing
from homewright.screens.glyphs import look
from homewright.screens.jobs import JobDone, Jobs, JobSays
from homewright.screens.painting import Painting
from homewright.screens.widgets.cells import fit

if TYPE_CHECKING:
    from homewright.screens.app import HomewrightApp
    from homewright.screens.widgets.field import Field

STEPS = ("Servers", "Hardware", "Checks", "Network", "GPUs", "Instances", "Platform", "Plan", "Deploy")
"""The wizard's steps, in order. The page of each has its name in lowercase; Site comes before, Finished after."""

LEAST = (80, 24)
"""The smallest terminal that the screens work in, in cells."""

Result = TypeVar("Result")


class TitleLine(Widget):
    """`Homewright · SITE · where we are`, and at the right what matters most now."""

    left = ""
    right = ""

    def show(self, left: str, right: str = "") -> None:
        if (left, right) != (self.left, self.right):
            self.left, self.right = left, right
            self.refresh()

    def render(self) -> RenderResult:
        width = self.size.width
        right = f" {self.right} " if self.right else ""
        left = fit(f" {self.left}", max(width - cell_len(right), 0))
        return Content(left + right)


class Rail(Widget):
    """The wizard's steps with their state; from 100 columns."""

    def __init__(self, current: int) -> None:
        super().__init__()
        self.current = current

    def render(self) -> RenderResult:
        home = cast("HomewrightApp", self.app)
        styles = {"ok": "$text-success", "running": "bold", "failed": "$text-error"}
        lines: list[Content] = [Content()]
        for number, name in enumerate(STEPS, 1):
            state = "done" if number < self.current else "running" if number == self.current else "pending"
            if state == "done":
                state = home.left_open.get(name, state)
            seen = look(state)
            word = {"done": "done", "running": "now", "failed": "open"}.get(state, "")
            text = fit(f" {seen.mark(home.terminal.ascii)} {number} {name}", 15) + f" {word}"
            lines.append(Content.styled(text, styles.get(seen.tone, "$quiet")))
        return Content("\n").join(lines)


WAY_ON = "ctrl+n"
"""The key that every key line has room for, besides help."""
LEAVE = "ctrl+q"
"""The first to go where room is scarce: it is the same on every screen."""
MORE = ("ctrl+p", "more")
"""Shown where some keys do not fit: the palette has them all."""


class KeyLine(Widget):
    """The keys that work now, on one line; what does not fit is in the palette, and that is said."""

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.refresh())

    def keys(self) -> list[tuple[str, str]]:
        """Key and label, in the order of the screen's bindings."""
        shown: dict[str, tuple[str, str]] = {}
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if binding.show and active.enabled and binding.description and binding.action not in shown:
                shown[binding.action] = (self.app.get_key_display(binding), binding.description)
        return list(shown.values())

    def render(self) -> RenderResult:
        parts = [
            Content.assemble(" ", (key, "bold $keys"), f" {label} ")
            for key, label in fitting(self.keys(), self.size.width)
        ]
        return Content("").join(parts)


def fitting(keys: Sequence[tuple[str, str]], width: int) -> list[tuple[str, str]]:
    """The keys that a line of this width has room for, the first ones first, help last."""

    def size(pairs: Iterable[tuple[str, str]]) -> int:
        return sum(cell_len(f" {key} {label} ") for key, label in pairs)

    ordered = [pair for pair in keys if pair[0] != "F1"]
    last = [pair for pair in keys if pair[0] == "F1"]
    for shown in (ordered, [pair for pair in ordered if pair[0] != LEAVE]):
        if size([*shown, *last]) <= width:
            return [*shown, *last]
    last = [MORE, *last]
    room = width - size(last) - size(pair for pair in ordered if pair[0] == WAY_ON)
    shown = []
    full = False
    for pair in ordered:
        if pair[0] == WAY_ON:
            shown.append(pair)
        elif not full and size([pair]) <= room:
            room -= size([pair])
            shown.append(pair)
        else:
            full = True
    return [*shown, *last]


class TooSmall(Static):
    """All that a terminal too small for the screens is told."""

    def render(self) -> RenderResult:
        size = self.app.size
        return Content(
            f"Homewright needs {LEAST[0]}x{LEAST[1]}.\n"
            f"This terminal has {size.width}x{size.height}.\n\n"
            "Make it larger, or go on line by line:\n  homewright --help\n\nctrl+q leaves."
        )


def too_small(size: tuple[int, int]) -> bool:
    """Whether the screens do not fit."""
    return size[0] < LEAST[0] or size[1] < LEAST[1]


class Refocusing(Departing):
    """A screen that has its focus back once the terminal is large enough again: what is hidden loses it."""

    _focused_before: Widget | None = None

    def on_resize(self) -> None:
        if too_small(self.app.size):
            self._focused_before = self._focused_before or self.screen.focused
        elif self._focused_before is not None:
            self.call_after_refresh(self._refocus, self._focused_before)
            self._focused_before = None

    def _refocus(self, widget: Widget) -> None:
        if widget in self.screen.focus_chain:
            widget.focus(scroll_visible=False)


class Page(Refocusing, Screen[None]):
    """One screen of the wizard or the manager."""

    WHERE: ClassVar[str] = ""
    """What the title line says after the site's name."""
    STEP: ClassVar[int] = 0
    """Its number among the wizard's steps; 0 outside the wizard."""
    HELP: ClassVar[str] = ""
    """What it is for, what each field means, and where it ends up in site.yaml."""

    BINDINGS = [
        Binding("f1,question_mark", "app.help", "help", key_display="F1", show=True),
    ]
    AUTO_FOCUS = "Table, Input"

    def __init__(self) -> None:
        super().__init__()
        self._compositor = Painting()
        self.jobs = Jobs(self)
        self._right = ""
        self.about: Field | None = None
        """The field that the line above the keys is about."""

    @property
    def home(self) -> HomewrightApp:
        """The program itself, typed."""
        return cast("HomewrightApp", self.app)

    @property
    def ascii(self) -> bool:
        return self.home.terminal.ascii

    def compose(self) -> ComposeResult:
        yield TitleLine()
        with Horizontal(id="middle"):
            if self.STEP:
                yield Rail(self.STEP)
            with Vertical(id="body"):
                yield from self.body()
        yield Static(id="said")
        yield KeyLine()
        yield TooSmall()

    def body(self) -> ComposeResult:
        """The widgets of this screen."""
        yield from ()

    def on_mount(self) -> None:
        self.retitle()

    def on_resize(self) -> None:
        super().on_resize()
        self.retitle()

    def on_screen_resume(self) -> None:
        self.retitle()

    def where(self) -> str:
        """What the title line says after the site's name."""
        if self.STEP and self.app.size.width < 100:
            return f"{self.STEP}/{len(STEPS)} {self.WHERE}"
        return self.WHERE

    def retitle(self, right: str | None = None) -> None:
        """Draw the title line again, with something new at the right."""
        if right is not None:
            self._right = right
        for title in self.query(TitleLine):
            site = self.home.site_name
            marked = ["REHEARSAL"] if getattr(self.home.options, "rehearse", None) else []
            parts = ["Homewright", *marked, *([site] if site else []), self.where()]
            title.show(" · ".join(parts), self._right)

    def say(self, text: str, tone: str = "plain") -> None:
        """Say something on the line above the keys; it stays until the next thing is said."""
        style = {"failed": "$text-error", "ok": "$text-success", "warning": "$text-warning"}.get(tone, "")
        mark = {"failed": "failed", "ok": "done", "warning": "warning"}.get(tone)
        prefix = f"{look(mark).mark(self.ascii)} " if mark else ""
        self.about = None
        self.query_one("#said", Static).update(Content.styled(f"{prefix}{text}", style) if style else Content(text))

    def complain(self, field: Field) -> None:
        """Say what is wrong with a field, for as long as that is so."""
        self.say(f"{field.label}: {field.wrong}", "failed")
        self.about = field

    def on_field_judged(self, message: Field.Judged) -> None:
        if message.judged is self.about:
            if message.judged.wrong:
                self.complain(message.judged)
            else:
                self.say("")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """No key acts on what cannot be seen."""
        return not too_small(self.app.size)

    # Work in threads

    def start(
        self,
        name: str,
        work: Callable[[], Result],
        done: Callable[[Result], None],
        failed: Callable[[HomewrightError], None] | None = None,
        quiet: bool = False,
    ) -> None:
        """Run `work` in a thread; then `done`, or `failed` (by default: show what, why and what to do)."""
        self.jobs.start(name, work, done, failed or self.problem, quiet)
        self.refresh_bindings()

    def on_job_done(self, message: JobDone) -> None:
        if self.departed or not self.jobs.settle(message):
            return
        if message.error is not None:
            self.home.unexpected(message.error)
        message.deliver()
        self.refresh_bindings()

    def on_job_says(self, message: JobSays) -> None:
        if not self.departed and self.jobs.current(message):
            message.deliver()

    def problem(self, error: HomewrightError) -> None:
        """Show an error's three parts."""
        from homewright.screens.ask import ProblemBox

        self.say("")  # what was being done is over
        self.app.push_screen(ProblemBox(error))

    def now(self) -> float:
        return self.home.clock()

    # The wizard's way

    def onward(self) -> None:
        """Show the wizard's next step; of an answer that is edited to retry a run, what that changes."""
        self.home.go("plan" if self.home.retrying else page_of(self.STEP + 1))

    def backward(self) -> None:
        """Show the wizard's step before this one; before the first lies Welcome."""
        if self.home.retrying:
            self.home.retrying = ""
            self.home.go("deploy")
        elif self.STEP > 1:
            self.home.go(page_of(self.STEP - 1))
        else:
            self.home.back_to_welcome()


def page_of(step: int) -> str:
    """Name of the page of a step of the wizard; the first is 1."""
    return STEPS[step - 1].lower()


class Box(Refocusing, ModalScreen[Result]):
    """A box over a page: a question, an error, help."""

    CSS_PATH = ["widgets/field.tcss", "box.tcss"]
    BINDINGS = [Binding("escape", "close", "back", show=False)]

    def __init__(self, *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._compositor = Painting()

    @property
    def home(self) -> HomewrightApp:
        return cast("HomewrightApp", self.app)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return not too_small(self.app.size)

    def action_close(self) -> None:
        self.dismiss(None)


class WorkingBox(Box[Result]):
    """A box that looks something up in a thread."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs = Jobs(self)

    def on_job_done(self, message: JobDone) -> None:
        if not self.departed and self.jobs.settle(message):
            if message.error is not None:
                self.home.unexpected(message.error)
            # An answer that is there before the box was laid out: a text that is updated while its first layout is
            # still due would keep the height of what it said before.
            self.call_after_refresh(message.deliver)


def clock_text(ts: float) -> str:
    """Local time of day, HH:MM."""
    return time.strftime("%H:%M", time.localtime(ts))


def span_text(seconds: float) -> str:
    """A duration as m:ss, or h:mm:ss."""
    whole = int(max(seconds, 0))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def age_text(seconds: float) -> str:
    """How long ago, in one unit: 8s, 5m, 3h, 2d."""
    seconds = max(seconds, 0)
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return f"{int(seconds)}s"


def size_text(amount: int | None) -> str:
    """Bytes in the largest binary unit that keeps the number readable; a dash where unknown."""
    if amount is None:
        return "–"
    value = float(amount)
    for unit in ("B", "K", "M", "G", "T"):
        if value < 1024 or unit == "T":
            return f"{value:.0f}{unit}" if value >= 10 or unit == "B" else f"{value:.1f}{unit}"
        value /= 1024
    return "–"

"""Boxes of taking over: make a site export, and go on with a site from one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from homewright.errors import HomewrightError
from homewright.screens.ask import AskBox, parts_of
from homewright.screens.page import TooSmall, WorkingBox
from homewright.screens.widgets.field import Field, first_wrong

if TYPE_CHECKING:
    from homewright.screens.app import Sitting
    from homewright.takeover.opening import Taken


class ExportBox(WorkingBox[None]):
    """Where the export goes, and its passphrase; then what was made, once."""

    BINDINGS = [Binding("ctrl+s", "make", show=False)]

    def __init__(self, sitting: Sitting) -> None:
        super().__init__()
        self._sitting = sitting
        self._made = False

    def compose(self) -> ComposeResult:
        name = f"homewright-{self._sitting.name}-{time.strftime('%Y%m%d', time.localtime(self.home.clock()))}.age"
        with Vertical(classes="box") as box:
            box.border_title = "site export"
            yield Static(
                "One encrypted file with everything that another machine needs to go on with this site. Keep it "
                "elsewhere.\n",
                id="about",
                markup=False,
            )
            yield Field("file", "File", value=str(Path.home() / name), rule=self._file, hint="It must not be there yet")
            hint = "Left empty, one is made and shown once"
            yield Field("passphrase", "Passphrase", secret=True, rule=self._passphrase, hint=hint)
            yield Field("again", "Again", secret=True, rule=self._again)
            yield Static(_keys("enter ", "next field    ", "ctrl+s ", "make it    ", "esc ", "back"), classes="buttons")
        yield TooSmall()

    def on_mount(self) -> None:
        self.query(Input).first().focus()

    def _file(self, value: str) -> str:
        if not value:
            return "say where it goes"
        file = Path(value).expanduser()
        if file.exists():
            return "there is a file already, and an export is not written over"
        return "" if file.absolute().parent.is_dir() else "there is no such folder"

    def _passphrase(self, value: str) -> str:
        return self.home.services.passphrase_reason(value) if value else ""

    def _again(self, value: str) -> str:
        return "" if value == self._value("passphrase") else "the two differ"

    def _value(self, name: str) -> str:
        return self.query_one(f"#field-{name}", Field).value

    @on(Input.Submitted)
    def _submitted(self, message: Input.Submitted) -> None:
        if self._made:
            self.dismiss(None)
        else:
            _next(list(self.query(Field)), message.input, self.action_make)

    def action_make(self) -> None:
        if self._made or self.jobs.running("export") or first_wrong(list(self.query(Field))) is not None:
            return
        services, sitting = self.home.services, self._sitting
        target, passphrase = Path(self._value("file")).expanduser(), self._value("passphrase")
        self._say(Content("Encrypting …\n"))
        self.jobs.start(
            "export", lambda: services.export(sitting.file, sitting.state, target, passphrase), self._done, self._failed
        )

    def _failed(self, error: HomewrightError) -> None:
        self._say(Content("\n").join([parts_of(error), Content()]))

    def _done(self, made: tuple[Path, str]) -> None:
        self._made = True
        file, passphrase = made
        lines = [Content.styled(f"✓ Written: {file}", "$text-success"), Content()]
        if passphrase:
            lines += [Content.assemble("Its passphrase, shown this once: ", (passphrase, "bold")), Content()]
        lines += [
            Content("Carry both to a safe place, not the same one. On another machine:"),
            Content("  homewright site import FILE"),
        ]
        self._say(Content("\n").join(lines))
        for field in self.query(Field):
            field.display = False
        self.query_one(".buttons", Static).update(_keys("esc ", "back"))
        self.set_focus(None)
        page = self.home.page
        exported = getattr(page, "exported", None)
        if callable(exported):
            exported()

    def _say(self, text: Content) -> None:
        self.query_one("#about", Static).update(text)


class TakeOverBox(WorkingBox[Path]):
    """The passphrase of an export; then its site is taken over, and where its file is comes back."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = "take a site over"
            yield Static(
                f"{self._file.name} is a site export. This machine goes on with its site; the one that it was made on "
                "is refused by the servers from then on. The site gets a new key: make a new export afterwards, this "
                "one opens nothing any more.\n",
                id="about",
                markup=False,
            )
            yield Field("passphrase", "Passphrase", secret=True, rule=lambda value: "" if value else "this is needed")
            yield Static(_keys("enter ", "take it over    ", "esc ", "back"), classes="buttons")
        yield TooSmall()

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        if first_wrong([self.query_one(Field)]) is None:
            self._take(gone=False)

    def _take(self, *, gone: bool) -> None:
        if self.jobs.running("take"):
            return
        services, state = self.home.services, self.home.options.state
        passphrase = self.query_one(Field).value
        self.query_one("#about", Static).update("Decrypting it, and asking the servers …\n")

        def work() -> Taken:
            return services.take_over(self._file, passphrase, state, gone)

        self.jobs.start("take", work, self._taken, self._failed)

    def _failed(self, error: HomewrightError) -> None:
        self.query_one("#about", Static).update(Content("\n").join([parts_of(error), Content()]))
        if error.code != "busy":
            return
        lines = [*error.why.split("\n"), "A controller that died in the middle of a run looks just the same.", ""]
        lines += ["Take the site over only if that machine is gone for good, or its run cannot go on."]

        def answered(yes: bool | None) -> None:
            if yes:
                self._take(gone=True)

        self.app.push_screen(
            AskBox("the old controller may be at work", lines, "it is gone: take over", typed="gone"), answered
        )

    def _taken(self, taken: Taken) -> None:
        self.dismiss(taken.file)


def _next(fields: list[Field], line: Input, act: Callable[[], None]) -> None:
    """enter goes to the next field, and from the last one acts."""
    at = next((number for number, field in enumerate(fields) if field.control_widget is line), 0)
    if at + 1 < len(fields):
        fields[at].insist()
        fields[at + 1].control_widget.focus()
    else:
        act()


def _keys(*words: str) -> Content:
    """Keys in bold, each followed by what it does."""
    return Content.assemble(*((word, "bold") if number % 2 == 0 else word for number, word in enumerate(words)))

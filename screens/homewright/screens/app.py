"""The program: themes, the screens by name, and what works everywhere."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual._context import active_message_pump
from textual.app import App
from textual.binding import Binding
from textual.css.query import NoMatches

from homewright.errors import HomewrightError, speak_of
from homewright.screens.departed import has_departed
from homewright.screens.page import Page
from homewright.screens.terminal import Terminal
from homewright.screens.themes import THEMES, AsciiFilter
from homewright.screens.typed_ahead import InOrder
from homewright.site.paths import StateFolder, config_home, known_site_files, site_file, state_home

if TYPE_CHECKING:
    from homewright.screens.services import Services

TOOLKIT = frozenset({"app.focus_next", "app.focus_previous", "screen.copy_text", "app.palette"})
"""What the toolkit binds by itself; no action that anybody looks for."""


@dataclass(frozen=True)
class Sitting:
    """The site that is open: its file, its name, its recorded state."""

    file: Path
    name: str
    state: StateFolder


class HomewrightApp(InOrder[int]):
    """The full-screen program."""

    TITLE = "Homewright"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [
        (0, "-narrowest"),
        (80, "-narrow"),
        (100, "-wide"),
        (160, "-widest"),
    ]
    VERTICAL_BREAKPOINTS = [(0, "-shortest"), (24, "-tall")]
    BINDINGS = [
        Binding("ctrl+p", "palette", "all actions", key_display="ctrl+p", show=False),
        Binding("ctrl+q", "leave", "leave", key_display="ctrl+q", show=True, priority=True),
        Binding("ctrl+c", "leave", show=False, priority=False),
    ]

    def __init__(
        self,
        options: argparse.Namespace,
        *,
        terminal: Terminal | None = None,
        services: Services | None = None,
        clock: Callable[[], float] = time.time,
        opens: bool = False,
    ) -> None:
        self.terminal = terminal or Terminal()
        super().__init__()
        self.options = options
        self.clock = clock
        self.opens = opens
        """Whether to begin where the site was left, where a run has begun or its people work already."""
        self.sitting: Sitting | None = None
        self.retrying = ""
        """The run that is gone on with once an answer has been edited and the plan seen; empty where none is."""
        self.attracted: list[str] = []
        """What the operator was called for."""
        self.left_open: dict[str, str] = {}
        """Steps of the wizard that lie behind and are not done all the same, each with its state."""
        self._services = services
        for theme in THEMES:
            self.register_theme(theme)
        # Set without the watcher, and the variables at once: the watcher would have every rule parsed a second time.
        first = self._first_theme()
        if self.terminal.ascii:
            self.theme = first
        else:
            self.set_reactive(App.theme, first)
            self.stylesheet.set_variables(self.get_css_variables())
        if self.terminal.ascii:
            self._filters.append(AsciiFilter())

    def _handle_exception(self, error: Exception) -> None:
        """What looks for a widget that goes with it finds none, which is no fault: a box that is opened and closed in
        one instant is told that it is there, and has nothing in it. Everything else ends the program."""
        if not (isinstance(error, NoMatches) and has_departed(active_message_pump.get(None))):
            super()._handle_exception(error)

    @property
    def services(self) -> Services:
        """What the screens ask of the rooms behind them; made when first asked for."""
        if self._services is None:
            from homewright.screens.services import Services

            self._services = Services()
        return self._services

    @property
    def site_name(self) -> str:
        return self.sitting.name if self.sitting else ""

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return {"keys": "ansi_yellow", "quiet": "ansi_default", "cursor": "ansi_blue", "cursor-off": "ansi_default"}

    def _first_theme(self) -> str:
        if not self.terminal.colours:
            return "monochrome"
        if os.environ.get("TERM") == "linux":
            return "ansi-dark"
        try:
            chosen = (config_home() / "theme").read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            chosen = ""
        return chosen if chosen in {theme.name for theme in THEMES} else "dark"

    def get_default_screen(self) -> Page:
        """Welcome is what everything else lies on: an empty screen beneath it would be laid out for nothing."""
        from homewright.screens.welcome import Welcome

        return Welcome()

    def open_site(self, file: Path, name: str) -> Sitting:
        """Work on this site from now on; commands that are told name it where another would be meant without."""
        chosen = self.options.site
        if not _is_meant(file, chosen):
            chosen = file.parent.name if file in known_site_files() else str(file)
        speak_of(chosen, self.options.state, self.options.stages)
        self.left_open = {}
        self.retrying = ""
        self.sitting = Sitting(file, name, StateFolder.of(name, self.options.state, file))
        return self.sitting

    @property
    def page(self) -> Page | None:
        """The page in front, whatever box lies over it."""
        for screen in reversed(self.screen_stack):
            if isinstance(screen, Page):
                return screen
        return None

    def go(self, page: str) -> None:
        """Show a page of the wizard or the manager in place of the one in front, Welcome staying beneath."""
        new = make_page(page)
        while not isinstance(self.screen, Page):
            self.pop_screen()  # a box that was opened meanwhile belongs to the page that goes
        if len(self.screen_stack) > 1:
            self.switch_screen(new)
        else:
            self.push_screen(new)

    def back_to_welcome(self) -> None:
        """Close everything above Welcome."""
        while len(self.screen_stack) > 1:
            self.pop_screen()
        self.sitting = None
        if self.page:
            self.page.retitle("")

    # What works everywhere

    def attract(self, title: str) -> None:
        """Ring, and put this into the terminal's title: what was waited for has happened."""
        from homewright.engine.lines import attention

        driver = self._driver
        if driver is None or driver.is_headless:
            self.attracted.append(title)
            return
        if not self.attracted and os.environ.get("TERM") != "linux":
            driver.write("\x1b[22;2t")  # the title as it was is kept by the terminal, and put back in the end
        self.attracted.append(title)
        driver.write(attention(title, os.environ.get("TERM", "")))
        driver.flush()

    def keys_now(self) -> list[tuple[str, str, str]]:
        """Key, label and action of everything that works now in front."""
        found: dict[str, tuple[str, str, str]] = {}
        for active in self.screen.active_bindings.values():
            binding = active.binding
            ours = isinstance(active.node, Page | App) and binding.action not in TOOLKIT
            if ours and binding.description and active.enabled and binding.action not in found:
                found[binding.action] = (self.get_key_display(binding), binding.description, binding.action)
        return list(found.values())

    def action_help(self) -> None:
        from homewright.screens.help import HelpBox

        page = self.page
        if page is not None and page is self.screen:
            self.push_screen(HelpBox(page.WHERE, page.HELP, [(key, label) for key, label, _ in self.keys_now()]))

    def action_palette(self) -> None:
        from homewright.screens.palette import Command, PaletteBox

        if self.page is not self.screen:
            return
        commands = [Command(label, key, action) for key, label, action in self.keys_now() if action != "palette"]
        if self.sitting is not None and not any(command.action.endswith("site_export") for command in commands):
            commands.append(Command("site export", "", "app.site_export"))
        if self.sitting is not None and not any(command.action.endswith("verify") for command in commands):
            commands.append(Command("verify all that was done", "", "app.verify"))
        commands += [Command(f"theme: {theme.name}", "", f"app.wear('{theme.name}')") for theme in THEMES]

        async def do(action: str | None) -> None:
            if action:
                await self.run_action(action, self.screen.focused or self.screen)

        self.push_screen(PaletteBox(commands), do)

    def action_site_export(self) -> None:
        """Make a site export: where it goes, and its passphrase, are asked."""
        from homewright.screens.exporting import ExportBox

        if self.sitting is not None:
            self.push_screen(ExportBox(self.sitting))

    def action_verify(self) -> None:
        """Prove anew all that was done, on every server at once; nothing is changed by that."""
        page, sitting = self.page, self.sitting
        if page is None or sitting is None or page.jobs.running("begin"):
            return
        stages = self.options.stages
        page.say("Proving what was done …")
        page.start(
            "begin", lambda: self.services.verify(sitting.file, sitting.state, stages), lambda _: self.go("deploy")
        )

    def action_wear(self, theme: str) -> None:
        """Wear a theme, now and next time."""
        from homewright.site.paths import make_folder, write_atomically

        self.theme = theme
        try:
            make_folder(config_home())
            write_atomically(config_home() / "theme", f"{theme}\n".encode())
        except HomewrightError as error:
            if self.page:
                self.page.say(f"The theme is worn but could not be kept: {error.why}", "warning")

    def action_leave(self) -> None:
        """Leave; while a run or a job goes on, say what becomes of it first."""
        from homewright.screens.ask import AskBox

        if isinstance(self.screen, AskBox):
            return
        lines = self.services.unfinished(self.sitting.state) if self.sitting else []
        page = self.page
        if page is not None and page.jobs.running("lab"):
            lines = [
                "The practice servers are still being made. Leaving stops that; doing it again goes on from there."
            ]
        elif page is not None and page.jobs.running("create"):
            lines.append("A workspace is still being made. Leaving stops that; making it again goes on from there.")
        if not lines:
            self.exit(0)
            return

        def answer(yes: bool | None) -> None:
            if yes:
                self.exit(0)

        self.push_screen(AskBox("leave?", lines, "leave"), answer)

    def action_quit_now(self) -> None:
        self.exit(0)

    def unexpected(self, error: BaseException) -> None:
        """Something that we did not foresee went wrong in a job: a calm word and a file for the report."""
        from homewright.screens.ask import ProblemBox

        self.push_screen(ProblemBox(unforeseen(error)))

    def _fatal_error(self) -> None:
        """Leave with a calm word instead of a traceback. (The toolkit's own prints local variables: passwords too.)"""
        error = self._exception
        problem = unforeseen(error) if error else HomewrightError("Something unexpected went wrong.")
        self._exit_renderables.append(problem.as_text())
        self._close_messages_no_wait()


def _is_meant(file: Path, chosen: str | None) -> bool:
    """Whether a command with this choice of a site works on this file."""
    try:
        return site_file(chosen) == file
    except HomewrightError:
        return False


def unforeseen(error: BaseException) -> HomewrightError:
    """The error for a mistake of ours: its traceback, without values, goes into a file."""
    import traceback

    from homewright.site.paths import make_folder, write_atomically

    file = state_home() / f"unexpected-{time.strftime('%Y%m%d-%H%M%S')}.txt"
    text = "".join(traceback.format_exception(error))
    do = ["start Homewright again: a run in progress was not touched by this"]
    try:
        make_folder(file.parent)
        write_atomically(file, text.encode())
        do.append(f"report it, with {file}")
    except HomewrightError:
        pass
    return HomewrightError("Something unexpected went wrong in the screens.", f"{type(error).__name__}.", do)


def make_page(name: str) -> Page:
    """A page by its name; its module is imported only now."""
    from importlib import import_module

    module, cls = PAGES[name]
    return cast(Page, getattr(import_module(f"homewright.screens.{module}"), cls)())


PAGES = {
    "site": ("new_site", "NewSite"),
    "servers": ("servers", "Servers"),
    "hardware": ("hardware", "Hardware"),
    "checks": ("checks", "Checks"),
    "network": ("network", "Network"),
    "gpus": ("gpus", "Gpus"),
    "instances": ("instances", "Instances"),
    "platform": ("platform", "Platform"),
    "plan": ("plan", "PlanPage"),
    "deploy": ("deploy", "Deploy"),
    "resume": ("resume", "Resume"),
    "finished": ("finished", "Finished"),
    "workspaces": ("workspaces", "Workspaces"),
    "practice": ("practice", "Practice"),
}

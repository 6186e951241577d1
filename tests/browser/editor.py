"""What a person does in the editor, by mouse and keyboard."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Page, TimeoutError, expect

SLOW_MS = 60_000
QUICK_MS = 40_000
TRY_MS = 4_000
"""One try at something that is tried again."""


def wait_for(what: str, condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    """Wait for a condition of the world outside the browser."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not seen within {limit_s:g} s: {what}"
        time.sleep(0.1)


@dataclass
class Editor:
    """One page with the editor in it."""

    page: Page
    on_server: Callable[[str], str]
    """Runs a command of sh on the node, as root, and gives what it prints."""
    shared: str
    """The folder `projects` on the node."""
    count: int = 0

    def sign_in(self, address: str, password: str) -> None:
        self.page.goto(address, timeout=SLOW_MS)
        self.page.locator("input[type=password]").fill(password)
        self.page.keyboard.press("Enter")
        self.opened()

    def opened(self) -> None:
        expect(self.page.locator(".monaco-workbench")).to_be_visible(timeout=SLOW_MS)
        expect(self.page.locator(".explorer-folders-view")).to_be_visible(timeout=SLOW_MS)

    def command(self, title: str) -> None:
        """Run a command from the palette; exactly the one of this title."""
        self.quick_input("F1", f">{title}", title)

    def quick_input(self, key: str, text: str, row: str) -> None:
        """Open the box in the middle, type, and take the row of that title.

        The editor still loads parts after it has opened, and each that takes the focus closes the box: as a person
        would, one opens it again.
        """
        box = self.page.locator(".quick-input-widget input[type=text]")
        entry = self.page.locator(".quick-input-list .monaco-list-row").filter(has_text=row).first

        def taken() -> bool:
            try:
                if not box.is_visible():
                    self.page.keyboard.press(key)
                box.fill(text, timeout=TRY_MS)
                entry.click(timeout=TRY_MS)
            except TimeoutError:
                return False
            return True

        wait_for(f"{row} to be taken from the box", taken, SLOW_MS / 1000)
        expect(box).to_be_hidden(timeout=QUICK_MS)

    def open_terminal(self) -> None:
        """Have a terminal that listens. Its text is on a canvas, so a file on the server says when keys arrive."""
        panel = self.page.locator(".part.panel")
        trust = self.page.get_by_role("button", name="Trust Folder & Continue")
        cursor = self.page.locator(".terminal-wrapper.active .xterm-helper-textarea").first
        self.count += 1
        ready = f"{self.shared}/.ready-{self.count}"

        def listens() -> bool:
            if trust.is_visible():
                trust.click()
            elif not panel.is_visible():  # the key does nothing until the editor has loaded its parts
                self.page.keyboard.press("Control+Backquote")
            elif cursor.count():
                cursor.focus()
                self.page.keyboard.type(f"touch {ready}\n")
            self.page.wait_for_timeout(1000)
            return self.exists(ready)

        wait_for("a terminal that listens", listens, 90)
        self.on_server(f"rm {ready}")

    def exists(self, path: str) -> bool:
        return self.on_server(f"test -e {shlex.quote(path)} && echo yes || true") == "yes\n"

    def terminal(self, command: str) -> str:
        """Type a command into the terminal and return what it printed, by way of a file in `projects`."""
        self.count += 1
        out = f".out-{self.count}"
        self.page.locator(".terminal-wrapper.active .xterm-helper-textarea").first.focus()
        self.page.keyboard.type(f"( {command} ) >.o 2>&1; mv .o {out}\n")
        path = shlex.quote(f"{self.shared}/{out}")
        wait_for(command, lambda: self.exists(path), 60)
        return self.on_server(f"cat {path}; rm {path}")

    def open_file(self, name: str) -> None:
        self.quick_input("Control+p", name, name)
        expect(self.page.locator(".tab.active").filter(has_text=name).first).to_be_visible(timeout=QUICK_MS)

    def in_webview(self, tag: str, text: str) -> None:
        """A webview shows this: it needs the service worker, and so a certificate that the browser trusts."""

        def shown() -> bool:
            self.page.wait_for_timeout(50)  # lets the page's own events be handled
            return any(text in words for frame in self.page.frames for words in frame.locator(tag).all_inner_texts())

        wait_for(f"{text!r} in a webview", shown)

    def notified(self, text: str) -> None:
        expect(self.page.locator(".notifications-toasts").get_by_text(text).first).to_be_visible(timeout=QUICK_MS)

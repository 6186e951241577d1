"""The whole wizard in a real terminal at 80x24, by key presses alone, with a wrong answer first in every field.

It is rehearsed over recorded machines, so that everything but the machines is the real thing: program, terminal, site
file, secrets, engine and journal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tmux_terminal import TmuxTerminal, homewright

from homewright.site import files
from homewright.site.paths import StateFolder
from homewright.site.rehearsed import PACE
from homewright.site.secrets import Secrets

pytestmark = pytest.mark.screens

EMPTY = ("", "(proposed)")
LABEL = 17
"""Columns that a field's label takes."""
LIMIT_S = 60.0
"""For one page on two busy cores; it takes a second."""


class Wizard:
    """The program in its terminal, and where it keeps things."""

    def __init__(self, folder: Path, *words: str) -> None:
        places = {f"XDG_{name}_HOME": str(folder / name.lower()) for name in ("STATE", "CONFIG", "CACHE")}
        self.folder = folder
        self.terminal = TmuxTerminal(homewright(*words), {**places, "HOMEWRIGHT_SITE": "", PACE: "0.05"})

    def see(self, *words: str) -> str:
        return self.terminal.wait(lambda text: all(word in text for word in words), limit=LIMIT_S)

    def press(self, *keys: str) -> None:
        self.terminal.press(*keys)

    def shows(self, *words: str) -> Callable[[], bool]:
        return lambda: all(word in self.terminal.text() for word in words)

    def answer(self, field: str, *tries: tuple[str, str]) -> None:
        """Type each of these into the field that has the keys, in place of what is in it, and see what is said then."""
        # A field below the fold is scrolled into view some time after it got the focus.
        self.until(lambda: self.value(field) is not None, f"{field} is shown")
        for text, said in tries:
            if self.value(field) not in EMPTY:
                self.press("End", "C-u")
                # The toolkit carries a key's action out behind letters that were typed after it.
                self.until(lambda: self.value(field) in EMPTY, f"{field} is empty")
            self.terminal.type(text)
            self.until(self._has(field, text), f"{field} has {text}")
            self.see(said)

    def _has(self, field: str, text: str) -> Callable[[], bool]:
        return lambda: self.value(field) in (text, "•" * len(text))

    def press_until(self, key: str, shown: str) -> None:
        """Press a key once, and once more where a page was not ready for it: until this is shown."""
        for _ in range(3):
            self.press(key)
            end = time.monotonic() + LIMIT_S / 6
            while time.monotonic() < end:
                if shown in self.terminal.text():
                    return
                time.sleep(0.05)
        raise AssertionError(f"{key} never leads to {shown}:\n{self.terminal.text()}")

    def first(self, field: str) -> None:
        """Wait until a form can be typed into: its first field has the terminal's cursor."""
        self.until(lambda: field in self.terminal.text().splitlines()[int(self.terminal.ask("#{cursor_y}"))], field)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < end, f"never: {what}\n{self.terminal.text()}"
            time.sleep(0.05)

    def value(self, field: str) -> str | None:
        """What is shown in a field; a proposal that stands in an empty one is given as (proposed)."""
        for line in self.terminal.text().splitlines():
            inside = line.split("│")[1] if line.count("│") > 1 else line  # a box lies over the page
            label = inside.lstrip().ljust(LABEL)
            if label.startswith(field.ljust(LABEL)):
                shown = label[LABEL:].strip(" ▁▂▃▄▅▆▇█")
                return "(proposed)" if shown.endswith("(proposed)") else shown
        return None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def open_wizard(folder: Path, *words: str) -> Iterator[Wizard]:
    made = Wizard(folder, *words)
    try:
        yield made
    finally:
        made.terminal.close()


@pytest.fixture
def plain(folder: Path) -> Iterator[Wizard]:
    yield from open_wizard(folder)


@pytest.fixture
def rehearsal(folder: Path) -> Iterator[Wizard]:
    yield from open_wizard(folder, "--rehearse", "attic")


@pytest.fixture
def trouble(folder: Path) -> Iterator[Wizard]:
    yield from open_wizard(folder, "--rehearse", "trouble")


def test_a_new_site_and_a_server_with_every_answer_wrong_first(plain: Wizard) -> None:
    plain.see("Begin something")
    plain.press("o")
    plain.first("Site file")
    plain.answer("Site file", ("/nowhere/site.yaml", "there is no such file"))
    leave_box(plain, "Site file")
    plain.press("n")
    plain.see("What is the site called")
    plain.first("Name")
    plain.press("Enter")
    plain.see("the site needs a name")
    plain.answer("Name", ("My House", "must be lowercase"), ("9lives", "must be lowercase"), ("attic", "kept in"))
    plain.press("Enter")
    plain.see("1/9 Servers")
    plain.press("C-n")
    plain.see("Add a server first")
    plain.press("a")
    plain.see("another server")
    plain.first("Name")
    plain.press("C-s")
    plain.see("this is needed")
    plain.answer("Name", ("Big_Box", "must be lowercase"), ("big-box", "Such as attic-1"))
    plain.press("Tab")
    plain.answer("Address", ("300.1.1.1", "must be an IPv4 address"), ("big.example", "must be an IPv4 address"))
    plain.answer("Address", ("198.18.255.254", "198.18.255.254"))
    plain.press("Tab")
    plain.answer("User", ("Me Myself", "is no Linux user name"), ("ann", "can use sudo"))
    plain.press("Tab")
    plain.answer("SSH port", ("99999", "65535"), ("ssh", "✗"), ("2222", "2222"))
    plain.press("Tab")
    plain.answer("Host key", ("hunter2", "must be a fingerprint"), ("", "if you know it"))
    plain.press("C-s")
    plain.see("big-box", "198.18.255.254:2222", "no first contact yet")
    plain.press("C-q")
    plain.see("ended with 0")
    site = files.load(plain.folder / "config" / "homewright" / "attic" / "site.yaml")
    assert [(s.name, s.address, s.user, s.port) for s in site.servers] == [("big-box", "198.18.255.254", "ann", 2222)]


NETWORK = (
    (3, "Zone", "no domain", "must be", "home.internal"),
    (1, "Gateway", "192.0.2", "must be an IPv4 address", "192.0.2.1"),
    (1, "Resolvers", "dns.example", "must be an IPv4 address", "192.0.2.1, 9.9.9.9"),
    (1, "HTTP proxy", "http://me:secret@proxy:3128", "without a password", ""),
    (1, "LAN", "192.0.2.7/24", "the range itself is", "192.0.2.0/24"),
    (1, "LXD", "192.0.2.128/25", "LAN", "10.100.0.0/24"),
    (1, "Pods", "10.1.0.0", "with its prefix", "10.1.0.0/16"),
    (1, "Services", "10.152.0.0/33", "must be an IPv4 range", "10.152.0.0/16"),
    (1, "Balancers", "203.0.113.0/28", "is no part of the LAN", "192.0.2.224/28"),
)
"""How often tab leads to a field, the field, a wrong answer, what is said of it, and a right one."""

OVERLAY = (
    (1, "Network id", "12345", "16 hexadecimal digits", "8056c2e21c000001"),
    (1, "API token", "hunter2", "32 letters and digits", "a1B2" * 8),
    (1, "Its range", "10.100.0.0/25", "LXD", ""),
)
"""What ZeroTier asks for."""

TICKS = 12
"""Optional services and the image of devenv, each with a line of its own."""
ZONE = ((2, "Zone", "nodots", "must be", "home.internal"),)
LETS_ENCRYPT = ((1, "E-mail", "root@", "must be an e-mail address", "root@example.org"),)
PLATFORM = (
    (1, "Name", "Root User", "must be lowercase", "keeper"),
    (1, "E-mail", "keeper@", "must be an e-mail address", "keeper@example.org"),
    (1, "Password", "password", "at least 12 are", "Plum-Orchard-94-lantern"),
    (TICKS + 1, "GitHub", "hunter2", "look like one: ghp_", ""),
    (1, "Hugging Face", "hunter2", "look like one: hf_", ""),
    (1, "Cloudflare", "hunter2", "look like one: 40 characters", ""),
    (1, "ZeroTier", "hunter2", "look like one: 32 letters", ""),
)


def fill(wizard: Wizard, page: str, fields: tuple[tuple[int, str, str, str, str], ...]) -> None:
    """Each field wrong first, and `next`, which goes nowhere but to it; then right."""
    for tabs, field, wrong, said, right in fields:
        wizard.press(*["Tab"] * tabs)
        wizard.answer(field, (wrong, said))
        wizard.press("C-n")
        said = f"✗ {field}: "
        wizard.until(wizard.shows(page, said), said)
        wizard.answer(field, (right, page))


def leave_box(wizard: Wizard, shown: str) -> None:
    """Escape: a terminal cannot tell it from the beginning of another key until some time has passed."""
    wizard.press("Escape")
    wizard.until(lambda: shown not in wizard.terminal.text(), "the box is gone")


def test_the_whole_wizard_with_every_answer_wrong_first(rehearsal: Wizard) -> None:
    wizard = rehearsal
    wizard.see("attic", "all answer")
    wizard.press("Enter")
    wizard.see("1/9 Servers", "3 of 3 reached")
    wizard.press("C-n")
    wizard.see("2/9 Hardware", "3 of 3 known")
    wizard.press("C-n")
    wizard.see("3/9 Checks", "Nothing failed")
    wizard.press("C-n")
    wizard.see("4/9 Network", "No two ranges meet")
    wizard.first("birch")
    fill(wizard, "4/9 Network", NETWORK)
    wizard.press("Tab", "Right")
    wizard.see("Network id")
    fill(wizard, "4/9 Network", OVERLAY)
    wizard.press("BTab", "BTab", "BTab", "Left")
    wizard.until(lambda: "Network id" not in wizard.terminal.text(), "the LAN alone asks for nothing")
    wizard.press("C-n")
    wizard.see("5/9 GPUs", "6 GPUs")
    wizard.press_until("Down", "▸ cedar")
    wizard.press("c")
    wizard.see("NVIDIA GPUs only")
    wizard.press("C-n")
    wizard.see("6/9 Instances", "birch-node")
    wizard.press("Enter")
    wizard.see("what every server keeps for itself")
    wizard.first("CPUs")
    for field, wrong, right in (("CPUs", "some", "2"), ("Memory, GiB", "few", "8"), ("Disk, GiB", "much", "50")):
        wizard.answer(field, (wrong, "✗"), (right, right))
        wizard.press("Tab")
    leave_box(wizard, "what every server keeps")
    wizard.press("s")
    wizard.see("where instances are kept")
    wizard.press("Tab")
    wizard.answer("Image", ("no such place", "must look like"), ("", "Ubuntu's"))
    leave_box(wizard, "where instances are kept")
    wizard.press_until("Down", "▸   birch-node")
    wizard.press("Enter")
    wizard.see("Memory, GiB")
    wizard.first("Name")
    wizard.answer("Name", ("Node 1", "must be lowercase"), ("birch-node", "birch-node"))
    wizard.press("Tab", "Tab", "Tab")
    for field, wrong, right in (("CPUs", "1", "4"), ("Memory, GiB", "9999", "8"), ("Disk, GiB", "much", "80")):
        wizard.answer(field, (wrong, "✗"), (right, right))
        wizard.press("Tab")
    wizard.answer("Address", ("192.0.2.300", "must be an IPv4 address"), ("", "Address"))
    leave_box(wizard, "Memory, GiB")
    wizard.press("C-n")
    wizard.see("7/9 Platform")
    wizard.first("Cluster")
    fill(wizard, "7/9 Platform", ZONE)
    wizard.press("Tab", "Right")
    wizard.see("Where Let's Encrypt writes to")
    fill(wizard, "7/9 Platform", LETS_ENCRYPT)
    wizard.press("BTab", "Left")
    wizard.until(lambda: "Where Let's" not in wizard.terminal.text(), "the site's own authority asks for nothing")
    fill(wizard, "7/9 Platform", PLATFORM)
    wizard.press("C-n")
    wizard.see("8/9 Plan", "00/10")
    wizard.press("C-n")
    wizard.see("approve this plan?")
    wizard.press("Enter")
    wizard.see("REHEARSAL", "deploying")
    wizard.terminal.wait(lambda text: "Done," in text, limit=180)
    wizard.press("C-n")
    wizard.see("REHEARSAL", "To trust the site's certificate authority")
    wizard.press("C-q")
    wizard.see("ended with 0")
    place = wizard.folder / "state" / "homewright" / "rehearsals" / "attic"
    site = files.load(place / "site.yaml")
    assert site.zone == "home.internal"
    assert site.network.resolvers == ("192.0.2.1", "9.9.9.9")
    assert (site.platform.tls.issuer, site.platform.tls.email) == ("private-ca", None)
    assert site.platform.administrator.name == "keeper"
    assert site.platform.administrator.email == "keeper@example.org"
    state = StateFolder(place / "state")
    assert Secrets(state.secrets).get("platform/administrator-password") == "Plum-Orchard-94-lantern"
    assert b"Plum-Orchard" not in (place / "site.yaml").read_bytes()


def test_what_blocks_is_named_and_holds_apply_back(trouble: Wizard) -> None:
    wizard = trouble
    wizard.see("trouble", "2 answer")
    wizard.press("Enter")
    wizard.see("1/9 Servers", "2 of 3 reached")
    wizard.press("C-n")
    wizard.see("rowan", "once more")
    wizard.press("C-n")
    wizard.see("2/9 Hard", "rowan not reached")
    wizard.press("C-n")
    wizard.see("again goes on without")
    wizard.press("C-n")
    wizard.see("3/9 Checks", "checks failed")  # all of them are over: before, ctrl+n only says that they still run
    wizard.press("C-n")
    wizard.see("has failed: enter shows what to do")
    wizard.press("a")
    wizard.see("cannot be accepted")
    wizard.press("/")
    wizard.first("Text")
    wizard.terminal.type("warning")
    wizard.press("Enter")
    wizard.see("filter: warning")
    wizard.press("a")
    wizard.see("accept Swap")
    wizard.first("Reason")
    wizard.answer("Reason", ("no", "a reason of 3 to 500 characters"))
    wizard.press("Enter")
    wizard.see("accept Swap", "a reason of 3 to 500 characters")
    wizard.answer("Reason", ("nobody minds", "nobody minds"))
    wizard.press("Enter")
    wizard.see("Accepted, with the reason")

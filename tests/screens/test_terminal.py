"""The real program in a real terminal: what it shows, and what a terminal does to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tmux_terminal import TmuxTerminal, homewright

from homewright.screens.terminal import Terminal


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    return {f"XDG_{name}_HOME": str(tmp_path / name.lower()) for name in ("CONFIG", "STATE", "CACHE")}


@pytest.fixture
def terminal(places: dict[str, str]) -> Iterator[TmuxTerminal]:
    opened = TmuxTerminal(homewright(), places)
    yield opened
    opened.close()


def test_it_starts_takes_keys_and_leaves(terminal: TmuxTerminal) -> None:
    terminal.wait("Begin something")
    terminal.press("n")
    terminal.wait("What is the site called?")
    terminal.type("attic")
    terminal.press("C-n")
    terminal.wait("No servers yet")
    terminal.press("C-q")
    terminal.wait("ended with 0")


@pytest.mark.skipif(os.getuid() != 0, reason="a mount of its own needs root")
def test_it_starts_on_a_disk_that_takes_nothing_and_says_so_where_it_needs_one(places: dict[str, str]) -> None:
    Path(places["XDG_STATE_HOME"]).mkdir()
    read_only = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    opened = TmuxTerminal(
        ["unshare", "--mount", "sh", "-c", read_only, places["XDG_STATE_HOME"], *homewright()], places
    )
    try:
        opened.wait("Begin something")
        opened.press("p")
        opened.wait("enter makes them")
        opened.press("Enter")
        said = opened.wait("cannot be written.")
        assert "Read-only file system" in said and "findmnt -T" in said and "XDG_STATE_HOME=DIR" in said
        opened.press("C-q")
        opened.wait("ended with 0")
    finally:
        opened.close()


def test_a_terminal_made_smaller_and_larger_again_loses_nothing(terminal: TmuxTerminal) -> None:
    terminal.wait("Begin something")
    terminal.press("n")
    terminal.wait("What is the site called?")
    terminal.type("att")
    terminal.resize(60, 20)
    terminal.wait("needs 80x24")
    terminal.resize(120, 40)
    terminal.wait(lambda text: "What is the site called?" in text and "att" in text)
    terminal.type("ic")
    terminal.wait("attic")


@pytest.mark.parametrize("environment", [{"TERM": "linux"}, {"LANG": "C", "LC_ALL": "C"}], ids=["linux", "no UTF-8"])
def test_a_terminal_without_glyphs_gets_ascii_alone(places: dict[str, str], environment: dict[str, str]) -> None:
    opened = TmuxTerminal(homewright(), {**places, **environment})
    try:
        assert opened.wait("Begin something").isascii()
        opened.press("F1")
        assert opened.wait("help - welcome").isascii()
    finally:
        opened.close()


def test_what_the_terminal_can_show_is_decided_from_the_environment() -> None:
    utf8 = {"LANG": "en_GB.UTF-8", "TERM": "xterm"}
    assert Terminal.look(utf8) == Terminal(ascii=False, slow=False, colours=True)
    assert Terminal.look({**utf8, "TERM": "linux"}).ascii
    assert Terminal.look({"LANG": "C"}).ascii
    assert Terminal.look({**utf8, "LC_ALL": "POSIX"}).ascii
    assert Terminal.look({**utf8, "SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}).slow
    assert not Terminal.look({**utf8, "NO_COLOR": "1"}).colours


def test_the_first_frame_waits_for_no_heavy_room(places: dict[str, str]) -> None:
    import subprocess
    import sys

    script = (
        "import argparse, asyncio, sys\n"
        "from homewright.screens.app import HomewrightApp\n"
        "async def main():\n"
        "    app = HomewrightApp(argparse.Namespace(site=None, state=None, stages=None))\n"
        "    async with app.run_test(size=(80, 24)) as pilot:\n"
        "        await pilot.pause()\n"
        "asyncio.run(main())\n"
        "print(sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **places}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    for room in ("pydantic", "paramiko", "ruamel", "pyinfra", "ansible", "cryptography"):
        assert f"'{room}'" not in done.stdout

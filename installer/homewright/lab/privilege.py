"""Root for the acts that need it: this process where it is root, else one `sudo` for each act.

The request goes in on standard input and the reply comes back on standard output, so nothing secret is in an argument.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter

from homewright.errors import Busy, LabError
from homewright.lab.acts import Reply, Request, perform
from homewright.lab.lxd import PlaceTaken
from homewright.lab.shell import which

REQUESTS = TypeAdapter(Request)
REPLIES = TypeAdapter(Reply)

_ERRORS: dict[str, type[LabError | Busy]] = {PlaceTaken.code: PlaceTaken, Busy.code: Busy}

WHY = "The practice servers are LXD containers on a bridge of their own; making them takes root."


def act(request: Request, say: Callable[[str], None]) -> Reply:
    """Have root do an act. Raises LabError where it fails, or where nobody here may become root."""
    if os.geteuid() == 0:
        return perform(request, say)
    require_sudo(say)
    process = subprocess.Popen(
        ["sudo", "-n", "--", sys.executable, "-I", "-c", _entry()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
    )
    assert process.stdin is not None and process.stdout is not None
    with process:
        process.stdin.write(REQUESTS.dump_json(request))
        process.stdin.close()
        reply: Reply | None = None
        error: LabError | Busy | None = None
        for line in process.stdout:
            document = json.loads(line)
            if "say" in document:
                say(document["say"])
            elif "error" in document:
                said = document["error"]
                error = _ERRORS.get(said["code"], LabError)(said["what"], said["why"], said["do"])
            else:
                reply = REPLIES.validate_python(document["reply"])
    if error is not None:
        raise error
    if reply is None:
        raise LabError(
            "The part that runs as root ended without an answer.",
            f"sudo ended with {process.returncode}.",
            ["try again", "what is left is taken away by: homewright lab down"],
        )
    return reply


def _entry() -> str:
    """Start the root part with this process's own paths: an installation need not be where root looks."""
    places = [place for place in sys.path if place and Path(place).exists()]
    return f"import sys; sys.path[:] = {places!r}; from homewright.lab.root import main; sys.exit(main())"


def require_sudo(say: Callable[[str], None]) -> None:
    """Make sure that the next `sudo -n` works, by the password on the terminal where it takes one. Raises LabError.

    A thread asks nothing: the screens, whose jobs they are, hold the terminal.
    """
    if which("sudo") is None:
        raise LabError(
            "You are not root here.", f"{WHY} sudo is not installed.", ["become root, then: homewright lab up"]
        )
    free = ["sudo", "-n", "true"]
    if subprocess.run(free, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0:
        return
    if threading.current_thread() is not threading.main_thread():
        raise LabError(
            "You are not root here.",
            f"{WHY} sudo wants a password, which is not asked for beneath the screens.",
            ["leave with ctrl+q", "let sudo remember it on this terminal: sudo -v", "come back: homewright"],
        )
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        raise LabError(
            "You are not root here.",
            f"{WHY} sudo wants a password, and there is no terminal to ask for it.",
            ["run it on a terminal", "or let sudo remember the password first: sudo -v"],
        ) from None
    try:
        say(f"{WHY} sudo asks for your password.")
        done = subprocess.run(["sudo", "-v", "-p", "[sudo] password for %u: "], stdin=terminal, stderr=terminal)
    finally:
        os.close(terminal)
    if done.returncode != 0 or subprocess.run(free, capture_output=True, stdin=subprocess.DEVNULL).returncode != 0:
        raise LabError(
            "sudo does not make you root here.",
            f"{WHY} The password was wrong, or you may not use sudo.",
            ["ask whoever looks after this machine", "or practise on a machine of your own"],
        )

"""The viewers' side of the control socket."""

from __future__ import annotations

import json
import secrets
import socket

from homewright.engine import lock
from homewright.engine.control import ANSWER_S, address
from homewright.errors import HomewrightError, StateError, UsageError
from homewright.site.paths import StateFolder


def cancel(state: StateFolder) -> int:
    """Ask the running engine to stop after what cannot be interrupted; returns the seq of its acknowledgement.

    Raises UsageError where no engine is running, StateError where it does not answer.
    """
    return send(state, "cancel")


def pause(state: StateFolder) -> int:
    """Ask the running engine to begin no further step until it is told to continue. Raises as `cancel` does."""
    return send(state, "pause")


def go_on(state: StateFolder) -> int:
    """Let a paused engine go on. Raises as `cancel` does."""
    return send(state, "continue")


def send(state: StateFolder, command: str) -> int:
    """Send one command and wait until it is acknowledged in the journal; returns that event's seq."""
    if lock.holder(state) is None:
        raise UsageError("No run is going on.", "There is no engine to talk to.", ["homewright status"])
    request = {"id": secrets.token_hex(8), "command": command}
    try:
        with address(state) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(ANSWER_S)
            connection.connect(path)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as answers:
                answer = json.loads(answers.readline())
    except (OSError, ValueError) as error:
        raise StateError(
            "The engine does not answer.",
            f"{error}.",
            ["see whether it still runs: homewright status", "then try again"],
        ) from error
    if not answer.get("ok"):
        raise HomewrightError("The engine refused the command.", str(answer.get("why", "")))
    return int(answer["seq"])

"""The part that runs as root under sudo: one request on standard input, JSON lines on standard output."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys

from homewright.errors import HomewrightError, LabError
from homewright.lab.acts import perform
from homewright.lab.privilege import REPLIES, REQUESTS


def main() -> int:
    """Read the request, do it, print the reply."""
    # ctrl+c on the terminal reaches this process too; an act that is under way is finished, so that nothing is half.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o022)
    request = REQUESTS.validate_json(sys.stdin.buffer.read())

    def tell(document: dict[str, object]) -> None:
        # Whoever asked may be dead: what was begun is finished all the same.
        with contextlib.suppress(BrokenPipeError):
            os.write(1, f"{json.dumps(document)}\n".encode())

    try:
        reply = perform(request, lambda text: tell({"say": text}))
    except HomewrightError as error:
        tell(error.as_json())
        return error.exit_code
    except Exception as error:  # whatever it is, the user's side says it in words
        tell(LabError("Something unforeseen happened as root.", f"{type(error).__name__}: {error}.").as_json())
        return 1
    tell({"reply": REPLIES.dump_python(reply)})
    return 0

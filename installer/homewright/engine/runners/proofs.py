"""The proofs of many steps in one process: Python, its packages and the connections are there once for all of them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from pydantic import ValidationError

from homewright.engine.events import Level
from homewright.engine.runners import python
from homewright.engine.runners.host import LOOK_UP_S
from homewright.engine.runners.protocol import Cancel, Emitter, Ledger, catch_stray_output, die_with_parent
from homewright.engine.runners.request import EVENTS_DESCRIPTOR, ProofsRequest, StepRequest
from homewright.engine.runners.shared import SharedConnections
from homewright.engine.runners.source import loaded


def prove(request: StepRequest, emitter: Ledger, cancel: Cancel, connections: SharedConnections) -> None:
    """One step's proof; every host's end is told, whatever happens."""
    reason = "The proof ended without saying how this host stands."
    try:
        python.work(request, emitter, cancel, connections)
    except Exception as error:  # a proof that could not be carried out has found nothing out
        reason = f"{type(error).__name__}: {error}"
        emitter.line(reason, level=Level.ERROR)
    emitter.finish_rest(request.hosts, reason)


def run(words: list[str]) -> int:
    """The whole life of the process. Exit code 0, or 2 where the request cannot be used.

    With files after the request it was started before anything is asked of it: it loads those, and then waits for its
    standard input to end. Where there is no request then, there is nothing to prove.
    """
    die_with_parent()
    ahead = [Path(word) for word in words[1:]]
    _load(ahead)
    if ahead:
        os.read(0, 1)
        if not Path(words[0]).exists():
            return 0
    try:
        requests = ProofsRequest.model_validate_json(Path(words[0]).read_bytes()).proofs
    except (IndexError, OSError, ValidationError) as error:
        print(f"no usable request: {error}", file=sys.stderr)
        return 2
    os.set_inheritable(EVENTS_DESCRIPTOR, False)
    whole = Emitter(EVENTS_DESCRIPTOR, "")
    settle = catch_stray_output(whole)
    cancel, connections = Cancel(), SharedConnections()
    _load([one.file for one in requests if one.file not in ahead])
    try:
        with ThreadPoolExecutor(max(1, len(requests))) as pool:
            waiting = [
                pool.submit(prove, one, Ledger(EVENTS_DESCRIPTOR, one.step, beside=whole), cancel, connections)
                for one in requests
            ]
            while wait(waiting, timeout=LOOK_UP_S).not_done:  # handlers of signals run on this thread alone
                pass
    finally:
        connections.close()
    settle()
    return 0


def _load(files: Sequence[Path]) -> None:
    """With all that they import. One after the other: threads that import what imports each other find modules half
    made."""
    for file in files:
        with contextlib.suppress(Exception):  # told as that step's failure when it is its turn
            loaded(file)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))

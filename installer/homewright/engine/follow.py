"""Following a run through the journal: every event exactly once, until the run has ended and all was told."""

from __future__ import annotations

import time
from collections.abc import Iterator

from homewright.engine.events import Event, Kind
from homewright.engine.journal import Reader

PAGE = 500
POLL_S = 0.1
END_POLL_S = 0.01
"""The same once the run has told its end: its state is written right after that."""


def follow(reader: Reader, run: str, after: int = 0) -> Iterator[Event]:
    """Events with a seq above `after`, as they come. Ends when the run has a final state (or its engine is dead).

    The state is looked at before the events: when it was final then, the events read after it are all there are.
    """
    pause = POLL_S
    while True:
        ended = reader.run(run).state.final
        while page := reader.events(run, after, PAGE):
            yield from page
            after = page[-1].seq
            pause = END_POLL_S if page[-1].kind == Kind.RUN_FINISHED else POLL_S
            if len(page) < PAGE:
                break
        if ended and not reader.events(run, after, 1):
            return
        if not ended:
            time.sleep(pause)

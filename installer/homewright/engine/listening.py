"""Where a running engine listens, for both sides of its control socket. No asyncio here: every verb that watches or
tells an engine would load it, and needs it for nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from homewright.site.paths import StateFolder

ANSWER_S = 5.0
"""How long the first line of a connection may take."""


@contextlib.contextmanager
def address(state: StateFolder) -> Iterator[str]:
    """A short path to the engine's socket, good while the context lasts.

    Its own may be longer than the 108 bytes that a socket's address takes, so both sides go through a descriptor of the
    folder.
    """
    descriptor = os.open(state.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{state.engine_socket.name}"
    finally:
        os.close(descriptor)

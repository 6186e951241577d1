"""Hosts side by side, and the one thread that hears signals."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

from homewright.engine.runners.host import together


def test_a_signal_that_the_kernel_gave_to_another_thread_is_heard() -> None:
    heard = threading.Event()

    main = threading.get_ident()

    def work(_: Any) -> bool:
        limit = time.monotonic() + 10
        while sys._current_frames()[main].f_code.co_name != "wait" and time.monotonic() < limit:
            os.sched_yield()
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        return heard.wait(5)

    before = signal.signal(signal.SIGTERM, lambda *_: heard.set())
    try:
        host: Any = SimpleNamespace(error=None, name="s1")
        assert together([host], work) == {"s1": True}
    finally:
        signal.signal(signal.SIGTERM, before)

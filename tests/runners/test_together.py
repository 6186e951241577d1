"""Hosts side by side, and the one thread that hears signals."""

from __future__ import annotations

import signal
import sys
import threading
from types import SimpleNamespace
from typing import Any

from homewright.engine.runners.host import together


def test_a_signal_that_the_kernel_gave_to_another_thread_is_heard() -> None:
    heard = threading.Event()

    main = threading.get_ident()

    def work(_: Any) -> bool:
        while sys._current_frames()[main].f_code.co_name != "wait" or heard.wait(0.1):
            pass  # until the main thread listens to nothing but us
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        return heard.wait(5)

    before = signal.signal(signal.SIGTERM, lambda *_: heard.set())
    try:
        host: Any = SimpleNamespace(error=None, name="s1")
        assert together([host], work) == {"s1": True}
    finally:
        signal.signal(signal.SIGTERM, before)

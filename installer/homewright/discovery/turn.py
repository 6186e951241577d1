"""Threads that only compute take turns: with each one more that wants the interpreter, a screen's own thread waits one
switch longer for it. Asking and measuring, which wait for servers, go on side by side."""

from __future__ import annotations

import threading

TURN = threading.RLock()
"""Held while a bundle is read, facts are made of one, or findings of facts."""

"""Watches every process of this machine, practice servers included, for what it was called with."""

from __future__ import annotations

import threading
from pathlib import Path


class ProcessSampler:
    """Collects the distinct argument lists and environments of all processes while a block runs.

    Containers share this kernel, so the servers' processes are seen as well as ours.
    """

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self.rounds = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="process-sampler", daemon=True)

    def __enter__(self) -> ProcessSampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        known: set[tuple[str, bytes]] = set()
        while not self._ended.wait(0.02):
            self.rounds += 1
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        content = (process / name).read_bytes()
                    except OSError:
                        continue
                    key = (process.name + name, content)
                    if key not in known:
                        known.add(key)
                        self.seen.add(content)

"""Watches every process of this machine, practice servers included, for what it was called with."""

from __future__ import annotations

import base64
import json
import os
import threading


def forms(secret: str) -> list[bytes]:
    """A secret as it may stand in a file: plain, inside JSON, in base64."""
    plain = secret.encode()
    return [plain, json.dumps(secret)[1:-1].encode(), base64.b64encode(plain).rstrip(b"=")[:-1]]


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
        last: dict[str, bytes] = {}
        while not self._ended.wait(0.02):
            self.rounds += 1
            running = [name for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208  a tenth of Path's time
            for pid in running:
                called = _content(f"/proc/{pid}/cmdline")
                # What a process is called with and its environment change together, when it executes a program.
                if called != last.get(pid):
                    last[pid] = called
                    self.seen |= {called, _content(f"/proc/{pid}/environ")}
            for gone in last.keys() - set(running):
                del last[gone]


def _content(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        read = b""
        while chunk := os.read(descriptor, 1 << 20):
            read += chunk
        return read
    except OSError:
        return b""
    finally:
        os.close(descriptor)

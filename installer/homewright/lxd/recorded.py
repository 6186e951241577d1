"""Commands inside an instance without a conversation: LXD keeps what they say, and we read it when they have ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import requests

COMMAND_S = 900.0
"""How long a command may take: packages over a slow line."""
POLL_S = 5
"""How long one question about its end waits; less than a client lets an answer take."""
FINAL = 200
"""The first of LXD's status codes of operations that are over."""


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str


def execute(api: Any, instance: str, command: Sequence[str], user: int = 0, limit_s: float = COMMAND_S) -> Said:
    """Run a command in a running instance; `api` is pylxd's client's. Raises what pylxd and requests raise, of the
    latter Timeout where it has not ended after `limit_s`; then it goes on in the instance.

    Nothing secret may be among the words: LXD shows them while the command runs.
    """
    request = {
        "command": list(command), "wait-for-websocket": False, "record-output": True, "interactive": False,
        "user": user,
    }  # fmt: skip
    place = api.instances[instance]
    started = place.exec.post(json=request).json()["operation"].rpartition("/")[2].partition("?")[0]
    until = time.monotonic() + limit_s
    while True:
        ended = api.operations[started].wait.get(params={"timeout": POLL_S}).json()["metadata"]
        if ended["status_code"] >= FINAL:
            break
        if time.monotonic() > until:
            raise requests.exceptions.Timeout(f"the command has not ended after {limit_s:g} s")
    told = ended["metadata"] or {}
    files = {number: url.rpartition("/")[2].partition("?")[0] for number, url in told.get("output", {}).items()}
    text = {number: place.logs[file].get(is_api=False).text for number, file in files.items()}
    for file in files.values():
        place.logs[file].delete()
    return Said(int(told.get("return", -1)), text.get("1", ""), text.get("2", "") or str(ended.get("err", "")))

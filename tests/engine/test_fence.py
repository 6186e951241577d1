"""What is done on a server before it is given back. The server's answers are given."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from homewright.access.connection import CommandFailed, Completed
from homewright.engine import fence
from homewright.engine.fence import Fences
from homewright.engine.journal.writer import Writer
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder

SITE = Site(name="attic", servers=tuple(Server(name=n, address=f"10.0.0.{i}", user="a") for i, n in enumerate("xy", 1)))


class Answers:
    """A connection to a server that gives its fence to everybody, and keeps what it was asked."""

    asked: list[tuple[str, str]]
    stuck: bool

    def __init__(self, host: str) -> None:
        self.host = host

    @classmethod
    def open(cls, endpoint: Any) -> Answers:
        return cls(endpoint.name)

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, command: str, **_: object) -> Completed:
        sweep = "kill -$s" in command
        kind = "sweep" if sweep else "release" if '"released": true' in command else "take"
        self.asked.append((self.host, kind))
        if sweep and self.stuck:
            raise CommandFailed(self.host, "sweep", Completed("", "still there: 7", 1))
        if sweep:
            assert "HOMEWRIGHT_FENCE=2" in command  # every mark but that: ours, 1, too
        return Completed(json.dumps({"taken": True, "before": None}), "", 0)


@pytest.mark.parametrize("stuck", [False, True])
def test_what_a_failed_step_left_on_a_server_is_ended_before_it_is_given_back(
    state: StateFolder, writer: Writer, monkeypatch: pytest.MonkeyPatch, stuck: bool
) -> None:
    Answers.asked, Answers.stuck = [], stuck
    monkeypatch.setattr(fence, "Connection", Answers)
    fences = Fences(SITE, state, writer, "us")
    began = time.time()
    assert asyncio.run(fences.hold(["x", "y"])) == {}
    fences.unclean.add("y")
    assert asyncio.run(fences.release()) == (["y"] if stuck else [])
    assert [kind for host, kind in Answers.asked if host == "x"] == ["take", "release"]
    assert [kind for host, kind in Answers.asked if host == "y"] == ["take", "sweep", *([] if stuck else ["release"])]
    given = dict(writer.query("SELECT host, released FROM fences"))
    assert given["x"] >= began
    assert (given["y"] is None) is stuck

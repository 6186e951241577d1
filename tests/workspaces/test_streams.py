"""Commands in a pod whose user wants them never to end: they are given up after so long, and after so much."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from websocket import ABNF

from homewright.workspaces.backends.kubernetes import streams
from homewright.workspaces.backends.kubernetes.streams import Place
from homewright.workspaces.errors import InstanceFailed

PLACE = Place("codeserver-instances", "workspace-alice-0", "editor")
SUCCESS = bytes([streams.ENDED]) + b'{"status": "Success"}'


class Channel:
    """A conversation in which the pod says these frames, whatever it is told."""

    sock = None

    def __init__(self, frames: Iterator[bytes]) -> None:
        self.frames = frames
        self.limits: list[float | None] = []

    def settimeout(self, seconds: float | None) -> None:
        self.limits.append(seconds)

    def recv_data(self) -> tuple[int, bytes]:
        return ABNF.OPCODE_BINARY, next(self.frames)


class Server:
    def __init__(self, *frames: bytes, then: Iterator[bytes]) -> None:
        self.opened = Channel(itertools.chain(frames, then))

    def channel(self, *_: object) -> Channel:
        return self.opened


def run(server: Any, limit_s: float) -> streams.Done:
    return streams.run(server, PLACE, ["git", "fetch"], limit_s=limit_s)


def test_a_command_is_heard_to_its_end() -> None:
    server = Server(b"\x01on", b"\x02wrong", b"\x01e", then=iter([SUCCESS]))
    assert run(server, 60.0) == streams.Done(0, "one", "wrong")
    limits = server.opened.limits
    assert limits[1] == 60.0 and all(left is not None and left <= 60.0 for left in limits[1:])
    assert limits[-1] != limits[1], "each piece is waited for as long as is left of the whole"


@pytest.mark.parametrize("channel", [streams.STDOUT, streams.STDERR])
@pytest.mark.parametrize(("length", "times", "limit_s", "why"), [
    (1, 300_000, 0.05, "It has not ended after"), (32 << 10, 100, 60.0, "more than 1 MiB"),
])  # fmt: skip
def test_a_command_that_goes_on_and_on_is_given_up(
    channel: int, length: int, times: int, limit_s: float, why: str
) -> None:
    endless = itertools.repeat(bytes([channel]) + b"." * length, times)
    with pytest.raises(InstanceFailed, match="does not end") as failed:
        run(Server(then=itertools.chain(endless, [SUCCESS])), limit_s)
    assert why in failed.value.why

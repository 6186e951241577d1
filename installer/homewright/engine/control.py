"""Commands to a running engine over a 0600 socket in the state folder: one JSON line each way.

The path may be longer than the 108 bytes that a socket's address takes, so both sides go through a descriptor of the
folder. An accepted command is acknowledged by an event in the journal, whose seq comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from homewright.site.paths import StateFolder

COMMANDS = ("cancel", "pause", "continue")
LONGEST = 4096
ANSWER_S = 5.0


@contextlib.contextmanager
def address(state: StateFolder) -> Iterator[str]:
    """A short path to the engine's socket, good while the context lasts."""
    descriptor = os.open(state.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{state.engine_socket.name}"
    finally:
        os.close(descriptor)


@contextlib.asynccontextmanager
async def serving(state: StateFolder, accept: Callable[[str, str], int]) -> AsyncIterator[None]:
    """Take commands; `accept(id, command)` carries one out and returns the seq of its acknowledgement."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await asyncio.wait_for(_answer(reader, writer, accept), ANSWER_S)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError, TimeoutError):
            pass
        finally:
            writer.close()

    state.engine_socket.unlink(missing_ok=True)
    with address(state) as path:
        server = await asyncio.start_unix_server(serve, path=path, limit=LONGEST)
        _make_private(path)
        try:
            yield
        finally:
            server.close()
            state.engine_socket.unlink(missing_ok=True)


def _make_private(path: str) -> None:
    Path(path).chmod(0o600)


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, accept: Callable[[str, str], int]
) -> dict[str, object]:
    connection = writer.get_extra_info("socket")
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if uid not in (os.getuid(), 0):
        return {"ok": False, "why": "You are not the owner of this run."}
    record = json.loads(await reader.readline())
    if not isinstance(record, dict):
        return {"ok": False, "why": "That is no command."}
    identity, command = str(record.get("id", "")), str(record.get("command", ""))
    if command not in COMMANDS:
        return {"id": identity, "ok": False, "why": f"This engine does not know the command {command}."}
    return {"id": identity, "ok": True, "seq": accept(identity, command)}

"""Commands to a running engine over a 0600 unix socket in the state folder: JSON lines, each answered by one.

A connection is one viewer for as long as it lasts: so the engine knows of a viewer's end from the kernel, however it
came about. What viewers need to know of each other they read from the journal, as everything else; an accepted command
is acknowledged there too, and the seq of that event comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import secrets
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from homewright.engine import viewers
from homewright.engine.events import Event, Kind, Level
from homewright.engine.journal.writer import Writer
from homewright.engine.listening import ANSWER_S, address
from homewright.engine.viewers import Viewer, Viewers
from homewright.errors import HomewrightError
from homewright.site.paths import StateFolder

COMMANDS = ("cancel", "pause", "continue")
"""What whoever is in control may tell the engine; everybody, while nobody is."""
WORDS = ("look", "ask", "grant", "refuse", "give")
"""What viewers say among themselves."""
META = "viewers"
"""Where the journal keeps who looks, as `viewers.Viewers`."""
LONGEST = 4096


class Desk:
    """Where the viewers' words come in: keeps who is in control, tells the journal, passes commands on.

    `obey(id, command, by)` carries a command out and returns the seq of its acknowledgement.
    """

    def __init__(self, writer: Writer, obey: Callable[[str, str, str], int]) -> None:
        self._writer = writer
        self._obey = obey
        self._closed = False
        self.looked = False
        """Somebody has looked at the run, now or before."""
        self._timer: asyncio.TimerHandle | None = None
        self.now = Viewers(writer.run)
        writer.change(writer.set_meta(META, self.now.as_json()))

    def close(self) -> None:
        """Record nothing more: the run's last event is its end."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def look(self, viewer: Viewer, *, wants: bool) -> None:
        self.looked = True
        self._happened(viewers.came(self.now, viewer, wants=wants))

    def left(self, id: str) -> None:
        self._happened(viewers.left(self.now, id))

    def say(self, id: str, word: str) -> str:
        """One of `WORDS` but look; why it is of no use, where it is."""
        match word:
            case "ask":
                self._happened(viewers.asked(self.now, id, time.time()))
                if id not in (self.now.holder, self.now.asking):
                    other = self.now.of(self.now.asking)
                    return f"{other.described()} has asked for control already." if other else "You do not look at it."
            case "give":
                self._happened(viewers.given_back(self.now, id))
            case _:
                self._happened(viewers.answered(self.now, id, yes=word == "grant"))
        return ""

    def command(self, viewer: Viewer, identity: str, command: str) -> dict[str, object]:
        """Carry a command out, unless somebody else is in control."""
        if self._closed:
            return {"id": identity, "ok": False, "why": "The run has just ended."}
        why = viewers.hindrance(self.now, viewer.id)
        if why:
            return {"id": identity, "ok": False, "code": "controlled", "why": why}
        return {"id": identity, "ok": True, "seq": self._obey(identity, command, viewer.described())}

    def _happened(self, outcome: viewers.Outcome) -> None:
        now, said = outcome
        if self._closed or not said:
            return
        self.now = now
        events = []
        for one in said:
            level = Level.DEBUG if one.what in viewers.QUIET else Level.INFO
            who = {"user": one.who.user, "tty": one.who.tty, "pid": one.who.pid, "from": one.who.origin}
            events.append(Event(Kind.VIEWER, one.text, level=level, data={"what": one.what, "who": who}))
        for event in events[:-1]:
            self._writer.line(event)
        self._writer.transition(events[-1], self._writer.set_meta(META, now.as_json()))
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if now.asking:
            wait = max(now.until - time.time(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(wait, self._lapse)

    def _lapse(self) -> None:
        with contextlib.suppress(HomewrightError):  # the engine meets the same journal by itself
            # The timer decides, not the clock: one that was set back meanwhile would put the question off.
            self._happened(viewers.lapsed(self.now, max(time.time(), self.now.until)))


@contextlib.asynccontextmanager
async def serving(state: StateFolder, desk: Desk) -> AsyncIterator[None]:
    """Take connections until the context ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = _Conversation(desk, writer)
        try:
            line = await asyncio.wait_for(reader.readline(), ANSWER_S)
            while line:
                writer.write(json.dumps(conversation.answer(line)).encode() + b"\n")
                await writer.drain()
                line = await reader.readline()
        except (OSError, ValueError, TimeoutError, HomewrightError, asyncio.CancelledError):
            pass  # cancelled as the engine ends: Python 3.11 would log a traceback for everybody who looks on
        finally:
            with contextlib.suppress(HomewrightError):
                conversation.end()
            writer.close()

    state.engine_socket.unlink(missing_ok=True)
    with address(state) as path:
        server = await asyncio.start_unix_server(serve, path=path, limit=LONGEST)
        _make_private(path)
        try:
            yield
        finally:
            desk.close()
            server.close()
            state.engine_socket.unlink(missing_ok=True)


def _make_private(path: str) -> None:
    Path(path).chmod(0o600)


class _Conversation:
    """One connection: who is at its other end, and whether they look at the run."""

    def __init__(self, desk: Desk, writer: asyncio.StreamWriter) -> None:
        self._desk = desk
        peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        self._pid, self._uid, _ = struct.unpack("3i", peer)
        self._id = secrets.token_hex(4)
        self._looks = False

    def answer(self, line: bytes) -> dict[str, object]:
        """Raises ValueError where the line is no JSON, StateError where the journal cannot be written."""
        if self._uid not in (os.getuid(), 0):
            return {"ok": False, "why": "You are not the owner of this run."}
        record = json.loads(line)
        if not isinstance(record, dict):
            return {"ok": False, "why": "That is no command."}
        identity, word = str(record.get("id", "")), str(record.get("command", ""))
        if word in COMMANDS:
            return self._desk.command(self._viewer(record), identity, word)
        if word == "look":
            if not self._looks:
                self._looks = True
                self._desk.look(self._viewer(record), wants=bool(record.get("wants")))
            return {"id": identity, "ok": True, "viewer": self._id, "pid": os.getpid()}
        if word in WORDS:
            why = self._desk.say(self._id, word)
            return {"id": identity, "ok": not why, "why": why}
        return {"id": identity, "ok": False, "why": f"This engine does not know the command {word}."}

    def end(self) -> None:
        if self._looks:
            self._desk.left(self._id)

    def _viewer(self, record: dict[str, Any]) -> Viewer:
        """Who it is: user and process as the kernel knows them, terminal and origin as they say themselves."""
        known = self._desk.now.of(self._id)
        if known is not None:
            return known
        try:
            user = pwd.getpwuid(self._uid).pw_name
        except KeyError:
            user = str(self._uid)
        tty, origin, face = (_short(record.get(name)) for name in ("tty", "from", "face"))
        return Viewer(self._id, user, self._pid, tty, origin, face or "command", time.time())


def _short(value: object) -> str:
    """A word of a stranger, as it may stand in a log."""
    text = value if isinstance(value, str) else ""
    return "".join(character for character in text if character.isprintable())[:64]

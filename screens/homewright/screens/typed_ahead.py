"""Keys that are typed faster than they are handled, in the order in which they were typed."""

from __future__ import annotations

from collections import deque
from functools import partial
from time import monotonic
from typing import Any, TypeVar

from textual import events
from textual.app import App
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.timer import Timer

Answer = TypeVar("Answer")

PATIENCE_S = 2.0
"""How long a key may be at work until the next one goes on all the same: what worked on it may have gone with it."""
SHORTEST_S = 0.01
"""The toolkit divides by a timer's time."""


class InOrder(App[Answer]):
    """A program that hands out a key once the one before it has been handled.

    Textual 8.2.8 hands out each key as it comes, to whatever has the focus then, and does what has priority at once. A
    key that is still in a widget's queue is overtaken so: of `alice`, tab, `first` and ctrl+s in one go, all letters
    went to the first field, and ctrl+s came before any of them; what was typed into a box that a key opens went to
    nobody. On a busy machine keys do come in one go.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ahead: deque[events.Event] = deque()
        self._at_work: events.Event | None = None
        self._since = 0.0
        self._front: Screen[Any] | None = None
        self._to: MessagePump | None = None
        """What the key was handed to, until it has been followed through there a second time."""
        self._waiting: Timer | None = None

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, (events.Key, events.Paste)) or event.is_forwarded:
            await super().on_event(event)
        elif self._at_work is None:
            await self._hand_out(event)
        else:
            self._ahead.append(event)
            if monotonic() - self._since > 2 * PATIENCE_S:  # its timer may have been lost too
                await self._next(self._at_work)
            else:
                self._wait()

    async def _hand_out(self, event: events.Event) -> None:
        self._at_work, self._since, self._front = event, monotonic(), self.screen
        self._to = to = self.focused or self.screen
        await super().on_event(event)
        self._follow(event, to)

    def _follow(self, event: events.Event, queue: MessagePump | None) -> None:
        """Go behind the key through this queue, and on to the one above it; where a queue has closed, past it."""
        while queue is not None and queue is not self:
            above = queue._parent
            if queue.call_later(self._follow, event, above):
                return
            queue = above
        self.call_later(self._handled, event)

    def _handled(self, event: events.Event) -> None:
        """The key has been handled; a focus that it has moved was moved by a call of this queue, before this one."""
        if event is not self._at_work:
            return
        if self.screen is not self._front:  # it is for the next key once it is there, with something in focus
            self._front, self._to = self.screen, None
            self._follow(event, self._front)
        elif self._to is not None:  # what it has told others (Input.Submitted) came behind the one that followed it
            to, self._to = self._to, None
            self._follow(event, to)
        else:
            self.call_later(self._next, event)

    async def _next(self, event: events.Event | None) -> None:
        if event is None or event is not self._at_work:
            return
        self._at_work = None
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None
        if self._ahead:  # a frame for each of many keys would be more than a slow line is to carry
            await self._hand_out(self._ahead.popleft())
            self._wait()
        else:  # what they have changed is painted now: over a slow line the next frame may be 33 ms away
            self.screen.call_later(self.screen._on_timer_update)

    def _wait(self) -> None:
        if self._ahead and self._waiting is None:
            left = max(SHORTEST_S, self._since + PATIENCE_S - monotonic())
            self._waiting = self.set_timer(left, partial(self._next, self._at_work))

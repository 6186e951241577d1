"""Keys that are typed faster than they are handled, in the order in which they were typed."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import Any, TypeVar

from textual import events
from textual.app import App
from textual.message import Message
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.timer import Timer

Answer = TypeVar("Answer")

PATIENCE_S = 2.0
"""How long a key may be at work until the next one goes on all the same: what worked on it may have gone with it."""


class KeyBehind(Message):
    """Goes the way of a key right behind it: where it arrives, the key has been handled."""

    def __init__(self, key: events.Event) -> None:
        super().__init__()
        self.key = key


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
        self._waiting: Timer | None = None

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, (events.Key, events.Paste)):
            await super().on_event(event)
        elif event.is_forwarded:
            await super().on_event(event)
            self._handled(event)  # it has come all the way, and what it is bound to has been done
        elif self._at_work is None:
            await self._hand_out(event)
        else:
            self._ahead.append(event)
            if self._waiting is None:
                left = max(0.0, self._since + PATIENCE_S - monotonic())
                self._waiting = self.set_timer(left, self._lost)

    async def _hand_out(self, event: events.Event) -> None:
        self._at_work, self._since, self._front = event, monotonic(), self.screen
        to: MessagePump = self.focused or self.screen
        await super().on_event(event)
        if not to.post_message(KeyBehind(event)):
            self._handled(event)

    def on_key_behind(self, message: KeyBehind) -> None:
        message.stop()
        self._handled(message.key)

    def _handled(self, event: events.Event) -> None:
        if event is not self._at_work:
            return
        if self.screen is not self._front:  # it is for the next key once it is there, with something in focus
            self._front = self.screen
            if self._front.post_message(KeyBehind(event)):
                return
        # A focus that the key has moved moves by a call of the same queue, before this one.
        self.call_later(self._next, event)

    async def _next(self, event: events.Event) -> None:
        if event is not self._at_work:
            return
        self._at_work = None
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None
        if self._ahead:
            await self._hand_out(self._ahead.popleft())
            if self._ahead:
                self._waiting = self.set_timer(PATIENCE_S, self._lost)

    async def _lost(self) -> None:
        self._waiting = None
        if self._at_work is not None:
            await self._next(self._at_work)

"""What comes for a screen that has been closed meanwhile: nothing of it happens."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from textual.app import App
from textual.message_pump import MessagePump
from textual.timer import Timer
from textual.widget import Widget


def has_departed(node: MessagePump | None) -> bool:
    """Whether this is being taken away, or something that it is part of, or is in no program any more."""
    while node is not None:
        if node._closing or node._closed or (isinstance(node, Widget) and node._pruning):
            return True
        if isinstance(node, App):
            return False
        node = node._parent
    return True


class Departing(Widget):
    """A screen whose timers, and whatever it put off, end with it.

    The toolkit takes a screen's widgets away one after the other, and lets timers and messages in between: what looks
    for a widget then finds none, and the program would end by that.
    """

    @property
    def departed(self) -> bool:
        """Whether this screen is being closed, or is."""
        return not self.display

    def while_here(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        """The callback, which does nothing once the screen has departed."""

        @functools.wraps(callback)
        def call(*arguments: Any, **named: Any) -> Any:
            return None if self.departed else callback(*arguments, **named)

        return call

    def set_interval(self, interval: float, callback: Callable[..., Any] | None = None, **options: Any) -> Timer:
        return super().set_interval(interval, callback and self.while_here(callback), **options)

    def set_timer(self, delay: float, callback: Callable[..., Any] | None = None, **options: Any) -> Timer:
        return super().set_timer(delay, callback and self.while_here(callback), **options)

    def call_after_refresh(self, callback: Callable[..., Any], *arguments: Any, **named: Any) -> bool:
        return super().call_after_refresh(self.while_here(callback), *arguments, **named)

"""The line that one types into, in forms and boxes."""

from __future__ import annotations

from textual.binding import Binding
from textual.events import Key
from textual.widgets import Input

EDITING = {
    key: binding.action
    for binding in Input.BINDINGS
    if isinstance(binding, Binding) and binding.action != "submit"
    for key in binding.key.split(",")
}
"""The toolkit's own keys for a line, with what each does."""


class Line(Input):
    """A line whose editing keys take their turn among the letters.

    The toolkit takes letters as they come, but a key such as ctrl+u only once it has passed every widget around the
    line: what a quick typist has typed by then goes with it.
    """

    async def on_key(self, event: Key) -> None:
        action = EDITING.get(event.key)
        if action is not None and not event.is_printable:
            event.stop()
            event.prevent_default()
            await self.run_action(action)

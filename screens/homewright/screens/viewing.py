"""Looking at a run together with others: who is in control of it, and how that changes hands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from homewright.errors import HomewrightError
from homewright.screens.ask import AskBox
from homewright.screens.page import Page

if TYPE_CHECKING:
    from homewright.engine.client import Presence
    from homewright.engine.viewers import Viewer, Viewers


Question = tuple[str, float]
"""Who asks for control, and until when it can be answered: the same viewer may ask again."""
AGAIN_S = 1.0
"""How soon a question that could not be put yet is put, and our own place is shown."""


class HandOver(AskBox):
    """Somebody asks for control of the run. Closing the box keeps it."""

    def __init__(self, asking: Viewer, question: Question) -> None:
        self.question = question
        lines = [
            f"{asking.described()} asks for control of this run.",
            "You go on looking at it, and can ask for control again.",
            "Without an answer it passes in half a minute.",
        ]
        super().__init__("control is asked for", lines, "hand it over", no="keep it")


class Viewing(Page):
    """A page that looks at a run, and may be in control of it."""

    def __init__(self) -> None:
        super().__init__()
        self._presence: Presence | None = None
        self._viewers: Viewers | None = None
        self._was = ""
        """How we stood when we looked last: mine, theirs, free."""
        self._asks = False
        """We have asked for control, and are not answered yet."""
        self._answered: Question | None = None
        """The question that was answered here last; the journal may not have it yet."""

    def be_present(self) -> None:
        """Let the others see that somebody looks from here; take control where nobody has it."""
        sitting = self.home.sitting
        if sitting is not None and self._presence is None:
            self._presence = self.home.services.presence(sitting.state)
            self.set_interval(AGAIN_S, self._once_more)

    def _once_more(self) -> None:
        """Where nothing happens in the run no look brings anything new: a question was asked while another box was
        open, or the engine's answer to who we are came after the journal's."""
        before = self._was
        if self._viewers is not None and not self._asks:  # an answer is in the journal alone: no look, no answer yet
            self.show_viewers(self._viewers)
        if self._was != before:
            self.standing_changed()

    def standing_changed(self) -> None:
        """How we stand to the run has changed, though the run has not."""

    def on_unmount(self) -> None:
        if self._presence is not None:
            self._presence.stop()

    def tell_engine(self, command: str) -> int:
        """Give the engine a command, as the viewer that we are. Runs in a thread; raises as `Services.tell`."""
        presence, sitting = self._presence, self.home.sitting
        if presence is not None and presence.viewer:
            return presence.say(command)
        assert sitting is not None
        return self.home.services.tell(sitting.state, command)

    @property
    def others(self) -> Viewer | None:
        """Who else is in control; None where we are, or nobody is."""
        viewers = self._viewers
        holder = viewers.in_control if viewers is not None else None
        mine = self._presence.viewer if self._presence is not None else ""
        return holder if holder is not None and holder.id != mine else None

    @property
    def standing(self) -> str:
        """How we stand to the run, in a few words; empty where no engine works on it."""
        viewers = self._viewers
        if viewers is None:
            return ""
        other = self.others
        if other is not None:
            waits = "asked for" if self._asks else "t asks for it"
            return f"read-only: {_short(other)} is in control, {waits}"
        more = len(viewers.all) - 1
        many = f", {more} {'other looks' if more == 1 else 'others look'} on" if more > 0 else ""
        return f"you are in control{many}" if viewers.in_control is not None else ""

    def show_viewers(self, viewers: Viewers | None) -> None:
        """Show who looks, as the journal has it now."""
        before, self._viewers = self._was, viewers
        presence = self._presence
        mine = presence.viewer if presence is not None else ""
        other = self.others
        self._was = "" if viewers is None else "theirs" if other else "mine" if viewers.in_control else "free"
        if presence is not None and viewers is not None and viewers.of(mine) is not None:
            presence.wants = self._was == "mine"  # until the engine knows us, that nobody is in control says nothing
        self._notice(before, other, mine)
        box = self.app.screen
        asking = viewers.of(viewers.asking) if viewers is not None and self._was == "mine" else None
        question = (asking.id, viewers.until) if viewers is not None and asking is not None else None
        if isinstance(box, HandOver) and question != box.question:
            self._answered = box.question  # it has passed, or is no longer wanted: no answer is ours
            box.dismiss(None)
        elif asking is not None and question is not None and question != self._answered and box is self:
            self.app.push_screen(HandOver(asking, question), lambda yes: self._answer(yes, question))

    def _notice(self, before: str, other: Viewer | None, mine: str) -> None:
        asks = self._viewers is not None and bool(mine) and self._viewers.asking == mine
        if self._asks and not asks and self._was == "theirs" and other is not None:
            self.say(f"{_short(other)} keeps control.", "warning")
        elif before == "theirs" and self._was == "mine":
            self.say("You are in control.", "ok")
        elif before == "mine" and self._was == "theirs" and other is not None:
            self.say(f"{_short(other)} is in control now; you read along. t asks for control.", "warning")
        elif before == "theirs" and self._was == "free":
            self.say("Nobody is in control any more; your keys work.")
        self._asks = asks

    def _answer(self, yes: bool | None, question: Question) -> None:
        if question != self._answered:
            self._answered = question
            self._among("grant" if yes else "refuse", lambda: None)

    def action_take_control(self) -> None:
        """Ask whoever is in control for it."""
        other = self.others
        if other is None:
            return

        def asked() -> None:
            self._asks = True
            self.say(f"{_short(other)} is asked for control; without an answer it passes in half a minute.")

        self._among("ask", asked)

    def action_read_only(self) -> None:
        """Why a key does nothing."""
        other = self.others
        if other is not None:
            self.say(f"Read-only: {other.described()} is in control. t asks for it.", "warning")

    def _among(self, word: str, done: Callable[[], None]) -> None:
        presence = self._presence
        if presence is None:
            return

        def failed(error: HomewrightError) -> None:
            self.say(error.why or error.what, "warning")

        self.start("viewers", lambda: presence.say(word), lambda _: done(), failed)


def _short(viewer: Viewer) -> str:
    at = viewer.tty or viewer.origin
    return f"{viewer.user} at {at}" if at else f"{viewer.user} (process {viewer.pid})"

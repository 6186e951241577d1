"""What the terminal shows is what the screen means, whatever was scrolled, hidden and shown on the way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from painted import Painted, painted
from textual._compositor import ChopsUpdate, Compositor, LayoutUpdate
from textual.app import App, ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.geometry import Region
from textual.pilot import Pilot
from textual.screen import Screen
from textual.strip import Strip
from textual.widgets import Static

from homewright.screens.page import Box, Page
from homewright.screens.painting import Painting

SIZE = (40, 10)


class Form(Screen[None]):
    """Rows of which eight are seen."""

    def __init__(self, compositor: Compositor) -> None:
        super().__init__()
        self._compositor = compositor

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False):
            with Vertical():
                yield Static("above", id="above")
            for number in range(40):
                yield Static(f"field {number}\nhint {number}", id=f"field-{number}")
            with Vertical():
                yield Static("below", id="below")


class Sheet(App[None]):
    """Keeps what a terminal has on it: of every update no more than the cells that it is about."""

    CSS = """
    VerticalScroll { height: 8; }
    Vertical { height: auto; }
    Static { height: 2; }
    #below { display: none; }
    """

    def __init__(self, compositor: Compositor) -> None:
        super().__init__()
        self._form = Form(compositor)
        self.terminal: list[list[str]] = [[]]

    def get_default_screen(self) -> Form:
        return self._form

    def _display(self, screen: Screen[object], renderable: Any) -> None:
        meant = self.meant()
        if isinstance(renderable, LayoutUpdate):
            self.terminal = meant
        elif isinstance(renderable, ChopsUpdate):
            for y, first, end in renderable.spans:
                self.terminal[y][first:end] = meant[y][first:end]
        super()._display(screen, renderable)

    def meant(self) -> list[list[str]]:
        strips = self.screen._compositor.render_strips()
        return [list("".join(segment.text for segment in strip)) for strip in strips]


async def scrolled(pilot: Pilot[None], rows: int) -> None:
    pilot.app.screen.query_one(VerticalScroll).scroll_to(y=rows, animate=False)
    await pilot.pause()


async def scrolled_back_with_a_layout(pilot: Pilot[None]) -> None:
    """In one frame all goes back to where the last layout had it, which is not where it was painted since."""
    await scrolled(pilot, 2)
    pilot.app.screen.query_one(VerticalScroll).scroll_to(y=0, animate=False, immediate=True)
    pilot.app.screen.query_one("#field-39", Static).update("said anew")
    await pilot.pause()


async def a_place_that_is_asked_for(pilot: Pilot[None]) -> None:
    """Somebody asks where a widget is between a change and the layout that follows it."""
    form = pilot.app.screen
    form.query_one("#above").display, form.query_one("#below").display = False, True
    while not form._layout_required:  # noqa: ASYNC110  # a frame is all there is: waiting longer, it is laid out
        await asyncio.sleep(0)
    form._compositor._full_map_invalidated = True  # as after a repaint of what is out of view
    assert form.query_one("#below").region
    await pilot.pause()


@pytest.mark.parametrize("act", [scrolled_back_with_a_layout, a_place_that_is_asked_for], ids=lambda act: act.__name__)
@pytest.mark.parametrize("mended", [True, False], ids=["ours", "the toolkit's own"])
def test_what_is_painted_is_what_is_meant(act: Any, mended: bool) -> None:
    """Where this fails for the toolkit's own, a newer one needs no mending any more."""

    async def run() -> None:
        app = Sheet(Painting() if mended else Compositor())
        async with app.run_test(size=SIZE) as pilot:
            await pilot.pause()
            assert app.terminal == app.meant()
            await act(pilot)
            assert (app.terminal == app.meant()) is mended, "\n".join("".join(line) for line in app.terminal)

    asyncio.run(run())


def test_scrolling_and_one_row_that_changes_paint_no_more_than_before() -> None:
    """The toolkit paints nothing twice, and neither does this: every byte may go through a slow link."""

    async def cells(compositor: Compositor) -> list[int]:
        app = Sheet(compositor)
        painted: list[int] = []
        async with app.run_test(size=SIZE) as pilot:
            await scrolled(pilot, 2)
            shown = app._display

            def display(screen: Screen[object], renderable: Any) -> None:
                if isinstance(renderable, ChopsUpdate):
                    painted.append(sum(end - first for _, first, end in renderable.spans))
                elif isinstance(renderable, LayoutUpdate):
                    painted.append(SIZE[0] * SIZE[1])
                shown(screen, renderable)

            app._display = display  # type: ignore[method-assign]  # looks on
            app.screen.query_one("#field-2", Static).update("field 2\nanother hint")
            await pilot.pause()
        return painted

    assert asyncio.run(cells(Painting())) == asyncio.run(cells(Compositor()))


class Sent(Painted, Sheet):
    """Painted by the bytes alone that a terminal would be sent."""

    CSS = """
    VerticalScroll { height: 8; border: round green; }
    Vertical { height: auto; }
    Static { height: 2; }
    #below { display: none; }
    """


async def said_in_every_way(pilot: Pilot[None]) -> None:
    """Styles, a link, wide characters beside a frame, and rows that are scrolled over them."""
    for number, words in enumerate(
        ("[bold]bold[/] plain", "[red on blue]red[/][link='https://a.b']there[/]", "服务器 服务")
    ):
        pilot.app.screen.query_one(f"#field-{number}", Static).update(f"{words}\n" + "器" * 25)
        await pilot.pause()
    for rows in (3, 1, 0):
        await scrolled(pilot, rows)
    pilot.app.screen.query_one("#field-1", Static).update("short")
    await pilot.pause()


def test_the_bytes_that_are_sent_paint_what_is_meant_and_are_fewer() -> None:
    async def run(compositor: Compositor) -> int:
        app = Sent(compositor)
        async with app.run_test(size=SIZE) as pilot:
            await pilot.pause()
            await said_in_every_way(pilot)
            await painted(app, pilot)
        return app.sent.bytes

    ours, theirs = asyncio.run(run(Painting())), asyncio.run(run(Compositor()))
    assert ours < theirs


def test_a_wide_character_at_the_end_of_what_changed_is_whole() -> None:
    """What covered the row goes aside and becomes narrower: what is painted anew ends within a character."""

    class Row(Screen[None]):
        def __init__(self) -> None:
            super().__init__()
            self._compositor = Painting()

        def compose(self) -> ComposeResult:
            yield Static("器" * 15)
            yield Static("over", id="over")

    class Shown(Painted):
        CSS = """
        Screen { layers: under over; }
        Static { layer: under; height: 1; }
        #over { layer: over; offset-x: 4; width: 5; }
        """

        def get_default_screen(self) -> Row:
            return Row()

    async def run() -> None:
        app = Shown()
        async with app.run_test(size=SIZE) as pilot:
            await painted(app, pilot)
            styles = app.screen.query_one("#over").styles
            styles.offset, styles.width = (3, 0), 3
            await pilot.pause()
            await painted(app, pilot)
            assert [character for character, _ in app.sent.rows[0][6:10]] == ["器", "", "器", ""]

    asyncio.run(run())


def test_what_is_covered_is_not_rendered() -> None:
    """A line of a log lies in eight containers: rendering them all took most of the time of a frame."""
    asked: list[str] = []

    class Seen(VerticalScroll):
        def render_lines(self, crop: Region) -> list[Strip]:
            asked.append(self.id or "")
            return super().render_lines(crop)

    class Two(Screen[None]):
        def __init__(self) -> None:
            super().__init__()
            self._compositor = Painting()

        def compose(self) -> ComposeResult:
            with Seen(id="under"):
                yield Static("\n".join(["all of it"] * SIZE[1]), id="over")

    class Shown(App[None]):
        CSS = "#over { height: 5; }"

        def get_default_screen(self) -> Two:
            return Two()

    async def run() -> None:
        app = Shown()
        async with app.run_test(size=SIZE) as pilot:
            await pilot.pause()
            asked.clear()
            app.screen.query_one("#over", Static).refresh()
            await pilot.pause()
            assert asked == []
            app.screen.query_one("#over").styles.height = 3
            await pilot.pause()
            assert asked == ["under"]

    asyncio.run(run())


def test_every_page_and_box_is_painted_so() -> None:
    assert isinstance(Page()._compositor, Painting)
    assert isinstance(Box[None]()._compositor, Painting)

"""Typing faster than the screens draw: every key counts, in the order in which it was pressed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from piloting import drive, page, until
from recorded_sites import lay_out
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input

from homewright.screens.app import HomewrightApp
from homewright.screens.ask import AskBox
from homewright.screens.widgets.field import Field

Make = Callable[..., HomewrightApp]
SIZE = (80, 24)


def keys(text: str) -> list[str]:
    """Words in angle brackets are keys by name, the rest are letters."""
    found: list[str] = []
    while text:
        if text.startswith("<"):
            name, text = text[1:].split(">", 1)
            found.append(name)
        else:
            found.append(text[0])
            text = text[1:]
    return found


def press_at_once(pilot: Pilot[object], names: Sequence[str]) -> None:
    """As the terminal hands over what was typed while the program was busy: all of it, before anything is done."""
    for name in names:
        pilot.app.post_message(Key(name, name if len(name) == 1 else None))


TYPED = [
    ("abc<ctrl+u>def", "def"),
    ("abc<home>x", "xabc"),
    ("abc<ctrl+a>x<ctrl+e>y", "xabcy"),
    ("abc<home>x<end>y", "xabcy"),
    ("abc<backspace>d", "abd"),
    ("abc<left><left>x", "axbc"),
    ("abc<home><right>x", "axbc"),
    ("abc<home><delete>x", "xbc"),
    ("abc<left><ctrl+k>x", "abx"),
    ("abc.def<ctrl+w>x", "abc.x"),
    ("abc<shift+home>x", "x"),
    ("abc<ctrl+shift+a>x", "x"),
]


def test_editing_keys_take_their_turn_among_the_letters(make_app: Make) -> None:
    file, _ = lay_out("attic")
    found: list[tuple[str, str]] = []

    async def flow(pilot: Pilot[object]) -> None:
        await page("network", ("No two ranges meet",), file=file, name="attic")(pilot)
        field = pilot.app.screen.query_one("#field-zone", Field)
        field.control_widget.focus()
        for typed, _ in TYPED:
            field.value = ""
            await pilot.pause()
            press_at_once(pilot, [*keys(typed), "Z"])  # Z is the end of it, wherever it lands
            await until(pilot, lambda: "Z" in field.value)
            found.append((typed, field.value.replace("Z", "")))

    drive(make_app(), SIZE, flow)
    assert found == TYPED


def test_what_is_typed_after_tab_lands_in_the_next_field(make_app: Make) -> None:
    file, _ = lay_out("attic")

    async def flow(pilot: Pilot[object]) -> None:
        await page("network", ("No two ranges meet",), file=file, name="attic")(pilot)
        first = pilot.app.screen.query_one("#field-pods", Field)
        first.control_widget.focus()
        first.value = ""
        await pilot.pause()
        press_at_once(pilot, keys("10.1.0.0/99<ctrl+u>10.44.0.0/16<tab>10.45.0.0/20<backspace>6"))
        second = pilot.app.screen.query_one("#field-services", Field)
        await until(pilot, lambda: (first.value, second.value) == ("10.44.0.0/16", "10.45.0.0/26"))

    drive(make_app(), SIZE, flow)


def test_a_box_that_wants_a_word_typed_takes_it_as_it_was_typed(make_app: Make, site: Path) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await page("servers", ("s1",), file=site)(pilot)
        answers: list[bool | None] = []
        pilot.app.push_screen(AskBox("remove s1?", ["It goes."], "remove", typed="s1"), answers.append)
        await until(pilot, lambda: isinstance(pilot.app.focused, Input))
        press_at_once(pilot, keys("s2<ctrl+u>s1<enter>"))
        await until(pilot, lambda: answers == [True])

    drive(make_app(), SIZE, flow)

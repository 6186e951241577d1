"""Styles are read with the screen that needs them and stay: one screen's must fit nothing on another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from homewright import screens

FOLDER = Path(screens.__file__).parent
EVERYWHERE = ("app.tcss", "box.tcss")
SHEETS = sorted(path.name for path in FOLDER.glob("*.tcss") if path.name not in EVERYWHERE)


def named(path: Path) -> set[str]:
    """The ids that a module gives to its widgets."""
    return set(re.findall(r'\bid="([\w-]+)"', path.read_text(encoding="utf-8")))


def loose(text: str) -> set[str]:
    """The ids in selectors that name no screen: they fit wherever such an id is."""
    found: set[str] = set()
    outer = ""
    depth = 0
    for letter in re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL):
        depth += (letter == "{") - (letter == "}")
        if depth == 0 or (depth == 1 and letter == "{"):
            outer += letter
    for selector in re.split(r"[,{}]", outer):
        if not re.match(r"[A-Z]", selector.strip()):
            found |= set(re.findall(r"#([\w-]+)", selector))
    return found


@pytest.mark.parametrize("sheet", SHEETS)
def test_an_id_that_a_screen_styles_is_its_own(sheet: str) -> None:
    styled = loose((FOLDER / sheet).read_text(encoding="utf-8"))
    own = [path for path in FOLDER.rglob("*.py") if sheet in path.read_text(encoding="utf-8")]
    assert own, f"no screen reads {sheet}"
    others = {
        f"#{name} of {path.name}"
        for path in FOLDER.rglob("*.py")
        if path not in own
        for name in styled & named(path)
    }  # fmt: skip
    assert sorted(others) == []

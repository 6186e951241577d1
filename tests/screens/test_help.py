"""How the text of a help box is laid out."""

from __future__ import annotations

from importlib import import_module

import pytest

from homewright.screens.app import PAGES
from homewright.screens.help import paragraphs
from homewright.screens.widgets.labelled import Line


def test_a_list_keeps_its_words_beside_their_terms() -> None:
    text = "One\nline.\n\nZone      its domain\n          (zone)\nRunner up name and e-mail\n\nThe end."
    assert paragraphs(text) == [
        "One line.",
        [Line("Zone", "its domain (zone)"), Line("Runner up", "name and e-mail")],
        "The end.",
    ]


@pytest.mark.parametrize("page", PAGES)
def test_no_help_loses_a_word(page: str) -> None:
    module, cls = PAGES[page]
    text = getattr(import_module(f"homewright.screens.{module}"), cls).HELP
    shown = " ".join(
        part if isinstance(part, str) else " ".join(f"{line.label} {line.text}" for line in part)
        for part in paragraphs(text)
    )
    assert shown.split() == text.split()

"""The four themes, and the plain one of the Linux console."""

from __future__ import annotations

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter
from textual.theme import Theme

from homewright.screens.glyphs import to_ascii

DARK = Theme(
    name="dark",
    primary="#5B8DEF",
    secondary="#7AA2C8",
    accent="#E0B455",
    success="#6CBF7A",
    warning="#E0B455",
    error="#E8707A",
    foreground="#D9DEE7",
    background="#14181F",
    surface="#1B212B",
    panel="#252D3A",
    dark=True,
    variables={"keys": "#E0B455", "quiet": "#8C97A8", "cursor": "#2B4A80", "cursor-off": "#252D3A"},
)
LIGHT = Theme(
    name="light",
    primary="#2456B8",
    secondary="#3F6F99",
    accent="#8A5A00",
    success="#1E6E34",
    warning="#8A5A00",
    error="#B3202E",
    foreground="#1A1F27",
    background="#FAFAF7",
    surface="#F0F1EE",
    panel="#E2E5E3",
    dark=False,
    variables={"keys": "#2456B8", "quiet": "#5C6470", "cursor": "#BCD0F2", "cursor-off": "#E2E5E3"},
)
HIGH_CONTRAST = Theme(
    name="high-contrast",
    primary="#FFFF00",
    secondary="#00FFFF",
    accent="#FFFF00",
    success="#00FF00",
    warning="#FFFF00",
    error="#FF8080",
    foreground="#FFFFFF",
    background="#000000",
    surface="#000000",
    panel="#000000",
    dark=True,
    text_alpha=1.0,
    variables={"keys": "#FFFF00", "quiet": "#FFFFFF", "cursor": "#0000B0", "cursor-off": "#303030"},
)
MONOCHROME = Theme(
    name="monochrome",
    primary="#C8C8C8",
    secondary="#C8C8C8",
    accent="#FFFFFF",
    success="#E0E0E0",
    warning="#FFFFFF",
    error="#FFFFFF",
    foreground="#E0E0E0",
    background="#000000",
    surface="#121212",
    panel="#262626",
    dark=True,
    variables={
        "keys": "#FFFFFF",
        "quiet": "#A8A8A8",
        "cursor": "#4A4A4A",
        "cursor-off": "#2A2A2A",
        "text-success": "#E0E0E0",
        "text-warning": "#FFFFFF",
        "text-error": "#FFFFFF",
        "text-primary": "#FFFFFF",
        "text-accent": "#FFFFFF",
    },
)
THEMES = (DARK, LIGHT, HIGH_CONTRAST, MONOCHROME)


class AsciiFilter(LineFilter):
    """Lets nothing but ASCII through to a terminal that has no other glyphs: borders, bars and all."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment if segment.control or segment.text.isascii() else Segment(to_ascii(segment.text), segment.style)
            for segment in segments
        ]

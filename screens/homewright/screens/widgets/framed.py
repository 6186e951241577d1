"""Words in a widget's frame, for whoever sets the same ones again with each look at the journal."""

from __future__ import annotations

from textual.content import Content
from textual.geometry import Region
from textual.widget import Widget


def entitle(widget: Widget, title: str | None = None, subtitle: str | None = None) -> None:
    """Set what a frame says at its top and at its bottom; what is None stays.

    The toolkit paints the whole widget anew when one of them is set, to the words that are there already as well. A
    log's frame says with each key whether it is followed, and all its lines would go over a slow line for that.
    """
    if title is not None and widget.border_title != title:
        widget._border_title = _words(widget, title)
        _paint_row(widget, 0)
    if subtitle is not None and widget.border_subtitle != subtitle:
        widget._border_subtitle = _words(widget, subtitle)
        _paint_row(widget, widget.outer_size.height - 1)


def _words(widget: Widget, text: str) -> Content:
    """One line, as the toolkit keeps it."""
    return widget.render_str(text).expand_tabs(4).split()[0]


def _paint_row(widget: Widget, y: int) -> None:
    """Paint one row of a widget, counted from the top of its frame."""
    within = widget.content_offset
    widget.refresh(Region(0, y, widget.outer_size.width, 1).translate((-within.x, -within.y)))

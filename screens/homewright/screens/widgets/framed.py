"""Words in a widget's frame, for whoever sets the same ones again with each look at the journal."""

from __future__ import annotations

from textual.widget import Widget


def entitle(widget: Widget, title: str | None = None, subtitle: str | None = None) -> None:
    """Set what a frame says at its top and at its bottom; what is None stays.

    The toolkit paints the whole widget anew when one of them is set, to the words that are there already as well.
    """
    if title is not None and widget.border_title != title:
        widget.border_title = title
    if subtitle is not None and widget.border_subtitle != subtitle:
        widget.border_subtitle = subtitle

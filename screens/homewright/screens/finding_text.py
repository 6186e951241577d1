"""What a cell of the checks screen means, in lines: measured, wanted, why, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from homewright.screens.check_board import state_of
from homewright.screens.glyphs import look
from homewright.screens.widgets.labelled import Line

if TYPE_CHECKING:
    from homewright.checks.models import Finding

TONES = {"failed": "failed", "warning": "warning", "unknown": "warning", "passed": "ok"}


def subject(finding: Finding) -> str:
    """Whom a finding is about."""
    return " to ".join(finding.subjects) or "the site"


def state_word(finding: Finding, ascii: bool) -> str:
    """Glyph and word of its state."""
    seen = look(state_of(finding))
    return f"{seen.mark(ascii)} {seen.word}"


def lines_of(finding: Finding) -> list[Line]:
    """One finding: what was measured and wanted, why it matters, what to do, what the repair would change."""
    tone = TONES.get(state_of(finding), "plain")
    lines = [Line("Measured", finding.measured, tone)] if finding.measured else []
    lines += [Line("Wanted", finding.threshold)] if finding.threshold else []
    lines += [Line("Why", finding.reason)] if finding.reason else []
    if finding.accepted is not None:
        lines.append(Line("Accepted", f"{finding.accepted} (a takes it back)"))
    remedy = finding.remedy
    if remedy is not None and finding.status not in ("passed", "pending"):
        lines.append(Line("To do", remedy.say))
        lines += [Line("To do", f"{number}. {step}") for number, step in enumerate(remedy.do, 1)]
        if remedy.fix is not None:
            what = "; ".join(remedy.changes) or remedy.say
            lines.append(Line("f fixes", what, "ok"))
    lines += [Line("More", finding.link, "quiet")] if finding.link else []
    return lines


def cell_lines(findings: Sequence[Finding], ascii: bool) -> list[Line]:
    """A cell, the worst finding first; of several, such as a server's ways to all others, the rest is listed."""
    if not findings:
        return []
    first, others = findings[0], findings[1:]
    if not others:
        return lines_of(first)
    lines = [Line("", f"{subject(first)}: {state_word(first, ascii)}", "bold", whole=True), *lines_of(first)]
    for finding in others:
        tone = TONES.get(state_of(finding), "plain")
        measured = f" · {finding.measured}" if finding.measured else ""
        lines.append(
            Line(
                "Also", f"{subject(finding)}: {state_word(finding, ascii)}{measured}", "plain" if tone == "ok" else tone
            )
        )
    return lines

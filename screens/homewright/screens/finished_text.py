"""What Finished says, line by line: proofs, how names are found, how the authority is trusted. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from homewright.engine.states import State
from homewright.screens import progress
from homewright.screens.glyphs import look
from homewright.site import finding, trusting

if TYPE_CHECKING:
    from homewright.screens.services import Outcome
    from homewright.site.models import Site
    from homewright.site.trusting import Way

WIDTH = 74
"""Columns of a line at a terminal of 80."""


def _steps(outcome: Outcome, ascii: bool) -> Iterator[str]:
    """Each stage in a line or two: what ended alike stands together. What went wrong has a line of its own.

    What needs a cluster has one line for all where nobody chose one: its stages are many, and their reason is the same.
    """
    shown, no_cluster = [], False
    for step in progress.whole(outcome.steps):
        if outcome.site.platform.cluster is None and step.state is State.SKIPPED and step.stage.startswith("40/"):
            no_cluster = True
        else:
            shown.append(step)
    for (stage, state), group in groupby(shown, lambda step: (step.stage, step.state)):
        steps = list(group)
        if state in (State.SUCCEEDED, State.SKIPPED):
            mark = look("done" if state is State.SUCCEEDED else state).mark(ascii)
            titles = ", ".join(step.title for step in steps)
            first = f"  {mark} {stage:<3} "
            yield from textwrap.wrap(titles, WIDTH, initial_indent=first, subsequent_indent=" " * 8)
            continue
        for step in steps:
            where = " ".join(row.host for row in outcome.steps if row.step == step.step and row.host)
            yield f"  {look(state).mark(ascii)} {step.step:<6} {step.title:<34} {where}".rstrip()
    if no_cluster:
        mark = look(State.SKIPPED).mark(ascii)
        yield f"  {mark} 40  no cluster was chosen, so none was made (see Platform)"


def _ways(ways: Iterable[Way]) -> Iterator[str]:
    """What each system wants, its name at the left. A command that takes several lines can be pasted as it is."""
    for way in ways:
        go_on = "" if not way.command else " `" if way.where == "Windows" else " \\"
        for number, step in enumerate(way.steps):
            *before, last = textwrap.wrap(
                step,
                WIDTH - len(go_on),
                initial_indent=f"  {'' if number else way.where:<14} ",
                subsequent_indent=" " * 19,
                break_long_words=False,
                break_on_hyphens=False,
            )
            yield from (f"{line}{go_on}" for line in before)
            yield last


def _names(site: Site) -> Iterator[str]:
    """How a computer comes to find the zone's names, and a test."""
    if site.zone is None:
        return
    yield ""
    yield f"To find the names of {site.zone}: on your router, or on each computer"
    yield from _ways(finding.ways(site))
    yield "  On Windows in a PowerShell, here and above in one of the administrator."
    yield ""
    yield f"  To see that it worked: {finding.test(site)}"


def told(outcome: Outcome, ascii: bool) -> list[str]:
    """Everything that the screen says, line by line; headings begin at the margin."""
    run, site = outcome.run, outcome.site
    changed = f"{run.changed} changed" if run.changed else "nothing had to be changed"
    proved = run.state is State.SUCCEEDED
    lines = [f"Proved, {changed}" if proved else f"The last run: {look(run.state).word}, {changed}"]
    lines += _steps(outcome, ascii)
    lines += ["", "To open", "  Workspaces: ctrl+n, where n makes the first one and o shows its address."]
    lines.append(
        "  Their addresses are the servers' own: there is no name to resolve."
        if site.zone is None
        else f"  Their names end in {site.zone}: how they are found stands beneath."
    )
    pairs = outcome.fingerprint.removeprefix("SHA256:").split(":")
    lines += [
        "",
        "To trust the site's certificate authority, once on each computer",
        f"  File           {outcome.certificate}",
        f"  SHA-256        {':'.join(pairs[:16])}",
        f"                 {':'.join(pairs[16:])}",
        f"  Carry the file over as {trusting.FILE} (it is no secret), and",
        "  compare its fingerprint:",
        f"    {trusting.COMPARE}",
        "",
        *_ways(trusting.WAYS),
        "  Chrome and Edge elsewhere, and Safari, use the computer's own store.",
        "",
        "  To see that it worked: open a workspace's address; the browser shows a",
        "  closed lock and no warning.",
        *_names(site),
        "",
        "Worth doing next",
        "  Make a workspace for everybody who needs one: ctrl+n, then n.",
    ]
    if outcome.export_due:
        lines += [
            f"  {outcome.export_due}",
            "  x makes one: an encrypted file, with which another machine goes on.",
            "  The same line by line: homewright site export --encrypt FILE",
        ]
    if outcome.old_key:
        lines.append(f"  {outcome.old_key}.")
    return lines

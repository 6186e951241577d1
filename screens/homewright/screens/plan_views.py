"""The plan as rows and words: by stage, by server, its decisions, what an edit changes, what is worth knowing. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from homewright.engine.boot.prospect import Prospect
from homewright.planning import Plan
from homewright.planning.difference import sentences
from homewright.planning.documents import AtBoot
from homewright.screens.services_planning import Outlook
from homewright.screens.widgets.table import Column, Row


@dataclass(frozen=True)
class View:
    """One way to look at a plan: rows, and for each what there is to say about it."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    about: Mapping[str, tuple[str, tuple[str, ...]]]
    """Title and lines for the box beneath, by the row's key."""


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def minutes(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def totals(plan: Plan) -> str:
    """Steps, servers, time, reboots and risk in one line."""
    steps = len([step for step in plan.steps() if not step.skipped])
    parts = [
        f"{count(steps, 'step')} on {count(len(plan.hosts), 'server')}, about {max(round(plan.minutes), 1)} min",
        f"reboots {', '.join(plan.reboots)}" if plan.reboots else "no reboot",
        f"could lock you out: {', '.join(plan.may_lock_out)}" if plan.may_lock_out else "nothing can lock you out",
    ]
    return " · ".join(parts)


def at_boot(found: AtBoot) -> str:
    """Whether the run goes on after this machine has lost power."""
    return Prospect(found.resumes, found.why).sentence()


def by_stage(outlook: Outlook) -> View:
    """Stages and their steps."""
    rows: list[Row] = []
    about: dict[str, tuple[str, tuple[str, ...]]] = {}
    for stage in outlook.plan.stages:
        title = f"{stage.id} {stage.title}"
        if stage.skipped:
            rows.append(Row(f"stage {stage.id}", ((f"⊘ {title}: {stage.skipped}", "muted"),), heading=True))
            continue
        rows.append(Row(f"stage {stage.id}", ((title, "strong"),), heading=True))
        for step in stage.steps:
            if step.skipped:
                rows.append(Row(step.id, ((f"⊘ {step.id} {step.title}", "muted"), ("none", "muted"))))
                about[step.id] = (f"{step.id} {step.title}", (step.summary, f"Skipped. {step.skipped}"))
                continue
            flags = " ".join((["! reboot"] if step.reboots else []) + (["! lock-out"] if step.may_lock_out else []))
            cells = f"{step.id} {step.title}", " ".join(step.hosts), minutes(step.minutes), (flags, "warning")
            rows.append(Row(step.id, cells))
            source = "as it took before" if step.measured else "as the catalogue says"
            lines = [step.summary, f"Servers: {', '.join(step.hosts)}. Done by {step.runner}."]
            lines.append(f"About {minutes(step.minutes)} min, {source}.")
            lines += ["! It reboots these servers."] if step.reboots else []
            lockout = "! It could lock you out; it is taken back by itself when no new connection proves it."
            lines += [lockout] if step.may_lock_out else []
            lines += [f"After {', '.join(step.requires)}."] if step.requires else []
            about[step.id] = (f"{step.id} {step.title}", tuple(lines))
    columns = (Column("step"), Column("servers", 22), Column("minutes", 8, right=True), Column("", 12))
    return View(columns, tuple(rows), about)


def by_server(outlook: Outlook) -> View:
    """What each server gets: steps, then every file and every package, with the step that does it."""
    rows: list[Row] = []
    about: dict[str, tuple[str, tuple[str, ...]]] = {}
    titles = {step.id: step.title for step in outlook.plan.steps()}

    def by(step: str) -> str:
        return (
            f"By {step} {titles.get(step, '')}." if step else "Written by every run: it keeps two runs off one server."
        )

    for host in outlook.plan.hosts:
        flags = (" · ! reboots" if host.reboots else "") + (" · ! could lock you out" if host.may_lock_out else "")
        files, packages = count(len(host.files), "file"), count(len(host.packages), "package")
        line = f"{host.host} · {count(len(host.changes), 'step')}, {files}, {packages}{flags}"
        rows.append(Row(f"host {host.host}", ((line, "strong"),), heading=True))
        for number, change in enumerate(host.changes):
            key = f"{host.host} step {number}"
            step, _, summary = change.partition(" ")
            rows.append(Row(key, (summary, ("step", "muted"), (step, "muted"))))
            about[key] = (f"{host.host} · {step} {titles.get(step, '')}", (summary,))
        for use in host.files:
            key = f"{host.host} file {use.step} {use.path}"
            kind = "folder" if use.path.endswith("/") else "file"
            rows.append(Row(key, (use.path, (kind, "muted"), (use.step or "every run", "muted"))))
            about[key] = (f"{host.host} · {kind}", (use.path, by(use.step)))
        for package in host.packages:
            key = f"{host.host} package {package.step} {package.name}"
            rows.append(Row(key, (package.name, ("package", "muted"), (package.step, "muted"))))
            about[key] = (f"{host.host} · package", (f"{package.name}, where it is missing.", by(package.step)))
    return View((Column("what changes"), Column("", 8), Column("by", 9)), tuple(rows), about)


def by_decision(outlook: Outlook) -> View:
    """What was decided; the one sentence why stands beneath."""
    rows, about = [], {}
    for number, one in enumerate(outlook.plan.decisions):
        key = f"decision {number}"
        rows.append(Row(key, (one.topic, one.chosen)))
        about[key] = (one.topic, (one.chosen, one.why))
    return View((Column("about", 24), Column("decided")), tuple(rows), about)


def by_edit(outlook: Outlook) -> View:
    """What is different from the plan that was approved last."""
    found = outlook.difference
    if found is None:
        words = ["No plan of this site was approved yet: there is nothing to compare with."]
    elif found.empty:
        words = ["Nothing is different from the plan that was approved last."]
    else:
        words = list(sentences(found))
    rows = [Row(f"edit {number}", (text,)) for number, text in enumerate(words)]
    title = "since the last approval"
    left = {state.say: state.do for state in found.old_state} if found is not None else {}
    about = {
        f"edit {number}": (title, (text, *([f"To do: {left[text]}"] if left.get(text) else [])))
        for number, text in enumerate(words)
    }
    return View((Column(),), tuple(rows), about)


def by_warning(outlook: Outlook) -> View:
    """Checks in the way, answers that do not fit, and what else is worth knowing."""
    rows: list[Row] = []
    about: dict[str, tuple[str, tuple[str, ...]]] = {}

    def add(key: str, mark: str, text: str, tone: str, title: str, lines: tuple[str, ...] = ()) -> None:
        rows.append(Row(key, ((f"{mark} {text}", tone),)))
        about[key] = (title, (text, *lines))

    for number, finding in enumerate(outlook.blocking):
        where = f" on {', '.join(finding.subjects)}" if finding.subjects else ""
        steps = (finding.remedy.say,) if finding.remedy is not None else ()
        text = f"{finding.title}{where}: {finding.reason}"
        add(f"check {number}", "✗", text, "failed", finding.check, (*steps, "c goes to Checks."))
    for number, misfit in enumerate(outlook.plan.problems):
        binding = misfit in outlook.misfits
        text = f"{misfit.field}: {misfit.reason}."
        add(f"misfit {number}", *(("✗", text, "failed") if binding else ("!", text, "warning")), "an answer", misfit.do)
    for number, text in enumerate(outlook.plan.warnings):
        add(f"warning {number}", "!", text, "warning", "worth knowing")
    if outlook.report is not None:
        for number, finding in enumerate(outlook.report.warnings()):
            where = f" on {', '.join(finding.subjects)}" if finding.subjects else ""
            text = f"{finding.title}{where}: {finding.reason}"
            add(f"open {number}", "!", text, "warning", finding.check, ("On Checks, a accepts it with a reason.",))
    if outlook.plan.at_boot is not None:
        found = outlook.plan.at_boot
        mark, tone = ("·", "muted") if found.resumes else ("!", "warning")
        add("at boot", mark, at_boot(found), tone, "a power loss of this machine")
    if not rows:
        rows.append(Row("none", ("Nothing special.",)))
    return View((Column(),), tuple(rows), about)


VIEWS: Mapping[str, Callable[[Outlook], View]] = {
    "stages": by_stage,
    "servers": by_server,
    "decisions": by_decision,
    "edit": by_edit,
    "warnings": by_warning,
}
"""The views by their names, in the order in which they are turned."""

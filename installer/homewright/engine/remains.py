"""Where a run that has not ended well stands: what is done, what its proofs say, what was cut off, what remains.

`look` reads it from the journal and from the answers as they are now; nothing is asked of a server. The verdicts are
those of the run's last engine. The decision itself, what a step needs on each server, is `engine.resume`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from homewright.catalogue import Catalogue, load, shipped
from homewright.engine import departure, recorded
from homewright.engine.documents import Document
from homewright.engine.events import Event, Kind
from homewright.engine.journal import Reader
from homewright.engine.journal.records import RunRecord, StepRecord
from homewright.engine.launch import RunRequest
from homewright.engine.recorded import Recorded
from homewright.engine.resume import ANOTHER, Fate, answers, outlook
from homewright.engine.states import Action, State, Verdict
from homewright.errors import HomewrightError
from homewright.planning import Plan, plan
from homewright.planning.answers import belongs, flattened
from homewright.planning.difference import Change
from homewright.planning.known import known_facts
from homewright.site import files
from homewright.site.models import Site
from homewright.site.paths import StateFolder
from homewright.site.secrets import Secrets

GOOD = (State.SUCCEEDED, State.ROLLED_BACK)
CUT = (State.INTERRUPTED, State.CANCELLED, State.RUNNING)

Next = Literal["nothing", "prove", "run", "mend", "skip", "wait"]
"""What comes next: nothing (proved), its proof, the step, first what it left half done, left out, or waiting."""


class HostRemains(Document):
    """A step on one server."""

    host: str
    recorded: State
    verdict: Verdict | None = None
    """What its proof said to the run's last engine; None where it was not asked."""
    said: str = ""
    """Why, in the proof's own words; of a failure, its reason."""
    next: Next
    replaced: bool = False
    """Another machine answers there than the one that was recorded: nothing is done to it until somebody says so."""


class StepRemains(Document):
    """One step of the run."""

    id: str
    title: str
    recorded: State
    because: tuple[str, ...] = ()
    """The answers that it reads and that have changed since: so it runs again although it was done."""
    why: str = ""
    """Why it is skipped, or did not run."""
    say: str = ""
    do: tuple[str, ...] = ()
    """What a failure means, and what to do about it."""
    hosts: tuple[HostRemains, ...]

    @property
    def next(self) -> Next:
        """Of all its servers: what is furthest from done."""
        found = {host.next for host in self.hosts}
        order: tuple[Next, ...] = ("mend", "run", "wait", "prove", "nothing", "skip")
        return next((one for one in order if one in found), "skip")

    def with_next(self, *wanted: Next) -> tuple[str, ...]:
        """The servers where this comes next."""
        return tuple(host.host for host in self.hosts if host.next in wanted)


class Remains(Document):
    """What a resume would find and do."""

    version: Literal[1] = 1
    run: str
    action: Action
    state: State
    reason: str = ""
    held: bool = False
    """An engine has proved what was done, or is at it, and waits for a word before it does anything else."""
    changed: tuple[Change, ...] = ()
    """Answers that are others than the run's last engine had."""
    new_servers: tuple[str, ...] = ()
    gone_servers: tuple[str, ...] = ()
    """Servers that left the site; nothing is done on them."""
    steps: tuple[StepRemains, ...] = ()

    @property
    def replaced(self) -> tuple[str, ...]:
        """Servers that are other machines than before."""
        return tuple(dict.fromkeys(host.host for step in self.steps for host in step.hosts if host.replaced))

    @property
    def over(self) -> bool:
        """Nothing remains."""
        return self.state in GOOD


def look(site_file: Path, state: StateFolder, run: str | None = None, found: Recorded | None = None) -> Remains:
    """Where a run stands, by default the latest; `found` is what was read of it before another engine went on.

    Raises UsageError where there is none, and what reading raises.
    """
    found = found or recorded.read(state, run)
    record, request = found.run, found.request
    folder = state.run(record.id)
    site = files.load(site_file)
    site = site.with_back(request.servers)
    if record.action is Action.VERIFY:  # as its next engine does; the copy of the last one need not be on the disk
        catalogue = load([shipped(), *map(Path, request.stages)])
    else:
        catalogue = load(sorted((folder / "catalogue").iterdir(), key=lambda root: int(root.name)))
    planned = plan(
        site,
        catalogue,
        known_facts(site, state),
        {},
        only=request.only,
        start_at=request.start_at,
        secrets=Secrets(state.secrets).names(),
        back=Reader(state).applied(record.id) if record.action is Action.ROLLBACK else None,
        places=departure.places(state, request.servers, run or record.id),
    )
    return remains(
        record,
        found.steps,
        site,
        before(found.answers, folder),
        catalogue,
        planned,
        heard(found.said),
        request,
        held=found.held,
    )


def before(data: bytes, folder: Path) -> Site | None:
    """The answers that the run's last engine had; None where they cannot be read any more."""
    try:
        return files.parse(data, str(folder / "site.yaml"))
    except HomewrightError:
        return None


def heard(events: Iterable[Event]) -> dict[tuple[str, str], tuple[Verdict, str]]:
    """What proofs said last, by step and server."""
    found: dict[tuple[str, str], tuple[Verdict, str]] = {}
    for event in events:
        if event.kind == Kind.VERIFY:
            found[event.step, event.host] = (Verdict(event.data.get("verdict", Verdict.CANNOT_TELL)), event.text)
        elif event.kind == Kind.RETRY and event.step and event.host:
            found[event.step, event.host] = (Verdict.CANNOT_TELL, f"{event.text}; it is asked again")
    return found


def remains(
    record: RunRecord,
    rows: Sequence[StepRecord],
    site: Site,
    earlier: Site | None,
    catalogue: Catalogue,
    planned: Plan,
    verdicts: Mapping[tuple[str, str], tuple[Verdict, str]],
    request: RunRequest,
    *,
    held: bool = False,
) -> Remains:
    """What remains of a run. Pure."""
    now, then = flattened(site), flattened(earlier) if earlier is not None else flattened(site)
    changed = tuple(
        Change(what=what, before=then.get(what), after=now.get(what))
        for what in dict.fromkeys((*then, *now))
        if then.get(what) != now.get(what)
    )
    servers = {server.name for server in site.servers}
    # An engine that was held has rows for new servers as well, although it was to do nothing there.
    known = {server.name for server in earlier.servers} if earlier else {row.host for row in rows if row.host}
    by_step: dict[str, dict[str, StepRecord]] = {}
    for row in rows:
        by_step.setdefault(row.step, {})[row.host] = row
    order = {step.id: step.hosts for step in planned.steps()}
    steps = []
    for head in (row for row in rows if not row.host):
        mine = {host: row for host, row in by_step[head.step].items() if host}
        wanted = order.get(head.step, tuple(mine))
        reads = catalogue.step(head.step).reads if record.action is Action.RUN else ()
        fates = _fates(record, request, wanted, mine, answers(site, reads) if reads or mine else "")
        because = tuple(change.what for change in changed if belongs(change.what, reads))
        stale = any(row.state is State.SUCCEEDED and fates.get(host) is Fate.RUN for host, row in mine.items())
        skipped = request.skips.get(head.step, "") or (head.reason if head.state is State.SKIPPED else "")
        hosts = [_host(host, mine.get(host), fates[host], verdicts.get((head.step, host)), skipped) for host in wanted]
        steps.append(
            StepRemains(
                id=head.step,
                title=head.title,
                recorded=head.state,
                because=(because or ("answers that it reads",)) if stale else (),
                why=skipped or ("" if head.state in (State.FAILED, *CUT) else head.reason),
                say=head.say,
                do=head.do,
                hosts=tuple(hosts),
            )
        )
    return Remains(
        run=record.id,
        action=record.action,
        state=record.state,
        reason=record.reason,
        held=held,
        changed=changed,
        new_servers=tuple(sorted(servers - known)) if known else (),
        gone_servers=tuple(sorted(known - servers)) if earlier else (),
        steps=tuple(steps),
    )


def _fates(
    record: RunRecord, request: RunRequest, hosts: Sequence[str], rows: Mapping[str, StepRecord], now: str
) -> Mapping[str, Fate]:
    if record.action is not Action.RUN:
        # A roll-back or a proof of everything is gone on with as a whole.
        return {host: Fate.PROVE if host in rows and rows[host].state in GOOD else Fate.RUN for host in hosts}
    return outlook(hosts, rows, now, anew=False, new_machines=()).fates


_BY_FATE: Mapping[Fate, Next] = {Fate.PROVE: "prove", Fate.RUN: "run", Fate.MEND: "mend"}
_BY_PROOF: Mapping[Verdict, Next] = {Verdict.PROVED: "nothing", Verdict.BROKEN: "run", Verdict.CANNOT_TELL: "wait"}


def _host(
    host: str, row: StepRecord | None, fate: Fate, verdict: tuple[Verdict, str] | None, skipped: str
) -> HostRemains:
    recorded = row.state if row is not None else State.PENDING
    said = row.reason if row is not None and recorded in (State.FAILED, *CUT) else ""
    following = _BY_FATE[fate]
    judged = None
    if fate is Fate.PROVE and verdict is not None:
        judged, said = verdict
        following = _BY_PROOF[judged]
    if skipped:
        following = "skip"
    return HostRemains(
        host=host, recorded=recorded, verdict=judged, said=said, next=following, replaced=ANOTHER in said
    )


def sentences(found: Remains) -> list[str]:
    """Where the run stands, line by line, for people."""
    accept = "Accept it, if that is so: homewright resume --new-machine"
    lines = [f"{host} {ANOTHER} {accept} {host}" for host in found.replaced]
    lines += [
        f"Answer {change.what} has changed: {change.before or 'none'} → {change.after or 'none'}."
        for change in found.changed
    ]
    if found.new_servers:
        lines.append(f"New in the site: {', '.join(found.new_servers)}; every step runs there.")
    if found.gone_servers:
        lines.append(f"No longer in the site: {', '.join(found.gone_servers)}; nothing is done there.")
    lines += [f"{step.id} {step.title}: {told(step)}" for step in found.steps]
    return lines


def told(step: StepRemains) -> str:
    """What was recorded of a step, what its proof says, and what comes next, in one line."""
    parts = [recorded_words(step)]
    proved, broken, unsure = (
        [host.host for host in step.hosts if host.verdict is verdict]
        for verdict in (Verdict.PROVED, Verdict.BROKEN, Verdict.CANNOT_TELL)
    )
    parts += [f"proved on {', '.join(proved)}"] if proved else []
    parts += [f"broken on {', '.join(broken)}"] if broken else []
    parts += [f"cannot tell on {', '.join(unsure)}"] if unsure else []
    parts += [following_words(step)]
    return "; ".join(part for part in parts if part)


def recorded_words(step: StepRemains) -> str:
    """What the journal says of it."""
    words = {
        State.SUCCEEDED: "done",
        State.ROLLED_BACK: "taken back",
        State.PENDING: "not begun",
        State.RUNNING: "at work",
        State.SKIPPED: "skipped",
        State.INTERRUPTED: "cut off",
        State.INCOMPLETE: "not proved",
    }
    return words.get(step.recorded, str(step.recorded))


def following_words(step: StepRemains) -> str:
    """What comes next for it."""
    if step.next == "skip":
        return "left out" + (f": {step.why}" if step.why else "")
    parts = []
    if mend := step.with_next("mend"):
        parts.append(f"{_where('looked at and done again', mend, step)}")
    if run := step.with_next("run"):
        again = "to do" if step.recorded in (State.PENDING, State.SKIPPED) else "done again"
        why = f", since {', '.join(step.because)} changed" if step.because else ""
        parts.append(f"{_where(again, run, step)}{why}")
    if wait := step.with_next("wait"):
        parts.append(_where("waited for", wait, step))
    if prove := step.with_next("prove"):
        parts.append(_where("to be proved", prove, step))
    return "; ".join(parts) or "nothing to do"


def _where(what: str, hosts: Sequence[str], step: StepRemains) -> str:
    return what if len(hosts) == len(step.hosts) else f"{what} on {', '.join(hosts)}"

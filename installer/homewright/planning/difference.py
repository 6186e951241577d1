"""What two plans differ in: answers, servers, decisions, steps, files; and what of the old one stays behind. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from homewright.planning import upgrades
from homewright.planning.answers import belongs
from homewright.planning.documents import Document
from homewright.planning.instance_changes import InstanceChange, instance_changes, leaving
from homewright.planning.plan import NOT_ASKED, Machine, Plan, PlanStage

INSTANCES = "instances.nodes"
VERSION = "cluster.version"


class Change(Document):
    """One thing that is another one now."""

    what: str
    """An answer's dotted name, a decision's topic, or what it is of a server."""
    before: str | None
    """None where it was not there."""
    after: str | None
    """None where it is not there any more."""


class StepAgain(Document):
    """A step that was done, and whose work an edit touches."""

    step: str
    title: str
    because: tuple[str, ...]
    """The answers that it reads and that changed."""
    hosts: tuple[str, ...]


class OldState(Document):
    """Something on a server that the old plan put there."""

    host: str
    path: str
    step: str
    becomes: Literal["replaced", "left"]
    """`replaced`: its step runs again and writes it anew; `left`: nothing of the new plan touches it, so it stays."""
    say: str
    do: str
    """What takes it away, where it stays; a command, to be run with the old answers."""


class Difference(Document):
    """What the new plan has otherwise than the old one."""

    version: Literal[1] = 1
    other_site: bool
    """The old plan is for a site of another name."""
    answers: tuple[Change, ...]
    machines: tuple[Change, ...]
    """Servers that are other machines now, or have other hardware."""
    catalogue: bool
    """The stages are another version."""
    stages: tuple[Change, ...]
    """Stages that run now and did not, or the other way round; with the reason."""
    decisions: tuple[Change, ...]
    steps_again: tuple[StepAgain, ...]
    files_added: tuple[Change, ...]
    """Files, and packages (`package NAME`), that the old plan did not change; `what` is the server."""
    old_state: tuple[OldState, ...]
    """What becomes of what the old plan put on the servers."""
    instances: tuple[InstanceChange, ...] = ()
    """What becomes of the instances."""
    servers_leaving: tuple[str, ...] = ()
    """Servers that leave the site, each in one sentence."""

    @property
    def empty(self) -> bool:
        """Nothing is different."""
        return not (
            self.other_site
            or self.catalogue
            or self.answers
            or self.machines
            or self.stages
            or self.decisions
            or self.steps_again
            or self.files_added
            or self.old_state
            or self.instances
            or self.servers_leaving
        )


def difference(old: Plan, new: Plan, *, made: bool = True) -> Difference:
    """What `new` has otherwise than `old`.

    Where nothing was `made` of the old one, it was only approved: nothing of it stays, moves or is done anew.
    """
    answers = tuple(_changed(old.answers, new.answers))
    again = tuple(_again(old, new, [change.what for change in answers])) if made else ()
    return Difference(
        other_site=old.site != new.site,
        answers=answers,
        machines=tuple(_machines(old.machines, new.machines)),
        catalogue=bool(old.catalogue) and old.catalogue != new.catalogue,
        stages=tuple(_stages(old.stages, new.stages)),
        decisions=tuple(
            _changed({d.topic: d.chosen for d in old.decisions}, {d.topic: d.chosen for d in new.decisions})
        ),
        steps_again=again,
        files_added=tuple(_added(old, new)),
        old_state=tuple(_old_state(old, new, again)) if made else (),
        instances=instance_changes(old, new) if made else (),
        servers_leaving=tuple(_leaving(old, new)),
    )


def sentences(found: Difference) -> Iterator[str]:
    """A difference in words, the most telling first; nothing where there is none."""
    if found.other_site:
        yield "The old plan is for another site."
    yield from found.servers_leaving
    yield from (change.say for change in found.instances)
    for change in found.answers:
        if found.instances and change.what.startswith(INSTANCES):
            continue  # what becomes of the instances says it better
        yield f"Answer {change.what}: {_turn(change)}."
        if change.what == VERSION and any(VERSION in step.because for step in found.steps_again):
            yield from upgrades.sentences(change.before, change.after)
    for change in found.machines:
        yield f"{change.what}: {_turn(change)}."
    if found.catalogue:
        yield "The stages are another version."
    for change in found.stages:
        yield f"Stage {change.what}: {_turn(change)}."
    for change in found.decisions:
        yield f"Decision about {change.what}: {_turn(change)}."
    for step in found.steps_again:
        because = dict.fromkeys("instances" if one.startswith(INSTANCES) else one for one in step.because)
        why = f", since {', '.join(because)} changed" if because else ""
        yield f"Step {step.step} {step.title} does its work anew on {', '.join(step.hosts)}{why}."
    added: dict[tuple[str, ...], list[str]] = {}
    for host in dict.fromkeys(change.what for change in found.files_added):
        paths = tuple(change.after or "" for change in found.files_added if change.what == host)
        added.setdefault(paths, []).append(host)
    for paths, hosts in added.items():
        yield f"New on {', '.join(hosts)}: {', '.join(paths)}."
    yield from _fates(found.old_state)


def _fates(states: Sequence[OldState]) -> Iterator[str]:
    """What becomes of the old state, servers and files with the same fate in one sentence."""
    by_host: dict[tuple[str, str, str, str], list[str]] = {}
    for state in states:
        by_host.setdefault((state.host, state.step, state.becomes, state.do), []).append(state.path)
    together: dict[tuple[str, str, str, tuple[str, ...]], list[str]] = {}
    for (host, step, becomes, do), paths in by_host.items():
        together.setdefault((step, becomes, do, tuple(paths)), []).append(host)
    for (step, becomes, do, same), hosts in together.items():
        what, where = ", ".join(same), ", ".join(hosts)
        if becomes == "replaced":
            yield f"{step} writes anew on {where}: {what}; what they hold of the old answers goes."
        else:
            put = f"What {step or 'a run'} put there stays on {where}: {what}"
            yield f"{put}; to be rid of it, with the old answers: {do}."


def summary(found: Difference, most: int = 5) -> str:
    """A difference in one paragraph, cut after some sentences; empty where there is none."""
    told = list(sentences(found))
    more = [f"And {len(told) - most} more differences."] if len(told) > most else []
    return " ".join([*told[:most], *more])


def _turn(change: Change) -> str:
    if change.before is None:
        return f"new, {change.after or 'empty'}"
    if change.after is None:
        return f"gone, it was {change.before or 'empty'}"
    return f"{change.before or 'empty'} → {change.after or 'empty'}"


def _changed(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    for what in dict.fromkeys((*old, *new)):
        if old.get(what) != new.get(what):
            yield Change(what=what, before=old.get(what), after=new.get(what))


def _machines(old: Sequence[Machine], new: Sequence[Machine]) -> Iterator[Change]:
    now = {machine.host: machine for machine in new}
    for before in old:
        after = now.get(before.host)
        if after is None:
            continue  # it left the site, which an answer tells, or it is not discovered, which says nothing of it
        if before.machine_id != after.machine_id:
            yield Change(what=f"{before.host} is another machine", before=before.machine_id, after=after.machine_id)
        pairs: tuple[tuple[str, object, object], ...] = (
            ("system", before.system, after.system),
            ("processors", before.cpu, after.cpu),
            ("memory (GiB)", before.memory, after.memory),
            ("GPUs", ", ".join(before.gpus) or "none", ", ".join(after.gpus) or "none"),
        )
        for word, one, two in pairs:
            if one != two:
                yield Change(what=f"{before.host} has other {word}", before=_text(one), after=_text(two))
    there = {machine.host for machine in old}
    for machine in new:
        if machine.host not in there:
            yield Change(what=f"{machine.host} is known now", before=None, after=machine.system or "its system is not")


def _text(value: object) -> str:
    return "unknown" if value is None else str(value)


def _stages(old: Sequence[PlanStage], new: Sequence[PlanStage]) -> Iterator[Change]:
    def fate(stages: Sequence[PlanStage]) -> dict[str, str]:
        # What was not asked for this once is no property of the site.
        return {s.id: f"skipped, {s.skipped}" if s.skipped else "runs" for s in stages if s.skipped != NOT_ASKED}

    before, after = fate(old), fate(new)
    left_out = {stage.id for stage in (*old, *new) if stage.skipped == NOT_ASKED}
    for change in _changed(before, after):
        if change.what not in left_out:
            yield change


def _again(old: Plan, new: Plan, answers: Sequence[str]) -> Iterator[StepAgain]:
    before = {step.id: step for step in old.steps()}
    for step in new.steps():
        if step.id not in before:
            continue
        because = tuple(answer for answer in answers if belongs(answer, step.reads))
        hosts = tuple(host for host in step.hosts if host in before[step.id].hosts)
        if because and hosts:
            yield StepAgain(step=step.id, title=step.title, because=because, hosts=hosts)


def _added(old: Plan, new: Plan) -> Iterator[Change]:
    for host in new.hosts:
        before = old.on(host.host)
        files = {use.path for use in before.files} if before else set()
        packages = {use.name for use in before.packages} if before else set()
        for path in dict.fromkeys(use.path for use in host.files if use.path not in files):
            yield Change(what=host.host, before=None, after=path)
        for name in dict.fromkeys(use.name for use in host.packages if use.name not in packages):
            yield Change(what=host.host, before=None, after=f"package {name}")


def _leaving(old: Plan, new: Plan) -> Iterator[str]:
    for name, lost in leaving(new.answers).items():
        if lost and name not in leaving(old.answers):
            yield f"{name} is lost: the cluster forgets it by force, and with it whatever was on its disks alone."
        elif not lost:
            yield (
                f"{name} leaves the site: once this is carried out it has no instances any more; what else was put "
                f"there goes by: homewright rollback --server {name}"
            )


def _old_state(old: Plan, new: Plan, again: Sequence[StepAgain]) -> Iterator[OldState]:
    going = leaving(new.answers)
    anew = {(host, step.step) for step in again for host in step.hosts}
    not_asked = {step.id for stage in new.stages if stage.skipped == NOT_ASKED for step in stage.steps}
    stage_of = {step.id: stage.id for stage in old.stages for step in stage.steps}
    for host in old.hosts:
        if host.host in going:
            continue  # what leaves is told as a whole
        after = new.on(host.host)
        there = {use.path for use in after.files} if after else set()
        for use in host.files:
            if use.step in not_asked:
                continue
            if use.path not in there:
                gone = "" if after else ", which is no server of the site any more"
                stage = stage_of.get(use.step)
                do = f"homewright rollback {stage}" if stage else "remove /var/lib/homewright/ there"
                say = f"{use.path} stays on {host.host}{gone}: to be rid of it, with the old answers: {do}."
                yield OldState(host=host.host, path=use.path, step=use.step, becomes="left", say=say, do=do)
            elif (host.host, use.step) in anew:
                say = f"{use.path} on {host.host} is written anew: what it holds of the old answers goes."
                yield OldState(host=host.host, path=use.path, step=use.step, becomes="replaced", say=say, do="")

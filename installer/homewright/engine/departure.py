"""Servers that leave the site: what is taken back on them, and when the site's file names them no more."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.access import key_change
from homewright.engine.events import Event, Kind, Level
from homewright.engine.journal import Reader
from homewright.engine.states import Action, State
from homewright.errors import HomewrightError, SiteError, StateError, UsageError
from homewright.planning import Plan
from homewright.planning.instance_changes import readdressed, shrunk
from homewright.planning.plan import NOT_ASKED
from homewright.site import files
from homewright.site.paths import StateFolder

if TYPE_CHECKING:
    from homewright.catalogue import Catalogue
    from homewright.engine.context import Context
    from homewright.site.models import Leaving, Site


@dataclass(frozen=True)
class Departing:
    """A server that leaves the site."""

    server: Leaving
    begun: tuple[str, ...]
    """The steps that were begun on it and not taken back since: empty, and it may be forgotten."""


def departing(site: Site, state: StateFolder) -> tuple[Departing, ...]:
    """The servers that leave the site, with what is still on them. Raises StateError."""
    there = state.journal.exists()
    return tuple(Departing(one, begun_on(state, one.name) if there else ()) for one in site.leaving)


def lose(file: Path, site: Site, name: str) -> Site:
    """Write that a server which leaves does not come back: the cluster forgets it by force. Raises SiteError."""
    return files.update(file, {f"leaving.{name}.lost": True}, since=site)


def forget(file: Path, site: Site, state: StateFolder, name: str) -> Site:
    """Take a server that leaves, and that nothing of ours is on, out of the site's file.

    Raises SiteError, StateError, and UsageError where something is still to be done for it.
    """
    gone = next(one for one in site.leaving if one.name == name)
    if gone.lost or begun_on(state, name):
        back = [
            f"homewright rollback --server {name}",
            f"or, where it does not come back: homewright site remove-server {name} --lost",
        ]
        do = ["homewright apply", *([] if gone.lost else back)]
        raise UsageError(f"{name} leaves the site already.", "What is still to be done for it:", do)
    after = files.update(file, {f"leaving.{name}": files.UNSET})
    with contextlib.suppress(StateError):  # `status` tells of a record that cannot be read
        key_change.gone(state.key, [name])  # nobody goes there any more to take the old controller's key away
    return after


def begun_on(state: StateFolder, server: str, besides: str = "") -> tuple[str, ...]:
    """The steps that an apply began on a server and nothing took back since, but for what the run `besides` did.

    Raises StateError where the journal cannot be read.
    """
    return tuple(sorted(step for step, host in Reader(state).applied(besides) if host == server))


def places(state: StateFolder, servers: Sequence[str], run: str) -> Mapping[str, Sequence[str]] | None:
    """Where each step of a roll-back of these servers runs: where it was begun. None for any other run."""
    if not servers:
        return None
    found: dict[str, list[str]] = {}
    for server in servers:
        for step in begun_on(state, server, run):
            found.setdefault(step, []).append(server)
    return found


def refuse(before: Plan | None, planned: Plan, reader: Reader) -> None:
    """Raises SiteError where a disk would become smaller than it was made, or an instance be re-addressed under the
    cluster on it.

    What a run that did not come to its end has made of the disks is known to the servers alone: the step that makes
    the instances looks there, and refuses then. Raises StateError where the journal cannot be read.
    """
    if not _made_instances(planned, reader):
        return
    for misfit in (*shrunk(before, planned), *readdressed(before, planned)):
        raise SiteError(f"{misfit.field} cannot be carried out.", f"{misfit.reason}.", list(misfit.do))


def refuse_to_strand(site: Site, state: StateFolder, catalogue: Catalogue, stages: Collection[str]) -> None:
    """Raises UsageError where these stages would be taken back from under a server that leaves.

    What is on it is taken back with the others' help: alone it has no majority, and nobody who lets it go. Raises
    StateError where the journal cannot be read.
    """
    steps = {step.id for stage in catalogue.stages if stage.id in stages for step in stage.steps}
    names = [one.name for one in site.leaving if not one.lost and steps.intersection(begun_on(state, one.name))]
    if names:
        raise UsageError(
            f"{', '.join(names)} would be left behind, with what is on it.",
            "A server that leaves is taken back alone, and needs the others for it as they are.",
            [
                *(f"first: homewright rollback --server {name}" for name in names),
                *(f"or, where it does not come back: homewright site remove-server {name} --lost" for name in names),
            ],
        )


def conclude(context: Context, site_file: Path, action: Action, state: State, planned: Plan) -> None:
    """Take the servers that have left out of the site's file: taken back, or lost and forgotten by the cluster.

    A run that left out the steps which forget them (those that read `leaving`) leaves the entry where it is.
    """
    site = context.site
    if action is Action.ROLLBACK and state is State.ROLLED_BACK:
        try:
            known = {one.name for one in files.load(site_file).leaving}
            over = [one.name for one in site.servers if one.name in known and not begun_on(context.state, one.name)]
        except HomewrightError as error:  # what was taken back is taken back all the same
            text = f"Whether a server has left the site by now cannot be told: {error.what}"
            context.writer.transition(Event(Kind.LINE, text, level=Level.WARNING))
            return
    elif action is Action.RUN and state is State.SUCCEEDED and _forgets(planned):
        over = [one.name for one in site.leaving if one.lost]
    else:
        return
    with contextlib.suppress(StateError):  # `status` tells of a record that cannot be read
        key_change.gone(context.state.key, over)
    for name in over:
        try:
            files.update(site_file, {f"leaving.{name}": files.UNSET})
            said = Event(Kind.LINE, f"{name} has left the site.", host=name)
        except HomewrightError as error:
            text = f"{name} has left the site, and could not be taken out of {site_file}: {error.what}"
            said = Event(Kind.LINE, text, host=name, level=Level.WARNING)
        context.writer.transition(said)


def _made_instances(planned: Plan, reader: Reader) -> bool:
    """Whether the step that makes the instances, the first that reads what they are to be, succeeded when it ran last.

    Raises StateError.
    """
    makes = next((step.id for stage in planned.stages for step in stage.steps if "instances" in step.reads), None)
    for run in reader.runs():
        for row in reader.steps(run.id) if run.action is Action.RUN else ():
            if row.step == makes and not row.host and row.state is not State.SKIPPED:
                return row.state is State.SUCCEEDED
    return False


def _forgets(planned: Plan) -> bool:
    """Whether nothing that forgets a lost server was left out of the run."""
    forgetting = [stage for stage in planned.stages if any("leaving" in step.reads for step in stage.steps)]
    return all(stage.skipped != NOT_ASKED for stage in forgetting)

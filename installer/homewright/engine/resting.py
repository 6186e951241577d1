"""What rests on a stage: later stages that were applied and need it. They are taken back before it, the last first."""

from __future__ import annotations

from collections.abc import Collection

from homewright.catalogue import Catalogue
from homewright.engine.journal import Reader
from homewright.engine.resume import dependents
from homewright.planning import Plan, plan
from homewright.planning.known import known_facts
from homewright.site.models import Site
from homewright.site.paths import StateFolder


def resting(planned: Plan, stage: str, applied: Collection[tuple[str, str]]) -> tuple[str, ...]:
    """The stages of a whole plan that rest on this one, in order. Pure.

    `applied` has the steps, by server, that an apply began and nothing took back. Those on servers that the plan does
    not have any more count for nothing: nothing can be taken back there.
    """
    steps = {step.id: step for step in planned.steps()}
    requires = {step.id: step.requires for step in steps.values()}
    own = {step.id for one in planned.stages if one.id == stage for step in one.steps}
    later = {step for one in own for step in dependents(one, requires)} - own
    there = {step for step, host in applied if step in later and host in steps[step].hosts}
    return tuple(one.id for one in planned.stages if any(step.id in there for step in one.steps))


def stages(site: Site, state: StateFolder, catalogue: Catalogue, stage: str, run: str = "") -> tuple[str, ...]:
    """The same as the journal has it, but for what `run` itself took back: a roll-back that goes on keeps its stages.

    Raises StateError where the journal cannot be read, SiteError where the site has no server.
    """
    applied = Reader(state).applied(run)
    return resting(plan(site, catalogue, known_facts(site, state), back=applied), stage, applied)

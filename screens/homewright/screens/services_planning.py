"""What the screens of network, instances, platform and plan ask of the rooms. Rooms are imported when asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homewright.access.importing import Found
    from homewright.checks.models import Finding, Report
    from homewright.discovery.facts import HostFacts
    from homewright.engine.departure import Departing
    from homewright.planning import Plan
    from homewright.planning.bridges import Candidate
    from homewright.planning.decisions import Decided
    from homewright.planning.difference import Difference
    from homewright.planning.documents import Misfit
    from homewright.planning.pools import StorageChoice
    from homewright.screens.leaving import Departure
    from homewright.site.accounts import Account
    from homewright.site.answers import Instance
    from homewright.site.models import Site
    from homewright.site.passwords import Strength
    from homewright.site.paths import StateFolder


@dataclass(frozen=True)
class Known:
    """What a screen of answers starts from."""

    site: Site
    facts: Mapping[str, HostFacts]
    secrets: frozenset[str]
    """Names of the secrets that are kept."""
    there: tuple[Instance, ...] = ()
    """The instances that were made."""

    @property
    def formed(self) -> bool:
        """Whether the cluster is there that the site makes: its kubeconfig is kept."""
        from homewright.cluster import SECRET

        return SECRET in self.secrets

    def on(self, site: Site) -> Known:
        """The same with other answers."""
        return replace(self, site=site)


@dataclass(frozen=True)
class Outlook:
    """The plan of now, and what bears on approving it."""

    plan: Plan
    difference: Difference | None
    """Against the plan that was approved last; None where none was."""
    report: Report | None
    """The last report of the checks; None where these servers were not checked yet."""
    rehearsed: bool
    """Nothing is done for real, so nothing is in the way."""

    @property
    def blocking(self) -> tuple[Finding, ...]:
        """Failed checks, which keep the plan from being approved."""
        return self.report.blocking() if self.report is not None and not self.rehearsed else ()

    @property
    def unchecked(self) -> bool:
        return self.report is None and not self.rehearsed

    @property
    def misfits(self) -> tuple[Misfit, ...]:
        """Answers that cannot be carried out, of those that a step of this plan reads."""
        from homewright.planning.answers import belongs

        reads = [read for step in self.plan.steps() for read in step.reads]
        return tuple(one for one in self.plan.problems if belongs(one.field, reads))


class PlanningServices:
    """Answers, what planning makes of them, and secrets, as the screens use them."""

    # Answers

    def answers(self, file: Path, state: StateFolder) -> Known:
        """Site, facts and names of secrets. Raises SiteError, StateError."""
        from homewright.planning import kept
        from homewright.planning.known import known_facts
        from homewright.site import files
        from homewright.site.secrets import Secrets

        site = files.load(file)
        made = kept.applied(state)
        there = made.instances if made is not None else ()
        return Known(site, known_facts(site, state), frozenset(Secrets(state.secrets).names()), there)

    def answered(self, site: Site, changes: Mapping[str, Any]) -> Site:
        """The site as it would be with these answers; a field that is None has its default again. Raises SiteError."""
        from homewright.site import files

        return files.changed(site, _unset(changes))

    def without_instance(self, known: Known, name: str) -> Mapping[str, Any]:
        """The answers by which an instance that was made is taken away with all that is in it. Raises UsageError."""
        from homewright.planning.leaving import without_instance

        return without_instance(known.site, known.facts, name, formed=known.formed)

    def instances_on(self, known: Known, state: StateFolder, server: str) -> Sequence[str] | None:
        """The instances of a server that something was put on; None where nothing was. Raises StateError."""
        from homewright.engine import departure
        from homewright.planning.leaving import named

        if not state.journal.exists() or not departure.begun_on(state, server):
            return None
        return [node.name for node in named(known.site, known.facts) if node.host == server]

    def let_leave(self, file: Path, known: Known, server: str, how: Departure) -> Site:
        """Write the answers by which a server leaves. Raises SiteError, StateError, UsageError."""
        from homewright.planning.leaving import Fates, without_server
        from homewright.site import files

        fates = Fates(how.moved, how.gone)
        changes = without_server(
            known.site, known.facts, server, fates, applied=True, lost=how.lost, formed=known.formed
        )
        return files.update(file, changes, since=known.site)

    def departing(self, site: Site, state: StateFolder) -> tuple[Departing, ...]:
        """The servers that leave the site, with what is still on them. Raises StateError."""
        from homewright.engine import departure

        return departure.departing(site, state)

    def lose_leaving(self, file: Path, site: Site, server: str) -> Site:
        """Write that a server which leaves does not come back. Raises SiteError."""
        from homewright.engine import departure

        return departure.lose(file, site, server)

    def forget_leaving(self, file: Path, site: Site, state: StateFolder, server: str) -> Site:
        """Forget a server that leaves and has nothing of ours on it. Raises SiteError, StateError, UsageError."""
        from homewright.engine import departure

        return departure.forget(file, site, state, server)

    def answer_at(self, site: Site, field: str) -> Any:
        """The answer in force for a field, as plain data."""
        from homewright.site import fields

        return fields.value_at(site, field)

    def put_answers(self, file: Path, changes: Mapping[str, Any], since: Site) -> Site:
        """Write these answers; a field that is None has its default again. Raises SiteError, StateError."""
        from homewright.site import files

        return files.update(file, _unset(changes), since=since) if changes else since

    # What planning makes of them: pure, and quick enough for every key

    def decided(self, known: Known, site: Site) -> Decided:
        """All that planning decides about these answers."""
        from homewright.planning.decisions import decide

        return decide(site, known.facts, known.secrets)

    def candidates(self, known: Known, host: str) -> Sequence[Candidate]:
        """The network interfaces of a server, with why its bridge cannot take one over; none where it is not known."""
        from homewright.planning.bridges import candidates

        return candidates(known.site.server(host), known.facts[host]) if host in known.facts else ()

    def storage(self, known: Known) -> Sequence[StorageChoice]:
        """What the instances' disks can be kept in, with the reasons; the best first."""
        from homewright.planning.pools import choices

        return choices(known.site, known.facts)

    def outlook(self, site: Site, plan: Plan, state: StateFolder) -> Outlook:
        """What bears on approving this plan. Raises StateError."""
        from homewright.checks import reports
        from homewright.planning import kept
        from homewright.site.rehearsed import Rehearsed

        report = reports.recorded(state)
        return Outlook(
            plan,
            kept.since_last(state, plan),
            report if report is not None and reports.fits(site, report) else None,
            Rehearsed.of(state) is not None,
        )

    def was_checked(self, site: Site, state: StateFolder) -> bool:
        """Whether the checks have looked at these servers, or need not: in a rehearsal nothing is done for real."""
        from homewright.checks import reports
        from homewright.site.rehearsed import Rehearsed

        report = reports.recorded(state)
        return (report is not None and reports.fits(site, report)) or Rehearsed.of(state) is not None

    def approve(self, state: StateFolder, plan: Plan) -> None:
        """Keep what was agreed to: a later plan is compared with it. Raises StateError."""
        from homewright.planning import kept

        kept.approve(state.create(), plan)

    # Secrets

    def accounts(self) -> Sequence[Account]:
        """The tokens that may be typed."""
        from homewright.site.accounts import ACCOUNTS

        return ACCOUNTS

    def secret_reason(self, name: str, value: str) -> str:
        """Why a value cannot be this secret; empty where it can."""
        from homewright.site.accounts import account, reason

        found = account(name)
        assert found is not None, name
        return reason(found, value)

    def strength(self, value: str, names: Sequence[str]) -> Strength:
        """How strong a password is."""
        from homewright.site.passwords import strength

        return strength(value, names)

    def make_password(self) -> str:
        """A password for the administrator."""
        from homewright.site.passwords import generate

        return generate()

    def keep_secrets(self, state: StateFolder, values: Mapping[str, str]) -> None:
        """Keep these secrets. Raises StateError."""
        from homewright.site.secrets import Secrets

        secrets = Secrets(state.create().secrets)
        for name, value in values.items():
            secrets.set(name, value)

    def forget_secret(self, state: StateFolder, name: str) -> bool:
        """Forget a secret; whether there was one. Raises StateError."""
        from homewright.site.secrets import Secrets

        return Secrets(state.secrets).delete(name)

    # Import

    def hosts_in(self, file: Path | None, taken: set[str]) -> Found:
        """The hosts of an ssh_config or an inventory; of ~/.ssh/config where no file is named. Raises UsageError."""
        from homewright.access import importing

        return importing.find(file, taken) if file else importing.usual(taken)


def _unset(changes: Mapping[str, Any]) -> dict[str, Any]:
    from homewright.site.files import UNSET

    return {field: UNSET if value is None else value for field, value in changes.items()}

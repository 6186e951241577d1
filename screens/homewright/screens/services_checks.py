"""What the hardware, checks and GPU screens ask of discovery, checks and planning. Rooms are imported when asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.errors import HomewrightError

if TYPE_CHECKING:
    from homewright.checks.models import Finding, Report
    from homewright.checks.running import Progress
    from homewright.discovery.bundle import RawBundle
    from homewright.discovery.facts import HostFacts
    from homewright.planning.gpus import GpuDocument
    from homewright.screens.check_board import CheckRow
    from homewright.screens.services_planning import Known
    from homewright.site.answers import GpuChoice
    from homewright.site.models import Site
    from homewright.site.paths import StateFolder

OnFacts = Callable[[str, "HostFacts | HomewrightError"], None]


@dataclass(frozen=True)
class Heard:
    """A server has told its facts (`facts`) or has measured (`measurements`), or `error` says why it could not."""

    host: str
    part: str
    error: str = ""
    findings: tuple[Finding, ...] = ()
    """What its facts alone decide; the report has it all."""


@dataclass(frozen=True)
class GpuPlan:
    """What planning makes of the GPUs, and what each PCI function is, by server and address."""

    document: GpuDocument
    members: Mapping[tuple[str, str], str]


class CheckServices:
    """Facts, checks and GPUs, as the screens use them."""

    # Facts

    def look(self, site: Site, state: StateFolder, hosts: Sequence[str], on_facts: OnFacts) -> None:
        """Ask these servers for their facts, side by side; they are recorded. `on_facts` hears of each as it answers.

        Raises StateError where the state folder cannot be written.
        """
        from homewright import discovery

        discovery.gather(site, state, hosts, on_facts)

    def save_bundles(self, site: Site, state: StateFolder, folder: Path, on_facts: OnFacts) -> int:
        """Ask every server again and keep what it literally says, one file a server; how many did say something.

        Raises StateError where the folder cannot be written.
        """
        from homewright import discovery
        from homewright.site.paths import make_folder, write_atomically

        make_folder(folder)
        kept: list[str] = []

        def keep(bundle: RawBundle) -> None:
            write_atomically(folder / f"{bundle.host}.json", bundle.model_dump_json(indent=1).encode())
            kept.append(bundle.host)

        discovery.gather(site, state, None, on_facts, on_bundle=keep)
        return len(kept)

    # Checks

    def check_rows(self) -> tuple[CheckRow, ...]:
        """Every check there is, in the order of the catalogue."""
        from homewright.checks.catalogue import CHECKS
        from homewright.screens.check_board import CheckRow, group_of

        return tuple(CheckRow(check.id, check.title, group_of(check.scope, check.category)) for check in CHECKS)

    def checked(self, file: Path, state: StateFolder) -> tuple[Site, Report | None]:
        """The site, and the last report where it is about these servers. Raises SiteError or StateError."""
        from homewright.checks import running
        from homewright.site import files

        site = files.load(file)
        report = running.recorded(state)
        if report is None or not running.fits(site, report):
            return site, None
        return site, with_acceptances(site, report)

    def check(self, file: Path, state: StateFolder, heard: Callable[[Heard], None]) -> Report:
        """Check everything. `heard` gets what is known of a server as soon as it has answered. Raises SiteError,
        StateError."""
        from homewright.checks import running
        from homewright.engine import done
        from homewright.site import files

        site = files.load(file)
        return running.check(site, state, _judging(site, state, heard), done=done.steps(state))

    def recheck(self, file: Path, state: StateFolder, report: Report, heard: Callable[[Heard], None]) -> Report:
        """Check again what did not pass, and what depended on it. Raises as `check`."""
        from homewright.checks import running
        from homewright.engine import done
        from homewright.site import files

        site = files.load(file)
        return running.recheck(site, state, report, _judging(site, state, heard), done=done.steps(state))

    def repairs(self, file: Path, state: StateFolder, findings: Sequence[Finding]) -> tuple[Finding, ...]:
        """Those of the findings whose repairs put all of them right. Raises SiteError."""
        from homewright.checks import fixing
        from homewright.checks.ground import Ground
        from homewright.discovery import recorded
        from homewright.site import files

        return fixing.once(Ground(files.load(file), recorded(state)), findings)

    def fix(self, file: Path, state: StateFolder, finding: Finding, say: Callable[[str], None]) -> None:
        """Carry out the repair of a finding. Raises what kept it from being done."""
        from homewright.checks import fixing
        from homewright.site import files

        fixing.fix(files.load(file), state, finding, say)

    def accept_warnings(self, file: Path, findings: Sequence[Finding], reason: str) -> Site:
        """Keep in the site that these warnings are accepted, and why. Raises UsageError, SiteError or StateError."""
        from homewright.checks import accepting
        from homewright.site import files

        for finding in findings:
            accepting.accept(file, finding, reason)
        return files.load(file)

    def take_back(self, file: Path, findings: Sequence[Finding]) -> Site:
        """Accept these warnings no longer. Raises SiteError or StateError."""
        from homewright.site import files

        keys = {finding.key for finding in findings}
        kept = [one for one in files.load(file).accepted if (one.check, one.subjects) not in keys]
        return files.update(file, {"accepted": kept})

    # GPUs

    def gpu_plan(self, known: Known, choices: Sequence[GpuChoice]) -> GpuPlan:
        """What can become of the site's GPUs, with these choices in place of those that are kept."""
        from homewright.planning import gpus
        from homewright.planning.gpu_groups import described

        site = known.site.model_copy(update={"gpus": tuple(choices)})
        members = {
            (host, function.address): described(function)
            for host, facts in known.facts.items()
            for function in facts.pci
        }
        return GpuPlan(gpus.document(site, known.facts), members)


def with_acceptances(site: Site, report: Report) -> Report:
    """The report as the site's acceptances stand now: they may have changed since it was made."""
    from homewright.checks.accepting import same_measure

    reasons = {(one.check, one.subjects): one for one in site.accepted}

    def accepted(finding: Finding) -> str | None:
        one = reasons.get(finding.key)
        holds = finding.status == "warning" and one is not None and same_measure(one.measured, finding.measured)
        return one.reason if one is not None and holds else None

    found = tuple(
        finding if finding.accepted == (now := accepted(finding)) else finding.model_copy(update={"accepted": now})
        for finding in report.findings
    )
    return report.model_copy(update={"findings": found})


def _judging(site: Site, state: StateFolder, heard: Callable[[Heard], None]) -> Callable[[Progress], None]:
    """What judges a server's own checks at once, on the thread that asks, before all others have answered."""
    from homewright.checks import profiles
    from homewright.checks.catalogue import CHECKS
    from homewright.checks.ground import Ground
    from homewright.checks.judging import judge
    from homewright.discovery.facts import HostFacts

    # What is measured comes later, and the report has it; these need the server's facts alone.
    alone = [
        check.id
        for check in CHECKS
        if check.scope == "host" and not any(name.startswith("measured.") for name in check.reads)
    ]
    profile = profiles.load(site.profile)
    known: dict[str, HostFacts] = {}

    def on_event(progress: Progress) -> None:
        findings: tuple[Finding, ...] = ()
        if progress.part == "facts" and progress.error is None:
            data = (state.facts / f"{progress.host}.json").read_bytes()
            known[progress.host] = HostFacts.model_validate_json(data)
            keys = {(name, (progress.host,)) for name in alone}
            findings = judge(Ground(site, dict(known)), profile, only=keys)
        heard(Heard(progress.host, progress.part, progress.error.what if progress.error else "", findings))

    return on_event

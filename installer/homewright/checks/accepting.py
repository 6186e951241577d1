"""Accepting a warning: the reason is kept in the site, with what was measured then."""

from __future__ import annotations

import re
from pathlib import Path

from homewright.checks.models import Finding
from homewright.errors import UsageError
from homewright.site import files
from homewright.site.answers import Acceptance
from homewright.site.models import Site

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?) (ms|s|GB|MB|GiB|MiB|%)")
TOLERANCE = 0.1
"""How far a quantity with a unit may move before an accepted warning asks again: a tenth."""


def accept(site_file: Path, finding: Finding, reason: str) -> Site:
    """Keep in the site that this warning is accepted, and why; the site as it is on disk now.

    Raises UsageError where the finding is no warning, or where the reason says nothing; SiteError or StateError where
    the site cannot be changed.
    """
    said = " ".join(reason.split())
    if finding.status == "failed":
        do = finding.remedy.do if finding.remedy else ()
        raise UsageError(
            f"{finding.title} has failed: only a warning can be accepted.", finding.reason, [*do, "homewright check"]
        )
    if finding.status != "warning":
        raise UsageError(f"{finding.title} is no warning but {finding.status}.", "There is nothing to accept.")
    if not 3 <= len(said) <= 500:
        raise UsageError(
            "Accepting a warning takes a reason of 3 to 500 characters.",
            "Whoever looks at the site later has nothing else to go by.",
            [f'homewright check --accept {finding.check} --reason "what makes it acceptable here"'],
        )
    current = files.load(site_file)
    acceptance = Acceptance(check=finding.check, subjects=finding.subjects, reason=said, measured=finding.measured)
    others = [one for one in current.accepted if (one.check, one.subjects) != finding.key]
    return files.update(site_file, {"accepted": [*others, acceptance]})


def same_measure(before: str, now: str) -> bool:
    """Whether two measured values are the same in what matters.

    Quantities with a unit may differ by a tenth: no disk answers twice in the same microsecond. All else, counts and
    versions among it, must be equal.
    """
    if before == now:
        return True
    if _QUANTITY.sub("#", before) != _QUANTITY.sub("#", now):
        return False
    pairs = zip(_QUANTITY.findall(before), _QUANTITY.findall(now), strict=True)
    return all(
        unit == other_unit and abs(float(old) - float(new)) <= TOLERANCE * max(float(old), float(new))
        for (old, unit), (new, other_unit) in pairs
    )

"""Every check: a passing, a failing and an unknown case, each of a recorded machine."""

from __future__ import annotations

import pytest
from check_cases import gpus, hosts, network
from checking import Case


@pytest.mark.parametrize("case", [*hosts.ALL, *network.ALL, *gpus.ALL], ids=str)
def test_case(case: Case) -> None:
    finding = case.scene().find(*_flat(case))
    assert finding is not None
    assert (finding.status, case.says in f"{finding.measured} {finding.reason}") == (case.status, True), finding
    assert (finding.remedy is not None) == (case.status in ("warning", "failed", "unknown"))


def _flat(case: Case) -> tuple[str, ...]:
    return case.check, *case.about

"""The checks, in the order in which they are shown."""

from __future__ import annotations

from homewright.checks.check import Check
from homewright.checks.hosts import resources

CHECKS: tuple[Check, ...] = (*resources.CHECKS,)

BY_ID: dict[str, Check] = {check.id: check for check in CHECKS}

__all__ = ["BY_ID", "CHECKS", "Check"]

"""The checks, in the order in which they are shown."""

from __future__ import annotations

from homewright.checks import topology
from homewright.checks.check import Check
from homewright.checks.gpus import driving, giving
from homewright.checks.hosts import identity, resources, software, system, virtualization
from homewright.checks.network import addresses, links, names, pairs, ports

CHECKS: tuple[Check, ...] = (
    *system.CHECKS,
    *resources.CHECKS,
    *virtualization.CHECKS,
    *software.CHECKS,
    *identity.CHECKS,
    *ports.CHECKS,
    *links.CHECKS,
    *names.CHECKS,
    *pairs.CHECKS,
    *addresses.CHECKS,
    *giving.CHECKS,
    *driving.CHECKS,
    *topology.CHECKS,
)

BY_ID: dict[str, Check] = {check.id: check for check in CHECKS}

__all__ = ["BY_ID", "CHECKS", "Check"]

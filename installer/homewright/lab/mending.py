"""Mending what `homewright lab break` broke: exactly that is undone, whatever else was done to the server since."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from homewright.lab.breaking import WAYS, in_server
from homewright.lab.lxd import Lxd
from homewright.lab.models import Fault


def mend_all(lxd: Lxd, instance: Any, faults: Iterable[Fault]) -> None:
    """Undo these faults on a running server. Raises LabError."""
    for fault in faults:
        in_server(lxd, instance, WAYS[fault].mends, f"{instance.name} could not be mended of {fault}.")

"""Mending what `homewright lab break` broke: exactly that is undone, whatever else was done to the server since."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from homewright.lab.breaking import WAYS, in_server
from homewright.lab.lxd import Lxd
from homewright.lab.models import Fault

_TIDY = "rmdir /var/lib/practice 2> /dev/null || true\n"


def mend_all(lxd: Lxd, instance: Any, faults: Iterable[Fault]) -> None:
    """Undo these faults on a running server. Raises LabError."""
    for fault in faults:
        script = WAYS[fault].mends + _TIDY
        in_server(lxd, instance, script, f"{instance.name} could not be mended of {fault}.")

"""What the machines are: one probe a host, and pure parsers from its raw bundle to facts.

The functions are imported when they are first used: a program that only reads the models starts without SSH.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homewright.discovery.bundle import RawBundle
    from homewright.discovery.gathering import gather
    from homewright.discovery.parsing import parse
    from homewright.discovery.recording import recorded

__all__ = ["RawBundle", "gather", "parse", "recorded"]

_HOMES = {"RawBundle": "bundle", "gather": "gathering", "parse": "parsing", "recorded": "recording"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

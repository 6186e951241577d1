"""Rehearsals: the whole wizard over recorded machines, for learning, pictures and reports. Nothing is done for real."""

from homewright.rehearsal.opening import Opened, opened

__all__ = ["Opened", "opened"]

"""Profiles: the checks' thresholds and severities, as data: `home` for real servers, `lab` for practice ones."""

from __future__ import annotations

import threading
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from homewright.checks.models import Document
from homewright.errors import UsageError

Limit = bool | float | str | tuple[str, ...]
_LOADING = threading.Lock()


class Setting(Document):
    """How one check is applied."""

    severity: Literal["failed", "warning", "off"]
    """What it is where it does not hold; `off`: the check is not applied with this profile."""
    limits: dict[str, Limit] = {}
    """Its thresholds, each named with its unit."""

    def number(self, name: str) -> float:
        """KeyError where the profile does not have it, which a test looks for."""
        value = self.limits[name]
        assert isinstance(value, int | float)
        return value

    def flag(self, name: str) -> bool:
        value = self.limits[name]
        assert isinstance(value, bool)
        return value

    def text(self, name: str) -> str:
        """A limit that is a word or a version."""
        value = self.limits[name]
        assert isinstance(value, str)
        return value

    def words(self, name: str) -> tuple[str, ...]:
        """A limit that is a list."""
        value = self.limits[name]
        assert isinstance(value, tuple)
        return value


class Profile(Document):
    """One file of thresholds."""

    version: Literal[1]
    name: str
    title: str
    checks: dict[str, Setting]
    """By the check's id."""


def parse(text: str, source: str) -> Profile:
    """A profile from its YAML. Raises UsageError with the source, the field and the reason."""
    try:
        return Profile.model_validate(YAML(typ="safe", pure=True).load(text))
    except YAMLError as error:
        raise UsageError(f"The profile {source} cannot be read.", str(error), ["mend the file"]) from error
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"]) or "the whole"
        raise UsageError(f"The profile {source} is wrong.", f"{field}: {problem['msg']}.", ["mend the file"]) from error


def load(name: str) -> Profile:
    """The profile that comes with Homewright. Raises UsageError where there is none of this name.

    Read once a process, also where the proofs of several servers ask for it in one moment, each in a thread of its own.
    """
    with _LOADING:
        return _load(name)


@cache
def _load(name: str) -> Profile:
    file = resources.files("homewright.assets") / "profiles" / f"{name}.yaml"
    if not file.is_file():
        raise UsageError(f"There is no profile {name}.", "", ["choose home or lab: homewright site set profile home"])
    return parse(file.read_text(encoding="utf-8"), file.name)

"""Sites of recorded machines, laid out as discovery leaves them: a healthy one, and one with a server that is off."""

from __future__ import annotations

from pathlib import Path

from screen_doubles import NOW

from homewright.discovery import machines
from homewright.discovery.gathering import remember
from homewright.site import files
from homewright.site.models import Site
from homewright.site.paths import StateFolder, config_home


def lay_out(name: str, **answers: object) -> tuple[Path, StateFolder]:
    """The site of these recorded machines with its facts known; `answers` by their dotted names, `.` written `__`."""
    machine = machines.load(name)
    file = config_home() / name / "site.yaml"
    site = files.parse(machine.site, name)
    files.save(file, Site.model_validate(site.model_dump()))
    if answers:
        files.update(file, {key.replace("__", "."): value for key, value in answers.items()})
    state = StateFolder.of(name).create()
    for facts in machine.facts().values():
        remember(state, facts.model_copy(update={"gathered_at": NOW - 60}))
    return file, state

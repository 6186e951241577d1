"""Every file and package that steps change on a server: what the catalogue declares, by the server's names. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from homewright.catalogue.models import Step
from homewright.planning.documents import Document
from homewright.site.models import Site

EVERY_RUN = ("/var/lib/homewright/fence.json", "/var/lib/homewright/fence.lock")
"""Files of every server that any step touches: they keep two runs off one server (engine.fence)."""


class FileUse(Document):
    """One file that a step changes on one server."""

    path: str
    """A folder ends in /."""
    step: str
    """The step's id; empty for what every run writes."""


class PackageUse(Document):
    """One package that a step installs on one server, where it is missing."""

    name: str
    step: str


def files_of(steps: Sequence[Step], site: Site, host: str) -> Iterator[FileUse]:
    """The files of one server, in the steps' order."""
    if not steps:
        return
    server = site.server(host)
    for path in EVERY_RUN:
        yield FileUse(path=path, step="")
    names = placeholders(site, server.name, server.user)
    for step in steps:
        for path in step.changes.files:
            yield FileUse(path=path.format_map(names), step=step.id)


def packages_of(steps: Sequence[Step]) -> Iterator[PackageUse]:
    """The packages of one server, in the steps' order."""
    for step in steps:
        for name in step.changes.packages:
            yield PackageUse(name=name, step=step.id)


def placeholders(site: Site, host: str, user: str) -> dict[str, str]:
    """What the placeholders of a declared file mean on a server or instance (catalogue.models.PLACEHOLDERS)."""
    home = "/root" if user == "root" else f"/home/{user}"
    return {
        "user": user,
        "home": home,
        "host": host,
        "host_venv": site.host_venv.folder or f"{home}/.venv",
    }

"""Lays a rehearsal out: a site of its own, whose state folder holds the recorded machines and says what it is."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from homewright import support
from homewright.discovery import bundle as bundles
from homewright.discovery import machines
from homewright.discovery.bundle import RawBundle
from homewright.errors import Busy, HomewrightError, UsageError
from homewright.site import files
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder, make_folder, state_home, write_atomically
from homewright.site.rehearsed import BUNDLES, Rehearsed

_FIRST_ADDRESS = 11
"""Of 192.0.2.0/24 (RFC 5737, kept for documentation): nobody has these addresses."""
MOST = 200


@dataclass(frozen=True)
class Opened:
    """A rehearsal that can be worked on."""

    name: str
    site_file: Path
    state: StateFolder


def home() -> Path:
    """Where rehearsals are kept, each in a folder of its own."""
    return state_home() / "rehearsals"


@contextlib.contextmanager
def opened(source: str, *, anew: bool) -> Iterator[Opened]:
    """The rehearsal of a shipped site, of a folder that `homewright discover --save` wrote, or of a support bundle.

    It is kept, so that one command finds what the one before has done. With `anew` it begins from the start, and no
    other may begin it meanwhile. Raises UsageError where there is nothing to rehearse, SiteError where a recording is
    damaged, Busy where the same rehearsal is open in another window or its simulated run goes on.
    """
    name, lay_out = _source(source)
    folder = home() / name
    make_folder(home())
    with _alone(home() / f".{name}.lock", name) if anew else contextlib.nullcontext():
        if anew and folder.exists():
            _clear(folder, name, source)
        here = Opened(name, folder / "site.yaml", StateFolder(folder / "state"))
        if not here.site_file.exists():
            lay_out(here)
        yield here


def recording(source: str) -> tuple[Site, tuple[RawBundle, ...]]:
    """The site and the machines of a recording, by what they are called in it; nothing is laid out or kept.

    Raises UsageError where there is nothing recorded, SiteError where it is damaged.
    """
    name, recorded, site = _recorded(source)
    called = _labels([one.host for one in recorded])
    named = tuple(one.model_copy(update={"host": label}) for one, label in zip(recorded, called, strict=True))
    return (_site_of(name, called) if site is None else files.parse(site, source)), named


def _source(source: str) -> tuple[str, Callable[[Opened], None]]:
    """The name of what is to be rehearsed, and what lays it out."""
    file = Path(source).expanduser()
    if file.is_file():
        return _named_after(file), lambda here: _replay(here, file)
    name, recorded, site = _recorded(source)
    return name, lambda here: _lay_out(here, recorded, site)


def _recorded(source: str) -> tuple[str, Sequence[RawBundle], bytes | None]:
    """Name, machines and, where there is one, the site file of a recording."""
    folder = Path(source).expanduser()
    if "/" not in source and source in machines.names():
        machine = machines.load(source)
        return source, machine.bundles, machine.site
    if not folder.is_dir():
        raise UsageError(
            f"There is nothing recorded under {source}.",
            "It is neither the name of recorded machines, nor a folder with some, nor a support bundle.",
            [
                f"name one of: {', '.join(machines.names())}",
                "or record servers of your own with `discover --save DIR`, and name that folder",
            ],
        )
    own = folder / "site.yaml"
    found = bundles.load(folder)
    if len(found) > MOST:
        raise UsageError(f"{source} has {len(found)} recorded machines.", f"A rehearsal takes {MOST} at most.")
    return _named_after(folder), found, own.read_bytes() if own.is_file() else None


def _named_after(place: Path) -> str:
    """Two folders of one name are two rehearsals, and neither is a shipped one."""
    whole = place.resolve()
    return f"{_label(whole.name.removesuffix('.tar.gz'))[:40]}-{hashlib.sha256(str(whole).encode()).hexdigest()[:6]}"


def _replay(here: Opened, file: Path) -> None:
    """A support bundle: somebody's site as it was when they made it, its runs included."""
    folder = here.site_file.parent
    if folder.exists():
        shutil.rmtree(folder)  # a layout that was cut off
    aside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        contents = support.unpack(file, aside)
        Rehearsed.mark(StateFolder(aside / "state"), contents.site)
        files.load(aside / "site.yaml")
    except HomewrightError:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    aside.rename(folder)


def _lay_out(here: Opened, recorded: Sequence[RawBundle], site: bytes | None) -> None:
    make_folder(here.site_file.parent)
    here.state.create()
    Rehearsed.mark(here.state, here.name)
    called = _labels([one.host for one in recorded])
    for one, label in zip(recorded, called, strict=True):
        named = one.model_copy(update={"host": label})
        write_atomically(here.state.root / BUNDLES / f"{label}.json", named.model_dump_json().encode())
    # The site comes last: a layout that was cut off before it is laid out again.
    if site is None:
        files.save(here.site_file, _site_of(here.name, called))
    else:
        files.parse(site, str(here.site_file))
        write_atomically(here.site_file, site)


def _site_of(name: str, hosts: Sequence[str]) -> Site:
    servers = tuple(
        Server(name=host, address=f"192.0.2.{number}", user="operator")
        for number, host in enumerate(hosts, _FIRST_ADDRESS)
    )
    return Site(name=name, servers=servers)


def _label(text: str) -> str:
    """The name that a site or a server may have, made of another one."""
    plain = re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")[:60].rstrip("-")
    return plain if plain[:1].isalpha() else f"m-{plain}".rstrip("-")


def _labels(hosts: Sequence[str]) -> list[str]:
    """A name for each machine, no two of them alike."""
    found: list[str] = []
    for host in hosts:
        label = plain = _label(host)
        number = 2
        while label in found:
            label, number = f"{plain[:56]}-{number}", number + 1
        found.append(label)
    return found


def _clear(folder: Path, name: str, source: str) -> None:
    from homewright.engine import lock

    state = StateFolder(folder / "state")
    if state.engine_lock.exists() and lock.holder(state) is not None:
        raise Busy(
            f"The simulated run of {name} still goes on.",
            "It ends by itself within a minute or two.",
            [f"watch it: homewright --rehearse {shlex.quote(source)} attach"],
        )
    shutil.rmtree(folder)


@contextlib.contextmanager
def _alone(file: Path, name: str) -> Iterator[None]:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(
                f"The rehearsal of {name} is open in another window.",
                "Two that begin anew would take each other's state away.",
                ["leave the other one first"],
            ) from None
        yield
    finally:
        os.close(descriptor)

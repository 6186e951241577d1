"""Where things are kept, and how files that must survive a power loss are written.

No pydantic here: the first screen lists sites with this module alone.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from homewright.errors import NoSuchSite, SiteError, StateError

NAME = "homewright"
_OWNER = "site-file"


def config_home() -> Path:
    """Folder of the sites' answers (``$XDG_CONFIG_HOME/homewright``)."""
    return Path(platformdirs.user_config_dir(NAME))


def state_home() -> Path:
    """Folder of everything recorded (``$XDG_STATE_HOME/homewright``)."""
    return Path(platformdirs.user_state_dir(NAME))


def cache_home() -> Path:
    """Folder of what can be fetched or built again (``$XDG_CACHE_HOME/homewright``)."""
    return Path(platformdirs.user_cache_dir(NAME))


def site_file(chosen: str | None = None) -> Path:
    """The site file in force: ``--site``, ``HOMEWRIGHT_SITE``, ``./site.yaml``, else the only site under `config_home`.

    A bare word that is no file here names a site under `config_home`. Raises SiteError where there is none, or more
    than one to choose from, and NoSuchSite where that word names none.
    """
    named = chosen or os.environ.get("HOMEWRIGHT_SITE")
    if named:
        # Not Path.exists, which raises where somebody may not look: whoever reads the file says why that cannot be.
        if "/" not in named and not os.access(named, os.F_OK):
            known = config_home() / named / "site.yaml"
            if os.access(known, os.F_OK):
                return known
            if re.fullmatch(r"[\w-]+", named):
                raise no_site(named, by_environment=not chosen)
        return Path(named).expanduser().absolute()
    here = Path("site.yaml").absolute()
    if os.access(here, os.F_OK):
        return here
    sites = known_site_files()
    if len(sites) == 1:
        return sites[0]
    if not sites:
        raise SiteError(
            "There is no site yet.",
            f"Neither ./site.yaml nor a site under {config_home()} exists.",
            ["homewright site new NAME", "or practise on this machine: homewright lab up"],
        )
    names = ", ".join(path.parent.name for path in sites)
    raise SiteError(
        "Which site?",
        f"There are several: {names}.",
        ["name one: homewright --site FILE …, or set HOMEWRIGHT_SITE"],
    )


def no_site(named: str, *, by_environment: bool = False) -> NoSuchSite:
    """The error for a site that is not there, by its name or its file: those that are, and how to make one."""
    there = [path.parent.name for path in known_site_files()]
    is_file = "/" in named
    why = f"There are: {', '.join(there)}." if there else f"There is none under {config_home()} yet."
    do = [f"choose one: homewright --site {there[0]} …"] if there else []
    if by_environment:
        why = f"HOMEWRIGHT_SITE names it. {why}"
        do.append("go by what is found without it: unset HOMEWRIGHT_SITE")
    do.append("make it: homewright site new NAME" if is_file else f"make it: homewright site new {named}")
    what = f"There is no site file {named}." if is_file else f"There is no site {named}."
    return NoSuchSite(what, why, do, named if is_file else "")


def known_site_files() -> list[Path]:
    """The site files under `config_home`, by name."""
    return sorted(config_home().glob("*/site.yaml"))


@dataclass(frozen=True)
class StateFolder:
    """The recorded state of one site. Every folder is 0700, every file 0600."""

    root: Path
    site: Path | None = field(default=None, compare=False)
    """The site file that it is asked for; None where the caller knows the folder alone."""

    @classmethod
    def of(cls, site_name: str, chosen: str | None = None, site: Path | None = None) -> StateFolder:
        """The state folder of a site: ``--state`` or ``HOMEWRIGHT_STATE``, else one named after the site."""
        named = chosen or os.environ.get("HOMEWRIGHT_STATE")
        return cls(Path(named).expanduser().absolute() if named else state_home() / "sites" / site_name, site)

    @property
    def owner_record(self) -> Path:
        """Names the site file that everything here was recorded for."""
        return self.root / _OWNER

    def owner(self) -> Path | None:
        """Another site file than ours that this folder belongs to. A file that was moved or removed owns nothing."""
        if self.site is None:
            return None
        try:
            recorded = Path(self.owner_record.read_text(encoding="utf-8", errors="surrogateescape").rstrip("\n"))
            same = recorded.samefile(self.site) if self.site.exists() else recorded == self.site.absolute()
        except OSError:
            return None
        return None if same or not recorded.exists() else recorded

    def require_own(self) -> None:
        """Two sites of one name would share keys, secrets and runs. Raises SiteError where another file owns it."""
        owner = self.owner()
        if owner is not None:
            raise SiteError(
                f"{self.root} belongs to another site file.",
                f"What is recorded there is that of {owner}, and this is {self.site}: both have one name.",
                [
                    f"give this one a folder of its own: homewright --site {shlex.quote(str(self.site))} --state DIR …",
                    "or give it another name, where nothing is recorded for it yet: `name:` in the file",
                    f"or, where it takes that one's place, move the other away first: {owner}",
                ],
            )

    @property
    def journal(self) -> Path:
        return self.root / "journal.db"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets.json"

    @property
    def known_hosts(self) -> Path:
        return self.root / "known_hosts"

    @property
    def key(self) -> Path:
        """The engine's own private key; its public half lies beside it with the suffix .pub."""
        return self.root / "id_ed25519"

    @property
    def authority(self) -> Path:
        """Folder of the site's private CA (ca.key, ca.crt)."""
        return self.root / "ca"

    @property
    def facts(self) -> Path:
        """Folder of the last facts, one JSON file a host."""
        return self.root / "facts"

    @property
    def machines(self) -> Path:
        """Folder of what each host literally said last, one JSON file a host."""
        return self.root / "machines"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    def run(self, run: str) -> Path:
        return self.runs / run

    @property
    def engine_lock(self) -> Path:
        return self.root / "engine.lock"

    @property
    def engine_socket(self) -> Path:
        return self.root / "engine.sock"

    def create(self) -> StateFolder:
        """Make the folder (0700) if it is missing, prove that it can be written, and record whose it is.

        Raises StateError, with the reason, where it cannot be; SiteError where another site file has it.
        """
        self.require_own()
        make_folder(self.root)
        if self.site is not None:
            mine = str(self.site.absolute()).encode(errors="surrogateescape") + b"\n"
            try:
                recorded = self.owner_record.read_bytes()
            except OSError:
                recorded = b""
            if recorded != mine:
                write_atomically(self.owner_record, mine)
        return self


def make_folder(folder: Path) -> None:
    """Make a private folder (0700), and the parents that it lacks, durably. Raises StateError."""
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)
            sync_folder(path.parent)
        if not folder.is_dir():
            raise NotADirectoryError(20, "It is no folder")
        status = folder.stat()
        if status.st_mode & stat.S_ISVTX:  # /tmp and its like: closing it would lock everybody else out
            raise OSError(errno.ENOTSUP, "Everybody shares it, and what is kept here is private")
        if status.st_uid == os.getuid() and status.st_mode & 0o077:
            folder.chmod(0o700)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StateError(
            f"The folder {folder} cannot be written.",
            f"{error.strerror or error}.",
            remedies(folder, error),
        ) from error


def remedies(folder: Path, error: OSError, *, file: Path | None = None) -> list[str]:
    """What to do where this folder, or this `file` in it, cannot be written: mend it, or have it elsewhere.

    How else Homewright is called is said only where that leads elsewhere: of what lies in a folder of its own.
    """
    place = shlex.quote(str(folder))
    match error.errno:
        case errno.EROFS:
            mend = [
                f"see what is read-only, and why: findmnt -T {place}; for a disk with errors: sudo dmesg | tail -50",
                "when that is mended: sudo mount -o remount,rw TARGET, the target that findmnt names",
            ]
        case errno.ENOSPC | errno.EDQUOT:
            mend = [f"free some space, on the disk that this names: df -h {place}"]
        case errno.EPERM:
            both = place if file is None else f"{place} {shlex.quote(str(file))}"
            mend = [f"see whether one is marked i, which nobody may change: lsattr -d {both}; then: sudo chattr -i ONE"]
        case errno.ENOTSUP:
            mend = []
        case _:
            mend = [f"make it a folder that you can write; whose it is: ls -ld {place}"]
    above = (folder, *folder.parents)
    if (recorded := recorded_above(folder)) is not None:
        return [*mend, f"or go on elsewhere: {moving(recorded)}, then: homewright --state DIR …"]
    if file is not None and file.exists() and config_home() in above:
        return [*mend, "then save it again, or go on with a copy of it elsewhere: homewright --site FILE …"]
    homes = (("STATE", state_home()), ("CACHE", cache_home()), ("CONFIG", config_home()))
    kind = next((kind for kind, home in homes if home in above and state_home() / "sites" not in above), None)
    if kind is not None:
        return [*mend, f"or have it elsewhere: XDG_{kind}_HOME=DIR homewright …"]
    if file is None or file.name == _OWNER or state_home() in above:
        return [*mend, "or choose another folder, of your own: homewright --state DIR …"]
    return [*mend, "then save it again, or save it elsewhere"]


def recorded_above(folder: Path) -> Path | None:
    """The state folder that this folder is, or lies in; None where nothing has been recorded for a site."""
    return next((path for path in (folder, *folder.parents) if os.access(path / _OWNER, os.F_OK)), None)


def moving(recorded: Path) -> str:
    """The command that copies a state folder to DIR, whether that is there already or not."""
    return f"mkdir -p DIR && cp -a {shlex.quote(f'{recorded}/.')} DIR/"


def write_atomically(file: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file so that a power loss leaves the old or the new one whole.

    Temporary file, fsync, rename, fsync of the folder.
    Raises StateError when the disk is full or the folder cannot be written; the old file is then still there.
    """
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        with os.fdopen(descriptor, "wb") as handle:
            os.fchmod(handle.fileno(), mode)
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        Path(temporary).replace(file)
        temporary = None
        sync_folder(file.parent)
    except OSError as error:
        raise StateError(
            f"{file} could not be saved.",
            f"{error.strerror or error}. The old file is unchanged.",
            remedies(file.parent, error, file=file),
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename or a new name in this folder durable."""
    sync(folder)


def sync(path: Path) -> None:
    """Make a file's contents, or a folder's names, durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

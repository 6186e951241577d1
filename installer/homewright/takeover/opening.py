"""Takes a site over from an export: its files here, a new controller in its journal, and the old one fenced off."""

from __future__ import annotations

import contextlib
import hashlib
import io
import secrets
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from homewright.access import key_change, known_hosts
from homewright.access.connection import Connection
from homewright.access.endpoint import Endpoint
from homewright.engine import succession
from homewright.engine.succession import in_the_way
from homewright.errors import Busy, HomewrightError, SiteError, StateError
from homewright.lxd import succession as certificates
from homewright.planning.hosts import endpoint, instance_names
from homewright.planning.known import known_facts
from homewright.site import files
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder, config_home, make_folder, sync, sync_folder, write_atomically
from homewright.site.secrets import Secrets
from homewright.takeover import reminding, sealing
from homewright.takeover.contents import ABOUT, JOURNAL, MOST_BYTES, SITE, STATE, Contents, safe


@dataclass(frozen=True)
class Opened:
    """An export that was decrypted and found whole."""

    file: Path
    contents: Contents
    site: Site
    members: Mapping[str, bytes]

    def target(self) -> Path:
        """Where its site file goes when no place is named."""
        return config_home() / self.site.name / "site.yaml"


@dataclass(frozen=True)
class Taken:
    """A site that was taken over."""

    file: Path
    state: StateFolder
    fenced: tuple[str, ...]
    """Servers that refuse the old controller from now on."""
    not_fenced: Mapping[str, HomewrightError]
    """Servers that could not be reached: the next run takes them."""
    old_key: tuple[str, ...] = ()
    """Servers and instances that may still let the old controller's key in: the next connection to each changes it."""
    old_certificate: bool = False
    """LXD may still trust the old controller's certificate: the next run that works with LXD changes that."""


def read(file: Path, passphrase: str) -> Opened:
    """Decrypt an export and look whether it is whole.

    Raises WrongPassphrase, SiteError where its answers are wrong, StateError where it cannot be read or is damaged.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise StateError(f"{file} cannot be read.", f"{error.strerror or error}.", ["look where it is"]) from error
    return whole(sealing.unseal(data, passphrase, str(file)), file)


def whole(archive: bytes, file: Path) -> Opened:
    """What an export holds, once it is decrypted. Raises SiteError, and StateError where it is not as it was made."""
    members = _unpack(archive, file)
    try:
        contents = Contents.model_validate_json(members.pop(ABOUT))
    except KeyError:
        raise _damaged(file, f"It has no {ABOUT}: it is no site export.") from None
    except ValidationError as error:
        newer = any(problem["loc"] == ("version",) for problem in error.errors())
        why = "It was made by a newer Homewright." if newer else f"Its {ABOUT} is not understood."
        raise _damaged(file, why) from None
    for name, digest in contents.members.items():
        if name not in members or hashlib.sha256(members[name]).hexdigest() != digest:
            raise _damaged(file, f"{name} in it is not what was put there.")
    extra = set(members) - set(contents.members)
    if extra or SITE not in members:
        raise _damaged(file, f"{min(extra)} is not named in it." if extra else "It holds no site file.")
    return Opened(file, contents, files.parse(members[SITE], f"{SITE} in {file}"), members)


def take_over(opened: Opened, site_file: Path, state: StateFolder, *, gone: bool = False) -> Taken:
    """Put the site's files here and fence the old controller off on every server that can be reached.

    `gone` says that the old controller is gone for good, although servers say that it may be at work. Raises SiteError
    or StateError where a site is here already, Busy where the old controller may be alive, and what writing raises;
    nothing is changed then, here or on a server.
    """
    state = StateFolder(state.root, site_file)
    _refuse_overwriting(opened, site_file, state)
    make_folder(state.root.parent)
    make_folder(site_file.parent)
    controller = secrets.token_hex(8)
    staged = Path(tempfile.mkdtemp(prefix=f".import-{opened.site.name}-", dir=state.root.parent))
    try:
        retired = _stage(opened, staged, controller)
        if not gone:
            _refuse_living(opened.site, StateFolder(staged))
        write_atomically(staged / "site-file", str(site_file.absolute()).encode(errors="surrogateescape") + b"\n")
        reminding.made(StateFolder(staged), opened.file, opened.contents.made_at)
        _change_key(opened.site, StateFolder(staged), f"homewright@{state.root.name}")
        certificates.replace(Secrets(staged / "secrets.json"))
        with contextlib.suppress(OSError):
            state.root.rmdir()  # an empty one may have been made for a look at the site
        # The answers first: were the power to fail between the two, the same import goes on from there.
        write_atomically(site_file, opened.members[SITE])
        staged.rename(state.root)
        sync_folder(state.root.parent)
    except OSError as error:
        raise StateError(
            f"The site could not be put into {state.root}.", f"{error.strerror or error}.", ["free some space there"]
        ) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    answers = succession.take_over(opened.site, state, controller, retired)
    return Taken(
        site_file,
        state,
        tuple(host for host, answer in answers.items() if isinstance(answer, int)),
        {host: answer for host, answer in answers.items() if isinstance(answer, HomewrightError)},
        key_change.owed(state.key),
        not _certificate_forgotten(opened.site, state, answers),
    )


def _change_key(site: Site, staged: StateFolder, comment: str) -> None:
    """A key of our own in the files that are about to become ours: each server takes it at the first connection."""
    if not staged.key.exists():
        return
    facts = known_facts(site, staged)
    ways = [endpoint(name, site, facts, staged) for name in instance_names(site, facts)]
    # The host key of an instance is on record once it was made: before that no key of ours lies in it.
    made = [way for way in ways if known_hosts.lookup(staged.known_hosts, way.address, way.port)]
    places = {server.name: key_change.place(server.address, server.port) for server in succession.there(site)}
    places |= {way.name: key_change.place(way.address, way.port) for way in made}
    key_change.begin(staged.key, places, comment, places)


def _certificate_forgotten(site: Site, state: StateFolder, answers: Mapping[str, object]) -> bool:
    """Have LXD trust the site's new certificate in place of the old controller's; who answered is asked first."""

    def told(server: Server) -> certificates.Run:
        def run(command: str) -> str:
            with Connection.open(Endpoint.of(server, state)) as connection:
                return connection.run(command, sudo=True).stdout

        return run

    servers = sorted(site.servers, key=lambda server: isinstance(answers.get(server.name), HomewrightError))
    return certificates.settle_all(map(told, servers), Secrets(state.secrets))


def _unpack(data: bytes, file: Path) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    size = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            for member in archive:
                size += member.size
                content = archive.extractfile(member) if member.isfile() else None
                if content is None or not safe(member.name) or member.name in members or size > MOST_BYTES:
                    raise _damaged(file, f"{member.name!r} does not belong into a site export.")
                members[member.name] = content.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise _damaged(file, f"What is in it cannot be unpacked ({type(error).__name__}).") from None
    return members


def _refuse_overwriting(opened: Opened, site_file: Path, state: StateFolder) -> None:
    if site_file.exists() and site_file.read_bytes() != opened.members[SITE]:
        raise SiteError(
            f"{site_file} already holds a site.",
            "An import writes over nothing.",
            ["name another place: homewright --site FILE site import …", "or move that one away first"],
        )
    state.require_own()
    if state.root.exists() and any(state.root.iterdir()):
        raise StateError(
            f"{state.root} is not empty.",
            f"Something is recorded there for a site {opened.site.name} already; an import writes over nothing.",
            ["name another folder: homewright --state DIR site import …", "or move that one away first"],
        )


def _stage(opened: Opened, staged: Path, controller: str) -> list[str]:
    """Write the state's files, durably; the controllers that the new one takes the place of."""
    folders = {staged}
    for name, data in opened.members.items():
        if name == SITE:
            continue
        file = staged / name.removeprefix(f"{STATE}/")
        make_folder(file.parent)
        folders |= {path for path in file.parents if path.is_relative_to(staged)}
        file.touch(0o600)
        file.write_bytes(data)
        file.chmod(0o644 if file.suffix == ".pub" else 0o600)
        sync(file)
    retired: list[str] = []
    if JOURNAL in opened.members:
        journal = sqlite3.connect(staged / "journal.db", isolation_level=None)
        try:
            journal.execute("PRAGMA synchronous = FULL")
            journal.execute("BEGIN IMMEDIATE")
            retired = succession.succeed(journal, controller)
            journal.execute("COMMIT")
        except sqlite3.Error as error:
            raise _damaged(opened.file, f"The journal in it cannot be used ({error}).") from error
        finally:
            journal.close()
    for folder in folders:
        sync_folder(folder)
    return retired


def _refuse_living(site: Site, state: StateFolder) -> None:
    told = in_the_way(succession.look(site, state))
    if told:
        raise Busy(
            "The old controller may be at work.",
            "\n       ".join(told),
            [
                "let its run end, or cancel it there: homewright cancel",
                "only if that machine is gone for good: the same command with --old-is-gone",
            ],
        )


def _damaged(file: Path, why: str) -> StateError:
    return StateError(f"{file} cannot be taken over.", why, ["take another copy of it", "or make a new export"])

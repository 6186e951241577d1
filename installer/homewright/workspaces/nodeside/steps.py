"""What makes a workspace on its node. Every step may be repeated, and so a crash after any of them is repaired."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from homewright.workspaces.nodeside.records import Record, Refused, sync, write

UNITS = Path("/etc/systemd/system")
SITE_FILES = Path("/etc/homewright")
MARK = "# Homewright workspace "
NO_SHELL = "/usr/sbin/nologin"


@dataclass(frozen=True)
class Job:
    """One workspace to be made."""

    record: Record
    data_group: str
    mounts: tuple[str, ...]
    files: dict[str, str]
    """Files of its config folder that are to be (re)written: name to content."""
    unit_text: str

    @property
    def root(self) -> Path:
        return Path(self.record.data_root)

    @property
    def own(self) -> Path:
        return own_folder(self.record)


def own_folder(record: Record) -> Path:
    return Path(record.data_root) / ".code-server" / record.slug


def command(words: Sequence[str], code: str, what: str) -> str:
    """Run a command of the node. Raises Refused with its message."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        why = "\n".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise Refused(code, what, why or f"{words[0]} ended with exit code {done.returncode}.")
    return done.stdout


def data_group(job: Job) -> None:
    """The group that the worker's jobs and the workspaces share folders as."""
    try:
        grp.getgrnam(job.data_group)
    except KeyError:
        command(
            ["groupadd", "--system", "--", job.data_group],
            "storage-failed",
            f"The group {job.data_group} cannot be made.",
        )


def shared_folders(job: Job) -> None:
    """The shared folders, where they are missing. What is there already is the worker's and stays as it is."""
    group = grp.getgrnam(job.data_group).gr_gid
    if not job.root.is_dir():
        job.root.mkdir(mode=0o755, parents=True)
        job.root.chmod(0o755)
    for name in job.mounts:
        folder = job.root / name
        if not folder.exists():
            # It gets its name last: one that a crash left half made would be taken for the worker's own.
            made = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=job.root))
            os.chown(made, 0, group)
            made.chmod(0o2775)
            made.rename(folder)
    sync(job.root)


def closed_folder(job: Job) -> None:
    """The folder of the site's own files: a unit can only close what is there when it starts."""
    SITE_FILES.mkdir(mode=0o755, exist_ok=True)


def system_user(job: Job) -> None:
    """The workspace's own account: no password, no shell, expired, so that nothing but its unit runs as it.

    Its home is writable by it, so a login over SSH by a key that it puts there must be impossible: an expired account
    is refused by PAM, and by sshd itself where PAM is off.
    """
    name = job.record.system_user
    comment = f"Homewright workspace {job.record.slug}"
    try:
        known = pwd.getpwnam(name)
    except KeyError:
        home = str(job.own / "data")
        command(
            ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", home, "--shell", NO_SHELL,
             "--comment", comment, "--", name],
            "instance-failed",
            f"The system user {name} cannot be made.",
        )  # fmt: skip
    else:
        if known.pw_gecos != comment or known.pw_uid == 0:
            raise Refused(
                "not-ours",
                f"There is a user {name} on this node that is not this workspace's.",
                f"Its comment is {known.pw_gecos!r}, not {comment!r}.",
                ("nothing was changed; rename or remove that user",),
            )
    # A second command, because useradd gives a system user no date of expiry, whatever it is told.
    command(
        ["usermod", "--expiredate", "1", name], "instance-failed", f"The account {name} cannot be closed for logins."
    )


def own_folders(job: Job) -> None:
    """`.code-server/<slug>/{config,data}`, 0700, the workspace's own. The storage of an earlier life is taken up."""
    account = pwd.getpwnam(job.record.system_user)
    base = job.own.parent
    for folder in (base, job.own):
        if not folder.is_dir():
            folder.mkdir(mode=0o711)
            folder.chmod(0o711)
    owner = job.own / "owner.json"
    true_id = {"user": job.record.user, "name": job.record.name}
    if owner.exists():
        known = json.loads(owner.read_text(encoding="utf-8"))
        if known != true_id:
            raise Refused(
                "not-ours",
                f"The storage {job.own} belongs to {known.get('user')}/{known.get('name')}.",
                f"Asked for was {job.record.user}/{job.record.name}.",
                ("nothing was changed",),
            )
    else:
        write(owner, json.dumps(true_id).encode(), 0o600)
    for name in ("config", "data"):
        folder = job.own / name
        if not folder.exists():
            folder.mkdir(mode=0o700)
            os.chown(folder, account.pw_uid, account.pw_gid)
        elif folder.lstat().st_uid not in (0, account.pw_uid):
            raise Refused(
                "storage-failed",
                f"The storage {folder} belongs to another account of this node (uid {folder.lstat().st_uid}).",
                f"It should be {job.record.system_user}'s (uid {account.pw_uid}); was the system installed anew?",
                (f"sudo chown -R {job.record.system_user}: {folder}",),
            )
        elif folder.lstat().st_uid == 0:  # a crash between mkdir and chown
            os.chown(folder, account.pw_uid, account.pw_gid)
    sync(job.own)


def own_files(job: Job) -> None:
    """Configuration and certificate: 0600, in a folder that the workspace sees read-only."""
    account = pwd.getpwnam(job.record.system_user)
    for name, text in sorted(job.files.items()):
        write(job.own / "config" / name, text.encode(), 0o600, (account.pw_uid, account.pw_gid))


def unit_file(job: Job) -> None:
    file = UNITS / job.record.unit
    new = f"{MARK}{job.record.slug}\n{job.unit_text}"
    if file.exists():
        old = file.read_text(encoding="utf-8", errors="replace")
        if not old.startswith(f"{MARK}{job.record.slug}\n"):
            raise Refused(
                "not-ours", f"There is a unit {job.record.unit} on this node that Homewright did not make.", "",
                ("nothing was changed; look at it: systemctl cat " + job.record.unit,),
            )  # fmt: skip
        if old == new:
            return
    write(file, new.encode(), 0o644)


def reload_units(job: Job) -> None:
    command(["systemctl", "daemon-reload"], "instance-failed", "systemd does not read its units again.")


STEPS: tuple[Callable[[Job], None], ...] = (
    data_group, shared_folders, closed_folder, system_user, own_folders, own_files, unit_file, reload_units,
)  # fmt: skip


def provision(job: Job) -> list[str]:
    """All steps in order; returns what is worth knowing about the shared folders."""
    for step in STEPS:
        step(job)
    return notes(job)


def notes(job: Job) -> list[str]:
    group = grp.getgrnam(job.data_group).gr_gid
    found = []
    for name in job.mounts:
        state = (job.root / name).stat()
        if state.st_gid != group or state.st_mode & 0o2070 != 0o2070:
            found.append(
                f"{job.root / name} was there before and is not shared with the group {job.data_group} (setgid, "
                f"writable): the workspace may not be able to write there. To share it: "
                f"sudo chgrp {job.data_group} {job.root / name} && sudo chmod g+rwxs {job.root / name}"
            )
    return found


def start(record: Record) -> None:
    """Start the unit now and at every boot. Raises Refused where systemd refuses."""
    subprocess.run(["systemctl", "reset-failed", record.unit], capture_output=True, check=False)
    command(["systemctl", "enable", "--quiet", record.unit], "instance-failed", f"{record.unit} cannot be enabled.")
    command(["systemctl", "start", "--no-block", record.unit], "instance-failed", f"{record.unit} does not start.")


def stop(record: Record, limit_s: float = 60.0) -> None:
    """Stop the unit, now and at boot. Returns only when nothing of it runs any more. Raises Refused."""
    if (UNITS / record.unit).exists():
        command(
            ["systemctl", "disable", "--now", "--quiet", record.unit],
            "instance-failed",
            f"{record.unit} does not stop.",
        )
    subprocess.run(["systemctl", "reset-failed", record.unit], capture_output=True, check=False)
    deadline = time.monotonic() + limit_s
    while (left := processes_of(record.unit)) or active_state(record.unit) not in ("inactive", "failed"):
        if time.monotonic() > deadline:
            raise Refused(
                "instance-failed", f"{record.unit} is not gone after {limit_s:g} s.",
                f"Still running: {', '.join(map(str, left)) or 'its stop job'}.",
                ("look: systemctl status " + record.unit,),
            )  # fmt: skip
        time.sleep(0.1)


def active_state(unit: str) -> str:
    done = subprocess.run(
        ["systemctl", "show", "-p", "ActiveState", "--value", unit], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "inactive"


def processes_of(unit: str) -> list[int]:
    """The processes in the unit's control group, terminals and their children among them."""
    found: list[int] = []
    for top in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/systemd")):
        folder = top / "system.slice" / unit
        if folder.is_dir():
            for file in folder.rglob("cgroup.procs"):
                try:
                    found += [int(line) for line in file.read_text().split()]
                except OSError:
                    continue  # that group went away meanwhile
    return found


def delete(record: Record, with_storage: bool, now: float) -> str:
    """Take the workspace away; its storage stays, or is moved aside. The shared folders are never touched.

    Returns where the storage is. The system user stays, locked: files in the shared folders belong to it, and its
    number must never be given to somebody else.
    """
    stop(record)
    unit = UNITS / record.unit
    if unit.exists() and unit.read_text(encoding="utf-8", errors="replace").startswith(MARK):
        unit.unlink()
        sync(UNITS)
    command(["systemctl", "daemon-reload"], "instance-failed", "systemd does not read its units again.")
    own = own_folder(record)
    if (own / "config").is_dir():
        shutil.rmtree(own / "config")
    if not own.is_dir():
        return ""
    if not with_storage:
        return str(own / "data")
    graves = own.parent / ".deleted"
    if not graves.is_dir():
        graves.mkdir(mode=0o700)
    grave = graves / f"{record.slug}-{int(now)}"
    own.rename(grave)
    sync(graves)
    sync(own.parent)
    return str(grave)

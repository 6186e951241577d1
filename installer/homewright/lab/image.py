"""The practice servers' image: Debian 12 with systemd and sshd, built once and kept as two files in the cache."""

from __future__ import annotations

import hashlib
import io
import os
import platform
import shutil
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from homewright.errors import LabError
from homewright.lab import pip_index
from homewright.lab.mirror import SUITE, Mirror, Source
from homewright.lab.shell import run
from homewright.site.models import HostVenv

ALIAS = "practice"

INCLUDED = (
    "systemd", "systemd-sysv", "dbus", "udev", "openssh-server", "python3", "sudo", "netplan.io", "pciutils",
    "iproute2", "procps", "iputils-ping", "ca-certificates", "curl", "kmod", "iptables", "systemd-timesyncd",
    "libfaketime",
)  # fmt: skip
"""As a freshly installed small server has them; python3-venv is a stage's job. libfaketime is for `lab break clock`."""

_NETWORK = """\
[Match]
Name=eth0
[Network]
DHCP=ipv4
[DHCPv4]
UseHostname=false
"""

_HOST_KEYS = """\
[Unit]
Description=Host keys of this server's own
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A
[Install]
WantedBy=multi-user.target
"""

_DPKG = """\
# Practice servers are thrown away: no waiting for the disk, no manuals.
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/locale/*
"""

_APT = 'Acquire::Languages "none";\nAcquire::GzipIndexes "true";\nAPT::Install-Recommends "false";\n'

_TIME = """\
# The clock is the host's, and nothing here can set it; the service runs all the same, as on a real server.
[Unit]
ConditionVirtualization=
"""

_METADATA = """\
architecture: {architecture}
creation_date: 1700000000
properties: {{os: Debian, release: bookworm, description: practice server}}
templates:
  /etc/hostname: {{when: [create, copy], template: hostname.tpl}}
  /etc/machine-id: {{when: [create, copy], template: machine-id.tpl}}
"""

_HOSTNAME = "{{ container.name }}\n"

_MACHINE_ID = '{{ config_get("volatile.uuid", "")|cut:"-" }}\n'
"""Left alone, systemd takes the id of the machine below, and all practice servers have the same."""

_LEFT_OUT = ("usr/share/doc", "usr/share/info", "usr/share/locale", "usr/share/man", "var/lib/apt/lists")
"""What debootstrap brings and dpkg would not: a third of all files, each of which is unpacked, and given to another
account, for each server and each instance. Folders stay, since packages link into them; lists come again, packed."""

_SERVICES = ("systemd-networkd", "ssh", "hostkeys", "systemd-timesyncd")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Image:
    """The cached image: metadata and root file system, as LXD imports them."""

    folder: Path
    digest: str
    """Of the recipe and of what it takes over from this machine."""

    @property
    def metadata(self) -> Path:
        return self.folder / f"practice-{self.digest}.tar"

    @property
    def rootfs(self) -> Path:
        return self.folder / f"practice-{self.digest}.squashfs"

    @property
    def is_cached(self) -> bool:
        """The root file system is renamed into its place last."""
        return self.metadata.exists() and self.rootfs.exists()


def image(folder: Path, mirror: Mirror) -> Image:
    """The image that belongs to this recipe and this mirror, built or not."""
    told = hashlib.sha256(mirror.digest().encode())
    told.update(repr((_LEFT_OUT, pip_index.FETCH, HostVenv().packages)).encode())
    for part in (INCLUDED, _NETWORK, _HOST_KEYS, _DPKG, _APT, _METADATA, _HOSTNAME, _MACHINE_ID, _TIME, _SERVICES):
        told.update(repr(part).encode())
    return Image(folder, told.hexdigest()[:16])


def kept(folder: Path) -> Path | None:
    """The root file system that is kept in this folder; there is one at most, its metadata beside it."""
    return next(iter(sorted(folder.glob("practice-*.squashfs"))), None)


def build(wanted: Image, mirror: Mirror, owner: tuple[int, int], say: Say) -> None:
    """Build the image as root and give its files to `owner`. Raises LabError; nothing half-built stays."""
    started = time.monotonic()
    say(f"building the practice servers' image (Debian 12, about a minute; kept in {wanted.folder})")
    for left in wanted.folder.glob(".building-*"):
        shutil.rmtree(left, ignore_errors=True)
    work = wanted.folder / f".building-{os.getpid()}"
    work.mkdir(mode=0o700)
    try:
        root = work / "rootfs"
        bootstrap(root, mirror)
        say("image: Debian is unpacked; configuring it")
        _configure(root, mirror)
        say("image: packing")
        packed = work / "rootfs.squashfs"
        # No larger than with gzip, and unpacked, once for each server, in half the time.
        isolated(["mksquashfs", root, packed, "-noappend", "-quiet", "-no-progress", "-comp", "zstd",
                   "-Xcompression-level", "1"])  # fmt: skip
        metadata = work / "metadata.tar"
        metadata.write_bytes(metadata_archive())
        for old in wanted.folder.glob("practice-*"):
            old.unlink()
        for made, place in ((metadata, wanted.metadata), (packed, wanted.rootfs)):
            made.chmod(0o600)
            os.chown(made, *owner)
            made.rename(place)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    say(f"image: ready ({wanted.rootfs.stat().st_size / 1e6:.0f} MB, {time.monotonic() - started:.0f} s)")


def metadata_archive() -> bytes:
    """The archive that tells LXD what the root file system is."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in (
            ("metadata.yaml", _METADATA.format(architecture=platform.machine())),
            ("templates/hostname.tpl", _HOSTNAME),
            ("templates/machine-id.tpl", _MACHINE_ID),
        ):
            data = text.encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def source_lines(sources: tuple[Source, ...]) -> str:
    """The image's sources.list. Keys are the image's own: another path need not exist there."""
    return "".join(f"deb {source.uri} {source.suite} {' '.join(source.components)}\n" for source in sources)


def isolated(words: list[str | Path], timeout: float = 900.0, proxies: dict[str, str] | None = None) -> None:
    """Run in mount and process namespaces of its own: whatever is cut off, no mount and no process stays."""
    namespaces = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
    run(
        ["setpriv", "--pdeathsig", "KILL", *namespaces, *words],
        what="The practice servers' image could not be built.",
        do=["see whether this machine reaches its Debian mirror: apt-get update", "then try again: homewright lab up"],
        extra=proxies,
        timeout=timeout,
    )


def bootstrap(root: Path, mirror: Mirror, suite: str = SUITE, included: Sequence[str] = INCLUDED) -> None:
    """Have a Debian in this folder; the caller is root. Raises LabError."""
    keyring = Path(mirror.keyring)
    if not keyring.exists():
        raise LabError(
            "The practice servers' image could not be built.",
            f"Debian's signing keys are missing ({keyring}), so its packages could not be verified.",
            ["apt-get install debian-archive-keyring", "then try again: homewright lab up"],
        )
    words: list[str | Path] = ["debootstrap", "--variant=minbase", "--force-check-gpg", f"--keyring={keyring}"]
    words += [
        *([f"--include={','.join(included)}"] if included else []),
        suite,
        root,
        *([mirror.uri] if mirror.uri else []),
    ]
    isolated(words, proxies=dict(mirror.proxies))


def _configure(root: Path, mirror: Mirror) -> None:
    files = {
        "etc/systemd/network/eth0.network": _NETWORK,
        "etc/systemd/system/hostkeys.service": _HOST_KEYS,
        "etc/systemd/system/systemd-timesyncd.service.d/practice.conf": _TIME,
        "etc/dpkg/dpkg.cfg.d/practice": _DPKG,
        "etc/apt/apt.conf.d/99practice": _APT + "".join(f"{line}\n" for line in mirror.apt),
        "etc/machine-id": "",
    }
    if mirror.sources:
        files["etc/apt/sources.list"] = source_lines(mirror.sources)
    if mirror.pip:
        files["etc/pip.conf"] = "[global]\n" + "".join(f"{line}\n" for line in mirror.pip)
    if mirror.proxies:
        files["etc/environment"] = "".join(f"{name}={value}\n" for name, value in mirror.proxies)
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for key in root.glob("etc/ssh/ssh_host_*"):
        key.unlink()
    for name in _LEFT_OUT:
        for path in (root / name).rglob("*"):
            if path.is_symlink() or not path.is_dir():
                path.unlink()
    folder = root / "usr/local/share/ca-certificates"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in mirror.authorities:
        (folder / name).write_text(text, encoding="latin-1")
    isolated(["chroot", root, "update-ca-certificates"])
    isolated(["chroot", root, "systemctl", "enable", *_SERVICES])
    # The lists are part of the image: the first apt-get install on a server then asks only for what has changed.
    resolver = root / "etc/resolv.conf"
    resolver.unlink(missing_ok=True)
    shutil.copyfile("/etc/resolv.conf", resolver)
    isolated(["chroot", root, "apt-get", "update", "-qq"], proxies=dict(mirror.proxies))
    isolated(["chroot", root, "apt-get", "upgrade", "-y", "-qq"], proxies=dict(mirror.proxies))
    isolated(["chroot", root, "sh", "-c", pip_index.FETCH, "sh", *HostVenv().packages], proxies=dict(mirror.proxies))
    there = root / pip_index.FOLDER.relative_to("/")
    for name, text in pip_index.index(path.name for path in (there / "wheels").iterdir()).items():
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_text(text, encoding="utf-8")
    isolated(["chroot", root, "apt-get", "clean"])
    resolver.write_text("", encoding="ascii")

"""LXD on a server: installed, made to start, and taken away with everything that came with it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from homewright.engine.runners.host import Host
from homewright.errors import HomewrightError
from homewright.site import mirrors
from homewright.stages import packages
from homewright.stages.lxd.standing import Lxd

DEB = ("lxd", "lxd-client", "iptables")
"""iptables is what leads the instances out (20/20); LXD itself does without."""
CHANNEL = "5.21/stable"
"""The LTS line that Ubuntu 24.04 names. One line for the site: members of different versions wait for each other."""
IDS = "root:100000:1000000"
"""What Debian's package gives root begins at the first free id and is ten million long."""
ENDS_AT = 10_165_537
"""Where that range ends on a fresh server; one that has fewer ids is a container itself."""
SETTLE_S = 90


def install(host: Host, found: Lxd) -> None:
    """Install LXD. Raises HomewrightError where the server has no package of it, CommandFailed with apt's words."""
    if not found.store:
        raise HomewrightError(
            f"There is no LXD for {host.name} ({found.system}).",
            "It comes as a snap for Ubuntu, and as a package with Debian 12 and later.",
            ["install snapd or a newer system", "or make the servers themselves the nodes: platform.nodes servers"],
        )
    if found.store == "snap":
        # One cohort: all members get an update at the same time, and none waits for the others' version.
        host.show(f"snap install lxd --channel={CHANNEL} --cohort=+", timeout=1800)
    else:
        script = f"set -e\n{mirrors.apt_script(host.site.mirror)}{_INSTALL.format(packages=' '.join(DEB))}"
        host.show(script, timeout=1800)


def narrow(host: Host, found: Lxd) -> bool:
    """Give LXD no more user ids than the server has itself; whether that had to be. On a machine it never has to."""
    if found.store == "snap" or found.ids > ENDS_AT:
        return False
    changed = False
    for file in ("/etc/subuid", "/etc/subgid"):
        text = (host.read(file) or b"").decode()
        kept = [line for line in text.splitlines() if line.split(":")[0] not in ID_NAMES]
        changed = host.write(file, "".join(f"{line}\n" for line in (*kept, IDS)).encode()) or changed
    return changed


def start(host: Host, *, again: bool = False) -> None:
    """See that the daemon runs and answers, also after a restart of the server. Raises CommandFailed."""
    verb = "restart" if again else "start"
    host.run(
        f"{_PATH}; if snap list lxd >/dev/null 2>&1; then snap start --enable lxd; snap {verb} lxd; "
        f"else systemctl enable -q --now lxd.socket; systemctl {verb} lxd.service; fi; "
        f"lxd waitready --timeout={SETTLE_S}",
        timeout=SETTLE_S + 30,
    )


def starts_by_itself(host: Host) -> bool:
    """Whether LXD comes up with its server."""
    asked = (
        f"{_PATH}; if snap list lxd >/dev/null 2>&1; then snap services lxd.daemon | grep -qw enabled; "
        "else systemctl is-enabled -q lxd.socket; fi"
    )
    return host.run(asked, check=False).exit_code == 0


def too_many_ids(host: Host) -> str:
    """Which file gives LXD more user ids than the server has, as on a container after the package's own settings."""
    have = "awk '{ n += $3 } END { print n }' /proc/self/uid_map"
    asked = f'have=$({have}); awk -F: -v have="$have" \'$1 == "root" && $2 + $3 > have {{ print FILENAME; exit }}\''
    return host.run(f"{asked} /etc/subuid /etc/subgid 2>/dev/null; true").stdout.strip()


def reset(host: Host, found: Lxd) -> None:
    """Put LXD back to how it was installed: for a formation of ours that was cut off.

    Raises HomewrightError where there is data of instances or volumes, which nobody may lose by this.
    """
    folder = shlex.quote(found.folder)
    data = host.run(
        f"cd {folder} 2>/dev/null || exit 0; "
        "find containers virtual-machines storage-pools/*/containers storage-pools/*/virtual-machines "
        "storage-pools/*/custom storage-pools/*/buckets "
        "-mindepth 1 -maxdepth 1 2>/dev/null; true"
    ).stdout.split()
    if data:
        raise HomewrightError(
            f"LXD on {host.name} is no member of the cluster, and has data: {', '.join(data[:3])}.",
            "It was cut off in the middle of something, and nothing of it is thrown away.",
            [f"look at it: sudo ls {found.folder}/{data[0]}", "save what is needed, remove it, then: homewright retry"],
        )
    host.run(_RESET.format(folder=folder), timeout=180)
    start(host)


def remove(host: Host, found: Lxd, before: Mapping[str, Any]) -> bool:
    """Take LXD and what came with it away where it was not there before; whether anything was there."""
    if not found.package:
        return False
    if before.get("package"):
        reset(host, found)
        return True
    if found.package == "snap":
        release = _RELEASE.format(folder=shlex.quote(found.folder))
        host.run(f"set -e\nPATH=$PATH:/snap/bin\nsnap stop lxd\n{release}", timeout=180)
        host.show("snap remove --purge lxd", timeout=900)
        return True
    there, known = set(packages.installed(host)), before.get("packages")
    # Where nobody has written down what was there, nothing but LXD's own goes.
    came = sorted(there - set(known) if known is not None else there & set(DEB))
    # What an administrator installed meanwhile was asked for by name, and stays.
    by_itself = host.run(["apt-mark", "showauto", *came]).stdout.split() if came else []
    wanted = [name for name in came if name in (*DEB, *by_itself)]
    host.run(_RESET.format(folder=found.folder), timeout=180)
    stop = "systemctl stop lxd.service lxd.socket lxcfs.service 2>/dev/null || true"
    packages.purge(host, wanted, ("lxd", "lxd-client"), what="LXD", first=stop)
    return True


def put_back(host: Host, before: Mapping[str, Any]) -> bool:
    """The ranges of user ids, the accounts and the folders as they were before; whether anything had to be."""
    if "folders" not in before:
        return False  # nobody has written down what was there, so nothing of it is certainly LXD's
    changed = False
    for file, text in before.get("ids", {}).items():
        found = host.read(file)
        wanted = ids_back(text, None if found is None else found.decode("utf-8", "surrogateescape"))
        if wanted is not None:
            changed = host.write(file, wanted.encode("utf-8", "surrogateescape")) or changed
        elif found is not None:
            changed = host.remove(file) or changed
    for kind, name in (("passwd", "_lxd"), ("group", "_lxd"), ("group", "lxd")):
        if name not in before.get(kind, ()) and host.run(["getent", kind, name], check=False).exit_code == 0:
            host.run(["userdel" if kind == "passwd" else "groupdel", name])
            changed = True
    gone = [folder for folder in (*FOLDERS, *WITH_OTHERS) if folder not in before.get("folders", ())]
    for folder in gone:
        if folder in FOLDERS:
            changed = host.remove(folder) or changed
    if others := [folder for folder in gone if folder in WITH_OTHERS]:
        changed = bool(host.run(["sh", "-ec", EMPTY, "sh", *others]).stdout.strip()) or changed
    if SHARED not in before.get("folders", ()):
        host.run(f"[ ! -d {SHARED} ] || rmdir --ignore-fail-on-non-empty {SHARED}")
    return changed


def ids_back(before: str | None, now: str | None) -> str | None:
    """A file of user ids with LXD's ranges as they were before, and those of all other accounts as they are now.

    None where there is no such file.
    """
    then, found = (before or "").splitlines(), (now or "").splitlines()
    stayed = [line for line in then if line.split(":")[0] in ID_NAMES or line in found]
    came = [line for line in found if line.split(":")[0] not in ID_NAMES and line not in then]
    lines = [*stayed, *came]
    if lines == then:
        return before
    return "".join(f"{line}\n" for line in lines)


ID_NAMES = ("root", "_lxd", "lxd")
"""Whose ranges LXD's packages set."""
FOLDERS = ("/var/lib/lxd", "/var/log/lxd", "/var/cache/lxd", "/etc/lxd")
"""Folders of LXD alone."""
WITH_OTHERS = ("/var/lib/lxcfs", "/etc/lxc", "/var/log/lxc", "/var/lib/lxc", "/var/cache/lxc")
"""Folders that LXC has too: where somebody installed that since, or has something in one, it stays."""
EMPTY = r"""
for folder in "$@"; do
    [ -d "$folder" ] && ! dpkg -S "$folder" >/dev/null 2>&1 || continue
    rmdir --ignore-fail-on-non-empty "$folder"
    [ -d "$folder" ] || echo "$folder"
done
"""
SHARED = "/etc/dnsmasq.d"
"""LXD's package puts a file there; who else uses it keeps it."""


def before(host: Host) -> dict[str, Any]:
    """What taking LXD away needs to know of the server before."""
    found = {file: host.read(file) for file in ("/etc/subuid", "/etc/subgid")}
    accounts = host.run("getent passwd _lxd lxd; true").stdout.split("\n")
    groups = host.run("getent group _lxd lxd; true").stdout.split("\n")
    return {
        "packages": packages.installed(host),
        "ids": {file: None if text is None else text.decode() for file, text in found.items()},
        "passwd": [line.split(":")[0] for line in accounts if line],
        "group": [line.split(":")[0] for line in groups if line],
        "folders": [folder for folder in (*FOLDERS, *WITH_OTHERS, SHARED) if host.exists(folder)],
    }


_PATH = "PATH=$PATH:/snap/bin"
_INSTALL = r"""
# A run that was cut off in the middle leaves packages half installed; nothing installs before they are finished.
[ -z "$(dpkg --audit)" ] || dpkg --configure -a
install() {{ get install --no-install-recommends {packages}; }}
[ -z "$sources" ] || get update
install || {{ get update; install; }}
"""
_RELEASE = r"""
# A pool of zfs or lvm outlives its daemon: without its file it would stand in the way of every later one of its name.
pools() {{
    own=/snap/lxd/current/zfs-$(cut -d. -f-2 /sys/module/zfs/version 2>/dev/null || true)
    if [ -x "$own/bin/zpool" ]; then
        # The snap's pools are mounted where the snap alone sees them.
        nsenter --mount=/run/snapd/ns/lxd.mnt env "LD_LIBRARY_PATH=$own/lib" "$own/bin/zpool" "$@"
    elif command -v zpool >/dev/null; then zpool "$@"; fi
}}
for image in {folder}/disks/*.img; do
    [ -e "$image" ] || continue
    for name in $(pools list -H -o name 2>/dev/null); do
        if pools status -P "$name" 2>/dev/null | grep -qF "$image"; then pools export -f "$name"; fi
    done
    for loop in $(losetup -n -O NAME -j "$image" 2>/dev/null); do
        for group in $(pvs --noheadings -o vg_name "$loop" 2>/dev/null); do vgchange -q -an "$group"; done
        losetup -d "$loop" || true
    done
done
"""
_RESET = (
    r"""set -e
PATH=$PATH:/snap/bin
if snap list lxd >/dev/null 2>&1; then snap stop lxd; else systemctl stop lxd.service lxd.socket; fi
awk '$2 ~ "^{folder}/" {{print $2}}' /proc/mounts | sort -r | while read -r place; do umount -l "$place"; done
"""
    + _RELEASE
    + r"""find {folder} -mindepth 1 -delete
sync {folder}
if ! snap list lxd >/dev/null 2>&1; then systemctl start lxd.socket; fi
"""
)

"""A node before it is one: packages, kernel settings, programs, containerd and kubelet's unit; and all of it away."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any, cast

from homewright.checks.profiles import load
from homewright.engine.runners.host import Host
from homewright.errors import HomewrightError
from homewright.planning.cluster import planned
from homewright.planning.instances import place
from homewright.site import mirrored, mirrors
from homewright.site.mirrored import Architecture
from homewright.site.models import Site
from homewright.stages import kernel_settings, packages
from homewright.stages.cluster import balanced, documents
from homewright.stages.cluster.look import ARCHITECTURES, FORMED, OWNER
from homewright.stages.cluster.versions import VERSION

MODULES = "/etc/modules-load.d/homewright-pods.conf"
SYSCTL = "/etc/sysctl.d/90-homewright-pods.conf"
PROGRAMS = documents.PROGRAMS
BIN = documents.BIN
CONTAINERD_UNIT = "homewright-containerd.service"
KUBELET_UNIT = "kubelet.service"
UNITS = documents.UNITS
FOLDERS = (
    "/etc/kubernetes", "/etc/cni", "/opt/cni", "/var/lib/kubelet", "/var/lib/etcd", "/var/lib/cni", "/run/flannel",
    "/var/log/containers", "/var/log/pods",
)  # fmt: skip
"""Folders that the cluster makes and others use as well: where they were not there before they go once nothing is in
them, for what is of the cluster there has gone with it."""
OWN = (PROGRAMS, documents.STORE, documents.RUNTIME, "/etc/homewright/containerd")
"""Folders that are nobody else's."""
_KUBELETS = "/usr/libexec/kubernetes/kubelet-plugins"
EMPTY = (
    documents.VOLUMES, "/usr/local/lib/homewright", "/etc/homewright/cluster", "/etc/homewright",
    f"{_KUBELETS}/volume/exec", f"{_KUBELETS}/volume", _KUBELETS, "/usr/libexec/kubernetes", "/usr/lib/modules",
)  # fmt: skip
"""Folders that others may share: they go only when they are empty and were not there before."""
_OWN_FILES = (
    documents.CONTAINERD, documents.SCRIPT, MODULES, SYSCTL, f"{UNITS}/{CONTAINERD_UNIT}", f"{UNITS}/{KUBELET_UNIT}",
)  # fmt: skip
FETCH_S = 1200


def wanted_packages(host: Host) -> tuple[str, ...]:
    shared = balanced.PACKAGES if shares(host) else ()
    return (*mirrored.DEBIAN_PACKAGES, host.site.cluster.runtime.package, *shared)


def shares(host: Host) -> bool:
    """Whether it is a control plane behind a shared address."""
    return host.site.cluster.address is not None and planned(host.site, host.facts).node(host.name).control_plane


def limits(host: Host) -> dict[str, int]:
    """The kernel's limits that a virtual machine sets for itself, by name: those that 10/00 sets on servers.

    A container has its server's; a server itself has them from that step. What was higher before stays.
    """
    if host.through is None or place(host.site, host.facts).kind != "virtual-machine":
        return {}
    wanted = kernel_settings.values(load(host.site.profile), host.capture.get("limits", {}))
    return {one.name: value for one, value in wanted.items() if one.name != _FORWARD}


def files(host: Host) -> dict[str, tuple[str, int]]:
    """Every file that a node has from us: text and mode by path."""
    site = host.site
    kind = place(site, host.facts).kind if host.through is not None else ""
    found: dict[str, tuple[str, int]] = {
        documents.CONTAINERD: (documents.containerd(site, contained=kind == "container"), 0o644),
        f"{UNITS}/{CONTAINERD_UNIT}": (_containerd_unit(site), 0o644),
        f"{UNITS}/{KUBELET_UNIT}": (_KUBELET, 0o644),
    }
    if host.through is not None:
        # An instance; a server itself has all this from step 10/00.
        found[SYSCTL] = (_SYSCTL + "".join(f"{name} = {value}\n" for name, value in limits(host).items()), 0o644)
        if kind == "virtual-machine":
            found[MODULES] = ("".join(f"{name}\n" for name in kernel_settings.MODULES), 0o644)
    if shares(host):
        plan = planned(site, host.facts)
        node = plan.node(host.name)
        found |= balanced.files(plan, node, balanced.interface_of(host, node))
    if site.cluster.runtime.script is not None:
        found[documents.SCRIPT] = (site.cluster.runtime.script, 0o755)
    if told := documents.registry(site.mirror):
        found[told[0]] = (told[1], 0o644)
    return found


def checksums(host: Host, architecture: str, wanted: Mapping[str, str]) -> dict[str, tuple[mirrors.Fetch, str]]:
    """Where each program, wanted in a version, is fetched from and which digest it must have: from the mirror, or its
    publisher.

    Raises HomewrightError where that does not answer: then nothing has been changed yet.
    """
    found = {}
    for name, version in wanted.items():
        known = cast(Architecture, ARCHITECTURES[architecture])
        source = mirrors.program(host.site.mirror, name, version, known)
        asked = host.run(
            f"{_proxy(host.site)}curl -fsSL -m 20 --retry 1 {shlex.quote(source.checksum)}", check=False, timeout=60
        )
        digest = asked.stdout.split()[0] if asked.stdout.split() else ""
        if asked.exit_code != 0 or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise HomewrightError(
                f"{host.name} cannot fetch {name} {version}.",
                f"{source.checksum} does not answer with a checksum: "
                f"{asked.stderr.strip() or digest[:80] or 'nothing'}",
                [
                    f"try it on {host.name}: curl -fI {source.checksum}",
                    "a site without internet names its own copies: homewright site set mirror.files …",
                ],
            )
        found[name] = (source, digest)
    return found


def install(host: Host, wanted: Mapping[str, tuple[mirrors.Fetch, str]], version: str, owner: str) -> None:
    """Make the server ready to become a node of this Kubernetes; what is so already stays as it is."""
    folders = sorted({str(PurePosixPath(path).parent) for path in (*files(host), OWNER)})
    host.run(f"umask 022; mkdir -p {shlex.join(folders)}")
    with host.task("Whose node it is") as task:
        task.changed = host.write(OWNER, f"{owner}\n".encode()) | host.write(VERSION, f"{version}\n".encode())
    with host.task("Packages") as task:
        had = packages.installed(host)
        task.changed = packages.install(host, wanted_packages(host))
        if shares(host) and not set(balanced.PACKAGES) & set(had):
            balanced.quiet(host)
    with host.task("Programs") as task:
        task.changed = fetch(host, wanted) | link(host, wanted)
    with host.task("Settings") as task:
        changed = [path for path, (text, mode) in files(host).items() if host.write(path, text.encode(), mode=mode)]
        task.changed = bool(changed)
    with host.task("Kernel") as task:
        task.changed = _kernel(host, changed)
    with host.task("containerd") as task:
        task.changed = _start(host, restart=bool(changed))
    if shares(host):
        with host.task("The API's address") as task:
            task.changed = balanced.start(host, restart=bool(set(changed) & set(balanced.PATHS)))


def program(digest: str) -> str:
    """Where a program with this digest is kept; nothing calls it before it is linked. Pure."""
    return f"{PROGRAMS}/{digest[:20]}"


def fetch(host: Host, wanted: Mapping[str, tuple[mirrors.Fetch, str]]) -> bool:
    """Have these programs on the node, each under its own digest; whether any was missing."""
    kept = {name: digest[:20] for name, (_, digest) in wanted.items()}
    absent = set(
        host.run(["sh", "-euc", _ABSENT, "sh", *(f"{PROGRAMS}/{one}" for one in kept.values())]).stdout.split()
    )
    changed = bool(absent)
    for name, (source, digest) in wanted.items():
        if kept[name] not in absent:
            continue
        absent.discard(kept[name])  # two names may be one file
        # Line by line: what fails before an && does not end a script that has `set -e`.
        unpack = (
            'mkdir "$new"\ntar -xzf "$file" -C "$new"\nrm "$file"'
            if source.archive
            else 'chmod 755 "$file"\nmv "$file" "$new"'
        )
        # Of a whole file system everybody's writes would be waited for.
        host.show(
            f"set -e\numask 022\nmkdir -p {PROGRAMS}\ncd {PROGRAMS}\nfile=.fetching-{name} new=.new-{name}\n"
            f'rm -rf "$file" "$new"\n'
            f'{_proxy(host.site)}curl -fsSL --retry 3 -C - -o "$file" {shlex.quote(source.url)}\n'
            f'echo "{digest}  $file" | sha256sum -c --quiet\n'
            f'{unpack}\nfind "$new" ! -type l -exec sync -- {{}} +\nmv -T "$new" {program(digest)}\nsync .\n',
            timeout=FETCH_S,
        )
    return changed


def link(host: Host, wanted: Mapping[str, tuple[mirrors.Fetch, str]]) -> bool:
    """Have these programs, which are there, called by their names; whether any was not."""
    links: dict[str, str] = {}
    for name, (source, digest) in wanted.items():
        place = program(digest)
        inside = ("containerd", "containerd-shim-runc-v2", "ctr") if source.archive else ()
        links |= {f"{PROGRAMS}/bin/{one}": f"{place}/bin/{one}" for one in inside}
        links |= {} if source.archive else {f"{BIN}/{name}": place}
    pairs = [path for pair in links.items() for path in pair]
    return bool(host.run(["sh", "-euc", _LINKED, "sh", *pairs]).stdout.split())


def _kernel(host: Host, changed: Collection[str]) -> bool:
    if MODULES in changed:
        host.run(["modprobe", "--all", *kernel_settings.MODULES])
    if SYSCTL in changed:
        host.run(["sysctl", "-q", "--load", SYSCTL])
    return bool({MODULES, SYSCTL} & set(changed))


def _start(host: Host, *, restart: bool) -> bool:
    was = host.run(
        f"systemctl is-active {CONTAINERD_UNIT}; systemctl is-enabled {CONTAINERD_UNIT} {KUBELET_UNIT}; true"
    ).stdout.split()
    if was == ["active", "enabled", "enabled"] and not restart:
        return False
    verb = "restart" if restart else "start"
    # Whoever answers first counts: a socket is there before anybody listens.
    host.run(
        f"set -e\nsystemctl daemon-reload\nsystemctl enable -q {CONTAINERD_UNIT} {KUBELET_UNIT}\n"
        f"systemctl {verb} {CONTAINERD_UNIT}\nend=$(($(date +%s) + 60))\n"
        f"until {PROGRAMS}/bin/ctr -a {documents.RUNTIME}/containerd.sock version >/dev/null 2>&1; do\n"
        f"    [ $(date +%s) -lt $end ] || {{ journalctl -u {CONTAINERD_UNIT} -n 20 --no-pager >&2; exit 1; }}\n"
        "    sleep 0.2\ndone\n",
        timeout=120,
    )
    return True


def before(host: Host) -> dict[str, object]:
    """What x9 needs of the server before: packages, folders, forwarding, limits of a kernel of its own.

    Programs and a unit of these names it had none: `look` refuses a server that has.
    """
    asked = shlex.join((*FOLDERS, *EMPTY))
    there = host.run(f"for folder in {asked}; do [ ! -d $folder ] || echo $folder; done").stdout.split()
    forward = host.run(["cat", "/proc/sys/net/ipv4/ip_forward"]).stdout.strip()
    had = {name: int(host.run(["cat", kernel_settings.path(name)]).stdout) for name in limits(host)}
    return {"packages": packages.installed(host), "folders": there, "forward": forward, "limits": had}


def remove(host: Host, captured: Mapping[str, Any]) -> None:
    """The server without anything of a node, as it was before. Its cluster must have been taken back."""
    with host.task("No containerd") as task:
        found = host.run(f"systemctl is-active {CONTAINERD_UNIT}; true").stdout.split()
        task.changed = found == ["active"] or host.exists(f"{UNITS}/{CONTAINERD_UNIT}")
        host.run(_STOP, timeout=180)
        balanced.stop(host)
    with host.task("No files") as task:
        own = [*_OWN_FILES, *balanced.PATHS, FORMED, VERSION]
        own += [told[0]] if (told := documents.registry(host.site.mirror)) else []
        own += [*(f"{BIN}/{name}" for name in documents.LINKS), *OWN]
        task.changed = bool(host.run(["sh", "-euc", _GONE, "sh", *own], timeout=180).stdout.strip())
        made = [folder for folder in FOLDERS if folder not in captured.get("folders", FOLDERS)]
        host.run(["sh", "-euc", _HOLLOW, "sh", *made])
        if captured.get("forward") == "0" and host.through is not None:
            host.run(["sysctl", "-q", "-w", f"{_FORWARD}=0"])
        for name, value in captured.get("limits", {}).items():
            host.run(["sysctl", "-q", "-w", f"{name}={value}"])
    with host.task("No packages") as task:
        every = (*mirrored.DEBIAN_PACKAGES, host.site.cluster.runtime.package, *(balanced.PACKAGES if captured else ()))
        task.changed = packages.remove(host, every, captured.get("packages"))
        balanced.hollow(host)
    with host.task("Nobody's node") as task:
        task.changed = host.remove(OWNER)
        gone = [folder for folder in EMPTY if folder not in captured.get("folders", EMPTY)]
        host.run(["sh", "-euc", _EMPTIED, "sh", *gone])


def _proxy(site: Site) -> str:
    """What curl is told; a copy in the site's own network is reached without its proxy."""
    if site.network.proxy is None or site.mirror.files:
        return ""
    return f"https_proxy={shlex.quote(site.network.proxy)} http_proxy={shlex.quote(site.network.proxy)} "


def _containerd_unit(site: Site) -> str:
    more = ""
    if site.network.proxy is not None and not site.mirror.images:
        own = ",".join(server.address for server in site.servers)
        more = f'Environment="HTTPS_PROXY={site.network.proxy}" "HTTP_PROXY={site.network.proxy}" "NO_PROXY={own}"\n'
    return _CONTAINERD.format(bin=f"{PROGRAMS}/bin", config=documents.CONTAINERD, proxy=more)


_FORWARD = "net.ipv4.ip_forward"
_SYSCTL = f"# Kept by Homewright: pods are reached through their node.\n{_FORWARD} = 1\n"
_CONTAINERD = """\
[Unit]
Description=containerd for this node of the cluster (Homewright)
After=network.target local-fs.target

[Service]
Type=notify
Environment=PATH={bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
{proxy}ExecStart={bin}/containerd --config {config}
Delegate=yes
KillMode=process
Restart=always
RestartSec=5
LimitNOFILE=1048576
LimitNPROC=infinity
TasksMax=infinity
OOMScoreAdjust=-999

[Install]
WantedBy=multi-user.target
"""
_KUBELET = f"""\
[Unit]
Description=kubelet, the node's own part of Kubernetes {documents.MARK}
Wants=network-online.target {CONTAINERD_UNIT}
After=network-online.target {CONTAINERD_UNIT}
StartLimitIntervalSec=0
ConditionPathExists=/var/lib/kubelet/config.yaml

[Service]
Environment="KUBELET_BOOTSTRAP=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf"
Environment="KUBELET_KUBECONFIG=--kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart={BIN}/kubelet $KUBELET_BOOTSTRAP $KUBELET_KUBECONFIG $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS
Restart=always
RestartSec=5

[Install]
WantedBy=multi-user.target
"""
_GONE = f"""for path; do
    [ -e "$path" ] || [ -L "$path" ] || continue
    # Somebody may have put something else there since.
    case $path in
        {BIN}/*) case $(readlink -- "$path") in {PROGRAMS}/*) ;; *) continue ;; esac ;;
        {UNITS}/{KUBELET_UNIT}) grep -qs '{documents.MARK}' "$path" || continue ;;
    esac
    rm -rf --one-file-system -- "$path"
    echo "$path"
done
systemctl daemon-reload
systemctl reset-failed {CONTAINERD_UNIT} {KUBELET_UNIT} 2>/dev/null || true
"""
_ABSENT = """for place; do [ -e "$place" ] || echo "${place##*/}"; done
"""
_LINKED = """while [ $# -gt 0 ]; do
    link=$1 target=$2
    shift 2
    if [ "$(readlink "$link")" != "$target" ]; then
        mkdir -p "${link%/*}"
        ln -sfT "$target" "$link.new"
        mv -T "$link.new" "$link"
        echo "$link"
    fi
done
"""
_HOLLOW = """for folder; do
    [ ! -d "$folder" ] || find "$folder" -xdev -type d -empty -delete
done
"""
_EMPTIED = """for folder; do [ ! -d "$folder" ] || rmdir --ignore-fail-on-non-empty "$folder"; done
"""
_STOP = f"""
if grep -qs '{documents.MARK}' {UNITS}/{KUBELET_UNIT}; then systemctl disable -q --now {KUBELET_UNIT} 2>/dev/null; fi
systemctl disable -q --now {CONTAINERD_UNIT} 2>/dev/null
# Shims outlive containerd, so that pods outlive its restarts.
pkill -f '^{PROGRAMS}/[^ ]*containerd-shim-runc-v2 .*{documents.RUNTIME}/' 2>/dev/null
mounted() {{
    awk '{{ print $2 }}' /proc/mounts | grep -E '^({documents.STORE}|{documents.RUNTIME}|/var/lib/kubelet)/' | sort -r
}}
mounted | while read -r place; do umount -l "$(printf %b "$place")"; done
left=$(mounted)
[ -z "$left" ] || {{ echo "nothing is removed, because this is still mounted:" $left >&2; exit 1; }}
"""

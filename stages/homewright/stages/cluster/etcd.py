"""etcd as it runs on a control plane: who its members are, one of them removed, and what is in it saved.

Its own programs are asked, inside its container: so they are of its version, and no node needs others.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Protocol

from homewright.access.remote import Completed
from homewright.cluster import snapshots
from homewright.engine.runners.host import Host
from homewright.stages.cluster import documents

SNAPSHOTS = snapshots.FOLDER
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
"""The containers of a control plane, which kubelet starts from files on the server."""
KEPT = 5
DUE_HOURS = 24
"""A run of the stage saves the state where none on the first control plane is younger."""
_AHEAD = timedelta(minutes=5)
"""How far a state's time may lie ahead of ours: two clocks. One from further on says nothing about today."""
_PKI = "/etc/kubernetes/pki/etcd"
CTR = f"{documents.PROGRAMS}/bin/ctr -a {documents.RUNTIME}/containerd.sock -n k8s.io"


def containers(name: str) -> str:
    """containerd's filter for the containers of this name that are Kubernetes' own, and not of somebody's pod. Pure."""
    return f'labels."io.kubernetes.container.name"=={name},labels."io.kubernetes.pod.namespace"==kube-system'


_IN_ETCD = f"""set -eu
ctr="{CTR}"
running=$($ctr tasks list | awk '$3 == "RUNNING" {{ print $1 }}')
id=$($ctr containers list -q '{containers("etcd")}' | grep -xF "$running") || {{
    echo "etcd does not run here" >&2; exit 3
}}
inside() {{ $ctr tasks exec --exec-id homewright-$$-$1 "$id" "$@"; }}
ask() {{
    inside etcdctl --endpoints=https://127.0.0.1:2379 --cacert={_PKI}/ca.crt --cert={_PKI}/server.crt \\
        --key={_PKI}/server.key "$@"
}}
"""
_SAVE = f"""{_IN_ETCD}
umask 077
mkdir -p {SNAPSHOTS}
ask snapshot save /var/lib/etcd/.homewright-snapshot >/dev/null
inside etcdutl snapshot status /var/lib/etcd/.homewright-snapshot >/dev/null
name={SNAPSHOTS}/$(date -u +%Y%m%dT%H%M%SZ).db
chmod 600 /var/lib/etcd/.homewright-snapshot
mv /var/lib/etcd/.homewright-snapshot $name.new
sync $name.new
mv -T $name.new $name
sync {SNAPSHOTS}
# What is being put back has a second link, and stays; and so does the new one, whatever this server's clock says.
find {SNAPSHOTS} -maxdepth 1 -name '*.db' -links 1 | grep -vxF "$name" | sort | head -n -{KEPT - 1} | xargs -r rm -f
echo $name
"""


class Asked(Protocol):
    """Where etcd runs and is asked: a host, or an instance that no step works on."""

    def run(self, command: str, *, timeout: float | None = ..., check: bool = ...) -> Completed:
        """A command as root, `timeout` in seconds. Raises CommandFailed and what says that it cannot be reached."""

    def say(self, text: str) -> None:
        """Tell something in the step's log."""


def members(host: Asked) -> dict[str, str]:
    """etcd's members as this one knows them: their numbers, as etcd writes them, by name. Raises CommandFailed."""
    found = json.loads(host.run(f"{_IN_ETCD}ask member list -w json").stdout)
    return {one.get("name", ""): f"{one['ID']:x}" for one in found["members"]}


def unwell(host: Host) -> str:
    """What is wrong with etcd as this member sees it, in a sentence; empty where every member answers and none has
    raised an alarm. Raises Unreachable."""
    asked = f"{_IN_ETCD}ask endpoint health --cluster && ask alarm list"
    said = host.run(asked, check=False, timeout=60)
    if said.exit_code != 0:
        last = (said.stderr.strip() or said.stdout.strip() or "no answer").splitlines()[-1]
        return f"etcd on {host.name} is not well: {last}"
    alarms = [line for line in said.stdout.splitlines() if "alarm:" in line]
    return f"etcd on {host.name} has raised an alarm: {alarms[0].strip()}" if alarms else ""


def remove(host: Asked, name: str) -> bool:
    """Have etcd forget a member, by another one; whether it knew it. Raises CommandFailed."""
    number = members(host).get(name)
    if number is None:
        return False
    host.run(f"{_IN_ETCD}ask member remove {number}")
    return True


def is_saved(host: Host, now: datetime) -> bool:
    """Whether a state was saved here less than a day ago. Raises CommandFailed."""
    listed = host.run(snapshots.LIST).stdout
    ages = [now - one.at for one in snapshots.listed(host.name, listed)]
    return any(-_AHEAD <= age < timedelta(hours=DUE_HOURS) for age in ages)


def snapshot(host: Asked) -> str:
    """Save what is in etcd, checked, on this control plane; the file's path. Raises CommandFailed."""
    path = host.run(_SAVE, timeout=120).stdout.split()[-1]
    host.say(f"what is in etcd is saved: {path}")
    return path

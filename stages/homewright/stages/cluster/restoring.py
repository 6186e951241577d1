"""etcd put back to a state that was saved: on every control plane the same, and never half of it.

The new data is made beside the old one while the cluster still runs; then the control planes stop, and on each one
folder takes the place of another. Whatever is cut off is gone on with by doing all of it again: what a control plane
has come to stands in its own files.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from homewright.access.remote import CommandFailed
from homewright.cluster import client, snapshots
from homewright.engine.runners.host import Host, together
from homewright.errors import HomewrightError
from homewright.planning.cluster import ClusterPlan
from homewright.stages.cluster import etcd, forming

GIVEN = snapshots.GIVEN
DATA = "/var/lib/etcd"
COPY = f"{etcd.SNAPSHOTS}/restoring"
"""On each control plane: the saved state that is being put back."""
MARK = f"{etcd.SNAPSHOTS}/restored"
"""On each control plane: the last restore that came to its end there."""
BEFORE = snapshots.BEFORE
"""On each control plane: the data that the last restore took the place of."""
PIECE = 4 << 20
"""Bytes of a saved state that are in our memory at a time."""
BUMP = 1_000_000_000
"""By how much revisions go on above the saved one: whoever watches has seen none as high, and so begins anew. etcd's
own documentation names this number for Kubernetes."""
STOPPED_S = 90
KNOWN_S = 60


class RestoreError(HomewrightError):
    """etcd cannot be put back. What it says of the cluster is how that was left."""

    code = "restore"


@dataclass(frozen=True)
class Asked:
    """What somebody has asked for."""

    id: str
    """Of this very restore: the same state may be put back twice."""
    server: str
    """The control plane that saved it."""
    name: str
    """Of its file."""


def asked(host: Host) -> Asked | None:
    """What this run is to put back; None for every other run."""
    words = host.given.get(GIVEN, "").split()
    return Asked(*words) if len(words) == 3 else None


def restore(hosts: Sequence[Host], wanted: Asked) -> None:
    """Have etcd be as it was saved, and the API answer. Raises RestoreError, CommandFailed, Unreachable."""
    plan = forming.plan_of(hosts[0])
    planes = serving(hosts, plan)
    source = next((host for host in planes if host.name == wanted.server), None)
    left = [host for host in planes if (host.read(MARK) or b"").decode().strip() != wanted.id]
    if left:
        if source is None:
            raise RestoreError(f"{wanted.server} is no control plane of this cluster.", "Nothing was changed.")
        _bring_everywhere(source, planes, wanted)
        _save_before(planes, left)
        _all(left, lambda host: _make(host, plan, planes, wanted))
        _stop(planes, begun=len(left) < len(planes))
        _all(left, lambda host: _swap(host, wanted))
    _all(planes, _begin)
    with planes[0].task("The API answers") as task:
        task.changed = bool(left)
        if waiting := client.wait(forming.API_S, lambda: forming.ready(planes[0])):
            raise RestoreError(
                "The API does not answer after etcd was put back.",
                waiting,
                [
                    f"on {planes[0].name}: sudo journalctl -u kubelet -n 50; sudo ls /var/log/pods",
                    "then: homewright retry goes on from here",
                ],
            )
    _all(hosts, lambda host: _known_again(host, planes))
    _all(planes, lambda host: _tidy(host, wanted))


def serving(hosts: Sequence[Host], plan: ClusterPlan) -> list[Host]:
    """The control planes, the first of the plan first. Raises RestoreError where one that is planned is none."""
    found = [host for host in hosts if forming.state(host) == "formed" and host.exists(forming.SERVES)]
    lost = [node.name for node in plan.planes if node.name not in {host.name for host in found}]
    if lost:
        raise RestoreError(
            f"{' and '.join(lost)} {'is' if len(lost) == 1 else 'are'} planned as a control plane, and not one now.",
            "What is in etcd is put back on every control plane, or on none. Nothing was changed.",
            [f"take it out of the site first: homewright site remove-server {name}" for name in lost],
        )
    return sorted(found, key=lambda host: host.name != plan.first.name)


def pieces(size: int, piece: int = PIECE) -> Iterator[tuple[int, int]]:
    """Where each piece of a file begins, and how long it is. Pure."""
    for start in range(0, size, piece):
        yield start, min(piece, size - start)


def peers(planes: Sequence[tuple[str, str]]) -> str:
    """etcd's `--initial-cluster` of control planes by name and address. Pure."""
    return ",".join(f"{name}=https://{address}:2380" for name, address in planes)


def _all(hosts: Sequence[Host], function: Callable[[Host], None]) -> None:
    together(hosts, function)
    if failed := [host.error for host in hosts if host.error is not None]:
        raise failed[0]


def _bring_everywhere(source: Host, planes: Sequence[Host], wanted: Asked) -> None:
    """The saved state is on every control plane, byte for byte, under a name that no later saving takes away."""
    saved = f"{etcd.SNAPSHOTS}/{wanted.name}"
    with source.task("The saved state") as task:
        said = source.run(_KEEP.format(saved=shlex.quote(saved), id=wanted.id), check=False, timeout=180)
        if said.exit_code == 44:
            raise RestoreError(
                f"{source.name} has no saved state {wanted.name}.",
                "Nothing was changed.",
                ["see which there are: homewright cluster snapshots"],
            )
        if said.exit_code != 0:
            raise CommandFailed(source.name, f"reading {saved}", said)
        changed, size, digest = said.stdout.split()
        task.changed = changed == "kept"
    # One after the other: it passes through our memory.
    for host in planes:
        if host is not source:
            with host.task("The saved state") as task:
                task.changed = _bring(source, host, f"{COPY}-{wanted.id}", int(size), digest)


def _bring(source: Host, host: Host, path: str, size: int, digest: str) -> bool:
    if _digest(host, path) == digest:
        return False
    host.run(f"umask 077 && mkdir -p {etcd.SNAPSHOTS} && : >{path}.part")
    total = hashlib.sha256()
    for start, length in pieces(size):
        data = source.run(f"tail -c +{start + 1} {path} | head -c {length}", timeout=180).stdout_bytes
        total.update(data)
        host.run(f"truncate -s {start} {path}.part && cat >>{path}.part", stdin=data, timeout=180)
    host.run(f"sync {path}.part && mv -T {path}.part {path} && sync -f {etcd.SNAPSHOTS}", timeout=180)
    if total.hexdigest() != digest or _digest(host, path) != digest:
        host.remove(path)
        raise RestoreError(
            f"The saved state did not come to {host.name} as it is on {source.name}.",
            "Nothing of the cluster was changed.",
            ["then: homewright retry"],
        )
    return True


def _digest(host: Host, path: str) -> str:
    said = host.run(f"[ ! -e {path} ] || sha256sum <{path}", timeout=180).stdout.split()
    return said[0] if said else ""


def _save_before(planes: Sequence[Host], left: Sequence[Host]) -> None:
    """What etcd has now is saved as well, where it still answers: even a restore can be taken back."""
    if len(left) < len(planes):
        return  # it is half put back by now
    try:
        etcd.snapshot(planes[0])
    except CommandFailed as error:
        planes[0].say(f"what is in etcd now is not saved, because it does not answer: {error.why}")


def _make(host: Host, plan: ClusterPlan, planes: Sequence[Host], wanted: Asked) -> None:
    known = {node.name: node.address for node in plan.nodes}
    with host.task("etcd's new data") as task:
        said = host.run(
            _MAKE.format(
                id=wanted.id,
                name=host.name,
                cluster=peers([(plane.name, known[plane.name]) for plane in planes]),
                peer=f"https://{known[host.name]}:2380",
            ),
            timeout=180,
        )
        task.changed = "made" in said.stdout.split()


def _stop(planes: Sequence[Host], *, begun: bool) -> None:
    """No API, and no etcd, anywhere. Where that fails before anything was put back, all of them run again."""

    def stop(host: Host) -> None:
        with host.task("Control plane stopped") as task:
            host.run(_STOP, timeout=STOPPED_S + 60)
            task.changed = True

    try:
        _all(planes, stop)
    except HomewrightError:
        if not begun:
            for host in planes:
                try:
                    _start(host)
                except HomewrightError as error:
                    host.say(f"kubelet is not started again: {error.what}")
        raise


def _swap(host: Host, wanted: Asked) -> None:
    with host.task("etcd put back") as task:
        host.run(_SWAP.format(id=wanted.id), timeout=120)
        task.changed = True


def _begin(host: Host) -> None:
    with host.task("Control plane started") as task:
        task.changed = _start(host)


def _start(host: Host) -> bool:
    """Whether kubelet did not run, which starts all the rest."""
    said = host.run("systemctl is-active kubelet.service || systemctl start kubelet.service", timeout=120).stdout
    return said.split() != ["active"]


def _known_again(host: Host, planes: Sequence[Host]) -> None:
    """A node that joined since the state was saved registers anew when its kubelet starts; else it joins anew later."""
    if forming.state(host) != "formed":
        return
    path = f"/api/v1/nodes/{host.name}"
    with host.task("Known to the cluster") as task, forming.connect(host) as api:
        if client.wait(0, lambda: "" if api.find(path) else "no") == "":
            return
        task.changed = True
        if host not in planes:  # those have just started
            host.run("systemctl restart kubelet.service", timeout=120)
        if client.wait(KNOWN_S, lambda: "" if api.find(path) else "it has not registered"):
            host.say(f"{host.name} does not register by itself, and joins anew")


def _tidy(host: Host, wanted: Asked) -> None:
    with host.task("What was before is kept") as task:
        task.changed = "kept" in host.run(_TIDY.format(id=wanted.id), timeout=180).stdout.split()


_KEEP = f"""set -eu
umask 077
copy={COPY}-{{id}} found=there
if [ ! -e $copy ]; then
    [ -e {{saved}} ] || exit 44
    # Not under its own name: of saved states the oldest goes when another one is saved.
    rm -f {COPY}-*
    ln {{saved}} $copy.new 2>/dev/null || cp {{saved}} $copy.new
    sync $copy.new
    mv -T $copy.new $copy
    sync -f {etcd.SNAPSHOTS}
    found=kept
fi
echo $found $(stat -c %s $copy) $(sha256sum <$copy | cut -d' ' -f1)
"""
_MAKE = f"""set -eu
umask 077
copy={COPY}-{{id}} new={DATA}/.homewright-new
[ "$(cat {MARK} 2>/dev/null)" != {{id}} ] || exit 0
# From then on the new data is whole, and may be in its place already.
[ ! -e {BEFORE}-{{id}} ] || exit 0
mkdir -p -m 700 {DATA}
size=$(stat -c %s $copy) free=$(($(stat -f -c '%a * %S' {DATA})))
[ $free -gt $((size * 2 + 67108864)) ] || {{{{
    echo "{DATA} has $((free >> 20)) MiB left, and etcd's new data may need $(((size * 2 >> 20) + 64))" >&2; exit 1
}}}}
image=$(sed -n 's/^ *image: *//p' {forming.MEMBER} | head -n 1)
root=/run/homewright/etcd-image ctr="{etcd.CTR}"
unmount() {{{{
    $ctr images unmount --rm $root >/dev/null 2>&1 || true
    rmdir $root 2>/dev/null || true
}}}}
mkdir -p -m 700 /run/homewright
unmount
mkdir -p $root
trap unmount EXIT
$ctr images mount "$image" $root >/dev/null
rm -rf $new
# Of the very version that is to read it: the program in its own image.
$root/usr/local/bin/etcdutl snapshot restore $copy --data-dir $new --name {{name}} --initial-cluster {{cluster}} \\
    --initial-advertise-peer-urls {{peer}} --initial-cluster-token {{id}} --bump-revision {BUMP} --mark-compacted
sync -f {DATA}
echo made
"""
_STOP = f"""set -eu
ctr="{etcd.CTR}"
systemctl stop kubelet.service
end=$(($(date +%s) + {STOPPED_S}))
while :; do
    running=$($ctr tasks list | awk '$3 == "RUNNING" {{ print $1 }}') left=
    for filter in {" ".join(shlex.quote(etcd.containers(name)) for name in etcd.CONTROL_PLANE)}; do
        for id in $($ctr containers list -q "$filter"); do
            echo "$running" | grep -qxF "$id" || continue
            left="$left $id"
            $ctr tasks kill -s SIGTERM "$id" 2>/dev/null || true
        done
    done
    [ -n "$left" ] || break
    [ $(date +%s) -lt $end ] || {{ echo "still running:$left" >&2; exit 1; }}
    sleep 0.5
done
"""
_SWAP = f"""set -eu
cd {DATA}
new=.homewright-new before={BEFORE}-{{id}}
if [ ! -e $before ]; then
    if [ -e member ]; then mv -T member $before; else mkdir -m 700 $before; fi
    sync -f .
fi
if [ -e $new/member ]; then
    mv -T $new/member member
    sync -f .
fi
[ -e member ]
rm -rf $new
echo {{id}} >{MARK}.new
sync {MARK}.new
mv -T {MARK}.new {MARK}
sync -f {etcd.SNAPSHOTS}
"""
_TIDY = f"""set -eu
before={BEFORE}-{{id}}
rm -f {COPY}-{{id}}
if [ -e $before ]; then
    rm -rf {BEFORE}
    mv -T $before {BEFORE}
    sync -f {DATA}
    echo kept
fi
"""

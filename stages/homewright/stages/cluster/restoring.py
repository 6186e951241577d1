"""etcd put back to a state that was saved: on every control plane the same, and never half of it.

The new data is made beside the old one while the cluster still runs; then the control planes stop, and on each one
folder takes the place of another. Whatever is cut off is gone on with by doing all of it again: what a control plane
has come to stands in its own files.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from homewright.access.remote import CommandFailed
from homewright.cluster import client, snapshots
from homewright.engine.runners.host import Host, together
from homewright.errors import HomewrightError, Unreachable
from homewright.planning.cluster import ClusterPlan
from homewright.stages.cluster import etcd, forming

GIVEN = snapshots.GIVEN
DATA = "/var/lib/etcd"
COPY = f"{etcd.SNAPSHOTS}/restoring"
"""On each control plane: the saved state that is being put back."""
MARK = f"{etcd.SNAPSHOTS}/restored"
"""On each control plane: the last restore that came to its end there."""
OVER = f"{etcd.SNAPSHOTS}/restore-over"
"""On each control plane: the last restore that came to its end on all of them."""
REVISION = f"{etcd.SNAPSHOTS}/restore-revision"
"""On each control plane: the last restore whose data was made there, and the revision from which that goes on."""
HELD = "/etc/kubernetes/tmp/homewright-etcd.yaml"
"""Where etcd's manifest is while its data is nowhere. What resets a server removes that folder."""
BEFORE = snapshots.BEFORE
"""On each control plane: the data that the last restore took the place of."""
PIECE = 4 << 20
"""Bytes of a saved state that are in our memory at a time."""
BUMP = 1_000_000_000
"""By how much revisions go on above the saved one, and above where the last restore began, where either is further than
the time says. etcd's own documentation names this number for Kubernetes; above the saved one alone it would not do as a
rule: each state that is put back raises them by as much, and one that was saved before that would then bring them down
to where all have been."""
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
    least: int
    """The revision from which etcd goes on: above all that whoever watches has seen, or they would hear nothing."""


def asked(host: Host) -> Asked | None:
    """What this run is to put back; None for every other run."""
    words = host.given.get(GIVEN, "").split()
    if len(words) == 3:  # asked for by a version that raised revisions by BUMP alone
        words.append("0")
    if len(words) != 4:
        return None
    known, server, name, least = words
    return Asked(known, server, name, int(least))


def restore(hosts: Sequence[Host], wanted: Asked) -> None:
    """Have etcd be as it was saved, and the API answer. Raises RestoreError, CommandFailed, Unreachable."""
    plan = forming.plan_of(hosts[0])
    planes = serving(hosts, plan)
    source = next((host for host in planes if host.name == wanted.server), None)
    come_to = {host.name: _come_to(host, wanted) for host in planes}
    left = [host for host in planes if "done" not in come_to[host.name]]
    if left:
        if source is None:
            raise RestoreError(f"{wanted.server} is no control plane of this cluster.", "Nothing was changed.")
        begun = any(come_to.values())
        try:
            _bring_everywhere(source, planes, wanted)
            if not any({"done", "aside"} & found for found in come_to.values()):  # else it is half put back by now
                _save_before(planes[0], wanted)
            above = _above(planes, wanted)
            _all(left, lambda host: _make(host, plan, planes, above))
            _all(planes, lambda host: _stop(host, now=begun))
        except HomewrightError:
            if not begun:
                _as_they_were(planes)
            raise
        _all(left, lambda host: _swap(host, wanted))
    _all(planes, _begin)
    # Else it would be waited for in vain: with certificates that have ended, or by a kubeconfig of before.
    _all(planes, lambda host: forming.revive(host, save=False))
    forming.keep_kubeconfig(planes[0], plan)
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
    _forget_gone(planes[0], plan)
    _all(planes, lambda host: _tidy(host, wanted))
    for host in planes:
        host.write(OVER, wanted.id.encode(), mode=0o600)


def is_over(hosts: Sequence[Host], wanted: Asked) -> bool:
    """Whether this very restore has come to its end, as any of these tells: a retry of some servers goes on after it.

    One that cannot be reached tells nothing. Raises CommandFailed.
    """
    for host in {host.name: host for host in hosts}.values():
        try:
            if (host.read(OVER) or b"").decode().strip() == wanted.id:
                return True
        except Unreachable:
            continue
    return False


def serving(hosts: Sequence[Host], plan: ClusterPlan) -> list[Host]:
    """The control planes, the first of the plan first. Raises RestoreError where one that is planned is none."""
    formed = [host for host in hosts if forming.state(host) == "formed"]
    found = [host for host in formed if host.exists(forming.SERVES)]
    # A worker that is planned as one since another left has no etcd, and stands in nobody's way.
    spare = {host.name for host in formed if not _has_etcd(host)} if found else set()
    lost = [node.name for node in plan.planes if node.name not in {host.name for host in found} | spare]
    if lost:
        raise RestoreError(
            f"{' and '.join(lost)} {'is' if len(lost) == 1 else 'are'} planned as a control plane, and not one now.",
            "What is in etcd is put back on every control plane, or on none. Nothing was changed.",
            [f"take it out of the site first: homewright site remove-server {name}" for name in lost],
        )
    return sorted(found, key=lambda host: host.name != plan.first.name)


def _has_etcd(host: Host) -> bool:
    return any(host.exists(path) for path in (forming.SERVES, forming.MEMBER, f"{DATA}/member"))


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
    host.run(f"umask 077 && mkdir -p {etcd.SNAPSHOTS}")
    # Of a restore that was given up a copy is left here, and every Secret is in it.
    others = f"-name 'restoring-*' ! -name '{path.rpartition('/')[2]}*'"
    host.run(f"umask 077 && find {etcd.SNAPSHOTS} -maxdepth 1 {others} -delete && : >{path}.part")
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


def _come_to(host: Host, wanted: Asked) -> set[str]:
    """How far a control plane is: etcd's manifest `held`, its old data put `aside`, all of it `done`."""
    return set(host.run(_COME_TO.format(id=wanted.id)).stdout.split())


def _save_before(host: Host, wanted: Asked) -> None:
    """What etcd has now is saved as well, where it still answers: even a restore can be taken back.

    Once in a restore: the saved states are few, and each further attempt would push one of them out.
    """
    saved = f"{COPY}-{wanted.id}.saved"
    if host.exists(saved):
        return
    try:
        etcd.snapshot(host)
    except CommandFailed as error:
        host.say(f"what is in etcd now is not saved, because it does not answer: {error.why}")
    else:
        host.write(saved, b"saved\n", mode=0o600)


def _above(planes: Sequence[Host], wanted: Asked) -> Asked:
    """The same, with a revision above all restores before it: when those began, the clock may have been ahead.

    Every attempt of one restore has the same one: where data of it was made already, what that goes on from.
    """
    kept: dict[str, int] = {}
    for host in planes:
        if (said := host.read(REVISION)) is None:
            continue
        if (told := re.fullmatch(rb"(\S+) (\d{1,18})\n", said)) is None:
            raise RestoreError(
                f"From which revision the last restore went on cannot be read on {host.name}.",
                f"{REVISION} is damaged. This attempt has put nothing back.",
                [
                    f"take its place by the one of another control plane, or away: sudo rm {REVISION}",
                    "then: homewright retry",
                ],
            )
        known = told[1].decode(errors="replace")
        kept[known] = max(kept.get(known, 0), int(told[2]))
    least = kept.get(wanted.id) or max([wanted.least, *(one + BUMP for one in kept.values())])
    return replace(wanted, least=least)


def _make(host: Host, plan: ClusterPlan, planes: Sequence[Host], wanted: Asked) -> None:
    known = {node.name: node.address for node in plan.nodes}
    with host.task("etcd's new data") as task:
        said = host.run(
            _MAKE.format(
                id=wanted.id,
                name=host.name,
                cluster=peers([(plane.name, known[plane.name]) for plane in planes]),
                peer=f"https://{known[host.name]}:2380",
                least=wanted.least,
            ),
            timeout=180,
        )
        task.changed = "made" in said.stdout.split()


def _stop(host: Host, *, now: bool) -> None:
    """No API, and no etcd, on any of them before the first is put back."""
    with host.task("Control plane stopped", now=now) as task:
        host.run(_STOP, timeout=STOPPED_S + 60)
        task.changed = True


def _as_they_were(planes: Sequence[Host]) -> None:
    """Nothing was put back: all of them run again, also those that an attempt before this one has stopped."""
    for host in planes:
        try:
            _start(host)
        except HomewrightError as error:
            host.say(f"kubelet is not started again: {error.what}")


def _swap(host: Host, wanted: Asked) -> None:
    with host.task("etcd put back", now=True) as task:
        # One that was switched off and on again since it was stopped runs by now, and is stopped once more.
        host.run(_STOP + _SWAP.format(id=wanted.id), timeout=STOPPED_S + 120)
        task.changed = True


def _begin(host: Host) -> None:
    with host.task("Control plane started", now=True) as task:
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


def _forget_gone(host: Host, plan: ClusterPlan) -> None:
    """A server that left the site since the state was saved is a node in it that will never be ready.

    One that is still leaving has pods to be emptied of first, and is forgotten when that is done.
    """
    known = {node.name for node in plan.nodes} | {one.name for one in host.site.leaving}
    with host.task("No nodes that left the site") as task, forming.connect(host) as api:

        def gone() -> str:
            for node in list(api.list("/api/v1/nodes")):
                name, ours = node["metadata"]["name"], forming.MANAGED in (node["metadata"].get("annotations") or {})
                if ours and name not in known and api.delete(f"/api/v1/nodes/{name}"):
                    host.say(f"{name} has left the site since, and is no node any more")
                    task.changed = True
            return ""

        if held := client.wait(KNOWN_S, gone):
            host.say(f"nodes that have left the site may still be in the cluster: {held}")


def _tidy(host: Host, wanted: Asked) -> None:
    with host.task("What was before is kept") as task:
        task.changed = "kept" in host.run(_TIDY.format(id=wanted.id), timeout=180).stdout.split()


_COME_TO = f"""[ "$(cat {MARK} 2>/dev/null)" != {{id}} ] || echo done
[ ! -e {BEFORE}-{{id}} ] || echo aside
[ ! -e {HELD} ] || echo held
"""
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
manifest={forming.MEMBER}
[ -e $manifest ] || manifest={HELD}
image=$(sed -n 's/^ *image: *//p' $manifest | head -n 1)
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
etcdutl=$root/usr/local/bin/etcdutl
status=$($etcdutl snapshot status $copy -w json)
revision=${{{{status##*'"revision":'}}}}
revision=${{{{revision%%,*}}}}
bump=$(({{least}} - revision))
[ $bump -gt 0 ] || bump={BUMP}
$etcdutl snapshot restore $copy --data-dir $new --name {{name}} --initial-cluster {{cluster}} \\
    --initial-advertise-peer-urls {{peer}} --initial-cluster-token {{id}} --bump-revision $bump --mark-compacted
sync -f {DATA}
echo {{id}} $((revision + bump)) >{REVISION}.new
sync {REVISION}.new
mv -T {REVISION}.new {REVISION}
sync -f {etcd.SNAPSHOTS}
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
_SWAP = f"""
cd {DATA}
new=.homewright-new before={BEFORE}-{{id}} held={HELD}
if [ ! -e $before ]; then
    # A server that is switched on while it has no data has no etcd either: it would begin with nothing, and nodes
    # would end all pods.
    mkdir -p -m 700 {HELD.rpartition("/")[0]}
    [ ! -e {forming.MEMBER} ] || mv -T {forming.MEMBER} $held
    sync -f {HELD.rpartition("/")[0]}
    # Where a restore was given up half way, what there was before is where that one put it.
    last=$(ls -dt {BEFORE}-* 2>/dev/null | head -n 1)
    if [ -e member ]; then mv -T member $before
    elif [ -n "$last" ]; then mv -T $last $before
    else mkdir -m 700 $before; fi
    sync -f .
fi
if [ -e $new/member ]; then
    rm -rf member  # nobody's: what there was is put aside
    mv -T $new/member member
    sync -f .
fi
[ -e member ]
[ ! -e $held ] || {{{{ mv -T $held {forming.MEMBER}; sync -f {forming.MEMBER.rpartition("/")[0]}; }}}}
rm -rf $new
echo {{id}} >{MARK}.new
sync {MARK}.new
mv -T {MARK}.new {MARK}
sync -f {etcd.SNAPSHOTS}
"""
_TIDY = f"""set -eu
before={BEFORE}-{{id}}
rm -f {COPY}-*
if [ -e $before ]; then
    # What restores that were given up have put aside stays as long: it goes with the next restore.
    for other in {BEFORE}-*; do
        [ $other = $before ] || mv -T $other $before/${{{{other##*/}}}}
    done
    rm -rf {BEFORE}
    mv -T $before {BEFORE}
    sync -f {DATA}
    echo kept
fi
"""

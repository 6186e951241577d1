"""`homewright cluster snapshots | save | restore`: saved states of etcd, one more, and the guided way back to one."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.cli import runs
from homewright.cli.output import Output
from homewright.errors import Cancelled, UsageError

if TYPE_CHECKING:
    from homewright.cluster.snapshots import Snapshot, SnapshotsDocument
    from homewright.site.models import Site
    from homewright.site.paths import StateFolder


def add_arguments(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from homewright.cli import global_options

    shared = [global_options(suppress=True)]
    listed = "the states of the cluster that were saved: before changes of its control plane, and once a day"
    actions.add_parser("snapshots", help=listed, description=listed, parents=shared)
    now = "save the state of the cluster as it is now"
    child = actions.add_parser("save", help=now, description=now, parents=shared)
    runs.add_start_arguments(child)
    back = "put the cluster back to a saved state, on every control plane; says first what that costs"
    child = actions.add_parser("restore", help=back, description=back, parents=shared)
    child.add_argument("snapshot", metavar="STATE", nargs="?", help="such as s1/20260131T120000Z.db")
    runs.add_start_arguments(child)


def run(args: argparse.Namespace, output: Output) -> int:
    file, site, state = runs.place(args)
    if args.action == "save":
        return _save(args, output, file, site, state)
    found = look(site, state)
    if args.action == "snapshots":
        now = datetime.now(UTC)
        for line in told(found, now):
            output.line(line)
        output.document(found)
        return 5 if found.silent and not found.snapshots else 0
    return _restore(args, output, file, site, state, found)


def _save(args: argparse.Namespace, output: Output, file: Path, site: Site, state: StateFolder) -> int:
    from homewright.cluster import snapshots

    _require_ours(site)
    question = f"Prove stage {snapshots.STAGE}, and save what is in etcd?"
    if not output.confirm(question, yes=args.yes, otherwise="say yes beforehand: homewright cluster save --yes"):
        raise Cancelled("Nothing was done.")
    return runs.start(
        args, output, "apply", file=file, state=state, only=snapshots.STAGE, given={snapshots.SAVE: "now"}
    )


def _require_ours(site: Site) -> None:
    if site.platform.cluster != "kubeadm":
        raise UsageError(
            "Homewright keeps no saved states of this cluster.",
            "Only of one that it has made by kubeadm.",
            ["what it is: homewright cluster"],
        )


def look(site: Site, state: StateFolder) -> SnapshotsDocument:
    """Every saved state on the site's control planes. Raises UsageError where Homewright did not make the cluster."""
    from homewright.cluster import snapshots
    from homewright.planning.cluster import planned
    from homewright.planning.hosts import endpoint
    from homewright.planning.known import known_facts

    _require_ours(site)
    facts = known_facts(site, state)
    planes = planned(site, facts).planes
    return snapshots.look(site.name, [endpoint(node.name, site, facts, state) for node in planes])


def told(found: SnapshotsDocument, now: datetime) -> list[str]:
    """The saved states in words."""
    from homewright.cluster.snapshots import age

    lines = [
        f"{one.server}/{one.name}  {one.at:%Y-%m-%d %H:%M:%S} UTC  {one.size / 1e6:7.1f} MB  {age(one.at, now)} ago"
        for one in found.snapshots
    ]
    if not lines and not found.silent:
        lines = ["Nothing was saved yet: homewright cluster save"]
    if lines and found.snapshots:
        lines.append(f"Put one back: homewright cluster restore {found.snapshots[0].server}/{found.snapshots[0].name}")
    return [*lines, *(f"! {one.server} could not be asked. {one.why}" for one in found.silent)]


def _restore(
    args: argparse.Namespace, output: Output, file: Path, site: Site, state: StateFolder, found: SnapshotsDocument
) -> int:
    from homewright.cluster import snapshots

    wanted = snapshots.chosen(found, args.snapshot)
    snapshots.require_all(found)
    if not args.jsonl:
        for line in cost(site, state, wanted, datetime.now(UTC)):
            output.line(line)
    named = f"{wanted.server}/{wanted.name}"
    otherwise = f"say yes beforehand: homewright cluster restore {named} --yes"
    if not output.confirm("Put the cluster back to that?", yes=args.yes, otherwise=otherwise):
        raise Cancelled("Nothing was changed.")
    given = snapshots.wish(wanted.server, wanted.name, datetime.now(UTC))
    return runs.start(args, output, "apply", file=file, state=state, only=snapshots.STAGE, given=given)


def cost(site: Site, state: StateFolder, wanted: Snapshot, now: datetime) -> list[str]:
    """What it means to go back to a state, in sentences; the cluster is asked what was made since."""
    from homewright.cluster import client, snapshots
    from homewright.cluster.client import ClusterError
    from homewright.cluster.kubeconfig import KubeconfigError
    from homewright.site.secrets import Secrets

    made: list[snapshots.Newer] | ClusterError
    try:
        with client.Cluster(client.of_site(Secrets(state.secrets))) as api:
            made = snapshots.newer(api, wanted.at)
    except ClusterError as error:
        made = error
    except KubeconfigError as error:
        made = ClusterError(error.what, error.why)
    return list(snapshots.cost(wanted, now, made))

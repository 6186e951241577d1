"""`homewright cluster`: what the site's cluster is, what we may do there, and what it lacks; changes nothing.

`snapshots` and `restore` are in `cluster_restore`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from homewright.cli import cluster_restore, runs
from homewright.cli.output import Output

if TYPE_CHECKING:
    from homewright.cluster.report import ClusterDocument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--context", metavar="NAME", help="another context of the kubeconfig")
    cluster_restore.add_arguments(parser.add_subparsers(dest="action", metavar="ACTION"))


def run(args: argparse.Namespace, output: Output) -> int:
    if args.action is not None:
        return cluster_restore.run(args, output)
    _, site, state = runs.place(args)
    from homewright.cluster import client, looking
    from homewright.site.secrets import Secrets

    config = client.of_site(Secrets(state.secrets), args.context or site.cluster.context)
    with client.Cluster(config) as api:
        found = looking.report(api)
    for line in told(found):
        output.line(line)
    output.document(found.model_dump(mode="json"))
    return 1 if any(lack.grave for lack in found.lacks) else 0


def told(found: ClusterDocument) -> Iterator[str]:
    """The report in words."""
    from homewright.cluster.differences import SORTS

    yield f"Kubernetes {found.kubernetes} ({SORTS[found.sort]}) at {found.server}"
    until = f", until {found.until[:10]}" if found.until else ""
    yield f"  we are {found.user} there, by a {found.signed_in_by}{until} (context {found.context})"
    for node in found.nodes:
        if node.simulated:
            continue
        role = "control plane" if node.control_plane else "worker"
        gpus = f", {node.gpus} GPU{'s' if node.gpus > 1 else ''}" if node.gpus else ""
        yield f"  {node.name}: {'ready' if node.ready else 'not ready'}, {role}, {node.version}{gpus}"
    if played := [node for node in found.nodes if node.simulated]:
        ready = sum(node.ready for node in played)
        names = played[0].name if len(played) == 1 else f"{played[0].name} to {played[-1].name}"
        yield f"  simulated, nothing runs there: {names}, {ready} of {len(played)} ready"
    yield f"  storage: {', '.join(found.storage_classes) or 'none'}" + (
        f" (default {found.default_storage})" if found.default_storage else ""
    )
    yield f"  ways in: {', '.join(found.ingress_classes) or 'none'}" + (", Istio" if found.istio else "")
    yield f"  load balancers: {found.load_balancer or 'none known'}"
    yield from (f"  · {note}" for note in found.notes)
    for lack in found.lacks:
        yield f"{'!' if lack.grave else '-'} {lack.what} {lack.why}"
        yield from (f"    {step}" for step in lack.do)
    if not found.lacks:
        yield "Nothing is missing."

"""`homewright schema NAME`: the JSON schema of a document that `--json` prints, or of the site file."""

from __future__ import annotations

import argparse
import importlib
from typing import TYPE_CHECKING, cast

from homewright.cli.output import Output

if TYPE_CHECKING:
    from pydantic import BaseModel

SCHEMAS: dict[str, str] = {
    "site": "homewright.site.models:Site",
    "lab": "homewright.lab.models:LabStatus",
    "facts": "homewright.discovery.facts:FactsDocument",
    "checks": "homewright.checks.models:Report",
    "plan": "homewright.planning.plan:Plan",
    "plan-network": "homewright.planning.networks:Networks",
    "plan-gpus": "homewright.planning.gpus:GpuDocument",
    "plan-instances": "homewright.planning.instances:InstancePlan",
    "plan-platform": "homewright.planning.platform:PlatformPlan",
    "difference": "homewright.planning.difference:Difference",
    "run": "homewright.engine.documents:RunDocument",
    "resume": "homewright.engine.remains:Remains",
    "receipts": "homewright.engine.receipts_document:ReceiptsDocument",
    "stages": "homewright.catalogue.scaffold:ScaffoldDocument",
    "authority": "homewright.site.trusting:AuthorityDocument",
    "cluster": "homewright.cluster.report:ClusterDocument",
    "cluster-snapshots": "homewright.cluster.snapshots:SnapshotsDocument",
    "workspaces": "homewright.workspaces.models:WorkspacesDocument",
    "workspace": "homewright.workspaces.models:WorkspaceDocument",
    "workspace-sync": "homewright.workspaces.models:SyncDocument",
    "workspace-preview": "homewright.workspaces.models:PreviewDocument",
    "workspace-change": "homewright.workspaces.models:WorkspaceChange",
    "workspace-bulk": "homewright.workspaces.models:BulkDocument",
    "workspace-credentials": "homewright.workspaces.models:CredentialsDocument",
    "workspace-repositories": "homewright.workspaces.models:RepositoriesDocument",
    "workspace-usage": "homewright.workspaces.models:UsageDocument",
    "workspace-given-up": "homewright.workspaces.models:GivenUpDocument",
    "workspace-events": "homewright.workspaces.models:EventsDocument",
    "workspace-templates": "homewright.workspaces.templates:TemplatesDocument",
    "site-export": "homewright.takeover.contents:Contents",
    "support-bundle": "homewright.support.contents:Contents",
    "trust": "homewright.access.report:TrustDocument",
    "mirror": "homewright.mirror.models:MirrorDocument",
}
"""Each document's model, as module:class. Every one has a field `version`, raised where its shape changes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", choices=[*SCHEMAS], metavar="NAME", help=", ".join(SCHEMAS))


def run(args: argparse.Namespace, output: Output) -> int:
    if args.name is None:
        for name in SCHEMAS:
            output.line(name)
        output.document({"version": 1, "schemas": list(SCHEMAS)})
        return 0
    from homewright.site import described

    # A schema is JSON for people and programs alike.
    Output(json=True).document(described.schema(model(args.name), "serialization"))
    return 0


def model(name: str) -> type[BaseModel]:
    """The model of a document; KeyError where there is none of this name."""
    place, _, symbol = SCHEMAS[name].partition(":")
    return cast("type[BaseModel]", getattr(importlib.import_module(place), symbol))

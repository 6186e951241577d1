"""A thousand workspaces made, against `kubectl apply` of the very same objects, in one file and one by one.

The server is real (etcd and API server of the practice cluster's builds) and has no nodes, so no pod is waited for:
ours is everything of `workspace create` until all objects are there, its looks before it writes and the Argon2id hash
of each password included, eight at a time as by command; kubectl waits for nothing either. One by one means a kubectl
for each object, as a script would: of so many workspaces, the rest is reckoned.

Goals: at most a third of the wall time of kubectl, of both.

What bounds them is the server: the same objects once more, by a client that does nothing but send their bodies, each by
server-side apply as ours are, over eight connections that are kept. Processor time of the server and of etcd is said
beside each, which a busy machine changes less than the time by the clock.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from control_plane import ControlPlane, control_plane, environment, programs  # noqa: E402 - the tests' own pieces

from homewright.site.models import Site  # noqa: E402
from homewright.workspaces.backends.kubernetes.api import Api  # noqa: E402
from homewright.workspaces.backends.kubernetes.resources import RESOURCES  # noqa: E402
from homewright.workspaces.backends.kubernetes.words import WORKSPACE  # noqa: E402
from homewright.workspaces.bulk import PARALLEL, Task, each  # noqa: E402
from homewright.workspaces.models import Key, Specification  # noqa: E402
from homewright.workspaces.on_cluster import ClusterWorkspaces  # noqa: E402
from homewright.workspaces.passwords import hashed  # noqa: E402
from homewright.workspaces.templates import shipped  # noqa: E402

COUNT, ONE_BY_ONE, GOAL = 1000, 10, 1 / 3
SPACE = "codeserver-instances"
KINDS = ("ConfigMap", "PersistentVolumeClaim", "Secret", "ServiceAccount", "Service", "NetworkPolicy", "Ingress",
         "StatefulSet")  # fmt: skip
SERVERS_OWN = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "ownerReferences")


def ours(there: ClusterWorkspaces, count: int) -> tuple[float, float]:
    """Wall and processor seconds of making so many."""

    def make(number: int) -> None:
        spec = Specification(key=Key(user=f"user-{number:05}"), template="code-server", preset="standard")
        backend = there.backend_for(spec)
        held, _ = backend.claim(spec)
        backend.converge(held)

    before, began = time.process_time(), time.perf_counter()
    outcomes = each([Task(str(number), partial(make, number)) for number in range(count)])
    wall = time.perf_counter() - began
    assert not [one.error for one in outcomes if one.error is not None], outcomes[:1]
    return wall, time.process_time() - before


def objects(there: ClusterWorkspaces) -> list[dict[str, Any]]:
    """What was made, as somebody would have it in files: without what the server has put in, and without owners, whose
    uids would be others elsewhere."""
    found = []
    for kind in KINDS:
        for one in there.api.list(kind, SPACE, WORKSPACE).items:
            metadata = {name: value for name, value in one["metadata"].items() if name not in SERVERS_OWN}
            rest = {name: value for name, value in one.items() if name != "status"}
            if kind == "Service":
                rest["spec"] = {name: value for name, value in one["spec"].items() if not name.startswith("clusterIP")}
            found.append({**rest, "apiVersion": RESOURCES[kind].version, "metadata": metadata})
    return found


def moved(plane: ControlPlane, manifests: list[dict[str, Any]], namespace: str) -> list[dict[str, Any]]:
    """The same for another namespace, which is made."""
    plane.api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    return [{**one, "metadata": {**one["metadata"], "namespace": namespace}} for one in manifests]


def apply(plane: ControlPlane, folder: Path, manifests: list[dict[str, Any]]) -> None:
    """`kubectl apply` of one file with these, its discovery cached as for anybody who used it before."""
    file = folder / "objects.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}))
    command = [str(plane.kubectl), "--kubeconfig", str(plane.folder / "admin.kubeconfig"), "apply", "-f", str(file)]
    subprocess.run(command, env={**environment(), "HOME": str(folder)}, stdout=subprocess.DEVNULL, check=True)


def bare(plane: ControlPlane, manifests: list[dict[str, Any]]) -> tuple[float, float]:
    """Wall and processor seconds of sending them and reading the answers."""
    host, left, lock = plane.url.removeprefix("https://"), iter(manifests), threading.Lock()
    trusted = ssl.create_default_context(cafile=str(plane.folder / "certs/apiserver.crt"))
    headers = {"Authorization": f"Bearer {plane.token}", "Content-Type": "application/apply-patch+yaml"}

    def send() -> None:
        connection = http.client.HTTPSConnection(host, context=trusted)
        while True:
            with lock:
                one = next(left, None)
            if one is None:
                connection.close()
                return
            path = RESOURCES[one["kind"]].path(one["metadata"]["namespace"], one["metadata"]["name"])
            connection.request("PATCH", f"{path}?fieldManager=bare", json.dumps(one), headers)
            answer = connection.getresponse()
            assert answer.status == HTTPStatus.CREATED, answer.read()
            answer.read()

    before, began = time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(PARALLEL) as pool:
        for sent in [pool.submit(send) for _ in range(PARALLEL)]:
            sent.result()
    return time.perf_counter() - began, time.process_time() - before


def servers(plane: ControlPlane) -> float:
    """Processor seconds that the API server and etcd have taken."""
    told = (Path(f"/proc/{one.pid}/stat").read_text().rpartition(")")[2].split() for one in plane.processes.values())
    return sum(int(one[11]) + int(one[12]) for one in told) / os.sysconf("SC_CLK_TCK")


def timed(act: Callable[[], object]) -> tuple[float, float]:
    """Wall seconds, and processor seconds of what was started."""
    before, began = os.times(), time.perf_counter()
    act()
    wall, after = time.perf_counter() - began, os.times()
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--one-by-one", type=int, default=ONE_BY_ONE, help="workspaces made so by kubectl")
    arguments = parser.parse_args()
    if programs() is None:
        print("the practice cluster's programs are not built here: `homewright lab builds` builds them")
        return 0
    count = arguments.count
    with tempfile.TemporaryDirectory() as home, control_plane(Path(home) / "plane", controllers=False) as plane:
        folder = Path(home)
        site = Site.model_validate({"name": "bench", "zone": "bench.internal"})
        there = ClusterWorkspaces(site, Api(plane.kubeconfig), shipped(), "bench", hashed)
        there._prepare(there.templates["code-server"], lambda _: None)

        def told(what: str, act: Callable[[], tuple[float, float]], share: float = 1.0) -> float:
            """Says what an act took, of which this is a share of the whole; the wall seconds of the whole."""
            before = servers(plane)
            wall, cpu = act()
            own, its = cpu * share, (servers(plane) - before) * share
            said = f"{wall * share:7.1f} s wall {own:7.1f} s processor {its:7.1f} s the server's"
            ratio = f" ratio {first / wall / share:5.2f}" if first else ""
            print(f"{what:19} {said}{ratio}", flush=True)
            return wall * share

        first = 0.0
        first = told(f"{count} creates", lambda: ours(there, count))
        every = objects(there)
        print(f"{'':19} {len(every) / count:.0f} objects each; goal of both ratios to kubectl {GOAL:.2f}", flush=True)
        in_one = moved(plane, every, "in-one-file")
        told("kubectl, one file", lambda: timed(lambda: apply(plane, folder, in_one)))
        sent = moved(plane, every, "bodies-alone")
        told("the bodies alone", lambda: bare(plane, sent))
        some = {f"user-{number:05}" for number in range(arguments.one_by_one)}
        single = [one for one in every if one["metadata"]["labels"][WORKSPACE] in some]
        single = moved(plane, single, "one-by-one")
        share = len(every) / len(single)
        told("kubectl, one by one", lambda: timed(lambda: [apply(plane, folder, [one]) for one in single]), share)
        print(f"{'':19} reckoned from {len(single)} of {len(every)} objects")
        there.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

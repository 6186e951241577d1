"""Workspaces in numbers: 5,000 of them from the key to the first frame, against `kubectl get pods` of the same server.

The server is real (etcd and API server of the practice cluster's builds), its objects were made by its API; nothing
runs on it. Ours is the whole program in a pty, from the key that opens the manager to a frame with workspaces, and to
one with every state; kubectl is the whole process. Then 10,000 rows of the manager's table: processor time of a key.

Goals: first frame at most as long as kubectl, at most 200 MiB, at most 50 ms a key.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from control_plane import ControlPlane, control_plane, environment, programs  # noqa: E402 - the tests' own pieces

from homewright.cluster.client import Cluster  # noqa: E402
from homewright.cluster.kubeconfig import SECRET  # noqa: E402
from homewright.site.secrets import Secrets  # noqa: E402
from homewright.workspaces.backends.kubernetes import intent as intents  # noqa: E402
from homewright.workspaces.backends.kubernetes import manifests, namespace  # noqa: E402
from homewright.workspaces.models import Key, Specification  # noqa: E402
from homewright.workspaces.template_models import PodTemplate  # noqa: E402
from homewright.workspaces.templates import shipped  # noqa: E402

COUNT, ROWS = 5000, 10_000
GOAL_MIB, GOAL_MS = 200, 50
LIMIT_S = 120.0


def populate(plane: ControlPlane, count: int) -> None:
    """So many workspaces as a cluster holds them: record, claim, workload, and a pod that runs."""
    template = shipped()["code-server"]
    assert isinstance(template, PodTemplate)
    api = plane.api
    api.create("/api/v1/namespaces", namespace.objects(template, namespace.Walls())[0])

    def make(number: int) -> None:
        spec = Specification(key=Key(user=f"user-{number:05}"), template=template.name, preset="standard")
        intent = intents.new(spec, template, time.time(), "bench").model_copy(update={"complete": True})
        record = _made(api, "/api/v1", "configmaps", manifests.record(template, intent))
        uid = record["metadata"]["uid"]
        for claim in manifests.claims(template, intent, manifests.Surroundings()):
            _made(api, "/api/v1", "persistentvolumeclaims", claim)
        workload = manifests.parts(template, intent, uid, manifests.Surroundings())[-1]
        made = _made(api, "/apis/apps/v1", "statefulsets", workload)
        pod = {"apiVersion": "v1", "kind": "Pod", **workload["spec"]["template"]}
        owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": made["metadata"]["name"],
                 "uid": made["metadata"]["uid"], "controller": True}  # fmt: skip
        pod["metadata"] = {**pod["metadata"], "name": f"{made['metadata']['name']}-0",
                           "namespace": template.namespace, "ownerReferences": [owner]}  # fmt: skip
        pod["spec"] = {**pod["spec"], "nodeName": f"n{number % 50}"}
        _made(api, "/api/v1", "pods", pod)
        api.merge(
            f"/api/v1/namespaces/{template.namespace}/pods/{pod['metadata']['name']}/status", {"status": running()}
        )

    with ThreadPoolExecutor(max_workers=6) as pool:
        list(pool.map(make, range(count)))


def _made(api: Cluster, base: str, plural: str, manifest: dict[str, Any]) -> dict[str, Any]:
    return api.create(f"{base}/namespaces/{manifest['metadata']['namespace']}/{plural}", manifest)


def running() -> dict[str, Any]:
    """The status of a pod that runs, with all that a kubelet says."""
    at = "2026-01-02T12:04:00Z"
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": at, "lastProbeTime": None}
        for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    ]
    container = {
        "name": "workspace", "image": "codercom/code-server:4", "imageID": "sha256:" + "0" * 64,
        "containerID": "containerd://" + "0" * 64, "ready": True, "started": True, "restartCount": 0,
        "state": {"running": {"startedAt": at}}, "lastState": {},
    }  # fmt: skip
    return {
        "phase": "Running", "podIP": "10.1.0.7", "podIPs": [{"ip": "10.1.0.7"}], "hostIP": "10.0.0.1",
        "startTime": at, "qosClass": "Burstable", "conditions": conditions, "containerStatuses": [container],
    }  # fmt: skip


def kubectl(plane: ControlPlane) -> tuple[float, float]:
    """Wall and processor seconds of `kubectl get pods`."""
    command = [str(plane.kubectl), "--kubeconfig", str(plane.folder / "admin.kubeconfig"), "-n", "codeserver-instances"]
    before, began = os.times(), time.perf_counter()
    done = subprocess.run([*command, "get", "pods"], env=environment(), capture_output=True, check=True)
    wall, after = time.perf_counter() - began, os.times()
    assert done.stdout.count(b"Running") == COUNT, done.stdout[-300:]
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu


def manager(site: Path, first: bytes, whole: bytes) -> tuple[float, float, float, int]:
    """From the key that opens the manager: seconds to a frame with workspaces, to one with all states; its processor
    seconds until then, and the most memory held (bytes)."""
    pid, terminal = pty.fork()
    if pid == 0:
        own = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", "TEXTUAL_ANIMATIONS": "none"}
        home = site.parent
        own |= {f"XDG_{name}_HOME": f"{home}/{name}" for name in ("CONFIG", "STATE", "CACHE")}
        program = str(Path(sys.executable).parent / "homewright")
        os.execvpe(program, [program, "--site", str(site), "--state", str(home / "state")], own)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    try:
        _until(terminal, b"workspaces")
        before, began = _cpu(pid), time.perf_counter()
        os.write(terminal, b"w")
        _until(terminal, first)
        painted = time.perf_counter() - began
        _until(terminal, whole)
        return painted, time.perf_counter() - began, _cpu(pid) - before, _memory(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def _until(terminal: int, wanted: bytes) -> None:
    seen, limit = b"", time.perf_counter() + LIMIT_S
    while wanted not in seen:
        if time.perf_counter() > limit:
            raise SystemExit(f"never saw {wanted!r}: {seen[-3000:]!r}")
        if select.select([terminal], [], [], 0.5)[0]:
            seen += os.read(terminal, 1 << 16)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def keys(rows: int) -> dict[str, float]:
    """Milliseconds of processor time of a key in a table of so many rows, each the median of several."""
    from textual.app import App, ComposeResult

    from homewright.screens.widgets.table import Column, Row, Table

    class Shown(App[None]):
        def compose(self) -> ComposeResult:
            columns = [Column("user", 13), Column("name", 8), Column("state"), Column("node", 6)]
            every = (Row(str(n), (f"user-{n:05}", "default", ("✓ running", "ok"), f"n{n % 50}")) for n in range(rows))
            yield Table(columns, every)

    async def run() -> dict[str, float]:
        app, found = Shown(), {}
        async with app.run_test(size=(120, 40)) as pilot:
            table = app.query_one(Table)
            table.focus()

            async def cost(act: Callable[[], Any], times: int) -> float:
                spent = []
                for _ in range(times):
                    await pilot.pause()
                    began = time.process_time()
                    await act()
                    await pilot.pause()
                    spent.append(time.process_time() - began)
                return statistics.median(spent) * 1000

            async def sift() -> None:
                table.set_needle("" if table.needle else "user-001")

            found["down"] = await cost(lambda: pilot.press("down"), 20)
            found["page down"] = await cost(lambda: pilot.press("pagedown"), 20)
            found["end, home"] = await cost(lambda: pilot.press("end", "home"), 10) / 2
            await sift()
            found["filter"] = await cost(sift, 10)
        return found

    return asyncio.run(run())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    for name, value in keys(ROWS).items():
        print(f"{ROWS} rows, {name:10} {value:6.1f} ms of processor time a key   goal {GOAL_MS}")
    if programs() is None:
        print("the practice cluster's programs are not built here: `homewright lab builds` builds them")
        return 0
    with tempfile.TemporaryDirectory() as home, control_plane(Path(home) / "plane", controllers=False) as plane:
        began = time.perf_counter()
        populate(plane, COUNT)
        print(f"{COUNT} workspaces made by the API in {time.perf_counter() - began:.0f} s", flush=True)
        site = Path(home) / "site.yaml"
        site.write_text("version: 1\nname: bench\n")
        secrets = Path(home) / "state" / "secrets"
        secrets.mkdir(parents=True, mode=0o700)
        (Path(home) / "state").chmod(0o700)
        from homewright.site.paths import StateFolder

        state = StateFolder(Path(home) / "state", site).create()
        Secrets(state.secrets).set(SECRET, json.dumps(plane.document))
        theirs, ours = [], []
        for _ in range(runs):
            theirs.append(kubectl(plane))
            ours.append(manager(site, b"user-00001", f"{COUNT} running".encode()))
        wall, cpu = (statistics.median(one[column] for one in theirs) for column in (0, 1))
        first, whole, own, held = (statistics.median(one[column] for one in ours) for column in range(4))
        print(f"kubectl get pods      {wall:6.2f} s wall {cpu:6.2f} s processor")
        print(f"first frame           {first:6.2f} s wall                  ratio {first / wall:5.2f}  goal 1.00")
        print(f"every state shown     {whole:6.2f} s wall {own:6.2f} s processor ratio {whole / wall:5.2f}")
        print(f"memory                {held / (1 << 20):6.1f} MiB goal {GOAL_MIB}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

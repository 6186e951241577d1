"""Workspaces in numbers: 5,000 of them from the key to the first frame, against `kubectl get pods` of the same server.

The server is real (etcd and API server of the practice cluster's builds). The workspaces' records, claims and
workloads were made by its API; their pods by the real controllers, placed by the real scheduler on simulated nodes, and
called running by the real kwok, since no container runs. Volumes are made beforehand, and bound by the real controller.
Then controllers, scheduler and kwok are ended, so that nobody but who is measured takes the processors.

Ours is the whole program in a pty, from the key that opens the manager to a frame with workspaces, and to one with
every state; kubectl is the whole process. Then a storm of changes of pods, 500 a second for 20 seconds, and how long a
key takes to open a box meanwhile; the changes are written by the API. Before that, 10,000 rows of the manager's table:
processor time of a key.

Goals: first frame at most as long as kubectl, at most 200 MiB, at most 50 ms a key, 100 ms in the storm.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import json
import multiprocessing
import os
import pty
import random
import select
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from control_plane import ControlPlane, control_plane, environment, programs  # noqa: E402 - the tests' own pieces
from kubelet_stand_in import running  # noqa: E402

from homewright.cluster.client import Cluster, wait  # noqa: E402
from homewright.cluster.kubeconfig import SECRET, read  # noqa: E402
from homewright.cluster.simulated import MARK  # noqa: E402
from homewright.lab import go, kwok, node_objects, services, simulated_nodes  # noqa: E402
from homewright.lab.programs import named  # noqa: E402
from homewright.site.paths import StateFolder  # noqa: E402
from homewright.site.secrets import Secrets  # noqa: E402
from homewright.workspaces.backends.kubernetes import intent as intents  # noqa: E402
from homewright.workspaces.backends.kubernetes import manifests, namespace  # noqa: E402
from homewright.workspaces.models import Key, Specification  # noqa: E402
from homewright.workspaces.template_models import PodTemplate  # noqa: E402
from homewright.workspaces.templates import folder_of, parse  # noqa: E402

COUNT, ROWS = 5000, 10_000
GOAL_MIB, GOAL_MS = 200, 50
RATE, STORM_S, STORM_MS = 500.0, 20.0, 100
LIMIT_S = 120.0
SETTLED_S = 900.0
"""How long the cluster may take until every workspace is called running."""
CLASS = "beforehand"
"""The storage class of volumes that are there."""


def populate(plane: ControlPlane, count: int) -> None:
    """So many workspaces as a cluster holds them: record, claim with its volume, workload, and a pod that runs."""
    template = tolerant()
    api, around = plane.api, manifests.Surroundings(storage_class=CLASS)
    api.create("/api/v1/namespaces", namespace.objects(template, namespace.Walls())[0])
    kind = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": CLASS}}
    api.create("/apis/storage.k8s.io/v1/storageclasses", {**kind, "provisioner": "kubernetes.io/no-provisioner"})

    def make(number: int) -> None:
        spec = Specification(key=Key(user=f"user-{number:05}"), template=template.name, preset="standard")
        intent = intents.new(spec, template, time.time(), "bench").model_copy(update={"complete": True})
        record = _made(api, "/api/v1", "configmaps", manifests.record(template, intent))
        for claim in manifests.claims(template, intent, around):
            api.create("/api/v1/persistentvolumes", _volume(claim))
            _made(api, "/api/v1", "persistentvolumeclaims", claim)
        parts = {one["kind"]: one for one in manifests.parts(template, intent, record["metadata"]["uid"], around)}
        _made(api, "/api/v1", "serviceaccounts", parts["ServiceAccount"])
        _made(api, "/apis/apps/v1", "statefulsets", parts["StatefulSet"])

    with ThreadPoolExecutor(max_workers=6) as pool:
        list(pool.map(make, range(count)))
    pods = f"/api/v1/namespaces/{template.namespace}/pods"

    def late() -> str:
        if api.get(pods, limit=1, fieldSelector="status.phase!=Running").get("items"):
            return "pods are there that do not run"
        there = sum(1 for _ in api.list(pods))
        return "" if there == count else f"{there} of {count} pods are there"

    if held := wait(SETTLED_S, late):
        raise SystemExit(f"after {SETTLED_S:.0f} s: {held}")


def tolerant() -> PodTemplate:
    """The shipped template, whose workspaces may be on simulated nodes."""
    found = parse(tolerant_text(), "code-server.yaml")
    assert isinstance(found, PodTemplate)
    return found


def tolerant_text() -> str:
    plain = resources.files("homewright.assets") / "templates" / "code-server.yaml"
    return f"{plain.read_text(encoding='utf-8')}\ntolerations: [{{key: {MARK}}}]\n"


def _volume(claim: dict[str, Any]) -> dict[str, Any]:
    """One that is there already for this claim alone."""
    name, space = claim["metadata"]["name"], claim["metadata"]["namespace"]
    return {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {
            "capacity": claim["spec"]["resources"]["requests"], "accessModes": claim["spec"]["accessModes"],
            "storageClassName": CLASS, "hostPath": {"path": f"/nowhere/{name}"},
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": name, "namespace": space},
        },
    }  # fmt: skip


@contextlib.contextmanager
def peopled(home: Path, count: int) -> Iterator[ControlPlane]:
    """A control plane with so many workspaces that run on simulated nodes, and nobody left who would change them."""
    go.ensure([named("kwok")], say=print)
    folder = home / "nodes"
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with control_plane(home / "plane") as plane:
        try:
            nodes = count // int(kwok.PODS) + 2
            simulated_nodes.ensure(folder, address, json.dumps(plane.document), nodes, print)
            node_objects.put(plane.api, nodes, "127.0.0.1", print)
            populate(plane, count)
        finally:
            services.stop(folder)
        for name in ("controllers", "scheduler"):
            plane.stop(name)
        yield plane


def _made(api: Cluster, base: str, plural: str, manifest: dict[str, Any]) -> dict[str, Any]:
    return api.create(f"{base}/namespaces/{manifest['metadata']['namespace']}/{plural}", manifest)


def kubectl(plane: ControlPlane, count: int) -> tuple[float, float]:
    """Wall and processor seconds of `kubectl get pods`."""
    command = [str(plane.kubectl), "--kubeconfig", str(plane.folder / "admin.kubeconfig"), "-n", "codeserver-instances"]
    before, began = os.times(), time.perf_counter()
    done = subprocess.run([*command, "get", "pods"], env=environment(), capture_output=True, check=True)
    wall, after = time.perf_counter() - began, os.times()
    assert done.stdout.count(b"Running") == count, done.stdout[-300:]
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu


class Program:
    """The whole program in a pty, until the end of the block."""

    def __init__(self, site: Path) -> None:
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            own = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", "TEXTUAL_ANIMATIONS": "none"}
            home = site.parent
            own |= {f"XDG_{name}_HOME": f"{home}/{name}" for name in ("CONFIG", "STATE", "CACHE")}
            program = str(Path(sys.executable).parent / "homewright")
            os.execvpe(program, [program, "--site", str(site), "--state", str(home / "state")], own)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.terminal)

    def press(self, key: bytes, wanted: bytes) -> float:
        """Seconds from a key until the terminal got this."""
        self.drain(0.0)
        began = time.perf_counter()
        os.write(self.terminal, key)
        self.until(wanted)
        return time.perf_counter() - began

    def until(self, wanted: bytes) -> None:
        seen, limit = b"", time.perf_counter() + LIMIT_S
        while wanted not in seen:
            if time.perf_counter() > limit:
                raise SystemExit(f"never saw {wanted!r}: {seen[-3000:]!r}")
            if select.select([self.terminal], [], [], 0.5)[0]:
                seen += os.read(self.terminal, 1 << 16)

    def drain(self, seconds: float) -> None:
        """Read what is painted for so long, and what is there already."""
        until = time.perf_counter() + seconds
        while select.select([self.terminal], [], [], max(0.0, until - time.perf_counter()))[0]:
            os.read(self.terminal, 1 << 16)

    @property
    def processor_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory(self) -> int:
        """The most that it has held, bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) * 1024


def opened(site: Path, first: bytes, whole: bytes) -> tuple[float, float, float, int]:
    """From the key that opens the manager: seconds to a frame with workspaces, to one with all states; its processor
    seconds until then, and the most memory held (bytes)."""
    with Program(site) as program:
        program.until(b"workspaces")
        before, began = program.processor_s, time.perf_counter()
        painted = program.press(b"w", first)
        program.until(whole)
        return painted, time.perf_counter() - began, program.processor_s - before, program.memory


class Storm:
    """Changes of pods that are running, made by processes of their own: so many a second, or as many as come."""

    MAKERS = 2

    def __init__(self, plane: ControlPlane, count: int, rate: float) -> None:
        context = multiprocessing.get_context("spawn")
        self.made = context.Value("q", 0)
        self._end = context.Event()
        arguments = (json.dumps(plane.document), count, rate / self.MAKERS, self.made, self._end)
        self._makers = [context.Process(target=_storm, args=(*arguments, seed)) for seed in range(self.MAKERS)]
        for maker in self._makers:
            maker.start()

    def end(self) -> None:
        self._end.set()
        for maker in self._makers:
            maker.join()


def _storm(kubeconfig: str, count: int, rate: float, made: Any, end: Any, seed: int) -> None:
    """Pods become ready and not ready by turns, at random; four at a time."""
    numbers, lock = random.Random(seed), threading.Lock()
    began, sent = time.perf_counter(), 0

    def change() -> None:
        nonlocal sent
        with Cluster(read(kubeconfig)) as cluster:
            while not end.is_set():
                with lock:
                    sent += 1
                    due, number, ready = began + sent / rate, numbers.randrange(count), sent % 2 == 0
                time.sleep(max(0.0, due - time.perf_counter()))
                told = running()["containerStatuses"]
                told[0]["ready"] = ready
                path = f"/api/v1/namespaces/codeserver-instances/pods/code-server-user-{number:05}-0/status"
                cluster.merge(path, {"status": {"containerStatuses": told}})
                with made.get_lock():
                    made.value += 1

    threads = [threading.Thread(target=change) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def answers(plane: ControlPlane, site: Path, count: int, seconds: float, whole: bytes) -> dict[str, float]:
    """While pods change: milliseconds until a box that a key opens is on the terminal, and what that costs."""
    with Program(site) as program:
        program.until(b"workspaces")
        program.press(b"w", whole)
        calm = [_box(program) for _ in range(10)]
        storm = Storm(plane, count, RATE)
        while storm.made.value == 0:
            program.drain(0.1)
        before, first, began = program.processor_s, storm.made.value, time.perf_counter()
        stormy = []
        while time.perf_counter() - began < seconds:
            stormy.append(_box(program))
        took = time.perf_counter() - began
        found = {
            "changes a second": (storm.made.value - first) / took,
            "cores": (program.processor_s - before) / took,
            "memory": float(program.memory),
        }
        storm.end()
        for name, every in (("calm", calm), ("storm", stormy)):
            found |= {name: statistics.median(every) * 1000, f"{name}, 95 of 100": _most(every) * 1000}
        return found | {"worst": max(stormy) * 1000, "keys": len(stormy)}


def _box(program: Program) -> float:
    took = program.press(b"/", b"Shows the rows with this text")
    os.write(program.terminal, b"\x1b")
    program.drain(0.4)  # the escape key is told from a sequence by what does not follow
    return took


def _most(every: list[float]) -> float:
    return sorted(every)[int(len(every) * 0.95)]


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
    parser.add_argument("--count", type=int, default=COUNT, help="workspaces")
    parser.add_argument("--storm", type=float, default=STORM_S, metavar="SECONDS")
    arguments = parser.parse_args()
    runs, count = arguments.runs, arguments.count
    for name, value in keys(ROWS).items():
        print(f"{ROWS} rows, {name:10} {value:6.1f} ms of processor time a key   goal {GOAL_MS}")
    if programs() is None:
        print("the practice cluster's programs are not built here: `homewright lab builds` builds them")
        return 0
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as home, peopled(Path(home), count) as plane:
        print(f"{count} workspaces run on simulated nodes after {time.perf_counter() - began:.0f} s", flush=True)
        site = site_of(plane, Path(home))
        whole = f"{count} running".encode()
        theirs, ours = [], []
        for _ in range(runs):
            theirs.append(kubectl(plane, count))
            ours.append(opened(site, b"user-00001", whole))
        wall, cpu = (statistics.median(one[column] for one in theirs) for column in (0, 1))
        first, every, own, held = (statistics.median(one[column] for one in ours) for column in range(4))
        print(f"kubectl get pods      {wall:6.2f} s wall {cpu:6.2f} s processor")
        print(f"first frame           {first:6.2f} s wall                  ratio {first / wall:5.2f}  goal 1.00")
        print(f"every state shown     {every:6.2f} s wall {own:6.2f} s processor ratio {every / wall:5.2f}")
        print(f"memory                {held / (1 << 20):6.1f} MiB goal {GOAL_MIB}", flush=True)
        if arguments.storm:
            found = answers(plane, site, count, arguments.storm, whole)
            print(
                f"storm                 {found['changes a second']:6.0f} changes a second, for {arguments.storm:.0f} s"
            )
            for name in ("calm", "storm"):
                print(f"a key in {name:12} {found[name]:6.0f} ms, 95 of 100 {found[f'{name}, 95 of 100']:.0f}")
            print(f"the latest key        {found['worst']:6.0f} ms of {found['keys']:.0f} keys goal {STORM_MS}")
            print(f"processor             {found['cores']:6.2f} cores, {found['memory'] / (1 << 20):.1f} MiB")
    return 0


def site_of(plane: ControlPlane, home: Path) -> Path:
    """A site whose cluster this is."""
    site, state = home / "site.yaml", home / "state"
    site.write_text("version: 1\nname: bench\n")
    state.mkdir(mode=0o700)
    folder_of(site).mkdir()
    (folder_of(site) / "code-server.yaml").write_text(tolerant_text())
    Secrets(StateFolder(state, site).create().secrets).set(SECRET, json.dumps(plane.document))
    return site


if __name__ == "__main__":
    raise SystemExit(main())

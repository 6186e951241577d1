"""A real control plane without nodes: etcd, API server, controllers and scheduler of the practice cluster's own builds.

It has what a stand-in cannot have: admission by quotas, the scheduler's own words, versions that are forgotten. Nodes
are objects only, so nothing ever runs on them; a pod runs where a test says that it does, or where kwok does.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from homewright.cluster.client import Cluster, ClusterError
from homewright.cluster.kubeconfig import Kubeconfig, read

LIMIT_S = 180.0
PODS = "10.244.0.0/16"
"""Where pods of nodes get their addresses from."""


def programs() -> tuple[Path, Path]:
    """etcd and the one program that holds all of Kubernetes; built where they are not there yet."""
    from homewright.lab import go
    from homewright.lab.programs import named

    etcd, kube = named("etcd"), named("kubernetes")
    go.ensure((etcd, kube), say=print)
    return go.program(etcd, "etcd"), go.program(kube, "kube")


@dataclass
class ControlPlane:
    """One that runs. `api` is its administrator's way in."""

    folder: Path
    url: str
    token: str
    kubectl: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    commands: dict[str, list[str]] = field(default_factory=dict)

    @property
    def document(self) -> dict[str, Any]:
        """Its kubeconfig."""
        ca = base64.b64encode((self.folder / "certs/apiserver.crt").read_bytes()).decode()
        cluster = {"name": "c", "cluster": {"server": self.url, "certificate-authority-data": ca}}
        user = {"name": "u", "user": {"token": self.token}}
        context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
        return {
            "apiVersion": "v1", "kind": "Config",
            "clusters": [cluster], "users": [user], "contexts": [context], "current-context": "x",
        }  # fmt: skip

    def kubeconfig(self) -> Kubeconfig:
        return read(json.dumps(self.document))

    @property
    def api(self) -> Cluster:
        return Cluster(self.kubeconfig())

    def start(self, name: str) -> None:
        """Start one of its programs (again). The kernel ends it with the thread that calls, however that one ends."""
        log = (self.folder / f"{name}.log").open("ab")
        command = ["setpriv", "--pdeathsig", "KILL", *self.commands[name]]
        self.processes[name] = subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder
        )
        log.close()

    def stop(self, name: str) -> None:
        """End one of its programs, as a power cut would."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def wait(self) -> None:
        """Until its API answers."""
        limit = time.monotonic() + LIMIT_S
        while True:
            with contextlib.suppress(ClusterError, OSError):
                if self.api.text("/readyz") == "ok":
                    return
            if time.monotonic() > limit:
                raise TimeoutError((self.folder / "apiserver.log").read_text()[-2000:])
            time.sleep(0.5)

    def node(self, name: str, cpu: str = "4", memory: str = "8Gi", **spec: Any) -> None:
        """A node that is ready and has nothing on it."""
        api = self.api
        api.create("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec})
        has = {"cpu": cpu, "memory": memory, "pods": "110", "ephemeral-storage": "100Gi"}
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready"}
        api.merge(
            f"/api/v1/nodes/{name}/status",
            {"status": {"capacity": has, "allocatable": has, "conditions": [ready]}},
        )
        taints = spec.get("taints") or []
        api.merge(f"/api/v1/nodes/{name}", {"spec": {"taints": taints}})  # those of a node that is not ready go


@contextmanager
def control_plane(folder: Path, *, controllers: bool = True, of_nodes: bool = False) -> Iterator[ControlPlane]:
    """One in a folder, on ports of the loopback, until the end of the block.

    With `of_nodes` also the controllers that give nodes their networks and look whether they are alive.
    """
    etcd, kube = programs()
    folder.mkdir(parents=True, exist_ok=True)
    names = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
    for name in names:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(kube)
    client, peer, api = (_free() for _ in range(3))
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (folder / "sa.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    # Nobody takes the taint of a new node away, or makes the accounts, without the controllers that do.
    idle = [*([] if of_nodes else ["TaintNodesByCondition"]), *([] if controllers else ["ServiceAccount"])]
    plane = ControlPlane(folder, f"https://127.0.0.1:{api}", token, folder / "kubectl")
    plane.commands = {
        "etcd": [
            str(etcd), "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync",
            "--listen-client-urls", f"http://127.0.0.1:{client}",
            "--advertise-client-urls", f"http://127.0.0.1:{client}",
            "--listen-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-cluster", f"default=http://127.0.0.1:{peer}",
        ],
        "apiserver": [
            str(folder / "kube-apiserver"), "--etcd-servers", f"http://127.0.0.1:{client}",
            "--bind-address", "127.0.0.1", "--secure-port", str(api), "--cert-dir", str(folder / "certs"),
            "--token-auth-file", str(folder / "tokens.csv"), "--authorization-mode", "RBAC",
            "--service-account-issuer", "https://kubernetes.default.svc", "--service-cluster-ip-range", "10.96.0.0/16",
            "--service-account-key-file", str(folder / "sa.key"), "--service-account-signing-key-file",
            str(folder / "sa.key"), *(["--disable-admission-plugins", ",".join(idle)] if idle else []),
        ],
    }  # fmt: skip
    config = folder / "admin.kubeconfig"
    if controllers:
        shared = ["--kubeconfig", str(config), "--leader-elect=false", "--secure-port", "0", "--kube-api-qps", "200",
                  "--kube-api-burst", "400"]  # fmt: skip
        without = ["node-lifecycle-controller", "node-ipam-controller", "taint-eviction-controller"]
        plane.commands["controllers"] = [
            str(folder / "kube-controller-manager"), *shared, "--controllers",
            ",".join(["*", *([] if of_nodes else [f"-{one}" for one in without])]),
            *(["--allocate-node-cidrs", "--cluster-cidr", PODS] if of_nodes else []),
        ]  # fmt: skip
        plane.commands["scheduler"] = [str(folder / "kube-scheduler"), *shared]
    try:
        plane.start("etcd")
        plane.start("apiserver")
        limit = time.monotonic() + LIMIT_S
        while not (folder / "certs/apiserver.crt").is_file():
            assert time.monotonic() < limit, (folder / "apiserver.log").read_text()[-2000:]
            time.sleep(0.2)
        config.write_text(json.dumps(plane.document))
        config.chmod(0o600)
        plane.wait()
        for name in ("controllers", "scheduler") if controllers else ():
            plane.start(name)
        yield plane
    finally:
        for name in reversed([*plane.processes]):
            plane.stop(name)


def _free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def environment() -> dict[str, str]:
    """What kubectl needs of ours, and nothing else."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}

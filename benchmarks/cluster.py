"""Stage 40/core/cluster on three practice servers against a shell script with the same kubeadm commands, in pairs.

Both begin with servers that stages 00 and 10 have made, and end with three nodes that are ready and carry flannel; both
fetch the same programs and images from the same mirror, and write the same files. The script is `cluster.sh`: it works
on all nodes side by side, with one connection to each, proves nothing and records nothing. Packages are downloaded
before. Goal: at most 1.15 of the script's time. Afterwards everything is carried out, and `homewright verify` is
measured: of this stage alone against 5 s, and of all.

The servers and their mirror are a lab of the benchmark's own, with what it is made of built first where that was not
done yet (25 minutes, once). It is taken down in the end, also where this is told to end; what a killed one has left is
taken down by the next.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]

from practice_lab import Lab, own_lab, ran  # noqa: E402 - the tests' own lab; they are no package

from homewright.access import openssh  # noqa: E402 - after the path
from homewright.access.endpoint import Endpoint  # noqa: E402 - as above
from homewright.engine import lock  # noqa: E402 - as above
from homewright.engine.events import Kind  # noqa: E402 - as above
from homewright.engine.journal import Reader  # noqa: E402 - as above
from homewright.planning.cluster import ClusterPlan, planned  # noqa: E402 - as above
from homewright.planning.known import known_facts  # noqa: E402 - as above
from homewright.site import files, mirrored, mirrors  # noqa: E402 - as above
from homewright.site.mirrored import Architecture  # noqa: E402 - as above
from homewright.site.models import Site  # noqa: E402 - as above
from homewright.stages.cluster import documents, network, nodes  # noqa: E402 - as above

STAGE = "40/core/cluster"
BEFORE = ("00", "10")
GOAL = 1.15
VERIFY_S = 5.0
PAIRS = 3
ROUNDS = 3
ENOUGH_S = 1500
"""No further pair is begun after that long, on a machine that others use."""
LIMIT_S = 900
"""Of one command."""
BUILDS_S = 7200
END_S = 30
"""How long an engine may take to its safe point."""
TOKEN = "abcdef.0123456789abcdef"
"""kubeadm's own example: the script's cluster lasts a minute."""
LAB_UP = """
import sys

from homewright import lab
from homewright.errors import HomewrightError

try:
    lab.up(3, cluster=True, say=lambda text: print(text, flush=True), agree=lambda question: True)
except HomewrightError as error:
    sys.exit(error.as_text())
"""
"""What `lab up --cluster` does before its stages."""


class Script:
    """`cluster.sh` and what it works with, laid out in a folder."""

    def __init__(self, folder: Path, site: Site, plan: ClusterPlan, lab: Lab) -> None:
        self.folder = folder
        self.names = [node.name for node in plan.nodes]
        masters = {"ControlMaster": "auto", "ControlPath": str(folder / "%n"), "ControlPersist": "120"}
        hosts = [openssh.config_text(Endpoint.of(server, lab.state)) for server in site.servers]
        lines = "".join(f"  {name} {value}\n" for name, value in masters.items())
        self._put("ssh_config", "".join(f"{host}{lines}" for host in hosts))
        self._put("prepare.sh", _prepare(site))
        (folder / "files.tar").write_bytes(_tar(_files(site)))
        self._put("init.json", documents.initial(site, plan, TOKEN))
        for node in plan.nodes[1:]:
            self._put(f"join-{node.name}.json", documents.joining(site, plan, node, TOKEN, "@HASH@"))
        items = list(network.objects(site, plan).values())
        self._put("flannel.json", json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        labels = {node.name: [f"{name}={value}" for name, value in node.labels.items()] for node in plan.nodes}
        self._put("labels", "".join(f"{name} {shlex.join(words)}\n" for name, words in labels.items()))

    def _put(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)

    def carry_out(self) -> dict[str, float]:
        """The whole of it; seconds of each of its parts. Raises RuntimeError where it fails."""
        words = ["sh", str(ROOT / "benchmarks" / "cluster.sh"), str(self.folder), *self.names]
        told = _ran(words, "the script").splitlines()
        times = [(float(line.split()[1]), " ".join(line.split()[2:])) for line in told if line.startswith("part ")]
        return {name: end - begin for (begin, name), (end, _) in pairwise(times)}

    def everywhere(self, text: str) -> None:
        """A script by root on all nodes side by side."""

        def on(name: str) -> None:
            words = ["ssh", "-F", str(self.folder / "ssh_config"), name, "sudo", "-n", "sh", "-s"]
            _ran(words, f"on {name}", stdin=text)

        with ThreadPoolExecutor() as pool:
            list(pool.map(on, self.names))

    def hang_up(self) -> None:
        """End the connections that the script has kept."""
        for name in self.names:
            words = ["ssh", "-F", str(self.folder / "ssh_config"), "-O", "exit", name]
            subprocess.run(words, capture_output=True, timeout=LIMIT_S)


def _files(site: Site) -> dict[str, tuple[str, int]]:
    """What our stage writes on each of these servers: texts and modes by path."""
    return nodes.files(cast(Any, SimpleNamespace(site=site, through=None)))


def _tar(found: dict[str, tuple[str, int]]) -> bytes:
    """An archive of these files, as root's."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for path, (text, mode) in found.items():
            info = tarfile.TarInfo(path.lstrip("/"))
            info.size, info.mode = len(text.encode()), mode
            archive.addfile(info, io.BytesIO(text.encode()))
    return made.getvalue()


def _packages(site: Site) -> str:
    return shlex.join((*mirrored.DEBIAN_PACKAGES, site.cluster.runtime.package))


def _prepare(site: Site) -> str:
    """What the script runs on each node: packages, programs with their checksums looked at, containerd.

    kubeadm, kubelet and kubectl are one file where a lab has built them, which both fetch once.
    """
    known = cast("Architecture", {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine])
    fetched = {
        name: mirrors.program(site.mirror, name, version, known)
        for name, version in (("kubeadm", site.cluster.version), ("containerd", mirrored.CONTAINERD))
    }
    lines = [
        "set -eu",
        "export DEBIAN_FRONTEND=noninteractive",
        f"apt-get -qq -y --no-install-recommends install {_packages(site)} >/dev/null",
        f"mkdir -p {nodes.PROGRAMS}",
        f"cd {nodes.PROGRAMS}",
    ]
    for name, fetch in fetched.items():
        lines += [
            f"curl -fsSL -o {name} {shlex.quote(fetch.url)}",
            f"echo \"$(curl -fsSL {shlex.quote(fetch.checksum)} | cut -d' ' -f1)  {name}\" | sha256sum -c --quiet",
        ]
    lines += [
        "tar -xzf containerd",
        "chmod 755 kubeadm",
        *(f"ln -sfT {nodes.PROGRAMS}/kubeadm {nodes.BIN}/{name}" for name in documents.LINKS),
        "systemctl daemon-reload",
        f"systemctl enable -q {nodes.CONTAINERD_UNIT} {nodes.KUBELET_UNIT}",
        f"systemctl start {nodes.CONTAINERD_UNIT}",
    ]
    return "\n".join(lines) + "\n"


def _note(site: Site) -> str:
    """Before the script: packages downloaded, and what was there noted."""
    return f"""set -eu
apt-get -qq update
apt-get -qq -y --no-install-recommends --download-only install {_packages(site)} >/dev/null
dpkg-query -W -f '${{Package}}\\n' | sort >/run/bench.packages
"""


def _away(site: Site) -> str:
    """After the script: the servers as they were."""
    own = shlex.join((*_files(site), *(f"{nodes.BIN}/{name}" for name in documents.LINKS), *nodes.OWN))
    folders = shlex.join((*nodes.FOLDERS, "/run/kubeadm.json", "/etc/systemd/logind.conf.d/99-kubelet.conf"))
    return f"""
systemctl stop {nodes.KUBELET_UNIT}
kubeadm reset --force --cri-socket {documents.SOCKET} >/dev/null 2>&1
systemctl disable -q --now {nodes.CONTAINERD_UNIT} {nodes.KUBELET_UNIT}
pkill -f '^{nodes.PROGRAMS}/bin/containerd-shim-runc-v2 '
awk '{{ print $2 }}' /proc/mounts | grep -E '^({documents.STORE}|{documents.RUNTIME}|/var/lib/kubelet)/' | sort -r |
    xargs -r -n1 umount -l
rm -rf --one-file-system {own} {folders}
for one in cni0 flannel.1; do ip link delete "$one"; done 2>/dev/null
for one in $(ip netns list | awk '/^cni-/ {{ print $1 }}'); do ip netns delete "$one"; done
for table in 'ip kube-proxy' 'ip6 kube-proxy' 'ip flannel-ipv4' 'ip6 flannel-ipv6'; do
    nft delete table $table
done 2>/dev/null
for tool in iptables ip6tables; do
    $tool-save | grep -vE 'KUBE-|CNI-|FLANNEL' | $tool-restore
done 2>/dev/null
systemctl daemon-reload
systemctl reload systemd-logind.service
set -e
export DEBIAN_FRONTEND=noninteractive
dpkg-query -W -f '${{Package}}\\n' | sort | comm -13 /run/bench.packages - | xargs -r apt-get -qq -y purge >/dev/null
rm /run/bench.packages
"""


def _ran(words: Sequence[str], what: str, stdin: str = "") -> str:
    """What a command printed. Raises RuntimeError with its end where it fails, TimeoutExpired."""
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode:
        raise RuntimeError(f"{what} failed: {done.stdout[-1500:]}{done.stderr[-1500:]}")
    return done.stdout


@dataclass(frozen=True)
class Part:
    """One part of our stage, or of the script."""

    name: str
    seconds: float


def parts(lab: Lab, whole: float) -> Iterator[Part]:
    """The steps of the last run, the longest way through each of them, and what is around them."""
    reader = Reader(lab.state)
    run = reader.run()
    events = reader.since_start(run.id, (Kind.STEP_STARTED, Kind.TASK_STARTED, Kind.TASK_FINISHED, Kind.STEP_FINISHED))
    inside = 0.0
    for began in (event for event in events if event.kind == Kind.STEP_STARTED):
        own = [event for event in events if event.step == began.step]
        ended = next(event for event in own if event.kind == Kind.STEP_FINISHED)
        yield Part(f"{began.step}", ended.ts - began.ts)
        inside += ended.ts - began.ts
        tasks = [event for event in own if event.kind in (Kind.TASK_STARTED, Kind.TASK_FINISHED)]
        yield Part("  before its tasks", tasks[0].ts - began.ts)
        for name in dict.fromkeys(event.text for event in tasks):
            times = [event.ts for event in tasks if event.text == name]
            yield Part(f"  {name}", max(times) - min(times))
        yield Part("  its proof", ended.ts - tasks[-1].ts)
    yield Part("the command, its plan, the engine", whole - inside)


def show(what: str, whole: float, found: Sequence[Part]) -> None:
    """One round with the share of each part."""
    print(f"{what}: {whole:.1f} s, at a load of {os.getloadavg()[0]:.1f} after it")
    for part in found:
        print(f"    {part.name:36} {part.seconds:6.1f} s  {part.seconds / whole:4.0%}")
    sys.stdout.flush()


def seconds(work: Callable[[], object]) -> float:
    """How long it took."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def by_homewright(lab: Lab) -> float:
    """Seconds of our stage; taken back afterwards."""
    took = seconds(lambda: ran(lab.run("apply", "--only", STAGE, "--yes", "--plain")))
    show(f"homewright apply --only {STAGE}", took, list(parts(lab, took)))
    ran(lab.run("rollback", STAGE, "--yes", "--plain"))
    return took


def by_script(script: Script, site: Site) -> float:
    """Seconds of the script; the servers are as before afterwards."""
    script.everywhere(_note(site))
    took, found = 0.0, dict[str, float]()

    def work() -> None:
        nonlocal found
        found = script.carry_out()

    try:
        took = seconds(work)
    finally:
        script.everywhere(_away(site))
    show("the script", took, [Part(name, value) for name, value in found.items()])
    return took


def verified(lab: Lab, *words: str) -> float:
    """The median of some looks in seconds, each printed."""
    taken = []
    for _ in range(ROUNDS):
        load = os.getloadavg()[0]
        taken.append(seconds(lambda: ran(lab.run("verify", "--plain", *words))))
        print(f"    {shlex.join(('verify', *words))}: {taken[-1]:.1f} s, at a load of {load:.1f} before it", flush=True)
    return statistics.median(taken)


def pairs(lab: Lab, folder: Path) -> tuple[list[float], list[float]]:
    """Seconds of ours and of the script, each pair in the other order than the one before."""
    site = files.load(lab.site_file)
    script = Script(folder, site, planned(site, known_facts(site, lab.state)), lab)
    ours: list[float] = []
    plain: list[float] = []
    began = time.monotonic()
    try:
        script.everywhere(_note(site))
        while len(ours) < PAIRS and time.monotonic() - began < ENOUGH_S:
            turns = [lambda: ours.append(by_homewright(lab)), lambda: plain.append(by_script(script, site))]
            for turn in turns if len(ours) % 2 == 0 else reversed(turns):
                turn()
    finally:
        script.hang_up()
    return ours, plain


def end_run(lab: Lab) -> None:
    """End an engine that is still at work; its servers are thrown away with whatever it was doing."""
    told, since = signal.SIGTERM, time.monotonic()
    while (holder := lock.holder(lab.state)) is not None:
        with suppress(ProcessLookupError):
            os.kill(holder.pid, told)
        time.sleep(1)
        if time.monotonic() - since > END_S:
            told = signal.SIGKILL


def measure(lab: Lab, folder: Path) -> None:
    """Everything, on servers that are there."""
    ran(lab.run("trust", "--all", "--practice"))
    for stage in BEFORE:
        ran(lab.run("apply", "--only", stage, "--yes", "--plain", timeout=LIMIT_S))
    ours, plain = pairs(lab, folder)
    took = seconds(lambda: ran(lab.run("apply", "--yes", "--plain", timeout=LIMIT_S)))
    print(f"homewright apply, everything: {took:.1f} s", flush=True)
    stage, every = verified(lab, "--only", STAGE), verified(lab)
    ratio = statistics.median(ours) / statistics.median(plain)
    singles = ", ".join(f"{one / other:.2f}" for one, other in zip(ours, plain, strict=True))
    print(f"stage {STAGE}: {statistics.median(ours):.1f} s (medians of {len(ours)} pairs)")
    print(f"the script: {statistics.median(plain):.1f} s; ratios of the pairs {singles}")
    print(f"ratio {ratio:.2f}, goal {GOAL}: {'met' if ratio <= GOAL else 'missed'}")
    print(f"verify of this stage: {stage:.1f} s, limit {VERIFY_S:g} s: {'met' if stage <= VERIFY_S else 'missed'}")
    print(f"verify of everything: {every:.1f} s")


def main() -> int:
    """Prints seconds, shares and the ratio."""
    # Whoever ends this ends it in order: what is around the lab takes it down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="homewright-bench-") as folder, own_lab("bench-cluster") as lab:
        try:
            print("building what the practice cluster is made of, where that was not done yet", flush=True)
            words = [sys.executable, "-c", LAB_UP]
            subprocess.run(words, env=lab.environment, stdin=subprocess.DEVNULL, check=True, timeout=BUILDS_S)
            measure(lab, Path(folder))
        finally:
            # From here on everything is taken down, and whoever is impatient has been heard.
            for one in (signal.SIGINT, signal.SIGTERM):
                signal.signal(one, signal.SIG_IGN)
            end_run(lab)
    print(f"the whole benchmark took {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

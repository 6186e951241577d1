"""Facts of 50 endpoints: `homewright discover` against Ansible's setup module, on the same endpoints in one run.

The endpoints are sshds on addresses of their own on three practice servers. All of it runs on this machine, so that
the wall time holds the servers' work too, and whatever else runs here; processor time is that of the programs alone,
and what the servers spent is told beside it. Ansible gets as many forks as we ask hosts at once (its default is 5).
Goals: an eighth of its wall time, a quarter of its processor time. Also: what it takes to parse 50 recorded hosts, and
how long the probe runs on one server.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from playbook import practice_servers

from homewright.access import known_hosts, openssh
from homewright.access.connection import Connection, Endpoint
from homewright.discovery.bundle import RawBundle, load
from homewright.discovery.gathering import AT_ONCE
from homewright.discovery.parsing import parse
from homewright.discovery.probe import probe
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder

ENDPOINTS = 50
ROUNDS = 2
PORT = 2222
FIRST_ADDRESS = 150
"""The last number of the first endpoint's address; the lab gives its servers lower ones."""
WALL_GOAL, CPU_GOAL = 1 / 8, 1 / 4
MACHINES = Path(__file__).resolve().parent.parent / "assets" / "homewright" / "assets" / "machines"


def addresses(site: Site) -> list[tuple[Server, str]]:
    """Fifty addresses beside those of the servers, each with the server that takes it."""
    network = ipaddress.ip_network(f"{site.servers[0].address}/24", strict=False)
    return [
        (site.servers[number % len(site.servers)], str(network[FIRST_ADDRESS + number])) for number in range(ENDPOINTS)
    ]


@contextlib.contextmanager
def endpoints(site: Site, state: StateFolder, folder: Path) -> Iterator[tuple[Site, StateFolder]]:
    """A site of fifty servers, which are sshds on the practice servers; all of them are gone afterwards."""
    own = StateFolder.of("bench", folder / "state").create()
    shutil.copy(state.key, own.key)
    shutil.copy(f"{state.key}.pub", f"{own.key}.pub")
    taken = addresses(site)
    with contextlib.ExitStack() as stack:
        for server in site.servers:
            mine = [address for owner, address in taken if owner == server]
            connection = stack.enter_context(Connection.open(Endpoint.of(server, state)))
            stack.callback(connection.run, _ended(mine), sudo=True, check=False)
            connection.run(_started(mine), sudo=True)
            keys = known_hosts.lookup(state.known_hosts, server.address, server.port)
            for address in mine:
                known_hosts.record(own.known_hosts, address, PORT, keys)
        servers = tuple(
            Server(name=f"e{number:02}", address=address, port=PORT, user=owner.user)
            for number, (owner, address) in enumerate(taken)
        )
        yield Site(name="bench", servers=servers), own


def _started(mine: list[str]) -> str:
    return "\n".join(
        f"ip addr add {address}/32 dev eth0 && "
        f"/usr/sbin/sshd -o ListenAddress={address}:{PORT} -o PidFile=/run/homewright-bench-{address}.pid"
        for address in mine
    )


def _ended(mine: list[str]) -> str:
    return "\n".join(
        f"kill $(cat /run/homewright-bench-{address}.pid); ip addr del {address}/32 dev eth0" for address in mine
    )


def ours(site: Site, state: StateFolder, folder: Path) -> Callable[[], None]:
    """The command as a user runs it, its start included."""
    file = folder / "site.yaml"
    rows = "".join(
        f"  - {{name: {one.name}, address: {one.address}, port: {one.port}, user: {one.user}}}\n"
        for one in site.servers
    )
    file.write_text(f"version: 1\nname: {site.name}\nservers:\n{rows}")
    program = str(Path(sys.executable).parent / "homewright")
    words = [program, "--site", str(file), "--state", str(state.root), "discover", "--json"]

    def run() -> None:
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    return run


def setup(site: Site, state: StateFolder, folder: Path) -> Callable[[], None]:
    """`ansible -m setup`, with its own settings but for the key and the host keys."""
    lines = []
    for server in site.servers:
        common = shlex.quote(openssh.ansible_ssh_common_args(Endpoint.of(server, state)))
        lines.append(
            f"{server.name} ansible_host={server.address} ansible_port={server.port} ansible_user={server.user} "
            f"ansible_ssh_common_args={common} ansible_python_interpreter=/usr/bin/python3"
        )
    inventory = folder / "hosts.ini"
    inventory.write_text("[servers]\n" + "\n".join(lines) + "\n")
    control = folder / "cp"
    control.mkdir()
    settings = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    settings["ANSIBLE_SSH_CONTROL_PATH_DIR"] = str(control)
    command = [str(Path(sys.executable).parent / "ansible"), "servers", "-i", str(inventory), "-m", "setup"]
    command += ["--forks", str(AT_ONCE)]

    def run() -> None:
        subprocess.run(command, env=settings, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        for master in control.iterdir():
            subprocess.run(["ssh", "-O", "exit", "-o", f"ControlPath={master}", "x"], capture_output=True)

    return run


def measured(run: Callable[[], None], servers: Sequence[Connection]) -> tuple[float, float, float]:
    """Wall seconds, and processor seconds of child processes and of the servers."""
    there, before, began = _spent(servers), _children(), time.monotonic()
    run()
    return time.monotonic() - began, _children() - before, _spent(servers) - there


def _spent(servers: Sequence[Connection]) -> float:
    """Processor seconds of these servers until now, as their control groups count them."""
    texts = (server.run(["cat", "/sys/fs/cgroup/cpu.stat"]).stdout for server in servers)
    return sum(int(text.split()[1]) for text in texts) / 1e6


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def recorded_hosts() -> list[RawBundle]:
    """Fifty of the machines that come with the program, over again."""
    folders = [folder for folder in sorted(MACHINES.iterdir()) if any(folder.glob("*.json"))]
    bundles = [bundle for folder in folders for bundle in load(folder)]
    return [bundles[number % len(bundles)] for number in range(ENDPOINTS)]


def main() -> int:
    """Measures in pairs and prints medians and ratios."""
    hosts = recorded_hosts()
    began = time.process_time()
    for bundle in hosts:
        parse(bundle)
    parsing = time.process_time() - began
    with (
        tempfile.TemporaryDirectory(prefix="homewright-bench-") as name,
        practice_servers(Path(name)) as practice,
        endpoints(practice.site, practice.state, Path(name)) as (site, state),
    ):
        folder = Path(name)
        runs = {"setup": setup(site, state, folder), "discover": ours(site, state, folder)}
        figures: dict[str, list[tuple[float, float, float]]] = {name: [] for name in runs}
        with contextlib.ExitStack() as stack:
            servers = [
                stack.enter_context(Connection.open(Endpoint.of(server, practice.state)))
                for server in practice.site.servers
            ]
            for _ in range(ROUNDS):
                for name, run in runs.items():
                    figures[name].append(measured(run, servers))
            probes = [_seconds(servers[0]) for _ in range(5)]
    wall, cpu, there = (
        {name: statistics.median(figure[place] for figure in rounds) for name, rounds in figures.items()}
        for place in range(3)
    )
    print(f"facts of {ENDPOINTS} endpoints on {len(practice.site.servers)} servers, medians of {ROUNDS} pairs")
    for name, title in (("setup", f"ansible -m setup, {AT_ONCE} forks"), ("discover", "homewright discover")):
        print(f"{title}: {wall[name]:.1f} s, {cpu[name]:.1f} s of processor time, {there[name]:.1f} s on the servers")
    for what, values, goal in (("wall time", wall, WALL_GOAL), ("processor time", cpu, CPU_GOAL)):
        ratio = values["discover"] / values["setup"]
        print(f"ratio of {what}: {ratio:.3f}, goal {goal:.3f}: {'met' if ratio <= goal else 'missed'}")
    every = {name: cpu[name] + there[name] for name in cpu}
    print(f"ratio of all processor time, the servers' too: {every['discover'] / every['setup']:.3f}")
    print(f"the probe on one server: {statistics.median(probes):.2f} s (median of 5)")
    print(f"facts of {ENDPOINTS} recorded hosts: {parsing:.2f} s of processor time")
    return 0


def _seconds(connection: Connection) -> float:
    began = time.monotonic()
    probe(connection)
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())

"""Stage 20 on three practice servers against a shell script with `lxd init --preseed` and `lxc launch`, in one run.

Both end with a cluster of three and an instance on each that answers on port 22; the packages are fetched before. Ours
also proves each step from here, and gives the instances their account; goal: at most 1.15 of the script's time.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "benchmarks"))

from driving import Practice  # noqa: E402 - the tests drive runners as the engine does; they are no package
from playbook import practice_site  # noqa: E402 - as above

from homewright.access import openssh  # noqa: E402 - as above
from homewright.access.endpoint import Endpoint  # noqa: E402 - as above

GOAL = 1.15
COMMAND = [sys.executable, "-c", "import sys; from homewright.cli import main; sys.exit(main())"]

APT = "DEBIAN_FRONTEND=noninteractive apt-get -qq -y"
FETCH = f"apt-get -qq update; {APT} --no-install-recommends --download-only install lxd >/dev/null"
INSTALL = f"""
{APT} --no-install-recommends install lxd >/dev/null
echo root:100000:1000000 >/etc/subuid; echo root:100000:1000000 >/etc/subgid
systemctl restart lxd; lxd waitready --timeout=60
"""
LAUNCH = """
lxc launch node n-{name} --target {name} -c security.nesting=true -q
until lxc exec n-{name} -- bash -c '</dev/tcp/127.0.0.1/22' 2>/dev/null; do sleep 0.2; done
"""
AWAY = f"""
lxc delete -f n-{{name}} >/dev/null 2>&1
systemctl stop lxd.service lxd.socket
{APT} purge lxd lxd-client >/dev/null
{APT} autoremove --purge >/dev/null
grep -o '/var/lib/lxd/[^ ]*' /proc/mounts | xargs -r -n1 umount -l
rm -rf /var/lib/lxd
"""


def first(name: str, address: str) -> str:
    """The preseed of the first server; JSON is YAML."""
    devices = {
        "root": {"path": "/", "pool": "default", "type": "disk"},
        "eth0": {"name": "eth0", "nictype": "bridged", "parent": "br0", "type": "nic"},
    }
    document = {
        "config": {"core.https_address": f"{address}:8443"},
        "storage_pools": [{"name": "default", "driver": "dir"}],
        "profiles": [{"name": "default", "devices": devices}],
        "cluster": {"server_name": name, "enabled": True},
    }
    return json.dumps(document)


def join(name: str, address: str, token: str) -> str:
    """The preseed of another one."""
    cluster = {"enabled": True, "server_name": name, "server_address": f"{address}:8443", "cluster_token": token}
    return json.dumps({"cluster": cluster})


class Script:
    """The shell script's parts, each over one ssh as root on a practice server."""

    def __init__(self, practice: Practice) -> None:
        self.practice = practice
        self.names = practice.names

    def on(self, name: str, script: str, stdin: bytes = b"") -> str:
        """Standard output; raises RuntimeError where it fails."""
        words = shlex.join(["sudo", "sh", "-c", script.replace("{name}", name)])
        command = openssh.command(Endpoint.of(self.practice.site.server(name), self.practice.state), words)
        done = subprocess.run(command, input=stdin, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr.decode()[-500:]}")
        return done.stdout.decode()

    def everywhere(self, script: str) -> None:
        """On all servers side by side."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda name: self.on(name, script), self.names))

    def carry_out(self, image: Path) -> None:
        """The whole of it."""
        self.everywhere(INSTALL)
        one, *others = self.names
        address = {server.name: server.address for server in self.practice.site.servers}
        self.on(one, "lxd init --preseed", first(one, address[one]).encode())
        for name in others:
            token = self.on(one, f"lxc cluster add {name} -q | tail -n 1").strip()
            self.on(name, "lxd init --preseed", join(name, address[name], token).encode())
        self.on(one, "cat >/tmp/node.squashfs", image.read_bytes())
        self.on(one, "cat >/tmp/node.tar", image.with_suffix(".tar").read_bytes())
        self.on(one, "lxc image import -q /tmp/node.tar /tmp/node.squashfs --alias node; rm /tmp/node.*")
        self.everywhere(LAUNCH)


def homewright(site: Path, state: Path, *words: str) -> None:
    """The real command; raises RuntimeError with its end where it fails."""
    command = [*COMMAND, "--site", str(site), "--state", str(state), *words]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stdout[-1500:]}{done.stderr[-500:]}")


def timed(what: str, work: Callable[[], None]) -> float:
    """Seconds of one call, printed."""
    began = time.monotonic()
    work()
    took = time.monotonic() - began
    print(f"{what:32} {took:6.1f} s", flush=True)
    return took


def main() -> int:
    """One round of each. Prints seconds and the ratio."""
    with tempfile.TemporaryDirectory(prefix="homewright-bench-") as folder, practice_site() as (site, state):
        practice = Practice.of(site, state, Path(folder))
        image = practice.site.mirror.instances
        if image is None:
            raise RuntimeError("the practice site names no image")
        script = Script(practice)
        script.everywhere(FETCH)
        homewright(site, state, "apply", "--only", "10", "--yes", "--plain")
        apply = ("apply", "--only", "20", "--yes", "--plain")
        ours = timed("homewright apply --only 20", lambda: homewright(site, state, *apply))
        homewright(site, state, "rollback", "20", "--yes", "--plain")
        plain = timed("lxd init --preseed, lxc launch", lambda: script.carry_out(Path(image)))
        script.everywhere(AWAY)
        homewright(site, state, "rollback", "10", "--yes", "--plain")
        ratio = ours / plain
        print(f"ratio {ratio:.2f} (goal: at most {GOAL}) {'ok' if ratio <= GOAL else 'MISSED'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

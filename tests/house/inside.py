"""Homewright installed on a practice server as an ordinary user has it, with a site of practice servers, itself too."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pexpect
import wheelhouse
from practice_lab import as_root

if TYPE_CHECKING:
    from practice_lab import Lab

ROOT = Path(__file__).parents[2]
PLACE = "/opt/homewright-inside"
SCRIPT = f"#!{PLACE}/bin/python\nimport sys\nfrom homewright.cli import main\nsys.exit(main())\n"
LIMIT_S = 180


def install(lab: Lab, server: str, wheel: Path, uv: str) -> None:
    """The wheel with what it needs, from the packages that the tests keep."""
    version = wheelhouse.PRACTICE_PYTHON
    kept = wheelhouse.for_our_wheel_there(wheel, ROOT / "uv.lock")
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        command = [uv, "pip", "install", "--quiet", "--offline", "--no-index", "--find-links", str(kept)]
        command += ["--target", folder, "--python-version", version, str(wheel)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(folder, ".")
    place = f"{PLACE}/lib/python{version}/site-packages"
    lab.on(server, f"python3 -m venv --without-pip {PLACE}")
    lab.on(server, f"tar -x -C {place} --no-same-owner && chmod -R a+rX {PLACE}", packed.getvalue())
    lab.on(server, f"cat >{PLACE}/bin/homewright; chmod 755 {PLACE}/bin/homewright", SCRIPT.encode())


def ended(status: Mapping[str, Any]) -> bool:
    """Whether nobody works on the run any more, and nobody will by himself."""
    return status["state"] not in ("pending", "running", "interrupted")


@dataclass(frozen=True)
class Inside:
    """The command on one server, as its owner there, without any login: neither PAM nor a session is in the way."""

    lab: Lab
    server: str
    user: str

    @property
    def home(self) -> str:
        return f"/home/{self.user}"

    @property
    def state(self) -> str:
        """A name that a unit's file has to quote."""
        return f"{self.home}/state, 100% of it"

    def words(self, *words: str) -> str:
        """A command line for a shell on the server."""
        site = [] if words[:1] == ("lab",) else ["--site", f"{self.home}/site.yaml", "--state", self.state]
        command = [f"{PLACE}/bin/homewright", *site, *words]
        who = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--init-groups"]
        given = [f"HOME={self.home}", "PATH=/usr/bin:/bin:/usr/sbin"]
        given.append("HOMEWRIGHT_AT_BOOT=yes")  # its disk is perhaps in our memory, and outlives its power cuts
        return shlex.join([*who, "env", "-i", *given, *command])

    def run(self, *words: str, stdin: bytes = b"") -> str:
        """What it prints; raises where it fails."""
        return self.lab.on(self.server, f"cd / && {self.words(*words)}", stdin)

    def on_a_terminal(self, *words: str) -> pexpect.spawn:
        """The same where a person sits."""
        command = as_root(["env", f"LXD_SOCKET={self.lab.socket()}", "lxc", "exec", "-t", self.server, "--"])
        return pexpect.spawn(
            command[0], [*command[1:], "sh", "-c", self.words(*words)], encoding="utf-8", timeout=LIMIT_S
        )

    def put(self, folder: str, files: Mapping[str, str]) -> None:
        """Files in a folder of the owner's."""
        self.lab.on(self.server, f"mkdir -p {shlex.quote(folder)}")
        for name, text in files.items():
            self.lab.on(self.server, f"cat >{shlex.quote(f'{folder}/{name}')}", text.encode())
        self.lab.on(self.server, f"chown -R {self.user}: {shlex.quote(folder)}")

    def begin(self, servers: Iterable[str]) -> None:
        """A user who may use sudo, and their site of these servers, after first contact with all of them."""
        make = f"id {self.user} >/dev/null 2>&1 || useradd --create-home --shell /bin/bash {self.user}"
        allow = f"echo '{self.user} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{self.user}"
        self.lab.on(self.server, f"{make}; {allow}")
        known = {one["name"]: one for one in json.loads(self.lab.run("site", "show", "--json").stdout)["servers"]}
        chosen = [known[name] for name in servers]
        named = [word for one in chosen for word in ("--server", f"{one['name']}=lab@{one['address']}")]
        self.run("site", "new", "inner", *named)
        self.run("site", "set", "profile", "lab")
        for one in chosen:
            words = ("trust", one["name"], "--fingerprint", one["host_key"], "--password-stdin")
            self.run(*words, stdin=f"{self.lab.password}\n".encode())

    def end(self) -> None:
        """Nothing of it is left."""
        self.lab.on(
            self.server,
            f"pkill -9 -u {self.user}; systemctl stop 'homewright-resume-*' ; "
            "rm -f /etc/systemd/system/homewright-resume-* /etc/systemd/system/*/homewright-resume-*; "
            f"systemctl daemon-reload; userdel -rf {self.user}; rm -f /etc/sudoers.d/{self.user}; true",
        )

    def status(self) -> dict[str, Any]:
        """What `status --json` prints; empty while the server is on its way up."""
        try:
            found: dict[str, Any] = json.loads(self.run("status", "--json"))
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired, ValueError):
            return {}
        return found

    def lines(self) -> list[tuple[str, str]]:
        """Host and text of all that the latest run has said so far."""
        script = (
            "import json, sqlite3, sys; "
            "rows = sqlite3.connect(sys.argv[1]).execute('SELECT host, text FROM events ORDER BY seq'); "
            "print(json.dumps(rows.fetchall()))"
        )
        file = f"{self.state}/runs/{self.status().get('id', '')}/events.db"
        said = self.lab.on(self.server, f"{shlex.join(['python3', '-c', script, file])} || true")
        return [(host, text) for host, text in json.loads(said or "[]")]

    def without_unit(self) -> None:
        """Nothing is left of what goes on at boot, and nobody's login has kept the run alive."""
        logins = "loginctl list-sessions --no-legend; ls /var/lib/systemd/linger 2>/dev/null || true"
        assert self.lab.on(self.server, logins) == "", "somebody's login kept it alive"
        look = (
            "find /etc/systemd/system -name '*homewright-resume*'; "
            "systemctl --plain --no-legend list-units 'homewright-*'"
        )
        limit = time.monotonic() + 60
        while left := self.lab.on(self.server, look).strip():
            assert time.monotonic() < limit, f"left of the unit: {left}"
            time.sleep(0.5)

    def until(self, holds: Callable[[dict[str, Any]], object], what: str, limit_s: float = LIMIT_S) -> dict[str, Any]:
        """The first status of which this holds."""
        limit = time.monotonic() + limit_s
        while time.monotonic() < limit:
            status = self.status()
            if status and holds(status):
                return status
            time.sleep(0.5)
        log = self.lab.on(self.server, "journalctl -b --no-pager -n 40 -u 'homewright-*' || true")
        raise AssertionError(f"{what}: not within {limit_s:g} s: {status}\n{log}")

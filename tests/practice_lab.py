"""A lab of the tests' own: real practice servers in state and configuration folders that nobody else uses."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import recorded_exec

from homewright.access.connection import Connection, Endpoint
from homewright.engine.runners.guard import FENCE_FILE
from homewright.errors import HomewrightError
from homewright.site import files
from homewright.site.models import Server
from homewright.site.paths import StateFolder

SLOTS = 8
"""Test runs that may go on at the same time on one machine."""

TOLD_S = 30
"""How long each server may take to tell how it is."""

MAKES_OWN = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEFILES", "PYTHONWARNINGS", "YES")
MAKE_TRY = ["make", "--silent", "-C", str(Path(__file__).parents[1]), "try"]

_HOW_IT_IS = """\
uptime
ip -br address; ip route; ip neigh; ls /etc/netplan /var/lib/homewright/revert /var/lib/homewright/br0
networkctl --no-pager --no-legend list
systemctl --no-pager --no-legend list-units --failed
systemctl --no-pager --no-legend list-jobs
cat /var/lib/homewright/revert/said /var/lib/homewright/revert/reverted.json
journalctl --no-pager -o short-monotonic -n 40 -u systemd-networkd -u homewright-revert -u ssh -u sshd
"""

COMMAND = [sys.executable, "-c", "import sys; from homewright.cli import main; sys.exit(main())"]


def as_root(words: list[str]) -> list[str]:
    """The command line for root: the tests of the lab need it, as the lab does."""
    return words if os.geteuid() == 0 else ["sudo", "-n", *words]


@dataclass(frozen=True)
class Lab:
    """Practice servers, and the real command working on them."""

    folder: Path

    @cached_property
    def environment(self) -> dict[str, str]:
        """State and configuration of its own; the user's cache, because image and archive take minutes."""
        left = ("HOMEWRIGHT_", "PYTHONDONTWRITEBYTECODE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(left)}
        return {
            **kept, "XDG_STATE_HOME": str(self.state_home), "XDG_CONFIG_HOME": str(self.config_home),
            "PYTHONWARNINGS": "default", "HOMEWRIGHT_AT_BOOT": "no",
        }  # fmt: skip

    @property
    def command(self) -> list[str]:
        """What starts Homewright here."""
        return COMMAND

    @property
    def state_home(self) -> Path:
        return self.folder / "state"

    @property
    def config_home(self) -> Path:
        return self.folder / "config"

    @property
    def folders(self) -> tuple[Path, ...]:
        """Everything that the product writes for this lab, but the cache."""
        return (self.state_home, self.config_home)

    @property
    def lab_folder(self) -> Path:
        return self.state_home / "homewright" / "lab"

    @property
    def site_file(self) -> Path:
        return self.config_home / "homewright" / "practice" / "site.yaml"

    @property
    def state(self) -> StateFolder:
        """The practice site's state folder."""
        return StateFolder(self.state_home / "homewright" / "sites" / "practice")

    @property
    def state_args(self) -> list[str]:
        return ["--state", str(self.state.root)]

    def record(self) -> dict[str, object]:
        """What the lab wrote down."""
        document: dict[str, object] = json.loads((self.lab_folder / "lab.json").read_bytes())
        return document

    @property
    def password(self) -> str:
        return str(self.record()["password"])

    @property
    def servers(self) -> list[str]:
        """The servers' names."""
        found = self.record()["servers"]
        assert isinstance(found, list)
        return [server["name"] for server in found]

    def run(
        self, verb: str, *arguments: str, timeout: float = 900, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The real command on the practice site."""
        site = [] if verb == "lab" else ["--site", str(self.site_file), *self.state_args]
        return subprocess.run(
            [*self.command, *site, verb, *arguments],
            env={**self.environment, **(environment or {})},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    @property
    def make_environment(self) -> dict[str, str]:
        """For `make` in this checkout as a person calls it, whatever make runs these tests."""
        return {name: value for name, value in self.environment.items() if name not in MAKES_OWN}

    def socket(self) -> str:
        """The private daemon's socket, as root reaches it."""
        text = subprocess.run(
            as_root(["cat", str(self.lab_folder / "daemon" / "daemon.json")]), capture_output=True, check=True
        ).stdout
        document = json.loads(text)
        return f"/proc/{document['pid']}/root{document['lxd_dir']}/unix.socket"

    def lxc(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        """lxc(1) in the lab's LXD, past SSH; raises CalledProcessError where it fails."""
        done = subprocess.run(
            as_root(["env", f"LXD_SOCKET={self.socket()}", "lxc", *arguments]),
            input=stdin,
            capture_output=True,
            timeout=300,
        )
        text = subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )
        text.check_returncode()
        return text

    def on(self, server: str, script: str, stdin: bytes = b"", wait_s: int = recorded_exec.WAIT_S) -> str:
        """Standard output of a script on a server, as root there, past SSH.

        Raises CalledProcessError where it fails, is not carried out or (without `stdin`) has not ended after `wait_s`.
        """
        words = ["sh", "-c", script]
        if stdin:
            return self.lxc("exec", server, "--", *words, stdin=stdin).stdout
        if os.geteuid() == 0:
            done = recorded_exec.execute(self.socket(), server, words, wait_s)
        else:
            command = as_root([sys.executable, recorded_exec.__file__, self.socket(), server, str(wait_s), *words])
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=wait_s + 60
            )
        done.check_returncode()
        return done.stdout

    def remove_workspaces(self) -> None:
        """Take away every workspace, with its data."""
        listed = self.run("workspace", "list", "--json")
        for one in json.loads(listed.stdout)["workspaces"] if listed.returncode == 0 else ():
            key = one["key"]
            words = (f"{key['user']}/{key['name']}", "--node", key["node"], "--with-storage", "--yes")
            self.run("workspace", "delete", *words).check_returncode()

    def before_first_contact(self) -> None:
        """As `lab up` left it: nothing of ours opens a server, and nothing is recorded here.

        What stage 00 did on the servers stays; where later ones have been there, the servers are made anew.
        """
        if self.is_built_on:
            count = len(self.servers)
            self.run("lab", "down").check_returncode()
            self.run("lab", "up", "--servers", str(count), "--yes").check_returncode()
        self.run("lab", "up").check_returncode()
        self.remove_workspaces()
        self.forget_first_contact()
        for server in self.servers:
            self.on(server, f"rm -f {FENCE_FILE}")
        shutil.rmtree(self.state.root, ignore_errors=True)

    def forget_first_contact(self) -> None:
        """Nothing of ours opens a server any more; what was done there, and what is recorded of it here, stays."""
        for server in self.servers:
            self.on(server, "rm -f /home/lab/.ssh/authorized_keys /etc/sudoers.d/homewright-lab")

    @property
    def is_built_on(self) -> bool:
        """Whether stages after 00 have left on a server what other tests do not expect: a bridge, LXD, a DNS server."""
        signs = "/etc/netplan/90-homewright.yaml /var/lib/lxd /etc/bind"
        if not self.lab_folder.exists():
            return False
        if self.run("lab", "up").returncode != 0:
            return True  # one of them is cut off
        return any(self.on(name, f"ls -d {signs} 2>/dev/null || true") for name in self.servers)

    def told(self) -> str:
        """How the servers are, for whoever reads of a failed test after they have gone; never raises."""
        try:
            names = self.servers
        except Exception as error:  # whatever it is, it must not hide what failed
            return f"-- nothing can be told: {error}"
        return "\n".join(f"-- {name}\n{self._told_of(name)}" for name in names)

    def _told_of(self, server: str) -> str:
        try:
            return self.on(server, f"exec 2>&1; {_HOW_IT_IS}:", wait_s=TOLD_S)
        except Exception as error:  # this one is down, perhaps; the others are told of all the same
            return f"nothing can be told: {getattr(error, 'stderr', None) or error}"

    @property
    def is_trusted(self) -> bool:
        """Whether every server is there and lets us in as root: powered, plugged, after first contact."""

        def enter(server: Server) -> bool:
            with Connection.open(Endpoint.of(server, self.state), timeout=3) as connection:
                return connection.run("true", sudo=True, check=False).exit_code == 0

        try:
            with ThreadPoolExecutor() as pool:
                return all(pool.map(enter, files.load(self.site_file).servers))
        except HomewrightError:
            return False


@contextlib.contextmanager
def own_lab(name: str) -> Iterator[Lab]:
    """A lab that no other test run uses, down again in the end; what a dead test run left is taken down first."""
    _sweep(name)
    for slot in range(SLOTS):
        folder = Path(tempfile.gettempdir()) / f"homewright-{name}-{os.geteuid()}-{slot}"
        folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if not folder.exists() or folder.stat().st_ino != os.fstat(descriptor).st_ino:
                continue  # another run has just removed it
            lab = Lab(folder)
            _clear(lab)
            try:
                yield lab
            finally:
                _clear(lab)
                shutil.rmtree(folder)
            return
        finally:
            os.close(descriptor)
    raise RuntimeError(f"{SLOTS} other test runs use all folders for labs")


def _sweep(name: str) -> None:
    """Take down what killed test runs left in any folder: this run may have fewer workers than they had."""
    for folder in Path(tempfile.gettempdir()).glob(f"homewright-{name}-{os.geteuid()}-*"):
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue  # another run has just removed it
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if folder.exists() and folder.stat().st_ino == os.fstat(descriptor).st_ino:
                _clear(Lab(folder))
                shutil.rmtree(folder)
        except BlockingIOError:
            continue  # a run that lives
        finally:
            os.close(descriptor)


def _clear(lab: Lab) -> None:
    if lab.lab_folder.exists():
        lab.run("lab", "down").check_returncode()
    for folder in lab.folder.iterdir():
        shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    for folder in lab.folders:
        folder.mkdir(mode=0o700)


@contextlib.contextmanager
def cluster_lab(name: str) -> Iterator[Lab]:
    """An own lab whose practice servers are a cluster; the one that HOMEWRIGHT_TEST_LAB names where one stands."""
    given = os.environ.get("HOMEWRIGHT_TEST_LAB")
    if given:
        yield Lab(Path(given))
        return
    with own_lab(name) as made:
        ran(made.run("lab", "up", "--cluster", "--yes", timeout=7200))
        yield made


def ran(done: subprocess.CompletedProcess[str]) -> str:
    """What a command printed that has to end well."""
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return done.stdout

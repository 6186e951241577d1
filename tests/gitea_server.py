"""A real Gitea of the tests' own: built from its Go module, run as a process of a user that owns nothing else.

Its pages lack scripts and styles, which npm would make; nothing here opens one. Everything is in one folder.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from go_modules import GITEA, source

from homewright.lab import go

LIMIT_S = 120.0
ROOT = "steward"
"""Gitea's own administrator."""
NOBODY = 65534

_SETTINGS = """\
APP_NAME = a Gitea of the tests
RUN_MODE = prod
WORK_PATH = {work}
{user}
[server]
PROTOCOL = http
HTTP_ADDR = {host}
HTTP_PORT = {port}
ROOT_URL = http://wrong.example:3000/
STATIC_ROOT_PATH = {static}
APP_DATA_PATH = {work}/data
DISABLE_SSH = true
OFFLINE_MODE = true
LFS_START_SERVER = false
[database]
DB_TYPE = sqlite3
PATH = {work}/gitea.db
[security]
INSTALL_LOCK = true
SECRET_KEY = {secret}
INTERNAL_TOKEN = {internal}
PASSWORD_HASH_ALGO = pbkdf2_v1
[repository]
ROOT = {work}/repositories
DEFAULT_BRANCH = main
[service]
DISABLE_REGISTRATION = true
REQUIRE_SIGNIN_VIEW = {strict}
[api]
MAX_RESPONSE_ITEMS = {at_once}
[oauth2]
ENABLED = false
[actions]
ENABLED = false
[packages]
ENABLED = false
[indexer]
ISSUE_INDEXER_TYPE = db
[cron]
ENABLED = false
[log]
MODE = console
LEVEL = warn
"""
# ROOT_URL is wrong on purpose, as it is in many homes: what we make of an address must not follow it.


@dataclass
class Gitea:
    """One that runs, or ran."""

    folder: Path
    host: str
    port: int
    secret: str = field(repr=False)
    process: subprocess.Popen[bytes] | None = None
    passwords: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    # The process

    def start(self, *, strict: bool = False, at_once: int = 50) -> None:
        """Start it and wait until it answers. `strict`: it tells nothing to whoever has not signed in."""
        user = f"RUN_USER = {_name()}" if os.geteuid() == 0 else ""
        settings = _SETTINGS.format(
            work=self.work, user=user, host=self.host, port=self.port, static=self.folder / "static",
            secret=self.secret, internal=self.secret, strict=str(strict).lower(), at_once=at_once,
        )  # fmt: skip
        file = self.folder / "app.ini"
        file.unlink(missing_ok=True)
        file.touch(0o600)
        file.write_text(settings)
        _own(file)
        with (self.folder / "gitea.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._words("web"), stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.work, env=self._own()
            )
        limit = time.monotonic() + LIMIT_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > limit:
                raise AssertionError(f"Gitea does not answer:\n{self.said()[-4000:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def said(self) -> str:
        """Its log."""
        return (self.folder / "gitea.log").read_text(errors="replace")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/api/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _words(self, *words: str) -> list[str]:
        """A command line of it, which the kernel ends with the thread that started it."""
        program = [str(self.folder / "gitea"), *words, "--config", str(self.folder / "app.ini")]
        who = ["--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"] if os.geteuid() == 0 else []
        return ["setpriv", *who, "--pdeathsig", "KILL", *program]

    def _own(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.work), "USER": _name(), "LANG": "C.UTF-8"}

    # What people do with it

    def admin(self, *words: str) -> str:
        """What its own command line prints."""
        done = subprocess.run(self._words("admin", *words), env=self._own(), cwd=self.work, capture_output=True,
                              text=True, timeout=LIMIT_S)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def user(self, name: str, *, admin: bool = False) -> str:
        """Another user; the password, which Gitea draws."""
        said = self.admin(
            "user", "create", "--username", name, "--random-password", "--email", f"{name}@example.org",
            "--must-change-password=false", *(["--admin"] if admin else []),
        )  # fmt: skip
        drawn = re.search(r"random password is '(.+)'", said)
        assert drawn is not None, said
        self.passwords[name] = drawn[1]
        return drawn[1]

    def token(self, user: str, *scopes: str) -> str:
        """A token of a user, with these scopes."""
        made = self.api("POST", f"/users/{user}/tokens", user, {"name": secrets.token_hex(4), "scopes": list(scopes)})
        return str(made["sha1"])

    def api(self, method: str, path: str, user: str, body: object = None) -> Any:
        """What its API answers to a user, by their password. Raises HTTPError."""
        header = base64.b64encode(f"{user}:{self.passwords[user]}".encode()).decode()
        headers = {"Authorization": f"Basic {header}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.address}/api/v1{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                error.msg = f"{error.msg}: {error.read().decode(errors='replace')}"
            raise
        return json.loads(text) if text else None

    def repository(self, owner: str, name: str, *, private: bool = True, empty: bool = False) -> str:
        """A repository of a user, with one commit unless it is to be empty; its address."""
        body = {"name": name, "private": private, "auto_init": not empty, "default_branch": "main"}
        self.api("POST", "/user/repos", owner, body)
        return self.at(owner, name)

    def at(self, owner: str, name: str) -> str:
        return f"{self.address}/{owner}/{name}.git"

    def commit(self, owner: str, name: str, file: str, text: str, branch: str = "main") -> None:
        """One more file by its API, in a branch that is made where it is not there."""
        there = {one["name"] for one in self.api("GET", f"/repos/{owner}/{name}/branches", owner)}
        where = {"branch": branch} if branch in there else {"branch": "main", "new_branch": branch}
        content = base64.b64encode(text.encode()).decode()
        self.api("POST", f"/repos/{owner}/{name}/contents/{file}", owner, {"content": content, **where})


def _name() -> str:
    import pwd

    return pwd.getpwuid(NOBODY if os.geteuid() == 0 else os.geteuid()).pw_name


def _own(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


@contextmanager
def gitea(host: str = "127.0.0.1") -> Iterator[Gitea]:
    """One at any free port of this address, with its administrator, until the end of the block.

    A machine that is new builds it first, which takes minutes. Folders of pytest are closed to other users.
    """
    go.ensure((GITEA,), say=print)
    files = source(GITEA, "gitea.dev")
    folder = Path(tempfile.mkdtemp(prefix="homewright-gitea-"))
    folder.chmod(0o711)
    with socket.socket() as one:
        one.bind((host, 0))
        port = one.getsockname()[1]
    made = Gitea(folder, host, port, secrets.token_hex(32))
    try:
        shutil.copy(go.program(GITEA, "gitea"), folder / "gitea")
        (folder / "gitea").chmod(0o755)
        for name in ("templates", "options", "public"):
            shutil.copytree(files / name, folder / "static" / name)
        made.work.mkdir(0o700)
        _own(made.work)
        made.start()
        made.user(ROOT, admin=True)
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)

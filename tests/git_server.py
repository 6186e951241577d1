"""A git server that asks for a name and a token, as Gitea does: git's own http-backend behind HTTP on this machine.

Below /api/v1 it answers, where it is told to, in the words of Gitea 1.27. It is no Gitea: what a real one does is in
tests/workspaces/test_real_gitea.py, and this one is for faults and for tests that take milliseconds.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

SCOPES = ("read:user", "read:repository")


@dataclass
class GitServer:
    """Bare repositories below a folder. Those whose path begins with the name of a user are that user's alone."""

    folder: Path
    address: str = ""
    users: dict[str, str] = field(default_factory=dict)
    """Token by name."""
    asked: list[str] = field(default_factory=list)
    """Request lines, as a server's log would have them."""
    gitea: bool = False
    """It has Gitea's API."""
    scopes: tuple[str, ...] = SCOPES
    """What tokens may."""
    strict: bool = False
    """Its API tells nothing to whoever has not signed in."""
    at_once: int = 50
    """The most repositories on a page, whatever is asked for."""
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    """What is answered to a path instead: status, headers, body."""

    def make(self, path: str, text: str) -> str:
        """A repository with one commit of one file; its URL."""
        bare = self.folder / f"{path}.git"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
        subprocess.run(["git", "-C", str(bare), "config", "http.receivepack", "true"], check=True)
        self.commit(path, "README.md", text)
        return f"{self.address}/{path}.git"

    def commit(self, path: str, file: str, text: str) -> None:
        """One more commit, by somebody else."""
        bare, work = self.folder / f"{path}.git", self.folder / f".work-{path.replace('/', '-')}"
        if not work.exists():
            subprocess.run(["git", "clone", "-q", str(bare), str(work)], check=True, capture_output=True)
        (work / file).write_text(text)
        own = ["git", "-C", str(work), "-c", "user.name=other", "-c", "user.email=other@example.org"]
        push = ["push", "-q", "origin", "HEAD:main"]
        for words in (["pull", "-q"], ["add", file], ["commit", "-q", "-m", text], push):
            subprocess.run([*own, *words], check=words[0] != "pull", capture_output=True)

    def api(self, path: str, query: dict[str, str], header: str) -> tuple[int, dict[str, str], object]:
        """What Gitea's API answers: status, headers, document."""
        name = self.who(header)
        if name is None:
            return 401, {}, {"message": "invalid username, password or token"}
        if self.strict and not name:
            return 403, {}, {"message": "Only signed in user is allowed to call APIs."}
        if path == "/api/v1/version":
            return 200, {}, {"version": "1.27.3"}
        needed = {"/api/v1/user": SCOPES[:1], "/api/v1/user/repos": SCOPES}.get(path)
        if needed is None:
            return 404, {}, {"message": "The target couldn't be found."}
        if not name:
            return 401, {}, {"message": "token is required"}
        if not set(needed) <= set(self.scopes):
            required = f"required=[{' '.join(needed)}], token scope={','.join(self.scopes)}"
            return 403, {}, {"message": f"token does not have at least one of required scope(s), {required}"}
        if path == "/api/v1/user":
            return 200, {}, {"id": 1, "login": name}
        every = [
            {"full_name": f"{name}/{bare.stem}", "clone_url": f"http://wrong.example/{name}/{bare.stem}.git",
             "default_branch": "main", "private": True, "empty": not any((bare / "refs/heads").iterdir())}
            for bare in sorted((self.folder / name).glob("*.git"))
        ]  # fmt: skip
        size = min(int(query["limit"]), self.at_once)
        start = (int(query["page"]) - 1) * size
        return 200, {"X-Total-Count": str(len(every))}, every[start : start + size]

    def who(self, header: str) -> str | None:
        """Who signs in; empty for nobody, None where that fails."""
        signed = {
            f"Basic {base64.b64encode(f'{name}:{token}'.encode()).decode()}": name for name, token in self.users.items()
        }
        return signed.get(header) if header else ""

    def refuses(self, path: str, header: str) -> int:
        """The status with which git is turned away; 0 where it may go on.

        As Gitea does: a stranger is asked to sign in, whether or not it is there; who has, sees what may be seen alone.
        """
        owner, name = (*path.lstrip("/").split("/"), "")[:2]
        who, there = self.who(header), (self.folder / owner / name).is_dir()
        if who is None or (not who and (owner in self.users or not there)):
            return 401
        return 404 if not there or (owner in self.users and owner != who) else 0


@contextmanager
def git_server(folder: Path, host: str = "127.0.0.1", users: dict[str, str] | None = None) -> Iterator[GitServer]:
    """A server at any free port of this address."""
    server = GitServer(folder, users=users or {})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            server.asked.append(f"{self.command} {self.path}")
            header = self.headers.get("Authorization", "")
            if parts.path in server.answers:
                self._answer(*server.answers[parts.path])
                return
            if server.gitea and parts.path.startswith("/api/v1/"):
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                status, headers, document = server.api(parts.path, query, header)
                self._answer(status, headers, json.dumps(document).encode())
                return
            refused = server.refuses(parts.path, header)
            if refused == 401:
                self._answer(401, {"WWW-Authenticate": 'Basic realm="Gitea"'}, b"Unauthorized\n")
                return
            if refused:
                self._answer(refused, {"Content-Type": "text/plain;charset=utf-8"}, b"Repository not found")
                return
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else self._chunks()
            environment = {
                **os.environ, "GIT_PROJECT_ROOT": str(folder), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": parts.path,
                "QUERY_STRING": parts.query, "REQUEST_METHOD": self.command, "REMOTE_USER": "somebody",
                "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }  # fmt: skip
            said = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True).stdout
            head, _, data = said.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
            status = int(headers.pop("Status", "200").split()[0])
            self._answer(status, headers, data)

        def _chunks(self) -> bytes:
            body = b""
            while self.headers.get("Transfer-Encoding") == "chunked":
                size = int(self.rfile.readline().strip(), 16)
                body += self.rfile.read(size)
                self.rfile.readline()
                if not size:
                    break
            return body

        def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _serve  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer((host, 0), Handler)
    httpd.daemon_threads = True
    server.address = f"http://{host}:{httpd.server_address[1]}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()

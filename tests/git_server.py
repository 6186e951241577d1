"""A git server that asks for a name and a token, as Gitea does: git's own http-backend behind HTTP on this machine.

Below /api/v1 it answers, where it is told to, as Gitea's documentation has it. It is no Gitea: what a real one does
besides is not known from it.
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
    scopes: bool = True
    """Tokens may list repositories."""
    at_once: int = 50
    """Repositories on a page, whatever is asked for."""
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
        if path == "/api/v1/version":
            return 200, {}, {"version": "1.22.6"}
        name = next((one for one in self.users if self.allows(f"/{one}", header)), "")
        if not name:
            return 401, {}, {"message": "user does not exist [uid: 0, name: ]"}
        if path == "/api/v1/user":
            return 200, {}, {"id": 1, "login": name}
        if path != "/api/v1/user/repos":
            return 404, {}, {"message": "The target couldn't be found."}
        if not self.scopes:
            message = "token does not have at least one of required scope(s): [read:repository]"
            return 403, {}, {"message": message}
        every = [
            {"full_name": f"{name}/{bare.stem}", "clone_url": f"http://wrong.example/{name}/{bare.stem}.git",
             "default_branch": "main", "private": True, "empty": not any((bare / "refs/heads").iterdir())}
            for bare in sorted((self.folder / name).glob("*.git"))
        ]  # fmt: skip
        start = (int(query["page"]) - 1) * self.at_once
        return 200, {"X-Total-Count": str(len(every))}, every[start : start + self.at_once]

    def allows(self, path: str, header: str) -> bool:
        owner = path.lstrip("/").split("/")[0]
        if owner not in self.users:  # open to all, and to nobody with credentials that are wrong, as Gitea does
            return not header or any(self.allows(f"/{one}", header) for one in self.users)
        expected = base64.b64encode(f"{owner}:{self.users[owner]}".encode()).decode()
        return header == f"Basic {expected}"


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
            if not server.allows(parts.path, header):
                self._answer(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
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

"""A registry and web server of this process, which can be made to fail in every way that the real ones do.

It gives out and takes in what is in a folder as an OCI layout; the real one is tried in tests/lab/test_mirror.py.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from homewright.mirror.layout import MANIFEST, Layout, digest_of


class Served:
    """What is served, and what goes wrong."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder / "served").create()
        self.types: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.files: dict[str, bytes] = {}
        self.status: int | None = None
        """Every request is answered with this."""
        self.damage = False
        """Blobs and files come with another last byte."""
        self.cut = False
        """Blobs and files end half-way."""
        self.cut_manifests = False
        self.token = ""
        """Asked for from everybody."""
        self.asked: list[str] = []
        self.port = 0

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    def tag(self, repository: str, tag: str, digest: str, media_type: str = MANIFEST) -> None:
        self.tags[f"{repository}:{tag}"] = digest
        self.types[digest] = media_type


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    served = Served(folder)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            served.asked.append(format % args)

        def _answer(self, status: int, data: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            cut = served.cut_manifests if "/manifests/" in self.path else served.cut
            half = cut and status == 200 and len(data) > 1
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data[: len(data) // 2] if half else data)

        def _refused(self) -> bool:
            length = int(self.headers.get("Content-Length") or 0)
            self.body = self.rfile.read(length)
            if served.status is not None:
                self._answer(served.status, b'{"errors":[{"code":"X","message":"said so"}]}')
                return True
            if served.token and self.headers.get("Authorization") != f"Bearer {served.token}":
                realm = f'Bearer realm="http://{served.host}/token",service="s",scope="repository:a:pull"'
                self._answer(401, WWW_Authenticate=realm)
                return True
            return False

        def do_GET(self) -> None:
            if self.path.startswith("/token"):
                self._answer(200, f'{{"token":"{served.token}"}}'.encode())
                return
            if self._refused():
                return
            found = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]+)", self.path)
            if found is None:
                data = served.files.get(self.path)
                self._answer(404) if data is None and self.path != "/v2/" else self._answer(
                    200, self._spoilt(data or b"")
                )
                return
            repository, kind, word = found.groups()
            digest = served.tags.get(f"{repository}:{word}", word)
            try:
                data = served.layout.path(digest).read_bytes()
            except Exception:
                self._answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}')
                return
            if kind == "blobs":
                data = self._spoilt(data)
            self._answer(200, data, Content_Type=served.types.get(digest, "application/octet-stream"))

        def do_HEAD(self) -> None:
            self.do_GET()

        def _spoilt(self, data: bytes) -> bytes:
            return data[:-1] + bytes([data[-1] ^ 1]) if served.damage and data else data

        def do_POST(self) -> None:
            if not self._refused():
                self._answer(202, Location=f"{self.path}1?state=a")

        def do_PUT(self) -> None:
            if self._refused():
                return
            found = re.fullmatch(r"/v2/(.+)/manifests/([^/]+)", self.path)
            blob = served.layout.add(self.body, "")
            if found is not None:
                served.tag(found[1], found[2], blob.digest, self.headers["Content-Type"])
            self._answer(201, Docker_Content_Digest=digest_of(self.body))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""A proxy before a real API server that kills the manager at one of its calls: what the call did is done, and nobody
hears of it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from homewright.cluster.client import Cluster
from homewright.cluster.kubeconfig import Kubeconfig, read
from homewright.site.models import Site
from homewright.workspaces.backends.kubernetes.api import Api
from homewright.workspaces.models import Key, Specification
from homewright.workspaces.on_cluster import ClusterWorkspaces
from homewright.workspaces.templates import parse

WRITES = ("POST", "PATCH", "DELETE")


class Call(NamedTuple):
    """One call of a verb. What is asked again and again while something is waited for is one call."""

    writes: int
    """How many writes came before."""
    method: str
    path: str
    query: str


@dataclass
class Proxy:
    """Hands every request on, and may end whoever sent one."""

    target: Cluster
    address: str = ""
    calls: list[Call] = field(default_factory=list)
    """Each once, in their order."""
    victim: int | None = None
    doom: Call | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def kubeconfig(self) -> str:
        cluster, user = {"name": "c", "cluster": {"server": self.address}}, {"name": "u", "user": {"token": "none"}}
        context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
        return json.dumps({"clusters": [cluster], "users": [user], "contexts": [context], "current-context": "x"})

    def noted(self, method: str, path: str, query: str) -> bool:
        """Whether this call is the manager's last."""
        with self.lock:
            writes = sum(call.method in WRITES for call in self.calls)
            call = Call(writes, method, path, "" if method in WRITES else query)
            if call not in self.calls:
                self.calls.append(call)
            return call == self.doom


@contextmanager
def proxy(kubeconfig: Kubeconfig) -> Iterator[Proxy]:
    """A proxy on this machine, without TLS and passwords: it signs in by itself."""
    made = Proxy(Cluster(kubeconfig))
    client = made.target._client
    pool = client.rest_client.pool_manager

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            last = made.noted(self.command, parts.path, parts.query)
            headers = {name: self.headers[name] for name in ("Content-Type", "Accept") if self.headers[name]}
            client.update_params_for_auth(
                headers, [], ["BearerToken"], self.path, self.command, None, request_auth=None
            )
            answer = pool.request(self.command, kubeconfig.server.rstrip("/") + self.path, body=body or None,
                                  headers=headers, retries=False)  # fmt: skip
            if last and made.victim is not None:
                os.kill(made.victim, signal.SIGKILL)
                self.close_connection = True
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
            self.send_header("Content-Length", str(len(answer.data)))
            self.end_headers()
            self.wfile.write(answer.data)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    made.address = f"http://127.0.0.1:{httpd.server_address[1]}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        httpd.shutdown()
        httpd.server_close()
        made.target.close()
        thread.join()


@dataclass(frozen=True)
class Ground:
    """What a manager is made of; it reaches another process as it is."""

    site: Site
    template: str
    """YAML."""
    kubeconfig: str

    def manager(self) -> ClusterWorkspaces:
        template = parse(self.template, "campaign.yaml")
        api = Api(lambda: read(self.kubeconfig), patience_s=60.0)
        return ClusterWorkspaces(self.site, api, {template.name: template}, "root@here", lambda _: "$argon2id$x")


def act(ground: Ground, verb: str, user: str) -> None:
    """One verb, as a manager does it."""
    there, key = ground.manager(), Key(user=user)
    spec = Specification(key=key, template=next(iter(there.templates)), preset="small")
    verbs: dict[str, Any] = {
        "create": lambda: there.create(spec, print),
        "start": lambda: there.start(key, print),
        "stop": lambda: there.stop(key),
        "restart": lambda: there.restart(key, print),
        "set": lambda: there.set(key, "large", False),
        "delete": lambda: there.delete(key, False),
        "delete with storage": lambda: there.delete(key, True),
    }
    verbs[verb]()
    there.close()


def forks() -> multiprocessing.context.ForkServerContext:
    """Processes that have everything imported already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["counting_proxy", "kubernetes.client"])
    return context

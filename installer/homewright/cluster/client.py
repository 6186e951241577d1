"""The API of a cluster: raw JSON, its certificate checked, and its own reasons as ours.

Typed models cost seconds and hundreds of megabytes where lists are long (docs/decisions/0096), so only paths, plain
dictionaries and server-side apply are used. Certificates and keys reach TLS by files that no disk ever sees.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import urlencode, urlsplit

import kubernetes.client
import kubernetes.client.exceptions
import kubernetes.config
import urllib3
import urllib3.exceptions
import websocket
from websocket import WebSocket

from homewright.cluster import credentials
from homewright.cluster.credentials import Credential
from homewright.cluster.kubeconfig import SECRET, Kubeconfig, KubeconfigError, read
from homewright.errors import HomewrightError
from homewright.site.secrets import Secrets

MANAGER = "homewright"
"""The field manager of everything that we apply."""
CONNECT_S = 5.0
ANSWER_S = 30.0
CHUNK = 500
"""Objects of one page of a list, as kubectl's own."""
_SILENT_S = 30
"""How long what was sent may stay unacknowledged: with the kernel's own patience a dead connection cannot be left for
a quarter of an hour, since the keys that would leave it are sent into it."""
_LOOK_UP_S = 0.5
_FIRST_S = 0.05
"""Most of what is waited for is there in a moment; what is not is looked for half as often each time."""
_ONCE = urllib3.Retry(False, redirect=False)
"""Whoever asks decides whether to ask again; nobody is followed elsewhere."""


class ClusterError(HomewrightError):
    """The cluster refused something, or it failed there."""

    code = "cluster"


class ClusterAway(ClusterError):
    """The cluster's API does not answer, or not as the one that was pinned."""

    code = "cluster-away"
    exit_code = 5


class ClusterForbidden(ClusterError):
    """We may not do this there."""

    code = "cluster-forbidden"


class ClusterMissing(ClusterError):
    """The cluster has no such thing."""

    code = "cluster-missing"


class ClusterConflict(ClusterError):
    """There is one already, or somebody changed it meanwhile."""

    code = "cluster-conflict"


def of_site(secrets: Secrets, context: str | None = None) -> Kubeconfig:
    """The site's own kubeconfig. Raises KubeconfigError where there is none."""
    text = secrets.get(SECRET)
    if text is None:
        raise KubeconfigError(
            "The site has no kubeconfig.",
            "Stage 40/core/cluster keeps the one of the cluster that it makes.",
            ["make the cluster: homewright apply", f"or give the one of yours: homewright site secret set {SECRET}"],
        )
    return read(text, context)


class Cluster:
    """A connection to one cluster's API; it may be used from several threads. Every method raises ClusterError."""

    def __init__(self, config: Kubeconfig) -> None:
        """Raises KubeconfigError where the kubeconfig's program does not sign us in."""
        self.config = config
        self._files: list[int] = []
        settings = kubernetes.client.Configuration(host=config.server.rstrip("/"))
        if not config.program and not config.certificate_pem:
            # A token: the official client knows all its forms.
            kubernetes.config.load_kube_config_from_dict(dict(config.document), client_configuration=settings)
        else:
            own = credentials.ask(config) if config.program else Credential("", config.certificate_pem, config.key_pem)
            settings.ssl_ca_cert = self._path(config.ca_pem) if config.ca_pem else None
            settings.verify_ssl = not config.unverified
            settings.tls_server_name = config.server_name or None
            if own.token:
                settings.api_key["authorization"] = f"Bearer {own.token}"
            if own.certificate_pem:
                settings.cert_file, settings.key_file = self._path(own.certificate_pem), self._path(own.key_pem)
        settings.proxy = None  # the way to the site's own cluster leads through nobody's proxy
        settings.retries = urllib3.Retry(0)
        self._client = kubernetes.client.ApiClient(settings)
        # The pool itself: the manager before it, which finds it anew for each URL, took a third of a request's time.
        self._pool = self._client.rest_client.pool_manager.connection_from_url(settings.host)
        self._prefix = urlsplit(settings.host).path.rstrip("/")

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; harmless when done twice."""
        self._client.rest_client.pool_manager.clear()
        files, self._files = self._files, []
        for file in files:
            os.close(file)

    def get(self, path: str, *, timeout: float = ANSWER_S, **parameters: Any) -> dict[str, Any]:
        """One object, such as `/api/v1/nodes/s1`, or one page of a list."""
        found: dict[str, Any] = json.loads(self._ask("GET", path, parameters, timeout=timeout))
        return found

    def find(self, path: str) -> dict[str, Any] | None:
        """As `get`; None where there is no such thing."""
        try:
            return self.get(path)
        except ClusterMissing:
            return None

    def text(self, path: str, **parameters: Any) -> str:
        """What is no JSON: `/readyz`, a pod's log."""
        return self._ask("GET", path, parameters).decode(errors="replace")

    def list(self, path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """All objects of a list, page by page."""
        following = ""
        while True:
            more: dict[str, Any] = {"continue": following} if following else {}
            page = self.get(path, limit=CHUNK, **parameters, **more)
            yield from page.get("items") or ()
            following = (page.get("metadata") or {}).get("continue") or ""
            if not following:
                return

    def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Make something that is not there yet. Raises ClusterConflict where it is."""
        made: dict[str, Any] = json.loads(self._ask("POST", path, {"fieldManager": MANAGER}, body))
        return made

    def apply(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Make something be so (server-side apply); `path` is the object's own."""
        parameters = {"fieldManager": MANAGER, "force": "true"}
        made: dict[str, Any] = json.loads(
            self._ask("PATCH", path, parameters, body, content="application/apply-patch+yaml")
        )
        return made

    def merge(self, path: str, change: Mapping[str, Any]) -> dict[str, Any]:
        """Change fields of something (a merge patch); None takes one away."""
        content = "application/merge-patch+json"
        made: dict[str, Any] = json.loads(self._ask("PATCH", path, {"fieldManager": MANAGER}, change, content=content))
        return made

    def delete(self, path: str) -> bool:
        """Remove something, with what it owns; whether there was anything."""
        try:
            self._ask("DELETE", path, {"propagationPolicy": "Background"})
        except ClusterMissing:
            return False
        return True

    def send(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, Any],
        body: Mapping[str, Any] | None = None,
        *,
        content: str = "application/json",
        timeout: float | None = ANSWER_S,
        stream: bool = False,
    ) -> Any:
        """One request and urllib3's answer to it, whatever its status; with `stream` the caller reads and closes it.

        Raises urllib3's HTTPErrors and OSErrors as they are.
        """
        headers = {"Accept": "application/json, */*"} | ({"Content-Type": content} if body is not None else {})
        target = f"{self._prefix}{path}" + (f"?{urlencode(parameters)}" if parameters else "")
        self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body, request_auth=None)
        return self._pool.urlopen(
            method,
            target,
            body=None if body is None else json.dumps(body).encode(),
            headers=headers,
            timeout=urllib3.Timeout(connect=min(CONNECT_S, timeout or CONNECT_S), read=timeout),
            retries=_ONCE,
            redirect=False,
            preload_content=not stream,
        )

    def channel(self, path: str, parameters: Mapping[str, Any], protocols: Sequence[str]) -> WebSocket:
        """A conversation with a pod: a command in it, or one of its ports. The caller closes it.

        Raises websocket-client's exceptions, OSErrors and ssl's as they are.
        """
        settings = self._client.configuration
        headers: dict[str, str] = {}
        self._client.update_params_for_auth(headers, [], ["BearerToken"], path, "GET", None, request_auth=None)
        secured: dict[str, Any] = {
            "cert_reqs": ssl.CERT_REQUIRED if settings.verify_ssl else ssl.CERT_NONE,
            "check_hostname": settings.verify_ssl,
            "ca_certs": settings.ssl_ca_cert,
            "certfile": settings.cert_file,
            "keyfile": settings.key_file,
            "server_hostname": settings.tls_server_name,
        }
        address = f"{settings.host}{path}?{urlencode(parameters, doseq=True)}"
        return websocket.create_connection(
            re.sub("^http", "ws", address),
            timeout=ANSWER_S,
            header=headers,
            subprotocols=list(protocols),
            sslopt={name: value for name, value in secured.items() if value is not None},
            http_no_proxy=["*"],  # as all of ours: through nobody's proxy
            redirect_limit=0,
            enable_multithread=True,
            sockopt=_given_up(),
        )

    def _path(self, data: bytes) -> str:
        descriptor = os.memfd_create("cluster", os.MFD_CLOEXEC)
        os.write(descriptor, data)
        self._files.append(descriptor)
        return f"/proc/self/fd/{descriptor}"

    def _ask(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, Any],
        body: Mapping[str, Any] | None = None,
        *,
        content: str = "application/json",
        timeout: float = ANSWER_S,
    ) -> bytes:
        try:
            answer = self.send(method, path, parameters, body, content=content, timeout=timeout)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._away(error) from error
        if answer.status < 300:
            return bytes(answer.data)
        raise _refused(method, path, answer.status, bytes(answer.data))

    def _away(self, error: BaseException) -> ClusterAway:
        said = str(error)
        if "CERTIFICATE_VERIFY_FAILED" in said or "certificate verify failed" in said:
            return ClusterAway(
                f"{self.config.server} shows another certificate than the kubeconfig expects.",
                "It may be another cluster, or this one was made anew.",
                ["look which cluster it is", f"give its own kubeconfig: homewright site secret set {SECRET}"],
            )
        return ClusterAway(
            f"The cluster's API does not answer at {self.config.server}.",
            f"{said}.",
            ["see whether the control plane's server is on and reachable, then try again"],
        )


def _given_up() -> tuple[tuple[int, int, int], ...]:
    """Socket options that end a conversation whose other side is dead (tcp(7)); none where the system has none."""
    option: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)
    return () if option is None else ((socket.IPPROTO_TCP, option, _SILENT_S * 1000),)


def _refused(method: str, path: str, status: int, data: bytes) -> ClusterError:
    with contextlib.suppress(ValueError, AttributeError):
        told = json.loads(data).get("message") or ""
        if told:
            data = told.encode()
    said = data.decode(errors="replace").strip()[:500]
    what = f"The cluster says {status} to {method} {path}."
    match status:
        case 401:
            do = [f"give a kubeconfig that is valid: homewright site secret set {SECRET}"]
            return ClusterForbidden("The cluster does not know us any more.", said, do)
        case 403:
            return ClusterForbidden("The cluster does not allow this.", said, ["use an account that may do it"])
        case 404:
            return ClusterMissing(what, said)
        case 409:
            return ClusterConflict(what, said)
    return ClusterError(what, said)


def wait(seconds: float, done: Callable[[], str]) -> str:
    """Wait until `done` says nothing more; what it says is what is waited for, and the last of it is given back when
    the time is up. An API that is away meanwhile is waited for like anything else."""
    deadline, pause = time.monotonic() + seconds, _FIRST_S
    while True:
        try:
            waiting = done()
        except (ClusterAway, ClusterError) as error:
            waiting = f"{error.what} {error.why}".strip()
        if not waiting or time.monotonic() > deadline:
            return waiting
        time.sleep(min(pause, _LOOK_UP_S))
        pause *= 2

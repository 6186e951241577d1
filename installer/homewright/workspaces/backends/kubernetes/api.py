"""The one layer over the official Kubernetes package: its kubeconfigs, sign-in and TLS; JSON as the server writes it.

Its typed models are left alone: 5,000 pods take 4 to 6 processor seconds and 730 MB through them, 1.4 and 400 raw, and
importing them takes longer than most verbs (measured with kubernetes 37).
"""

from __future__ import annotations

import json
import logging
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from homewright.errors import HomewrightError, Unreachable, visible
from homewright.workspaces.backends.kubernetes.words import MANAGER
from homewright.workspaces.errors import (
    InstanceFailed,
    MissingRight,
    Refused,
    RoutingFailed,
    ServiceFailed,
    StorageFailed,
)

if TYPE_CHECKING:
    from homewright.workspaces.backends.kubernetes.manifests import Manifest

CHUNK = 500
"""Objects a page of a list."""
CONNECT_S = 5.0
ANSWER_S = 30.0
PATIENCE_S = 30.0
"""How long a busy or silent API server is asked again."""
WATCH_S = 60
"""A watch is ended by the server after so long, and by us where it says nothing for a quarter longer."""
_RETRIED = {429, 500, 502, 503, 504}
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_RIGHT = re.compile(r'cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)"')


@dataclass(frozen=True)
class Resource:
    """Where the objects of a kind are."""

    version: str
    plural: str

    def path(self, namespace: str | None, name: str = "", sub: str = "") -> str:
        base = f"/api/{self.version}" if "/" not in self.version else f"/apis/{self.version}"
        place = f"{base}/namespaces/{quote(namespace)}" if namespace else base
        return "/".join(filter(None, (f"{place}/{self.plural}", quote(name, safe=""), sub)))


RESOURCES = {
    "Namespace": Resource("v1", "namespaces"),
    "ConfigMap": Resource("v1", "configmaps"),
    "Secret": Resource("v1", "secrets"),
    "ServiceAccount": Resource("v1", "serviceaccounts"),
    "Service": Resource("v1", "services"),
    "PersistentVolumeClaim": Resource("v1", "persistentvolumeclaims"),
    "Pod": Resource("v1", "pods"),
    "Event": Resource("v1", "events"),
    "StatefulSet": Resource("apps/v1", "statefulsets"),
    "Ingress": Resource("networking.k8s.io/v1", "ingresses"),
    "NetworkPolicy": Resource("networking.k8s.io/v1", "networkpolicies"),
    "Role": Resource("rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": Resource("rbac.authorization.k8s.io/v1", "rolebindings"),
}
_FAILURES: dict[str, type[HomewrightError]] = {
    "PersistentVolumeClaim": StorageFailed,
    "StatefulSet": InstanceFailed,
    "Service": ServiceFailed,
    "Ingress": RoutingFailed,
}


class Conflict(Exception):
    """Somebody else changed the object since it was read, has other fields of it, or made it first."""


class Gone(Exception):
    """The version that a watch asked for is too old (410): list again."""


@dataclass(frozen=True)
class Listed:
    """All objects of a kind, as of one moment."""

    items: tuple[Manifest, ...]
    version: str
    """The resource version to watch from."""


class Cluster:
    """One API server, over as many connections as there are threads.

    Every method raises Unreachable, MissingRight (which names the right), Refused, or what a failed part is called.
    """

    def __init__(self, kubeconfig: Path, context: str | None = None, patience_s: float = PATIENCE_S) -> None:
        self.kubeconfig = kubeconfig
        self.context = context
        self.patience_s = patience_s
        self._lock = threading.Lock()
        self._client: Any = None
        self._age = 0

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.rest_client.close()

    def get(self, kind: str, namespace: str | None, name: str) -> Manifest | None:
        """One object, or None."""
        return self._json("get", kind, namespace, name, missing=True)

    def list(self, kind: str, namespace: str, selector: str = "") -> Listed:
        """All objects of a kind, in pages."""
        items: list[Manifest] = []
        query = {"limit": str(CHUNK), **({"labelSelector": selector} if selector else {})}
        while True:
            page = self._json("list", kind, namespace, query=query) or {}
            items += page.get("items") or []
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                return Listed(tuple(items), metadata.get("resourceVersion", ""))
            query["continue"] = metadata["continue"]

    def create(self, manifest: Manifest) -> Manifest:
        """Make what must not be there. Raises Conflict where it is."""
        namespace = manifest["metadata"].get("namespace")
        made = self._json(
            "create", manifest["kind"], namespace, body=manifest, query={"fieldManager": MANAGER}, conflict=True
        )
        return made or {}

    def apply(self, manifest: Manifest, version: str | None = None) -> Manifest:
        """Server-side apply. With the version that was read it is ours to overwrite: Conflict where it has another.

        Without one it is made, and Conflict where somebody else's is there with other values.
        """
        metadata = manifest["metadata"]
        if version is not None:
            manifest = {**manifest, "metadata": {**metadata, "resourceVersion": version}}
        query = {"fieldManager": MANAGER, **({"force": "true"} if version is not None else {})}
        made = self._json(
            "patch", manifest["kind"], metadata.get("namespace"), metadata["name"], body=manifest, query=query,
            conflict=True,
        )  # fmt: skip
        return made or {}

    def delete(self, manifest: Manifest, version: str | None = None) -> bool:
        """Remove exactly this object; whether it was there. Raises Conflict where it is another by now."""
        metadata = manifest["metadata"]
        conditions = {"uid": metadata["uid"], **({"resourceVersion": version} if version is not None else {})}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
                "preconditions": conditions}  # fmt: skip
        done = self._json(
            "delete", manifest["kind"], metadata.get("namespace"), metadata["name"], body=body, missing=True,
            conflict=True,
        )  # fmt: skip
        return done is not None

    def watch(
        self, kind: str, namespace: str, version: str, selector: str = "", opened: Callable[[Any], None] | None = None
    ) -> Iterator[tuple[str, Manifest]]:
        """What happens since a version, until the server ends it. Raises Gone where the version is too old.

        `opened` gets the response, whose `shutdown()` ends the watch from another thread.
        """
        query = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true",
                 "timeoutSeconds": str(WATCH_S), **({"labelSelector": selector} if selector else {})}  # fmt: skip
        response = self._request(
            "watch", kind, namespace, query=query, timeout=(CONNECT_S, WATCH_S * 1.25), patient=False
        )
        if response.status >= 400:
            raise self._failure(response.status, response.read(), "watch", kind, namespace)
        if opened is not None:
            opened(response.response)
        for line in _lines(response.response):
            try:
                event = json.loads(line)
            except ValueError:  # cut off in the middle of a line
                return
            if event["type"] == "ERROR":
                raise self._failure(event["object"].get("code", 500), event["object"], "watch", kind, namespace)
            yield event["type"], event["object"]

    def log(self, namespace: str, pod: str, container: str, lines: int, follow: bool) -> Iterator[str]:
        """The last lines of a container's output, and with `follow` what comes."""
        query = {"container": container, "tailLines": str(lines), **({"follow": "true"} if follow else {})}
        timeout = (CONNECT_S, None if follow else ANSWER_S)
        response = self._request("get", "Pod", namespace, pod, "log", query=query, timeout=timeout)
        if response.status >= 400:
            raise self._failure(response.status, response.read(), "get", "Pod", namespace, "log")
        for line in _lines(response.response):
            yield line.decode("utf-8", "replace")

    def _json(
        self, verb: str, kind: str, namespace: str | None, name: str = "", *, query: Mapping[str, str] | None = None,
        body: Manifest | None = None, missing: bool = False, conflict: bool = False,
    ) -> Manifest | None:  # fmt: skip
        response = self._request(verb, kind, namespace, name, query=query or {}, body=body)
        data = response.read()
        if response.status < 300:
            found: Manifest = json.loads(data)
            return found
        if response.status == 404 and missing:
            return None
        if response.status == 409 and conflict:
            raise Conflict(_message(data))
        raise self._failure(response.status, data, verb, kind, namespace)

    def _request(
        self, verb: str, kind: str, namespace: str | None, name: str = "", sub: str = "", *, query: Mapping[str, str],
        body: Manifest | None = None, timeout: Any = (CONNECT_S, ANSWER_S), patient: bool = True,
    ) -> Any:  # fmt: skip
        """One request, asked again while the server is busy or does not answer, and once with fresh credentials."""
        method = {"create": "POST", "patch": "PATCH", "delete": "DELETE"}.get(verb, "GET")
        path = RESOURCES[kind].path(namespace, name, sub)
        text = json.dumps(body) if body is not None else None
        until, pause, renewed = time.monotonic() + (self.patience_s if patient else 0.0), _FIRST_PAUSE_S, False
        while True:
            age = self._age
            wait = pause * random.uniform(0.5, 1.0)
            try:
                response = self._send(method, path, query, text, verb == "patch", timeout)
            except _transport_errors() as error:
                if time.monotonic() + wait >= until:
                    raise self._silent(error) from error
            else:
                if response.status == 401 and not renewed:
                    renewed = True
                    self._renew(age)
                    continue
                if response.status not in _RETRIED or time.monotonic() + wait >= until:
                    return response
                wait = max(wait, _retry_after(response))
                response.read()
            time.sleep(min(wait, max(0.0, until - time.monotonic())))
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _send(
        self, method: str, path: str, query: Mapping[str, str], body: str | None, patch: bool, timeout: Any
    ) -> Any:
        client = self._connected()
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/apply-patch+yaml" if patch else "application/json"
        client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = f"{client.configuration.host}{path}{'?' if query else ''}{urlencode(query)}"
        payload: Any = body
        if body is not None and not patch:
            payload = json.loads(body)  # the package serialises JSON itself
        return client.rest_client.request(method, url, headers=headers, body=payload, _request_timeout=timeout)

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = _client(self.kubeconfig, self.context)
                self._age += 1
            return self._client

    def _renew(self, age: int) -> None:
        """Read the kubeconfig again: a token file was rotated, or its plugin has a new one."""
        with self._lock:
            if self._age == age:
                self._client = None

    def _silent(self, error: Exception) -> Unreachable:
        reason = getattr(error, "reason", None) or error
        return Unreachable(
            "The cluster's API server does not answer.",
            f"{visible(str(reason))}.",
            [
                "see whether its machine is on",
                f"try it yourself: kubectl --kubeconfig {self.kubeconfig} get --raw /readyz",
            ],
        )

    def _failure(
        self, status: int, data: bytes | Manifest, verb: str, kind: str, namespace: str | None, sub: str = ""
    ) -> Exception:
        """What an answer that is no success means."""
        said = visible(_message(data))
        resource = "/".join(filter(None, (RESOURCES[kind].plural, sub)))
        where = f" in namespace {namespace}" if namespace else ""
        if status == 410:
            return Gone(said)
        if status == 401:
            return Unreachable(
                "The cluster does not accept who we are.",
                f"It says: {said}. The token or certificate in {self.kubeconfig} has expired or was withdrawn.",
                ["get a new kubeconfig from the cluster's administrator"],
            )
        if status == 403 and (right := _RIGHT.search(said)):
            return MissingRight(
                f"The cluster does not let us {right['verb']} {right['resource']}{where}.",
                f"It says: {said}.",
                ["ask its administrator for that right", "all that is needed: homewright workspace export --setup"],
            )
        if status in _RETRIED:
            return Unreachable(
                "The cluster's API server is too busy or has trouble.",
                f"It answered {status} for {self.patience_s:.0f} s: {said}.",
                ["wait a little, then try again"],
            )
        failure = _FAILURES.get(kind, Refused) if verb in ("create", "patch") else Refused
        if verb == "create" and kind == "ConfigMap" and status == 404:
            return Refused(
                f"The cluster has no namespace {namespace}.",
                f"It says: {said}.",
                ["have it made: homewright workspace export --setup | kubectl apply -f -"],
            )
        return failure(
            f"The cluster refuses to {'apply' if verb == 'patch' else verb} {resource}{where}.",
            f"It says: {said}.",
            ["see what it says: a quota, a policy of the cluster, or a value that it does not take"],
        )


def _client(kubeconfig: Path, context: str | None) -> Any:
    """The package's client for a kubeconfig, signed in. Raises Unreachable where it cannot be used."""
    from kubernetes import config
    from kubernetes.client import Configuration

    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    # The package tells only the root logger where a credential plugin failed, and would then go on as nobody.
    listener, root = Listener(), logging.getLogger()
    root.addHandler(listener)
    try:
        configuration = Configuration()
        configuration.retries = False  # we ask again ourselves, and say so
        configuration.connection_pool_maxsize = 32
        client = config.new_client_from_config(
            config_file=str(kubeconfig), context=context, client_configuration=configuration
        )
    except Exception as error:
        if isinstance(error, config.ConfigException | OSError | ValueError | KeyError | TypeError):
            raise _unusable(kubeconfig, f"{error}") from error
        raise
    finally:
        root.removeHandler(listener)
    settings = client.configuration
    if said and not settings.api_key and not settings.cert_file:
        raise _unusable(kubeconfig, f"Its credential plugin gave none: {'; '.join(said)}")
    return client


def _unusable(kubeconfig: Path, why: str) -> Unreachable:
    return Unreachable(
        f"The kubeconfig {kubeconfig} cannot be used.",
        f"{visible(why)}.",
        [f"try it yourself: kubectl --kubeconfig {kubeconfig} get namespaces"],
    )


def _transport_errors() -> tuple[type[Exception], ...]:
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    return (OSError, HTTPError, ApiException)


def _retry_after(response: Any) -> float:
    """Seconds that the server asks for."""
    text = response.headers.get("Retry-After", "") or ""
    return float(text) if text.isdigit() else 0.0


def _message(data: bytes | Manifest) -> str:
    """What the server says of a failure: the message of its Status."""
    if isinstance(data, bytes):
        try:
            data = json.loads(data)
        except ValueError:
            return data.decode("utf-8", "replace")[:500].strip() if isinstance(data, bytes) else ""
    return str(data.get("message", "")) if isinstance(data, dict) else str(data)


def _lines(response: Any) -> Iterator[bytes]:
    """A stream's lines as they arrive. A stream that was shut down, or went silent, just ends."""
    from urllib3.exceptions import HTTPError

    rest = b""
    try:
        for chunk in response.stream(65536):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from filter(None, whole)
    except (HTTPError, OSError, ValueError):
        pass  # whoever reads goes on from what it has
    finally:
        response.close()
    if rest.strip():
        yield rest

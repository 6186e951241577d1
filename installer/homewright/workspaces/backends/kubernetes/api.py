"""What workspaces ask of the cluster's API: with patience, with preconditions, and with reasons that name the right.

Signing in, TLS and the official package are `homewright.cluster`'s. Lists are JSON as the server writes it:
5,000 pods take 4 to 6 processor seconds and 730 MB through typed models, 1.4 and 400 raw (measured with kubernetes 37).
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from homewright.cluster.client import Cluster as Connection
from homewright.cluster.kubeconfig import SECRET, Kubeconfig, KubeconfigError
from homewright.errors import HomewrightError, Unreachable, visible
from homewright.workspaces.backends.kubernetes.answers import lines_of, message, retry_after
from homewright.workspaces.backends.kubernetes.reasons import quota_in
from homewright.workspaces.backends.kubernetes.resources import ISTIO, OPENSHIFT, RESOURCES
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
    from websocket import WebSocket

    from homewright.workspaces.backends.kubernetes.manifests import Manifest

CHUNK = 250
"""Objects a page of a list: 250 pods are 1.5 MB as JSON and 15 MB as Python's objects."""
ANSWER_S = 30.0
PATIENCE_S = 30.0
"""How long a busy or silent API server is asked again."""
FRESH_S = 60.0
"""For how long is believed what kinds of objects a cluster has."""
LOOK_S = 4.0
"""The same for a look at everything: it comes again soon, and servers are not kept waiting for a cluster."""
_RETRIED = {429, 500, 502, 503, 504}
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_RIGHT = re.compile(r'cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)"')


_FAILURES: dict[str, type[HomewrightError]] = {
    "PersistentVolumeClaim": StorageFailed,
    "StatefulSet": InstanceFailed,
    "Service": ServiceFailed,
    "Ingress": RoutingFailed,
    "VirtualService": RoutingFailed,
}


class Conflict(Exception):
    """Somebody else changed the object since it was read, has other fields of it, or made it first."""


class Gone(Exception):
    """The cluster has forgotten the version that something was asked from: it has to be listed anew."""


class Busy(Exception):
    """The server asks for time."""

    def __init__(self, after_s: float, why: HomewrightError) -> None:
        super().__init__(after_s)
        self.after_s = after_s
        """Seconds that it asks for; 0 where it names none."""
        self.why = why


@dataclass(frozen=True)
class Listed:
    """All objects of a kind, or a page of them, as of one moment."""

    items: tuple[Manifest, ...]
    version: str
    """The resource version of that moment."""


class Api:
    """One API server, over as many connections as there are threads.

    Every method raises Unreachable, MissingRight (which names the right), Refused, or what a failed part is called.
    """

    def __init__(self, kubeconfig: Callable[[], Kubeconfig], patience_s: float = PATIENCE_S) -> None:
        """`kubeconfig` is asked again when the server does not accept us any more: a token may have been renewed."""
        self._kubeconfig = kubeconfig
        self.patience_s = patience_s
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._age = 0
        self._kinds: dict[str, tuple[float, bool]] = {}

    def close(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def get(self, kind: str, namespace: str | None, name: str, patience_s: float | None = None) -> Manifest | None:
        """One object, or None."""
        return self._json("get", kind, namespace, name, missing=True, patience_s=patience_s)

    def list(
        self, kind: str, namespace: str | None, selector: str = "", fields: str = "", patience_s: float | None = None
    ) -> Listed:
        """All objects of a kind; without a namespace those of the whole cluster."""
        items: list[Manifest] = []
        version = ""
        for page in self.pages(kind, namespace, selector, fields, patience_s):
            items += page.items
            version = page.version
        return Listed(tuple(items), version)

    def pages(
        self, kind: str, namespace: str | None, selector: str = "", fields: str = "", patience_s: float | None = None,
        turn: contextlib.AbstractContextManager[object] | None = None,
    ) -> Iterator[Listed]:  # fmt: skip
        """As `list`, page by page: what is done with one can be forgotten before the next is here. Raises Gone.

        `turn` is held while a page is read and done with, never while one is waited for."""
        query = {"limit": str(CHUNK), **({"labelSelector": selector} if selector else {})}
        query |= {"fieldSelector": fields} if fields else {}
        while True:
            data = self._asked("list", kind, namespace, query=query, patience_s=patience_s)
            with turn or contextlib.nullcontext():
                page: Manifest = json.loads(data or b"{}")
                data, metadata = None, page.get("metadata") or {}
                # a list's items do not say their kind
                items = tuple({"kind": kind, **one} for one in page.get("items") or ())
                yield Listed(items, metadata.get("resourceVersion", ""))
                del page, items
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    def has_istio(self) -> bool:
        """Whether the cluster knows VirtualServices."""
        return self._knows(ISTIO, "virtualservices")

    def has_constraints(self) -> bool:
        """Whether it has OpenShift's SecurityContextConstraints."""
        return self._knows(OPENSHIFT, "securitycontextconstraints")

    def _knows(self, group: str, plural: str) -> bool:
        """Whether the cluster has such objects, asked at most once a minute. Where it does not tell us, it has none."""
        with self._lock:
            known = self._kinds.get(group)
        if known is None or time.monotonic() - known[0] > FRESH_S:
            try:
                found = self._json("get", group, None, missing=True) or {}
            except (Refused, MissingRight):
                found = {}  # every account may ask, unless an administrator took that away
            has = any(one.get("name") == plural for one in found.get("resources") or ())
            known = (time.monotonic(), has)
            with self._lock:
                self._kinds[group] = known
        return known[1]

    def watch(self, kind: str, namespace: str, selector: str, version: str, seconds: int, grace_s: float) -> Watch:
        """What changes from a version on, for so many seconds, after which the server ends it by itself.

        Asked once: whoever watches decides when to ask again. Raises Gone, Busy.
        """
        query = {"watch": "1", "allowWatchBookmarks": "true", "resourceVersion": version,
                 "timeoutSeconds": str(seconds), **({"labelSelector": selector} if selector else {})}  # fmt: skip
        response = self._request(
            "watch", kind, namespace, query=query, timeout=seconds + grace_s, stream=True, patience_s=0.0
        )
        if response.status < 300:
            return Watch(response)
        data = response.read()
        response.close()
        if response.status == 410:
            raise Gone(message(data))
        failure = self._failure(response.status, data, "watch", kind, namespace)
        if response.status in _RETRIED and isinstance(failure, HomewrightError):
            raise Busy(retry_after(response), failure)
        raise failure

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
            "apply", manifest["kind"], metadata.get("namespace"), metadata["name"], body=manifest, query=query,
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

    def mark(self, manifest: Manifest, annotations: Mapping[str, str | None]) -> Manifest:
        """Set annotations of exactly this object, and nothing else of it. Raises Conflict where it has changed."""
        metadata = manifest["metadata"]
        change = {"metadata": {"annotations": dict(annotations), "uid": metadata["uid"],
                               "resourceVersion": metadata["resourceVersion"]}}  # fmt: skip
        made = self._json(
            "patch", manifest["kind"], metadata.get("namespace"), metadata["name"], body=change,
            query={"fieldManager": MANAGER}, conflict=True,
        )  # fmt: skip
        return made or {}

    def log(self, namespace: str, pod: str, container: str, lines: int, follow: bool) -> Iterator[str]:
        """The last lines of a container's output, and with `follow` what comes."""
        query = {"container": container, "tailLines": str(lines), **({"follow": "true"} if follow else {})}
        timeout = None if follow else ANSWER_S
        response = self._request("get", "Pod", namespace, pod, "log", query=query, timeout=timeout, stream=True)
        if response.status >= 400:
            raise self._failure(response.status, response.read(), "get", "Pod", namespace, "log")
        for line in lines_of(response):
            yield line.decode("utf-8", "replace")

    def channel(
        self, namespace: str, pod: str, sub: str, query: Mapping[str, Any], protocols: Sequence[str]
    ) -> WebSocket:
        """A conversation with a pod, `exec` or `portforward`. The caller closes it."""
        from websocket import WebSocketBadStatusException, WebSocketException

        path, renewed = RESOURCES["Pod"].path(namespace, pod, sub), False
        while True:
            age = self._age
            try:
                return self._connected().channel(path, query, protocols)
            except WebSocketBadStatusException as error:
                if error.status_code == 401 and not renewed:
                    renewed = True
                    self._renew(age)
                    continue
                body = error.resp_body or b""
                raise self._failure(error.status_code, body, "get", "Pod", namespace, sub) from error
            except (WebSocketException, OSError) as error:
                raise self._silent(error) from error

    def _json(self, verb: str, kind: str, namespace: str | None, name: str = "", **more: Any) -> Manifest | None:
        """What `_asked` gives, read."""
        data = self._asked(verb, kind, namespace, name, **more)
        return json.loads(data) if data is not None else None

    def _asked(
        self, verb: str, kind: str, namespace: str | None, name: str = "", *, query: Mapping[str, str] | None = None,
        body: Manifest | None = None, missing: bool = False, conflict: bool = False, patience_s: float | None = None,
    ) -> bytes | None:  # fmt: skip
        response = self._request(verb, kind, namespace, name, query=query or {}, body=body, patience_s=patience_s)
        data: bytes = response.data
        if response.status < 300:
            return data
        if response.status == 404 and missing:
            return None
        if response.status == 409 and conflict:
            raise Conflict(message(data))
        if response.status == 410:
            raise Gone(message(data))
        raise self._failure(response.status, data, verb, kind, namespace)

    def _request(
        self, verb: str, kind: str, namespace: str | None, name: str = "", sub: str = "", *, query: Mapping[str, str],
        body: Manifest | None = None, timeout: float | None = ANSWER_S, stream: bool = False,
        patience_s: float | None = None,
    ) -> Any:  # fmt: skip
        """One request, asked again while the server is busy or does not answer, and once with fresh credentials.

        With a patience of its own no answer is waited for longer than that either; a stream's silence is its own.
        """
        if patience_s is not None and not stream:
            timeout = min(patience_s, timeout) if timeout is not None else patience_s
        method = {"create": "POST", "apply": "PATCH", "patch": "PATCH", "delete": "DELETE"}.get(verb, "GET")
        path = RESOURCES[kind].path(namespace, name, sub)
        content = {"apply": "application/apply-patch+yaml", "patch": "application/merge-patch+json"}.get(
            verb, "application/json"
        )
        until = time.monotonic() + min(self.patience_s, self.patience_s if patience_s is None else patience_s)
        pause, renewed = _FIRST_PAUSE_S, False
        while True:
            age = self._age
            wait = pause * random.uniform(0.5, 1.0)
            try:
                response = self._connected().send(
                    method, path, query, body, content=content, timeout=timeout, stream=stream
                )
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
                wait = max(wait, retry_after(response))
                response.close()
            time.sleep(min(wait, max(0.0, until - time.monotonic())))
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _connected(self) -> Connection:
        with self._lock:
            if self._connection is None:
                self._connection = _signed_in(self._kubeconfig())
                self._age += 1
            return self._connection

    def _renew(self, age: int) -> None:
        """Sign in anew: the secret was changed, or its program gives another token by now."""
        with self._lock:
            if self._age == age:
                self._connection = None

    def _silent(self, error: Exception) -> Unreachable:
        reason = getattr(error, "reason", None) or error
        return Unreachable(
            "The cluster's API server does not answer.",
            f"{visible(str(reason))}.",
            ["see whether the control plane's server is on and reachable, then try again"],
        )

    def _failure(
        self, status: int, data: bytes | Manifest, verb: str, kind: str, namespace: str | None, sub: str = ""
    ) -> Exception:
        """What an answer that is no success means."""
        said = visible(message(data))
        resource = "/".join(filter(None, (RESOURCES[kind].plural, sub)))
        where = f" in namespace {namespace}" if namespace else ""
        if status == 401:
            return Unreachable(
                "The cluster does not accept who we are.",
                f"It says: {said}. What the kubeconfig holds has expired or was withdrawn.",
                [f"give a kubeconfig that is valid: homewright site secret set {SECRET}"],
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
                f"It answers {status}: {said}.",
                ["wait a little, then try again"],
            )
        failure = _FAILURES.get(kind, Refused) if verb in ("create", "apply") else Refused
        if verb == "create" and kind == "ConfigMap" and status == 404:
            return Refused(
                f"The cluster has no namespace {namespace}.",
                f"It says: {said}.",
                ["have it made: homewright workspace export --setup | kubectl apply -f -"],
            )
        refusal = f"The cluster refuses to {verb} {resource}{where}."
        if (full := quota_in(said)) is not None:
            return failure(refusal, f"{full.reason[:1].upper()}{full.reason[1:]}.", [full.remedy])
        return failure(
            refusal,
            f"It says: {said}.",
            ["see what it says: a quota, a policy of the cluster, or a value that it does not take"],
        )


class Watch:
    """One watch that is open: what it tells, and a way to end it from elsewhere."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self._cut = False

    def close(self) -> None:
        """End it; whoever reads it, in another thread, sees its end."""
        self._cut = True
        with contextlib.suppress(Exception):  # it may have ended by itself, in any of the transport's ways
            self._response.shutdown()

    def __iter__(self) -> Iterator[tuple[str, Manifest]]:
        """Type and object of each event, a bookmark's too. Ends with the server's end.

        Raises Unreachable where nothing comes in the time that was agreed, Gone, or Busy.
        """
        rest = b""
        try:
            for chunk in self._response.stream(1 << 16):
                *whole, rest = (rest + chunk).split(b"\n")
                for line in filter(None, whole):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise _told(event["object"])
                    yield event["type"], event["object"]
        except _transport_errors() as error:
            if not self._cut:
                raise Unreachable(
                    "The cluster's API server says nothing any more.",
                    f"{visible(str(getattr(error, 'reason', None) or error))}.",
                    ["see whether the control plane's server is on and reachable"],
                ) from error
        except ValueError:
            if not self._cut:  # shut down between two chunks
                raise
        finally:
            self._response.close()


def _told(status: Manifest) -> Gone | Busy:
    """What an ERROR event of a watch means."""
    if status.get("code") == 410:
        return Gone(message(status))
    after = (status.get("details") or {}).get("retryAfterSeconds") or 0.0
    return Busy(
        float(after),
        Unreachable("The cluster's API server ended its watch.", f"It says: {visible(message(status))}."),
    )


def _signed_in(config: Kubeconfig) -> Connection:
    """A connection for a kubeconfig. Raises Unreachable where it cannot be used."""
    from kubernetes.config import ConfigException

    try:
        return Connection(config)
    except KubeconfigError as error:
        raise Unreachable(error.what, error.why, error.do) from error
    except (ConfigException, OSError, ValueError, KeyError, TypeError) as error:
        raise _unusable(f"{error}") from error


def _unusable(why: str) -> Unreachable:
    return Unreachable(
        "The site's kubeconfig cannot be used.",
        f"{visible(why)}.",
        [f"give another: homewright site secret set {SECRET}"],
    )


def _transport_errors() -> tuple[type[Exception], ...]:
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    return (OSError, HTTPError, ApiException)

"""An API server's manners in one process: names, versions, preconditions, owners, one StatefulSet controller, faults.

It is for what a real one cannot be made to do on demand, and for quick tests of what happens between two calls.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from homewright.cluster.kubeconfig import Kubeconfig, read

_PATH = re.compile(r"/(?:api/v1|apis/([^/]+)/v1(?:beta1)?)(?:/namespaces/([^/]+))?/([^/]+)(?:/([^/]+))?(?:/(log))?")
_KINDS = {
    "namespaces": "Namespace", "configmaps": "ConfigMap", "secrets": "Secret", "serviceaccounts": "ServiceAccount",
    "services": "Service", "persistentvolumeclaims": "PersistentVolumeClaim", "pods": "Pod", "events": "Event",
    "statefulsets": "StatefulSet", "ingresses": "Ingress", "networkpolicies": "NetworkPolicy", "roles": "Role",
    "rolebindings": "RoleBinding", "daemonsets": "DaemonSet", "nodes": "Node", "resourcequotas": "ResourceQuota",
    "storageclasses": "StorageClass", "virtualservices": "VirtualService", "gateways": "Gateway",
}  # fmt: skip


class Refusal(Exception):
    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}


class StandIn:
    """The objects, and what is done to them."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.lock = threading.RLock()
        self.faults: list[tuple[int, str, dict[str, str]]] = []
        """Answers that come first: status, message, headers."""
        self.lose: tuple[str, str] | None = None
        """What is done next, and not answered: method, and a part of the path. The connection ends."""
        self.token = "first"
        self.denied: set[tuple[str, str]] = set()
        """Rights that are missing: verb and resource."""
        self.calls: list[tuple[str, str]] = []
        self.pods_work = True
        self._versions = itertools.count(1)
        self.url = ""
        self.silent = False
        """Watches are taken, and nothing is ever said on them, not even that they end."""
        self.forgotten = 0
        """Versions up to this one cannot be watched from any more."""
        self.missing: set[str] = set()
        """Resources that this server does not have."""
        self.istio = False
        """Whether Istio's kinds are there."""
        self.constraints = False
        """Whether OpenShift's rules for pods are there."""
        self.metrics: list[dict[str, Any]] = []
        """What a metrics server measured: PodMetrics."""
        self._log: list[tuple[int, str, dict[str, Any]]] = []
        self._logged: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._news = threading.Condition(self.lock)
        room = {"cpu": "64", "memory": "256Gi", "pods": "110"}
        default = {"storageclass.kubernetes.io/is-default-class": "true"}
        self.put({"kind": "Node", "metadata": {"name": "n1"}, "spec": {}, "status": {"allocatable": room}})
        self.put({"kind": "StorageClass", "metadata": {"name": "local-path", "annotations": default}})

    def kubeconfig(self, token: str = "first") -> Kubeconfig:
        cluster = {"name": "c", "cluster": {"server": self.url}}
        user = {"name": "u", "user": {"token": token}}
        context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
        document = {"clusters": [cluster], "users": [user], "contexts": [context], "current-context": "x"}
        return read(json.dumps(document))

    def put(self, manifest: dict[str, Any], manager: str = "kubectl") -> dict[str, Any]:
        """What somebody else makes."""
        with self.lock:
            return self._store(copy.deepcopy(manifest), manager)

    def all(self, kind: str) -> list[dict[str, Any]]:
        with self.lock:
            return [copy.deepcopy(one) for (other, _, _), one in sorted(self.objects.items()) if other == kind]

    def _store(self, manifest: dict[str, Any], manager: str) -> dict[str, Any]:
        metadata = manifest["metadata"]
        version = next(self._versions)
        metadata.setdefault("uid", f"uid-{version}")
        metadata.setdefault("creationTimestamp", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        metadata["resourceVersion"] = str(version)
        metadata["managedFields"] = [{"manager": manager}]
        self.objects[manifest["kind"], metadata.get("namespace", ""), metadata["name"]] = manifest
        self._control()
        self._write_log()
        return copy.deepcopy(manifest)

    def answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any] | None, content: str) -> Any:
        if path.startswith("/apis/networking.istio.io/") and not self.istio:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        if path == "/apis/networking.istio.io/v1":
            names = [{"name": "virtualservices"}, {"name": "gateways"}]
            return {"kind": "APIResourceList", "resources": names}
        if path == "/apis/security.openshift.io/v1" and self.constraints:
            return {"kind": "APIResourceList", "resources": [{"name": "securitycontextconstraints"}]}
        found = _PATH.fullmatch(path)
        if found is None:
            raise Refusal(404, "NotFound", f"no such path {path}")
        _, namespace, plural, name, sub = (unquote(part) if part else "" for part in found.groups())
        if plural in self.missing or (path.startswith("/apis/metrics.k8s.io/") and not self.metrics):
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        if path.startswith("/apis/metrics.k8s.io/"):
            self.calls.append(("list", "podmetrics"))
            items = [one for one in self.metrics if one["metadata"]["namespace"] == namespace]
            return {"kind": "PodMetricsList", "metadata": {}, "items": items}
        if plural in _KINDS or not name:
            kind = _KINDS[plural]
        else:
            kind, name = _KINDS["namespaces"], plural
        verb = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}.get(method, "get" if name else "list")
        resource = f"{plural}/{sub}" if sub else plural
        self.calls.append((verb, resource))
        if (verb, resource) in self.denied:
            message = f'{plural} is forbidden: User "u" cannot {verb} resource "{resource}" in API group ""'
            raise Refusal(403, "Forbidden", message)
        key = (kind, namespace, name)
        with self.lock:
            if verb == "list":
                return self._list(kind, namespace, query)
            if verb == "create":
                assert body is not None
                return self._create(kind, namespace, body)
            there = self.objects.get(key)
            if verb == "patch":
                assert body is not None
                return self._patch(key, there, body, query, content)
            if there is None:
                raise Refusal(404, "NotFound", f'{plural} "{name}" not found')
            if verb == "delete":
                return self._delete(key, there, body or {})
            if sub == "log":
                return "one\n\x1b]0;owned\x07two\x1b[2J\n"
            return copy.deepcopy(there)

    def _list(self, kind: str, namespace: str, query: dict[str, str]) -> dict[str, Any]:
        found = [
            one for (other, place, _), one in sorted(self.objects.items())
            if other == kind and namespace in ("", place) and _matches(one, query.get("labelSelector", ""))
        ]  # fmt: skip
        field = query.get("fieldSelector", "")
        if field:
            wanted = field.partition("=")[2]
            found = [one for one in found if (one.get("involvedObject") or {}).get("name") == wanted]
        start, limit = int(query.get("continue", "0") or 0), int(query.get("limit", "500"))
        metadata = {"resourceVersion": str(next(self._versions))}
        if start + limit < len(found):
            metadata["continue"] = str(start + limit)
        items = [{key: value for key, value in one.items() if key != "kind"} for one in found[start : start + limit]]
        return {"kind": f"{kind}List", "metadata": metadata, "items": copy.deepcopy(items)}

    def _create(self, kind: str, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        key = (kind, namespace, body["metadata"]["name"])
        if namespace and ("Namespace", "", namespace) not in self.objects:
            raise Refusal(404, "NotFound", f'namespaces "{namespace}" not found')
        if key in self.objects:
            raise Refusal(409, "AlreadyExists", f'"{key[2]}" already exists')
        return self._store(copy.deepcopy(body), "homewright")

    def _patch(
        self, key: tuple[str, str, str], there: dict[str, Any] | None, body: dict[str, Any], query: dict[str, str],
        content: str,
    ) -> dict[str, Any]:  # fmt: skip
        metadata = body["metadata"]
        if there is None:
            if "resourceVersion" in metadata or "uid" in metadata:
                raise Refusal(409, "Conflict", "no existing object was found")
            return self._create(key[0], key[1], body)
        for field in ("resourceVersion", "uid"):
            if metadata.get(field, there["metadata"][field]) != there["metadata"][field]:
                raise Refusal(409, "Conflict", "the object has been modified")
        after = copy.deepcopy(there)
        if content.startswith("application/merge-patch"):
            marks = after["metadata"].setdefault("annotations", {})
            for name, value in metadata["annotations"].items():
                marks.pop(name, None)
                if value is not None:
                    marks[name] = value
        else:
            foreign = there["metadata"]["managedFields"][0]["manager"] != query["fieldManager"]
            for field in (name for name in body if name not in ("metadata", "kind", "apiVersion")):
                if foreign and query.get("force") != "true" and field in there and there[field] != body[field]:
                    raise Refusal(409, "Conflict", f"Apply failed with 1 conflict: conflict with kubectl: .{field}")
                after[field] = copy.deepcopy(body[field])
            for field in ("labels", "annotations", "ownerReferences"):
                if field in metadata:
                    after["metadata"][field] = copy.deepcopy(metadata[field])
        if after == there:
            return copy.deepcopy(there)
        return self._store(after, query["fieldManager"])

    def _delete(self, key: tuple[str, str, str], there: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        for field, value in (body.get("preconditions") or {}).items():
            if there["metadata"][field] != value:
                raise Refusal(409, "Conflict", "the precondition failed")
        del self.objects[key]
        self._control()
        self._write_log()
        return {"kind": "Status", "status": "Success"}

    def _write_log(self) -> None:
        """What has changed since this was done last, for those who watch."""
        for key, one in self._logged.items():
            if key not in self.objects:
                version = next(self._versions)
                last = {**one, "metadata": {**one["metadata"], "resourceVersion": str(version)}}
                self._log.append((version, "DELETED", last))
        for key, one in self.objects.items():
            before = self._logged.get(key)
            if before is not one:
                version = int(one["metadata"]["resourceVersion"])
                self._log.append((version, "ADDED" if before is None else "MODIFIED", copy.deepcopy(one)))
        self._log.sort(key=lambda entry: entry[0])
        self._logged = dict(self.objects)
        self._news.notify_all()

    def watch(self, path: str, query: dict[str, str]) -> Iterator[dict[str, Any]]:
        """The events of a watch, a bookmark before its end."""
        found = _PATH.fullmatch(path)
        assert found is not None
        _, namespace, plural, *_ = (unquote(part) if part else "" for part in found.groups())
        self.calls.append(("watch", plural))
        if ("watch", plural) in self.denied:
            message = f'{plural} is forbidden: User "u" cannot watch resource "{plural}" in API group ""'
            raise Refusal(403, "Forbidden", message)
        at, until = int(query["resourceVersion"]), time.monotonic() + int(query["timeoutSeconds"])
        if at < self.forgotten:
            raise Refusal(410, "Expired", "too old resource version")
        return self._told(_KINDS[plural], namespace, query.get("labelSelector", ""), at, until)

    def _told(self, kind: str, namespace: str, selector: str, at: int, until: float) -> Iterator[dict[str, Any]]:
        while time.monotonic() < until:
            with self._news:
                news = [
                    (version, what, one) for version, what, one in self._log
                    if version > at and one["kind"] == kind and one["metadata"].get("namespace", "") == namespace
                    and _matches(one, selector)
                ]  # fmt: skip
                if self.silent or not news:
                    self._news.wait(min(0.2, max(0.0, until - time.monotonic())))
                    continue
            for version, what, one in news:
                at = version
                yield {"type": what, "object": one}
        while self.silent:
            time.sleep(0.05)
        if at < self.forgotten:
            status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
            yield {"type": "ERROR", "object": status}
            return
        with self.lock:
            at = next(self._versions)
        yield {"type": "BOOKMARK", "object": {"kind": kind, "metadata": {"resourceVersion": str(at)}}}

    def _control(self) -> None:
        """What controllers and a kubelet do, at once: one pod for a StatefulSet, and nothing outlives its owner."""
        uids = {one["metadata"]["uid"] for one in self.objects.values()}
        for key, one in list(self.objects.items()):
            owners = one["metadata"].get("ownerReferences") or ()
            if owners and not any(owner["uid"] in uids for owner in owners):
                del self.objects[key]
        for (kind, namespace, name), one in list(self.objects.items()):
            if kind != "StatefulSet":
                continue
            place = ("Pod", namespace, f"{name}-0")
            if one["spec"]["replicas"] == 0:
                self.objects.pop(place, None)
            elif place not in self.objects and self.pods_work:
                self.objects[place] = self._pod(namespace, name, one)

    def _pod(self, namespace: str, name: str, stateful: dict[str, Any]) -> dict[str, Any]:
        version = str(next(self._versions))
        template = copy.deepcopy(stateful["spec"]["template"])
        metadata = {
            **template["metadata"], "name": f"{name}-0", "namespace": namespace, "uid": f"uid-{version}",
            "resourceVersion": version, "creationTimestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "ownerReferences": [{"uid": stateful["metadata"]["uid"]}],
        }  # fmt: skip
        running = {"startedAt": metadata["creationTimestamp"]}
        container = {"name": "workspace", "ready": True, "started": True, "state": {"running": running}}
        status = {"phase": "Running", "podIP": "10.1.0.7", "containerStatuses": [container]}
        return {"kind": "Pod", "metadata": metadata, "spec": {**template["spec"], "nodeName": "n1"}, "status": status}


def _matches(manifest: dict[str, Any], selector: str) -> bool:
    labels = manifest["metadata"].get("labels") or {}
    for term in filter(None, selector.split(",")):
        name, equals, value = term.partition("=")
        if name not in labels or (equals and labels[name] != value):
            return False
    return True


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """A stand-in that listens on the loopback."""
    server = StandIn()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # an answer in one piece: in two each waits 40 ms for the other side's acknowledgement
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            data = self.rfile.read(length)
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            headers: dict[str, str] = {}
            try:
                if server.faults:
                    code, message, headers = server.faults.pop(0)
                    raise Refusal(code, "Fault", message)
                if self.headers.get("Authorization") != f"Bearer {server.token}":
                    raise Refusal(401, "Unauthorized", "Unauthorized")
                body = json.loads(data) if data else None
                if "watch" in query:
                    self._stream(server.watch(parts.path, query))
                    return
                answer = server.answer(self.command, parts.path, query, body, self.headers.get("Content-Type") or "")
                code = 200
                if server.lose is not None and self.command == server.lose[0] and server.lose[1] in parts.path:
                    server.lose, self.close_connection = None, True
                    return
            except Refusal as refusal:
                code, answer = refusal.code, refusal.body
            said = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def handle(self) -> None:
            with suppress(OSError):  # whoever asked has hung up
                super().handle()

        def finish(self) -> None:
            with suppress(OSError):  # and what is left for it goes nowhere
                super().finish()

        def _stream(self, events: Iterator[dict[str, Any]]) -> None:
            """Events as lines, each a chunk of its own, as they happen."""
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.flush()
            self.close_connection = True
            with suppress(OSError):  # whoever watches has hung up
                for event in events:
                    line = json.dumps(event).encode() + b"\n"
                    self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")

        do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    httpd.block_on_close = False
    server.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()

"""The cluster itself: kubeadm's init on its control plane, joins of the others, and every node as planned."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from homewright.access.remote import CommandFailed
from homewright.cluster import client, kubeconfig, snapshots
from homewright.cluster.client import Cluster
from homewright.engine.runners.host import LOOK_UP_S, Host, together
from homewright.errors import HomewrightError, Unreachable
from homewright.planning.cluster import ClusterPlan, Node, planned
from homewright.site.secrets import Secrets
from homewright.stages.cluster import documents, draining, etcd, images, renewing, resetting, versions
from homewright.stages.cluster.look import FORMED, OWNER, Refused

OWNER_SECRET = "cluster/owner"
"""What tells this site's cluster from those of others that are called the same."""
CONFIG = "/run/homewright/kubeadm.yaml"
"""In memory only: it has a token in it, and goes when kubeadm has ended."""
SAID = "/run/homewright/kubeadm.said"
SHARING = "/run/homewright/kubeadm-certs.yaml"
"""In memory only: it has the key in it that a joining control plane decrypts the certificates with."""
SERVES = "/etc/kubernetes/manifests/kube-apiserver.yaml"
"""What a control plane has and a worker has not."""
MEMBER = "/etc/kubernetes/manifests/etcd.yaml"
"""What one has that may be a member of etcd by now."""
ADMIN = "/etc/kubernetes/admin.conf"
KUBELET = "/etc/kubernetes/kubelet.conf"
INIT_S = 900
JOIN_S = 600
AHEAD_S = 60
"""How long nodes may go on pulling once there is a control plane: a registry that stalls keeps none from joining."""
SIGNED_S = 60
API_S = 180
"""How long a control plane may take to answer after its start, with its images there."""
API_NAME = "kubernetes"
"""A name that kubeadm puts into the certificate of every API server, whatever leads there."""
MANAGED = "homewright.dev/managed"
"""The annotation on a node that says which of its labels and taints are ours: they go when nobody plans them."""


def owner(host: Host) -> str:
    """Whose the cluster is: the site's name, and a mark of its own."""
    mark = Secrets(host.secrets_file).ensure(OWNER_SECRET, lambda: secrets.token_hex(8))
    return f"{host.site.name}/{mark}"


def plan_of(host: Host) -> ClusterPlan:
    """The planned cluster. Raises ClusterPlanError."""
    return planned(host.site, host.facts)


def control_plane(hosts: Sequence[Host], plan: ClusterPlan) -> Host:
    """The control plane's host: one of these, or a peer of theirs. Raises HomewrightError."""
    for host in (*hosts, *hosts[0].peers):
        if host.name == plan.first.name:
            return host
    raise HomewrightError(
        f"The control plane {plan.first.name} is not reached from here.",
        "It is an instance that this run was not asked to work on.",
        ["run the whole stage: homewright apply --only 40/core/cluster"],
    )


def connect(host: Host) -> Cluster:
    """The API, by the site's kubeconfig. Raises KubeconfigError, and on use ClusterError."""
    return Cluster(client.of_site(Secrets(host.secrets_file)))


def connected(host: Host) -> AbstractContextManager[Cluster]:
    """As `connect`, for a proof: those that are proved beside it use the same one. Raises as `connect`."""
    return host.sharing("cluster", lambda: connect(host))


def state(host: Host) -> str:
    """`absent`, `half` for an init or a join that was cut off, or `formed`. Raises Refused for somebody else's."""
    said = host.run(
        f"cat {OWNER} 2>/dev/null; echo; [ ! -e {FORMED} ] || echo formed; "
        f"for file in {KUBELET} {ADMIN} {MEMBER} /var/lib/etcd/member; do "
        "[ ! -e $file ] || echo config; done"
    ).stdout.split()
    if "config" in said and owner(host) not in said:
        raise Refused(f"{host.name} has Kubernetes already, and it is not this site's.", "It is left alone.")
    if "formed" in said and "config" in said:
        return "formed"
    return "half" if "config" in said else "absent"


def initialise(host: Host, plan: ClusterPlan) -> None:
    """See that the control plane is up, and keep its kubeconfig as a secret of the site."""
    with host.task("Control plane") as task:
        found, token = state(host), ""
        if found == "formed" and not host.exists(SERVES):
            raise Refused(
                f"{host.name} is a worker of the cluster, and is planned as its control plane.",
                f"It has no {SERVES}.",
                [
                    "let the server that is the control plane be the first in the site's file again",
                    "or make the cluster anew, with all that is in it gone: homewright rollback 40/core/cluster",
                ],
            )
        if found != "formed" and (others := other_planes(host, plan, strict=True)):
            raise Refused(
                f"{host.name} is no control plane any more, and {others[0].name} is one.",
                "A new cluster would be made beside the one that is there.",
                [
                    "let another server be the first in the site's file, so that this one joins",
                    "or end what is left of it: homewright rollback 40/core/cluster",
                ],
            )
        if found == "half":
            resetting.reset(host)
        if found == "formed":
            _require_endpoint(host, plan)
            task.changed = renewing.renew(host)
        else:
            token = _token()
            kubeadm(host, "init", documents.initial(host.site, plan, token), INIT_S)
            host.write(FORMED, b"init\n")
            task.changed = True
    keep_kubeconfig(host, plan)
    if waiting := client.wait(API_S, lambda: ready(host)):
        raise HomewrightError(
            f"The control plane on {host.name} does not answer.",
            waiting,
            [f"on {host.name}: sudo journalctl -u kubelet -n 50; sudo ls /var/log/pods"],
        )
    if found != "formed":
        with connect(host) as api:
            _end(api, f"bootstrap-token-{token.partition('.')[0]}")


def keep_kubeconfig(host: Host, plan: ClusterPlan) -> None:
    """The site's kubeconfig is that of this control plane, for whoever is no node. Raises KubeconfigError where it has
    none."""
    with host.task("Its kubeconfig") as task:
        text = (host.read(ADMIN) or b"").decode()
        kubeconfig.read(text)
        if plan.outside != plan.endpoint:
            text = kubeconfig.led(text, f"https://{plan.outside}", API_NAME)
        kept = Secrets(host.secrets_file)
        if kept.get(kubeconfig.SECRET) != text:
            kept.set(kubeconfig.SECRET, text)
            task.changed = True


def _require_endpoint(host: Host, plan: ClusterPlan) -> None:
    """The address of the API is in every node's files: it stays what it was made with. Raises Refused."""
    known = kubeconfig.read((host.read(ADMIN) or b"").decode()).server
    if known != f"https://{plan.endpoint}":
        raise Refused(
            f"The cluster's API is at {known}, and the site says {plan.endpoint}.",
            "The address is chosen before the cluster is made: all nodes know it.",
            [
                "put cluster.address back as it was: homewright site set cluster.address …",
                "or make the cluster anew, with all that is in it gone: homewright rollback 40/core/cluster",
            ],
        )


def other_planes(host: Host, plan: ClusterPlan | None, *, strict: bool = False) -> list[Host]:
    """Other control planes of the cluster that stand, whatever they are planned as; without a plan any.

    One that cannot be looked at is none; but with `strict` it may be the only one, so that what it says is raised:
    Unreachable or Refused.
    """
    names = {peer.name for peer in host.peers} if plan is None else {node.name for node in plan.nodes}
    found: list[Host] = []
    unknown: list[HomewrightError] = []
    for peer in host.peers:
        if peer.name in names:
            try:
                found += [peer] if state(peer) == "formed" and peer.exists(SERVES) else []
            except (Unreachable, Refused) as error:
                unknown.append(error)
    if strict and unknown and not found:
        raise unknown[0]
    return found


@contextmanager
def _certificates(giver: Host, plan: ClusterPlan, api: Cluster) -> Iterator[str]:
    """The cluster's certificates within reach of a control plane that joins; yields the key to them, for this once."""
    key = secrets.token_hex(32)
    giver.run("mkdir -p -m 700 /run/homewright")
    version = (giver.read(versions.VERSION) or b"").decode().strip()
    giver.write(SHARING, documents.sharing(giver.site, plan, key, version).encode(), mode=0o600)
    try:
        # It would print the key.
        giver.run(f"kubeadm init phase upload-certs --upload-certs --config {SHARING} >/dev/null", timeout=180)
        yield key
    finally:
        giver.remove(SHARING)
        _end(api, "kubeadm-certs")


def _end(api: Cluster, name: str) -> None:
    """Take a secret of one join away, and the token that kubeadm ends it by.

    An API that hangs up, as while etcd gets another member, is asked again; a join is none the worse for a rest, which
    ends by itself soon.
    """
    place = "/api/v1/namespaces/kube-system/secrets"

    def gone() -> str:
        there = api.find(f"{place}/{name}") or {"metadata": {}}
        for one in there["metadata"].get("ownerReferences", ()):
            api.delete(f"{place}/{one['name']}")
        api.delete(f"{place}/{name}")
        return ""

    client.wait(API_S, gone)


def join(host: Host, plan: ClusterPlan) -> None:
    """See that a node is in the cluster. Its token, and the key of a control plane, are good for this join alone."""
    node = plan.node(host.name)
    with host.task("Join") as task, connect(host) as api:
        found = state(host)
        serves = found == "formed" and host.exists(SERVES)
        if serves and not node.control_plane:
            # Of three servers one has left: two stay what they are, and the next server makes them three again.
            host.say(f"{host.name} stays a control plane, though the site has too few servers for three")
        if found == "formed" and node.control_plane and not serves:
            raise Refused(
                f"{host.name} is a worker of the cluster, and is planned as a control plane.",
                "It would have to leave the cluster and join it again.",
                [
                    f"take it out of the site and in again: homewright site remove-server {host.name}",
                    "or make the cluster anew, with all that is in it gone: homewright rollback 40/core/cluster",
                ],
            )
        believes = found == "formed" and _believes(host, api.config.ca_pem)
        if serves and not believes:
            raise Refused(
                f"{host.name} is a control plane of another cluster than the one that the site knows.",
                "What is in that one's etcd may be all that is left of it, so it is not reset.",
                [
                    "see which of the two is the one to keep; etcd's last states are in " + etcd.SNAPSHOTS,
                    f"where {host.name} may lose its own: homewright site remove-server {host.name}",
                ],
            )
        member = node.control_plane or serves
        others = [one for one in other_planes(host, plan) if _believes(one, api.config.ca_pem)] if member else []
        if member and not others:
            raise HomewrightError(f"{host.name} cannot join: no other control plane can be reached.")
        # One that the cluster does not know, or that knows another cluster, joins anew.
        known = api.find(f"/api/v1/nodes/{host.name}") is not None
        if not (known and believes):
            if member:
                # Before anything of it is reset: where etcd cannot spare it, nothing is lost.
                etcd.snapshot(others[0])
                etcd.remove(others[0], host.name)
            if found != "absent":
                resetting.reset(host)
                found = "absent"
            if known:
                api.delete(f"/api/v1/nodes/{host.name}")
        elif serves:
            task.changed = renewing.renew(host)
        if found == "absent":
            token = _bootstrap(api)
            keys = _certificates(others[0], plan, api) if node.control_plane else nullcontext("")
            try:
                # kubeadm looks once, and then every five seconds; where it stays unsigned, it is kubeadm that tells.
                client.wait(SIGNED_S, lambda: unsigned(api, token))
                with keys as key:
                    believed = ca_hash(api.config.ca_pem)
                    kubeadm(host, "join", documents.joining(host.site, plan, node, token, believed, key), JOIN_S)
            finally:
                _end(api, f"bootstrap-token-{token.partition('.')[0]}")
            host.write(FORMED, b"join\n")
            task.changed = True
            if node.control_plane and (waiting := client.wait(API_S, lambda: ready(host))):
                raise HomewrightError(f"The API does not answer since {host.name} is a control plane.", waiting)


def as_planned(host: Host, plan: ClusterPlan) -> None:
    """The node's labels and taints as planned; those of others stay."""
    node = plan.node(host.name)
    with host.task("Labels and taints") as task, connect(host) as api:

        def mark() -> str:
            found = api.find(f"/api/v1/nodes/{host.name}")
            if found is None:
                return "It is not there yet."
            # It was to leave once, and a cut or a failure came between.
            task.changed |= draining.open_again(api, host.name)
            if change := node_change(node, found):
                api.merge(f"/api/v1/nodes/{host.name}", change)
                task.changed = True
            return ""

        # While etcd gets another member the API may hang up now and then.
        if waiting := client.wait(API_S, mark):
            raise HomewrightError(f"{host.name} does not appear in the cluster.", waiting)


def node_change(node: Node, found: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch that makes a node's labels and taints as planned; empty where they are. Pure."""
    metadata = found.get("metadata") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    before = json.loads(annotations.get(MANAGED) or "{}")
    wanted = [_taint(taint.key, taint.value, taint.effect) for taint in node.taints]
    record = json.dumps({"labels": sorted(node.labels), "taints": [taint_name(taint) for taint in wanted]})
    changed: dict[str, Any] = {name: value for name, value in node.labels.items() if labels.get(name) != value}
    changed |= {name: None for name in before.get("labels", ()) if name not in node.labels and name in labels}
    there = (found.get("spec") or {}).get("taints") or []
    ours = {*before.get("taints", ()), *map(taint_name, wanted)}
    kept = [taint for taint in there if taint_name(taint) not in ours]
    present = [taint for taint in there if taint_name(taint) in ours]
    change: dict[str, Any] = {}
    if changed or annotations.get(MANAGED) != record:
        change["metadata"] = {"labels": changed, "annotations": {MANAGED: record}}
    if sorted(map(json.dumps, present)) != sorted(map(json.dumps, wanted)):
        change["spec"] = {"taints": [*kept, *wanted]}
    return change


def taint_name(taint: Mapping[str, Any]) -> str:
    """What tells taints of a node apart."""
    return f"{taint['key']}:{taint['effect']}"


def _taint(key: str, value: str, effect: str) -> dict[str, str]:
    return {"key": key, "effect": effect} | ({"value": value} if value else {})


def ca_hash(ca_pem: bytes) -> str:
    """The digest of a CA's public key, as kubeadm compares it."""
    key = x509.load_pem_x509_certificate(ca_pem).public_key()
    encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(encoded)
    return f"sha256:{digest.finalize().hex()}"


def kubeadm(host: Host, verb: str, config: str, limit_s: float, *, program: str = "kubeadm") -> None:
    """Run kubeadm with a configuration that may hold a token: it is in memory, 0600, and gone afterwards."""
    # init would end with a command that has the token in it, in everybody's log.
    quiet = " --skip-token-print" if verb == "init" else ""
    host.run("mkdir -p -m 700 /run/homewright")
    host.write(CONFIG, config.encode(), mode=0o600)
    try:
        # What went wrong comes last, so that it is what is told; kubeadm itself ends with advice about its own flags.
        host.show(
            f"failed=0; {program} {verb}{quiet} --config {CONFIG} 2>{SAID} || failed=$?; "
            f"grep -v 'stack trace of this error' {SAID}; rm -f {SAID}; exit $failed",
            timeout=limit_s,
        )
    except CommandFailed as error:
        raise HomewrightError(
            f"kubeadm {verb} did not come to its end on {host.name}.",
            error.why,
            [
                f"what kubelet says: sudo journalctl -u kubelet -n 50 (on {host.name})",
                f"what the containers say: sudo ls /var/log/pods (on {host.name})",
                "then: homewright retry puts back what is half done, and begins anew",
            ],
        ) from error
    finally:
        host.remove(CONFIG)


def ready(host: Host) -> str:
    """Why the API is not ready, in its own words; empty where it is. Raises KubeconfigError, ClusterError."""
    with connect(host) as api:
        said = api.text("/readyz")
        return "" if said == "ok" else said


def _believes(host: Host, ca_pem: bytes) -> bool:
    """Whether a node's kubelet is in this very cluster, and not in one that was made before it."""
    found = host.read("/etc/kubernetes/pki/ca.crt") or b""
    return found.strip() == ca_pem.strip()


def _token() -> str:
    return f"{secrets.token_hex(3)}.{secrets.token_hex(8)}"


def _bootstrap(api: Cluster) -> str:
    """A token for one join."""
    token = _token()
    name, _, secret = token.partition(".")
    ends = datetime.now(UTC) + timedelta(minutes=15)
    data = {
        "token-id": name,
        "token-secret": secret,
        "expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "usage-bootstrap-authentication": "true",
        "usage-bootstrap-signing": "true",
        "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
        "description": "homewright: one join",
    }
    body = {
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": f"bootstrap-token-{name}"}, "stringData": data,
    }  # fmt: skip
    api.create("/api/v1/namespaces/kube-system/secrets", body)
    return token


def unsigned(api: Cluster, token: str) -> str:
    """Why nobody can join by this token yet, in a sentence; empty where it can be done.

    Who joins believes what the cluster tells of itself once that is signed with its token, which a controller does: it
    has to be in charge by then, some seconds after the API of a new control plane answers.
    """
    told = (api.find("/api/v1/namespaces/kube-public/configmaps/cluster-info") or {}).get("data") or {}
    return "" if f"jws-kubeconfig-{token.partition('.')[0]}" in told else "The cluster has not signed the token yet."


def planes(hosts: Sequence[Host], plan: ClusterPlan) -> list[Host]:
    """The control planes of these hosts."""
    names = {node.name for node in plan.planes}
    return [host for host in hosts if host.name in names]


def revive(host: Host, *, save: bool = True) -> None:
    """Renew what has ended of a control plane's certificates, with etcd saved before where it can be asked."""
    if state(host) == "formed" and host.exists(SERVES):
        renewing.revive(host, save=save)


@contextmanager
def _images_ahead(hosts: Sequence[Host], first: Host, plan: ClusterPlan) -> Iterator[None]:
    """While the control plane is made, the nodes that will join it have nothing to do but to pull what they start with.

    Where it fails nobody waits for them: their connections end with the step.
    """

    def ahead(host: Host) -> None:
        with suppress(HomewrightError):  # the join meets the same, and tells it
            if state(host) == "absent":
                images.pull(host, plan)

    waiting = [host for host in hosts if host is not first and host.error is None]
    if not waiting or state(first) == "formed":
        yield
        return
    pool = ThreadPoolExecutor(len(waiting))
    pulls = [pool.submit(ahead, host) for host in waiting]
    try:
        yield
    finally:
        pool.shutdown(wait=False)
    # As in `together`: whoever asks to stop is heard, and need not wait for what is pulled.
    end = time.monotonic() + AHEAD_S
    while wait(pulls, timeout=LOOK_UP_S).not_done and not first.cancel.asked and time.monotonic() < end:
        pass


def form(hosts: Sequence[Host]) -> None:
    """The whole of it on these hosts: init where it is missing, then joins, then labels and taints.

    Workers join side by side, control planes one after another: each becomes a member of etcd.
    """
    plan = plan_of(hosts[0])
    first = control_plane(hosts, plan)
    # Before any API is waited for: with etcd's certificates ended on all, none answers until the others have new ones.
    together([host for host in hosts if host.error is None], revive)
    with _images_ahead(hosts, first, plan):
        initialise(first, plan)
    there = planes(hosts, plan)
    for host in there:
        if host is not first:
            together([host], lambda one: join(one, plan))
    together([host for host in hosts if host not in there], lambda host: join(host, plan))
    together([host for host in hosts if host.error is None], lambda host: as_planned(host, plan))
    with first.task("A saved state"):  # no change of the server's: the next run is none the different for it
        if snapshots.SAVE in first.given or not etcd.is_saved(first, datetime.now(UTC)):
            etcd.snapshot(first)

"""Every verb on one workspace in the cluster, as steps that may be cut off after any of them and be done again.

A verb first writes the intent record, with the version that it read as a precondition: of two managers one is refused.
Then it makes the cluster be so. Whatever it overwrites carries the version that was read after that; what has another
one by then is looked at again, the record first: the verb whose record is the newest wins, whoever writes last.
"""

from __future__ import annotations

import base64
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from homewright.cluster import certificates
from homewright.site.authority import Authority
from homewright.workspaces import naming, passwords
from homewright.workspaces.backends.kubernetes import intent as intents
from homewright.workspaces.backends.kubernetes import manifests, routes
from homewright.workspaces.backends.kubernetes.api import Api, Conflict
from homewright.workspaces.backends.kubernetes.intent import Intent, workload
from homewright.workspaces.backends.kubernetes.manifests import Manifest, Surroundings
from homewright.workspaces.backends.kubernetes.observed import Claim, Event, Pod, Seen, Workload
from homewright.workspaces.backends.kubernetes.reasons import Finding
from homewright.workspaces.backends.kubernetes.states import judge
from homewright.workspaces.backends.kubernetes.words import DELETED_AT, DIGEST, RECORD, WORKSPACE
from homewright.workspaces.errors import ChangedMeanwhile, InstanceFailed, MissingRight, NotOurs, StorageFailed
from homewright.workspaces.models import Key, Specification, WorkspaceState
from homewright.workspaces.observation import printable
from homewright.workspaces.template_models import PodTemplate

Say = Callable[[str], None]
Hash = Callable[[str], str]

_LOOK_EVERY_S = 0.5
_SURE_AFTER_S = 3.0
"""An error that lasts so long while a workspace starts is no race of controllers."""
_END_S = 150.0
"""A pod has 30 seconds to end; a node that is busy takes longer."""
_TRIES = 8


@dataclass(frozen=True)
class Held:
    """An intent record as this verb has read or written it."""

    intent: Intent
    uid: str
    version: str


@dataclass
class ClusterBackend:
    """The workspaces of one template. `hashed` makes the Argon2id hash of a password that is there already."""

    api: Api
    template: PodTemplate
    surroundings: Surroundings
    who: str
    hashed: Hash
    authority: Callable[[], Authority] | None = None
    """Signs the certificates of addresses that no issuer of the cluster signs."""
    clock: Callable[[], float] = time.time
    pause_s: float = field(default=_LOOK_EVERY_S)

    # The record

    def find(self, key: Key, patience_s: float | None = None) -> Held | None:
        """The workspace of a key, or None. Raises NotOurs where something else has its name."""
        slug = naming.slug(key.user, key.name)
        found = self.api.get("ConfigMap", self.template.namespace, workload(self.template, slug), patience_s)
        if found is None:
            return None
        held = _held(found)
        if (held.intent.user, held.intent.name) != (key.user, key.name):
            raise NotOurs(
                f"{key} cannot be told from {held.intent.key}.",
                f"Both are called {slug}, and that one was there first.",
                ["choose another name for it"],
            )
        return held

    def claim(self, spec: Specification) -> tuple[Held, bool]:
        """Write the record of a new workspace, or find the one that is there; whether it is new."""
        intent = intents.new(spec, self.template, self.clock(), self.who)
        self.require_no_tombstones(intent)
        try:
            return _held(self.api.create(manifests.record(self.template, intent))), True
        except Conflict:
            held = self.find(spec.key)
            if held is None:
                raise ChangedMeanwhile(f"{spec.key} is being deleted.", "", ["wait a little, then try again"]) from None
            return held, False

    def change(self, held: Held, what: str, **changes: object) -> Held:
        """Write the record anew, with one more deed. Raises ChangedMeanwhile where somebody was faster.

        A write whose answer was lost is sent again, and refused because of itself: a record that says exactly what was
        to be written, with its moment and its author, is ours.
        """
        intent = held.intent.with_deed(self.clock(), self.who, what, **changes)
        manifest = manifests.record(self.template, intent)
        manifest["metadata"]["uid"] = held.uid
        try:
            return _held(self.api.apply(manifest, held.version))
        except Conflict as error:
            now = self.find(held.intent.key)
            if now is not None and (now.uid, now.intent) == (held.uid, intent):
                return now
            raise _faster(held.intent) from error

    def _require_still(self, held: Held) -> None:
        """Raises ChangedMeanwhile where the record is another by now."""
        found = self.api.get("ConfigMap", self.template.namespace, workload(self.template, held.intent.slug))
        metadata = (found or {}).get("metadata") or {}
        if (metadata.get("uid"), metadata.get("resourceVersion")) != (held.uid, held.version):
            raise _faster(held.intent)

    # What it is made of

    def converge(self, held: Held) -> None:
        """Make everything of a workspace be as its record wants it; nothing is done twice."""
        intent = held.intent
        for claim in manifests.claims(self.template, intent, self.surroundings):
            self._have_claim(claim, intent)
        self._have_secret(held)
        way = self.way()
        if way == routes.INGRESS:
            self._have_certificate(held)  # a gateway shows one of its own
        *parts, stateful = manifests.parts(self.template, intent, held.uid, self.surroundings, way)
        for part in parts:
            self._put(held, part)
        self._drop_other_routes(held, way)
        self.scale(held, stateful)

    def way(self) -> str:
        """The kind of object that leads to its workspaces from outside."""
        return routes.way(self.surroundings.gateway, self.api.has_istio())

    def route(self, held: Held) -> Manifest | None:
        """What does lead to it from outside now."""
        name = workload(self.template, held.intent.slug)
        found = (self._own(held, kind, name) for kind in self._kinds_of_routes())
        return next((one for one in found if one is not None), None)

    def _kinds_of_routes(self) -> tuple[str, ...]:
        return routes.KINDS if self.api.has_istio() else (routes.INGRESS,)

    def _drop_other_routes(self, held: Held, way: str) -> None:
        """What led to it before Istio came, or went, or the site's gateway was named otherwise."""
        for kind in self._kinds_of_routes():
            if kind == way:
                continue
            there = self._own(held, kind, workload(self.template, held.intent.slug))
            if there is not None:
                try:
                    self.api.delete(there)
                except Conflict as error:
                    raise _faster(held.intent) from error

    def scale(self, held: Held, stateful: Manifest | None = None) -> None:
        """The workload with as many pods as the record wants, as long as that record stands.

        It is looked at, then the record, then it is written as what was looked at: a verb that came in between has
        changed the record by our second look, or the workload by our write. That it surely changes the workload, even
        where the number of pods was right already, is what the record's version in its annotation is for.
        """
        if stateful is None:
            stateful = manifests.parts(self.template, held.intent, held.uid, self.surroundings)[-1]
        metadata = stateful["metadata"]
        marks = {**metadata["annotations"], RECORD: held.version}
        stateful, name = {**stateful, "metadata": {**metadata, "annotations": marks}}, metadata["name"]
        there = self.api.get("StatefulSet", self.template.namespace, name)
        if stateful["spec"]["replicas"] and (there is None or not self._is_of(there, held)):
            there = self._put_over(there, held, {**stateful, "spec": {**stateful["spec"], "replicas": 0}})
        self._put_over(there, held, stateful, while_it_stands=True)

    def _have_claim(self, claim: Manifest, intent: Intent) -> None:
        """A claim that is there stays as it is: most of it cannot be changed, and its data is what counts."""
        there = self.api.get("PersistentVolumeClaim", self.template.namespace, claim["metadata"]["name"])
        if there is None:
            try:
                self.api.apply(claim)
                return
            except Conflict:
                there = self.api.get("PersistentVolumeClaim", self.template.namespace, claim["metadata"]["name"])
        if there is None or there["metadata"].get("deletionTimestamp"):
            raise StorageFailed(
                f"The storage {claim['metadata']['name']} is being removed.",
                "Something outside of Homewright removes it.",
                ["wait until it is gone, then try again"],
            )
        if not intents.belongs_to(there, intent.key):
            raise foreign(there)

    def _have_secret(self, held: Held) -> None:
        name, namespace = workload(self.template, held.intent.slug), self.template.namespace
        there = self.api.get("Secret", namespace, name)
        kept = there if there is not None and self._is_of(there, held) else None
        data = (kept or {}).get("data") or {}
        wanted = {manifests.PASSWORD, *(f"file.{name}" for name in self.template.files)}
        marks = ((kept or {}).get("metadata") or {}).get("annotations") or {}
        if wanted <= set(data) and marks.get(DIGEST) == held.intent.digest:
            return
        known = data.get(manifests.PASSWORD)
        password, its_hash = self._rehashed(base64.b64decode(known).decode()) if known else passwords.generated()
        filled = manifests.secret_data(self.template, password, its_hash)
        secret = manifests.secret(self.template, held.intent, held.uid, filled)
        secret["metadata"]["annotations"][DIGEST] = held.intent.digest
        self._put_over(there, held, secret)

    def _rehashed(self, password: str) -> tuple[str, str]:
        """One that is there already; it may be a person's, so its hash is as slow as they are."""
        return password, self.hashed(password)

    def _have_certificate(self, held: Held) -> None:
        """Where no issuer of the cluster makes it: signed anew when it is due, or its name has changed."""
        zone, template = self.surroundings.zone, self.template
        if zone is None or self.surroundings.issuer is not None or self.authority is None:
            return
        host = manifests.host_name(template, held.intent.slug, zone)
        there = self.api.get("Secret", template.namespace, manifests.certificate_name(template, held.intent))
        authority = self.authority()
        now = datetime.fromtimestamp(self.clock(), UTC)
        if there is None or not self._is_of(there, held) or certificates.due(there, [host], authority, now):
            certificate = manifests.certificate(template, held.intent, held.uid, zone, authority)
            self._put_over(there, held, certificate)

    def _put(self, held: Held, manifest: Manifest) -> Manifest:
        """Server-side apply of one part, over nothing that is not ours and nothing that has changed since the look."""
        there = self.api.get(manifest["kind"], self.template.namespace, manifest["metadata"]["name"])
        return self._put_over(there, held, manifest)

    def _put_over(
        self, there: Manifest | None, held: Held, manifest: Manifest, *, while_it_stands: bool = False
    ) -> Manifest:
        """As `_put`, with the look that was just taken: what is there, or None."""
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        for _ in range(_TRIES):
            if while_it_stands:
                self._require_still(held)
            try:
                if there is None:
                    return self.api.apply(manifest)
                if self._is_of(there, held):
                    return self.api.apply(manifest, there["metadata"]["resourceVersion"])
                self._clear(there, held)
            except Conflict:
                self._require_still(held)
            there = self.api.get(kind, self.template.namespace, name)
        raise ChangedMeanwhile(
            f"{kind} {name} keeps being changed by somebody else.",
            "It was another one at each of several tries.",
            ["see who does it: kubectl get with --show-managed-fields", "then try again"],
        )

    def _own(self, held: Held, kind: str, name: str) -> Manifest | None:
        """A part of this workspace that is there.

        Where we may not look for a route of the kind that is not the way, as by a Role of before the cluster had
        Istio, there is taken to be none: what there is of one goes with its owner.
        """
        try:
            there = self.api.get(kind, self.template.namespace, name)
        except MissingRight:
            if kind not in routes.KINDS or kind == self.way():
                raise
            return None
        return there if there is not None and self._is_of(there, held) else None

    def _is_of(self, there: Manifest, held: Held) -> bool:
        owners = {owner.get("uid") for owner in there["metadata"].get("ownerReferences") or ()}
        return intents.belongs_to(there, held.intent.key) and held.uid in owners

    def _clear(self, there: Manifest, held: Held) -> None:
        """What is left of an earlier workspace of this very key goes; anything else is not ours. Raises NotOurs."""
        if not intents.belongs_to(there, held.intent.key):
            raise foreign(there)
        try:
            self.api.delete(there)
        except Conflict:
            return  # it is another one by now: look again
        name = there["metadata"]["name"]
        self._until(lambda: self.api.get(there["kind"], self.template.namespace, name) is None, f"{name} to be gone")

    # Waiting

    def wait_running(self, held: Held, say: Say) -> Finding:
        """Wait until it answers. Raises InstanceFailed with the reason as soon as one is certain."""
        limit = time.monotonic() + self.template.probe.start_timeout_s
        failing_since: float | None = None
        said = ""
        while True:
            seen = self.look(held)
            finding = judge(seen, self.clock(), self.template.probe.start_timeout_s)
            now = time.monotonic()
            if finding.state is WorkspaceState.RUNNING and _is_current(seen.pod, held.intent):
                return finding
            if finding.state is WorkspaceState.STOPPED:
                raise _faster(held.intent)
            failing_since = None if finding.state is not WorkspaceState.ERROR else failing_since or now
            if (failing_since is not None and now - failing_since >= _SURE_AFTER_S) or now >= limit:
                reason = finding.reason or "it does not answer"
                raise InstanceFailed(
                    f"{held.intent.key} does not start.",
                    f"{reason[:1].upper()}{reason[1:]}.",
                    [finding.remedy or "look at its log and events, then start it again"],
                )
            if finding.reason and finding.reason != said:
                said = finding.reason
                say(f"waiting: {said}")
            time.sleep(self.pause_s)

    def wait_stopped(self, held: Held) -> None:
        """Wait until nothing of it runs any more. Raises InstanceFailed where its pod does not end."""
        limit = time.monotonic() + _END_S
        while True:
            seen = self.look(held, events=False)
            if not seen.pods and (seen.workload is None or seen.workload.replicas == 0):
                return
            if seen.workload is not None and seen.workload.replicas:
                self._require_still(held)
                self.scale(held)  # a start that was under way wrote after us
            finding = judge(seen, self.clock(), self.template.probe.start_timeout_s)
            if finding.state is WorkspaceState.ERROR or time.monotonic() >= limit:
                why = finding.reason or "its pod takes too long to end"
                raise InstanceFailed(
                    f"{held.intent.key} does not stop.",
                    f"{why[:1].upper()}{why[1:]}.",
                    [finding.remedy or "look at its events, then try again"],
                )
            time.sleep(self.pause_s)

    def end_outdated(self, held: Held) -> None:
        """End pods of before the last restart: a StatefulSet leaves a pod that never worked (kubernetes#67250)."""
        for pod in self._pods(held.intent.slug):
            seen = Pod.of(pod)
            if not _is_current(seen, held.intent) and seen.deleting_since is None:
                try:
                    self.api.delete(pod)
                except Conflict:
                    continue  # it is another pod by now

    def look(self, held: Held, *, events: bool = True, always: bool = False) -> Seen:
        """Everything of one workspace now."""
        namespace, intent = self.template.namespace, held.intent
        name = workload(self.template, intent.slug)
        stateful = self.api.get("StatefulSet", namespace, name)
        pods = tuple(Pod.of(pod) for pod in self._pods(intent.slug))
        claims = self.claims(intent.key)
        found: list[Event] = []
        # A node that is silent changes no container of its pods: only their condition says so, and an event why.
        fine = bool(pods) and all(pod.running and pod.ready_condition != "False" for pod in pods)
        if always or (events and not fine):
            for about in (name, f"{name}-0", *(claim["metadata"]["name"] for claim in claims)):
                listed = self.api.list("Event", namespace, fields=f"involvedObject.name={about}")
                found += [Event.of(one) for one in listed.items]
        return Seen(
            intent,
            Workload.of(stateful, held.uid) if stateful is not None else None,
            pods,
            tuple(Claim.of(claim) for claim in claims),
            tuple(sorted(found, key=lambda event: event.at)),
        )

    def _pods(self, slug: str) -> tuple[Manifest, ...]:
        return self.api.list("Pod", self.template.namespace, f"{WORKSPACE}={slug}").items

    def claims(self, key: Key) -> tuple[Manifest, ...]:
        """The claims of a key that are there, given up or not."""
        slug = naming.slug(key.user, key.name)
        listed = self.api.list("PersistentVolumeClaim", self.template.namespace, f"{WORKSPACE}={slug}")
        return tuple(claim for claim in listed.items if intents.belongs_to(claim, key))

    def _until(self, done: Callable[[], bool], what: str) -> None:
        limit = time.monotonic() + _END_S
        while not done():
            if time.monotonic() >= limit:
                raise InstanceFailed(f"Waiting for {what} took too long.", "", ["look at the cluster, then try again"])
            time.sleep(self.pause_s)

    # Deletion

    def remove(self, held: Held) -> tuple[str, ...]:
        """Take everything away but the claims, the record last; the claims that stay. The pod has ended before."""
        intent = held.intent
        names = []
        for claim in self.claims(intent.key):
            names.append(claim["metadata"]["name"])
            if intent.deleting == "with-storage" and Claim.of(claim).deleted_at is None:
                self.give_up(claim, str(round(self.clock())))
        secret = manifests.secret(self.template, intent, held.uid, {})
        name = manifests.certificate_name(self.template, intent)
        certificate = {**secret, "metadata": {**secret["metadata"], "name": name}}
        way = self.way()
        parts = manifests.parts(self.template, intent, held.uid, self.surroundings, way)
        others = [kind for kind in self._kinds_of_routes() if kind != way]
        routed = [manifests.route(self.template, intent, held.uid, self.surroundings, kind) for kind in others]
        for part in reversed((secret, certificate, *filter(None, routed), *parts)):
            there = self._own(held, part["kind"], part["metadata"]["name"])
            if there is not None:
                try:
                    self.api.delete(there)
                except Conflict as error:
                    raise _faster(intent) from error
        record = manifests.record(self.template, intent)
        record["metadata"]["uid"] = held.uid
        try:
            self.api.delete(record, held.version)
        except Conflict as error:
            raise _faster(intent) from error
        return tuple(names)

    def give_up(self, claim: Manifest, at: str | None) -> None:
        """Give a claim up, or take it back. Raises ChangedMeanwhile."""
        try:
            self.api.mark(claim, {DELETED_AT: at})
        except Conflict as error:
            metadata, name = claim["metadata"], claim["metadata"]["name"]
            now = (self.api.get(claim["kind"], metadata["namespace"], name) or {}).get("metadata") or {}
            if now.get("uid") == metadata["uid"] and (now.get("annotations") or {}).get(DELETED_AT) == at:
                return  # a write whose answer was lost, or somebody else's of the same
            raise ChangedMeanwhile(f"{name} was changed meanwhile.", f"{error}", ["try again"]) from error

    def require_no_tombstones(self, intent: Intent) -> None:
        """Raises StorageFailed where storage of this name was given up: it is somebody's who may want it back."""
        given_up = [claim for claim in map(Claim.of, self.claims(intent.key)) if claim.deleted_at is not None]
        if given_up:
            names = ", ".join(claim.name for claim in given_up)
            raise StorageFailed(
                f"The storage of {intent.key} was given up.",
                f"{names} is kept for seven days after the deletion, and holds what was there.",
                [
                    f"take it back: homewright workspace undelete {_quoted(intent.key)}",
                    f"or be rid of it: homewright workspace purge {_quoted(intent.key)}",
                ],
            )

    # What is shown

    def password(self, held: Held) -> str | None:
        """Its password; None where it has none yet."""
        found = self.api.get("Secret", self.template.namespace, workload(self.template, held.intent.slug))
        value = ((found or {}).get("data") or {}).get(manifests.PASSWORD)
        return base64.b64decode(value).decode() if found is not None and self._is_of(found, held) and value else None

    def logs(self, held: Held, lines: int, follow: bool) -> Iterator[str]:
        """The output of its container."""
        name = f"{workload(self.template, held.intent.slug)}-0"
        for line in self.api.log(self.template.namespace, name, manifests.CONTAINER, lines, follow):
            yield printable(line)


def _held(manifest: Manifest) -> Held:
    metadata = manifest["metadata"]
    return Held(intents.read(manifest), metadata["uid"], metadata["resourceVersion"])


def _is_current(pod: Pod | None, intent: Intent) -> bool:
    return pod is not None and pod.restart == str(intent.restarts)


def _faster(intent: Intent) -> ChangedMeanwhile:
    return ChangedMeanwhile(
        f"Somebody else changed {intent.key} meanwhile.",
        "What they asked for stands; this did not overwrite it.",
        [f"look at it: homewright workspace show {_quoted(intent.key)}", "then try again, where it is still wanted"],
    )


def foreign(there: Manifest) -> NotOurs:
    """What is said of an object that has the name of one of ours, and is not."""
    metadata = there["metadata"]
    return NotOurs(
        f"There is a {there['kind']} {metadata['namespace']}/{metadata['name']} that is not this workspace's.",
        "Somebody else made it, and Homewright takes over nothing of others.",
        ["rename or remove it, or choose another name for the workspace"],
    )


def _quoted(key: Key) -> str:
    return shlex.quote(str(key))

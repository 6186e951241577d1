"""The cluster's workspaces as they are now: each kind of object is followed, a state computed anew where it changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from homewright.errors import HomewrightError
from homewright.workspaces.backends.kubernetes.index import KINDS, Index, Place
from homewright.workspaces.backends.kubernetes.usage import EVERY_S, Usage
from homewright.workspaces.backends.kubernetes.watch import GRACE_S, POLL_S, ROUND_S, Follower
from homewright.workspaces.models import Workspace, WorkspaceState
from homewright.workspaces.ordering import in_order

if TYPE_CHECKING:
    from homewright.workspaces.backends.kubernetes.manifests import Manifest
    from homewright.workspaces.backends.kubernetes.observed import Seen
    from homewright.workspaces.on_cluster import ClusterWorkspaces

_SETTLED = (WorkspaceState.RUNNING, WorkspaceState.STOPPED)
_AGAIN_S = 1.0
"""How often a state that depends on the time is computed anew, though nothing was heard of it."""
_AT_ONCE = 500
"""So many of these at one look, the longest waiting first: thousands that start at once keep no key waiting."""
NOT_YET = "not everything of it has been looked at yet"


class Followed:
    """A view of the cluster that renews itself. Its methods may be called from several threads, and never wait long."""

    def __init__(
        self, there: ClusterWorkspaces, changed: Callable[[], None], *, round_s: int = ROUND_S, grace_s: float = GRACE_S
    ) -> None:
        """`changed` is called from other threads, at every change and as often as there are some."""
        self._there = there
        self._tell = changed
        self._lock = threading.Lock()
        self._index = Index(there.templates)
        self._found: dict[Place, tuple[Workspace, ...]] = {}
        self._restless: dict[Place, float] = {}
        """Places whose state may change by time alone, and when it was computed, the one that waits longest first."""
        self._whole: dict[str, bool] = {}
        self._all: tuple[Workspace, ...] | None = None
        self._usage: dict[tuple[str, str], Usage] = {}
        """Of each pod, by namespace and name."""
        self.without_usage = ""
        """Why there are no figures of what is used; empty where there are, or none were asked for yet."""
        self._ended = threading.Event()
        turn = threading.Lock()
        self._followers = tuple(
            Follower(there.api, kind, namespace, KINDS[kind], self, round_s=round_s, grace_s=grace_s, turn=turn)
            for namespace in self._index.namespaces
            for kind in KINDS
        )

    def start(self) -> None:
        for follower in self._followers:
            follower.start()
        threading.Thread(target=self._measure, name="usage", daemon=True).start()

    def close(self) -> None:
        """End it without waiting."""
        self._ended.set()
        for follower in self._followers:
            follower.close()

    # What it is told

    def put(self, kind: str, namespace: str, manifest: Manifest) -> None:
        with self._lock:
            self._index.put(kind, namespace, manifest)
        self._tell()

    def remove(self, kind: str, namespace: str, name: str) -> None:
        with self._lock:
            self._index.remove(kind, namespace, name)
        self._tell()

    def heard(self) -> None:
        self._tell()

    # What it tells

    @property
    def heard_at(self) -> float | None:
        """When the cluster was heard of last, by the follower that hears the worst; None before all have listed."""
        moments = [follower.hearing.at for follower in self._followers]
        known = [moment for moment in moments if moment is not None]
        return min(known) if known and len(known) == len(moments) else None

    @property
    def problem(self) -> str:
        """Why it hears nothing, or not everything; empty where all is well."""
        return next((follower.hearing.problem for follower in self._followers if follower.hearing.problem), "")

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth knowing about how it hears."""
        if not any(follower.hearing.polled for follower in self._followers):
            return ()
        return (f"The cluster lets us list and not watch: it is looked at every {POLL_S:.0f} s.",)

    def workspaces(self) -> tuple[Workspace, ...]:
        """All of them, by user and name. The same tuple as before where nothing has changed."""
        now = time.time()
        with self._lock:
            due = self._index.take_changed()
            waiting = takewhile(lambda one: abs(now - one[1]) >= _AGAIN_S, self._restless.items())
            due.update([place for place, _ in islice(waiting, _AT_ONCE)])
            for namespace in self._index.namespaces:
                whole = self._lists_are_whole(namespace)
                if self._whole.get(namespace) != whole:
                    self._whole[namespace] = whole
                    due |= {place for place in self._found if place[0] == namespace}
            changed = [place for place in due if self._renew(place, now)]
            if changed or self._all is None:
                every = (one for found in self._found.values() for one in found)
                self._all = tuple(sorted(every, key=in_order))
            return self._all

    def _renew(self, place: Place, now: float) -> bool:
        """Compute a place anew; whether anything is different."""
        whole = self._whole.get(place[0], False)
        found = tuple(
            self._there.workspace_of(seen, template, now, self._usage_of(place[0], seen))
            if whole
            else _not_yet(self._there.workspace_of(seen, template, now), seen)
            for seen, template in self._index.seen(place)
        )
        before = self._found.get(place, ())
        if found:
            self._found[place] = found
        else:
            self._found.pop(place, None)
        self._restless.pop(place, None)
        if not all(one.state in _SETTLED for one in found):
            self._restless[place] = now
        return found != before

    def _usage_of(self, namespace: str, seen: Seen) -> Usage | None:
        return self._usage.get((namespace, seen.pod.name)) if seen.pod is not None else None

    def _lists_are_whole(self, namespace: str) -> bool:
        """Whether states can be told. Events only explain them: a cluster that shows us none still has states."""
        return all(
            follower.hearing.at is not None or (follower.kind == "Event" and bool(follower.hearing.problem))
            for follower in self._followers
            if follower.namespace == namespace
        )

    def _measure(self) -> None:
        while not self._ended.is_set():
            try:
                usage = self._there.usage_of_pods()
            except HomewrightError as error:
                # What was measured before is no figure of now.
                self.without_usage, usage = f"{error.what} {error.why}".strip(), {}
            except Exception as error:  # whatever it is: with this thread dead, they would stay "now" for ever
                self.without_usage = f"What is used cannot be read. {type(error).__name__}: {error}"
                usage = {}
            else:
                self.without_usage = ""
            with self._lock:
                differ = {pod for pod in usage.keys() | self._usage.keys() if usage.get(pod) != self._usage.get(pod)}
                self._usage = usage
                for namespace, name in differ:
                    self._index.touch(namespace, name)
            if differ:
                self._tell()
            self._ended.wait(EVERY_S)


def _not_yet(one: Workspace, seen: Seen) -> Workspace:
    """A pod that runs is known to run; why anything else does not may be among what has not been listed."""
    runs = seen.intent.wanted == "running" and seen.pod is not None and seen.pod.running
    state = WorkspaceState.RUNNING if runs else WorkspaceState.UNKNOWN
    return one.model_copy(update={"state": state, "reason": "" if runs else NOT_YET, "remedy": "", "whose": None})

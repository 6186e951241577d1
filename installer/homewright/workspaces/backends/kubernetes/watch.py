"""A kind of objects followed: listed once, then watched from that version on, for as long as anybody looks.

A watch that says nothing looks exactly like a cluster in which nothing happens. So none is open for longer than
ROUND_S: the server ends it by itself, after a bookmark, and the next one goes on from there without a list. What was
heard last is therefore never older than a round while all is well, and one that does not even end is silent for sure.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from homewright.errors import HomewrightError, Unreachable
from homewright.workspaces.backends.kubernetes.api import LOOK_S, Api, Busy, Gone, Listed, Watch
from homewright.workspaces.errors import MissingRight

if TYPE_CHECKING:
    from homewright.workspaces.backends.kubernetes.manifests import Manifest

ROUND_S = 8
"""Seconds that a watch is open. Less than the age from which on the screens say how old things are (10 s)."""
GRACE_S = 3.0
"""How much longer than that is waited for its end."""
POLL_S = 5.0
"""How often is listed what may not be watched."""
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 5.0
_NOT_ALLOWED_PAUSE_S = 30.0
"""A right that is missing does not come back by itself, but an administrator may give it."""


class Sink(Protocol):
    """Where what is followed goes to. Called from the follower's thread."""

    def put(self, kind: str, namespace: str, manifest: Manifest) -> None:
        """There is a new one, or it has changed."""

    def remove(self, kind: str, namespace: str, name: str) -> None:
        """It is gone."""

    def heard(self) -> None:
        """Something about how a follower fares has changed."""


@dataclass(frozen=True)
class Hearing:
    """How a follower fares."""

    at: float | None = None
    """When it heard of the cluster last, in Unix seconds; None before the first list is whole."""
    problem: str = ""
    """Why it hears nothing, in words."""
    polled: bool = False
    """It may list and not watch, as of the last try: changes are seen every POLL_S seconds."""


class Follower:
    """Follows one kind in one namespace in a thread of its own, until it is closed."""

    def __init__(
        self, api: Api, kind: str, namespace: str, selector: str, sink: Sink, *,
        round_s: int = ROUND_S, grace_s: float = GRACE_S, clock: Callable[[], float] = time.time,
        turn: AbstractContextManager[object] | None = None,
    ) -> None:  # fmt: skip
        """`turn` is held while a page of a list is read: shared, one page of several lists takes room at a time."""
        self._api = api
        self.kind = kind
        self.namespace = namespace
        self._selector = selector
        self._sink = sink
        self._round_s = round_s
        self._grace_s = grace_s
        self._clock = clock
        self._turn = turn
        self._versions: dict[str, str] = {}
        """Of each object that is there its version: what is needed to tell what a new list has changed."""
        self._from = ""
        """The version to watch from; empty where a list comes first."""
        self._hearing = Hearing()
        self._refused_at = 0.0
        """When a watch was not allowed last, by the clock that only goes forward."""
        self._watch: Watch | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"follow {namespace}/{kind}", daemon=True)

    @property
    def hearing(self) -> Hearing:
        return self._hearing

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End it, now: a watch that is open is cut."""
        self._ended.set()
        watch = self._watch
        if watch is not None:
            watch.close()

    def _run(self) -> None:
        failures = 0
        while not self._ended.is_set():
            try:
                self._once()
            except Gone:
                self._from = ""
                failures += 1
                pause = _pause(failures) if failures > 1 else 0.0  # the first costs nothing but a list
            except Busy as busy:
                failures += 1
                pause = max(_pause(failures), busy.after_s)
                self._trouble(busy.why, failures)
            except MissingRight as error:
                pause = self._not_allowed(error)
            except HomewrightError as error:
                failures += 1
                pause = _pause(failures)
                self._trouble(error, failures)
            except Exception as error:  # whatever it is: a follower that dies of it would look like a quiet cluster
                failures += 1
                pause = _pause(failures)
                self._from = ""
                told = Unreachable("What the cluster says cannot be read.", f"{type(error).__name__}: {error}")
                self._trouble(told, failures)
            else:
                failures = 0
                pause = POLL_S if self._hearing.polled else 0.0
            self._ended.wait(pause)

    def _once(self) -> None:
        """A list where one is needed, then one round of watching."""
        if not self._from:
            self._list()
        if self._hearing.polled and time.monotonic() - self._refused_at < _NOT_ALLOWED_PAUSE_S:
            self._from = ""
            return
        watch = self._api.watch(
            self.kind, self.namespace, self._selector, self._from, self._round_s, self._grace_s
        )  # fmt: skip
        self._watch = watch
        if self._ended.is_set():
            watch.close()
        try:
            if self._hearing.polled:  # it has been allowed meanwhile
                self._hearing = replace(self._hearing, polled=False)
                self._sink.heard()
            self._note()
            for what, manifest in watch:
                self._take(what, manifest)
                self._note()
        except Unreachable:
            # Silent beyond its end, or broken off: whether it would have told everything is not known.
            self._from = ""
            raise
        finally:
            self._watch = None

    def _take(self, what: str, manifest: Manifest) -> None:
        metadata = manifest["metadata"]
        self._from = metadata["resourceVersion"]
        if what == "BOOKMARK":
            return
        name = metadata["name"]
        if what == "DELETED":
            self._versions.pop(name, None)
            self._sink.remove(self.kind, self.namespace, name)
        else:
            self._versions[name] = metadata["resourceVersion"]
            self._sink.put(self.kind, self.namespace, {"kind": self.kind, **manifest})

    def _list(self) -> None:
        """List anew, and tell what differs: of an object that was deleted meanwhile no event ever comes."""
        fresh: dict[str, str] = {}
        version = ""
        for page in self._api.pages(self.kind, self.namespace, self._selector, patience_s=LOOK_S, turn=self._turn):
            version = self._take_page(page, fresh)
            del page  # or it would be there until the next one has been read
        for name in self._versions.keys() - fresh.keys():
            self._sink.remove(self.kind, self.namespace, name)
        self._versions = fresh
        self._from = version
        self._note()

    def _take_page(self, page: Listed, fresh: dict[str, str]) -> str:
        for manifest in page.items:
            name, has = manifest["metadata"]["name"], manifest["metadata"]["resourceVersion"]
            fresh[name] = has
            if self._versions.get(name) != has:
                self._versions[name] = has
                self._sink.put(self.kind, self.namespace, manifest)
        return page.version

    def _not_allowed(self, error: MissingRight) -> float:
        """What is listed and may not be watched is listed again and again, and now and then a watch is tried; what may
        not even be listed is said."""
        if self._from:
            self._refused_at = time.monotonic()
            self._hearing = replace(self._hearing, polled=True)
            self._from = ""
            self._sink.heard()
            return POLL_S
        self._trouble(error, 2)
        return _NOT_ALLOWED_PAUSE_S

    def _note(self) -> None:
        told = self._hearing.problem or self._hearing.at is None
        self._hearing = replace(self._hearing, at=self._clock(), problem="")
        if told:
            self._sink.heard()

    def _trouble(self, error: HomewrightError, failures: int) -> None:
        if failures == 1 and self._hearing.at is not None:
            return  # a single one is over before anybody could read of it
        problem = " ".join(filter(None, (error.what, error.why)))
        if problem != self._hearing.problem:
            self._hearing = replace(self._hearing, problem=problem)
            self._sink.heard()


def _pause(failures: int) -> float:
    """Seconds before another try: growing, and never the same for all that failed at the same moment."""
    longest: float = min(_FIRST_PAUSE_S * 2.0 ** (failures - 1), _LONGEST_PAUSE_S)
    return longest * random.uniform(0.5, 1.0)

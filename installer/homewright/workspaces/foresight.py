"""What the cluster has, looked at for a prediction: nodes, quotas, storage classes. Each may be hidden from us."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from homewright.workspaces.backends.kubernetes import prediction
from homewright.workspaces.backends.kubernetes.api import LOOK_S, Api
from homewright.workspaces.backends.kubernetes.prediction import Ground
from homewright.workspaces.errors import MissingRight

if TYPE_CHECKING:
    from homewright.workspaces.backends.kubernetes.manifests import Manifest

Found = TypeVar("Found")

FRESH_S = 5.0
"""How long a look serves: somebody who types asks at every pause, and a large cluster has thousands of pods."""


class Lookout:
    """Looks at the cluster for one manager. May be asked from several threads."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Ground]] = {}

    def ground(self, namespace: str) -> Ground:
        """What a workspace of this namespace would find, seen at most FRESH_S ago. Raises Unreachable."""
        with self._lock:
            at, ground = self._known.get(namespace, (0.0, Ground()))
            if not at or time.monotonic() - at > FRESH_S:
                ground = self._look(namespace)
                self._known[namespace] = (time.monotonic(), ground)
            return ground

    def forget(self) -> None:
        """Look anew next time: something was made or taken away."""
        with self._lock:
            self._known.clear()

    def _look(self, namespace: str) -> Ground:
        hidden: list[str] = []

        def tried(what: str, ask: Callable[[], Found]) -> Found | None:
            try:
                return ask()
            except MissingRight as error:
                hidden.append(f"{what} cannot be told: {error.what}")
                return None

        with ThreadPoolExecutor(max_workers=3) as pool:
            nodes = pool.submit(
                tried, "whether a node has room", lambda: prediction.nodes(self._all("Node"), self._all("Pod"))
            )
            quotas = pool.submit(
                tried, "what the quota leaves", lambda: prediction.quotas(self._all("ResourceQuota", namespace))
            )
            classes = pool.submit(
                tried, "whether there is storage", lambda: prediction.classes(self._all("StorageClass"))
            )
            found, default = classes.result() or (None, None)
            return Ground(nodes.result(), quotas.result(), found, default, tuple(sorted(hidden)))

    def _all(self, kind: str, namespace: str | None = None) -> Iterator[Manifest]:
        for page in self._api.pages(kind, namespace, patience_s=LOOK_S):
            yield from page.items

"""The objects of a cluster by path, and nothing that acts on them: for what is decided by what is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from homewright.cluster.client import Cluster


class ClusterOfPaths(Cluster):
    """What is put into `kept` is there; what is deleted is gone at once, with what is in a namespace."""

    def __init__(self, kept: Mapping[str, Mapping[str, Any]]) -> None:
        self.kept = {path: dict(one) for path, one in kept.items()}
        self.deleted: list[str] = []
        self.away: Exception | None = None
        """Raised by whatever is asked."""

    def close(self) -> None:
        pass

    def find(self, path: str) -> dict[str, Any] | None:
        if self.away:
            raise self.away
        return self.kept.get(path)

    def list(self, path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        if self.away:
            raise self.away
        start, _, kind = path.rpartition("/")
        for one, found in list(self.kept.items()):
            place, _, name = one.rpartition("/")
            everywhere = "/namespaces/" in place and place.partition("/namespaces/")[0] == start
            if name and (place == path or (everywhere and place.endswith(f"/{kind}"))):
                yield found

    def apply(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self.kept[path] = dict(body)
        return self.kept[path]

    def delete(self, path: str) -> bool:
        there = self.kept.pop(path, None) is not None
        if there:
            self.deleted.append(path)
        inside = f"/namespaces/{path.rpartition('/')[2]}/"
        if path.startswith("/api/v1/namespaces/") and path.count("/") == 4:
            for one in [one for one in self.kept if inside in one]:
                del self.kept[one]
        return there

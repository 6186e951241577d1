"""What the cluster says of a workspace, as far as its state depends on it. Pure: the server's JSON in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from homewright.workspaces.backends.kubernetes.intent import Intent
from homewright.workspaces.backends.kubernetes.words import DELETED_AT, PRESET, RESTART
from homewright.workspaces.observation import printable


def moment(text: str | None) -> float | None:
    """Unix seconds of an RFC 3339 time; None where there is none."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else None
    except ValueError:
        return None


@dataclass(frozen=True)
class Event:
    """Something that a part of the cluster said about an object."""

    reason: str
    message: str
    about: tuple[str, str]
    """Kind and name."""
    uid: str
    """Of the object that it is about."""
    count: int
    at: float
    """When it was seen last, Unix seconds."""
    warning: bool

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Event:
        about = manifest.get("involvedObject") or {}
        series = manifest.get("series") or {}
        at = next(
            (
                found
                for text in (
                    series.get("lastObservedTime"), manifest.get("lastTimestamp"), manifest.get("eventTime"),
                    (manifest.get("metadata") or {}).get("creationTimestamp"),
                )
                if (found := moment(text)) is not None
            ),
            0.0,
        )  # fmt: skip
        return cls(
            reason=manifest.get("reason") or "",
            message=printable(manifest.get("message") or "").strip(),
            about=(about.get("kind") or "", about.get("name") or ""),
            uid=about.get("uid") or "",
            count=series.get("count") or manifest.get("count") or 1,
            at=at,
            warning=manifest.get("type") == "Warning",
        )


@dataclass(frozen=True)
class Container:
    """One container of a pod, of the init ones too."""

    name: str
    init: bool
    ready: bool
    started: bool
    restarts: int
    running_since: float | None
    waiting: str = ""
    """Why it waits: a word such as CrashLoopBackOff."""
    message: str = ""
    ended: str = ""
    """Why it ended last: a word such as OOMKilled."""
    exit_code: int | None = None
    ended_message: str = ""

    @classmethod
    def of(cls, status: Mapping[str, Any], init: bool) -> Container:
        state, last = status.get("state") or {}, status.get("lastState") or {}
        waiting, running = state.get("waiting") or {}, state.get("running") or {}
        ended = state.get("terminated") or last.get("terminated") or {}
        return cls(
            name=status.get("name") or "",
            init=init,
            ready=bool(status.get("ready")),
            started=bool(status.get("started")),
            restarts=status.get("restartCount") or 0,
            running_since=moment(running.get("startedAt")),
            waiting=waiting.get("reason") or "",
            message=printable(waiting.get("message") or "").strip(),
            ended=ended.get("reason") or "",
            exit_code=ended.get("exitCode"),
            ended_message=printable(ended.get("message") or "").strip(),
        )


@dataclass(frozen=True)
class Pod:
    name: str
    uid: str
    node: str
    phase: str
    reason: str
    message: str
    ip: str
    restart: str
    """Which restart of the workspace it is of."""
    preset: str
    """The size that it was made with; empty where it does not say."""
    deleting_since: float | None
    """When it was due to be gone, Unix seconds."""
    created_at: float | None
    unschedulable: str
    """What the scheduler says; empty where it has a node, or none was looked for."""
    ready_condition: str
    containers: tuple[Container, ...]

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Pod:
        metadata, status = manifest["metadata"], manifest.get("status") or {}
        conditions = {one["type"]: one for one in status.get("conditions") or ()}
        scheduled = conditions.get("PodScheduled") or {}
        refused = scheduled.get("status") == "False" and scheduled.get("reason") in ("Unschedulable", "SchedulerError")
        containers = [Container.of(one, True) for one in status.get("initContainerStatuses") or ()]
        containers += [Container.of(one, False) for one in status.get("containerStatuses") or ()]
        return cls(
            name=metadata["name"],
            uid=metadata.get("uid") or "",
            node=(manifest.get("spec") or {}).get("nodeName") or "",
            phase=status.get("phase") or "Pending",
            reason=status.get("reason") or "",
            message=printable(status.get("message") or "").strip(),
            ip=status.get("podIP") or "",
            restart=(metadata.get("annotations") or {}).get(RESTART, "0"),
            preset=(metadata.get("annotations") or {}).get(PRESET, ""),
            deleting_since=moment(metadata.get("deletionTimestamp")),
            created_at=moment(metadata.get("creationTimestamp")),
            unschedulable=printable(scheduled.get("message") or "no node takes it") if refused else "",
            ready_condition=(conditions.get("Ready") or {}).get("status") or "",
            containers=tuple(containers),
        )

    @property
    def running(self) -> bool:
        """Running, has an address, is not going, and all of its containers are ready."""
        own = [container for container in self.containers if not container.init]
        return (
            self.phase == "Running" and bool(self.ip) and self.deleting_since is None and bool(own)
            and all(container.ready for container in own)
        )  # fmt: skip


@dataclass(frozen=True)
class Workload:
    """The StatefulSet."""

    uid: str
    replicas: int
    ours: bool
    """It belongs to this very intent record."""

    @classmethod
    def of(cls, manifest: Mapping[str, Any], record_uid: str) -> Workload:
        metadata = manifest["metadata"]
        owners = {owner.get("uid") for owner in metadata.get("ownerReferences") or ()}
        replicas = (manifest.get("spec") or {}).get("replicas")
        return cls(metadata.get("uid") or "", 1 if replicas is None else replicas, record_uid in owners)


@dataclass(frozen=True)
class Claim:
    """A PersistentVolumeClaim."""

    name: str
    phase: str
    storage_class: str | None
    deleted_at: float | None
    """When it was given up, Unix seconds."""

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Claim:
        metadata = manifest["metadata"]
        given_up = (metadata.get("annotations") or {}).get(DELETED_AT, "")
        return cls(
            name=metadata["name"],
            phase=(manifest.get("status") or {}).get("phase") or "Pending",
            storage_class=(manifest.get("spec") or {}).get("storageClassName"),
            deleted_at=float(given_up) if given_up.replace(".", "", 1).isdigit() else None,
        )


@dataclass(frozen=True)
class Seen:
    """Everything seen of one workspace at one look."""

    intent: Intent
    workload: Workload | None = None
    pods: tuple[Pod, ...] = ()
    claims: tuple[Claim, ...] = ()
    """Those of this workspace that are there."""
    events: tuple[Event, ...] = field(default=())
    """About its workload, its pods and its claims; the newest last."""

    @property
    def pod(self) -> Pod | None:
        """The newest one."""
        return max(self.pods, key=lambda pod: pod.created_at or 0.0, default=None)

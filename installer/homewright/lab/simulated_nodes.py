"""Simulated nodes of the practice cluster: objects of its API that kwok plays, as many as are asked for.

kwok runs on this machine like the cluster's mirror: as the user, with a folder of the lab as its working folder, so
that `lab down` and the clean-up after a killed command find it. The kubeconfig reaches it in memory. The servers know
nothing of it, and what their stages prove is the same with simulated nodes and without (docs/decisions/0184).
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from homewright.errors import HomewrightError, LabError, UsageError
from homewright.lab import go, kwok, practice_site, record, services
from homewright.lab.models import Place, Record, SimulatedNodes
from homewright.lab.programs import named
from homewright.site.paths import make_folder, write_atomically
from homewright.site.secrets import Secrets

API_S = 90.0
"""How long the API may take to answer again after its server's start."""
LOOK_S = 3.0
"""How long `lab status` waits for the cluster."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Change:
    """What was done, by the nodes' names."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    kwok: bool = False
    """Whether kwok had to be started, or ended."""

    @property
    def changed(self) -> bool:
        return bool(self.added or self.removed or self.kwok)


def folder() -> Path:
    """Where the lab's kwok runs."""
    return record.folder() / "nodes"


def change(count: int, *, say: Say) -> Change:
    """See `homewright.lab.simulated`."""
    # Not at the top: every `lab` command would wait for the client of a cluster, which few need.
    from homewright.cluster.client import Cluster
    from homewright.cluster.kubeconfig import read
    from homewright.lab import node_objects

    if not 0 <= count <= kwok.MOST_NODES:
        raise UsageError(
            f"There can be 0 to {kwok.MOST_NODES} simulated nodes.",
            f"{count} were asked for; each takes a network of the pods' range, as real ones do.",
            ["say how many: homewright lab nodes 50"],
        )
    with record.alone():
        lab = record.load()
        text = _kubeconfig() if lab is not None and lab.cluster and lab.phase == "up" else None
        if lab is None or text is None:
            if count or (lab is not None and lab.phase != "up"):
                raise _no_cluster(lab)
            if lab is not None and lab.simulated:  # they went with the cluster
                record.save(lab.model_copy(update={"simulated": 0}))
            return Change(kwok=end())
        with Cluster(read(text)) as api:
            node_objects.require_room(api, count)
            if count:
                go.ensure([named("kwok")], say=say)
            if lab.simulated != count:
                record.save(lab.model_copy(update={"simulated": count}))
            started = bool(count) and ensure(folder(), _address(lab.place), text, count, say)
            done = node_objects.put(api, count, lab.place.gateway, say)
        return Change(done.added, done.removed, started if count else end())


def _no_cluster(lab: Record | None) -> LabError:
    if lab is None:
        return LabError(
            "There are no practice servers.", "", ["make them, with a cluster: homewright lab up --cluster"]
        )
    if lab.phase != "up":
        return LabError("The practice servers are not whole.", "A command was cut off.", ["homewright lab up"])
    return LabError(
        "The practice servers have no cluster.",
        "Simulated nodes are nodes of one, beside its real ones.",
        ["have it made: homewright lab up --cluster"],
    )


def _kubeconfig() -> str | None:
    """The practice site's own, as its stage keeps it; None before it is made."""
    from homewright.cluster.kubeconfig import SECRET

    return Secrets(practice_site.state().secrets).get(SECRET)


def _address(place: Place) -> str:
    return f"{place.gateway}:{kwok.PORT}"


def ensure(place: Path, address: str, kubeconfig: str, count: int, say: Say) -> bool:
    """Have kwok running for this cluster, answering at HOST:PORT; whether it had to be started. Raises LabError."""
    place = place.resolve()
    told = kwok.configuration()
    # Another cluster, or other stages, are another kwok: the file's name tells, which is among its words.
    digest = hashlib.sha256(f"{told}\0{kubeconfig}".encode()).hexdigest()[:12]
    file = place / f"kwok-{digest}.yaml"
    service = services.Service(
        "kwok",
        (str(go.program(named("kwok"), "kwok")), *kwok.arguments(str(file), "/dev/stdin", address)),
        f"http://{address}/healthz",
        part="What plays simulated nodes",
        again=f"homewright lab nodes {count}",
        stdin=kubeconfig.encode(),
    )
    if [*services.commands(place).values()] == [service.words] and services.answers(service.url):
        return False
    services.stop(place)
    make_folder(place)
    for left in place.glob("kwok-*.yaml"):
        left.unlink()
    write_atomically(file, told.encode())
    say("starting kwok, which plays simulated nodes")
    services.start(service, place)
    return True


def end() -> bool:
    """End kwok, whoever has started it; whether it ran."""
    found = services.stop(folder())
    shutil.rmtree(folder(), ignore_errors=True)
    return found


def status(lab: Record) -> SimulatedNodes | None:
    """How those of a lab are; None where it has none."""
    if not lab.simulated:
        return None
    from homewright.cluster.client import Cluster
    from homewright.cluster.kubeconfig import read
    from homewright.lab import node_objects

    ready: int | None = None
    try:
        if (text := _kubeconfig()) is not None:
            with Cluster(read(text)) as api:
                ready = node_objects.ready(api, LOOK_S)
    except HomewrightError:
        pass  # then it is not known, and said so
    return SimulatedNodes(wanted=lab.simulated, ready=ready, kwok="runs" if services.running(folder()) else "gone")


def start_again(lab: Record, say: Say) -> None:
    """After `lab up`: kwok runs again where there are simulated nodes; where it cannot yet, that is said."""
    if not lab.simulated:
        return
    from homewright.cluster.client import Cluster, wait
    from homewright.cluster.kubeconfig import read

    try:
        text = _kubeconfig()
        if text is None:
            raise _no_cluster(lab.model_copy(update={"cluster": False}))
        with Cluster(read(text)) as api:
            if held := wait(API_S, lambda: "" if api.text("/readyz") == "ok" else "its API is not ready"):
                raise LabError("The cluster does not answer.", held, [])
        ensure(folder(), _address(lab.place), text, lab.simulated, say)
    except HomewrightError as error:
        say(f"nobody plays the simulated nodes yet: {error.what} Later: homewright lab nodes {lab.simulated}")

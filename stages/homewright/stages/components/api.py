"""The cluster's API as a step of a component has it: by the site's kubeconfig, and an answer that proofs can give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from homewright.cluster import client
from homewright.cluster.client import Cluster, ClusterAway, ClusterError, ClusterForbidden
from homewright.cluster.kubeconfig import SECRET, KubeconfigError
from homewright.engine.runners.host import Host, Proof, broken, cannot_tell
from homewright.errors import HomewrightError

KEPT = "The cluster goes on without this server, and keeps what is in it."


def connect(host: Host) -> Cluster:
    """The API of the site's cluster. Raises KubeconfigError, and on use ClusterError."""
    context = host.site.cluster.context if host.site.platform.cluster == "existing" else None
    return Cluster(client.of_site(host.secrets, context))


def seen(host: Host, look: Callable[[Cluster], Proof]) -> Proof:
    """What a look at the cluster finds; one that does not answer proves and disproves nothing."""
    try:
        with host.sharing("cluster", lambda: connect(host)) as api:
            return look(api)
    except KubeconfigError as error:
        return broken(f"{error.what} {error.why}")
    except ClusterForbidden as error:
        return broken(f"{error.what} {error.why}")
    except (ClusterAway, ClusterError) as error:
        return cannot_tell(f"{error.what} {error.why}")


def is_gone(host: Host) -> bool:
    """Whether there is no cluster left to take anything away from: its kubeconfig went with it."""
    return host.secrets.get(SECRET) is None


@contextmanager
def taking_back(host: Host) -> Iterator[Cluster]:
    """As `connect`; the error of a cluster of ours that does not answer says how it is given up for lost."""
    try:
        with connect(host) as api:
            yield api
    except ClusterAway as error:
        if host.site.platform.cluster != "kubeadm":
            raise
        raise ClusterAway(
            "The cluster cannot be asked to let go of what is in it.",
            f"{error.what} {error.why}",
            [*error.do, f"where it does not come back: homewright site secret unset {SECRET}, then: homewright retry"],
        ) from error


def stays(host: Host) -> bool:
    """Whether the cluster goes on without this server, which leaves the site: what is in it is everybody's, and stays.

    What is done through the API alone is begun on the site's first server; one that leaves is its last (`with_back`).
    """
    return host.name != host.site.servers[0].name


def until(seconds: float, what: str, done: Callable[[], str], *do: str) -> bool:
    """Wait until `done` says nothing more; whether it had to be waited for. Raises HomewrightError with the last that
    it said."""
    if not done():
        return False
    if waiting := client.wait(seconds, done):
        raise HomewrightError(what, waiting, [*do, "then: homewright retry"])
    return True

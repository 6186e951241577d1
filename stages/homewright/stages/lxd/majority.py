"""Before instances are taken away: the cluster's control planes that stay, and whether etcd goes on with them alone.

Nothing of the runs' is in an instance that no step on instances was begun for, so etcd is asked through LXD.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from homewright.access.remote import Completed
from homewright.engine.runners.host import CommandFailed, Host
from homewright.lxd.client import Lxd, LxdAway, LxdError
from homewright.stages.cluster import departing, etcd, forming
from homewright.stages.cluster.look import Refused

_WHOLE = ["or take the whole cluster back first: homewright rollback 40/core/cluster"]


@dataclass(frozen=True)
class Inside:
    """A running instance whose etcd is asked."""

    lxd: Lxd
    host: Host
    name: str

    def run(self, command: str, *, timeout: float | None = 60.0, check: bool = True) -> Completed:
        """A command as root, `timeout` in seconds. Raises CommandFailed, LxdError."""
        limit = [] if timeout is None else ["timeout", f"{timeout:g}"]
        said = self.lxd.run(self.name, [*limit, "sh", "-c", command])
        completed = Completed(said.stdout, said.stderr, said.exit_code)
        if check and said.exit_code != 0:
            raise CommandFailed(self.name, command, completed)
        return completed

    def say(self, text: str) -> None:
        self.host.say(text)


@dataclass(frozen=True)
class Staying:
    """What etcd loses, and who tells it so."""

    by: Inside
    """A control plane that stays."""
    loses: frozenset[str]
    """The members of etcd that the site names as gone, whether they are still there or not."""

    def lets_go(self, name: str) -> Inside | None:
        """Who has etcd forget an instance; None for one that is no member."""
        return self.by if name in self.loses else None


def staying(
    lxd: Lxd, host: Host, there: Sequence[Mapping[str, Any]], going: Sequence[tuple[str, Mapping[str, Any]]]
) -> Staying | None:
    """Who of `there`, the instances that stay as LXD tells of them, has etcd let go of `going`, by their names.

    None where no cluster is there, or where it is away and none of those was a control plane. Raises Refused where none
    or too few control planes would stay, before anything is done.
    """
    if not departing.has_cluster(host):
        return None
    told: dict[str, dict[str, str]] = {}
    for name in (str(one["name"]) for one in there if one["status"] == "Running"):
        if _is_plane(lxd, name):
            try:
                members = etcd.members(Inside(lxd, host, name))
            except (CommandFailed, LxdError) as error:
                host.say(f"etcd on {name} does not answer: {error.why or error.what}")
                continue
            if name in members:
                told[name] = members
    if not told:
        maybe = sorted({name for name, found in going if _is_plane(lxd, found["name"]) is not False})
        if maybe:
            raise Refused(
                f"{' and '.join(maybe)} may be all that is left of the cluster, and would be taken away.",
                "No control plane that stays can be asked: all that is in the cluster could go with what is in etcd.",
                ["see that a control plane that stays runs, then: homewright retry", *_WHOLE],
            )
        return None
    first, members = next(iter(told.items()))
    gone = {*host.site.instances.gone} - {str(one["name"]) for one in there}
    loses = gone.intersection(members)
    stay = sorted(name for name in members if name not in loses)
    well = [name for name in stay if name in told]
    if loses and len(well) <= len(stay) // 2:
        raise Refused(
            f"etcd would lose its majority with {' and '.join(sorted(loses))}.",
            f"Of {', '.join(name or 'one that joins' for name in stay)}, which stay, only {', '.join(well)} answers.",
            ["see that the control planes that stay run, then: homewright retry", *_WHOLE],
        )
    return Staying(Inside(lxd, host, first), frozenset(loses))


def _is_plane(lxd: Lxd, name: str) -> bool | None:
    """Whether an instance is, or was about to be, a control plane; None where it does not show its files: a virtual
    machine does that only while it runs. Raises LxdAway."""
    try:
        return lxd.read(name, forming.MEMBER) is not None
    except LxdAway:
        raise
    except LxdError:
        return None

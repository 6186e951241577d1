"""Saved states of etcd: read from what servers list, chosen by name, and what going back to one costs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cluster_of_paths import ClusterOfPaths

from homewright.cluster.client import ClusterAway, ClusterError
from homewright.cluster.snapshots import (
    BEFORE,
    FOLDER,
    Newer,
    Silent,
    Snapshot,
    SnapshotsDocument,
    age,
    chosen,
    cost,
    listed,
    newer,
)
from homewright.errors import UsageError

SAVED = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
FIRST = Snapshot(server="s1", name="20260131T120000Z.db", at=SAVED, size=20480)


def document(*snapshots: Snapshot, silent: tuple[Silent, ...] = ()) -> SnapshotsDocument:
    return SnapshotsDocument(site="attic", snapshots=snapshots, silent=silent)


def test_only_whole_states_are_listed() -> None:
    said = f"{FOLDER}/20260131T120000Z.db 20480\n{FOLDER}/20260131T130000Z.db.new 7\n{FOLDER}/notes.db 1\n"
    assert list(listed("s1", said)) == [FIRST]
    assert list(listed("s1", "")) == []


SAME = FIRST.model_copy(update={"server": "s2"})
LATER = Snapshot(server="s1", name="20260201T120000Z.db", at=SAVED + timedelta(days=1), size=1)


@pytest.mark.parametrize("named", ["s1/20260131T120000Z.db", "s1/20260131T120000Z"])
def test_a_state_is_named_with_its_server_or_alone(named: str) -> None:
    assert chosen(document(LATER, FIRST, SAME), named) == FIRST
    assert chosen(document(LATER, FIRST), "20260131T120000Z.db") == FIRST


@pytest.mark.parametrize(
    ("found", "named", "what", "do"),
    [
        ((LATER, FIRST), None, "Which state", 2),
        ((LATER, FIRST, SAME), "20260131T120000Z.db", "2 servers have", 2),
        ((LATER, FIRST), "s3/20260131T120000Z.db", "no saved state s3/", 2),
        ((), None, "There is no saved state of the cluster", 0),
    ],
)
def test_none_is_taken_that_was_not_clearly_named(
    found: tuple[Snapshot, ...], named: str | None, what: str, do: int
) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        chosen(document(*found, silent=(Silent(server="s9", why="It is off."),)), named)
    assert len(caught.value.do) == do and all("homewright cluster restore s" in one for one in caught.value.do)


@pytest.mark.parametrize(
    ("passed", "said"),
    [
        (timedelta(seconds=20), "less than a minute"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(minutes=59), "59 minutes"),
        (timedelta(hours=3), "3 hours"),
        (timedelta(hours=3, minutes=1), "3 hours 1 minute"),
        (timedelta(days=2, minutes=5), "2 days"),
        (timedelta(days=1, hours=2, minutes=5), "1 day 2 hours"),
        (timedelta(minutes=-5), "less than a minute"),
    ],
)
def test_age_is_said_in_its_largest_units(passed: timedelta, said: str) -> None:
    assert age(SAVED, SAVED + passed) == said


def made(name: str, after_s: int, **place: str) -> dict[str, object]:
    at = (SAVED + timedelta(seconds=after_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"metadata": {"name": name, "creationTimestamp": at, **place}}


def test_what_was_made_since_is_what_would_be_forgotten() -> None:
    kept = {f"/api/v1/nodes/s{n}": made(f"s{n}", 10 if n == 3 else -10) for n in (1, 2, 3)}
    inside = "/api/v1/namespaces/garden/persistentvolumeclaims"
    kept |= {f"{inside}/c{n}": made(f"c{n}", n, namespace="garden") for n in range(8)}
    claims = tuple(f"garden/c{n}" for n in range(1, 6))
    assert newer(ClusterOfPaths(kept), SAVED) == [Newer("node", 1, ("s3",)), Newer("claim", 7, claims)]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/api/v1/namespaces/garden/configmaps/note", "config map"),
        ("/api/v1/namespaces/garden/configmaps/kube-root-ca.crt", ""),
        ("/api/v1/namespaces/garden/services/web", "service"),
        ("/api/v1/persistentvolumes/disk", "volume"),
        ("/apis/batch/v1/namespaces/garden/cronjobs/nightly", "cron job"),
    ],
)
def test_nobody_loses_untold_what_they_made(path: str, told: str) -> None:
    found = newer(ClusterOfPaths({path: made(path.rpartition("/")[2], 10)}), SAVED)
    assert [one.kind for one in found] == ([told] if told else [])


@pytest.mark.parametrize(
    ("since", "said"),
    [
        (
            [Newer("node", 1, ("s3",)), Newer("ingress", 2, ("a/b", "a/c"))],
            "1 node (s3); 2 ingresses (a/b, a/c); other",
        ),
        ([Newer("claim", 7, ("a/b",))], "7 claims (a/b, …); other kinds, such as roles and custom resources, are not"),
        ([], "config maps or secrets were made since; other kinds, such as roles and custom resources, are not looked"),
        (ClusterAway("The cluster's API does not answer at x."), "cannot be told, for the cluster does not answer"),
    ],
)
def test_the_cost_is_told(since: list[Newer] | ClusterError, said: str) -> None:
    told = " ".join(cost(FIRST, SAVED + timedelta(hours=1), since))
    assert said in told and "2026-01-31 12:00:00 UTC, 1 hour ago, as s1 saved it" in told
    assert BEFORE in told

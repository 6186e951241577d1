"""What LXD says while a server is away: the engine waits for that server, and fails for any other reason."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pylxd.exceptions
import pytest

from homewright.lxd.client import Lxd, LxdAway, LxdError, LxdMissing, kind_of


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        # Seen on practice servers whose s2 lost power: s1 had handed the instance on to it.
        ('Post "https://198.18.3.12:8443/1.0/instances?project=default&target=s2": EOF', LxdAway),
        ('Get "https://198.18.3.12:8443/1.0": dial tcp 198.18.3.12:8443: connect: no route to host', LxdAway),
        ('Failed: Put "https://[fd00::2]:8443/internal/x": context canceled', LxdAway),
        ("Missing event connection with target cluster member", LxdAway),
        ("Target cluster member is offline", LxdAway),
        ("Failed to issue rename instance API request: Target node is offline", LxdAway),  # seen while one moved
        ("Failed to begin transaction: no available dqlite leader server found", LxdAway),
        ('Get "https://images.lan:8443/streams/v1/index.json": connect: connection refused', LxdError),
        ('Get "https://cloud-images.ubuntu.com/releases/streams/v1/index.json": no such host', LxdError),
        ("Instance disk is too small", LxdError),
    ],
)
def test_a_server_that_is_away_is_told_from_what_went_wrong(reason: str, kind: type[LxdError]) -> None:
    assert kind_of(reason) is kind


class Answer:
    """One of LXD's answers, as the client's library hands it on."""

    def __init__(self, status: int, error: str) -> None:
        self.status_code = status
        self._error = error

    def json(self) -> dict[str, str]:
        return {"type": "error", "error": self._error}


def lxd_whose_operation(end: Any) -> Lxd:
    """A member that begins whatever it is asked for, and whose operation ends so."""

    def wait(params: object) -> SimpleNamespace:
        if isinstance(end, Exception):
            raise end
        return SimpleNamespace(json=lambda: {"metadata": end})

    class Api(dict[str, Any]):
        operations = {"7": SimpleNamespace(wait=SimpleNamespace(get=wait))}

        def __missing__(self, part: str) -> Api:
            return self

        def post(self, **_: object) -> SimpleNamespace:
            return SimpleNamespace(json=lambda: {"type": "async", "operation": "/1.0/operations/7"})

        delete = post

    made = Lxd.__new__(Lxd)
    made.name, made._client = "s1", SimpleNamespace(api=Api())
    return made


def test_an_operation_that_ends_because_a_member_went_away_is_waited_for() -> None:
    failed = {"status_code": 400, "err": 'Post "https://198.18.3.12:8443/1.0/instances": EOF'}
    with pytest.raises(LxdAway, match="could not make n1"):
        lxd_whose_operation(failed).post("instances", {"name": "n1"})
    with pytest.raises(LxdError, match="could not make n1") as raised:
        lxd_whose_operation({"status_code": 400, "err": "no space"}).post("instances", {"name": "n1"})
    assert not isinstance(raised.value, LxdAway)


def test_an_operation_that_nobody_knows_any_more_is_no_missing_thing() -> None:
    """LXD was started anew while it worked: what was to be removed may be there still."""
    forgotten = lxd_whose_operation(pylxd.exceptions.NotFound(Answer(404, "Operation not found")))
    with pytest.raises(LxdAway, match="could not remove") as raised:
        forgotten.delete("instances/n1")
    assert not isinstance(raised.value, LxdMissing)

"""Without the account and its keys."""

from collections.abc import Sequence

from homewright.engine.runners.host import Host, together
from homewright.stages import peer_keys as keys


def rollback_all(hosts: Sequence[Host]) -> None:
    together(hosts, _take_away)
    others = [host for host in keys.everyone(hosts) if not host.requested]
    together(others, lambda host: _forget(host, [gone.name for gone in hosts if gone.error is None]))


def _take_away(host: Host) -> None:
    with host.task("No account, no keys") as task:
        task.changed = keys.remove_account(host)


def _forget(host: Host, gone: list[str]) -> None:
    """A server that keeps its account no longer lets the others in."""
    text = host.read(keys.AUTHORIZED)
    if text is None:
        return
    with host.task("Their keys") as task:
        left = [line for line in text.decode().splitlines() if keys.comment_of(line) not in gone]
        wanted = "".join(f"{line}\n" for line in left)
        task.changed = host.write(keys.AUTHORIZED, wanted.encode(), mode=0o600, owner=keys.OWNER)

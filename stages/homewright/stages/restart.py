"""Which servers a change waits on for a restart, and what is known of the last one (stage 10, step 30).

What waits is written below /run, which every start empties: so a server that lost power in between has restarted, too.
"""

from __future__ import annotations

import json
import shlex

from homewright.engine.runners.host import Host

WAITS = "/run/homewright/restart"
"""One line for each change that counts from the next start on."""
RECORD = "/var/lib/homewright/restarted.json"
"""In which boot the server was when it was last looked whether it has to restart, and what for."""
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def ask_for(host: Host, why: str) -> None:
    """Have step 10/30 restart this server."""
    host.run(f"mkdir -p /run/homewright && printf '%s\\n' {shlex.quote(why)} >>{WAITS}")


def waiting(host: Host) -> str:
    """What waits for a restart; empty where nothing does."""
    return "; ".join(dict.fromkeys((host.read(WAITS) or b"").decode("utf-8", "replace").splitlines()))


def boot(host: Host) -> str:
    """The id of the boot that the server is in."""
    return host.run(["cat", BOOT_ID], sudo=False).stdout.strip()


def note(host: Host, why: str) -> None:
    """Record the boot that the server is in, before it restarts for `why`, or as it is where nothing waits."""
    host.write(RECORD, json.dumps({"boot": boot(host), "why": why}).encode())


def noted(host: Host) -> dict[str, str] | None:
    """What `note` recorded; None where there is nothing, or nothing whole."""
    try:
        record = json.loads(host.read(RECORD) or b"")
        return {"boot": str(record["boot"]), "why": str(record["why"])}
    except (ValueError, KeyError, TypeError):
        return None

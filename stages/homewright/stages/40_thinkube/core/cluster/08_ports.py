"""Seen on the server: systemd listens at the planned ports for the planned instances, and at no other one for us; and
what runs is what the units say.

That something answers behind them is what the proofs of the steps after this one see: they come in by these ports.
"""

import hashlib
import shlex

from homewright.engine.runners.host import Host, Proof, broken, proved
from homewright.stages.cluster import forming, leading


def verify(host: Host) -> Proof:
    leads = forming.plan_of(host).leads(host.name)
    files = leading.files(host.address, leads)
    seen = leading.look(host)
    said = host.run(f"sha256sum {shlex.join(files)} 2>/dev/null; true").stdout if files else ""
    there = {words[1]: words[0] for line in said.splitlines() if len(words := line.split()) == 2}
    wanted = {
        lead: all(
            there.get(place) == hashlib.sha256(files[place].encode()).hexdigest()
            for place in (leading.path(lead.port, suffix) for suffix in ("socket", "service"))
        )
        for lead in leads
    }
    if why := leading.wrong(host.name, host.address, wanted, seen):
        return broken(why)
    if not leads:
        return proved(f"No port of {host.name} is to lead anywhere.", idle=True)
    return proved(leading.told(host.name, leads))


def capture(host: Host) -> dict[str, object]:
    return {}

"""The instances ask the platform's DNS server first, and whom they asked before after it."""

from homewright.engine.runners.host import Host
from homewright.stages import dns_effect


def run(host: Host) -> None:
    plan = dns_effect.plan_of(host)
    dns_effect.refuse(host, plan)
    dns_effect.set_resolvers(host, plan)

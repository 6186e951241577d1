"""The platform's DNS server on one server, and all servers ask it first."""

from collections.abc import Sequence

from homewright.engine.runners.host import Host, together
from homewright.stages import dns_effect


def run_all(hosts: Sequence[Host]) -> None:
    plan = dns_effect.plan_of(hosts[0])
    together(hosts, lambda host: dns_effect.refuse(host, plan))
    server = next((host for host in hosts if host.name == plan.server), None)
    if server is not None:
        together([server], lambda host: dns_effect.set_up_server(host, plan))
        if server.error is not None:
            raise server.error  # nobody is told to ask a server that does not answer
    together(hosts, lambda host: dns_effect.set_resolvers(host, plan))

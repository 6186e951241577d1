"""Whom these hosts asked before, they ask again, and the DNS server is gone."""

from collections.abc import Sequence

from homewright.engine.runners.host import Host, together
from homewright.stages import dns_effect


def rollback_all(hosts: Sequence[Host]) -> None:
    together(hosts, dns_effect.put_resolvers_back)
    together(hosts, dns_effect.take_server_away)

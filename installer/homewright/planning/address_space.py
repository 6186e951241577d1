"""Finding room between address ranges. Pure arithmetic on IPv4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network

PRIVATE = (IPv4Network("10.0.0.0/8"), IPv4Network("172.16.0.0/12"), IPv4Network("192.168.0.0/16"))
"""Addresses that nobody routes on the internet (RFC 1918), the largest block first."""


def network(text: str) -> IPv4Network | None:
    """The network of an address with a prefix, as `ip addr` prints it; None for IPv6 and for anything else."""
    try:
        return IPv4Network(text, strict=False)
    except ValueError:
        return None


def overlapping(one: IPv4Network, others: Iterable[IPv4Network]) -> IPv4Network | None:
    """The first of the others that has an address of this one."""
    return next((other for other in others if one.overlaps(other)), None)


def free(
    prefix: int,
    taken: Sequence[IPv4Network],
    preferred: Iterable[IPv4Network] = (),
    pools: Iterable[IPv4Network] = PRIVATE,
) -> IPv4Network | None:
    """A network of this size without a taken address: one of the preferred, else the lowest of the pools."""
    for wish in preferred:
        if overlapping(wish, taken) is None:
            return wish
    for pool in pools:
        for found in gaps(prefix, pool, taken):
            return found
    return None


def gaps(prefix: int, pool: IPv4Network, taken: Sequence[IPv4Network]) -> Iterator[IPv4Network]:
    """Networks of this size in the pool without a taken address, from the lowest on.

    What is taken is jumped over as a whole, so that a taken 10.0.0.0/9 costs one look and not 32,768.
    """
    size = 1 << (32 - prefix)
    start, last = int(pool.network_address), int(pool.broadcast_address)
    while start + size - 1 <= last:
        found = IPv4Network((start, prefix))
        hit = overlapping(found, taken)
        if hit is None:
            yield found
            start += size
        else:
            after = int(hit.broadcast_address) + 1
            start = max(start + size, -(-after // size) * size)


def highest(prefix: int, pool: IPv4Network, taken: Sequence[IPv4Network]) -> IPv4Network | None:
    """The highest network of this size in the pool without a taken address; None where there is none."""
    size = 1 << (32 - prefix)
    start = int(pool.broadcast_address) + 1 - size
    while start >= int(pool.network_address):
        found = IPv4Network((start, prefix))
        hit = overlapping(found, taken)
        if hit is None:
            return found
        start = min(start, int(hit.network_address)) // size * size
        if start + size > int(hit.network_address):
            start -= size
    return None


def host_addresses(net: IPv4Network) -> tuple[int, int]:
    """The first and the last address that a host may have, as numbers."""
    if net.prefixlen >= 31:
        return int(net.network_address), int(net.broadcast_address)
    return int(net.network_address) + 1, int(net.broadcast_address) - 1


def next_address(net: IPv4Network, taken: Iterable[IPv4Address]) -> IPv4Address | None:
    """The lowest address that a host may have and nobody has."""
    used = {int(address) for address in taken}
    first, last = host_addresses(net)
    while first <= last:
        if first not in used:
            return IPv4Address(first)
        first += 1
    return None

"""Real lookups on this host: it finds names of the zone, and its package mirrors even without our DNS server."""

from homewright.engine.runners.host import Host, Proof, broken, cannot_tell, proved
from homewright.planning.zone import ZonePlan
from homewright.stages import dns_effect, dns_server, resolvers

SERVICE = "systemctl is-active named.service; systemctl is-enabled named.service; true"


def verify(host: Host) -> Proof:
    try:
        plan = dns_effect.plan_of(host)
    except resolvers.Refused as error:
        return broken(error.what)
    seen = dns_effect.look(host)
    others = dns_effect.upstream(host, seen)
    wrong = _server(host, plan, others) if host.name == plan.server else ""
    wrong = wrong or _file(host, plan, seen, others) or _zone(host, plan)
    if wrong:
        return broken(wrong)
    mirrors = dns_effect.mirror_names(host)
    found = dns_effect.resolved(host, mirrors)
    lost = next((name for name in mirrors if not found.get(name)), None)
    # What answers is not ours to mend: the file that says whom to ask is, and it was right.
    if lost is not None:
        return cannot_tell(
            f"{lost} is not found on {host.name}: ask {' or '.join(others) or 'your DNS server'} for it."
        )
    if mirrors and others:
        alone = {one: dns_effect.asked(host, one, *(("A", name) for name in mirrors)) for one in others}
        if not any(all(line.startswith("0 ") for line in lines) for lines in alone.values()):
            return cannot_tell(f"Without {plan.server}, nobody tells {host.name} where {', '.join(mirrors)} is.")
    more = f", and {', '.join(mirrors)} without it too" if mirrors and others else ""
    return proved(f"{host.name} finds names of {plan.zone}{more}.")


def _server(host: Host, plan: ZonePlan, others: tuple[str, ...]) -> str:
    for path, text in dns_server.files(plan, others).items():
        if host.read(path) != text.encode():
            return f"{path} on {host.name} is not what the site says."
        if host.stat(path) != "644 root:root":
            return f"{path} on {host.name} is {host.stat(path)}, not 644 root:root."
    state = host.run(SERVICE).stdout.split()
    if state != ["active", "enabled"]:
        return f"The DNS server on {host.name} is {' and '.join(state) or 'not there'}."
    return ""


def _file(host: Host, plan: ZonePlan, seen: resolvers.Seen, others: tuple[str, ...]) -> str:
    if seen.by_resolved:
        wanted = resolvers.drop_in(plan.address, plan.zone, tuple(dns_server.reverse(plan)))
        if host.read(resolvers.RESOLVED) != wanted.encode():
            return f"{resolvers.RESOLVED} on {host.name} is not what the site says."
    elif seen.link or seen.text != resolvers.plain(seen.text or "", plan.address, others):
        return f"{resolvers.RESOLV} on {host.name} does not ask {plan.server} first and the others after it."
    return ""


def _zone(host: Host, plan: ZonePlan) -> str:
    """What is wrong with names of the zone, as programs on this host find them and as the server answers it."""
    proof = f"{dns_server.PROOF}.{plan.zone}"
    below = f"{dns_server.PROOF}.{plan.server}.{plan.zone}"
    of_server = plan.overlay.get(plan.server, plan.address)
    first = next((plan.overlay.get(name, "") for name, one in plan.names.items() if one == plan.ingress), "")
    right = {
        f"ns1.{plan.zone}": {plan.address, of_server},
        proof: {plan.ingress, first},
        below: {plan.address, of_server},
    }
    found = dns_effect.resolved(host, list(right))
    for name, addresses in right.items():
        if found.get(name, "") not in addresses - {""}:
            wanted = plan.ingress if name == proof else plan.address
            return f"{name} is {found.get(name) or 'not found'} on {host.name}, not {wanted}."
    questions = [("PTR", _pointer(address)) for address in plan.names.values()]
    answers = dns_effect.asked(host, plan.address, *questions)
    for (name, address), said in zip(plan.names.items(), answers, strict=True):
        if said != f"0 {name}.{plan.zone}":
            return f"{plan.server} says of {address} to {host.name}: {said}, not {name}.{plan.zone}."
    return ""


def _pointer(address: str) -> str:
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"


def capture(host: Host) -> dict[str, object]:
    return dns_effect.capture(host)

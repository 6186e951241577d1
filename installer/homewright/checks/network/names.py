"""How a server resolves names, and through whom it reaches the internet."""

from __future__ import annotations

from shlex import quote

from homewright.checks.check import Check, Outcome, passed, pending, remedy, unknown, warning, wrong
from homewright.checks.ground import HostView
from homewright.site.models import Site

_CLUSTERING = "https://microk8s.io/docs/clustering"
_RESOLVED = "https://www.freedesktop.org/software/systemd/man/latest/resolvectl.html"
_DEBUG = "https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/"
_PROXY = "https://microk8s.io/docs/install-proxy"


def each_other(view: HostView) -> Outcome:
    threshold = "every server's name leads to its address"
    others = [server for server in view.site.servers if server.name != view.host]
    found = {**view.facts.names.resolves, **view.ground.measurements.resolves.get(view.host, {})}
    if not found:
        why = view.ground.measurements.errors.get(view.host, {}).get("resolves") or view.facts.why_unknown("names")
        return unknown(threshold, f"It was not tried: {why}.")
    astray = {
        other.name: found.get(other.name, ()) for other in others if other.address not in found.get(other.name, ())
    }
    if not astray:
        return passed(f"{len(others)} of {len(others)}", threshold, "The cluster's members find each other.")
    told = ", ".join(f"{name} {'to ' + ' '.join(where) if where else 'nowhere'}" for name, where in astray.items())
    measured = f"{len(others) - len(astray)} of {len(others)}; {told}"
    if not view.ground.reached("after-names"):
        return pending(measured, threshold, "Stage 00, step 10 writes the servers' names into /etc/hosts.")
    return wrong(
        measured,
        threshold,
        "A server that others do not find by its name cannot join the cluster (MicroK8s answers 400).",
        remedy(
            f"Write the names into /etc/hosts of {view.host}.",
            *(
                f"echo {quote(f'{other.address} {other.name}')} | sudo tee -a /etc/hosts"
                for other in others
                if other.name in astray
            ),
            fix="hosts",
            changes=("Homewright's lines in /etc/hosts are written anew; all others stay",),
        ),
    )


def resolvers(view: HostView) -> Outcome:
    public = view.limits.flag("public_names")
    threshold = "a resolver that answers" + (" and knows public names" if public else "")
    names = view.facts.names
    if not names.resolvers and any(gap.source == "names" for gap in view.facts.missing):
        return unknown(threshold, f"The resolvers are not known: {view.facts.why_unknown('names')}.")
    answers = view.ground.measurements.resolvers_answer.get(view.host, {})
    silent = [one for one in names.resolvers if answers.get(one) is False]
    measured = ", ".join(names.resolvers) or "none"
    mend = remedy(
        f"Give {view.host} a resolver that answers.",
        "resolvectl status",
        f"sudo resolvectl dns {quote(_nic(view))} {quote(_better(view))}",
        fix="resolv",
        changes=(
            f"{view.host} asks resolvers that answer, such as {_better(view)}, and no longer those that do not",
            "/etc/resolv.conf is written, or systemd-resolved's own file where that runs",
        ),
    )
    if not names.resolvers:
        return wrong(measured, threshold, "No name can be resolved, so no package can be fetched.", mend)
    if len(silent) == len(names.resolvers):
        return wrong(f"{measured}: no answer", threshold, "Its resolvers do not answer.", mend)
    if public and names.internet is False:
        return wrong(f"{measured}: no public name", threshold, "Public names are not resolved: no package comes.", mend)
    if silent:
        reason = f"{', '.join(silent)} does not answer: every lookup may wait for it."
        return warning(measured, threshold, reason, mend)
    return passed(measured, threshold, "Names are resolved.")


def wildcard(view: HostView) -> Outcome:
    threshold = "a name that cannot exist has no address"
    found = view.facts.names.wildcard
    answers = view.ground.measurements.resolvers_answer.get(view.host, {})
    if found is None and view.facts.names.internet is False:
        # with no way out there is no public name to compare with; where its resolvers are there, they named no address
        if answers and all(answers.values()):
            return passed("it has none", threshold, "Its resolvers answer, and have no address for it.")
        return unknown(threshold, "Neither it nor a public name was found: it may be that nobody answered.")
    if found is None:
        return unknown(threshold, f"It was not tried: {view.facts.why_unknown('names')}.")
    if not found:
        return passed("it has none", threshold, "Only names that exist have an address.")
    zone = view.site.zone
    if zone is not None and zone in view.facts.names.search:
        return passed(f"it is completed with {zone}", threshold, "That is the platform's own zone.")
    search = ", ".join(view.facts.names.search) or "none"
    return wrong(
        f"it has one (search domains: {search})",
        threshold,
        "With a wildcard, pods take names of the internet for names of the network and go astray.",
        remedy(
            f"Take the search domain, or the resolver that invents answers, away from {view.host}.",
            "resolvectl status",
            f"sudo resolvectl domain {quote(_nic(view))} ''",
            fix="dns",
            changes=(
                "the resolver, or the search domain, that has an address for any name is taken away",
                "/etc/resolv.conf is written, or systemd-resolved's own file where that runs",
            ),
        ),
    )


def proxy(view: HostView) -> Outcome:
    threshold = view.site.network.proxy or "none, as the site says"
    if not view.probed:
        return unknown(threshold, f"The environment is not known: {view.facts.why_unknown('proxies')}.")
    found = {name.lower(): value for name, value in view.facts.system.proxies.items() if name.lower() != "no_proxy"}
    wanted = (view.site.network.proxy or "").rstrip("/")
    others = {name: value for name, value in found.items() if value.rstrip("/") != wanted}
    if not found:
        return passed("none", threshold, "No proxy variables are set.")
    measured = ", ".join(f"{name}={value}" for name, value in found.items())[:190]
    if not others:
        return passed(measured, threshold, "The site knows the proxy.")
    value = next(iter(others.values()))
    return wrong(
        measured,
        threshold,
        "The server goes out by a proxy that the site does not know: what it installs would not come, or go astray.",
        remedy(
            "Tell the site about the proxy, without a password in it; or take the variables away.",
            *([f"homewright site set network.proxy {quote(value)}"] if "***@" not in value else []),
            "sudo sed -i.before-homewright '/_proxy=/Id' /etc/environment",
        ),
    )


def _several(site: Site, host: str) -> bool:
    return len(site.servers) > 1


def _nic(view: HostView) -> str:
    nic = view.ground.nic(view.host)
    return nic.name if nic is not None else "eth0"


def _better(view: HostView) -> str:
    """A resolver for this server: the site's, else one that answers another server, else its gateway."""
    if view.site.network.resolvers:
        return view.site.network.resolvers[0]
    answers = view.ground.measurements.resolvers_answer
    for name, facts in view.ground.known.items():
        if name != view.host and facts.names.internet is not False:
            for one in facts.names.resolvers:
                if answers.get(name, {}).get(one, True) and ":" not in one and not one.startswith("127."):
                    return one
    nic = view.ground.nic(view.host)
    return nic.gateway if nic is not None and nic.gateway else "9.9.9.9"


CHECKS = (
    Check("net.names", "Servers' names", "network", "host", ("names", "measured.resolves"), _CLUSTERING,
          host=each_other, applies=_several, phase="after-names", depends=("net.resolvers", "host.hostname")),
    Check("net.resolvers", "Resolvers", "network", "host", ("names", "measured.resolvers_answer"), _RESOLVED,
          host=resolvers),
    Check("net.wildcard-dns", "No wildcard DNS", "network", "host", ("names", "site.zone", "measured.resolvers_answer"),
          _DEBUG, host=wildcard, depends=("net.resolvers",)),
    Check("net.proxy", "Proxy variables", "network", "host", ("system", "site.network"), _PROXY, host=proxy),
)  # fmt: skip

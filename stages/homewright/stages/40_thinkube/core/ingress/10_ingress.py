"""Contour and Envoy where the cluster has no way in of its own, and a page behind it."""

from homewright.cluster import objects
from homewright.engine.runners.host import Host
from homewright.stages.components import api, certificates, ingress, page, workloads

READY_S = 300
PAGE_S = 120


def run(host: Host) -> None:
    site, address = host.site, ingress.address(host)
    authority = certificates.authority(host)
    with api.connect(host) as cluster:
        own = ingress.own_class(cluster, site)
        if own is not None:
            host.say(f"the cluster's own class {own} is used")
        else:
            ingress.require_address(host)
            with host.task("Contour and Envoy") as task:
                task.changed = ingress.apply(cluster, site, address)
            with host.task("Ready") as task:
                task.changed = api.until(
                    READY_S,
                    "The way in does not become ready.",
                    lambda: workloads.unready(cluster, ingress.DAEMONS),
                    f"look at it: kubectl -n {ingress.NAMESPACE} describe pods",
                )
        with host.task("Page of the proof") as task:
            # Its certificate comes first: whatever leads in would begin with another one.
            task.changed = objects.apply(cluster, site.name, page.namespace(site))
            task.changed |= page.issue(cluster, site, authority)
            task.changed |= objects.apply(cluster, site.name, page.wanted(site, own or ingress.CLASS))
        with host.task("Page answers") as task:
            task.changed = api.until(
                PAGE_S,
                "The page of the proof cannot be had from outside.",
                lambda: workloads.unready(cluster, page.DEPLOYMENT) or page.wrong(address, site, authority),
                f"try it: curl -v --resolve {page.name(site)}:443:{address} https://{page.name(site)}/",
            )

"""What a site says of its workspaces in the cluster. Pure."""

from __future__ import annotations

from homewright.site.models import Site
from homewright.workspaces.backends.kubernetes import namespace
from homewright.workspaces.backends.kubernetes.manifests import Surroundings


def surroundings(site: Site) -> Surroundings:
    """What the site says that templates do not."""
    settings = site.workspaces
    return Surroundings(
        zone=site.zone,
        ingress_class=settings.ingress_class,
        issuer=settings.issuer,
        gateway=settings.istio_gateway,
        storage_class=settings.storage_class,
        mirror=site.mirror,
    )


def walls(site: Site) -> namespace.Walls:
    """What workspaces may be reached by, and what they may not reach."""
    network = site.network
    ranges = (network.lan, network.lxd, network.pods, network.services, network.load_balancer, network.overlay.range)
    gateway = site.workspaces.istio_gateway
    controllers = (site.workspaces.ingress_namespace, *([gateway.partition("/")[0]] if gateway else []))
    return namespace.Walls(tuple(dict.fromkeys(controllers)), tuple(str(one) for one in ranges if one is not None))

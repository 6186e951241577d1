"""The platform's certificate, signed by the site's authority; and every other of the site's that ends soon, anew."""

from homewright.cluster import objects
from homewright.engine.runners.host import Host
from homewright.stages.components import api, certificates


def run(host: Host) -> None:
    own = certificates.authority(host)
    with api.connect(host) as cluster:
        with host.task("The site's authority") as task:
            task.changed = objects.apply(cluster, host.site.name, certificates.wanted(host.site, own))
        with host.task("Certificate of the platform") as task:
            task.changed = certificates.issue(cluster, host.site, own)
        with host.task("Certificates that end soon") as task:
            renewed = certificates.renew(cluster, own)
            for name in renewed:
                host.say(f"renewed {name}")
            task.changed = bool(renewed)

"""kubeadm's init on the control plane where it is missing, then the joins; labels and taints as planned.

Where somebody has asked for a saved state of etcd (homewright cluster restore), that comes first.
"""

from collections.abc import Sequence

from homewright.engine.runners.host import Host
from homewright.stages.cluster import departing, forming, restoring


def run_all(hosts: Sequence[Host]) -> None:
    wanted = restoring.asked(hosts[0])
    # A retry is of those alone that failed: what all of them have come to the end of is not begun again.
    if wanted is not None and not restoring.is_over((*hosts, *hosts[0].peers), wanted):
        restoring.restore(hosts, wanted)
    gone = hosts[0].site.instances.gone
    departing.forget(hosts, gone)
    forming.form(hosts)
    departing.forget_nodes(hosts, gone)

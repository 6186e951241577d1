"""kubeadm's init on the control plane where it is missing, then the joins; labels and taints as planned.

Where somebody has asked for a saved state of etcd (homewright cluster restore), that comes first.
"""

from collections.abc import Sequence

from homewright.engine.runners.host import Host
from homewright.stages.cluster import forming, restoring


def run_all(hosts: Sequence[Host]) -> None:
    if (wanted := restoring.asked(hosts[0])) is not None:
        restoring.restore(hosts, wanted)
    forming.form(hosts)

"""kubeadm's init on the control plane where it is missing, then the joins; labels and taints as planned."""

from collections.abc import Sequence

from homewright.engine.runners.host import Host
from homewright.stages.cluster import forming


def run_all(hosts: Sequence[Host]) -> None:
    forming.form(hosts)

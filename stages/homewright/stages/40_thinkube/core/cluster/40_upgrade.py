"""A cluster that runs another Kubernetes than the site says is upgraded: a patch, or one minor version.

Control planes go first and one after the other, then the other nodes; each is emptied before its kubelet is replaced.
What was cut off goes on: what every node has decides what is left.
"""

from collections.abc import Sequence

from homewright.engine.runners.host import Host
from homewright.stages.cluster import upgrading


def run_all(hosts: Sequence[Host]) -> None:
    upgrading.upgrade(hosts)

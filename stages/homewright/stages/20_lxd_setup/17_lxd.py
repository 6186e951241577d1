"""After a formation or a join that was cut off: what is no member of the cluster is put back to a fresh LXD.

Then 10_lxd.py joins it again. A server whose packages were cut off is left to that file, which finishes them first.
"""

from collections.abc import Sequence

from homewright.engine.runners.host import Host
from homewright.stages.lxd import cluster


def recover_all(hosts: Sequence[Host]) -> None:
    stood = cluster.stand(hosts)
    cluster.refuse(hosts, stood)
    cluster.mend(hosts, stood)

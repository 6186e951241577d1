"""After an init or a join that was cut off: what did not come to its end is put back to a prepared node.

Then 20_kubeadm.py does it again. A node whose init or join came to its end stays as it is, whatever was cut off later.
"""

from collections.abc import Sequence

from homewright.engine.runners.host import Host, together
from homewright.stages.cluster import forming, resetting


def recover_all(hosts: Sequence[Host]) -> None:
    together(hosts, _mend)


def _mend(host: Host) -> None:
    with host.task("What was cut off") as task:
        if forming.state(host) == "half":
            resetting.reset(host)
            task.changed = True

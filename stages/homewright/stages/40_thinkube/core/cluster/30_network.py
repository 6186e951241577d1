"""flannel in the cluster, and every node ready for pods."""

from collections.abc import Sequence

from homewright.cluster import client
from homewright.engine.runners.host import Host, together
from homewright.errors import HomewrightError
from homewright.stages.cluster import forming, network, restoring

READY_S = 300


def run_all(hosts: Sequence[Host]) -> None:
    first = hosts[0]
    with first.task("flannel") as task, forming.connect(first) as api:
        task.changed = network.apply(api, first.site, forming.plan_of(first))
        # Whatever held it up before may be mended by now; and what it has told the cluster since is in no saved state.
        again = network.begin_anew(api, everywhere=restoring.asked(first) is not None)
        task.changed = again > 0 or task.changed
    together(hosts, _ready)


def _ready(host: Host) -> None:
    with host.task("Ready") as task, forming.connect(host) as api:
        if not network.unready(api, host.name):
            return
        task.changed = True
        if waiting := client.wait(READY_S, lambda: network.unready(api, host.name)):
            raise HomewrightError(
                f"{host.name} does not become ready.",
                waiting,
                [f"on {host.name}: sudo journalctl -u kubelet -n 50", "then: homewright retry"],
            )

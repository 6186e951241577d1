"""flannel in the cluster, every node reaching what is behind Services, and ready for pods."""

from collections.abc import Sequence

from homewright.cluster import client
from homewright.engine.runners.host import Host, together
from homewright.errors import HomewrightError
from homewright.stages.cluster import draining, forming, network, restoring, services

READY_S = 300


def run_all(hosts: Sequence[Host]) -> None:
    first = hosts[0]
    with first.task("flannel") as task, forming.connect(first) as api:
        task.changed = network.apply(api, first.site, forming.plan_of(first))
        # Whatever held it up before may be mended by now; and what it has told the cluster since is in no saved state.
        again = network.begin_anew(api, everywhere=restoring.asked(first) is not None)
        task.changed = again > 0 or task.changed
    # First of all: flannel itself reaches the API by its Service.
    together(hosts, services.reach)
    together(hosts, _ready)


def _ready(host: Host) -> None:
    with host.task("Ready") as task, forming.connect(host) as api:
        # An upgrade of it was cut off, and goes on after this.
        task.changed = draining.open_again(api, host.name)
        if not network.unready(api, host.name):
            return
        task.changed = True
        if waiting := client.wait(READY_S, lambda: network.unready(api, host.name)):
            raise HomewrightError(
                f"{host.name} does not become ready.",
                waiting,
                [f"on {host.name}: sudo journalctl -u kubelet -n 50", "then: homewright retry"],
            )

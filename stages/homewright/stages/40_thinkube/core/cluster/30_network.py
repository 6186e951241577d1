"""flannel in the cluster, every node reaching what is behind Services, and ready for pods."""

from collections.abc import Sequence

from homewright.cluster import client
from homewright.engine.runners.host import Host, together
from homewright.errors import HomewrightError
from homewright.stages.cluster import forming, network, restoring, services

READY_S = 300


def run_all(hosts: Sequence[Host]) -> None:
    first = hosts[0]
    with first.task("flannel") as task, forming.connect(first) as api:
        task.changed = network.apply(api, first.site, forming.plan_of(first))
        # Whatever held it up before may be mended by now; and what it has told the cluster since is in no saved state.
        again = network.begin_anew(api, everywhere=restoring.asked(first) is not None)
        task.changed = again > 0 or task.changed
    # First of all: flannel itself reaches the API by its Service.
    together(hosts, _reaches_services)
    together(hosts, _ready)


def _reaches_services(host: Host) -> None:
    plan = forming.plan_of(host)
    with host.task("Services are reached") as task:
        if not services.unreached(host, plan):
            return
        task.changed = True
        with forming.connect(host) as api:
            client.wait(READY_S, lambda: services.starting(api, host.name))
            if not client.wait(services.SETTLES_S, lambda: services.unreached(host, plan)):
                return
            services.begin_anew(api, host.name)
        if waiting := client.wait(READY_S, lambda: services.unreached(host, plan)):
            raise HomewrightError(
                f"{host.name} reaches nothing that is behind a Service.",
                waiting,
                [
                    f"what kube-proxy says: kubectl -n kube-system logs -l {services.LABELS} --prefix",
                    "then: homewright retry",
                ],
            )


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

"""Seen from here through the API: the node is in the cluster, with its labels and taints. Its version is told here, and
judged by 48_upgrade.py.
"""

from datetime import UTC, datetime

from homewright.cluster import kubeconfig
from homewright.cluster.client import ClusterAway, ClusterError, ClusterForbidden
from homewright.cluster.kubeconfig import KubeconfigError
from homewright.engine.runners.host import Host, Proof, broken, cannot_tell, proved
from homewright.planning.cluster import SHARED_PORT
from homewright.stages.cluster import balanced, etcd, forming, renewing, resetting

SHARED = f"curl -fsk -m 5 -o /dev/null https://127.0.0.1:{SHARED_PORT}/readyz"
DAYS = renewing.RENEWED_DAYS
"""Certificates that end sooner are told with what renews them."""
RUNS = f"systemctl is-active kubelet.service {balanced.BALANCER_UNIT}; true"
PAIRS = (
    "ca", "apiserver", "apiserver-kubelet-client", "apiserver-etcd-client", "front-proxy-ca", "front-proxy-client",
    "etcd/ca", "etcd/server", "etcd/peer", "etcd/healthcheck-client",
)  # fmt: skip
"""Certificates of a control plane, as kubeadm names them; each has a key beside it."""
CERTIFICATES = f"""cd /etc/kubernetes/pki || exit 0
for name in {" ".join(PAIRS)}; do
    for file in $name.crt $name.key; do [ -s $file ] || echo "missing $file" >&2; done
done
cat apiserver.crt etcd/server.crt 2>/dev/null
true"""


def verify(host: Host) -> Proof:
    plan = forming.plan_of(host)
    node = plan.node(host.name)
    if forming.state(host) != "formed":
        return broken(f"{host.name} is in no cluster.")
    kubelet, balancer = host.run(RUNS).stdout.split()
    if kubelet not in ("active", "activating"):
        return broken(f"kubelet on {host.name} is {kubelet}.")
    if node.control_plane and plan.address is not None and balancer != "active":
        # Before the API is asked: where the shared address is here, it does not answer until that has moved.
        return broken(f"HAProxy on {host.name} is {balancer}.")
    try:
        with forming.connected(host) as api:
            if f"https://{plan.outside}" != api.config.server:
                return broken(f"The site's kubeconfig is for {api.config.server}, not for {plan.outside}.")
            said = api.text("/readyz")
            found = api.find(f"/api/v1/nodes/{host.name}")
    except KubeconfigError as error:
        return broken(f"{error.what} {error.why}")
    except ClusterAway as error:
        return (broken if "another certificate" in error.what else cannot_tell)(f"{error.what} {error.why}")
    except ClusterForbidden as error:
        return broken(f"{error.what} {error.why}")
    except ClusterError as error:
        return cannot_tell(f"{error.what} {error.why}")
    if said != "ok":
        return cannot_tell(f"The cluster's API is not ready: {said}.")
    if found is None:
        return broken(f"The cluster does not know {host.name}.")
    version = found["status"]["nodeInfo"]["kubeletVersion"]
    addresses = [one["address"] for one in found["status"].get("addresses", ()) if one["type"] == "InternalIP"]
    if node.address not in addresses:
        return broken(f"The cluster knows {host.name} as {', '.join(addresses) or 'nowhere'}, not at {node.address}.")
    if forming.node_change(node, found):
        return broken(f"The labels and taints of {host.name} are not as planned.")
    if not node.control_plane:
        return proved(f"{host.name} is in the cluster with {version}.")
    if plan.address is not None:
        if host.run(SHARED, check=False).exit_code != 0:
            return broken(f"HAProxy on {host.name} finds no control plane that answers.")
        if host.name not in (known := etcd.members(host)):
            return broken(f"{host.name} is no member of etcd; {', '.join(sorted(known))} are.")
    return _lasts(host, version)


def _lasts(host: Host, version: str) -> Proof:
    asked = host.run(CERTIFICATES)
    if lost := [line.split()[1] for line in asked.stderr.splitlines() if line.startswith("missing ")]:
        # The API that runs has them in memory: it would not come up again.
        return broken(f"{host.name} has lost {', '.join(lost)} of /etc/kubernetes/pki.")
    text = asked.stdout_bytes
    if not text:
        return broken(f"{host.name} has lost /etc/kubernetes/pki.")
    marks = b"-----END CERTIFICATE-----\n"
    ends = min(kubeconfig.expiry(part + marks) for part in text.split(marks) if part.strip())
    days = (ends - datetime.now(UTC)).days
    if days < 0:
        return broken(f"The certificates of {host.name} have ended on {ends:%Y-%m-%d}.")
    if days < DAYS:
        return proved(
            f"The API answers with {version}; its certificates end in {days} days: homewright apply renews them."
        )
    return proved(f"The API on {host.name} answers with {version}; its certificates last until {ends:%Y-%m-%d}.")


def capture(host: Host) -> dict[str, object]:
    return resetting.before(host)

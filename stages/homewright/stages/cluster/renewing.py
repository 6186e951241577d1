"""Certificates of a control plane: kubeadm's last a year, and are renewed by a run before they end, or after."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from homewright.cluster import kubeconfig
from homewright.engine.runners.host import Host
from homewright.stages.cluster import etcd

RENEWED_DAYS = 60
"""A run renews certificates of a control plane that end in less than this."""
_ETCD = "/etc/kubernetes/pki/etcd/server.crt"
_SHOWN = ("/etc/kubernetes/pki/apiserver.crt", _ETCD)
_RENEW = f"""set -e
kubeadm certs renew all
# Each is started anew by kubelet at once, and reads its new certificates; pods of others go on.
ctr="{etcd.CTR}"
for filter in {" ".join(f"'{etcd.containers(name)}'" for name in etcd.CONTROL_PLANE)}; do
    for id in $($ctr containers list -q "$filter"); do
        $ctr tasks kill -s SIGTERM "$id" 2>/dev/null || true
    done
done
"""


def renew(host: Host, *, within: timedelta = timedelta(days=RENEWED_DAYS), save: bool = True) -> bool:
    """Renew a control plane's certificates where one ends soon, by default with etcd saved before; whether that was so.

    Raises CommandFailed.
    """
    texts = {path: host.read(path) for path in _SHOWN}
    ends = {path: kubeconfig.expiry(text) for path, text in texts.items() if text}
    now = datetime.now(UTC)
    if not ends or min(ends.values()) - now > within:
        return False
    if save and ends.get(_ETCD, now) > now:
        etcd.snapshot(host)
    elif save:
        host.say("etcd is not saved before: it cannot be asked, because its certificate has ended")
    host.show(_RENEW, timeout=300)
    return True


def revive(host: Host, *, save: bool = True) -> None:
    """Renew what has ended already. Raises CommandFailed."""
    with host.task("Certificates that have ended") as task:
        task.changed = renew(host, within=timedelta(), save=save)

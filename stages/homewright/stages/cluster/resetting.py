"""Out of a cluster: what kubeadm and kubelet left on a node goes, and nothing of anybody else."""

from __future__ import annotations

from homewright.engine.runners.host import Host
from homewright.stages.cluster import documents

FOLDERS = ("/etc/kubernetes", "/var/lib/kubelet", "/var/lib/etcd")
"""kubeadm's own, which others may use as well."""


def reset(host: Host) -> None:
    """Back to a prepared node that is in no cluster: for an init or a join that was cut off, and for x9.

    Raises CommandFailed, with nothing removed, where kubeadm fails or a volume of a pod stays mounted.
    """
    host.show(f"{_RESET}{_UNMOUNT}[ $failed = 0 ] || exit $failed\n{_CLEAN}", timeout=300)


def finish(host: Host) -> None:
    """The end of a reset that was cut off: its first files are gone, others may be there. Raises CommandFailed."""
    host.run(f"set -e\n{_UNMOUNT}{_CLEAN}", timeout=120)


def hollow(host: Host) -> None:
    """kubeadm's folders go where there were none before the node was in a cluster, and where nothing is in them."""
    made = [folder for folder in FOLDERS if folder not in host.capture.get("folders", FOLDERS)]
    host.run(["sh", "-euc", _HOLLOW, "sh", *made])


def before(host: Host) -> dict[str, object]:
    """What a node has of kubeadm's folders before it is in a cluster: the others go with it."""
    asked = " ".join(FOLDERS)
    return {"folders": host.run(f"for one in {asked}; do [ ! -d $one ] || echo $one; done").stdout.split()}


_RESET = f"""
set -e
exec 2>&1
systemctl start homewright-containerd.service
systemctl stop kubelet.service
# Its phase for etcd empties all of /var/lib/etcd, on workers too: ours is in `member` alone.
failed=0
said=$(kubeadm reset --force --skip-phases remove-etcd-member --cri-socket {documents.SOCKET} 2>&1) || failed=$?
printf '%s\\n' "$said" | sed '/^$/d'
"""
_HOLLOW = """for folder; do
    [ ! -d "$folder" ] || find "$folder" -xdev -type d -empty -delete
done
"""
_UNMOUNT = """
root=$(realpath -m /var/lib/kubelet)
mounted() { awk -v root="$root/" 'index($2, root) == 1 { print $2 }' /proc/mounts | sort -r; }
mounted | while read -r place; do umount "$(printf %b "$place")" || true; done
left=$(mounted)
[ -z "$left" ] || { echo "nothing is removed, because this is still mounted:" $left >&2; exit 1; }
"""
"""Volumes of pods are let go of before their folders are removed: what is in them must not go with those."""
_CLEAN = """
rm -rf /etc/kubernetes/manifests /etc/kubernetes/pki /etc/kubernetes/tmp /etc/kubernetes/*.conf
rm -rf /var/lib/etcd/member /var/lib/etcd/.homewright-*
rm -rf /var/lib/cni/flannel /var/lib/cni/networks/cbr0 /var/lib/cni/results/cbr0-* /var/lib/cni/results/cni-loopback-*
rm -rf /run/flannel /opt/cni/bin/flannel /etc/cni/net.d/10-flannel.conflist /run/homewright/kubeadm.yaml
rm -rf /var/log/containers /var/log/pods
[ ! -d "$root" ] || find "$root" -mindepth 1 -maxdepth 1 -exec rm -rf --one-file-system -- {} +
for one in cni0 flannel.1; do ip link delete "$one" 2>/dev/null || true; done
for one in $(ip netns list 2>/dev/null | awk '/^cni-/ { print $1 }'); do ip netns delete "$one" || true; done
for table in 'ip kube-proxy' 'ip6 kube-proxy' 'ip flannel-ipv4' 'ip6 flannel-ipv6'; do
    nft delete table $table 2>/dev/null || true
done
# What kubelet and the port mappings keep in iptables' tables; everybody else's rules stay.
for tool in iptables ip6tables; do
    command -v $tool-save >/dev/null || continue
    $tool-save 2>/dev/null | grep -E 'KUBE-|CNI-|FLANNEL' >/dev/null || continue
    $tool-save | grep -vE 'KUBE-|CNI-|FLANNEL' | $tool-restore
done
# kubelet lets a shutdown wait for its pods, and tells logind so in a file of its own.
if [ -e /etc/systemd/logind.conf.d/99-kubelet.conf ]; then
    rm /etc/systemd/logind.conf.d/99-kubelet.conf
    rmdir --ignore-fail-on-non-empty /etc/systemd/logind.conf.d
    systemctl reload systemd-logind.service 2>/dev/null || true
fi
rm -f /etc/homewright/cluster/formed
"""

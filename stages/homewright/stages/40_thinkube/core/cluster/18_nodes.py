"""Seen on the node: its programs are what it was prepared with, containerd answers, its settings are the site's.

Of a node that is in the cluster the version is another step's (48_upgrade.py); here its programs have to give one.
"""

import hashlib
import shlex

from homewright.cluster import kubeconfig
from homewright.engine.runners.host import Host, Proof, broken, proved
from homewright.site import mirrored
from homewright.stages import kernel_settings
from homewright.stages.cluster import balanced, documents, forming, look, nodes, versions

UNITS = " ".join(balanced.UNITS)
ASK = f"""
{nodes.PROGRAMS}/bin/containerd --version 2>/dev/null | awk '{{ print "containerd", $3 }}'
kubeadm version -o short 2>/dev/null | awk '{{ print "kubeadm", $1 }}'
kubelet --version 2>/dev/null | awk '{{ print "kubelet", $2 }}'
{nodes.PROGRAMS}/bin/ctr -a {documents.RUNTIME}/containerd.sock version >/dev/null 2>&1 && echo answers
echo "units $(systemctl is-enabled {nodes.CONTAINERD_UNIT} {nodes.KUBELET_UNIT} | tr '\\n' ' ')"
echo "shared $(systemctl is-active {UNITS}; systemctl is-enabled {UNITS} 2>/dev/null)" | tr '\\n' ' '; echo
echo "forward $(cat /proc/sys/net/ipv4/ip_forward)"
awk 'NR > 1 {{ print "swap", $1 }}' /proc/swaps
cat {look.OWNER} 2>/dev/null | sed 's/^/owner /'
cat {versions.VERSION} 2>/dev/null | sed 's/^/kept /'
[ ! -e {look.FORMED} ] || echo formed
"""
FILE = """[ ! -f "$file" ] || echo "file $file $(sha256sum <"$file" | cut -d' ' -f1) $(stat -c '%a %U:%G' "$file")\""""


def verify(host: Host) -> Proof:
    files = nodes.files(host)
    limits = nodes.limits(host)
    asked = "".join(f'echo "{name} $(cat {kernel_settings.path(name)})"\n' for name in limits)
    ask = f"{ASK}\n{asked}for file in {shlex.join(files)}; do {FILE}; done"
    said = [line.split() for line in host.run(ask).stdout.splitlines() if line.split()]
    told = {words[0]: " ".join(words[1:]) for words in said if words[0] != "file"}
    there = {words[1]: (words[2], " ".join(words[3:])) for words in said if words[0] == "file"}
    if told.get("owner", "") != forming.owner(host):
        return broken(f"{host.name} is not marked as a node of this site.")
    planned = host.site.cluster.version
    joins = "formed" in told or host.secrets.get(kubeconfig.SECRET) is not None
    version = (joins and told.get("kept")) or planned
    # An upgrade that was cut off has replaced some of them.
    known = {version, planned} if "formed" in told else {version}
    for name, wanted in (("containerd", {mirrored.CONTAINERD}), ("kubeadm", known), ("kubelet", known)):
        if told.get(name, "").lstrip("v") not in wanted:
            what = " or ".join(f"v{one}" for one in sorted(wanted))
            return broken(f"{name} on {host.name} is {told.get(name) or 'missing'}, not {what}.")
    for path, (text, mode) in files.items():
        digest, kept = there.get(path, ("", "missing"))
        if digest != hashlib.sha256(text.encode()).hexdigest():
            return broken(f"{path} on {host.name} is not what the site says.")
        if kept != f"{mode:o} root:root":
            return broken(f"{path} on {host.name} is {kept}, not {mode:o} root:root.")
    if "answers" not in told:
        return broken(f"containerd on {host.name} does not answer.")
    if told["units"].split() != ["enabled", "enabled"]:
        return broken(f"containerd and kubelet on {host.name} would not both come up after a restart.")
    if told["forward"] != "1":
        return broken(f"{host.name} forwards no packets, so pods on it reach nothing.")
    for name, value in limits.items():
        if int(told[name] or 0) < value:
            return broken(f"{name} on {host.name} is {told[name] or 'not known'}, not {value}.")
    if told.get("swap") and not look.swap_allowed(host):
        return broken(f"{host.name} has swap again: {told['swap']}.")
    if nodes.shares(host) and told["shared"].split() != ["active", "active", "enabled", "enabled"]:
        return broken(f"The API's shared address is not kept on {host.name}: its units are {told['shared']}.")
    return proved(f"{host.name} has containerd {mirrored.CONTAINERD} and Kubernetes v{version}.")


def capture(host: Host) -> dict[str, object]:
    return nodes.before(host)

"""Names in pods: the cluster's own CoreDNS asks the site's DNS server for the site's zone.

Its settings are the cluster's: a block of ours, between two marks, is put into them and taken out again, and nothing
else of them is touched. Without it a pod asks whichever server of its node comes first, and half of them do not know
the zone. CoreDNS' pods are then made anew, as `kubectl rollout restart` does it: a pod that runs hears of its settings
from kubelet up to a minute and a half later, looks at them every half minute, and may come to some of before meanwhile.
"""

from __future__ import annotations

import re
from typing import Any

from homewright.cluster.client import Cluster, ClusterForbidden
from homewright.engine.runners.host import Host, Proof, broken, proved
from homewright.errors import HomewrightError
from homewright.planning import zone
from homewright.planning.zone import ZonePlan
from homewright.site.models import Site
from homewright.stages.components import proving, workloads

CONFIG = "/api/v1/namespaces/kube-system/configmaps/coredns"
KEY = "Corefile"
DEPLOYMENT = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
RESTARTED = "homewright.dev/restarted"
"""On the template of CoreDNS' pods while our block is in its settings: the version of these that they began with.

It is the ConfigMap's resourceVersion, which a text that was changed by hand and put back has another of; and it is
compared each time, since what ends us between the two writes leaves the right text with pods that never read it."""
BEGIN = "# The site's zone, kept by Homewright (40/core/dns)."
END = "# End of Homewright's block."
_BLOCK = re.compile(rf"{re.escape(BEGIN)}\n.*?{re.escape(END)}\n", re.DOTALL)
DOMAIN = "cluster.local"
_ASKING = """
for name; do
    for server in '' {servers}; do
        echo "= $name $server"
        nslookup "$name" $server 2>&1 || nslookup "$name" $server 2>&1
    done
done
true
"""
"""Every name, of the resolver that pods are given and of each that is behind it; twice where no answer comes, for
packets are lost on machines with much to do."""


class NotOurs(HomewrightError):
    """The cluster's names are answered by something that is not known here. Nothing was changed."""

    code = "dns-unknown"


def plan_of(host: Host) -> ZonePlan:
    """The zone. Raises HomewrightError where the site has none."""
    if host.site.zone is None:
        raise HomewrightError("The site has no zone.", "There is nothing to ask for.", ["homewright site set zone …"])
    return zone.planned(host.site, host.facts)


def block(plan: ZonePlan) -> str:
    """What CoreDNS is told about the zone."""
    lines = [f"{plan.zone}:53 {{", "    errors", "    cache 30", f"    forward . {plan.address}", "}"]
    return "\n".join([BEGIN, *lines, END, ""])


def with_zone(corefile: str, plan: ZonePlan) -> str:
    """CoreDNS' settings with our block, at their end."""
    others = without_zone(corefile)
    ending = "" if others.endswith("\n") else "\n"
    return f"{others}{ending}{block(plan)}"


def without_zone(corefile: str) -> str:
    """CoreDNS' settings without our block, as they were before."""
    return _BLOCK.sub("", corefile)


def serves(corefile: str, name: str) -> bool:
    """Whether CoreDNS has a block of somebody's, not ours, for this zone."""
    return re.search(rf"(?m)^\s*(\S+\s+)*{re.escape(name)}(:\d+)?(\s+\S+)*\s*\{{", without_zone(corefile)) is not None


def settings(api: Cluster) -> dict[str, Any]:
    """The ConfigMap of the cluster's CoreDNS. Raises NotOurs where it has none, or one without a Corefile."""
    found = api.find(CONFIG)
    if found is None or not isinstance((found.get("data") or {}).get(KEY), str):
        raise NotOurs(
            "The cluster's names are not answered by a CoreDNS that can be told of the site's zone.",
            f"There is no {KEY} in the ConfigMap coredns of kube-system.",
            ["have what answers there forward the zone to the site's DNS server, then: homewright skip 40/core/dns/10"],
        )
    return found


def put(api: Cluster, plan: ZonePlan) -> bool:
    """Have the block there, and read; whether it was not. Raises NotOurs, ClusterConflict where it was just changed."""
    found = settings(api)
    text = str(found["data"][KEY])
    if serves(text, plan.zone):
        raise NotOurs(
            f"The cluster's CoreDNS has settings of its own for {plan.zone}.",
            "They are left alone, and nothing was changed.",
            [
                "look at them: kubectl -n kube-system get configmap coredns -o yaml",
                "take them away if nobody needs them",
            ],
        )
    written, changed = _write(api, found, with_zone(text, plan))
    return _begin_anew(api, written["metadata"]["resourceVersion"]) or changed


def take(api: Cluster) -> bool:
    """Have the block away, and forgotten; whether it was there."""
    found = api.find(CONFIG)
    text = ((found or {}).get("data") or {}).get(KEY)
    if found is None or not isinstance(text, str):
        return False
    _, changed = _write(api, found, without_zone(text))
    return _begin_anew(api, None) or changed


def _write(api: Cluster, found: dict[str, Any], text: str) -> tuple[dict[str, Any], bool]:
    """The ConfigMap with this text, and whether it had another."""
    if text == found["data"][KEY]:
        return found, False
    # Somebody's change between our look and this is told as a conflict, and not lost.
    version = found["metadata"]["resourceVersion"]
    return api.merge(CONFIG, {"metadata": {"resourceVersion": version}, "data": {KEY: text}}), True


def _begin_anew(api: Cluster, version: str | None) -> bool:
    """Pods that begin with this version of the settings take the place of those that run, one after the other; whether
    they were told of another.

    Where CoreDNS is no Deployment, or we may not touch it, it reads its settings in its own time.
    """
    try:
        found = api.find(DEPLOYMENT)
        if found is None:
            return False
        if (found["spec"]["template"]["metadata"].get("annotations") or {}).get(RESTARTED) == version:
            return False
        api.merge(DEPLOYMENT, {"spec": {"template": {"metadata": {"annotations": {RESTARTED: version}}}}})
    except ClusterForbidden:
        return False
    return True


def unread(api: Cluster) -> str:
    """Why a CoreDNS may still answer by settings of before, in a sentence; empty where all have begun anew, and where
    we may not look."""
    try:
        found = api.find(DEPLOYMENT)
        if found is None:
            return ""
        status = found.get("status") or {}
        if status.get("replicas", 0) > status.get("updatedReplicas", 0):
            return "A CoreDNS with settings of before still runs."
        return workloads.unready(api, DEPLOYMENT)
    except ClusterForbidden:
        return ""


def prove(api: Cluster, site: Site, plan: ZonePlan) -> Proof:
    """Whether a pod finds a name of the zone, and one of the cluster."""
    text = str(settings(api)["data"][KEY])
    if text != with_zone(text, plan):
        return broken("The cluster's CoreDNS is not told of the site's zone as it was.")
    proof = f"homewright-proof.{plan.zone}"
    own = f"kubernetes.default.svc.{DOMAIN}"
    questions = [*plan.names, proof, own]
    asked = [f"{name}.{plan.zone}." if name in plan.names else f"{name}." for name in questions]
    each = resolvers(api)
    try:
        over = proving.run(api, site, "dns", _ASKING.format(servers=" ".join(each)), asked)
    except proving.NotProved as error:
        return broken(f"{error.what} {error.why}")
    found = answers(over.said)
    wanted = {f"{name}.{plan.zone}.": address for name, address in plan.names.items()} | {f"{proof}.": plan.ingress}
    for server in ("", *each):
        by = f" {server}".rstrip()
        of = f" by CoreDNS at {server}" if server else ""
        for name, address in wanted.items():
            if address not in found.get(f"{name}{by}", ()):
                said = ", ".join(found.get(f"{name}{by}", ())) or "not found"
                return broken(f"{name.rstrip('.')} is {said} in a pod{of}, not {address}.")
        if not found.get(f"{own}.{by}"):
            return broken(f"{own} is not found in a pod{of}.")
    return proved(f"A pod finds {len(wanted)} names of {plan.zone}, and those of the cluster.")


def resolvers(api: Cluster) -> list[str]:
    """Where each of CoreDNS' pods answers: every one reads its settings in its own time, up to half a minute later."""
    pods = api.list("/api/v1/namespaces/kube-system/pods", labelSelector="k8s-app=kube-dns")
    there = [one for one in pods if not one["metadata"].get("deletionTimestamp")]
    return sorted(one["status"]["podIP"] for one in there if one["status"].get("podIP"))


def answers(said: str) -> dict[str, tuple[str, ...]]:
    """The addresses that nslookup printed for each question, which is a name and perhaps the server that was asked for
    it; the server's own address is none of them. Pure."""
    found: dict[str, tuple[str, ...]] = {}
    name, answering = "", False
    for line in said.splitlines():
        if line.startswith("= "):
            name, answering = line[2:].strip(), False
            found[name] = ()
        elif line.startswith("Name:"):
            answering = True
        elif answering and (match := re.match(r"Address(?: \d+)?:\s*(\d+\.\d+\.\d+\.\d+)\b", line)):
            found[name] = (*found[name], match[1])
    return found

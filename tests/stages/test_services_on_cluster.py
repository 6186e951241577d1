"""A page behind Services, from every node: while kube-proxy is started anew, and after its rules were taken away.

HOMEWRIGHT_TEST_LAB names the folder of a lab that is up with its cluster; else one is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from driving import Practice
from practice_lab import Lab, cluster_lab, ran
from stage_on_servers import StageOnServers

from homewright.catalogue import load, shipped
from homewright.cluster import client
from homewright.cluster.client import Cluster, wait
from homewright.site import files, mirrored, mirrors
from homewright.site.secrets import Secrets
from homewright.stages.cluster import services

pytestmark = [pytest.mark.lab, pytest.mark.long]

STAGE = "40/core/cluster"
SPACE = "/api/v1/namespaces/market"
WAIT_S = 300.0
STARTS = 3
"""kube-proxy finds its rules of before at each of them, and in a row: what it took away at one it could put back at the
next."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with cluster_lab("services") as made:
        yield made


@pytest.fixture(scope="module")
def api(lab: Lab) -> Iterator[Cluster]:
    with closing(Cluster(client.of_site(Secrets(lab.state.secrets)))) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def page(lab: Lab, api: Cluster) -> Iterator[None]:
    """A pod on the first node, which says a word to whoever asks."""
    site = files.load(lab.site_file)
    container = {
        "name": "page",
        "image": mirrors.image(site.mirror, mirrored.reference("busybox", site.cluster.version)),
        "command": ["sh", "-c", "mkdir /tmp/w && echo apples >/tmp/w/index.html && exec httpd -f -p 8080 -h /tmp/w"],
    }
    api.apply(SPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "market"}})
    spec = {
        "nodeName": lab.servers[0],
        "terminationGracePeriodSeconds": 1,
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
    }
    metadata = {"name": "page", "labels": {"app": "page"}}
    assert not wait(WAIT_S, lambda: "" if api.find(f"{SPACE}/serviceaccounts/default") else "no account yet")
    api.apply(f"{SPACE}/pods/page", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    yield
    api.delete(SPACE)
    assert not wait(WAIT_S, lambda: "it is going" if api.find(SPACE) else "")


def service(api: Cluster, name: str) -> str:
    """The address of a Service of this name before the page."""
    spec = {"selector": {"app": "page"}, "ports": [{"port": 80, "targetPort": 8080}]}
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
    return str(api.apply(f"{SPACE}/services/{name}", body)["spec"]["clusterIP"])


def said(lab: Lab, node: str, address: str) -> str:
    """What the page answers to the node; empty where it cannot be reached."""
    return lab.on(node, f"curl -s -m 3 http://{address}/ || true").strip()


def proxies(api: Cluster, node: str) -> set[str]:
    """The uids of the kube-proxies that run on a node."""
    found = api.list(services.PODS, labelSelector=services.LABELS, fieldSelector=f"spec.nodeName={node}")
    return {
        one["metadata"]["uid"]
        for one in found
        if "deletionTimestamp" not in one["metadata"]
        and all("running" in told["state"] for told in one["status"].get("containerStatuses") or [{"state": {}}])
    }


def answers(lab: Lab, node: str, address: str) -> None:
    assert not wait(WAIT_S, lambda: "" if said(lab, node, address) == "apples" else "no page")


def start_anew(api: Cluster, node: str) -> None:
    before = proxies(api, node)
    assert before
    services.begin_anew(api, node)
    assert not wait(WAIT_S, lambda: "" if proxies(api, node) - before else "it starts")


def test_every_service_answers_on_a_node_whose_kube_proxy_was_started_anew(lab: Lab, api: Cluster, page: None) -> None:
    node = lab.servers[-1]
    known = [service(api, "first")]
    answers(lab, node, known[0])
    for number in range(STARTS):
        start_anew(api, node)
        # A Service that is new is reached when this kube-proxy has looked through all rules.
        known.append(service(api, f"after-{number}"))
        answers(lab, node, known[-1])
        assert [said(lab, node, one) for one in known] == ["apples"] * len(known), f"start {number + 1}"
        listed = lab.on(node, "nft list map ip kube-proxy service-ips")
        assert all(f"{one} . tcp . 80" in listed for one in known), listed


def test_rules_that_were_taken_away_are_missed_and_written_again(
    lab: Lab, api: Cluster, page: None, tmp_path: Path
) -> None:
    node = lab.servers[-1]
    address = service(api, "first")
    answers(lab, node, address)
    lab.on(node, "nft flush map ip kube-proxy service-ips")
    assert said(lab, node, address) == ""
    practice = Practice.of(lab.site_file, lab.state.root, tmp_path)
    practice.hold()
    try:
        told = StageOnServers(practice, load([shipped()])).verdicts(f"{STAGE}/30")
    finally:
        practice.give_back()
    assert told[node][0] == "broken" and "the API as a Service" in told[node][1], told
    assert {told[name][0] for name in lab.servers if name != node} == {"proved"}, told
    ran(lab.run("apply", "--only", STAGE, "--yes", timeout=3600))
    assert said(lab, node, address) == "apples"
    again = ran(lab.run("apply", "--only", STAGE, "--yes", timeout=3600))
    assert "changed:" not in again, again[-3000:]

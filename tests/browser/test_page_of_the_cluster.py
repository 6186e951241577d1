"""From nothing to a page in a browser: a Deployment behind HTTPS, whose data outlives its pod and its node's power cut.

A cluster takes minutes to make: HOMEWRIGHT_TEST_SITE and HOMEWRIGHT_TEST_STATE name one that is there already, with the
folders of its lab beside them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from browser.conftest import chromium, trusting_home
from playwright.sync_api import BrowserContext, Error
from practice_lab import Lab, own_lab

from homewright.cluster import certificates, client, objects
from homewright.cluster.client import Cluster, wait
from homewright.planning import zone
from homewright.site import files, mirrored, mirrors
from homewright.site.authority import Authority
from homewright.site.models import Site
from homewright.site.paths import StateFolder
from homewright.site.secrets import Secrets

pytestmark = [pytest.mark.lab, pytest.mark.browser, pytest.mark.long]

SPACE = "diary"
INSIDE = f"/api/v1/namespaces/{SPACE}"
WRITES = (
    '[ -s /data/index.html ] || { read id </proc/sys/kernel/random/uuid; echo "<h1>$id</h1>" >/data/index.html; sync; }'
)
WAIT_S = 900.0
"""A node's pods come back with it, and its image is there; a busy machine takes its time for both."""


@dataclass(frozen=True)
class Place:
    """A site with a cluster, and the lab that its servers are in."""

    lab: Lab
    site: Site
    state: StateFolder


@pytest.fixture(scope="module")
def place(browser_tools: None) -> Iterator[Place]:
    site, state = os.environ.get("HOMEWRIGHT_TEST_SITE"), os.environ.get("HOMEWRIGHT_TEST_STATE")
    if site and state:
        # FOLDER/config/homewright/practice/site.yaml, and FOLDER/state beside it.
        yield Place(Lab(Path(site).parents[3]), files.load(Path(site)), StateFolder(Path(state)))
        return
    with own_lab("components") as lab:
        for words in (
            ("lab", "up", "--cluster", "--yes"),
            ("trust", "--all", "--practice"),
            ("apply", "--yes", "--plain"),
        ):
            done = lab.run(*words, timeout=3600)
            assert done.returncode == 0, done.stdout[-4000:] + done.stderr
        yield Place(lab, files.load(lab.site_file), lab.state)


def diary(place: Place) -> dict[str, dict[str, Any]]:
    """A page that a pod writes once, into a claim: whoever reads another one later has other data."""
    site = place.site
    labels = objects.marked(site.name, "diary")
    selected = {"app": "diary"}
    named = {"name": "diary", "namespace": SPACE, "labels": labels}
    image = mirrors.image(site.mirror, mirrored.reference("busybox", site.cluster.version))
    mounts = [{"name": "data", "mountPath": "/data"}]
    host = f"diary.{site.zone}"
    pod = {
        "terminationGracePeriodSeconds": 1,
        "initContainers": [{"name": "write", "image": image, "command": ["sh", "-c", WRITES], "volumeMounts": mounts}],
        "containers": [
            {
                "name": "httpd", "image": image, "command": ["httpd", "-f", "-p", "8080", "-h", "/data"],
                "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 2}, "volumeMounts": mounts,
            }
        ],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "diary"}}],
    }  # fmt: skip
    backend = {"service": {"name": "diary", "port": {"number": 80}}}
    authority = Authority.of(place.state.authority, site.name)
    return {
        INSIDE: {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE, "labels": labels}},
        f"{INSIDE}/persistentvolumeclaims/diary": {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": named,
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
        },
        certificates.path(SPACE, "diary-tls"): certificates.secret(authority, SPACE, "diary-tls", (host,), labels),
        f"{INSIDE}/services/diary": {
            "apiVersion": "v1", "kind": "Service", "metadata": named,
            "spec": {"selector": selected, "ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]},
        },
        f"/apis/apps/v1/namespaces/{SPACE}/deployments/diary": {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": named,
            "spec": {
                "replicas": 1, "strategy": {"type": "Recreate"}, "selector": {"matchLabels": selected},
                "template": {"metadata": {"labels": selected}, "spec": pod},
            },
        },
        f"/apis/networking.k8s.io/v1/namespaces/{SPACE}/ingresses/diary": {
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": named,
            "spec": {
                "rules": [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
                "tls": [{"hosts": [host], "secretName": "diary-tls"}],
            },
        },
    }  # fmt: skip


@contextmanager
def published(api: Cluster, place: Place) -> Iterator[None]:
    made = diary(place)
    objects.apply(api, place.site.name, made)
    try:
        yield
    finally:
        objects.remove(api, place.site.name, {INSIDE: made[INSIDE]})


def pod(api: Cluster) -> dict[str, Any]:
    found = [one for one in api.list(f"{INSIDE}/pods") if "deletionTimestamp" not in one["metadata"]]
    return found[0] if found else {}


def page(browser: BrowserContext, address: str) -> str:
    """What the page says, once it can be had without a word about certificates."""
    tab = browser.pages[0]
    said: list[str] = []

    def asked() -> str:
        try:
            answer = tab.goto(address, timeout=20_000)
            assert answer is not None
            if answer.status != 200:
                return f"it answers {answer.status}"
            security = answer.security_details()
            assert security is not None and str(security.get("issuer", "")).startswith("Homewright")
            said.append(tab.inner_text("h1"))
        except Error as error:
            return str(error)
        return ""

    waiting = wait(WAIT_S, asked)
    assert not waiting, waiting
    assert re.fullmatch(r"[0-9a-f-]{36}", said[-1])
    return said[-1]


def test_its_data_is_there_after_the_pod_and_after_the_nodes_power(place: Place, tmp_path: Path) -> None:
    home = trusting_home(tmp_path / "home", place.state.authority / "ca.crt")
    way = zone.planned(place.site, {})
    names = f"--host-resolver-rules=MAP *.{place.site.zone} {way.ingress}"
    address = f"https://diary.{place.site.zone}/"
    with (
        Cluster(client.of_site(Secrets(place.state.secrets))) as api,
        published(api, place),
        chromium(home, names) as browser,
    ):
        written = page(browser, address)

        before = pod(api)["metadata"]["uid"]
        api.delete(f"{INSIDE}/pods/{pod(api)['metadata']['name']}")
        assert not wait(
            WAIT_S, lambda: "" if pod(api) and pod(api)["metadata"]["uid"] != before else "the pod is there"
        )
        assert page(browser, address) == written

        node = str(pod(api)["spec"]["nodeName"])
        started = pod(api)["status"]["containerStatuses"][0]["containerID"]
        for verb in ("power-off", "power-on"):
            done = place.lab.run("lab", verb, node)
            assert done.returncode == 0, done.stderr

        def came_back() -> str:
            found = pod(api)
            states = (found.get("status") or {}).get("containerStatuses") or [{}]
            fresh = states[0].get("containerID") not in (None, started) and states[0].get("ready")
            return "" if fresh else f"the container on {node} is the one of before, or not ready"

        waiting = wait(WAIT_S, came_back)
        assert not waiting, waiting
        assert page(browser, address) == written

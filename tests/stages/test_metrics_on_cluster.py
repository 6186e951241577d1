"""metrics-server on a real cluster: refused where kernels account nothing; else proved, damaged, mended, taken back.

This machine's cgroup2 has no memory controller, and its practice servers' containers no group of their own in the older
hierarchies. So here it is shown that nothing is begun, also where kubelets are shown the older ones and measure their
nodes alone. Proof, damage and roll-back are skipped, in words, where a kernel accounts no memory of containers.
HOMEWRIGHT_TEST_LAB names the folder of a lab that is up with its cluster; else one is made.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from driving import Practice
from practice_lab import Lab, cluster_lab, ran
from stage_on_servers import StageOnServers

from homewright.catalogue import load, shipped
from homewright.cluster import client
from homewright.cluster.client import Cluster, wait
from homewright.site.secrets import Secrets
from homewright.stages.components import metrics

pytestmark = [pytest.mark.lab, pytest.mark.long]

STAGE = "40/core/metrics"
STEP = f"{STAGE}/10"
WAIT_S = 300.0
RBAC = "/apis/rbac.authorization.k8s.io/v1"
PUSH = """
from homewright.lab import cluster, cluster_images, go, programs, record, services
from homewright.mirror.layout import Layout
go.ensure([programs.named("metrics-server")], say=print)
images = cluster_images.ensure(("metrics-server",), say=print)
services.push(images, Layout(cluster_images.folder()), record.load().place, print)
"""
DROP_IN = "/etc/systemd/system/kubelet.service.d"
SHOWN = """#!/bin/sh
# Volumes that kubelet mounts still reach containerd: only this folder is another one here.
mount --make-private /sys/fs/cgroup
mount -t tmpfs none /sys/fs/cgroup
for one in cpu cpuacct cpuset memory pids devices blkio freezer; do
    mkdir /sys/fs/cgroup/$one && mount -t cgroup -o $one cgroup /sys/fs/cgroup/$one
done
exec "$@"
"""
INSTEAD = "/usr/bin/unshare -m --propagation unchanged /usr/local/sbin/with-accounting"
ACCOUNT = f"""set -e
cat >/usr/local/sbin/with-accounting && chmod 755 /usr/local/sbin/with-accounting
cp -p /var/lib/kubelet/config.yaml /root/kubelet-config.yaml
echo 'failCgroupV1: false' >>/var/lib/kubelet/config.yaml
mkdir -p {DROP_IN}
start=$(sed -n 's|^ExecStart=|{INSTEAD} |p' /etc/systemd/system/kubelet.service)
printf '[Service]\\nExecStart=\\nExecStart=%s\\n' "$start" >{DROP_IN}/accounting.conf
systemctl daemon-reload
systemctl restart kubelet
"""
AS_BEFORE = f"""
rm -rf {DROP_IN} /usr/local/sbin/with-accounting
[ ! -e /root/kubelet-config.yaml ] || mv /root/kubelet-config.yaml /var/lib/kubelet/config.yaml
systemctl daemon-reload
systemctl restart kubelet
"""
USED = "node_memory_working_set_bytes "


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with cluster_lab("metrics") as made:
        yield made


@pytest.fixture(scope="module")
def wanted(lab: Lab) -> Iterator[Lab]:
    """The site wants metrics, and the registry has their image."""
    done = subprocess.run([sys.executable, "-c", PUSH], env=lab.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    ran(lab.run("site", "set", "cluster.metrics", "true"))
    try:
        yield lab
    finally:
        ran(lab.run("site", "set", "cluster.metrics", "false"))


@pytest.fixture
def nodes_alone(wanted: Lab, api: Cluster) -> Iterator[Lab]:
    """Kubelets that are shown the hierarchies which account memory, and have measured their nodes."""
    try:
        for name in wanted.servers:
            wanted.on(name, ACCOUNT, stdin=SHOWN.encode())
        assert not wait(WAIT_S, lambda: unmeasured(api, wanted.servers) or unready(api))
        yield wanted
    finally:
        for name in wanted.servers:
            wanted.on(name, AS_BEFORE)
        assert not wait(WAIT_S, lambda: unready(api))


@pytest.fixture
def accounting(wanted: Lab, api: Cluster) -> Lab:
    """Servers whose kernel accounts memory, of nodes and of containers."""
    if found := metrics.unmeasured(api):
        pytest.skip(f"the kernel of {' and '.join(found)} accounts no memory of containers: this is not shown here")
    return wanted


def unmeasured(api: Cluster, servers: list[str]) -> str:
    for name in servers:
        told = api.text(f"/api/v1/nodes/{name}/proxy/metrics/resource").splitlines()
        if not any(line.startswith(USED) and float(line.split()[1]) for line in told):
            return f"{name} measures nothing"
    return ""


def unready(api: Cluster) -> str:
    for node in api.list("/api/v1/nodes"):
        if not any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"]["conditions"]):
            return f"{node['metadata']['name']} is not ready"
    return ""


@pytest.fixture(scope="module")
def api(lab: Lab) -> Iterator[Cluster]:
    with closing(Cluster(client.of_site(Secrets(lab.state.secrets)))) as cluster:
        yield cluster


def test_where_nothing_is_accounted_nothing_is_begun(wanted: Lab, api: Cluster) -> None:
    if sorted(metrics.unmeasured(api)) != sorted(wanted.servers):
        pytest.skip("the kernel of these servers accounts memory")
    assert_refused(wanted, api)


def test_where_nodes_are_measured_and_no_container_nothing_is_begun(nodes_alone: Lab, api: Cluster) -> None:
    """metrics-server would run, and never be ready: it has to tell of a pod as well."""
    if sorted(metrics.unmeasured(api)) != sorted(nodes_alone.servers):
        pytest.skip("the kernel of these servers accounts memory of containers")
    assert_refused(nodes_alone, api)


def assert_refused(lab: Lab, api: Cluster) -> None:
    done = lab.run("apply", "--only", STAGE, "--yes", timeout=900)
    assert done.returncode == 1
    assert "accounts no memory" in done.stdout and "cgroup_enable=memory" in done.stdout
    assert api.find(f"/api/v1/namespaces/{metrics.NAMESPACE}") is None


def test_every_node_is_told_of_and_a_second_run_changes_nothing(accounting: Lab, api: Cluster) -> None:
    ran(accounting.run("apply", "--only", STAGE, "--yes", timeout=1800))
    again = ran(accounting.run("apply", "--only", STAGE, "--yes", timeout=1800))
    assert "changed:" not in again, again
    told = {one["metadata"]["name"]: one["usage"] for one in api.list(metrics.NODES)}
    assert sorted(told) == sorted(accounting.servers)
    assert all(usage["cpu"] not in ("", "0") and usage["memory"] not in ("", "0") for usage in told.values()), told


Damage = Callable[[Cluster], object]
DAMAGES: dict[str, Damage] = {
    "nothing serves them": lambda api: api.delete(metrics.DEPLOYMENT),
    "told to run nothing": lambda api: api.merge(metrics.DEPLOYMENT, {"spec": {"replicas": 0}}),
    "not served": lambda api: api.delete(metrics.SERVED),
    "it may read nothing": lambda api: api.delete(f"{RBAC}/clusterrolebindings/homewright:{metrics.NAME}"),
    "another authority": lambda api: api.merge(metrics.SERVED, {"spec": {"caBundle": "YQ=="}}),
    "no key": lambda api: api.merge(metrics.SECRET_PATH, {"data": {"tls.key": "YQ=="}}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_seen_and_mended(accounting: Lab, api: Cluster, tmp_path: Path, damage: str) -> None:
    practice = Practice.of(accounting.site_file, accounting.state.root, tmp_path)
    practice.hold()
    stage, first = StageOnServers(practice, load([shipped()])), practice.names[:1]
    try:
        DAMAGES[damage](api)
        assert not wait(WAIT_S, lambda: "" if verdict(stage, first) == "broken" else "it is not seen")
        stage.run(STEP, hosts=first)
        assert verdict(stage, first) == "proved"
    finally:
        practice.give_back()


def verdict(stage: StageOnServers, first: list[str]) -> str:
    return stage.verdicts(STEP, hosts=first)[first[0]][0]


def test_taken_back_nothing_of_it_is_left(accounting: Lab, api: Cluster) -> None:
    ran(accounting.run("rollback", STAGE, "--yes", timeout=900))
    assert api.find(metrics.SERVED) is None and api.find(f"/api/v1/namespaces/{metrics.NAMESPACE}") is None
    kinds = ("clusterroles", "clusterrolebindings", "namespaces/kube-system/rolebindings")
    left = [one["metadata"]["name"] for kind in kinds for one in api.list(f"{RBAC}/{kind}")]
    assert not [name for name in left if "metrics" in name and name.startswith("homewright:")]

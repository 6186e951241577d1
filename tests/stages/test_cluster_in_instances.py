"""A cluster whose nodes are LXD instances on the practice servers: formed, reached by way of the servers, damaged,
without power, refused, and taken back.

HOMEWRIGHT_TEST_LAB names the folder of a lab that is up with stages 00 to 30 and instances, perhaps with their cluster;
else one is made.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from practice_lab import Lab, own_lab, ran
from server_listing import CHANGEABLE, SYSTEM, files_command, listing, unlike

from homewright.cluster import client
from homewright.cluster.client import Cluster, wait
from homewright.site import files, mirrored, mirrors
from homewright.site.authority import Authority
from homewright.site.models import Site
from homewright.site.secrets import Secrets

pytestmark = [pytest.mark.lab, pytest.mark.long]

STAGE = "40/core/cluster"
NODES = "/api/v1/nodes"
SPACE = "/api/v1/namespaces/ferry"
LIMIT_S = 3600
WAIT_S = 900.0
"""An instance starts after its server, and its pods after that; a busy machine takes its time for each."""
LXC = "export LXD_CONF=/tmp/lxc; "
"""Or lxc would keep settings of its own in root's home, which no step did."""
PAGE = "mkdir /tmp/w && echo ferry >/tmp/w/index.html && exec httpd -f -p 8080 -h /tmp/w"
DAMAGED = [
    ("s2", "", "systemctl stop homewright-port-443.socket", "Port 443 of s2 leads nowhere"),
    ("s3", "", "systemctl disable -q homewright-port-80.socket", "Port 80 of s3 would lead nowhere after a restart"),
    ("s2", "", "sed -i s/:80$/:81/ /etc/systemd/system/homewright-port-80.service", "are not what the site says"),
    ("s2", "s2-node", "systemctl stop kubelet", "kubelet on s2-node is"),
    ("s3", "s3-node", "systemctl stop homewright-containerd", "containerd on s3-node does not answer"),
]
"""Server, the instance on it or nothing for the server itself, what is done there as root, and what is said of it."""


def inside(lab: Lab, instance: str, script: str) -> str:
    """Standard output of a script in an instance, as root there, past SSH."""
    server = instance.removesuffix("-node")
    return lab.on(server, f"{LXC}lxc exec {instance} -- sh -c {shlex.quote(script)}")


def names(lab: Lab) -> list[str]:
    return [f"{server}-node" for server in lab.servers]


def look(lab: Lab) -> dict[str, set[str]]:
    """All servers, and all instances in them."""
    command = f"( {files_command(CHANGEABLE)} ) && ( {SYSTEM} )"
    on_servers = listing(lab.on, lab.servers, command)
    return on_servers | listing(lambda name, script: inside(lab, name, script), names(lab), command)


def api(lab: Lab) -> Cluster:
    return Cluster(client.of_site(Secrets(lab.state.secrets)))


def site(lab: Lab) -> Site:
    return files.load(lab.site_file)


def ready(cluster: Cluster) -> list[str]:
    return sorted(
        node["metadata"]["name"]
        for node in cluster.list(NODES)
        if any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"]["conditions"])
    )


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    given = os.environ.get("HOMEWRIGHT_TEST_LAB")
    if given:
        yield Lab(Path(given))
        return
    with own_lab("instances") as made:
        ran(made.run("lab", "up", "--yes", timeout=7200))
        ran(made.run("trust", "--all", "--practice"))
        ran(made.run("apply", "--yes", timeout=LIMIT_S))
        yield made


@pytest.fixture(scope="module")
def before(lab: Lab) -> dict[str, set[str]]:
    """Servers and instances as stages 00 to 30 left them, before there ever was a cluster (in a lab of our own)."""
    if site(lab).platform.cluster is not None:
        ran(lab.run("rollback", STAGE, "--yes", timeout=LIMIT_S))
    return look(lab)


def test_a_port_that_somebody_has_is_refused_on_every_server(lab: Lab, before: dict[str, set[str]]) -> None:
    lab.on("s3", "systemd-run -q --unit somebodys python3 -m http.server 443")
    try:
        refused = lab.run("lab", "up", "--cluster", "--nodes", "instances", "--yes", timeout=7200)
        assert refused.returncode != 0
        assert "Port 443 of s3 is in use by python3" in refused.stdout + refused.stderr, refused.stdout[-3000:]
        assert lab.on("s1", "ls /etc/systemd/system | grep homewright-port || true") == "", "not on any server"
    finally:
        lab.on("s3", "systemctl stop somebodys")
        lab.run("cancel")


def test_an_instance_that_may_start_no_containers_is_seen_and_mended(lab: Lab, before: dict[str, set[str]]) -> None:
    """What the kernel says to such a one (`look` asks it) is not seen here: these servers have no AppArmor."""
    lab.on("s2", f"{LXC}lxc config set s2-node security.nesting=false && lxc restart -f s2-node")
    told = lab.run("verify", "--only", "20", timeout=LIMIT_S)
    assert told.returncode != 0
    assert "s2-node is not as planned: it may start no containers itself" in told.stdout, told.stdout[-3000:]
    ran(lab.run("apply", "--only", "20", "--yes", timeout=LIMIT_S))
    assert lab.on("s2", f"{LXC}lxc config get s2-node security.nesting").strip() == "true"
    ran(lab.run("verify", "--only", "20", timeout=LIMIT_S))


@pytest.fixture(scope="module")
def made(lab: Lab, before: dict[str, set[str]]) -> Lab:
    if site(lab).platform.cluster is None:
        ran(lab.run("lab", "up", "--cluster", "--nodes", "instances", "--yes", timeout=7200))
    ran(lab.run("apply", "--from", STAGE, "--yes", timeout=LIMIT_S))
    return lab


def test_every_instance_is_a_node_and_no_server_is(made: Lab) -> None:
    assert site(made).platform.nodes == "instances"
    with api(made) as cluster:
        assert ready(cluster) == names(made)
        addresses = [
            IPv4Address(one["address"])
            for node in cluster.list(NODES)
            for one in node["status"]["addresses"]
            if one["type"] == "InternalIP"
        ]
        servers = {one.address for one in site(made).servers}
        assert cluster.config.server == f"https://{site(made).servers[0].address}:6443", "by the server that it is on"
    net = IPv4Network(f"{addresses[0]}/24", strict=False)
    assert all(one in net for one in addresses) and not servers & {str(one) for one in addresses}
    for server in made.servers:
        assert (
            made.on(server, "ls -d /etc/kubernetes /usr/local/bin/kubelet /var/lib/kubelet 2>/dev/null || true") == ""
        )


def test_a_second_run_changes_nothing_and_all_is_proved(made: Lab) -> None:
    again = ran(made.run("apply", "--yes", timeout=LIMIT_S))
    assert "changed:" not in again, again[-3000:]
    ran(made.run("verify", timeout=LIMIT_S))


@contextmanager
def pods(lab: Lab, cluster: Cluster) -> Iterator[dict[str, str]]:
    """A pod on each node that says a word to whoever asks, behind one Service; their addresses by node."""
    image = mirrors.image(site(lab).mirror, mirrored.reference("busybox", site(lab).cluster.version))
    cluster.apply(SPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ferry"}})
    assert not wait(WAIT_S, lambda: "" if cluster.find(f"{SPACE}/serviceaccounts/default") else "no account yet")
    spec = {"selector": {"app": "ferry"}, "ports": [{"port": 80, "targetPort": 8080}]}
    cluster.apply(
        f"{SPACE}/services/ferry", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "ferry"}, "spec": spec}
    )
    container: dict[str, Any] = {
        "name": "ferry", "image": image, "command": ["sh", "-c", PAGE],
        "securityContext": {
            "runAsUser": 1000, "runAsNonRoot": True, "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"limits": {"memory": "64Mi", "cpu": "100m"}},
    }  # fmt: skip
    for node in names(lab):
        told = {"nodeName": node, "terminationGracePeriodSeconds": 1, "containers": [container]}
        metadata = {"name": node, "labels": {"app": "ferry"}}
        cluster.apply(f"{SPACE}/pods/{node}", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": told})
    try:
        found: dict[str, str] = {}

        def addressed() -> str:
            for node in names(lab):
                status = cluster.get(f"{SPACE}/pods/{node}")["status"]
                if status.get("phase") != "Running" or not status.get("podIP"):
                    return f"{node}: {status.get('phase')}"
                found[node] = status["podIP"]
            return ""

        assert wait(WAIT_S, addressed) == ""
        yield found
    finally:
        cluster.delete(SPACE)
        assert not wait(WAIT_S, lambda: "it is going" if cluster.find(SPACE) else "")


def test_pods_are_reached_across_servers_by_address_by_service_and_by_name(made: Lab) -> None:
    with api(made) as cluster, pods(made, cluster) as addresses:
        service = cluster.get(f"{SPACE}/services/ferry")["spec"]["clusterIP"]
        for node in names(made):
            for address in addresses.values():
                assert inside(made, node, f"curl -s -m 5 http://{address}:8080/") == "ferry\n", (node, address)
            kubectl = "kubectl --kubeconfig /etc/kubernetes/admin.conf -n ferry exec"
            assert inside(made, node, f"curl -s -m 5 http://{service}/") == "ferry\n", node
            by_name = f"{kubectl} {node} -- nslookup ferry.ferry.svc.cluster.local"
            assert service in inside(made, names(made)[0], by_name), node
        logs = "kubectl --kubeconfig /etc/kubernetes/admin.conf -n ferry logs"
        inside(made, names(made)[0], f"{logs} {names(made)[-1]}")


def page(lab: Lab, server: str, name: str = "homewright-proof") -> tuple[int, str]:
    """What the site says by HTTPS at a server's own address, to whoever believes the site's authority alone."""
    own = Authority.of(lab.state.authority, site(lab).name)
    trusting = ssl.create_default_context(cadata=own.certificate_pem.decode())
    address = next(one.address for one in site(lab).servers if one.name == server)
    host = f"{name}.{site(lab).zone}"
    with (
        socket.create_connection((address, 443), timeout=10) as plain,
        trusting.wrap_socket(plain, server_hostname=host) as secure,
    ):
        secure.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        said = b""
        while piece := secure.recv(65536):
            said += piece
    head, _, body = said.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def test_every_server_leads_into_the_cluster(made: Lab) -> None:
    for server in made.servers:
        assert page(made, server) == (200, "This is the site practice, and its way in works.\n"), server
        # From the other servers too, and from itself: whoever asks for a name of the zone.
        for other in made.servers:
            address = next(one.address for one in site(made).servers if one.name == server)
            name = f"homewright-proof.{site(made).zone}"
            asked = f"curl -sk -m 10 --resolve {name}:443:{address} https://{name}/"
            assert "its way in works" in made.on(other, asked), (other, server)


def test_an_editor_opens_at_its_address(made: Lab) -> None:
    created = made.run(
        "workspace", "create", "ann", "--template", "code-server", "--accept-open-network", timeout=LIMIT_S
    )
    ran(created)
    try:
        listed = json.loads(ran(made.run("workspace", "list", "--json")))["workspaces"]
        (mine,) = [one for one in listed if one["key"]["user"] == "ann" and one["key"].get("node") is None]
        assert mine["state"] == "running"
        host = urlsplit(mine["address"]).hostname or ""
        assert host.endswith(f".{site(made).zone}")
        code, _ = page(made, made.servers[-1], host.removesuffix(f".{site(made).zone}"))
        assert code == 302, "to its sign-in"
    finally:
        ran(made.run("workspace", "delete", "ann", "--with-storage", "--yes", timeout=LIMIT_S))
        ran(made.run("workspace", "purge", "ann", "--yes", timeout=LIMIT_S))  # or its claim would keep storage there


def test_damage_is_seen_and_mended(made: Lab) -> None:
    for server, instance, damage, said in DAMAGED:
        inside(made, instance, damage) if instance else made.on(server, damage)
        told = made.run("verify", "--only", STAGE, timeout=LIMIT_S)
        assert told.returncode != 0 and said in told.stdout, (damage, told.stdout[-3000:])
        ran(made.run("apply", "--only", STAGE, "--yes", timeout=LIMIT_S))
    again = ran(made.run("apply", "--yes", timeout=LIMIT_S))
    assert "changed:" not in again, again[-3000:]


def test_a_server_that_was_without_power_comes_back_with_its_node(made: Lab) -> None:
    server = made.servers[-1]
    ran(made.run("lab", "power-off", server))
    ran(made.run("lab", "power-on", server))
    with api(made) as cluster:

        def back() -> str:
            if ready(cluster) != names(made):
                return "not every node is ready"
            try:
                return "" if page(made, server)[0] == 200 else "no page"
            except (OSError, ssl.SSLError, IndexError) as error:
                return str(error)

        assert wait(WAIT_S, back) == ""
    ran(made.run("verify", timeout=LIMIT_S))


def test_an_instance_is_taken_away_and_the_cluster_lets_go_of_it(made: Lab) -> None:
    gone = names(made)[-1]
    refused = made.run("site", "remove-instance", names(made)[0], "--take-away", names(made)[0])
    assert "is the cluster's only control plane" in refused.stderr
    ran(made.run("site", "remove-instance", gone, "--take-away", gone))
    ran(made.run("apply", "--yes", timeout=LIMIT_S))
    with api(made) as cluster:
        assert [one["metadata"]["name"] for one in cluster.list(NODES)] == names(made)[:-1]
    assert made.on(made.servers[-1], "ls /etc/systemd/system | grep homewright-port || true") == ""
    ran(made.run("site", "unset", "instances.gone"))
    ran(made.run("site", "unset", "instances.nodes"))
    ran(made.run("apply", "--yes", timeout=LIMIT_S))
    with api(made) as cluster:
        assert ready(cluster) == names(made)


def test_all_of_it_is_taken_back(made: Lab, before: dict[str, set[str]]) -> None:
    ran(made.run("rollback", STAGE, "--yes", timeout=LIMIT_S))
    # The last instance is another one by now, with host keys of its own; what it has of ours is compared by names.
    fresh = names(made)[-1]
    after = look(made)
    assert unlike({name: before[name] for name in before if name != fresh}, after) == []
    assert (
        inside(made, fresh, "ls -d /etc/kubernetes /var/lib/kubelet /usr/local/bin/kubelet 2>/dev/null || true") == ""
    )

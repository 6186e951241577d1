"""The recorded machines that come with Homewright, planned: what each of them is there to show."""

from __future__ import annotations

import functools

import pytest

from homewright.discovery import machines
from homewright.planning.decisions import Decided, decide
from homewright.site import files


@functools.cache
def decided(name: str) -> Decided:
    machine = machines.load(name)
    return decide(files.parse(machine.site, name), machine.facts())


# machine, address, possible, words of the reason, proposed
GPUS: list[tuple[str, str, bool | None, str, str]] = [
    ("attic", "0000:07:00.0", True, "", "passthrough"),
    ("attic", "0000:03:00.0", False, "management controller", "desktop"),
    ("cloud-t4", "0000:00:1e.0", False, "itself a guest", "containers"),
    ("desktop", "0000:01:00.0", False, "a desktop needs a second one", "desktop"),
    ("headless", "0000:07:00.0", True, "", "passthrough"),
    ("laptop", "0000:01:00.0", True, "", "passthrough"),
    ("laptop", "0000:00:02.0", True, "goes dark", "desktop"),
    ("lost-gpu", "0000:03:00.0", False, "cannot reach it", "desktop"),
    ("lost-gpu", "0000:01:00.0", True, "", "containers"),
    ("mig", "0000:c1:00.0", False, "split by MIG", "containers"),
    ("no-iommu", "0000:01:00.0", False, "", "containers"),
    ("pair", "0000:07:00.0", True, "", "passthrough"),
    ("proxmox-guest", "0000:01:00.0", False, "itself a guest (kvm)", "containers"),
    ("ready", "0000:07:00.0", True, "", "passthrough"),
    ("shared-group", "0000:06:00.0", False, "a network card (0000:05:00.0)", "containers"),
    ("single", "0000:06:00.0", True, "goes dark", "desktop"),
    ("single", "0000:07:00.0", True, "", "passthrough"),
    ("split-functions", "0000:01:00.0", True, "groups 12 and 13", "passthrough"),
    ("twins", "0000:01:00.0", True, "", "passthrough"),
    ("twins", "0000:03:00.0", True, "", "passthrough"),
    ("twins", "0000:0a:00.0", False, "groups 19, 20, 21 and 22 also hold a security processor", "desktop"),
    ("gallery", "0000:b1:00.0", True, "", "passthrough"),
    ("arm64", "0009:01:00.0", True, "", "passthrough"),
]


@pytest.mark.parametrize(("name", "address", "possible", "words", "proposed"), GPUS)
def test_a_recorded_gpu(name: str, address: str, possible: bool | None, words: str, proposed: str) -> None:
    option = next(one for one in decided(name).gpus.gpus if one.address == address)
    choice = option.choice("passthrough")
    assert (choice.possible, words in choice.why, option.proposed) == (possible, True, proposed), choice.why


@pytest.mark.parametrize(
    ("name", "kind", "hosts", "cluster", "planes"),
    [
        ("attic", "virtual-machine", ["birch", "cedar", "maple"], "microk8s", 3),
        ("pair", "virtual-machine", ["ash", "oak"], "microk8s", 1),
        ("trouble", "container", ["elder", "rowan"], "microk8s", 1),
        ("headless", "virtual-machine", ["hazel"], "kubeadm", 1),
        ("practice", "container", [], "kubeadm", 0),
        ("cloud-t4", "container", [], "microk8s", 0),
    ],
)
def test_recorded_sites_placed(name: str, kind: str, hosts: list[str], cluster: str, planes: int) -> None:
    found = decided(name)
    assert (found.instances.kind, [node.host for node in found.instances.nodes]) == (kind, hosts)
    assert found.platform.cluster == cluster
    assert sum(node.role == "control-plane" for node in found.instances.nodes) == planes


def test_a_site_that_runs_keeps_its_ranges() -> None:
    """Its bridge lxdbr0 is in the range of LXD, and no stranger."""
    seen = {
        text for nic in machines.load("ready").facts()["ready"].nics if nic.name == "lxdbr0" for text in nic.addresses
    }
    assert "10.64.0.1/24" in seen
    assert str(decided("ready").networks.network("lxd")) == "10.64.0.0/24" and not decided("ready").problems


def test_wifi_alone_takes_no_bridge() -> None:
    assert "servers.fern.nic" in {problem.field for problem in decided("wifi-only").problems}


@pytest.mark.parametrize("name", machines.names())
def test_every_machine_is_planned_and_every_problem_has_a_remedy(name: str) -> None:
    found = decided(name)
    assert all(decision.why and decision.chosen for decision in found.decisions)
    assert all(problem.do and not problem.reason.endswith(".") for problem in found.problems)
    for option in found.gpus.gpus:
        assert all(choice.why for choice in option.choices if choice.possible is not True)

"""Who is in a group of the inventory, and what a plan says of a step whose group is empty."""

from __future__ import annotations

from pathlib import Path

import pytest

from homewright.catalogue import Catalogue
from homewright.catalogue.models import Stage
from homewright.cli.plan import lines
from homewright.planning import plan
from homewright.planning.groups import members, why_empty

from .composed import site


@pytest.mark.parametrize(
    ("answers", "group", "names", "why"),
    [
        ({}, "lxd_servers", ("s1", "s2"), ""),
        ({"platform": {"nodes": "servers"}}, "lxd_servers", (), "themselves are the cluster's nodes"),
        ({"platform": {"cluster": "existing"}}, "lxd_servers", (), "is there already"),
        ({}, "kubernetes_nodes", (), "names no kind of cluster"),
        ({"platform": {"cluster": "microk8s"}}, "kubernetes_nodes", (), "cannot make a MicroK8s cluster yet"),
        ({"platform": {"cluster": "existing"}}, "kubernetes_nodes", (), "is there already"),
        ({"platform": {"cluster": "kubeadm", "nodes": "servers"}}, "kubernetes_nodes", ("s1", "s2"), ""),
        (
            {
                "platform": {"cluster": "kubeadm"},
                "network": {"lxd": "10.100.0.0/24"},
                "instances": {"nodes": [{"name": "n1", "host": "s1"}, {"name": "n2", "host": "s2"}]},
            },
            "kubernetes_nodes",
            ("n1", "n2"),
            "",
        ),
        ({}, "kubernetes_carriers", (), "names no kind of cluster"),
        ({"platform": {"cluster": "microk8s"}}, "kubernetes_carriers", (), "cannot make a MicroK8s cluster yet"),
        ({"platform": {"cluster": "existing"}}, "kubernetes_carriers", (), "is there already"),
        ({"platform": {"cluster": "kubeadm"}}, "kubernetes_carriers", ("s1", "s2"), ""),
        (
            {"platform": {"cluster": "kubeadm", "nodes": "servers"}},
            "kubernetes_carriers",
            (),
            "no port of theirs leads to another one",
        ),
        ({}, "kubernetes_api", (), "names no kind of cluster"),
        ({"platform": {"cluster": "microk8s"}}, "kubernetes_api", (), "cannot make a MicroK8s cluster yet"),
        ({"platform": {"cluster": "existing"}}, "kubernetes_api", ("s1",), ""),
        ({"platform": {"cluster": "kubeadm"}}, "kubernetes_api", ("s1",), ""),
        ({}, "passthrough_hosts", (), "No GPU is reserved"),
        (
            {"gpus": [{"host": "s2", "address": "0000:01:00.0", "use": "passthrough"}]},
            "passthrough_hosts",
            ("s2",),
            "",
        ),
        (
            {"gpus": [{"host": "s2", "address": "0000:01:00.0", "use": "desktop"}]},
            "passthrough_hosts",
            (),
            "No GPU is reserved",
        ),
        ({}, "gpu_hosts", (), "No server has an NVIDIA GPU"),
        (
            {
                "network": {"lxd": "10.100.0.0/24"},
                "instances": {"nodes": [{"name": "n1", "host": "s1"}, {"name": "n2", "host": "s2"}]},
                "gpus": [
                    {"host": "s1", "address": "0000:01:00.0", "use": "desktop"},
                    {"host": "s2", "address": "0000:01:00.0", "use": "passthrough", "instance": "n2"},
                ],
            },
            "gpu_instances",
            ("n2",),
            "",
        ),
        (
            {
                "network": {"lxd": "10.100.0.0/24"},
                "instances": {"nodes": [{"name": name, "host": name.replace("n", "s")[:2]} for name in ("n1", "n2")]},
                "gpus": [
                    {"host": "s1", "address": "0000:01:00.0", "use": "containers"},
                    {"host": "s2", "address": "0000:01:00.0", "use": "passthrough"},
                ],
            },
            "gpu_instances",
            ("n2",),
            "",
        ),
        (
            {
                "network": {"lxd": "10.100.0.0/24"},
                "instances": {"nodes": [{"name": name, "host": "s1"} for name in ("n1", "n2")]},
                "gpus": [{"host": "s1", "address": "0000:01:00.0", "use": "passthrough"}],
            },
            "gpu_instances",
            (),
            "No instance is given a GPU",
        ),
        ({"network": {"lxd": "10.100.0.0/24"}}, "gpu_instances", (), "No instance is given a GPU"),
    ],
)
def test_members_and_why_there_are_none(answers: dict, group: str, names: tuple[str, ...], why: str) -> None:
    found = site(2, **answers)
    assert members(group, found, {}) == names
    assert names or why in why_empty(group, found)


def test_a_step_for_nobody_is_said_to_be_skipped_and_counts_for_nothing() -> None:
    base = {"runner": "python", "run": "a", "verify": "b", "rollback": "c"}
    steps = [
        {"id": "10/10", "title": "Bridge", **base},
        {
            "id": "10/20", "title": "Cards", "hosts": "passthrough_hosts", "minutes": 30, "may_lock_out": True,
            "revert": {"files": ["/etc/netplan/"]}, **base,
        },
    ]  # fmt: skip
    stage = Stage.model_validate({"id": "10", "title": "Iron", "steps": steps})
    planned = plan(site(1), Catalogue((stage,), "c", (), {"10": Path("/x")}))
    assert [step.skipped for step in planned.steps()] == ["", "No GPU is reserved for a virtual machine."]
    assert (planned.minutes, planned.may_lock_out) == (1.0, ())
    said = "\n".join(lines(planned))
    assert "1 step, about 1 minute" in said
    assert "10/20 Cards: skipped. No GPU is reserved for a virtual machine." in said


@pytest.mark.parametrize(
    ("answers", "secrets", "skipped"),
    [
        ({}, (), ["zone is not set in the site.", "network.overlay.network_id is not set in the site."]),
        ({"zone": "home.test"}, None, ["", "network.overlay.network_id is not set in the site."]),
        (
            {"zone": "home.test", "network": {"overlay": {"kind": "zerotier", "network_id": "8056c2e21c000001"}}},
            (),
            ["", "The site has no secret overlay/zerotier-token."],
        ),
        (
            {"zone": "home.test", "network": {"overlay": {"kind": "zerotier", "network_id": "8056c2e21c000001"}}},
            ("overlay/zerotier-token",),
            ["", ""],
        ),
    ],
)
def test_a_step_without_its_answer_or_its_secret_is_skipped(
    answers: dict, secrets: tuple[str, ...] | None, skipped: list[str]
) -> None:
    base = {"runner": "python", "run": "a", "verify": "b", "rollback": "c"}
    overlay = {"when": "network.overlay.network_id", "secret": "overlay/zerotier-token"}
    steps = [
        {"id": "30/05", "title": "Names", "when": "zone", **base},
        {"id": "30/10", "title": "Far", **overlay, **base},
    ]
    stage = Stage.model_validate({"id": "30", "title": "Nets", "steps": steps})
    planned = plan(site(1, **answers), Catalogue((stage,), "c", (), {"30": Path("/x")}), secrets=secrets)
    assert [step.skipped for step in planned.steps()] == skipped
    assert [bool(step.hosts) for step in planned.steps()] == [not why for why in skipped]

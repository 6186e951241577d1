"""Fields by dotted name, the inventory, and the site verb's reading of values."""

from __future__ import annotations

from typing import Any

import pytest

from homewright.errors import SiteError
from homewright.site import fields, inventory
from homewright.site.answers import Instance, InstanceSettings
from homewright.site.cluster import ClusterNode, ClusterSettings, Overrides
from homewright.site.models import Leaving, Server, Site

SITE = Site(
    name="attic",
    servers=(
        Server(name="s1", address="10.0.0.1", user="ann"),
        Server(name="s2", address="10.0.0.2", user="bob", port=2222),
    ),
    leaving=(Leaving(name="old", address="10.0.0.9", user="ann"),),
    environment={"A": "{{ lookup('pipe', 'id') }}"},
    instances=InstanceSettings(nodes=(Instance(name="n1", host="s1"),)),
    cluster=ClusterSettings(
        nodes=(ClusterNode(name="n1", labels={"s1": "x"}),),
        overrides=Overrides(kubelet={"s1": 1}, kube_proxy={"s1": 1}, etcd={"s1": "x"}, containerd={"s1": 1}),
    ),
)


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("zone", "home.internal", "home.internal"),
        ("environment.A", "12", "12"),
        ("environment.A", "[x", "[x"),
        ("servers.s1.port", "2222", 2222),
        ("servers.s1.port", "many", "many"),
        ("sudo.keep", "false", False),
        ("host_venv.packages", "[a, b]", ["a", "b"]),
        ("servers", "[{name: s1, address: 10.0.0.1}]", [{"name": "s1", "address": "10.0.0.1"}]),
        ("environment", "{A: x}", {"A": "x"}),
        ("cluster.overrides.kubelet", "{a: [none]}", {"a": ["none"]}),
    ],
)  # fmt: skip
def test_a_text_means_what_its_field_takes(field: str, text: str, value: Any) -> None:
    assert fields.parse(field, text) == value


@pytest.mark.parametrize(
    ("field", "remedy"),
    [
        ("zoen", "did you mean zone?"),
        ("workspaces.frist_port", "did you mean workspaces.first_port?"),
        ("a.b.c", "schema"),
    ],
)
def test_an_unknown_field_is_told_with_the_nearest(field: str, remedy: str) -> None:
    for act in (lambda: fields.parse(field, "x"), lambda: fields.value_at(SITE, field)):
        with pytest.raises(SiteError) as caught:
            act()
        assert remedy in caught.value.as_text()


def test_every_field_has_a_name_and_a_value() -> None:
    known = fields.names()
    assert {"name", "zone", "servers.NAME.address", "environment.NAME", "workspaces.code_server.sha256"} <= set(known)
    for name in known:
        named = name.replace("environment.NAME", "environment.A").replace("nodes.NAME", "nodes.n1")
        named = named.replace("leaving.NAME", "leaving.old")
        fields.value_at(SITE, named.replace("NAME", "s1"))
    assert fields.value_at(SITE, "servers.s2.port") == 2222


@pytest.mark.parametrize(("field", "place"), [("servers.s9.port", "servers.s9"), ("environment.B", "environment.B")])
def test_a_server_or_variable_that_is_not_there_has_no_value(field: str, place: str) -> None:
    with pytest.raises(SiteError, match=place):
        fields.value_at(SITE, field)


def test_the_inventory_has_the_contracts_groups_and_marks_templates_as_data() -> None:
    groups = {"servers": ["s1", "s2"], "kubernetes_control_plane": ["s1"], "instances": []}
    hosts = [inventory.Reached(one.name, one.address, one.port, one.user, "-o A=b") for one in SITE.servers]
    document = inventory.document(SITE, groups, hosts, "/k")
    text = inventory.text(document)
    assert document["all"]["children"]["microk8s_control_plane"] == {"hosts": {"s1": {}}}
    assert document["all"]["hosts"]["s2"]["ansible_port"] == 2222
    assert "A: !unsafe \"{{ lookup('pipe', 'id') }}\"" in text

"""Servers out of ssh_config files and Ansible inventories."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from homewright.access.ansible_inventory import expand
from homewright.access.importing import Host, find, name_of
from homewright.errors import UsageError


def put(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def short(hosts: Sequence[Host]) -> list[tuple[str, str, str, int]]:
    return [(one.name, one.address, one.user, one.port) for one in hosts if not one.reason]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("web", ["web"]),
        ("web[1:3]", ["web1", "web2", "web3"]),
        ("web[08:10]", ["web08", "web09", "web10"]),
        ("n[1:7:3].lab", ["n1.lab", "n4.lab", "n7.lab"]),
        ("db-[a:c]", ["db-a", "db-b", "db-c"]),
        ("r[1:2]-n[1:2]", ["r1-n1", "r1-n2", "r2-n1", "r2-n2"]),
        ("x[3:1]", []),
        ("x[1:a]", []),
        ("x[1:3:0]", []),
    ],
)
def test_ranges(pattern: str, names: list[str]) -> None:
    assert list(expand(pattern)) == names


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("Attic_2", "attic-2"),
        ("web1.lab.example", "web1"),
        ("10.0.0.7", "server-10-0-0-7"),
        ("1st.example", "1st-example"),
    ],
)
def test_names(alias: str, name: str) -> None:
    assert name_of(alias) == name


INI = """
; everything
tower ansible_host=10.0.0.4 ansible_user='ann b'
[gpu]
g[1:2] ansible_port=2222   # two of them
far.example:2200
[gpu:vars]
ansible_user=ops
[k8s:children]
gpu
cloud
[k8s:vars]
ansible_user=wide
[cloud]
c1 ansible_host=10.0.0.9 ansible_connection=docker
c2 ansible_host="{{ lookup('x') }}"
c3 ansible_host=10.0.0.8 ansible_ssh_common_args='-o ProxyJump=bastion'
me ansible_connection=local ansible_host=127.0.0.1
[all:vars]
ansible_user=root
"""


def test_an_inventory_in_ini(tmp_path: Path) -> None:
    put(tmp_path, "host_vars/g1.yml", "ansible_host: 10.0.0.1\nother: [1, 2]\n")
    put(tmp_path, "host_vars/g2/main.yml", "ansible_host: 10.0.0.2\n")
    put(tmp_path, "host_vars/g2/vault.yml", "$ANSIBLE_VAULT;1.1;AES256\n3938\n")
    found = find(put(tmp_path, "hosts", INI))
    by_name = {one.name: one for one in found.hosts}
    assert found.kind == "inventory"
    assert short(found.hosts) == [
        ("g1", "10.0.0.1", "ops", 2222),
        ("g2", "10.0.0.2", "ops", 2222),
        ("c3", "10.0.0.8", "wide", 22),
    ]
    assert by_name["g1"].groups == ("gpu", "k8s")
    assert "jump host" in by_name["c3"].note
    assert {name: one.reason[:24] for name, one in by_name.items() if one.reason} == {
        "tower": "user is no Linux user na",
        "far": "address must be an IPv4 ",
        "c1": "is reached by docker, no",
        "c2": "{{ lookup('x') }} is a t",
        "me": "is the machine that Ansi",
    }
    assert by_name["far"].port == 2200
    assert found.said == ("host_vars/vault.yml is left out: it is encrypted",)


YAML = """
all:
  vars: {ansible_user: root, ansible_port: 2200}
  hosts:
    tower: {ansible_host: 10.0.0.4}
  children:
    gpu:
      vars: {ansible_user: ops}
      hosts:
        g[1:2]:
          ansible_host: 10.0.0.1
    idle:
"""


def test_an_inventory_in_yaml(tmp_path: Path) -> None:
    put(tmp_path, "group_vars/gpu.yml", "ansible_user: nearer\n")
    found = find(put(tmp_path, "hosts.yaml", YAML))
    assert short(found.hosts) == [("tower", "10.0.0.4", "root", 2200), ("g1", "10.0.0.1", "nearer", 2200)]
    assert found.hosts[2].reason == "has the address of g1"


def test_groups_that_hold_each_other_end(tmp_path: Path) -> None:
    found = find(
        put(tmp_path, "hosts", "[a]\nx ansible_host=10.0.0.1 ansible_user=u\n[a:children]\nb\n[b:children]\na\n")
    )
    assert found.hosts[0].groups and short(found.hosts) == [("x", "10.0.0.1", "u", 22)]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("hosts", "[web]\nweb1 what is this\n", "Line 2"),
        ("hosts", "[web]\nweb1 a='x\n", "Line 2"),
        ("hosts", "[web:vars]\nansible_user\n", "Line 2"),
        ("hosts", "[n]\nn[1:99999]\n", "more than 1000 hosts"),
        ("hosts", "#!/bin/sh\necho hello\n", "is a program"),
        ("hosts.yml", "all:\n  hosts: {a: &x {b: 1}, c: *x}\n", "cannot be read, line 2"),
        ("hosts.yml", "- a\n- b\n", "is no inventory"),
        ("hosts.yml", "all: {tasks: []}\n", "is no inventory"),
        ("hosts.yml", "all: {hosts: [a]}\n", "is no inventory"),
        ("hosts.yml", "all: {children: {x: [1]}}\n", "is no inventory"),
        ("hosts.yml", "all: [", "cannot be read"),
    ],
)
def test_what_is_no_inventory_is_told(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        find(put(tmp_path, name, text))
    assert words in refused.value.what and refused.value.do


def test_unreadable_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "odd").write_bytes(b"Host a\xff\n")
    for file, words in [("nowhere", "cannot be read"), ("", "is a folder"), ("odd", "is no text")]:
        with pytest.raises(UsageError) as refused:
            find(tmp_path / file)
        assert words in refused.value.what


def test_an_ssh_config_with_includes_patterns_and_jumps(tmp_path: Path) -> None:
    put(tmp_path, ".ssh/conf.d/one", "Host inner\n  HostName 10.0.0.2\nHost *.lab\n  User lab\n")
    put(tmp_path, ".ssh/conf.d/settings", "  User seven\n")
    config = put(
        tmp_path,
        ".ssh/config",
        "Include conf.d/o*\nInclude nothing/*\n"
        "Host outer\n  HostName 10.0.0.3\n  ProxyJump bastion\n  Include conf.d/settings\n  Port 2222\n"
        "Host direct\n  HostName 10.0.0.5\n  ProxyJump none\n"
        "Host box.lab\n  HostName 10.0.0.4\n"
        f'Match exec "touch {tmp_path}/done"\n  User evil\n'
        "Host *\n  User everyone\n",
    )
    found = find(config)
    assert found.kind == "ssh_config"
    assert short(found.hosts) == [
        ("box", "10.0.0.4", "lab", 22),
        ("direct", "10.0.0.5", "everyone", 22),
        ("inner", "10.0.0.2", "everyone", 22),
        ("outer", "10.0.0.3", "seven", 2222),
    ]
    assert [one.note for one in found.hosts if one.note] == [
        "ssh reaches it through bastion (ProxyJump); Homewright signs in directly"
    ]
    assert not (tmp_path / "done").exists()
    assert [said.partition(":")[0] for said in found.said] == [
        "Include nothing/*",
        f'Match exec "touch {tmp_path}/done"',
        "*.lab is a pattern",
    ]


def test_includes_that_never_end(tmp_path: Path) -> None:
    found = find(put(tmp_path, ".ssh/config", "Include config\nHost a\n  HostName 10.0.0.1\n  User u\n"))
    assert short(found.hosts) == [("a", "10.0.0.1", "u", 22)]
    assert any("deeper than 16" in said for said in found.said)


def test_what_the_site_has_already(tmp_path: Path) -> None:
    file = put(tmp_path, "hosts", "a ansible_host=10.0.0.1\nb ansible_host=10.0.0.2\nc ansible_host=10.0.0.3\n")
    found = find(file, {"a", "10.0.0.2"})
    assert [one.reason for one in found.hosts] == ["there is a server called a already", "is here already", ""]

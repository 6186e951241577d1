"""The list of checks: complete, with texts that can be read and remedies that can be carried out."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
import typing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import pytest
from check_cases import gpus, hosts, network
from checking import Case, scene

from homewright.checks import profiles
from homewright.checks.catalogue import BY_ID, CHECKS
from homewright.checks.measurements import Measurements
from homewright.checks.models import Finding, FixId
from homewright.discovery import machines
from homewright.discovery.facts import HostFacts

SPECIFIED = {
    # Host
    "CPU for a control plane": "host.cpu",
    "CPU over the site": "site.cpu",
    "memory": "host.memory",
    "memory over the site": "site.memory",
    "free in home": "host.disk",
    "Harbor": "site.registry-disk",
    "disks over the site": "site.disk",
    "fdatasync": "host.disk-latency",
    "OS": "host.os",
    "systemd": "host.systemd",
    "sudo": "host.sudo",
    "/dev/kvm": "host.kvm",
    "vhost-vsock": "host.vsock",
    "nested": "host.nested",
    "VT-d / AMD-Vi": "host.vt-d",
    "kernel": "host.kernel",
    "memory cgroup": "host.memory-cgroup",
    "br_netfilter": "host.br-netfilter",
    "inotify": "host.inotify",
    "aio": "host.aio",
    "snapd": "host.snapd",
    "snap refresh hold": "host.snap-hold",
    "apt/dpkg lock": "host.package-locks",
    "swap": "host.swap",
    "hostname": "host.hostname",
    "hostname unique": "site.hostnames",
    "IP unique": "site.addresses",
    "machine-id unique": "site.machine-ids",
    "clock skew": "host.clock-skew",
    "NTP": "host.time-sync",
    "docker": "host.docker",
    "ufw": "host.ufw",
    "FORWARD": "host.forwarding",
    # Network
    "ports": "net.ports",
    "hostnames resolve": "net.names",
    "ranges": "net.ranges",
    "no address used twice": "net.addresses",
    "RTT": "net.round-trip",
    "loss": "net.loss",
    "path MTU": "net.path-mtu",
    "link": "net.link-speed",
    "default route": "net.default-route",
    "resolvers": "net.resolvers",
    "wildcard DNS": "net.wildcard-dns",
    "proxy variables": "net.proxy",
    "UDP 9993": "net.zerotier",
    "MTU 2800": "net.overlay-mtu",
    "static addresses": "net.static-address",
    "Wi-Fi": "net.bridge-nic",
    # GPU
    "IOMMU on": "gpu.iommu",
    "IOMMU group": "gpu.group",
    "keyed by host and address": "gpu.choices",
    "desktop": "gpu.desktop",
    "nouveau": "gpu.nouveau",
    "Secure Boot": "gpu.secure-boot",
    "driver": "gpu.driver",
    "compute capability": "gpu.compute",
    "open kernel modules": "gpu.open-modules",
    "containers or passthrough": "gpu.one-use",
    "no hotplug": "gpu.hotplug",
    "Xid": "gpu.xid",
    "device plugin": "gpu.device-plugin",
    # Topology
    "two servers": "topology.quorum",
}
"""Every line of the specification of the checks, and the check that carries it out."""

BEYOND = {"host.packages", "gpu.answers", "gpu.mig", "topology.gpu"}
"""What is checked beside that."""

WARNINGS = {
    "site.cpu", "site.memory", "site.disk", "host.disk-latency", "host.nested", "host.swap", "host.docker", "host.ufw",
    "host.forwarding", "net.link-speed", "net.proxy", "gpu.secure-boot", "gpu.open-modules", "gpu.mig",
    "topology.quorum", "topology.gpu",
}  # fmt: skip
"""What never blocks on real servers."""

NEVER_UNKNOWN = {"net.addresses", "topology.quorum"}
"""The answers of the site tell these."""


CASES: list[Case] = [*hosts.ALL, *network.ALL, *gpus.ALL]


@cache
def findings() -> tuple[Finding, ...]:
    """Every finding of every case in the tables, and of every site as it was recorded."""
    of_cases = [finding for case in CASES for finding in case.scene().judge({case.key})]
    of_machines = [finding for name in machines.names() for finding in scene(name).judge()]
    return (*of_machines, *of_cases)


def test_every_line_of_the_specification_has_a_check() -> None:
    assert set(SPECIFIED.values()) | BEYOND == set(BY_ID)
    assert len(BY_ID) == len(CHECKS)


def test_every_check_was_seen_to_pass_to_fail_and_not_to_know() -> None:
    seen: dict[str, set[str]] = {}
    for case in CASES:
        seen.setdefault(case.check, set()).add("failed" if case.status == "warning" else case.status)
    for check in CHECKS:
        wanted = {"passed", "failed"} | ({"unknown"} if check.id not in NEVER_UNKNOWN else set())
        assert wanted <= seen.get(check.id, set()), check.id


@pytest.mark.parametrize("name", ["home", "lab"])
def test_a_profile_has_every_check_and_no_other(name: str) -> None:
    assert set(profiles.load(name).checks) == set(BY_ID)
    assert profiles.load(name).name == name


def test_a_profile_is_read_once_by_all_who_prove_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    parse = profiles.parse

    def slowly(text: str, source: str) -> profiles.Profile:
        read.append(source)
        time.sleep(0.05)  # for as long the others ask as well
        return parse(text, source)

    monkeypatch.setattr(profiles, "parse", slowly)
    profiles._load.cache_clear()
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(profiles.load, ["lab"] * 3))
    assert read == ["lab.yaml"] and found[0] is found[1] is found[2]


def test_both_profiles_have_the_same_limits() -> None:
    home, lab = profiles.load("home").checks, profiles.load("lab").checks
    assert {check: set(setting.limits) for check, setting in home.items()} == {
        check: set(setting.limits) for check, setting in lab.items()
    }
    assert {check for check, setting in home.items() if setting.severity == "warning"} == WARNINGS
    assert not [check for check, setting in home.items() if setting.severity == "off"]


def test_ids_links_and_what_is_read_are_well_formed() -> None:
    sections = {f"{name}" for name in HostFacts.model_fields}
    measured = {f"measured.{name}" for name in Measurements.model_fields}
    for check in CHECKS:
        assert re.fullmatch(r"(host|site|net|gpu|topology)\.[a-z][a-z0-9-]+", check.id)
        assert check.link.startswith("https://") and check.title
        assert check.reads and all(
            name in sections or name in measured or name.startswith("site.") for name in check.reads
        ), check.id
        assert all(cause in BY_ID for cause in check.depends)
        assert [check.host, check.pair, check.site].count(None) == 2
        assert {"host": check.host, "pair": check.pair, "site": check.site}[check.scope] is not None


def test_texts_are_there_and_short_and_on_one_line() -> None:
    for finding in findings():
        texts = [finding.title, finding.reason]
        if finding.status != "unknown":
            texts += [finding.measured, finding.threshold]
        remedy = finding.remedy
        if remedy is not None:
            texts += [remedy.say, *remedy.changes]
            assert remedy.do and bool(remedy.changes) == (remedy.fix is not None), finding
            assert all(0 < len(command) <= 400 for command in remedy.do)
        for text in (*texts, finding.measured, finding.threshold):
            assert text in (finding.measured, finding.threshold) or text
            assert len(text) <= 200 and text == text.strip() and text.isprintable(), (finding.check, text)
        assert all(texts), finding
        assert finding.reason.endswith((".", "…", ")", "”")), finding.reason


def commands() -> Iterator[tuple[str, str]]:
    for finding in findings():
        for command in finding.remedy.do if finding.remedy else ():
            yield finding.check, command


@pytest.mark.programs
def test_remedies_can_be_pasted() -> None:
    for check, command in set(commands()):
        assert not re.search(r"<[a-z]|\bNAME\b(?!,ROTA)|…|\bXXX\b|\{|\}|\.\.\.", command), (check, command)
        shlex.split(command)
        if not command[0].isupper():  # a sentence begins with a capital
            parsed = subprocess.run(["sh", "-n"], input=command, text=True, capture_output=True)
            assert parsed.returncode == 0, (check, command, parsed.stderr)


def test_every_repair_is_offered_by_some_check() -> None:
    offered = {finding.remedy.fix for finding in findings() if finding.remedy and finding.remedy.fix}
    assert offered == set(typing.get_args(FixId))


def test_what_a_server_says_can_do_nothing_to_a_terminal() -> None:
    evil = scene("attic").having("birch", "system", hostname="b\x1b]0;owned\x07irch\nx" + "y" * 400)
    found = evil.find("host.hostname", "birch")
    assert found is not None and found.status == "failed"
    assert "\x1b" not in found.measured and "\n" not in found.measured and len(found.measured) <= 200


def test_a_lab_passes_by_its_own_profile_what_home_refuses() -> None:
    at_home = scene("trouble").find("host.inotify", "elder")
    assert at_home is not None and at_home.status == "failed"
    assert replace(scene("trouble"), profile="lab").find("host.inotify", "elder") is None

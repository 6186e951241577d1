"""Facts of real practice servers, by the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from homewright.discovery.bundle import load
from homewright.discovery.facts import FactsDocument
from homewright.discovery.parsing import parse

pytestmark = pytest.mark.lab


def test_discover_tells_what_the_servers_are(trusted_lab: Any, tmp_path: Path) -> None:
    done = trusted_lab.run("discover", "--json", "--save", str(tmp_path / "saved"))
    assert done.returncode == 0, done.stderr
    document = FactsDocument.model_validate_json(done.stdout)
    assert len(document.hosts) >= 1
    assert document.failures == ()
    for facts in document.hosts:
        kernel = trusted_lab.on(facts.host, "uname -r; cat /etc/machine-id; hostname")
        assert [facts.system.kernel, facts.system.machine_id, facts.system.hostname] == kernel.split()
        assert facts.system.os_id == "debian"
        assert facts.system.virtualization == "lxc"
        assert facts.system.systemd
        assert facts.system.sudo is True
        assert facts.cpu.threads
        assert facts.memory.total
        assert any(one.mount == "/" and one.free > 0 for one in facts.file_systems)
        outside = [nic for nic in facts.nics if nic.default_route]
        assert len(outside) == 1
        assert outside[0].up
        assert outside[0].addresses[0].startswith("198.")
        assert outside[0].gateway.startswith("198.")
        assert (outside[0].dhcp, outside[0].mtu, outside[0].duplex) == (True, 1500, "full")
        assert facts.system.account == "lab"
        assert facts.system.chassis == "container"
        assert facts.clock.offset_s is not None
        assert abs(facts.clock.offset_s) <= (facts.clock.uncertainty_s or 0) + 0.1, "its clock is ours"
        assert {"ssh", "systemd-networkd"} <= set(facts.software.services)
        assert facts.software.package_locks == ()
        assert facts.software.packages_broken is False
        assert ("tcp", 22, "sshd") in {(one.protocol, one.port, one.process) for one in facts.listeners or ()}
        assert facts.names.resolvers
        assert facts.names.resolves.get(facts.host), "the bridge's DNS knows it"
        assert facts.kernel.inotify_watches
        assert facts.why_unknown("kernel-log") != "the server did not say", "a container may not read it, and says so"
    # what was kept gives the same facts again, without a server
    again = trusted_lab.run("discover", "--json", "--from", str(tmp_path / "saved"))
    assert json.loads(again.stdout)["hosts"] == sorted(json.loads(done.stdout)["hosts"], key=lambda host: host["host"])
    assert [parse(bundle).host for bundle in load(tmp_path / "saved")] == [facts.host for facts in document.hosts]


def test_nothing_is_written_there(trusted_lab: Any) -> None:
    # systemd-timesyncd touches its file once a minute, whoever else is there.
    look = (
        "find /etc /home /root /tmp /var/lib /var/tmp /opt /usr/local -xdev ! -path /var/lib/systemd/timesync/clock"
        " -printf '%p %T@ %s\\n' | sort"
    )

    def seen() -> str:
        return str(trusted_lab.on(trusted_lab.servers[0], look))

    trusted_lab.run("discover")  # the sign-in itself may make what a first sign-in makes
    before = seen()
    assert trusted_lab.run("discover").returncode == 0
    assert sorted({*seen().splitlines()} ^ {*before.splitlines()}) == []


def test_a_host_that_is_not_of_the_site_is_a_usage_error(trusted_lab: Any) -> None:
    done = trusted_lab.run("discover", "nowhere")
    assert done.returncode == 2
    assert "nowhere" in done.stderr


def test_without_json_people_can_read_it(trusted_lab: Any) -> None:
    done = trusted_lab.run("discover")
    assert done.returncode == 0
    assert "Debian GNU/Linux" in done.stdout
    assert "default route" in done.stdout

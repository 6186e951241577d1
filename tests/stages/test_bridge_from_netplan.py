"""The bridge on a server as an installer leaves it: cloud-init wrote its network for netplan, fixed, with both IPs.

Practice servers come with a file of systemd-networkd's alone, so one of them gets the real cloud-init for this.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from driving import Practice
from practice_lab import Lab
from ruamel.yaml import YAML
from stage_on_servers import StageOnServers

from homewright.catalogue import load, shipped
from homewright.engine.states import Action
from homewright.stages.bridge import CLOUD, FILE

pytestmark = [pytest.mark.lab, pytest.mark.long]

BRIDGE = "10/10"
WRITTEN = "/etc/netplan/50-cloud-init.yaml"
SEED = "/var/lib/cloud/seed/nocloud"
NETWORK = """\
version: 2
ethernets:
  eth0:
    addresses: [{own}/24, "fd5e:1::11/64"]
    routes:
      - {{to: default, via: "fd5e:1::1"}}
      - {{to: default, via: {gateway}}}
    nameservers:
      search: [home.arpa]
      addresses: [{gateway}, "fd5e:1::53"]
  spare0:
    dhcp4: true
    optional: true
"""
SETTINGS = """\
datasource_list: [NoCloud]
preserve_hostname: true
system_info: {network: {renderers: [netplan]}}
"""
INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends cloud-init >/dev/null"
# Its units are for a start, which does not come; it is asked by hand, as its first one asks it.
NOT_BY_ITSELF = "systemctl mask -q cloud-init-local.service cloud-init.service cloud-config.service cloud-final.service"
# What it found out about this server at its own start goes: LXD, which tells the practice servers something else.
ANEW = "rm -rf /run/cloud-init; cloud-init clean && cloud-init init --local"
"""What it does at the first start of a copy of this server, or where it takes it for one."""
AWAY = (
    "apt-get -q -y purge cloud-init >/dev/null; rm -rf /etc/cloud /var/lib/cloud; "
    "systemctl unmask -q cloud-init-local.service cloud-init.service cloud-config.service cloud-final.service; true"
)
IN_EFFECT = "netplan generate && networkctl reload && networkctl reconfigure eth0"
ROUTED = (
    "n=0; until ip -4 route show default | grep -q 'proto {how}'; do "
    'n=$((n + 1)); [ "$n" -lt 150 ] || exit 1; sleep 0.1; done'
)
TOLD = f"cat {WRITTEN}; stat -c %a {WRITTEN}; networkctl status --lines=0 eth0 | grep netplan"


@contextlib.contextmanager
def as_installed(lab: Lab, server: str, own: str, gateway: str) -> Iterator[None]:
    """A server whose network cloud-init has written, in effect."""
    auto = lab.on(server, "apt-mark showauto").split()
    try:
        lab.on(server, f"{INSTALL}; {NOT_BY_ITSELF}; mkdir -p {SEED}")
        lab.on(server, f"cat >{SEED}/network-config", NETWORK.format(own=own, gateway=gateway).encode())
        lab.on(server, f"echo 'instance-id: attic' >{SEED}/meta-data; echo '#cloud-config' >{SEED}/user-data")
        lab.on(server, "cat >/etc/cloud/cloud.cfg.d/95-seed.cfg", SETTINGS.encode())
        lab.on(server, ANEW)
        lab.on(server, f"test -e {WRITTEN} && {IN_EFFECT} && {ROUTED.format(how='static')}")
        yield
    finally:
        lab.on(server, f"rm -f {WRITTEN}; {AWAY}; {IN_EFFECT}; {ROUTED.format(how='dhcp')}")
        came = set(lab.on(server, "apt-mark showauto").split()) - set(auto)
        lab.on(server, f"apt-get -q -y purge {' '.join(sorted(came))} >/dev/null" if came else "true")


def test_what_cloud_init_wrote_moves_to_the_bridge_and_comes_back(practice: Practice, trusted_lab: Lab) -> None:
    victim = practice.names[-1]
    stage = StageOnServers(practice, load([shipped()]))
    own = practice.site.server(victim).address
    gateway = practice.on(victim, "ip -4 route show default").split()[2]

    def default(version: int) -> str:
        return practice.on(victim, f"ip -{version} route show default").partition(" proto")[0].strip()

    with as_installed(trusted_lab, victim, own, gateway):
        before = practice.on(victim, TOLD)
        assert "10-netplan-eth0.network" in before
        ways = (f"default via {gateway} dev eth0", "default via fd5e:1::1 dev eth0")
        assert (default(4), default(6)) == ways
        stage.captures[BRIDGE] = stage.carry_out(BRIDGE, Action.CAPTURE, hosts=[victim]).captures
        assert stage.run(BRIDGE, hosts=[victim]).changed[victim]
        try:
            stage.assert_proved(BRIDGE, victim)
            assert stage.run(BRIDGE, hosts=[victim]).changed == {victim: 0}
            assert (default(4), default(6)) == tuple(way.replace("eth0", "br0") for way in ways)
            assert "fd5e:1::11/64" in practice.on(victim, "ip -6 -o address show dev br0")
            made = YAML(typ="safe").load(practice.on(victim, f"cat {FILE}"))["network"]["bridges"]["br0"]
            assert made["nameservers"] == {"search": ["home.arpa"], "addresses": [gateway, "fd5e:1::53"]}
            left = YAML(typ="safe").load(practice.on(victim, f"cat {WRITTEN}"))["network"]["ethernets"]
            assert left == {"eth0": {}, "spare0": {"dhcp4": True, "optional": True}}
            # Whoever starts this server, or a copy of it, keeps the bridge.
            practice.on(victim, ANEW)
            stage.assert_proved(BRIDGE, victim)
        finally:
            stage.carry_out(BRIDGE, Action.ROLLBACK, hosts=[victim])
        assert practice.on(victim, TOLD) == before
        assert practice.on(victim, f"ls {FILE} {CLOUD}", check=False) == ""
        assert (default(4), default(6)) == ways
        # With nothing of ours there it writes the file again, as it would have.
        practice.on(victim, f"echo '# edited' >>{WRITTEN}; {ANEW}; ! grep -q edited {WRITTEN}")

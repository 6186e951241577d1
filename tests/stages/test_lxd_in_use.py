"""20/10 on a server whose owner uses LXD already: left alone there, and nothing is changed on the others either."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from driving import Practice
from stage_on_servers import StageOnServers

from homewright.catalogue import load, shipped
from homewright.engine.remedies import match
from homewright.engine.states import Action

pytestmark = [pytest.mark.lab, pytest.mark.long]

CLUSTER = "20/10"
LXC = "export LXD_CONF=/tmp/lxc"
"""Or lxc would keep settings of its own in root's home."""


@pytest.fixture
def used_lxd(practice: Practice) -> Iterator[Practice]:
    """A server with an LXD of its owner's, who has a pool in it and an instance."""
    victim = practice.names[-1]
    install = (
        "export DEBIAN_FRONTEND=noninteractive; dpkg-query -W -f '${Package}\\n' | sort >/root/packages.kept; "
        "for f in subuid subgid; do cp -a /etc/$f /root/$f.kept; done; "
        "apt-get -q -y install --no-install-recommends lxd lxd-client >/dev/null && "
        "for f in subuid subgid; do echo root:100000:1000000 >/etc/$f; done; systemctl restart lxd.service; "
        f"lxd waitready --timeout=90 && {LXC} && lxc storage create photos dir && lxc init --empty album -s photos"
    )
    gone = (
        f"{LXC}; lxc delete album; lxc storage delete photos; systemctl stop lxd.service lxd.socket; "
        "came=$(dpkg-query -W -f '${Package}\\n' | sort | comm -13 /root/packages.kept -); "
        "DEBIAN_FRONTEND=noninteractive apt-get -q -y purge $came >/dev/null; rm -rf /var/lib/lxd /var/log/lxd "
        "/var/cache/lxd /tmp/lxc; for f in subuid subgid; do mv /root/$f.kept /etc/$f; done; rm /root/packages.kept; "
        "userdel _lxd 2>/dev/null; groupdel _lxd 2>/dev/null; groupdel lxd 2>/dev/null; true"
    )
    practice.on(victim, install)
    try:
        yield practice
    finally:
        practice.on(victim, gone)


def test_an_lxd_that_somebody_uses_is_left_alone_everywhere(used_lxd: Practice) -> None:
    """Refused on all servers before any change on one of them; what is in it is named."""
    stage = StageOnServers(used_lxd, load([shipped()]))
    victim, others = used_lxd.names[-1], used_lxd.names[:-1]
    before = {name: used_lxd.on(name, "dpkg-query -W | sort | cksum") for name in used_lxd.names}
    kept = stage.carry_out(CLUSTER, Action.CAPTURE).captures
    assert kept[victim]["package"] == "deb"
    outcome = stage.practice.drive(
        "python", stage.catalogue.file(stage.step(CLUSTER), "run"), Action.RUN, captures=kept
    )
    assert set(outcome.states.values()) == {"failed"}
    assert "is in use: it has the instance album and the storage pool photos" in outcome.reasons[victim]
    found = match(stage.step(CLUSTER).remedies, [outcome.reasons[victim]])
    assert found is not None and "never takes that over" in found.say
    assert all("was left as it is" in outcome.reasons[name] for name in others), outcome.reasons
    assert {name: used_lxd.on(name, "dpkg-query -W | sort | cksum") for name in used_lxd.names} == before
    assert "album" in used_lxd.on(victim, f"{LXC}; lxc list -c n -f csv")

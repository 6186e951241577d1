"""Stage 20 on practice servers: what is known of the servers, and what is in LXD beside what is in files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from driving import Outcome, Practice
from server_listing import files_command, listing
from stage_on_servers import StageOnServers

from homewright.discovery import gather
from homewright.discovery.facts import HostFacts
from homewright.engine.states import Action
from homewright.site.answers import Instance

BRIDGE, CLUSTER, PROFILES, INSTANCES, GPUS = "10/10", "20/10", "20/20", "20/30", "20/40"
LXC = "export LXD_CONF=/tmp/lxc"
"""Or lxc would keep settings of its own in root's home, which the step did not."""
OBJECTS = r"""
[ -S /var/lib/lxd/unix.socket ] || exit 0
export LXD_CONF=/tmp/lxc
for kind in instances profiles images networks storage-pools certificates cluster/members \
    storage-pools/default/volumes; do
    lxc query "/1.0/$kind?recursion=1" | python3 -c '
import json, sys
kept = ("config", "description", "devices", "driver", "fingerprint", "location", "managed", "name", "profiles",
        "properties", "server_name", "status", "type", "url")
for one in json.load(sys.stdin):
    if sys.argv[1] in ("certificates", "cluster/members"):
        kept = ("name", "type", "server_name", "url")
    told = {key: one[key] for key in kept if key in one}
    if "config" in told:
        told["config"] = {k: v for k, v in sorted((told["config"] or {}).items()) if not k.startswith("volatile.")}
    print("lxd", sys.argv[1], json.dumps(told, sort_keys=True))
' "$kind"
done
"""
"""LXD's objects, as lines: without what LXD changes by itself, such as a member's state, and without the site's
certificate, which may be another one after a take-over."""


@dataclasses.dataclass
class LxdStage(StageOnServers):
    """The stage, with what is known of the servers."""

    facts_file: Path = Path()

    def carry_out(self, name: str, action: Action, **more: Any) -> Outcome:
        return super().carry_out(name, action, **{"facts_file": str(self.facts_file), **more})

    def begin(self, *names: str) -> None:
        """Taking instances back needs nothing of the state before: there were none of ours."""
        for name in names:
            if name == INSTANCES:
                self.listings[name] = self.listing()
                assert all(self.run(name).changed.values())
                self.assert_proved(name)
            else:
                super().begin(name)

    def assert_taken_back(self, name: str) -> None:
        """LXD's package makes a link at its first installation alone, and practice servers install no documentation:
        after a damage that took a package away, neither comes back with it.
        """
        gone = [" ./usr/share/doc/iptables", *([" ./etc/dnsmasq.d/lxd "] if name != CLUSTER else [])]
        for server, lines in self.listing().items():
            before = self.listings[name][server]
            before -= {line for line in before - lines if any(one in line for one in gone)}
        super().assert_taken_back(name)

    def listing(self, hashed: str = "./etc ./usr/local") -> dict[str, set[str]]:
        """Files without what LXD itself keeps: its database is written all the time, and an instance has 20,000 of
        them. What is in LXD is told by LXD.
        """
        command = files_command(hashed).replace("-path ./proc ", "-path ./proc -o -path ./var/lib/lxd* ")
        return listing(self.practice.on, self.practice.names, command + OBJECTS)

    def write_facts(self) -> dict[str, HostFacts]:
        """Look at the servers, and give the runners what was found."""
        told = facts_of(self.practice)
        self.facts_file.write_text(json.dumps({name: one.model_dump(mode="json") for name, one in told.items()}))
        return told


def facts_of(practice: Practice) -> dict[str, HostFacts]:
    """What is found on the servers now."""
    found = gather(practice.site, practice.state)
    assert all(isinstance(one, HostFacts) for one in found.values()), found
    return {name: one for name, one in found.items() if isinstance(one, HostFacts)}


def with_nodes(practice: Practice, **settings: Any) -> Practice:
    """The same servers with a small instance on each."""
    nodes = tuple(Instance(name=f"{name}-node", host=name, cpu=2, memory=2, disk=20) for name in practice.names)
    answers = practice.site.instances.model_copy(update={"nodes": nodes, **settings})
    return dataclasses.replace(practice, site=practice.site.model_copy(update={"instances": answers}))

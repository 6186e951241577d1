"""Which devices of LXD an instance gets for the GPUs of its server (stage 20, step 40). Deciding is pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from homewright.discovery.facts import HostFacts
from homewright.errors import HomewrightError
from homewright.lxd.client import Lxd, LxdError
from homewright.planning.gpu_groups import reaches
from homewright.planning.instances import InstancePlan
from homewright.site.models import Site

PREFIX = "homewright-gpu-"
"""How our devices' names begin; all others are somebody else's."""
OVERRIDE = "failed to override"
"""What LXD says where the kernel has not given the function up yet: it does a moment later."""
GIVEN_UP_S = 60.0
Devices = dict[str, dict[str, str]]


def wanted(site: Site, facts: HostFacts, plan: InstancePlan) -> dict[str, Devices]:
    """The devices of each instance of the server that these facts are of, one entry a GPU.

    LXD itself adds what lies in a GPU's slot and group (its sound, its USB-C port); of a slot that reaches over several
    groups the rest is named here, so that the machine gets the groups as a whole. Raises HomewrightError where it is
    not clear which instance gets a GPU, or a group holds something else of the server's.
    """
    host = facts.host
    nodes = [node.name for node in plan.on(host)]
    found: dict[str, Devices] = {name: {} for name in nodes}
    known = reaches(facts)
    groups = {function.address: function.iommu_group for function in facts.pci}
    for choice in site.gpus:
        if choice.host != host:
            continue
        if choice.use == "containers" and plan.kind == "container":
            for name in nodes:
                found[name][_name(choice.address)] = _gpu(choice.address)
        if choice.use != "passthrough" or not nodes:
            continue
        name = plan.getting(choice) or ""
        if name not in found:
            raise HomewrightError(
                f"Which instance gets the GPU {choice.address} of {host} is not said.",
                f"There are {', '.join(nodes)}.",
                ["say it in the wizard, or: homewright site set gpus.… instance"],
            )
        reach = known.get(choice.address)
        if reach is None:
            raise HomewrightError(
                f"The IOMMU group of {choice.address} on {host} is not known.",
                "Without one the kernel gives no device to a virtual machine.",
                ["10/20 turns it on: homewright apply --from 10", "then look anew: homewright discover"],
            )
        if reach.foreign:
            others = ", ".join(function.address for function in reach.foreign)
            raise HomewrightError(
                f"The GPU {choice.address} of {host} cannot be given away.",
                f"Its IOMMU group also holds {others}, which {host} needs itself.",
                ["put the card into another slot, or choose another use for it"],
            )
        found[name] |= {_name(gpu): _gpu(gpu) for gpu in reach.gpus}
        covered = {groups.get(gpu) for gpu in reach.gpus}
        rest = [member for member in reach.members if member not in reach.gpus and groups.get(member) not in covered]
        found[name] |= {_name(member): {"type": "pci", "address": member} for member in rest}
    return found


def _name(address: str) -> str:
    return PREFIX + address.replace(":", "-").replace(".", "-")


def _gpu(address: str) -> dict[str, str]:
    return {"type": "gpu", "gputype": "physical", "pci": address}


def ours(devices: Mapping[str, Any]) -> Devices:
    """Our devices among all of an instance."""
    return {name: dict(device) for name, device in devices.items() if name.startswith(PREFIX)}


def give(lxd: Lxd, name: str, devices: Devices, say: Callable[[str], None]) -> bool:
    """Give an instance exactly these devices of ours; whether that changed anything. A machine is stopped for it."""
    found = lxd.get(f"instances/{name}")
    if ours(found["devices"]) == devices:
        return False
    machine = found["type"] == "virtual-machine"
    running = found["status"] == "Running"
    if machine and running:
        say(f"{name} is stopped: a virtual machine takes no GPU while it runs")
        lxd.set_state(name, "stop")
    others = {key: value for key, value in found["devices"].items() if not key.startswith(PREFIX)}
    kept = {key: found[key] for key in ("architecture", "description", "ephemeral", "profiles", "config")}
    lxd.put(f"instances/{name}", {**kept, "devices": {**others, **devices}})
    if machine and running:
        start(lxd, name, say)
    return True


def start(lxd: Lxd, name: str, say: Callable[[str], None], pause_s: float = 2.0) -> None:
    """Start an instance with GPUs, again where the kernel has not given them up yet. Raises LxdError."""
    limit = time.monotonic() + GIVEN_UP_S
    while True:
        try:
            lxd.set_state(name, "start")
            return
        except LxdError as error:
            if OVERRIDE not in f"{error.what} {error.why}".lower() or time.monotonic() > limit:
                raise
            say(f"{name}: the server has not given the GPU up yet; trying again")
            time.sleep(pause_s)

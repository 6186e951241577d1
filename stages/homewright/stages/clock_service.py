"""The service that keeps a server's clock right (stage 10, step 00): whichever is there, else systemd-timesyncd."""

from __future__ import annotations

from dataclasses import dataclass

from homewright.checks.fixes.clocks import SERVICES
from homewright.engine.runners.host import Host
from homewright.errors import HomewrightError

DEFAULT = "systemd-timesyncd"


@dataclass(frozen=True)
class Service:
    """One time service that is installed."""

    name: str
    enabled: bool
    active: bool


def installed(host: Host) -> list[Service]:
    """Time services in systemd's eyes, the one that runs first. Raises as `Host.run` does."""
    names = [f"{name}.service" for name in SERVICES]
    return told(host.run(["systemctl", "show", "-p", "Id,LoadState,UnitFileState,ActiveState", *names]).stdout)


def told(shown: str) -> list[Service]:
    """What `systemctl show` printed of SERVICES: a block of lines for each, in their order."""
    found = []
    for name, block in zip(SERVICES, shown.strip().split("\n\n"), strict=False):
        values = dict(line.partition("=")[::2] for line in block.splitlines())
        # An alias (ntp.service of ntpsec) is told under its own name too.
        own = values.get("Id") == f"{name}.service" and values.get("LoadState") == "loaded"
        enabled = values.get("UnitFileState", "")
        if own and enabled not in ("", "masked", "masked-runtime", "alias"):
            found.append(Service(name, enabled in ("enabled", "static"), values.get("ActiveState") == "active"))
    return sorted(found, key=lambda one: (not one.active, not one.enabled))


def first(host: str, found: list[Service]) -> Service:
    """The service that is to run. Raises HomewrightError where somebody has turned all off for good."""
    if found:
        return found[0]
    raise HomewrightError(
        f"{DEFAULT} on {host} is masked.",
        "Somebody turned the clock's service off.",
        [f"sudo systemctl unmask {DEFAULT}", "then: homewright retry"],
    )


def synchronised(host: Host) -> bool:
    """Whether the clock has reached a time server since the start."""
    return host.run(["timedatectl", "show", "-p", "NTPSynchronized", "--value"], check=False).stdout.strip() == "yes"

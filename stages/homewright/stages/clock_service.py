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
    script = "\n".join(
        f"echo {name} $(systemctl is-enabled {name} 2>/dev/null || true) - $(systemctl is-active {name} || true)"
        for name in SERVICES
    )
    found = []
    for line in host.run(script).stdout.splitlines():
        name, _, state = line.partition(" ")
        enabled, _, active = state.partition("- ")
        # An alias (ntp.service of ntpsec) is told under its own name too.
        if enabled.strip() not in ("", "masked", "masked-runtime", "not-found", "alias"):
            found.append(Service(name, enabled.strip() in ("enabled", "static"), active.strip() == "active"))
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

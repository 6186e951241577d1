"""How the host's clock stands to ours."""

from __future__ import annotations

import re

from homewright.discovery.bundle import RawBundle
from homewright.discovery.facts import Clock

_EPOCH = re.compile(r"^(\d{1,10})(?:\.(\d{1,9}))?")
_SYNCHRONISED = re.compile(r"^\s*(?:System clock|NTP) synchronized:\s*(yes|no)\s*$", re.MULTILINE)
_ZONE = re.compile(r"^\s*Time zone:\s*(\S+)", re.MULTILINE)
_SERVICES = {
    "chrony": "chrony", "chronyd": "chrony", "systemd-timesyncd": "systemd-timesyncd",
    "systemd-timesyn": "systemd-timesyncd", "ntp": "ntpd", "ntpd": "ntpd", "ntpsec": "ntpsec",
    "openntpd": "openntpd",
}  # fmt: skip


def epoch(text: str) -> tuple[float, float] | None:
    """Seconds of `date +%s.%N` and how far off they may be: half a second where a shell's date knows no fractions."""
    found = _EPOCH.match(text.strip())
    if found is None:
        return None
    if found.group(2) is None:
        return int(found.group(1)) + 0.5, 0.5
    return float(found.group()), 0.0


def offset(asked: float, start: str, end: str, answered: float | None) -> tuple[float | None, float | None]:
    """Its clock minus ours and half the round trip, seconds, as NTP reckons them from four times (RFC 5905, 8).

    Ours: when the question was sent and the answer had come; its own: when the probe began and ended there.
    """
    began, ended = epoch(start), epoch(end)
    if began is None or answered is None or answered < asked:
        return None, None
    took = answered - asked
    if ended is None or not 0 <= ended[0] - began[0] <= took + 1:
        ended = began  # the probe was cut off, or its clock was set meanwhile: the whole time is uncertain
    difference = ((began[0] - asked) + (ended[0] - answered)) / 2
    if ended is began:
        difference = began[0] - (asked + answered) / 2
    round_trip = max(0.0, took - (ended[0] - began[0]))
    return round(difference, 6), round(round_trip / 2 + began[1], 6)


def parse(bundle: RawBundle, services: tuple[str, ...]) -> Clock:
    said = bundle.text("timedatectl")
    shown = dict(line.partition("=")[::2] for line in said.splitlines() if "=" in line)
    difference, uncertainty = offset(
        bundle.gathered_at, bundle.text("clock-start"), bundle.text("clock-end"), bundle.answered_at
    )
    zone = _ZONE.search(said)
    return Clock(
        offset_s=difference,
        uncertainty_s=uncertainty,
        synchronised=_synchronised(shown.get("NTPSynchronized", ""), said, bundle),
        service=_service(bundle, services),
        timezone=shown.get("Timezone", "") or (zone.group(1) if zone else ""),
    )


def _synchronised(shown: str, said: str, bundle: RawBundle) -> bool | None:
    words = _SYNCHRONISED.search(said)
    answer = shown.strip() or (words.group(1) if words else "")
    if answer in ("yes", "no"):
        return answer == "yes"
    return True if bundle.ended_well("timesyncd-synchronized") else None


def _service(bundle: RawBundle, services: tuple[str, ...]) -> str:
    running = (*services, *bundle.text("processes").split())
    return next((_SERVICES[name] for name in running if name in _SERVICES), "")

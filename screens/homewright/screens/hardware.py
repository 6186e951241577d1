"""Hardware: one card a server, filled as facts arrive."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import ItemGrid, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from homewright.errors import HomewrightError
from homewright.screens.glyphs import look
from homewright.screens.page import Page, age_text, size_text

if TYPE_CHECKING:
    from homewright.discovery.facts import HostFacts
    from homewright.site.models import Site


class Hardware(Page):
    """What every server is."""

    CSS_PATH = ["widgets/frame.tcss", "hardware.tcss"]
    WHERE = "Hardware"
    STEP = 3
    HELP = """
What each server is, as it says itself: operating system, processor, memory, disks, network interfaces, GPUs
with their IOMMU group, and whether it is itself a virtual machine or a container. Nothing is changed by
looking. What could not be read is shown as unknown, with the reason.

The facts are kept in the site's state folder after every look; ctrl+s writes them into a file of their own,
to show to somebody else. r looks again.
"""
    BINDINGS = [
        Binding("r", "recheck", "look again"),
        Binding("ctrl+s", "save", "save facts", key_display="ctrl+s"),
        Binding("ctrl+n", "next", "next", key_display="ctrl+n"),
        Binding("escape", "back", "back", key_display="esc"),
    ]
    AUTO_FOCUS = "#cards"

    def __init__(self) -> None:
        super().__init__()
        self._site: Site | None = None
        self._facts: dict[str, HostFacts] = {}
        self._errors: dict[str, HomewrightError] = {}
        self._looking: set[str] = set()

    def body(self) -> ComposeResult:
        with VerticalScroll(id="cards"):
            yield ItemGrid(id="grid", min_column_width=60)

    def on_mount(self) -> None:
        super().on_mount()
        sitting = self.home.sitting
        assert sitting is not None
        services = self.home.services

        def loaded(found: tuple[Site, Mapping[str, HostFacts]]) -> None:
            self._site, facts = found
            self._facts = dict(facts)
            grid = self.query_one("#grid")
            for server in self._site.servers:
                card = Static(id=f"card-{server.name}", classes="frame card")
                card.border_title = f"{server.name} · {server.address}"
                grid.mount(card)
            self.call_after_refresh(self._begin)

        self.start("load", lambda: (services.load(sitting.file), services.facts(sitting.state)), loaded)

    def _begin(self) -> None:
        if self._site is not None and all(server.name in self._facts for server in self._site.servers):
            self._draw()
        else:
            self.action_recheck()

    def action_recheck(self) -> None:
        """Ask every server again; each card is filled as soon as its server has answered."""
        site, sitting = self._site, self.home.sitting
        if site is None or sitting is None:
            return
        self._errors = {}
        self._looking = {server.name for server in site.servers}
        services = self.home.services
        for server in site.servers:
            name = server.name

            def arrived(facts: HostFacts, name: str = name) -> None:
                self._looking.discard(name)
                self._facts[name] = facts
                self._draw()

            def failed(error: HomewrightError, name: str = name) -> None:
                self._looking.discard(name)
                self._errors[name] = error
                self._draw()

            self.start(
                f"facts {name}",
                lambda name=name: services.gather(site, sitting.state, name),
                arrived,
                failed,  # type: ignore[misc]
            )
        self._draw()

    def _draw(self) -> None:
        site = self._site
        if site is None:
            return
        for server in site.servers:
            name = server.name
            facts, error = self._facts.get(name), self._errors.get(name)
            state = "running" if name in self._looking else "failed" if error else "done" if facts else "pending"
            for card in self.query(f"#card-{name}").results(Static):
                seen = look(state)
                word = {"running": "looking …", "failed": "not reached", "done": "", "pending": ""}[state]
                if state == "done" and facts is not None:
                    word = f"{age_text(self.now() - facts.gathered_at)} ago"
                card.border_subtitle = f"{seen.mark(self.ascii)} {word}".strip()
                card.update(_card(facts, error if name not in self._looking else None))
        known = sum(1 for server in site.servers if server.name in self._facts)
        lost = [server.name for server in site.servers if server.name in self._errors]
        self.retitle(f"{known} of {len(site.servers)} known" + (f" · {', '.join(lost)} not reached" if lost else ""))
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "save":
            return bool(self._facts) and bool(super().check_action(action, parameters))
        return super().check_action(action, parameters)

    def action_save(self) -> None:
        from homewright.site.paths import write_atomically

        sitting = self.home.sitting
        assert sitting is not None
        file = Path.home() / f"homewright-{sitting.name}-facts.json"
        record = {name: facts.model_dump(mode="json") for name, facts in sorted(self._facts.items())}
        data = json.dumps(record, indent=2, ensure_ascii=False).encode()
        self.start("save", lambda: write_atomically(file, data), lambda _: self.say(f"Saved in {file}", "ok"))

    def action_next(self) -> None:
        """Go on to the plan; a server that was never seen is shown first."""
        site = self._site
        if site is None:
            return
        for server in site.servers:
            if server.name not in self._facts:
                self.query_one(f"#card-{server.name}").scroll_visible(animate=False)
                reason = (
                    "is still being looked at" if server.name in self._looking else "was not reached: r looks again"
                )
                self.say(f"{server.name} {reason}.", "failed")
                return
        self.home.go("plan")

    def action_back(self) -> None:
        self.home.go("servers")


def _card(facts: HostFacts | None, error: HomewrightError | None) -> Content:
    if error is not None:
        lines = [Content.styled(error.what, "$text-error"), Content(error.why)]
        lines += [Content(f"{number}. {step}") for number, step in enumerate(error.do, 1)]
        return Content("\n").join(line for line in lines if line.plain)
    if facts is None:
        return Content("No facts yet.")
    lines = [_line(name, value) for name, value in _facts(facts)]
    for missing in facts.missing:
        lines.append(Content.styled(f"? {missing.source}: {missing.reason}", "$text-warning"))
    return Content("\n").join(lines)


def _line(name: str, value: str) -> Content:
    return Content.assemble((f"{name:<9}", "$quiet"), value)


def _facts(facts: HostFacts) -> list[tuple[str, str]]:
    """Label and words of each line of a card."""
    system, cpu, memory = facts.system, facts.cpu, facts.memory
    kind = {"none": "bare metal", "": "unknown"}.get(system.virtualization, system.virtualization)
    swap = f"swap {size_text(memory.swap)}" if memory.swap else "no swap"
    kvm = "can run virtual machines" if system.kvm else "no /dev/kvm"
    lines = [
        ("System", f"{system.os_name or 'unknown'} · kernel {system.kernel or 'unknown'}"),
        ("Kind", f"{kind} · {kvm}"),
        ("CPU", f"{_number(cpu.threads)} threads · {cpu.model or 'unknown'}"),
        (
            "Memory",
            f"{size_text(memory.total)} · {size_text(memory.available)} free · {swap}",
        ),
    ]
    for disk in facts.disks:
        where = f" · {', '.join(disk.mounts)}" if disk.mounts else ""
        lines.append(("Disk", f"{disk.name} {size_text(disk.size)} {disk.kind}{where}"))
    lines += [
        ("Space", f"{mounted.mount} {size_text(mounted.free)} free of {size_text(mounted.size)}")
        for mounted in facts.file_systems
        if mounted.mount == "/" or not facts.disks
    ]
    for nic in facts.nics:
        if nic.kind == "loopback":
            continue
        speed = f" · {nic.speed_mbps} Mb/s" if nic.speed_mbps else ""
        addresses = ", ".join(address for address in nic.addresses if ":" not in address) or "no address"
        way = " · default route" if nic.default_route else ""
        lines.append(("Network", f"{nic.name} {'up' if nic.up else 'down'} · {addresses}{speed}{way}"))
    for gpu in facts.gpus:
        group = "group unknown" if gpu.iommu_group is None else f"IOMMU group {gpu.iommu_group}"
        lines.append(("GPU", f"{gpu.name or gpu.vendor} · {group} · driver {gpu.driver or 'none'}"))
    if not facts.gpus:
        lines.append(("GPU", "none"))
    return lines


def _number(value: int | None) -> str:
    return "?" if value is None else str(value)

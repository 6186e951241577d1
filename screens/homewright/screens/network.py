"""Network: the bridge of each server, all address ranges on one line, overlay, zone and resolvers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from homewright.screens.answers import AnswersPage, heading
from homewright.screens.glyphs import look
from homewright.screens.widgets.address_line import AddressLine
from homewright.screens.widgets.field import Field

if TYPE_CHECKING:
    from homewright.planning.bridges import Candidate
    from homewright.planning.documents import Misfit
    from homewright.planning.networks import Networks
    from homewright.screens.services_planning import Known
    from homewright.site.models import Site

NIC = "nic-"
"""What the fields of the servers' interfaces are called, before the server's name."""
MOST_NAMED = 3
"""Of the other interfaces of a server: it may have hundreds."""
NAMES = {
    "lan": "LAN",
    "lxd": "LXD",
    "overlay": "overlay",
    "pods": "pods",
    "services": "services",
    "load-balancer": "balancers",
}
"""The ranges as the line has room for them."""
ANSWERS = {
    "zone": "zone",
    "lan": "network.lan",
    "gateway": "network.gateway",
    "resolvers": "network.resolvers",
    "lxd": "network.lxd",
    "pods": "network.pods",
    "services": "network.services",
    "load_balancer": "network.load_balancer",
    "overlay": "network.overlay.kind",
    "network_id": "network.overlay.network_id",
    "overlay_range": "network.overlay.range",
    "proxy": "network.proxy",
}
RANGES = {"lan": "lan", "lxd": "lxd", "pods": "pods", "services": "services", "load_balancer": "load-balancer"}
"""Fields that hold a range, with the name that planning has for it."""
TOKEN = "overlay/zerotier-token"


class Network(AnswersPage):
    """Where everything is reached."""

    CSS_PATH = ["widgets/frame.tcss", "widgets/field.tcss", "network.tcss"]
    WHERE = "Network"
    STEP = 4
    HELP = """
An empty field takes what is proposed: it stands in the field, and why beneath it. At the top all ranges stand
in the order of their addresses; each is drawn as long as its number of bits, gaps are one dot. Where two meet,
the line is crossed out and the words beneath it say which.

Bridge      the interface of each server that the bridge br0 takes over, so that instances are in the LAN; its
            address moves to the bridge. Wi-Fi cannot be bridged (servers.NAME.nic)
Zone        the platform's own domain: everything gets a name in it. home.internal is safe to take; a public one
            must be yours. Without one all is reached by address (zone)
LAN         the network that the servers are in (network.lan)
Gateway     the way out of it (network.gateway)
Resolvers   DNS servers for all other names, with blanks between (network.resolvers)
LXD         for the instances (network.lxd)
Pods        for the cluster's containers (network.pods)
Services    for the cluster's services: every workspace takes one address (network.services)
Balancers   addresses of the LAN that the cluster may give out; keep them out of your router's DHCP range
            (network.load_balancer)
Overlay     none: the platform is reached in the LAN. ZeroTier: also from elsewhere, with an account
            (network.overlay: kind, network_id, range); its token is a secret (overlay/zerotier-token), kept in
            the state folder and never shown again
Proxy       an HTTP proxy that the servers need for the internet (network.proxy)

ctrl+s saves, ctrl+n saves and goes on; the same by: homewright site set FIELD VALUE
"""
    SECRETS = {"token": TOKEN}

    def above(self) -> ComposeResult:
        with Vertical(id="map", classes="frame") as frame:
            frame.border_title = "address ranges"
            yield AddressLine()
            yield Static(id="verdict", markup=False)

    def form(self, known: Known) -> Sequence[Widget]:
        site = known.site
        network, overlay = site.network, site.network.overlay
        made: list[Widget] = [heading("The bridge br0 takes over")]
        for server in site.servers:
            found = self.home.services.candidates(known, server.name)
            proposed = next((one for one in found if one.carries), None)
            named = server.nic if proposed is not None and server.nic == proposed.nic.name else None
            options = [(named or "", _by_default(proposed))]  # there once, also where the site has it by its name
            options += [(one.nic.name, _words(one)) for one in found if one is not proposed]
            if server.nic is not None and server.nic not in dict(options):
                options.append((server.nic, f"{server.nic} (not seen)"))
            name = f"{NIC}{server.name}"
            made.append(Field(name, server.name, value=server.nic or "", rule=self.rule(name), options=options))
        made += [
            heading("Names and the way out"),
            self._line("zone", "Zone", site.zone, "Such as home.internal; none: everything by address"),
            self._line("gateway", "Gateway", network.gateway),
            self._line("resolvers", "Resolvers", " ".join(network.resolvers)),
            self._line("proxy", "HTTP proxy", network.proxy, "None is needed mostly; such as http://proxy:3128"),
            heading("Address ranges"),
            self._line("lan", "LAN", network.lan),
            self._line("lxd", "LXD", network.lxd),
            self._line("pods", "Pods", network.pods),
            self._line("services", "Services", network.services),
            self._line("load_balancer", "Balancers", network.load_balancer),
            heading("Overlay: the platform from elsewhere, too"),
            Field(
                "overlay",
                "Overlay",
                value=overlay.kind,
                rule=self.rule("overlay"),
                options=[("none", "none: reached in the LAN"), ("zerotier", "ZeroTier: needs an account there")],
                hint="The LAN alone is complete by itself",
            ),
            self._line("network_id", "Network id", overlay.network_id, "16 hexadecimal digits, from my.zerotier.com"),
            Field("token", "API token", rule=self.rule("token"), secret=True),
            self._line("overlay_range", "Its range", overlay.range),
        ]
        return made

    def _line(self, name: str, label: str, value: str | None, hint: str = "") -> Field:
        return Field(name, label, value=value or "", rule=self.rule(name), hint=hint)

    # What the fields mean

    def answer_of(self, name: str) -> str:
        return f"servers.{name.removeprefix(NIC)}.nic" if name.startswith(NIC) else ANSWERS.get(name, "")

    def parsed(self, name: str, text: str) -> Any:
        if name == "resolvers":
            return _split(text) or None
        return text or None

    def shape(self, name: str, text: str) -> str:
        services, known = self.home.services, self._known
        if name.startswith(NIC):
            return self._nic_reason(name.removeprefix(NIC), text)
        if name == "network_id" and not text:
            return "ZeroTier needs it: it says which network is joined"
        if name == "token":
            if text:
                return services.secret_reason(TOKEN, text)
            return "" if known and TOKEN in known.secrets else "ZeroTier needs it: the servers join with it"
        if not text or name == "overlay":
            return ""
        if name == "proxy":
            wrong = services.reason("network", "proxy", text)
            return "must be http://HOST:PORT, without a password in it" if wrong else ""
        if name == "resolvers":
            reasons = (services.reason("server", "address", part) for part in _split(text))
            return next((reason for reason in reasons if reason), "")
        if name == "zone":
            return services.reason("site", "zone", text)
        if name == "gateway":
            return services.reason("server", "address", text)
        if name == "network_id":
            return services.reason("overlay", "network_id", text)
        return services.reason("network", "lan", text)

    def _nic_reason(self, host: str, name: str) -> str:
        """Why the bridge cannot take over this interface, or the one that it would by default."""
        known = self._known
        if known is None or host not in known.facts:
            return ""
        found = self.home.services.candidates(known, host)
        if not name:
            return next((one.reason for one in found if one.carries), "")
        return next((one.reason for one in found if one.nic.name == name), f"{host} has no interface {name}")

    # What planning makes of them

    def weigh(self, site: Site) -> Sequence[Misfit]:
        known = self._known
        assert known is not None
        decided = self.home.services.decided(known, site)
        found = decided.networks
        zerotier = self.field("overlay").value == "zerotier"
        asks_more = zerotier and not self.field("overlay_range").display
        for name in ("network_id", "token", "overlay_range"):
            self.field(name).display = zerotier
        if asks_more and self.field("overlay").has_focus_within:  # what it asks for comes into sight
            self.call_after_refresh(lambda: self.field("overlay_range").scroll_visible(animate=False))
        shown = [(NAMES[one.name], one.cidr) for one in found.ranges]
        self.query_one(AddressLine).show(shown)
        for name, planned in {**RANGES, "overlay_range": "overlay"}.items():
            one = next((one for one in found.ranges if one.name == planned), None)
            if one is not None:
                self.field(name).propose("" if one.chosen else one.cidr, one.why)
        self.field("gateway").propose("" if site.network.gateway else found.gateway, _gateway(site, found))
        used = " ".join(found.resolvers)
        about = (
            "You chose them." if site.network.resolvers else "What the servers use now." if used else "None is known."
        )
        self.field("resolvers").propose("" if site.network.resolvers else used, about)
        kept = (
            "One is kept; another replaces it" if TOKEN in known.secrets else "From my.zerotier.com/account; kept apart"
        )
        self.field("token").hint(kept)
        for bridge in found.bridges:
            self.field(f"{NIC}{bridge.host}").hint(self._about_bridge(bridge.host, bridge.nic, bridge.why))
        problems = [one for one in found.problems if one.field.startswith(("network.", "servers."))]
        self._judge(found, problems)
        return problems

    def _about_bridge(self, host: str, nic: str, why: str) -> str:
        known = self._known
        assert known is not None
        found = self.home.services.candidates(known, host)
        one = next((one for one in found if one.nic.name == nic), None)
        if one is not None and one.note:
            return one.note
        if one is None:
            return why
        others = [f"{each.nic.name} {_state(each)}" for each in found if each.nic.name != nic]
        more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
        return f"{why} Also there: {', '.join(others[:MOST_NAMED])}{more}" if others else why

    def _judge(self, found: Networks, problems: Sequence[Misfit]) -> None:
        """Say in words what the line shows."""
        wrong = [f"{one.field.removeprefix('network.')}: {one.reason}" for one in problems]
        seen = look("failed" if wrong else "done")
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            text = Content.styled(f"{seen.mark(self.ascii)} {wrong[0]}{more}", "$text-error")
        else:
            words = f"No two ranges meet. {found.service_addresses:,} service addresses: one for each workspace."
            text = Content.styled(f"{seen.mark(self.ascii)} {words}", "$text-success")
        self.query_one("#verdict", Static).update(text)
        self.retitle(f"{len(wrong)} to put right" if wrong else "")


def _split(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _gateway(site: Site, found: Networks) -> str:
    if site.network.gateway:
        return "You chose it."
    return "The servers' own way out." if found.gateway else "No server has told its way out yet."


def _state(one: Candidate) -> str:
    return "Wi-Fi" if one.nic.kind == "wifi" else one.nic.kind if one.nic.up else "down"


def _speed(mbps: int | None) -> str:
    if not mbps:
        return ""
    return f" · {mbps / 1000:g} Gb/s" if mbps >= 1000 else f" · {mbps} Mb/s"


def _words(one: Candidate, speed: bool = True) -> str:
    addresses = " ".join(text.partition("/")[0] for text in one.nic.addresses if ":" not in text)
    where = addresses or ("no address" if one.nic.up else "down")
    kind = "" if one.nic.kind == "ethernet" else f" · {'Wi-Fi' if one.nic.kind == 'wifi' else one.nic.kind}"
    return f"{one.nic.name} · {where}{_speed(one.nic.speed_mbps) if speed else ''}{kind}"


def _by_default(one: Candidate | None) -> str:
    """The interface that is taken where nobody chooses. What cannot be taken is proposed to nobody."""
    if one is None:
        return "the one with its address (not known yet)"
    return f"{_words(one, speed=False)} ({'not possible' if one.reason else 'proposed'})"

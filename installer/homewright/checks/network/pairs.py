"""The way from one server to another, as measured on the first."""

from __future__ import annotations

from homewright.checks.check import Check, Outcome, passed, remedy, unknown, wrong
from homewright.checks.ground import PairView
from homewright.checks.measurements import Pair
from homewright.checks.models import Remedy

_ETCD = "https://etcd.io/docs/v3.5/tuning/"
_MTU = "https://docs.tigera.io/calico/latest/networking/configuring/mtu"
_NETEM = "https://man7.org/linux/man-pages/man8/tc-netem.8.html"


def round_trip(view: PairView) -> Outcome:
    wanted = view.limits.number("control_plane_ms" if _leading(view) else "worker_ms")
    threshold = f"{wanted:g} ms at most"
    pair = _pair(view)
    if pair is None or pair.rtt_ms is None:
        return unknown(threshold, _why(view, pair, "no answer came back" if pair and pair.loss_percent == 100 else ""))
    measured = _ms(pair.rtt_ms)
    if pair.rtt_ms <= wanted:
        return passed(measured, threshold, "They answer each other in time.")
    reason = "The members of the cluster take each other for dead where answers take so long."
    return wrong(measured, threshold, reason, _artificial(view, "delay"))


def loss(view: PairView) -> Outcome:
    wanted = view.limits.number("control_plane_percent" if _leading(view) else "worker_percent")
    threshold = f"{wanted:g} % at most" if wanted else "0 %"
    pair = _pair(view)
    if pair is None or pair.loss_percent is None:
        return unknown(threshold, _why(view, pair, ""))
    measured = f"{pair.loss_percent:g} %"
    if pair.loss_percent <= wanted:
        return passed(measured, threshold, "Packets arrive.")
    reason = f"Packets from {view.source} to {view.target} get lost: everything between them stalls."
    return wrong(measured, threshold, reason, _artificial(view, "loss"))


def path_mtu(view: PairView) -> Outcome:
    wanted = view.ground.mtu
    threshold = f"{wanted} bytes, as most servers have" if wanted else "the same everywhere"
    pair = _pair(view)
    if pair is None or pair.mtu is None or wanted is None:
        return unknown(threshold, _why(view, pair, "the size of packets is not known"))
    measured = f"{pair.mtu} bytes"
    if pair.mtu == wanted:
        return passed(measured, threshold, "Packets of full size get through.")
    odd = next((host for host in (view.source, view.target) if _own_mtu(view, host) not in (wanted, None)), None)
    reason = "Large packets vanish on the way: connections open, and then hang."
    if odd is None:
        say = f"Something between {view.source} and {view.target} takes smaller packets: look at switch, VPN or VLAN."
        return wrong(measured, threshold, reason, remedy(say, f"tracepath -n {_address(view)}"))
    nic = view.ground.nic(odd)
    name = nic.name if nic is not None else "eth0"
    mend = remedy(
        f"Give {name} of {odd} the size that the others have; in its network settings too, so that it stays.",
        f"sudo ip link set {name} mtu {wanted}",
        fix="mtu",
        changes=(f"the MTU of {name} on {odd} becomes {wanted} bytes, until the next boot",),
    )
    return wrong(measured, threshold, reason, mend)


def _leading(view: PairView) -> bool:
    """Both are of the control plane, whose database waits for every answer."""
    return {view.source, view.target} <= view.ground.control_plane


def _pair(view: PairView) -> Pair | None:
    return view.ground.measurements.pair(view.source, view.target)


def _why(view: PairView, pair: Pair | None, otherwise: str) -> str:
    said = pair.error if pair is not None else view.ground.measurements.why_not(view.source, "pairs")
    return f"Not known: {said or otherwise or 'it was not measured'}."


def _artificial(view: PairView, what: str) -> Remedy:
    nic = view.ground.nic(view.source)
    name = nic.name if nic is not None else "eth0"
    return remedy(
        f"Look at cables and switch between {view.source} and {view.target}; take an artificial {what} away.",
        f"ip -s link show {name}",
        f"tc qdisc show dev {name}",
        fix="loss",
        changes=(f"a netem queue, or a rule that drops at random, is taken away from {view.source} and {view.target}",),
    )


def _own_mtu(view: PairView, host: str) -> int | None:
    nic = view.ground.nic(host)
    return nic.mtu if nic is not None else None


def _address(view: PairView) -> str:
    return view.ground.servers[view.target].address


def _ms(value: float) -> str:
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


CHECKS = (
    Check("net.round-trip", "Round trip", "network", "pair", ("measured.pairs",), _ETCD, pair=round_trip,
          depends=("net.loss",)),
    Check("net.loss", "Lost packets", "network", "pair", ("measured.pairs",), _NETEM, pair=loss),
    Check("net.path-mtu", "Size of packets", "network", "pair", ("measured.pairs", "nics"), _MTU, pair=path_mtu,
          depends=("net.loss",)),
)  # fmt: skip

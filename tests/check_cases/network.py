"""Every check of the network: a passing, a failing and an unknown case, each of a recorded machine.

A change alters facts of that machine, where no recorded one shows the case; ways between servers are measured, not
recorded, so all of theirs are set here.
"""

from __future__ import annotations

from dataclasses import replace

from checking import Case, Change, Scene, nic

from homewright.discovery.facts import Listener, Names

ZEROTIER = {"overlay": {"kind": "zerotier", "network_id": "0123456789abcdef"}}
PORT = Listener(protocol="tcp", address="*", port=16443, process="python3")


def listening(*listeners: Listener) -> Change:
    return lambda s: s.knowing("birch", listeners=listeners)


def held(process: str, step: str) -> Change:
    """A port is this process's, and this step is done."""
    listener = PORT.model_copy(update={"process": process})
    return lambda s: replace(s.knowing("birch", listeners=(listener,)), done=frozenset({step}))


def joined(mtu: int | None) -> Change:
    return lambda s: s.answering(network=ZEROTIER).knowing(
        "birch", nics=(*s.facts["birch"].nics, nic("zt5u4y6ejv", kind="virtual", mtu=mtu))
    )


def outbound(birch: bool | None) -> Change:
    known = {} if birch is None else {"birch": {"udp/9993": birch}}
    return lambda s: s.answering(network=ZEROTIER).measuring(outbound=known)


def names(**values: object) -> Change:
    return lambda s: s.having("birch", "names", **values)


def birch_nic(**values: object) -> Change:
    return lambda s: s.with_nic("birch", "enp6s0f0", **values)


def unseen(*sources: str) -> Change:
    return lambda s: s.missing("birch", *sources, nics=())


def after_names(change: Change) -> Change:
    return lambda s: change(replace(s, done=frozenset({"00/10"})))


CASES: list[tuple[str, str, str, Change | None, str, str]] = [
    # check, site, server, change, status, what is said
    ("net.ports", "attic", "birch", None, "passed", "all free"),
    ("net.ports", "trouble", "pine", None, "failed", "80/tcp by nginx, 443/tcp by nginx, 8443/tcp by docker-proxy"),
    ("net.ports", "attic", "birch", listening(PORT), "failed", "16443/tcp by python3"),
    # what the platform itself will run is a stranger's until the step that installs it is done
    *[("net.ports", "attic", "birch", held(process, step), status, says)
      for process, own in (("lxd", "20/10"), ("kubelite", "40/core/cluster/20"), ("traefik", "40/core/ingress/10"),
                           ("named", "30/20"), ("zerotier-one", "30/10"))
      for step, status, says in ((own, "passed", "the platform"), ("00/10", "failed", f"16443/tcp by {process}"))],
    ("net.ports", "attic", "birch", listening(PORT.model_copy(update={"process": ""})), "failed", "by somebody"),
    ("net.ports", "attic", "birch", listening(PORT.model_copy(update={"protocol": "udp"})), "passed", "all free"),
    ("net.ports", "attic", "birch", lambda s: s.missing("birch", "listeners", listeners=None), "unknown", "not asked"),
    ("net.link-speed", "attic", "birch", None, "passed", "10 Gb/s on enp6s0f0"),
    ("net.link-speed", "attic", "birch", birch_nic(speed_mbps=2500), "passed", "10 Gb/s would make"),
    ("net.link-speed", "trouble", "pine", None, "warning", "100 Mb/s on enp0s31f6"),
    ("net.link-speed", "attic", "birch", birch_nic(duplex="half"), "warning", "half duplex"),
    ("net.link-speed", "trouble", "elder", None, "unknown", "wlp5s0 does not say"),
    ("net.default-route", "attic", "birch", None, "passed", "enp6s0f0 by 192.0.2.1"),
    ("net.default-route", "attic", "birch", birch_nic(default_route=False), "failed", "none"),
    ("net.default-route", "attic", "birch",
     lambda s: s.with_nic("birch", "enp6s0f1", default_route=True, gateway="192.0.2.254"), "warning", "enp6s0f1"),
    ("net.default-route", "attic", "birch", unseen("network"), "unknown", "was not asked"),
    ("net.static-address", "attic", "birch", None, "passed", "192.0.2.11 on enp6s0f0"),
    ("net.static-address", "trouble", "pine", None, "warning", "198.51.100.21 by DHCP"),
    ("net.static-address", "attic", "birch", birch_nic(addresses=("192.0.2.99/24",)), "failed", "none of its"),
    ("net.static-address", "attic", "birch", birch_nic(dhcp=None), "unknown", "where 192.0.2.11 comes from"),
    ("net.bridge-nic", "attic", "birch", None, "passed", "enp6s0f0"),
    ("net.bridge-nic", "trouble", "elder", None, "failed", "wlp5s0 is Wi-Fi"),
    ("net.bridge-nic", "attic", "birch",
     lambda s: s.answering(servers=[{**s.site.model_dump(mode="json")["servers"][0], "nic": "eno1"}]), "failed",
     "eno1 is not there"),
    ("net.bridge-nic", "attic", "birch", unseen("network"), "unknown", "was not asked"),
    ("net.zerotier", "attic", "birch", outbound(True), "passed", "it does"),
    ("net.zerotier", "attic", "birch", outbound(False), "failed", "it does not"),
    ("net.zerotier", "attic", "birch", outbound(None), "unknown", "not measured"),
    ("net.overlay-mtu", "attic", "birch", joined(2800), "passed", "2800 bytes"),
    ("net.overlay-mtu", "attic", "birch", joined(1400), "failed", "1400 bytes"),
    ("net.overlay-mtu", "attic", "birch", joined(None), "unknown", "zt5u4y6ejv"),
    ("net.overlay-mtu", "attic", "birch", lambda s: s.answering(network=ZEROTIER), "pending", "Stage 30"),
    ("net.names", "attic", "birch", None, "passed", "2 of 2"),
    ("net.names", "trouble", "elder", None, "pending", "Stage 00, step 10"),
    ("net.names", "trouble", "elder", after_names(lambda s: s), "failed", "rowan to 198.51.100.24"),
    # what was measured after the facts wins
    ("net.names", "attic", "birch",
     after_names(lambda s: s.measuring(resolves={"birch": {"cedar": ()}})), "failed", "cedar nowhere"),
    ("net.names", "attic", "birch", lambda s: s.missing("birch", "names", names=Names()), "unknown", "was not asked"),
    ("net.resolvers", "attic", "birch", None, "passed", "192.0.2.1"),
    ("net.resolvers", "attic", "birch", names(resolvers=()), "failed", "none"),
    ("net.resolvers", "attic", "birch", names(internet=False), "failed", "no public name"),
    ("net.resolvers", "attic", "birch", lambda s: s.measuring(resolvers_answer={"birch": {"192.0.2.1": False}}),
     "failed", "no answer"),
    ("net.resolvers", "attic", "birch",
     lambda s: names(resolvers=("192.0.2.1", "192.0.2.2"))(
         s.measuring(resolvers_answer={"birch": {"192.0.2.1": True, "192.0.2.2": False}})
     ), "warning", "192.0.2.2 does not answer"),
    ("net.resolvers", "attic", "birch", lambda s: s.missing("birch", "names", names=Names()), "unknown", "not asked"),
    ("net.wildcard-dns", "attic", "birch", None, "passed", "none"),
    ("net.wildcard-dns", "trouble", "elder", None, "failed", "fritz.example"),
    ("net.wildcard-dns", "attic", "birch", lambda s: names(wildcard=None)(s.missing("birch", "names")), "unknown",
     "was not asked"),
    # neither name is found: it is known only where the resolvers are seen to answer
    ("net.wildcard-dns", "attic", "birch", names(wildcard=None, internet=False), "passed", "Its resolvers answer"),
    ("net.wildcard-dns", "attic", "birch",
     lambda s: names(wildcard=None, internet=False)(s.measuring(resolvers_answer={})), "unknown", "nobody answered"),
    # a finished site has a wildcard of its own
    ("net.wildcard-dns", "attic", "birch",
     lambda s: names(wildcard=True, search=("home.internal",))(s.answering(zone="home.internal")), "passed",
     "home.internal"),
    ("net.proxy", "attic", "birch", None, "passed", "none"),
    ("net.proxy", "attic", "birch", lambda s: proxy(s, "http://192.0.2.9:3128"), "warning", "https_proxy=http://192"),
    ("net.proxy", "attic", "birch",
     lambda s: proxy(s.answering(network={"proxy": "http://192.0.2.9:3128"}), "http://192.0.2.9:3128/"), "passed",
     "http://192.0.2.9:3128"),
    ("net.proxy", "attic", "birch", lambda s: s.having("birch", "system", boot_id=""), "unknown", "did not say"),
    ("net.default-route", "attic", "birch",
     lambda s: birch_nic(default_route=False)(s.having("birch", "system", boot_id="")), "unknown", "did not say"),
]  # fmt: skip


def proxy(s: Scene, value: str) -> Scene:
    return s.having("birch", "system", proxies={"https_proxy": value, "no_proxy": "localhost"})


def way(**values: object) -> Change:
    return lambda s: s.with_pair("birch", "cedar", **{"rtt_ms": 0.3, "loss_percent": 0.0, "mtu": 1500, **values})


def two(change: Change) -> Change:
    """A site of two servers: the second one is no part of the control plane."""
    return lambda s: change(s.answering(servers=s.site.model_dump(mode="json")["servers"][:2]))


PAIR_CASES: list[tuple[str, Change | None, str, str]] = [
    # check, change, status, what is said; from birch to cedar
    ("net.round-trip", None, "passed", "0.3 ms"),
    ("net.round-trip", way(rtt_ms=101.0), "failed", "101 ms"),
    ("net.round-trip", two(way(rtt_ms=101.0)), "passed", "101 ms"),
    ("net.round-trip", two(way(rtt_ms=1001.0)), "failed", "1001 ms"),
    ("net.round-trip", way(rtt_ms=None, loss_percent=100.0), "unknown", "no answer came back"),
    ("net.loss", None, "passed", "0 %"),
    ("net.loss", way(loss_percent=0.5), "failed", "0.5 %"),
    ("net.loss", two(way(loss_percent=5.0)), "passed", "5 %"),
    ("net.loss", two(way(loss_percent=11.0)), "failed", "11 %"),
    ("net.loss", way(loss_percent=None, error="ping is not installed"), "unknown", "ping is not installed"),
    ("net.path-mtu", None, "passed", "1500 bytes"),
    ("net.path-mtu", way(mtu=1400), "failed", "1400 bytes"),
    ("net.path-mtu", lambda s: way(mtu=1400)(s.with_nic("cedar", "enp4s0", mtu=1400)), "failed", "1400 bytes"),
    ("net.path-mtu", way(mtu=None), "unknown", "not known"),
    ("net.path-mtu", lambda s: s.measuring(pairs=()), "unknown", "not measured"),
]

SITE_CASES: list[tuple[str, Change | None, str, str]] = [
    ("net.ranges", None, "passed", "ranges"),
    ("net.ranges", lambda s: s.answering(network=both("10.20.0.0/16")), "failed", "overlaps"),
    ("net.ranges", lambda s: s.without("birch").without("cedar").without("maple"), "unknown", "LAN is not known"),
    ("net.addresses", None, "passed", "addresses"),
    # an address that the site gives to an instance, and a server has already
    ("net.addresses", lambda s: other_nic(s.answering(instances=node("192.0.2.50")), "192.0.2.50/24"), "failed",
     "192.0.2.50: n1 and cedar"),
    # the instance's own server has its address in a bridge of LXD's
    ("net.addresses", lambda s: other_nic(s.answering(instances=node("192.0.2.50", "cedar")), "192.0.2.50/24"),
     "passed", "addresses"),
    ("net.addresses", lambda s: other_nic(s, "192.0.2.11/24"), "failed", "192.0.2.11: birch and cedar"),
]  # fmt: skip


def both(cidr: str) -> dict[str, str]:
    """Pods and services in one range."""
    return {"pods": cidr, "services": cidr}


def node(address: str, host: str = "birch") -> dict[str, object]:
    return {"nodes": [{"name": "n1", "host": host, "address": address}]}


def other_nic(s: Scene, address: str) -> Scene:
    return s.knowing("cedar", nics=(*s.facts["cedar"].nics, nic("enp9s0", kind="ethernet", addresses=(address,))))


ALL: list[Case] = [
    *(Case(check, site, (host,), change, status, says) for check, site, host, change, status, says in CASES),
    *(Case(check, "attic", ("birch", "cedar"), change, status, says) for check, change, status, says in PAIR_CASES),
    *(Case(check, "attic", (), change, status, says) for check, change, status, says in SITE_CASES),
]

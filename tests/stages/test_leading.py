"""Ports of a server that lead to the instance on it: files, what speaks against them, what is told of them."""

from __future__ import annotations

from configparser import ConfigParser
from dataclasses import replace

import pytest

from homewright.planning.cluster import Lead
from homewright.stages.cluster import leading
from homewright.stages.cluster.leading import Seen

LEADS = (
    Lead(80, "s1-node", "10.100.0.2:80"),
    Lead(443, "s1-node", "10.100.0.2:443"),
    Lead(6443, "s1-node", "10.100.0.2:6443"),
)
ALL = frozenset({80, 443, 6443})
FREE = Seen(
    True, frozenset(), frozenset(), frozenset(), (("127.0.0.53", 53, "systemd-resolve"), ("0.0.0.0", 22, "sshd"))
)
LED = Seen(True, ALL, ALL, ALL, tuple(("192.168.1.11", port, "systemd") for port in sorted(ALL)))


def test_each_port_is_a_socket_and_a_proxy() -> None:
    files = leading.files("192.168.1.11", LEADS)
    assert len(files) == 6
    socket, service = ConfigParser(), ConfigParser()
    socket.optionxform = service.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    socket.read_string(files["/etc/systemd/system/homewright-port-443.socket"])
    service.read_string(files["/etc/systemd/system/homewright-port-443.service"])
    assert socket["Socket"]["ListenStream"] == "192.168.1.11:443", "at its own address, not at all of them"
    assert service["Service"]["ExecStart"].startswith(leading.PROXY)
    assert service["Service"]["ExecStart"].endswith(" 10.100.0.2:443")
    assert service["Unit"]["Requires"] == "homewright-port-443.socket"


@pytest.mark.parametrize(
    ("listener", "said"),
    [
        (("0.0.0.0", 443, "nginx"), "Port 443 of s1 is in use by nginx"),
        (("*", 80, ""), "in use by another program"),
        (("[::]", 80, "apache2"), "in use by apache2"),
        (("192.168.1.11", 6443, "kube-apiserver"), "Port 6443"),
        (("127.0.0.1", 443, "caddy"), ""),
        (("0.0.0.0", 8443, "lxd"), ""),
    ],
)
def test_a_port_that_somebody_has_is_refused(listener: tuple[str, int, str], said: str) -> None:
    found = list(leading.refusals("s1", "192.168.1.11", LEADS, replace(FREE, listeners=(*FREE.listeners, listener))))
    assert [said in one.what for one in found] == ([True] if said else [])


def test_what_is_ours_already_is_in_nobodys_way_and_systemds_proxy_is_needed() -> None:
    assert not list(leading.refusals("s1", "192.168.1.11", LEADS, LED))
    (found,) = leading.refusals("s1", "192.168.1.11", LEADS, replace(FREE, proxy=False))
    assert leading.PROXY in found.what
    assert not list(leading.refusals("s3", "192.168.1.13", (), replace(FREE, proxy=False)))


def test_what_a_server_says_is_read() -> None:
    said = (
        "proxy\nours 443\nlasting 443\nlasting 80\nthere 443\nthere 443\n"
        "listener 192.168.1.11 443 systemd\nlistener 127.0.0.53%lo 53 systemd-resolve\nlistener [::] 80\n"
    )
    assert leading.parse(said) == Seen(
        True, frozenset({443}), frozenset({80, 443}), frozenset({443}),
        (("192.168.1.11", 443, "systemd"), ("127.0.0.53", 53, "systemd-resolve"), ("[::]", 80, "")),
    )  # fmt: skip
    assert not leading.parse("").proxy


@pytest.mark.parametrize(
    ("seen", "same", "said"),
    [
        (LED, True, ""),
        (LED, False, "are not what the site says"),
        (replace(LED, ours=ALL - {443}), True, "Port 443 of s1 leads nowhere"),
        (replace(LED, lasting=ALL - {6443}), True, "Port 6443 of s1 would lead nowhere after a restart"),
    ],
)
def test_what_is_not_as_planned_is_told(seen: Seen, same: bool, said: str) -> None:
    told = leading.wrong("s1", dict.fromkeys(ALL, same), seen)
    assert (said in told) and bool(told) == bool(said)


def test_a_port_that_is_planned_no_more_is_told() -> None:
    assert "Port 6443 of s1 leads to what is no node" in leading.wrong("s1", {80: True, 443: True}, LED)
    assert leading.wrong("s1", {}, replace(LED, there=frozenset())) == ""

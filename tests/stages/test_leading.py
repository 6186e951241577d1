"""Ports of a server that lead to the instance on it: files, what speaks against them, what is told of them."""

from __future__ import annotations

from configparser import ConfigParser
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from folder_server import FolderServer

from homewright.access.remote import CommandFailed
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
BEFORE = f"{leading.PROXY} --connections-max=2048 10.100.0.7:443"
"""What a port was led by when another instance was behind it."""
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
        (("[::]", 80, "apache2"), ""),  # for IPv6 alone: what hears both is *
        (("[::ffff:192.168.1.11]", 80, "java"), "in use by java"),
        (("[::ffff:0.0.0.0]", 80, "java"), "in use by java"),
        (("[::ffff:192.168.1.12]", 80, "java"), ""),
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
        f"unread 80\nrunning 443 {leading.PROXY} --connections-max=2 10.100.0.2:443 \n"
    )
    assert leading.parse(said) == Seen(
        True, frozenset({443}), frozenset({80, 443}), frozenset({443}),
        (("192.168.1.11", 443, "systemd"), ("127.0.0.53", 53, "systemd-resolve"), ("[::]", 80, "")),
        frozenset({80}), ((443, f"{leading.PROXY} --connections-max=2 10.100.0.2:443"),),
    )  # fmt: skip
    assert not leading.parse("").proxy


@pytest.mark.parametrize(
    ("seen", "same", "said"),
    [
        (LED, True, ""),
        (replace(LED, running=((443, leading.command(LEADS[1])),)), True, ""),
        (replace(LED, running=((443, BEFORE),)), True, f"what runs is {BEFORE}"),
        (replace(LED, unread=frozenset({80})), True, "has not read its units"),
        (replace(LED, listeners=(("192.168.1.99", 80, "systemd"),)), True, "nothing listens at 192.168.1.11:80"),
        (LED, False, "are not what the site says"),
        (replace(LED, ours=ALL - {443}), True, "Port 443 of s1 leads nowhere"),
        (replace(LED, lasting=ALL - {6443}), True, "Port 6443 of s1 would lead nowhere after a restart"),
    ],
)
def test_what_is_not_as_planned_is_told(seen: Seen, same: bool, said: str) -> None:
    told = leading.wrong("s1", "192.168.1.11", dict.fromkeys(LEADS, same), seen)
    assert (said in told) and bool(told) == bool(said)


def test_a_port_that_is_planned_no_more_is_told() -> None:
    assert "Port 6443 of s1 leads to what is no node" in leading.wrong(
        "s1", "192.168.1.11", dict.fromkeys(LEADS[:2], True), LED
    )
    assert leading.wrong("s1", "192.168.1.11", {}, replace(LED, there=frozenset())) == ""


def test_where_ports_lead_is_told_node_by_node() -> None:
    assert leading.told("s1", LEADS) == "Of s1 lead ports 80, 443, 6443 to s1-node."
    apart = (*LEADS[:2], Lead(6443, "s1-plane", "10.100.0.3:6443"))
    assert leading.told("s1", apart) == "Of s1 lead ports 80, 443 to s1-node and port 6443 to s1-plane."
    assert leading.told("s1", LEADS[2:]) == "Of s1 leads port 6443 to s1-node."


SYSTEMCTL = """#!/bin/sh
case $1 in
    is-active) echo active ;;
    is-enabled) echo enabled ;;
    daemon-reload) [ ! -e {root}/cut-at-reload ] || { kill -9 $PPID; exit 1; }; touch {root}/read ;;
    stop) [ ! -e {root}/cut-at-stop ] || { kill -9 $PPID; exit 1; }; rm -f {root}/proc/77/cmdline ;;
    restart) echo "$*" >>{root}/restarted ;;
    show)
        if [ "$3" = MainPID ]; then
            case $5 in *-443.service) echo 77 ;; *) echo 0 ;; esac
            exit
        fi
        cd {root}/etc/systemd/system
        [ -e {root}/read ] && [ -z "$(find "$5" "$6" -newer {root}/read)" ] && echo no || echo yes ;;
esac
"""
SS = """#!/bin/sh
for port in 80 443 6443; do echo "LISTEN 0 128 192.168.1.11:$port 0.0.0.0:* users:((\\"systemd\\",pid=1,fd=3))"; done
"""


@pytest.mark.parametrize("cut", ["cut-at-reload", "cut-at-stop"])
def test_a_change_that_was_cut_off_is_finished_by_the_next_run(tmp_path: Path, cut: str) -> None:
    server: Any = FolderServer(tmp_path)
    server.tools({"systemctl": SYSTEMCTL, "ss": SS})
    server.address = "192.168.1.11"
    server.at(leading.PROXY).chmod(0o755)
    plan: Any = SimpleNamespace(leads=lambda name: LEADS)
    assert leading.make(server, plan)
    assert not leading.make(server, plan), "nothing is left to do"
    # Before there was another instance behind 443, whose proxy runs; nothing but that tells once systemd has read.
    server.at(leading.path(443, "service"), "[Service]\n")
    server.at("/proc/77/cmdline", "\0".join([f"{tmp_path}{leading.PROXY}", *BEFORE.split()[1:], ""]))
    (tmp_path / cut).touch()
    with pytest.raises(CommandFailed):
        leading.make(server, plan)
    (tmp_path / cut).unlink()
    same = dict.fromkeys(LEADS, True)
    assert "Port 443 of s1 does not lead to 10.100.0.2:443" in leading.wrong(
        "s1", server.address, same, leading.look(server)
    )
    (tmp_path / "restarted").unlink()
    assert leading.make(server, plan)
    assert (tmp_path / "restarted").read_text() == "restart homewright-port-443.socket\n"
    assert leading.wrong("s1", server.address, same, leading.look(server)) == ""

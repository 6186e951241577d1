"""The repairs' scripts, run by this machine's own shell against tools that say what a server would."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from checking import scene

from homewright.checks.fixes import clocks, names, wires
from homewright.checks.fixes.repair import Repair
from homewright.checks.ground import Ground
from homewright.checks.models import Finding
from homewright.checks.profiles import load


class Bench:
    """A folder of tools in front of PATH; what is written to `log` is what they were asked to do."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder / "bin", folder / "log"
        self.folder.mkdir()

    def tool(self, name: str, script: str) -> None:
        file = self.folder / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def run(self, script: str, *words: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
        # nothing is really ended, whatever the script makes of it
        text = f'kill() {{ echo "kill $*" >> "$LOG"; }}\n{script}'
        environment = {"PATH": path or f"{self.folder}:{os.environ['PATH']}", "LOG": str(self.log)}
        return subprocess.run(
            ["/bin/sh", "-s", "--", *words], input=text, capture_output=True, text=True, timeout=30, env=environment
        )

    @property
    def acts(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# --- the time service


@pytest.mark.parametrize("said", ["not-found", "masked", "masked-runtime", ""])
def test_a_time_service_that_is_not_there_is_not_started(bench: Bench, said: str) -> None:
    bench.tool(
        "systemctl",
        f"case $* in 'is-enabled systemd-timesyncd.service') echo disabled ;; is-enabled*) echo '{said}'; exit 1 ;;"
        '*) echo "$*" >> "$LOG" ;; esac',
    )
    bench.tool("timedatectl", "exit 0")
    done = bench.run(clocks._SYNC, "chrony", "systemd-timesyncd")
    assert (done.returncode, done.stdout.strip()) == (0, "did: enabled and started systemd-timesyncd"), done.stderr
    assert not [act for act in bench.acts if "chrony" in act]


# --- ports


def ports(bench: Bench, *wanted: str) -> subprocess.CompletedProcess[str]:
    return bench.run(wires._STOP, wires._NEVER, *wanted)


@contextmanager
def process(bench: Bench, name: str) -> Iterator[int]:
    """One of this name that does nothing but wait."""
    (bench.folder / name).symlink_to("/bin/sleep")
    with subprocess.Popen([str(bench.folder / name), "60"]) as started:
        try:
            yield started.pid
        finally:
            started.kill()


def listening(bench: Bench, *pids: int) -> None:
    """What `ss` prints, until somebody was asked to end."""
    users = ",".join(f'("x",pid={pid},fd=3)' for pid in pids)
    bench.tool("ss", f"[ -s \"$LOG\" ] || echo 'LISTEN 0 5 *:443 *:* users:({users})'")


def test_a_strange_process_is_asked_to_end(bench: Bench) -> None:
    with process(bench, "stranger") as pid:
        listening(bench, pid)
        done = ports(bench, "443/tcp")
        assert bench.acts == [f"kill -TERM {pid}"]
    assert (done.returncode, done.stdout) == (0, f"did: asked stranger (process {pid}) to end, which had 443/tcp\n")


@pytest.mark.parametrize("name", ["sshd", "sshd-session", "systemd", "traefik", "kubelite"])
def test_what_is_kept_or_ours_is_never_stopped(bench: Bench, name: str) -> None:
    with process(bench, name) as pid, process(bench, "stranger") as other:
        listening(bench, pid, other)
        done = ports(bench, "443/tcp")
    assert (done.returncode, bench.acts) == (1, [])
    assert f"443/tcp is held by {name}, which is never stopped" in done.stderr


def test_the_first_process_is_never_ended(bench: Bench) -> None:
    listening(bench, 1)
    done = ports(bench, "443/tcp")
    assert (done.returncode, bench.acts) == (1, [])
    assert "systemctl list-sockets" in done.stderr


def test_a_port_is_free_only_where_nothing_is_listed(bench: Bench) -> None:
    bench.tool("ss", "exit 0")
    assert ports(bench, "443/tcp").stdout == "did: 443/tcp is free\n"
    bench.tool("ss", "echo 'UNCONN 0 0 0.0.0.0:4789 0.0.0.0:*'")
    unseen = ports(bench, "4789/udp")
    assert (unseen.returncode, unseen.stdout) == (1, "") and "by no process that can be seen" in unseen.stderr
    bench.tool("ss", "exit 255")
    failed = ports(bench, "443/tcp")
    assert (failed.returncode, failed.stdout) == (1, "") and "ss failed" in failed.stderr
    without = bench.run(wires._STOP, "sshd", "443/tcp", path=str(bench.folder.parent))
    assert without.returncode == 1 and "ss is not there" in without.stderr


def test_only_the_platforms_own_ports_are_freed() -> None:
    measured = "taken: 443/tcp by nginx, 16443/tcp by 22/tcp, 9999/tcp by x"
    finding = Finding(
        check="net.ports", title="Ports", category="network", scope="host", phase="before-install",
        subjects=("birch",), status="failed", severity="failed", measured=measured, threshold="", reason="",
    )  # fmt: skip
    s = scene("attic")
    ground = Ground(s.site, s.facts, s.measurements, s.unreachable, s.done)
    repair = Repair(ground, load("home"), finding, s.site.server("birch"), None, print)  # type: ignore[arg-type]  # nobody is asked
    assert wires.named_ports(repair) == ("16443/tcp", "443/tcp")


# --- loss that is made on purpose


@pytest.mark.parametrize(
    ("queues", "acts", "says"),
    [
        ("qdisc netem 8001: root refcnt 2 limit 1000 loss 40%", ["tc qdisc del dev eth0 root"], "took the netem queue"),
        ("qdisc htb 1: root refcnt 2\nqdisc netem 10: parent 1:1 limit 1000 delay 1ms", [], "left a netem queue"),
        ("qdisc fq_codel 0: root refcnt 2", [], "found nothing artificial"),
    ],
)
def test_only_a_root_that_is_netem_itself_is_taken_away(bench: Bench, queues: str, acts: list[str], says: str) -> None:
    bench.tool("tc", f"case $* in *show*) printf '%s\\n' '{queues}' ;; *) echo \"tc $*\" >> \"$LOG\" ;; esac")
    bench.tool("iptables", "exit 0")
    done = bench.run(wires._LOSS, "eth0")
    assert (done.returncode, bench.acts) == (0, acts)
    assert says in done.stdout


def test_a_firewall_rule_is_words_and_no_program(bench: Bench, tmp_path: Path) -> None:
    rule = f'-A INPUT -m comment --comment "a $(touch {tmp_path}/ran); b" -m statistic --mode random -j DROP'
    (tmp_path / "rules").write_text(f"-P INPUT ACCEPT\n{rule}\n")
    bench.tool("tc", "exit 0")
    bench.tool(
        "iptables",
        f"case $1 in -S) cat '{tmp_path}/rules' ;; *) for word; do printf '%s\\n' \"$word\"; done >> \"$LOG\" ;; esac",
    )
    done = bench.run(wires._LOSS, "eth0")
    assert done.returncode == 0 and "took a firewall rule away" in done.stdout
    assert "found nothing" not in done.stdout
    assert bench.acts[:5] == ["-D", "INPUT", "-m", "comment", "--comment"]
    assert bench.acts[5] == f"a $(touch {tmp_path}/ran); b"
    assert not (tmp_path / "ran").exists()


# --- resolvers

NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5


@contextmanager
def resolver(code: int, invents: str = "") -> Iterator[int]:
    """One that ends every question with this code; names under `invents` have an answer. Gives its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))

        def serve() -> None:
            while (asked := listening.recvfrom(512))[0] != b"end":
                question, whom = asked
                answers = 1 if invents and bytes([len(invents)]) + invents.encode() in question else 0
                listening.sendto(
                    question[:2] + bytes([0x81, 0x80 | (0 if answers else code), 0, 1, 0, answers, 0, 0, 0, 0])
                    + question[12:],
                    whom,
                )  # fmt: skip

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", listening.getsockname())
        thread.join(5)


def resolvers(bench: Bench, port: int, conf: str, resolved: bool = False) -> subprocess.CompletedProcess[str]:
    tmp = bench.folder.parent
    (tmp / "resolv.conf").write_text(conf)
    bench.tool("systemctl", f'case $1 in is-active) exit {0 if resolved else 1} ;; *) echo "$*" >> "$LOG" ;; esac')
    bench.tool("resolvectl", 'echo "resolvectl $*" >> "$LOG"')
    bench.tool("ip", "echo 'default via 192.0.2.1 dev eth7 proto dhcp'")
    script = names._RESOLVERS.replace("$0/53", f"$0/{port}")
    for path in ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf", "/etc/systemd/resolved.conf.d"):
        script = script.replace(path, f"{tmp}/{path.rpartition('/')[2] if 'run' not in path else 'behind.conf'}")
    return bench.run(script, names.IMPOSSIBLE, "127.0.0.1")


@pytest.mark.parametrize(("code", "honest"), [(NOERROR, True), (NXDOMAIN, True), (SERVFAIL, False), (REFUSED, False)])
def test_an_error_is_no_truthful_answer(bench: Bench, tmp_path: Path, code: int, honest: bool) -> None:
    with resolver(code) as port:
        done = resolvers(bench, port, "# empty\n")
    assert (done.returncode == 0) == honest, done.stderr
    assert ("none of these answers truthfully" in done.stderr) != honest
    assert ("nameserver 127.0.0.1" in (tmp_path / "resolv.conf").read_text()) == honest


def test_a_search_domain_goes_only_where_names_are_invented_in_it(bench: Bench, tmp_path: Path) -> None:
    with resolver(NXDOMAIN, invents="lying") as port:
        done = resolvers(bench, port, "search lying.example home.example\n")
    assert "without the search domain lying.example" in done.stdout
    assert "search home.example\n" in (tmp_path / "resolv.conf").read_text()


def test_resolved_is_never_told_to_send_every_name_one_way(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "behind.conf").write_text("nameserver 127.0.0.1\n")
    with resolver(NXDOMAIN) as port:
        done = resolvers(bench, port, "nameserver 127.0.0.53\nsearch home.example\n", resolved=True)
    assert done.returncode == 0, done.stderr
    written = (tmp_path / "resolved.conf.d" / "homewright.conf").read_text()
    assert written.splitlines()[1:] == ["[Resolve]", "DNS=127.0.0.1", "Domains=home.example"]
    assert bench.acts == ["restart systemd-resolved", "resolvectl dns eth7 127.0.0.1"]
    for host in ("birch", "cedar"):
        found = (
            scene("attic").having(host, "names", wildcard=True, search=("x.example",)).find("net.wildcard-dns", host)
        )
        assert found is not None and found.remedy is not None
        assert not any("~." in line for line in found.remedy.do)

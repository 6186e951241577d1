"""What servers print when they measure, as read; and the script itself, run by this machine's own shell."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from homewright.access.connection import CommandFailed, Connection
from homewright.access.remote import Completed
from homewright.checks.measurements import Measurements, Pair
from homewright.checks.measuring import Said, Wanted, gathered, measure, read
from homewright.checks.measuring_script import Target, longest_s, script
from homewright.checks.running import merged
from homewright.errors import Unreachable
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder

TARGET = Target("s2", "192.0.2.2", 22)
GOOD = (
    "ping s2 0 5 packets transmitted, 5 received, 0% packet loss, time 814ms rtt min/avg/max/mdev = "
    "0.021/0.078/0.218/0.072 ms"
)
LOSSY = GOOD.replace("5 received, 0%", "3 received, 40%")
NOBODY = "ping s2 1 5 packets transmitted, 0 received, 100% packet loss, time 819ms"
OWN = "own s2 1500"
FULL = "size s2 1500 0 2 packets transmitted, 2 received"
CUT = "size s2 1500 1 2 packets transmitted, 0 received, 100% packet loss"
TCP = "tcp s2 0 158"

PAIRS = {
    "whole": ([GOOD, OWN, FULL, TCP], 0.078, 0.0, 1500, ""),
    "lossy, and sizes got through": ([LOSSY, OWN, FULL, TCP], 0.078, 40.0, 1500, ""),
    "lossy, and the size is lost too": ([LOSSY, OWN, CUT, TCP], 0.078, 40.0, None, "cannot be told from those"),
    "the rungs show a smaller way": (
        [GOOD, OWN, CUT, "size s2 1400 0 ok", "size s2 1420 1 lost", "size s2 1280 0 ok", TCP], 0.078, 0.0, 1400, "",
    ),
    "ping of BusyBox cannot forbid cutting": (
        ["ping s2 0 3 packets transmitted, 3 packets received, 0% packet loss round-trip min/avg/max = 0.1/0.2/0.3 ms",
         OWN, "size s2 1500 1 ping: unrecognized option: M", TCP], 0.2, 0.0, None, "cannot forbid that they are cut",
    ),
    "a decimal share of loss": (
        [GOOD.replace("5 received, 0%", "2 received, +1 errors, 33.3333%"), OWN, FULL, TCP], 0.078, 33.3333, 1500, "",
    ),
    "no ping there": (["ping s2 127 sh: ping: not found", TCP], 0.158, None, None, "ping is not installed"),
    "ping is not allowed": (
        ["ping s2 2 ping: socktype: SOCK_RAW ping: socket: Operation not permitted", TCP], 0.158, None, None,
        "ping is not allowed to the account; the time is that of a TCP connection",
    ),
    "nothing answers ping, and it takes connections": ([NOBODY, TCP], 0.158, None, None, "nothing there answers ping"),
    "nobody there": ([NOBODY, "tcp s2 124 "], None, 100.0, None, "port 22 of s2 takes no connection: no answer within"),
    "sshd is closed": (
        [GOOD, OWN, FULL, "tcp s2 1 bash: connect: Connection refused"], 0.078, 0.0, 1500,
        "port 22 of s2 takes no connection: connection refused",
    ),
    "nothing to connect with": ([GOOD, OWN, FULL, "tcp s2 127 no bash"], 0.078, 0.0, 1500, "no bash, python3 or nc"),
    "cut off": ([], None, None, None, "its answer broke off"),
    "another word than expected": (["ping s2 0 all is well", TCP], 0.158, None, None, "ping says: all is well"),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_the_way_to_another_server(name: str) -> None:
    lines, rtt, loss, mtu, error = PAIRS[name]
    [pair] = read("\n".join(lines), "s1", [TARGET]).pairs
    assert (pair.source, pair.target, pair.rtt_ms, pair.loss_percent, pair.mtu) == ("s1", "s2", rtt, loss, mtu)
    assert error in pair.error and bool(error) == bool(pair.error)


def test_the_disk_is_judged_by_its_slowest_writes() -> None:
    quick = " ".join(["0.0002"] * 98)
    assert read(f"disk 0 {quick} 0.0125 0.0421", "s1", [], disk=True).disk_ms == 12.5
    assert read("disk 0 0.0002 9.1e-05", "s1", [], disk=True).disk_ms is None
    few = read("disk 0 0.0002 0.0001 0,0003 x", "s1", [], disk=True)
    assert few.errors["disk_ms"].startswith("only 2 small writes")
    refused = read("disk 1 mktemp: failed to create file: No space left on device", "s1", [], disk=True)
    assert refused.errors["disk_ms"].endswith("No space left on device")
    assert "only 0" in read("", "s1", [], disk=True).errors["disk_ms"]


def test_names_and_resolvers() -> None:
    text = "name s2 0 192.0.2.2 \nname s3 2 \nname s4 127 \nresolver 192.0.2.1 0\nresolver 192.0.2.9 1\n"
    said = read(text, "s1", [], ["s2", "s3", "s4"])
    assert said.resolves == {"s2": ("192.0.2.2",), "s3": ()}
    assert said.errors["resolves"] == "it has no getent"
    assert said.resolvers_answer == {"192.0.2.1": True, "192.0.2.9": False}
    bashless = read("resolver 192.0.2.1 127", "s1", [])
    assert bashless.resolvers_answer == {} and "bash" in bashless.errors["resolvers_answer"]


@pytest.mark.parametrize("junk", ["", "\x1b[2Jping", "ping s2", "tcp s2 zero", "size s2 x y\nown s2 many", "\0" * 2000])
def test_junk_is_unknown_and_never_an_error(junk: str) -> None:
    said = read(junk, "s1", [TARGET], ["s2"], disk=True)
    assert said.pairs[0].rtt_ms is None and said.disk_ms is None


SITE = Site(name="home", servers=tuple(Server(name=f"s{n}", address=f"192.0.2.{n}", user="a") for n in (1, 2, 3)))


def test_a_server_that_is_away_takes_nothing_from_the_others() -> None:
    wanted = Wanted.everything(SITE)
    assert len(wanted.pairs) == 6 and wanted.hosts == {"s1", "s2", "s3"}
    pair = Pair(source="s1", target="s2", rtt_ms=0.1)
    away = Unreachable("s2 does not answer.", "It is off.")
    found = gathered(SITE, wanted, {"s1": Said(pairs=[pair], disk_ms=1.0), "s2": away, "s3": Said(disk_ms=2.0)})
    assert found.pair("s1", "s2") == pair
    assert found.pair("s2", "s3") == Pair(source="s2", target="s3", error="s2 does not answer. It is off")
    assert found.disk_ms == {"s1": 1.0, "s3": 2.0}
    assert found.why_not("s2", "disk_ms") == "s2 does not answer. It is off"


def test_what_is_measured_anew_takes_the_place_of_what_was() -> None:
    old = Measurements(
        pairs=(Pair(source="a", target="b", rtt_ms=1.0), Pair(source="b", target="a", rtt_ms=1.0)),
        disk_ms={"a": 1.0, "b": 2.0},
        errors={"a": {"pairs": "was off"}, "c": {"disk_ms": "was off"}},
    )
    new = Measurements(
        pairs=(Pair(source="a", target="b", rtt_ms=9.0),), disk_ms={"a": 3.0}, errors={"b": {"disk_ms": "full"}}
    )
    both = merged(old, new)
    assert [(pair.source, pair.rtt_ms) for pair in both.pairs] == [("a", 9.0), ("b", 1.0)]
    assert both.disk_ms == {"a": 3.0}
    assert both.errors == {"b": {"disk_ms": "full"}, "c": {"disk_ms": "was off"}}


def test_the_script_runs_here_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """A real shell: nobody is asked but this machine itself."""
    text = script(pairs=[Target("here", "127.0.0.1", 9)], names=["localhost"], disk=True)
    text = text.replace("writes=100", "writes=20").replace("writing=3", "writing=20")  # however busy this disk is
    done = subprocess.run(
        ["sh", "-s"], input=text, capture_output=True, text=True, timeout=30, env={"HOME": str(tmp_path), "PATH": PATH}
    )
    assert done.stdout.splitlines()[-1] == "done"
    assert done.stderr == ""
    said = read(done.stdout, "s1", [Target("here", "127.0.0.1", 9)], ["localhost"], disk=True)
    assert said.disk_ms is not None and said.disk_ms > 0
    assert said.resolves["localhost"] == ("127.0.0.1",)
    assert "port 9 of here takes no connection" in said.pairs[0].error
    assert list(tmp_path.iterdir()) == []


PATH = "/usr/local/bin:/usr/bin:/bin"

STUCK = """\
#!/bin/sh
case $* in *seek=6*) exec sleep 60 ;; esac
echo '4096 bytes (4.1 kB, 4.0 KiB) copied, 0.0002 s, 20 MB/s' >&2
"""


def test_a_write_that_hangs_is_ended_and_counts_as_that_long(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "dd").write_text(STUCK)
    (tools / "dd").chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    text = script(disk=True).replace("syncing=5", "syncing=1").replace("writing=3", "writing=20")
    done = subprocess.run(
        ["sh", "-s"], input=text, capture_output=True, text=True, timeout=30,
        env={"HOME": str(home), "PATH": f"{tools}:{PATH}"},
    )  # fmt: skip
    assert (done.stderr, list(home.iterdir())) == ("", [])
    assert done.stdout.splitlines()[0].split()[2:] == ["0.0002"] * 6 + ["1"]
    assert read(done.stdout, "s1", [], disk=True).disk_ms == 1000.0


@pytest.mark.parametrize(("printed", "kept"), [("disk 0 0.001 0.001 0.001 0.001 0.002\nresolver 192.0.2.1 0\n", True),
                                               ("", False)])  # fmt: skip
def test_what_was_measured_before_the_time_was_up_is_kept(
    printed: str, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late:
        """A connection on which the time is up."""

        def __enter__(self) -> Late:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def run(self, *_: object, **__: object) -> None:
            raise CommandFailed("s1", "sh -s", Completed(printed, "", -1), "It gave no answer in time.")

    monkeypatch.setattr(Connection, "open", lambda *_: Late())
    found = measure(SITE, StateFolder(tmp_path).create(), Wanted.everything(SITE, ["s1"]))
    assert found.disk_ms == ({"s1": 2.0} if kept else {})
    assert found.resolvers_answer.get("s1", {}) == ({"192.0.2.1": True} if kept else {})
    pair = found.pair("s1", "s2")
    assert pair is not None
    assert ("its answer broke off" if kept else "It gave no answer in time") in pair.error


def test_every_wait_is_bounded() -> None:
    assert longest_s(1) == 26.0 and longest_s(49) == 44.0
    text = script(pairs=[Target(f"s{n}", f"192.0.2.{n}", 22) for n in range(1, 50)])
    assert text.splitlines().count("wait") == 5
    assert script(names=["it's"]).count("'it'\"'\"'s'") == 1

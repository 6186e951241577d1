"""The files that stage 00 writes: text in, text out."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from homewright.errors import HomewrightError
from homewright.site import hosts_file
from homewright.site.models import Server, Site
from homewright.stages import clock_service, environment_file, peer_keys

SITE = Site(
    name="home",
    zone="home.internal",
    servers=(
        Server(name="one", address="10.0.0.1", user="me"),
        Server(name="two", address="10.0.0.2", user="me", port=2222),
    ),
    environment={"EXTRA": 'it\'s "so" $HOME `id`'},
)
BLOCK = f"{hosts_file.BEGIN}\n10.0.0.1\tone.home.internal one\n10.0.0.2\ttwo.home.internal two\n{hosts_file.END}\n"


@pytest.mark.parametrize(
    ("before", "rest"),
    [
        ("", ""),
        ("127.0.0.1\tlocalhost\n", "127.0.0.1\tlocalhost\n"),
        ("127.0.0.1 localhost\n127.0.1.1 one\n", "127.0.0.1 localhost\n"),
        ("127.0.1.1 one.home.internal one # by the installer\n", ""),
        ("127.0.1.1 one printer # mine\n", "127.0.1.1\tprinter # mine\n"),
        ("192.168.9.9 ONE\n# one is not here\n", "# one is not here\n"),
        (BLOCK.replace("10.0.0.1", "10.9.9.9") + "::1 localhost\n", "::1 localhost\n"),
    ],
)
def test_hosts_file(before: str, rest: str) -> None:
    wanted = hosts_file.wanted(before, SITE)
    assert wanted == BLOCK + rest
    assert hosts_file.wanted(wanted, SITE) == wanted
    assert hosts_file.restored(wanted, before, SITE) == before


def test_hosts_file_keeps_what_somebody_added_meanwhile() -> None:
    before = "127.0.0.1 localhost\n127.0.1.1 one\n"
    edited = hosts_file.wanted(before, SITE) + "10.0.0.9 printer\n"
    assert hosts_file.restored(edited, before, SITE) == "127.0.0.1 localhost\n10.0.0.9 printer\n127.0.1.1 one\n"


def test_hosts_file_that_somebody_replaced_is_left_alone() -> None:
    assert hosts_file.restored("127.0.0.1 other\n", "127.0.0.1 localhost\n", SITE) == "127.0.0.1 other\n"


def test_a_shell_reads_the_environment_file_as_it_was_meant() -> None:
    text = environment_file.text(SITE, "two", ["servers", "gpu_hosts"])
    script = f'set -a\n{text}\nprintf \'%s\\n\' "$HOMEWRIGHT_HOST" "$HOMEWRIGHT_ROLES" "$EXTRA" "$HOMEWRIGHT_VENV"'
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == ["two", "gpu_hosts servers", SITE.environment["EXTRA"], "/home/me/.venv"]


@pytest.mark.parametrize("extra", [{"1X": "a"}, {"A B": "a"}, {"HOMEWRIGHT_HOST": "a"}, {"A": "a\nb"}, {"A;id": "a"}])
def test_what_cannot_be_a_variable_is_refused(extra: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="environment"):
        environment_file.text(SITE.model_copy(update={"environment": extra}), "one", [])


ONE = peer_keys.Identity("one", "10.0.0.1", "ssh-ed25519 AAAA", ("ssh-ed25519 HHHH", "ssh-rsa RRRR"))


def test_a_clock_that_somebody_turned_off_is_told_of() -> None:
    def shown(states: dict[str, tuple[str, str, str]]) -> str:
        nothing = ("not-found", "", "inactive")
        blocks = [(name, *states.get(name, nothing)) for name in clock_service.SERVICES]
        line = "Id={}.service\nLoadState={}\nUnitFileState={}\nActiveState={}\n"
        return "\n".join(line.format(*block) for block in blocks)

    states = {"systemd-timesyncd": ("masked", "masked", "inactive")}
    host: Any = SimpleNamespace(name="s1", run=lambda _: SimpleNamespace(stdout=shown(states)))
    with pytest.raises(HomewrightError, match="systemd-timesyncd on s1 is masked") as caught:
        clock_service.first(host.name, clock_service.installed(host))
    assert "systemctl unmask systemd-timesyncd" in caught.value.as_text()
    states["chrony"] = ("loaded", "disabled", "inactive")
    assert clock_service.first(host.name, clock_service.installed(host)).name == "chrony"
    states["ntpsec"] = ("loaded", "enabled", "active")
    assert [one.name for one in clock_service.installed(host)] == ["ntpsec", "chrony"], "who runs comes first"
    alias = shown(states).replace("Id=ntp.service\nLoadState=not-found", "Id=ntpsec.service\nLoadState=loaded")
    assert [one.name for one in clock_service.told(alias)] == ["ntpsec", "chrony"]


def test_keys_are_good_from_their_own_address_only() -> None:
    text = peer_keys.authorized([ONE])
    assert text == 'restrict,from="10.0.0.1" ssh-ed25519 AAAA homewright-peer@one\n'
    assert peer_keys.unguarded(text, SITE) == ""
    for wrong in (text.replace("10.0.0.1", "10.0.0.2"), text.replace("restrict,", ""), text.replace("@one", "@three")):
        assert peer_keys.unguarded(wrong, SITE) == wrong.strip()


def test_known_hosts_names_ports_other_than_22() -> None:
    assert peer_keys.known_hosts(SITE, [ONE]).splitlines()[0] == "one.home.internal,one,10.0.0.1 ssh-ed25519 HHHH"
    assert peer_keys.patterns_of(SITE, SITE.servers[1]) == "[two.home.internal]:2222,[two]:2222,[10.0.0.2]:2222"
    assert "Port 2222" in peer_keys.client_settings(SITE)


def test_a_server_that_is_away_keeps_its_lines() -> None:
    text = (peer_keys.authorized([ONE]) + 'restrict,from="10.0.0.2" ssh-ed25519 BBBB homewright-peer@two\n').encode()
    assert peer_keys.lines_of(text, ["two"]) == ['restrict,from="10.0.0.2" ssh-ed25519 BBBB homewright-peer@two']
    assert peer_keys.lines_of(None, ["two"]) == []

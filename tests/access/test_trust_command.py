"""`homewright trust` as an operator and as a script use it, against a real server."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pexpect
import pytest

from homewright.access.report import TrustDocument
from homewright.site.paths import StateFolder

from .conftest import Account

pytestmark = pytest.mark.lab

HOMEWRIGHT = str(Path(sys.executable).with_name("homewright"))


@pytest.fixture
def site(account: Account, tmp_path: Path) -> Path:
    """A site with one server that is there and one that is not."""
    server = account.server
    file = tmp_path / "site.yaml"
    file.write_text(
        f"version: 1\nname: attic\nservers:\n  - name: {server.name}\n    address: {server.address}\n"
        f"    port: {server.port}\n    user: {account.user}\n"
        "  - name: gone\n    address: 127.0.0.1\n    port: 1\n    user: nobody\n"
    )
    return file


def words(site: Path, *arguments: str) -> list[str]:
    return [HOMEWRIGHT, "--site", str(site), "--state", str(site.parent / "state"), "trust", *arguments]


def trust(site: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(words(site, *arguments), input=stdin, capture_output=True, text=True, timeout=60)


def test_unattended_without_a_host_key_ends_with_5_and_the_command(site: Path, account: Account) -> None:
    done = trust(site, account.server.name, "--password-stdin", stdin=f"{account.password}\n")
    assert done.returncode == 5
    fingerprint = account.practice.host_key().fingerprint
    folder = site.parent / "state"
    command = f"homewright --site {site} --state {folder} trust {account.server.name} --fingerprint {fingerprint}"
    assert command in done.stderr, "as it has to be typed for this site"
    assert account.password not in done.stdout + done.stderr


def test_a_wrong_fingerprint_ends_with_5(site: Path, account: Account) -> None:
    wrong = "SHA256:" + "A" * 43
    done = trust(site, account.server.name, "--fingerprint", wrong, "--password-stdin", stdin=f"{account.password}\n")
    assert done.returncode == 5
    assert wrong in done.stderr
    assert account.practice.host_key().fingerprint in done.stderr


def test_a_script_trusts_all_servers_and_one_that_is_down_holds_up_nobody(site: Path, account: Account) -> None:
    name = account.server.name
    assert trust(site, name, "--fingerprint", account.practice.host_key().fingerprint).returncode == 5
    done = trust(site, "--all", "--password-stdin", "--json", stdin=f"{account.password}\n")
    assert done.returncode == 5
    document = TrustDocument.model_validate_json(done.stdout)
    states = {host.host: (host.trusted, host.sudo, host.error.code if host.error else "") for host in document.hosts}
    assert states == {name: (True, "sudoers-file", ""), "gone": (False, "", "unreachable")}
    again = trust(site, name, "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout)["hosts"][0]["already"] is True


def test_a_person_compares_the_key_and_types_the_password(site: Path, account: Account) -> None:
    name = account.server.name
    command = words(site, name)
    terminal = pexpect.spawn(command[0], command[1:], encoding="utf-8", timeout=30, dimensions=(24, 200))
    terminal.expect_exact(account.practice.host_key().fingerprint)
    terminal.expect_exact("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
    terminal.expect_exact("Are they the same? [y/N]")
    terminal.sendline("y")
    terminal.expect_exact("Password of")
    terminal.waitnoecho(10)
    terminal.sendline("not the password")
    terminal.expect_exact("does not let")
    terminal.expect_exact("Password of")
    terminal.waitnoecho(10)
    terminal.sendline(account.password)
    terminal.expect_exact(f"{name}: trusted")
    rest = terminal.read()
    terminal.close()
    assert terminal.exitstatus == 0
    assert account.password not in rest


def test_a_person_who_sees_another_key_says_no(site: Path, account: Account) -> None:
    command = words(site, account.server.name)
    terminal = pexpect.spawn(command[0], command[1:], encoding="utf-8", timeout=30, dimensions=(24, 200))
    terminal.expect_exact("[y/N]")
    terminal.sendline("")
    terminal.expect_exact("was not accepted")
    terminal.read()
    terminal.close()
    assert terminal.exitstatus == 5
    assert not StateFolder(site.parent / "state").known_hosts.exists()


def test_a_rebuilt_server_is_accepted_only_by_replace(site: Path, account: Account) -> None:
    name = account.server.name
    ecdsa, ed25519 = account.practice.host_key("ecdsa"), account.practice.host_key()
    trust(site, name, "--fingerprint", ecdsa.fingerprint)
    known = StateFolder(site.parent / "state").known_hosts
    known.write_text(known.read_text().replace(ecdsa.public, ed25519.public[:-4] + "AAAA"))
    given = ("--fingerprint", ed25519.fingerprint)
    refused = trust(site, name, *given, "--password-stdin", stdin=f"{account.password}\n")
    assert refused.returncode == 5
    assert "--replace" in refused.stderr
    done = trust(site, name, *given, "--replace", "--password-stdin", stdin=f"{account.password}\n")
    assert (done.returncode, ed25519.fingerprint in done.stdout) == (0, True), done.stderr


def test_removing_leaves_nothing(site: Path, account: Account) -> None:
    name = account.server.name
    trust(site, name, "--fingerprint", account.practice.host_key().fingerprint)
    assert trust(site, name, "--password-stdin", stdin=f"{account.password}\n").returncode == 0
    assert trust(site, name, "--remove").returncode == 0
    assert (
        account.practice.sh(f"cat {account.home}/.ssh/authorized_keys; ls /etc/sudoers.d | grep {account.user}") == ""
    )
    assert trust(site, name).returncode == 5


def everybodys_words(secret: bytes) -> list[str]:
    """Processes of this machine with the secret in their command line or environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                if secret in (process / name).read_bytes():
                    found.append(f"{process.name}/{name}")
            except OSError:
                continue
    return found


def test_the_password_is_in_no_command_line_environment_or_file(site: Path, account: Account) -> None:
    name = account.server.name
    trust(site, name, "--fingerprint", account.practice.host_key().fingerprint)
    # a loop on the server looks at every process there while first contact goes on; it knows half of the secret only
    # by a file, so that it does not find itself
    account.practice.sh(f"printf %s '{account.password}' > /root/{account.user}.canary")
    watch = (
        f"end=$(($(date +%s) + 20)); until [ -e /root/{account.user}.stop ] || [ $(date +%s) -gt $end ]; do "
        f"for p in /proc/[0-9]*; do cat $p/cmdline $p/environ 2>/dev/null | grep -aqFf /root/{account.user}.canary "
        f"&& tr '\\0' ' ' < $p/cmdline; done; done; cat /root/{account.user}.stop > /dev/null && echo watched"
    )
    seen: list[str] = []
    watcher = threading.Thread(target=lambda: seen.append(account.practice.sh(watch)))
    watcher.start()
    here: list[str] = []
    process = subprocess.Popen(
        words(site, name, "--password-stdin"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdin
    process.stdin.write(f"{account.password}\n")
    process.stdin.flush()
    while process.poll() is None:
        here += everybodys_words(account.password.encode())
    output, _ = process.communicate()
    account.practice.sh(f"touch /root/{account.user}.stop")
    watcher.join(30)
    try:
        assert process.returncode == 0, output
        assert here == []
        assert [line for line in seen[0].splitlines() if line] == ["watched"]
        assert account.password not in output
        assert not any(
            account.password.encode() in file.read_bytes()
            for file in (site.parent / "state").rglob("*")
            if file.is_file()
        )
        logged = account.practice.sh(f"journalctl -q --no-pager | grep -F -f /root/{account.user}.canary")
        assert logged == ""
        kept = account.practice.sh(f"grep -rlF -f /root/{account.user}.canary /etc /home /var/log /tmp 2>/dev/null")
        assert kept == ""
    finally:
        account.practice.sh(f"rm -f /root/{account.user}.*")

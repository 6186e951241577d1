"""First contact with a real sshd, PAM and sudo: what goes well, and everything that can be wrong."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from homewright.access import known_hosts, trust
from homewright.access.connection import Connection, Endpoint, KeyRefused
from homewright.access.known_hosts import HostKey
from homewright.access.trust import Means, first_contact
from homewright.errors import HomewrightError, HostKeyError, Unreachable
from homewright.site.paths import StateFolder

from .conftest import SSHD_AGAIN, Account

pytestmark = pytest.mark.lab


def refused(account: Account, state: StateFolder, kind: type[HomewrightError], **how: object) -> str:
    """First contact that must fail like this; what the operator reads, which never holds the password."""
    with pytest.raises(kind) as caught:
        first_contact(account.server, state, **({"password": account.password} | how))  # type: ignore[arg-type]
    text = caught.value.as_text()
    assert caught.value.do, "every refusal says what to do"
    assert account.password not in text
    return text


def settings_for(account: Account, *lines: str) -> None:
    """Give sshd settings for this account alone."""
    block = "\\n".join((f"Match User {account.user}", *lines))
    file = f"/etc/ssh/sshd_config.d/{account.user}.conf"
    account.practice.sh(f"printf '{block}\\n' > {file}; sshd -t && {{ {SSHD_AGAIN}; }}")
    in_force = account.practice.sh(f"sshd -T -C user={account.user},host=x,addr=192.0.2.1").lower()
    assert all(line.lower() in in_force for line in lines)


def signed_in(account: Account) -> str:
    return account.practice.sh(f"journalctl -q --no-pager -u ssh | grep {account.user}")


def test_the_host_key_is_judged_before_anything_is_sent(account: Account, state: StateFolder) -> None:
    text = refused(account, state, HostKeyError)
    fingerprint = account.practice.host_key().fingerprint
    assert f"homewright trust {account.server.name} --fingerprint {fingerprint}" in text
    assert not state.known_hosts.exists()
    assert account.user not in signed_in(account)


def test_a_scan_shows_what_the_console_shows(account: Account) -> None:
    server = account.server
    assert trust.scan(server.address, server.port) == account.practice.host_key()
    offers = {offer.key_type: offer for offer in trust.scan_all(server.address, server.port)}
    for kind, name in (("ed25519", "ssh-ed25519"), ("ecdsa", "ecdsa-sha2-nistp256"), ("rsa", "ssh-rsa")):
        if name in offers:
            assert offers[name] == account.practice.host_key(kind)
    assert "ssh-ed25519" in offers


def test_first_contact_by_password_and_a_second_time(account: Account, known: StateFolder) -> None:
    account.practice.sh(
        f"install -d -o {account.user} -m 0775 {account.home}/.ssh; "
        f"printf 'ssh-ed25519 AAAA mine' > {account.home}/.ssh/authorized_keys; chmod 666 {account.home}/.ssh/*"
    )
    account.practice.sh(f"chown -R {account.user} {account.home}/.ssh")
    said: list[str] = []
    first = first_contact(account.server, known, account.password, say=said.append)
    assert (first.sudo, first.already) == ("sudoers-file", False)
    assert first.fingerprint == account.practice.host_key().fingerprint
    assert said
    keys = account.practice.sh(f"cat {account.home}/.ssh/authorized_keys")
    assert keys.splitlines() == ["ssh-ed25519 AAAA mine", known.key.with_suffix(".pub").read_text().strip()]
    modes = account.practice.sh(f"stat -c '%a %U' {account.home}/.ssh {account.home}/.ssh/authorized_keys")
    assert modes.splitlines() == [f"700 {account.user}", f"600 {account.user}"]

    second = first_contact(account.server, known)
    assert (second.sudo, second.already) == ("sudoers-file", True)
    assert account.practice.sh(f"cat {account.home}/.ssh/authorized_keys") == keys


def test_the_sudoers_file_is_right_and_can_be_taken_away(account: Account, known: StateFolder) -> None:
    first_contact(account.server, known, account.password)
    file = f"/etc/sudoers.d/homewright-{account.user}"
    assert account.practice.sh(f"stat -c '%a %U:%G' {file}").strip() == "440 root:root"
    assert "parsed OK" in account.practice.sh("visudo -c")
    with Connection.open(Endpoint.of(account.server, known)) as connection:
        assert connection.run(["id", "-u"], sudo=True).stdout == "0\n"
        assert trust.remove_sudoers(connection) is True
        assert trust.remove_sudoers(connection) is False
        assert connection.run(["true"], sudo=True, check=False).exit_code != 0
    assert account.practice.sh(f"ls {file}") == ""
    # the key still opens the server, only sudo wants its password again
    assert "wants a password" in refused(account, known, trust.SudoPasswordNeeded, password=None)
    assert first_contact(account.server, known, account.password).sudo == "sudoers-file"


def test_untrust_leaves_nothing_of_ours(account: Account, known: StateFolder) -> None:
    listing = f"ls -A {account.home} | grep -v sudo_as_admin; ls /etc/sudoers.d"  # Debian's sudo leaves that one
    before = account.practice.sh(listing)
    first_contact(account.server, known, account.password)
    trust.untrust(account.server, known)
    after = account.practice.sh(f"rmdir {account.home}/.ssh 2>&1 || cat {account.home}/.ssh/authorized_keys")
    assert "ssh-ed25519" not in after
    account.practice.sh(f"rm -rf {account.home}/.ssh")
    assert account.practice.sh(listing) == before
    assert known_hosts.lookup(known.known_hosts, account.server.address, account.server.port) == ()


def test_a_wrong_password(account: Account, known: StateFolder) -> None:
    text = refused(account, known, trust.PasswordRefused, password="not the password")
    assert "not the password" not in text


def test_a_locked_account(account: Account, known: StateFolder) -> None:
    account.practice.sh(f"passwd -l {account.user}")
    assert "locked" in refused(account, known, trust.PasswordRefused)


def test_an_expired_account(account: Account, known: StateFolder) -> None:
    account.practice.sh(f"chage -E 0 {account.user}")
    assert "expired" in refused(account, known, trust.SignInRefused)


def test_an_expired_password(account: Account, known: StateFolder) -> None:
    account.practice.sh(f"chage -d 0 {account.user}")
    text = refused(account, known, trust.SignInRefused)
    assert "has expired" in text
    assert f"ssh -t {account.user}@" in text


def test_an_expired_password_asked_for_by_questions(account: Account, known: StateFolder) -> None:
    settings_for(account, "PasswordAuthentication no", "KbdInteractiveAuthentication yes")
    account.practice.sh(f"chage -d 0 {account.user}")
    assert "has expired" in refused(account, known, trust.SignInRefused)


def test_a_server_that_asks_questions_instead_of_a_password(account: Account, known: StateFolder) -> None:
    settings_for(account, "PasswordAuthentication no", "KbdInteractiveAuthentication yes")
    refused(account, known, trust.PasswordRefused, password="not the password")
    assert first_contact(account.server, known, account.password).sudo == "sudoers-file"


def test_a_server_that_takes_no_passwords(account: Account, known: StateFolder) -> None:
    settings_for(account, "PasswordAuthentication no", "KbdInteractiveAuthentication no")
    text = refused(account, known, trust.SignInRefused)
    assert "--identity FILE" in text
    assert known.key.with_suffix(".pub").read_text().strip() in text


def test_a_server_that_takes_no_keys_is_said_after_the_key_was_installed(account: Account, known: StateFolder) -> None:
    settings_for(account, "PubkeyAuthentication no")
    assert "authorizedkeysfile" in refused(account, known, trust.SignInRefused)


def test_an_account_without_sudo(make_account: Callable[..., Account], state: StateFolder) -> None:
    account = make_account(sudo=False)
    trust.accept(state, account.server, account.practice.host_key())
    assert "adduser" in refused(account, state, trust.SudoRefused)
    assert account.practice.sh(f"ls /etc/sudoers.d | grep {account.user}") == ""


def test_sudo_that_needs_no_password_is_left_alone(account: Account, known: StateFolder) -> None:
    account.practice.sh(f"echo '{account.user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/zz-{account.user}")
    assert first_contact(account.server, known, account.password).sudo == "passwordless"
    assert account.practice.sh(f"ls /etc/sudoers.d/homewright-{account.user}") == ""


def test_sudo_that_wants_a_terminal(account: Account, known: StateFolder) -> None:
    account.practice.sh(f"echo 'Defaults:{account.user} requiretty' > /etc/sudoers.d/aa-{account.user}")
    first_contact_key_only(account, known)
    refused(account, known, trust.SudoPasswordNeeded, password=None)
    text = refused(account, known, trust.SudoPasswordRefused, password="not the password")
    assert "not the password" not in text
    assert first_contact(account.server, known, account.password).sudo == "sudoers-file"
    with Connection.open(Endpoint.of(account.server, known)) as connection:
        assert connection.run(["id", "-u"], sudo=True).stdout == "0\n"


def first_contact_key_only(account: Account, known: StateFolder) -> None:
    """Have the key in place and sudo not yet."""
    first_contact(account.server, known, account.password)
    account.practice.sh(f"rm /etc/sudoers.d/homewright-{account.user}")


def test_a_wrong_password_for_sudo(account: Account, known: StateFolder) -> None:
    first_contact_key_only(account, known)
    refused(account, known, trust.SudoPasswordRefused, password="not the password")
    assert account.practice.sh(f"ls /etc/sudoers.d | grep {account.user}") == ""


def test_a_rule_that_takes_ours_back_is_found_and_nothing_is_left(account: Account, known: StateFolder) -> None:
    account.practice.sh(f"echo '{account.user} ALL=(ALL) PASSWD: ALL' > /etc/sudoers.d/zz-{account.user}")
    assert "rule that comes later" in refused(account, known, trust.SudoRefused)
    assert account.practice.sh(f"ls /etc/sudoers.d/homewright-{account.user}") == ""


@pytest.mark.parametrize("shell", ["/bin/dash", "/bin/sh"])
def test_another_login_shell(make_account: Callable[..., Account], state: StateFolder, shell: str) -> None:
    account = make_account(shell=shell)
    trust.accept(state, account.server, account.practice.host_key())
    assert first_contact(account.server, state, account.password).sudo == "sudoers-file"


def test_a_talkative_start_up_file(account: Account, known: StateFolder) -> None:
    account.practice.sh(f"sed -i '1i echo WELCOME; echo sudo: a password is required >&2' {account.home}/.bashrc")
    assert first_contact(account.server, known, account.password).sudo == "sudoers-file"
    with Connection.open(Endpoint.of(account.server, known)) as connection:
        assert connection.run("echo mine").stdout == "mine\n"
        assert connection.read("/etc/hostname").decode().strip() == account.practice.sh("cat /etc/hostname").strip()


def test_an_account_that_runs_no_commands(make_account: Callable[..., Account], state: StateFolder) -> None:
    account = make_account(shell="/usr/sbin/nologin")
    trust.accept(state, account.server, account.practice.host_key())
    text = refused(account, state, trust.SignInRefused)
    assert "may not run commands" in text
    assert "not available" in text


def test_a_home_in_an_odd_place_that_others_may_write(account: Account, known: StateFolder) -> None:
    account.practice.sh(
        f"usermod -d '/srv/home of {account.user}' -m {account.user}; chmod 777 '/srv/home of {account.user}'"
    )
    assert first_contact(account.server, known, account.password).sudo == "sudoers-file"
    account.practice.sh(f"usermod -d {account.home} -m {account.user}")


def test_a_home_that_is_not_there(account: Account, known: StateFolder) -> None:
    account.practice.sh(f"rm -rf {account.home}")
    assert "home folder" in refused(account, known, trust.SignInRefused)


def make_identity(folder: Path, *options: str) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", *options, "-f", folder / "id"], check=True)
    return folder / "id"


def let_in(account: Account, public: Path) -> None:
    account.practice.sh(
        f"install -d -o {account.user} -m 700 {account.home}/.ssh; "
        f"echo '{public.read_text().strip()}' >> {account.home}/.ssh/authorized_keys; "
        f"chown {account.user} {account.home}/.ssh/authorized_keys"
    )


def test_first_contact_with_a_key_that_the_operator_names(account: Account, known: StateFolder, tmp_path: Path) -> None:
    identity = make_identity(tmp_path)
    stranger = Means(identity=identity)
    assert "authorized_keys" in refused(account, known, trust.SignInRefused, password=None, means=stranger)
    let_in(account, identity.with_suffix(".pub"))
    means = Means(identity=identity, password=account.password)
    assert first_contact(account.server, known, means=means).sudo == "sudoers-file"
    assert len(account.practice.sh(f"cat {account.home}/.ssh/authorized_keys").splitlines()) == 2


def test_a_named_key_with_a_passphrase_is_sent_to_the_agent(
    account: Account, known: StateFolder, tmp_path: Path
) -> None:
    identity = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "a passphrase", "-f", identity], check=True)
    text = refused(account, known, HomewrightError, password=None, means=Means(identity=identity))
    assert "--agent" in text


def test_first_contact_with_an_agent(
    account: Account, known: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = make_identity(tmp_path)
    let_in(account, identity.with_suffix(".pub"))
    socket = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        environment = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
        while subprocess.run(["ssh-add", "-q", identity], env=environment, stderr=subprocess.DEVNULL).returncode:
            assert agent.poll() is None
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        # an agent that would open the server is not used unless it is named
        refused(account, known, trust.PasswordNeeded, password=None)
        means = Means(agent=True, password=account.password)
        assert first_contact(account.server, known, means=means).already is False
    finally:
        agent.terminate()
        agent.wait(10)


def test_a_key_from_the_sites_answers(account: Account, state: StateFolder) -> None:
    key = account.practice.host_key()
    wrong = account.server.model_copy(update={"host_key": "SHA256:" + "A" * 43})
    with pytest.raises(HostKeyError) as caught:
        first_contact(wrong, state, account.password)
    assert key.fingerprint in caught.value.as_text()
    assert account.user not in signed_in(account)
    server = account.server.model_copy(update={"host_key": key.public})
    assert first_contact(server, state, account.password).fingerprint == key.fingerprint


def test_a_key_of_another_kind_is_enough_for_every_tool(account: Account, state: StateFolder) -> None:
    """pyinfra asks for Ed25519 first, whatever is on record: that key is recorded too, once the server is verified."""
    rsa, ed25519 = account.practice.host_key("rsa"), account.practice.host_key()
    server = account.server.model_copy(update={"host_key": rsa.fingerprint})
    assert first_contact(server, state, account.password).fingerprint == rsa.fingerprint
    assert known_hosts.lookup(state.known_hosts, server.address, server.port) == (rsa, ed25519)
    assert first_contact(server, state).already


def test_a_server_whose_key_changed_gets_nothing(account: Account, endpoint: Endpoint, known: StateFolder) -> None:
    real = account.practice.host_key()
    other = account.practice.host_key("ecdsa")
    stale = HostKey.from_blob(real.key_type, real.blob[:-1] + bytes([real.blob[-1] ^ 1]))
    known_hosts.record(known.known_hosts, account.server.address, account.server.port, [stale])
    for action in (lambda: Connection.open(endpoint), lambda: first_contact(account.server, known, account.password)):
        with pytest.raises(HostKeyError) as caught:
            action()
        assert real.fingerprint in caught.value.as_text()
        assert stale.fingerprint in caught.value.as_text()
        assert "--replace" in caught.value.as_text()
    # one of its other keys is no change: the kind that is recorded is asked for
    known_hosts.record(known.known_hosts, account.server.address, account.server.port, [other])
    with Connection.open(endpoint) as connection:
        assert connection.run(["true"]).exit_code == 0


def test_a_key_that_was_taken_out_is_said(account: Account, endpoint: Endpoint) -> None:
    account.practice.sh(f": > {account.home}/.ssh/authorized_keys")
    with pytest.raises(KeyRefused) as caught:
        Connection.open(endpoint)
    assert f"homewright trust {account.server.name}" in caught.value.as_text()
    assert isinstance(caught.value, Unreachable)

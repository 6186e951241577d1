"""A practice server and accounts on it that a test may break: each is made for one test and removed after it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from homewright.access import trust
from homewright.access.endpoint import Endpoint
from homewright.access.known_hosts import HostKey
from homewright.site import files
from homewright.site.models import Server
from homewright.site.paths import StateFolder

SSHD_AGAIN = "systemctl reset-failed ssh; systemctl restart ssh"
"""It has its new settings and listens when this ends. A reload ends before sshd has closed its port and opened it anew:
who came then was refused."""


@dataclass(frozen=True)
class Practice:
    """One real server, and a way in that does not go through SSH."""

    lab: Any
    server: Server

    def sh(self, script: str, *, check: bool = False) -> str:
        """Run a script as root there, past SSH; its output. How it ends counts only with `check`."""
        words = script if check else f"{script}\n:"
        return self.lab.on(self.server.name, words)

    def host_key(self, kind: str = "ed25519") -> HostKey:
        """Its real host key, read past SSH."""
        key = HostKey.from_line(self.sh(f"cat /etc/ssh/ssh_host_{kind}_key.pub"))
        assert key is not None
        return key


@dataclass(frozen=True)
class Account:
    """An account on the practice server."""

    practice: Practice
    user: str
    password: str

    @property
    def server(self) -> Server:
        """The server as a site would name it for this account; nothing is known of its host key."""
        return self.practice.server.model_copy(update={"user": self.user, "host_key": None})

    @property
    def home(self) -> str:
        return f"/home/{self.user}"


@pytest.fixture(scope="session")
def practice(lab: Any) -> Practice:
    return Practice(lab, files.load(Path(lab.site_file)).servers[-1])


def create(practice: Practice, *, sudo: bool = True, shell: str = "/bin/bash") -> Account:
    """An account: with sudo by password, or without sudo."""
    account = Account(practice, f"hw{secrets.token_hex(4)}", f"Canary {secrets.token_urlsafe(12)}")
    practice.sh(
        f"useradd -m -s {shell} {'-G sudo' if sudo else ''} {account.user} && "
        f"printf '%s' '{account.user}:{account.password}' | chpasswd",
        check=True,
    )
    return account


def remove(account: Account) -> None:
    user = account.user
    account.practice.sh(
        f"pkill -KILL -u {user}; userdel -rf {user}; rm -f /etc/sudoers.d/*{user}*; "
        f"f=/etc/ssh/sshd_config.d/{user}.conf; if [ -e $f ]; then rm $f; {SSHD_AGAIN}; fi"
    )


@pytest.fixture
def make_account(practice: Practice) -> Iterator[Callable[..., Account]]:
    """Makes accounts for one test: with sudo by password, or `sudo=False`, and the shell that is asked for."""
    made: list[Account] = []

    def make(*, sudo: bool = True, shell: str = "/bin/bash") -> Account:
        made.append(create(practice, sudo=sudo, shell=shell))
        return made[-1]

    yield make
    for account in made:
        remove(account)


@pytest.fixture(scope="module")
def shared_account(practice: Practice) -> Iterator[Account]:
    """One account for all tests of a module that do not break it."""
    account = create(practice)
    yield account
    remove(account)


@pytest.fixture(scope="module")
def shared_endpoint(shared_account: Account, tmp_path_factory: pytest.TempPathFactory) -> Endpoint:
    """That account after first contact."""
    state = StateFolder(tmp_path_factory.mktemp("shared") / "a state").create()
    trust.accept(state, shared_account.server, shared_account.practice.host_key())
    trust.first_contact(shared_account.server, state, shared_account.password)
    return Endpoint.of(shared_account.server, state)


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account()


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    """A state folder that trusts nobody yet."""
    return StateFolder(tmp_path / "a state").create()


@pytest.fixture
def known(account: Account, state: StateFolder) -> StateFolder:
    """A state folder in which the practice server's real host key is recorded."""
    trust.accept(state, account.server, account.practice.host_key())
    return state


@pytest.fixture
def endpoint(account: Account, known: StateFolder) -> Endpoint:
    """A server after first contact."""
    trust.first_contact(account.server, known, account.password)
    return Endpoint.of(account.server, known)

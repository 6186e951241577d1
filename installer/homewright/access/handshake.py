"""From an address to an encrypted transport whose host key we have seen, and why that may fail.

Nothing here signs in: no user name and no secret leaves this machine before the host key has been judged.
"""

from __future__ import annotations

import errno
import logging
import socket
import threading
from collections.abc import Sequence
from typing import Any

import paramiko

from homewright.access.endpoint import Endpoint
from homewright.access.known_hosts import HostKey, lookup
from homewright.errors import HostKeyError, Unreachable

# paramiko reports broken connections on its logger, with tracebacks; what matters reaches the operator as an error.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

KEX = (
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group-exchange-sha256",
)
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
DIGESTS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")
KEY_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
KEEPALIVE_S = 10
DEAD_PEER_MS = 30_000
"""How long unacknowledged data may wait before the connection counts as lost."""


def dial(name: str, address: str, port: int, timeout: float) -> socket.socket:
    """A TCP connection to sshd. Raises Unreachable, with the reason, after at most `timeout` seconds."""
    try:
        connected = socket.create_connection((address, port), timeout)
    except TimeoutError as error:
        raise Unreachable(
            f"{name} ({address}) does not answer.",
            f"Nothing came back from port {port} within {timeout:g} s: it is off, elsewhere, or a firewall drops us.",
            [f"see whether it is on, and whether its address is still {address}", f"ping {address}"],
        ) from error
    except ConnectionRefusedError as error:
        raise Unreachable(
            f"{name} ({address}) refuses connections to port {port}.",
            "The machine is up, but no sshd listens there.",
            [
                "on its console: sudo systemctl enable --now ssh (install openssh-server where it is missing)",
                "or set the port that sshd uses in the site's answers",
            ],
        ) from error
    except OSError as error:
        down = error.errno in (errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH)
        raise Unreachable(
            f"{name} ({address}) cannot be reached.",
            "No machine answers at that address." if down else f"{error.strerror or error}.",
            [f"see whether it is on and on the same network, and whether its address is still {address}"],
        ) from error
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_MS)
    return connected


def dial_through(below: paramiko.Transport, through: str, name: str, address: str, port: int, timeout: float) -> Any:
    """A channel to sshd of a host behind the server `through`, to whom `below` is signed in. Raises Unreachable."""
    do = [f"see whether {name} is on: homewright verify", f"on {through}: ping {address}"]
    try:
        return below.open_channel("direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=timeout)
    except paramiko.ChannelException as error:
        if error.code == 1:  # RFC 4254, 5.1: SSH_OPEN_ADMINISTRATIVELY_PROHIBITED
            raise Unreachable(
                f"{name} ({address}) cannot be reached through {through}.",
                f"sshd on {through} forwards no connections.",
                [f"on {through}, in sshd's settings: AllowTcpForwarding yes"],
            ) from error
        raise Unreachable(
            f"{name} ({address}) does not answer.", f"{through} gets no connection to its port {port}.", do
        ) from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise Unreachable(
            f"{name} ({address}) cannot be reached through {through}.", f"{_reason(error)}.", do
        ) from error


def negotiate(
    connected: socket.socket | paramiko.Channel,
    name: str,
    timeout: float,
    prefer: Sequence[str] = (),
    only: Sequence[str] = (),
) -> paramiko.Transport:
    """An encrypted transport over a connected socket; nobody is signed in yet.

    `prefer` puts these host-key types first, so that a server with several keys shows the one that we know;
    `only` accepts no other. Raises Unreachable where no SSH server answers or nothing modern is common to both.
    The caller closes the transport.
    """
    transport = paramiko.Transport(connected)
    transport.daemon = True
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = timeout
    offered = transport.get_security_options()
    offered.kex, offered.ciphers, offered.digests = KEX, CIPHERS, DIGESTS
    offered.key_types = tuple(only) or tuple(dict.fromkeys((*_algorithms(prefer), *KEY_TYPES)))
    done = threading.Event()
    try:
        transport.start_client(event=done, timeout=timeout)
        finished = done.wait(timeout)
        problem = transport.get_exception()
        if problem is not None:
            raise problem
        if not finished or not transport.is_active():
            raise paramiko.SSHException(f"no agreement within {timeout:g} s")
        transport.get_remote_server_key()
    except paramiko.ssh_exception.IncompatiblePeer as error:
        hang_up(transport)
        raise Unreachable(
            f"{name}'s SSH server is too old or too strict for us.",
            f"{error}.",
            ["update openssh-server there", "or take its Ciphers, MACs and KexAlgorithms lines back to the defaults"],
        ) from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        hang_up(transport)
        raise Unreachable(
            f"{name} answers, but not as an SSH server.",
            f"{_reason(error)}.",
            [
                "see that the port is sshd's",
                "an sshd that has too many open connections also hangs up like this: wait a minute and try again",
            ],
        ) from error
    transport.set_keepalive(KEEPALIVE_S)
    return transport


def hang_up(transport: paramiko.Transport) -> None:
    """Close a transport and its socket, which paramiko leaves open where the server hung up first."""
    transport.close()
    transport.sock.close()


def is_silent(transport: paramiko.Transport) -> bool:
    """Whether a sign-in that just failed got no answer in time; paramiko tells that as a refusal."""
    answered: threading.Event | None = getattr(transport.auth_handler, "auth_event", None)
    return transport.is_active() and answered is not None and not answered.is_set()


def no_answer(name: str, address: str, user: str) -> Unreachable:
    """The error for a server that neither lets anybody in nor refuses: too busy, or waiting for something itself."""
    return Unreachable(
        f"{name} ({address}) did not answer while we signed in.",
        f"It neither let {user} in nor refused it in time: it may be too busy, or wait for a directory of accounts.",
        ["wait a little, then try again", f"on its console: uptime; id {user}; sudo journalctl -u ssh -n 20"],
    )


def seen_key(transport: paramiko.Transport) -> HostKey:
    """The host key that the server has just proved to hold."""
    key = transport.get_remote_server_key()
    return HostKey.from_blob(key.get_name(), key.asbytes())


def open_strict(endpoint: Endpoint, timeout: float, below: paramiko.Transport | None = None) -> paramiko.Transport:
    """A transport to a server whose host key is one of the recorded ones; `below` is signed in to the server that it is
    reached through, where there is one.

    Raises HostKeyError where none is recorded or the server shows another, Unreachable where it does not answer.
    """
    trusted = lookup(endpoint.known_hosts, endpoint.address, endpoint.port)
    connected: socket.socket | paramiko.Channel
    if below is not None and endpoint.through is not None:
        place = (endpoint.name, endpoint.address, endpoint.port)
        connected = dial_through(below, endpoint.through.name, *place, timeout)
    else:
        connected = dial(endpoint.name, endpoint.address, endpoint.port, timeout)
    transport = negotiate(connected, endpoint.name, timeout, prefer=[key.key_type for key in trusted])
    seen = seen_key(transport)
    if seen not in trusted:
        hang_up(transport)
        raise not_trusted(endpoint.name, endpoint.address, seen, trusted)
    return transport


def not_trusted(name: str, address: str, seen: HostKey, trusted: Sequence[HostKey]) -> HostKeyError:
    """The error for a server that shows a key which is not (or no longer) the trusted one."""
    if not trusted:
        return HostKeyError(
            f"The host key of {name} ({address}) is not trusted yet.",
            f"It shows {seen.fingerprint} ({seen.key_type}).",
            [
                f"on its console: {console_command(seen.key_type)}",
                f"if that prints the same: homewright trust {name} --fingerprint {seen.fingerprint}",
            ],
        )
    known = next((key for key in trusted if key.key_type == seen.key_type), trusted[0])
    return HostKeyError(
        f"The host key of {name} ({address}) has changed.",
        f"Trusted is {known.fingerprint} ({known.key_type}), it shows {seen.fingerprint} ({seen.key_type}). "
        "Either the server was installed anew, or another machine answers at its address. Nothing was sent to it.",
        [
            f"on its console: {console_command(seen.key_type)}",
            f"only if that prints {seen.fingerprint}: "
            f"homewright trust {name} --replace --fingerprint {seen.fingerprint}",
            "if it prints anything else, find the machine that has taken the address",
        ],
    )


def console_command(key_type: str) -> str:
    """What to type on the server's own console to see the fingerprint of its key of this type."""
    family = "ed25519" if "ed25519" in key_type else "ecdsa" if key_type.startswith("ecdsa") else "rsa"
    return f"ssh-keygen -lf /etc/ssh/ssh_host_{family}_key.pub"


def _algorithms(key_types: Sequence[str]) -> list[str]:
    """Signature algorithms for recorded key types: an ssh-rsa key signs with SHA-2."""
    wanted: list[str] = []
    for key_type in key_types:
        wanted += ["rsa-sha2-512", "rsa-sha2-256"] if key_type == "ssh-rsa" else [key_type]
    return [algorithm for algorithm in wanted if algorithm in KEY_TYPES]


def _reason(error: BaseException) -> str:
    text = str(error).strip().rstrip(".")
    return text or type(error).__name__

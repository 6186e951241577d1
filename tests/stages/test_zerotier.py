"""ZeroTier Central as its documentation says, played by a small HTTP server; and what is decided by its answers."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Network
from typing import Any

import pytest

from homewright.stages import zerotier
from homewright.stages.zerotier import Central, OverlayError

NETWORK = "8056c2e21c000001"
TOKEN = "A" * 32
NET = IPv4Network("10.147.17.0/24")


class Service:
    """The account: one network and its members, and answers that fail first."""

    def __init__(self) -> None:
        self.config: dict[str, Any] = {"name": "home", "routes": [], "private": True}
        self.members: dict[str, dict[str, Any]] = {}
        self.failing: list[int] = []
        self.asked: list[tuple[str, str]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else {}
                service.asked.append((self.command, self.path))
                status, said = service.say(self.command, self.path, self.headers.get("Authorization", ""), body)
                text = b"" if said is None else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815 - http.server's names

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/api/v1"

    def say(self, method: str, path: str, who: str, body: dict[str, Any]) -> tuple[int, Any]:
        if self.failing:
            return self.failing.pop(0), {"type": "internal", "message": "busy"}
        if who != f"token {TOKEN}":
            return 401, None
        parts = path.removeprefix("/api/v1/").split("/")
        if parts[:2] != ["network", NETWORK]:
            return 404, None
        if len(parts) == 2:
            if method == "POST":
                self.config |= body["config"]
            return 200, {"id": NETWORK, "config": self.config}
        if len(parts) == 3:
            return 200, list(self.members.values())
        node = parts[3]
        if method == "DELETE":
            return (200, None) if self.members.pop(node, None) else (404, None)
        found = self.members.setdefault(node, {"nodeId": node, "config": {}})
        config = found["config"] | body.get("config", {})
        found |= {**body, "config": config}
        return 200, found


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(zerotier, "PAUSE_S", 0.001)
    made = Service()
    yield made
    made.server.shutdown()
    made.server.server_close()
    made.thread.join()


def test_a_server_is_let_in_with_one_fixed_address_and_forgotten(service: Service) -> None:
    central = Central(TOKEN, service.base)
    values = zerotier.member("one", "home", "10.147.17.10")
    assert not zerotier.is_as(values, None)
    central.set_member(NETWORK, "abcdef0123", values)
    (found,) = central.members(NETWORK)
    assert found["config"] == {"authorized": True, "ipAssignments": ["10.147.17.10"], "noAutoAssignIps": True}
    assert zerotier.is_as(values, found)
    assert not zerotier.is_as(zerotier.member("one", "home", "10.147.17.11"), found)
    central.remove_member(NETWORK, "abcdef0123")
    central.remove_member(NETWORK, "abcdef0123")
    assert central.members(NETWORK) == []


def test_names_of_the_zone_are_asked_at_our_server_alone(service: Service) -> None:
    central = Central(TOKEN, service.base)
    change = zerotier.dns(central.network(NETWORK)["config"], "home.test", "10.147.17.10")
    assert change == {"dns": {"domain": "home.test", "servers": ["10.147.17.10"]}}
    central.set_network(NETWORK, change)
    config = central.network(NETWORK)["config"]
    assert zerotier.dns(config, "home.test", "10.147.17.10") is None, "a second run changes nothing"
    assert config["name"] == "home", "the rest of the network stays as it is"
    assert zerotier.dns(config, "other.test", "10.147.17.10") is None, "somebody else's setting is left alone"
    assert zerotier.dns({}, None, "10.147.17.10") is None


@pytest.mark.parametrize(
    ("token", "network", "failing", "why"),
    [
        ("B" * 32, NETWORK, [], "does not accept the site's token"),
        (TOKEN, "0" * 16, [], "has no network 0000000000000000"),
        (TOKEN, NETWORK, [500, 502, 503, 429], "cannot be used"),
        (TOKEN, NETWORK, [400], "cannot be used"),
    ],
)
def test_what_goes_wrong_is_said_without_the_token(
    service: Service, token: str, network: str, failing: list[int], why: str
) -> None:
    service.failing = failing
    with pytest.raises(OverlayError) as caught:
        Central(token, service.base).network(network)
    assert why in caught.value.what
    assert token not in caught.value.as_text() + repr(Central(token))


def test_a_service_that_is_busy_is_asked_again(service: Service) -> None:
    service.failing = [429, 503]
    assert Central(TOKEN, service.base).network(NETWORK)["id"] == NETWORK
    assert len(service.asked) == 3


def test_a_service_that_is_not_there_is_said(service: Service) -> None:
    with pytest.raises(OverlayError, match="cannot be used"):
        Central(TOKEN, "http://127.0.0.1:1/api/v1").network(NETWORK)


WANTED = {"one": "10.147.17.10", "two": "10.147.17.11"}
PRINTER = {"nodeId": "1111111111", "name": "printer", "config": {"ipAssignments": ["10.147.17.11"]}}


@pytest.mark.parametrize(
    ("routes", "members", "why"),
    [
        ([], [], ""),
        ([{"target": "10.147.17.0/24"}], [], ""),
        ([{"target": "10.147.0.0/16", "via": None}, {"target": "192.0.2.0/24", "via": "10.147.17.1"}], [], ""),
        ([{"target": "10.244.0.0/16"}], [], "uses 10.244.0.0/16, and the site plans 10.147.17.0/24"),
        ([], [PRINTER], "10.147.17.11, which two is to have in the overlay, is printer's"),
        ([], [PRINTER | {"nodeId": "2222222222"}], ""),
        ([{"target": "fd00::/88"}], [{"nodeId": "3", "config": {"ipAssignments": None}}], ""),
    ],
)
def test_a_network_that_is_somebody_elses_is_refused(
    routes: list[dict[str, Any]], members: list[dict[str, Any]], why: str
) -> None:
    def look() -> None:
        zerotier.refuse(NETWORK, {"routes": routes}, members, WANTED, NET, ["2222222222"])

    if not why:
        look()
        return
    with pytest.raises(OverlayError) as caught:
        look()
    assert why in caught.value.what


LISTED = json.dumps(
    [
        {"id": NETWORK, "status": "OK", "assignedAddresses": ["10.147.17.10/24", "fd80:56c2::1/88"]},
        {"nwid": "0" * 16, "status": "ACCESS_DENIED", "assignedAddresses": []},
    ]
)


@pytest.mark.parametrize(
    ("text", "network", "state", "mine"),
    [
        (LISTED, NETWORK, "OK", True),
        (LISTED, "0" * 16, "ACCESS_DENIED", False),
        ("[]", NETWORK, "", False),
        ("", NETWORK, "", False),
        ("zerotier-cli: missing authentication token", NETWORK, "", False),
    ],
)
def test_what_a_server_says_of_its_networks(text: str, network: str, state: str, mine: bool) -> None:
    found, addresses = zerotier.joined(text, network)
    assert (found, zerotier.has(addresses, "10.147.17.10")) == (state, mine)


def packet(body: bytes, *, new: bool) -> bytes:
    """An armored file with one packet of a public key (RFC 4880, 4.2 and 6.2)."""
    size = len(body)
    if not new:
        head = bytes([0x99]) + size.to_bytes(2, "big")
    else:
        head = bytes([0xC6, size] if size < 192 else [0xC6, (size - 192 >> 8) + 192, (size - 192) & 255])
    text = base64.encodebytes(head + body + b"\xb4\x01x").decode()
    begin, end = (f"-----{word} PGP PUBLIC KEY BLOCK-----" for word in ("BEGIN", "END"))
    return f"{begin}\nVersion: 1\n\n{text}=abcd\n{end}\n".encode()


@pytest.mark.parametrize("size", [100, 525])
def test_the_key_of_the_packages_is_known_by_its_fingerprint(size: int) -> None:
    body = b"\4" + bytes(range(256)) * 3
    body = body[:size]
    found = {zerotier.fingerprint(packet(body, new=new)) for new in (False, True)}
    assert len(found) == 1
    assert len(found.pop()) == 40
    assert zerotier.fingerprint(packet(b"\4" + body[1:-1] + b"!", new=False)) not in found
    assert zerotier.fingerprint(b"<html>not found</html>") == ""
    assert zerotier.fingerprint(packet(b"\3" + body, new=True)) == "", "an older kind of key"

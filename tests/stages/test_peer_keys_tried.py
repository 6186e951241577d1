"""Which names the account's ssh has to try for itself, and which are told by the address."""

from __future__ import annotations

import pytest

from homewright.stages.peer_keys_tried import Way, alike, ways_of

HERE = Way(frozenset({"10.0.0.2"}), ("port 22", "user homewright-peer"))
LINE = "two.home.internal,two,10.0.0.2 ssh-ed25519 AAAA\n"


@pytest.mark.parametrize(
    ("name", "known", "same"),
    [
        (HERE, LINE, True),
        (HERE, LINE + "three,10.0.0.3 ssh-ed25519 CCCC\n", True),
        (None, LINE, False),
        (Way(frozenset(), HERE.settings), LINE, False),
        (Way(frozenset({"10.0.0.9"}), HERE.settings), LINE, False),
        (Way(frozenset({"10.0.0.2", "127.0.1.1"}), HERE.settings), LINE, False),
        (Way(HERE.addresses, ("port 2222", "user homewright-peer")), LINE, False),
        (HERE, "10.0.0.2 ssh-ed25519 AAAA\n", False),
        (HERE, "two.home.internal,two ssh-ed25519 AAAA\n", False),
        (HERE, LINE + "two ssh-ed25519 BBBB\n", False),
        (HERE, LINE + "@revoked two ssh-ed25519 AAAA\n", False),
        (HERE, LINE + "t* ssh-ed25519 AAAA\n", False),
        (HERE, LINE + "|1|c2FsdA==|aGFzaA== ssh-ed25519 AAAA\n", False),
        (HERE, "", False),
    ],
)
def test_a_name_is_tried_unless_ssh_goes_the_same_way_by_it(name: Way | None, known: str, same: bool) -> None:
    assert alike(name, HERE, known, "two", "10.0.0.2") is same


def test_another_port_is_part_of_the_pattern() -> None:
    known = "[two]:2222,[10.0.0.2]:2222 ssh-ed25519 AAAA\n"
    assert alike(HERE, HERE, known, "[two]:2222", "[10.0.0.2]:2222")
    assert not alike(HERE, HERE, known, "two", "10.0.0.2")


def test_only_the_target_itself_is_left_out_of_what_ssh_says() -> None:
    def said(target: str, hostname: str, port: int) -> str:
        addresses = "10.0.0.2        STREAM \n10.0.0.2        DGRAM  \n"
        return f"\036\n{target}\n{addresses}\n--\nhost {target}\nhostname {hostname}\nport {port}\n"

    ways = ways_of(said("two", "two", 22) + said("10.0.0.2", "10.0.0.2", 22) + said("elsewhere", "gate", 22))
    assert ways["two"] == ways["10.0.0.2"] == Way(frozenset({"10.0.0.2"}), ("port 22",))
    assert ways["elsewhere"].settings == ("hostname gate", "port 22")

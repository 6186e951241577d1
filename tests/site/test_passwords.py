"""How strong passwords are, and the shapes of tokens."""

from __future__ import annotations

import pytest

from homewright.site.accounts import ACCOUNTS, CLOUDFLARE, GITHUB, HUGGING_FACE, TYPED, ZEROTIER, account, reason
from homewright.site.passwords import generate, strength


@pytest.mark.parametrize(
    ("text", "word", "reason"),
    [
        ("", "weak", "this is needed"),
        ("Short1!", "weak", "has 7 characters"),
        ("Aa1" + "x9K!" * 40, "strong", "has 163 characters"),
        ("nocapitalsatall77", "fair", "needs a capital"),
        ("NODIGITSnothing", "fair", "needs a digit"),
        ("Tröstlich-77-Wort", "strong", "some service refuses"),
        (" Leading-blank-77x", "strong", "some service refuses"),
        ("Password1234567", "weak", "easy to guess"),
        ("P@ssw0rdP@ssw0rd1", "weak", "easy to guess"),
        ("aaaaaaaaaaaaaaaA1", "weak", "easy to guess"),
        ("Abcdefghijkl123", "weak", "easy to guess"),
        ("Qwertzuiop12345", "weak", "easy to guess"),
        ("Attic-Attic-2024", "weak", "easy to guess"),
        ("Lamp7-Gravel-Otter", "strong", ""),
        ("k7Gm-q9Ls2-Ttr", "strong", ""),
    ],
)
def test_strength(text: str, word: str, reason: str) -> None:
    found = strength(text, ["attic", "admin"])
    assert (found.word, reason in found.reason) == (word, True), found
    assert bool(found.reason) == bool(reason)


def test_what_is_made_passes_its_own_rules() -> None:
    made = {generate() for _ in range(200)}
    assert len(made) == 200 and not any(strength(one).reason for one in made)


GOOD = {
    GITHUB: ("ghp_" + "a" * 36, "github_pat_" + "A1_" * 27),
    HUGGING_FACE: ("hf_" + "aB" * 17,),
    CLOUDFLARE: ("x" * 40, "cfut_" + "a" * 48, "cfat_" + "9" * 48),
    ZEROTIER: ("aB3" * 10 + "xy",),
}
BAD = {
    GITHUB: (
        ("ghs_" + "a" * 36, "ends by itself"),
        ("a" * 40, "old kind"),
        ("ghp_short", "does not look"),
        ("", "needed"),
    ),
    HUGGING_FACE: (("api_abc", "old kind"), ("hf_short", "does not look"), ("hf_a b", "blank")),
    CLOUDFLARE: (("a1b2c3d4e5f60718293a4b5c6d7e8f9012345"[:37], "Global API Key"), ("x" * 39, "39 characters")),
    ZEROTIER: (("8056c2e21c000001", "network id"), ("8056c2e21c", "address of a node"), ("z" * 31, "31 characters")),
}


def test_shapes_of_tokens() -> None:
    assert {one.name for one in ACCOUNTS} == set(GOOD) == set(BAD)
    for one in ACCOUNTS:
        for value in GOOD[one.name]:
            assert reason(one, value) == "", value
        for value, words in BAD[one.name]:
            assert words in reason(one, value), value
            assert not value or value not in reason(one, value)
    assert all(account(one.name) is one for one in TYPED) and account("nothing") is None

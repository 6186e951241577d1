"""Names of a workspace's parts."""

from __future__ import annotations

import random
import re

import pytest

from homewright.errors import UsageError
from homewright.workspaces import naming
from homewright.workspaces.models import Key

_LABEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")


@pytest.mark.parametrize(
    ("user", "name", "slug"),
    [
        ("alice", "default", "alice"),
        ("a", "default", "a"),
        ("a-b", "default", "a-b"),
        ("x" * 40, "default", "x" * 40),
        ("alice", "train", "alice-train---"),
        ("bob@corp.com", "default", "bob-corp-com---"),
        ("Alice", "default", "alice---"),
        ("7of9", "default", "x-7of9---"),
        ("a--b", "default", "a-b---"),
        ("alice-", "default", "alice---"),
        ("x" * 41, "default", "x" * 27 + "---"),
        ("日本", "default", "x---"),
        ("Ünal", "default", "nal---"),
        ("..", "default", "x---"),
    ],
)
def test_a_slug_is_the_user_id_or_says_a_hash(user: str, name: str, slug: str) -> None:
    found = naming.slug(user, name)
    if slug.endswith("---"):
        assert re.fullmatch(re.escape(slug) + "[0-9a-f]{10}", found), found
    else:
        assert found == slug


def test_slugs_never_change() -> None:
    """They name folders with people's data: another one would detach them from it."""
    assert naming.slug("bob@corp.com", "train") == "bob-corp-com-train---8d85e704af"
    assert naming.system_user(naming.slug("bob@corp.com", "train")) == "hw-bob-corp-com-trai--a91c1a7093"


@pytest.mark.parametrize(
    "pairs",
    [
        [("a-b", "default"), ("a", "b"), ("a", "b-default"), ("a-b-default", "x")],
        [("a.b", "default"), ("a_b", "default"), ("a@b", "default"), ("a b", "default"), ("a-b", "default")],
        [("alice", "default"), ("Alice", "default"), ("ALICE", "default"), ("alice", "Default")],
        [("a,b", "c"), ("a", "b,c"), ('a","b', "c"), ("a", 'b","c')],
    ],
)
def test_pairs_that_look_alike_never_meet(pairs: list[tuple[str, str]]) -> None:
    assert len({naming.slug(*pair) for pair in pairs}) == len(pairs)


def _made_up(count: int) -> list[tuple[str, str]]:
    chance = random.Random(20261121)
    letters = "abzAZ059-._@ ü日" + "-" * 6
    pairs = set()
    while len(pairs) < count:
        user = "".join(chance.choice(letters) for _ in range(chance.randint(1, 60)))
        name = chance.choice(["default", "".join(chance.choice(letters) for _ in range(chance.randint(1, 20)))])
        pairs.add((user, name))
    return sorted(pairs)


def test_every_slug_and_every_linux_user_is_legal_and_nobody_else_s() -> None:
    pairs = _made_up(4000)
    slugs = [naming.slug(*pair) for pair in pairs]
    assert len(set(slugs)) == len(pairs)
    for slug in slugs:
        assert len(slug) <= 40
        assert _LABEL.fullmatch(slug), slug
    # What one person's slug looks like may be another's user id: also then nobody meets.
    slugs += [slug for slug in (naming.slug(slug) for slug in slugs) if slug not in set(slugs)]
    users = [naming.system_user(slug) for slug in slugs]
    assert len(set(users)) == len(slugs)
    for user in users:
        assert len(user) <= 32
        assert re.fullmatch(r"[a-z_][a-z0-9_-]*", user), user
    assert all(len(naming.unit(slug)) <= 255 for slug in slugs)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("alice", Key(user="alice")),
        ("alice/train", Key(user="alice", name="train")),
        ("alice/train@w1", Key(user="alice", name="train", node="w1")),
        ("bob@corp.com", Key(user="bob@corp.com")),
        ("bob@corp.com/default@w2", Key(user="bob@corp.com", node="w2")),
    ],
)
def test_a_key_is_read_and_written(text: str, key: Key) -> None:
    assert naming.parse_key(text) == key
    assert naming.parse_key(str(key)) == key


@pytest.mark.parametrize(
    "text", ["", "alice/", "/train", "a/b/c", "alice/\x1b[31m", " alice", "x" * 300, "a/" + "b" * 64]
)
def test_what_names_no_workspace_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        naming.parse_key(text)
    assert refused.value.do


@pytest.mark.parametrize(
    ("key", "field", "instead"),
    [
        (Key(user="ada lovelace"), "user", "ada-lovelace"),
        (Key(user="alice", name="my  train"), "name", "my-train"),
        (Key(user="alice", name="my\u00a0train"), "name", "my-train"),
    ],
)
def test_none_with_a_space_in_it_is_made_and_one_that_is_there_is_found(key: Key, field: str, instead: str) -> None:
    with pytest.raises(UsageError) as refused:
        naming.require_makeable(key)
    assert f"Its {field} must not contain a space" in refused.value.why
    assert refused.value.do == (f"write {instead}",)
    assert naming.parse_key(str(key)) == key


def test_two_nodes_for_one_workspace_are_refused() -> None:
    with pytest.raises(UsageError):
        naming.parse_key("alice/train@w1", "w2")
    assert naming.parse_key("alice/train@w1", "w1").node == "w1"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("10.0.0.7", "https://10.0.0.7:8501/"),
        (naming.host_name("alice", "s2", "home.internal"), "https://code-alice.s2.home.internal:8501/"),
    ],
)
def test_the_url_names_the_node(host: str, url: str) -> None:
    assert naming.node_url(host, 8501) == url

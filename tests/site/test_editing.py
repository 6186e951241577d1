"""Changes in place: whatever the file looks like, only what changed is touched."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from homewright.errors import SiteError
from homewright.site import files
from homewright.site.editing import changed_text, new_text
from homewright.site.models import HostVenv, Server, Site, SudoSettings

STYLES = """\
# top
version: 1  # v
name: "attic"   # the name
# our servers
servers:
# first comment
- name: s1   # eol s1
  address: 10.0.0.1
  user: lab

# second server
- name: s2
  address: '10.0.0.2'
  user: lab
  port: 2222
  # trailing inside
- {name: s3, address: 10.0.0.3, user: lab}   # flow
-
  # inside
  name: s4
  address: 10.0.0.4
  user: lab
# zone comment
zone: home.internal
environment:
  A: "1"
  # about B
  B: two
  C: |
    text
sudo: {keep: true}
host_venv:
  packages: [a, b]
workspaces:
  master: s1
  code_server:
    bundle: official
"""


def site_of(text: str) -> Site:
    return files.parse(text.encode(), "site.yaml")


def changed(text: str, **answers: Any) -> str:
    old = site_of(text)
    new = old.model_copy(update=answers)
    result = changed_text(text, old, new)
    assert site_of(result) == new
    return result


HEAD = "version: 1\nname: attic\n"


@pytest.mark.parametrize(
    ("before", "answers", "after"),
    [
        ("zone: a.b   # why\n", {"zone": "c.d"}, "zone: c.d   # why\n"),
        ("zone: 'a.b'\n", {"zone": "c.d"}, "zone: 'c.d'\n"),
        ("zone: a.b\n# tail\n", {"zone": None}, "# tail\n"),
        ("zone:   # none yet\n", {"zone": "c.d"}, "zone: c.d   # none yet\n"),
        ("environment: {}  # few\n", {"environment": {"A": "1"}}, 'environment:  # few\n  A: "1"\n'),
        ("environment: {A: x}\n", {"environment": {"A": "y"}}, "environment: {A: y}\n"),
        ("environment: {A: x}\n", {"environment": {"A": "x", "B": "z"}}, "environment: {A: x, B: z}\n"),
        ("environment:\n  A: x  # a\n# end\n", {"environment": {}}, "environment: {}\n# end\n"),
        ("environment:\n    A: x", {"environment": {"A": "x", "B": "1"}}, 'environment:\n    A: x\n    B: "1"\n'),
        ("environment:\r\n  A: x\r\n", {"environment": {"A": "x", "B": "y"}},
         "environment:\r\n  A: x\r\n  B: y\r\n"),
        ("host_venv:\n  packages:\n  - a\n  # c\n  - b\n", {"host_venv": HostVenv(packages=("b",))},
         "host_venv:\n  packages:\n  # c\n  - b\n"),
        ("host_venv:\n  packages:\n  - a\n  - b\n", {"host_venv": HostVenv(packages=("b", "a"))},
         "host_venv:\n  packages:\n  - b\n  - a\n"),
        ("host_venv: {packages: [a, b]}\n", {"host_venv": HostVenv(packages=("b", "c=1"))},
         "host_venv: {packages: [b, c=1]}\n"),
    ],
)  # fmt: skip
def test_only_what_changed_is_touched(before: str, answers: dict[str, Any], after: str) -> None:
    newline = "\r\n" if "\r\n" in before else "\n"
    head = HEAD.replace("\n", newline)
    assert changed(head + before, **answers) == head + after


def test_servers_come_go_and_move_with_their_comments() -> None:
    site = site_of(STYLES)
    s1, s2, s3, s4 = site.servers
    new = Server(name="s5", address="10.0.0.5", user="lab")
    moved = changed(STYLES, servers=(s4, s1, s2, new))
    assert [line for line in moved.splitlines() if "#" in line and "flow" not in line] == [
        "# top", "version: 1  # v", 'name: "attic"   # the name', "# our servers", "# first comment", "  # inside",
        "# second server", "- name: s1   # eol s1", "  # trailing inside", "# zone comment", "  # about B",
    ]  # fmt: skip
    assert s3.name not in moved
    # What stands between a field's name and its list is about the list and stays there.
    alone = moved.replace("  master: s1\n", "")
    assert changed(alone, servers=()).count("servers: []\n# first comment\n") == 1


@pytest.mark.parametrize(
    "value",
    ["1", "true", "null", "~", "", " x", "x ", "a: b", "a #b", "#", "'", '"', "it's", "- x", "[x", "{x", "&x", "*x",
     "!x", "%x", "@x", "`x", "|", ">", "2001-01-01", "0x1f", "1e3", ".inf", "a\nb", "\t", "\x7f", "☃",
     "\U0001f600", "\ufeff",
     "\x85", "\u2028", "\\", "a,b", "x:", "é", "=", "<<", "---", "...", "http://x/y?z=1", "SHA256:abc/+"],
)  # fmt: skip
def test_every_text_survives(value: str) -> None:
    site = site_of(HEAD).model_copy(update={"environment": {"A": value, "B": "x"}})
    assert site_of(new_text(site)) == site
    for before in ("environment: {A: 'x', B: x}\n", 'environment:\n  A: "x"\n  B: x\n', "environment: {A: x, B: x}\n"):
        changed(HEAD + before, environment={"A": value, "B": "x"})


WHOLE_LINES = re.compile(r"^# [a-z]+ comment$", re.MULTILINE)
CHARACTERS = "\t\n :-#[]{}&*!|>'\"%@`,?~.0aé\r\x00\x85\u2028\ufeff"
PIECES = (
    "null",
    "true",
    "1e9",
    "[]",
    "{}",
    "<<: *a",
    "&a x",
    "!!int 3",
    "- ",
    "? ",
    "|\n x",
    "0x10",
    "2001-01-01",
    "...",
)


def mutated(text: str, dice: random.Random) -> str:
    for _ in range(dice.choice([0, 1, 1, 2, 4])):
        at = dice.randint(0, len(text))
        to = min(len(text), at + dice.randint(0, 30))
        match dice.randint(0, 5):
            case 0:
                text = text[:at] + dice.choice(CHARACTERS) + text[at:]
            case 1:
                text = text[:at] + text[to:]
            case 2:
                text = text[:at] + text[at:to] * dice.randint(2, 5) + text[to:]
            case 3:
                lines = text.split("\n")
                lines.insert(dice.randint(0, len(lines)), lines.pop(dice.randrange(len(lines))))
                text = "\n".join(lines)
            case 4:
                text = text[:at] + dice.choice(PIECES) + text[to:]
            case _:
                text = text[:at] + dice.choice(CHARACTERS) + text[at + 1 :]
    return text


def another(site: Site, dice: random.Random) -> Site:
    servers = [server for server in site.servers if dice.random() < 0.7]
    dice.shuffle(servers)
    if dice.random() < 0.5 and "new" not in {server.name for server in servers}:
        servers.append(Server(name="new", address="10.9.9.9", user="x", port=dice.choice([22, 2222])))
    environments = (site.environment, {}, {"A": "x: y", "Z": "1"}, {**site.environment, "Q": "it's \x7f ☃ \n #"})
    packages = tuple(dice.choices(["a", "b", "c==1", "d"], k=dice.randint(0, 4)))
    return site.model_copy(
        update={
            "servers": tuple(servers),
            "zone": dice.choice([None, "a.b", site.zone]),
            "environment": dice.choice(environments),
            "sudo": SudoSettings(keep=dice.random() < 0.5),
            "host_venv": HostVenv(packages=packages, folder=dice.choice([None, "/x"])),
            "workspaces": site.workspaces.model_copy(update={"master": None, "first_port": dice.choice([8500, 9000])}),
        }
    )


def fuzz(seed: int, rounds: int) -> int:
    """Mutate the file; what loads is changed three times. How many loaded."""
    dice = random.Random(seed)
    loaded = 0
    for _ in range(rounds):
        text = mutated(STYLES, dice)
        try:
            site = files.parse(text.encode(), "site.yaml")
        except SiteError as error:
            assert error.problems and error.problems[0].reason
            continue
        loaded += 1
        text = text.encode().decode("utf-8-sig")
        for _ in range(3):
            new = another(site, dice)
            result = changed_text(text, site, new)
            assert site_of(result) == new, (seed, text, result)
            if {server.name for server in site.servers} <= {server.name for server in new.servers}:
                # A comment inside a server goes with it; all others stay.
                assert set(WHOLE_LINES.findall(text)) <= set(WHOLE_LINES.findall(result))
            text, site = result, new
    return loaded


@pytest.mark.parametrize("seed", range(4))
def test_mutated_files_load_or_say_why_and_keep_what_they_hold(seed: int) -> None:
    assert fuzz(seed, 60) > 5


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 120))
def test_many_mutated_files(seed: int) -> None:
    assert fuzz(seed, 500) > 50

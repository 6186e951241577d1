"""The frame of the command line: what no typing mistake, pipe, locale, defect or missing terminal breaks."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from homewright import cli
from homewright.cli import VERBS, build_parser, full_screen, options_of, split, wizard_parser
from homewright.cli.output import Output
from homewright.engine.states import Action, State
from homewright.errors import VERBS_OF_A_SITE, UsageError, speak_of
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder

if TYPE_CHECKING:
    from .conftest import Run

MAIN = "import sys; from homewright.cli import main; sys.exit(main())"


@pytest.mark.parametrize(
    ("arguments", "verb", "ordered"),
    [
        ([], None, []),
        (["--site", "lab"], None, ["--site", "lab"]),
        (["--site", "lab", "status"], "status", ["status", "--site", "lab"]),
        (["--site=lab", "status", "--json"], "status", ["status", "--site=lab", "--json"]),
        (["--json", "site", "show", "name"], "site", ["site", "--json", "show", "name"]),
        (["--stages", "site", "--state", "plan", "apply"], "apply", ["apply", "--stages", "site", "--state", "plan"]),
        (["site", "set", "name", "lab"], "site", ["site", "set", "name", "lab"]),
        (["--help"], None, ["--help"]),
    ],
)
def test_the_verb_is_never_an_options_value(arguments: list[str], verb: str | None, ordered: list[str]) -> None:
    assert split(arguments) == (verb, ordered)


@pytest.mark.parametrize(("typed", "meant"), [("stauts", "status"), ("workspaces", "workspace"), ("aply", "apply")])
def test_an_unknown_verb_is_answered_with_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        split([typed])
    assert f"did you mean: homewright {meant}?" in caught.value.do


@pytest.mark.parametrize(
    ("given", "said", "typed"),
    [
        ("status", "do it again: homewright apply --yes", "do it again: homewright apply --yes"),
        ("--site attic status", "homewright apply", "homewright --site attic apply"),
        ("status --site=attic --state /s", "or: homewright plan", "or: homewright --site attic --state /s plan"),
        ("--state '/my s' status", "first: homewright plan", "first: homewright --state '/my s' plan"),
        ("--stages /a --stages /b plan", "homewright plan", "homewright --stages /a --stages /b plan"),
        ("--site attic status", "make them: homewright lab up", "make them: homewright lab up"),
        ("--site attic status", "or the wizard: homewright", "or the wizard: homewright --site attic"),
        ("--site attic status", "homewright --site other site show", "homewright --site other site show"),
        ("trust s1 -- --site attic", "homewright trust s1", "homewright trust s1"),
        ("status --site", "homewright status", "homewright status"),
    ],
)
def test_a_remedy_names_the_site_that_the_user_named(given: str, said: str, typed: str) -> None:
    try:
        speak_of(**options_of(shlex.split(given)))
        error = UsageError("So it is.", "", [said])
        assert error.do == (typed,)
        assert typed in error.as_text()
        assert error.as_json()["error"]["do"] == [typed]
    finally:
        speak_of()


def test_every_verb_has_a_module_that_says_what_it_does() -> None:
    text = cli.build_parser().format_help()
    for verb in VERBS:
        assert verb in text
        assert callable(cli.module(verb).run)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("stauts",), 2, "did you mean: homewright status?"),
        (("--nonsense",), 2, "--nonsense"),
        (("site",), 2, "ACTION"),
        (("site", "shwo"), 2, "shwo"),
        (("site", "show", "--si", "x"), 2, "unrecognized arguments"),
        (("schema", "nonsense"), 2, "nonsense"),
        (("--site",), 2, "--site"),
        (("--site", "nowhere.yaml", "site", "show"), 2, "There is no site file"),
        (("--site", "nowhere.yaml"), 2, "There is no site file"),
        (("--site", "nosuch", "status"), 2, "There is no site nosuch"),
        (("--site", "nosuch"), 2, "make it: homewright site new nosuch"),
        (("lab", "up", "--servers", "99"), 2, "1 to 20 practice servers"),
    ],
)
def test_usage_errors_have_three_parts_and_code_2(
    homewright: Run, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = homewright(*arguments)
    assert result.returncode == code
    assert result.stdout == ""
    assert result.stderr.startswith("error: ") and words in result.stderr and "Traceback" not in result.stderr
    document = json.loads(homewright(*arguments, "--json").stdout)
    assert document["error"]["code"] in ("usage", "site") and document["error"]["what"]


def test_help_and_version(homewright: Run) -> None:
    assert homewright("--version").stdout == f"homewright {cli.version()}\n"
    assert homewright("--version", "lab").stdout == f"homewright {cli.version()}\n"
    everything = homewright("--help")
    assert everything.returncode == 0 and all(verb in everything.stdout for verb in VERBS)
    assert "validate" in homewright("site", "--help").stdout


def test_without_a_terminal_it_says_where_things_stand(homewright: Run) -> None:
    nothing = homewright()
    assert nothing.returncode == 0 and "homewright lab up" in nothing.stdout
    homewright("site", "new", "attic", "--server", "s1=ann@10.0.0.1")
    homewright("site", "new", "cellar")
    for environment in ({}, {"TERM": "dumb"}):
        result = homewright(**environment)
        assert "site attic: 1 server, not yet trusted" in result.stdout
        assert "next: homewright --site attic trust --all" in result.stdout
        assert "site cellar: no servers yet" in result.stdout
    document = json.loads(homewright("--json").stdout)
    assert [site["name"] for site in document["sites"]] == ["attic", "cellar"]
    assert document["version"] == 1


def test_plain_is_taken_by_every_command_before_and_behind_it(homewright: Run) -> None:
    def without(parser: argparse.ArgumentParser) -> Iterator[str]:
        below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        for action in below:
            for child in action.choices.values():
                yield from without(child)
        if not below and "--plain" not in parser._option_string_actions:
            yield parser.prog

    assert list(without(build_parser())) == []
    homewright("site", "new", "attic", "--server", "s1=ann@10.0.0.1")
    for verb in ("plan",), ("site", "show"), ("status",):
        said = homewright(*verb)
        for words in (("--plain", *verb), (*verb, "--plain")):
            plain = homewright(*words)
            assert (plain.returncode, plain.stdout, plain.stderr) == (said.returncode, said.stdout, said.stderr)


def test_plain_says_where_things_stand_on_a_terminal_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOMEWRIGHT_SITE", raising=False)
    monkeypatch.setattr(cli, "full_screen", lambda *_: True)
    assert cli.main(["--plain"]) == 0
    assert capsys.readouterr().out.startswith("Help: homewright --help\n\nThere is no site yet.\n")


def test_a_broken_site_is_part_of_where_things_stand(homewright: Run, tmp_path: Path) -> None:
    (tmp_path / "here" / "site.yaml").write_text("nmae: x\n")
    result = homewright()
    assert result.returncode == 0 and "site validate" in result.stdout and "wrong" in result.stdout


@pytest.mark.parametrize(
    ("terminal", "kind", "full"),
    [
        (True, "xterm-256color", True),
        (True, "linux", True),
        (True, "dumb", False),
        (True, "", False),
        (False, "xterm", False),
    ],
)
def test_which_terminals_get_the_screens(terminal: bool, kind: str, full: bool) -> None:
    assert full_screen(terminal, kind) is full


@pytest.mark.programs
def test_a_reader_that_leaves_ends_it_quietly(environment: dict[str, str], tmp_path: Path) -> None:
    program = f"{sys.executable} -c '{MAIN}' schema site | head -n 1; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(
        ["bash", "-c", program], capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60, check=False
    )
    assert result.stdout == "{\n0\n" and result.stderr == ""
    closed = subprocess.run(
        ["bash", "-c", f"{sys.executable} -c '{MAIN}' schema site >&-"],
        capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in closed.stderr


@pytest.mark.programs
@pytest.mark.parametrize(
    "locale",
    [{"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "ascii:strict"}],
)
def test_glyphs_have_an_ascii_form_where_there_is_no_utf_8(homewright: Run, locale: dict[str, str]) -> None:
    result = homewright(**locale)
    assert result.returncode == 0 and result.stderr == ""
    assert "NAME=USER@ADDRESS ..." in result.stdout
    homewright("site", "new", "attic", "--here")
    homewright("site", "set", "environment.A", "é☃")
    assert json.loads(homewright("site", "show", "environment.A", "--json", **locale).stdout)["value"] == "é☃"


@pytest.mark.programs
def test_a_defect_shows_no_traceback_and_keeps_it_privately(environment: dict[str, str], tmp_path: Path) -> None:
    code = f"import homewright.cli as c\nc.VERBS['site'] = c.Verb('homewright.no_such_module', '')\n{MAIN}"
    for options in ([], ["--json"]):
        result = subprocess.run(
            [sys.executable, "-c", code, "site", "show", "canary-value", *options],
            capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60, check=False,
        )  # fmt: skip
        assert result.returncode == 1
        assert "Traceback" not in result.stdout + result.stderr
        assert "defect of Homewright" in (result.stdout if options else result.stderr)
    for file in (tmp_path / "state" / "homewright" / "defects").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert "ModuleNotFoundError" in file.read_text() and "canary" not in file.read_text()


@pytest.mark.programs
def test_a_defect_without_a_state_folder_still_ends_well(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    code = f"import homewright.cli as c\nc.VERBS['site'] = c.Verb('homewright.no_such_module', '')\n{MAIN}"
    result = subprocess.run(
        [sys.executable, "-c", code, "site", "show"],
        capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False,
        env={**environment, "XDG_STATE_HOME": str(tmp_path / "file")},
    )  # fmt: skip
    assert result.returncode == 1 and result.stderr.startswith("error: This is a defect of Homewright.")


@pytest.mark.programs
def test_the_keyboard_stops_it_with_code_4(environment: dict[str, str], tmp_path: Path) -> None:
    main, terminal = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, "site", "new"],
        stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=tmp_path,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert process.stderr.read(len("Name of the site: ")) == b"Name of the site: "
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    os.close(main)
    os.close(terminal)
    assert process.returncode == 4 and b"Stopped by the keyboard" in errors and b"Traceback" not in errors


@pytest.mark.programs
@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (
            ("--version",),
            ("argparse.pydantic", "pydantic", "rich", "textual", "yaml", "ruamel", "paramiko", "kubernetes"),
        ),
        (("--help",), ("pydantic", "rich", "textual", "ruamel", "paramiko", "kubernetes")),
        *(
            ((verb, "--help"), ("pydantic", "rich", "textual", "ruamel", "paramiko", "cryptography", "kubernetes"))
            for verb in VERBS
        ),
        (
            ("completions", "bash"),
            (
                "pydantic",
                "ruamel",
                "paramiko",
                "cryptography",
                "rich",
                "textual",
                "ansible",
                "ansible_runner",
                "pyinfra",
                "kubernetes",
                "pylxd",
            ),
        ),
        (("stauts",), ("pydantic", "rich", "textual", "ruamel", "paramiko", "kubernetes")),
        (("site", "validate"), ("rich", "textual", "paramiko", "ansible", "pyinfra", "kubernetes", "cryptography")),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_a_verb_imports_no_room_that_it_does_not_need(
    environment: dict[str, str], tmp_path: Path, arguments: tuple[str, ...], unwanted: tuple[str, ...]
) -> None:
    (tmp_path / "site.yaml").write_text("version: 1\nname: attic\n")
    code = (
        "import sys\nfrom homewright.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60, check=False,
    )  # fmt: skip
    loaded = set(result.stderr.splitlines()[-1].split())
    assert "argparse" in loaded
    assert not loaded & set(unwanted)


@pytest.mark.parametrize(
    ("state", "says", "verb"),
    [
        (None, "2 servers, nothing run yet", "plan"),
        (State.RUNNING, "last apply running (40 %)", "attach"),
        (State.SUCCEEDED, "last apply succeeded", "workspace list"),
        (State.FAILED, "last apply failed", "status"),
        (State.INTERRUPTED, "last apply interrupted", "resume"),
    ],
)
def test_what_comes_next_follows_from_the_last_run(state: State | None, says: str, verb: str, tmp_path: Path) -> None:
    from homewright.cli.standing import decide
    from homewright.engine.journal.records import RunRecord

    servers = tuple(Server(name=f"s{number}", address=f"10.0.0.{number}", user="ann") for number in (1, 2))
    folder = StateFolder(tmp_path).create()
    assert decide(Site(name="attic", servers=servers), folder, None)[1] == "trust --all"
    folder.key.write_text("x")
    folder.known_hosts.write_text("x")
    record = state and RunRecord(id="r", action=Action.RUN, state=state, created=0.0, percent=40.0)
    said, comes = decide(Site(name="attic", servers=servers), folder, record)
    assert says in said and comes == verb


@pytest.mark.programs
@pytest.mark.parametrize("verb", ["", "site new"])
def test_a_closed_standard_input_is_no_defect(environment: dict[str, str], tmp_path: Path, verb: str) -> None:
    result = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {verb} <&-', sys.executable, MAIN],
        capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == (2 if verb else 0), result.stderr
    assert "defect" not in result.stderr


def test_the_wizard_gets_the_options_that_the_whole_parser_would_give() -> None:
    assert vars(wizard_parser().parse_args([])) == vars(build_parser(only="").parse_args([]))


def test_nothing_that_is_printed_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "a\x1b]0;title\x07\x1b[2J\x9b1mb\r\x08"
    assert UsageError(evil, evil, [evil]).as_text().count("a]0;title[2J1mb") == 3
    output = Output()
    output.line(f"\x1b[31m{evil}\x1b[0m\tend")
    output.progress(evil)
    printed = capsys.readouterr()
    assert printed.out == "\x1b[31ma]0;title[2J1mb\x1b[0m\tend\n"
    assert printed.err == "a]0;title[2J1mb\n"


def test_remedies_know_which_verbs_are_about_a_site() -> None:
    assert set(VERBS_OF_A_SITE) == set(VERBS) - {"lab", "schema", "completions", "stages"}

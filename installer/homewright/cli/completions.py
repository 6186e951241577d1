"""`homewright completions SHELL`: a script that completes verbs, actions, options and choices.

Generated from our own argparse tree: the libraries that do so leave out fish, or need the command to run at every tab.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from homewright.cli.output import Output

SHELLS = ("bash", "zsh", "fish")
FILES = ("FILE", "DIR", "FOLDER", "PATH", "BUNDLE")
"""Metavars that stand for a file or folder: the shell completes those itself."""


@dataclass(frozen=True)
class Option:
    """One option: its names, and what its value may be, where it takes one."""

    names: tuple[str, ...]
    help: str
    valued: bool
    choices: tuple[str, ...] = ()
    file: bool = False


@dataclass(frozen=True)
class Level:
    """What may come after some words: `path` is those words ("workspace create")."""

    path: str
    words: tuple[tuple[str, str], ...]
    """Verbs, actions and choices, each with its help."""
    options: tuple[Option, ...]
    file: bool = field(default=False)
    """Whether a file may come here."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def run(args: argparse.Namespace, output: Output) -> int:
    from homewright.cli import build_parser

    levels = tuple(tree(build_parser(), ""))
    script = {"bash": bash, "zsh": zsh, "fish": fish}[args.shell](levels)
    output.line(script.rstrip("\n"))
    output.document({"version": 1, "shell": args.shell, "script": script})
    return 0


def tree(parser: argparse.ArgumentParser, path: str) -> Iterator[Level]:
    """All levels of a parser and of the ones below it."""
    words: list[tuple[str, str]] = []
    options: list[Option] = []
    below: list[tuple[str, argparse.ArgumentParser]] = []
    file = False
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            words += [(name, _plain(helps.get(name, ""))) for name in action.choices]
            below += [(f"{path} {name}".strip(), child) for name, child in action.choices.items()]
        elif action.help == argparse.SUPPRESS:
            continue
        elif action.option_strings:
            options.append(_option(action))
        else:
            words += [(str(choice), "") for choice in action.choices or ()]
            file = file or action.metavar in FILES
    yield Level(path, tuple(words), tuple(options), file)
    for name, child in below:
        yield from tree(child, name)


def _option(action: argparse.Action) -> Option:
    return Option(
        names=tuple(action.option_strings),
        help=_plain(action.help or ""),
        valued=action.nargs != 0,
        choices=tuple(str(choice) for choice in action.choices or ()),
        file=action.metavar in FILES,
    )


def _plain(text: str) -> str:
    return " ".join(text.replace("%%", "%").split())


def bash(levels: tuple[Level, ...]) -> str:
    """The script for bash 4 and later."""
    offers = [
        f"    {_case(level.path)}) words={shlex.quote(' '.join([*dict(level.words), *_names(level)]))};"
        f" files={int(level.file)} ;;"
        for level in levels
    ]
    values = [f"    {pattern}) {_bash_value(option)} ;;" for pattern, option in _valued(levels)]
    steps = [f"      {_case(level.path)}) path={shlex.quote(level.path)} ;;" for level in levels if level.path]
    skips = "|".join(_always_valued(levels))
    return "\n".join(
        [
            "# bash completion of homewright",
            "_homewright() {",
            '  local current="${COMP_WORDS[COMP_CWORD]}" path="" words="" files=0 word i',
            '  local before="${COMP_WORDS[COMP_CWORD-1]}"',
            "  for ((i = 1; i < COMP_CWORD; i++)); do",
            '    word="${COMP_WORDS[i]}"',
            '    case "$word" in',
            f"      {skips}) ((i++)); continue ;;",
            "      -*) continue ;;",
            "    esac",
            '    case "${path:+$path }$word" in',
            *steps,
            "    esac",
            "  done",
            "  COMPREPLY=()",
            '  case "$path:$before" in',
            *values,
            "  esac",
            '  case "$path" in',
            *offers,
            "  esac",
            '  [[ "$current" == -* || -z "$words" ]] || words="${words%% -*}"',
            '  [[ "$words" != -* || "$current" == -* ]] || words=""',
            '  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")',
            '  if ((files)) && [[ "$current" != -* ]]; then',
            '    compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$current")',
            "  fi",
            "}",
            "complete -F _homewright homewright",
            "",
        ]
    )


def zsh(levels: tuple[Level, ...]) -> str:
    """The script for zsh: to be sourced after compinit, or to be put into a folder of $fpath as _homewright."""
    offers: list[str] = []
    for level in levels:
        words = " ".join(_zsh_entry(name, text) for name, text in level.words)
        options = " ".join(_zsh_entry(name, option.help) for option in level.options for name in option.names)
        offers.append(
            f"    {_case(level.path)}) words_here=({words}); options_here=({options}); files={int(level.file)} ;;"
        )
    values = [f"    {pattern}) {_zsh_value(option)}; return ;;" for pattern, option in _valued(levels)]
    steps = [f"      {_case(level.path)}) at={shlex.quote(level.path)} ;;" for level in levels if level.path]
    skips = "|".join(_always_valued(levels))
    return "\n".join(
        [
            "#compdef homewright",
            "_homewright() {",
            "  local at='' word i=2",
            "  local -a words_here options_here",
            "  local -i files=0",
            "  while (( i < CURRENT )); do",
            '    word="${words[i]}"',
            "    (( i++ ))",
            '    case "$word" in',
            f"      {skips}) (( i++ )); continue ;;",
            "      -*) continue ;;",
            "    esac",
            '    case "${at:+$at }$word" in',
            *steps,
            "    esac",
            "  done",
            '  case "$at:${words[CURRENT-1]}" in',
            *values,
            "  esac",
            '  case "$at" in',
            *offers,
            "  esac",
            '  if [[ "${words[CURRENT]}" == -* ]]; then',
            "    _describe -o option options_here",
            "  else",
            "    (( ${#words_here} )) && _describe word words_here",
            "    (( files )) && _files",
            "  fi",
            "}",
            'if [[ "${funcstack[1]}" == _homewright ]]; then _homewright "$@"; else compdef _homewright homewright; fi',
            "",
        ]
    )


def fish(levels: tuple[Level, ...]) -> str:
    """The script for fish 3 and later."""
    known = " ".join(shlex.quote(level.path) for level in levels if level.path)
    lines = [
        "# fish completion of homewright",
        "function __homewright_path",
        f"    set -l known {known}",
        f"    set -l valued {' '.join(_always_valued(levels))}",
        "    set -l path",
        "    set -l skip 0",
        "    for word in (commandline -opc)[2..-1]",
        "        if test $skip = 1",
        "            set skip 0",
        '        else if contains -- "$word" $valued',
        "            set skip 1",
        '        else if not string match -q -- "-*" "$word"',
        '            set -l next (string trim -- "$path $word")',
        '            contains -- "$next" $known; and set path "$next"',
        "        end",
        "    end",
        '    echo "$path"',
        "end",
        "complete -c homewright -f",
    ]
    for level in levels:
        here = f"complete -c homewright -n 'test (__homewright_path) = {_fish_quote(level.path)}'"
        lines += [f"{here} -a {shlex.quote(name)} -d {_fish_text(text)}" for name, text in level.words]
        if level.file:
            lines.append(f"{here} -F")
        for option in level.options:
            names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
            value = ""
            if option.valued:
                value = " -r -F" if option.file else f" -x -a {_fish_text(' '.join(option.choices))}"
            lines.append(f"{here} {names}{value} -d {_fish_text(option.help)}")
    return "\n".join(lines) + "\n"


def _names(level: Level) -> list[str]:
    return [name for option in level.options for name in option.names]


def _case(path: str) -> str:
    """A pattern that matches exactly this text."""
    return f'"{path}"'


def _valued(levels: tuple[Level, ...]) -> Iterator[tuple[str, Option]]:
    """Each option that takes a value, with the pattern `path:option` that stands before that value."""
    for level in levels:
        for option in level.options:
            if option.valued:
                yield "|".join(f'"{level.path}:{name}"' for name in option.names), option


def _always_valued(levels: tuple[Level, ...]) -> list[str]:
    """Names of options that take a value wherever they are known: the word after one is no verb."""
    flags = {name for level in levels for option in level.options if not option.valued for name in option.names}
    valued = [name for level in levels for option in level.options if option.valued for name in option.names]
    return [name for name in dict.fromkeys(valued) if name not in flags]


def _bash_value(option: Option) -> str:
    if option.file:
        return 'compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return'
    choices = shlex.quote(" ".join(option.choices))
    return f'mapfile -t COMPREPLY < <(compgen -W {choices} -- "$current"); return'


def _zsh_value(option: Option) -> str:
    if option.file:
        return "_files"
    return f"compadd -- {' '.join(shlex.quote(choice) for choice in option.choices)}" if option.choices else ":"


def _zsh_entry(name: str, text: str) -> str:
    return shlex.quote(f"{name.replace(':', chr(92) + ':')}:{text}")


def _fish_quote(text: str) -> str:
    return f'"{text}"'


def _fish_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"

"""A workspace's repository: cloned before the editor starts, brought up to date when asked. Pure: shell out, words in.

What runs is the image's own git, as the workspace's user. Credentials reach it by a file that only git's helper reads:
no address, no argument and no variable holds one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, quote, unquote, urlsplit

from pydantic import ValidationError

from homewright.errors import UsageError, visible
from homewright.workspaces.models import Repository

CREDENTIALS = "/etc/homewright-git"
"""Where a pod finds the credentials of its user, read-only."""
CREDENTIALS_FILE = "credentials"
"""One line for each server: https://NAME:TOKEN@HOST, as git-credential-store reads them."""
CLONE_S = 180
"""A clone that takes longer does not keep the editor waiting; `sync` begins it again."""
PULL_S = 120

# Only `get`: the file is read-only, and git would wait a second for a lock at each success that it wants to note.
_HELPER = f'!f() {{ test "$1" != get || git credential-store --file={CREDENTIALS}/{CREDENTIALS_FILE} get; }}; f'
ENVIRONMENT = {
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "credential.helper",
    "GIT_CONFIG_VALUE_0": _HELPER,
}
"""What makes git, in terminals too, ask that file."""

_CLONE = """\
target=$1 url=$2 branch=$3 depth=$4 limit=$5
export GIT_TERMINAL_PROMPT=0 LC_ALL=C
[ -e "$target/.git" ] && exit 0
if [ -d "$target" ] && [ -n "$(ls -A "$target")" ]; then
  echo "there is a folder $target already, which is no repository"
  exit 3
fi
parts=$(dirname "$target")/.$(basename "$target").cloning
# What was cut off is begun anew; what another clone is at work in is left to it.
for part in "$parts" "$parts".[0-9]*; do
  kill -0 "${part##*.}" 2>/dev/null || rm -rf "$part"
done
part=$parts.$$
rm -rf "$part"
set -- -q
[ -z "$branch" ] || set -- "$@" --branch "$branch"
[ "$depth" != shallow ] || set -- "$@" --depth 1
said=$(timeout "$limit" git clone "$@" -- "$url" "$part" 2>&1)
code=$?
if [ $code -eq 0 ]; then
  # A clone has the name when it is whole.
  rmdir "$target" 2>/dev/null
  # Never into a folder that somebody made meanwhile.
  said=$(mv -T "$part" "$target" 2>&1) && exit 0
  code=$?
fi
rm -rf "$part"
[ -e "$target/.git" ] && exit 0  # another clone was faster
[ $code -ne 124 ] || said="it took longer than $limit seconds"
printf '%s\\n' "${said:-git ended with $code}"
exit 4
"""

_SYNC = """\
target=$1 url=$2 branch=$3 depth=$4 limit=$5 mode=$6
export GIT_TERMINAL_PROMPT=0 LC_ALL=C
problem() { printf 'problem=%s\\n' "$(printf %s "$1" | tr '\\n' '|')"; }
if [ ! -e "$target/.git" ]; then
  if [ "$mode" = look ]; then echo missing=yes; exit 0; fi
  said=$(sh -c "$CLONE" sh "$target" "$url" "$branch" "$depth" "$limit") ||
    { problem "$said"; exit 0; }
  echo cloned=yes
  mode=look
fi
cd "$target" || exit 1
code=0
if [ "$mode" = pull ]; then
  # Without --prune, which takes the last reference to commits of a branch that its server has no more.
  said=$(timeout "$limit" git fetch -q 2>&1)
  code=$?
  [ $code -ne 124 ] || said="it took longer than $limit seconds"
  [ $code -eq 0 ] || problem "${said:-git ended with $code}"
fi
count() {
  dirty=$(git status --porcelain 2>/dev/null | wc -l)
  set -- $(git rev-list --left-right --count 'HEAD...@{upstream}' 2>/dev/null)
  ahead=${1:-} behind=${2:-}
}
count
if [ "$mode$code" = pull0 ] && [ "$dirty" -eq 0 ] && [ "${ahead:-1}" -eq 0 ] && [ "${behind:-0}" -gt 0 ]; then
  # A fast-forward alone, which itself refuses to overwrite what is not committed; ignored files too are somebody's.
  if said=$(git merge -q --ff-only --no-overwrite-ignore '@{upstream}' 2>&1); then
    printf 'pulled=%s\\n' "$behind"
  else
    problem "$said"
  fi
  count
fi
printf 'branch=%s\\ndirty=%s\\nahead=%s\\nbehind=%s\\n' \\
  "$(git symbolic-ref -q --short HEAD)" "$dirty" "$ahead" "$behind"
"""

Mode = Literal["pull", "look"]


@dataclass(frozen=True)
class Synced:
    """What was found of a repository, and what was done to it."""

    branch: str = ""
    """Empty where a commit is checked out, and no branch."""
    missing: bool = False
    """It was never cloned."""
    cloned: bool = False
    """It was cloned just now."""
    pulled: int = 0
    """Commits that were brought just now."""
    dirty: int = 0
    """Files that are changed or new, and not committed."""
    ahead: int | None = None
    """Commits that its server lacks; None where its branch follows none there."""
    behind: int | None = None
    problem: str = ""
    """Why it could not be brought up to date, in git's words or ours."""


def parse(url: str, branch: str = "", *, full: bool = False) -> Repository:
    """A repository as somebody asks for it. Raises UsageError where its address is none that can be cloned here."""
    parts = _split(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    name = folder_name(url)
    wrong = ""
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
        wrong = "it is no https:// address"
    elif parts.query or parts.fragment or not name or any(ord(letter) <= 32 or ord(letter) == 127 for letter in url):
        wrong = "it names no repository"
    if "@" in parts.netloc or (wrong and ":" in url.rpartition("@")[0]):  # an address that is none may hold one too
        raise UsageError(
            "The repository's address holds a name or a password.",
            "Addresses are shown, and stand in the pod: nothing secret may be in one.",
            ["give the address without it", "and the token apart: homewright workspace credentials USER"],
        )
    if wrong:
        raise _not_taken(url, wrong)
    if branch and not re.fullmatch(r"(?!-)(?!.*(\.\.|//|@\{))[^\s~^:?*\[\\\x00-\x20\x7f]{1,200}(?<![./])", branch):
        raise UsageError(f"{visible(branch)} is no name of a branch.", "", ["write it as git does: main, team/topic"])
    try:
        return Repository(url=url, branch=branch, shallow=not full)
    except ValidationError:  # HTTPS://, an @ in its path, or longer than any address
        raise _not_taken(url, "it is no https:// address of at most 500 characters without an @") from None


def _split(url: str) -> SplitResult:
    """The parts of an address; none of it where it is so wrong that it has no parts, such as `https://[`."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _not_taken(url: str, wrong: str) -> UsageError:
    return UsageError(
        f"{visible(url)} cannot be cloned into a workspace.",
        f"{wrong[:1].upper()}{wrong[1:]}.",
        ["write it as https://git.example.org/team/project.git"],
    )


def folder_name(url: str) -> str:
    """The folder that a repository is cloned into; empty where its address has no name in it."""
    name = re.sub(r"\.git$", "", _split(url).path.rstrip("/").rpartition("/")[2])
    return name if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", name) else ""


def folder(below: str, repository: Repository) -> str:
    return f"{below}/{folder_name(repository.url)}"


def _arguments(below: str, repository: Repository, limit_s: int) -> tuple[str, ...]:
    depth = "shallow" if repository.shallow else "full"
    return folder(below, repository), repository.url, repository.branch, depth, str(limit_s)


def clone_step(below: str, repository: Repository) -> tuple[str, ...]:
    """The init container's command. It always ends well: a failing clone does not keep the editor from starting.

    What git complains of is its termination message, which stands in the pod's status.
    """
    quietly = 'clone=$1; shift; sh -c "$clone" sh "$@" >/dev/termination-log 2>&1; exit 0'
    return ("sh", "-c", quietly, "sh", _CLONE, *_arguments(below, repository, CLONE_S))


def sync_command(below: str, repository: Repository, mode: Mode) -> tuple[str, ...]:
    """What brings it up to date, or with `look` says how it is; `read_synced` reads what that prints."""
    limit = CLONE_S if mode == "pull" else PULL_S
    return ("env", f"CLONE={_CLONE}", "sh", "-c", _SYNC, "sh", *_arguments(below, repository, limit), mode)


def read_synced(said: str) -> Synced:
    """What `sync_command` printed. Whoever works there can print anything, so nothing in it is believed to be plain."""
    found = dict(line.partition("=")[::2] for line in said.splitlines())

    def number(name: str) -> int | None:
        text = found.get(name, "").strip()
        return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None

    return Synced(
        branch=visible(found.get("branch", "")),
        missing="missing" in found,
        cloned="cloned" in found,
        pulled=number("pulled") or 0,
        dirty=number("dirty") or 0,
        ahead=number("ahead"),
        behind=number("behind"),
        problem=why(found["problem"].replace("|", "\n")) if "problem" in found else "",
    )


DENIED = "access is denied: its server wants the user's own credentials, or does not accept those that there are"
NOT_REACHED = "access is denied: the user's credentials do not reach it"
NO_SUCH = "there is no such repository, or the user may not see it"
NO_GIT = "its address answers, and not as a git server"
NO_BRANCH = "there is no such branch"
NO_NAME = "its server's name is not found"
SILENT = "its server does not answer"
UNTRUSTED = "its server's certificate is not trusted there"

_MEANINGS = (
    (r"could not read (Username|Password)|[Aa]uthentication failed|HTTP Basic: Access denied|error: 401", DENIED),
    (r"error: 403", NOT_REACHED),
    (r"[Rr]epository .*(not found|does not exist)|not found: did you run|error: 404|does not appear to be a git",
     NO_SUCH),
    (r"info/refs not valid|is this a git repository", NO_GIT),
    (r"Remote branch (\S+) not found", NO_BRANCH),
    (r"Could not resolve host", NO_NAME),
    (r"Failed to connect|Connection refused|Couldn't connect|timed out|took longer", SILENT),
    (r"SSL|certificate", UNTRUSTED),
    (r"No space left", "the disk is full"),
)  # fmt: skip


def why(said: str) -> str:
    """git's complaint in words: the meaning, and what it said."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    # After what went wrong git often adds advice.
    told = next((line for line in lines if line.startswith("fatal: ")), lines[-1] if lines else "no reason is told")
    told = visible(re.sub(r"^(fatal|error): ", "", told))[:300]
    meaning = next((words for pattern, words in _MEANINGS if re.search(pattern, said)), "")
    return f"{meaning} ({told})" if meaning else told


def words(synced: Synced) -> str:
    """How a repository is, in a line."""
    if synced.missing:
        return "not cloned"
    parts = [synced.branch or "no branch", f"dirty: {synced.dirty} files" if synced.dirty else "clean"]
    if synced.ahead is None:
        parts.append("its branch follows none on the server")
    parts += [f"{count} {what}" for count, what in ((synced.ahead, "ahead"), (synced.behind, "behind")) if count]
    return ", ".join(parts)


def done(synced: Synced) -> str:
    """What `sync` did, or why it left everything as it is, in a sentence."""
    if synced.problem:
        return f"Nothing was changed: {synced.problem}."
    if synced.cloned:
        return "It was cloned."
    if synced.pulled:
        return f"Commits pulled: {synced.pulled}."
    if synced.behind and synced.dirty:
        return "Nothing was pulled: there is work that is not committed."
    if synced.behind and synced.ahead:
        return "Nothing was pulled: both sides have commits of their own, and merging them is the user's."
    return "It is up to date." if synced.behind == 0 else "There is nothing that could be pulled."


def server(url: str) -> SplitResult:
    """The parts of a git server's address. Raises UsageError, which never repeats a token that was given in it."""
    parts = _split(url if "://" in url else f"https://{url}")
    if "@" in url:
        raise UsageError(
            "The server's address holds a name or a password.",
            "They are asked for apart.",
            ["give it without: --server https://git.example.org"],
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{visible(url)} names no server.", "", ["write it as https://git.example.org"])
    return parts


def credentials_line(url: str, name: str, token: str) -> tuple[str, str]:
    """Of which server, and the line that git finds for it. Raises UsageError."""
    parts = server(url)
    if not name or not token or any(ord(letter) < 32 for letter in name + token):
        raise UsageError("A name and a token are needed.", "Neither may be empty, or hold a line break.", [])
    host = f"{parts.scheme}://{parts.netloc.lower()}"
    return host, f"{parts.scheme}://{quote(name, safe='')}:{quote(token, safe='')}@{parts.netloc.lower()}"


def with_credentials(lines: Sequence[str], host: str, line: str | None) -> tuple[str, ...]:
    """The lines of the file with one server's replaced, or with None taken away."""
    kept = [one for one in lines if one.strip() and _host_of(one) != host]
    return tuple([*kept, line] if line is not None else kept)


def hosts(lines: Sequence[str]) -> tuple[str, ...]:
    """The servers that there are credentials for, without them."""
    return tuple(_host_of(one) for one in lines if one.strip())


def sign_in(lines: Sequence[str], url: str) -> tuple[str, str] | None:
    """Name and token of the line that is for the server of an address; None where there is none."""
    parts = server(url)
    host = f"{parts.scheme}://{parts.netloc.lower()}"
    for line in lines:
        if line.strip() and _host_of(line) == host:
            name, _, token = line.strip().partition("://")[2].rpartition("@")[0].partition(":")
            return unquote(name), unquote(token)
    return None


def _host_of(line: str) -> str:
    scheme, _, rest = line.strip().partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"

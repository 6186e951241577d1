"""What a git server says when it is asked from here: whether somebody may read a repository, and which ones they have.

Any server is asked in git's own protocol over HTTP; Gitea (and Forgejo, which speaks the same API) tells more. A token
is sent to its own server alone, as a header, and stands in nothing that is shown or raised.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
import socket
import ssl
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPException, responses
from typing import IO, Any, Literal
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit

from homewright.errors import UsageError, visible
from homewright.workspaces import repositories, timely
from homewright.workspaces.models import Repository, RepositoryFound

ANSWER_S = 6.0
"""Patience with one answer, to its last byte: somebody who types waits for it."""
TOLD_S = 30.0
"""Patience with all that one server tells of somebody, page after page."""
_MOST_BYTES = 8 << 20
"""An answer's end is not looked for beyond this: the names of 100,000 branches are about as much."""
_PAGE = 50
"""Gitea gives no more at once unless it was told otherwise (MAX_RESPONSE_ITEMS)."""
_MOST_PAGES = 40


@dataclass(frozen=True)
class SignIn:
    """A user's own name and token for one server."""

    name: str
    token: str = field(repr=False)

    @property
    def header(self) -> str:
        return "Basic " + base64.b64encode(f"{self.name}:{self.token}".encode()).decode()


@dataclass(frozen=True)
class Answer:
    """What came back: a status of HTTP's, or 0 where nothing did, and why."""

    status: int
    data: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    why: str = ""
    whole: bool = True


@dataclass(frozen=True)
class Checked:
    """Whether a repository can be cloned by its user, as far as this machine can see."""

    state: Literal["good", "wrong", "unknown"]
    words: str
    """A sentence without its end."""
    do: str = ""


@dataclass(frozen=True)
class Refs:
    """The branches that a server offers, and the one that is checked out where none is asked for."""

    branches: frozenset[str]
    default: str
    whole: bool = True


@dataclass(frozen=True)
class Told:
    """What a server says of somebody: who they are there, and which repositories they have."""

    kind: Literal["gitea", "other", "unknown"]
    accepted: bool | None
    """Whether it accepts the credentials; None where that cannot be told."""
    words: str
    login: str = ""
    repositories: tuple[RepositoryFound, ...] = ()


class _SameServer(urllib.request.HTTPRedirectHandler):
    """Follows a server to another place of its own, and nowhere else: the header with the token would go along."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if _origin(newurl) != _origin(req.full_url):
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def ask(url: str, sign_in: SignIn | None = None, end: float | None = None) -> Answer:
    """One GET. Raises nothing: that no answer came is one too, or none that was whole after ANSWER_S.

    `end`, on the monotonic clock, is there for whoever asks more than once.
    """
    left = ANSWER_S if end is None else min(ANSWER_S, end - time.monotonic())
    if left <= 0:
        return Answer(0, why=_no_answer(TimeoutError("timed out")))
    headers = {"User-Agent": "git/2 (homewright)"}
    if sign_in is not None:
        headers["Authorization"] = sign_in.header
    opener = timely.opener(time.monotonic() + left, _SameServer())
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=left) as answer:
            return _read(answer.status, answer, answer.headers)
    except HTTPError as error:
        with error:
            return _read(error.code, error, error.headers)
    except (URLError, OSError, HTTPException, ValueError) as error:
        return Answer(0, why=_no_answer(getattr(error, "reason", error)))


def _read(status: int, stream: IO[bytes], headers: Message) -> Answer:
    try:
        data = stream.read(_MOST_BYTES + 1)
    except (OSError, HTTPException) as error:
        return Answer(0, why=_no_answer(error))
    told = {name.lower(): value for name, value in headers.items()}
    return Answer(status, data[:_MOST_BYTES], told, whole=len(data) <= _MOST_BYTES)


def _no_answer(reason: object) -> str:
    if isinstance(reason, ssl.SSLError):
        return f"{repositories.UNTRUSTED} ({visible(str(getattr(reason, 'verify_message', '') or reason))})"
    if isinstance(reason, socket.gaierror):
        return repositories.NO_NAME
    return f"{repositories.SILENT} ({visible(str(getattr(reason, 'strerror', None) or reason))[:200]})"


# In git's own protocol


def check(repository: Repository, user: str, sign_in: SignIn | None) -> Checked:
    """Whether a clone would go well, asked as git asks: first without a name, and then by the user's own."""
    url = f"{repository.url}/info/refs?service=git-upload-pack"
    answer = first = ask(url)
    if answer.status in (401, 403, 404) and sign_in is not None:
        answer = ask(url, sign_in)
    if first.status == 401 and answer.status == 200 and read_refs(answer.data, whole=answer.whole) is None:
        # So Gitea turns an account away that may not sign in, with a page for people to read; and so answers any page
        # behind a password that is no git server.
        words = f"{repositories.NOT_REACHED} (with them its server answers {user} with a page, not as a git server)"
        do = "see whether the account may sign in there and git clones from this address, or give another one's token"
        return Checked("wrong", words, do)
    return judged(answer, repository, user, sign_in is not None)


def judged(answer: Answer, repository: Repository, user: str, signed_in: bool) -> Checked:
    """What an answer to that question means."""
    host = "://".join(_origin(repository.url))
    give = f"give the user's own: homewright workspace credentials {shlex.quote(user)} --server {shlex.quote(host)}"
    if answer.status == 0:
        return Checked("unknown", f"whether {repository.url} can be cloned: asked from here, {answer.why}")
    if answer.status == 401 and not signed_in:
        return Checked("wrong", f"{repositories.DENIED}; none of {user} are kept for {host}", give)
    said = f" (its server says: {words})" if (words := _plain(answer)) else ""
    if answer.status == 401:
        return Checked("wrong", f"access is denied: its server does not accept the credentials of {user}{said}", give)
    if answer.status == 403:
        do = "have its owner let the user read it, or give another token (Gitea's needs the scope read:repository)"
        return Checked("wrong", f"{repositories.NOT_REACHED}{said}", do)
    if answer.status in (404, 410):
        return Checked("wrong", repositories.NO_SUCH, "see how it is spelled; a private one needs the user's own token")
    refs = read_refs(answer.data, whole=answer.whole) if answer.status == 200 else None
    if answer.status == 200 and refs is None:
        return Checked("wrong", repositories.NO_GIT, "name the address that git clones from")
    if refs is None:
        return Checked("unknown", f"whether {repository.url} can be cloned: its server answers {answer.status}")
    if repository.branch and repository.branch not in refs.branches:
        if not refs.whole:
            return Checked("unknown", f"whether there is a branch {repository.branch}: there are very many")
        some = ", ".join(sorted(refs.branches)[:5])
        do = f"name one that is there: {some}" if some else "leave the branch out: the repository is empty"
        return Checked("wrong", repositories.NO_BRANCH, do)
    if not refs.branches:
        return Checked("good", "its repository can be read, and is empty")
    return Checked("good", f"its repository can be read: branch {repository.branch or refs.default or 'of its server'}")


def _plain(answer: Answer) -> str:
    """The first line of what a server says in plain text; empty where that is just what its status is called."""
    if not answer.headers.get("content-type", "").startswith("text/plain"):
        return ""
    lines = answer.data[:1000].decode("utf-8", "replace").strip().splitlines()
    said = visible(lines[0])[:200].rstrip(". ") if lines else ""
    return "" if said == responses.get(answer.status) else said  # some have statuses of their own: Cloudflare's 521


def read_refs(data: bytes, *, whole: bool = True) -> Refs | None:
    """The branches in what git's smart protocol advertises; None where this is no such thing."""
    lines: list[bytes] = []
    at = 0
    while at + 4 <= len(data):
        head = data[at : at + 4]
        if not re.fullmatch(rb"[0-9a-fA-F]{4}", head):  # int() takes a sign, spaces and underlines too
            return None
        size = int(head, 16)
        if size in (1, 2, 3) or at + max(size, 4) > len(data):
            whole = False
            break
        lines.append(data[at + 4 : at + size] if size else b"")
        at += size or 4
    if not lines or not lines[0].startswith(b"# service=git-upload-pack"):
        return None
    branches, default = set(), ""
    for line in lines[1:]:
        name, _, can = line.partition(b"\0")
        ref = name.rstrip(b"\n").partition(b" ")[2].decode("utf-8", "replace")
        if ref.startswith("refs/heads/"):
            branches.add(visible(ref.removeprefix("refs/heads/")))
        if match := re.search(rb"symref=HEAD:refs/heads/(\S+)", can):
            default = visible(match[1].decode("utf-8", "replace"))
    return Refs(frozenset(branches), default, whole)


# By Gitea's API


def told(server: str, sign_in: SignIn) -> Told:
    """What a server says of a user. `server` is its address, with the path below which it lies where it has one."""
    base = server.rstrip("/")
    end = time.monotonic() + TOLD_S
    version = ask(f"{base}/api/v1/version", end=end)
    if version.status == 0:
        return Told("unknown", None, version.why)
    if version.status in (401, 403) and _word(version, "message"):  # REQUIRE_SIGNIN_VIEW: it tells strangers nothing
        version = ask(f"{base}/api/v1/version", sign_in, end)
        if version.status in (401, 403) and _word(version, "message"):
            return _refused(version, "")
    if not isinstance(_json(version).get("version"), str):
        return Told("other", None, "it is no Gitea, so it tells neither who somebody is nor what they have")
    who = ask(f"{base}/api/v1/user", sign_in, end)
    if who.status == 401:
        return _refused(who, "")
    login = _word(who, "login") if who.status == 200 else ""
    found: list[RepositoryFound] = []
    seen = 0
    for page in range(1, _MOST_PAGES + 1):
        answer = ask(f"{base}/api/v1/user/repos?limit={_PAGE}&page={page}", sign_in, end)
        if answer.status != 200:
            return _refused(answer, login)
        listed = _list(answer)
        seen += len(listed)
        found += filter(None, (_found(base, one) for one in listed))
        total = answer.headers.get("x-total-count", "")
        # A server may give less at once than it is asked for: how much that is, only what came tells.
        counted = re.fullmatch(r"[0-9]{1,9}", total)
        if not listed or (seen >= int(total) if counted else len(listed) < _PAGE):
            break
    words = f"it accepts them: {login} there" if login else "it accepts them"
    return Told("gitea", True, words, login, tuple(sorted(found, key=lambda one: one.name.lower())))


def _refused(answer: Answer, login: str) -> Told:
    """What it means that a list is not given."""
    if answer.status == 0:
        return Told("gitea", None, answer.why, login)
    if answer.status == 401:
        return Told("gitea", False, "it does not accept the credentials", login)
    said = _word(answer, "message")
    if answer.status == 403 and (not said or "scope" in said):
        wants = "its token may not list repositories: it needs the scopes read:user and read:repository"
        return Told("gitea", True, f"{wants} ({said})" if said else wants, login)
    return Told("gitea", None, f"it answers {answer.status}{f': {said}' if said else ''}", login)


def _json(answer: Answer) -> dict[str, Any]:
    found = _parsed(answer)
    return found if isinstance(found, dict) else {}


def _word(answer: Answer, name: str) -> str:
    """What a document says under a name, where that is text."""
    found = _json(answer).get(name)
    return visible(found[:200]) if isinstance(found, str) else ""


def _list(answer: Answer) -> list[Any]:
    found = _parsed(answer)
    return found if isinstance(found, list) else []


def _parsed(answer: Answer) -> Any:
    try:
        return json.loads(answer.data)
    except (ValueError, RecursionError):
        return None


def _found(base: str, one: Any) -> RepositoryFound | None:
    """A repository of a list. Its address is made from its name: the one that Gitea tells is of another server where
    its own settings are wrong, and credentials would not fit there."""
    name = one.get("full_name") if isinstance(one, dict) else None
    if not isinstance(name, str) or visible(name) != name:
        return None
    try:
        url = repositories.parse(f"{base}/{quote(name)}.git").url
    except UsageError:
        return None
    empty = one.get("empty") is True
    branch = "" if empty else one.get("default_branch")  # of an empty one the name of a branch that is not there
    return RepositoryFound(
        name=name,
        url=url,
        branch=visible(branch)[:200] if isinstance(branch, str) else "",
        private=one.get("private") is True,
        empty=empty,
        archived=one.get("archived") is True,
    )

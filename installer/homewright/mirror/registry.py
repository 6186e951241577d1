"""A container registry, as the OCI distribution specification has it: images come from there, and go there."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urljoin

from homewright.mirror.errors import MirrorAway, MirrorError, wrong
from homewright.mirror.layout import (
    CHUNK,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX,
    MANIFEST,
    Descriptor,
    Layout,
    digest_of,
    parts,
)

TIMEOUT_S = 30.0
_LARGEST_MANIFEST = 4 << 20
"""Bytes; what the specification asks registries to take."""

_HOSTS = {"docker.io": "registry-1.docker.io"}
"""Where a registry's images are served from, when that is not its name."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """An image in a registry: `repository` and `tag`, which is a digest in a reference with @."""

    registry: str
    repository: str
    tag: str

    @classmethod
    def of(cls, reference: str) -> Place:
        """A whole reference, such as registry.lan:5000/a/b:1, taken apart. Raises MirrorError for one that is not."""
        registry, _, rest = reference.partition("/")
        found = re.fullmatch(r"([a-z0-9._/:-]*?[a-z0-9._-]+)(?:@(sha256:[0-9a-f]{64})|:([\w][\w.-]{0,127}))?", rest)
        if not registry or found is None:
            raise MirrorError(f"{reference} is no reference of an image.")
        repository, digest, tag = found.groups()
        return cls(registry, repository, digest or tag or "latest")


class Registry:
    """One registry. Methods raise MirrorAway where it does not answer, MirrorError where it refuses."""

    def __init__(self, host: str, *, plain_http: bool = False) -> None:
        self.host = host
        scheme = "http" if plain_http else "https"
        self._base = f"{scheme}://{_HOSTS.get(host, host)}/v2/"
        self._tokens: dict[str, str] = {}

    def answers(self) -> bool:
        """Whether a registry is there."""
        try:
            with self._open("", "", accept=""):
                return True
        except MirrorError:
            return False

    def manifest(self, repository: str, tag: str) -> tuple[bytes, Descriptor]:
        """An image's manifest or index, as it is there; its digest is taken here, not believed."""
        data, blob = self._manifest(repository, tag)
        try:
            parts(json.loads(data))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MirrorError(
                f"{self.host}/{repository}:{tag} is no image.",
                f"What is given out begins with {data[:40]!r}: a page of somebody's, or an image of old.",
                ["look at it in a browser", "or have the image made anew by a tool of today"],
            ) from error
        return data, blob

    def _manifest(self, repository: str, tag: str) -> tuple[bytes, Descriptor]:
        accept = ", ".join((INDEX, MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST))
        with self._open(repository, f"manifests/{tag}", accept=accept) as answer:
            data = answer.read(_LARGEST_MANIFEST + 1)
            left = int(answer.headers.get("Content-Length") or 0) - len(data)
            media_type = str(answer.headers.get("Content-Type", "")).partition(";")[0]
        if len(data) > _LARGEST_MANIFEST:
            raise MirrorError(f"{self.host}/{repository}:{tag} has a manifest of more than 4 MB.")
        if left > 0:
            raise broke_off(f"{self.host}/{repository}", left)
        blob = Descriptor(media_type, digest_of(data), len(data))
        if tag.startswith("sha256:") and tag != blob.digest:
            raise wrong(f"{self.host}/{repository}@{tag}", tag, blob.digest)
        return data, blob

    def digest(self, repository: str, tag: str) -> str | None:
        """The digest that a tag has there; None where there is no such image."""
        try:
            return self._manifest(repository, tag)[1].digest
        except Missing:
            return None

    def fetch(self, repository: str, blob: Descriptor, layout: Layout) -> None:
        """Copy a blob into a layout, where it is not there yet."""
        if layout.has(blob):
            return
        path = f"blobs/{blob.digest}"
        with self._open(repository, path, accept="*/*") as answer, layout.receiving(blob.digest) as receiver:
            for data in pieces(answer, f"{self.host}/{repository}"):
                receiver.write(data)

    def push(self, repository: str, tag: str, image: Descriptor, layout: Layout) -> bool:
        """Copy an image of a layout here, with what is missing of it; whether anything was."""
        if self.digest(repository, tag) == image.digest:
            return False
        for blob in layout.blobs(image)[:-1]:
            if blob.media_type in (MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX):
                self._put_manifest(repository, blob.digest, blob, layout)
            elif not self._has(repository, blob):
                self._put_blob(repository, blob, layout)
        self._put_manifest(repository, tag, image, layout)
        return True

    def _has(self, repository: str, blob: Descriptor) -> bool:
        try:
            with self._open(repository, f"blobs/{blob.digest}", method="HEAD", accept="*/*"):
                return True
        except Missing:
            return False

    def _put_blob(self, repository: str, blob: Descriptor, layout: Layout) -> None:
        with self._open(repository, "blobs/uploads/", method="POST", data=b"") as answer:
            place = urljoin(answer.geturl(), str(answer.headers.get("Location", "")))
        joint = "&" if "?" in place else "?"
        url = f"{place}{joint}{urlencode({'digest': blob.digest})}"
        with layout.path(blob.digest).open("rb") as handle:
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
            with self._open(repository, url, method="PUT", data=handle, headers=headers):
                pass

    def _put_manifest(self, repository: str, tag: str, manifest: Descriptor, layout: Layout) -> None:
        data, headers = layout.read(manifest.digest), {"Content-Type": manifest.media_type}
        with self._open(repository, f"manifests/{tag}", method="PUT", data=data, headers=headers):
            pass

    @contextmanager
    def _open(
        self,
        repository: str,
        path: str,
        *,
        method: str = "GET",
        data: bytes | IO[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: str = "",
    ) -> Iterator[Any]:
        url = path if "://" in path else f"{self._base}{repository}/{path}" if repository else self._base
        what = f"{self.host}/{repository}".rstrip("/")
        try:
            answer = self._ask(
                url, repository, method, data, {**(headers or {}), **({"Accept": accept} if accept else {})}
            )
        except HTTPError as error:
            with error:
                raise refusal(what, error.code, error.read(2000)) from error
        except (URLError, HTTPException, OSError) as error:
            raise away(what, error) from error
        with closing(answer):
            try:
                yield answer
            except (HTTPException, OSError) as error:  # while it was read: a disk's errors have their own names by then
                raise away(what, error) from error

    def _ask(
        self,
        url: str,
        repository: str,
        method: str,
        data: bytes | IO[bytes] | None,
        headers: dict[str, str],
        renewed: bool = False,
    ) -> Any:
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        if repository in self._tokens:
            # Only for the registry itself: blobs are often redirected to a store that refuses a second word.
            request.add_unredirected_header("Authorization", f"Bearer {self._tokens[repository]}")
        try:
            return urllib.request.urlopen(request, timeout=TIMEOUT_S)
        except HTTPError as error:
            wanted = challenge(str(error.headers.get("WWW-Authenticate", "")))
            # A token lasts some minutes, and one for reading does not let us write: each request may ask for another.
            if error.code != 401 or wanted is None or renewed:
                raise
            error.close()
        self._tokens[repository] = self._token(*wanted)
        if data is not None and not isinstance(data, bytes):
            data.seek(0)
        return self._ask(url, repository, method, data, headers, renewed=True)

    def _token(self, realm: str, asked: Mapping[str, str]) -> str:
        with urllib.request.urlopen(f"{realm}?{urlencode(asked)}", timeout=TIMEOUT_S) as answer:
            said = answer.read(1 << 20)
        try:
            document = json.loads(said)
            return str(document.get("token") or document.get("access_token") or "")
        except (ValueError, AttributeError):  # not chained: half of it may be a token
            raise MirrorError(f"{realm} gives no token.", f"{self.host} sends everybody there for one.") from None


class Missing(MirrorError):
    """A registry does not have it."""

    code = "mirror-missing"


def challenge(header: str) -> tuple[str, dict[str, str]] | None:
    """Where a registry sends everybody for a token, and what is asked there; None where it wants a password."""
    kind, _, rest = header.partition(" ")
    if kind.lower() != "bearer":
        return None
    asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    realm = asked.pop("realm", "")
    return (realm, asked) if realm.startswith(("https://", "http://")) else None


def refusal(what: str, status: int, body: bytes) -> MirrorError:
    """What a registry's HTTP status means."""
    said = body.decode(errors="replace").strip()[:200]
    with suppress(ValueError, KeyError, TypeError, AttributeError):  # some answer with a page, or nothing
        said = "; ".join(str(one.get("message") or one.get("code")) for one in json.loads(body)["errors"])
    if status == 404:
        return Missing(f"{what} does not have it.", said, ["see what a site needs: homewright mirror list"])
    if status in (401, 403):
        return MirrorError(f"{what} lets nobody in.", said, ["a registry is used without a password here: open it"])
    if status == 429:
        return MirrorAway(f"{what} has had enough of us.", "It limits how often it may be asked.", ["try again later"])
    if status >= 500:
        return MirrorAway(f"{what} is out of order.", f"HTTP {status}: {said}", ["look at its log", "try again later"])
    return MirrorError(f"{what} refuses it.", f"HTTP {status}: {said}")


def away(what: str, error: Exception) -> MirrorAway:
    """A registry or web server that could not be asked."""
    reason = getattr(error, "reason", None) or error
    return MirrorAway(
        f"{what} does not answer.",
        f"{reason}.",
        ["see whether this machine reaches it", "or which it should be: homewright site show mirror"],
    )


def broke_off(what: str, left: int) -> MirrorAway:
    """An answer that ended before its end."""
    return MirrorAway(f"{what} broke off.", f"{left} bytes had still to come.", ["try again"])


def pieces(answer: Any, what: str) -> Iterator[bytes]:
    """An HTTP answer's body, piece by piece. Raises MirrorAway where it breaks off."""
    left = int(answer.headers.get("Content-Length") or 0)
    while True:
        try:
            data = answer.read(CHUNK)
        except (HTTPException, OSError) as error:
            raise away(what, error) from error
        if not data:
            if left > 0:  # http.client says nothing of it where it was asked for pieces
                raise broke_off(what, left)
            return
        left -= len(data)
        yield data

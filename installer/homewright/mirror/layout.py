"""A folder of container images in the OCI image layout: what `skopeo`, `oras` and containerd read as well.

Every blob lies under its own digest and gets its name last, so whatever was cut off, what is there is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from homewright.mirror.errors import MirrorError, unwritable, wrong
from homewright.site.locks import hold
from homewright.site.paths import make_folder, sync_folder, write_atomically

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"

REFERENCE = "org.opencontainers.image.ref.name"
"""The annotation that says which image an entry of the index is."""

CHUNK = 1 << 20


@dataclass(frozen=True)
class Descriptor:
    """A blob: what it is, its digest and its size in bytes."""

    media_type: str
    digest: str
    size: int

    def document(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Descriptor:
        return cls(str(document.get("mediaType", "")), str(document["digest"]), int(document["size"]))


def told(document: Mapping[str, Any]) -> bytes:
    """A JSON document as the bytes that its digest is of: the same for the same content."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def parts(manifest: Mapping[str, Any]) -> list[Descriptor]:
    """What a manifest needs besides itself: other manifests of an index; config and layers of an image."""
    if "manifests" in manifest:
        return [Descriptor.of(one) for one in manifest["manifests"]]
    return [Descriptor.of(one) for one in (manifest["config"], *manifest["layers"])]


class Layout:
    """One such folder. Methods raise MirrorError for what is missing, wrong, or cannot be written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self) -> Layout:
        """Make the folder where it is missing."""
        try:
            make_folder(self.folder)
            (self.folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
            if not (self.folder / "oci-layout").exists():
                write_atomically(self.folder / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        except OSError as error:
            raise unwritable(self.folder, error) from error
        return self

    def path(self, digest: str) -> Path:
        """Where a blob is, or will be."""
        kind, _, word = digest.partition(":")
        if kind != "sha256" or len(word) != 64 or not set(word) <= set("0123456789abcdef"):
            raise MirrorError(f"{digest[:80]} is no digest that is used here.", "Only SHA-256 is.")
        return self.folder / "blobs" / kind / word

    def has(self, blob: Descriptor) -> bool:
        """Whether a blob is there with its size; `verify` looks at every byte."""
        try:
            return self.path(blob.digest).stat().st_size == blob.size
        except OSError:
            return False

    @contextmanager
    def receiving(self, wanted: str | None = None) -> Iterator[Receiver]:
        """Take in a blob piece by piece; it gets its name at the end, if its digest is the wanted one."""
        blobs = self.folder / "blobs" / "sha256"
        temporary = ""
        try:
            descriptor, temporary = tempfile.mkstemp(prefix=".part-", dir=blobs)
            with os.fdopen(descriptor, "wb") as handle:
                receiver = Receiver(handle)
                yield receiver
                handle.flush()
                os.fsync(handle.fileno())
            if wanted is not None and receiver.digest != wanted:
                raise wrong("What was fetched", wanted, receiver.digest)
            Path(temporary).replace(self.path(receiver.digest))
            sync_folder(blobs)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        finally:
            if temporary:
                Path(temporary).unlink(missing_ok=True)

    def add(self, data: bytes, media_type: str) -> Descriptor:
        """Keep these bytes as a blob."""
        blob = Descriptor(media_type, digest_of(data), len(data))
        if not self.has(blob):
            with self.receiving(blob.digest) as receiver:
                receiver.write(data)
        return blob

    def read(self, digest: str) -> bytes:
        """A small blob, checked. Raises MirrorError where it is missing or wrong."""
        try:
            data = self.path(digest).read_bytes()
        except OSError as error:
            raise MirrorError(
                f"{self.folder} is not whole.",
                f"{digest} is missing: {error.strerror}.",
                ["fetch what is missing: homewright mirror fetch FOLDER"],
            ) from error
        if digest_of(data) != digest:
            raise wrong(f"{self.path(digest)}", digest, digest_of(data))
        return data

    def manifest(self, digest: str) -> dict[str, Any]:
        """A manifest or an index, checked."""
        try:
            document = json.loads(self.read(digest))
            parts(document)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MirrorError(f"{digest} is no manifest of an image.", f"{error}.") from error
        return dict(document)

    def images(self) -> dict[str, Descriptor]:
        """The images by reference."""
        try:
            document = json.loads((self.folder / "index.json").read_bytes())
            return {one["annotations"][REFERENCE]: Descriptor.of(one) for one in document["manifests"]}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MirrorError(
                f"{self.folder / 'index.json'} cannot be read.",
                f"{error}.",
                ["remove it, then: homewright mirror fetch FOLDER"],
            ) from error

    def name(self, reference: str, manifest: Descriptor) -> None:
        """From now on this reference is this image, whose blobs are all there."""
        with hold(self.folder):
            known = {**self.images(), reference: manifest}
            self._write({reference: known[reference] for reference in sorted(known)})

    def forget(self, references: Iterable[str]) -> None:
        """Take these references out of the index; blobs stay."""
        doomed = set(references)
        with hold(self.folder):
            self._write({reference: one for reference, one in self.images().items() if reference not in doomed})

    def _write(self, images: Mapping[str, Descriptor]) -> None:
        manifests = [{**one.document(), "annotations": {REFERENCE: reference}} for reference, one in images.items()]
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
        write_atomically(self.folder / "index.json", told(document))

    def blobs(self, image: Descriptor) -> list[Descriptor]:
        """An image with everything in it, what is needed first: layers, config, manifests, and itself last."""
        found: dict[str, Descriptor] = {}
        if image.media_type in (MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX):
            for part in parts(self.manifest(image.digest)):
                found.update({one.digest: one for one in self.blobs(part)})
        return [*found.values(), image]

    def verify(self, image: Descriptor) -> None:
        """Read every byte of an image. Raises MirrorError for the first blob that is missing or wrong."""
        for blob in self.blobs(image):
            place = self.path(blob.digest)
            try:
                with place.open("rb") as handle:
                    found = f"sha256:{hashlib.file_digest(handle, 'sha256').hexdigest()}"
            except OSError as error:
                raise MirrorError(
                    f"{self.folder} is not whole.",
                    f"{blob.digest} is missing: {error.strerror}.",
                    ["fetch what is missing: homewright mirror fetch FOLDER"],
                ) from error
            if found != blob.digest:
                raise wrong(str(place), blob.digest, found)

    def sweep(self) -> None:
        """Remove what fetches that were killed have left half-written."""
        for left in (self.folder / "blobs" / "sha256").glob(".part-*"):
            with suppress(OSError):
                left.unlink()


class Receiver:
    """Writes a blob and takes its digest on the way."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        return self._handle.write(data)

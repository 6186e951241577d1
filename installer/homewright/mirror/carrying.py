"""A folder with everything that a site's cluster fetches: filled, looked at, and compared with the site's own mirror.

`images` in it is an OCI image layout and `files` can be given out by any web server, so a site takes in what the folder
holds with the tools that it has. What a reference was when it was fetched first is written down: another content under
the same name later is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from homewright.errors import HomewrightError
from homewright.mirror import files
from homewright.mirror.errors import MirrorError, unwritable, wrong
from homewright.mirror.layout import DOCKER_INDEX, INDEX, Descriptor, Layout, parts, told
from homewright.mirror.models import Carried, Item
from homewright.mirror.registry import Missing, Place, Registry
from homewright.site.locks import hold
from homewright.site.mirrored import Architecture
from homewright.site.models import MirrorSettings
from homewright.site.paths import write_atomically

Say = Callable[[str], None]


def images_folder(folder: Path) -> Path:
    return folder / "images"


def files_folder(folder: Path) -> Path:
    return folder / "files"


def load(folder: Path) -> Carried | None:
    """What was fetched into a folder; None for one that nothing was. Raises MirrorError for a damaged record."""
    try:
        return Carried.model_validate(json.loads((folder / "mirror.json").read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ValidationError) as error:
        raise MirrorError(
            f"{folder / 'mirror.json'} cannot be read.",
            f"{str(error).splitlines()[0]}.",
            ["remove it; then fetch again, which keeps what is whole: homewright mirror fetch FOLDER"],
        ) from error


def _save(folder: Path, carried: Carried) -> None:
    write_atomically(folder / "mirror.json", carried.model_dump_json(indent=1).encode() + b"\n")


class Registries:
    """The registries that items come from, each asked by one object."""

    def __init__(self, mirror: MirrorSettings) -> None:
        self._mirror = mirror
        self._known: dict[str, Registry] = {}

    def of(self, place: Place) -> Registry:
        own = (self._mirror.images or "").partition("/")[0]
        plain = self._mirror.plain_http and place.registry == own
        return self._known.setdefault(place.registry, Registry(place.registry, plain_http=plain))


def fetch(
    items: Sequence[Item],
    folder: Path,
    architectures: Sequence[Architecture],
    mirror: MirrorSettings,
    *,
    renew: bool = False,
    say: Say,
) -> tuple[Item, ...]:
    """Have all of these in the folder; what is whole there already is not fetched again.

    With `renew`, what is published now is taken where it differs from before. Raises MirrorAway and MirrorError for the
    first that cannot be had; what was fetched before it stays.
    """
    with hold(require_folder(folder)):  # two at a time would sweep away each other's halves
        return _fetch(items, folder, architectures, mirror, renew, say)


def _fetch(
    items: Sequence[Item],
    folder: Path,
    architectures: Sequence[Architecture],
    mirror: MirrorSettings,
    renew: bool,
    say: Say,
) -> tuple[Item, ...]:
    layout = Layout(images_folder(folder)).create()
    layout.sweep()
    carried = load(folder) or Carried(architectures=tuple(architectures))
    if set(carried.architectures) != set(architectures):
        carried = carried.model_copy(update={"architectures": tuple(architectures)})
    registries = Registries(mirror)
    done = []
    for number, item in enumerate(items, 1):
        known = None if renew else carried.digests.get(item.reference)
        if item.kind == "image":
            before = None if renew else carried.held.get(item.reference)
            digest, held = _fetch_image(item, known, before, layout, architectures, registries)
            carried = carried.model_copy(update={"held": {**carried.held, item.reference: held}})
        else:
            digest = _fetch_file(item, known, folder)
        say(f"{item.reference} ({number} of {len(items)})")
        carried = carried.model_copy(update={"digests": {**carried.digests, item.reference: digest}})
        _save(folder, carried)
        done.append(item.model_copy(update={"digest": digest, "state": "there"}))
    return tuple(done)


def _fetch_file(item: Item, known: str | None, folder: Path) -> str:
    assert item.checksum is not None
    target = files.place(files_folder(folder), item.reference)
    published = files.published(item.checksum, target.name)
    if known is not None and published != known:
        raise moved(item, known, published)
    files.fetch(item.source, target, published)
    return published


def _fetch_image(
    item: Item,
    known: str | None,
    held: str | None,
    layout: Layout,
    architectures: Sequence[Architecture],
    registries: Registries,
) -> tuple[str, str]:
    """What is published under the reference, and the image in the folder: a mirror may have either."""
    place = Place.of(item.source)
    registry = registries.of(place)
    data, published = registry.manifest(place.repository, place.tag)
    if known is not None and published.digest not in (known, held):
        raise moved(item, known, published.digest)
    document = json.loads(data)
    if published.media_type in (INDEX, DOCKER_INDEX):
        wanted = chosen(item.reference, document, architectures)
        for one in wanted:
            manifest, _ = registry.manifest(place.repository, one.digest)
            _fetch_parts(json.loads(manifest), place, registry, layout)
            layout.add(manifest, one.media_type)
        image = wanted[0] if len(wanted) == 1 else layout.add(narrowed(document, wanted), published.media_type)
    else:
        _fetch_parts(document, place, registry, layout)
        image = layout.add(data, published.media_type)
    if layout.images().get(item.reference) != image:
        layout.name(item.reference, image)
    return known or published.digest, image.digest


def _fetch_parts(manifest: Mapping[str, object], place: Place, registry: Registry, layout: Layout) -> None:
    for blob in parts(manifest):
        registry.fetch(place.repository, blob, layout)


def chosen(reference: str, index: Mapping[str, object], architectures: Sequence[str]) -> list[Descriptor]:
    """Those manifests of an index that are for these architectures. Raises MirrorError where one has none."""
    found: dict[str, Descriptor] = {}
    entries = index.get("manifests")
    for one in entries if isinstance(entries, list) else ():
        platform = one.get("platform") or {}
        if platform.get("os") == "linux" and platform.get("architecture") in architectures:
            found.setdefault(platform["architecture"], Descriptor.of(one))  # the first is the plainest variant
    lost = [name for name in architectures if name not in found]
    if lost:
        raise MirrorError(f"{reference} is not published for {' and '.join(lost)}.", "", ["choose another version"])
    return [found[name] for name in architectures]


def narrowed(index: Mapping[str, object], wanted: Sequence[Descriptor]) -> bytes:
    """The index with these manifests alone: a registry takes none that names what it has not got."""
    digests = {one.digest for one in wanted}
    entries = index.get("manifests")
    kept = [one for one in entries if one["digest"] in digests] if isinstance(entries, list) else []
    return told({**index, "manifests": kept})


def moved(item: Item, known: str, published: str) -> MirrorError:
    """The same reference is something else than it was."""
    return MirrorError(
        f"{item.reference} is not what it was.",
        f"It was {known} when it was fetched first, and is {published} now.",
        ["see who has changed it, and why", "to take what is there now: homewright mirror fetch FOLDER --renew"],
    )


def look(items: Sequence[Item], folder: Path) -> tuple[Item, ...]:
    """What of these is in the folder, every byte of it read."""
    layout = Layout(images_folder(folder))
    carried = load(folder)
    if carried is None:
        raise nothing_in(folder)
    named = layout.images()
    return tuple(_seen(item, lambda one: _read(one, folder, layout, named, carried)) for item in items)


def nothing_in(folder: Path) -> MirrorError:
    """A folder that nothing was fetched into."""
    return MirrorError(f"{folder} holds no copies.", "It has no mirror.json.", [f"homewright mirror fetch {folder}"])


def _read(item: Item, folder: Path, layout: Layout, named: Mapping[str, Descriptor], carried: Carried) -> str:
    known = carried.digests.get(item.reference)
    if known is None:
        raise Missing("It was not fetched.")
    if item.kind == "image":
        if item.reference not in named:
            raise Missing("It is not in the folder.")
        layout.verify(named[item.reference])
        return known
    target = files.place(files_folder(folder), item.reference)
    try:
        found = files.checksum(target)
    except OSError as error:
        raise Missing(f"{target}: {error.strerror}.") from error
    if found != known:
        raise wrong(str(target), known, found)
    return known


def ask(items: Sequence[Item], mirror: MirrorSettings, carried: Carried | None = None) -> tuple[Item, ...]:
    """What of these the site's own sources have, and whether it is what was fetched before where that is known:
    as it was published, or as a folder carries it."""
    registries = Registries(mirror)

    def published(item: Item) -> str:
        if item.kind == "file":
            assert item.checksum is not None
            digest = files.published(item.checksum, files.place(Path(), item.reference).name)
        else:
            place = Place.of(item.source)
            digest = registries.of(place).manifest(place.repository, place.tag)[1].digest
        held = carried.held.get(item.reference) if carried else None
        if item.digest is not None and digest not in (item.digest, held):
            raise moved(item, item.digest, digest)
        return digest

    seen = (_seen(item, published) for item in items)
    return tuple(
        one.model_copy(update={"reason": "not compared"}) if one.state == "there" and item.digest is None else one
        for item, one in zip(items, seen, strict=True)
    )


def _seen(item: Item, act: Callable[[Item], str]) -> Item:
    try:
        return item.model_copy(update={"digest": act(item), "state": "there"})
    except HomewrightError as error:
        state = "missing" if isinstance(error, Missing) or error.exit_code == 5 else "wrong"
        return item.model_copy(update={"state": state, "reason": f"{error.what} {error.why}".strip()})


def require_folder(folder: Path) -> Path:
    """The folder to fetch into, there or made. Raises MirrorError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    return folder

"""What a site fetches, out of its answers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from homewright.mirror.models import Item
from homewright.site import mirrored, mirrors
from homewright.site.mirrored import Architecture
from homewright.site.models import Site


def needs(
    site: Site, architectures: Sequence[Architecture] = ("amd64",), digests: Mapping[str, str] | None = None
) -> tuple[Item, ...]:
    """Every image and file that the site's cluster, and its workspaces' own image, are made of.

    Raises SiteError for a version that is not known.

    `digests` are those by reference that are known from before.
    """
    known = digests or {}
    devenv = site.workspaces.devenv_image
    images = [
        Item(
            kind="image",
            name=image.name,
            version=image.version,
            reference=image.reference,
            source=mirrors.image(site.mirror, image.reference),
            digest=known.get(image.reference),
        )
        for image in (*mirrored.images(site.cluster.version), *((mirrored.BASE,) if devenv else ()))
    ]
    files = [
        Item(
            kind="file",
            name=program.name,
            version=program.version,
            architecture=architecture,
            reference=program.url,
            source=mirrors.file(site.mirror, program.url),
            checksum=mirrors.checksum(site.mirror, program),
            digest=known.get(program.url),
        )
        for architecture in architectures
        for program in (
            *mirrored.programs(site.cluster.version, architecture),
            *((mirrored.opentofu(architecture),) if devenv else ()),
        )
    ]
    return (*images, *files)


def packages(site: Site) -> tuple[Item, ...]:
    """The packages of the system's own archive that its nodes get: apt checks them, and nothing here carries them."""
    if site.platform.cluster != "kubeadm":
        return ()
    source = site.mirror.apt or "what each server's apt is told"
    shared = mirrored.BALANCER_PACKAGES if site.cluster.address else ()
    building = mirrored.BUILDER_PACKAGES if site.workspaces.devenv_image else ()
    return tuple(
        Item(kind="package", name=name, version="the archive's", reference=name, source=source)
        for name in (*mirrored.DEBIAN_PACKAGES, site.cluster.runtime.package, *shared, *building)
    )

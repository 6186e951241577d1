"""/etc/hosts as the site wants it. Pure: text in, text out."""

from __future__ import annotations

from homewright.site.models import Site

BEGIN = "# homewright: the servers of this site, kept by Homewright"
END = "# homewright: end"


def names_of(site: Site, server: str) -> list[str]:
    """What a server is called: its name in the zone first, where there is one, then its short name."""
    return [f"{server}.{site.zone}", server] if site.zone else [server]


def entries(site: Site) -> list[str]:
    """One line for each server."""
    return [f"{server.address}\t{' '.join(names_of(site, server.name))}" for server in site.servers]


def wanted(current: str, site: Site) -> str:
    """The whole file: our block first, and what was there before without our names.

    First, because the first line that has a name wins; and without our names elsewhere, because Debian and Ubuntu map
    a server's own name to 127.0.1.1, and glibc adds up all addresses that it finds in this file.
    """
    names = {name for server in site.servers for name in names_of(site, server.name)}
    rest = [kept for line in lines_outside(current) if (kept := _without_names(line, names)) is not None]
    return "\n".join([BEGIN, *entries(site), END, *rest]) + "\n"


def lines_outside(current: str) -> list[str]:
    """The lines that are not ours."""
    lines: list[str] = []
    ours = False
    for line in current.splitlines():
        if line.strip() == BEGIN:
            ours = True
        elif line.strip() == END:
            ours = False
        elif not ours:
            lines.append(line)
    return lines


def _without_names(line: str, names: set[str]) -> str | None:
    entry, hash_sign, comment = line.partition("#")
    words = entry.split()
    if not any(word.lower() in names for word in words[1:]):
        return line
    kept = [word for word in words[1:] if word.lower() not in names]
    if not kept:
        return None
    return f"{words[0]}\t{' '.join(kept)}" + (f" {hash_sign}{comment}" if hash_sign else "")


def restored(current: str, before: str, site: Site) -> str:
    """The file as it was before; where somebody has edited it meanwhile, their lines stay and only ours go."""
    if current == wanted(before, site):
        return before
    outside = lines_outside(current)
    if BEGIN not in current:
        return current
    names = {name for server in site.servers for name in names_of(site, server.name)}
    taken = [line for line in lines_outside(before) if _without_names(line, names) != line and line not in outside]
    shortened = {_without_names(line, names) for line in taken}
    return "\n".join([*(line for line in outside if line not in shortened), *taken]) + "\n"

"""`homewright site …`: the answers."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homewright.cli import site_export, site_import, site_leaving, site_secret
from homewright.cli.output import Output
from homewright.errors import SiteError, UsageError, addressed

if TYPE_CHECKING:
    from homewright.site.models import Site


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, text: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, help=text, description=text, parents=[_shared()])

    new = action("new", "start a site: by options, or by questions where there is a terminal")
    new.add_argument("name", nargs="?", metavar="NAME", help="what the site is called")
    new.add_argument(
        "--server", action="append", default=[], metavar="NAME=USER@ADDRESS[:PORT]", help="a server; once for each"
    )
    new.add_argument(
        "--host-key", action="append", default=[], metavar="NAME=KEY", help="a server's SSH host key or fingerprint"
    )
    new.add_argument("--zone", metavar="DOMAIN", help="the DNS zone of the platform")
    new.add_argument("--here", action="store_true", help="write ./site.yaml instead of one under ~/.config")

    show = action("show", "the answers in force, defaults included")
    show.add_argument("field", nargs="?", metavar="FIELD", help="one field only, such as servers.s1.address")

    change = action("set", "change answers")
    change.add_argument("changes", nargs="+", metavar="FIELD VALUE", help="such as: servers.s1.port 2222")

    unset = action("unset", "take answers back: their defaults hold again")
    unset.add_argument("fields", nargs="+", metavar="FIELD", help="such as: zone, or servers.s3")

    add = action("add-server", "add a server")
    add.add_argument("server", metavar="NAME=USER@ADDRESS[:PORT]", help="such as s4=ann@192.168.1.14")
    add.add_argument("--host-key", metavar="KEY", help="its SSH host key or fingerprint")

    taking = "a whole site out of a site export; or servers out of your ~/.ssh/config or an Ansible inventory"
    importing = action("import", f"{taking}: lists them, or adds those named")
    site_import.add_arguments(importing)
    site_export.add_import_arguments(importing)

    about = "one encrypted file with everything that another machine needs to go on with the site"
    site_export.add_export_arguments(action("export", about))

    about = "take a server out of the site; what is on it goes elsewhere or away by the next apply"
    site_leaving.add_server_arguments(action("remove-server", about))
    about = "have an instance taken away with all that is in it, by the next apply"
    site_leaving.add_instance_arguments(action("remove-instance", about))

    about = "passwords and tokens: kept apart from site.yaml, never shown again"
    secret = verbs.add_parser("secret", help=about, description=about)
    site_secret.add_arguments(secret, [_shared()])

    action("validate", "check the file: exit 0, or 2 with everything that is wrong")
    action("inventory", "an Ansible inventory: ansible-playbook -i <(homewright site inventory) PLAYBOOK")


def _shared() -> argparse.ArgumentParser:
    from homewright.cli import global_options

    return global_options(suppress=True)


def run(args: argparse.Namespace, output: Output) -> int:
    if args.action == "new":
        return _new(args, output)
    if args.action == "secret":
        return site_secret.run(args, output)
    from homewright.site import files
    from homewright.site.paths import site_file

    if args.action == "import" and (exported := site_export.named(args)) is not None:
        return site_export.take_over(exported, args, output)
    path = site_file(args.site)
    if args.action == "export":
        return site_export.export(path, args, output)
    if args.action == "set":
        return _set(path, args, output)
    if args.action == "unset":
        return _unset(path, args.fields, output)
    if args.action == "add-server":
        return _add_server(path, args, output)
    if args.action == "import":
        return site_import.run(path, args, output)
    if args.action == "remove-server":
        return site_leaving.remove_server(path, args, output)
    if args.action == "remove-instance":
        return site_leaving.remove_instance(path, args, output)
    site = files.load(path)
    if args.action == "show":
        return _show(site, args.field, output)
    if args.action == "inventory":
        return _inventory(site, args, output)
    servers = f"{len(site.servers)} server{'' if len(site.servers) == 1 else 's'}"
    output.line(f"{path}: valid; site {site.name}, {servers}")
    output.document({"version": 1, "file": str(path), "valid": True, "name": site.name, "servers": len(site.servers)})
    return 0


def _new(args: argparse.Namespace, output: Output) -> int:
    from homewright.site import files
    from homewright.site.paths import StateFolder, config_home

    answers: dict[str, Any] = {"servers": [_server(text) for text in args.server]}
    name = args.name
    if name is None or not (args.server or args.host_key or args.zone):
        name = _ask_for_all(name, answers)
    _add_host_keys(answers["servers"], args.host_key)
    if args.zone:
        answers["zone"] = args.zone
    site = _validated({"name": name, **answers})
    if args.here and args.site:
        raise UsageError("--here and --site name two places.", "", ["leave one of them out"])
    path = Path("site.yaml").absolute() if args.here else config_home() / site.name / "site.yaml"
    if args.site:
        path = Path(args.site).expanduser().absolute()
    StateFolder.of(site.name, args.state, path).require_own()
    files.save(path, site)
    output.line(f"Written: {path}")
    chosen = "" if args.here else f"--site {shlex.quote(args.site or site.name)} "
    verb = "trust --all" if site.servers else "site add-server NAME=USER@ADDRESS"
    output.line(f"Next:    homewright {chosen}{verb}")
    output.document({"version": 1, "file": str(path), "name": site.name, "servers": len(site.servers)})
    return 0


def _validated(answers: dict[str, Any]) -> Site:
    """The site that these answers make. Raises SiteError with everything that is wrong with them."""
    from homewright.site import files

    return files.check({"version": 1, **answers}, None, "the new site")


def _server(text: str, option: str = "--server") -> dict[str, Any]:
    """One server as it is typed. Raises UsageError where it has another form."""
    import re

    found = re.fullmatch(r"([^=@:\s]+)=([^@:\s]+)@([^@:\s]+)(?::(\d{1,5}))?", text)
    if found is None:
        raise UsageError(
            f"{option} {text} is not understood.",
            "It is NAME=USER@ADDRESS, or NAME=USER@ADDRESS:PORT.",
            [f"for example: {option} s1=ann@192.168.1.11"],
        )
    name, user, address, port = found.groups()
    return {"name": name, "address": address, "user": user, **({"port": int(port)} if port else {})}


def _add_host_keys(servers: list[dict[str, Any]], given: list[str]) -> None:
    for text in given:
        name, _, key = text.partition("=")
        server = next((server for server in servers if server["name"] == name), None)
        if server is None or not key:
            raise UsageError(
                f"--host-key {text} is not understood.",
                "It is NAME=KEY, where NAME is that of a --server.",
                ["for example: --host-key s1=SHA256:…"],
            )
        server["host_key"] = key


def _ask_for_all(name: str | None, answers: dict[str, Any]) -> str:
    """Ask on the terminal for what the options leave open. Raises UsageError where nobody is there."""
    if not sys.stdin.isatty():
        if name is not None:
            return name
        raise UsageError(
            "What is the site called?",
            "There is no terminal to ask on.",
            ["homewright site new NAME --server NAME=USER@ADDRESS …"],
        )
    name = name or _ask("Name of the site", lambda text: _validated({"name": text}))
    servers: list[dict[str, Any]] = answers["servers"]
    while True:
        text = _ask(
            f"Server {len(servers) + 1} as NAME=USER@ADDRESS (empty: no more)",
            lambda text: text and _validated({"name": name, "servers": [*servers, _server(text)]}),
        )
        if not text:
            return name
        servers.append(_server(text))


def _ask(question: str, check: Any) -> str:
    """Ask until the answer passes. Raises UsageError at the end of input."""
    while True:
        print(f"{question}: ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            print(file=sys.stderr)
            raise UsageError("The questions were not answered.", "The input ended.", ["homewright site new NAME"])
        try:
            check(line.strip())
        except (SiteError, UsageError) as error:
            print(error.as_text(), file=sys.stderr)
        else:
            return line.strip()


def _show(site: Site, field: str | None, output: Output) -> int:
    from homewright.site import editing, fields

    if field is None:
        output.line(editing.effective_text(site).rstrip("\n"))
        output.document(site)
        return 0
    value = fields.value_at(site, field)
    output.line(editing.value_text(value))
    output.document({"version": 1, "field": field, "value": value})
    return 0


def _set(path: Path, args: argparse.Namespace, output: Output) -> int:
    from homewright.site import fields, files
    from homewright.site.paths import state_home

    words: list[str] = args.changes
    if len(words) % 2:
        raise UsageError(
            f"{words[-1]} has no value.",
            "set takes pairs of FIELD and VALUE.",
            ["homewright site set zone home.internal"],
        )
    if "name" in words[::2]:
        raise UsageError(
            "A site is not renamed by this command.",
            "Its key, host keys, secrets and runs are kept in a folder of the old name.",
            [f"rename its folder in {state_home() / 'sites'}, then change `name:` in {path}"],
        )
    changes = {field: fields.parse(field, text) for field, text in zip(words[::2], words[1::2], strict=True)}
    return _changed(path, files.update(path, {**_proposed(path, changes, args), **changes}), list(changes), output)


def _proposed(path: Path, changes: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """The proposed instances, named, where one of them is changed: the others stay as they are."""
    from homewright.planning.known import known_facts
    from homewright.planning.leaving import named
    from homewright.site import files
    from homewright.site.paths import StateFolder

    if not any(field.startswith("instances.nodes.") for field in changes):
        return {}
    site = files.load(path)
    if site.instances.nodes is not None:
        return {}
    return {"instances.nodes": named(site, known_facts(site, StateFolder.of(site.name, args.state, path)))}


def _unset(path: Path, named: list[str], output: Output) -> int:
    from homewright.site import fields, files

    before = files.load(path)
    for field in named:
        fields.value_at(before, field)  # a misspelt one is an error, not a success
    return _changed(path, files.update(path, dict.fromkeys(named, files.UNSET)), named, output)


def _add_server(path: Path, args: argparse.Namespace, output: Output) -> int:
    from homewright.site import files

    server = _server(args.server, "add-server")
    if args.host_key:
        server["host_key"] = args.host_key
    site = files.load(path)
    site = files.update(path, {"servers": [*site.servers, server]}, since=site)
    output.line(f"Added:  {server['name']}")
    output.line(f"Saved:  {path}")
    output.line(addressed(f"Next:   homewright trust {server['name']}"))
    output.document({"version": 1, "file": str(path), "added": site.server(server["name"]).model_dump(mode="json")})
    return 0


def _changed(path: Path, site: Site, named: list[str], output: Output) -> int:
    from homewright.site import editing, fields

    values: dict[str, Any] = {}
    for field in named:
        try:
            values[field] = fields.value_at(site, field)
        except SiteError:  # it was taken away
            values[field] = None
    for field, value in values.items():
        output.line(f"{field}: {editing.value_text(value)}")
    output.line(f"Saved:  {path}")
    output.document({"version": 1, "file": str(path), "changed": values})
    return 0


def _inventory(site: Site, args: argparse.Namespace, output: Output) -> int:
    from typing import get_args

    from homewright.access.openssh import ansible_ssh_common_args
    from homewright.catalogue.models import Group
    from homewright.discovery import recorded
    from homewright.planning.groups import members
    from homewright.planning.hosts import endpoint
    from homewright.site import inventory
    from homewright.site.paths import StateFolder, site_file

    state = StateFolder.of(site.name, args.state, site_file(args.site))
    state.require_own()
    facts = recorded(state)
    groups = {group: members(group, site, facts) for group in get_args(Group)}
    names = (*(server.name for server in site.servers), *groups["instances"])
    ways = [endpoint(name, site, facts, state) for name in names]
    hosts = [inventory.Reached(way.name, way.address, way.port, way.user, ansible_ssh_common_args(way)) for way in ways]
    document = inventory.document(site, groups, hosts, str(state.key))
    output.line(inventory.text(document).rstrip("\n"))
    output.document(document)
    return 0

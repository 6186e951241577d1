"""The hosts of an Ansible inventory, in INI or YAML. Read, never run: no plugin, no template, no program.

The forms are those of Ansible's documentation ("How to build your inventory"): groups of groups, ranges such as
web[01:20] and db-[a:f], variables of hosts and groups, and `group_vars` and `host_vars` beside the file. Of the
variables only those that say how to reach a host count.
"""

from __future__ import annotations

import getpass
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from homewright.access.importing import Found, Host, host, read_text
from homewright.errors import UsageError
from homewright.site.document import DocumentError
from homewright.site.document import read as read_yaml

MAX_HOSTS = 1000
"""What one inventory may name, ranges counted out."""

_RANGE = re.compile(r"\[(?P<first>\d+|[A-Za-z]):(?P<last>\d+|[A-Za-z])(:(?P<step>\d+))?\]")
_SECTION = re.compile(r"\[(?P<name>[^:\]]+)(:(?P<kind>children|vars|hosts))?\]\s*([#;].*)?$")
_ADDRESS = ("ansible_host", "ansible_ssh_host")
_USER = ("ansible_user", "ansible_ssh_user")
_PORT = ("ansible_port", "ansible_ssh_port")
_COUNTS = (*_ADDRESS, *_USER, *_PORT, "ansible_connection", "ansible_ssh_common_args", "ansible_ssh_extra_args")


@dataclass
class _Group:
    hosts: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)


@dataclass
class _Tree:
    """An inventory as it stands in its file."""

    file: Path
    groups: dict[str, _Group] = field(default_factory=lambda: {"all": _Group()})
    hosts: dict[str, dict[str, str]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def group(self, name: str) -> _Group:
        return self.groups.setdefault(name, _Group())

    def add(self, pattern: str, variables: Mapping[str, Any], group: str) -> None:
        """A host, or all of a range, with its variables."""
        for name in expand(pattern):
            if len(self.hosts) >= MAX_HOSTS and name not in self.hosts:
                raise UsageError(f"{self.file} names more than {MAX_HOSTS} hosts.", "", ["name a smaller inventory"])
            self.hosts.setdefault(name, {}).update(_counting(variables))
            if name not in self.group(group).hosts:
                self.group(group).hosts.append(name)


def expand(pattern: str) -> Iterator[str]:
    """The names that a pattern with ranges stands for: web[1:3] is web1, web2, web3; leading zeros stay."""
    found = _RANGE.search(pattern)
    if found is None:
        yield pattern
        return
    head, tail = pattern[: found.start()], pattern[found.end() :]
    for middle in _between(found["first"], found["last"], int(found["step"] or 1)):
        for rest in expand(tail):
            yield f"{head}{middle}{rest}"


def _between(first: str, last: str, step: int) -> Iterator[str]:
    if first.isdigit() != last.isdigit() or not step:
        return
    if first.isdigit():
        width = len(first) if first.startswith("0") else 0
        for number in range(int(first), int(last) + 1, step):
            yield str(number).zfill(width)
    else:
        for code in range(ord(first), ord(last) + 1, step):
            yield chr(code)


def from_ini(text: str, file: Path) -> Found:
    """The hosts of an inventory in INI. Raises UsageError with the line that is none."""
    tree = _Tree(file)
    group, kind = "ungrouped", "hosts"
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        found = _SECTION.match(line)
        if found:
            group, kind = found["name"].strip(), found["kind"] or "hosts"
            tree.group(group)
        elif line.startswith("[") and "]" not in line.partition(" ")[0]:
            raise _no_line(file, number, line)
        elif kind == "children":
            tree.group(line.split("#")[0].strip())
            tree.group(group).children.append(line.split("#")[0].strip())
        elif kind == "vars":
            key, sign, value = line.partition("=")
            if not sign:
                raise _no_line(file, number, line)
            tree.group(group).variables.update(_counting({key.strip(): value.strip().strip("'\"")}))
        else:
            _ini_host(tree, group, number, line)
    return _finish(tree)


def _ini_host(tree: _Tree, group: str, number: int, line: str) -> None:
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        raise _no_line(tree.file, number, line) from None
    variables: dict[str, str] = {}
    for word in words[1:]:
        key, sign, value = word.partition("=")
        if not sign:
            raise _no_line(tree.file, number, line)
        variables[key] = value
    pattern, port = words[0], ""
    at_port = re.fullmatch(r"(?P<name>[^\[\]:]*(\[[^\]]*\][^\[\]:]*)*):(?P<port>\d+)", pattern)
    if at_port:
        pattern, port = at_port["name"], at_port["port"]
    tree.add(pattern, ({"ansible_port": port} if port else {}) | variables, group)


def _no_line(file: Path, number: int, line: str) -> UsageError:
    return UsageError(
        f"Line {number} of {file} is no line of an inventory.",
        f"It reads: {line[:60]}",
        ["ansible-inventory -i FILE --list shows what Ansible makes of it", "or name an ssh_config"],
    )


def from_yaml(text: str, file: Path) -> Found:
    """The hosts of an inventory in YAML. Raises UsageError."""
    do = [f"write it plainly: ansible-inventory -i {file} --list --yaml > hosts.yaml", "then import hosts.yaml"]
    try:
        data = read_yaml(text).plain()
    except DocumentError as error:
        raise UsageError(f"{file} cannot be read, line {error.line}.", f"{error.reason}.", do) from None
    if not isinstance(data, dict) or not all(isinstance(body, dict | None) for body in data.values()):
        raise UsageError(f"{file} is no inventory.", "It is not groups with hosts, children or vars.", do)
    tree = _Tree(file)
    for name, body in data.items():
        _yaml_group(tree, name, body or {}, do)
    return _finish(tree)


def _yaml_group(tree: _Tree, name: str, body: Any, do: list[str]) -> None:
    group = tree.group(name)
    known = {"hosts", "children", "vars"}
    if not isinstance(body, dict) or not set(body) <= known:
        raise UsageError(
            f"{tree.file} is no inventory.", f"The group {name} holds more than hosts, children and vars.", do
        )
    for key in known:
        if not isinstance(body.get(key) or {}, dict):
            raise UsageError(f"{tree.file} is no inventory.", f"{key} of the group {name} is no mapping.", do)
    group.variables.update(_counting(body.get("vars") or {}))
    for pattern, variables in (body.get("hosts") or {}).items():
        tree.add(pattern, variables if isinstance(variables, dict) else {}, name)
    for child, inside in (body.get("children") or {}).items():
        group.children.append(child)
        _yaml_group(tree, child, inside or {}, do)


def _counting(variables: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in variables.items() if key in _COUNTS and value is not None}


def _finish(tree: _Tree) -> Found:
    """Every host with the variables in force: of all, of its groups from the widest to the nearest, its own."""
    _beside(tree)
    ways = {name: _ways(tree, name) for name in tree.hosts}
    hosts = [_host(name, _in_force(tree, name, ways[name]), ways[name]) for name in tree.hosts]
    return Found("inventory", tuple(hosts), tuple(tree.said))


def _ways(tree: _Tree, name: str) -> dict[str, int]:
    """The groups that a host is in, each with how far from it: 0 where it is named."""
    far = {group: 0 for group, body in tree.groups.items() if name in body.hosts}
    waiting = list(far)
    while waiting:
        inner = waiting.pop(0)
        for outer, body in tree.groups.items():
            if inner in body.children and far.get(outer, -1) < far[inner] + 1 <= len(tree.groups):
                far[outer] = far[inner] + 1
                waiting.append(outer)
    return far


def _in_force(tree: _Tree, name: str, ways: Mapping[str, int]) -> dict[str, str]:
    order = sorted((group for group in ways if group != "all"), key=lambda group: (-ways[group], group))
    found = dict(tree.groups["all"].variables)
    for group in order:
        found.update(tree.groups[group].variables)
    return found | tree.hosts[name]


def _beside(tree: _Tree) -> None:
    """Take in `group_vars` and `host_vars` beside the file, as far as they are plain."""
    for group in list(tree.groups):
        tree.groups[group].variables.update(_file_variables(tree, tree.file.parent / "group_vars", group))
    for name in tree.hosts:
        tree.hosts[name].update(_file_variables(tree, tree.file.parent / "host_vars", name))


def _file_variables(tree: _Tree, folder: Path, name: str) -> dict[str, str]:
    if not folder.is_dir() or "/" in name:
        return {}
    found: dict[str, str] = {}
    files = [folder / f"{name}{ending}" for ending in ("", ".yml", ".yaml", ".json")]
    files += sorted((folder / name).iterdir()) if (folder / name).is_dir() else []
    for file in files:
        if not file.is_file():
            continue
        try:
            text = read_text(file)
            data = None if text.startswith("$ANSIBLE_VAULT") else read_yaml(text).plain()
        except (UsageError, DocumentError) as error:
            reason = error.what if isinstance(error, UsageError) else error.reason
            tree.said.append(f"{folder.name}/{file.name} is left out: {reason.rstrip('.')}")
            continue
        if data is None and text.startswith("$ANSIBLE_VAULT"):
            tree.said.append(f"{folder.name}/{file.name} is left out: it is encrypted")
        if isinstance(data, dict):
            found.update(_counting(data))
    return found


def _host(name: str, variables: Mapping[str, str], ways: Mapping[str, int]) -> Host:
    def one(keys: tuple[str, ...], otherwise: str) -> str:
        return next((variables[key] for key in keys if variables.get(key)), otherwise)

    address, user, port = one(_ADDRESS, name), one(_USER, getpass.getuser()), one(_PORT, "22")
    groups = tuple(group for group in sorted(ways, key=lambda group: (ways[group], group)) if _shown(group))
    template = next((value for value in (address, user, port) if "{{" in value), "")
    connection = variables.get("ansible_connection", "ssh")
    reason, note = "", ""
    if template:
        reason = f"{template} is a template, which an import does not fill in"
    elif connection == "local":
        reason = "is the machine that Ansible runs on (ansible_connection=local)"
    elif connection not in ("ssh", "smart", "paramiko", "paramiko_ssh", "ansible.builtin.ssh"):
        reason = f"is reached by {connection}, not by SSH"
    arguments = " ".join(variables.get(key, "") for key in _COUNTS[-2:])
    if re.search(r"Proxy(Jump|Command)|(^|\s)-J", arguments):
        note = "Ansible reaches it through a jump host; Homewright signs in directly"
    return host(name, address, user, port, groups=groups, reason=reason, note=note)


def _shown(group: str) -> bool:
    return group not in ("all", "ungrouped")

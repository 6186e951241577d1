"""The node backend: one server, its workspaces, and everything that is done to them there."""

from __future__ import annotations

import getpass
import hashlib
import os
import shlex
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from homewright.access.connection import Connection
from homewright.errors import UsageError
from homewright.site.authority import Authority
from homewright.site.models import Server, Site
from homewright.workspaces import bundle as bundles
from homewright.workspaces import naming, shipping
from homewright.workspaces.backends.node_unit import Layout, checked_path, config_text, unit_text
from homewright.workspaces.errors import InstanceFailed, StorageFailed
from homewright.workspaces.models import Key, Specification, WorkspaceState
from homewright.workspaces.nodeside.look import health
from homewright.workspaces.observation import NodeReport, Observation, Record, printable
from homewright.workspaces.passwords import hashed
from homewright.workspaces.states import RENEW_S, judge
from homewright.workspaces.template_models import NodeTemplate

Say = Callable[[str], None]

LEAST_FREE = 256 << 20
"""Bytes that must be free under the data root before anything is made there."""
UNPACKED = 5
"""A bundle takes three to four times its archive's size (measured: 3.4 to 3.9), beside the archive."""
_INSTALL_LIMIT_S = 600.0
_LOOK_EVERY_S = 2.0
_PROBE_EVERY_S = 0.3
_NO_ROUTE_AFTER_S = 6.0


def who() -> str:
    """Who does it, for the history on the node."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


@dataclass
class NodeBackend:
    """One server of the site, over one connection."""

    site: Site
    server: Server
    authority: Authority
    connection: Connection

    def look(self, slug: str | None = None) -> NodeReport:
        """The node and its workspaces now. Raises Unreachable, CommandFailed, WorkspaceErrors."""
        return NodeReport.model_validate(self._ask("look", slug=slug, place=self._place()))

    def claim(self, specification: Specification, slug: str) -> dict[str, Any]:
        """Write the intent record, with a port of its own, or find the one that is there."""
        settings = self.site.workspaces
        return self._ask(
            "claim",
            key=self._key(specification.key),
            slug=slug,
            template=specification.template,
            preset=specification.preset,
            first_port=settings.first_port,
            unit=naming.unit(slug),
            system_user=naming.system_user(slug),
            data_root=checked_path(settings.data_root),
            at=time.time(),
        )

    def bring_bundle(self, architecture: str, present: tuple[str, ...], free: int | None, say: Say) -> str:
        """code-server on the node, uploaded where it is not there yet; returns its folder. Raises BundleError."""
        settings = self.site.workspaces.code_server
        wanted = bundles.wanted(settings, architecture)
        for folder in present:
            if folder.endswith(f"/{settings.version}-{wanted[:12]}"):
                return folder
        archive = bundles.ensure(settings, architecture, Percent(say, "downloading code-server"))
        if free is not None and free < archive.size * UNPACKED:
            raise StorageFailed(
                f"{self.server.name} has too little room for code-server.",
                f"It needs {archive.size * UNPACKED >> 20} MiB under /opt, and {free >> 20} MiB are free.",
                ["free some space there, then try again"],
            )
        place = self._ask("prepare-bundle", sha256=archive.sha256)["path"]
        self.connection.upload(
            archive.file,
            place,
            sudo=True,
            mode=0o600,
            progress=Percent(say, f"sending code-server to {self.server.name}"),
        )
        say(f"unpacking code-server on {self.server.name}")
        answer = self._ask("install-bundle", sha256=archive.sha256, version=archive.version, timeout=_INSTALL_LIMIT_S)
        return str(answer["folder"])

    def provision(
        self, record: Record, template: NodeTemplate, preset: str, folder: str, *, password: str,
        present: tuple[str, ...], mounted: tuple[str, ...], rewrite: bool,
    ) -> tuple[Record, tuple[str, ...]]:  # fmt: skip
        """Everything on the node but its start; each part only where it is missing or no longer fits."""
        layout = Layout(
            slug=record.slug,
            system_user=record.system_user,
            data_root=checked_path(record.data_root),
            data_group=self.site.workspaces.data_group,
            bundle=folder,
        )
        files: dict[str, str] = {}
        settings = hashlib.sha256(config_text(layout, self.server.address, record.port, "").encode()).hexdigest()
        if rewrite or settings != record.settings or "config.yaml" not in present:
            files["config.yaml"] = config_text(layout, self.server.address, record.port, hashed(password))
        names, addresses = self._names(record.slug)
        expires = record.certificate_expires_at
        certified = (*names, *addresses)
        fresh = expires is not None and expires > time.time() + RENEW_S and record.certificate_names == certified
        if rewrite or not fresh or not {"tls.crt", "tls.key"} <= set(present):
            leaf = self.authority.issue(f"{record.slug} on {self.server.name}", names, addresses)
            files["tls.key"] = leaf.key_pem.decode()
            files["tls.crt"] = leaf.chain_pem.decode()
            expires = leaf.expires.timestamp()
        answer = self._ask(
            "provision",
            **self._this(record),
            preset=preset,
            bundle=folder,
            certificate_expires_at=expires,
            certificate_names=certified,
            settings=settings,
            data_group=layout.data_group,
            mounts=[mount.folder for mount in template.mounts],
            files=files,
            unit_text=unit_text(f"{record.user}/{record.name}", layout, template, template.preset(preset), mounted),
        )
        return Record.model_validate(answer["record"]), tuple(answer["notes"])

    def start(self, record: Record) -> Record:
        return Record.model_validate(self._ask("start", **self._this(record))["record"])

    def finish(self, record: Record) -> None:
        """Note that everything was made and answered."""
        self._ask("finish", **self._this(record, generation=False))

    def stop(self, record: Record) -> None:
        """Returns once nothing of it runs any more."""
        self._ask("stop", **self._this(record, generation=False))

    def delete(self, record: Record, with_storage: bool) -> str:
        """Returns where its storage is now; empty where it had none."""
        answer = self._ask("delete", **self._this(record, generation=False), with_storage=with_storage)
        return str(answer["storage"])

    def prove(self, record: Record, template: NodeTemplate) -> None:
        """The walls of a running workspace, seen from inside. Raises InstanceFailed with every gap."""
        answer = self._ask(
            "prove",
            **self._this(record, generation=False),
            inside=shipping.source("inside"),
            mounts=[mount.folder for mount in template.mounts],
        )
        if answer["problems"]:
            raise InstanceFailed(
                f"The walls of {record.user}/{record.name} on {self.server.name} are not whole.",
                "; ".join(answer["problems"]),
                ["nobody should use it like this: homewright workspace stop …", "then mend that on the node"],
            )

    def wait_ready(self, record: Record, template: NodeTemplate, say: Say) -> str:
        """Wait until it answers, over TLS that the site's CA vouches for, from here.

        Returns a warning where it answers on the node but not from here; else nothing. Raises InstanceFailed with the
        reason as soon as one is certain, or at the template's limit.
        """
        began = time.monotonic()
        next_look = began + _LOOK_EVERY_S
        certificate = self.authority.certificate_pem.decode()
        said = ""
        while True:
            seen = health(self.server.address, record.port, certificate, template.probe.path)
            if seen["ok"]:
                return ""
            now = time.monotonic()
            if now >= next_look:
                next_look = now + _LOOK_EVERY_S
                verdict, report = self._verdict(record, template)
                if verdict.state is WorkspaceState.ERROR:
                    raise self._not_ready(record, f"{verdict.reason}.", verdict.remedy)
                if verdict.state is WorkspaceState.RUNNING and now - began > _NO_ROUTE_AFTER_S:
                    return (
                        f"It answers on {self.server.name}, but not from here ({seen['problem']}): "
                        "homewright workspace open says how to reach it through SSH."
                    )
                if verdict.state is WorkspaceState.STOPPED:
                    raise self._not_ready(record, "Somebody stopped it meanwhile.", "start it again")
                if report and (line := verdict.reason) and line != said:
                    said = line
                    say(f"waiting: {line}")
            if now - began > template.probe.start_timeout_s:
                why = f"It did not answer within {template.probe.start_timeout_s} s: {seen['problem']}."
                raise self._not_ready(record, why, "look at its log, then start it again")
            time.sleep(_PROBE_EVERY_S)

    def logs(self, record: Record, lines: int, follow: bool) -> Iterator[str]:
        """Its journal, oldest first; with `follow`, on and on until the iterator is closed."""
        words = ["journalctl", "--no-pager", "-q", "-o", "short-iso", "-n", str(lines), "-u", record.unit]
        for line in self.connection.stream([*words, *(["-f"] if follow else [])], sudo=True):
            yield printable(line)

    def _verdict(self, record: Record, template: NodeTemplate) -> tuple[Any, Observation | None]:
        report = self.look(record.slug)
        for seen in report.workspaces:
            return judge(seen, report.now, template.probe.start_timeout_s), seen
        raise InstanceFailed(f"{record.user}/{record.name} was deleted meanwhile.", "", ["homewright workspace list"])

    def _not_ready(self, record: Record, why: str, remedy: str) -> InstanceFailed:
        key = f"{record.user}/{record.name}@{self.server.name}"
        return InstanceFailed(
            f"{record.user}/{record.name} does not start on {self.server.name}.",
            why[:1].upper() + why[1:],
            [remedy, f"its log: homewright workspace logs {shlex.quote(key)}"],
        )

    def _names(self, slug: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What the certificate is good for. The loopback names serve who comes through an SSH forward."""
        zone = (naming.host_name(slug, self.server.name, self.site.zone),) if self.site.zone else ()
        return (*zone, self.server.name, "localhost"), (self.server.address, "127.0.0.1")

    def _place(self) -> dict[str, str]:
        return {
            "address": self.server.address,
            "authority": self.authority.certificate_pem.decode(),
            "data_root": self.site.workspaces.data_root,
        }

    def _key(self, key: Key) -> dict[str, str]:
        return {"user": key.user, "name": key.name, "node": self.server.name}

    def _this(self, record: Record, generation: bool = True) -> dict[str, Any]:
        """Exactly this workspace: refused where it was changed, or deleted and made again, meanwhile."""
        return {
            "key": {"user": record.user, "name": record.name, "node": self.server.name},
            "slug": record.slug,
            "uid": record.uid,
            "generation": record.generation if generation else None,
        }

    def _ask(self, action: str, timeout: float = 120.0, **request: Any) -> dict[str, Any]:
        return shipping.ask(self.connection, {"action": action, "who": who(), **request}, timeout)


class Percent:
    """Says a transfer's progress every tenth part."""

    def __init__(self, say: Say, what: str) -> None:
        self._say, self._what, self._tenth = say, what, -1

    def __call__(self, done: int, total: int) -> None:
        tenth = done * 10 // total if total else 0
        if tenth != self._tenth:
            self._tenth = tenth
            self._say(f"{self._what}: {tenth * 10} % of {total >> 20} MiB")


def require_template(templates: dict[str, NodeTemplate], name: str) -> NodeTemplate:
    """Raises UsageError where there is none of this name."""
    if name not in templates:
        raise UsageError(f"There is no template {name}.", "", [f"choose one of: {', '.join(templates)}"])
    return templates[name]

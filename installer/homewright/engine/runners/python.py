"""The python runner: one numbered Python file on some hosts, side by side."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from homewright.engine.events import Level
from homewright.engine.runners.guard import Guard
from homewright.engine.runners.host import CommandFailed, Host, Proof, cannot_tell, together
from homewright.engine.runners.looking import look
from homewright.engine.runners.protocol import UNREACHABLE, Cancel, Emitter, run
from homewright.engine.runners.request import StepRequest, Way
from homewright.engine.runners.shared import SharedConnections
from homewright.engine.runners.source import loaded, place_of
from homewright.engine.states import Action, State
from homewright.errors import Cancelled, HomewrightError, Unreachable
from homewright.planning.hosts import SSH_PORT
from homewright.planning.instances import place
from homewright.site.models import Site

FUNCTIONS = {
    Action.RUN: "run",
    Action.VERIFY: "verify",
    Action.ROLLBACK: "rollback",
    Action.RECOVER: "recover",
    Action.CAPTURE: "capture",
}


def hosts_of(
    request: StepRequest, emitter: Emitter, cancel: Cancel, connections: SharedConnections | None = None
) -> list[Host]:
    """All servers of the site as hosts, those that the request asks for first; for instances the others as well."""
    site = Site.model_validate(request.site)
    guard = Guard.of(request)
    through = {one.name: request.endpoint(one).through for one in request.hosts}

    def host(name: str, address: str, port: int, user: str, **more: Any) -> Host:
        return Host(
            name,
            address,
            port,
            user,
            site=site,
            key_file=request.key_file,
            known_hosts=request.known_hosts,
            secrets_file=request.secrets_file,
            guard=guard,
            emitter=emitter,
            cancel=cancel,
            through=through.get(name),
            facts_file=request.facts_file,
            given=request.given,
            shared=connections,
            **more,
        )

    asked = [
        host(
            asked.name,
            asked.address,
            asked.port,
            asked.user,
            groups=asked.groups,
            capture=asked.capture or {},
            watched=asked.watched,
        )
        for asked in request.hosts
    ]
    names = {one.name for one in asked}
    others = [
        host(server.name, server.address, server.port, server.user, capture={}, requested=False)
        for server in site.servers
        if server.name not in names
    ]
    if any(through.values()):
        others += _other_instances(request, asked[0], host)
    everyone = [*asked, *others]
    for one in everyone:
        one.peers = tuple(other for other in everyone if other is not one)
    return everyone


def _other_instances(request: StepRequest, one: Host, host: Callable[..., Host]) -> list[Host]:
    """The site's instances beside those that are asked for: nodes of a cluster have each other as peers."""
    names = {asked.name for asked in request.hosts}
    found = []
    for node in place(one.site, one.facts).nodes:
        if node.name in names or node.address is None:
            continue
        server = one.site.server(node.host)
        way = Way(name=server.name, address=server.address, port=server.port, user=server.user)
        other = host(node.name, node.address, SSH_PORT, server.user, capture={}, requested=False)
        other.through = request.endpoint(way)
        found.append(other)
    return found


def work(request: StepRequest, emitter: Emitter, cancel: Cancel, connections: SharedConnections | None = None) -> None:
    """Carry the file's function out, by connections of its own where it is given none. Tells every host's end."""
    if request.action is Action.LOOK:
        _only_look(request, emitter, cancel)
        return
    name = FUNCTIONS[request.action]
    function: Any = None
    whole: Any = None
    try:
        module = loaded(request.file)
        function = getattr(module, name, None)
        if request.action in (Action.RUN, Action.ROLLBACK, Action.RECOVER):
            whole = getattr(module, f"{name}_all", None)
        problem = "" if function or whole else f"{request.file.name} has no function {name}."
    except Exception as error:  # the file's own top level
        problem = place_of(error, request.file)
    if problem:
        for asked in request.hosts:
            if request.action == Action.VERIFY:
                emitter.verdict(asked.name, cannot_tell("").verdict, problem)
            emitter.finished(asked.name, State.FAILED, reason=problem)
        return
    everyone = hosts_of(request, emitter, cancel, connections)
    hosts = [host for host in everyone if host.requested]
    for host in hosts:
        emitter.started(host.name)
    try:
        if request.action == Action.VERIFY:
            together(hosts, lambda host: _verify(host, function, request.file))
        elif request.action == Action.CAPTURE:
            together(hosts, lambda host: _capture(host, module, request.file))
        elif whole:
            _act_together(hosts, whole, request.file)
        else:
            together(hosts, lambda host: _act(host, function, request.file))
    finally:
        for host in everyone:
            host.close()


def _act(host: Host, function: Callable[[Host], Any], file: Path) -> None:
    try:
        function(host)
    except Exception as error:
        host.error = error
    _tell_end(host, file)


def _act_together(hosts: Sequence[Host], function: Callable[[Sequence[Host]], Any], file: Path) -> None:
    try:
        function(hosts)
    except Exception as error:
        for host in hosts:
            host.error = host.error or error
    for host in hosts:
        _tell_end(host, file)


def _tell_end(host: Host, file: Path) -> None:
    if host.error is None:
        host.emitter.finished(host.name, State.SUCCEEDED, changed=host.changed)
        return
    _show(host, host.error)
    host.emitter.finished(host.name, _state(host.error), changed=host.changed, reason=_reason(host.error, file))


def _verify(host: Host, function: Callable[[Host], Proof], file: Path) -> None:
    state: State | str = State.SUCCEEDED
    try:
        proof = function(host)
        if not isinstance(proof, Proof):
            raise TypeError(f"verify gave {type(proof).__name__}, not a Proof")
    except Exception as error:  # a proof that could not be carried out has found nothing out
        proof = cannot_tell(_reason(error, file))
        state = _state(error) if isinstance(error, Unreachable | Cancelled) else State.SUCCEEDED
    host.emitter.verdict(host.name, proof.verdict, proof.reason, idle=proof.idle)
    if state == State.SUCCEEDED:
        look(host)
    reason = proof.reason if state != State.SUCCEEDED else ""
    host.emitter.finished(host.name, state, reason=reason)


def _only_look(request: StepRequest, emitter: Emitter, cancel: Cancel) -> None:
    everyone = hosts_of(request, emitter, cancel)
    hosts = [host for host in everyone if host.requested]
    try:
        together(hosts, look)
    finally:
        for host in everyone:
            host.close()
    for host in hosts:
        emitter.finished(host.name, State.SUCCEEDED)


def _capture(host: Host, module: ModuleType, file: Path) -> None:
    try:
        look(host)
        host.emitter.capture(host.name, module.capture(host))
    except Exception as error:
        host.error = error
    _tell_end(host, file)


def _state(error: Exception) -> State | str:
    if isinstance(error, Unreachable):
        return UNREACHABLE
    return State.CANCELLED if isinstance(error, Cancelled) else State.FAILED


def _reason(error: Exception, file: Path) -> str:
    if isinstance(error, HomewrightError):
        return f"{error.what} {error.why}".strip()
    return place_of(error, file)


def _show(host: Host, error: Exception) -> None:
    if isinstance(error, CommandFailed):
        host.emitter.line(error.completed.stderr or error.completed.stdout, host=host.name, level=Level.ERROR)


if __name__ == "__main__":
    sys.exit(run(work))

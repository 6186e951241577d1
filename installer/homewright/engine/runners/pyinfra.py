"""The pyinfra runner: one deploy file on some hosts, in a process of its own.

gevent goes first: pyinfra's API does not patch by itself. Its context is the process's, so there is one run a process.
"""

# ruff: noqa: E402, I001 - the order of these imports is the point
from gevent import monkey

monkey.patch_all()

import sys
import logging
import socket
from pathlib import Path
from typing import Any

import gevent
import pyinfra
from pyinfra.api import BaseStateCallback, Config, Inventory, State, operations
from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.connect import connect_all, disconnect_all
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.operations import run_ops
from pyinfra.api.output import set_echo
from pyinfra.api.state import StateStage
from pyinfra.connectors import ssh as ssh_connector
from pyinfra.connectors import util as connector_util
from pyinfra.context import ctx_config, ctx_host, ctx_inventory, ctx_state

from homewright.access import openssh
from homewright.access.handshake import DEAD_PEER_MS, KEEPALIVE_S
from homewright.engine.events import Level
from homewright.engine.runners.guard import Guard
from homewright.engine.runners.protocol import UNREACHABLE, Cancel, Emitter, run
from homewright.engine.runners.request import HostRequest, StepRequest
from homewright.engine.runners.source import compiled, place_of
from homewright.engine.states import Action, State as HostState

REASON_LINES = 3


def connection_data(request: StepRequest, host: HostRequest) -> dict[str, Any]:
    """How pyinfra connects: our key only, our known_hosts only, strictly, and no file of the user's."""
    return {
        "ssh_hostname": host.address,
        "ssh_port": host.port,
        "ssh_user": host.user,
        "ssh_key": str(request.key_file),
        "ssh_known_hosts_file": str(request.known_hosts),
        "ssh_strict_host_key_checking": "yes",
        "ssh_config_file": config_file(request, host),
        "ssh_allow_agent": False,
        "ssh_look_for_keys": False,
        "ssh_forward_agent": False,
        "site": request.site,
        "capture": host.capture or {},
    }


def config_file(request: StepRequest, host: HostRequest) -> str:
    """The only ssh_config that pyinfra reads: empty, or with the way to a host behind a server."""
    endpoint = request.endpoint(host)
    if endpoint.through is None:
        return "/dev/null"
    file = request.work / f"{host.name}.ssh_config"
    file.write_text(f"Host {host.address}\n  ProxyCommand {openssh.proxy_command(endpoint.through)}\n")
    return str(file)


class _Told(BaseStateCallback):  # type: ignore[misc]  # pyinfra has no types
    """Turns pyinfra's callbacks into events and remembers why a host failed."""

    def __init__(self, emitter: Emitter, cancel: Cancel) -> None:
        self.emitter = emitter
        self.cancel = cancel
        self.unreachable: dict[str, str] = {}
        self.failed_at: dict[str, str] = {}
        self.lines: dict[str, list[str]] = {}

    def host_connect_error(self, state: Any, host: Any, error: Exception) -> None:
        self.unreachable[host.name] = str(error)

    def operation_start(self, state: Any, op_hash: str) -> None:
        if self.cancel.asked:
            raise PyinfraError("cancelled")
        self.emitter.task_started(_name(state, op_hash))

    def operation_host_start(self, state: Any, host: Any, op_hash: str) -> None:
        self.lines[host.name] = []

    def operation_host_error(
        self, state: Any, host: Any, op_hash: str, retry_count: int = 0, max_retries: int = 0
    ) -> None:
        self.failed_at[host.name] = _name(state, op_hash)

    def operation_end(self, state: Any, op_hash: str) -> None:
        _tell_results(state, op_hash, self.emitter)

    def say(self, message: Any = None, **_: Any) -> None:
        """pyinfra's echo: a line of a command's output, with the host's name in brackets before it."""
        host, text = _addressee(str(message or ""))
        self.lines.setdefault(host, []).append(text.strip())
        self.emitter.line(text, host=host)

    def raised(self, host: str, operation: str, error: Exception) -> None:
        """An operation could not even fail in pyinfra's own way."""
        self.failed_at[host] = operation
        text = f"{type(error).__name__}: {error}"
        self.lines.setdefault(host, []).append(text)
        self.emitter.line(text, host=host, level=Level.ERROR)

    def reason(self, host: str) -> str:
        tail = [line for line in self.lines.get(host, []) if line][-REASON_LINES:]
        return ": ".join(part for part in (self.failed_at.get(host, ""), " ".join(tail)) if part)


class _Log(logging.Handler):
    """pyinfra's warnings and errors, as lines; its progress is told by the callbacks."""

    def __init__(self, told: _Told) -> None:
        super().__init__(logging.WARNING)
        self.told = told

    def emit(self, record: logging.LogRecord) -> None:
        host, text = _addressee(record.getMessage())
        self.told.emitter.line(text, host=host, level=Level.WARNING)


def _addressee(line: str) -> tuple[str, str]:
    """The host whose name pyinfra put in brackets before a line, and the rest of the line."""
    if line.startswith("[") and "] " in line:
        host, _, text = line[1:].partition("] ")
        return host, text.rstrip()
    return "", line.rstrip()


def _name(state: Any, op_hash: str) -> str:
    return ", ".join(sorted(state.get_op_meta(op_hash).names))


def _tell_results(state: Any, op_hash: str, emitter: Emitter) -> None:
    for host in state.inventory:
        data = state.ops[host].get(op_hash)
        if data is None or not data.operation_meta.is_complete():
            continue
        meta = data.operation_meta
        result = "failed" if meta.did_error() else "changed" if meta.did_change() else "ok"
        emitter.task_finished(_name(state, op_hash), host.name, result)


def changes(state: Any, host: Any) -> int:
    """How many operations changed the host."""
    metas = (data.operation_meta for data in state.ops[host].values())
    return sum(1 for meta in metas if meta.is_complete() and meta.did_change())


def notice_loss(host: Any) -> None:
    """Have a connection to a server that lost power end by itself, as our own do: pyinfra would wait for ever."""
    transport = _transport(host)
    if transport is not None:
        transport.set_keepalive(KEEPALIVE_S)
        if hasattr(transport.sock, "setsockopt"):  # the way through another server has none
            transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_MS)


def cut_off(host: Any) -> bool:
    """Whether the connection to a host was made and has broken."""
    transport = _transport(host)
    return transport is not None and not transport.is_active()


def _transport(host: Any) -> Any:
    client = getattr(host.connector, "client", None)
    return client.get_transport() if client is not None else None


def guard_commands(guard: Guard) -> None:
    """Every command that pyinfra sends, inside sudo as well, is marked and refused once the fence has moved."""
    plain = connector_util.make_unix_command

    def guarded(command: StringCommand, **arguments: Any) -> StringCommand:
        checked = StringCommand(guard.check, ";", command)
        return plain(StringCommand("env", guard.mark, "sh", "-c", QuoteString(checked)), **arguments)

    def never(_prompt: str = "") -> str:
        raise PyinfraError("sudo asks for a password: its rule for this user is gone")

    for_host = ssh_connector.make_unix_command_for_host

    def without_sudo_for_root(state: Any, host: Any, command: StringCommand, **arguments: Any) -> StringCommand:
        if host.data.ssh_user == "root":
            arguments.pop("_sudo", None)  # there may be no sudo where root signs in
        return for_host(state, host, command, **arguments)

    ssh_connector.make_unix_command_for_host = without_sudo_for_root
    connector_util.make_unix_command = guarded
    connector_util.getpass = never


def fail_alone(told: _Told) -> None:
    """What an operation raises on one host fails that host and no other.

    pyinfra lets some of it end the whole deploy: its own ConnectError where a file is to be sent over a connection that
    has broken, and whatever an operation makes of a fact that could not be loaded. The others would be left half done.
    """
    plain = operations.run_host_op

    def alone(state: Any, host: Any, op_hash: str) -> bool:
        try:
            return bool(plain(state, host, op_hash))
        except Exception as error:  # told as that host's failure
            told.raised(host.name, _name(state, op_hash), error)
            return False

    operations.run_host_op = alone


def work(request: StepRequest, emitter: Emitter, cancel: Cancel) -> None:
    """Carry the deploy file out. Tells every host's end."""
    if request.action not in (Action.RUN, Action.ROLLBACK, Action.RECOVER):
        for host in request.hosts:
            emitter.finished(host.name, HostState.FAILED, reason=f"A pyinfra file cannot {request.action}.")
        return
    try:
        code = compiled(request.file)
    except (OSError, SyntaxError) as error:
        for host in request.hosts:
            emitter.finished(host.name, HostState.FAILED, reason=place_of(error, request.file))
        return
    guard_commands(Guard.of(request))
    told = _Told(emitter, cancel)
    fail_alone(told)
    set_echo(told.say)
    log = logging.getLogger("pyinfra")
    log.addHandler(_Log(told))
    log.propagate = False
    pyinfra.is_cli = True  # operations are ordered by their line in the file, so that hosts may take different branches
    groups: dict[str, tuple[list[str], dict[str, Any]]] = {}
    for host in request.hosts:
        for group in host.groups:
            groups.setdefault(group, ([], {}))[0].append(host.name)
    inventory = Inventory(([(host.name, connection_data(request, host)) for host in request.hosts], {}), **groups)
    config = Config(CONNECT_TIMEOUT=10)
    state = State(inventory, config, check_for_changes=False)
    state.print_output = True
    state.cwd = str(request.file.parent)
    state.current_deploy_filename = str(request.file)
    state.add_callback_handler(told)
    wrong: dict[str, str] = {}
    stopped = ""
    with ctx_state.use(state), ctx_config.use(config), ctx_inventory.use(inventory):
        try:
            _carry_out(state, code, request.file, told, wrong)
        except PyinfraError as error:
            stopped = f"The deploy ended before all of it was done: {error}"
            if not told.failed_at and not told.unreachable and not wrong and not cancel.asked:
                emitter.line(str(error), level=Level.ERROR)
    for host in inventory:
        changed = changes(state, host)
        if host.name in told.unreachable:
            emitter.finished(host.name, UNREACHABLE, reason=told.unreachable[host.name])
        elif host.name in wrong:
            emitter.finished(host.name, HostState.FAILED, changed=changed, reason=wrong[host.name])
        elif host in state.failed_hosts:
            emitter.finished(host.name, HostState.FAILED, changed=changed, reason=told.reason(host.name))
        elif cancel.asked:
            emitter.finished(host.name, HostState.CANCELLED, changed=changed, reason="Cancelled.")
        elif stopped:
            emitter.finished(host.name, HostState.FAILED, changed=changed, reason=stopped)
        else:
            emitter.finished(host.name, HostState.SUCCEEDED, changed=changed)


def _carry_out(state: Any, code: Any, file: Path, told: _Told, wrong: dict[str, str]) -> None:
    state.set_stage(StateStage.Connect)
    for host in state.inventory:
        told.emitter.started(host.name)
    connect_all(state)
    for host in state.inventory.get_active_hosts():
        notice_loss(host)
    try:
        state.set_stage(StateStage.Prepare)

        def prepare(host: Any) -> None:
            with ctx_host.use(host):
                state.current_exec_filename = str(file)
                try:
                    exec(code, {"__file__": str(file), "__name__": "deploy"})
                except Exception as error:  # the file's own mistake fails its host, not the others
                    wrong[host.name] = place_of(error, file)

        gevent.joinall([gevent.spawn(prepare, host) for host in list(state.inventory.get_active_hosts())])
        state.fail_hosts({host for host in state.inventory if host.name in wrong})
        state.set_stage(StateStage.Execute)
        run_ops(state)
    finally:
        for host in state.inventory:
            if cut_off(host) and (host in state.failed_hosts or host.name in wrong):
                why = wrong.get(host.name) or told.reason(host.name)
                told.unreachable[host.name] = f"The connection to {host.name} was lost{f': {why}' if why else '.'}"
        state.set_stage(StateStage.Disconnect)
        disconnect_all(state)


if __name__ == "__main__":
    sys.exit(run(work))

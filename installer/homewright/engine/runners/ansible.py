"""The ansible runner: one playbook on some hosts, through ansible-runner in this process of its own.

Mitogen's strategy carries the tasks where the versions allow; plain SSH with pipelining elsewhere. The guard is part of
the command that starts Python on a server: with plain SSH that is once a task, with Mitogen once a server and user,
and what Mitogen started there ends when its connection does.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import queue
import shutil
import sys
import tempfile
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ansible_runner.config.runner import RunnerConfig
from ansible_runner.runner import Runner

from homewright.engine.runners.ansible_events import Translator
from homewright.engine.runners.ansible_files import accelerated, environment, inventory, ssh_script
from homewright.engine.runners.ansible_masters import masters
from homewright.engine.runners.guard import Guard
from homewright.engine.runners.protocol import Cancel, Emitter, run
from homewright.engine.runners.request import StepRequest
from homewright.engine.states import Action, State

TEMPORARY = "homewright-ansible-"
"""How our temporary folders' names begin; the runner's process number follows."""
POLL_S = 0.5
"""How often ansible-runner looks whether it should stop; its own 5 s would delay a cancel."""


def mitogen_strategy(request: StepRequest) -> Path | None:
    """Folder of Mitogen's strategy plugins; None for plain SSH."""
    found = importlib.util.find_spec("ansible_mitogen")
    if not request.accelerate or found is None or found.origin is None or not accelerated(version("ansible-core")):
        return None
    return Path(found.origin).parent / "plugins" / "strategy"


def remove_stale() -> None:
    """Remove the temporary folders of runners that were killed and could not do it themselves."""
    for folder in Path(tempfile.gettempdir()).glob(f"{TEMPORARY}[0-9]*-*"):
        pid = folder.name.removeprefix(TEMPORARY).partition("-")[0]
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == os.getuid() and not Path(f"/proc/{pid}").exists():
                shutil.rmtree(folder, ignore_errors=True)


def work(request: StepRequest, emitter: Emitter, cancel: Cancel) -> None:
    """Carry the playbook out. Tells every host's end."""
    if request.action not in (Action.RUN, Action.VERIFY, Action.ROLLBACK, Action.RECOVER):
        for host in request.hosts:
            emitter.finished(host.name, State.FAILED, reason=f"A playbook cannot {request.action}.")
        return
    if not request.file.is_file():
        for host in request.hosts:
            emitter.finished(host.name, State.FAILED, reason=f"There is no playbook {request.file}.")
        return
    for host in request.hosts:
        emitter.started(host.name)
    remove_stale()
    strategy = mitogen_strategy(request)
    proves = request.action is Action.VERIFY
    translator = Translator(emitter, [host.name for host in request.hosts], proves=proves)
    _play(request, strategy, translator, cancel)
    again = translator.never_began() if strategy and not cancel.asked else []
    translator.finish(cancelled=cancel.asked, but=again)
    if again:
        for name in again:
            emitter.again(name, f"{translator.hosts[name].reason}; now over plain SSH", attempt=2)
        translator = Translator(emitter, again, proves=proves)
        _play(request, None, translator, cancel)
        translator.finish(cancelled=cancel.asked)


def _play(request: StepRequest, strategy: Path | None, translator: Translator, cancel: Cancel) -> None:
    """The playbook once, on the translator's hosts; by plain SSH where there is no strategy."""
    # Mitogen's socket lies there, and a socket's path has 108 bytes at most: the state folder's may be longer.
    temporary = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{os.getpid()}-"))
    try:
        _carry_out(request, strategy, translator, cancel, temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(request.work / "artifacts", ignore_errors=True)


def _carry_out(
    request: StepRequest, strategy: Path | None, translator: Translator, cancel: Cancel, temporary: Path
) -> None:
    sockets = None if strategy else temporary
    _file(request.work / "inventory.yaml", inventory(request, mitogen=strategy is not None, sockets=sockets))
    _file(request.work / "ansible.cfg", "[defaults]\n")
    _file(request.work / "ssh", ssh_script(None if strategy else Guard.of(request)), 0o700)
    cancel_file = request.work / "cancel"
    cancel_file.unlink(missing_ok=True)
    settings = environment(request, os.environ, temporary, strategy)
    settings["HOMEWRIGHT_PARENT"] = str(os.getpid())
    os.environ.clear()
    os.environ.update(settings)
    config = RunnerConfig(
        private_data_dir=str(request.work),
        playbook=str(request.file),
        inventory=str(request.work / "inventory.yaml"),
        limit=",".join(translator.hosts),
        ident="step",
        quiet=True,
        settings={"pexpect_timeout": POLL_S, "suppress_output_file": True, "suppress_ansible_output": True},
    )
    config.prepare()
    config.command[:1] = [sys.executable, "-m", "homewright.engine.runners.playbook"]
    events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def consume() -> None:
        while (event := events.get()) is not None:
            translator.take(event)

    def take(event: dict[str, Any]) -> bool:
        events.put(event)  # a handler that raises would leave the playbook running without one
        return False  # no artifact file for each event: they are most of ansible-runner's I/O

    def cancelled() -> bool:
        if cancel.asked:
            with contextlib.suppress(OSError):
                cancel_file.touch()
        return False

    consumer = threading.Thread(target=consume)
    consumer.start()
    try:
        with masters(request, temporary) if sockets else contextlib.nullcontext():
            runner = Runner(config=config, event_handler=take, cancel_callback=cancelled)
            runner.run()
    finally:
        events.put(None)
        consumer.join()
    translator.exit_code = runner.rc


def _file(path: Path, text: str, mode: int = 0o600) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)


if __name__ == "__main__":
    sys.exit(run(work))

"""One SSH connection a server for a whole playbook, where Ansible works over plain SSH.

Without it every task signs in anew: 2.6 times the time of ansible-playbook, which shares connections. Its own way of
sharing (ControlPersist) leaves a master behind that detaches itself from everything; ours are children that the kernel
ends with the runner.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from homewright.access import openssh
from homewright.engine.runners.request import StepRequest


def control_path(folder: Path, host: str) -> Path:
    """The socket of a server's connection."""
    return folder / f"{host}.ssh"


@contextlib.contextmanager
def masters(request: StepRequest, folder: Path) -> Iterator[None]:
    """Connections to all hosts of the request, closed in the end.

    A host that cannot be reached has none; Ansible then tries by itself and says why it cannot.
    """
    started: list[tuple[subprocess.Popen[bytes], Path]] = []
    try:
        for host in request.hosts:
            endpoint = request.endpoint(host)
            path = control_path(folder, host.name)
            settings = ["-M", "-N", "-o", f"ControlPath={path}", "-o", "ControlPersist=no"]
            command = ["setpriv", "--pdeathsig", "KILL", "ssh", *openssh.options(endpoint), *settings]
            process = subprocess.Popen(
                [*command, "-p", str(endpoint.port), "-l", endpoint.user, "--", endpoint.address],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            started.append((process, path))
        limit = time.monotonic() + openssh.CONNECT_TIMEOUT_S
        while time.monotonic() < limit and any(
            process.poll() is None and not path.exists() for process, path in started
        ):
            time.sleep(0.02)
        yield
    finally:
        for process, _ in started:
            process.terminate()
        for process, _ in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
            process.kill()
            process.wait()

"""A terminal that is another side's for a while."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios

PROGRAM = """
import signal
from homewright.cli.workspace_inside import _raw
former = signal.getsignal(signal.SIGTERM)
with _raw():
    pass
assert signal.getsignal(signal.SIGTERM) is former
with _raw():
    print("raw", flush=True)
    signal.pause()
"""


def test_a_program_that_is_ended_leaves_the_terminal_as_it_was() -> None:
    controller, terminal = pty.openpty()
    try:
        before = termios.tcgetattr(terminal)
        program = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=terminal, stdout=subprocess.PIPE)
        with program:
            assert program.stdout is not None and program.stdout.readline() == b"raw\n"
            assert not termios.tcgetattr(terminal)[3] & termios.ICANON
            program.terminate()
            assert program.wait(60) == -signal.SIGTERM
        assert termios.tcgetattr(terminal) == before
    finally:
        os.close(controller)
        os.close(terminal)

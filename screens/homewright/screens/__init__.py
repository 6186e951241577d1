"""The Textual face: screens, widgets and their styles."""

from __future__ import annotations

import argparse
import gc
import sys
from pathlib import Path

SWITCH_S = 0.001
"""After this time a thread that works lets the screen's have its turn; Python's own is five times as long."""
YOUNG, ROUNDS = 10_000, 100
"""New objects before the collector looks through them for garbage, and how often before it looks at older ones too.
It stops every thread: with the findings of 50 servers and Python's own 700 and 10, for 140 ms at a time (measured);
with 50,000 for 30, with these for 10."""


def run(options: argparse.Namespace) -> int:
    """Show the full-screen program until the operator leaves it; returns the exit code.

    The environment is set before the toolkit is imported: it reads its frame rate once, at import.
    """
    from homewright.screens.terminal import Terminal

    terminal = Terminal.look()
    terminal.prepare()
    from homewright.screens.app import HomewrightApp

    stay_quick()
    services = None
    if options.rehearse:
        from homewright.screens.rehearsed import RehearsedServices
        from homewright.site.paths import StateFolder

        services = RehearsedServices(Path(options.site), StateFolder(Path(options.state)))
    app = HomewrightApp(options, terminal=terminal, services=services, opens=not options.rehearse)
    app.run()
    if app.attracted:
        sys.stderr.write("\x1b[23;2t")
    return app.return_code or 0


def stay_quick() -> None:
    """Answer a key soon, whatever the threads of discovery and checks do meanwhile."""
    sys.setswitchinterval(SWITCH_S)
    gc.freeze()  # what is imported by now is no garbage, ever
    gc.set_threshold(YOUNG, ROUNDS, 50)

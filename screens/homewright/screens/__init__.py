"""The Textual face: screens, widgets and their styles."""

from __future__ import annotations

import argparse
from pathlib import Path


def run(options: argparse.Namespace) -> int:
    """Show the full-screen program until the operator leaves it; returns the exit code.

    The environment is set before the toolkit is imported: it reads its frame rate once, at import.
    """
    from homewright.screens.terminal import Terminal

    terminal = Terminal.look()
    terminal.prepare()
    from homewright.screens.app import HomewrightApp

    services = None
    if options.rehearse:
        from homewright.screens.rehearsed import RehearsedServices
        from homewright.site.paths import StateFolder

        services = RehearsedServices(Path(options.site), StateFolder(Path(options.state)))
    app = HomewrightApp(options, terminal=terminal, services=services)
    app.run()
    return app.return_code or 0

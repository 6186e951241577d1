"""What the program at boot tells systemd of itself, for `status`: see sd_notify(3)."""

from __future__ import annotations

import contextlib
import os
import socket


def say(status: str) -> None:
    """One line for `StatusText`. Does nothing where systemd has not started this process."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect(address)
        channel.sendall(f"STATUS={' '.join(status.split())}".encode())

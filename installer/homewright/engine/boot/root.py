"""Putting the unit in place: the one part that root does, in this process or beneath one `sudo`.

Each file is durable before the link that makes systemd start it at boot: whatever a power cut leaves is either nothing
or the whole.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from homewright.engine.boot import unit
from homewright.errors import HomewrightError, StateError
from homewright.site.paths import sync_folder, write_atomically

LIMIT_S = 60.0
ASKS = (
    "The run can go on by itself after a power loss of this machine; the systemd unit that does it takes root.\r\n"
    "sudo asks for your password. After ctrl-c the run begins without that unit.\r\n"
)
NAME = re.compile(r"homewright-resume-[0-9a-f]{12}\Z")


def install(name: str, files: Mapping[str, str]) -> None:
    """Write a site's unit, have it start at boot, and let systemd wait for the end of the run. Only for root.

    The same again changes nothing. Raises StateError with systemd's or the disk's reason; what is there then does
    nothing at boot but take itself away.
    """
    if not NAME.match(name) or set(files) != {f"{name}.service", f"{name}.path"}:
        raise StateError("These are no files of Homewright's unit.", ", ".join(files))
    # One that takes itself away in this moment must have done so before it is written anew.
    _systemctl("stop", f"{name}.path", f"{name}.service", check=False)
    link, service, path = unit.places_of(name)
    write_atomically(path, files[path.name].encode(), mode=0o644)
    write_atomically(service, files[service.name].encode(), mode=0o644)
    _link(link, service)
    _systemctl("daemon-reload")
    _systemctl("start", path.name)


def _link(link: Path, target: Path) -> None:
    try:
        link.parent.mkdir(mode=0o755, exist_ok=True)
        sync_folder(link.parent.parent)
        fresh = link.with_name(f".{link.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(link)
        sync_folder(link.parent)
    except OSError as error:
        raise StateError(f"{link} could not be made.", f"{error.strerror or error}.") from error


def _systemctl(*words: str, check: bool = True) -> None:
    try:
        done = subprocess.run(
            ["systemctl", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StateError("systemd could not be asked.", f"{error}.") from error
    if check and done.returncode != 0:
        said = done.stderr.strip().splitlines()[-1:] or [f"systemctl ended with {done.returncode}"]
        raise StateError(f"systemctl {words[0]} failed.", f"{said[0]}.")


def by_root(name: str, files: Mapping[str, str]) -> None:
    """The same from any user, by `sudo` where this is not root; nothing is asked. Raises StateError with the reason."""
    if os.geteuid() == 0:
        install(name, files)
        return
    places = [place for place in sys.path if place and Path(place).exists()]
    entry = f"import sys; sys.path[:] = {places!r}; from homewright.engine.boot.root import main; sys.exit(main())"
    try:
        done = subprocess.run(
            ["sudo", "-n", "--", sys.executable, "-I", "-c", entry],
            input=json.dumps({"name": name, "files": dict(files)}),
            capture_output=True,
            text=True,
            timeout=3 * LIMIT_S,
            cwd="/",
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StateError("sudo could not be asked.", f"{error}.") from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()[-1:] or [f"sudo ended with {done.returncode}."]
        raise StateError("The unit could not be installed.", said[0])


def main() -> int:
    """Beneath sudo: the request on standard input, the reason of a failure as the last line of standard error."""
    request = json.load(sys.stdin)
    os.umask(0o022)
    try:
        install(request["name"], request["files"])
    except HomewrightError as error:
        print(f"{error.what} {error.why}", file=sys.stderr)
        return 1
    return 0


def free() -> bool:
    """Whether this process can do what root can, without asking anybody."""
    if os.geteuid() == 0:
        return True
    return shutil.which("sudo") is not None and _sudo("-n", "true")


def ask() -> bool:
    """Have sudo ask for the password on the terminal; whether it took it. Raises KeyboardInterrupt."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    try:
        os.write(terminal, ASKS.encode())
        subprocess.run(["sudo", "-v", "-p", "[sudo] password for %u: "], stdin=terminal, stderr=terminal)
    finally:
        os.close(terminal)
    return free()


def _sudo(*words: str) -> bool:
    try:
        done = subprocess.run(["sudo", *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_S)
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0

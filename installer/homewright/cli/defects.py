"""What happens to an error that nobody foresaw: it is a defect of ours, and the operator sees no traceback."""

from __future__ import annotations

import platform
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path

from homewright.errors import HomewrightError, StateError


class Defect(HomewrightError):
    """A defect of Homewright."""

    code = "defect"


def defect(error: BaseException) -> Defect:
    """The error to show. Its details go into a 0600 file of the state folder; where that fails, onto the screen."""
    details = "".join(traceback.format_exception(error))
    kind = f"{type(error).__name__} in {_place(error)}"
    try:
        file = write(details)
    except (OSError, StateError):
        return Defect(
            "This is a defect of Homewright.",
            f"{kind}. The state folder cannot be written, so the details are here:\n{details}",
            ["report it with these lines, after a look for what should stay private"],
        )
    return Defect(
        "This is a defect of Homewright.",
        f"{kind}.",
        [f"report it with {file}, after a look for what should stay private"],
    )


def write(details: str) -> Path:
    """Write the details of a defect into a file of their own."""
    from homewright.cli import version
    from homewright.site.paths import make_folder, state_home, write_atomically

    folder = state_home() / "defects"
    make_folder(folder)
    now = datetime.now(UTC)
    file = folder / f"{now:%Y%m%dT%H%M%S.%f}Z.txt"
    # The verb and its action only: what follows may be a value that somebody typed.
    verbs = " ".join(word for word in sys.argv[1:3] if word.isalpha())
    head = f"homewright {version()} {verbs}\npython {platform.python_version()} on {platform.platform()}\n{now}\n\n"
    write_atomically(file, (head + details).encode("utf-8", "backslashreplace"))
    return file


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "an unknown place"
    ours = [frame for frame in frames if "/homewright/" in frame.filename]
    frame = (ours or frames)[-1]
    return f"{Path(frame.filename).name}, line {frame.lineno}"

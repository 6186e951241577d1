"""The raw bundle: what every command of the probe printed on one host, unread. It can be kept and parsed again."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from homewright.errors import SiteError

MARK = "\036"
"""ASCII's record separator: no command of the probe prints one."""

MISSING = 127
"""A shell's exit code for a command that is not there."""

CUT_OFF = -1
"""The exit code of a source in whose middle the probe ended: a list may lack what matters, so it counts as unknown."""

CAP = 400_000
"""Bytes that the probe lets a source print; see cap in shell/common.sh."""

_CONTROL = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[@-_])"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"
)
_ODD = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Nearly no text has one, and a set of characters is searched three times as fast as the alternatives above."""
_CHUNK = re.compile(rf"\n?{MARK}source ([\w.-]+)\n")
_EXIT = re.compile(rf"\n?{MARK}exit (\d+)\n?\Z")
_NOT_THERE = re.compile(r"command not found|No such file or directory|not installed", re.IGNORECASE)


def clean(text: str) -> str:
    """Without a terminal's escape sequences and other control characters but for tabs and line ends."""
    return _CONTROL.sub("", text) if _ODD.search(text) else text


class Source(BaseModel):
    """One command's output."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stdout: str = ""
    stderr: str = ""
    exit_code: int | None = None
    """None where it is not known: recorded text. CUT_OFF where the probe ended in the middle of it."""

    @property
    def printed(self) -> str:
        """What it printed, without a terminal's escape sequences and other control characters."""
        return clean(self.stdout)

    @property
    def complaint(self) -> list[str]:
        """The lines of its complaint, or of what it printed where it made none."""
        return clean(self.stderr.strip() or self.stdout.strip()).splitlines()

    @property
    def absent(self) -> bool:
        """The command is not there: a shell says so by its exit code, or in words."""
        return self.exit_code == MISSING or any(_NOT_THERE.search(line) for line in self.complaint[:1])

    @property
    def reason(self) -> str:
        """Why it is of no use, in a few words."""
        said = self.complaint
        if self.absent:
            return said[0][:200] if said else "not installed"
        if self.exit_code == CUT_OFF:
            return "was cut off"
        if self.exit_code == 124:
            return "gave no answer in time"
        if self.exit_code:
            return f"ended with {self.exit_code}" + (f": {said[-1][:200]}" if said else "")
        return "printed nothing that is understood" if said else "printed nothing"


class RawBundle(BaseModel):
    """Everything that one host said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1, 2] = 2
    """2 since November 2026: more sources, and when the answer was here. A bundle of version 1 is read as it is."""
    host: str
    gathered_at: float = Field(allow_inf_nan=False)
    """When the question was sent: Unix seconds of the machine that asked."""
    answered_at: float | None = Field(default=None, allow_inf_nan=False)
    """When the whole answer was here; None in recorded text and in version 1."""
    cut_off: str = ""
    """Why the probe did not come to its end; empty where it did."""
    sources: dict[str, Source] = {}
    """By the name of the command, as in lspci-Dnnk."""

    def source(self, name: str) -> Source:
        """That command's output; an empty one where it was not run."""
        return self.sources.get(name, Source(exit_code=None))

    def text(self, *names: str) -> str:
        """What the first of these sources that ended well has printed; empty where none did."""
        for name in names:
            source = self.sources.get(name)
            if source is not None and source.exit_code in (0, None) and source.stdout.strip():
                return source.printed
        return ""

    def said(self, name: str) -> str:
        """What this source printed, however it ended."""
        return self.source(name).printed

    def ended_well(self, name: str) -> bool:
        """It was asked and ended with 0; of recorded text, that there is some."""
        source = self.sources.get(name)
        return source is not None and (source.exit_code == 0 or (source.exit_code is None and bool(source.stdout)))

    def all(self, prefix: str) -> dict[str, Source]:
        """Every source whose name begins like this."""
        return {name: source for name, source in self.sources.items() if name.startswith(prefix)}


def framed(host: str, gathered_at: float, stdout: str, stderr: str, answered_at: float | None = None) -> RawBundle:
    """The bundle in the probe's two outputs. A probe that was cut off gives what it got to."""
    errors = dict(_chunks(stderr))
    sources = {}
    for name, text in _chunks(stdout):
        ended = _EXIT.search(text)
        printed = text[: ended.start()] if ended else text
        if ended is None or len(printed) >= CAP:
            printed = printed[: printed.rfind("\n") + 1]  # half a line may hold half a number
        sources[name] = Source(
            stdout=printed,
            stderr=errors.get(name, "").strip("\n"),
            exit_code=int(ended.group(1)) if ended else CUT_OFF,
        )
    return RawBundle(host=host, gathered_at=gathered_at, answered_at=answered_at, sources=sources)


def load(path: Path) -> tuple[RawBundle, ...]:
    """Recorded bundles: a .json file of ours, a folder of them, or a folder for each machine with one text a command.

    Raises SiteError where there is none, or one cannot be read.
    """
    if path.is_file():
        return (_load_json(path),)
    if not path.is_dir():
        raise SiteError(f"{path} is not there.", "", ["name a folder that `homewright discover --save` wrote"])
    files = sorted(path.glob("*.json"))
    bundles = [_load_json(file) for file in files if file.name != "probe.json"]
    folders = (path, *sorted(entry for entry in path.iterdir() if entry.is_dir()))
    bundles += [of_texts(folder) for folder in folders if any(map(_is_text, folder.iterdir()))]
    if not bundles:
        raise SiteError(
            f"{path} holds no recorded machine.", "", ["name a folder that `homewright discover --save` wrote"]
        )
    return tuple(bundles)


def of_texts(folder: Path) -> RawBundle:
    """The bundle of a folder with one text file a command (lscpu.txt, lspci-nnk.txt)."""
    sources = {
        file.stem: Source(stdout=file.read_text(encoding="utf-8", errors="replace"))
        for file in sorted(folder.iterdir())
        if _is_text(file)
    }
    return RawBundle(host=folder.name, gathered_at=_newest(folder), sources=sources)


def _is_text(file: Path) -> bool:
    return (file.suffix in (".txt", ".xml") or file.name == "probe.json") and file.is_file()


def _newest(folder: Path) -> float:
    return max((file.stat().st_mtime for file in folder.iterdir()), default=time.time())


def _load_json(file: Path) -> RawBundle:
    try:
        return RawBundle.model_validate_json(file.read_bytes())
    except OSError as error:
        raise SiteError(f"{file} cannot be read.", f"{error.strerror or error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SiteError(
            f"{file} is no recorded machine.", f"{where}: {first['msg']}." if where else first["msg"]
        ) from error


def _chunks(text: str) -> list[tuple[str, str]]:
    parts = _CHUNK.split(text)
    return list(zip(parts[1::2], parts[2::2], strict=True))

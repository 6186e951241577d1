"""Numbered files written in Python: loaded by their path, and their mistakes told by file and line."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import CodeType, ModuleType


def compiled(file: Path) -> CodeType:
    """The file's code. Raises OSError or SyntaxError."""
    return compile(file.read_bytes(), str(file), "exec")


def loaded(file: Path) -> ModuleType:
    """The file as a module of its own; its name may begin with a digit. Raises whatever its own top level raises."""
    module = ModuleType(f"step_{file.stem}")
    module.__file__ = str(file)
    exec(compiled(file), module.__dict__)
    return module


def place_of(error: BaseException, file: Path) -> str:
    """What went wrong, and in which line of the file."""
    if isinstance(error, SyntaxError):
        return f"{file.name}, line {error.lineno}: {error.msg}"
    if isinstance(error, OSError) and error.filename is not None and Path(str(error.filename)) == file:
        return f"{file} cannot be read: {error.strerror}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    place = f"{file.name}, line {lines[-1]}: " if lines else ""
    return f"{place}{type(error).__name__}: {error}"

"""Recorded bundles mangled in all the ways that a wire, a terminal, a locale or a broken tool can mangle them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from homewright.discovery.bundle import RawBundle, Source, load

ESCAPES = (
    "\x1b[31m", "\x1b[0m", "\x1b]0;title\x07", "\x1b[2J\x1b[H", "\x1b(B", "\x1b", "\r", "\b\b", "\0", "\x07", "\x9b1m",
    "\u2028", "\u202e", "\ufeff", "\ufffd", "\ud800",
)  # fmt: skip
NUMBERS = (
    "9" * 400, "-1", "0x7fffffff", "1e999", "nan", "inf", "18446744073709551616", "3,14", "1.234.567,8", "١٢٣", "²", "",
    "0", "00", "+5", "4294967296", "1_000",
)  # fmt: skip
ERRORS = (
    "sh: 1: lspci: not found\n", "bash: Zeile 1: nvidia-smi: Kommando nicht gefunden.\n", "Permission denied\n",
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", "Killed\n", "<html>502</html>\n",
    "Unable to determine the device handle for GPU 0000:01:00.0: GPU is lost.  Reboot the system\n", "[]", "{}", "null",
    "Traceback (most recent call last):\n", "Segmentation fault (core dumped)\n",
)  # fmt: skip
WORDS = {
    "Model name": "Modellname", "Architecture": "Architektur", "Filesystem": "Dateisystem", "available": "verfügbar",
    "total": "gesamt", "Mounted on": "Eingehängt auf", "Name": "名前", "yes": "ja", "no": "nein", "MemTotal": "总内存",
}  # fmt: skip

Mangler = Callable[[str, random.Random], str]


def cut(text: str, chance: random.Random) -> str:
    start = chance.randrange(len(text) + 1)
    return text[:start] if chance.random() < 0.7 else text[start:]


def lines(text: str, chance: random.Random) -> str:
    """Lost, doubled, swapped or run together."""
    rows = text.splitlines(keepends=True)
    match chance.randrange(5):
        case 0:
            chance.shuffle(rows)
        case 1:
            rows = [row for row in rows if chance.random() < 0.6]
        case 2:
            rows = [row for row in rows for _ in range(chance.choice((1, 1, 1, 2, 5)))]
        case 3:
            rows = [row.rstrip("\n") if chance.random() < 0.1 else row for row in rows]
        case _:
            rows = [wrapped(row, chance) for row in rows]
    return "".join(rows)


def wrapped(row: str, chance: random.Random) -> str:
    if len(row) < 40 or chance.random() < 0.5:
        return row
    middle = chance.randrange(10, len(row))
    return f"{row[:middle]}\n{row[middle:]}"


def _at_places(text: str, chance: random.Random, pieces: Sequence[str]) -> str:
    for _ in range(chance.randrange(1, 12)):
        place = chance.randrange(len(text) + 1)
        text = text[:place] + chance.choice(pieces) + text[place + chance.randrange(3) :]
    return text


def escapes(text: str, chance: random.Random) -> str:
    return _at_places(text, chance, ESCAPES)


def numbers(text: str, chance: random.Random) -> str:
    """Some of the numbers in it are others."""
    rows = text.split(" ")
    places = [index for index, word in enumerate(rows) if word.strip(",.:[](){}\"'\n").isdigit()]
    for index in chance.sample(places, min(len(places), chance.randrange(1, 10))):
        rows[index] = chance.choice(NUMBERS)
    return " ".join(rows)


def bits(text: str, chance: random.Random) -> str:
    """Bits flipped on the wire, read as our connection reads what is no UTF-8."""
    raw = bytearray(text.encode("utf-8", "replace"))
    for _ in range(chance.randrange(1, 20) if raw else 0):
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    return raw.decode("utf-8", "replace")


def encodings(text: str, chance: random.Random) -> str:
    raw = text.encode(chance.choice(("utf-16", "utf-8", "latin-1")), "replace")
    return raw.decode(chance.choice(("latin-1", "utf-8", "cp1252", "utf-7")), "replace")


def languages(text: str, chance: random.Random) -> str:
    for word, other in WORDS.items():
        if chance.random() < 0.5:
            text = text.replace(word, other)
    return text


def failure(text: str, chance: random.Random) -> str:
    return chance.choice(ERRORS) + (text if chance.random() < 0.3 else "")


def shapes(text: str, chance: random.Random) -> str:
    """JSON with parts of another shape; other text as it is."""
    try:
        return json.dumps(_other(json.loads(text), chance))
    except ValueError:
        return numbers(text, chance)


def _other(value: object, chance: random.Random) -> object:
    if chance.random() < 0.08:
        return chance.choice(
            (None, 0, -1, 1e308, "", "\ud800", "\x1b[1m", [], {}, [None], [[]], {"a": {}}, True, 10**30)
        )
    if isinstance(value, dict):
        return {key: _other(part, chance) for key, part in value.items() if chance.random() < 0.97}
    return [_other(part, chance) for part in value] if isinstance(value, list) else value


MANGLERS: tuple[Mangler, ...] = (
    cut, lines, escapes, numbers, bits, encodings, languages, failure, shapes, lambda text, chance: "",
)  # fmt: skip


def mangled(bundle: RawBundle, seed: int) -> RawBundle:
    """The bundle with some of its sources damaged; the same for the same seed."""
    chance = random.Random(seed)
    sources = dict(bundle.sources)
    names = sorted(sources)
    for name in chance.sample(names, max(1, len(names) // chance.choice((1, 3, 8)))):
        source = sources[name]
        text = source.stdout
        for _ in range(chance.choice((1, 1, 2))):
            text = chance.choice(MANGLERS)(text, chance)
        code = chance.choice((source.exit_code, source.exit_code, 0, 1, 124, 127, None))
        complaint = chance.choice(ERRORS) if chance.random() < 0.2 else source.stderr
        sources[name] = Source.model_construct(stdout=text, stderr=complaint, exit_code=code)
    if chance.random() < 0.2:
        first, second = chance.choice(names), chance.choice(names)
        sources[first], sources[second] = sources[second], sources[first]
    return bundle.model_copy(update={"sources": sources})


def bundles(folders: Iterable[Path], most: int = 30_000) -> list[RawBundle]:
    """Every bundle of these folders, without sources that are longer than `most` characters."""
    found = []
    for folder in folders:
        for bundle in load(folder):
            short = {name: source for name, source in bundle.sources.items() if len(source.stdout) <= most}
            if short:
                found.append(bundle.model_copy(update={"sources": short}))
    return found

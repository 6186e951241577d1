"""The plain text of an event: what --plain and attach print and the panes of the screens show."""

from __future__ import annotations

import time

from homewright.engine.events import BESIDE, Event, Kind

PLAIN = (Kind.LINE, Kind.TASK_STARTED, Kind.TASK_FINISHED, Kind.VERIFY)
"""Kinds that are read as one line wherever their text is one: whoever counts lines need not look at what they say."""


def render(event: Event) -> str | None:
    """One event as lines of text with its local time; None where it has nothing to say to a reader."""
    text = describe(event)
    if text is None:
        return None
    clock = time.strftime("%H:%M:%S", time.localtime(event.ts))
    return "\n".join(f"{clock} {line}" for line in text.split("\n"))


def describe(event: Event) -> str | None:
    """The same without the time. Reads well aloud: words, no drawing."""
    data = event.data
    beside = f"{event.step} " if data.get(BESIDE) and event.step else ""
    where = f"{beside}{event.host}: " if event.host else f"{beside.strip()}: " if beside else ""
    match event.kind:
        case Kind.RUN_STARTED:
            return event.text or "Run started."
        case Kind.RUN_FINISHED:
            return event.text or f"Run {data.get('state', 'finished')}."
        case Kind.STEP_STARTED:
            return event.text or f"{event.step} started."
        case Kind.STEP_FINISHED:
            return "\n".join([event.text or f"{event.step} {data.get('state', 'finished')}.", *_remedy(event)])
        case Kind.HOST_FINISHED:
            return f"{where}{_host_end(event)}"
        case Kind.TASK_STARTED:
            return f"{where}task: {event.text}"
        case Kind.TASK_FINISHED:
            result = str(data.get("result", "done"))
            return f"{where}{result}: {event.text}" if event.text else f"{where}{result}"
        case Kind.VERIFY:
            verdict = str(data.get("verdict", "")).replace("-", " ")
            return f"{where}{verdict}: {event.text}" if event.text else f"{where}{verdict}"
        case Kind.RETRY:
            pause = f" in {float(data['wait_s']):.0f} s" if data.get("wait_s") else ""
            again = f"trying again{pause} (attempt {data.get('attempt', 2)})"
            return f"{where}{event.text}; {again}" if event.text else f"{where}{again}"
        case Kind.HOST_STARTED | Kind.PROGRESS | Kind.CAPTURE:
            return f"{where}{event.text}" if event.text else None
        case Kind.VIEWER:
            return None if data.get("what") in ("came", "left") else event.text
        case _:
            return f"{where}{event.text}"


def attention(title: str, kind: str) -> str:
    """What rings a terminal of this kind (TERM) and, where it has a title, puts these words into it."""
    words = "".join(character for character in title if character.isprintable())[:200]
    return "\a" if kind in ("", "dumb", "linux") else f"\a\x1b]2;{words}\a"


def _host_end(event: Event) -> str:
    state = str(event.data.get("state", "finished"))
    changed = int(event.data.get("changed") or 0)
    reason = str(event.data.get("reason") or event.text or "")
    if state == "succeeded":
        return f"done, {changed} changed" if changed else "done, nothing changed"
    return f"{state}: {reason}" if reason else state


def _remedy(event: Event) -> list[str]:
    """The three parts of a failure that follow its first line."""
    lines = []
    if event.data.get("reason"):
        lines.append(f"  why: {event.data['reason']}")
    remedy = event.data.get("remedy") or {}
    if remedy.get("say"):
        lines.append(f"  that means: {remedy['say']}")
    lines += [f"  do: {step}" for step in remedy.get("do", ())]
    return lines

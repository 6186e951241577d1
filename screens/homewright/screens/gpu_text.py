"""What the GPUs screen says: one GPU and what can become of it, and what reserving it changes on its server."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from homewright.screens.glyphs import look
from homewright.screens.widgets.labelled import Line

if TYPE_CHECKING:
    from homewright.planning.boot import BootPreview
    from homewright.planning.gpus import Choice, GpuOption

USES = {"containers": "containers", "passthrough": "pass through", "desktop": "keep for the server"}
KEYS = {"containers": "c", "passthrough": "p", "desktop": "d"}


_MAKERS = re.compile(
    r"^(NVIDIA Corporation|NVIDIA|Intel Corporation|Intel\(R\)|Advanced Micro Devices, Inc\. \[AMD/ATI\]|"
    r"AMD|ASPEED Technology, Inc\.|Matrox Electronics Systems Ltd\.) "
)


def short_name(name: str) -> str:
    """What a GPU is called, without its maker: the trade name in brackets where the PCI list has one."""
    name = _MAKERS.sub("", name)
    trade = re.search(r"\[([^\]]+)\]", name)
    return trade[1] if trade else name


def becomes(option: GpuOption, kept: bool, ascii: bool) -> tuple[str, str]:
    """What becomes of a GPU, for its row; a star where that is not `kept` in site.yaml yet."""
    if option.chosen is None:
        suits = "" if option.proposed == "desktop" else f" (suits: {USES[option.proposed]})"
        return f"as it is{suits}", "muted"
    to = f" to {option.instance}" if option.instance else ""
    new = "" if kept else " *"
    if option.choice(option.chosen).possible is False:
        return f"{look('failed').mark(ascii)} {USES[option.chosen]}{to}{new}", "failed"
    return f"{look('done').mark(ascii)} {USES[option.chosen]}{to}{new}", "ok" if kept else "accent"


def gpu_lines(option: GpuOption, members: Mapping[tuple[str, str], str], ascii: bool) -> list[Line]:
    """One GPU: who uses it, who shares its group, and what is possible or why not."""
    group = "not known" if option.group is None else str(option.group)
    if len(option.groups) > 1:
        group = " and ".join(map(str, option.groups))
    lines = [Line("GPU", f"{option.name} · {option.address} of {option.host}")]
    lines.append(Line("Used by", option.used_by or "nobody"))
    slot = option.address.rpartition(".")[0]
    named = [
        f"its own {words}" if address.startswith(f"{slot}.") else words
        for address in sorted(option.group_members, key=lambda one: (not one.startswith(f"{slot}."), one))
        if address != option.address
        for words in [members.get((option.host, address), address).removeprefix("a ").removeprefix("an ")]
    ]
    lines.append(Line("Group", f"{group}: itself, {', '.join(named)}" if named else f"{group}: itself alone"
                      if option.group_members else group))  # fmt: skip
    lines += [Line("", "", whole=True)]
    lines += [_choice(choice, ascii) for choice in option.choices]
    about = "Chosen" if option.chosen is not None else "Suits"
    what = option.chosen or option.proposed
    lines.append(Line(about, f"{USES[what]}. {option.why}" if option.chosen is None else option.why))
    return lines


def _choice(choice: Choice, ascii: bool) -> Line:
    state = {True: "passed", False: "failed", None: "unknown"}[choice.possible]
    word = {True: "possible", False: "not possible", None: "not known yet"}[choice.possible]
    why = f". {choice.why}" if choice.why else ""
    mark = look(state).mark(ascii)
    tone = "plain" if choice.possible else "quiet" if choice.possible is False else "warning"
    return Line(KEYS[choice.use], f"{USES[choice.use]}: {mark} {word}{why}", tone)


def preview_lines(previews: Sequence[BootPreview]) -> list[Line]:
    """What changes in how servers start, file by file."""
    lines: list[Line] = []
    for one in previews:
        if lines:
            lines.append(Line("", "", whole=True))
        lines.append(Line("", f"{one.host}: {one.why}", "bold", whole=True))
        if one.kernel_added:
            lines.append(Line("Kernel", f"adds {' '.join(one.kernel_added)}", "ok"))
            lines.append(Line("", f"to {one.kernel_before}" if one.kernel_before else "to its arguments", "quiet"))
        lines += [Line("Installs", ", ".join(one.packages))] if one.packages else []
        lines += [Line("Then runs", command) for command in one.commands]
        if one.files:
            lines.append(Line("Reboot", "yes, in its own step, one server after the other" if one.reboot else "no"))
        for file in one.files:
            what = "is new" if file.before is None else "is removed" if file.after is None else "changes"
            lines.append(Line("", f"{file.path} {what}", "bold", whole=True))
            lines += [Line("", f"- {text}", "failed", whole=True) for text in (file.before or "").splitlines()]
            lines += [Line("", f"+ {text}", "ok", whole=True) for text in (file.after or "").splitlines()]
    return lines

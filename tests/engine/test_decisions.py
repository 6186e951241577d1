"""What the engine decides, as tables: order, ends, exit codes, progress, remedies, words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from homewright.catalogue.models import Group, Remedy, Step
from homewright.engine import remedies
from homewright.engine.calling import also_called, captures, runner_kind
from homewright.engine.conversation import HostEnd
from homewright.engine.events import Event, Kind
from homewright.engine.launch import environment
from homewright.engine.lines import describe, render
from homewright.engine.process import superfluous
from homewright.engine.progress import Portion, progress
from homewright.engine.runners.request import HostRequest
from homewright.engine.schedule import conclude, hindrance
from homewright.engine.states import Action, State
from homewright.planning import PlanStep

DONE, FAILED, PENDING, SKIPPED = State.SUCCEEDED, State.FAILED, State.PENDING, State.SKIPPED


def step(requires: tuple[str, ...]) -> PlanStep:
    return PlanStep(
        id="x/30",
        title="T",
        summary="",
        runner="python",
        hosts=("s1",),
        requires=requires,
        minutes=1,
        measured=False,
        reboots=False,
        may_lock_out=False,
    )


@pytest.mark.parametrize(
    ("requires", "states", "why"),
    [
        ((), {}, ""),
        (("x/10",), {"x/10": DONE}, ""),
        (("x/10",), {"x/10": SKIPPED}, ""),
        (("00/40",), {}, ""),
        (("x/10",), {"x/10": FAILED}, "x/10 failed"),
        (("x/10", "x/20"), {"x/10": DONE, "x/20": PENDING}, "x/20 did not run"),
        (("x/10",), {"x/10": State.CANCELLED}, "x/10 was cancelled"),
    ],
)
def test_a_step_runs_after_what_it_requires(requires: tuple[str, ...], states: dict[str, State], why: str) -> None:
    assert hindrance(step(requires), states) == why


@pytest.mark.parametrize(
    ("states", "codes", "stopped", "end"),
    [
        ([DONE, DONE], [], None, (DONE, 0)),
        ([DONE, SKIPPED], [], None, (DONE, 0)),
        ([DONE, FAILED, PENDING], [""], None, (FAILED, 1)),
        ([FAILED], ["busy"], None, (FAILED, 3)),
        ([FAILED], ["busy", ""], None, (FAILED, 1)),
        ([FAILED], ["unreachable", "host-key"], None, (FAILED, 5)),
        ([FAILED, FAILED], ["unreachable", "busy"], None, (FAILED, 1)),
        ([DONE, PENDING], [], None, (State.INCOMPLETE, 1)),
        ([DONE, State.CANCELLED], [], State.CANCELLED, (State.CANCELLED, 4)),
        ([DONE, State.INTERRUPTED], [], State.INTERRUPTED, (State.INTERRUPTED, 1)),
        ([State.ROLLED_BACK], [], None, (State.ROLLED_BACK, 0)),
    ],
)
def test_how_a_run_ends(states: list[State], codes: list[str], stopped: State | None, end: tuple[State, int]) -> None:
    ends = [HostEnd(FAILED, code=code) for code in codes]
    assert conclude({str(number): state for number, state in enumerate(states)}, ends, stopped) == end


@pytest.mark.parametrize(
    ("portions", "percent"),
    [
        ([], 100.0),
        ([Portion(1, PENDING), Portion(3, PENDING)], 0.0),
        ([Portion(1, DONE), Portion(3, PENDING)], 25.0),
        ([Portion(1, State.RUNNING, 30), Portion(1, PENDING)], 25.0),
        ([Portion(1, State.RUNNING, 900), Portion(1, PENDING)], 47.5),
        ([Portion(1, FAILED), Portion(1, SKIPPED)], 100.0),
    ],
)
def test_progress_is_weighted_by_time(portions: list[Portion], percent: float) -> None:
    assert progress(portions) == pytest.approx(percent)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("write: No space left on device", "disk is full"),
        ("OSError: [Errno 28] x", "disk is full"),
        ("ERROR! Syntax Error while loading YAML.", "written wrongly"),
        ("ERROR! conflicting action statements: copy, file", "written wrongly"),
        ("E: Could not get lock /var/lib/dpkg/lock-frontend", "package manager"),
        ("sudo: a password is required", "sudo"),
        ("The connection to s1 was lost.", "went away"),
        ("s1 (192.0.2.1) timed out", "went away"),
        ("homewright: another run holds this server now", "took the server over"),
    ],
)
def test_general_remedies(output: str, words: str) -> None:
    found = remedies.match((), ["something", output])
    assert found is not None
    assert words in found.say
    assert found.do


def test_a_steps_own_remedy_comes_first_and_there_may_be_none() -> None:
    own = Remedy(when="No space", say="Ours", do=("x",))
    assert remedies.match([own], ["No space left on device"]) is own
    assert remedies.match([own], ["it just failed"]) is None


@pytest.mark.parametrize(
    ("runner", "names", "kinds"),
    [
        ("python", ("10_a.py", "19_a.py"), ("python", "python")),
        ("pyinfra", ("10_a.py", "19_a.py"), ("pyinfra", "pyinfra")),
        ("ansible", ("10_a.yaml", "19_a.yml"), ("ansible", "ansible")),
        ("ansible", ("10_a.yaml", "19_a.py"), ("ansible", "python")),
        ("pyinfra", ("10_a.py", "19_a.yaml"), ("pyinfra", "ansible")),
    ],
)
def test_the_kind_of_runner(runner: str, names: tuple[str, str], kinds: tuple[str, str]) -> None:
    made = Step.model_validate(
        {"id": "00/10", "title": "T", "runner": runner, "run": names[0], "rollback": names[1], "verify": "18_a.py"}
    )
    assert (runner_kind(made, Action.RUN), runner_kind(made, Action.ROLLBACK)) == kinds
    assert runner_kind(made, Action.VERIFY) == runner_kind(made, Action.CAPTURE) == "python"
    playbook = made.model_copy(update={"verify": "18_a.yaml"})
    assert (runner_kind(playbook, Action.VERIFY), runner_kind(playbook, Action.CAPTURE)) == ("ansible", "python")


def test_a_host_is_in_the_groups_of_the_stages_own_names_too() -> None:
    host = HostRequest(name="s1", address="10.0.0.1", port=22, user="ann", groups=("servers", "gpu_hosts"))
    names: dict[str, Group] = {"baremetal": "servers", "gpus": "gpu_hosts", "dns": "dns_server"}
    assert also_called(host, names).groups == ("servers", "gpu_hosts", "baremetal", "gpus")
    assert also_called(host, {}) is host


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("def capture(host): ...", True),
        ("def capture_all(hosts): ...", False),
        ("def verify(host):\n    def capture(): ...", False),
        ("# def capture(host):", False),
        ("def broken(", False),
    ],
)
def test_whether_a_proof_captures(tmp_path: Path, text: str, found: bool) -> None:
    file = tmp_path / "18_x.py"
    file.write_text(text)
    assert captures(file) is found


def test_old_runs_are_cleared_away_in_the_order_in_which_they_were_recorded() -> None:
    folders = [Path(f"202611{day:02d}-120000-aaaa") for day in range(1, 31)]
    names = [folder.name for folder in folders]
    assert superfluous(folders, names[-1], names, {}) == []
    more, later = [*folders, Path("20261201-120000-aaaa")], [*names, "20261201-120000-aaaa"]
    assert superfluous(more, later[-1], later, {}) == more[:1]
    assert superfluous(more, later[0], later, {}) == more[1:2], "never the run that goes on"
    back = [*folders, Path("20250101-120000-aaaa")]  # its clock was set back, and it is the newest all the same
    assert superfluous(back, names[-1], [*names, "20250101-120000-aaaa"], {}) == back[:1]
    assert superfluous(back, names[-1], names, {}) == back[:1], "nor one that another start is about to fill"
    sizes = dict.fromkeys(names, 100 << 20)
    assert superfluous(folders, names[-1], names, sizes) == folders[:19], "ten runs of 100 MB are below 1 GB"
    assert superfluous(folders, names[-1], names, {names[5]: 2 << 30}) == folders[:6]
    assert superfluous(folders, names[5], names, {names[5]: 2 << 30}) == [], "what goes on is never too big"


def test_what_an_engine_inherits() -> None:
    outer = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "XDG_STATE_HOME": "/s",
        "HOMEWRIGHT_SITE": "/x",
        "HOMEWRIGHT_RUNNER": "mark of the run that we are in",
        "SSH_AUTH_SOCK": "/tmp/agent",
        "AWS_SECRET": "x",
    }
    assert set(environment(outer)) == {"PATH", "LC_ALL", "XDG_STATE_HOME", "HOMEWRIGHT_SITE"}


@pytest.mark.parametrize(
    ("event", "lines"),
    [
        (Event(Kind.LINE, "text", host="s1"), ["s1: text"]),
        (Event("something-newer", "still a line"), ["still a line"]),
        (Event(Kind.PROGRESS, data={"percent": 3}), None),
        (Event(Kind.HOST_STARTED, host="s1"), None),
        (Event(Kind.HOST_FINISHED, host="s1", data={"state": DONE, "changed": 2}), ["s1: done, 2 changed"]),
        (Event(Kind.HOST_FINISHED, host="s1", data={"state": DONE, "changed": 0}), ["s1: done, nothing changed"]),
        (Event(Kind.HOST_FINISHED, host="s1", data={"state": "unreachable", "reason": "x"}), ["s1: unreachable: x"]),
        (Event(Kind.TASK_STARTED, "copy"), ["task: copy"]),
        (Event(Kind.TASK_FINISHED, "copy", host="s2", data={"result": "changed"}), ["s2: changed: copy"]),
        (Event(Kind.VERIFY, "why", host="s1", data={"verdict": "cannot-tell"}), ["s1: cannot tell: why"]),
        (
            Event(Kind.RETRY, "the proof cannot tell", host="s1", data={"attempt": 2, "wait_s": 4}),
            ["s1: the proof cannot tell; trying again in 4 s (attempt 2)"],
        ),
        (
            Event(Kind.STEP_FINISHED, "F", data={"reason": "R", "remedy": {"say": "S", "do": ["A", "B"]}}),
            ["F", "  why: R", "  that means: S", "  do: A", "  do: B"],
        ),
    ],
)
def test_the_text_of_events(event: Event, lines: Sequence[str] | None) -> None:
    text = describe(event)
    assert (text.split("\n") if text is not None else None) == lines
    shown = render(event)
    assert (shown is None) is (lines is None)
    if shown is not None:
        assert all(line[2] == ":" and line[5] == ":" for line in shown.split("\n"))

"""Catalogues: what is accepted, and what is refused with which words at which line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from homewright.catalogue import load, shipped
from homewright.catalogue.models import Stage
from homewright.catalogue.prompts import asks
from homewright.catalogue.rules import cycle, unproved
from homewright.errors import CatalogueError
from homewright.site import described

STEP = """
  - id: "{stage}/{number}0"
    title: Step {number}
    runner: python
    run: {number}0_do.py
    verify: {number}8_do.py
    rollback: {number}9_do.py
"""


def write_stage(root: Path, stage: str, steps: int = 1, head: str = "", body: str | None = None) -> Path:
    folder = root / f"{stage}_stage"
    folder.mkdir(parents=True)
    text = f'id: "{stage}"\ntitle: Stage {stage}\n{head}steps:'
    for number in range(1, steps + 1):
        text += STEP.format(stage=stage, number=number)
        for unit in "089":
            (folder / f"{number}{unit}_do.py").write_text("")
    (folder / "stage.yaml").write_text(body if body is not None else text)
    return folder


def test_stages_and_steps_come_in_order_and_require_what_is_before(tmp_path: Path) -> None:
    write_stage(tmp_path, "10", steps=2)
    write_stage(tmp_path, "00", steps=2)
    catalogue = load([tmp_path])
    assert [step.id for step in catalogue.steps()] == ["00/10", "00/20", "10/10", "10/20"]
    assert [catalogue.requires(step) for step in catalogue.steps()] == [(), ("00/10",), ("00/20",), ("10/10",)]
    assert catalogue.file(catalogue.step("10/20"), "verify") == tmp_path / "10_stage" / "28_do.py"


def test_a_later_folder_replaces_a_stage_and_adds_others(tmp_path: Path) -> None:
    write_stage(tmp_path / "a", "00", steps=2)
    write_stage(tmp_path / "b", "00", steps=1)
    write_stage(tmp_path / "b", "50")
    catalogue = load([tmp_path / "a", tmp_path / "b"])
    assert [step.id for step in catalogue.steps()] == ["00/10", "50/10"]
    assert catalogue.folders["00"] == tmp_path / "b" / "00_stage"


def test_the_digest_changes_with_every_file_and_not_with_the_place(tmp_path: Path) -> None:
    folder = write_stage(tmp_path / "a", "00")
    first = load([tmp_path / "a"])
    copied = first.copy(tmp_path / "copy")
    assert copied.digest == first.digest
    assert copied.step_digest(copied.step("00/10")) == first.step_digest(first.step("00/10"))
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert load([tmp_path / "a"]).digest == first.digest
    (folder / "templates.txt").write_text("changed")
    assert load([tmp_path / "a"]).digest != first.digest


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("title: Step 1", "titel: Step 1"), "did you mean title?"),
        (("runner: python", "runner: perl"), "runner"),
        (("run: 10_do.py", "run: 11_missing.py"), "there is no file 11_missing.py"),
        (("verify: 18_do.py", "verify: 19_do.py"), "should be numbered 18"),
        (("run: 10_do.py", "run: ../../x.py"), "lies outside of the catalogue"),
        (("rollback: 19_do.py", "rollback: 19_do.py\n    requires: [77/10]"), "there is no step 77/10"),
        (('id: "00/10"', 'id: "10/10"'), "10/10 is no step of stage 00"),
        (("rollback: 19_do.py", "rollback: 19_do.py\n    requires: [00/10]"), "wait for one another"),
        (("title: Step 1", "title: [1"), "this is no YAML"),
        (("title: Step 1", "title: Step 1\n    title: again"), "there twice"),
        (("title: Step 1", 'title: Step 1\n    remedies: [{when: "(", say: S}]'), "no regular expression"),
        (("title: Step 1", "title: Step 1\n    limits: {silent: 0}"), "limits.silent"),
    ],
)
def test_what_is_wrong_is_told_with_file_line_and_field(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    folder = write_stage(tmp_path, "00")
    file = folder / "stage.yaml"
    file.write_text(file.read_text().replace(*change))
    with pytest.raises(CatalogueError) as caught:
        load([tmp_path])
    error = caught.value
    text = error.as_text()
    assert says in text
    assert f"{file}, line " in text
    assert error.exit_code == 2
    assert error.do


def test_a_numbered_file_without_proof_or_way_back_is_refused(tmp_path: Path) -> None:
    folder = write_stage(tmp_path, "00")
    (folder / "20_more.py").write_text("")
    with pytest.raises(CatalogueError, match="2 things are wrong") as caught:
        load([tmp_path])
    assert "20_more.py has no 28_" in caught.value.why
    assert list(unproved(["10_a.py", "18_a.py", "19_a.py", "30_b.yaml", "38_b.py"])) == [("30_b.yaml", "39_")]


def test_stages_of_one_folder_with_one_id_are_refused(tmp_path: Path) -> None:
    write_stage(tmp_path / "x", "00")
    write_stage(tmp_path / "y", "00")
    with pytest.raises(CatalogueError, match="wrong") as caught:
        load([tmp_path])
    assert "has this id already" in caught.value.why


def test_anchors_share_limits_and_an_alias_of_itself_is_refused(tmp_path: Path) -> None:
    folder = write_stage(tmp_path, "00", steps=2)
    file = folder / "stage.yaml"
    text = file.read_text()
    text = text.replace("rollback: 19_do.py", "rollback: 19_do.py\n    limits: &short {hard: 3}")
    file.write_text(text.replace("rollback: 29_do.py", "rollback: 29_do.py\n    limits: *short"))
    assert [step.limits.hard for step in load([tmp_path]).steps()] == [3, 3]
    file.write_text(text.replace("title: Step 2", "title: &self [*self]"))
    with pytest.raises(CatalogueError):
        load([tmp_path])


@pytest.mark.parametrize(
    ("playbook", "lines"),
    [
        ("- hosts: all\n  vars_prompt:\n    - name: password\n", [2]),
        ("- hosts: all\n  tasks:\n    - pause:\n", [3]),
        ("- hosts: all\n  tasks:\n    - ansible.builtin.pause: {prompt: 'go on?'}\n", [3]),
        ("- hosts: all\n  tasks:\n    - pause: {seconds: 3}\n    - ansible.builtin.pause: minutes=1\n", []),
        ("- hosts: all\n  tasks:\n    - block:\n        - pause:\n            prompt: x\n", [4]),
        ("- hosts: all\n  vars:\n    secret: !vault |\n      $ANSIBLE_VAULT;1.1;AES256\n", []),
    ],
)
def test_a_playbook_that_would_ask_is_found(playbook: str, lines: list[int]) -> None:
    assert [line for line, _ in asks(playbook)] == lines


def test_a_playbook_that_asks_or_is_no_yaml_is_refused(tmp_path: Path) -> None:
    folder = write_stage(tmp_path, "00")
    file = folder / "stage.yaml"
    file.write_text(file.read_text().replace("run: 10_do.py", "run: 10_do.yaml").replace("python", "ansible"))
    (folder / "10_do.py").unlink()
    (folder / "10_do.yaml").write_text("- hosts: all\n  tasks:\n    - pause:\n")
    with pytest.raises(CatalogueError, match=r"10_do.yaml, line 3") as caught:
        load([tmp_path])
    assert "waits for a key" in caught.value.why
    (folder / "10_do.yaml").write_text("- hosts: all\n  tasks: [\n")
    with pytest.raises(CatalogueError, match=r"10_do.yaml") as caught:
        load([tmp_path])
    assert "it is no YAML" in caught.value.why


@pytest.mark.parametrize(
    ("graph", "circle"),
    [
        ({"a": (), "b": ("a",)}, []),
        ({"a": ("b",), "b": ("a",)}, ["a", "b", "a"]),
        ({"a": ("a",)}, ["a", "a"]),
        ({"a": ("gone",), "b": ("c",), "c": ("d",), "d": ("b",)}, ["b", "c", "d", "b"]),
    ],
)
def test_circles(graph: dict[str, tuple[str, ...]], circle: list[str]) -> None:
    assert cycle(graph) == circle


def test_an_empty_or_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no stage to run"):
        load([tmp_path])
    with pytest.raises(CatalogueError, match="no folder of stages"):
        load([tmp_path / "none"])


def test_the_shipped_catalogue_is_whole() -> None:
    catalogue = load([shipped()])
    assert [step.id for step in catalogue.steps()][:4] == ["00/10", "00/20", "00/30", "00/40"]
    assert {step.runner for step in catalogue.steps()} >= {"ansible", "pyinfra", "python"}


def test_the_shipped_schema_of_stage_yaml_is_current() -> None:
    file = Path(__file__).parents[2] / "assets/homewright/assets/schemas/stage.json"
    wanted = json.dumps(described.schema(Stage), indent=2, ensure_ascii=False) + "\n"
    assert file.read_text() == wanted, "write it anew: python -m homewright.catalogue.schema FILE"

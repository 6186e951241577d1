"""A stage.yaml for somebody's own folder of numbered playbooks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from homewright.catalogue import load, shipped
from homewright.catalogue.playbooks import Fault, faults, plays
from homewright.catalogue.scaffold import scaffold, stage_id
from homewright.cli import main
from homewright.errors import UsageError


def playbook(name: str, hosts: str = "servers", more: str = "") -> str:
    return f"---\n- name: {name}\n  hosts: {hosts}\n  tasks:\n    - name: One\n      ansible.builtin.ping:\n{more}"


def tree(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


WHOLE = {
    "50_watch/10_metrics.yaml": playbook("Metrics of every server", "baremetal"),
    "50_watch/18_test.yaml": playbook("They answer", "baremetal"),
    "50_watch/19_rollback.yaml": playbook("Without metrics", "baremetal"),
    "50_watch/20_alerts.yml": playbook("Alerts", "microk8s_control_plane"),
    "50_watch/28_alerts.py": "def verify(host):\n    pass\n",
    "50_watch/29_alerts.yml": playbook("No alerts", "microk8s_control_plane"),
    "50_watch/README.md": "notes\n",
    "50_watch/roles/x/tasks/main.yaml": "- name: t\n  ansible.builtin.ping:\n",
}


def test_a_whole_tree_is_a_catalogue_at_once(tmp_path: Path) -> None:
    made = scaffold(tree(tmp_path, WHOLE))
    assert made.problems == () and made.kept == ()
    catalogue = load([shipped(), tmp_path])
    stage = catalogue.stage("50")
    assert (stage.title, stage.requires) == ("Watch", ())
    assert stage.groups == {"baremetal": "servers", "microk8s_control_plane": "kubernetes_control_plane"}
    assert [(step.id, step.title, step.runner, step.hosts) for step in stage.steps] == [
        ("50/10", "Metrics of every server", "ansible", "servers"),
        ("50/20", "Alerts", "ansible", "kubernetes_control_plane"),
    ]
    assert [(step.run, step.verify, step.rollback) for step in stage.steps] == [
        ("10_metrics.yaml", "18_test.yaml", "19_rollback.yaml"),
        ("20_alerts.yml", "28_alerts.py", "29_alerts.yml"),
    ]
    assert [(Path(one.file).name, one.line) for one in made.stages[0].warnings] == [("18_test.yaml", None)]


def test_a_second_time_what_is_there_is_left_alone(tmp_path: Path) -> None:
    scaffold(tree(tmp_path, WHOLE))
    file = tmp_path / "50_watch" / "stage.yaml"
    file.write_text(file.read_text() + "# mine\n")
    made = scaffold(tmp_path)
    assert (made.stages, made.kept) == ((), (str(file),))
    assert file.read_text().endswith("# mine\n")


WARNED = [
    ({}, {"10_a.yaml": playbook("A")}, None, "nothing proves it"),
    ({}, {"10_a.yaml": playbook("A")}, None, "nothing takes it back"),
    (WHOLE, {"50_watch/15_more.yaml": playbook("More")}, None, "15_more.yaml is not run by itself"),
    (WHOLE, {"50_watch/10_other.yaml": playbook("Other")}, None, "10_other.yaml is not run by itself"),
    (WHOLE, {"50_watch/10_metrics.yaml": playbook("A", "k8s")}, 2, "hosts: k8s is no group of the inventory"),
    (WHOLE, {"50_watch/10_metrics.yaml": playbook("A", "all:!x")}, 2, "a pattern whose servers are not known"),
    (WHOLE, {"50_watch/10_metrics.yaml": playbook("A", "localhost")}, 2, "localhost is no server"),
    (WHOLE, {"50_watch/10_metrics.yaml": playbook("A") + playbook("B", "dns")[4:]}, None, "plays for servers and dns"),
    (WHOLE, {"50_watch/19_rollback.yaml": playbook("A", more="      ignore_errors: true\n")}, 7, "hides a failure"),
    (WHOLE, {"50_watch/10_metrics.yaml": playbook("A", more="      failed_when: false\n")}, 7, "hides every failure"),
    (WHOLE, {"50_watch/10_metrics.yaml": playbook("A", more="    - ansible.builtin.pause:\n")}, 7, "waits for a key"),
    (WHOLE, {"50_watch/10_metrics.yaml": "- hosts: [\n"}, 2, "is no YAML"),
    (WHOLE, {"50_watch/roles/x/tasks/main.yaml": "- name: t\n  ignore_errors: true\n"}, 2, "hides a failure"),
]  # fmt: skip


@pytest.mark.parametrize(("base", "files", "line", "reason"), WARNED, ids=[reason for *_, reason in WARNED])
def test_what_somebody_has_to_look_at(
    tmp_path: Path, base: dict[str, str], files: dict[str, str], line: int | None, reason: str
) -> None:
    made = scaffold(tree(tmp_path, {**base, **files}))
    warned = [one for stage in made.stages for one in stage.warnings if reason in one.reason]
    assert [one.line for one in warned] == [line], made.stages
    assert warned[0].do


def test_what_is_missing_is_named_and_is_why_it_cannot_be_run_yet(tmp_path: Path) -> None:
    made = scaffold(tree(tmp_path / "70_mine", {"10_a.yaml": playbook("A")}))
    assert "verify: 18_a.py" in made.stages[0].text and "rollback: 19_a.yaml" in made.stages[0].text
    assert any("there is no file 18_a.py" in problem for problem in made.problems)
    assert all("70_mine" in problem for problem in made.problems)


@pytest.mark.parametrize(
    ("root", "place", "name"),
    [
        ("50_watch", "", "50"),
        ("ansible", "40_thinkube/core/harbor", "40/core/harbor"),
        ("ansible", "Web Servers", "web_servers"),
        ("mine", "", "mine"),
    ],
)
def test_ids_come_from_the_folders_numbers(root: str, place: str, name: str) -> None:
    assert stage_id(Path("/x") / root, Path("/x") / root / place) == name


def test_nothing_to_do_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no numbered files"):
        scaffold(tree(tmp_path, {"site.yaml": playbook("A")}))
    with pytest.raises(UsageError, match="is no folder"):
        scaffold(tmp_path / "away")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tree(tmp_path, WHOLE) / "50_watch"
    assert main(["stages", "new", str(folder), "--dry-run", "--title", "Looking"]) == 0
    shown = capsys.readouterr().out
    assert "would be:" in shown and "title: Looking" in shown
    assert not (folder / "stage.yaml").exists()
    assert main(["stages", "new", str(folder), "--id", "55", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["version"], document["stages"][0]["id"], document["problems"]) == (1, "55", [])
    assert main(["stages", "new", str(folder)]) == 0
    assert "is there already, and was left alone" in capsys.readouterr().out
    assert main(["stages"]) == 2
    assert main(["stages", "new", str(tree(tmp_path / "80_x", {"10_a.yaml": playbook("A")}))]) == 1
    assert "It cannot be run yet" in capsys.readouterr().out


def test_plays_and_faults() -> None:
    text = playbook("A", "[one, two]") + playbook("B", "dns")[4:]
    assert [(play.name, play.hosts, play.line) for play in plays(text)] == [("A", "one:two", 2), ("B", "dns", 7)]
    assert faults(text) == []
    registered = playbook("A", more="      failed_when: false\n      register: looked\n")
    assert faults(registered) == []
    assert faults(playbook("A", more="      ignore_errors: false\n")) == []
    assert isinstance(faults("- a: [")[0], Fault)

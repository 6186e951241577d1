"""Somebody's own tree of numbered playbooks, made a catalogue by one command and run by the real engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from driving import Practice
from practice_lab import Lab

from homewright.planning.groups import members

pytestmark = pytest.mark.lab

NOTE = "/etc/somebodys-note"
PLAYBOOKS = {
    "10_note.yaml": f"""
- name: A note on the control plane
  hosts: microk8s_control_plane
  become: true
  gather_facts: false
  tasks:
    - name: Note
      ansible.builtin.copy:
        content: "{{{{ site.name }}}} has {{{{ groups['microk8s_control_plane'] | length }}}}\\n"
        dest: {NOTE}
        mode: "0644"
""",
    "18_test.yaml": f"""
- name: The note is there
  hosts: microk8s_control_plane
  become: true
  gather_facts: false
  tasks:
    - name: Read it
      ansible.builtin.slurp:
        src: {NOTE}
      register: note
    - name: It says so
      ansible.builtin.assert:
        that: "(note.content | b64decode) == 'practice has ' ~ (groups['microk8s_control_plane'] | length) ~ '\\n'"
        quiet: true
""",
    "19_rollback.yaml": f"""
- name: No note
  hosts: microk8s_control_plane
  become: true
  gather_facts: false
  tasks:
    - name: Without it
      ansible.builtin.file:
        path: {NOTE}
        state: absent
""",
}


def test_a_tree_of_playbooks_is_run_proved_and_taken_back(practice: Practice, trusted_lab: Lab, tmp_path: Path) -> None:
    practice.give_back()
    folder = tmp_path / "70_notes"
    folder.mkdir()
    for name, text in PLAYBOOKS.items():
        (folder / name).write_text(f"---{text}")
    made = trusted_lab.run("stages", "new", str(folder), "--json")
    assert made.returncode == 0, made.stdout
    assert json.loads(made.stdout)["stages"][0]["steps"] == ["70/10"]
    here, first, last = ("--stages", str(folder)), practice.names[0], practice.names[-1]
    planes = len(members("kubernetes_control_plane", practice.site, {}))
    try:
        for count in (planes, 0):
            done = trusted_lab.run("apply", *here, "--only", "70", "--yes", "--jsonl")
            assert done.returncode == 0, done.stdout + done.stderr
            assert json.loads(done.stdout.splitlines()[-1])["data"]["changed"] == count
        assert practice.on(first, f"cat {NOTE}") == f"practice has {planes}\n"
        assert bool(practice.on(last, f"ls {NOTE}", check=False)) is (planes == len(practice.names))
        practice.on(first, f"echo other >{NOTE}")
        broken = trusted_lab.run("verify", *here)
        assert broken.returncode == 1
        assert f"{first}: broken: It says so:" in broken.stdout, broken.stdout
    finally:
        back = trusted_lab.run("rollback", *here, "70", "--yes")
        assert back.returncode == 0, back.stdout + back.stderr
        practice.hold()
    assert practice.on(first, f"ls {NOTE}", check=False) == ""

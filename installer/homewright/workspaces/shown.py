"""A workspace of the cluster as everybody is shown it. Pure."""

from __future__ import annotations

from homewright.workspaces import repositories
from homewright.workspaces.backends.kubernetes import manifests
from homewright.workspaces.backends.kubernetes.manifests import Surroundings
from homewright.workspaces.backends.kubernetes.observed import Pod, Seen
from homewright.workspaces.backends.kubernetes.reasons import Finding
from homewright.workspaces.backends.kubernetes.states import judge
from homewright.workspaces.backends.kubernetes.usage import Usage
from homewright.workspaces.models import Workspace
from homewright.workspaces.template_models import REPOSITORY_STEP, PodTemplate


def workspace_of(
    seen: Seen, template: PodTemplate, version: str, now: float, surroundings: Surroundings, used: Usage | None = None
) -> Workspace:
    """What is seen of one at a moment (Unix seconds), and what its pod uses. `version` is the template's digest."""
    intent, pod = seen.intent, seen.pod
    finding: Finding = judge(seen, now, template.probe.start_timeout_s)
    running = [one.running_since for one in pod.containers if one.running_since] if pod is not None else []
    notes = []
    if pod is not None and pod.preset not in ("", intent.preset):
        notes.append(f"It runs as {pod.preset}: its next start or restart makes it {intent.preset}.")
    if intent.digest != version:
        notes.append("Its template has changed since it was made: its next start brings what it says now.")
    notes += _notes_of_steps(pod)
    return Workspace(
        key=intent.key,
        slug=intent.slug,
        template=intent.template,
        preset=intent.preset,
        title=intent.title,
        state=finding.state,
        reason=finding.reason,
        remedy=finding.remedy,
        whose=finding.whose,
        node=pod.node if pod is not None else "",
        address=manifests.address(template, intent.slug, surroundings),
        repository=intent.repository,
        created_at=intent.created_at,
        started_at=min(running) if running else None,
        cpu=used.cpu if used is not None else None,
        memory=used.memory if used is not None else None,
        notes=tuple(notes),
    )


def _notes_of_steps(pod: Pod | None) -> list[str]:
    """What the step that clones has complained of: it keeps nothing from starting."""
    told = [one.ended_message for one in pod.containers if one.name == REPOSITORY_STEP] if pod is not None else []
    return [f"Its repository was not cloned: {repositories.why(text)}. `sync` tries again." for text in told if text]

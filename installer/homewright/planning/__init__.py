"""Plans, computed by pure functions: what will run where, for how long, and why."""

from homewright.planning.documents import Decision, Misfit
from homewright.planning.plan import Plan, PlanHost, PlanStage, PlanStep, digest, plan

__all__ = ["Decision", "Misfit", "Plan", "PlanHost", "PlanStage", "PlanStep", "digest", "plan"]

"""Plans, computed by pure functions: what will run where, for how long, and why."""

from homewright.planning.plan import Plan, PlanHost, PlanStage, PlanStep, digest, plan

__all__ = ["Plan", "PlanHost", "PlanStage", "PlanStep", "digest", "plan"]

"""Plans, computed by pure functions: what will run where, for how long, and why."""

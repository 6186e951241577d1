"""What stands in the way: one small function a check, facts in, outcome out; thresholds and severities are data.

`catalogue.CHECKS` is the list, `judging.judge` applies it, `profiles.load` brings the thresholds.
"""

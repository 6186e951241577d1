"""Step runners: child processes of the engine, one kind each for Ansible, pyinfra and Python.

A runner is started as ``python -m homewright.engine.runners.<kind> REQUEST`` where REQUEST is a 0600 JSON file
(`request.StepRequest`) and descriptor 3 takes its events as JSON lines. Its exit code is 0 when it could say how every
host ended, whatever that was.
"""

"""Without the environment file, or with the one that was there before."""

from pyinfra.operations import server

from homewright.stages import deploy, environment_file

before = deploy.captured()
for path in (environment_file.HOOK, environment_file.FILE):
    if path in before:
        mode, owner = before[path]["state"].split()
        text = before[path]["text"]
        deploy.file_with(name=f"{path} as before", path=path, text=text, mode=mode, owner=owner, _sudo=True)
    elif before or environment_file.is_ours(deploy.content_of(path) or ""):
        # Where nothing was written down it is taken back already, and this may be the file of before.
        deploy.no_file(name=f"No {path}", path=path, _sudo=True)
if not before.get("folder") and deploy.exists(environment_file.FOLDER):
    # Another step's file may lie there: then the folder stays.
    command = f"rmdir --ignore-fail-on-non-empty {environment_file.FOLDER}"
    server.shell(name="No folder", commands=[command], _sudo=True)

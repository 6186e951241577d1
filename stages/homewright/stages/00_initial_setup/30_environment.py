"""A file with the site's facts on every server, read by every login shell. No secrets in it."""

from pyinfra import host
from pyinfra.operations import files

from homewright.stages import deploy, environment_file

text = environment_file.text(deploy.site(), host.name, host.groups)
files.directory(name="Folder", path=environment_file.FOLDER, mode="755", user="root", group="root", _sudo=True)
deploy.file_with(name="Environment file", path=environment_file.FILE, text=text, _sudo=True)
deploy.file_with(name="Login shells read it", path=environment_file.HOOK, text=environment_file.HOOK_TEXT, _sudo=True)

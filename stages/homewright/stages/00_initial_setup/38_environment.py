"""The environment file says what the site says, belongs to root, and a login shell has read it."""

from homewright.engine.runners.host import Host, Proof, broken, proved
from homewright.stages import environment_file as file


def verify(host: Host) -> Proof:
    for path, wanted in (
        (file.FILE, file.text(host.site, host.name, host.groups)),
        (file.HOOK, file.HOOK_TEXT),
    ):
        found = host.read(path)
        if found is None:
            return broken(f"{path} is missing on {host.name}.")
        if found.decode("utf-8", "replace") != wanted:
            return broken(f"{path} on {host.name} is not what the site says.")
        if host.stat(path) != "644 root:root":
            return broken(f"{path} on {host.name} is {host.stat(path)}, not 644 root:root.")
    said = host.run('env -i PATH="$PATH" sh -lc \'printf %s "$HOMEWRIGHT_HOST"\'', sudo=False).stdout
    if said != host.name:
        return broken(f"A login shell on {host.name} says that this is {said or '(nothing)'}.")
    return proved(f"{file.FILE} is right, and login shells read it.")


def capture(host: Host) -> dict[str, object]:
    before: dict[str, object] = {"folder": host.stat(file.FOLDER)}
    for path in (file.FILE, file.HOOK):
        content = host.read(path)
        if content is not None:
            before[path] = {"text": content.decode("utf-8", "surrogateescape"), "state": host.stat(path)}
    return before

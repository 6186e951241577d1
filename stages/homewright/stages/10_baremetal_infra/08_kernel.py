"""The settings are in the files and in effect, and a time service runs, by which the clock is right."""

from homewright.checks.profiles import load
from homewright.engine.runners.host import Host, Proof, broken, cannot_tell, proved
from homewright.stages import clock_service as clock
from homewright.stages import kernel_settings as kernel
from homewright.stages import packages


def verify(host: Host) -> Proof:
    profile = load(host.site.profile)
    wanted = kernel.values(profile, host.capture.get("values", {}))
    for path, text in ((kernel.FILE, kernel.text(wanted)), (kernel.MODULES_FILE, kernel.modules_text())):
        found = host.read(path)
        if found is None:
            return broken(f"{path} is missing on {host.name}.")
        if found.decode("utf-8", "replace") != text:
            return broken(f"{path} on {host.name} is not what it should be.")
        if host.stat(path) != "644 root:root":
            return broken(f"{path} on {host.name} is {host.stat(path)}, not 644 root:root.")
    for setting, value in wanted.items():
        now = int(host.run(["cat", setting.path]).stdout) if setting.ours else value
        if now < value:
            return broken(f"{setting.name} on {host.name} is {now}, not {value}.")
    for name, sign in kernel.MODULES.items() if kernel.modules_ours(profile) else ():
        if not host.exists(sign):
            return broken(f"The kernel of {host.name} has not loaded {name}.")
    services = clock.installed(host)
    if not services or not services[0].active:
        return broken(f"No time service runs on {host.name}.")
    if not services[0].enabled:
        return broken(f"{services[0].name} on {host.name} would not start again with the server.")
    if profile.checks["host.time-sync"].flag("synchronised") and not clock.synchronised(host):
        return cannot_tell(f"{services[0].name} on {host.name} has not reached a time server yet.")
    shared = [setting.name for setting in wanted if not setting.ours]
    rest = f" What {host.name} has no say in is the machine's below: {', '.join(shared)}." if shared else ""
    return proved(f"The kernel is set, and {services[0].name} keeps the clock.{rest}")


def capture(host: Host) -> dict[str, object]:
    before = {}
    for path in (kernel.FILE, kernel.MODULES_FILE):
        content = host.read(path)
        if content is not None:
            before[path] = {"text": content.decode("utf-8", "surrogateescape"), "state": host.stat(path)}
    profile, services = load(host.site.profile), clock.installed(host)
    return {
        "files": before,
        "values": {one.name: int(host.run(["cat", one.path]).stdout) for one in kernel.settings(profile)},
        "modules": [name for name, sign in kernel.MODULES.items() if host.exists(sign)],
        "services": {one.name: [one.enabled, one.active] for one in services},
        # Where there is no time service one is installed, and what came with it goes again.
        "packages": [] if services else packages.installed(host),
    }

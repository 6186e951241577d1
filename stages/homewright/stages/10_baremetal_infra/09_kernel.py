"""Kernel and clock as they were before."""

from homewright.checks.profiles import load
from homewright.engine.runners.host import Host
from homewright.stages import clock_service as clock
from homewright.stages import kernel_settings as kernel
from homewright.stages import packages


def rollback(host: Host) -> None:
    before, profile = host.capture, load(host.site.profile)
    if not before and not host.exists(kernel.FILE):
        return
    with host.task("Settings of the kernel as before") as task:
        task.changed = _file(host, kernel.FILE)
        values = before.get("values", {})
        for setting in (one for one in kernel.settings(profile) if one.ours and one.name in values):
            if int(host.run(["cat", setting.path]).stdout) != values[setting.name]:
                host.run(f"echo {values[setting.name]} >{setting.path}")
                task.changed = True
    with host.task("Modules of the kernel as before") as task:
        task.changed = _file(host, kernel.MODULES_FILE)
        for name, sign in kernel.MODULES.items() if kernel.modules_ours(profile) else ():
            if name not in before.get("modules", [name]) and host.exists(sign):
                gone = host.run(["modprobe", "-r", name], check=False).exit_code == 0
                task.changed |= gone
                if not gone:
                    host.say(f"{name} is in use, so it stays loaded until the next start.")
    with host.task("Clock as before") as task:
        if before.get("packages"):
            task.changed = packages.remove(host, [clock.DEFAULT], before["packages"])
        known = before.get("services", {})
        for one in clock.installed(host):
            enabled, active = known.get(one.name, [one.enabled, one.active])
            if one.enabled and not enabled:
                host.run(["systemctl", "disable", one.name])
                task.changed = True
            if one.active and not active:
                host.run(["systemctl", "stop", one.name])
                task.changed = True


def _file(host: Host, path: str) -> bool:
    kept = host.capture.get("files", {}).get(path)
    if kept is None:
        # Where nothing was written down it is taken back already, and this may be the file of before.
        ours = bool(host.capture) or kernel.is_ours((host.read(path) or b"").decode("utf-8", "replace"))
        return ours and host.remove(path)
    mode, owner = kept["state"].split()
    return host.write(path, kept["text"].encode("utf-8", "surrogateescape"), mode=int(mode, 8), owner=owner)

"""Limits and modules of the kernel that many containers need, and a clock that is kept right."""

from homewright.checks.profiles import load
from homewright.engine.runners.host import Host
from homewright.stages import clock_service as clock
from homewright.stages import kernel_settings as kernel
from homewright.stages import packages


def run(host: Host) -> None:
    profile = load(host.site.profile)
    wanted = kernel.values(profile, host.capture.get("values", {}))
    with host.task("Settings of the kernel") as task:
        task.changed = host.write(kernel.FILE, kernel.text(wanted).encode())
        for setting, value in wanted.items():
            if setting.ours and int(host.run(["cat", setting.path]).stdout) < value:
                host.run(f"echo {value} >{setting.path}")
                task.changed = True
    with host.task("Modules of the kernel") as task:
        task.changed = host.write(kernel.MODULES_FILE, kernel.modules_text().encode())
        for name, sign in kernel.MODULES.items() if kernel.modules_ours(profile) else ():
            if not host.exists(sign):
                host.run(["modprobe", name])
                task.changed = True
    with host.task("Clock") as task:
        services = clock.installed(host)
        if not services:
            task.changed = packages.install(host, [clock.DEFAULT])
            services = clock.installed(host)
        service = clock.first(host.name, services)
        if not (service.enabled and service.active):
            host.run(["systemctl", "enable", "--now", service.name])
            task.changed = True

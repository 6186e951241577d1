"""The server's own drivers get its GPUs again, from its next start on."""

from homewright.discovery import parse
from homewright.discovery.probe import probe
from homewright.engine.runners.host import Host
from homewright.planning.boot import OURS, is_ours, uses_dracut
from homewright.stages import gpu_reservation, restart


def rollback(host: Host) -> None:
    built = host.exists(gpu_reservation.BUILT)
    with host.task("No files for the start") as task:
        for path in OURS:
            # Where nothing was written down it is taken back already, and this may be the file of before.
            ours = bool(host.capture) or is_ours((host.read(path) or b"").decode("utf-8", "replace"))
            task.changed |= ours and path not in host.capture.get("files", ()) and host.remove(path)
        changed = task.changed
    with host.task("Boot loader and initial file system") as task:
        if changed or built:
            commands = ["update-grub", "update-initramfs -u -k all"]
            if uses_dracut(parse(probe(host.connection))):
                commands[1] = "dracut --regenerate-all --force"
            for command in commands:
                host.show(f"! command -v {command.split()[0]} >/dev/null || {command}", timeout=900)
            restart.ask_for(host, "GPUs are no longer reserved")
            host.remove(gpu_reservation.BUILT)
            host.say(f"The GPUs of {host.name} go back to its own drivers when it restarts.")
            task.changed = True

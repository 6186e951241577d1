"""The names as they were before."""

from pyinfra import host
from pyinfra.facts.server import Hostname
from pyinfra.operations import server

from homewright.site import hosts_file
from homewright.stages import deploy

before = deploy.captured()
current = deploy.content_of("/etc/hosts") or ""
if before.get("hosts") is not None:
    mode, owner = before["hosts_state"].split()
    deploy.file_with(
        name="/etc/hosts as before",
        path="/etc/hosts",
        text=hosts_file.restored(current, before["hosts"], deploy.site()),
        mode=mode,
        owner=owner,
        _sudo=True,
    )
elif hosts_file.BEGIN in current:
    rest = "".join(f"{line}\n" for line in hosts_file.lines_outside(current))
    deploy.file_with(name="/etc/hosts without our block", path="/etc/hosts", text=rest, _sudo=True)
previous = before.get("hostname")
if previous and host.get_fact(Hostname) != previous:
    server.shell(name="Host name as before", commands=[f"hostnamectl set-hostname {previous}"], _sudo=True)
if before.get("hostname_file") is not None:
    mode, owner = before["hostname_state"].split()
    text = before["hostname_file"]
    deploy.file_with(
        name="/etc/hostname as before", path="/etc/hostname", text=text, mode=mode, owner=owner, _sudo=True
    )

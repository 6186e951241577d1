"""Every server knows every server by name, and is itself called as the site says."""

from pyinfra import host
from pyinfra.facts.server import Hostname
from pyinfra.operations import server

from homewright.site import hosts_file
from homewright.stages import deploy

site = deploy.site()
deploy.file_with(
    name="Names in /etc/hosts",
    path="/etc/hosts",
    text=hosts_file.wanted(deploy.content_of("/etc/hosts") or "127.0.0.1\tlocalhost\n", site),
    _sudo=True,
)
if host.get_fact(Hostname) != host.name or deploy.content_of("/etc/hostname") != f"{host.name}\n":
    server.shell(name="Host name", commands=[f"hostnamectl set-hostname {host.name}"], _sudo=True)

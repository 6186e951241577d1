"""Every name resolves to its server's address and to nothing else, and the host name is the site's."""

from homewright.engine.runners.host import Host, Proof, broken, proved
from homewright.site import hosts_file


def verify(host: Host) -> Proof:
    called = host.run("hostname; cat /etc/hostname", sudo=False).stdout.split()
    if called != [host.name, host.name]:
        now, at_start = (" ".join(words) or "(nothing)" for words in (called[:1], called[1:]))
        return broken(f"{host.name} is called {now}, /etc/hostname says {at_start}.")
    block = "\n".join(["", *hosts_file.entries(host.site), hosts_file.END])
    if block not in (host.read("/etc/hosts") or b"").decode("utf-8", "replace"):
        return broken(f"/etc/hosts on {host.name} does not name the servers of this site.")
    names = [(name, one.address) for one in host.site.servers for name in hosts_file.names_of(host.site, one.name)]
    script = "; ".join(f"echo {name} $(getent ahostsv4 {name} | cut -d' ' -f1 | sort -u)" for name, _ in names)
    found = dict(line.partition(" ")[::2] for line in host.run(script, sudo=False).stdout.splitlines())
    for name, address in names:
        if found.get(name, "") != address:
            return broken(f"{name} resolves to {found.get(name) or 'nothing'} on {host.name}, not to {address}.")
    return proved(f"{len(names)} names resolve to their servers.")


def capture(host: Host) -> dict[str, object]:
    hosts = host.read("/etc/hosts")
    hostname = host.read("/etc/hostname")
    return {
        "hosts": None if hosts is None else hosts.decode("utf-8", "surrogateescape"),
        "hosts_state": host.stat("/etc/hosts"),
        "hostname_state": host.stat("/etc/hostname"),
        "hostname_file": None if hostname is None else hostname.decode(),
        "hostname": host.run("hostname", sudo=False).stdout.strip(),
    }

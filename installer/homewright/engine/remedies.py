"""What a failure means and what to do: a step's own remedies first, then those that hold for every step. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from homewright.catalogue.models import Remedy

GENERAL = (
    Remedy(
        when=r"No space left on device|Errno 28|ENOSPC|disk is full|You don't have enough free space",
        say="A disk is full on the server.",
        do=("See which: df -h", "Free some space there, for instance: sudo apt-get clean", "Then apply again"),
    ),
    Remedy(
        when=r"homewright: another run holds this server now|moved on",
        say="Another run, of this or another controller, took the server over meanwhile.",
        do=(
            "See who: cat /var/lib/homewright/fence.json on the server",
            "Wait until it has finished, then apply again",
        ),
    ),
    Remedy(
        when=r"(?i)syntax error|ParserError|could not find expected|mapping values are not allowed|"
        r"conflicting action statements|couldn't resolve module|YAML parsing failed",
        say="The step's own file is written wrongly: this is a fault of the catalogue, not of the server.",
        do=("Mend the file at the place that is named above", "Then apply again"),
    ),
    Remedy(
        when=r"(?i)could not get lock|dpkg frontend lock|is another process using it|lock-frontend",
        say="Another package manager is at work on the server.",
        do=("Wait until it has finished, for instance unattended upgrades", "Then apply again"),
    ),
    Remedy(
        when=r"(?i)a password is required|sudo: .*password|Missing sudo password|not in the sudoers file",
        say="sudo on the server wants a password that Homewright does not have.",
        do=("homewright trust HOST sets sudo up for the run",),
    ),
    Remedy(
        when=r"(?i)temporary failure in name resolution|could not resolve|name or service not known",
        say="The server cannot resolve names.",
        do=("Look at its resolvers: resolvectl status, or cat /etc/resolv.conf", "Then apply again"),
    ),
    Remedy(
        when=r"(?i)host key|REMOTE HOST IDENTIFICATION",
        say="The server's SSH key is not the one that was trusted.",
        do=("Find out why it changed", "If it is right: homewright trust HOST"),
    ),
    Remedy(
        when=r"longer than its hard limit|said nothing for .* minutes",
        say="The step did not end in its time: something on the server hangs, or is far slower than expected.",
        do=("Look at what it last said, above", "See whether the server is on and how busy it is: uptime; top"),
    ),
    Remedy(
        when=r"(?i)unreachable|connection\b.{0,80}(was lost|refused|reset|timed out|closed)|no route to host|"
        r"timed out|broken pipe|hung up",
        say="The server could not be reached, or went away in the middle.",
        do=("See whether it is on and on the network", "Then apply again: what is done is not done twice"),
    ),
)


def match(own: Sequence[Remedy], texts: Iterable[str]) -> Remedy | None:
    """The first remedy that fits any of the texts; a step's own before the general ones."""
    whole = "\n".join(texts)
    for remedy in (*own, *GENERAL):
        if re.search(remedy.when, whole):
            return remedy
    return None

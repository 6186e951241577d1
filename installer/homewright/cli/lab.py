"""`homewright lab`: practice servers on this machine."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from functools import partial

from homewright.cli.output import Output
from homewright.errors import UsageError

_NEXT = "homewright --site practice"

_PLAYS = {"runs": "plays them", "gone": "is gone: homewright lab up starts it again"}
FAULTS = ("clock", "resolv", "port", "disk", "hostname", "mtu", "loss", "dns", "time-sync", "apt-lock")
"""As `homewright.lab.models.Fault` has them; a test compares, so that no parser waits for pydantic."""
VERSIONS = ("1.36.3", "1.35.4")
"""The newest Kubernetes, and the one that the lab builds besides for upgrades; a test compares these as well."""


NODES = ("servers", "instances")
"""As `homewright.lab.models.Nodes` has them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from homewright.cli import global_options

    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    shared = [global_options(suppress=True)]

    def action(name: str, text: str) -> argparse.ArgumentParser:
        child: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text, parents=shared)
        return child

    up = action("up", "make the practice servers, or what is missing of them, and the site practice")
    up.add_argument("--servers", type=int, metavar="N", help="how many (3 where there are none yet)")
    up.add_argument(
        "--cluster",
        action="store_true",
        help="and a Kubernetes cluster on them, by Homewright's own stages; what it is made of is built here once",
    )
    up.add_argument(
        "--nodes",
        choices=NODES,
        help="what the cluster's nodes are: the servers themselves (the default), or an LXD instance on each",
    )
    up.add_argument(
        "--kubernetes",
        choices=VERSIONS,
        default=VERSIONS[0],
        help="the cluster's; with the earlier one, which is built here as well, an upgrade can be tried",
    )
    action("down", "remove them, their site, and everything made for them but the cached image")
    prepare = action("prepare", "fetch and build beforehand what takes minutes: packages, image, code-server")
    for child in (up, prepare):
        child.add_argument("--yes", action="store_true", help="install missing Debian packages without asking")
    status = action("status", "how they are")
    status.add_argument("--password", action="store_true", help="print the password of the user lab, nothing else")
    nodes = action("nodes", "have so many simulated nodes in their cluster, on which nothing runs (kwok)")
    nodes.add_argument("count", type=int, metavar="N", help="how many in all; 0 takes them away")
    ssh = action("ssh", "a shell on one of them, or a command")
    ssh.add_argument("name", metavar="NAME")
    ssh.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD")
    for name, text in (
        ("power-off", "cut a server's power"),
        ("power-on", "give it back"),
        ("unplug", "pull a server's network cable"),
        ("plug", "put it back"),
    ):
        action(name, text).add_argument("name", metavar="NAME")
    broken = action("break", "break one of them for real, so that the checks find it")
    broken.add_argument("name", metavar="NAME")
    broken.add_argument("fault", metavar="WHAT", nargs="+", choices=FAULTS, help=", ".join(FAULTS))
    mend = action("mend", "undo what was broken: one thing, or all of it")
    mend.add_argument("name", metavar="NAME")
    mend.add_argument("fault", metavar="WHAT", nargs="?", choices=FAULTS, help=", ".join(FAULTS))
    action("bundle", "build the code-server archive, or wait for it; print where it is")
    built = action("builds", "build the practice cluster's programs, or wait for them; print where they are")
    built.add_argument(
        "build", metavar="NAME", nargs="*", help="these alone; by default all that a cluster is made of, 25 minutes"
    )


def run(args: argparse.Namespace, output: Output) -> int:
    return {
        "up": _up,
        "down": _down,
        "prepare": _prepare,
        "status": _status,
        "nodes": _nodes,
        "ssh": _ssh,
        "power-off": _switch,
        "power-on": _switch,
        "unplug": _switch,
        "plug": _switch,
        "break": _break,
        "mend": _mend,
        "bundle": _bundle,
        "builds": _builds,
    }[args.action](args, output)


def _agree(args: argparse.Namespace, output: Output, question: str) -> bool:
    return output.confirm(question, yes=args.yes, otherwise="answer beforehand: homewright lab up --yes")


def _up(args: argparse.Namespace, output: Output) -> int:
    from homewright import lab

    earlier = args.kubernetes != VERSIONS[0]
    if earlier and not args.cluster:
        raise UsageError(
            f"Kubernetes {args.kubernetes} is for practice servers with a cluster.",
            "Without one they have none.",
            [f"homewright lab up --cluster --kubernetes {args.kubernetes}"],
        )
    agree = partial(_agree, args, output)
    words = {"cluster": args.cluster, "nodes": args.nodes, "earlier": earlier}
    status = lab.up(args.servers, **words, say=output.progress, agree=agree)
    output.document(status)
    if not status.changed:
        output.line("Nothing changed: the practice servers are up.")
    for server in status.servers:
        output.line(f"{server.name}  {server.address}  user {server.user}")
    if status.mirror:
        output.line(f"mirror    {status.mirror}")
    output.line(f"site      {status.site_file}")
    output.line("password  homewright lab status --password")
    if args.cluster:
        return _form(output)
    output.line(f"next      {_NEXT}")
    return 0


def _form(output: Output) -> int:
    """Have the site's own commands make the cluster: what is there by now is proved and left alone."""
    from homewright import cli, lab

    with contextlib.redirect_stdout(sys.stderr) if output.json else contextlib.nullcontext():
        for words in (("trust", "--all", "--practice"), ("apply", "--yes", "--plain")):
            if code := cli.main(["--site", lab.SITE_NAME, *words]):
                return code
    return 0


def _down(args: argparse.Namespace, output: Output) -> int:
    from homewright import lab

    changed = lab.down(say=output.progress)
    output.document({"version": 1, "changed": changed})
    output.line("The practice servers are gone." if changed else "Nothing changed: there are no practice servers.")
    return 0


def _prepare(args: argparse.Namespace, output: Output) -> int:
    from homewright import lab

    lab.prepare(say=output.progress, agree=partial(_agree, args, output))
    output.document({"version": 1, "bundle": str(lab.bundle())})
    output.line("Everything that takes minutes is there: packages, image, code-server.")
    return 0


def _status(args: argparse.Namespace, output: Output) -> int:
    from homewright import lab

    status = lab.status()
    if args.password:
        name = status.servers[0].name if status.servers else ""
        password = lab.password(lab.SITE_NAME, name)
        if password is None:
            raise UsageError("There is no password.", "There are no practice servers.", ["homewright lab up"])
        Output(json=False).line(password)
        return 0
    output.document(status)
    output.line(f"practice servers: {status.state}" + (f" ({status.reason})" if status.reason else ""))
    for server in status.servers:
        words = f"power {server.power}, {server.cable}, ssh {server.ssh}"
        words += f", broken: {' '.join(server.broken)}" if server.broken else ""
        output.line(f"{server.name:<4} {server.address:<14} {words}")
    if status.simulated is not None:
        said = "the cluster does not answer" if status.simulated.ready is None else f"{status.simulated.ready} ready"
        output.line(f"simulated nodes: {status.simulated.wanted}, {said}; kwok {_PLAYS[status.simulated.kwok]}")
    return 0


def _nodes(args: argparse.Namespace, output: Output) -> int:
    from homewright import lab
    from homewright.cluster.simulated import MARK

    done = lab.nodes(args.count, say=output.progress)
    document = {"version": 1, "nodes": args.count, "added": list(done.added), "removed": list(done.removed)}
    output.document({**document, "changed": done.changed})
    unchanged = "" if done.changed else "Nothing changed: "
    if not args.count:
        output.line(f"{unchanged or 'Now '}the practice cluster has no simulated nodes.")
        return 0
    which = "1 simulated node is" if args.count == 1 else f"{args.count} simulated nodes are"
    output.line(f"{unchanged}{which} ready. Pods there are said to run, and nothing does.")
    output.line(f"A pod gets there only if it tolerates {MARK} (NoSchedule); a template says so under tolerations.")
    output.line("Take them away: homewright lab nodes 0")
    return 0


def _ssh(args: argparse.Namespace, output: Output) -> int:
    from homewright.lab.commands import ssh_command

    words = args.command[1:] if args.command[:1] == ["--"] else args.command
    command = ssh_command(args.name, words)
    if sys.stdin.isatty() and "IdentityFile=none" in command:
        output.progress("The password: homewright lab status --password")
    os.execvp(command[0], command)


def _switch(args: argparse.Namespace, output: Output) -> int:
    from homewright import lab

    act, done, already = {
        "power-off": (lab.power_off, "has no power", "had no power already"),
        "power-on": (lab.power_on, "has power", "had power already"),
        "unplug": (lab.unplug, "is unplugged", "was unplugged already"),
        "plug": (lab.plug, "is plugged in", "was plugged in already"),
    }[args.action]
    changed = act(args.name, say=output.progress)
    output.document({"version": 1, "server": args.name, "changed": changed})
    output.line(f"{args.name} {done}." if changed else f"Nothing changed: {args.name} {already}.")
    return 0


def _break(args: argparse.Namespace, output: Output) -> int:
    from homewright import lab
    from homewright.lab.breaking import WAYS

    changed = []
    for fault in dict.fromkeys(args.fault):
        fresh = lab.break_server(args.name, fault, say=output.progress)
        changed += [fault] if fresh else []
        output.line(f"{args.name} {'is broken' if fresh else 'was broken so already'}: {WAYS[fault].says}.")
    output.document({"version": 1, "server": args.name, "broken": changed, "changed": bool(changed)})
    output.line(f"Find it: {_NEXT} check")
    output.line(f"Undo it: homewright lab mend {args.name}")
    return 0


def _mend(args: argparse.Namespace, output: Output) -> int:
    from homewright import lab

    mended = lab.mend_server(args.name, args.fault, say=output.progress)
    output.document({"version": 1, "server": args.name, "mended": list(mended), "changed": bool(mended)})
    if mended:
        output.line(f"{args.name} is mended: {', '.join(mended)}.")
    else:
        output.line(f"Nothing changed: {args.name} was not broken{f' by {args.fault}' if args.fault else ''}.")
    return 0


def _bundle(args: argparse.Namespace, output: Output) -> int:
    from homewright.lab import code_server

    path = code_server.ensure(output.progress)
    output.document({"version": 1, "bundle": str(path), "code_server": code_server.VERSION})
    output.line(str(path))
    return 0


def _builds(args: argparse.Namespace, output: Output) -> int:
    from homewright import lab

    programs = lab.builds(args.build, say=output.progress)
    output.document({"version": 1, "programs": {name: str(path) for name, path in programs.items()}})
    for name, path in programs.items():
        output.line(f"{name:<24} {path}")
    return 0

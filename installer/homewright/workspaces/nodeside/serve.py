"""One request, one answer: JSON in, JSON out, errors included."""

from __future__ import annotations

import errno
import json
import os
import pwd
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from homewright.workspaces.nodeside import bundles, look, records, steps
from homewright.workspaces.nodeside.records import Record, Refused

Answer = dict[str, Any]


def claim(request: Answer) -> Answer:
    record, new = records.claim(request, look.Sockets.now().listening)
    own = steps.own_folder(record) / "config"
    return {
        "record": asdict(record),
        "new": new,
        "architecture": os.uname().machine,
        "bundles": bundles.installed(),
        "mounted": look.mounted(),
        "free_bundles": look.free(str(bundles.ROOT)),
        "free_data": look.free(record.data_root),
        "files": sorted(file.name for file in own.iterdir()) if own.is_dir() else [],
    }


def prepare_bundle(request: Answer) -> Answer:
    bundles.prepare()
    return {"path": str(bundles.incoming(request["sha256"]))}


def install_bundle(request: Answer) -> Answer:
    with records.locked("bundle"):
        return {"folder": bundles.install(request["version"], request["sha256"])}


def provision(request: Answer) -> Answer:
    with records.locked(request["slug"]):
        record = _current(request)
        updated = replace(
            record,
            preset=request["preset"],
            bundle=request["bundle"],
            certificate_expires_at=request["certificate_expires_at"],
            certificate_names=tuple(request["certificate_names"]),
            settings=request["settings"],
        )
        job = steps.Job(
            updated, request["data_group"], tuple(request["mounts"]), request["files"], request["unit_text"]
        )
        notes = steps.provision(job)
        return {"record": asdict(_save(updated, request)), "notes": notes}


def start(request: Answer) -> Answer:
    with records.locked(request["slug"]):
        record = _current(request)
        taken = look.Sockets.now().listening.get(record.port)
        if taken is not None and taken[0] != pwd.getpwnam(record.system_user).pw_uid:
            who = look.owner_of(taken[1]) or f"a process of user {taken[0]}"
            raise Refused(
                "instance-failed",
                f"Port {record.port} of the workspace is taken by {who}.",
                "",
                (f"end that process on the node: sudo ss -ltnp 'sport = :{record.port}'", "then start it again"),
            )
        steps.start(record)
        return {"record": asdict(_save(record, request))}


def finish(request: Answer) -> Answer:
    with records.locked(request["slug"]):
        record = _current(request)
        return {"record": asdict(records.save(replace(record, complete=True)))}


def stop(request: Answer) -> Answer:
    with records.locked(request["slug"]):
        record = _current(request)
        steps.stop(record)
        return {"record": asdict(_save(record, request))}


def delete(request: Answer) -> Answer:
    with records.locked(request["slug"]):
        record = _current(request, deleting=True)
        wanted = "move" if request["with_storage"] or record.deleting == "move" else "keep"
        record = _save(replace(record, deleting=wanted), request)
        kept = steps.delete(record, wanted == "move", time.time())
        records.remove(record.slug)
        records.unlock_for_ever(record.slug)
    return {"storage": kept, "moved": wanted == "move"}


def prove(request: Answer) -> Answer:
    """What is wrong with the walls of a running workspace; empty when nothing is."""
    record = _current(request)
    unit = look.units([record.unit]).get(record.unit, {})
    process = int(unit.get("MainPID", "0"))
    if not process:
        raise Refused("instance-failed", f"{record.unit} does not run.", "", ("homewright workspace start …",))
    account = pwd.getpwnam(record.system_user)
    status = _status(process)
    found = _confinement(status, account.pw_uid)
    done = subprocess.run(
        ["nsenter", f"--target={process}", "--mount", "--", "setpriv", f"--reuid={account.pw_uid}",
         f"--regid={account.pw_gid}", groups_option(status), "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all",
         "python3", "-I", "-c", request["inside"], record.data_root, record.slug, *request["mounts"]],
        capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    if done.returncode != 0:
        found.append(f"what it sees could not be looked at: {done.stderr.strip()[-300:]}")
    else:
        found += json.loads(done.stdout)
    return {"problems": found}


def _status(process: int) -> dict[str, str]:
    lines = Path("/proc", str(process), "status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def groups_option(status: dict[str, str]) -> str:
    """setpriv's option for the very groups that a process has: its unit gives it more than its account has."""
    groups = status["Groups"].split()
    return f"--groups={','.join(groups)}" if groups else "--clear-groups"


def _confinement(status: dict[str, str], uid: int) -> list[str]:
    found = []
    if set(status["Uid"].split()) != {str(uid)}:
        found.append(f"it runs as uid {status['Uid'].split()[0]}")
    if status["NoNewPrivs"] != "1":
        found.append("it may gain new privileges")
    names = ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")
    found += [f"it holds capabilities ({name} {status[name]})" for name in names if int(status[name], 16)]
    if status["Seccomp"] != "2":
        found.append("its system calls are not filtered")
    return found


def _current(request: Answer, deleting: bool = False) -> Record:
    record = records.require(request["slug"], request["key"], request.get("uid"))
    generation = request.get("generation")
    if generation is not None and record.generation != generation:
        raise Refused(
            "changed-meanwhile",
            f"{record.user}/{record.name} was changed by {record.history[-1][1] if record.history else 'somebody'}.",
            "That was after this action began.",
            ("look again, then repeat",),
        )
    if record.deleting and not deleting:
        raise Refused(
            "changed-meanwhile",
            f"{record.user}/{record.name} is being deleted.",
            "",
            ("delete it again to finish that",),
        )
    return record


def _save(record: Record, request: Answer) -> Record:
    return records.save(record.said(time.time(), request["who"], request["action"]))


ACTIONS: dict[str, Callable[[Answer], Answer]] = {
    "look": look.look,
    "claim": claim,
    "prepare-bundle": prepare_bundle,
    "install-bundle": install_bundle,
    "provision": provision,
    "start": start,
    "finish": finish,
    "stop": stop,
    "delete": delete,
    "prove": prove,
}


def serve(request: Answer) -> str:
    """The answer to a request, as one line of JSON: `{"ok": …}` or `{"error": …}`."""
    os.umask(0o022)
    try:
        return json.dumps({"ok": ACTIONS[request["action"]](request)})
    except Refused as refused:
        return json.dumps({"error": refused.answer})
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        answer = {
            "code": "storage-failed",
            "what": "The disk of the node is full." if full else f"The node refuses to {request['action']}.",
            "why": f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.",
            "do": ["free some space there, then try again" if full else "mend that on the node, then try again"],
        }
        return json.dumps({"error": answer})

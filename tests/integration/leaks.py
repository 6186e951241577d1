"""Whether a secret stands where it must not: in a process, or in a file here or on a practice server."""

from __future__ import annotations

from pathlib import Path

from integration.sampling import ProcessSampler, forms
from practice_lab import Lab

HOLDERS = ("secrets.json", "id_ed25519", "ca.key", "lab.json")
"""Files whose job is to hold secrets; all of them must be 0600."""
SERVER_FOLDERS = "/etc/homewright /var/log /var/lib/homewright /tmp /var/tmp /home /srv /root"


def key_lines(pem: str) -> list[str]:
    """The lines of a private key that are the key's own (the first is the same for all keys of its kind)."""
    return [line for line in pem.splitlines() if line and not line.startswith("-----")][1:-1]


def assert_nowhere(lab: Lab, sampler: ProcessSampler, *passwords: str) -> None:
    """None of these passwords, the practice servers' own and the site's keys is in what was seen, kept or logged."""
    state: Path = lab.state.root
    secrets = [lab.password, *passwords]
    for name in ("id_ed25519", "ca/ca.key"):
        lines = key_lines((state / name).read_text())
        assert lines, name
        secrets += lines
    needles = [form for secret in secrets for form in forms(secret)]

    assert sampler.rounds > 20
    in_processes = [content for content in sampler.seen.copy() if any(needle in content for needle in needles)]
    assert in_processes == []

    for root in lab.folders:
        for file in root.rglob("*"):
            if not file.is_file() or file.is_symlink() or "lxd" in file.relative_to(root).parts:
                continue
            if file.name in HOLDERS:
                assert file.stat().st_mode & 0o777 == 0o600, file
                continue
            content = file.read_bytes()
            assert not [needle for needle in needles if needle in content], file

    for server in lab.servers:
        look = f"grep -rlF -f $n {SERVER_FOLDERS} 2>/dev/null; journalctl --no-pager -q | grep -cF -f $n || true"
        patterns = b"\n".join(needles) + b"\n"
        found = lab.on(server, f"n=/run/needles; umask 077; cat > $n; ({look}); rm $n", patterns)
        assert found.split() == ["0"], (server, found)

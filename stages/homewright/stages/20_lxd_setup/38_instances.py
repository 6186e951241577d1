"""Seen from here: each instance of this server runs as planned, and lets us in by its own key, with one way out."""

from concurrent.futures import ThreadPoolExecutor

from homewright.access import known_hosts
from homewright.access.connection import KeyRefused
from homewright.engine.runners.host import Host, Proof, broken, cannot_tell, proved
from homewright.engine.states import Verdict
from homewright.errors import HostKeyError, Unreachable
from homewright.lxd.client import Lxd, LxdAway, LxdError
from homewright.planning.hosts import SSH_PORT
from homewright.stages import environment_file
from homewright.stages.lxd import cluster, instances, removing, texts
from homewright.stages.lxd.standing import owner_of
from homewright.stages.lxd.texts import Planned

LOOK = f"""
hostname
{texts.ADDRESSES}
ip -4 route show default | wc -l
PATH=$PATH:/usr/sbin; for program in python3 sudo sshd; do command -v $program; done | wc -l
sudo -n id -u 2>/dev/null || echo
cat {environment_file.FILE}
"""


def verify(host: Host) -> Proof:
    mine = [one for one in instances.all_planned(host) if one.node.host == host.name]
    try:
        with cluster.connected(host) as lxd, ThreadPoolExecutor(max(1, len(mine))) as pool:
            owner = owner_of(host.site, cluster.identity(host))
            if left := removing.not_gone(lxd, host.site.instances.gone, owner):
                return broken(f"{', '.join(left)} {'is' if len(left) == 1 else 'are'} still there.")
            proofs = list(pool.map(lambda one: _instance(lxd, host, one), mine))
    except LxdAway as error:
        return cannot_tell(f"{error.what} {error.why}")
    except LxdError as error:
        return broken(f"{error.what} {error.why}")
    bad = [proof for proof in proofs if proof.verdict is not Verdict.PROVED]
    worst = [proof for proof in bad if proof.verdict is Verdict.BROKEN] or bad
    if not mine:
        return proved(f"No instance is planned on {host.name}.", idle=True)
    return worst[0] if worst else proved(" ".join(proof.reason for proof in proofs))


def _instance(lxd: Lxd, host: Host, one: Planned) -> Proof:
    name, owner = one.node.name, owner_of(host.site, cluster.identity(host))
    found = lxd.find(f"instances/{name}")
    if found is None:
        return broken(f"There is no instance {name}.")
    if not instances.is_ours(found, owner):
        return broken(f"The instance {name} is not ours.")
    if found["config"].get(texts.READY) != "true":
        return broken(f"{name} was never finished.")
    if said := texts.difference(found, one, owner):
        return broken(f"{name} is not as planned: {said[0]}.")
    if found["status"] != "Running":
        return broken(f"{name} is {found['status']}.")
    keys = set(instances.host_keys(lxd, name))
    if not keys or set(known_hosts.lookup(host.known_hosts, one.address, SSH_PORT)) != keys:
        return broken(f"The host keys of {name} are not the ones on record.")
    try:
        with host.into(instances.endpoint(host, one)) as connection:
            told = connection.run(LOOK, check=False, timeout=30).stdout.split("\n", 5)
    except (HostKeyError, KeyRefused) as error:
        return broken(f"{error.what} {error.why}")
    except Unreachable as error:
        # It runs, and who boots will answer; who does not after a while is told as it is.
        return cannot_tell(f"{error.what} {error.why}")
    told += [""] * (6 - len(told))
    wanted = texts.addresses(one)
    if told[0] != name:
        return broken(f"{name} is called {told[0]}.")
    if told[1].strip() != wanted:
        return broken(f"{name} has {told[1].strip() or 'no address'}, not {wanted} alone.")
    if told[2].strip() != "1":
        return broken(f"{name} has {told[2].strip()} default routes.")
    if told[3].strip() != "3" or told[4].strip() != "0":
        return broken(f"{name} lacks Python, sudo or sshd, or does not let {one.user} use sudo.")
    if told[5] != texts.environment_text(host.site, one, instances.GROUPS):
        return broken(f"{environment_file.FILE} of {name} is not what the site says.")
    return proved(f"{name} runs on {host.name} and lets us in at {one.address}.")

"""What nodes need that are containers on this machine: the practice site's answers about its cluster, and nothing more.

The kernel gives their trees of cgroup2 no controllers, so containers have none and limits are accounted, not enforced.
No stage knows of this; a site with other machines has other answers.
"""

from __future__ import annotations

from homewright.site.cluster import ClusterSettings, ContainerRuntime, Overrides

RUNTIME = """\
#!/bin/sh
# Debian 12's crun knows version 1.0 of the runtime specification, and containerd 2 writes a later one.
# The control groups of this machine give containers no controllers. A keyring for each would soon be too many: all
# practice servers' containers are one user's here, who may have 200 keys.
previous=
for word; do
  if [ "$previous" = --bundle ]; then
    sed -i '1s/"ociVersion":"[^"]*"/"ociVersion":"1.0.2"/' "$word/config.json"
  fi
  previous=$word
  shift
  set -- "$@" "$word"
  if [ "$word" = create ]; then
    set -- "$@" --no-new-keyring
  fi
done
exec /usr/bin/crun --cgroup-manager=disabled "$@"
"""


def answers() -> ClusterSettings:
    """The practice site's `cluster`."""
    return ClusterSettings(
        # Without the memory controller kubelets measure nothing, and metrics-server leaves such nodes out.
        metrics=False,
        runtime=ContainerRuntime(package="crun", script=RUNTIME),
        overrides=Overrides(
            kubelet={
                "cgroupDriver": "cgroupfs",
                "cgroupsPerQOS": False,
                # Not an empty list: kubeadm leaves that out of what it writes.
                "enforceNodeAllocatable": ["none"],
                "featureGates": {"KubeletInUserNamespace": True},
                "failSwapOn": False,
                # Their disk is this machine's, mostly full of other things: shares of it say nothing about theirs.
                "evictionHard": {"nodefs.available": "1Gi", "imagefs.available": "1Gi", "memory.available": "100Mi"},
                "imageGCHighThresholdPercent": 100,
                "imageGCLowThresholdPercent": 99,
            },
            kube_proxy={"mode": "nftables", "conntrack": {"maxPerCore": 0}},
            # The servers' disks are one disk here, with everybody's fsync on it; a lab is made again in a minute.
            etcd={"unsafe-no-fsync": "true"},
            containerd={"restrict_oom_score_adj": True, "disable_apparmor": True, "disable_cgroup": True},
            preflight=("all",),
        ),
    )

#!/bin/sh
# A cluster by kubeadm over plain SSH, as a careful person writes it: nothing proved, nothing recorded.
#
# cluster.sh FOLDER FIRST OTHER...   FOLDER is what benchmarks/cluster.py lays out; its ssh_config knows the nodes.
set -eu
cd "$1"
shift
nodes=$*
first=$1
shift
others=$*

part() { echo "part $(date +%s.%N) $*"; }
on() {
    name=$1
    shift
    ssh -F ssh_config "$name" sudo -n "$@"
}
# A function for each of some nodes, side by side; fails where one has failed.
each() {
    function=$1
    shift
    started=
    for name; do
        "$function" "$name" &
        started="$started $!"
    done
    failed=0
    for pid in $started; do
        wait "$pid" || failed=1
    done
    return $failed
}
kubectl() { on "$first" kubectl --kubeconfig /etc/kubernetes/admin.conf "$@"; }

prepare() {
    on "$1" tar -x -C / <files.tar
    on "$1" sh -s <prepare.sh
}
# `kubeadm init` or `kubeadm join` with a configuration from standard input: a token is in it, so it is in memory,
# nobody else's to read, and gone as soon as it was read.
kubeadm() {
    on "$1" sh -c "'umask 077; cat >/run/kubeadm.json; kubeadm $2 --config /run/kubeadm.json; ended=\$?
        rm /run/kubeadm.json; exit \$ended'" >"$1.log" 2>&1 || { tail -n 5 "$1.log" >&2; return 1; }
}
join() { sed "s/@HASH@/$hash/" "join-$1.json" | kubeadm "$1" join; }
registered() { kubectl wait --for=create "node/$1" --timeout=120s >/dev/null; }

part nodes
each prepare $nodes
part kubeadm init
kubeadm "$first" "init --skip-token-print" <init.json
hash=sha256:$(on "$first" cat /etc/kubernetes/pki/ca.crt | openssl x509 -noout -pubkey |
    openssl pkey -pubin -outform DER | sha256sum | cut -d' ' -f1)
# The network first, as the manual says: nodes that join have it at once.
part flannel
kubectl apply -f - <flannel.json >/dev/null
part kubeadm join
each join $others
part labels
each registered $nodes
while read -r name labels; do
    kubectl label --overwrite node "$name" $labels >/dev/null </dev/null
done <labels
part ready
kubectl wait --for=condition=Ready node --all --timeout=300s >/dev/null
kubectl -n kube-flannel rollout status daemonset/kube-flannel-ds --timeout=300s >/dev/null
part end

"""A control plane's programs, for tests in which a folder is the server's root: each keeps and reads files there."""

from homewright.stages.cluster.restoring import STOPPED_S

CTR = """#!/bin/sh
shift 4
case "$1 $2" in
"images mount")
    [ "$3" = mirror.lan/etcd:3.6 ] || exit 7
    mkdir -p $4/usr/local/bin && cp {root}/etcdutl $4/usr/local/bin/ ;;
"images unmount") [ ! -d $4 ] || /usr/bin/rm -r $4/usr ;;
"tasks list") echo TASK PID STATUS; [ ! -e {root}/runs ] || sed 's/$/ 1 RUNNING/' {root}/runs ;;
"containers list")
    name=${4#*==}; name=${name%%,*}
    echo $name; [ $name != etcd ] || echo etcd-of-before ;;
"tasks kill")
    [ ! -e {root}/hangs ] || exit 0
    grep -vx "$5" {root}/runs >{root}/left; cat {root}/left >{root}/runs ;;
esac
"""
ETCDUTL = """#!/bin/sh
[ "$1 $2 $4 $5" != "snapshot status -w json" ] || { echo '{"revision":'$(cat {root}/revision)',"totalKey":12}'; exit; }
[ "$1 $2 $4" = "snapshot restore --data-dir" ] || exit 7
[ ! -e "$5" ] || exit 8
mkdir -p $5/member && cp $3 $5/member/db && shift 5 && echo "$*" >$0.asked
cp $0.asked {root}/asked
"""
SYSTEMCTL = """#!/bin/sh
case "$1" in
is-active) [ -e {root}/kubelet ] && echo active || { echo inactive; exit 3; } ;;
stop) /usr/bin/rm -f {root}/kubelet ;;
start|restart)
    echo $1 >>{root}/kubelets
    touch {root}/kubelet; printf 'kube-apiserver\\nkube-controller-manager\\nkube-scheduler\\n' >{root}/runs
    if [ -e {root}/etc/kubernetes/manifests/etcd.yaml ]; then
        echo etcd >>{root}/runs
        # As etcd does where it finds nothing.
        data={root}/var/lib/etcd/member
        [ -e $data ] || { mkdir -p $data; echo empty >$data/db; }
    fi ;;
esac
"""
LATER = f"""#!/bin/sh
# Each time a while has gone by.
echo x >>{{root}}/asked-the-time
echo $(($(wc -l <{{root}}/asked-the-time) * {STOPPED_S}))
"""
COUNTED = """#!/bin/sh
# The power fails before the one whose number is in `cut`.
count=$(($(cat {root}/count 2>/dev/null || echo 0) + 1))
echo $count >{root}/count
[ $count != "$(cat {root}/cut 2>/dev/null)" ] || exit 9
"""
MOVED = """case "$*" in
*"member"|*"member "*) [ ! -e {root}/kubelet ] && ! grep -qx etcd {root}/runs || touch {root}/moved-under-etcd ;;
esac
exec /usr/bin/mv "$@"
"""

# The half that tells more to root. Without sudo it runs all the same, as the account that signed in.
# the newest Xid lines and the first lines on the IOMMU: a log of megabytes stays where it is
begin kernel-log
logged=$(ready dmesg && exec dmesg </dev/null)
code=$?
case $logged in
*'NVRM: Xid'* | *'fallen off the bus'*)
    printf '%s\n' "$logged" | grep -aE 'NVRM: Xid|fallen off the bus' | tail -n 20 | cut -c1-300
    ;;
esac
end "$code"
if [ "$code" = 0 ]; then
    begin kernel-log-iommu
    case $logged in
    *DMAR* | *AMD-Vi* | *IOMMU*) printf '%s\n' "$logged" | grep -m 20 -aE 'DMAR|AMD-Vi|IOMMU' | cut -c1-300 ;;
    esac
    end 0
fi
logged=

captured ss ss -Hlntup
if ! have ss; then
    begin proc-net
    for f in tcp tcp6 udp udp6; do
        # 0A: it listens; 07: an unconnected datagram socket
        [ -r "/proc/net/$f" ] && while read -r n local remote state rest; do
            case $f:$state in tcp*:0A | udp*:07) printf '%s %s\n' "$f" "$local" ;; esac
        done <"/proc/net/$f"
    done
    end 0
fi

begin firewall
# a tool would load the kernel's modules for the question: only what is loaded is asked
loaded() {
    [ -e "/sys/module/$1" ] || [ ! -e /proc/modules ] || grep -qs "/$1.ko" /lib/modules/"$release"/modules.builtin
}
code=127
nft= legacy=
loaded nf_tables && nft=1
loaded ip_tables && legacy=1
if [ -n "$nft" ] && have nft; then
    run nft list chains
    code=$?
fi
if [ -n "$nft$legacy" ] && have iptables; then
    run iptables -S FORWARD
    code=$?
fi
if [ -z "$nft$legacy" ]; then
    echo 'no packet filter is loaded'
    code=0
fi
end "$code"

begin netplan
# names of networks are keys like any other: all that stands deeper than `access-points:` goes first
without_networks() {
    deep=-1
    while IFS= read -r line || [ -n "$line" ]; do
        rest=${line#"${line%%[! ]*}"}
        case $rest in '' | '#'*) continue ;; esac
        indent=$((${#line} - ${#rest}))
        [ "$deep" -ge 0 ] && [ "$indent" -gt "$deep" ] && continue
        deep=-1
        case $rest in *access-points*) deep=$indent; continue ;; esac
        printf '%s\n' "$line"
    done
}
# known keys and plain values alone: Wi-Fi passwords, keys and names of networks are not among them. One sed for all
# files; their own comments are gone by then, so that what begins with # is the name of one
set --
for f in /etc/netplan/*.yaml /run/netplan/*.yaml /usr/lib/netplan/*.yaml; do [ -e "$f" ] && set -- "$@" "$f"; done
code=127
if [ $# -gt 0 ]; then
    code=0
    for f; do
        printf '# %s\n' "${f##*/}"
        without_networks <"$f"
    done | sed -nE -e '/^# /p' \
        -e '/^ *(network|ethernets|wifis|bridges|bonds|vlans|match|parameters|nameservers|routes|addresses|interfaces|search|dhcp4-overrides|[a-z][a-z0-9]{1,14}):[[:space:]]*$/p' \
        -e '/^ *(- )? *(version|renderer|dhcp4|dhcp6|gateway4|to|via|macaddress|set-name|mtu|id|link|addresses|interfaces):[][A-Za-z0-9_.:,"/ *-]*$/p' \
        -e '/^ *- *"?[0-9a-fA-F]+[.:][0-9a-fA-F.:\/]+"?[[:space:]]*$/p' \
        -e '/^ *- *[a-z][a-z0-9.]{1,14}[[:space:]]*$/p' || code=1
    for f; do [ -r "$f" ] || { printf '%s: Permission denied\n' "$f" >&2; code=1; }; done
fi
end "$code"

if [ ! -r /sys/class/dmi/id/chassis_type ] && have dmidecode && have grep; then
    begin dmidecode
    run dmidecode -q -t system -t chassis | grep -E '^[[:space:]]+(Manufacturer|Product Name|Type):'
    end $?
fi

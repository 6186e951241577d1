# The whole: first what costs little, then what may hang or costs more, in the order of how much it tells.
read -r started rest </proc/uptime
deadline=
[ -n "$started" ] && deadline=$((${started%%.*} + SECONDS_IN_ALL))
limit=
# BusyBox had another syntax once: a link is asked
if [ -f /usr/bin/timeout ] && [ ! -L /usr/bin/timeout ] || timeout 5 true >/dev/null 2>&1; then limit='timeout 5'; fi
# as `uname -a` prints it; the kernel names its architecture since 6.1
read -r release </proc/sys/kernel/osrelease
kernel=
if [ -e /proc/sys/kernel/arch ]; then
    for f in ostype hostname osrelease version arch; do
        read -r line <"/proc/sys/kernel/$f"
        kernel="$kernel$line "
    done
    kernel="${kernel}GNU/Linux"
else
    kernel=$(uname -a)
fi
uid=
while read -r key real effective rest; do
    case $key in Uid:) uid=$effective; break ;; esac
done </proc/self/status
uid=${uid:-$(id -u)}
account=${LOGNAME:-$(id -un)}
exec 5>&1
# in one piece, the errors too: each piece is a packet for two programs to encrypt and to read
errors=$({
quick=$(eval "$QUICK_PART")
printf '\n%s\n' "$quick"

source_of df bounded df -l -PT -B1
if [ "$code" != 0 ]; then source_of df-k bounded df -P -k; fi
source_of lsblk-json bounded lsblk -J -b -o NAME,TYPE,SIZE,ROTA,MODEL,MOUNTPOINT
if ! have lsblk; then
    begin sys-block
    for d in /sys/block/*; do
        [ -e "$d/device" ] || continue
        first "$d/size"
        size=$line
        first "$d/queue/rotational"
        rotational=$line
        first "$d/device/model"
        printf '%s|%s|%s|%s\n' "${d##*/}" "$size" "$rotational" "$line"
    done
    end 0
fi

# the names of functions are wanted where there is a GPU: the database of names is large
for f in /sys/bus/pci/devices/*/class; do
    first "$f"
    case $line in 0x03*) source_of lspci-Dnnk bounded lspci -Dnnk; break ;; esac
done
begin sudo
if [ "$uid" = 0 ]; then
    end 0
    eval "$ROOT_PART"
elif have sudo; then
    # by its standard input: sudo writes every word of its command line into the host's log
    printf '%s\n' "deadline=$deadline limit='$limit' release=$release; printf '\n\036exit 0\n'
$COMMON_PART
$ROOT_PART
flush
exit 0" 2>/dev/null | sudo -n -- sh -s -- homewright discover
    code=$?
    # 1 is sudo's own: the part for root cannot end so
    if [ "$code" != 0 ]; then end "$code"; fi
    if [ "$code" = 1 ]; then eval "$ROOT_PART"; fi
else
    end 127
    eval "$ROOT_PART"
fi

if [ ! -d /sys/fs/cgroup/system.slice ] && [ ! -d /sys/fs/cgroup/systemd/system.slice ]; then
    source_of services bounded systemctl list-units --type=service --state=running --no-legend --plain --no-pager --full
fi
begin timedatectl
# it starts a service of its own for the answer; where nothing keeps the time there is none to ask for
kept=1
for d in /sys/fs/cgroup/system.slice /sys/fs/cgroup/systemd/system.slice; do
    [ -d "$d/dbus.service" ] || continue
    kept=
    for f in chrony chronyd ntp ntpd ntpsec openntpd vmtoolsd open-vm-tools; do
        [ -d "$d/$f.service" ] && kept=1
    done
    # timesyncd touches a file at each answer of its server (systemd-timesyncd.service(8), since 239): without that file
    # the clock was not set since the start
    if [ -d "$d/systemd-timesyncd.service" ]; then
        if [ ! -d /run/systemd/timesync ] || [ -e /run/systemd/timesync/synchronized ]; then kept=1; fi
    fi
done
if [ -n "$kept" ] || [ ! -r /etc/timezone ]; then
    bounded timedatectl show || bounded timedatectl
else
    first /etc/timezone
    printf 'Timezone=%s\nNTPSynchronized=no\n' "$line"
fi
end $?
[ -e /run/systemd/timesync/synchronized ] && there timesyncd-synchronized /run/systemd/timesync/synchronized
if have snap; then
    source_of snap-version bounded snap version
    source_of snap-list bounded snap list
    source_of snap-refresh-time bounded snap refresh --time
fi
if have zerotier-one; then source_of zerotier bounded zerotier-one -v; fi

# ask KIND NAME: one line KIND|NAME|exit code|addresses, written at once: several run side by side
ask() {
    answer=$($limit getent ahostsv4 $2 2>/dev/null)
    code=$?
    found=
    for word in $answer; do
        case $word in
        *[!0-9.]*) ;;
        *.*.*.*) case ",$found," in *",$word,"*) ;; *) found="$found,$word" ;; esac ;;
        esac
    done
    printf '%s|%s|%s|%s\n' "$1" "$2" "$code" "${found#,}"
}
# together NAME...: one process for all. Answers come in turn, each begins with the canonical name, and names without an
# answer are passed over: sound where all have one, or where the canonical names tell which have
together() {
    answer=$($limit getent ahostsv4 "$@" 2>/dev/null)
    all=$?
    [ "$all" = 0 ] || [ "$all" = 2 ] || return 1
    found=
    while read -r address kind canonical; do
        if [ -n "$canonical" ]; then
            while [ "$all" = 2 ] && [ $# -gt 0 ]; do
                case $canonical in "$1" | "$1".*) break ;; esac
                found="$found name|$1|2|"
                shift
            done
            [ $# -gt 0 ] || return 1
            found="$found name|$1|0|$address"
            shift
        elif [ -n "$address" ]; then
            case "${found##*|}," in *"$address,"*) ;; *) found="$found,$address" ;; esac
        fi
    done <<ANSWERS
$answer
ANSWERS
    [ "$all" = 2 ] || [ $# = 0 ] || return 1
    for line in $found; do printf '%s\n' "$line"; done
    for name; do printf 'name|%s|2|\n' "$name"; done
}
begin getent
line_end='
'
# names that /etc/hosts has cost nothing. Of many others two are asked for first: where nobody answers for these, the rest
# would only flood the network, for every server asks, and all at once
known=' '
if [ -n "$NAMES" ] && [ -r /etc/hosts ]; then
    while read -r address rest; do
        case $address in '#'* | *:* | '') continue ;; esac
        for name in ${rest%%#*}; do
            case " $NAMES " in
            *" $name "*)
                printf 'name|%s|0|%s\n' "$name" "$address"
                known="$known$name "
                ;;
            esac
        done
    done <<HOSTS
$(lines /etc/hosts)
HOSTS
fi
left= more=
count=0
for name in $NAMES; do
    case $known in *" $name "*) continue ;; esac
    count=$((count + 1))
    if [ "$count" -le 2 ]; then left="$left $name"; else more="$more $name"; fi
done
if [ "$count" -le 8 ]; then left="$left$more" more=; fi
each() { [ $# = 0 ] || together "$@" || for name; do ask name "$name" & done; }
if have getent; then
    set -f
    # a lost packet costs a second, not five
    export RES_OPTIONS='timeout:1 attempts:2'
    # one process for all: names that nobody can have, too
    none=homewright-no-such-name
    answers=$(each www.debian.org $left $none $none.example.com; wait)
    told= anything= code=0
    for line in $answers; do
        case $line in
        "name|$none|"* | "name|$none.example.com|"*)
            line=${line#*|*|}
            case ${line%%|*}:$code in 0:*) ;; 2:0 | [!2]*) code=${line%%|*} ;; esac
            case ${line#*|} in '') ;; *) anything="$anything,${line#*|}" ;; esac
            ;;
        *) told="$told$line$line_end" ;;
        esac
    done
    printf 'wildcard|%s %s.example.com|%s|%s\n%s' $none $none "$code" "${anything#,}" "$told"
    for line in $answers; do
        case $line in
        'name|www.debian.org|'* | "name|$none"*) ;;
        *'|0|'?*)
            each $more
            more=
            ;;
        esac
    done
    wait
    set +f
    end 0
else
    end 127
fi

if have nvidia-smi; then
    limit=${limit:+timeout 8}
    source_of nvidia-smi-query bounded nvidia-smi --format=csv,noheader,nounits \
        --query-gpu=pci.bus_id,name,memory.total,driver_version,compute_cap,mig.mode.current,display_active
    # older drivers do not know every field
    if [ "$code" != 0 ]; then
        source_of nvidia-smi-csv bounded nvidia-smi --format=csv,noheader,nounits \
            --query-gpu=pci.bus_id,name,memory.total,driver_version
    fi
    # the processes' names are their users' own
    table() { sed -E '/Processes:/,$ s/^(\|.* (C|G|C\+G|M\+C) +)[^ ].*$/\1/'; }
    filtered nvidia-smi table bounded nvidia-smi
fi
begin clock-end
date +%s.%N
end 0
begin done
end 0
flush
} 2>&1 >&5)
printf '%s\n' "$errors" >&2

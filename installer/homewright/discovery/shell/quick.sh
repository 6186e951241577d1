# What costs little and cannot hang: files, and tools that ask the kernel alone. It is printed in one piece.
line_end='
'
begin clock-start
date +%s.%N
end $?
begin uptime
printf '%s\n' "$started"
end 0

begin os-release
if [ -r /etc/os-release ]; then lines /etc/os-release; else lines /usr/lib/os-release; fi
end $?
begin uname-a
printf '%s\n' "$kernel"
end 0
begin id-u
printf '%s\n' "$uid"
end 0
begin account
printf '%s|%s\n' "$account" "$HOME"
end 0
line_of machine-id /etc/machine-id
show boot-id /proc/sys/kernel/random/boot_id

begin cmdline
set -f
first /proc/cmdline
for word in $line; do
    case $word in
    *[Pp][Aa][Ss][Ss]*=* | *[Ss][Ee][Cc][Rr][Ee][Tt]*=* | *[Tt][Oo][Kk][Ee][Nn]*=* | *[Kk][Ee][Yy]=* | *://*@*) word=${word%%=*}=*** ;;
    esac
    printf '%s ' "$word"
done
set +f
end 0

if [ -r /run/systemd/container ]; then
    line_of systemd-detect-virt /run/systemd/container
else
    source_of systemd-detect-virt run systemd-detect-virt
fi
there systemd /run/systemd/system
there kvm /dev/kvm
there vhost-vsock /dev/vhost-vsock

begin dmi
first /sys/class/dmi/id/sys_vendor
printf '%s\n' "$line"
first /sys/class/dmi/id/product_name
printf '%s\n' "$line"
first /sys/class/dmi/id/board_vendor
printf '%s\n' "$line"
first /sys/class/dmi/id/board_name
printf '%s\n' "$line"
end 0
line_of chassis /sys/class/dmi/id/chassis_type

begin secure-boot
if [ ! -d /sys/firmware ]; then
    echo '/sys/firmware: No such file or directory' >&2
    end 1
elif [ ! -d /sys/firmware/efi ]; then
    echo bios
    end 0
elif [ -d /sys/firmware/efi/efivars ]; then
    od -An -tu1 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
    end $?
else
    echo 'the variables of the firmware are not mounted' >&2
    end 1
fi

# One program for all of these files: each costs a millisecond to start, and in a container lxcfs answers a shell, which
# reads byte by byte, with a request for each byte. The flags of the first processor do for all: 256 times they are half
# a megabyte. Numbers alone are the limits, in the order of their files.
set --
for f in fs/inotify/max_user_instances fs/inotify/max_user_watches fs/aio-nr fs/aio-max-nr net/ipv4/ip_forward; do
    [ -r "/proc/sys/$f" ] && set -- "$@" "/proc/sys/$f"
done
read_at_once=$(sed -n -e '/^[Ss]erial/d' -e '1,/^ *$/{p;d;}' -e '/^processor/p' -e '/^physical id/p' \
    -e '/^core id/p' -e '/^ *$/p' -e '/^Cpus_allowed_list/p' -e '/^[0-9][0-9]*$/p' -e '/^Filename/,$p' \
    /proc/cpuinfo /proc/self/status "$@" /proc/swaps /proc/meminfo 2>/dev/null) || read_at_once=
case $read_at_once in
*"${line_end}Cpus_allowed_list:"*"${line_end}Filename"*"${line_end}MemTotal:"*)
    begin cpuinfo
    printf '%s\n' "${read_at_once%%Cpus_allowed_list:*}"
    end 0
    found=
    set -f
    IFS=$line_end
    for line in $read_at_once; do
        case $found:$line in
        :Cpus_allowed_list:*)
            found=limits
            # 0-3,8 are five
            begin nproc
            count=0
            ranges=${line##*[!0-9,-]},
            while [ -n "$ranges" ]; do
                range=${ranges%%,*}
                ranges=${ranges#*,}
                count=$((count + ${range#*-} - ${range%-*} + 1))
            done
            printf '%s\n' "$count"
            end 0
            begin limits
            ;;
        limits:[0-9]*) printf '%s:%s\n' "$1" "$line"; shift ;;
        limits:*) found=swaps; end 0; begin swaps; printf '%s\n' "$line" ;;
        swaps:MemTotal:*) found=meminfo; end 0; begin meminfo; printf '%s\n' "$line" ;;
        swaps:* | meminfo:*) printf '%s\n' "$line" ;;
        esac
    done
    unset IFS
    set +f
    end 0
    ;;
*)
    begin cpuinfo
    # the flags of the first processor do for all: 256 times they are half a megabyte
    if have sed; then
        sed -n -e '/^[Ss]erial/d' -e '1,/^ *$/{p;d;}' -e '/^processor/p' -e '/^physical id/p' -e '/^core id/p' \
            -e '/^ *$/p' /proc/cpuinfo
        end $?
    else
        while read -r line; do case $line in [Ss]erial*) ;; *) printf '%s\n' "$line" ;; esac; done </proc/cpuinfo
        end $?
    fi
    source_of nproc run nproc
    copied meminfo /proc/meminfo
    copied swaps /proc/swaps
    begin limits
    # these files answer a shell's reading byte by byte with their first digit alone
    set -- /proc/sys/fs/inotify/max_user_instances /proc/sys/fs/inotify/max_user_watches /proc/sys/fs/aio-nr \
        /proc/sys/fs/aio-max-nr /proc/sys/net/ipv4/ip_forward
    if have grep; then
        grep -s . "$@"
    else
        for f in "$@"; do [ -r "$f" ] && printf '%s:%s\n' "$f" "$(cat "$f")"; done
    fi
    end 0
    ;;
esac
case $kernel in *x86_64* | *i?86*) ;; *) source_of lscpu run lscpu ;; esac
begin modules
# a kernel without the file can load none
if [ ! -e /proc/modules ]; then :; elif have cut; then cut -d ' ' -f 1 /proc/modules; else cat /proc/modules; fi
end $?

begin kvm-nested
for f in kvm_intel kvm_amd; do
    first "/sys/module/$f/parameters/nested"
    [ -n "$line" ] && printf '%s %s\n' "$f" "$line"
done
end 0
begin cgroups
first /sys/fs/cgroup/cgroup.controllers
[ -e /sys/fs/cgroup/cgroup.controllers ] && printf 'v2 %s\n' "$line"
[ -r /proc/cgroups ] && lines /proc/cgroups
end 0
begin br-netfilter
found=absent
for f in "/lib/modules/$release"/kernel/net/bridge/br_netfilter.ko*; do [ -e "$f" ] && found=file; done
if [ -e /sys/module/br_netfilter ] || [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]; then found=loaded; fi
[ -d "/lib/modules/$release" ] || [ $found = loaded ] || found='no modules folder'
printf '%s\n' "$found"
end 0

# both answers of one program, where it gives each as a line of JSON. All routes: planning leaves alone what already
# leads somewhere. Split by IFS: for a long text ${both%%...} takes a shell half a minute
both=$(
    exec 2>/dev/null
    ready ip && exec ip -d -j -batch - <<'ASKED'
addr
route
ASKED
) || both=
set -f
IFS=$line_end
set -- $both
unset IFS
set +f
case $#$1 in
'2['*)
    begin ip-addr-json
    printf '%s\n' "$1"
    end 0
    begin ip-route-json
    capped "$2"
    end 0
    ;;
*)
    source_of ip-addr-json run ip -d -j addr
    if [ "$code" != 0 ]; then source_of ip-addr run ip addr; fi
    captured ip-route-json ip -j route
    if [ "$code" != 0 ]; then captured ip-route ip route; fi
    ;;
esac

begin sys-net
for i in /sys/class/net/*; do
    [ -e "$i/address" ] || continue
    k=
    if [ -e "$i/wireless" ] || [ -e "$i/phy80211" ]; then k="$k,wifi"; fi
    [ -e "$i/bridge" ] && k="$k,bridge"
    [ -e "$i/bonding" ] && k="$k,bond"
    [ -e "/proc/net/vlan/${i##*/}" ] && k="$k,vlan"
    master= driver= slot=
    if [ -e "$i/master/uevent" ]; then uevent "$i/master/uevent"; master=$interface; fi
    if [ -e "$i/device" ]; then k="$k,device"; uevent "$i/device/uevent"; fi
    if [ -z "$slot" ] && [ -e "$i/device/../uevent" ]; then
        of=$driver
        uevent "$i/device/../uevent"
        driver=$of
    fi
    printf '%s' "${i##*/}"
    for f in address operstate type speed; do first "$i/$f"; printf '|%s' "$line"; done
    printf '|%s' "${k#,}"
    for f in mtu duplex; do first "$i/$f"; printf '|%s' "$line"; done
    printf '|%s|%s|%s\n' "$driver" "$slot" "$master"
done
end 0

begin sys-pci
groups=' '
for g in /sys/kernel/iommu_groups/*/devices/*; do
    number=${g%/devices/*}
    groups="$groups${g##*/}=${number##*/} "
done
for d in /sys/bus/pci/devices/*; do
    [ -e "$d/vendor" ] || continue
    address=${d##*/}
    group=${groups#* "$address"=}
    if [ "$group" = "$groups" ]; then group=; else group=${group%% *}; fi
    first "$d/class"
    class=$line
    first "$d/vendor"
    vendor=$line
    first "$d/device"
    device=$line
    # what the bus tells comes after the driver, and is long
    driver=
    while IFS='=' read -r key value; do
        case $key in DRIVER) driver=$value ;; PCI_*) break ;; esac
    done <"$d/uevent"
    line=
    [ ! -e "$d/boot_vga" ] || first "$d/boot_vga"
    printf '%s|%s|%s|%s|%s|%s|%s\n' "$address" "$class" "$vendor" "$device" "$driver" "$group" "$line"
done 2>/dev/null
end 0
begin iommu
for d in /sys/class/iommu/*; do [ -e "$d" ] && printf '%s\n' "${d##*/}"; done
[ -d /sys/kernel/iommu_groups ]
end $?
begin drm
for c in /sys/class/drm/card*-*; do
    [ -e "$c/status" ] || continue
    card=${c##*/}
    first "$c/status"
    status=$line
    slot=
    uevent "/sys/class/drm/${card%%-*}/device/uevent"
    printf '%s|%s|%s\n' "$slot" "$card" "$status"
done
end 0

# cut URL: what stands in front of its @ is somebody's
cut_secret() {
    case $1 in
    *://*@*) secret_free=${1%%://*}://***@${1##*@} ;;
    *@*) secret_free=***@${1##*@} ;;
    *) secret_free=$1 ;;
    esac
}
begin proxies
for name in http_proxy https_proxy ftp_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY; do
    eval "value=\${$name-}"
    cut_secret "$value"
    [ -n "$value" ] && printf '%s=%s\n' "$name" "$secret_free"
done
settings=
# one program for the list of packages too
if have grep; then
    settings=$(grep -hsi -m 4000 -E \
        -e '^[[:space:]]*(export )?(http|https|ftp|all|no)_proxy=|Acquire::(http|https)::Proxy' \
        -e '^Status: .*(reinstreq|half-installed|half-configured|unpacked|triggers-)' \
        /etc/environment /etc/apt/apt.conf /etc/apt/apt.conf.d/* /var/lib/dpkg/status)
fi
[ -n "$settings" ] && while read -r line; do
    # comments of apt's: a pattern that looks for them costs grep a millisecond
    case $line in
    'Status: '*) continue ;;
    *_[Pp][Rr][Oo][Xx][Yy]=*) ;;
    *::*) case ${line%%::*} in *[#/]*) continue ;; esac ;;
    esac
    cut_secret "$line"
    case $line in
    *'"'*://*@*) name=${line%%'"'*}; value=${line#*'"'}; cut_secret "$value"; secret_free="$name\"$secret_free" ;;
    *=*) name=${line%%=*}; cut_secret "${line#*=}"; secret_free=$name=$secret_free ;;
    esac
    printf '%s\n' "$secret_free"
done <<SETTINGS
$settings
SETTINGS
end 0

begin desktop
for f in /etc/systemd/system /run/systemd/system /usr/lib/systemd/system /lib/systemd/system; do
    if [ -L "$f/default.target" ]; then
        printf 'target '
        link "$f/default.target" /usr/lib/systemd/system/graphical.target /usr/lib/systemd/system/multi-user.target
        break
    fi
done
if [ -L /etc/systemd/system/display-manager.service ]; then
    manager=$(readlink /etc/systemd/system/display-manager.service)
    printf 'display-manager %s\n' "${manager##*/}"
fi
end 0
show resolv-conf /etc/resolv.conf
[ -e /run/systemd/resolve/resolv.conf ] && show resolv-conf-uplink /run/systemd/resolve/resolv.conf
begin hosts
# lists of blocked names are no names of machines
count=0
while [ "$count" -lt 2000 ] && read -r line; do
    case $line in '#'* | '' | 0.0.0.0*) ;; *) printf '%s\n' "$line" ;; esac
    count=$((count + 1))
done </etc/hosts
end 0

begin processes
# where no kubelet was ever, nothing of a cluster runs; without systemd nothing else tells who keeps the time
[ -e /var/lib/kubelet ] || [ -e /var/snap/microk8s ] || [ ! -e /run/systemd/system ] &&
have grep && grep -shxE 'chronyd|ntpd|ntpsec|openntpd|systemd-timesyn|nfd-(worker|master).*|nvidia-device-p|gpu-feature-dis|dockerd|zerotier-one|snapd|kubelite|kubelet' /proc/[0-9]*/comm
end 0

begin package-locks
if have ls; then
    files='/var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/cache/apt/archives/lock'
    # dpkg and apt lock by fcntl(2), to write: no such lock, none on these files. A container sees those that other
    # containers have on open files (OFDLCK)
    held=
    while read -r n kind how access pid rest; do
        case $kind:$access in POSIX:WRITE) held=1; break ;; esac
    done </proc/locks
    if [ -n "$held" ]; then inodes=$(ls -i $files 2>/dev/null); elif [ -d /var/lib/dpkg ]; then inodes=none; else inodes=; fi
    if [ -r /proc/locks ] && [ -n "$inodes" ]; then
        while read -r n kind how access pid where rest; do
            [ "$kind" = '->' ] && continue
            inode=${where##*:}
            file=
            for f in $inodes; do
                case $f in /*) [ "$previous" = "$inode" ] && file=$f ;; esac
                previous=$f
            done
            if [ -n "$file" ]; then first "/proc/$pid/comm"; printf '%s %s %s\n' "$file" "$pid" "$line"; fi
        done </proc/locks
        end 0
    else
        echo 'no package manager of Debian, or /proc/locks may not be read' >&2
        end 1
    fi
else
    end 127
fi
begin dpkg-audit
if [ -r /var/lib/dpkg/status ] && have grep; then
    set -f
    IFS=$line_end
    for line in $settings; do case $line in 'Status: '*) printf '%s\n' "$line" ;; esac; done
    unset IFS
    set +f
    for f in /var/lib/dpkg/updates/[0-9]*; do [ -e "$f" ] && echo 'interrupted'; done
    end 0
else
    end 127
fi
set --
wanted=' '
for f in lxd snapd docker.io docker-ce zerotier-one ufw chrony; do
    [ -e "/var/lib/dpkg/info/$f.list" ] && set -- "$@" -e "Package: $f" && wanted="$wanted$f "
done
if [ $# -gt 0 ]; then
    begin packages
    # dpkg-query reads the whole list of packages, 9 ms; grep finds those that are wholly installed in 2. dpkg writes
    # what is asked for into the first fourteen lines of each (parse.c, fieldinfos)
    name= installed= found=
    count=0
    while IFS= read -r line; do
        case $line in
        'Package: '*) name=${line#Package: } installed= ;;
        'Status: install ok installed') installed=1 ;;
        'Version: '*)
            case $wanted in *" $name "*) [ -n "$installed" ] || name= ;; *) name= ;; esac
            if [ -n "$name" ]; then
                found="$found$name ${line#Version: } ii $line_end"
                count=$((count + 2))
            fi
            name=
            ;;
        '') name= ;;
        esac
    done <<PACKAGES
$(have grep && exec grep -s -A 14 -xF "$@" /var/lib/dpkg/status)
PACKAGES
    if [ "$count" = $# ]; then
        printf '%s' "$found"
        end 0
    else
        run dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n' $wanted
        end $?
    fi
fi
begin python
if [ -L /usr/bin/python3 ]; then link /usr/bin/python3 /usr/bin/python3.[0-9]*; else run python3 --version; fi
end $?
begin services
# each running service has its control group
for f in /sys/fs/cgroup/system.slice /sys/fs/cgroup/systemd/system.slice; do
    for d in "$f"/*.service "$f"/*/*.service; do [ -d "$d" ] && printf '%s\n' "${d##*/}"; done
    [ -d "$f" ] && break
done
[ -d "$f" ]
end $?
begin tools
for f in docker dockerd lxd snap microk8s zerotier-one ufw netplan nvidia-smi chronyd; do
    have "$f" && command -v "$f"
done
[ -S /run/docker.sock ] && echo /run/docker.sock
for f in /var/lib/lxd /var/snap/lxd/common/lxd; do [ -e "$f/cluster.crt" ] && printf '%s/cluster.crt\n' "$f"; done
end 0
begin ufw
if [ -r /etc/ufw/ufw.conf ]; then
    while read -r line; do case $line in ENABLED=*) printf '%s\n' "$line" ;; esac; done </etc/ufw/ufw.conf
    while read -r line; do case $line in DEFAULT_FORWARD*) printf '%s\n' "$line" ;; esac; done </etc/default/ufw
    end 0
else
    end 127
fi
flush

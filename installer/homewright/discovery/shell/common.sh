# What both halves of the probe need. POSIX shell; reads with builtins where it can, for each process costs a millisecond.
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
unset LANGUAGE
have() { command -v "$1" >/dev/null 2>&1; }
# the end of a source goes out with the beginning of the next: each piece is a packet for two programs to encrypt and read
closing=
begin() {
    if [ -n "$closing" ]; then printf '\n\036exit %s\n\n\036source %s\n' "$closing" "$1"; else printf '\n\036source %s\n' "$1"; fi
    printf '\n\036source %s\n' "$1" >&2
    closing=
}
end() { code=$1 closing=$1; }
# flush: where no other source comes
flush() {
    if [ -n "$closing" ]; then printf '\n\036exit %s\n' "$closing"; fi
    closing=
}
# late: something had to be ended, and the time for the whole probe is nearly up
slow=
late() {
    [ -n "$slow" ] && [ -n "$deadline" ] || return 1
    if ! read -r now rest </proc/uptime; then now=0; fi 2>/dev/null
    [ "${now%%.*}" -ge "$deadline" ]
}
# ready COMMAND: it is there, and there is time for it
ready() {
    have "$1" || { printf '%s: not installed\n' "$1" >&2; return 127; }
    if late; then echo 'the time for the whole probe was up' >&2; return 124; fi
}
# run COMMAND...: one that is not there is said so (127)
run() { ready "$1" && "$@" </dev/null; }
# bounded COMMAND...: one that may hang (on a dead disk, driver or server) is ended (124)
bounded() {
    ready "$1" || return
    $limit "$@" </dev/null
    ended=$?
    if [ "$ended" = 124 ]; then slow=1; fi
    return "$ended"
}
# source_of NAME run|bounded COMMAND...
source_of() { begin "$1"; shift; "$@"; end $?; }
# filtered NAME FILTER run|bounded COMMAND...: the exit code is the command's; what a filter cut off does not count as a failure
filtered() {
    begin "$1"
    filter=$2
    shift 2
    { code=$({ { "$@"; echo $? >&3; } | $filter >&4; } 3>&1); } 4>&1
    [ "$code" = 141 ] && code=0
    end "${code:-1}"
}
# capped TEXT: its first 400,000 bytes. No program for what is short, and that is nearly all
capped() {
    if [ ${#1} -gt 400000 ] && have head; then printf '%s\n' "$1" | head -c 400000; else printf '%s\n' "$1"; fi
}
# captured NAME COMMAND...: what may be long
captured() {
    begin "$1"
    shift
    text=$(ready "$1" && exec "$@" </dev/null)
    code=$?
    capped "$text"
    end "$code"
}
# line_of NAME FILE: its first line
line_of() { begin "$1"; if read -r line <"$2"; then printf '%s\n' "$line"; end 0; else end 1; fi; }
# lines FILE: its first 2,000 lines; a shell reads a small file faster than it starts another program for that
lines() {
    count=0
    while [ "$count" -lt 2000 ] && read -r line; do
        printf '%s\n' "$line"
        count=$((count + 1))
    done <"$1"
}
# copied NAME FILE: of files that a container's lxcfs answers, where each byte that a shell reads is a request of its own
copied() { begin "$1"; cat "$2"; end $?; }
# show NAME FILE
show() {
    begin "$1"
    lines "$2"
    end $?
}
# link FILE FOLDER NAME...: prints which of these files it leads to, as readlink would, or asks readlink
link() {
    of=$1
    shift
    for f in "$@"; do
        if [ "$of" -ef "$f" ]; then printf '%s\n' "${f##*/}"; return 0; fi
    done
    end_of=$(readlink "$of")
    code=$?
    printf '%s\n' "${end_of##*/}"
    return "$code"
}
# first FILE: its first line in $line, empty where it cannot be read
first() { line=; { read -r line <"$1"; } 2>/dev/null; :; }
there() { begin "$1"; [ -e "$2" ]; end $?; }
# uevent FILE: the kernel's driver, PCI address and interface in $driver, $slot and $interface
uevent() {
    driver= slot= interface=
    while IFS='=' read -r key value; do
        case $key in DRIVER) driver=$value ;; PCI_SLOT_NAME) slot=$value ;; INTERFACE) interface=$value ;; esac
    done <"$1" 2>/dev/null
}

# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Helpers shared by the scripts of this folder. Each script can be run on its own: `bash tests/cli/test_x.sh`.
# BLOBSEAL is the path of the program, and BLOBSEAL_TEST_TIER selects how much is tested: see tier_has().
# Exit codes of a script: 0 all checks passed, 1 a check failed, 77 skipped.
set -u
export LC_ALL=C
unset POSIXLY_CORRECT BLOBSEAL_CONFIG BLOBSEAL_KEK
umask 022

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
blobseal=$(realpath -- "${BLOBSEAL:-$root/build/release/blobseal}")
if [ ! -x "$blobseal" ]; then
    echo "no program at $blobseal: build it, or name one with BLOBSEAL" >&2
    exit 1
fi

# ---- Paths and cleanup ----

tmp=$(mktemp -d "${TMPDIR:-/tmp}/blobseal-test.XXXXXX")
chmod 755 "$tmp"
export XDG_CONFIG_HOME=$tmp/no-configuration # not that of the user
keys=$tmp/keys
out=$tmp/out # stdout of the last run()
err=$tmp/err # stderr of the last run()
mkdir "$keys"
cd "$tmp" || exit 1
folders=0
helper= # not empty if the Python helper is running: see ask()

cleanup() {
    local id
    [ -z "$helper" ] || exec {to_helper}>&- {from_helper}<&- # the helper exits at the end of its input
    for id in $(jobs -p); do
        kill -KILL "$id" 2>/dev/null
    done
    cd / && rm -rf -- "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A sanitizer needs more memory and time than the plain program, and LeakSanitizer cannot inspect a process that is not
# dumpable, unless it is root.
# shellcheck disable=SC2034 # used by the scripts
sanitized=no
if grep -qE '__(asan|tsan)_init' "$blobseal"; then
    # shellcheck disable=SC2034
    sanitized=yes
    [ "$(id -u)" = 0 ] || export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
fi

# ---- Tiers ----

# Time limits are only for tests that hang. They are long because a busy machine can be ten times slower than an idle
# one.
hang_limit=300

# tier_has TIER: true if BLOBSEAL_TEST_TIER includes the tests of this tier. `quick` (the default) checks every feature
# at least once, `all` adds full cross products and 4096-bit keys, `campaign` adds tests that take many minutes.
tier_has() {
    case ${BLOBSEAL_TEST_TIER:=quick} in
    quick) [ "$1" = quick ] ;;
    all) [ "$1" != campaign ] ;;
    campaign) true ;;
    *)
        echo "BLOBSEAL_TEST_TIER is quick, all or campaign, not $BLOBSEAL_TEST_TIER" >&2
        exit 1
        ;;
    esac
}

# ---- Counting ----

passed=0
failed=0
title=
last=
code=0

pass() {
    passed=$((passed + 1))
}

fail() { # fail WHAT: count the last check as failed
    failed=$((failed + 1))
    printf 'FAIL %s: %s\n' "$title" "$*"
    printf '     command:%s\n     exit code: %s\n' "${last:0:400}" "$code"
    [ ! -s "$err" ] || head -n 4 "$err" | cut -c 1-240 | sed 's/^/     stderr: /'
}

finish() {
    printf '%s: %d passed, %d failed\n' "${0##*/}" "$passed" "$failed"
    [ "$failed" = 0 ]
    exit
}

skip() { # skip WHY: end the script as skipped, if it does not apply here
    echo "skipped: $*"
    exit 77
}

# A missing requirement is an error in continuous integration (CI=true). Elsewhere a line reports what was skipped.
lacks() { # lacks WHAT...: the whole script cannot run
    if [ "${CI:-}" = true ]; then
        echo "FAIL ${0##*/}: needs $*"
        exit 1
    fi
    skip "needs $*"
}

part_lacks() { # part_lacks WHAT...: the part of the script titled $title cannot run; always false
    if [ "${CI:-}" = true ]; then
        last=
        fail "needs $*"
    else
        echo "skipped: $title needs $*"
    fi
    return 1
}

missing() { # missing TOOL...: print the tools that are not installed; false if all are installed
    local tool list=
    for tool; do
        command -v "$tool" >/dev/null || list="$list $tool"
    done
    [ -n "$list" ] && echo "${list# }"
}

need() { # need TOOL...: the whole script needs these tools
    local list
    list=$(missing "$@") || return 0
    lacks "$list"
}

part() { # part TITLE TOOL...: true if the tools that this part of the script needs are installed
    local list
    title=$1
    shift
    list=$(missing "$@") || return 0
    part_lacks "$list"
}

strace_works() { # true if strace is installed and has the right to trace
    command -v strace >/dev/null && strace -f -o /dev/null true 2>/dev/null
}

# True if strace also shows the files and texts of a program that keeps others out of its memory, for which it needs to be
# root.
strace_sees() {
    command -v strace >/dev/null && strace -f -y -e trace=write "$blobseal" --version 2>&1 >/dev/null |
        grep -q 'write(1<[^>]*>, "blobseal'
}

# ---- Running ----

fresh() { # fresh [TITLE]: change to a new empty folder for the next checks
    title=${1:-$title}
    folders=$((folders + 1))
    mkdir "$tmp/$folders"
    cd "$tmp/$folders" || exit 1
}

try() { # try COMMAND...: set $code to its exit code (124 if it hangs), write its output to $out and $err
    printf -v last ' %q' "$@"
    timeout --foreground -k 5 $hang_limit "$@" >"$out" 2>"$err"
    code=$?
}

run() { # run ARGUMENT...: run the program with try()
    try "$blobseal" "$@"
}

# run_failing RULES ARGUMENT...: run the program with system calls that fail: see tests/support/fail_calls.c
fail_calls=${FAIL_CALLS_LIBRARY:-$root/build/release/tests/fail_calls.so}
run_failing() {
    local rules=$1
    shift
    try env FAIL_CALLS="$rules" LD_PRELOAD="$fail_calls" "$blobseal" "$@"
    printf -v last ' FAIL_CALLS=%q%s' "$rules" "$last"
}

pipe() { # pipe ARGUMENT...: run the program in a pipeline; its exit code goes to the file $tmp/pipe
    timeout --foreground -k 5 $hang_limit "$blobseal" "$@" 2>"$err"
    echo $? >"$tmp/pipe"
}

pipe_code() { # pipe_code: set $code to the exit code of the last pipe()
    printf -v last ' %q' "$@"
    code=$(cat "$tmp/pipe")
}

# start ARGUMENT...: run the program in the background, with the default signal handling of a foreground process, and
# set $pid. Descriptor 7 is closed in the program, because the script uses it to keep a fifo open.
start() {
    printf -v last ' %q' "$@"
    env --default-signal=INT,QUIT,HUP,TERM "$blobseal" "$@" <&0 >"$out" 2>"$err" 7>&- &
    pid=$!
}

ended() { # ended: wait for the program of the last start(); $code is 137 if it hangs
    {
        timeout $hang_limit tail --pid="$pid" -s 0.02 -f /dev/null || kill -KILL "$pid"
        wait "$pid"
        code=$?
    } 2>/dev/null
}

empty() { # empty FIFO: discard unread data from the fifo on descriptor 7
    exec 7>&-
    exec 7<>"$1"
}

wait_until() { # wait_until COMMAND...: wait up to two minutes until the command succeeds
    local i
    for ((i = 0; i < 2400; i++)); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.05
    done
    return 1
}

# Run in a separate mount namespace: directly as root, or with a user namespace in which an ordinary user is root.
isolated=(unshare -m --)
[ "$(id -u)" = 0 ] || isolated=(unshare -r -m --)

can_mount() {
    "${isolated[@]}" sh -c 'mount -t tmpfs none /mnt' 2>/dev/null
}

# Run the program as an ordinary user, because root bypasses permission checks.
have_user() { # have_user: true if that is possible; sets $ordinary
    if [ "$(id -u)" != 0 ]; then
        ordinary=("$blobseal")
        return 0
    fi
    part "$title" setpriv install || return 1
    [ -x "$tmp/bin/blobseal" ] || install -D -m 755 "$blobseal" "$tmp/bin/blobseal"
    ordinary=(setpriv --reuid=65534 --regid=65534 --clear-groups -- env ASAN_OPTIONS=detect_leaks=0 "$tmp/bin/blobseal")
}

run_as_user() { # run_as_user ARGUMENT...
    try "${ordinary[@]}" "$@"
}

# ---- Data and keys ----

# Making an RSA key takes half a second, so the scripts share keys that are made once. A pool key is a folder with
# key.pem and key.pub.pem. The folder gets its final name when it is complete, so scripts that run at the same time
# need no lock.
key_pool=$root/build/test-keys
declare -A pool_used # number of keys of each size that this script has taken

# pool_key BITS: set $REPLY to the folder of a key that this script has not taken yet. False if the pool cannot be used.
pool_key() {
    local bits=$1 new
    pool_used[$bits]=$((${pool_used[$bits]:-0} + 1))
    REPLY=$key_pool/$bits-${pool_used[$bits]}
    [ ! -e "$REPLY/key.pub.pem" ] || return 0
    new=$(umask 077 && mkdir -p "$key_pool" && mktemp -d "$key_pool/.new.XXXXXX") 2>/dev/null || return 1
    "$blobseal" keygen -q --rsa "$bits" -o "$new/key.pem" --pub "$new/key.pub.pem" >"$out" 2>"$err" || return 1
    mv -T "$new" "$REPLY" 2>/dev/null || rm -rf "$new" # another script was faster
    [ -e "$REPLY/key.pub.pem" ]
}

make_key() { # make_key NAME [OPTION]...: make $keys/NAME.pem and $keys/NAME.pub.pem
    local name=$1 bits=
    shift
    case $* in
    "") bits=2048 ;;
    "--rsa 2048" | "--rsa 3072" | "--rsa 4096") bits=$2 ;;
    esac
    if [ -n "$bits" ] && pool_key "$bits" && cp "$REPLY/key.pem" "$keys/$name.pem" &&
        cp "$REPLY/key.pub.pem" "$keys/$name.pub.pem"; then
        return
    fi
    if ! "$blobseal" keygen --rsa 2048 "$@" -o "$keys/$name.pem" --pub "$keys/$name.pub.pem" >"$out" 2>"$err"; then
        echo "FAIL keygen does not work:"
        cat "$err"
        exit 1
    fi
}

sample() { # sample FILE BYTES: write random bytes, the same bytes at every call
    [ -e "$tmp/random" ] || head -c $((9 << 20)) /dev/urandom >"$tmp/random"
    head -c "$2" "$tmp/random" >"$1"
}

# ---- Expectations ----

check() { # check WHAT COMMAND...: pass if the command succeeds
    local what=$1
    shift
    if "$@"; then pass; else fail "$what"; fi
}

expect_code() { # expect_code N
    if [ "$code" = "$1" ]; then pass; else fail "the exit code should be $1"; fi
}

# True if a line of FILE matches the extended regular expression PATTERN. Starting grep takes longer than most runs of
# the program, so bash checks the first 200 lines, and grep runs only if none of them matches.
has_line() { # has_line FILE PATTERN
    local line lines
    mapfile -t -n 200 lines <"$1" 2>/dev/null
    for line in "${lines[@]}"; do
        if [[ $line =~ $2 ]]; then return 0; fi
    done
    grep -qE -e "$2" "$1"
}

expect_stderr() { # expect_stderr PATTERN: an extended regular expression; if empty, stderr must be empty
    if [ -n "$1" ]; then
        if has_line "$err" "$1"; then pass; else fail "stderr should have: $1"; fi
    elif [ -s "$err" ]; then
        fail "stderr should be empty"
    else
        pass
    fi
}

expect_stdout() { # expect_stdout PATTERN: the same for stdout
    if [ -n "$1" ]; then
        if has_line "$out" "$1"; then pass; else fail "stdout should have: $1"; fi
    elif [ -s "$out" ]; then
        fail "stdout should be empty, not: $(head -c 200 "$out" | tr -cd '[:print:]')"
    else
        pass
    fi
}

expect_ok() { # expect_ok: exit code 0 and an empty stderr
    if [ "$code" = 0 ] && [ ! -s "$err" ]; then pass; else fail "should succeed in silence"; fi
}

# The form of every error: one line with the error, one line with a hint, and an empty stdout.
expect_error() { # expect_error EXIT-CODE CODE [PATTERN]
    local lines
    mapfile -t lines <"$err"
    if [ "$code" != "$1" ]; then
        fail "the exit code should be $1"
    elif [[ ${lines[0]-} != "blobseal: error: "*" ($2)" ]]; then
        fail "the first line should be: blobseal: error: ... ($2)"
    elif ! [[ ${lines[0]} =~ ${3:-.} ]]; then
        fail "the first line should have: $3"
    elif [[ ${lines[1]-} != "blobseal: hint: "?* ]] || [ ${#lines[@]} != 2 ]; then
        fail "the second and last line should be: blobseal: hint: ..."
    elif [ -s "$out" ]; then
        fail "nothing should be on stdout"
    else
        pass
    fi
}

expect_same() { # expect_same FILE FILE
    if cmp -s -- "$1" "$2"; then pass; else fail "$1 and $2 should be the same"; fi
}

no_leftovers() { # no_leftovers NAME...: the current folder contains these files and nothing else
    local have name missing='' more=''
    local -A wanted=()
    shopt -s nullglob dotglob
    have=(*)
    shopt -u nullglob dotglob
    for name; do
        wanted[$name]=yes
        [ -e "$name" ] || [ -L "$name" ] || missing="$missing $name"
    done
    for name in "${have[@]}"; do
        [ -n "${wanted[$name]-}" ] || more="$more $name"
    done
    if [ -z "$missing$more" ]; then pass; else fail "here should be {$*}; missing:${missing:- none}; too many:${more:- none}"; fi
}

# ---- Python, for JSON and terminals ----

# Prefer /usr/bin, because the python3 of a version manager can take ten times as long to start.
python=/usr/bin/python3
[ -x "$python" ] || python=$(command -v python3)

# ask COMMAND ARGUMENT...: send a request to the Python helper and set $REPLY to its answer. The helper is started once
# per script, because starting Python takes longer than a request. Every argument ends in a zero byte; an argument that
# is a newline ends the request.
ask() {
    if [ -z "$helper" ]; then
        mkfifo "$tmp/to_helper" "$tmp/from_helper"
        # A subshell starts the helper, so that `wait` does not wait for it.
        ("$python" "$root/tests/cli/helper.py" <"$tmp/to_helper" >"$tmp/from_helper" 2>"$tmp/helper.log" 7>&- &)
        exec {to_helper}>"$tmp/to_helper" {from_helper}<"$tmp/from_helper"
        helper=yes
    fi
    printf '%s\0' "$PWD" "$@" $'\n' >&"$to_helper"
    IFS= read -r -t $hang_limit -u "$from_helper" || REPLY="the helper does not answer: $(tail -n 1 "$tmp/helper.log")"
}

# flip FILE OFFSET: change one bit of the byte there, whatever it is
flip() {
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    # shellcheck disable=SC2059 # the byte as an escape
    printf "\\x$(printf %02x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# json_is FILE EXPRESSION...: the file is one JSON object on one line, without duplicate names; each Python expression
# is true, where `d` is the object.
json_is() {
    ask json "$@"
    if [ "$REPLY" = yes ]; then pass; else fail "JSON: $REPLY: $(head -c 300 "$1")"; fi
}

# on_terminal STEP... -- COMMAND...: run the command on a pseudo-terminal. What the terminal shows goes to $out, and the
# state of the echo at the end to $tmp/echo. Steps: expect:TEXT, send:TEXT (with \n, \x03), echo:on|off (wait for it;
# as the first step: before the command starts), width:N.
on_terminal() {
    printf -v last ' %q' "$@"
    : >"$err"
    [ -e "$tmp/terminal.py" ] || cat >"$tmp/terminal.py" <<'END'
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

at = sys.argv.index("--")
steps, command = sys.argv[2:at], sys.argv[at + 1:]
ready, go = os.pipe()
pid, fd = pty.fork()
if pid == 0:
    os.read(ready, 1)
    os.execvp(command[0], command)
shown = b""
seen = 0


def pump(seconds):
    global shown
    if not select.select([fd], [], [], seconds)[0]:
        return True
    try:
        data = os.read(fd, 65536)
    except OSError:  # Linux reports EIO after the last process has closed the terminal
        return False
    shown += data
    return bool(data)


def echoes():
    return bool(termios.tcgetattr(fd)[3] & termios.ECHO)


def done(kind, value):
    global seen
    if kind == "expect":
        found = shown.find(value.encode(), seen)
        seen = found + len(value) if found >= 0 else seen
        return found >= 0
    return echoes() == (value == "on")


def give_up(why):
    os.kill(pid, signal.SIGKILL)
    sys.stdout.buffer.write(shown + why.encode())
    sys.exit(99)


def take(step):
    kind, _, value = step.partition(":")
    if kind == "send":
        os.write(fd, value.encode().decode("unicode_escape").encode("latin-1"))
    elif kind in ("expect", "echo"):
        end = time.monotonic() + 120
        while not done(kind, value):
            if time.monotonic() > end:
                give_up(f"\n[no {step} within two minutes]\n")
            pump(0.05)


for step in [s for s in steps if s.startswith("width:")]:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, int(step[6:]), 0, 0))
if steps and steps[0].startswith("echo:"):
    take(steps.pop(0))
os.write(go, b"x")
for step in steps:
    take(step)
end = time.monotonic() + 300
while pump(1):
    if time.monotonic() > end:
        give_up("\n[it hangs]\n")
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
open(sys.argv[1], "w").write("on\n" if echoes() else "off\n")
sys.stdout.buffer.write(shown)
sys.exit(status if status >= 0 else 128 - status)
END
    timeout --foreground -k 5 600 "$python" "$tmp/terminal.py" "$tmp/echo" "$@" >"$out" 2>"$err"
    code=$?
}

# remove_progress: remove the line of progress from $out, as far as it was erased. Terminals see it only if something
# takes long enough.
remove_progress() {
    sed -i $':a; s/\r[^\r\033\007]\\+\033\\[K\r/\r/; ta; s/\r\033\\[K//g' "$out"
}

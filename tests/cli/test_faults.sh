#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Faults outside the program: full disks, closed pipes, signals, failing system calls, inputs that change. In each case
# the exit code reports the fault, and no incomplete output remains.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

make_key kek
seal_key=$keys/kek.pub.pem
open_key=$keys/kek.pem

# ---- Full devices and disks ----

fresh "/dev/full"
sample f 5000000
"$blobseal" seal -k "$seal_key" -o b f
for command in "seal -k $seal_key f" "open -k $open_key b"; do
    # shellcheck disable=SC2086
    "$blobseal" $command -o - >/dev/full 2>"$err"
    code=$?
    last=" $command >/dev/full"
    : >"$out"
    expect_error 8 E-OUTPUT "write standard output: No space left"
    # shellcheck disable=SC2086
    run $command -o /dev/full
    expect_error 8 E-OUTPUT "write /dev/full: No space left"
done
run seal -k "$seal_key" --detached /dev/full -o new f
expect_error 6 E-EXISTS "/dev/full exists and is a device"
no_leftovers f b

fresh "a full device"
sample f 5000
"$blobseal" seal -k "$seal_key" f
for verb in seal open verify inspect; do
    title="$verb to a full device"
    case $verb in
    seal) run seal -k "$seal_key" -o /dev/full f ;;
    open) run open -k "$open_key" -o /dev/full f.sealed ;;
    *)
        timeout $hang_limit "$blobseal" $verb -k "$open_key" f.sealed >/dev/full 2>"$err"
        code=$?
        : >"$out"
        ;;
    esac
    expect_error 8 E-OUTPUT "."
    no_leftovers f f.sealed
done
title="a report that cannot be written"
"$blobseal" seal --json -k "$seal_key" -o new f >/dev/full 2>"$err"
code=$?
last=" seal --json -o new f >/dev/full"
expect_code 8
[ ! -e new ] || check "the hint is no lie: there is an output" test -z "$(grep 'no file was' "$err")"
"$blobseal" keygen --rsa 2048 -o new.pem >/dev/full 2>"$err"
code=$?
last=" keygen -o new.pem >/dev/full"
expect_code 8
[ ! -e new.pem ] || check "the hint is no lie: there is an output" test -z "$(grep 'no file was' "$err")"

# Without O_TMPFILE an output has a temporary name.
no_tmpfile=("FAIL_CALLS=tmpfile=EOPNOTSUPP" "LD_PRELOAD=$fail_calls")

# Run a command with a disk of 1 MiB. $1 is `tmpfile` if the program can use O_TMPFILE, or `named` if it cannot.
on_small_disk() {
    # shellcheck disable=SC2016 # the inner shell expands
    try "${isolated[@]}" sh -c '
        mount -t tmpfs -o size=1M none disk && cp small disk/ || exit 99
        [ "$1" = tmpfile ] || export "$2" "$3"
        shift 3
        "$@"
        code=$?
        ls -A disk >left
        exit $code' sh "$1" "${no_tmpfile[@]}" "${@:2}"
}

mounts=no
ways="tmpfile named"
[ $sanitized = no ] && [ -e "$fail_calls" ] || ways=tmpfile # a sanitizer must be the first library
if part "a small disk" unshare mount; then
    if can_mount; then mounts=yes; else part_lacks "the right to mount"; fi
fi
named=yes
[ "$ways" != tmpfile ] || named=no
if [ $mounts = yes ]; then
    fresh
    sample f 3000000
    sample small 500
    "$blobseal" seal -k "$seal_key" -o b f
    "$blobseal" seal -k "$seal_key" -o s small
    mkdir disk
    for way in $ways; do
        title="a full disk ($way)"
        for command in "seal -k $seal_key -o disk/new f" "open -k $open_key -o disk/new b" \
            "seal -f -k $seal_key -o disk/small f" "seal -k $seal_key --detached disk/e -o disk/new f"; do
            # shellcheck disable=SC2086
            on_small_disk "$way" "$blobseal" $command
            expect_error 8 E-OUTPUT "No space left on device"
            check "nothing is left on the disk" test "$(cat left)" = small
        done
        # shellcheck disable=SC2002
        on_small_disk "$way" sh -c "cat f | '$blobseal' seal -k '$seal_key' -o disk/new"
        expect_error 8 E-OUTPUT "No space left on device"
        check "nothing is left on the disk" test "$(cat left)" = small

        title="outputs ($way)"
        on_small_disk "$way" "$blobseal" open -k "$open_key" -o disk/new s
        expect_ok
        check "the output is there, and nothing else" test "$(tr '\n' ' ' <left)" = "new small "
        on_small_disk "$way" "$blobseal" open -f -k "$open_key" -o disk/small s
        expect_ok
        check "the output is there, and nothing else" test "$(cat left)" = small
        on_small_disk "$way" "$blobseal" seal -k "$seal_key" --detached disk/e -o disk/new small
        expect_ok
        check "both outputs are there, and nothing else" test "$(tr '\n' ' ' <left)" = "e new small "
        on_small_disk "$way" "$blobseal" open -k "$open_key" -o disk/small s
        expect_error 6 E-EXISTS "exists"
    done
fi

fresh "a limit on the size of files"
sample f 3000000
"$blobseal" seal -k "$seal_key" -o b f
for command in "seal -k $seal_key -o new f" "open -k $open_key -o new b"; do
    # shellcheck disable=SC2086
    (ulimit -f 1000 && exec "$blobseal" $command) >"$out" 2>"$err"
    code=$?
    last=" ulimit -f 1000; $command"
    expect_error 8 E-OUTPUT "write new: File too large"
    no_leftovers f b
done
(ulimit -f 1000 && exec "$blobseal" seal -k "$seal_key" f -o -) >partial 2>"$err"
code=$?
expect_error 8 E-OUTPUT "write standard output: File too large"

# ---- Closed pipes, and idle pipes ----

fresh "a reader that goes away"
sample f 5000000
"$blobseal" seal -k "$seal_key" -o b f
for command in "seal -k $seal_key -o - f" "open -k $open_key -o - b" "seal -k $seal_key -j 1 -o - f"; do
    # shellcheck disable=SC2086
    pipe $command | head -c 1 >/dev/null
    pipe_code "$command | head -c 1"
    : >"$out"
    expect_error 8 E-OUTPUT "write standard output: Broken pipe"
done
pipe seal -k "$seal_key" <f | head -c 1 >/dev/null
pipe_code "seal | head -c 1"
expect_error 8 E-OUTPUT "Broken pipe"

# The input stays open but delivers no more data: an error of the output must end the program all the same.
fresh "an output that fails while the input is idle"
sample f 3000000
"$blobseal" seal -k "$seal_key" -o b f
mkfifo in
exec 7<>in
for command in "seal -k $seal_key" "open -k $open_key"; do
    data=f
    [[ $command != open* ]] || data=b
    for jobs in 1 2 5; do
        # shellcheck disable=SC2086
        timeout $hang_limit "$blobseal" $command -j $jobs -o - <in >/dev/full 2>"$err" 7>&- &
        pid=$!
        # The signal must reach head itself, and head must not keep its own pipe open: otherwise it could go on for ever.
        head -c 2900000 $data >in 7>&- &
        feeder=$!
        ended
        kill -KILL $feeder 2>/dev/null
        wait $feeder 2>/dev/null
        last=" $command -j $jobs <idle >/dev/full"
        : >"$out"
        expect_error 8 E-OUTPUT "No space left"
        empty in
    done
done
exec 7>&-

# ---- Signals ----

# begin COMMAND...: start it with a pipe as input that stays open, with enough data that it is working and has an
# output.
begin() {
    start "$@" <in
    timeout $hang_limit head -c 2900000 "$data" >in
}

fresh "signals"
sample f 3000000
"$blobseal" seal -k "$seal_key" -o b f
mkfifo in
exec 7<>in
echo precious >old
for command in "seal -k $seal_key" "open -k $open_key" "seal -k $seal_key --detached e"; do
    data=f
    [[ $command != open* ]] || data=b
    for signal in INT:130 TERM:143 HUP:129 QUIT:131 KILL:137; do
        title="${command%% *}, SIG${signal%:*}"
        # shellcheck disable=SC2086
        begin $command -o new
        kill -"${signal%:*}" "$pid"
        ended
        expect_code "${signal#*:}"
        no_leftovers f b in old
        empty in
        # shellcheck disable=SC2086
        begin $command --force -o old
        kill -"${signal%:*}" "$pid"
        ended
        expect_code "${signal#*:}"
        no_leftovers f b in old
        check "the old file is as it was" grep -qx precious old
        empty in
    done
done
title="a signal that the caller ignores"
trap '' INT HUP
start_ignoring() {
    "$blobseal" "$@" <in >"$out" 2>"$err" 7>&- &
    pid=$!
}
start_ignoring seal -k "$seal_key" -o new
trap 'exit 130' INT
trap - HUP
head -c 2900000 f >in
kill -INT "$pid"
kill -HUP "$pid"
exec 7>&-
ended
expect_code 0
rm -f new

# Without O_TMPFILE the output has a temporary name, which must be removed as well.
if [ $named = yes ]; then
    mkfifo in2
    exec 7<>in2
    for signal in INT:130 TERM:143 HUP:129 KILL:137; do
        title="SIG${signal%:*} with a temporary name"
        env --default-signal=INT,HUP "${no_tmpfile[@]}" "$blobseal" seal -k "$seal_key" -o new <in2 >"$out" 2>"$err" 7>&- &
        pid=$!
        timeout $hang_limit head -c 2900000 f >in2
        check "the temporary name is hidden" compgen -G '.new.*.partial' >/dev/null
        kill -"${signal%:*}" "$pid"
        ended
        expect_code "${signal#*:}"
        [ "$signal" != KILL:137 ] || rm .new.*.partial # a killed process cannot remove it
        no_leftovers f b in in2 old
        empty in2
    done
    exec 7>&-
fi

# ---- System calls that fail ----

# inject WHAT ARGUMENT...: run the program under strace with a fault. The callers limit the threads to one, so that the
# count of calls is meaningful.
inject() {
    local what=$1
    shift
    printf -v last ' %q' inject "$what" "$@"
    ASAN_OPTIONS=detect_leaks=0 timeout $hang_limit strace -f -qq -o "$tmp/trace" -e trace="${what%%:*}" -e inject="$what" \
        "$blobseal" "$@" >"$out" 2>"$err"
    code=$?
}

# Print how many links a command makes. Only the last ones name outputs: the others find out what the file system can do.
count_links() {
    strace -f -qq -o "$tmp/trace" -e trace=linkat "$blobseal" "$@" >"$out" 2>"$err"
    grep -c linkat "$tmp/trace"
}

# Run open with the N-th call failing, for each N up to 20 or until there are no more calls: either it fails and leaves
# no file, or the output is right.
sweep() { # sweep EXIT-CODES CALL:FAULT ARGUMENT...
    local codes=$1 fault=$2 n misses=0
    shift 2
    for ((n = 1; n <= 20 && misses < 2; n++)); do
        inject "$fault:when=$n" "$@"
        grep -q INJECTED "$tmp/trace" || misses=$((misses + 1))
        title="open with $fault, call $n"
        if [ $code = 0 ]; then
            expect_same f new
            rm -f new
        elif [[ " $codes " == *" $code "* ]]; then
            pass
        else
            fail "the exit code should be 0 or one of $codes"
            rm -f new
        fi
        no_leftovers b f
    done
}

traces=no
title="failing system calls"
if strace_works; then traces=yes; else part_lacks "a strace that may trace"; fi
if [ $traces = yes ]; then
    fresh "failing system calls"
    sample f 3000000
    "$blobseal" seal -k "$seal_key" -o b f
    # A failure before main() ends with the exit code of the loader, 127.
    sweep 8 pwrite64:error=EIO open -j 1 -k "$open_key" -o new b
    sweep 8 pwrite64:error=ENOSPC open -j 1 -k "$open_key" -o new b
    sweep 8 fsync:error=EIO open -j 1 -k "$open_key" -o new b
    sweep 8 fchmod:error=EPERM open -j 1 -k "$open_key" -o new b
    sweep 8 linkat:error=EIO open -j 1 -k "$open_key" -o new b
    sweep 6 linkat:error=EEXIST open -j 1 -k "$open_key" -o new b
    sweep "8 127" close:error=EIO open -j 1 -k "$open_key" -o new b
    sweep "7 127" pread64:error=EIO open -j 1 -k "$open_key" -o new b
    [ $sanitized = yes ] || sweep "7 127" read:error=EIO open -j 1 -k "$open_key" -o new b
    sweep "7 8 127" openat:error=EMFILE open -j 1 -k "$open_key" -o new b

    title="seal with a fault"
    links=$(count_links seal -j 1 -k "$seal_key" -o new f)
    rm -f new
    for fault in pwrite64:error=EIO:when=1 pwrite64:error=ENOSPC:when=7 fsync:error=EIO:when=1 fsync:error=EIO:when=2 \
        linkat:error=EIO:when=$links+ fchmod:error=EIO:when=1; do
        inject "$fault" seal -j 1 -k "$seal_key" -o new f
        expect_error 8 E-OUTPUT "(Input/output error|No space left on device)"
        no_leftovers b f
        inject "$fault" seal -j 1 -k "$seal_key" --detached e -o new f
        expect_error 8 E-OUTPUT "(Input/output error|No space left on device)"
        no_leftovers b f
    done
    title="seal detached with a fault of its second output"
    links=$(count_links seal -j 1 -k "$seal_key" --detached e -o new f)
    rm -f new e
    for fault in fsync:error=EIO:when=3 fsync:error=EIO:when=4 linkat:error=EIO:when=$links fchmod:error=EIO:when=2; do
        inject "$fault" seal -j 1 -k "$seal_key" --detached e -o new f
        expect_error 8 E-OUTPUT "Input/output error"
        no_leftovers b f
    done
    title="seal --force detached with a fault: there is a whole pair, the old or the new one"
    for fault in fsync:error=EIO:when=1 fsync:error=EIO:when=2 fsync:error=EIO:when=3 fchmod:error=EIO:when=2; do
        echo "old content" >old
        "$blobseal" seal -f -k "$seal_key" --detached e -o new old
        inject "$fault" seal -j 1 -f -k "$seal_key" --detached e -o new f
        expect_error 8 E-OUTPUT "Input/output error"
        run open -f -k "$open_key" --envelope e -o back new
        check "blob and envelope should belong together" sh -c "cmp -s old back || cmp -s f back"
        rm -f e new old back
        no_leftovers b f
    done
    title="keygen with a fault"
    for fault in write:error=EIO fsync:error=EIO linkat:error=EIO fchmod:error=EIO; do
        for n in 1 2 3 4 5; do
            inject "$fault:when=$n" keygen -q --rsa 2048 -o k.pem --pub p.pem
            if [ $code = 0 ]; then
                no_leftovers b f k.pem p.pem
                break # there are fewer than n calls
            fi
            expect_error 8 E-OUTPUT "Input/output error"
            no_leftovers b f
        done
        rm -f k.pem p.pem
    done

    title="interrupted calls are made again"
    inject pread64:error=EINTR:when=5+2 open -j 1 -k "$open_key" -o new b
    expect_ok
    expect_same f new
    inject pwrite64:error=EINTR:when=1+2 open -f -j 1 -k "$open_key" -o new b
    expect_ok
    expect_same f new
    rm new
    # shellcheck disable=SC2002 # a pipe is the point
    for fault in read:error=EINTR:when=30+2 write:error=EINTR:when=1+2 write:error=EAGAIN:when=1+2 poll:error=EINTR:when=1+2; do
        cat b | inject $fault open -j 1 -k "$open_key"
        expect_ok
        expect_same f "$out"
    done

    # The position of the openat call with O_TMPFILE is found in a run without faults.
    fresh "a file system without O_TMPFILE"
    sample f 3000000
    "$blobseal" seal -k "$seal_key" -o b f
    inject openat:delay_enter=0:when=10000 open -j 1 -k "$open_key" -o new b
    number=$(grep -n -m 1 O_TMPFILE "$tmp/trace" | cut -d : -f 1) # the test of the place
    rm -f new
    for force in "" --force; do
        # shellcheck disable=SC2086
        inject "openat:error=EOPNOTSUPP:when=$number" open -j 1 $force -k "$open_key" -o new b
        check "the fault was there" grep -q 'O_TMPFILE.*INJECTED' "$tmp/trace"
        check "and a temporary name was used" grep -q 'openat.*O_CREAT.O_EXCL' "$tmp/trace"
        expect_ok
        expect_same f new
        no_leftovers b f new
    done
    inject "openat:error=EOPNOTSUPP:when=$number" open -k "$open_key" -o new b
    expect_error 6 E-EXISTS "new exists"
fi

# Faults of an output with a temporary name.
if [ $traces = yes ] && [ $named = yes ]; then
    rm -f new
    inject_named() { # inject_named FAULT ARGUMENT...
        printf -v last ' %q' with-a-temporary-name "$@"
        timeout $hang_limit strace -E "${no_tmpfile[0]}" -E "${no_tmpfile[1]}" -f -qq -o "$tmp/trace" -e inject="$1" \
            "$blobseal" "${@:2}" >"$out" 2>"$err"
        code=$?
    }
    for fault in pwrite64:error=ENOSPC:when=1 pwrite64:error=EIO:when=9 fchmod:error=EIO:when=1 fsync:error=EIO:when=1 \
        fsync:error=EIO:when=2 renameat2:error=EIO:when=1 renameat2:error=ENOSPC:when=1; do
        title="a temporary name and $fault"
        inject_named $fault open -j 1 -k "$open_key" -o new b
        expect_error 8 E-OUTPUT "(Input/output error|No space left on device)"
        check "the fault was there" grep -q 'INJECTED' "$tmp/trace"
        no_leftovers b f
    done
    title="a temporary name and no renameat2"
    for fault in renameat2:error=EINVAL:when=1 renameat2:error=ENOSYS:when=1; do
        inject_named $fault open -j 1 -k "$open_key" -o new b
        expect_ok
        expect_same f new
        no_leftovers b f new
        rm new
    done
    title="a temporary name and an output that appears meanwhile"
    inject_named renameat2:error=EEXIST:when=1 open -j 1 -k "$open_key" -o new b
    expect_error 6 E-EXISTS "new appeared meanwhile"
    no_leftovers b f
    title="a temporary name, --force and a failing rename"
    echo precious >old
    inject_named '?rename,renameat,renameat2:error=EIO:when=1+' open -f -j 1 -k "$open_key" -o old b
    expect_error 8 E-OUTPUT "Input/output error"
    check "the old file is as it was" grep -qx precious old
    no_leftovers b f old
fi

# SIGTERM while two outputs are synced and get their names: strace delays one sync per run.
if [ $traces = yes ]; then
    fresh "a signal between two outputs"
    sample f 3000000
    # shellcheck disable=SC2317 # wait_until calls it
    reached() { # reached N: the program is in its N-th sync
        grep -q fchmod "$tmp/trace" && [ "$(grep -c 'fsync.*= 0' "$tmp/trace")" -ge $(($1 - 1)) ]
    }
    for command in "seal -k $seal_key --detached e -o new f" "keygen -q --rsa 2048 -o k.pem --pub p.pem"; do
        for n in 1 2 3 4; do
            last=" $command, SIGTERM in sync $n"
            rm -f "$tmp/trace"
            # shellcheck disable=SC2086
            ASAN_OPTIONS=detect_leaks=0 strace -f -qq -o "$tmp/trace" -e trace=fchmod,fsync -e inject=fsync:delay_enter=1000000:when=$n \
                "$blobseal" $command >"$out" 2>"$err" &
            pid=$!
            wait_until reached $n
            sleep 0.2
            kill -TERM "$(sed -n '1s/ .*//p' "$tmp/trace")"
            ended
            if [ "$code" != 0 ]; then
                expect_code 143
                no_leftovers f
            elif [[ $command == seal* ]]; then
                no_leftovers e f new
            else
                no_leftovers f k.pem p.pem
            fi
            rm -f e new k.pem p.pem
        done
    done
fi

# ---- Descriptors ----

# If standard descriptors are closed at the start, files get their numbers. Messages must not be written to these files.
fresh "closed standard descriptors"
printf hi >f
"$blobseal" seal -k "$seal_key" --slot-size 4096 f
flip f.sealed 5000 # slot A is damaged, so there is a warning
run open -k "$open_key" -o back f.sealed
expect_code 0
expect_stderr "^blobseal: warning: f.sealed: one of the two envelope slots is damaged"
expect_same f back
for closed in 0 1 2 01 02 12 012; do
    title="closed standard descriptors: $closed"
    rm -f back
    (
        [[ $closed != *0* ]] || exec <&-
        [[ $closed != *1* ]] || exec >&-
        [[ $closed != *2* ]] || exec 2>&-
        "$blobseal" open -k "$open_key" -o back f.sealed
    ) 2>"$err"
    expect_same f back
    (
        [[ $closed != *0* ]] || exec <&-
        [[ $closed != *1* ]] || exec >&-
        [[ $closed != *2* ]] || exec 2>&-
        "$blobseal" keygen --rsa 2048 -o k.pem --pub p.pem
    ) >/dev/null 2>&1
    if [ -e k.pem ]; then
        check "the key file holds a key" grep -q 'END PRIVATE KEY' k.pem
        check "and nothing else" test "$(grep -c . k.pem)" = "$(sed -n '/^-----BEGIN/,/^-----END/p' k.pem | grep -c .)"
    fi
    rm -f k.pem p.pem
done

# ---- Inputs that change ----

# An input that another process writes to while it is sealed. It is sparse and large, so that the loop below writes
# while sealing is under way; it does so until it is killed, and if it was too slow, there is another round.
fresh "an input that changes"
for way in grow touch shrink; do
    for from in name stdin; do
        title="an input that changes: $way, by $from"
        code=0
        for ((round = 0; round < 20 && code == 0; round++)); do
            truncate -s 150M f
            (
                for ((i = 0; ; i = (i + 1) % 2000)); do
                    case $way in
                    grow) printf x >>f ;;
                    touch) touch f ;;
                    shrink) truncate -s $((150000000 - i * 50000)) f ;;
                    esac
                done
            ) &
            writer=$!
            if [ $from = name ]; then
                run seal -j 1 -k "$seal_key" -o blob f
            else
                run seal -j 1 -k "$seal_key" -o blob <f
            fi
            kill -KILL $writer 2>/dev/null # a copy of this shell: until it has begun, it catches SIGTERM
            wait $writer 2>/dev/null
            [ $code != 0 ] || rm blob
        done
        expect_error 7 E-INPUT "changed while it was read|became (longer|shorter)"
        no_leftovers f
    done
done

finish

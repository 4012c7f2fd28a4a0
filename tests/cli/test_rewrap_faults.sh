#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Faults while recipients change: the process is killed at each system call that writes, each of these calls fails,
# signals arrive. Each time the blob still opens, its core is unchanged, and running the same command again completes
# the change.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/envelopes.sh
. "$root/tests/cli/envelopes.sh"

need strace
strace_works || lacks "a strace that may trace"

for name in old new bob; do make_key $name; done
calls="write pwrite64 fdatasync fsync linkat renameat unlinkat fchmod fchown"

# inject FAULT ARGUMENT...: run the program under strace with a fault; $tmp/trace shows the calls that were injected.
inject() {
    local what=$1
    shift
    printf -v last ' %q' inject "$what" "$@"
    {
        timeout $hang_limit strace -f -qq -o "$tmp/trace" -e trace="${what%%:*}" -e inject="$what" "$blobseal" "$@" >"$out" 2>"$err"
        code=$?
    } 2>/dev/null
}

command_of() { # command_of VERB: set $command to what the user runs, and $finisher to a command that works in any state
    case $1 in
    rewrap) command=(rewrap -k "$keys/old.pem" -k "$keys/bob.pub.pem" --to "$keys/new.pub.pem") ;;
    add) command=(recipients add -k "$keys/old.pem" --to "$keys/new.pub.pem") ;;
    remove) command=(recipients remove -q -k "$keys/old.pem" --kid "$(kid bob)") ;;
    repair) command=(recipients repair -k "$keys/old.pem") ;;
    esac
    command+=("${anew[@]}" "$file")
    finisher=("${command[@]}")
    [ "$1" != rewrap ] || finisher=(rewrap -k "$keys/old.pem" -k "$keys/bob.pem" --to "$keys/new.pub.pem" "$file")
}

who_opens() { # who_opens NAME...: set $openers to those whose keys open the blob; same_core() checks its content
    local name
    openers=
    for name; do
        "$blobseal" verify -q -k "$keys/$name.pem" "${with[@]}" blob 2>/dev/null && openers="$openers $name"
    done
}

# Most faults occur before the first write to the file. Checks after a fault depend only on the bytes of the file, so
# the original bytes are checked once after each prepare(); in the tier `all` they are checked after every fault.
# still_original CHECK: true if the file has its original bytes and this check was already made for them
still_original() {
    tier_has all && return 1
    cmp -s "$file" saved || return 1
    [ "${checked[$1]-}" != yes ] || return 0
    checked[$1]=yes
    return 1
}

# After a fault of VERB the blob opens for everybody who had access before and keeps it. Others may or may not have
# access.
still_opens() { # still_opens VERB
    ! still_original opens || return 0
    who_opens old new bob
    case $1:$openers in
    rewrap:" old bob" | rewrap:" new bob") pass ;;
    add:" old bob" | add:" old new bob") pass ;;
    remove:" old" | remove:" old bob") pass ;;
    repair:" old new bob") pass ;;
    *) fail "it opens for:$openers" ;;
    esac
    same_core
}

# Run the same command again. It may need a private key if only the new recipients can open the current envelope.
finish_it() { # finish_it VERB
    ! still_original finish || return 0
    run "${command[@]}"
    if [ "$1" = rewrap ] && [ $code = 4 ]; then
        expect_error 4 E-NOKEY "$file"
        expect_stderr "hint: an earlier change of this blob did not finish: pass a private key that opens it now"
        run "${finisher[@]}"
        private=$((private + 1))
    fi
    expect_code 0
    who_opens old new bob
    case $1 in
    rewrap) check "those who should open it (not:$openers)" test "$openers" = " new bob" ;;
    add | repair) check "all should open it (not:$openers)" test "$openers" = " old new bob" ;;
    remove) check "one should open it (not:$openers)" test "$openers" = " old" ;;
    esac
    same_core
    [ "$1" != rewrap ] || check "no old wrapped key is left" none_inside before "$file"
    run inspect --json "${with[@]}" blob
    json_is "$out" 'not d["change_unfinished"]' 'not d["slot_damaged"]'
}

# prepare SHAPE VERB: make a blob, and copy the file under change to `saved`. The shape `anew` has two slots and is
# changed with --rewrite.
prepare() {
    anew=()
    [ "$1" != anew ] || anew=(--rewrite)
    make_blob "${1/anew/ab}" -k "$keys/old.pub.pem" -k "$keys/bob.pub.pem"
    if [ "$2" = repair ]; then
        dd if=blob of=slot bs=4096 skip=2 count=1 2>/dev/null
        "$blobseal" recipients add -q -k "$keys/old.pem" --to "$keys/new.pub.pem" blob
        dd if=slot of=blob bs=4096 seek=2 conv=notrunc 2>/dev/null
    fi
    core_sum
    payload=$REPLY
    keys_of "$file" >before
    cp "$file" saved
    checked=()
    command_of "$2"
}

restore() {
    rm -f .*.partial
    cat saved >"$file"
}

anew=()   # extra options of the command: --rewrite for the shape `anew`
private=0 # how often a private key of a remaining recipient was needed
declare -A checked # see still_original()

cases=(ab:rewrap ab:add ab:remove ab:repair compact:rewrap compact:add compact:remove detached:rewrap detached:add
    detached:remove anew:rewrap anew:remove)

# ---- Kills ----

for case in "${cases[@]}"; do
    shape=${case%:*} verb=${case#*:}
    fresh
    prepare "$shape" "$verb"
    kills=0
    for call in $calls; do
        for ((n = 1; n <= 30; n++)); do
            restore
            title="$shape, $verb, killed at $call $n"
            inject "$call:signal=KILL:when=$n" "${command[@]}"
            [ $code = 137 ] || break
            kills=$((kills + 1))
            still_opens "$verb"
            finish_it "$verb"
            for left in .*.partial; do # a killed process may leave a temporary file, but never the old envelope
                [ ! -e "$left" ] || check "$left is not the old file" test "$(cmp -s "$left" saved && echo old)" = ""
            done
            rm -f .*.partial
            check "nothing else is left" test -z "$(find . -type f | grep -vxE '\./(f|blob|e\.jwe|saved|before|slot)')"
        done
    done
    title="$shape, $verb"
    last=
    check "there were calls to be killed at" test $kills -ge 2
done

title="a crash between the two slots"
check "a private key of those who stay was needed after it" test $private -ge 1

# ---- Failing calls ----

for case in "${cases[@]}"; do
    shape=${case%:*} verb=${case#*:}
    errors="EIO"
    [ "$verb" != rewrap ] || errors="EIO ENOSPC EDQUOT"
    fresh
    prepare "$shape" "$verb"
    faults=0
    for error in $errors; do
        for call in pwrite64 fdatasync fsync linkat renameat fchmod fchown unlinkat; do
            first=1
            [ $call != linkat ] || first=2 # the first link only tests the file system
            for ((n = first; n <= 30; n++)); do
                restore
                title="$shape, $verb, $error in $call $n"
                inject "$call:error=$error:when=$n" "${command[@]}"
                grep -q INJECTED "$tmp/trace" || break
                faults=$((faults + 1))
                if [ $code != 0 ] || [ $call != unlinkat ]; then
                    expect_error 8 E-OUTPUT "$file.*: (Input/output error|No space left|Disk quota exceeded)"
                    expect_stderr "hint: .*run it again"
                fi
                still_opens "$verb"
                [ $call = unlinkat ] || check "no temporary file is left" test -z "$(find . -name '*.partial')"
                [ "$verb:$error" != rewrap:EIO ] || finish_it "$verb"
            done
        done
    done
    title="$shape, $verb"
    check "there were faults" test $faults -ge 2
done

fresh "a detached envelope that cannot be written"
prepare detached rewrap
for error in EIO ENOSPC EDQUOT; do
    # The first write() with this kind of file is that of the envelope; messages are written later.
    inject "write:error=$error:when=1" "${command[@]}"
    expect_error 8 E-OUTPUT "write .*e.jwe: (Input/output error|No space left|Disk quota exceeded)"
    expect_same "$file" saved
    no_leftovers "${here[@]}" saved before
done

fresh "an owner that cannot be kept"
prepare compact rewrap
inject "fchown:error=EPERM:when=1+" "${command[@]}"
expect_code 0
expect_stderr "^blobseal: warning: blob: the owner or the group could not be kept"
finish_it rewrap

fresh "a slot that does not read back"
prepare ab rewrap
# A write that reports success without writing.
inject "pwrite64:retval=4096:when=1" "${command[@]}"
expect_error 8 E-OUTPUT "write blob: the data read back differs from the data written"
expect_stderr "hint: the storage is failing"
expect_same blob saved
inject "pwrite64:retval=4096:when=2" "${command[@]}"
expect_error 8 E-OUTPUT "the data read back differs"
still_opens rewrap
finish_it rewrap

fresh "writes that are interrupted"
for shape in ab compact detached; do
    mkdir $shape && cd $shape || exit 1
    prepare $shape rewrap
    fault=pwrite64:error=EINTR:when=1+3
    [ $shape != detached ] || fault=write:error=EINTR:when=1
    inject $fault "${command[@]}"
    check "the fault was there" grep -q INJECTED "$tmp/trace"
    expect_code 0
    opens_with new
    cd ..
done

# ---- Signals ----

for case in ab:rewrap compact:rewrap detached:rewrap compact:add; do
    shape=${case%:*} verb=${case#*:}
    fresh
    prepare "$shape" "$verb"
    for signal in TERM:143 INT:130; do
        for call in pwrite64 fdatasync fsync linkat renameat unlinkat fchmod; do
            for ((n = 1; n <= 30; n++)); do
                restore
                title="$shape, $verb, SIG${signal%:*} at $call $n"
                inject "$call:signal=${signal%:*}:when=$n" "${command[@]}"
                grep -qE "^[0-9]+ +--- SIG|INJECTED" "$tmp/trace" || break
                [ $code = 0 ] || expect_code "${signal#*:}"
                still_opens "$verb"
                check "nothing else is left" test -z "$(find . -name '*.partial')"
                [ "$signal" != TERM:143 ] || finish_it "$verb"
            done
        done
    done
done

fresh "a signal between two files"
for n in 1 2 3; do
    make_blob compact -k "$keys/old.pub.pem"
    mv blob blob$n
    cp blob$n saved$n
done
inject fchmod:signal=TERM:when=2 rewrap -k "$keys/old.pem" --to "$keys/new.pub.pem" blob1 blob2 blob3
expect_code 143
cp blob1 blob && opens_with new
expect_same blob2 saved2
expect_same blob3 saved3
no_leftovers f back blob blob{1,2,3} saved{1,2,3}

finish

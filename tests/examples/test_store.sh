#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The example store and crashes: killed before each of its system calls, it keeps what it has acknowledged, contains no
# incomplete objects, and cleans up when it is opened again. Kills do not simulate a power failure, so the order of
# writes, syncs and renames is checked as well.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
need strace sha256sum
store=${STORE:-$root/build/release/tests/example_store}
[ -x "$store" ] || lacks "the program $store"
make_key kek
key=$keys/kek.pem
strace_works || lacks "a strace that may trace"

# The calls that change something, and those between them. A kill before the N-th call is a kill after all calls before
# it.
calls="openat mkdirat flock getdents64 read pwrite64 fsync renameat unlinkat close write"

digest_of() { sha256sum <"$1" | cut -c 1-64; }

killed_at() { # killed_at CALL N ARGUMENT...: run the store and kill it at that call; false if the call was not reached
    local call=$1 n=$2
    shift 2
    last=" killed at $call $n: $*"
    {
        strace -f -qq -o "$tmp/trace" -e trace="$call" -e inject="$call":signal=KILL:when="$n" \
            "$store" "$key" s "$@" >"$out" 2>"$err"
        code=$?
    } 2>/dev/null # suppress the shell's message about each kill
    [ $code = 137 ] || [ $code = 0 ] || fail "it should be killed, or succeed"
    [ $code != 0 ]
}

holds() { # holds FILE: the store has the object with the right content
    try "$store" "$key" s get "$(digest_of "$1")"
    expect_same "$1" "$out"
}

holds_or_lacks() { # holds_or_lacks FILE: the store has the whole object, or does not have it
    try "$store" "$key" s get "$(digest_of "$1")"
    [ "$code" = 3 ] || expect_same "$1" "$out"
}

clean() { # clean: staging is empty, and every object has its digest as its name
    check "staging is empty" test -z "$(ls -A s/staging)"
    check "all names are digests" test -z "$(find s/objects -mindepth 1 | grep -vE '/[0-9a-f]{64}$')"
}

put() { "$store" "$key" s put <"$1" >/dev/null; }

fresh "verbs"
sample a 100000
sample c 2200000
: >empty
for file in a c empty; do
    try "$store" "$key" s put <$file
    expect_ok
    check "the digest" test "$(cat "$out")" = "$(digest_of $file)"
    try "$store" "$key" s stat "$(digest_of $file)"
    expect_stdout "^$(stat -c %s $file)$"
    holds $file
done
try "$store" "$key" s get "$(digest_of c)" 1048570 20
check "a range" cmp -s "$out" <(tail -c +1048571 c | head -c 20)
try "$store" "$key" s delete "$(digest_of c)"
expect_ok
for verb in get stat delete; do
    try "$store" "$key" s $verb "$(digest_of c)"
    expect_code 3
    expect_stderr "No such file.*E-INPUT"
done
try "$store" "$key" s get ../../f
expect_code 1
check "nothing of it is readable" test -z "$(grep -rlaF -e "$(head -c 16 a | tr -d '\0\n')" s)"

fresh "killed while putting"
printf 'an object that was acknowledged' >a
sample c 1200000
want=$(digest_of c)
steps=0
for call in $calls; do
    for ((n = 1; n < 200; n++)); do
        rm -rf s
        # with n = 1, and always for mkdirat, the store does not exist yet
        [ "$n" = 1 ] || [ "$call" = mkdirat ] || put a
        killed_at "$call" $n put <c || break
        acknowledged=$(cat "$out")
        steps=$((steps + 1))
        case $acknowledged in
        "") holds_or_lacks c ;;
        "$want") holds c ;;
        *) fail "what was acknowledged is $acknowledged" ;;
        esac
        if [ "$n" != 1 ] && [ "$call" != mkdirat ]; then
            holds a
        fi
        clean
    done
done
echo "put: killed at $steps places"
check "there were that many" test $steps -gt 50

fresh "killed while deleting"
printf 'an object that was acknowledged' >a
sample c 50000
steps=0
for call in $calls; do
    for ((n = 1; n < 200; n++)); do
        rm -rf s
        put a
        put c
        killed_at "$call" $n delete "$(digest_of c)" || break
        steps=$((steps + 1))
        holds_or_lacks c
        holds a
        clean
    done
done
echo "delete: killed at $steps places"
check "there were that many" test $steps -gt 20

# What is on the disk after a power failure: the data is synced before the rename, and the rename before the
# acknowledgement.
fresh "the order of writes"
sample c 1200000
strace -f -y -qq -o trace -e trace=pwrite64,fsync,renameat,unlinkat,write "$store" "$key" s put <c >digest
order=$(grep -E '/staging/0>|renameat|/objects>|/digest>' trace | grep -oE 'pwrite64|fsync\([0-9]+<[^>]*/(staging/0|objects)>|renameat|write\(1' |
    sed 's/fsync.*staging.*/sync-data/; s/fsync.*objects.*/sync-name/' | uniq | paste -sd' ')
check "put: $order" test "$order" = "pwrite64 sync-data renameat sync-name write(1"
strace -f -y -qq -o trace -e trace=fsync,unlinkat "$store" "$key" s delete "$(cat digest)"
order=$(grep -oE 'unlinkat|fsync\([0-9]+<[^>]*/objects>' trace | sed 's/fsync.*/sync-name/' | paste -sd' ')
check "delete: $order" test "$order" = "unlinkat sync-name"

# A disk that is full or broken is an error, not a crash: the store cleans up at once.
fresh "a disk that fails"
sample c 1200000
put c
sample d 1300000
for fault in pwrite64:error=ENOSPC:when=2 fsync:error=EIO:when=1+ renameat:error=EDQUOT openat:error=EMFILE:when=40+; do
    try strace -f -qq -o trace -e trace="${fault%%:*}" -e inject="$fault" "$store" "$key" s put <d
    [[ $fault == openat* ]] || expect_code 1
    [ "$code" = 0 ] || expect_stdout ""
    [ "$code" = 0 ] || check "staging is empty at once" test -z "$(ls -A s/staging)"
done
holds c
holds_or_lacks d

finish

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Memory that runs out, for one allocation or from some moment on (tests/faults/memory.c). Every verb ends with exit code
# 1, or succeeds; it never says that a good blob or key is damaged, forged or foreign. Outputs are complete or absent.
# In the tier `all`: the first 200 allocations of each verb and every 50th after them. Otherwise a twentieth of them.
# shellcheck source=tests/cli/lib.sh
# shellcheck disable=SC2317 # functions are passed by name
. "$(dirname "$0")/lib.sh"

[ $sanitized = no ] || skip "a sanitizer has an allocator of its own"
fail_memory=${FAIL_MEMORY_LIBRARY:-$root/build/release/tests/fail_memory.so}
[ -e "$fail_memory" ] || lacks "$fail_memory"

make_key kek
make_key new
sample "$tmp/plain" 300000
"$blobseal" seal -q -k "$keys/kek.pub.pem" --slot-size 4096 -o "$tmp/sealed" "$tmp/plain" || exit 1

# with_failure RULE ARGUMENT...: run the program; true if an allocation failed
with_failure() {
    local rule=$1
    shift
    rm -f "$tmp/mark"
    try env FAIL_MEMORY="$rule" FAIL_MEMORY_MARK="$tmp/mark" LD_PRELOAD="$fail_memory" "$blobseal" "$@"
    printf -v last ' FAIL_MEMORY=%q%s' "$rule" "$last"
    [ -e "$tmp/mark" ]
}

some=20 few=1000 # steps within the first 200 allocations, and after them
! tier_has all || some=1 few=50

# OpenSSL (3.0.19, sh_init() in crypto/mem_sec.c) ends the process if there is no memory for its secure heap, with which
# the program starts. Nothing has been read or written then.
openssl_gave_up() { [ "$code" = 134 ] && grep -q 'mem_sec\.c.*assertion failed: sh\.' "$err"; }

# each PREPARE RIGHT ARGUMENT...: let each allocation of a verb fail. PREPARE makes its files; RIGHT is true if what it
# has left is right for its exit code $code.
each() {
    local prepare=$1 right=$2 how at
    shift 2
    for how in once from; do
        at=1
        while $prepare && with_failure "$how:$at" "$@"; do
            if openssl_gave_up; then
                check "it is one of its first allocations" test $at -lt 10
            elif [ "$code" -gt 1 ]; then
                fail "the exit code should be 0 or 1"
            else
                check "the output is complete or absent" "$right"
            fi
            [ $failed -lt 20 ] || finish
            at=$((at + (at < 200 ? some : few)))
        done
        check "it works if nothing fails" test "$code" = 0
    done
}

# complete_or_absent FILE: the output of a verb that has ended with $code is there or not
complete_or_absent() {
    if [ "$code" = 0 ]; then [ -e "$1" ]; else [ ! -e "$1" ]; fi
}

no_output() { rm -f ./*; }
sealed_ok() { complete_or_absent blob && { [ "$code" != 0 ] || "$blobseal" verify -q -k "$keys/kek.pem" blob; }; }
opened_ok() { complete_or_absent back && { [ "$code" != 0 ] || cmp -s back "$tmp/plain"; }; }
made_ok() { complete_or_absent k.pem && complete_or_absent p.pem; }
copy_blob() { cp "$tmp/sealed" blob; }
nothing() { :; }
changed_ok() { # the old or the new key opens it
    if [ "$code" = 0 ]; then
        "$blobseal" verify -q -k "$keys/new.pem" blob
    else
        "$blobseal" verify -q -k "$keys/kek.pem" -k "$keys/new.pem" blob
    fi
}

fresh "seal"
each no_output sealed_ok seal -q -j 1 -k "$keys/kek.pub.pem" -o blob "$tmp/plain"
fresh "open"
each no_output opened_ok open -q -j 1 -k "$keys/kek.pem" -o back "$tmp/sealed"
fresh "verify"
each nothing nothing verify -q -j 1 -k "$keys/kek.pem" "$tmp/sealed"
fresh "rewrap"
each copy_blob changed_ok rewrap -q -k "$keys/kek.pem" --to "$keys/new.pub.pem" blob
fresh "scrub"
each nothing nothing scrub -q -j 1 "$tmp/sealed"
fresh "inspect"
each nothing nothing inspect "$tmp/sealed"
fresh "keygen"
tier_has all || few=5000 # it takes long
each no_output made_ok keygen -q --rsa 2048 -o k.pem --pub p.pem

finish

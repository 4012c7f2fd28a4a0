#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# --digest: the digests that seal, open and verify report are those of the bytes, and only those that were requested.
# The digest of the envelope is that of its bytes in the blob or in its file, whoever reports it.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
make_key kek
key=$keys/kek.pem

sha() { sha256sum "$@" | cut -d' ' -f1; }

fresh "attached: the core starts after the frame"
sample f 3333333
run seal -k "$key" --digest=core,output,plain f
expect_code 0
frame=$(od -An -tu4 -j20 -N4 f.sealed | tr -d ' ')
core=$(tail -c +$((frame + 1)) f.sealed | sha)
expect_stderr "^f.sealed: core sha256:$core$"
expect_stderr "^f.sealed: output sha256:$(sha f.sealed)$"
expect_stderr "^f.sealed: plain sha256:$(sha f)$"
run verify -k "$key" --digest f.sealed
expect_ok
expect_stdout "^f.sealed: core sha256:$core$"
check "only the core" test "$(grep -c sha256 "$out")" = 1
run open -k "$key" --digest=output,core -o back f.sealed
expect_code 0
expect_stderr "^f.sealed: core sha256:$core$"
expect_stderr "^f.sealed: output sha256:$(sha f.sealed)$"

fresh "in JSON, only if requested"
sample f 3333333
run seal -k "$key" --json --zstd f
expect_ok
check "no digest but that of the envelope" test "$(grep -o '[a-z]*_sha256' "$out")" = envelope_sha256
run verify -k "$key" --json --digest=plain f.sealed
expect_ok
json_is "$out" "d['plain_sha256'] == '$(sha f)'" "'core_sha256' not in d and 'output_sha256' not in d"
run seal -k "$key" --json --digest --detached g.jwe -o g f
expect_ok
json_is "$out" "d['core_sha256'] == '$(sha g)'" "'plain_sha256' not in d"

fresh "the digest of the core survives a rotation"
sample f 5000000
make_key next
run seal -q -k "$key" f
run verify -k "$key" --digest f.sealed
before=$(grep core "$out")
run rewrap -q -k "$key" --to "$keys/next.pem" f.sealed
expect_ok
run verify -k "$keys/next.pem" --digest f.sealed
expect_ok
check "the same" test "$(grep core "$out")" = "$before"

number() { # number OFFSET: print the 32-bit number at that offset of the file blob
    od -An -tu4 -j"$1" -N4 blob | tr -d ' '
}

envelope_sha() { # envelope_sha: print the SHA-256 of the envelope, cut out of the blob or from its own file
    local slot
    if [ -e e.jwe ]; then
        sha e.jwe
    else
        slot=$(number 12)
        dd if=blob bs=1 skip=$((slot + 24)) count="$(number $((slot + 4)))" status=none | sha
    fi
}

json_envelope() { # json_envelope: the last command reported the digest of the envelope as it is now
    json_is "$out" "d['envelope_sha256'] == '$(envelope_sha)'"
}

make_key spare
for options in --slot-size=16384 "" --detached=e.jwe; do
    fresh "the envelope, $options"
    with=() file=blob
    sample f 20000
    # shellcheck disable=SC2086
    run seal --digest -k "$key" -o blob $options f
    expect_stderr "^blob: envelope sha256:$(envelope_sha)$"
    # shellcheck disable=SC2086
    run seal --json -f -k "$key" -o blob $options f
    json_envelope
    first=$(envelope_sha)
    [ ! -e e.jwe ] || with=(--envelope e.jwe) file=e.jwe
    for claim in inspect "inspect -k $key" "verify -k $key" "open -k $key -f -o back"; do
        # shellcheck disable=SC2086
        run $claim --json "${with[@]}" blob
        expect_ok
        json_envelope
    done
    run inspect "${with[@]}" blob
    expect_stdout "^envelope +sha256:$first$"
    run recipients add --json -n -k "$key" --to "$keys/next.pub.pem" $file
    json_is "$out" "d['changed'] and d['envelope_sha256'] is None"
    run recipients add --json -k "$key" --to "$keys/next.pub.pem" $file
    json_envelope
    check "another one" test "$(envelope_sha)" != "$first"
    run recipients add --json -k "$key" --to "$keys/next.pub.pem" $file
    json_is "$out" "not d['changed']"
    json_envelope
    run recipients remove --json -k "$key" --kid "$keys/next.pub.pem" $file
    json_envelope
    run rewrap --json -k "$key" --to "$keys/spare.pub.pem" $file
    json_envelope
    if [ $file = blob ]; then
        run rewrap --json --slot-size 8192 -k "$keys/spare.pem" --to "$keys/spare.pub.pem" blob
        json_is "$out" "d['changed']"
        json_envelope
    fi
done
title="the envelope of a blob that is repaired"
fresh "$title"
sample f 20000
run seal -q -k "$key" --slot-size=16384 -o blob f
printf '?' | dd of=blob bs=1 seek=4500 conv=notrunc 2>/dev/null
run recipients repair --json -k "$key" blob
json_is "$out" "d['finished'] and not d['changed']"
json_envelope

fresh "a detached blob without its envelope"
sample f 100
run seal -q -k "$key" --detached=e.jwe -o blob f
run inspect --json blob
json_is "$out" "d['envelope_sha256'] is None"

fresh "mistakes"
sample f 100
run seal -k "$key" --digest=md5 f
expect_code 2
expect_stderr "core, output and plain"
run seal -q -k "$key" f
run open -k "$key" --digest --range 0:5 -o part f.sealed
expect_code 2
run verify -k "$key" --digest=core, f.sealed
expect_code 2
finish

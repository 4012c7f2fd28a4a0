#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# --digest: the digests that seal, open and verify report are those of the bytes, and only those that were requested.
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
check "no digest" grep -vq sha256 "$out"
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

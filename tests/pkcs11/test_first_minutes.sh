#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The first ten minutes of blobseal-keys(7), as they are printed there.
# shellcheck source=tests/pkcs11/lib.sh
. "$(dirname "$0")/lib.sh"
need_provider
need softhsm2-util mandoc
module=$(find_module libsofthsm2.so) || lacks "the module of SoftHSM 2"

fresh "the commands of the page"
mkdir bin
ln -s "$blobseal" bin/blobseal
sed '/^\.Ss From/q' "$root/tools/man/blobseal-keys.7" | sed -n '/^\.Bd -literal/,/^\.Ed/{/^\./d;p}' | sed "s,^module=.*,module=$module," >commands
check "there are commands" test "$(wc -l <commands)" -gt 10
try env PATH="$PWD/bin:$PATH" bash -euo pipefail commands
expect_code 0
check "they end with the letter" test "$(tail -n 1 "$out")" = hello
expect_stdout "^ok +unwrap "

title="the public half that was written, and the key in the token, are the same"
export SOFTHSM2_CONF=$PWD/softhsm2.conf
key="pkcs11:token=try;object=kek?module-path=$module"
run key show -q kek.pub.pem
kid=$(cat "$out")
run key show -q "$key"
expect_stdout "^$kid$"
finish

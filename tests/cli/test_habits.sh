#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What people try first, mistype, or expect from other programs.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

make_key kek
seal_key=$keys/kek.pub.pem
open_key=$keys/kek.pem

# ---- Words that are nearly right ----

title="did you mean"
suggested() { # suggested WORD ARGUMENT...: the program refuses the arguments, and suggests WORD
    local word=$1
    shift
    run "$@"
    expect_error 2 E-USAGE
    expect_stderr "^blobseal: hint: did you mean $word\? Otherwise see: blobseal help"
}
suggested seal sael
suggested seal selal f
suggested open opn
suggested verify help veryfy
suggested recipients recipient list f
suggested recipients recip
suggested --output seal --ouput f
suggested --passphrase-file open --passphrase-fiel=f
suggested --quiet seal --quite
suggested remove recipients remvoe f
for arguments in x decrypt "seal --frobnicate" "seal -Z" "recipients f"; do
    # shellcheck disable=SC2086 # words
    run $arguments
    expect_error 2 E-USAGE
    check "nothing is suggested for $arguments" test -z "$(grep 'did you mean' "$err")"
done
run --json seal --ouput f
run seal --ouput f --json
json_is "$out" "'did you mean --output?' in d['hint']"

title="-V"
run -V
expect_code 0
expect_stdout '^blobseal [0-9]+\.[0-9]+\.[0-9]+ \(OpenSSL '

# ---- Ctrl-C ----

if part "a clean line after Ctrl-C" python3; then
    fresh
    mkfifo in
    sample f 2000000
    (cat f; sleep 1; cat f; sleep 60) >in 2>/dev/null &
    writer=$!
    on_terminal width:80 expect:"seal in" 'send:\x03' -- "$blobseal" seal -k "$seal_key" -o blob in
    expect_code 130
    check "the line of progress is gone" test "$(tail -c 4 "$out")" = $'\r\033[K'
    kill "$writer" 2>/dev/null
    no_leftovers in f
    make_key locked --passphrase-file <(echo secret)
    on_terminal expect:"Passphrase for" echo:off 'send:\x03' -- "$blobseal" open -k "$keys/locked.pem" -o g f
    expect_code 130
    check "the line of the prompt is ended" test "$(tail -c 1 "$out" | od -An -tx1)" = " 0a"
    check "the echo is on again" test "$(cat "$tmp/echo")" = on
    no_leftovers in f
fi

finish

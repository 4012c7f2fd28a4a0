#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compressed blobs: all kinds of input and output, compatibility with zstd(1), ranges, reports, and hostile content.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

make_key kek
seal_key=$keys/kek.pub.pem
open_key=$keys/kek.pem
mib1=$((1 << 20))

text() { # text FILE BYTES: write data that compresses, but does not repeat
    seq 1 $(($2 / 4 + 200)) | sed 's/7/seven/g' | head -c "$2" >"$1"
}

# ---- Sizes around the boundaries of frames (1 MiB), noise and text, files and pipes ----

fresh
for size in 0 1 100 $((mib1 - 1)) $mib1 $((mib1 + 1)) $((2 * mib1)) $((5 * mib1 + 4321)); do
    for make in text sample; do
        title="$size bytes of $make"
        $make f "$size"
        run seal -k "$seal_key" --zstd -o blob f
        expect_ok
        run open -k "$open_key" -o back blob
        expect_ok
        expect_same f back
        # shellcheck disable=SC2002 # pipes are the point
        cat f | pipe seal -k "$seal_key" --zstd=1 | cat >piped
        pipe_code "seal from a pipe to a pipe"
        if [ "$size" = 0 ]; then
            expect_code 0
            expect_stderr "^blobseal: warning: standard input was empty: "
            check "there is no other message" test "$(wc -l <"$err")" = 1
        else
            expect_ok
        fi
        for blob in blob piped; do
            # shellcheck disable=SC2002
            cat $blob | pipe open -k "$open_key" | cat >back
            pipe_code "open from a pipe to a pipe"
            expect_ok
            expect_same f back
            pipe open -k "$open_key" -o - $blob | cat >back
            pipe_code "open from a file to a pipe"
            expect_ok
            expect_same f back
            # shellcheck disable=SC2002
            cat $blob | pipe open -k "$open_key" -fo back
            pipe_code "open from a pipe to a file"
            expect_ok
            expect_same f back
            run verify -k "$open_key" $blob
            expect_ok
            expect_stdout "$blob: authentic, $size bytes"
        done
        rm -f blob piped back f
    done
done

# ---- Levels, threads, layouts ----

fresh "options"
text f $((3 * mib1 + 5))
for options in --zstd=1 --zstd=19 --zstd=-7 "--zstd -j 1" "--zstd -j 7" "--zstd --no-checksums" "--zstd --slot-size 4096"; do
    title="seal $options"
    # shellcheck disable=SC2086 # words are the point
    run seal -k "$seal_key" $options -o blob f
    expect_ok
    for jobs in 1 5; do
        run open -k "$open_key" -j $jobs -o back blob
        expect_ok
        expect_same f back
        rm -f back
    done
    check "it became smaller" test "$(stat -c %s blob)" -lt $((mib1 * 2))
    rm -f blob
done
title="detached"
run seal -k "$seal_key" --zstd --detached jwe -o blob f
expect_ok
run open -k "$open_key" --envelope jwe -o back blob
expect_ok
expect_same f back
title="levels that do not exist"
for level in 0 20 -8 x 3x "" -; do
    run seal -k "$seal_key" --zstd=$level -o other f
    expect_error 2 E-USAGE
    check "nothing is made" test ! -e other
done

# ---- zstd(1) ----

if part "zstd reads what --raw gives" zstd; then
    fresh
    for size in 0 1 $mib1 $((2 * mib1 + 77)); do
        text f "$size"
        run seal -k "$seal_key" --zstd -fo blob f
        run open -k "$open_key" --raw -fo raw.zst blob
        expect_ok
        try zstd -dqf raw.zst -o back
        expect_code 0
        expect_same f back
        pipe open -k "$open_key" --raw <blob | cat >piped.zst
        pipe_code "raw from a pipe"
        expect_ok
        expect_same raw.zst piped.zst
    done
    run seal -k "$seal_key" -fo blob f
    run open -k "$open_key" --raw -fo back blob
    expect_ok
    expect_same f back
fi

# ---- Ranges refer to bytes of the decompressed content ----

fresh "ranges"
text f $((3 * mib1 + 5))
run seal -k "$seal_key" --zstd -o blob f
for range in 0:10 1048570:20 $((mib1 * 2)):$mib1 3145730: 3145733: 100:0 5:3145000; do
    off=${range%:*} len=${range#*:}
    run open -k "$open_key" --range "$range" -fo part blob
    expect_ok
    tail -c +$((off + 1)) f | head -c "${len:-9999999}" >want
    expect_same want part
done

# ---- Reports ----

title="reports"
size=$((3 * mib1 + 5))
run seal -k "$seal_key" --zstd --json -fo blob f
expect_ok
json_is "$out" "(d['plain_bytes'], d['stored_bytes'] < 2000000, d['sealed_bytes'] > d['stored_bytes']) == ($size, True, True)"
run open -k "$open_key" --json -fo back blob
json_is "$out" "(d['plain_bytes'], d['stored_bytes'] < 2000000) == ($size, True)"
run open -k "$open_key" --json --raw -fo back blob
json_is "$out" "(d['plain_bytes'], d['stored_bytes']) == (None, $(stat -c %s back))"
run verify -k "$open_key" --json blob
json_is "$out" "(d['plain_bytes'], d['stored_bytes'] < 2000000) == ($size, True)"
run inspect --json blob
json_is "$out" "(d['content'], d['plain_bytes'], d['stored_bytes'] < 2000000) == ('zstd', None, True)"
run inspect -k "$open_key" --json blob
json_is "$out" "(d['content'], d['plain_bytes']) == ('zstd', $size)"
run inspect blob
expect_stdout 'zstd'
run inspect -k "$open_key" blob
expect_stdout "$size bytes"
run seal -k "$seal_key" --json -fo plain.sealed f
json_is "$out" "('stored_bytes' in d) == False"
run verify -k "$open_key" blob
expect_stdout 'zstd [0-9.]+%'
run seal -k "$seal_key" --zstd --progress plain -fo blob f
check "the summary says to how much" grep -qE 'zstd [0-9.]+%' "$err"

# ---- Hostile content, with limited memory ----

fresh "hostile content"
for vector in "$root"/tests/vectors/format/format-zstd-*.vec; do
    title=${vector##*/}
    sed '1,/^$/d' "$vector" >blob
    install -m 600 "$root/tests/vectors/format/kek1.pem" key.pem
    if [ "$sanitized" = no ]; then
        (ulimit -v 2000000 && exec "$blobseal" verify -k key.pem -j 2 blob) >"$out" 2>"$err"
    else
        "$blobseal" verify -k key.pem -j 2 blob >"$out" 2>"$err"
    fi
    code=$?
    last=" verify"
    expect_error 3 E-FORMAT 'zstd content'
    run open -k key.pem -o back blob
    expect_error 3 E-FORMAT
    check "no output" test ! -e back
    run open -k key.pem --raw -o back blob
    expect_ok
    rm -f back
done
finish

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Opening parts of a blob, sparse outputs, and envelopes that are too old.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

make_key kek
make_key other
seal_key=$keys/kek.pub.pem
open_key=$keys/kek.pem

cut_out() { # cut_out FILE OFFSET LENGTH: print that part of a file
    tail -c "+$(($2 + 1))" "$1" | head -c "$3"
}

# ---- Ranges ----

fresh "ranges"
size=5000000
sample f $size
run seal -k "$seal_key" -o blob f
expect_ok
run seal -k "$seal_key" --detached envelope --no-checksums -o core f
expect_ok
chunk=16384 mib=1048576
# Columns: the range as the user types it, its offset and its length in bytes.
while read -r range off len; do
    title="--range $range"
    cut_out f "$off" "$len" >want
    run open -k "$open_key" --range "$range" -o part blob
    expect_ok
    expect_same part want
    run open -k "$open_key" --range="$range" -o - blob
    expect_code 0
    expect_same "$out" want
    run open -k "$open_key" --envelope envelope -j 1 --range "$range" -o - core
    expect_same "$out" want
    run open -k "$open_key" --range "$range" <blob
    expect_same "$out" want
    rm -f part
done <<END_OF_RANGES
0:1 0 1
0:0 0 0
4999999:0 4999999 0
4999999:1 4999999 1
4999990:100 4999990 10
5000000: 5000000 0
5000000:7 5000000 0
4980000: 4980000 20000
0: 0 $size
16383:2 16383 2
1M:1M $mib $mib
1MiB:3KiB $mib 3072
0016K:007 $chunk 7
1048575:2M 1048575 2097152
70001:3000001 70001 3000001
4M:1T 4194304 805696
0:18446744073709551615 0 $size
4999999:18446744073709551615 4999999 1
1:9223372036854775808 1 4999999
END_OF_RANGES
no_leftovers f blob core envelope want
title="the report of a range"
if [ -z "$(missing python3)" ]; then
    run open -k "$open_key" --range 512:512 --json -o part blob
    expect_ok
    json_is "$out" "d['range'] == {'offset': 512, 'length': 512}" "d['plain_bytes'] == $size" "d['out'] == 'part'"
    run open -k "$open_key" --range 4999000: --json --force -o part blob
    json_is "$out" "d['range'] == {'offset': 4999000, 'length': 1000}"
    run open -k "$open_key" --json --force -o part blob
    json_is "$out" "'range' not in d"
fi

fresh "ranges that start beyond the end"
sample f $size
run seal -k "$seal_key" -o blob f
for off in 5000001 1G 281474976710656 256T 9223372036854775808 18446744073709551615 18446744073709551614; do
    for len in 0 1 "" 18446744073709551615; do
        title="--range $off:$len"
        run open -k "$open_key" --range "$off:$len" -o part blob
        expect_error 2 E-ARG "has 5000000 bytes"
    done
done
no_leftovers f blob

title="numbers that are none"
for range in "" : 1 :1 1:2:3 -1:2 1:-2 +1:2 0x10:1 "1 :2" "1: 2" 1.5:2 1k:2 1KB:2 1Ki:2 1KiBx:2 1P:2 K:1 1:K ::: 1,2 a:b \
    18446744073709551616:1 1:18446744073709551616 16777216T:1 1:16777216T 184467440737095516150:1; do
    run open -k "$open_key" --range "$range" -o part blob
    expect_error 2 E-USAGE "OFF:LEN"
done
title="a range needs a name"
cp blob f2.sealed
run open -k "$open_key" --range 0:5 f2.sealed
expect_error 2 E-USAGE "-o"
title="a range of a pipe"
# shellcheck disable=SC2002 # a pipe is the point
cat blob | pipe open -k "$open_key" --range 0:5 -o part >"$out"
pipe_code "open --range 0:5 of a pipe"
expect_error 2 E-CONFIG
no_leftovers f blob f2.sealed

title="a range beside damage"
cp blob bad
flip bad 3000000
run open -k "$open_key" --range 0:1000000 -o part bad
expect_ok
run open -k "$open_key" --range 2900000:200000 -o part2 bad
expect_error 3 E-AUTH
no_leftovers f blob f2.sealed bad part

# ---- Holes ----

room() { # room FILE: print the KiB that the file occupies on the disk
    du -k -- "$1" | cut -f 1
}

fresh "holes"
truncate -s 3M probe
if [ "$(room probe)" -gt 64 ]; then
    part_lacks "a file system with holes at $tmp"
else
    rm probe
    # Data at the start, with single zero bytes that are not holes; data across boundaries of writes (256 KiB) and
    # windows (1 MiB); a hole at the end.
    sample data 100000
    truncate -s 20M f
    dd if=data of=f conv=notrunc status=none
    for at in 262100 1048570 2097152 3145000 4194303 7000000; do
        head -c 5000 data | dd of=f bs=1 seek=$at conv=notrunc status=none
    done
    run seal -k "$seal_key" -o blob f
    expect_ok
    for jobs in 1 2 5; do
        title="holes: -j $jobs, from a file"
        run open -k "$open_key" -j $jobs --sparse -o back blob
        expect_ok
        expect_same f back
        check "it takes $(room back) KiB" test "$(room back)" -le 300
        rm back
        title="holes: -j $jobs, from a pipe"
        # shellcheck disable=SC2002
        cat blob | pipe open -k "$open_key" -j $jobs --sparse -o back
        pipe_code "open --sparse from a pipe"
        expect_ok
        expect_same f back
        check "it takes $(room back) KiB" test "$(room back)" -le 300
        rm back
        title="holes in a range: -j $jobs"
        run open -k "$open_key" -j $jobs --sparse --range 99000: -o back blob
        expect_ok
        tail -c +99001 f >want
        expect_same want back
        check "it takes $(room back) KiB" test "$(room back)" -le 200
        rm back
    done
    title="without --sparse every byte is written"
    run open -k "$open_key" -o back blob
    expect_ok
    check "it takes $(room back) KiB" test "$(room back)" -ge 20000
    title="holes do not show what was there before"
    run open -k "$open_key" -f --sparse -o back blob
    expect_ok
    expect_same f back
    for size in 0 1 4095 4096 4097 16384 1048576; do
        title="$size zeros"
        truncate -s 0 z
        truncate -s $size z
        run seal -f -k "$seal_key" -o zeros z
        run open -f -k "$open_key" --sparse -o back zeros
        expect_ok
        expect_same z back
        check "it takes $(room back) KiB" test "$(room back)" -le 4
    done
    for target in - /dev/null pipe; do
        title="holes in $target"
        [ $target != pipe ] || mkfifo pipe
        if [ $target = pipe ]; then
            exec 7<>pipe
            run open -k "$open_key" --sparse -o pipe blob
            exec 7>&-
        else
            run open -k "$open_key" --sparse -o $target blob
        fi
        expect_error 2 E-CONFIG "cannot have holes"
    done
fi

fresh "1 GiB of zeros"
truncate -s 1G f
available=$(df --output=avail -B1 "$tmp" | tail -n 1)
if [ "$(room f)" -gt 64 ] || [ "$available" -lt $((3 << 30)) ]; then
    part_lacks "more room in $tmp, and holes"
else
    run seal -k "$seal_key" f
    expect_ok
    mv f zeros
    run open -k "$open_key" --sparse f.sealed
    expect_ok
    check "it takes $(room f) KiB" test "$(room f)" -le 64
    expect_same f zeros
fi

# ---- Old envelopes ----

fresh "an old envelope"
sample f 5000000
run seal -k "$seal_key" f
expect_ok
head -c 36864 f.sealed >old
run recipients add -k "$open_key" --to "$keys/other.pub.pem" f.sealed
expect_code 0
run verify -q -k "$open_key" --min-generation 2 f.sealed
expect_ok
run inspect -k "$open_key" --min-generation 2 f.sealed
expect_code 0
expect_stdout "^generation +2"
run open -k "$open_key" --min-generation 2 -o back f.sealed
expect_ok
expect_same f back
rm back
dd if=old of=f.sealed conv=notrunc status=none
title="an old envelope is accepted without an anchor"
run open -k "$open_key" -o back f.sealed
expect_ok
expect_same f back
rm back
title="an old envelope is refused with one"
for verb in open verify inspect; do
    options=()
    [ $verb != open ] || options=(-o back)
    run $verb -k "$open_key" --min-generation 2 "${options[@]}" f.sealed
    expect_error 10 E-POLICY "generation 1, but at least 2"
done
# shellcheck disable=SC2002
cat f.sealed | pipe open -k "$open_key" --min-generation 2 >"$out"
pipe_code "open --min-generation 2 of a pipe"
expect_error 10 E-POLICY
run verify -k "$open_key" --min-generation 1 f.sealed
expect_code 0
title="generations that are none"
for n in 0 -1 x "" 1x 18446744073709551616 0x1 1K; do
    run verify -k "$open_key" --min-generation "$n" f.sealed
    expect_error 2 E-USAGE "min-generation"
done
run inspect --min-generation 1 f.sealed
expect_error 2 E-USAGE "needs a key"
no_leftovers f f.sealed old

# ---- During a change of the envelope ----

# The output is a pipe that is not read for a while. Meanwhile the envelope is changed in the same file.
fresh "an envelope that changes while its blob is opened"
sample f 9000000
run seal -k "$seal_key" f
expect_ok
mkfifo fifo
exec 7<>fifo
start open -k "$open_key" -o fifo f.sealed
head -c 1 <&7 >first
if timeout $hang_limit "$blobseal" recipients add -q -k "$open_key" --to "$keys/other.pub.pem" f.sealed; then
    pass
else
    fail "recipients add"
fi
exec 8<fifo 7>&-
cat <&8 >rest
exec 8<&-
ended
expect_ok
cat first rest >back
expect_same f back
run verify -q -k "$keys/other.pem" --min-generation 2 f.sealed
expect_ok

finish

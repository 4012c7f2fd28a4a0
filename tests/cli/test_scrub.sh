#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# blobseal scrub: it finds and reports corruption without a key, in one file and in many, with exit codes and JSON.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

need python3
make_key kek
seal_key=$keys/kek.pub.pem
open_key=$keys/kek.pem

poke() { # poke FILE OFFSET: change one byte
    local old
    old=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf '%b' "\\x$(printf %x $((old ^ 0x55)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# A blob of three segments with two slots: frame of 4096 + 2 * 8192 bytes, core header at 20480, payload at 20576.
fresh "a sound blob"
sample f 2500000
"$blobseal" seal -q -k "$seal_key" --slot-size 8192 f
mv f.sealed good
payload=20576
stride=1049608
cp good b
run scrub b
expect_ok
expect_stdout "^b: no corruption found, 2\.4 MiB checked at "
check "it never says authentic" test -z "$(grep -i authentic "$out" "$err")"
run scrub -q b
expect_ok
expect_stdout ""
run scrub --json b
expect_ok
json_is "$out" 'd["schema"] == "blobseal.scrub/1"' 'd["file"] == "b"' 'd["ok"] is True' 'd["damaged"] == []' \
    'd["payload_checked"] is True' 'd["layout"] == "ab"' 'd["generation"] == 1' 'd["plain_bytes"] == 2500000' \
    'd["damages"] == 0' 'not d["slot_damaged"] and not d["change_unfinished"] and d["length_possible"]' \
    'd["sealed_bytes"] == __import__("os").path.getsize("b")' 'd["seconds"] >= 0' 'not d["repairable"]'
for threads in 1 2 7; do
    run scrub -j $threads b
    expect_ok
done
for arguments in "" "-"; do
    # shellcheck disable=SC2086
    pipe scrub $arguments <b >"$out"
    pipe_code scrub
    expect_ok
    expect_stdout "^standard input: no corruption found"
    # shellcheck disable=SC2002,SC2086
    cat b | pipe scrub --json $arguments >"$out"
    pipe_code scrub
    expect_ok
    json_is "$out" 'd["ok"]' 'd["file"] == "standard input"' 'd["plain_bytes"] == 2500000'
done

title="usage"
for arguments in "-j 0 b" "-j x b" "--progress=odd b" "--frobnicate" "-k x b"; do
    # shellcheck disable=SC2086
    run scrub $arguments
    expect_error 2 E-USAGE
done

# ---- One byte in each region ----

# Expected report for one changed byte: OFFSET KIND SEGMENT WHERE LENGTH REPAIRABLE
length=$(stat -c %s good)
while read -r offset kind segment where len repairable; do
    title="byte $offset: $kind"
    cp good b
    poke b "$offset"
    run scrub --json b
    expect_code 3
    expect_stderr "^blobseal: error: b is damaged in 1 place \(E-DAMAGED\)$"
    json_is "$out" 'd["ok"] is False' 'd["damages"] == 1' 'd["payload_checked"] is True' "d['repairable'] is $repairable" \
        "[(x['kind'], x['segment'], x['offset'], x['length']) for x in d['damaged']] == [('$kind', $segment, $where, $len)]"
    run scrub b
    expect_code 3
    expect_stdout "^b: (segment $segment, )?bytes $where to $((where + len - 1)): ."
    check "one line" test "$(wc -l <"$out")" = 1
    run scrub -q b
    expect_code 3
    expect_stdout "^b: (segment $segment, )?bytes $where to $((where + len - 1)): ."
    expect_stderr "^blobseal: error: b is damaged in 1 place \(E-DAMAGED\)$"
    [ "$repairable" = False ] || expect_stderr "^blobseal: hint: .*blobseal recipients repair -k KEY b"
done <<END3
0 frame None 0 1 True
8 frame None 8 1 False
33 frame None 33 1 True
63 frame None 63 1 True
64 frame None 64 1 True
4095 frame None 4095 1 True
4096 slot None 4096 8192 True
4200 slot None 4096 8192 True
12287 slot None 4096 8192 True
12288 slot None 12288 8192 True
20479 slot None 12288 8192 True
20480 core-header None 20480 1 True
20491 core-header None 20491 1 True
20575 core-header None 20575 1 True
$payload segment 0 $payload $stride False
$((payload + stride - 1)) segment 0 $payload $stride False
$((payload + stride)) segment 1 $((payload + stride)) $stride False
$((length - 9)) segment 2 $((payload + 2 * stride)) $((length - payload - 2 * stride)) False
$((length - 1)) segment 2 $((payload + 2 * stride)) $((length - payload - 2 * stride)) False
END3

title="what a repair cures is cured"
for offset in 0 33 64 4095 4200 12300 20491 20570; do
    cp good b
    poke b $offset
    run recipients repair -q -k "$open_key" b
    expect_code 0
    run scrub b
    expect_ok
    run verify -q -k "$open_key" b
    expect_ok
done

title="bytes that are not zero: who opens it is told of the repair"
cp good b
poke b 1000
run verify -k "$open_key" b
expect_error 3 E-FORMAT "bytes before the slots are not zero"
expect_stderr "^blobseal: hint: repair it with a private key: blobseal recipients repair"

title="a hint to repair stands only where a repair succeeds"
for places in "8" "20488" "20 20520" "0 20480" "1000 20520" "20 5000" "20520 13000" "1000 20"; do
    cp good b
    for offset in $places; do poke b "$offset"; done
    run scrub b
    expect_code 3
    hint=no
    ! grep -q "recipients repair" "$err" || hint=yes
    run recipients repair -q -k "$open_key" b
    check "$places: the hint ($hint) and the repair (exit code $code) agree" test "$hint:$code" = yes:0 -o "$hint:$code" = no:3 \
        -o "$hint:$code" = no:12
done

# ---- More than one byte ----

title="swapped segments"
cp good b
"$python" - b $payload $stride <<'END2'
import sys

name, payload, stride = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
b = bytearray(open(name, "rb").read())
first, second = payload, payload + stride
b[first:second], b[second:second + stride] = b[second:second + stride], b[first:second]
open(name, "wb").write(b)
END2
run scrub --json b
expect_code 3
json_is "$out" '[x["segment"] for x in d["damaged"]] == [0, 1]'

title="an unfinished change is a warning"
cp good b
cp good c
run recipients add -q -k "$open_key" --to "$(make_key new && echo "$keys/new.pub.pem")" c
dd if=c of=b bs=4096 skip=1 seek=1 count=2 conv=notrunc status=none
run scrub b
expect_code 0
expect_stderr "^blobseal: warning: b: a change of the envelope did not finish"
expect_stdout "^b: no corruption found"
run scrub -q b
expect_ok
run scrub --json b
expect_code 0
json_is "$out" 'd["ok"]' 'd["change_unfinished"]' 'd["generation"] == 2' 'not d["slot_damaged"]'

title="cut and extended"
while read -r size kind; do
    cp good b
    truncate -s "$size" b
    run scrub --json b
    expect_code 3
    json_is "$out" 'd["damages"] == 1' "d['damaged'][0]['kind'] == '$kind'"
    # shellcheck disable=SC2002
    cat b | pipe scrub --json >"$out"
    pipe_code scrub
    expect_code 3
    json_is "$out" 'd["damages"] == 1' "d['damaged'][0]['kind'] == '$kind'"
done <<END3
8 end
63 end
64 end
4096 end
20479 end
20480 end
20575 end
20576 end
20577 end
$((payload + 24)) segment
$((payload + stride - 1)) segment
$((payload + stride)) end
$((payload + stride + 23)) end
$((payload + 2 * stride)) end
$((length - 1)) segment
$((length + 1)) segment
$((length + 16400)) segment
END3
# shellcheck disable=SC2002
cat b | pipe scrub >"$out"
pipe_code scrub
expect_code 3
expect_stderr "^blobseal: error: standard input is damaged in 1 place \(E-DAMAGED\)$"
truncate -s $((length + stride)) b
run scrub b
expect_code 3
expect_stdout "^b: segment 2, .*: damaged|^b: segment 2, "

title="a lot of damage"
head -c $((130 << 20)) /dev/zero >zeros
"$blobseal" seal -q -k "$seal_key" --slot-size 8192 -f -o b zeros
rm zeros
"$python" - b $payload $stride <<'END2'
import sys

with open(sys.argv[1], "r+b") as f:
    for i in range(120):
        f.seek(int(sys.argv[2]) + i * int(sys.argv[3]) + 5)
        f.write(b"XYZ")
END2
run scrub b
expect_code 3
expect_stderr "b is damaged in 120 places"
check "100 places are listed" test "$(grep -c 'does not match' "$out")" = 100
expect_stdout "^b: and 20 more$"
check "in order" sh -c "sed -n 's/.*segment \([0-9]*\),.*/\1/p' '$out' | sort -nc"
run scrub --json b
expect_code 3
json_is "$out" 'd["damages"] == 120' '[x["segment"] for x in d["damaged"]] == list(range(120))'
rm b

# ---- Blobs without checksums or without an envelope, and files that are not blobs ----

fresh "blobs without checksums, and detached ones"
sample f 2500000
"$blobseal" seal -q -k "$seal_key" --no-checksums -o bare f
"$blobseal" seal -q -k "$seal_key" --detached d.jwe -o core f
run scrub bare
expect_ok
expect_stdout "^bare: no corruption found .* no checksums: only verify"
run scrub --json bare
expect_ok
json_is "$out" 'd["ok"]' 'd["payload_checked"] is False'
poke bare 100000
run scrub bare
expect_ok
truncate -s 1054695 bare
run scrub core
expect_ok
run scrub --json core
expect_ok
json_is "$out" 'd["layout"] == "detached"' 'd["generation"] is None' 'd["payload_checked"]'
poke core 2000000
run scrub --json core
expect_code 3
json_is "$out" '[x["segment"] for x in d["damaged"]] == [1]' 'not d["repairable"]'
title="no blobs"
: >empty
sample noise 5000
for file in empty noise f; do
    run scrub $file
    expect_error 3 E-FORMAT "$file is (empty: )?not a sealed blob"
done
run scrub nosuch
expect_error 7 E-INPUT "nosuch"

# ---- Many files ----

fresh "many files"
sample f 3000
"$blobseal" seal -q -k "$seal_key" f
mkdir -p tree/b/c tree/a.sealed tree/empty
echo text >tree/b/text
head -c 5 f.sealed >tree/b/short
: >tree/b/nothing
for name in tree/z.sealed tree/b/y.sealed tree/b/c/x.sealed tree/a.sealed/w.sealed tree/b/other; do cp f.sealed $name; done
ln -s ../b tree/empty/loop
ln -s ../../f.sealed tree/b/link.sealed
ln -s .. tree/b/c/up.sealed
mkfifo tree/pipe.sealed
run scrub tree
expect_ok
check "the files of the folder, sorted" test \
    "$(sed 's/: .*//; $d' "$out" | tr '\n' ' ')" = \
    "tree/a.sealed/w.sealed tree/b/c/x.sealed tree/b/link.sealed tree/b/other tree/b/y.sealed tree/z.sealed "
expect_stdout "^6 files checked, [0-9.]+ KiB: 0 damaged, 0 with another error$"
run scrub tree f.sealed tree/b/other
expect_ok
check "and those named" test "$(wc -l <"$out")" = 9
expect_stdout "^8 files checked"
run scrub -q tree
expect_ok
check "quiet about a total" test ! -s "$out"
run scrub f.sealed
expect_ok
check "no total of one file" test "$(wc -l <"$out")" = 1
ln -s tree way
run scrub way
expect_ok
check "a link that is named is followed" test "$(wc -l <"$out")" = 7

title="a report that nobody can read"
"$blobseal" scrub tree f.sealed tree >/dev/full 2>"$err"
code=$?
last=" scrub tree f.sealed tree >/dev/full"
expect_code 8
check "it is said once, and the rest is left" test "$(grep -c '^blobseal: error: ' "$err")" = 1
check "and nothing else is said" test -z "$(grep 'warning' "$err")"

title="some are damaged"
poke tree/b/y.sealed 2000
run scrub --json tree
expect_code 9
check "one object a file" test "$(wc -l <"$out")" = 6
grep '/y.sealed' "$out" >one
json_is one 'd["ok"] is False' 'd["file"] == "tree/b/y.sealed"'
check "the others are well" test "$(grep -c '"ok":true' "$out")" = 5
run scrub tree
expect_code 9
expect_stdout "^6 files checked, .*: 1 damaged, 0 with another error$"
run scrub tree/b/y.sealed
expect_code 3
run scrub f.sealed tree/b/y.sealed
expect_code 9
run scrub tree/b/y.sealed tree/b/y.sealed
expect_code 9
run scrub --json f.sealed nosuch
expect_code 9
tail -n 1 "$out" >one
json_is one 'd["schema"] == "blobseal.error/1"' 'd["file"] == "nosuch"' 'd["exit"] == 7'
run scrub -q f.sealed nosuch
expect_code 9
expect_stderr "open nosuch: No such file"
rm tree/b/y.sealed

title="links to nothing, and folders with nothing"
ln -s nothing tree/dead.sealed
run scrub tree
expect_code 9
expect_stderr "open tree/dead.sealed: No such file"
rm tree/dead.sealed
ln -s nothing tree/dead
run scrub tree
expect_ok
mkdir none
echo text >none/text
run scrub none
expect_code 7
expect_stderr "^blobseal: error: no blob was found \(E-INPUT\)$"
expect_stderr "^blobseal: warning: none: no blob was found in this folder$"
run scrub --json none
expect_code 7
json_is "$out" 'd["schema"] == "blobseal.error/1"' 'd["exit"] == 7'
run scrub none f.sealed
expect_code 0
expect_stderr "^blobseal: warning: none: no blob was found in this folder$"
touch none/x.sealed
run scrub none
expect_code 3

title="blobs without a name of their own"
mkdir cores
"$blobseal" seal -q -k "$seal_key" --detached cores/disk.jwe -o cores/disk.core f
cp f.sealed cores/attached
run scrub cores
expect_ok
expect_stdout "^cores/attached: no corruption found"
expect_stdout "^cores/disk.core: no corruption found"
expect_stdout "^cores/disk.jwe: a well-formed envelope"
expect_stdout "^3 files checked"
run scrub --json cores
expect_ok
sed -n 3p "$out" >one
json_is one 'd["schema"] == "blobseal.scrub/1"' 'd["file"] == "cores/disk.jwe"' 'd["ok"]' 'd["envelope"]' 'd["generation"] == 1'
poke cores/disk.core 1000
run scrub cores
expect_code 9
expect_stdout "^cores/disk.core: segment 0, .* does not match its checksum"
expect_stdout "^3 files checked, .*: 1 damaged, 0 with another error$"
rm cores/attached cores/disk.jwe
run scrub cores
expect_code 3
poke cores/disk.core 1
run scrub -q cores
expect_code 3
expect_stdout "^cores/disk.core: bytes 1 to 1: byte 1 of the core header is wrong"
head -c 500 f.sealed >cores/disk.jwe
run scrub -q cores
expect_code 9
expect_stderr "cores/disk.jwe"

title="files that are not blobs are not read, and special files are not opened"
if [ $sanitized = no ] && { strace_sees || part_lacks "a strace that sees files"; }; then
    mkdir others
    for i in 1 2 3 4 5 6 7 8; do head -c 100000 /dev/zero >others/$i; done
    cp f.sealed others/blob
    mkfifo others/pipe
    try strace -f -qq -o "$tmp/trace" -e trace=openat,pread64,read "$blobseal" scrub -j 1 others
    expect_ok
    check "no pipe is opened" test -z "$(grep 'others/pipe' "$tmp/trace")"
    check "8 bytes of each" test "$(grep -c 'pread64.* 8, 0) *= 8' "$tmp/trace")" -ge 9
fi

title="a folder that cannot be read"
if have_user; then
    chmod 000 tree/b/c
    run_as_user scrub tree
    expect_code 9
    expect_stderr "^blobseal: error: look into tree/b/c: Permission denied \(E-INPUT\)$"
    check "the others are checked" test "$(grep -c 'no corruption found' "$out")" = 4
    chmod 755 tree/b/c
    chmod 000 tree/b/other
    run_as_user scrub tree
    expect_code 9
    expect_stderr "^blobseal: error: look into tree/b/other: Permission denied \(E-INPUT\)$"
    chmod 644 tree/b/other
fi

# ---- Options, and errors other than damage ----

title="a report that cannot be written"
"$blobseal" scrub f.sealed >/dev/full 2>"$err"
code=$?
last=" scrub f.sealed >/dev/full"
expect_code 8

title="sectors that cannot be read"
if [ $sanitized = no ] && { strace_works || part_lacks "a strace that may trace"; }; then
    fresh
    sample f 9000000
    "$blobseal" seal -q -k "$seal_key" f
    try strace -f -qq -o "$tmp/trace" -e trace=pread64 -e inject=pread64:error=EIO:when=9 "$blobseal" scrub --json -j 1 f.sealed
    check "the fault was there" grep -q INJECTED "$tmp/trace"
    expect_code 3
    json_is "$out" 'd["damages"] == 1' 'd["damaged"][0]["kind"] == "segment"' \
        '"cannot be read" in d["damaged"][0]["text"]' 'd["sealed_bytes"] == __import__("os").path.getsize("f.sealed")'
    try strace -f -qq -o "$tmp/trace" -e trace=pread64 -e inject=pread64:error=ESTALE:when=9 "$blobseal" scrub -j 1 f.sealed
    expect_error 7 E-INPUT "read f.sealed"
fi

finish

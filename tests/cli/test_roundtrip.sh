#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every sealed blob opens again: all sizes, all kinds of input and output, all options, all names.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

make_key kek
make_key other
seal_key=$keys/kek.pub.pem
open_key=$keys/kek.pem

round() { # round FILE [SEAL-OPTION]...: seal and open a file by its name, compare, and check that no other files remain
    local file=$1
    shift
    run seal -k "$seal_key" "$@" -o blob -- "$file"
    expect_ok
    run open -k "$open_key" -o back -- blob
    expect_ok
    expect_same "$file" back
    rm -f blob back
}

# ---- Sizes around the boundaries of chunks (16 KiB), segments (1 MiB) and layouts (4 MiB), four ways each ----

kib16=$((16 << 10)) mib1=$((1 << 20)) mib4=$((4 << 20))
fresh
for size in 0 1 15 16 17 $((kib16 - 1)) $kib16 $((kib16 + 1)) $((2 * kib16)) \
    $((mib1 - kib16)) $((mib1 - 1)) $mib1 $((mib1 + 1)) $((mib1 + kib16)) $((2 * mib1)) $((3 * mib1 - 1)) \
    $((mib4 - 1)) $mib4 $((mib4 + 1)) $((mib4 + mib1)) $((8 * mib1 + 4321)); do
    title="$size bytes"
    sample f "$size"
    round f

    pipe seal -k "$seal_key" <f | cat >blob
    pipe_code "seal from a pipe to a pipe"
    expect_ok
    # shellcheck disable=SC2002 # a pipe is the point
    cat blob | pipe open -k "$open_key" | cat >back
    pipe_code "open from a pipe to a pipe"
    expect_ok
    expect_same f back

    pipe seal -k "$seal_key" f -o - | cat >blob
    pipe_code "seal from a file to a pipe"
    expect_ok
    pipe open -k "$open_key" -o - blob | cat >back
    pipe_code "open from a file to a pipe"
    expect_ok
    expect_same f back
    rm blob back

    # shellcheck disable=SC2002
    cat f | pipe seal -q -k "$seal_key" -o blob -
    pipe_code "seal from a pipe to a file"
    expect_ok
    # shellcheck disable=SC2002
    cat blob | pipe open -k "$open_key" -o back
    pipe_code "open from a pipe to a file"
    expect_ok
    expect_same f back
    # shellcheck disable=SC2002
    cat blob | pipe verify -k "$open_key" >said
    pipe_code "verify a pipe"
    expect_ok
    check "verify says how much it is" grep -q "standard input: authentic, $size bytes" said
    rm blob back said
    no_leftovers f
done

# ---- Options ----

fresh "options"
sample f $((mib4 + 70001))
for options in "--no-checksums" "--slot-size 4096" "--slot-size 65536" "--oaep sha1" "-j 1" "-j 2" "-j 7" "-j 256" \
    "--jobs=3 --no-checksums --slot-size=12288" "-qj1" "--progress none" "--progress=auto"; do
    title="seal $options"
    # shellcheck disable=SC2086 # words are the point
    round f $options
done
for jobs in 1 2 7 64; do
    title="open -j $jobs"
    pipe seal -k "$seal_key" -j "$jobs" <f | cat >blob
    for from in file pipe; do
        if [ $from = file ]; then
            run open -k "$open_key" -j "$jobs" -o back blob
        else
            # shellcheck disable=SC2002
            cat blob | pipe open -k "$open_key" -j "$jobs" -o back
            pipe_code "open -j $jobs from a pipe"
        fi
        expect_ok
        expect_same f back
        rm back
    done
    run verify -k "$open_key" -j "$jobs" blob
    expect_code 0
    expect_stdout "^blob: authentic, $((mib4 + 70001)) bytes$"
    rm blob
done
for bits in 3072 4096; do
    title="RSA-$bits"
    make_key "k$bits" --rsa "$bits"
    for hash in sha256 sha1; do
        run seal -k "file:$keys/k$bits.pub.pem" --oaep "$hash" -o blob f
        expect_ok
        run open -k "file:$keys/k$bits.pem" -o back blob
        expect_ok
        expect_same f back
        rm blob back
    done
done
title="a private key seals too"
run seal -k "$open_key" -o blob f
expect_ok
run open -k "$open_key" -o back blob
expect_same f back

# ---- Several recipients ----

fresh "several recipients"
sample f 100000
run seal -k "$seal_key" -k "$keys/other.pub.pem" -k "$keys/k3072.pub.pem" f
expect_ok
for key in kek other k3072; do
    run open -k "$keys/$key.pem" -o back f.sealed
    expect_ok
    expect_same f back
    rm back
done
run open -k "$keys/k4096.pem" -k "$keys/other.pem" -o back f.sealed
expect_ok
run inspect f.sealed
check "inspect lists three" test "$(grep -cE 'RSA-OAEP-256  [A-Za-z0-9_-]{12}$' "$out")" = 3

fresh "64 recipients"
sample f 5000
many=()
for ((i = 0; i < 64; i++)); do
    many+=(-k "$keys/many$i.pub.pem")
done
make_key many63
# Public keys without a known private key: any odd number of 2048 bits works as a modulus.
if part "64 recipients" python3; then
    "$python" - "$keys" <<'END'
import base64
import os
import sys

for i in range(63):
    modulus = b"\x00\xc1" + os.urandom(254) + b"\x01"
    key = b"\x30\x82\x01\x0a\x02\x82\x01\x01" + modulus + b"\x02\x03\x01\x00\x01"
    head = bytes.fromhex("30820122300d06092a864886f70d01010105000382010f00")
    text = base64.encodebytes(head + key).decode()
    with open(f"{sys.argv[1]}/many{i}.pub.pem", "w") as f:
        f.write(f"-----BEGIN PUBLIC KEY-----\n{text}-----END PUBLIC KEY-----\n")
END
    run seal "${many[@]}" --slot-size 65536 -o blob f
    expect_ok
    run open -k "$keys/many63.pem" -o back blob
    expect_ok
    expect_same f back
    run inspect blob
    check "inspect lists 64" test "$(grep -c 'RSA-OAEP-256' "$out")" = 64
    run seal "${many[@]}" -o compact f
    expect_ok
    run verify -k "$keys/many63.pem" compact
    expect_code 0
fi

# ---- Detached envelopes ----

for size in 0 100 $((mib1 * 2)) $((mib4 + 1)); do
    fresh "detached, $size bytes"
    sample f "$size"
    run seal -k "$seal_key" --detached f.jwe f
    expect_ok
    no_leftovers f f.jwe f.sealed
    check "the core starts with its magic" test "$(head -c 8 f.sealed | od -An -tx1 | tr -d ' ')" = 894253430d0a1a0a
    run open -k "$open_key" --envelope f.jwe -o back f.sealed
    expect_ok
    expect_same f back
    # shellcheck disable=SC2002
    cat f.sealed | pipe open -k "$open_key" --envelope <(cat f.jwe) | cat >back2
    pipe_code "open with an envelope from a pipe"
    expect_ok
    expect_same f back2
    run verify -k "$open_key" --envelope f.jwe f.sealed
    expect_code 0
    run inspect --envelope f.jwe f.sealed
    expect_code 0
    # shellcheck disable=SC2002
    cat f | pipe seal -q -k "$seal_key" --detached e2.jwe >core2
    pipe_code "seal detached to stdout"
    expect_ok
    run open -k "$open_key" --envelope e2.jwe -o back3 core2
    expect_same f back3
done
title="the envelope of a blob, taken out by inspect --jwe, opens it"
sample f 5000
run seal -f -k "$seal_key" f
"$blobseal" inspect --jwe f.sealed >taken.jwe
run open -k "$open_key" --envelope taken.jwe -o back4 f.sealed
expect_ok
expect_same f back4

# ---- Redirections ----

fresh "redirections"
sample f 300000
"$blobseal" seal -k "$seal_key" <f >g
"$blobseal" open -k "$open_key" <g >h
expect_same f h
{
    printf x
    "$blobseal" seal -k "$seal_key" f -o -
    printf y
} >mixed
check "what stands before stays" test "$(head -c 1 mixed)" = x
check "what comes after comes after" test "$(tail -c 1 mixed)" = y
tail -c +2 mixed | head -c -1 >inner
run open -k "$open_key" -o back inner
expect_ok
expect_same f back
title="an input that does not stand at its start"
{
    head -c 1000 >skipped
    "$blobseal" seal -k "$seal_key"
} <f >g
tail -c +1001 f >rest
"$blobseal" open -k "$open_key" <g >h
check "the input was read in blocks" test "$(stat -c %s skipped)" = 1000
expect_same rest h
title="appending"
printf 'x' >g
"$blobseal" seal -k "$seal_key" <f >>g
tail -c +2 g >inner
"$blobseal" open -k "$open_key" <inner >h
expect_same f h
title="standard input and standard output by name"
"$blobseal" seal -k "$seal_key" -o - - <f >g
"$blobseal" open -k "$open_key" -o - - <g >h
expect_same f h
title="a device as output"
run seal -k "$seal_key" -o /dev/null f
expect_ok
check "/dev/null is still one" test -c /dev/null
run open -k "$open_key" -f -o /dev/null g
expect_ok
check "/dev/null is still one" test -c /dev/null

if part "pipes that do not block" python3; then
    "$python" - "$blobseal" "$seal_key" "$open_key" f h <<'END'
import os
import subprocess
import sys
import threading
import time

program, public, private, source, result = sys.argv[1:]


def pipe():
    r, w = os.pipe()
    os.set_blocking(r, False)
    os.set_blocking(w, False)
    return r, w


r1, w1 = pipe()
r2, w2 = pipe()
r3, w3 = pipe()
data = open(source, "rb").read()
seal = subprocess.Popen([program, "seal", "-k", public], stdin=r1, stdout=w2)
unseal = subprocess.Popen([program, "open", "-k", private], stdin=r2, stdout=w3)
for fd in (r1, w2, r2, w3):
    os.close(fd)
os.set_blocking(r3, True)
os.set_blocking(w1, True)


def feed():
    for at in range(0, len(data), 50000):
        os.write(w1, data[at:at + 50000])
        time.sleep(0.01)
    os.close(w1)


threading.Thread(target=feed).start()
time.sleep(0.3)  # give the pipes time to fill
with open(result, "wb") as out:
    while piece := os.read(r3, 10000):
        out.write(piece)
sys.exit(seal.wait() or unseal.wait())
END
    code=$?
    expect_code 0
    expect_same f h
fi

# ---- Names ----

fresh "names"
# shellcheck disable=SC2016 # no expansion is the point
names=('with spaces in it' -f -- --help 'back\slash' "quote's" $'new\nline' $'tab\there' 'grüße' $'not-utf8-\xff\xfe'
    '*' '~' '$HOME' "$(printf 'n%.0s' {1..248})" .hidden 'x.sealed')
for name in "${names[@]}"; do
    fresh "name $(printf %q "${name:0:40}")"
    sample "./$name" 3000
    run seal -k "$seal_key" -- "$name"
    expect_ok
    no_leftovers "$name" "$name.sealed"
    mv -- "./$name" "./was"
    run open -k "$open_key" -- "$name.sealed"
    expect_ok
    expect_same "./$name" was
    no_leftovers "$name" "$name.sealed" was
done

fresh "default names"
sample f 3000
mkdir sub
cp f sub/g
run seal -k "$seal_key" sub/g
expect_ok
no_leftovers f sub
check "the blob is beside its input" test -f sub/g.sealed
rm sub/g
run open -k "$open_key" ./sub/g.sealed
expect_ok
expect_same f sub/g
run open -k "$open_key" sub/g.sealed -o ./there
expect_ok
expect_same f there
title="options behind the input"
run seal f -k "$seal_key" -o late -j 1
expect_ok
title="a name that is a link"
ln -s f link
run seal -k "$seal_key" link
expect_ok
check "the link stays" test -L link
run open -k "$open_key" -o back link.sealed
expect_same f back

fresh "long folders"
deep=$(printf 'd%.0s' {1..200})
sample f 100
place=.
for ((i = 0; i < 12; i++)); do
    place=$place/$deep
done
mkdir -p "$place"
run seal -k "$seal_key" -o "$place/blob" f
expect_ok
check "a path of 2,400 bytes is a name like others" test -f "$place/blob"
run open -k "$open_key" -o back "$place/blob"
expect_ok

# ---- Inputs that are not regular files ----

fresh "a file of /proc"
cat /proc/version >f
run seal -k "$seal_key" -o blob /proc/version
expect_ok
run open -k "$open_key" -o back blob
expect_ok
expect_same f back

fresh "a fifo"
sample f 2500000
mkfifo fifo
cat f >fifo &
run seal -k "$seal_key" -o blob fifo
expect_ok
cat blob >fifo &
run open -k "$open_key" -o back fifo
expect_ok
expect_same f back
rm back
cat fifo >back &
run open -k "$open_key" -o fifo blob
expect_ok
wait
expect_same f back
check "the fifo is still one" test -p fifo

fresh "a sparse file"
truncate -s 20M f
printf end >>f
round f
no_leftovers f

if [ "$(id -u)" = 0 ] && part "a block device" losetup; then
    fresh "a block device"
    sample f 5242880
    if device=$(losetup --show -f f 2>/dev/null); then
        run seal -k "$seal_key" -o blob "$device"
        expect_ok
        run inspect blob
        expect_stdout "^plaintext +5242880 bytes"
        run open -k "$open_key" -o back blob
        expect_ok
        expect_same f back
        run open -k "$open_key" -f -o "$device" blob
        expect_error 2 E-CONFIG "block device"
        losetup -d "$device"
    else
        part_lacks "a loop device"
    fi
fi

# ---- Permission bits ----

bits() { stat -c %a "$1"; }
for mode in 600 640 644 400 755 666; do
    for mask in 022 077 000; do
        fresh "an input of mode $mode, umask $mask"
        sample f 1000
        chmod $mode f
        want=$(printf %o $((0$mode & ~0$mask)))
        plain=$(printf %o $((0$mode & 0666 & ~0$mask))) # an envelope is not executed
        (umask $mask && "$blobseal" seal -k "$seal_key" --detached e f && "$blobseal" open -k "$open_key" --envelope e -o g f.sealed)
        check "the blob should have mode $want, not $(bits f.sealed)" test "$(bits f.sealed)" = "$want"
        check "the envelope should have mode $plain, not $(bits e)" test "$(bits e)" = "$plain"
        check "the opened file should have mode $want, not $(bits g)" test "$(bits g)" = "$want"
    done
done
fresh "an input from a pipe"
(umask 027 && echo x | "$blobseal" seal -k "$seal_key" -o g)
check "the blob should have mode 640, not $(bits g)" test "$(bits g)" = 640
title="a set-user-id bit is not carried on"
sample f 1000
chmod 4755 f
run seal -k "$seal_key" f
check "the blob should have mode 755, not $(bits f.sealed)" test "$(bits f.sealed)" = 755

# ---- Replacing ----

fresh "--force"
sample f 4000
echo precious >f.sealed
ln f.sealed keep
run seal -k "$seal_key" -f f
expect_ok
no_leftovers f f.sealed keep
check "a new file takes the place of the old one" grep -qx precious keep
ln -s keep blob
run seal --force -k "$seal_key" -o blob f
expect_ok
check "a link is replaced, not what it points to" grep -qx precious keep
run open -k "$open_key" -o back blob
expect_same f back
rm blob
ln -s nowhere blob
run seal --force -k "$seal_key" -o blob f
expect_ok
check "a link to nothing is replaced" test -f blob -a ! -L blob

fresh "several at once"
sample f 3000000
for ((i = 0; i < 6; i++)); do
    ("$blobseal" seal -k "$seal_key" f 2>/dev/null; echo $? >"$tmp/code$i") &
done
wait
check "one makes it, the others do not replace it" test "$(cat "$tmp"/code? | sort -n | tr '\n' ' ')" = "0 6 6 6 6 6 "
no_leftovers f f.sealed
run open -k "$open_key" -o back f.sealed
expect_same f back
for ((i = 0; i < 6; i++)); do
    ("$blobseal" seal -f -k "$seal_key" f 2>/dev/null; echo $? >"$tmp/code$i") &
done
wait
check "with --force the last one counts" test "$(cat "$tmp"/code? | sort -n | tr '\n' ' ')" = "0 0 0 0 0 0 "
no_leftovers back f f.sealed
run open -f -k "$open_key" -o back f.sealed
expect_same f back

# ---- As an ordinary user ----

fresh "an ordinary user"
if have_user; then
    sample f 3000000
    mkdir drop
    chmod 777 . drop
    run_as_user seal -k "$seal_key" -o mine f
    expect_ok
    run_as_user seal -f -k "$seal_key" -o mine f
    expect_ok
    title="a folder that can be written but not listed"
    chmod 333 drop
    run_as_user seal -k "$seal_key" -o drop/blob f
    expect_ok
    chmod 755 drop
    check "the blob is there" test -s drop/blob
fi

finish

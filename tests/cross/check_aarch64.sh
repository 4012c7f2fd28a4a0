#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The program of the aarch64 preset in an emulator, together with the native program: each opens what the other has
# sealed.
there=$(realpath -- "${OTHER:-$(dirname "$0")/../../build/aarch64/blobseal}") || exit 1
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"

need qemu-aarch64

other() { # other ARGUMENT...: run the program in the emulator, which takes ten times as long
    printf -v last ' %q' qemu-aarch64 "$there" "$@"
    timeout --foreground -k 5 1800 qemu-aarch64 -L "$root/build/sysroot-arm64" "$there" "$@" >"$out" 2>"$err"
    code=$?
}

same_back() { # same_back WHAT: the last run wrote the original content to `back`
    title=$1
    expect_ok
    expect_same plain back
    rm -f back
}

# ---- The program ----

fresh "the program for aarch64"
# e_machine of the ELF header
check "it should be a program for aarch64" [ "$(od -An -tx1 -j18 -N2 "$there")" = " b7 00" ]
other doctor
expect_stdout '^ok +aes-256-gcm +openssl'
expect_stdout '^ok +xxh3 '
expect_code 0

# ---- Keys and blobs, in both directions ----

other keygen --rsa 2048 -o "$keys/there.pem" --pub "$keys/there.pub.pem"
expect_code 0
make_key here
both=(-k "$keys/here.pub.pem" -k "$keys/there.pub.pem")
for size in 0 100000 $((3 * 1024 * 1024 + 4321)); do
    for options in "" --no-checksums --zstd; do
        title="$size bytes $options"
        sample plain "$size"
        other seal -f ${options:+"$options"} "${both[@]}" -o there.sealed plain
        expect_ok
        run seal -f ${options:+"$options"} "${both[@]}" -o here.sealed plain
        expect_ok
        run open -k "$keys/there.pem" -o back there.sealed
        same_back "$size bytes $options: sealed there, opened here"
        other open -k "$keys/here.pem" -o back here.sealed
        same_back "$size bytes $options: sealed here, opened there"
        other open -k "$keys/there.pem" -o back there.sealed
        same_back "$size bytes $options: sealed and opened there"
    done
done

# ---- Parts, rotation, damage ----

fresh "a part, there"
sample plain $((3 * 1024 * 1024 + 4321))
run seal --no-checksums "${both[@]}" -o here.sealed plain
expect_ok
other open -k "$keys/there.pem" --range 1048000:2000 -o part here.sealed
expect_ok
check "the part should be that of the content" cmp -s part <(tail -c +1048001 plain | head -c 2000)

title="rotation there"
make_key new
other rewrap -k "$keys/there.pem" -k "$keys/here.pub.pem" --to "$keys/new.pub.pem" here.sealed
expect_code 0
run open -k "$keys/new.pem" -o back here.sealed
same_back "rotated there, opened here"

title="a blob that was changed"
printf 'tampered' | dd of=here.sealed bs=1 seek=2000000 conv=notrunc 2>/dev/null
other open -k "$keys/new.pem" -o back here.sealed
expect_error 3 E-AUTH
no_leftovers plain here.sealed part
finish

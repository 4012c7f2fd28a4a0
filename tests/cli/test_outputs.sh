#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Where outputs go: never into a pipe that somebody else has put there, never over a file that the command reads, and
# into a descriptor of the process exactly if it was named. What a hint says about the output is true.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

make_key kek
seal_key=$keys/kek.pub.pem
open_key=$keys/kek.pem

is_silent() { # is_silent: nothing was written to the pipe that is open as descriptor 7
    if read -r -t 0 -u 7; then fail "something was written to the pipe"; else pass; fi
}

# ---- Pipes at the place of an output ----

# refuses_pipe PIPE OPTION...: refuse the pipe PIPE, which `out` and f.sealed are or lead to, for each output but -o
refuses_pipe() {
    local pipe=$1
    shift
    exec 7<>"$pipe"
    run keygen --rsa 2048 -o out
    expect_error 6 E-EXISTS "out exists"
    run keygen --rsa 2048 -o new --pub out
    expect_error 6 E-EXISTS "out exists"
    run seal "$@" -k "$seal_key" --detached out -o new f
    expect_error 6 E-EXISTS "out exists"
    run seal "$@" -k "$seal_key" f
    expect_error 6 E-EXISTS "f.sealed exists"
    run open "$@" -k "$open_key" out.sealed
    expect_error 6 E-EXISTS "out exists"
    is_silent
    exec 7>&-
}

fresh "a pipe where a file should be"
echo secret >f
"$blobseal" seal -k "$seal_key" -o out.sealed f
mkfifo out f.sealed
for options in "" --force; do
    # shellcheck disable=SC2086
    refuses_pipe out $options
done
check "the pipes are still there" test -p out -a -p f.sealed
no_leftovers f out out.sealed f.sealed

title="a link to a pipe"
rm out f.sealed
mkfifo pipe
ln -s pipe out
ln -s pipe f.sealed
refuses_pipe pipe
exec 7<>pipe
run open -k "$open_key" -o out out.sealed
expect_error 6 E-EXISTS "out exists"
run open -f -k "$open_key" -o out out.sealed # replaces the link itself
expect_ok
is_silent
check "the link is a file now" test -f out -a ! -L out
exec 7>&-

if part "a pipe of another user" setpriv && { [ "$(id -u)" = 0 ] || part_lacks "root"; }; then
    rm -f out
    mkfifo -m 666 out
    chown 65534 out
    exec 7<>out
    for verb in "open -k $open_key out.sealed" "seal -k $seal_key f"; do
        for options in "" --force; do
            # shellcheck disable=SC2086
            run $verb $options -o out
            expect_error 6 E-EXISTS "out is a named pipe of another user"
        done
    done
    is_silent
    exec 7>&-

    # The other user's own pipe, and one of root.
    have_user
    mkdir theirs
    cp out.sealed "$seal_key" theirs
    mkfifo -m 666 theirs/own theirs/root
    chown 65534 theirs theirs/own
    for pipe in own root; do
        exec 7<>theirs/$pipe
        run_as_user seal -q -k theirs/kek.pub.pem -o theirs/$pipe theirs/out.sealed
        expect_ok
        head -c 8 <&7 >got
        check "it gets the blob" test -s got
        exec 7>&-
    done
fi

# ---- Descriptors ----

fresh "descriptors as outputs"
echo content >f
"$blobseal" seal -k "$seal_key" -o b f
before=$(ls -l /dev/stdout /dev/fd /dev/stdin)
for path in /dev/stdout /dev/fd/1 /proc/self/fd/1 /dev/./stdout /dev/../proc/self/fd/1 /proc/thread-self/fd/1; do
    for options in "" --force; do
        # shellcheck disable=SC2086
        run open $options -k "$open_key" -o $path b
        expect_code 0
        expect_same f "$out"
    done
done
check "the links in /dev are as they were" test "$before" = "$(ls -l /dev/stdout /dev/fd /dev/stdin)"
for path in /dev/fd/3 /proc/self/fd/3; do
    echo first >got
    "$blobseal" open -q -k "$open_key" -o $path b 3>>got
    check "$path: it is appended" test "$(cat got)" = "first
content"
done
# shellcheck disable=SC2016
try bash -c 'exec "$@" -o /proc/$$/fd/1' sh "$blobseal" open -k "$open_key" b
expect_code 0
expect_same f "$out"
rm got
exec 3>&- 9>&- 30>&- # what started this script may have left them open
for path in /dev/fd/3 /dev/fd/9 /proc/self/fd/30; do
    run open -k "$open_key" -o $path b
    expect_error 8 E-OUTPUT "write $path: Bad file descriptor"
done
run open -k "$open_key" -o /dev/stdin b <f
expect_error 8 E-OUTPUT "write /dev/stdin: Bad file descriptor"
run open --json -k "$open_key" -o /dev/stdout b
expect_code 2
run seal -k "$seal_key" --detached /dev/stdout f
expect_error 2 E-USAGE "detached needs the name of another file"
run keygen -o /dev/stdout
expect_error 2 E-USAGE "keygen needs -o FILE"
run keygen -o k.pem --pub /dev/fd/1
expect_error 2 E-USAGE "pub needs the name"
no_leftovers f b

title="descriptors as inputs"
run seal -k "$seal_key" /dev/stdin <f
expect_code 0
cp "$out" sealed
run open -k "$open_key" /dev/fd/0 <sealed
expect_code 0
expect_same f "$out"
run open -k "$open_key" /dev/fd/3 3<sealed
expect_code 0
expect_same f "$out"
rm sealed
no_leftovers f b

title="names in /dev"
run seal -k "$seal_key" /dev/null
expect_error 2 E-CONFIG "/dev/null.sealed is no device"
run open -k "$open_key" -o /dev/no-such-device b
expect_error 2 E-CONFIG "no-such-device is no device"
run open -k "$open_key" -o /proc/self/cmdline b
expect_error 2 E-CONFIG "/proc/self/cmdline is no device"
if part "files in /dev" unshare mount && { can_mount || part_lacks "the right to mount"; }; then
    # shellcheck disable=SC2016
    try "${isolated[@]}" sh -c '
        mount -t tmpfs none /dev && mkdir /dev/shm && echo old >/dev/file || exit 99
        "$1" open -f -k "$2" -o /dev/file b
        echo "$?"
        "$1" open -k "$2" -o /dev/shm/file b
        echo "$? $(cat /dev/file) $(cat /dev/shm/file)"' sh "$blobseal" "$open_key"
    check "a file there is not replaced, but /dev/shm is for files" test "$(tr '\n' ' ' <"$out")" = "2 0 old content "
fi

# ---- Files that the command reads ----

fresh "an output that is read"
echo content >f
(umask 077 && echo pass >pass)
"$blobseal" keygen -q --rsa 2048 -o locked.pem --passphrase-file pass
cp "$open_key" kek.pem
echo kek.pem >list
cp "$seal_key" kek.pub.pem
"$blobseal" seal -k kek.pem --detached e.jwe -o blob f
"$blobseal" seal -k kek.pem -o whole f
for file in kek.pem pass e.jwe list; do
    ln $file hard-$file
    ln -s $file soft-$file
done
mkdir sub
sha256sum kek.pem pass e.jwe list f blob >sums

never() { # never WHAT ARGUMENT...: the command is refused, because an output is WHAT, and all files are as they were
    local what=$1
    shift
    run "$@"
    expect_error 6 E-EXISTS "is (a|the) $what and the (output|file to change)"
    check "all files are as they were" sha256sum --quiet -c sums
}
for way in "" hard- soft- sub/../; do
    never key seal -f -k kek.pem --detached ${way}kek.pem -o new f
    never key seal -f -k file:kek.pem -o ${way}kek.pem f
    never key open -f -k kek.pem -o ${way}kek.pem whole
    never "passphrase file" open -f -k locked.pem --passphrase-file pass -k kek.pem -o ${way}pass whole
    never envelope open -f -k kek.pem --envelope e.jwe -o ${way}e.jwe blob
    never "list of recipients" seal -f -R list -o ${way}list f
done
never input seal -f -k kek.pem -o f f
never input open -f -k kek.pem -o whole whole
for key in kek.pem pass; do # a stream is a way to it as well
    "$blobseal" open -k locked.pem --passphrase-file pass -k kek.pem -o /dev/fd/3 whole 3>>$key 2>"$err"
    code=$?
    : >"$out"
    expect_error 6 E-EXISTS "/dev/fd/3 is (a key|the passphrase file) and the output"
    "$blobseal" open -k locked.pem --passphrase-file pass -k kek.pem -o - whole >>$key 2>"$err"
    code=$?
    expect_error 6 E-EXISTS "standard output is (a key|the passphrase file) and the output"
done
check "all files are as they were" sha256sum --quiet -c sums
title="an envelope that is also a passphrase: its first line"
sed 's/^{/{\n/' e.jwe >secret.jwe
chmod 600 secret.jwe
"$blobseal" keygen -q --rsa 2048 -o odd.pem --passphrase-file secret.jwe
sha256sum secret.jwe >>sums
never "passphrase file" recipients add -k kek.pem --to odd.pem --passphrase-file secret.jwe secret.jwe
run keygen -o kek.pem --passphrase-file kek.pem
expect_code 6
check "all files are as they were" sha256sum --quiet -c sums

# ---- What a hint says ----

fresh "hints"
sample f 3000000
"$blobseal" seal -k "$seal_key" -o b f
flip b 2500000
run open -k "$open_key" -o new b
expect_error 3 E-DAMAGED "."
expect_stderr "hint: no file was left behind; "
no_leftovers f b
"$blobseal" open -k "$open_key" -o - b >part 2>"$err"
code=$?
: >"$out"
expect_error 3 E-DAMAGED "."
expect_stderr "hint: standard output has received a part of the data: discard it; "
check "there is a part" test -s part
"$blobseal" open -k "$open_key" -o /dev/fd/3 b 3>part 2>"$err"
expect_stderr "hint: /dev/fd/3 has received a part of the data: discard it; "
run open -k "$open_key" -o new f
expect_stderr "hint: check that this is the intended file"
run open -k "$open_key" -o new missing
expect_stderr "hint: check the name and the permissions"
"$blobseal" open -k "$open_key" -o - b >/dev/full 2>"$err"
check "nothing went there" test -z "$(grep -E 'no file|part of' "$err")"

finish

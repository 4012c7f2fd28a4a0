#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# File systems that lack something: permissions, sync, links, flags of rename, unnamed files, writes at any offset. Only
# a failing or full disk loses work. tests/support/fail_calls.c makes the system calls fail.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

[ -e "$fail_calls" ] || lacks "$fail_calls"
make_key kek
make_key new
seal_key=$keys/kek.pub.pem
open_key=$keys/kek.pem

# works RULES [OPTION]: every kind of output works with these rules, also over an existing file; a change in place with
# the option
works() {
    rm -rf work && mkdir work && cd work || exit 1
    sample f 300000
    run_failing "$1" seal -q -j 1 -k "$seal_key" f
    expect_code 0
    run_failing "$1" open -q -j 1 -k "$open_key" -o back f.sealed
    expect_code 0
    expect_same f back
    echo old >back
    run_failing "$1" open -q -f -k "$open_key" -o back f.sealed
    expect_code 0
    expect_same f back
    run_failing "$1" open -q -k "$open_key" -o back f.sealed
    expect_error 6 E-EXISTS "back exists"
    run_failing "$1" seal -q -k "$seal_key" --detached e -o blob f
    expect_code 0
    run_failing "$1" rewrap -q -k "$open_key" --to "$keys/new.pub.pem" f.sealed e
    expect_code 0
    for way in "f.sealed" "--envelope e blob"; do
        # shellcheck disable=SC2086
        run_failing "$1" open -q -f -k "$keys/new.pem" -o back $way
        expect_code 0
        expect_same f back
    done
    run_failing "$1" seal -q -k "$seal_key" --slot-size 4096 -o ab f
    expect_code 0
    # shellcheck disable=SC2086
    run_failing "$1" rewrap -q ${2-} -k "$open_key" --to "$keys/new.pub.pem" ab
    expect_code 0
    check "it has a new key" "$blobseal" verify -q -k "$keys/new.pem" ab
    run_failing "$1" keygen -q --rsa 2048 -o k.pem --pub p.pem
    expect_code 0
    check "the key has mode 600" test "$(stat -c %a k.pem)" = 600
    no_leftovers f f.sealed back blob e ab k.pem p.pem
    cd ..
}

fresh
title="no sync"
works "fsync=EOPNOTSUPP fdatasync=EOPNOTSUPP"
for error in ENOSYS EPERM EBADF EINVAL; do
    run_failing "fsync=$error fdatasync=$error" open -q -f -k "$keys/new.pem" -o work/back work/ab
    expect_ok
    run_failing "fsync=$error fdatasync=$error" recipients add -q -k "$keys/new.pem" --to "$seal_key" work/ab
    expect_ok
done
title="no permissions" # of the files, which all have mode 600
for error in EPERM EOPNOTSUPP; do works "fchmod=$error fchown=$error fsetxattr=$error fremovexattr=$error"; done
title="links fail"
works linkat=EPERM
for error in EXDEV ENOENT; do
    run_failing "linkat=$error" open -q -f -k "$keys/new.pem" -o work/back work/ab
    expect_ok
done
title="no unnamed files"
works tmpfile=EOPNOTSUPP
title="nothing but rename"
works "tmpfile=EOPNOTSUPP exchange=EINVAL noreplace=EINVAL linkat=EPERM"
works "tmpfile=EOPNOTSUPP exchange=ENOSYS noreplace=ENOSYS linkat=ENOSYS fsync=ENOSYS fchmod=EPERM"
title="writes in order"
works "statfs=FUSE pwrite=ORDER" --rewrite

# ---- Warnings and hints ----

fresh "permissions that cannot be set"
echo content >f
run_failing "fchmod=EPERM" seal -q -k "$seal_key" f
expect_code 0
expect_stderr "warning: f.sealed: its permissions are 0600, because the file system refuses to set them to 0644"
chmod 600 f
run_failing "fchmod=EPERM" seal -q -f -k "$seal_key" f
expect_ok
run_failing "create=WIDE tmpfile=WIDE fchmod=EPERM" keygen -q --rsa 2048 -o k.pem --pub p.pem
expect_error 10 E-POLICY "others could read the private key k.pem \(mode 0644\)"
expect_stderr "hint: .*this file system keeps no permissions"
no_leftovers f f.sealed

fresh "errors of the disk"
sample f 300000
"$blobseal" seal -q -k "$seal_key" f
echo old >back
for error in EIO ENOSPC EDQUOT; do
    for call in fsync fchmod; do
        for rule in "$call=$error" "$call=$error tmpfile=EOPNOTSUPP"; do
            run_failing "$rule" open -q -k "$open_key" -o new f.sealed
            expect_error 8 E-OUTPUT "(Input/output error|No space left|Disk quota)"
            expect_stderr "hint: no file was left behind; check space"
            run_failing "$rule" open -q -f -k "$open_key" -o back f.sealed
            expect_code 8
            check "the old file is as it was" grep -qx old back
        done
    done
    no_leftovers f f.sealed back
done
title="a folder that cannot be synced, after the old file is gone"
run_failing "tmpfile=EOPNOTSUPP exchange=EINVAL fsync=EIO#2" open -q -f -k "$open_key" -o back f.sealed
expect_error 8 E-OUTPUT "sync the folder of back: Input/output error"
expect_stderr "hint: back is complete; "
expect_same f back

title="a name that appears meanwhile" # it is looked for after all other ways have failed
mkfifo in
(
    export FAIL_CALLS="tmpfile=EOPNOTSUPP noreplace=EINVAL linkat=EPERM" LD_PRELOAD=$fail_calls
    exec "$blobseal" seal -q -k "$seal_key" -o late <in >"$out" 2>"$err"
) &
exec 7>in
wait_until compgen -G '.late.*.partial'
echo late >late
cat f >&7
exec 7>&-
wait $!
code=$?
last=" seal -o late"
expect_error 6 E-EXISTS "late appeared meanwhile"
check "it is as it was" grep -qx late late

title="a write anywhere but at the end"
sample big 3000000
run_failing pwrite=ESPIPE seal -q -k "$seal_key" -o new big
expect_error 8 E-OUTPUT "write new: Illegal seek"
expect_stderr "hint: no file was left behind; write in order, .* -o - > FILE"
"$blobseal" seal -q -k "$seal_key" --slot-size 4096 -o ab f
run_failing pwrite=ESPIPE rewrap -q -k "$open_key" --to "$keys/new.pub.pem" ab
expect_error 8 E-OUTPUT "write ab: Illegal seek"
expect_stderr "hint: this file system only writes in order: --rewrite makes a new file"
rm -f big late ab in

# ---- What is left ----

# A file that is removed while it is open appears again when it is closed.
fresh "closing uploads a file"
sample f 300000
"$blobseal" seal -q -k "$seal_key" f
again="tmpfile=EOPNOTSUPP close=AGAIN@*.partial*"
for rule in "pwrite=ENOSPC" "fsync=EIO" "noreplace=EIO"; do
    run_failing "$again $rule" open -q -k "$open_key" -o new f.sealed
    expect_error 8 E-OUTPUT "."
    expect_stderr "hint: no file was left behind"
    no_leftovers f f.sealed
done
run_failing "$again write=ENOSPC@*k.pem*" keygen -q --rsa 2048 -o k.pem
expect_error 8 E-OUTPUT "write k.pem: No space left"
no_leftovers f f.sealed
title="a signal, where closing uploads a file"
mkfifo in
env --default-signal=TERM FAIL_CALLS="$again" LD_PRELOAD="$fail_calls" "$blobseal" seal -q -k "$seal_key" -o new <in &
pid=$!
exec 7>in
wait_until compgen -G '.new.*.partial'
kill -TERM $pid
wait $pid 2>/dev/null
code=$?
exec 7>&-
expect_code 143
rm in
no_leftovers f f.sealed
title="closing uploads a file"
run_failing "tmpfile=EOPNOTSUPP close=EIO@*.partial" open -q -k "$open_key" -o new f.sealed
expect_error 8 E-OUTPUT "finish new: Input/output error"
no_leftovers f f.sealed
run_failing "tmpfile=EOPNOTSUPP pwrite=ENOSPC unlinkat=EPERM" open -q -k "$open_key" -o new f.sealed
expect_error 8 E-OUTPUT "No space left"
expect_stderr "hint: the incomplete file .new.[0-9a-f]*.partial could not be removed; "
check "there it is" test -e .new.*.partial
rm .new.*.partial
echo old >back
run_failing "unlinkat=EPERM@*.back.*" open -q -f -k "$open_key" -o back f.sealed
expect_code 0
expect_stderr "warning: back: the file that was replaced is still there, as .back.[0-9a-f]*.partial in the same folder"
expect_same f back

# Without locks a change in place needs --no-lock, because nothing excludes another one. A new file is written anyway.
fresh "no locks"
works "lock=ENOLCK" --no-lock
cd work || exit 1
for error in ENOLCK ENOSYS EINVAL; do
    run_failing "lock=$error" recipients add -k "$keys/new.pem" --to "$seal_key" ab
    expect_error 8 E-OUTPUT "lock ab: its file system has no locks"
    expect_stderr "hint: make sure that nobody else changes the file, and pass --no-lock"
done
run_failing "lock=ENOSYS" recipients add -q --rewrite -k "$keys/new.pem" --to "$seal_key" ab
expect_code 0
run_failing "lock=ENOSYS" rewrap --rewrite -k "$keys/new.pem" --to "$seal_key" ab
expect_code 0
expect_stderr "warning: ab: the file system has no locks, so another change at the same time could be lost"
run_failing "lock=ENOSYS" recipients repair -q --no-lock -k "$open_key" ab
expect_code 0

finish

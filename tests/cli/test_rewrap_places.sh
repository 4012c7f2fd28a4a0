#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Recipients change in a folder where another user can rename files. Whatever folders and names that user replaces in
# the meantime, the program writes nothing in any place other than that of the file that it read.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/envelopes.sh
. "$root/tests/cli/envelopes.sh"

[ -e "$fail_calls" ] || lacks "$fail_calls"
for name in old new; do make_key $name; done

# stopping RULES ARGUMENT...: run the program in the background; tests/support/fail_calls.c stops it before some calls
stopping() {
    local rules=$1
    shift
    printf -v last ' %q' "FAIL_CALLS=$rules" "$@"
    env FAIL_CALLS="$rules" LD_PRELOAD="$fail_calls" "$blobseal" "$@" >"$out" 2>"$err" &
    pid=$!
}

# shellcheck disable=SC2317 # wait_until calls it
is_stopped() { grep -q '^State:[[:space:]]*T' "/proc/$pid/status"; }
stopped() { check "it stops before $1" wait_until is_stopped; } # stopped CALL
go_on() { kill -CONT "$pid"; }

echo "root:x:0:0" >"$tmp/secret" # must not be overwritten

for shape in compact detached; do
    fresh "$shape: the folder is another one while the new file is made"
    mkdir d other
    make_blob $shape -k "$keys/old.pub.pem"
    mv "$file" d/
    cp "$tmp/secret" "other/$file"
    stopping "open64=STOP@*/d tmpfile=STOP#1@*/other/." rewrap -q -k "$keys/old.pem" --to "$keys/new.pub.pem" "d/$file"
    stopped "it opens the folder of the file that it has read"
    mv d away && ln -s other d
    go_on
    stopped "it makes a file in the wrong folder"
    rm d && mv away d # so that the name leads to the file that it has read
    go_on
    ended
    check "the other folder is as it was" cmp -s "other/$file" "$tmp/secret"
    check "nothing was added to it" test "$(ls -A other)" = "$file"
    expect_error 6 E-EXISTS "d/$file was replaced or changed meanwhile"
done

fresh "the file is a pipe, and then a link, while the new one is made"
mkdir d
make_blob compact -k "$keys/old.pub.pem"
mv blob d/
cp "$tmp/secret" other
stopping "pread64=STOP#5@*/d/blob tmpfile=STOP#1@*/d/." rewrap -q -k "$keys/old.pem" --to "$keys/new.pub.pem" d/blob
stopped "it reads the file again, with the lock"
mkfifo pipe && mv pipe d/blob
go_on
stopped "it makes the new file"
ln -s ../other link && mv link d/blob
go_on
ended
check "what the link leads to is as it was" cmp -s other "$tmp/secret"
expect_error 6 E-EXISTS "d/blob was replaced or changed meanwhile"

fresh "an envelope that is another one when it is read"
mkdir d other
make_blob detached -k "$keys/old.pub.pem"
mv e.jwe other/ && rm blob
make_blob detached -k "$keys/old.pub.pem"
mv e.jwe d/
stopping "pread64=STOP#1@*/d/e.jwe lock=STOP#1" rewrap -q -k "$keys/old.pem" --to "$keys/new.pub.pem" d/e.jwe
stopped "it reads the envelope"
mv d/e.jwe away && ln -s ../other/e.jwe d/e.jwe
go_on
stopped "it takes the lock"
mv -T away d/e.jwe
go_on
ended
expect_ok
run open -q -k "$keys/new.pem" --envelope d/e.jwe -o back blob
expect_ok
expect_same f back

# acl get|set FILE: print its access control list; `set` first replaces it by one that denies access to the group but
# allows user 65534.
acl() {
    "$python" - "$@" <<'END'
import os
import struct
import sys

name = "system.posix_acl_access"
if sys.argv[1] == "set":
    none = 0xFFFFFFFF
    entries = ((1, 6, none), (2, 6, 65534), (4, 0, none), (16, 6, none), (32, 0, none))
    os.setxattr(sys.argv[2], name, struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries))
print(os.getxattr(sys.argv[2], name).hex())
END
}

fresh "an access control list"
for shape in compact detached; do
    rm -f blob
    make_blob $shape -k "$keys/old.pub.pem"
    want=$(acl set "$file" 2>/dev/null) || break # this file system does not support it
    run rewrap -q -k "$keys/old.pem" --to "$keys/new.pub.pem" "$file"
    expect_code 0
    check "it is as it was" test "$(acl get "$file")" = "$want"
done

finish

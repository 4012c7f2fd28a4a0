#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Recipients change in a folder where another user can rename files. Whatever folders and names that user replaces in
# the meantime, the program writes nothing in any place other than that of the file that it read.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/envelopes.sh
. "$root/tests/cli/envelopes.sh"

need strace
strace_sees || lacks "a strace that sees files"

for name in old new; do make_key $name; done

until_true() { # until_true COMMAND...: wait up to two minutes until the command succeeds
    for ((tries = 0; tries < 2400; tries++)); do
        "$@" 2>/dev/null && return
        sleep 0.05
    done
    return 1
}

# shellcheck disable=SC2317 # until_true calls it
has_open() { # has_open PATTERN: the program has a file open whose path matches
    local id
    for id in $(pgrep -f "^$blobseal .*--to"); do
        readlink "/proc/$id/fd/"* | grep -q -- "$1" && return
    done
    return 1
}

# slowly OPTIONS ARGUMENT...: run the program in the background under strace with OPTIONS, which delay some calls by
# three seconds.
slowly() {
    local options=$1
    shift
    printf -v last ' %q' "$@"
    # shellcheck disable=SC2086 # a list of words
    ASAN_OPTIONS=detect_leaks=0 timeout $hang_limit strace -f -qq -o "$tmp/trace" $options "$blobseal" "$@" >"$out" 2>"$err" &
    slow=$!
}

ended() { # ended: wait for the program of slowly() and set $code
    wait $slow
    code=$?
}

pause=delay_enter=3000000
echo "root:x:0:0" >"$tmp/secret" # must not be overwritten

for shape in compact detached; do
    fresh "$shape: the folder is another one while the new file is made"
    mkdir d other
    make_blob $shape -k "$keys/old.pub.pem"
    mv "$file" d/
    cp "$tmp/secret" "other/$file"
    slowly "-P $PWD/d -P $PWD/other -e inject=openat,newfstatat:$pause" rewrap -q -k "$keys/old.pem" --to "$keys/new.pub.pem" "d/$file"
    check "it reads the file" until_true has_open "/d/$file\$"
    mv d away && ln -s other d
    # Once the program has opened the wrong folder, the right one is put back, so that the name refers to the file it
    # read.
    until_true has_open "/other" && rm d && mv away d
    ended
    [ -L d ] && rm d && mv away d
    check "the other folder is as it was" cmp -s "other/$file" "$tmp/secret"
    check "nothing was added to it" test "$(ls -A other)" = "$file"
    expect_error 6 E-EXISTS "d/$file was replaced or changed meanwhile"
done

fresh "the file is a pipe, and then a link, while the new one is made"
mkdir d
make_blob compact -k "$keys/old.pub.pem"
mv blob d/
cp "$tmp/secret" other
slowly "-P $PWD/d/blob -e inject=pread64:$pause:when=5 -e inject=openat:$pause:when=2" \
    rewrap -q -k "$keys/old.pem" --to "$keys/new.pub.pem" d/blob
check "it reads the file" until_true has_open "/d/blob\$"
sleep 1.5 # now the program holds the lock
mkfifo pipe && mv pipe d/blob
sleep 3
ln -s ../other link && mv link d/blob
ended
check "what the link leads to is as it was" cmp -s other "$tmp/secret"
expect_error 6 E-EXISTS "d/blob was replaced or changed meanwhile"

fresh "an envelope that is another one when it is read"
mkdir d other
make_blob detached -k "$keys/old.pub.pem"
mv e.jwe other/ && rm blob
make_blob detached -k "$keys/old.pub.pem"
mv e.jwe d/
slowly "-P $PWD/d/e.jwe -P $PWD/away -e inject=openat:$pause:when=2 -e inject=fcntl:$pause:when=3" \
    rewrap -q -k "$keys/old.pem" --to "$keys/new.pub.pem" d/e.jwe
check "it reads the file" until_true has_open "/d/e.jwe\$"
sleep 1.5
mv d/e.jwe away && ln -s ../other/e.jwe d/e.jwe
sleep 3
mv -T away d/e.jwe
ended
run open -q -k "$keys/old.pem" -k "$keys/new.pem" --envelope d/e.jwe -o back blob
expect_code 0

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

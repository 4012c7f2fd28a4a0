#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Access control lists, extended attributes, modes and owners: new files get those that any other new file would get,
# and a file that is replaced by rewrap keeps its own. The file system is a tmpfs in a mount namespace of its own.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

need unshare mount
if [ "${1:-}" != mounted ]; then
    can_mount || lacks "the right to mount"
    export BLOBSEAL=$blobseal
    # shellcheck disable=SC2016
    "${isolated[@]}" sh -c 'mount -t tmpfs none /mnt && TMPDIR=/mnt exec bash "$0" mounted' "$root/tests/cli/test_attributes.sh"
    exit
fi

cat >"$tmp/attributes.py" <<'END'
import os
import struct
import sys

NONE = 0xFFFFFFFF
NAME = "system.posix_acl_"


def acl(user, named, group, mask, other):
    entries = ((1, user, NONE), (2, named, 0), (4, group, NONE), (16, mask, NONE), (32, other, NONE))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)


def show(path):
    print(oct(os.stat(path).st_mode), os.stat(path).st_uid, os.stat(path).st_gid)
    for name in sorted(os.listxattr(path)):
        print(name, os.getxattr(path, name).hex())


command, path, values = sys.argv[1], sys.argv[2], sys.argv[3:]
if command in ("access", "default"):
    os.setxattr(path, NAME + command, acl(*map(int, values)))
elif command == "set":
    os.setxattr(path, values[0], os.fsencode(values[1]))
elif command == "new":
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, int(values[0], 8)))
else:
    show(path)
END
attributes() { # attributes access|default FILE USER NAMED GROUP MASK OTHER | set FILE NAME VALUE | new FILE MODE | show FILE
    "$python" "$tmp/attributes.py" "$@"
}

touch "$tmp/probe"
if ! attributes access "$tmp/probe" 6 6 4 6 0 2>/dev/null || ! attributes set "$tmp/probe" user.a b 2>/dev/null; then
    lacks "a tmpfs with access control lists and extended attributes"
fi
make_key kek
make_key new
seal_key=$keys/kek.pub.pem

# ---- New files ----

is_like_new() { # is_like_new FILE MODE: it has the attributes of any file that is made with this mode
    attributes new reference "$2"
    check "$1 is as any new file" test "$(attributes show "$1")" = "$(attributes show reference)"
    rm -f reference
}

fresh "new files where the folder has a default list"
echo content >"$tmp/f"
chmod 666 "$tmp/f"
cp -p "$tmp/f" "$tmp/g"
for list in "7 6 5 7 0" "7 7 0 5 4" "6 0 0 0 0"; do
    for mask in 022 077 000; do
        for rules in "" tmpfile=EOPNOTSUPP; do
            mkdir d
            # shellcheck disable=SC2086
            attributes default d $list
            (
                umask $mask
                cd d || exit 1
                run_failing "$rules" seal -q -k "$seal_key" --detached e -o blob "$tmp/f"
                run_failing "$rules" open -q -k "$keys/kek.pem" --envelope e -o back blob
                run_failing "$rules" seal -q -j 1 -k "$seal_key" -o ./ "$tmp/f" "$tmp/g"
                is_like_new blob 0666
                is_like_new f.sealed 0666
                is_like_new g.sealed 0666
                is_like_new e 0666
                is_like_new back "$(stat -c %a blob)"
                [ $failed = 0 ]
            )
            check "list $list, umask $mask" test $? = 0
            rm -r d
        done
    done
done
mkdir d && attributes default d 7 6 5 7 4
cd d || exit 1
run keygen -q --rsa 2048 -o k.pem --pub p.pem
expect_ok
is_like_new p.pem 0644
check "nobody else can read the private key" test "$(stat -c %a k.pem)" = 600

# ---- Files that are replaced ----

fresh "attributes of a file that is replaced"
echo content >f
as_before() { # as_before FILE ARGUMENT...: rewrap keeps all attributes
    local file=$1
    shift
    attributes show "$file" >before
    run rewrap -q -k "$keys/kek.pem" --to "$keys/new.pub.pem" "$@" "$file"
    expect_ok
    check "$file has its attributes" test "$(attributes show "$file")" = "$(cat before)"
    run rewrap -q -k "$keys/new.pem" --to "$seal_key" "$@" "$file"
    expect_ok
    check "$file has its attributes" test "$(attributes show "$file")" = "$(cat before)"
}
"$blobseal" seal -q -k "$seal_key" --slot-size 4096 -o ab f
"$blobseal" seal -q -k "$seal_key" -o compact f
"$blobseal" seal -q -k "$seal_key" --detached e.jwe -o blob f
for file in compact e.jwe ab; do
    options=()
    [ $file != ab ] || options=(--rewrite)
    as_before $file "${options[@]}"
    chmod 604 $file
    attributes set $file user.one 1
    attributes set $file user.empty ""
    attributes set $file user.long "$(printf 'x%.0s' {1..3000})"
    as_before $file "${options[@]}"
    attributes access $file 6 4 0 6 0
    chown 65534:65534 $file 2>/dev/null # works for the real root only
    as_before $file "${options[@]}"
done
title="a folder with a default list"
attributes default . 7 7 7 7 7
"$blobseal" seal -q -k "$seal_key" -o plain f
"$python" -c 'import os; os.removexattr("plain", "system.posix_acl_access")'
as_before plain

title="attributes that cannot be kept"
attributes show compact >before
cp compact saved
for error in ENOSPC EDQUOT EIO; do
    run_failing "fsetxattr=$error" rewrap -q -k "$keys/kek.pem" --to "$keys/new.pub.pem" compact
    expect_error 8 E-OUTPUT "keep the attribute user.* of compact"
    expect_same compact saved
done
check "compact has its attributes" test "$(attributes show compact)" = "$(cat before)"
chmod 660 compact # which is the mask of its list: the group itself may do nothing
run_failing "fsetxattr=EOPNOTSUPP" rewrap -q -k "$keys/kek.pem" --to "$keys/new.pub.pem" compact
expect_code 0
expect_stderr "warning: compact: the attribute user.one could not be kept: Operation not supported"
expect_stderr "warning: compact: the access control list could not be kept"
check "the group still may do nothing" test "$(stat -c %a compact)" = 600
no_leftovers f ab compact blob e.jwe plain saved before

finish

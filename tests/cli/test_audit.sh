#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The audit record of the program: what each verb leaves in it, and that nothing happens that cannot be recorded.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need python3

make_key kek
make_key other
sample in 5000
cp "$keys"/* .

operations() { # operations FILE: print operation, result and "claimed" of each record
    python3 -c '
import json, sys
for line in open(sys.argv[1]):
    r = json.loads(line)
    assert r["schema"] == "blobseal.audit/1" and r["pid"] > 0 and r["uid"] >= 0
    print(r["operation"], r["result"], *(["claimed"] if r.get("claimed") else []))' "$1"
}
expect_records() { # expect_records TEXT: the lines of `operations log` since the last call
    check "records: $1" test "$(operations log)" = "$1"
    rm -f log
}

fresh "each verb"
run seal -k "$keys/kek.pem" --audit log -o in.sealed "$tmp/in"
expect_ok
check "only its owner reads the record" test "$(stat -c %a log)" = 600
expect_records "wrap ok"
run open -k "$keys/kek.pem" --audit log -o out in.sealed
expect_ok
expect_records "unwrap ok"
run verify -k "$keys/kek.pem" --audit log in.sealed
expect_ok
expect_records "unwrap ok"
run rewrap -k "$keys/kek.pem" --to "$keys/other.pem" --audit log in.sealed
expect_code 0
expect_records "unwrap ok
wrap ok"
run doctor -k "$keys/kek.pem" --audit log
expect_ok
expect_records "wrap ok
unwrap ok"
run inspect in.sealed --audit log
expect_ok
check "no record without a key" test ! -e log

fresh "what did not open is claimed"
run seal -k "$keys/kek.pem" -o in.sealed "$tmp/in"
expect_ok
python3 - <<'END'
data = bytearray(open("in.sealed", "rb").read())
at = data.index(b'"tag":"') + 7
data[at] = ord("A") if data[at] != ord("A") else ord("B")
open("bad.jwe", "wb").write(data[data.index(b'{"'):data.index(b"}", at) + 1])
END
run open -k "$keys/kek.pem" --envelope bad.jwe --audit log -o out in.sealed
expect_code 3
expect_records "unwrap E-AUTH claimed"
run open -k "$keys/kek.pem" --min-generation 5 --audit log -o out in.sealed
expect_code 10
expect_records "unwrap ok
refuse E-POLICY claimed"
cp "$keys/kek.pem" readable.pem
chmod 644 readable.pem
run open -k readable.pem --audit log -o out in.sealed
expect_code 10
expect_records "refuse E-POLICY"

fresh "what cannot be recorded does not happen"
mkdir folder
for log in folder /dev/full nowhere/log; do
    run seal -k "$keys/kek.pem" --audit "$log" -o new.sealed "$tmp/in"
    expect_code 8
    expect_stderr "write the audit record to .*$log"
    check "no output" test ! -e new.sealed
done
run seal -k "$keys/kek.pem" -o in.sealed "$tmp/in"
expect_ok
run open -k "$keys/kek.pem" --audit /dev/full -o out in.sealed
expect_code 8
check "no output" test ! -e out
echo "{\"sets_dir\": \"$PWD/sets\", \"state_dir\": \"$PWD/state\"}" >sets.json
run set create s --config sets.json -q -k "$keys/kek.pem"
expect_code 0
run seal -k set:s --config sets.json -o set.sealed "$tmp/in"
expect_ok
for log in folder /dev/full; do # the keys of a set are unwrapped with another key
    run seal -k set:s --config sets.json --audit $log -o new.sealed "$tmp/in"
    expect_code 8
    expect_stderr "write the audit record to .*$log"
    run open -k set:s --config sets.json --audit $log -o out set.sealed
    expect_code 8
    check "no output" test ! -e new.sealed -a ! -e out
    run set rekey s --config sets.json --audit $log
    expect_code 8
done
echo '{"audit_required": false, "audit_file": "/dev/full"}' >optional.json
run open -k "$keys/kek.pem" --config optional.json -o out in.sealed
expect_ok

fresh "the configured file, and many writers"
echo "{\"audit_file\": \"$PWD/log\"}" >config.json
export BLOBSEAL_CONFIG=$PWD/config.json
for i in 1 2 3 4; do
    mkdir "d$i"
    for j in 1 2 3 4 5; do cp "$tmp/in" "d$i/$j"; done
    "$blobseal" seal -q -k "$keys/kek.pem" "d$i"/* &
done
wait
check "20 whole lines" test "$(operations log | grep -cx 'wrap ok')" = 20
unset BLOBSEAL_CONFIG

fresh "after a record that a full disk cut short"
whole() { # whole FILE: print how many lines are records, and how many are not
    python3 -c '
import json, sys
counts = [0, 0]
for line in open(sys.argv[1]):
    try:
        counts[json.loads(line)["schema"] != "blobseal.audit/1"] += 1
    except ValueError:
        counts[1] += 1
print(*counts)' "$1"
}
run seal -k "$keys/kek.pem" -o in.sealed "$tmp/in"
expect_ok
printf '%960s\n' '{"schema": "blobseal.audit/1"}' >log
try bash -c 'ulimit -f 1 && exec "$@"' - "$blobseal" verify -k "$keys/kek.pem" --audit log in.sealed
expect_code 8
check "as much as had room" test "$(stat -c %s log)" = 1024
run verify -k "$keys/kek.pem" --audit log in.sealed
expect_ok
check "the next record is whole" test "$(whole log)" = "2 1"

fresh "after a record that a full file system cut short"
if can_mount; then
    "$blobseal" seal -q -k "$keys/kek.pem" -o in.sealed "$tmp/in"
    # shellcheck disable=SC2016 # the inner shell expands it
    try "${isolated[@]}" sh -c 'mount -t tmpfs -o size=4k none /mnt && head -c 4000 /dev/zero | tr "\0" " " >/mnt/log &&
        echo >>/mnt/log && "$1" verify -q -k "$2" --audit /mnt/log in.sealed; code=$?
        stat -c %s /mnt/log && mount -o remount,size=8k /mnt && "$1" verify -q -k "$2" --audit /mnt/log in.sealed &&
        tail -n +2 /mnt/log >log && exit $code' - "$blobseal" "$keys/kek.pem"
    expect_code 8
    check "as much as had room" test "$(cat "$out")" = 4096
    check "the next record is whole" test "$(whole log)" = "1 1"
else
    part_lacks "the right to mount"
fi

fresh "an output is never the audit file"
echo "kept" >log
run seal -k "$keys/kek.pem" --audit log --force -o log "$tmp/in"
expect_code 6
expect_stderr "the audit file"

fresh "no secrets"
(umask 077 && echo "correct horse battery" >phrase)
run keygen -o secret.pem --passphrase-file phrase
expect_ok
run seal -k secret.pem --passphrase-file phrase --audit log -o in.sealed "$tmp/in"
expect_ok
run open -k secret.pem --passphrase-file phrase --audit log -o out in.sealed
expect_ok
check "the passphrase is not in the record" test "$(grep -c battery log)" = 0

finish

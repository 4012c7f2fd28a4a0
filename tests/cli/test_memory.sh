#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Memory does not grow with the data: the peak is at most 64 MiB for 256 MiB of data (3 GiB in the tier `all`), from
# files and through pipes. The stack may be small.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need python3

[ $sanitized = no ] || skip "a sanitizer has memory of its own"

limit=$((64 << 10)) # KiB
less=$((256 << 20))
bytes=$less
! tier_has all || bytes=$((3 << 30))
room=$(df --output=avail -B1 "$tmp" | tail -n 1)
if [ $bytes != $less ] && [ "$room" -lt $((bytes + (1 << 30))) ]; then
    bytes=$less
    echo "little room in $tmp: blobs of 256 MiB only"
fi

make_key kek
seal_key=$keys/kek.pub.pem
open_key=$keys/kek.pem

# peak INPUT OUTPUT ARGUMENT...: run the program with -j 2; set $peak to its peak memory in KiB and $code to its exit
# code
peak() {
    local from=$1 to=$2
    shift 2
    printf -v last ' %q' "$@"
    "$python" - "$from" "$to" "$blobseal" "$@" -j 2 >"$tmp/peak" 2>"$err" <<'END'
import os
import subprocess
import sys

source, target, *command = sys.argv[1:]
with open(source, "rb") as stdin, open(target, "wb") as stdout:
    program = subprocess.Popen(command, stdin=stdin, stdout=stdout)
    _, status, usage = os.wait4(program.pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
END
    code=$?
    peak=$(cat "$tmp/peak")
}

small() { # small: the run succeeded and stayed below the limit
    expect_code 0
    check "it took $peak KiB, more than $limit" test "${peak:-999999}" -le $limit
    printf '%6d KiB  %s\n' "$peak" "$title"
}

fresh "seal: file to device"
truncate -s $bytes f
mkfifo in
peak /dev/null /dev/null seal -k "$seal_key" -o /dev/null f
small
title="seal: pipe to file"
head -c $bytes /dev/zero >in &
peak in /dev/null seal -k "$seal_key" -o b
small
# shellcheck disable=SC2017 # whole chunks and segments
check "the blob is as long as the format says" test "$(stat -c %s b)" = $((bytes + bytes / 16384 * 16 + bytes / 1048576 * 8 + 36864 + 96 + 24))
title="open: file to device"
peak /dev/null /dev/null open -k "$open_key" -o /dev/null b
small
title="open: pipe to pipe"
cat b >in &
peak in >(cat >/dev/null) open -k "$open_key"
small
rm b

truncate -s $less f
title="seal: file to pipe"
peak /dev/null >(cat >/dev/null) seal -k "$seal_key" -o - f
small
title="seal: pipe to pipe"
cat f >in &
peak in >(cat >/dev/null) seal -k "$seal_key"
small
title="seal: file to file"
peak /dev/null /dev/null seal -k "$seal_key" -o b f
small
title="open: file to file"
peak /dev/null /dev/null open -k "$open_key" -o back b
small
title="open: pipe to file"
cat b >in &
peak in /dev/null open -f -k "$open_key" -o back
small
title="open: file to a pipe that is read late"
peak /dev/null >(sleep 1 && cat >/dev/null) open -k "$open_key" -o - b
small
title="verify: file"
peak /dev/null /dev/null verify -k "$open_key" b
small
title="verify: pipe"
cat b >in &
peak in /dev/null verify -k "$open_key"
small
rm b back

title="a small file"
sample s 100000
run seal -k "$seal_key" -o b s
peak /dev/null /dev/null open -k "$open_key" -o back b
small

title="a stack of 64 KiB"
sample s 3000000
(
    set -e
    ulimit -s 64
    "$blobseal" seal -q -f -k "$seal_key" -o b s
    "$blobseal" open -q -f -k "$open_key" -o back b
    cmp s back
    "$blobseal" seal -q --zstd -k "$seal_key" <s >b
    "$blobseal" open -q -k "$open_key" <b | cmp s -
    "$blobseal" verify -q -k "$open_key" b
    "$blobseal" scrub -q b
    "$blobseal" doctor -k "$open_key"
) >"$out" 2>"$err"
code=$?
expect_code 0

finish

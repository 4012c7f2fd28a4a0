#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Several inputs: each is processed independently, and their outputs are different files.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

make_key kek
make_key other
seal_key=$keys/kek.pub.pem
open_key=$keys/kek.pem

# ---- There and back ----

fresh "several inputs"
names=()
for ((i = 0; i < 40; i++)); do
    sample "f$i" $((i * 997))
    names+=("f$i")
done
sealed=("${names[@]/%/.sealed}")
run seal -k "$seal_key" "${names[@]}"
expect_ok
no_leftovers "${names[@]}" "${sealed[@]}"
mkdir kept plain
mv "${names[@]}" kept
run verify -k "$open_key" "${sealed[@]}"
expect_code 0
expect_stderr ""
check "a line for each" test "$(sort -u "$out" | grep -c ': authentic, ')" = 40
run open -k "$open_key" "${sealed[@]}"
expect_ok
for name in "${names[@]}"; do expect_same "$name" "kept/$name"; done
run open -k "$open_key" -o plain/ "${sealed[@]}"
expect_ok
for name in "${names[@]}"; do expect_same "plain/$name" "kept/$name"; done
rm -r plain "${names[@]}"
mkdir plain
run open -j 1 -k "$open_key" -o plain "${sealed[@]}" # without the slash it must exist
expect_ok
check "all of them" test "$(diff -r plain kept)" = ""
run open -k "$open_key" -c f3.sealed f1.sealed f2.sealed
expect_code 0
expect_same "$out" <(cat kept/f3 kept/f1 kept/f2)
run open -k "$open_key" --stdout f3.sealed
expect_same "$out" kept/f3
run inspect f1.sealed f2.sealed
expect_code 0
check "in order" test "$(grep -o '^f[0-9]*.sealed' "$out" | paste -sd ' ')" = "f1.sealed f2.sealed"
run verify --json -k "$open_key" f1.sealed f2.sealed
expect_code 0
check "an object for each file" test "$(grep -c '^{"schema":"blobseal.verify/1",.*}$' "$out")" = 2
if part "progress and a summary" python3; then
    on_terminal -- "$blobseal" seal -f -k "$seal_key" kept/f1 kept/f2 kept/f3
    expect_code 0
    remove_progress
    expect_stdout '^sealed 3 of 3 files  5\.8 KiB  [0-9.]+ s  [0-9.]+ [MG]B/s.?$'
    check "one line only" test "$(wc -l <"$out")" = 1
    title="a message does not mix with the line of progress"
    on_terminal width:80 -- "$blobseal" verify -k "$open_key" f1.sealed f2.sealed absent
    expect_code 9
    remove_progress
    expect_stdout '^f1.sealed: authentic, 997 bytes'
    expect_stdout '^verified 2 of 3 files'
fi

# ---- Failures ----

fresh "some fail"
sample a 1000
sample b 2000
run seal -k "$seal_key" a absent b
expect_code 9
expect_stderr '^blobseal: error: open absent: No such file or directory \(E-INPUT\)$'
no_leftovers a b a.sealed b.sealed
mv b.sealed good
"$blobseal" seal -q -k "$keys/other.pub.pem" b
flip a.sealed 1500
run open -k "$open_key" -o ./ a.sealed b.sealed good
expect_code 9
check "each error names its file" test "$(grep -c '^blobseal: error: .*\(a\|b\)\.sealed\|good' "$err")" = 3
no_leftovers a b a.sealed b.sealed good
run verify --json -k "$open_key" a.sealed b.sealed good
expect_code 9
check "three objects" test "$(grep -c '^{.*}$' "$out")" = 3
check "errors name their files" test "$(grep -c '^{"schema":"blobseal.error/1","file":"[ab].sealed"' "$out")" = 2
run verify -k "$open_key" good
expect_code 0
run verify -k "$open_key" b.sealed # one input has its own exit code
expect_code 4

# ---- Outputs that would be one file, or an input ----

fresh "outputs of several inputs"
mkdir d e
sample a 100
sample d/a 200
sample b 300
run seal -k "$seal_key" -o e/ a b d/a
expect_error 2 E-USAGE "two inputs are named a, and their outputs would be one file in e/"
run seal -k "$seal_key" -o x a b
expect_error 2 E-USAGE "2 inputs need a folder for their outputs: -o FOLDER/"
run seal -k "$seal_key" -c a b
expect_error 2 E-USAGE "2 blobs cannot share one output"
run seal -k "$seal_key" -o absent/ a b
expect_code 9
expect_stderr "create absent/a.sealed: No such file"
run seal -k "$seal_key" --detached x a b
expect_error 2 E-USAGE "--detached names one envelope"
run open -k "$open_key" --envelope x a b
expect_error 2 E-USAGE "--envelope belongs to one blob"
run open -k "$open_key" --range 0:1 -o e/ a b
expect_error 2 E-USAGE "--range takes one input"
run seal -k "$seal_key" -o e/ <a
expect_error 2 E-USAGE "standard input has no name"
run seal -k "$seal_key" a - <b
expect_error 2 E-USAGE "cannot be one of several inputs"
run seal -k "$seal_key" -o e/ a # also for one input
expect_ok
no_leftovers a b d e
"$blobseal" seal -q -k "$seal_key" a
"$blobseal" seal -q -k "$seal_key" a.sealed
cp a.sealed copy
run open -f -k "$open_key" a.sealed.sealed a.sealed # a.sealed would be replaced while it is read
expect_code 9
expect_stderr "a.sealed is an input and the output"
expect_same a.sealed copy

title="what exists is refused, also after a first output in the same folder"
fresh
for name in a b c d e f; do sample $name 100; done
echo precious >c.sealed
mkdir d.sealed
mkfifo e.sealed
ln -s absent f.sealed
run seal -j 1 -k "$seal_key" a b c d e f
expect_code 9
expect_stderr '^blobseal: error: c: c.sealed exists \(E-EXISTS\)$'
expect_stderr '^blobseal: error: d: d.sealed is a folder: an output is one file \(E-CONFIG\)$'
expect_stderr '^blobseal: error: e: e.sealed exists and is a named pipe \(E-EXISTS\)$'
expect_stderr '^blobseal: error: f: f.sealed exists \(E-EXISTS\)$'
check "it is as it was" grep -qx precious c.sealed
no_leftovers a b c d e f {a,b,c,d,e,f}.sealed
run verify -j 1 -k "$open_key" a.sealed b.sealed
expect_code 0

# ---- Times and permissions ----

fresh "the time and the permissions stay"
sample a 100
sample b 100
touch -d '2001-02-03 04:05:06.789' a
chmod 755 a
chmod 640 b
run seal -k "$seal_key" a b
mkdir back
run open -k "$open_key" -o back/ a.sealed b.sealed
expect_ok
# shellcheck disable=SC2317 # it is called by check
same_stat() { test "$(stat -c '%a %y' "$1")" = "$(stat -c '%a %y' "$2")"; }
for name in a b; do
    check "of $name.sealed" same_stat $name $name.sealed
    check "of $name" same_stat $name back/$name
done
mkdir masked
cp -p b c
(umask 037 && exec "$blobseal" seal -q -j 1 -k "$seal_key" -o masked/ a b c)
check "less the umask" test "$(stat -c %a masked/a.sealed masked/b.sealed masked/c.sealed | paste -sd ' ')" = "740 640 640"
(umask 077 && exec "$blobseal" open -q -j 1 -k "$open_key" -o masked/ masked/a.sealed masked/b.sealed masked/c.sealed)
check "less another umask" test "$(stat -c %a masked/a masked/b masked/c | paste -sd ' ')" = "700 600 600"
run open -k "$open_key" --range 0:10 -o part a.sealed
check "a part is a new file" test "$(stat -c %Y part)" -gt 1000000000

# ---- Each folder is synced once ----

fresh "syncing folders"
if strace_sees || part_lacks "a strace that sees files"; then
    mkdir d e
    for ((i = 0; i < 20; i++)); do sample d/$i 100; done
    last="strace seal"
    strace -f -y -o trace -e trace=fsync "$blobseal" seal -k "$seal_key" -o e/ d/*
    code=$?
    expect_code 0
    check "each file" test "$(grep -c 'fsync([0-9]*<.*deleted' trace)" = 20
    check "the folder once" test "$(grep -c 'fsync([0-9]*<.*/e>' trace)" = 1
    check "and last" grep -q '/e>' <(grep 'fsync(' trace | tail -n 1) # not the end of a call, which has no name
fi

# ---- An empty standard input ----

fresh "an empty standard input"
true | pipe seal -k "$seal_key" -o empty.sealed
pipe_code seal
expect_code 0
expect_stderr '^blobseal: warning: standard input was empty: .*pipefail'
: >empty
run seal -f -k "$seal_key" empty # a file may be empty
expect_ok

# ---- Ctrl-C ----

if part "nothing is left after a signal" python3; then
    fresh
    mkfifo in
    sample a 300000
    sleep 600 >in &
    writer=$!
    start seal -k "$seal_key" a in a a
    check "the first is done" wait_until test -e a.sealed
    kill -TERM "$pid"
    ended
    expect_code 143
    no_leftovers a a.sealed in
    kill -KILL "$writer"
    wait "$writer" 2>/dev/null
fi

finish

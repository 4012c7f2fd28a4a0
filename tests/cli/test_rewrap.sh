#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Rotating keys as a user does, for blobs with two slots and with one and for envelope files: which keys open the blob
# before and after, what stays unchanged, what is refused, and that the cost does not depend on the size of the blob.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/envelopes.sh
. "$root/tests/cli/envelopes.sh"

make_key old
make_key new
make_key other
make_key stranger
make_key locked --passphrase-file <(echo secret)
(umask 077 && echo secret >"$keys/passphrase" && echo wrong >"$keys/mistaken")

# ---- Each kind of file ----

for shape in ab compact detached; do
    fresh "rewrap, $shape"
    make_blob $shape -k "$keys/old.pub.pem" -k "$keys/other.pub.pem"
    core_sum
    payload=$REPLY
    keys_of "$file" >before
    mark=$(stat -c '%a %u %g' "$file")
    opens_with old
    run rewrap -k "$keys/old.pem" -k "$keys/other.pub.pem" --to "$keys/new.pub.pem" "$file"
    expect_code 0
    expect_stdout "^$file: changed, generation 2: 1 added, 1 removed, 1 kept$"
    expect_stderr "^blobseal: warning: whoever .* still has access"
    opens_with new
    opens_with other
    refuses old
    same_core
    check "mode and owner are as they were" test "$mark" = "$(stat -c '%a %u %g' "$file")"
    check "no old wrapped key is left" none_inside before "$file"
    no_leftovers "${here[@]}" back before
    run inspect -k "$keys/new.pem" --json "${with[@]}" blob
    json_is "$out" 'd["verified"]' 'd["generation"] == 2' 'len(d["recipients"]) == 2' 'not d["change_unfinished"]'

    title="rewrap again, $shape"
    remember "$file"
    run rewrap -k "$keys/old.pem" -k "$keys/other.pem" --to "$keys/new.pub.pem" "$file"
    expect_ok
    expect_stdout "^$file: nothing to change, generation 2$"
    run rewrap -k "$keys/old.pem" --to "$keys/new.pub.pem" "$file"
    expect_ok
    expect_stdout "^$file: nothing to change, generation 2 \(not verified: none of the keys opens it\)$"
    run rewrap -k "$keys/new.pem" --to "$keys/new.pub.pem" "$file"
    expect_ok
    expect_stdout "^$file: nothing to change, generation 2$"
    untouched "$file"

    title="a plan, $shape"
    run rewrap -n -k "$keys/new.pem" -k "$keys/other.pub.pem" --to "$keys/stranger.pub.pem" "$file"
    expect_ok
    expect_stdout "^$file: would be changed, generation 3: 1 added, 1 removed, 1 kept$"
    expect_stdout "^  keep    RSA-OAEP-256  $(short other)$"
    expect_stdout "^  remove  RSA-OAEP-256  $(short new)$"
    expect_stdout "^  add     RSA-OAEP-256  $(short stranger)$"
    run rewrap --json --dry-run -k "$keys/new.pem" -k "$keys/other.pub.pem" --to "$keys/stranger.pub.pem" "$file"
    expect_ok
    json_is "$out" 'd["schema"] == "blobseal.change/1"' "d['file'] == '$file'" 'd["changed"] and d["dry_run"]' \
        'd["generation"] == 3' 'd["fresh_key"] and d["verified"]' 'not d["finished"]' \
        "('remove', '$(kid new)') in [(r['action'], r['kid']) for r in d['recipients']]" \
        "('keep', '$(kid other)') in [(r['action'], r['kid']) for r in d['recipients']]" \
        "('add', '$(kid stranger)') in [(r['action'], r['kid']) for r in d['recipients']]" 'len(d["recipients"]) == 3'
    run rewrap -n -q -k "$keys/new.pem" -k "$keys/other.pub.pem" --to "$keys/stranger.pub.pem" "$file"
    expect_ok
    expect_stdout "would be changed"
    untouched "$file"

    title="refusals, $shape"
    run rewrap -k "$keys/stranger.pem" --to "$keys/locked.pub.pem" "$file"
    expect_error 4 E-NOKEY "$file: no key fits"
    run rewrap -k "$keys/new.pub.pem" --to "$keys/stranger.pub.pem" "$file"
    expect_error 4 E-NOKEY "$file"
    expect_stderr "hint: $keys/new.pub.pem holds a public key"
    run rewrap -k "$keys/new.pem" --to "$keys/stranger.pub.pem" "$file"
    expect_error 10 E-POLICY "the recipient $(kid other) stays and needs a new wrapped key"
    expect_stderr "hint: .*with -k, or remove that recipient with --drop $(kid other)$"
    run rewrap --min-generation 3 -k "$keys/new.pem" --only --to "$keys/stranger.pub.pem" "$file"
    expect_error 10 E-POLICY "too old: generation 2, but at least 3 is required"
    untouched "$file"

    title="letting go, $shape"
    cp -a "$file" saved
    run rewrap --min-generation 2 --only -k "$keys/new.pem" --to "$keys/stranger.pub.pem" "$file"
    expect_code 0
    expect_stdout "generation 3: 1 added, 2 removed, 0 kept$"
    opens_with stranger
    refuses new
    refuses other
    remember "$file"
    run rewrap --only -k "$keys/new.pem" --to "$keys/stranger.pub.pem" "$file"
    expect_ok
    expect_stdout "^$file: nothing to change, generation 3 \(not verified: none of the keys opens it\)$"
    run rewrap --only -k "$keys/new.pem" --to "$keys/other.pub.pem" "$file"
    expect_error 4 E-NOKEY "$file"
    untouched "$file"
    cat saved >"$file"
    run rewrap -q --drop "$(kid other)" -k "$keys/new.pem" --to "$keys/stranger.pub.pem" "$file"
    expect_ok
    expect_stdout ""
    opens_with stranger
    refuses other
    remember "$file"
    run rewrap --json --drop "$(kid other)" -k "$keys/new.pem" --to "$keys/stranger.pub.pem" "$file"
    expect_code 0
    json_is "$out" 'not d["changed"]' 'not d["verified"]' 'd["generation"] == 3'
    untouched "$file"
    run rewrap --drop nobody -k "$keys/stranger.pem" --to "$keys/old.pub.pem" --to "$keys/locked.pub.pem" "$file"
    expect_code 0
    expect_stderr "^blobseal: warning: $file: no recipient has the key id nobody$"
    opens_with old
    same_core

    title="passphrases, $shape"
    remember "$file"
    run rewrap -k "$keys/locked.pem" --passphrase-file "$keys/mistaken" --only --to "$keys/new.pub.pem" "$file"
    expect_error 2 E-CONFIG "$keys/locked.pem"
    run rewrap -k "$keys/locked.pem" --only --to "$keys/new.pub.pem" "$file"
    expect_error 2 E-CONFIG "is encrypted, and there is no terminal"
    untouched "$file"
    run rewrap -k "$keys/locked.pem" --passphrase-file "$keys/passphrase" --only --to "$keys/new.pub.pem" "$file"
    expect_code 0
    opens_with new
    run rewrap -k "$keys/new.pem" --to "$keys/locked.pem" --passphrase-file "$keys/passphrase" "$file"
    expect_code 0
    refuses new
    exec 8<"$keys/passphrase"
    run rewrap -k "$keys/locked.pem" --passphrase-fd 8 --to "$keys/new.pub.pem" "$file"
    exec 8<&-
    expect_code 0
    opens_with new

    title="SHA-1, $shape"
    run rewrap -k "$keys/new.pem" --to "$keys/old.pub.pem" --oaep sha1 --to "$keys/other.pub.pem" "$file"
    expect_code 0
    run recipients list "$file"
    expect_stdout "^RSA-OAEP  +$(short old)$"
    expect_stdout "^RSA-OAEP-256  +$(short other)$"
    opens_with old
    run rewrap -k "$keys/other.pem" -k "$keys/old.pub.pem" --to "$keys/new.pub.pem" "$file"
    expect_error 2 E-CONFIG "uses RSA-OAEP, but its key was opened for RSA-OAEP-256"
    expect_stderr "hint: pass --oaep sha1 after that key$"
    run rewrap -k "$keys/other.pem" -k "$keys/old.pub.pem" --oaep sha1 --to "$keys/new.pub.pem" "$file"
    expect_code 0
    opens_with old
    refuses other

    has_python "not authentic, $shape" || continue
    title="not authentic, $shape"
    spoil "$file"
    remember "$file"
    run rewrap -k "$keys/new.pem" --only --to "$keys/other.pub.pem" "$file"
    expect_error 3 E-AUTH "$file: .*not authentic"
    untouched "$file"
    no_leftovers "${here[@]}" back before saved
done

# ---- Readers that share no code with this program ----

if has_python "other readers"; then
    for shape in ab compact detached; do
        fresh "other readers, $shape"
        make_blob $shape -k "$keys/old.pub.pem"
        "$blobseal" rewrap -q -k "$keys/old.pem" --to "$keys/new.pub.pem" "$file"
        try "$python" "$interop/recover.py" "$keys/new.pem" blob "${envelope[@]}"
        expect_code 0
        expect_same f "$out"
        try "$python" "$interop/recover.py" "$keys/old.pem" blob "${envelope[@]}"
        check "the old key opens nothing" test $code != 0 -a ! -s "$out"
        try "$python" "$interop/blobseal_ref.py" open "${with[@]}" -o back "$keys/new.pem" blob
        expect_code 0
        expect_same f back
        try "$python" "$interop/blobseal_ref.py" open "${with[@]}" -o back2 "$keys/old.pem" blob
        expect_code 4
    done
fi

# ---- The size of the slots ----

fresh "a slot that is too small"
many=()
for n in 1 2 3 4 5 6 7; do
    make_key "many$n"
    many+=(--to "$keys/many$n.pub.pem")
done
sample f 50000
"$blobseal" seal -k "$keys/old.pub.pem" --slot-size 4096 -o blob f
file=blob with=()
core_sum
payload=$REPLY
remember blob
run rewrap -k "$keys/old.pem" "${many[@]}" blob
expect_error 10 E-POLICY "blob: .*does not fit a slot of 4096 bytes"
expect_stderr "hint: --rewrite "
run rewrap --slot-size 4096 -k "$keys/old.pem" "${many[@]}" blob
expect_error 10 E-POLICY "does not fit"
untouched blob
run rewrap -n --rewrite -k "$keys/old.pem" "${many[@]}" blob
expect_ok
untouched blob
run rewrap --rewrite -k "$keys/old.pem" "${many[@]}" blob
expect_code 0
expect_stdout "generation 2: 7 added, 1 removed, 0 kept$"
opens_with many7
refuses old
same_core
run inspect --json blob
json_is "$out" 'd["layout"] == "ab"' 'd["slot_capacity"] == 16384'
run rewrap --slot-size 20480 -k "$keys/many1.pem" --to "$keys/new.pub.pem" --only blob
expect_code 0
run inspect --json blob
json_is "$out" 'd["layout"] == "ab"' 'd["slot_capacity"] == 20480' 'd["generation"] == 3'
opens_with new
same_core
title="the same size again"
remember blob
run rewrap --slot-size 20480 -k "$keys/new.pem" --to "$keys/new.pub.pem" blob
expect_ok
expect_stdout "^blob: nothing to change"
untouched blob
title="a compact blob gets slots"
"$blobseal" seal -k "$keys/old.pub.pem" -o small f
run recipients add --slot-size 4096 -k "$keys/old.pem" --to "$keys/new.pub.pem" small
expect_ok
run inspect --json small
json_is "$out" 'd["layout"] == "ab"' 'd["slot_capacity"] == 4096' 'd["generation"] == 2'
for bad in 0 4095 5000 65537 69632 x; do
    run rewrap --slot-size $bad -k "$keys/old.pem" --to "$keys/new.pub.pem" small
    expect_error 2 E-USAGE "multiple of 4096"
done

# ---- Location of the file ----

for shape in ab compact detached; do
    fresh "a symbolic link, $shape"
    mkdir data
    cd data && make_blob $shape -k "$keys/old.pub.pem" && cd .. || exit 1
    ln -s "data/$file" link
    ln -s link link2
    run rewrap -k "$keys/old.pem" --to "$keys/new.pub.pem" link2
    expect_code 0
    expect_stdout "^link2: changed"
    check "links stay links" test "$(readlink link)$(readlink link2)" = "data/${file}link"
    (cd data && opens_with new)
    no_leftovers data link link2

    title="mode and times, $shape"
    (cd data && chmod 604 "$file")
    run rewrap -k "$keys/new.pem" --to "$keys/old.pub.pem" "data/$file"
    expect_code 0
    check "the mode is as it was" test "$(stat -c %a "data/$file")" = 604
    if [ "$(id -u)" = 0 ]; then
        title="the owner, $shape"
        chown 1234:4321 "data/$file"
        chmod 640 "data/$file"
        run rewrap -k "$keys/old.pem" --to "$keys/new.pub.pem" "data/$file"
        expect_code 0
        check "the owner is as it was" test "$(stat -c '%u %g %a' "data/$file")" = "1234 4321 640"
    fi
    title="a hard link, $shape"
    ln "data/$file" twin
    remember twin
    run rewrap -k "$keys/new.pem" -k "$keys/old.pem" --to "$keys/other.pub.pem" --only "data/$file"
    if [ $shape = ab ]; then
        expect_same "data/$file" twin
    elif [ "$code" = 0 ]; then
        untouched twin
    fi
done

fresh "files that may not be written"
sample f 50000
for shape in ab compact; do
    args=(--slot-size 4096)
    [ $shape = ab ] || args=()
    mkdir $shape
    "$blobseal" seal -k "$keys/old.pub.pem" "${args[@]}" -o $shape/blob f
    chmod 444 $shape/blob
done
if have_user; then
    cp "$keys/old.pem" "$keys/new.pub.pem" .
    [ "$(id -u)" != 0 ] || chown 65534 old.pem
    chmod 755 .
    for shape in ab compact; do
        title="a file that may not be written, $shape"
        remember $shape/blob
        run_as_user rewrap -k old.pem --to new.pub.pem $shape/blob
        expect_error 8 E-OUTPUT "open $shape/blob to change it: Permission denied"
        expect_stderr "hint: nothing was changed: the file must be readable and writable"
        untouched $shape/blob
        title="a folder that may not be written, $shape"
        [ "$(id -u)" != 0 ] || chown 65534 $shape/blob
        chmod 644 $shape/blob
        chmod 555 $shape
        remember $shape/blob
        run_as_user rewrap -k old.pem --to new.pub.pem $shape/blob
        if [ $shape = ab ]; then
            expect_code 0
        else
            expect_error 8 E-OUTPUT "$shape/blob: Permission denied"
            expect_stderr "hint: the file is whole"
            untouched $shape/blob
        fi
        chmod 755 $shape
    done
fi

# ---- Many files, and names that are not regular files ----

fresh "many files"
sample f 50000
sample big 5000000
"$blobseal" seal -k "$keys/old.pub.pem" -o one f
"$blobseal" seal -k "$keys/other.pub.pem" -o two f
"$blobseal" seal -k "$keys/old.pub.pem" -o three big
"$blobseal" seal -k "$keys/old.pub.pem" --detached four.jwe -o four f
cp f noblob
mkdir folder
mkfifo pipe
: >empty
run rewrap --json -k "$keys/old.pem" --to "$keys/new.pub.pem" one two three missing four four.jwe noblob folder pipe empty
expect_code 9
check "every file has its line" test "$(wc -l <"$out")" = 10
n=0
for want in 'changed:one' 'E-NOKEY:two' 'changed:three' 'E-INPUT:missing' 'E-CONFIG:four' 'changed:four.jwe' 'E-FORMAT:noblob' \
    'E-CONFIG:folder' 'E-CONFIG:pipe' 'E-FORMAT:empty'; do
    n=$((n + 1))
    sed -n "${n}p" "$out" >line
    if [ "${want%:*}" = changed ]; then
        json_is line 'd["schema"] == "blobseal.change/1"' 'd["changed"]' "d['file'] == '${want#*:}'" 'd["generation"] == 2'
    else
        json_is line 'd["schema"] == "blobseal.error/1"' "d['code'] == '${want%:*}'" "d['file'] == '${want#*:}'" 'd["hint"]'
    fi
done
for name in "missing:7:No such file" "noblob:3:." "folder:2:is a folder" "pipe:2:no regular file" "empty:3:empty: not a sealed" \
    "four:2:sealed detached"; do
    IFS=: read -r name want words <<<"$name"
    run rewrap -k "$keys/old.pem" --to "$keys/new.pub.pem" "$name"
    last=$name
    check "the exit code should be $want" test "$code" = "$want"
    expect_stderr "^blobseal: error: .*$words"
    expect_stderr "^blobseal: error: .*$name"
    expect_stderr "^blobseal: hint: ."
done
run rewrap -k "$keys/old.pem" --to "$keys/new.pub.pem" - <one
expect_error 2 E-USAGE "files, not streams"
run rewrap -k "$keys/old.pem" --to "$keys/new.pub.pem" /dev/null
expect_error 2 E-CONFIG "no regular file"
for words in "-k k:--to" "--to t:-k OLD" "-k k --to t:IN"; do
    # shellcheck disable=SC2086
    run rewrap ${words%:*}
    expect_error 2 E-USAGE "${words#*:}"
done
run rewrap --oaep sha1 -k "$keys/old.pem" --to "$keys/new.pub.pem" one
expect_error 2 E-USAGE "--oaep belongs after"
run rewrap -k "$keys/old.pem" --oaep md5 --to "$keys/new.pub.pem" one
expect_error 2 E-USAGE "--oaep is sha256 or sha1"
run rewrap --min-generation 0 -k "$keys/old.pem" --to "$keys/new.pub.pem" one
expect_error 2 E-USAGE "--min-generation"

# ---- Concurrent changes ----

for shape in ab compact detached; do
    fresh "a lock, $shape"
    make_blob $shape -k "$keys/old.pub.pem"
    remember "$file"
    mkfifo ready
    "$python" -c '
import fcntl, sys, time
f = open(sys.argv[1], "rb+")
fcntl.lockf(f, fcntl.LOCK_EX)
open("ready", "w").close()
time.sleep(600)' "$file" &
    holder=$!
    read -r _ <ready
    run rewrap -k "$keys/old.pem" --to "$keys/new.pub.pem" "$file"
    expect_error 6 E-EXISTS "$file is busy"
    untouched "$file"
    kill $holder
    wait $holder 2>/dev/null
    run rewrap -k "$keys/old.pem" --to "$keys/new.pub.pem" "$file"
    expect_code 0
    opens_with new
done

# patiently ARGUMENT...: run the program, and again if the file is busy: it waits for two seconds, and whoever has the
# lock may stall for longer
patiently() {
    local errors=$tmp/errors.$BASHPID answer
    while :; do
        "$blobseal" "$@" >"$errors" 2>&1
        answer=$?
        grep -q 'is busy' "$errors" || break
    done
    cat "$errors" >&2
    return $answer
}

fresh "a file that is replaced while it is waited for"
for shape in ab compact detached; do
    title="replaced, $shape"
    mkdir $shape && cd $shape || exit 1
    make_blob $shape -k "$keys/old.pub.pem"
    cp "$file" copy
    mkfifo ready
    "$python" -c '
import fcntl, os, sys, time
f = open(sys.argv[1], "rb+")
fcntl.lockf(f, fcntl.LOCK_EX)
open("ready", "w").close()
time.sleep(0.7)
os.rename("copy", sys.argv[1])' "$file" &
    holder=$!
    read -r _ <ready
    patiently rewrap -k "$keys/old.pem" --to "$keys/new.pub.pem" "$file" 2>"$err"
    code=$?
    last=" rewrap"
    expect_code 0
    wait $holder
    opens_with new
    refuses old
    cd ..
done

for shape in ab compact detached; do
    names=(new other stranger locked)
    [ $shape = ab ] || names+=(many{1..7}) # each process finds a new file several times before it gets the lock
    fresh "${#names[@]} at once, $shape"
    make_blob $shape -k "$keys/old.pub.pem"
    ids=()
    for name in "${names[@]}"; do
        patiently recipients add -q -k "$keys/old.pem" --to "$keys/$name.pub.pem" "$file" 2>>log &
        ids+=($!)
    done
    "$blobseal" open -q -k "$keys/old.pem" "${with[@]}" -o back blob 2>>log
    check "who reads meanwhile gets the content" cmp -s f back
    codes=
    for id in "${ids[@]}"; do
        wait "$id"
        codes="$codes $?"
    done
    last=" additions: $(tail -n 1 log)"
    check "all should succeed, not$codes" test "${codes//[ 0]/}" = ""
    run recipients list --json "$file"
    json_is "$out" "d['generation'] == ${#names[@]} + 1" "len(d['recipients']) == ${#names[@]} + 1"
    opens_with stranger
    no_leftovers "${here[@]}" back log
done

# ---- Cost ----

fresh "a large blob"
sample f 1048577
"$blobseal" seal -k "$keys/old.pub.pem" --slot-size 8192 -o blob f
if tier_has all; then truncate -s 1G blob; else truncate -s 64M blob; fi
sum=$(tail -c +20481 blob | sha256sum)
title="what a rotation reads and writes"
if strace_sees || part_lacks "a strace that sees files"; then
    ASAN_OPTIONS=detect_leaks=0 timeout $hang_limit strace -f -qq -y -o trace -e trace=read,write,pread64,pwrite64,readv,writev,preadv,pwritev,mmap,copy_file_range,sendfile \
        "$blobseal" rewrap -k "$keys/old.pem" --to "$keys/new.pub.pem" blob >"$out" 2>"$err"
    code=$?
    grep '/blob>' trace >calls
    check "nothing of the blob is mapped or copied" test -z "$(grep -vE ' (read|write|pread64|pwrite64)\(' calls)"
    bytes=$(sed -n 's/.* = \([0-9]*\)$/\1/p' calls | paste -sd + | sed 's/^$/0/')
    check "$((bytes)) bytes of it are read and written: less than 200 KiB, and both slots at least" \
        test $((bytes)) -lt 204800 -a $((bytes)) -ge 32768
else
    run rewrap -k "$keys/old.pem" --to "$keys/new.pub.pem" blob
fi
expect_code 0
check "the core is as it was" test "$sum" = "$(tail -c +20481 blob | sha256sum)"
check "the holes are holes" test "$(stat -c %b blob)" -lt 4096
run recipients list blob
expect_stdout "$(short new)"
check "the old recipient is gone" test -z "$(grep -F -e "$(short old)" "$out")"

finish

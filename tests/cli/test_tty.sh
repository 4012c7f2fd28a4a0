#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# On a terminal: no binary data unless asked for, a progress line, a closing line. Elsewhere: no output.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need python3

make_key kek
seal_key=$keys/kek.pub.pem
open_key=$keys/kek.pem

# ---- Binary data ----

fresh "binary data and the terminal"
sample f 1000
echo 'plain text' >text
"$blobseal" seal -k "$seal_key" f
"$blobseal" seal -k "$seal_key" text
for command in "seal -k $seal_key" "open -k $open_key"; do
    file=f
    [[ $command != open* ]] || file=f.sealed
    # shellcheck disable=SC2086 # words are the point
    on_terminal -- sh -c "'$blobseal' $command <$file"
    expect_code 2
    expect_stdout "blobseal: error: not writing binary data to the terminal .E-CONFIG."
    expect_stdout "blobseal: hint: use -o FILE, or -o - to force it"
    check "and really nothing" test "$(wc -c <"$out")" -lt 300
    # shellcheck disable=SC2086
    on_terminal -- "$blobseal" $command $file -o /dev/tty
    expect_code 2
    expect_stdout "not writing binary data to the terminal"
done
on_terminal -- sh -c "'$blobseal' open -q -k '$open_key' -o - <text.sealed"
expect_code 0
expect_stdout "plain text"
on_terminal -- "$blobseal" open -q -k "$open_key" -o - text.sealed
expect_code 0
expect_stdout "plain text"
on_terminal -- "$blobseal" seal -q -k "$seal_key" -o - text
expect_code 0
check "the blob is on the terminal" grep -q BSKS "$out"
no_leftovers f text f.sealed text.sealed
title="a terminal on stderr only"
on_terminal -- sh -c "'$blobseal' seal -q -k '$seal_key' <f >g"
expect_code 0
expect_stdout ""
run open -k "$open_key" -o back g
expect_same f back

# ---- The closing line ----

fresh "the closing line"
sample f 1500000
on_terminal -- "$blobseal" seal -k "$seal_key" f
expect_code 0
remove_progress
expect_stdout '^sealed f  1\.4 MiB  1 recipient  [0-9.]+ s  [0-9.]+ [MG]B/s  -> f\.sealed.?$'
on_terminal -- "$blobseal" open -k "$open_key" -o g f.sealed
expect_code 0
remove_progress
expect_stdout '^opened f\.sealed  1\.4 MiB  [0-9.]+ s  [0-9.]+ [MG]B/s  -> g.?$'
on_terminal -- "$blobseal" verify -k "$open_key" f.sealed
expect_code 0
remove_progress
expect_stdout '^f\.sealed: authentic, 1500000 bytes'
for option in -q --quiet --progress=none; do
    title="$option"
    rm -f g h
    on_terminal -- "$blobseal" seal $option -k "$seal_key" -o g f
    expect_code 0
    expect_stdout ""
    on_terminal -- "$blobseal" open $option -k "$open_key" -o h g
    expect_code 0
    expect_stdout ""
done
on_terminal -- "$blobseal" verify -q -k "$open_key" f.sealed
expect_code 0
expect_stdout ""
title="--json is alone on its stream"
rm -f g
on_terminal -- sh -c "'$blobseal' seal --json -k '$seal_key' -o g f >report"
expect_code 0
expect_stdout ""
json_is report "d['schema'] == 'blobseal.seal/1'"
title="no terminal, no word"
rm -f g h
run seal -k "$seal_key" -o g f
expect_ok
expect_stdout ""
run open -k "$open_key" -o h g
expect_ok
expect_stdout ""
title="--progress=plain without a terminal"
rm -f g
run seal --progress=plain -k "$seal_key" -o g f
expect_code 0
expect_stderr '^sealed f  1\.4 MiB '
expect_stdout ""
check "no control characters" test -z "$(tr -d '[:print:]\n' <"$err")"

# ---- The progress line ----

feed() { # feed SECONDS: write 6 MB to the fifo `in`, with two pauses of this length
    (
        head -c 2000000 f
        sleep "$1"
        head -c 2000000 f
        sleep "$1"
        head -c 2000000 f
    ) >in
}

fresh "the progress line"
sample f 2000000
mkfifo in
feed 0.5 &
on_terminal width:80 -- "$blobseal" seal -k "$seal_key" -o blob in
expect_code 0
tr '\r' '\n' <"$out" >lines
check "a line was drawn over itself" grep -qE '^seal in  [0-9.]+ MiB  [0-9.]+ [MG]B/s' lines
check "and removed at the end" grep -q $'\r\033\\[K' "$out"
check "the closing line comes last" test "$(tr -d '\r' <"$out" | tail -n 1 | grep -c 'sealed in ')" = 1
rm blob
title="a narrow terminal"
feed 0.5 &
on_terminal width:20 -- "$blobseal" seal -k "$seal_key" -o blob in
expect_code 0
check "a line was drawn" grep -q $'\rseal in ' "$out"
check "no line is wider than the terminal" \
    test "$(tr '\r' '\n' <"$out" | sed 's/\x1b\[K//g' | grep '^seal ' | awk '{print length}' | sort -n | tail -n 1)" -lt 20
rm blob
for option in -q --json --progress=none; do
    title="no progress with $option"
    feed 0.3 &
    on_terminal -- sh -c "'$blobseal' seal $option -k '$seal_key' -o blob in >report"
    expect_code 0
    expect_stdout ""
    rm blob
done
title="no progress without a terminal"
feed 0.3 &
run seal -k "$seal_key" -o blob in
expect_ok
expect_stdout ""
rm blob
title="--progress=auto without a terminal"
feed 0.3 &
run seal --progress=auto -k "$seal_key" -o blob in
expect_ok
title="a file has a size, so there are percents and an estimate"
if part "$title" dd; then
    # Slow output: a fifo that is read slowly.
    truncate -s 64M big
    mkfifo slow
    (for ((i = 0; i < 8; i++)); do
        sleep 0.15
        head -c 8500000
    done >/dev/null; cat >/dev/null) <slow &
    on_terminal width:100 -- "$blobseal" seal -k "$seal_key" -o slow big
    expect_code 0
    tr '\r' '\n' <"$out" >lines
    check "size, percent, rate and estimate" \
        grep -qE '^seal big  [0-9.]+ MiB / 64\.0 MiB  [0-9]+%  [0-9.]+ [MG]B/s  ETA [0-9]+:[0-5][0-9]' lines
    wait
fi

# ---- Other forms ----

fresh "--progress=json"
sample f 2000000
mkfifo in
feed 1.1 &
on_terminal -- "$blobseal" seal --progress=json -k "$seal_key" -o blob in
expect_code 0
check "objects, also on a terminal" grep -q '^{"schema":"blobseal.progress/1","verb":"seal",.*}' "$out"
check "and nothing that moves" test -z "$(grep $'\033' "$out")"

# ---- Colours, and names with control characters ----

title="no escape sequences beside the progress line"
on_terminal -- "$blobseal" seal -k none f
expect_code 7
check "none in an error" test -z "$(grep $'\033' "$out")"
name=$'evil\033]0;owned\007\033[2J\nname'
sample "./$name" 100
"$blobseal" seal -k "$seal_key" --slot-size 4096 "$name"
flip "./$name.sealed" 5000 # one slot is damaged, so there is a warning
cp "./$name.sealed" keep
for command in "seal -k $seal_key -o x" "open -k $open_key -o x" "open -k $open_key -o keep" "verify -k $open_key" inspect \
    "seal --frobnicate -k" "seal -k $seal_key -j" "help" "seal -k"; do
    title="a name with control characters: ${command/ -k * / }"
    file=$name.sealed
    rm -f x
    # shellcheck disable=SC2086
    on_terminal -- "$blobseal" $command "$file"
    remove_progress
    check "none reaches the terminal" test -z "$(grep $'\033\\|\007' "$out")"
done

finish

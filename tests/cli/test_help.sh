#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Help texts, man pages and the options of the program agree, and the examples of the man pages run.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

man=$root/tools/man
tools=$root/tools/blobseal
common=$root/tools/common
verbs=$(run help && sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p' "$out")
title="verbs"
check "the general help lists the verbs" test -n "$verbs"

# ---- The general help ----

for arguments in help --help -h; do
    title="blobseal $arguments"
    # shellcheck disable=SC2086
    run $arguments
    expect_ok
    expect_stdout "^Usage: blobseal VERB"
    for verb in $verbs; do
        expect_stdout "^  $verb +[a-z]"
    done
    check "no line is wider than 120 columns" test -z "$(awk 'length > 120' "$out")"
done
title="blobseal --version"
run --version
expect_ok
version=$(sed -n 's/.*BLOBSEAL_VERSION_\(MAJOR\|MINOR\|PATCH\) \([0-9]*\)$/\2/p' "$root/core/include/blobseal.h" | paste -sd .)
check "one line with both versions" grep -qxE "blobseal $version \(OpenSSL [0-9.]+.*\)" "$out"
title="help that nobody can read"
"$blobseal" help >/dev/full 2>"$err"
code=$?
last=" help >/dev/full"
expect_code 8

# ---- Each verb: its table of options, its help, its man page ----

table() { # table VERB: print the long options in its source, without dashes
    local file=$tools/cmd_$1.c name
    awk '/static const struct option options\[\]/ { on = 1 } on; /\{0\}\}/ { on = 0 }' "$file" >"$tmp/table"
    grep -oE '\{"[a-z0-9-]+"' "$tmp/table" | tr -d '{"'
    ! grep -q KEY_OPTIONS "$tmp/table" || echo CONFIG_OPTIONS >>"$tmp/table" # the one contains the other
    for name in COMMON_OPTIONS PROGRESS_OPTION CONFIG_OPTIONS PURGE_PROTECTION_OPTION KEY_OPTIONS CHANGE_OPTIONS; do
        if grep -q $name "$tmp/table"; then
            sed -n "/^#define $name/,/^$/p" "$tools"/*.h "$common"/*.h | grep -oE '"[a-z0-9-]+"' | tr -d '"'
        fi
    done
}

letters() { # letters VERB: print its one-letter options
    table "$1" >"$tmp/names"
    grep -rhoE "\{\"($(paste -sd '|' "$tmp/names"))\", [a-z_]+, NULL, '[a-z]'" "$tools/cmd_$1.c" "$tools"/*.h "$common"/*.h |
        grep -oE "'[a-z]'" | tr -d "'" | sort -u
}

in_page() { # in_page FILE: print the long options that a man page names, without dashes
    grep -oE '(Fl (. , )?-|--)[a-z][a-z0-9-]+' "$1" | grep -oE '[a-z][a-z0-9-]+$' | sort -u
}

for verb in $verbs; do
    title="help of $verb"
    run "$verb" --help
    expect_ok
    expect_stdout "^Usage: blobseal $verb"
    expect_stdout "^Example"
    cp "$out" "$tmp/help"
    check "no line is wider than 120 columns" test -z "$(awk 'length > 120' "$tmp/help")"
    for arguments in "$verb -h" "help $verb" "$verb --help --frobnicate"; do
        # shellcheck disable=SC2086
        run $arguments
        expect_ok
        expect_same "$out" "$tmp/help"
    done
    run "$verb" -q --json --help
    expect_code 0
    expect_same "$out" "$tmp/help"

    table "$verb" | sort -u >"$tmp/options"
    check "the table in the source was found" test "$(wc -l <"$tmp/options")" -ge 3
    grep -oE -- '--[a-z][a-z0-9-]+' "$tmp/help" | sed 's/^--//' | sort -u >"$tmp/told"
    check "the help should list: $(comm -23 "$tmp/options" "$tmp/told" | paste -sd ' ')" \
        test -z "$(comm -23 "$tmp/options" "$tmp/told")"
    # A help text may name an option of another verb that produces the file it refers to.
    for name in $(comm -13 "$tmp/options" "$tmp/told"); do
        check "the help names --$name, which no verb has" grep -rqE "\"$name\"" "$tools" "$common"
    done
    while read -r name; do
        run "$verb" "--$name" x y z
        check "the program knows --$name" test -z "$(grep 'unknown option' "$err")"
    done <"$tmp/options"

    title="blobseal-$verb(1)"
    page=$man/blobseal-$verb.1
    check "there is a page" test -s "$page"
    [ -s "$page" ] || continue
    in_page "$page" >"$tmp/paged"
    check "it should have: $(comm -23 "$tmp/options" "$tmp/paged" | paste -sd ' ')" \
        test -z "$(comm -23 "$tmp/options" "$tmp/paged")"
    while read -r name; do
        check "every option has an item: $name" grep -qE "^\.It Fl (. , )?-$name( |$)" "$page"
    done <"$tmp/options"
    grep -E '^\.It Fl' "$page" >"$tmp/lines"
    in_page "$tmp/lines" >"$tmp/items"
    check "it describes what $verb does not know: $(comm -13 "$tmp/options" "$tmp/items" | paste -sd ' ')" \
        test -z "$(comm -13 "$tmp/options" "$tmp/items")"
    for letter in $(letters "$verb"); do
        check "the help names -$letter" grep -qE "^  -$letter, --" "$tmp/help"
        check "the page names -$letter" grep -qE "^\.It Fl $letter , -" "$page"
    done
    check "the page names -h" grep -qE '^\.It Fl h , -help' "$page"
    check "what the help calls it and the page calls it is the same" \
        grep -qE "^\.Nm blobseal Cm $verb" "$page"
    for section in NAME SYNOPSIS DESCRIPTION OPTIONS 'EXIT STATUS' EXAMPLES 'SEE ALSO'; do
        check "it has the section $section" grep -qx ".Sh $section" "$page"
    done
done

# ---- blobseal(1) ----

title="blobseal(1)"
page=$man/blobseal.1
for verb in $verbs; do
    check "it has the verb $verb" grep -qx ".It Cm $verb" "$page"
    check "it refers to the page of $verb" grep -q "^\.Xr blobseal-$verb 1" "$page"
done
for file in "$man"/*.1; do
    name=${file##*/}
    name=${name%.1}
    check "$name is the page of a verb" test "$name" = blobseal -o -n "$(grep -x "${name#blobseal-}" <<<"$verbs")"
done
sed -n '/^\.Sh EXIT STATUS/,/^\.Sh EXAMPLES/p' "$page" >"$tmp/status"
# shellcheck disable=SC2013 # all of these lists are words
for number in $(sed -n 's/^ *EXIT_[A-Z_]* = \([0-9]*\),.*/\1/p' "$common/common.h"); do
    case $number in
    5 | 11) check "it says what $number is kept for" grep -qw "$number" "$tmp/status" ;;
    128) for signal in 129 130 131 143; do check "it has the exit status $signal" grep -qE "^\.It.* $signal( |$)" "$tmp/status"; done ;;
    *) check "it has the exit status $number" grep -qx ".It $number" "$tmp/status" ;;
    esac
done
# shellcheck disable=SC2013
for schema in $(grep -rhoE 'blobseal\.[a-z]+/[0-9]+' "$tools" "$common" | sort -u); do
    check "it has the schema $schema" grep -q "$schema" "$page"
done
# shellcheck disable=SC2013
for member in $(grep -rhoE 'json_(text|number|bool|seconds)\([^"]*"[a-z_]+"' "$tools" "$common" | sed 's/^[^"]*"//; s/"//' | sort -u); do
    check "it has the member $member" grep -qE "^\.Va $member( |$)" "$page"
done
for name in $(in_page "$page"); do
    [ "$name" = version ] || check "it names --$name, which no verb has" grep -rqE "\"$name\"" "$tools" "$common"
done

# ---- All pages ----

if part "man pages without faults" mandoc; then
    for page in "$man"/*.1; do
        title=${page##*/}
        try mandoc -Tlint -Wwarning "$page"
        expect_code 0
        expect_stdout ""
        try mandoc -Tutf8 "$page"
        expect_code 0
        check "it says something" test "$(wc -l <"$out")" -gt 40
    done
fi

# ---- The examples of the pages ----

setup() { # setup PAGE: make the files that its examples need
    sample disk.img 5000000
    mkdir photos
    sample photos/one.jpg 70000
    (umask 077 && echo secret >passphrase)
    mkdir bin
    ln -s "$blobseal" bin/blobseal
    PATH=$PWD/bin:$PATH
    case $1 in
    blobseal | blobseal-keygen) return ;;
    blobseal-bench) # the examples show a recorded run instead of measuring
        printf '#!/bin/sh\ncat "%s"\n' "$root/tests/cli/bench.json" >bin/measure
        chmod 755 bin/measure
        export BLOBSEAL_BENCH=$PWD/bin/measure
        return
        ;;
    esac
    cp "$keys/kek.pem" "$keys/kek.pub.pem" "$keys/backup.pub.pem" "$keys/locked.pem" \
        "$keys/locked.pub.pem" .
    if [ "$1" = blobseal-keyprovider ]; then
        echo '{"keks":{"team":"'"$PWD"'/kek.pem"},"oci":{"keys":["team"]}}' >config.json
        sed 's/"demo"/"blobseal"/; s/c29tZS1wYXJhbT0x/dGVhbQ==/' \
            "$root/tests/vectors/ocicrypt/keyprovider/1-keywrap.stdin.json" >message
        return
    fi
    [ "$1" != blobseal-oci ] || python3 "$root/tests/oci/image.py" make app:1
    [[ $1 != blobseal-seal && $1 != blobseal-oci ]] || return
    blobseal seal -k kek.pub.pem -k "$keys/locked.pub.pem" disk.img
    blobseal seal -k kek.pub.pem --detached disk.jwe -o disk.core disk.img
    tar -c photos | blobseal seal -k kek.pub.pem -o photos.tar.sealed
    mv disk.img original.img
    rm -r photos
}

make_key kek
make_key backup
make_key locked --passphrase-file <(echo secret)
path=$PATH
for page in "$man"/*.1; do
    fresh "the examples of ${page##*/}"
    name=${page##*/}
    setup "${name%.1}"
    count=0
    while read -r line; do
        line=${line//\\(dq/\"}
        tier_has all || line=${line/--rsa 4096/--rsa 2048} # takes a tenth of the time
        try bash -c "$line"
        expect_code 0
        check "nothing but notes on what a rotation cannot do" test -z "$(grep -v 'warning: .*still has access' "$err")"
        count=$((count + 1))
    done < <(sed -n 's/^\.Dl \$ //p' "$page" | grep -Ev 'pkcs11:|vault\.azure') # tests/pkcs11 has tokens, tests/keyvault a vault
    check "there are examples" test $count -gt 0
    case $name in
    blobseal.1) expect_same disk.img copy.img ;;
    blobseal-open.1)
        expect_same original.img disk.img
        expect_same original.img copy.img
        expect_same original.img other.img
        check "the folder is back" test "$(wc -c <photos/one.jpg)" = 70000
        ;;
    blobseal-recipients.1)
        expect_same original.img served.img
        expect_same original.img served-too.img
        ;;
    blobseal-seal.1)
        blobseal open -q -k kek.pem -o - disk.img.gz.sealed | gzip -d | cmp -s - disk.img
        check "the compressed blob holds the file" test $? = 0
        ;;
    esac
    PATH=$path
done

finish

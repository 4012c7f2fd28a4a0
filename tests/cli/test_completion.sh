#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The completion scripts that `blobseal completion` prints, run in their shells.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

verbs=$(run help && sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p' "$out")

# ---- The verb ----

fresh "the verb"
for shell in bash zsh fish; do
    run completion $shell
    expect_ok
    cp "$out" script.$shell
    check "the script for $shell says something" test "$(wc -l <script.$shell)" -gt 50
done
for arguments in "" "tcsh" "bash zsh" "--json" "-- bash"; do
    # shellcheck disable=SC2086
    run completion $arguments
    case $arguments in
    "-- bash") expect_same "$out" script.bash ;;
    --json) expect_code 2 ;;
    *) expect_error 2 E-USAGE "bash, zsh or fish" ;;
    esac
done
"$blobseal" completion bash >/dev/full 2>"$err"
code=$?
last=" completion bash >/dev/full"
expect_code 8
if part "the script for bash is clean" shellcheck; then
    try shellcheck -s bash script.bash
    expect_code 0
fi

# ---- bash, called the way readline calls it ----

# completions WORD...: print what bash offers for the last word, in one line. A `=` is a separate word, as in readline.
completions() {
    printf -v last ' bash: %q' "$*"
    bash --norc -c '. ./script.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _blobseal; echo "${COMPREPLY[*]}"' - "$@" >"$out" 2>"$err"
    code=$?
}

# expect_completions WORDS: bash offers exactly these, in any order; if empty, bash completes files
expect_completions() {
    local have want
    have=$(tr ' ' '\n' <"$out" | sort | paste -sd ' ')
    want=$(tr ' ' '\n' <<<"$1" | sort | paste -sd ' ')
    if [ "$have" = "$want" ] && [ ! -s "$err" ]; then pass; else fail "bash should offer {$want}, not {$have}"; fi
}

title="verbs in bash"
completions blobseal ""
expect_completions "${verbs//$'\n'/ } help --help --version -V"
completions blobseal se
expect_completions "seal set"
completions blobseal help ver
expect_completions verify
completions blobseal nothing ""
expect_completions ""
completions blobseal nothing -
expect_completions ""

title="words behind verbs in bash"
completions blobseal completion ""
expect_completions "bash zsh fish"
completions blobseal recipients re
expect_completions "remove repair"
completions blobseal recipients list ""
expect_completions ""

for verb in $verbs; do
    title="options of $verb in bash"
    completions blobseal "$verb" --
    run "$verb" --help
    grep -oE '^ +(-[a-zA-Z], )?--[a-z0-9-]+|^ .*, --[a-z0-9-]+ N' "$out" | grep -oE -- '--[a-z0-9-]+' | sort -u | paste -sd ' ' >options
    completions blobseal "$verb" --
    expect_completions "$(cat options)"
    completions blobseal "$verb" x y --hel
    expect_completions --help
    completions blobseal "$verb" -- --hel
    expect_completions ""
    completions blobseal "$verb" file
    expect_completions ""
done

title="blobs in bash"
mkdir folder
: >one.sealed
: >one.txt
completions blobseal open on
expect_completions one.sealed
completions blobseal open one.t
expect_completions ""
completions blobseal verify -k key.pem ""
expect_completions "folder one.sealed"
completions blobseal seal on
expect_completions ""
rm -r one.sealed one.txt folder

title="values in bash"
completions blobseal seal --progress ""
expect_completions "auto plain json none"
completions blobseal seal --progress = ""
expect_completions "auto plain json none"
completions blobseal seal --progress =
expect_completions "auto plain json none"
completions blobseal seal --progress = pl
expect_completions plain
completions blobseal seal -k key --oaep s
expect_completions "sha256 sha1"
completions blobseal keygen --rsa 4
expect_completions 4096
for option in -j --jobs --passphrase-fd --name --type --annotation; do
    completions blobseal seal "$option" ""
    expect_completions ""
done
for option in -k --kek --passphrase-file -o --output --detached; do
    completions blobseal seal "$option" -
    expect_completions "" # a file, even one that starts with a dash
done

# ---- On a terminal: what a person sees ----

: >'a file with spaces.sealed'
: >letter.pem
ln -s "$blobseal" program
mkdir bin
mv program bin/blobseal
PATH=$PWD/bin:$PATH
export TERM=dumb

# Type lines into a shell and keep what the shell shows. ^U erases each line, so that nothing is executed.
typed() { # typed SHELL... -- STEP...
    local command=()
    while [ "$1" != -- ]; do
        command+=("$1")
        shift
    done
    shift
    on_terminal width:200 "$@" 'send:\x15exit\n' -- "${command[@]}"
    check "the terminal should show all of it: $(tail -c 200 "$out" | tr -cd '[:print:]')" test "$code" = 0
}

echo 'PS1="ready> "; . ./script.bash; bind "set bell-style none"' >rc.bash
title="bash on a terminal"
if part "$title" bash python3; then
    typed bash --noprofile --rcfile rc.bash -i -- expect:'ready> ' \
        'send:blobseal insp\t-' expect:'blobseal inspect -' 'send:\x15' \
        'send:blobseal seal --prog\tpl\t.' expect:'--progress plain .' 'send:\x15' \
        'send:blobseal seal --progress=pl\t.' expect:'--progress=plain .' 'send:\x15' \
        'send:blobseal open -k let\t.' expect:'open -k letter.pem .' 'send:\x15' \
        'send:blobseal open a\t' expect:'spaces.sealed'
fi

# shellcheck disable=SC2016 # for zsh
echo 'PS1="ready> "; unsetopt beep; zle_highlight=(none); autoload -U compinit; compinit -u -D; . ./script.zsh' >.zshrc
title="zsh on a terminal"
if part "$title" zsh python3; then
    try zsh -n script.zsh
    expect_ok
    export ZDOTDIR=$PWD
    typed zsh -d -i -- expect:'ready> ' \
        'send:blobseal insp\t' expect:'inspect ' 'send:\x15' \
        'send:blobseal seal --prog\tpl\t' expect:'--progress=plain' 'send:\x15' \
        'send:blobseal recipients rep\t' expect:'recipients repair' 'send:\x15' \
        'send:blobseal open -k let\t' expect:'open -k letter.pem' 'send:\x15' \
        'send:blobseal completion f\t' expect:'completion fish' 'send:\x15' \
        'send:blobseal seal --no-\t' expect:'--no-checksums' 'send:\x15' \
        'send:blobseal verify \t' expect:'spaces.sealed' 'send:\x15'
    title="zsh finds the script as a file of its own"
    mkdir functions
    cp script.zsh functions/_blobseal
    # shellcheck disable=SC2016 # for zsh
    echo 'PS1="ready> "; unsetopt beep; zle_highlight=(none); fpath=($PWD/functions $fpath); autoload -U compinit; compinit -u -D' >.zshrc
    typed zsh -d -i -- expect:'ready> ' 'send:blobseal insp\t' expect:'inspect ' 'send:\x15' \
        'send:blobseal verify --env\tlet\t' expect:'--envelope=letter.pem'
fi

title="fish"
if part "$title" fish; then
    export XDG_CONFIG_HOME=$PWD/config XDG_DATA_HOME=$PWD/data HOME=$PWD
    try fish -n script.fish
    expect_ok
    fish_offers() { # fish_offers LINE: print the first words of what fish offers at the end of the line, in one line
        try fish -N -c "source script.fish; complete -C '$1' | string split -f1 \t"
        paste -sd ' ' "$out" >"$tmp/offers"
        mv "$tmp/offers" "$out"
    }
    fish_offers 'blobseal '
    expect_completions "${verbs//$'\n'/ } help"
    fish_offers 'blobseal help ver'
    expect_completions verify
    fish_offers 'blobseal completion '
    expect_completions "bash zsh fish"
    fish_offers 'blobseal recipients l'
    check "it offers list, and files" grep -qE '^(letter.pem )?list( letter.pem)?$' "$out"
    fish_offers 'blobseal seal --progress '
    expect_completions "auto plain json none"
    fish_offers 'blobseal seal --progress=p'
    expect_completions "--progress=plain"
    fish_offers 'blobseal open -k let'
    expect_completions letter.pem
    fish_offers 'blobseal verify '
    check "blobs come first" grep -q '^a file with spaces.sealed ' "$out"
    fish_offers 'blobseal seal open --no-'
    expect_completions --no-checksums
    for verb in $verbs; do
        title="options of $verb in fish"
        run "$verb" --help
        grep -oE '^ +(-[a-zA-Z], )?--[a-z0-9-]+|^ .*, --[a-z0-9-]+ N' "$out" | grep -oE -- '--[a-z0-9-]+' | sort -u | paste -sd ' ' >options
        fish_offers "blobseal $verb --"
        tr ' ' '\n' <"$out" | sed 's/=$//' | sort -u | paste -sd ' ' >offered
        check "fish should offer $(cat options), not $(cat offered)" cmp -s options offered
    done
    try fish -N -c "source script.fish; complete -C 'blobseal seal --detach'"
    expect_stdout "write the key envelope to FILE"
fi

finish

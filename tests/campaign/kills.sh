# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the scripts use variables set here; lib.sh and envelopes.sh set those used here
# SPDX-License-Identifier: Apache-2.0
# Shared by the scripts that kill the program: commands that write, and what must be true after a kill at any moment.

cases="seal seal-force seal-detached open open-force rewrap:ab rewrap:compact rewrap:detached add:ab add:compact remove:ab repair:ab"
kills=0

# prepare CASE: make a folder with the files that the command of the case needs, and set $command to that command.
prepare() {
    fresh "$1"
    case=$1
    verb=${1%%:*}
    case $case in
    *:*) prepare_change "${case#*:}" ;;
    *)
        sample f 300000
        sample other 70000
        "$blobseal" seal -q -k "$keys/old.pub.pem" -o f.sealed f
        "$blobseal" seal -q -k "$keys/old.pub.pem" -o other.sealed other
        ;;
    esac
    case $case in
    seal) command=(seal -j 1 -k "$keys/old.pub.pem" -o new f) ;;
    seal-force) command=(seal -j 1 -f -k "$keys/old.pub.pem" -o new f) ;;
    seal-detached) command=(seal -j 1 -k "$keys/old.pub.pem" --detached new.jwe -o new f) ;;
    open) command=(open -j 1 -k "$keys/old.pem" -o new f.sealed) ;;
    open-force) command=(open -j 1 -f -k "$keys/old.pem" -o new f.sealed) ;;
    rewrap:*) command=(rewrap -q -k "$keys/old.pem" -k "$keys/bob.pub.pem" --to "$keys/new.pub.pem" "$file") ;;
    add:*) command=(recipients add -q -k "$keys/old.pem" --to "$keys/new.pub.pem" "$file") ;;
    remove:*) command=(recipients remove -q -k "$keys/old.pem" --kid "$(kid bob)" "$file") ;;
    repair:*) command=(recipients repair -q -k "$keys/old.pem" "$file") ;;
    esac
}

prepare_change() { # prepare_change SHAPE
    make_blob "$1" -q -k "$keys/old.pub.pem" -k "$keys/bob.pub.pem"
    if [ "$verb" = repair ]; then # one of the two slots is older
        dd if=blob of="$tmp/slot" bs=4096 skip=2 count=1 status=none
        "$blobseal" recipients add -q -k "$keys/old.pem" --to "$keys/new.pub.pem" blob
        dd if="$tmp/slot" of=blob bs=4096 seek=2 conv=notrunc status=none
    fi
    core_sum
    payload=$REPLY
    cp "$file" "$tmp/saved"
}

# Return to the state before the command. Temporary files of a killed process are removed.
restore() {
    rm -f .*.partial new.jwe
    case $case in
    *:*) cat "$tmp/saved" >"$file" ;;
    seal-force) cp other.sealed new ;;
    open-force) cp other new ;;
    *) rm -f new ;;
    esac
}

opens() { # opens KEY: that key opens the blob that changes
    "$blobseal" verify -q -k "$keys/$1.pem" "${with[@]}" blob 2>/dev/null
}

opens_to() { # opens_to FILE OPTION...: the new blob opens to the content of this file
    local want=$1
    shift
    "$blobseal" open -q -k "$keys/old.pem" "$@" -o - new 2>"$err" | cmp -s - "$want"
}

# After a kill an output has its old content or all of the new content, and a changed blob opens for everybody who had
# access before and is to keep it.
whole() {
    local name openers=
    case $case in
    seal) check "it is whole" eval '[ ! -e new ] || opens_to f' ;;
    seal-force) check "it is the old or the new one" eval 'opens_to f || opens_to other' ;;
    seal-detached) check "both belong together" eval '[ ! -e new ] || [ ! -e new.jwe ] || opens_to f --envelope new.jwe' ;;
    open) check "it is whole" eval '[ ! -e new ] || cmp -s new f' ;;
    open-force) check "it is the old or the new one" eval 'cmp -s new f || cmp -s new other' ;;
    *)
        for name in old new bob; do
            ! opens $name || openers="$openers $name"
        done
        case $verb:$openers in
        rewrap:" old bob" | rewrap:" new bob" | add:" old bob" | add:" old new bob" | remove:" old" | remove:" old bob") pass ;;
        repair:" old new bob") pass ;;
        *) fail "it opens for:$openers" ;;
        esac
        same_core
        ;;
    esac
}

# The same command, run again, succeeds, even if the killed one had already done everything.
again() {
    [[ $case == *:* ]] || rm -f new new.jwe
    run "${command[@]}"
    # only the new recipients can open it, so the private key of a remaining recipient is needed
    if [ "$verb:$code" = rewrap:4 ]; then
        run rewrap -q -k "$keys/old.pem" -k "$keys/bob.pem" --to "$keys/new.pub.pem" "$file"
    fi
    expect_code 0
    whole
}

# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the scripts use what is set here; lib.sh sets what is used
# SPDX-License-Identifier: Apache-2.0
# What the scripts about changing recipients share. A blob stands in the file `blob` with the content of `f`; what is changed is
# $file, the blob or its envelope file.

file=
with=()     # options that name a detached envelope
envelope=() # the same, as an argument
here=()     # all that was made

make_blob() { # make_blob ab|compact|detached OPTION...: seal
    local shape=$1
    shift
    sample f 50000
    case $shape in
    ab) "$blobseal" seal "$@" --slot-size 4096 -o blob f ;;
    compact) "$blobseal" seal "$@" -o blob f ;;
    detached) "$blobseal" seal "$@" --detached e.jwe -o blob f ;;
    esac
    case $shape in
    detached) file=e.jwe with=(--envelope e.jwe) envelope=(e.jwe) here=(f blob e.jwe) ;;
    *) file=blob with=() envelope=() here=(f blob) ;;
    esac
}

core_sum() { # let $REPLY be a digest of all of the blob but the envelope
    ask core_sum blob
}

same_core() { # the core is as it was when core_sum() gave $payload
    core_sum
    if [ "$REPLY" = "$payload" ] && [[ $REPLY =~ ^[0-9a-f]{64}$ ]]; then pass; else fail "the core is as it was ($REPLY)"; fi
}

kid() { # kid NAME: the key id of that key
    if [ ! -e "$keys/$1.kid" ]; then
        echo x | "$blobseal" seal -k "$keys/$1.pub.pem" >"$keys/$1.sealed"
        "$blobseal" recipients list "$keys/$1.sealed" | sed 's/.* //' >"$keys/$1.kid"
    fi
    cat "$keys/$1.kid"
}

keys_of() { # keys_of FILE: the wrapped keys of its envelope, one a line
    if [[ $1 == *.jwe ]]; then cat "$1"; else "$blobseal" inspect -q --jwe "$1"; fi | grep -oE '"encrypted_key": *"[^"]*"' | cut -d '"' -f 4
}

none_inside() { # none_inside LIST FILE: no line of the list stands in the file, nor what it is base64url of
    ask none_inside "$1" "$2"
    [ "$REPLY" = yes ]
}

opens_with() { # opens_with NAME: that key opens the blob
    local -x ASAN_OPTIONS=detect_leaks=0
    if "$blobseal" open -q -f -k "$keys/$1.pem" "${with[@]}" -o back blob 2>"$tmp/opens" && cmp -s f back; then
        pass
    else
        fail "the key $1 should open it: $(head -n 1 "$tmp/opens")"
    fi
}

refuses() { # refuses NAME: that key opens it no more
    local -x ASAN_OPTIONS=detect_leaks=0
    local answer
    "$blobseal" open -q -f -k "$keys/$1.pem" --passphrase-file "$keys/passphrase" "${with[@]}" -o refused blob 2>/dev/null
    answer=$?
    check "the key $1 should open nothing (exit code 4, not $answer)" test $answer = 4
}

remember() { # remember FILE: how it is now
    cp "$1" "$tmp/remembered"
    stat -c '%i %Y %y %s %a' "$1" >"$tmp/remembered.stat"
}

untouched() { # untouched FILE: it is as it was, to the byte, the time and the inode
    if cmp -s "$1" "$tmp/remembered" && [ "$(stat -c '%i %Y %y %s %a' "$1")" = "$(<"$tmp/remembered.stat")" ]; then
        pass
    else
        fail "$1 should be untouched"
    fi
}

# Readers that share no code with this program.
interop=$root/tests/interop
has_python() { # has_python TITLE: whether their modules are here
    part "$1" "$python" || return 1
    ! "$python" -c 'import cryptography, jwcrypto, xxhash' 2>/dev/null || return 0
    part_lacks "the Python modules cryptography, jwcrypto and xxhash"
}

spoil() { # spoil FILE: change one bit of the tag of its envelope, with sums that fit
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$interop "$python" - "$1" <<'END'
import json
import sys

from ref_frame import build_slot, parse_frame, valid_slots


def spoiled(text):
    d = json.loads(text)
    d["tag"] = ("B" if d["tag"][0] == "A" else "A") + d["tag"][1:]
    return json.dumps(d, separators=(",", ":")).encode()


with open(sys.argv[1], "r+b") as file:
    data = file.read()
    if data[:1] == b"{":
        data = spoiled(data)
    else:
        frame = parse_frame(data)
        generation, jwe = valid_slots(data, frame)[0]
        slots = build_slot(generation, spoiled(jwe), frame.capacity) * frame.slots
        data = data[: frame.slot_offset] + slots + data[frame.length :]
    file.seek(0)
    file.write(data)
END
}

# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the scripts use the variables set here, and lib.sh sets those used here
# SPDX-License-Identifier: Apache-2.0
# Helpers of the scripts that test changes of recipients. The file `blob` contains the content of `f`, sealed. The file
# under change is $file: the blob itself, or its detached envelope.

file=
with=()     # options that name a detached envelope
envelope=() # the same envelope, as an argument
here=()     # all files made by make_blob()

make_blob() { # make_blob ab|compact|detached OPTION...: seal a new blob
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

core_sum() { # core_sum: set $REPLY to a digest of the whole blob except the envelope
    ask core_sum blob
}

same_core() { # same_core: the core is unchanged since core_sum() set $payload
    core_sum
    if [ "$REPLY" = "$payload" ] && [[ $REPLY =~ ^[0-9a-f]{64}$ ]]; then pass; else fail "the core is as it was ($REPLY)"; fi
}

kid() { # kid NAME: print the key id of that key
    if [ ! -e "$keys/$1.kid" ]; then
        echo x | "$blobseal" seal -k "$keys/$1.pub.pem" >"$keys/$1.sealed"
        "$blobseal" recipients list --json "$keys/$1.sealed" | sed 's/.*"kid":"\([^"]*\)".*/\1/' >"$keys/$1.kid"
    fi
    cat "$keys/$1.kid"
}

short() { # short NAME: print the short form of the key id of that key
    kid "$1" | sed -E 's/^urn:.*:(.{12}).*/\1/'
}

keys_of() { # keys_of FILE: print the wrapped keys of its envelope, one per line
    if [[ $1 == *.jwe ]]; then cat "$1"; else "$blobseal" inspect -q --jwe "$1"; fi | grep -oE '"encrypted_key": *"[^"]*"' | cut -d '"' -f 4
}

none_inside() { # none_inside LIST FILE: the file contains no line of LIST, neither as base64url nor decoded
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

refuses() { # refuses NAME: that key no longer opens the blob
    local -x ASAN_OPTIONS=detect_leaks=0
    local answer
    "$blobseal" open -q -f -k "$keys/$1.pem" --passphrase-file "$keys/passphrase" "${with[@]}" -o refused blob 2>/dev/null
    answer=$?
    check "the key $1 should open nothing (exit code 4, not $answer)" test $answer = 4
}

remember() { # remember FILE: record its content and metadata for untouched()
    cp "$1" "$tmp/remembered"
    stat -c '%i %Y %y %s %a' "$1" >"$tmp/remembered.stat"
}

untouched() { # untouched FILE: content, times and inode are as remember() recorded them
    if cmp -s "$1" "$tmp/remembered" && [ "$(stat -c '%i %Y %y %s %a' "$1")" = "$(<"$tmp/remembered.stat")" ]; then
        pass
    else
        fail "$1 should be untouched"
    fi
}

# The readers in tests/interop share no code with this program.
interop=$root/tests/interop
has_python() { # has_python TITLE: true if the Python modules of those readers are installed
    part "$1" "$python" || return 1
    ! "$python" -c 'import cryptography, jwcrypto, xxhash' 2>/dev/null || return 0
    part_lacks "the Python modules cryptography, jwcrypto and xxhash"
}

spoil() { # spoil FILE: change one bit of the tag of its envelope, and make the checksums match
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

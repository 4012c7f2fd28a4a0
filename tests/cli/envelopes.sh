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

frame_len() { # frame_len FILE
    if [ "$(head -c 4 "$1" | tail -c 1)" = K ]; then od -An -tu4 -j 20 -N 4 "$1"; else echo 0; fi
}

core_sum() { # a digest of all but the envelope
    tail -c +$(($(frame_len blob) + 1)) blob | sha256sum
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
    python3 - "$1" "$2" <<'END'
import base64
import sys

data = open(sys.argv[2], "rb").read()
lines = open(sys.argv[1]).read().split()
assert lines
for line in lines:
    raw = base64.urlsafe_b64decode(line + "=" * (-len(line) % 4))
    if any(part in data for part in (line.encode()[:64], line.encode()[-64:], raw[:32])):
        sys.exit(1)
END
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
    if cmp -s "$1" "$tmp/remembered" && [ "$(stat -c '%i %Y %y %s %a' "$1")" = "$(cat "$tmp/remembered.stat")" ]; then
        pass
    else
        fail "$1 should be untouched"
    fi
}

# Readers that share no code with this program.
interop=$root/tests/interop
python=/usr/bin/python3
has_python() { # has_python TITLE: whether their modules are here
    if part "$1" "$python" && "$python" -c 'import cryptography, jwcrypto, xxhash' 2>/dev/null; then return 0; fi
    echo "skipped: $1 needs Python modules"
    return 1
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

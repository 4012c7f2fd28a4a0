#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every error of the verbs: the exit code, the two lines on stderr, an empty stdout, and no new file.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need python3

make_key kek
make_key other
seal_key=$keys/kek.pub.pem
open_key=$keys/kek.pem

# refused CODE NAME PATTERN ARGUMENT...: the program fails like this and leaves the folder unchanged
refused() {
    local want=$1 name=$2 pattern=$3 before
    shift 3
    ask snapshot
    before=$REPLY
    run "$@"
    expect_error "$want" "$name" "$pattern"
    ask snapshot
    check "the folder should be as it was" test "$before" = "$REPLY"
}

opening_refused() { # opening_refused CODE NAME PATTERN ARGUMENT...: open, verify and inspect fail like this
    local want=$1 name=$2 pattern=$3 verb
    shift 3
    for verb in open verify inspect; do
        if [ $verb = open ]; then set -- -o x "$@"; fi
        refused "$want" "$name" "$pattern" $verb "$@"
        if [ $verb = open ]; then shift 2; fi
    done
}

key_refused() { # key_refused CODE NAME PATTERN KEY-OPTION...: every verb that takes a key fails like this
    local want=$1 name=$2 pattern=$3
    shift 3
    opening_refused "$want" "$name" "$pattern" "$@" f.sealed
    refused "$want" "$name" "$pattern" seal "$@" f.sealed
}

# ---- 2: wrong usage ----

fresh "usage"
sample f 1000
"$blobseal" seal -k "$seal_key" f
cp "$open_key" kek.pem
run
expect_code 2
expect_stdout ""
expect_stderr "Usage: blobseal VERB"
refused 2 E-USAGE "no verb named frobnicate" frobnicate
refused 2 E-USAGE "no verb named --frobnicate" --frobnicate
refused 2 E-USAGE "no verb named frobnicate" help frobnicate
refused 2 E-USAGE "no verb named -k" -k "$seal_key" seal f
for verb in keygen seal open inspect verify; do
    title="usage of $verb"
    refused 2 E-USAGE "unknown option --frobnicate" $verb --frobnicate
    refused 2 E-USAGE "unknown option -[xZ]" $verb -Z
    refused 2 E-USAGE "unknown option -Zq?" $verb -Zq
    refused 2 E-USAGE "unknown option -q?Z" $verb -qZ
    refused 2 E-USAGE "unknown option --quiet=yes|takes no argument" $verb --quiet=yes
    [ $verb != keygen ] || refused 2 E-USAGE "keygen takes no file" keygen one two
    expect_stderr "hint: see: blobseal help $verb"
done
for verb in seal open verify; do
    title="usage of $verb"
    refused 2 E-USAGE "$verb needs a key" $verb f
    refused 2 E-USAGE "option -k needs an argument" $verb f -k
    refused 2 E-USAGE "option --kek needs an argument" $verb f --kek
    refused 2 E-USAGE "belongs after its -k" $verb --passphrase-file pw -k "$open_key" f.sealed
    refused 2 E-USAGE "belongs after its -k" $verb --passphrase-fd 0 -k "$open_key" f.sealed
    refused 2 E-USAGE "number of a descriptor, not three" $verb -k "$open_key" --passphrase-fd three f.sealed
    refused 2 E-USAGE "number of a descriptor, not -1" $verb -k "$open_key" --passphrase-fd -1 f.sealed
    for jobs in 0 257 -1 +1 1.5 1x 0x2 '' ' 1' 99999999999999999999; do
        refused 2 E-USAGE "-j takes a number of threads from 1 to 256, not " $verb -k "$open_key" -j "$jobs" f.sealed
    done
    refused 2 E-USAGE "--progress is auto, plain, json or none, not fancy" $verb -k "$open_key" --progress=fancy f.sealed
    many=()
    for ((i = 0; i < 65; i++)); do
        many+=(-k "$open_key")
    done
    refused 2 E-USAGE "more than 64 keys" $verb "${many[@]}" f.sealed
done
title="usage of inspect"
refused 2 E-USAGE "belongs after its -k" inspect --passphrase-fd 0 f.sealed
refused 2 E-USAGE "option --envelope needs an argument" inspect --envelope
run inspect --jwe --json f.sealed
expect_code 2
expect_stderr "exclude each other.*E-USAGE"

title="usage of keygen"
refused 2 E-USAGE "needs -o FILE" keygen
refused 2 E-USAGE "needs -o FILE" keygen --pub p.pem
refused 2 E-USAGE "needs -o FILE" keygen -o -
refused 2 E-USAGE "--pub needs the name of another file" keygen -o k.pem --pub -
refused 2 E-USAGE "--pub needs the name of another file" keygen -o k.pem --pub k.pem
for bits in 0 1024 2047 3000 8192 -2048 2048x '' four; do
    refused 2 E-USAGE "--rsa is 2048, 3072 or 4096, not " keygen -o k.pem --rsa "$bits"
done
refused 2 E-USAGE "number of a descriptor" keygen -o k.pem --passphrase-fd x
refused 2 E-USAGE "unknown option --kek" keygen --kek k -o k.pem
refused 2 E-USAGE "unknown option --force" keygen -o kek.pem --force

title="usage of seal"
for size in 0 4095 4097 6144 65537 69632 8k -4096 ''; do
    refused 2 E-USAGE "--slot-size takes a multiple of 4096 from 4096 to 65536, not " seal -k "$seal_key" --slot-size "$size" f
done
for hash in md5 SHA256 sha512 ''; do
    refused 2 E-USAGE "--oaep is sha256 or sha1, not " seal -k "$seal_key" --oaep "$hash" f
done
refused 2 E-USAGE "--slot-size and --detached exclude each other" seal -k "$seal_key" --slot-size 4096 --detached e f
refused 2 E-USAGE "--detached needs the name of another file" seal -k "$seal_key" --detached - f
refused 2 E-USAGE "--detached needs the name of another file" seal -k "$seal_key" --detached o -o o f
for verb in seal open; do
    run $verb -k "$open_key" --json -o - f.sealed
    expect_code 2
    expect_stderr "cannot both go to standard output.*E-USAGE"
    run $verb -k "$open_key" --json <f.sealed
    expect_code 2
    expect_stderr "cannot both go to standard output.*E-USAGE"
done

title="a blob without .sealed in its name"
cp f.sealed blob
cp f.sealed .sealed
mkdir d
cp f.sealed d/.sealed
cp f.sealed x.SEALED
for name in blob .sealed d/.sealed x.SEALED f; do
    refused 2 E-CONFIG "does not end in .sealed" open -k "$open_key" $name
done

title="a detached blob without its envelope"
"$blobseal" seal -k "$seal_key" --detached e -o core f
opening_refused 2 E-CONFIG "sealed detached" -k "$open_key" core
refused 2 E-CONFIG "sealed detached" inspect --jwe core
run inspect core
expect_code 0
expect_stdout "envelope +not in the blob"

title="one key twice"
refused 2 E-ARG "appears twice" seal -f -k "$seal_key" -k "$open_key" f

title="folders"
refused 2 E-CONFIG "d is a folder" seal -k "$seal_key" d
expect_stderr "hint: .*tar"
refused 2 E-CONFIG "d is a folder" seal -f -k "$seal_key" -o d f
refused 2 E-CONFIG "d is a folder" open -f -k "$open_key" -o d f.sealed
refused 2 E-CONFIG "d is a folder" seal -k "$seal_key" --detached d -o new f
refused 2 E-CONFIG "d is a folder" keygen -o d
refused 2 E-CONFIG "d is a folder" keygen -o new.pem --pub d
opening_refused 2 E-CONFIG "d is a folder" -k "$open_key" d
run seal -k "$seal_key" -o x - <d
expect_error 2 E-CONFIG "is a folder"

# ---- Keys ----

fresh "keys"
sample f 1000
"$blobseal" seal -k "$seal_key" f
title="keys by reference"
key_refused 2 E-CONFIG "no provider for keys of the form http:" -k http://vault.example/k
key_refused 2 E-CONFIG "vault.example is not one of Azure, and is not configured" -k https://vault.example/keys/k
key_refused 2 E-CONFIG "there is no set prod: .*/prod.json does not exist" -k set:prod
title="files that hold no key"
: >empty.pem
head -c 70000 /dev/zero >big.pem
printf -- '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n' >bad.pem
key_refused 7 E-INPUT "none.pem: No such file" -k none.pem
key_refused 7 E-INPUT "none.pem: No such file" -k file:none.pem
key_refused 7 E-INPUT "No such file" -k ""
key_refused 7 E-INPUT "none: No such file" -k "$open_key" -k none
key_refused 7 E-INPUT "Is a directory" -k .
key_refused 2 E-CONFIG "empty.pem: it is an empty file" -k empty.pem
key_refused 2 E-CONFIG "f: no PEM block" -k f
key_refused 2 E-CONFIG "larger than 64 KiB" -k big.pem
key_refused 2 E-CONFIG "the key is malformed" -k bad.pem

title="private keys that others can read"
for mode in 0644 0640 0604 0660 0602 0610; do
    cp "$open_key" loose.pem
    chmod $mode loose.pem
    key_refused 10 E-POLICY "loose.pem can be read by others .mode $mode" -k loose.pem
    expect_stderr "hint: chmod 600 loose.pem"
done
for mode in 0600 0400; do
    chmod $mode loose.pem
    run verify -q -k loose.pem f.sealed
    expect_ok
done
if have_user; then
    title="an ordinary user and a key of somebody else"
    chmod 755 .
    chmod 644 f f.sealed
    run_as_user verify -k "$open_key" f.sealed
    if [ "$(id -u)" = 0 ]; then expect_error 7 E-INPUT "kek.pem: Permission denied"; else expect_code 0; fi
    title="an unreadable input"
    chmod 000 f.sealed
    run_as_user verify -k "$seal_key" f.sealed
    expect_error 7 E-INPUT "f.sealed: Permission denied"
    run_as_user seal -k "$seal_key" f.sealed
    expect_error 7 E-INPUT "f.sealed: Permission denied"
    chmod 644 f.sealed
    title="a folder that cannot be written"
    chmod 555 .
    [ "$(id -u)" != 0 ] || chown root .
    run_as_user seal -k "$seal_key" -o new f
    expect_error 8 E-OUTPUT "create new: Permission denied"
    run_as_user keygen -o new
    expect_error 8 E-OUTPUT "create new: Permission denied"
    chmod 755 .
fi

if part "keys of other kinds" openssl; then
    openssl ecparam -name prime256v1 -genkey -noout -out ec1.pem 2>/dev/null
    openssl pkcs8 -topk8 -nocrypt -in ec1.pem -out EC.pem
    openssl genpkey -algorithm ed25519 -out ED25519.pem
    openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out RSA-PSS.pem 2>/dev/null
    openssl genrsa -out small.pem 1024 2>/dev/null
    openssl genrsa -out odd.pem 2056 2>/dev/null
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3 -out three.pem 2>/dev/null
    openssl genrsa -traditional -aes128 -passout pass:x -out old.pem 2048 2>/dev/null
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -aes256 -pass pass:x -out locked.pem 2>/dev/null
    chmod 600 ./*.pem
    for kind in EC ED25519 RSA-PSS; do
        openssl pkey -in $kind.pem -pubout -out $kind.pub
    done
    openssl req -x509 -key EC.pem -subj /CN=x -out EC.crt 2>/dev/null
    openssl req -x509 -key "$open_key" -subj /CN=x -out rsa.crt 2>/dev/null
    for file in EC.pem EC.pub EC.crt ec1.pem ED25519.pem ED25519.pub RSA-PSS.pem RSA-PSS.pub; do
        title="another kind of key: $file"
        key_refused 2 E-CONFIG "$file: it is an? .* key, and an RSA key is needed" -k $file
    done
    title="RSA keys that are not accepted"
    key_refused 2 E-CONFIG "small.pem has 1024 bits" -k small.pem
    key_refused 2 E-CONFIG "odd.pem has 2056 bits" -k odd.pem
    key_refused 2 E-CONFIG "three.pem has an unsafe public exponent" -k three.pem
    key_refused 2 E-CONFIG "OpenSSL's legacy format" -k old.pem
    title="passphrases"
    key_refused 2 E-CONFIG "locked.pem is encrypted, and there is no terminal" -k locked.pem
    (umask 077 && echo wrong >wrong && : >empty && head -c 2000 /dev/zero | tr '\0' a >long)
    key_refused 2 E-CONFIG "wrong passphrase" -k locked.pem --passphrase-file wrong
    key_refused 2 E-CONFIG "passphrase in empty is empty" -k locked.pem --passphrase-file empty
    key_refused 2 E-CONFIG "passphrase in long is too long" -k locked.pem --passphrase-file long
    key_refused 7 E-INPUT "open the passphrase file none: No such file" -k locked.pem --passphrase-file none
    key_refused 7 E-INPUT "passphrase from .*: Bad file descriptor" -k locked.pem --passphrase-fd 77
    title="a certificate seals"
    run seal -k rsa.crt -o crt.sealed f
    expect_ok
    run open -k "$open_key" -o back crt.sealed
    expect_same f back
fi

# ---- 3 and 12: blobs that are damaged, forged or not supported ----

forge() { # forge BLOB: make BLOB.EXIT-CODE.CASE for each case
    "$python" "$root/tests/cli/forge.py" "$1"
}

expect_class() { # expect_class EXIT-CODE CLASSES: the error is one of these classes
    local class found=none
    read -r <"$err"
    for class in $2; do
        if [[ $REPLY == *"(E-$class)" ]]; then found=$class; fi
    done
    expect_error "$1" "E-$found"
}

turn=0
if part "forged blobs" python3; then
    for options in "5000 " "20000 --no-checksums" "2200000 --slot-size=4096" "1048576 --detached=e" "0 "; do
        fresh "forged blobs: ${options/ / bytes }"
        sample plain "${options%% *}"
        # shellcheck disable=SC2086
        "$blobseal" seal -k "$seal_key" ${options#* } -o b plain
        envelope=()
        [ ! -e e ] || envelope=(--envelope e)
        forge b
        files=$(ls -A)
        for blob in b.*; do # alternately from a file and from a pipe; in the tier `all` from both
            want=${blob#b.}
            want=${want%%.*}
            title="forged blob ${blob#b.} (${options})"
            classes="DAMAGED AUTH FORMAT"
            [ "$want" = 3 ] || classes=UNSUPPORTED
            if ((++turn % 2)) || tier_has all; then
                run open -k "$open_key" "${envelope[@]}" -o new "$blob"
                expect_class "$want" "$classes"
            fi
            if ! ((turn % 2)) || tier_has all; then
                # shellcheck disable=SC2002
                cat "$blob" | pipe open -k "$open_key" "${envelope[@]}" >"$out"
                pipe_code open "$blob"
                check "only verified data goes out" cmp -s -n "$(stat -c %s "$out")" "$out" plain
                : >"$out"
                expect_class "$want" "$classes"
            fi
            [[ $blob == *[37] ]] || continue
            run verify -k "$open_key" "${envelope[@]}" "$blob"
            expect_class "$want" "$classes"
        done
        check "nothing was left" test "$files" = "$(ls -A)"
    done

    title="a damaged slot"
    fresh
    sample plain 6000000
    "$blobseal" seal -k "$seal_key" -o b plain
    cp b b1
    printf '?' | dd of=b1 bs=1 seek=4500 conv=notrunc 2>/dev/null
    run open -k "$open_key" -o new b1
    expect_code 0
    expect_stderr "^blobseal: warning: b1: one of the two envelope slots is damaged"
    expect_same plain new
    printf '?' | dd of=b1 bs=1 seek=21000 conv=notrunc 2>/dev/null
    refused 3 E-DAMAGED "no valid slot" open -k "$open_key" -o new2 b1
    refused 3 E-DAMAGED "no valid slot" inspect b1

    title="an envelope of another blob"
    "$blobseal" seal -k "$seal_key" --detached e1 -o c1 plain
    "$blobseal" seal -k "$seal_key" --detached e2 -o c2 plain
    refused 3 E-FORMAT "belongs to another blob" open -k "$open_key" --envelope e2 -o new2 c1
    refused 3 E-FORMAT "." open -k "$open_key" --envelope plain -o new2 c1
    refused 3 E-FORMAT "." open -k "$open_key" --envelope /dev/null -o new2 c1
    for at in $(seq 0 37 "$(($(stat -c %s e1) - 2))"); do
        cp e1 e3
        printf '!' | dd of=e3 bs=1 seek="$at" conv=notrunc 2>/dev/null
        run open -k "$open_key" --envelope e3 -o new2 c1
        check "a changed envelope does not open" test $code = 3 -o $code = 4 -o $code = 12
    done
    check "nothing was made" test ! -e new2
fi

for vector in "$root"/tests/vectors/format/unsupported-*.vec; do
    [ -e "$vector" ] || continue
    name=${vector##*/}
    ! grep -q "^${name%.vec} " "$root/tests/vectors/format/changed" || continue # another class: FORMAT.md section 9
    title=${vector##*/}
    sed '1,/^$/d' "$vector" >vector.blob
    length=$(sed -n '1,/^$/s/^envelope-length: //p' "$vector")
    envelope=()
    if [ -n "$length" ]; then
        head -c "$length" vector.blob >vector.jwe
        tail -c +$((length + 1)) vector.blob >vector.core && mv vector.core vector.blob
        envelope=(--envelope vector.jwe)
    fi
    key=$(sed -n '1,/^$/s/^key: //p' "$vector")
    install -m 600 "$root/tests/vectors/format/${key/%*.jwe/kek1.pem}" vector.pem # no key fits these, not even a set
    run open -k vector.pem "${envelope[@]}" -o vector.out vector.blob
    expect_error 12 E-UNSUPPORTED
    check "nothing was made" test ! -e vector.out
done

title="not a blob"
fresh
sample f 3000
: >empty
printf 'BSK' >short
for name in f empty short /dev/null; do
    opening_refused 3 "E-FORMAT" "not a sealed blob" -k "$open_key" $name
    refused 3 "E-FORMAT" "not a sealed blob" inspect $name
done

# ---- 4: no key fits ----

fresh "no key fits"
sample f 5000
"$blobseal" seal -k "$seal_key" f
opening_refused 4 E-NOKEY "no key fits" -k "$keys/other.pem" f.sealed
expect_stderr "hint: its only recipient is urn:ietf:params:oauth:jwk-thumbprint:sha-256:"
run open -k "$keys/other.pem" <f.sealed
expect_error 4 E-NOKEY "no key fits"
title="the public half does not open"
opening_refused 4 E-NOKEY "." -k "$seal_key" f.sealed
expect_stderr "hint: .*kek.pub.pem holds a public key"

# ---- 10: an envelope too large for its slot ----

title="a slot too small"
large=(2048 1 2 3 4 5 6 7)
! tier_has all || large=(4096 1 2 3)
for i in "${large[@]:1}"; do
    make_key "big$i" --rsa "${large[0]}"
    big+=(-k "$keys/big$i.pub.pem")
done
refused 10 E-POLICY "." seal -f --slot-size 4096 "${big[@]}" -k "$seal_key" -k "$keys/other.pub.pem" f
expect_stderr "hint: .*larger slot"

# ---- 6: outputs that exist ----

fresh "outputs that exist"
sample f 5000
"$blobseal" seal -k "$seal_key" f
echo precious >old
chmod 444 old
ln -s nowhere dangling
ln -s old link
refused 6 E-EXISTS "f.sealed exists" seal -k "$seal_key" f
expect_stderr "hint: .*--force"
for name in old dangling link; do
    refused 6 E-EXISTS "$name exists" seal -k "$seal_key" -o $name f
    refused 6 E-EXISTS "$name exists" seal -k "$seal_key" --detached $name -o new f
    refused 6 E-EXISTS "$name exists" open -k "$open_key" -o $name f.sealed
    refused 6 E-EXISTS "$name exists" keygen --rsa 2048 -o $name
    refused 6 E-EXISTS "$name exists" keygen --rsa 2048 -o new --pub $name
done
refused 6 E-EXISTS "f exists" open -k "$open_key" f.sealed

title="one file as input and output"
ln f hard
ln -s f soft
mkdir d
for name in f ./f d/../f hard soft "$PWD/f"; do
    refused 6 E-EXISTS "is the input and the output" seal --force -k "$seal_key" -o "$name" f
    refused 6 E-EXISTS "is the input and the output" seal --force -k "$seal_key" --detached "$name" -o new f
    run seal --force -k "$seal_key" -o "$name" - <f
    expect_error 6 E-EXISTS "is the input and the output"
done
rm hard soft
ln f.sealed hard
for name in f.sealed hard; do
    refused 6 E-EXISTS "is the input and the output" open --force -k "$open_key" -o $name f.sealed
done
title="one file as input and output, through redirections"
cp f g
# shellcheck disable=SC2094 # reading and writing one file is the point
timeout $hang_limit "$blobseal" seal -k "$seal_key" <g >>g 2>"$err"
code=$?
last=" seal <g >>g"
: >"$out"
expect_error 6 E-EXISTS "is the input and the output"
expect_same f g
cp f g
timeout $hang_limit "$blobseal" seal -k "$seal_key" g -o - 1<>g 2>"$err"
code=$?
last=" seal g -o - 1<>g"
expect_error 6 E-EXISTS "is the input and the output"
expect_same f g

fresh "a key as the output"
sample f 5000
cp "$seal_key" kek.pub
for options in "" --force; do
    # shellcheck disable=SC2086
    run seal $options -k kek.pub -o kek.pub f
    expect_error 6 E-EXISTS
    expect_same "$seal_key" kek.pub
done

title="one file as blob and envelope"
for options in "" --force; do
    for pair in "new ./new" "new d/../new" "old ./old"; do
        fresh "one file as blob and envelope: $pair $options"
        sample f 5000
        mkdir d
        [[ $pair != old* ]] || [ -z "$options" ] || echo old >old
        before=$(ls -A)
        # shellcheck disable=SC2086
        run seal $options -k "$seal_key" -o ${pair% *} --detached ${pair#* } f
        check "should be refused" test $code -eq 2 -o $code -eq 6
        check "should leave nothing" test "$before" = "$(ls -A)"
        # shellcheck disable=SC2086
        run seal $options -k "$seal_key" --detached ./f.sealed f
        check "should be refused" test $code -eq 2 -o $code -eq 6
        check "should leave nothing" test "$before" = "$(ls -A)"
    done
done
fresh "one file for both keys"
run keygen --rsa 2048 -o k.pem --pub ./k.pem
check "should be refused" test $code -eq 2 -o $code -eq 6
no_leftovers

# ---- 7: inputs ----

fresh "inputs that are missing"
refused 7 E-INPUT "none: No such file" seal -k "$seal_key" none
refused 7 E-INPUT "none: No such file" seal -k "$seal_key" -o x none
refused 7 E-INPUT "none.sealed: No such file" open -k "$open_key" none.sealed
refused 7 E-INPUT "none: No such file" verify -k "$open_key" none
refused 7 E-INPUT "none: No such file" inspect none
refused 7 E-INPUT "No such file" seal -k "$seal_key" -o x ""
sample f 100
"$blobseal" seal -k "$seal_key" --detached e f
opening_refused 7 E-INPUT "none: No such file" -k "$open_key" --envelope none f.sealed
opening_refused 7 E-INPUT "Is a directory" -k "$open_key" --envelope . f.sealed
title="a closed standard input"
for command in "seal -o x" "open -o x" verify; do
    # shellcheck disable=SC2086
    "$blobseal" $command -k "$open_key" <&- >"$out" 2>"$err"
    code=$?
    last=" $command <&-"
    expect_error 7 E-INPUT "standard input"
    no_leftovers e f f.sealed
done

# ---- 8: outputs that cannot be written ----

fresh "outputs that cannot be written"
sample f 5000
"$blobseal" seal -k "$seal_key" f
refused 8 E-OUTPUT "create gone/x: No such file" seal -k "$seal_key" -o gone/x f
refused 8 E-OUTPUT "create gone/x: No such file" seal -k "$seal_key" -o x --detached gone/x f
refused 8 E-OUTPUT "create gone/x: No such file" open -k "$open_key" -o gone/x f.sealed
refused 8 E-OUTPUT "create gone/x: No such file" keygen --rsa 2048 -o gone/x
refused 8 E-OUTPUT "create gone/x: No such file" keygen --rsa 2048 -o x --pub gone/x
refused 8 E-OUTPUT "f/x" seal -k "$seal_key" -o f/x f
long=$(printf 'n%.0s' {1..256})
refused 8 E-OUTPUT "File name too long" seal -k "$seal_key" -o "$long" f
refused 8 E-OUTPUT "File name too long" open -k "$open_key" -o "$long" f.sealed
refused 8 E-OUTPUT "File name too long" keygen --rsa 2048 -o "$long"
title="a public key that cannot be written"
refused 8 E-OUTPUT "File name too long" keygen --rsa 2048 -o x --pub "$long"
no_leftovers f f.sealed

finish

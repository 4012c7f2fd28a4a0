#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Key files as people have them: several keys in one, keys of other programs, certificates, damaged ones.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need openssl

make_key a
make_key b

# ---- Several keys ----

fresh "a file with several keys"
cat "$keys/a.pub.pem" "$keys/b.pub.pem" >both.pub.pem
cat "$keys/a.pem" "$keys/b.pem" "$keys/a.pub.pem" >both.pem
chmod 600 both.pem
echo content >plain
run seal -q -k both.pub.pem plain
expect_ok
for key in a b; do
    run open -q -k "$keys/$key.pem" -o - plain.sealed
    expect_ok
    check "$key opens it" cmp -s plain "$out"
done
{
    echo "# two of them"
    cat both.pub.pem
} >list
run seal -q -R list -o listed.sealed plain
expect_ok
run recipients list listed.sealed
check "both keys of the list are recipients" test "$(grep -c RSA-OAEP "$out")" = 2
try env BLOBSEAL_KEK=both.pub.pem "$BLOBSEAL" seal --json -o default.sealed plain
json_is "$out" "len(d['recipients']) == 2"

run seal -q -k "$keys/b.pub.pem" -o b.sealed plain
run open -q -k both.pem -o - b.sealed
expect_ok
check "the second key of a file opens" cmp -s plain "$out"
run verify -q -k both.pem b.sealed
expect_ok
run rewrap -q -k "$keys/b.pem" --to both.pub.pem b.sealed
expect_ok
run recipients list b.sealed
check "rewrap takes all keys of --to" test "$(grep -c RSA-OAEP "$out")" = 2
run rewrap -k both.pem --to "$keys/a.pub.pem" b.sealed
expect_error 2 E-CONFIG "both.pem has several keys: which one is to be replaced is not clear"
run recipients add -q -k both.pem --to "$keys/a.pub.pem" b.sealed
expect_ok
run key show -q both.pem
expect_ok
check "key show names each key once" test "$(wc -l <"$out")" = 2
run key show --json both.pem
check "and shows the public half of each" test "$(grep -c 'BEGIN PUBLIC KEY' "$out")" = 2
run doctor -q -k both.pem
expect_ok

echo pw >pw
chmod 600 pw
for key in a b; do
    openssl pkey -in "$keys/$key.pem" -aes256 -passout file:pw
done >encrypted.pem
chmod 600 encrypted.pem
run open -q -k encrypted.pem --passphrase-file pw -o - plain.sealed
expect_ok
check "one passphrase opens both" cmp -s plain "$out"
run key show -q -k encrypted.pem --passphrase-file pw
expect_ok
openssl pkey -in "$keys/b.pem" -aes256 -passout pass:other >>encrypted.pem
run open -q -k encrypted.pem --passphrase-file pw -o - plain.sealed
expect_error 2 E-CONFIG "encrypted.pem, line [0-9]+: wrong passphrase"

# ---- Keys that cannot be used, by their names ----

title="what is not a key"
refused() { # refused FILE TEXT [HINT]: every kind of verb refuses the file
    local file=$1 text=$2 hint=${3-}
    chmod 600 "$file"
    run seal -k "$file" -o never plain
    expect_error 2 E-CONFIG "$text"
    [ -z "$hint" ] || expect_stderr "hint: .*$hint"
    check "no output" test ! -e never
}
bad() { # bad LINES: every line but these of a file with a certificate and a key
    sed "$1" certificate-and-key.pem >bad.pem
}
openssl req -new -x509 -key "$keys/a.pem" -subj /CN=a -days 1 -out a.crt 2>/dev/null
openssl req -new -x509 -key "$keys/b.pem" -subj /CN=b -days 1 -out b.crt 2>/dev/null
openssl req -new -key "$keys/a.pem" -subj /CN=a -out a.csr 2>/dev/null
cat a.crt "$keys/a.pem" >certificate-and-key.pem
chmod 600 certificate-and-key.pem
run open -q -k certificate-and-key.pem -o - plain.sealed
expect_ok
run seal -q -k a.crt -o crt.sealed plain
expect_ok
begins=$(grep -n -e '-BEGIN PRIVATE' certificate-and-key.pem | cut -d: -f1)
# shellcheck disable=SC2016 # for sed
bad '$d'
refused bad.pem "bad.pem, line $begins: the block PRIVATE KEY that begins in line $begins has no END line: the end of the file is missing" "copy the file again"
bad '3,/END CERT/d'
refused bad.pem "bad.pem, line 1: the block CERTIFICATE that begins in line 1 has no END line before the next block begins"
bad '3d'
refused bad.pem "bad.pem, line 1: the certificate is malformed"
bad "3s/./!/"
refused bad.pem "bad.pem, line 3: the block CERTIFICATE that begins in line 1 contains something that is not base64"
bad 1d
refused bad.pem "bad.pem, line [0-9]+: the block CERTIFICATE that begins .* has no BEGIN line: the start of the file is missing"
cat a.crt b.crt >chain.pem
refused chain.pem "it has several certificates, in lines 1 and [0-9]+, as a chain has" "keep only the certificate of the recipient"
refused a.csr "it has a block CERTIFICATE REQUEST in line 1, but no key"
openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out pss.pem 2>/dev/null
refused pss.pem "pss.pem: it is an RSA-PSS key, and an RSA key is needed" "keygen"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.pem
refused ec.pem "ec.pem: it is an EC key" "keygen"
openssl genpkey -algorithm ed25519 -out ed.pem
refused ed.pem "ed.pem: it is an Ed25519 key" "keygen"
: >empty.pem
refused empty.pem "it is an empty file"
iconv -f UTF-8 -t UTF-16 "$keys/a.pub.pem" >utf16.pem
refused utf16.pem "it is a text in UTF-16" "iconv -f UTF-16 -t UTF-8 OLD > NEW"
iconv -f UTF-16 -t UTF-8 utf16.pem >utf8.pem
run seal -q -k utf8.pem -o utf8.sealed plain
expect_ok
{
    printf '\xEF\xBB\xBF'
    sed 's/$/\r/' "$keys/a.pem"
} >windows.pem
chmod 600 windows.pem
run open -q -k windows.pem -o - plain.sealed
expect_ok
run key show --json windows.pem
json_is "$out" "'BEGIN PUBLIC KEY' in d['public']"
echo "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ" >age.txt
refused age.txt "it is an identity of age, which cannot be used" keygen
echo '{"kty":"RSA"}' >jwk.json
refused jwk.json "it is a JSON Web Key, and keys are read from PEM" "export_to_pem"
if /usr/bin/python3 -c 'import jwcrypto' 2>/dev/null; then
    for key in "$keys/a.pem" "$keys/a.pub.pem"; do
        /usr/bin/python3 -c 'import sys; from jwcrypto.jwk import JWK
print(JWK.from_pem(open(sys.argv[1], "rb").read()).export())' "$key" >jwk.json
        run key show jwk.json
        command=$(sed -n 's/^.*hint: convert it: python3/\/usr\/bin\/python3/p' "$err")
        (umask 077 && bash -c "${command//OLD > NEW/jwk.json >converted.pem}")
        run key show converted.pem
        sed '1s/^[^ ]*: //' "$out" >shown
        run key show "$key"
        check "the command converts it" cmp -s shown <(sed '1s/^[^ ]*: //' "$out")
        rm converted.pem
    done
fi
printf '{\001\002\003' >bytes
refused bytes "no PEM block with a key or certificate found"
printf '\xFF\xFEab' >bytes
refused bytes "no PEM block with a key or certificate found"
echo hello >text
refused text "no PEM block with a key or certificate found" "-----BEGIN PRIVATE KEY-----"
openssl pkey -in "$keys/a.pem" -outform DER -out der
refused der "it is a private key in DER" "openssl pkey -inform DER -in OLD -out NEW"
openssl pkey -inform DER -in der -out converted.pem
chmod 600 converted.pem
run open -q -k converted.pem -o - plain.sealed
expect_ok
openssl pkcs12 -export -inkey "$keys/a.pem" -in a.crt -passout pass: -out p12
refused p12 "it is a PKCS#12 file" "openssl pkcs12 -in OLD -nocerts -out NEW"

if part "keys of OpenSSH" ssh-keygen; then
    ssh-keygen -q -t rsa -b 2048 -N '' -C '' -f id_rsa
    ssh-keygen -q -t ed25519 -N '' -C '' -f id_ed25519
    refused id_rsa "it is a private key in OpenSSH's own format" "install -m 600 OLD NEW && ssh-keygen -p -m PKCS8 -f NEW"
    refused id_rsa.pub "it is a public key in OpenSSH's own format" "ssh-keygen -e -m PKCS8 -f OLD > NEW"
    refused id_ed25519 "it is an OpenSSH key that is not RSA" keygen
    refused id_ed25519.pub "it is an OpenSSH key that is not RSA" keygen
    install -m 600 id_rsa ssh.pem && ssh-keygen -q -p -m PKCS8 -N '' -f ssh.pem >/dev/null
    ssh-keygen -e -m PKCS8 -f id_rsa.pub >ssh.pub.pem
    run seal -q -k ssh.pub.pem -o ssh.sealed plain
    expect_ok
    run open -q -k ssh.pem -o - ssh.sealed
    expect_ok
    check "the converted keys are a pair" cmp -s plain "$out"
    cp id_rsa.pub list
    run seal -R list -o never plain
    expect_error 2 E-CONFIG "the list of recipients list, line 1: a public key in OpenSSH's own format"
fi

finish

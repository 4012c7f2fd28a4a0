#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# blobseal-ctd-decoder as containerd runs it: recorded payloads to the byte, and what makes it refuse or warn.
# shellcheck source=tests/decoder/lib.sh
. "$(dirname "$0")/lib.sh"

mkdir keydir
install -m 600 "$vectors/priv.pem" keydir/layer.pem

# ---- Recorded payloads ----

for name in cri-small cri-1MB ctr-enc-small ctr-enc-two-keys-password; do
    title="replay of $name"
    decode $name --decryption-keys-path keydir
    expect_code 0
    plain_of $name
    expect_stderr ""
done
for name in ctr-enc-small ctr-enc-two-keys-password; do
    title="keys in the payload of $name"
    decode $name
    expect_code 0
    plain_of $name
done
title="nothing is left of the spool"
check "no file is left" test -z "$(find "$tmp" -name '.blobseal-layer*')"

# ---- Keys ----

title="no key"
decode cri-small
expect_code 4
nothing
expect_stderr 'E-NOKEY'
expect_stderr 'hint: there is no key'
title="another key"
mkdir other
install -m 600 "$vectors/a.pem" other/a.pem
decode cri-small --decryption-keys-path other
expect_code 3
nothing
title="a missing folder"
decode cri-small --decryption-keys-path missing
expect_code 4
expect_stderr 'warning: the key missing is left out'

title="a junk file, a public key and an EC key do not hinder"
cp -a keydir mixed
head -c 3000 /dev/urandom >mixed/junk
chmod 600 mixed/junk
: >mixed/empty
chmod 600 mixed/empty
install -m 600 "$vectors/pub.pem" mixed/pub.pem
install -m 600 "$root/tests/vectors/ocicrypt/keys/ec.pem" mixed/ec.pem
mkdir mixed/sub
mv mixed/layer.pem mixed/sub/
mkfifo -m 600 mixed/pipe
decode cri-small --decryption-keys-path mixed
expect_code 0
plain_of cri-small
expect_stderr 'warning: .*mixed/junk'
expect_stderr 'warning: .*mixed/ec.pem'
expect_stderr 'warning: .*mixed/pipe'
check "the public key needs no warning" test -z "$(grep pub.pem "$err")"

title="the mount of a Kubernetes secret"
mkdir -p secret/..2026_11_29
install -m 400 "$vectors/priv.pem" secret/..2026_11_29/layer.pem
ln -s ..2026_11_29 secret/..data
ln -s ..data/layer.pem secret/layer.pem
decode cri-small --decryption-keys-path secret
expect_code 0
plain_of cri-small
expect_stderr ""

title="a key that others can read"
chmod 444 secret/..2026_11_29/layer.pem
decode cri-small --decryption-keys-path secret
expect_code 4
expect_stderr 'others can read or write it'
if [ "$(id -u)" = 0 ]; then
    title="a key of another user"
    chmod 400 secret/..2026_11_29/layer.pem
    chown 65534 secret/..2026_11_29/layer.pem
    decode cri-small --decryption-keys-path secret
    expect_code 4
    expect_stderr 'it belongs to another user'
fi
title="links that lead in a circle"
mkdir loop
ln -s . loop/self
ln -s missing loop/dangling
install -m 600 "$vectors/priv.pem" loop/layer.pem
decode cri-small --decryption-keys-path loop
expect_code 0
plain_of cri-small

title="more keys than can be tried"
mkdir many
for ((i = 0; i < 65; i++)); do
    install -m 600 "$vectors/priv.pem" many/$i.pem
done
decode cri-small --decryption-keys-path many
expect_code 0
plain_of cri-small
expect_stderr 'warning: the key many/.* is left out: there are more than 64 keys'

title="a key in DER"
mkdir der
(umask 077 && openssl pkcs8 -topk8 -nocrypt -outform DER -in "$vectors/priv.pem" -out der/layer.der)
decode cri-small --decryption-keys-path der
expect_code 0
plain_of cri-small

title="a key that the configuration names"
echo '{"keks":{"team":"'"$PWD"'/keydir/layer.pem","spare":"'"$PWD"'/missing.pem"},"oci":{"keys":["spare","team"]}}' >config.json
decode cri-small --config config.json
expect_code 0
plain_of cri-small
expect_stderr 'warning: .*missing.pem'
echo '{"keks":{"team":"'"$PWD"'/keydir/layer.pem"}}' >config.json
decode cri-small --config config.json
expect_code 4

# ---- Layers and payloads that are not what they should be ----

title="a changed byte"
cp "$vectors/cri-1MB/stdin.bin" changed
printf 'x' | dd of=changed bs=1 seek=700000 conv=notrunc status=none
layer=changed decode cri-1MB --decryption-keys-path keydir
expect_code 3
nothing
expect_stderr 'E-AUTH'
check "the message is printable" test -z "$(LC_ALL=C grep -P '[^\x20-\x7e]' "$err")"
title="a truncated layer"
head -c 1000000 "$vectors/cri-1MB/stdin.bin" >changed
layer=changed decode cri-1MB --decryption-keys-path keydir
expect_code 3
nothing
title="a layer that is too large"
decode cri-1MB --decryption-keys-path keydir --spool-limit 1M
expect_code 0
decode cri-1MB --decryption-keys-path keydir --spool-limit 1000K
expect_code 10
nothing
title="a large layer that may be written before it is verified"
decode cri-1MB --decryption-keys-path keydir --stream-unverified-above 1000K
expect_code 0
plain_of cri-1MB
layer=changed decode cri-1MB --decryption-keys-path keydir --stream-unverified-above 100K
expect_code 3
title="payloads"
head -c 700 "$vectors/cri-small/payload.bin" >broken
payload=broken decode cri-small --decryption-keys-path keydir
expect_code 3
nothing
expect_stderr 'hint: .*pull it again'
payload=/dev/null decode cri-small --decryption-keys-path keydir
expect_code 3
last=" blobseal-ctd-decoder without descriptor 3"
"$decoder" <"$vectors/cri-small/stdin.bin" >"$out" 2>"$err" 3<&-
code=$?
expect_code 7
expect_stderr 'descriptor 3'

# ---- The command line ----

title="the command line"
last=" blobseal-ctd-decoder --help"
"$decoder" --help >"$out" 2>"$err"
code=$?
expect_code 0
expect_stdout '^Usage: blobseal-ctd-decoder'
# shellcheck disable=SC2013 # words
for option in $(grep -oE -- '--[a-z][a-z-]+' "$out" | sort -u); do
    check "the page has $option" grep -q "^\.It Fl .*${option#-}" "$root/tools/man/blobseal-ctd-decoder.8"
done
decode cri-small --nope
expect_code 2
decode cri-small --spool-limit much
expect_code 2
decode cri-small file
expect_code 2

# ---- A layer that is a blob ----

title="a layer with BLOBSEAL_V1"
make_key kek
sample layer 300000
run seal -k "$keys/kek.pub.pem" --no-checksums --detached layer.jwe -o layer.core layer
expect_code 0
python3 - layer.jwe >payload <<'END_OF_PYTHON'
import base64, json, sys
b64 = lambda data: base64.b64encode(data).decode()
enc = "org.opencontainers.image.enc."
value = json.dumps({"DecryptConfig": {"Parameters": None}, "Descriptor": {
    "mediaType": "application/vnd.oci.image.layer.v1.tar+encrypted", "digest": "sha256:0", "size": 1, "annotations": {
        enc + "pubopts": b64(b'{"cipher":"BLOBSEAL_V1","hmac":"","cipheroptions":{}}'),
        enc + "keys.provider.blobseal": b64(open(sys.argv[1], "rb").read())}}}).encode()
def field(number, data):
    n, out = len(data), bytes([number << 3 | 2])
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n]) + data
sys.stdout.buffer.write(field(1, b"io.containerd.ocicrypt.v1.Payload") + field(2, value))
END_OF_PYTHON
mkdir blobkeys
install -m 600 "$keys/kek.pem" blobkeys/
layer=layer.core payload=payload decode blob --decryption-keys-path blobkeys
expect_code 0
expect_same "$out" layer
head -c 200000 layer.core >changed
layer=changed payload=payload decode blob --decryption-keys-path blobkeys
expect_code 3
layer=layer.core payload=payload decode blob --decryption-keys-path keydir
expect_code 4
finish

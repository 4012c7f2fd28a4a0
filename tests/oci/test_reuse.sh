#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Unchanged layers keep their ciphertext, also if only receipts are at hand, and an earlier image that somebody has
# planted changes nothing about who can read what.
# shellcheck source=tests/oci/lib.sh
. "$(dirname "$0")/lib.sh"

need jq
make_key one
make_key two
make_key attacker

layers() { # layers IMAGE: the digests of its layers, one in each line
    document "${1%%:*}" "$(digest_of "$1")" | jq -r '.layers[].digest'
}
actions() { # what the last run with --json did with each layer
    jq -r '[.layers[].action] | join(" ")' "$out"
}
kids() { # kids IMAGE: the number of different recipients, and of all
    run oci recipients list --json "$1"
    jq -r '[.layers[].recipients[].kid] | "\(unique | length) \(length)"' "$out"
}

fresh "one of three layers has changed"
image a:1 --layers gzip,gzip,tar
image b:1 --layers gzip,gzip,tar
run oci encrypt -k "$keys/one.pub.pem" -k "$keys/attacker.pub.pem" -o enc1:1 a:1
expect_code 0
run oci encrypt --json -k "$keys/one.pem" -k "$keys/two.pub.pem" --reuse enc1:1 -o enc2:1 b:1
expect_code 0
check "all are reused" test "$(actions)" = "reused reused reused"
check "the report counts them" test "$(jq .reused "$out")" = 3
check "the ciphertext is the same" diff <(layers enc1:1) <(layers enc2:1)
check "exactly the recipients requested" test "$(kids enc2:1)" = "2 6"
run oci decrypt -k "$keys/attacker.pem" -o none:1 enc2:1
expect_error 4 E-NOKEY
run oci decrypt -k "$keys/two.pem" -o back:1 enc2:1
expect_code 0
check "the same image" test "$(digest_of back:1)" = "$(digest_of b:1)"
if command -v skopeo >/dev/null; then
    copy --decryption-key "$keys/two.pem" oci:enc2:1 oci:by-skopeo:1
    expect_code 0
fi
image changed:1 --layers gzip,zstd,tar
run oci encrypt --json -k "$keys/one.pem" --reuse enc1:1 -o enc3:1 changed:1
expect_code 0
check "one is new" test "$(actions)" = "reused encrypted reused"
run oci encrypt -k "$keys/one.pem" --reuse enc1:1 -o enc4:1 a:1
expect_code 0
expect_stdout "kept the ciphertext"
run oci encrypt --json -k "$keys/one.pem" --reuse enc1:1 a:1
expect_code 0
check "in place" test "$(actions)" = "reused reused reused"
run oci inspect -q --expect-encrypted a:1
expect_ok
expect_stdout ""

title="without a private key"
run oci encrypt --json -k "$keys/one.pub.pem" --reuse enc1:1 -o enc5:1 b:1
expect_code 0
check "all are new" test "$(actions)" = "encrypted encrypted encrypted"

title="receipts"
run oci encrypt -k "$keys/one.pub.pem" --receipts receipts -o enc6:1 b:1
expect_code 0
check "only for their owner" test "$(stat -c %a receipts receipts/key.pem | paste -sd ' ')" = "700 600"
run oci encrypt --json -k "$keys/two.pub.pem" --receipts receipts --reuse enc6:1 -o enc7:1 b:1
expect_code 0
check "all are reused" test "$(actions)" = "reused reused reused"
run oci decrypt -k "$keys/two.pem" -o back7:1 enc7:1
expect_code 0
run oci encrypt --json -k "$keys/two.pub.pem" --receipts receipts --reuse enc1:1 -o enc8:1 b:1
expect_code 0
check "no receipts for that image" test "$(actions)" = "encrypted encrypted encrypted"
chmod 755 receipts
run oci encrypt -k "$keys/two.pub.pem" --receipts receipts -o enc9:1 b:1
expect_error 10 E-POLICY "open to others"

# ---- Planted images ----

fresh "planted images"
image mine:1 --layers tar,tar
image theirs:1 --layers tar,tar --seed 50
run oci encrypt -k "$keys/one.pub.pem" -o planted:1 theirs:1
run oci encrypt --json -k "$keys/one.pem" --reuse planted:1 -o enc:1 mine:1
expect_code 0
check "layers of the same size with other content" test "$(actions)" = "encrypted encrypted"

if part "a claim that is a lie" python3 && python3 -c 'import jwcrypto' 2>/dev/null; then
    cat >lie.py <<'PYTHON'
import base64, hashlib, hmac, json, os, sys
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from jwcrypto import jwe, jwk
public, mine = sys.argv[1:3]
def load(d): return open("mine/blobs/sha256/" + d[7:], "rb").read()
manifest = json.loads(load(mine))
dek, nonce = os.urandom(32), os.urandom(16)
layer = manifest["layers"][0]
evil = bytearray(load(layer["digest"]))
evil[600] ^= 1  # what the attacker would like to be used
c = Cipher(algorithms.AES(dek), modes.CTR(nonce)).encryptor()
stored = c.update(bytes(evil)) + c.finalize()
b64 = lambda b: base64.b64encode(b).decode()
private = json.dumps({"symkey": b64(dek), "digest": layer["digest"], "cipheroptions": {"nonce": b64(nonce)}})
token = jwe.JWE(private.encode(), json.dumps({"alg": "RSA-OAEP", "enc": "A256GCM"}))
token.add_recipient(jwk.JWK.from_pem(open(public, "rb").read()))
digest = hashlib.sha256(stored).hexdigest()
manifest["layers"][0] = {
    "mediaType": layer["mediaType"] + "+encrypted", "digest": "sha256:" + digest, "size": len(stored),
    "annotations": {
        "org.opencontainers.image.enc.keys.jwe": b64(token.serialize().encode()),
        "org.opencontainers.image.enc.pubopts": b64(json.dumps({
            "cipher": "AES_256_CTR_HMAC_SHA256", "hmac": b64(hmac.new(dek, stored, "sha256").digest()),
            "cipheroptions": {}}).encode())}}
text = json.dumps(manifest).encode()
name = hashlib.sha256(text).hexdigest()
open("lie/blobs/sha256/" + digest, "wb").write(stored)
open("lie/blobs/sha256/" + name, "wb").write(text)
json.dump({"schemaVersion": 2, "manifests": [{"mediaType": manifest["mediaType"], "digest": "sha256:" + name,
                                              "size": len(text)}]}, open("lie/index.json", "w"))
PYTHON
    cp -r mine lie
    try python3 lie.py "$keys/one.pub.pem" "$(digest_of mine:1)"
    expect_code 0
    run oci decrypt --json -k "$keys/one.pem" -o lied:1 lie
    expect_code 0
    check "the claim is noticed when decrypting" test "$(jq -r '.layers[0].plain_digest' "$out")" = differs
    run oci encrypt --json -k "$keys/one.pem" --reuse lie -o enc2:1 mine:1
    expect_code 0
    check "and not believed" test "$(actions)" = "encrypted encrypted"
fi

title="a changed ciphertext"
run oci encrypt -k "$keys/one.pub.pem" -o earlier:1 mine:1
for name in $(layers earlier:1); do
    flip "earlier/blobs/sha256/${name#sha256:}" 100
done
run oci encrypt --json -k "$keys/one.pem" --reuse earlier:1 -o enc3:1 mine:1
expect_code 0
check "is not used" test "$(actions)" = "encrypted encrypted"
run oci decrypt -k "$keys/one.pem" -o back3:1 enc3:1
expect_code 0

title="a source that is not what its digest says"
run oci encrypt -k "$keys/one.pub.pem" -o good:1 mine:1
name=$(layers mine:1 | head -n 1)
flip "mine/blobs/sha256/${name#sha256:}" 700
run oci encrypt -k "$keys/one.pem" --reuse good:1 -o enc4:1 mine:1
expect_error 3 E-DAMAGED
check "no image" test ! -e enc4

finish

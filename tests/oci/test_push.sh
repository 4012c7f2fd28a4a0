#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/oci-push, and what README.md shows, against a registry on this machine.
# shellcheck source=tests/oci/lib.sh
. "$(dirname "$0")/lib.sh"

need skopeo jq
make_key kek
make_key other
export BLOBSEAL=$blobseal
registry_start
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$tmp/policy.json"
export SKOPEO_POLICY=$tmp/policy.json

push() { # push ARGUMENT...
    try "$root/tools/oci-push" --plain-http "$@"
}

# ---- Pushing ----

fresh "push and compare"
image app:1 --layers gzip,gzip,empty
push -k "$keys/kek.pub.pem" -k "$keys/other.pub.pem" -d "$keys/kek.pem" oci:app:1 "127.0.0.1:$port/team/app:1"
expect_code 0
expect_stdout "^pushed docker://127.0.0.1:$port/team/app:1@sha256:[0-9a-f]{64}$"
check "nothing in the registry is a layer in clear" test -z "$(for d in $(document app "$(digest_of app:1)" | jq -r '.layers[].digest'); do
    find "$tmp/registry" -path "*/${d#sha256:}/data"
done)"
try skopeo --policy "$SKOPEO_POLICY" copy -q --src-tls-verify=false --decryption-key "$keys/other.pem" \
    "docker://127.0.0.1:$port/team/app:1" oci:pulled:1
expect_code 0
check "skopeo returns the same layers" diff \
    <(document app "$(digest_of app:1)" | jq '.layers[].digest') <(document pulled "$(digest_of pulled:1)" | jq '.layers[].digest')

fresh "an index"
image app:1 --kind index --layers gzip,gzip
push --all -k "$keys/kek.pub.pem" -d "$keys/kek.pem" oci:app:1 "127.0.0.1:$port/team/app:2"
expect_code 0

fresh "from one repository to another"
image app:1 --layers gzip
try skopeo --policy "$SKOPEO_POLICY" copy -q --dest-tls-verify=false oci:app:1 "docker://127.0.0.1:$port/team/plain:1"
expect_ok
push -k "$keys/kek.pub.pem" -d "$keys/kek.pem" "docker://127.0.0.1:$port/team/plain:1" "127.0.0.1:$port/team/app:3"
expect_code 0

fresh "layers that stay in clear"
image base:1 --layers gzip
image app:1 --layers gzip,gzip
push -k "$keys/kek.pub.pem" oci:app:1 "127.0.0.1:$port/team/app:4" -- --all-but-base base:1
expect_code 0
expect_stdout "in clear"

fresh "refusals"
image app:1 --layers gzip
push -k "$keys/kek.pub.pem" oci:app:1
expect_code 2
push oci:app:1 "127.0.0.1:$port/team/app:5"
expect_code 2
push -k "$keys/kek.pub.pem" oci:nothing:1 "127.0.0.1:$port/team/app:5"
expect_code 7
push -k "$keys/kek.pub.pem" oci:app:1 127.0.0.1:1/team/app:5
expect_code 8
push -k "$keys/kek.pub.pem" -d "$keys/other.pem" oci:app:1 "127.0.0.1:$port/team/app:5"
expect_code 4

title="a blobseal that does not encrypt"
mkdir bin
cat >bin/blobseal <<SCRIPT
#!/bin/sh
if [ "\$1 \$2" = "oci encrypt" ]; then
    while [ \$# -gt 1 ]; do
        [ "\$1" != -o ] || out=\$2
        shift
    done
    exec skopeo --policy "$SKOPEO_POLICY" copy -q "oci:\$1" "oci:\$out"
fi
exec "$blobseal" "\$@"
SCRIPT
chmod 755 bin/blobseal
BLOBSEAL=$PWD/bin/blobseal push -k "$keys/kek.pub.pem" oci:app:1 "127.0.0.1:$port/team/app:6"
expect_code 10
BLOBSEAL=$PWD/bin/blobseal push -k "$keys/kek.pub.pem" oci:app:1 "127.0.0.1:$port/team/app:6" -- --receipts receipts
expect_code 10

# ---- README.md ----

# The commands of the section, with the registry of this test in the place of the example's.
fresh "the first ten minutes of README.md"
image app:1 --layers gzip,gzip
sed -n '/^## Encrypted images/,/^## [^E]/s/^    //p' "$root/README.md" >commands
check "the section was found" test "$(wc -l <commands)" -gt 4
mkdir bin
ln -s "$blobseal" bin/blobseal
cat >bin/skopeo <<SCRIPT
#!/bin/sh
verb=\$1
shift
exec $(command -v skopeo) --policy $SKOPEO_POLICY "\$verb" --src-tls-verify=false --dest-tls-verify=false "\$@"
SCRIPT
chmod 755 bin/skopeo
# the first command fetches an image from the internet: here it is there already
sed "1d; s|registry.example|127.0.0.1:$port|g" commands >script
PATH=$PWD/bin:$PATH try bash -euxo pipefail script
expect_code 0

registry_stop
finish

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# containerd pulls encrypted images through its runtime interface, as Kubernetes does, and decrypts them with
# blobseal-ctd-decoder, with both snapshotters, and with keys in files and in a vault.
# shellcheck source=tests/oci/lib.sh
. "$(dirname "$0")/../oci/lib.sh"
# shellcheck source=tests/keyvault/lib.sh
. "$root/tests/keyvault/lib.sh"

[ "$(id -u)" = 0 ] || lacks "root, for containerd"
need containerd ctr skopeo jq
/usr/bin/python3 -c 'import grpc' 2>/dev/null || lacks python3-grpcio
decoder=$(realpath -- "${DECODER:-$root/build/release/blobseal-ctd-decoder}")
export XDG_CONFIG_HOME=$tmp/none HOME=$tmp
make_key kek
make_key other

# ---- A registry ----

registry_start
push() { # push IMAGE NAME
    try skopeo --insecure-policy copy -q --dest-tls-verify=false "oci:$1" "docker://127.0.0.1:$port/t/$2"
    expect_code 0
}

title="images"
image plain:1 --layers gzip,tar,dup # containerd 1.6 passes no payload for zstd
run oci encrypt -k "$keys/kek.pub.pem" -o enc:1 plain:1
expect_code 0
run oci encrypt --cipher chunked -k "$keys/kek.pub.pem" -o chunked:1 plain:1
expect_code 0
copy --encryption-key "jwe:$keys/kek.pub.pem" oci:plain:1 oci:stock:1
expect_code 0
# The same as enc, with another HMAC in the first layer.
/usr/bin/python3 - enc forged <<'END_OF_PYTHON'
import base64, hashlib, json, shutil, sys
source, target = sys.argv[1:]
shutil.copytree(source, target)
index = json.load(open(target + "/index.json"))
manifest = json.load(open(f"{target}/blobs/sha256/{index['manifests'][0]['digest'][7:]}"))
annotations = manifest["layers"][0]["annotations"]
options = json.loads(base64.b64decode(annotations["org.opencontainers.image.enc.pubopts"]))
options["hmac"] = base64.b64encode(bytes(32)).decode()
annotations["org.opencontainers.image.enc.pubopts"] = base64.b64encode(json.dumps(options).encode()).decode()
data = json.dumps(manifest).encode()
name = hashlib.sha256(data).hexdigest()
open(f"{target}/blobs/sha256/{name}", "wb").write(data)
index["manifests"][0].update(digest="sha256:" + name, size=len(data))
json.dump(index, open(target + "/index.json", "w"))
END_OF_PYTHON
for name in enc chunked stock forged; do push $name:1 $name:1; done

# ---- containerd ----

start() { # start SNAPSHOTTER ARGUMENT...: run containerd with these arguments of the decoder
    local snapshotter=$1 kind argument list=''
    shift
    for argument; do list+="${list:+, }\"$argument\""; done
    rm -rf ctd
    mkdir ctd
    {
        printf 'version = 2\nroot = "%s/ctd/root"\nstate = "%s/ctd/state"\n' "$tmp" "$tmp"
        printf '[grpc]\n  address = "%s/ctd/sock"\n[ttrpc]\n  address = "%s/ctd/ttrpc"\n' "$tmp" "$tmp"
        for kind in tar tar+gzip tar+zstd; do
            printf '[stream_processors."io.containerd.ocicrypt.decoder.v1.%s"]\n' "${kind/+/.}"
            printf '  accepts = ["application/vnd.oci.image.layer.v1.%s+encrypted"]\n' "$kind"
            printf '  returns = "application/vnd.oci.image.layer.v1.%s"\n' "$kind"
            printf '  path = "%s"\n  args = [%s]\n' "$decoder" "$list"
        done
        printf '[plugins."io.containerd.grpc.v1.cri"]\n  stream_server_port = "0"\n'
        printf '  [plugins."io.containerd.grpc.v1.cri".image_decryption]\n    key_model = "node"\n'
        printf '  [plugins."io.containerd.grpc.v1.cri".containerd]\n    snapshotter = "%s"\n' "$snapshotter"
    } >ctd/config.toml
    containerd -c ctd/config.toml >ctd/log 2>&1 &
    containerd=$!
    try /usr/bin/python3 "$root/tests/decoder/cri.py" "$tmp/ctd/sock" wait
    expect_code 0
}
stop() {
    kill "$containerd"
    wait "$containerd" 2>/dev/null
}
cri() { # cri VERB IMAGE
    try /usr/bin/python3 "$root/tests/decoder/cri.py" "$tmp/ctd/sock" "$1" "127.0.0.1:$port/t/$2:1"
}
# refuses IMAGE PATTERN: it is not pulled, and the decoder says why. containerd before 1.7 may look for an error of the
# decoder before it has waited for its end, and then only finds that the content is not the right one: pull again.
refuses() {
    local i
    for i in {1..20}; do
        cri pull "$1"
        if [ "$code" != 1 ] || has_line "$err" "$2"; then break; fi
    done
    last="$last ($i times)"
    expect_code 1
    expect_stderr "$2"
}
snapshots() { ctr -a "$tmp/ctd/sock" -n k8s.io snapshots --snapshotter "$1" ls | tail -n +2 | wc -l; }
forget() { # forget IMAGE: remove it with its content and snapshots
    local name
    for name in $(ctr -a "$tmp/ctd/sock" -n k8s.io images ls -q); do
        ctr -a "$tmp/ctd/sock" -n k8s.io images rm --sync "$name" >/dev/null
    done
}
# The files of the layers, as containerd has unpacked them. image.py says what is in them.
unpacked() { # unpacked SNAPSHOTTER: list the digests of the files in all layers
    find "ctd/root/io.containerd.snapshotter.v1.$1/snapshots" -type f -exec sha256sum {} + | cut -d ' ' -f 1 | sort -u
}
mkdir keydir wrongdir
install -m 600 "$keys/kek.pem" keydir/kek.pem
install -m 600 "$keys/other.pem" wrongdir/other.pem
# What is in the layers, taken from the plain image.
mkdir content
for layer in $(jq -r '.layers[].digest' <(document plain "$(digest_of plain:1)")); do
    blob=plain/blobs/sha256/${layer#sha256:}
    case $(head -c 4 "$blob" | od -An -tx1 | tr -d ' ') in
    1f8b*) gzip -dc "$blob" ;;
    28b52ffd) zstd -dc "$blob" ;;
    *) cat "$blob" ;;
    esac | tar -x -C content
done
find content -type f -exec sha256sum {} + | cut -d ' ' -f 1 | sort -u >wanted
check "there are files in the layers" test -s wanted

for snapshotter in overlayfs native; do
    title="pulling with $snapshotter"
    start $snapshotter --decryption-keys-path "$tmp/keydir"
    for name in enc stock chunked; do
        cri pull $name
        expect_code 0
        unpacked $snapshotter >found
        check "the layers of $name were decrypted" test -z "$(comm -23 wanted found)"
        forget
        check "nothing of $name is left" test "$(snapshots $snapshotter)" = 0
    done
    title="a layer that is not authentic, with $snapshotter"
    refuses forged 'the layer is not authentic \(E-AUTH\)'
    check "no layer was kept" test "$(snapshots $snapshotter)" = 0
    stop
done

title="the key of somebody else"
start overlayfs --decryption-keys-path "$tmp/wrongdir"
refuses enc 'no key fits.*\(E-NOKEY\)'
check "no layer was kept" test "$(snapshots overlayfs)" = 0
stop

title="a key that the configuration names"
echo '{"keks":{"node":"'"$tmp"'/keydir/kek.pem"},"oci":{"keys":["node"]}}' >config.json
start overlayfs --config "$tmp/config.json"
cri pull enc
expect_code 0
stop

run key show https://localhost:1/keys/none
if grep -q 'build with libcurl' "$err"; then
    echo "skipped: keys in a vault, which need a build with libcurl"
else
    title="keys in a vault, and a set"
    start_vault
    version=$(vault create name=node | vault_version)
    cat >vault.json <<END
{"identities": {"node": {"type": "managed", "endpoint": "http://localhost:$vault_http"}},
 "vaults": [{"host": "$vault", "ca_file": "$vault_ca", "resource": "https://vault.azure.net",
             "authority": "https://$vault", "identity": "node"}],
 "sets_dir": "$tmp/sets", "state_dir": "$tmp/state",
 "keks": {"node": "https://$vault/keys/node", "set": "set:images"}, "oci": {"keys": ["node", "set"]}}
END
    run set create images --config vault.json -k key:node --recovery "$keys/other.pub.pem"
    expect_code 0
    for key in node set; do
        run oci encrypt --config vault.json -k "key:$key" -o $key:1 plain:1
        expect_code 0
        push $key:1 $key:1
    done
    start overlayfs --config "$tmp/vault.json"
    for key in node set; do
        cri pull $key
        expect_code 0
        unpacked overlayfs >found
        check "the layers of $key were decrypted" test -z "$(comm -23 wanted found)"
        forget
    done

    title="the vault refuses, and permits again"
    vault change name=node version="$version" enabled=false
    for key in node set; do
        refuses $key 'the key is disabled.*\(E-DENIED\)'
    done
    check "no layer was kept" test "$(snapshots overlayfs)" = 0
    vault change name=node version="$version" enabled=true
    for key in node set; do
        cri pull $key
        expect_code 0
    done
    stop
fi
registry_stop
finish

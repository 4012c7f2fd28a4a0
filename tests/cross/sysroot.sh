#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Download Debian's libraries for another kind of CPU into a folder that cross compilers and emulators use as sysroot:
#
#   sysroot.sh ARCHITECTURE FOLDER      for example: sysroot.sh arm64 build/sysroot-arm64
#
# apt resolves their dependencies, with a separate state: it uses the package sources and keys of this system, but
# changes nothing in the system (no foreign architecture, no package), so root is not needed. A complete folder is not
# downloaded again.
set -euo pipefail
arch=$1
folder=$2
packages="libc6-dev libssl-dev libxxhash-dev libzstd-dev zlib1g-dev libjansson-dev"

if [ "$(cat "$folder/complete" 2>/dev/null)" = "$packages" ]; then
    exit 0
fi
rm -rf "$folder"
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp" # apt downloads as a separate user
mkdir -p "$tmp/state/lists/partial" "$tmp/cache/archives/partial"
: >"$tmp/status"

options=(-o "APT::Architecture=$arch" -o "APT::Architectures=$arch" -o "Dir::State=$tmp/state"
    -o "Dir::State::status=$tmp/status" -o "Dir::Cache=$tmp/cache" -o Acquire::Languages=none -o Acquire::Retries=3)
# shellcheck disable=SC2086 # a list of words
if ! { apt-get "${options[@]}" update && apt-get "${options[@]}" install -y --download-only --no-install-recommends $packages; } \
    >"$tmp/log" 2>&1; then
    cat "$tmp/log" >&2
    echo "cannot fetch the libraries for $arch: is there a network?" >&2
    exit 1
fi
for package in "$tmp"/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$folder"
done

# Absolute links refer to the sysroot, so make them relative.
find "$folder" -type l -lname '/*' | while read -r link; do
    ln -sfnr "$folder$(readlink "$link")" "$link"
done
echo "$packages" >"$folder/complete"

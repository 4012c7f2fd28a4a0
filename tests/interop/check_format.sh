#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Test of the blob format against a reader and writer that share no code with blobseal. check_format.py does the work.
#
# Usage: check_format.sh
#   Without BLOBSEAL: blobseal_ref.py opens the test vectors, and recover.py also opens the golden ones.
#   With BLOBSEAL=PROGRAM: that program opens the test vectors as well, and each side opens blobs of the other.
# The program opens a vector that must be refused either from a file or from a pipe, and one in three combinations of
# size, payload, recipients and layout is tried. BLOBSEAL_TEST_TIER=all opens from both, and tries all combinations.
# The last line reports how many checks passed and failed. Exit code 77: skipped, because a Python module is missing.
set -u
export LC_ALL=C

python=/usr/bin/python3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

for module in cryptography xxhash jwcrypto zstandard; do
    if ! "$python" -c "import $module" 2>/dev/null; then
        if [[ ${CI:-} == true ]]; then
            echo "missing: the Python module $module"
            exit 1
        fi
        echo "skipped: needs the Python module $module"
        exit 77
    fi
done

if ! command -v zstd >/dev/null; then
    if [[ ${CI:-} == true ]]; then
        echo "missing: zstd"
        exit 1
    fi
    echo "skipped: needs zstd"
    exit 77
fi

exec "$python" "$here/check_format.py"

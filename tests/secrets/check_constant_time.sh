#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# No branch and no address depends on a key, a plaintext or a tag, except the verdict: constant_time.c under valgrind.
set -u
program=${CONSTANT_TIME:-$(dirname "$0")/../../build/release/tests/constant_time}

if ! command -v valgrind >/dev/null || [ ! -x "$program" ]; then
    echo "skipped: needs valgrind, and a build that found its header"
    [ "${CI:-}" = true ] && exit 1
    exit 77
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
valgrind --log-file="$log" --num-callers=6 "$program"
code=$?
if [ $code != 0 ]; then
    echo "where valgrind saw it, verdicts and controls among the rest:"
    cat "$log"
fi
exit $code

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# blobseal-bench: it measures everything that it claims to measure, under names that other programs rely on. Times are
# not checked.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
PATH=${BLOBSEAL_BUILD:-$root/build/release}:$PATH
need python3 blobseal-bench # CMake builds blobseal-bench if it finds Google Benchmark (libbenchmark-dev)

measure() { # measure ARGUMENT...: measure for as short a time as possible
    try blobseal-bench --benchmark_min_time=0.00001 --benchmark_repetitions=2 --benchmark_format=json "$@"
}

fresh "JSON"
measure --quick --threads=1,3 --sizes=512,2000
expect_code 0
cat >look.py <<'END'
import json, re, sys
d = json.load(open(sys.argv[1]))
c, b = d["context"], d["benchmarks"]
facts = "blobseal_version cpu_model cpu_features kernel kernel_release openssl openssl_ia32cap threads".split()
assert all(isinstance(c[f], str) and c[f] != "" or f == "cpu_features" for f in facts), c
assert c["threads"] == "1,3" and c["openssl"].startswith("OpenSSL 3"), c
one = [x for x in b if x["run_type"] == "iteration" and x["repetition_index"] == 0]
names = [x["run_name"].replace("/real_time", "") for x in one]
assert len(names) == len(set(names)) and len(b) == 6 * len(one), "two repetitions, mean, median, stddev and cv"
wanted = ["clock/add-chain", "memcpy/1MiB", "memcpy/64MiB", "xxh3/libxxhash", "sha256/openssl"]
wanted += ["pread/1", "pread/16384", "pread/1048576", "pread/1/threads:8"]
wanted += [f"rsa/{v}/{n}" for v in ("wrap", "unwrap") for n in (2048, 3072, 4096)]
for v in ("seal", "open"):
    wanted += [f"pipeline/{v}/threads:{n}" for n in (1, 3)] + [f"blob/{v}/{n}" for n in (4096, 65536)]
    for impl in {"openssl", c["kernel"]}:
        wanted += [f"aes-256-gcm/{v}/{impl}/{what}" for what in ("run-of-16KiB", "512", "2000")]
assert set(wanted) <= set(names), set(wanted) - set(names)
flags = re.search("^flags.*", open("/proc/cpuinfo").read(), re.M)
assert ("ceiling/vaesenc" in names) == (flags is not None and " aes " in flags.group() + " ")
for x in one:
    assert not x.get("error_occurred"), x
    n = x["run_name"]
    assert x["iterations"] > 0 and x["real_time"] > 0, x
    assert ("bytes_per_second" in x) == (not n.startswith(("rsa/", "clock/", "set/"))), x
    assert ("p50_us" in x and x["p50_us"] <= x["p99_us"]) == n.startswith("blob/"), x
    assert n.endswith("/real_time") == n.startswith(("blob/", "pipeline/", "pread/")), x
END
check "says what is expected" "$python" look.py "$out"
check "tells how far it is" grep -qE '^blobseal-bench: [0-9]+/[0-9]+ [a-z0-9-]+/' "$err"

fresh "a part of it"
measure --benchmark_filter='^sha256'
expect_code 0
check "is a part" test "$(grep -c '"run_name"' "$out")" = 6

fresh "what cannot be"
for bad in --threads= --threads=0 "--threads=1," --threads=257 --threads=x --threads=1,,2 --sizes=0 --sizes=-1 --sizes=67108865 \
    --sizes=1k --sizes=99999999999999999999 "--threads=$(seq -s, 40)" --nonsense; do
    measure "$bad"
    expect_code 2
done
finish

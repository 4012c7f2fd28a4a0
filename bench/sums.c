/* SPDX-License-Identifier: Apache-2.0 */
/* Other work on the same bytes: copying, XXH3, and SHA-256, which registries require. */
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "bench/bench.h"
#include "simd/simd.h"

#define LEN ((size_t)1 << 20)

static void copy(struct bench *b, const void *arg)
{
    const size_t len = *(const size_t *)arg;
    uint8_t *from = malloc(len), *to = malloc(len);

    if (from == NULL || to == NULL) {
        bench_fail(b, "no memory");
    } else {
        memset(from, 1, len);
        memset(to, 2, len);
        while (bench_next(b)) {
            memcpy(to, from, len);
            bench_keep(to);
        }
        bench_bytes_each(b, len);
    }
    free(from);
    free(to);
}

static void xxh3(struct bench *b, const void *arg)
{
    uint8_t *p = malloc(LEN);
    uint64_t sum = 0;

    (void)arg;
    if (p == NULL) {
        bench_fail(b, "no memory");
        return;
    }
    memset(p, 1, LEN);
    while (bench_next(b))
        sum += bs_xxh3(sum, p, LEN);
    bench_keep(&sum);
    bench_bytes_each(b, LEN);
    free(p);
}

static void sha256(struct bench *b, const void *arg)
{
    EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", NULL);
    uint8_t *p = malloc(LEN), digest[32];
    bool ok = md != NULL && p != NULL;

    (void)arg;
    if (ok)
        memset(p, 1, LEN);
    while (ok && bench_next(b))
        ok = EVP_Digest(p, LEN, digest, NULL, md, NULL) == 1;
    if (!ok)
        bench_fail(b, "the operation failed");
    else
        bench_bytes_each(b, LEN);
    free(p);
    EVP_MD_free(md);
}

void add_sums(void)
{
    static const size_t in_cache = LEN, in_memory = (size_t)64 << 20;

    bench_add(BENCH_CLOCK_CPU, copy, &in_cache, "memcpy/1MiB");
    bench_add(BENCH_CLOCK_CPU, copy, &in_memory, "memcpy/64MiB");
    bench_add(BENCH_CLOCK_CPU, xxh3, NULL, "xxh3/libxxhash");
    bench_add(BENCH_CLOCK_CPU, sha256, NULL, "sha256/openssl");
}

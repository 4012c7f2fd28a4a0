/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM: each implementation of simd/ that this CPU can run, and peers. A run is the unit of work of a pipeline
 * worker; a size is a single message.
 */
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/peers.h"
#include "simd/simd.h"

#define PAGE_LEN   ((size_t)4096)
#define CHUNK_LEN  ((size_t)16384)
#define RUN_CHUNKS ((size_t)16) /* as in core/ */
#define MAX_CASES  512

struct cipher_case {
    const struct bs_gcm_impl *impl;
    size_t num, len; /* messages, and bytes of each */
    bool open;
};

static struct cipher_case cases[MAX_CASES];
static size_t num_cases;

static const uint8_t raw_key[BS_GCM_KEY_LEN] = {1, 2, 3}, nonce[BS_GCM_NONCE_LEN] = {4, 5, 6};

/*
 * Allocate whole pages, and room for the caller to start half a page later: so reads and writes do not compete for the
 * same sets of the cache.
 */
static uint8_t *aligned(size_t len)
{
    return aligned_alloc(PAGE_LEN, (len / PAGE_LEN + 3) * PAGE_LEN);
}

static void measure(struct bench *b, const struct cipher_case *c, struct bs_gcm_key *key, uint8_t *plain,
                    uint8_t *sealed)
{
    const struct bs_gcm_run run = {.nonce = nonce, .num = c->num, .msg_len = c->len, .last_len = c->len};
    bool ok;

    memset(plain, 0xA5, c->num * c->len);
    ok = c->impl->seal(key, &run, sealed, plain);
    while (ok && bench_next(b))
        ok = c->open ? c->impl->open(key, &run, plain, sealed) : c->impl->seal(key, &run, sealed, plain);
    if (!ok)
        bench_fail(b, "the operation failed");
    else
        bench_bytes_each(b, c->num * c->len);
}

static void cipher(struct bench *b, const void *arg)
{
    const struct cipher_case *c = arg;
    struct bs_gcm_key key = {.impl = c->impl};
    uint8_t *plain = aligned(c->num * c->len), *sealed = aligned(c->num * (c->len + BS_GCM_TAG_LEN) + 2048);

    if (plain == NULL || sealed == NULL || c->impl->init(&key, raw_key) != BS_GCM_OK)
        bench_fail(b, "no memory");
    else
        measure(b, c, &key, plain, sealed + 2048);
    bs_gcm_clear(&key);
    free(plain);
    free(sealed);
}

static void add(const struct bs_gcm_impl *impl, bool open, size_t num, size_t len)
{
    const char *verb = open ? "open" : "seal";

    if (num_cases == MAX_CASES)
        return;
    cases[num_cases] = (struct cipher_case){impl, num, len, open};
    if (num > 1)
        bench_add(BENCH_CLOCK_CPU, cipher, &cases[num_cases], "aes-256-gcm/%s/%s/run-of-16KiB", verb, impl->name);
    else
        bench_add(BENCH_CLOCK_CPU, cipher, &cases[num_cases], "aes-256-gcm/%s/%s/%zu", verb, impl->name, len);
    num_cases++;
}

static void add_implementation(const struct bs_gcm_impl *impl, const struct bench_plan *plan)
{
    for (int open = 0; open < 2; open++) {
        add(impl, open != 0, RUN_CHUNKS, CHUNK_LEN);
        for (size_t i = 0; plan->sizes[i] != 0; i++)
            add(impl, open != 0, 1, plan->sizes[i]);
    }
}

void add_ciphers(const struct bench_plan *plan)
{
    for (size_t i = 0; bs_gcm_impls[i] != NULL; i++)
        if (bs_gcm_runs_here(bs_gcm_impls[i]))
            add_implementation(bs_gcm_impls[i], plan);
#ifdef HAVE_IPSEC_MB
    add_implementation(&peer_ipsec_mb, plan);
#endif
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What encrypts layers of images: AES-256 in counter mode, and hashes that are computed together, with each
 * implementation of simd/ that this CPU can run; and whole layers in memory, on one thread. The figures of hashes count
 * the bytes of one stream: three hashes of a stream and one at the same figure take the same time.
 */
#include <stdlib.h>
#include <string.h>

#include <blobseal_oci.h>

#include "bench/bench.h"
#include "simd/simd.h"

#define LEN       ((size_t)256 << 10) /* as the pieces in core/oci */
#define MAX_CASES 16

static const uint8_t raw_key[32] = {1, 2, 3}, nonce[BS_CTR_NONCE_LEN] = {4, 5, 6};

/* Allocate two buffers of LEN bytes that start at different places in their pages. */
static uint8_t *two_buffers(uint8_t **other)
{
    uint8_t *p = aligned_alloc(4096, 2 * LEN + 4096);

    if (p != NULL) {
        memset(p, 0x5A, 2 * LEN + 4096);
        *other = p + LEN + 2048;
    }
    return p;
}

/* ---- Counter mode ------------------------------------------------------------------------------------------------ */

static void counter_mode(struct bench *b, const void *arg)
{
    struct bs_ctr_key key = {.impl = arg};
    uint8_t *out = NULL, *in = two_buffers(&out);
    bool ok = in != NULL && key.impl->init(&key, raw_key, nonce) == BS_GCM_OK;

    while (ok && bench_next(b))
        ok = key.impl->crypt(&key, 0, out, in, LEN);
    if (!ok)
        bench_fail(b, "the operation failed");
    else
        bench_bytes_each(b, LEN);
    bs_ctr_clear(&key);
    free(in);
}

/* ---- Hashes ------------------------------------------------------------------------------------------------------ */

struct hashes_case {
    const struct bs_hashes_impl *impl;
    uint32_t wanted;
};

static void hashes(struct bench *b, const void *arg)
{
    const struct hashes_case *c = arg;
    struct bs_hashes h = {.impl = c->impl, .wanted = c->wanted};
    struct bs_hashes_results results;
    uint8_t *other = NULL, *first = two_buffers(&other);
    bool ok = first != NULL && h.impl->init(&h, raw_key) == BS_GCM_OK;

    while (ok && bench_next(b)) {
        if (c->wanted == BS_HASHES_OTHER)
            h.impl->add_other(&h, other, LEN);
        else if ((c->wanted & BS_HASHES_OTHER) == 0)
            h.impl->add_first(&h, first, LEN);
        else
            h.impl->add_both(&h, first, other, LEN);
    }
    ok = ok && h.impl->end(&h, &results);
    if (!ok)
        bench_fail(b, "the operation failed");
    else
        bench_bytes_each(b, LEN);
    bs_hashes_clear(&h);
    free(first);
}

static void add_hashes(const struct bs_hashes_impl *impl)
{
    static const struct {
        const char *name;
        uint32_t wanted;
    } kinds[] = {
        {"sha256", BS_HASHES_OTHER},
        {"hmac+sha256", BS_HASHES_MAC | BS_HASHES_FIRST},
        {"hmac+sha256+sha256-of-other", BS_HASHES_MAC | BS_HASHES_FIRST | BS_HASHES_OTHER},
    };
    static struct hashes_case cases[MAX_CASES];
    static size_t num;

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && num < MAX_CASES; i++) {
        cases[num] = (struct hashes_case){impl, kinds[i].wanted};
        bench_add(BENCH_CLOCK_CPU, hashes, &cases[num++], "hashes/%s/%s", kinds[i].name, impl->name);
    }
}

/* ---- Whole layers ------------------------------------------------------------------------------------------------ */

struct room {
    uint8_t *p;
    size_t cap;
};

static enum blobseal_status room_pwrite(void *ctx, const void *buf, size_t len, uint64_t off,
                                        struct blobseal_error *err)
{
    const struct room *r = ctx;

    (void)err;
    if (off > r->cap || len > r->cap - off)
        return BLOBSEAL_E_OUTPUT;
    memcpy(r->p + off, buf, len);
    return BLOBSEAL_OK;
}

/* Encrypt a layer of @room->cap bytes. */
static enum blobseal_status encrypt(const uint8_t *plain, struct room *room)
{
    const struct blobseal_oci_run_options o = {.size = sizeof o, .threads = 1};
    const struct blobseal_sink sink = {.ctx = room, .name = "room", .pwrite = room_pwrite};
    struct blobseal_oci_digests digests = {.size = sizeof digests};
    struct blobseal_oci_layer *layer;
    struct blobseal_source source;
    struct blobseal_memory in;
    enum blobseal_status st = blobseal_oci_layer_new(&layer, NULL);

    blobseal_source_memory(&source, &in, plain, room->cap);
    if (st == BLOBSEAL_OK)
        st = blobseal_oci_encrypt(layer, &source, &sink, &o, &digests, NULL);
    blobseal_oci_layer_free(layer);
    return st;
}

static void whole_layer(struct bench *b, const void *arg)
{
    const size_t len = *(const size_t *)arg;
    struct room room = {.p = malloc(len), .cap = len};
    uint8_t *plain = malloc(len);
    enum blobseal_status st = room.p != NULL && plain != NULL ? BLOBSEAL_OK : BLOBSEAL_E_NOMEM;

    if (st == BLOBSEAL_OK) {
        memset(plain, 1, len);
        memset(room.p, 2, len);
    }
    while (st == BLOBSEAL_OK && bench_next(b))
        st = encrypt(plain, &room);
    if (st != BLOBSEAL_OK)
        bench_fail(b, blobseal_status_code(st));
    else
        bench_bytes_each(b, len);
    free(plain);
    free(room.p);
}

void add_layers(void)
{
    static const size_t sizes[] = {4096, 65536, (size_t)64 << 20};

    for (size_t i = 0; bs_ctr_impls[i] != NULL; i++)
        if (bs_ctr_runs_here(bs_ctr_impls[i]))
            bench_add(BENCH_CLOCK_CPU, counter_mode, bs_ctr_impls[i], "aes-256-ctr/%s", bs_ctr_impls[i]->name);
    for (size_t i = 0; bs_hashes_impls[i] != NULL; i++)
        if (bs_hashes_runs_here(bs_hashes_impls[i]))
            add_hashes(bs_hashes_impls[i]);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        bench_add(BENCH_CLOCK_CPU, whole_layer, &sizes[i], "layer/encrypt/%zu", sizes[i]);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes that are computed together: every implementation that this CPU can run, against known answers and OpenSSL. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/hmac.h>

#include "simd/simd.h"
#include "tests/support/suite.h"

SUITE(hashes);

#define ALL     (BS_HASHES_MAC | BS_HASHES_FIRST | BS_HASHES_OTHER)
#define MAX_LEN ((size_t)8192)

static const uint8_t raw_key[BS_HASHES_KEY_LEN] = {1, 2, 3, 4, 5};

/* Return the next entry from @i on that this CPU can run, and report the others. */
static size_t next_hashes(size_t i)
{
    for (; bs_hashes_impls[i] != NULL && !bs_hashes_runs_here(bs_hashes_impls[i]); i++)
        (void)fprintf(stderr, "NOT PROVED HERE: hashes, %s\n", bs_hashes_impls[i]->name);
    return i;
}

#define EACH_HASHES(i) for (size_t i = next_hashes(0); bs_hashes_impls[i] != NULL; (i) = next_hashes((i) + 1))

static void start(struct bs_hashes *h, const struct bs_hashes_impl *impl, const uint8_t *key, uint32_t wanted)
{
    memset(h, 0, sizeof *h);
    h->impl = impl;
    h->wanted = wanted;
    cr_assert_eq(impl->init(h, key), BS_GCM_OK);
}

static void finish(struct bs_hashes *h, struct bs_hashes_results *out)
{
    *out = (struct bs_hashes_results){0};
    cr_assert(h->impl->end(h, out));
    bs_hashes_clear(h);
}

/* Compute with single calls of OpenSSL, which the entries share no code with. */
static struct bs_hashes_results reference(const uint8_t *key, const uint8_t *first, size_t first_len,
                                          const uint8_t *other, size_t other_len)
{
    struct bs_hashes_results r;
    unsigned n;

    cr_assert_not_null(HMAC(EVP_sha256(), key, BS_HASHES_KEY_LEN, first, first_len, r.mac, &n));
    cr_assert_eq(EVP_Digest(first, first_len, r.first, NULL, EVP_sha256(), NULL), 1);
    cr_assert_eq(EVP_Digest(other, other_len, r.other, NULL, EVP_sha256(), NULL), 1);
    return r;
}

/* ---- Known answers ----------------------------------------------------------------------------------------------- */

/* FIPS 180-4's examples, from NIST's "SHA256.pdf", and the longest one of RFC 6234. */
Test(hashes, answers_of_nist)
{
    static const struct {
        const char *text, *digest;
    } known[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    struct bs_hashes h;
    struct bs_hashes_results r;

    EACH_HASHES(i)
    for (size_t k = 0; k < COUNT(known); k++) {
        struct vec_bytes want = vec_hex(known[k].digest);
        const uint8_t *p = (const uint8_t *)known[k].text;

        start(&h, bs_hashes_impls[i], raw_key, ALL);
        h.impl->add_both(&h, p, p, strlen(known[k].text));
        finish(&h, &r);
        cr_expect_eq(memcmp(r.first, want.p, want.len), 0, "%s, %zu", bs_hashes_impls[i]->name, k);
        cr_expect_eq(memcmp(r.other, want.p, want.len), 0, "%s, %zu", bs_hashes_impls[i]->name, k);
        free(want.p);
    }
}

Test(hashes, a_million_times_a)
{
    struct vec_bytes want = vec_hex("cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    uint8_t *a = must_alloc(1000000);
    struct bs_hashes h;
    struct bs_hashes_results r;

    memset(a, 'a', 1000000);
    EACH_HASHES(i)
    {
        start(&h, bs_hashes_impls[i], raw_key, ALL);
        h.impl->add_both(&h, a, a, 1000000);
        finish(&h, &r);
        cr_expect(memcmp(r.first, want.p, 32) == 0 && memcmp(r.other, want.p, 32) == 0, "%s", bs_hashes_impls[i]->name);
    }
    free(want.p);
    free(a);
}

/* ---- Against OpenSSL --------------------------------------------------------------------------------------------- */

static void same(const struct bs_hashes_results *r, const struct bs_hashes_results *want, uint32_t wanted,
                 const char *name, size_t len)
{
    static const uint8_t none[BS_HASHES_LEN];

    cr_expect_eq(memcmp(r->mac, (wanted & BS_HASHES_MAC) != 0 ? want->mac : none, 32), 0, "%s, %zu", name, len);
    cr_expect_eq(memcmp(r->first, (wanted & BS_HASHES_FIRST) != 0 ? want->first : none, 32), 0, "%s, %zu", name, len);
    cr_expect_eq(memcmp(r->other, (wanted & BS_HASHES_OTHER) != 0 ? want->other : none, 32), 0, "%s, %zu", name, len);
}

Test(hashes, every_length_and_every_choice)
{
    uint8_t *p = must_alloc(2 * MAX_LEN + 64), *q = p + MAX_LEN + 32;
    struct bs_hashes h;
    struct bs_hashes_results r, want;

    fill_random(p, 2 * MAX_LEN + 64, 5);
    EACH_HASHES(i)
    for (size_t len = 0; len <= 300; len++) {
        const uint8_t *first = p + len % 13, *other = q + len % 7; /* buffers need no alignment */

        want = reference(raw_key, first, len, other, len);
        for (uint32_t wanted = 1; wanted <= ALL; wanted++) {
            start(&h, bs_hashes_impls[i], raw_key, wanted);
            h.impl->add_both(&h, first, other, len);
            finish(&h, &r);
            same(&r, &want, wanted, bs_hashes_impls[i]->name, len);
        }
    }
    free(p);
}

/* Whatever the pieces are, and whether they are added to one stream or to both. */
Test(hashes, streams_in_pieces)
{
    uint8_t *p = must_alloc(2 * MAX_LEN), *q = p + MAX_LEN;
    uint64_t random = 11;

    fill_random(p, 2 * MAX_LEN, 6);
    EACH_HASHES(i)
    for (unsigned run = 0; run < 200; run++) {
        size_t first = 0, other = 0;
        struct bs_hashes h;
        struct bs_hashes_results r, want;

        start(&h, bs_hashes_impls[i], p, ALL);
        for (unsigned piece = 0; piece < 12; piece++) {
            size_t n = (size_t)random_below(&random, 5) * 64;

            n += run % 2 == 0 ? (size_t)random_below(&random, 150) : 0;
            switch (random_below(&random, 3)) {
            case 0:
                h.impl->add_first(&h, p + first, n);
                first += n;
                break;
            case 1:
                h.impl->add_other(&h, q + other, n);
                other += n;
                break;
            default:
                h.impl->add_both(&h, p + first, q + other, n);
                first += n;
                other += n;
                break;
            }
        }
        finish(&h, &r);
        want = reference(p, p, first, q, other);
        same(&r, &want, ALL, bs_hashes_impls[i]->name, first);
    }
    free(p);
}

/* ---- The table --------------------------------------------------------------------------------------------------- */

Test(hashes, the_best_entry_is_chosen)
{
    struct bs_hashes h = {0};
    size_t last = 0;

    bs_hashes_clear(&h);
    while (bs_hashes_impls[last + 1] != NULL)
        last++;
    cr_expect_str_eq(bs_hashes_impls[last]->name, "openssl");
    cr_expect_eq(bs_hashes_impls[last]->needs, 0);
    cr_assert_eq(bs_hashes_init(&h, raw_key, ALL), BS_GCM_OK);
    cr_expect_eq(h.impl, bs_hashes_impls[next_hashes(0)]);
    cr_expect_eq(h.impl, bs_hashes_choose());
    bs_hashes_clear(&h);
    cr_expect_not(bs_hashes_both_are_cheap(bs_hashes_impls[last]));
}

Test(hashes, a_cleared_state_is_gone)
{
    EACH_HASHES(i)
    if (bs_hashes_impls[i]->needs != 0) {
        struct bs_hashes h, zero;

        memset(&zero, 0, sizeof zero);
        start(&h, bs_hashes_impls[i], raw_key, ALL);
        h.impl->add_both(&h, raw_key, raw_key, 30);
        bs_hashes_clear(&h);
        h.wanted = 0;
        cr_expect_eq(memcmp(&h.inner, &zero.inner, sizeof h - offsetof(struct bs_hashes, inner)), 0);
    }
}

/* ---- The self-test ----------------------------------------------------------------------------------------------- */

static enum { RIGHT, NO_MEMORY, ONE_BIT, SHORT_FIRST, SWAPPED, NO_OTHER, FAILS } fault;
static const struct bs_hashes_impl *inner;

static enum bs_gcm_status bad_init(struct bs_hashes *h, const uint8_t *key)
{
    return fault == NO_MEMORY ? BS_GCM_NO_MEMORY : inner->init(h, key);
}

static void bad_clear(struct bs_hashes *h)
{
    inner->clear(h);
}

static void bad_add_first(struct bs_hashes *h, const uint8_t *p, size_t len)
{
    inner->add_first(h, p, len - (fault == SHORT_FIRST && len > 0 ? 1 : 0));
}

static void bad_add_other(struct bs_hashes *h, const uint8_t *p, size_t len)
{
    if (fault != NO_OTHER)
        inner->add_other(h, p, len);
}

static void bad_add_both(struct bs_hashes *h, const uint8_t *first, const uint8_t *other, size_t len)
{
    if (fault == SWAPPED)
        inner->add_both(h, other, first, len);
    else
        inner->add_both(h, first, other, len);
}

static bool bad_end(struct bs_hashes *h, struct bs_hashes_results *out)
{
    bool ok = inner->end(h, out);

    if (fault == ONE_BIT)
        out->mac[31] ^= 1;
    return ok && fault != FAILS;
}

static const struct bs_hashes_impl bad = {.name = "bad",
                                          .init = bad_init,
                                          .clear = bad_clear,
                                          .add_first = bad_add_first,
                                          .add_other = bad_add_other,
                                          .add_both = bad_add_both,
                                          .end = bad_end};

Test(hashes, every_fault_is_found)
{
    EACH_HASHES(i)
    cr_expect_eq(bs_hashes_selftest(bs_hashes_impls[i]), BS_GCM_OK, "%s", bs_hashes_impls[i]->name);
    for (inner = bs_hashes_choose(), fault = RIGHT; fault <= FAILS; fault++)
        cr_expect_eq(bs_hashes_selftest(&bad),
                     fault == RIGHT       ? BS_GCM_OK
                     : fault == NO_MEMORY ? BS_GCM_NO_MEMORY
                                          : BS_GCM_BROKEN,
                     "fault %d", fault);
}

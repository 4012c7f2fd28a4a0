/* SPDX-License-Identifier: Apache-2.0 */
/* AES-256 in counter mode: every implementation that this CPU can run, against known answers and against OpenSSL. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simd/simd.h"
#include "tests/support/suite.h"

SUITE(ctr);

#define MAX_LEN ((size_t)4096)

static const uint8_t raw_key[BS_CTR_KEY_LEN] = {1, 2, 3, 4, 5};

/* Return the next entry from @i on that this CPU can run, and report the others. */
static size_t next_ctr(size_t i)
{
    for (; bs_ctr_impls[i] != NULL && !bs_ctr_runs_here(bs_ctr_impls[i]); i++)
        (void)fprintf(stderr, "NOT PROVED HERE: counter mode, %s\n", bs_ctr_impls[i]->name);
    return i;
}

#define EACH_CTR(i) for (size_t i = next_ctr(0); bs_ctr_impls[i] != NULL; (i) = next_ctr((i) + 1))

static struct bs_ctr_key key_for(const struct bs_ctr_impl *impl, const uint8_t *raw, const uint8_t *nonce)
{
    struct bs_ctr_key key = {.impl = impl};

    cr_assert_eq(impl->init(&key, raw, nonce), BS_GCM_OK);
    return key;
}

/* Encrypt with single calls of OpenSSL, which the entries share no code with. */
static void reference(uint8_t *out, const uint8_t *nonce, const uint8_t *in, size_t len)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n;

    cr_assert_eq(EVP_EncryptInit_ex(ctx, EVP_aes_256_ctr(), NULL, raw_key, nonce), 1);
    cr_assert_eq(EVP_EncryptUpdate(ctx, out, &n, in, (int)len), 1);
    EVP_CIPHER_CTX_free(ctx);
}

/* ---- Known answers ----------------------------------------------------------------------------------------------- */

/* NIST SP 800-38A, section F.5.5. */
Test(ctr, answers_of_nist)
{
    struct vec_bytes raw = vec_hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"),
                     nonce = vec_hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"),
                     plain = vec_hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
                                     "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"),
                     want = vec_hex("601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
                                    "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6");
    uint8_t out[64];

    EACH_CTR(i)
    {
        struct bs_ctr_key key = key_for(bs_ctr_impls[i], raw.p, nonce.p);

        cr_expect(key.impl->crypt(&key, 0, out, plain.p, plain.len));
        cr_expect_eq(memcmp(out, want.p, want.len), 0, "%s", key.impl->name);
        cr_expect(key.impl->crypt(&key, 1, out, want.p + 16, 48));
        cr_expect_eq(memcmp(out, plain.p + 16, 48), 0, "%s", key.impl->name);
        bs_ctr_clear(&key);
    }
    free(raw.p);
    free(nonce.p);
    free(plain.p);
    free(want.p);
}

/* ---- Against OpenSSL --------------------------------------------------------------------------------------------- */

/* Counters that carry or wrap around after some blocks, at 2^32, 2^64 and 2^128, and one that does not. */
static const char *const nonces[] = {
    "00112233445566778899aabbccddeeff", "000000000000000000000000fffffff0", "0000000000000000fffffffffffffff1",
    "000000000000000fffffffffffffffff", "ffffffffffffffffffffffffffffffe0", "ffffffffffffffffffffffffffffffff",
    "ffffffffffffffff0000000000000000",
};

static void check_lengths(const struct bs_ctr_impl *impl, const uint8_t *nonce, const uint8_t *plain)
{
    struct bs_ctr_key key = key_for(impl, raw_key, nonce);
    uint8_t want[MAX_LEN], out[MAX_LEN + 32];

    reference(want, nonce, plain, MAX_LEN);
    for (size_t len = 0; len <= MAX_LEN; len += len < 300 || len + 100 > MAX_LEN ? 1 : 97) {
        size_t shift = len % 17; /* buffers need no alignment */

        memset(out, 0xEE, sizeof out);
        cr_assert(impl->crypt(&key, 0, out + shift, plain, len));
        cr_expect_eq(memcmp(out + shift, want, len), 0, "%s, %zu bytes", impl->name, len);
        cr_expect(out[shift + len] == 0xEE && (shift == 0 || out[shift - 1] == 0xEE), "%s, %zu bytes", impl->name, len);
        cr_assert(impl->crypt(&key, 0, out + shift, out + shift, len)); /* in place */
        cr_expect_eq(memcmp(out + shift, plain, len), 0, "%s, %zu bytes in place", impl->name, len);
    }
    for (uint64_t first = 0; first < 80; first++) {
        size_t at = (size_t)first * 16, len = MAX_LEN - at;

        cr_assert(impl->crypt(&key, first, out, plain + at, len));
        cr_expect_eq(memcmp(out, want + at, len), 0, "%s, from block %zu", impl->name, (size_t)first);
    }
    bs_ctr_clear(&key);
}

Test(ctr, every_length_and_every_carry)
{
    uint8_t *plain = must_alloc(MAX_LEN);

    fill_random(plain, MAX_LEN, 3);
    for (size_t n = 0; n < COUNT(nonces); n++) {
        struct vec_bytes nonce = vec_hex(nonces[n]);

        EACH_CTR(i)
        check_lengths(bs_ctr_impls[i], nonce.p, plain);
        free(nonce.p);
    }
    free(plain);
}

/* A stream may be longer than 2^64 bytes. */
Test(ctr, the_last_blocks_that_a_number_of_64_bits_can_name)
{
    static const uint8_t zeros[64], nonce[BS_CTR_NONCE_LEN] = {0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 5};
    static const uint8_t there[BS_CTR_NONCE_LEN] = {0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2};
    uint8_t want[64], out[64];

    reference(want, there, zeros, sizeof want);
    EACH_CTR(i)
    {
        struct bs_ctr_key key = key_for(bs_ctr_impls[i], raw_key, nonce);

        cr_assert(key.impl->crypt(&key, UINT64_MAX - 2, out, zeros, sizeof out));
        cr_expect_eq(memcmp(out, want, sizeof want), 0, "%s", key.impl->name);
        bs_ctr_clear(&key);
    }
}

/* ---- The table --------------------------------------------------------------------------------------------------- */

Test(ctr, the_best_entry_is_chosen)
{
    static const uint8_t nonce[BS_CTR_NONCE_LEN];
    struct bs_ctr_key key = {0};
    size_t last = 0;

    bs_ctr_clear(&key);
    while (bs_ctr_impls[last + 1] != NULL)
        last++;
    cr_expect_str_eq(bs_ctr_impls[last]->name, "openssl");
    cr_expect_eq(bs_ctr_impls[last]->needs, 0);
    cr_assert_eq(bs_ctr_init(&key, raw_key, nonce), BS_GCM_OK);
    cr_expect_eq(key.impl, bs_ctr_impls[next_ctr(0)]);
    cr_expect_eq(key.impl, bs_ctr_choose());
    bs_ctr_clear(&key);
    cr_expect_null(key.impl);
    for (size_t i = 0; i < last; i++) /* it uses the same instructions as AES-GCM of the same name */
        cr_expect(strcmp(bs_ctr_impls[i]->name, bs_gcm_impls[i]->name) == 0 &&
                  bs_ctr_impls[i]->needs == bs_gcm_impls[i]->needs);
}

Test(ctr, a_cleared_key_is_gone)
{
    static const uint8_t nonce[BS_CTR_NONCE_LEN] = {9};

    EACH_CTR(i)
    if (bs_ctr_impls[i]->needs != 0) {
        struct bs_ctr_key key = key_for(bs_ctr_impls[i], raw_key, nonce);

        cr_expect_not(bs_all_zero(key.schedule, sizeof key.schedule));
        bs_ctr_clear(&key);
        cr_expect(bs_all_zero(key.schedule, sizeof key.schedule) && bs_all_zero(key.nonce, sizeof key.nonce));
    }
}

/* ---- The self-test ----------------------------------------------------------------------------------------------- */

static enum { RIGHT, NO_CIPHER, NO_HIGH_CARRY, ONE_BIT, NO_OFFSET, FAILS } fault;
static const struct bs_ctr_impl *inner;

static enum bs_gcm_status bad_init(struct bs_ctr_key *key, const uint8_t *raw, const uint8_t *nonce)
{
    return fault == NO_CIPHER ? BS_GCM_NO_CIPHER : inner->init(key, raw, nonce);
}

static void bad_clear(struct bs_ctr_key *key)
{
    inner->clear(key);
}

static bool bad_crypt(struct bs_ctr_key *key, uint64_t first, uint8_t *out, const uint8_t *in, size_t len)
{
    bool ok = fault != FAILS;

    for (size_t at = 0; fault == NO_HIGH_CARRY && at < len; at += 16) { /* each block by itself, in a stream of 2^64 */
        struct bs_ctr_key one;
        uint8_t raw[BS_CTR_KEY_LEN], nonce[BS_CTR_NONCE_LEN];
        uint64_t low;

        for (unsigned i = 0; i < sizeof raw; i++)
            raw[i] = (uint8_t)i;
        memcpy(nonce, key->nonce, sizeof nonce);
        memcpy(&low, nonce + 8, sizeof low);
        low = __builtin_bswap64(__builtin_bswap64(low) + first + at / 16);
        memcpy(nonce + 8, &low, sizeof low);
        one = key_for(inner, raw, nonce);
        ok = inner->crypt(&one, 0, out + at, in + at, len - at < 16 ? len - at : 16) && ok;
        inner->clear(&one);
    }
    if (fault != NO_HIGH_CARRY)
        ok = inner->crypt(key, fault == NO_OFFSET ? 0 : first, out, in, len) && ok;
    if (fault == ONE_BIT)
        out[len - 1] ^= 4;
    return ok;
}

static const struct bs_ctr_impl bad = {.name = "bad", .init = bad_init, .clear = bad_clear, .crypt = bad_crypt};

Test(ctr, every_fault_is_found)
{
    EACH_CTR(i)
    cr_expect_eq(bs_ctr_selftest(bs_ctr_impls[i]), BS_GCM_OK, "%s", bs_ctr_impls[i]->name);
    for (inner = bs_ctr_choose(), fault = RIGHT; fault <= FAILS; fault++)
        cr_expect_eq(bs_ctr_selftest(&bad),
                     fault == RIGHT       ? BS_GCM_OK
                     : fault == NO_CIPHER ? BS_GCM_NO_CIPHER
                                          : BS_GCM_BROKEN,
                     "fault %d", fault);
}

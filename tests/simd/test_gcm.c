/* SPDX-License-Identifier: Apache-2.0 */
/* Every entry of the dispatch table against NIST's vectors and against single calls of OpenSSL's EVP. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "entries.h"
#include "simd.h"
#include "vectors.h"

TestSuite(gcm, .fini = vec_no_leaks);

#define FILLER 0xA5

static const uint8_t raw_key[BS_GCM_KEY_LEN] = {0x60, 0x3d, 0xeb, 0x10, 0x15, 0xca, 0x71, 0xbe, 0x2b, 0x73, 0xae};

static struct bs_gcm_key key_for(const struct bs_gcm_impl *impl, const uint8_t *raw)
{
    struct bs_gcm_key key = {.impl = impl};

    cr_assert_eq(impl->init(&key, raw), BS_GCM_OK, "%s: init", impl->name);
    return key;
}

/* The definition of a nonce, on its own: @base XOR the 12-byte big-endian number @index. */
static void nonce_of(uint8_t out[BS_GCM_NONCE_LEN], const uint8_t *base, uint64_t index)
{
    for (int i = BS_GCM_NONCE_LEN - 1; i >= 0; i--, index >>= 8)
        out[i] = (uint8_t)(base[i] ^ (index & 0xFF));
}

/* One message through EVP. */
static void evp_seal(const uint8_t *raw, const uint8_t *nonce, uint8_t *sealed, const uint8_t *plain, size_t len)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;

    cr_assert_eq(EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, raw, nonce), 1);
    if (len > 0)
        cr_assert_eq(EVP_EncryptUpdate(ctx, sealed, &n, plain, (int)len), 1);
    cr_assert_eq(EVP_EncryptFinal_ex(ctx, sealed + n, &n), 1);
    cr_assert_eq(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, BS_GCM_TAG_LEN, sealed + len), 1);
    EVP_CIPHER_CTX_free(ctx);
}

static size_t plain_len(const struct bs_gcm_run *run)
{
    return (run->num - 1) * run->msg_len + run->last_len;
}

/* What a run must yield. */
static void evp_run(const uint8_t *raw, const struct bs_gcm_run *run, uint8_t *sealed, const uint8_t *plain)
{
    for (size_t i = 0; i < run->num; i++) {
        size_t len = i + 1 == run->num ? run->last_len : run->msg_len;
        uint8_t nonce[BS_GCM_NONCE_LEN];

        nonce_of(nonce, run->nonce, run->first + i);
        evp_seal(raw, nonce, sealed, plain, len);
        sealed += len + BS_GCM_TAG_LEN;
        plain += len;
    }
}

/* Seal and open one run with @impl and compare both with EVP. Buffers are exactly as long as needed. */
static void check_run(const struct bs_gcm_impl *impl, const struct bs_gcm_run *run, uint64_t *random)
{
    struct bs_gcm_key key = key_for(impl, raw_key);
    struct vec_bytes plain = vec_copy(NULL, plain_len(run)), back = vec_copy(NULL, plain_len(run));
    struct vec_bytes sealed = vec_copy(NULL, bs_gcm_sealed_len(run)), expected = vec_copy(NULL, sealed.len);

    vec_random_fill(random, plain.p, plain.len);
    evp_run(raw_key, run, expected.p, plain.p);
    cr_assert(impl->seal(&key, run, sealed.p, plain.p));
    cr_assert_arr_eq(sealed.p, expected.p, sealed.len, "%s: sealed bytes differ from EVP's", impl->name);
    memset(back.p, FILLER, back.len);
    cr_assert(impl->open(&key, run, back.p, sealed.p));
    cr_assert_arr_eq(back.p, plain.p, back.len, "%s: opened bytes differ", impl->name);
    impl->clear(&key);
    free(plain.p);
    free(back.p);
    free(sealed.p);
    free(expected.p);
}

/* ---- NIST CAVP ------------------------------------------------------------------------------------------------- */

static bool applies(const struct vec_rsp *r)
{
    return r->key_bits == 256 && r->iv_bits == 96 && r->tag_bits == 128 && r->aad_bits == 0;
}

static struct bs_gcm_run run_of(const struct vec_rsp *r)
{
    cr_assert_eq(r->key.len, BS_GCM_KEY_LEN);
    cr_assert_eq(r->iv.len, BS_GCM_NONCE_LEN);
    cr_assert_eq(r->tag.len, BS_GCM_TAG_LEN);
    return (struct bs_gcm_run){
        .nonce = r->iv.p, .num = 1, .msg_len = (size_t)r->plain_bits / 8, .last_len = (size_t)r->plain_bits / 8};
}

static void nist_encrypt_case(const struct bs_gcm_impl *impl, const struct vec_rsp *r)
{
    struct bs_gcm_key key = key_for(impl, r->key.p);
    struct bs_gcm_run run = run_of(r);
    struct vec_bytes sealed = vec_copy(NULL, bs_gcm_sealed_len(&run));

    cr_assert(impl->seal(&key, &run, sealed.p, r->plain.p));
    cr_assert_arr_eq(sealed.p, r->cipher.p, r->cipher.len);
    cr_assert_arr_eq(sealed.p + r->cipher.len, r->tag.p, r->tag.len);
    impl->clear(&key);
    free(sealed.p);
}

static void nist_decrypt_case(const struct bs_gcm_impl *impl, const struct vec_rsp *r)
{
    struct bs_gcm_key key = key_for(impl, r->key.p);
    struct bs_gcm_run run = run_of(r);
    struct vec_bytes sealed = vec_copy(NULL, bs_gcm_sealed_len(&run)), plain = vec_copy(NULL, run.last_len);
    bool ok;

    memcpy(sealed.p, r->cipher.p, r->cipher.len);
    memcpy(sealed.p + r->cipher.len, r->tag.p, r->tag.len);
    memset(plain.p, FILLER, plain.len);
    ok = impl->open(&key, &run, plain.p, sealed.p);
    cr_assert_eq(ok, !r->fail);
    for (size_t i = 0; i < plain.len; i++)
        cr_assert_eq(plain.p[i], r->fail ? 0 : r->plain.p[i], "byte %zu", i);
    impl->clear(&key);
    free(sealed.p);
    free(plain.p);
}

Test(gcm, seals_as_nist_says)
{
    EACH_ENTRY(i)
    {
        struct vec_rsp r = vec_rsp_open("nist-cavp/gcmEncryptExtIV256.rsp.gz");
        unsigned all = 0, run = 0;

        for (; vec_rsp_next(&r); all++)
            if (applies(&r)) {
                nist_encrypt_case(bs_gcm_impls[i], &r);
                run++;
            }
        vec_rsp_close(&r);
        cr_assert_eq(all, 7875);
        cr_assert_eq(run, 75);
    }
}

Test(gcm, opens_and_refuses_as_nist_says)
{
    EACH_ENTRY(i)
    {
        struct vec_rsp r = vec_rsp_open("nist-cavp/gcmDecrypt256.rsp.gz");
        unsigned all = 0, all_failing = 0, run = 0, failing = 0;

        for (; vec_rsp_next(&r); all++) {
            all_failing += r.fail;
            if (applies(&r)) {
                nist_decrypt_case(bs_gcm_impls[i], &r);
                run++;
                failing += r.fail;
            }
        }
        vec_rsp_close(&r);
        cr_assert_eq(all, 7875);
        cr_assert_eq(all_failing, 3919);
        cr_assert_eq(run, 75);
        cr_assert_eq(failing, 33);
    }
}

/* ---- Runs against single calls ----------------------------------------------------------------------------------- */

Test(gcm, runs_equal_single_calls_for_every_short_length)
{
    uint8_t nonce[BS_GCM_NONCE_LEN];
    uint64_t random = 1;

    vec_random_fill(&random, nonce, sizeof nonce);
    EACH_ENTRY(i)
    for (size_t len = 0; len <= 272; len++) {
        const struct bs_gcm_run run = {nonce, vec_random(&random) >> 26, 3, 272, len};

        check_run(bs_gcm_impls[i], &run, &random);
    }
}

Test(gcm, runs_equal_single_calls_for_random_shapes)
{
    uint64_t random = 2;

    EACH_ENTRY(i)
    for (unsigned k = 0; k < 300; k++) {
        size_t msg_len = vec_random(&random) % 4097, num = 1 + vec_random(&random) % 9;
        uint8_t nonce[BS_GCM_NONCE_LEN];
        const struct bs_gcm_run run = {nonce, vec_random(&random) >> 26, num, msg_len,
                                       vec_random(&random) % (msg_len + 1)};

        vec_random_fill(&random, nonce, sizeof nonce);
        check_run(bs_gcm_impls[i], &run, &random);
    }
}

Test(gcm, runs_of_real_chunks_equal_single_calls)
{
    static const size_t last_lens[] = {0, 1, 15, 16, 17, 8192, 16383, 16384};
    const uint8_t nonce[BS_GCM_NONCE_LEN] = {9, 8, 7};
    uint64_t random = 3;

    EACH_ENTRY(i)
    for (size_t k = 0; k < sizeof last_lens / sizeof last_lens[0]; k++) {
        const struct bs_gcm_run run = {nonce, 250, 16, 16384, last_lens[k]};

        check_run(bs_gcm_impls[i], &run, &random);
    }
}

Test(gcm, counters_carry_over_every_border)
{
    static const uint64_t borders[] = {
        1ull << 8,  1ull << 16,       1ull << 24, 1ull << 31, 1ull << 32,
        1ull << 37, (1ull << 38) - 2, 1ull << 40, 1ull << 48, 1ull << 56,
    };
    uint8_t nonces[3][BS_GCM_NONCE_LEN] = {{0}};
    uint64_t random = 4;

    memset(nonces[1], 0xFF, sizeof nonces[1]); /* an addition in the place of the XOR would carry */
    vec_random_fill(&random, nonces[2], sizeof nonces[2]);
    EACH_ENTRY(i)
    for (size_t b = 0; b < sizeof borders / sizeof borders[0]; b++)
        for (size_t n = 0; n < 3; n++) {
            const struct bs_gcm_run run = {nonces[n], borders[b] - 2, 4, 64, 33};

            check_run(bs_gcm_impls[i], &run, &random);
        }
}

Test(gcm, a_run_can_be_cut_anywhere)
{
    const uint8_t nonce[BS_GCM_NONCE_LEN] = {1};
    uint64_t random = 5;

    EACH_ENTRY(i)
    {
        struct bs_gcm_key key = key_for(bs_gcm_impls[i], raw_key);
        uint8_t plain[20 * 48], whole[20 * 64], pieces[20 * 64];
        const struct bs_gcm_run run = {nonce, 1000, 20, 48, 48};

        vec_random_fill(&random, plain, sizeof plain);
        cr_assert(key.impl->seal(&key, &run, whole, plain));
        for (size_t cut = 1; cut < 20; cut++) {
            const struct bs_gcm_run front = {nonce, 1000, cut, 48, 48}, back = {nonce, 1000 + cut, 20 - cut, 48, 48};

            cr_assert(key.impl->seal(&key, &back, pieces + cut * 64, plain + cut * 48));
            cr_assert(key.impl->seal(&key, &front, pieces, plain));
            cr_assert_arr_eq(pieces, whole, sizeof whole, "cut at %zu", cut);
        }
        key.impl->clear(&key);
    }
}

/* ---- What is not genuine --------------------------------------------------------------------------------------- */

#define MSG        40
#define SEALED_MSG (MSG + BS_GCM_TAG_LEN)
#define LAST       17
#define ALL_PLAIN  (2 * MSG + LAST)
#define ALL_SEALED (2 * SEALED_MSG + LAST + BS_GCM_TAG_LEN)

struct forged {
    struct bs_gcm_key key;
    struct bs_gcm_run run;
    uint8_t nonce[BS_GCM_NONCE_LEN];
    uint8_t plain[ALL_PLAIN], sealed[ALL_SEALED];
};

static void forged_start(struct forged *f, const struct bs_gcm_impl *impl)
{
    uint64_t random = 6;

    vec_random_fill(&random, f->nonce, sizeof f->nonce);
    vec_random_fill(&random, f->plain, sizeof f->plain);
    f->run = (struct bs_gcm_run){f->nonce, 77, 3, MSG, LAST};
    f->key = key_for(impl, raw_key);
    cr_assert(impl->seal(&f->key, &f->run, f->sealed, f->plain));
}

/* @sealed is genuine up to message @bad: that much and no more comes out. */
static void check_refused(struct forged *f, const uint8_t *sealed, size_t bad)
{
    uint8_t out[ALL_PLAIN];

    memset(out, FILLER, sizeof out);
    cr_assert_not(f->key.impl->open(&f->key, &f->run, out, sealed), "%s accepts it", f->key.impl->name);
    for (size_t i = 0; i < sizeof out; i++)
        cr_assert_eq(out[i], i < bad * MSG ? f->plain[i] : 0, "%s: byte %zu", f->key.impl->name, i);
}

static void check_genuine(struct forged *f)
{
    uint8_t out[ALL_PLAIN];

    cr_assert(f->key.impl->open(&f->key, &f->run, out, f->sealed));
    cr_assert_arr_eq(out, f->plain, sizeof out);
}

Test(gcm, every_flipped_bit_is_found)
{
    EACH_ENTRY(i)
    {
        struct forged f;

        forged_start(&f, bs_gcm_impls[i]);
        for (size_t bit = 0; bit < 8 * sizeof f.sealed; bit++) {
            uint8_t changed[ALL_SEALED];

            memcpy(changed, f.sealed, sizeof changed);
            changed[bit / 8] ^= (uint8_t)(1u << bit % 8);
            check_refused(&f, changed, bit / 8 / SEALED_MSG);
        }
        check_genuine(&f); /* the key still works after refusals */
        f.key.impl->clear(&f.key);
    }
}

Test(gcm, wrong_place_key_and_nonce_are_found)
{
    EACH_ENTRY(i)
    {
        uint8_t swapped[ALL_SEALED], other_key[BS_GCM_KEY_LEN];
        struct forged f;

        forged_start(&f, bs_gcm_impls[i]);
        memcpy(swapped, f.sealed, sizeof swapped);
        memcpy(swapped, f.sealed + SEALED_MSG, SEALED_MSG);
        check_refused(&f, swapped, 0); /* message 1 in both places */
        memcpy(swapped, f.sealed, SEALED_MSG);
        memcpy(swapped + SEALED_MSG, f.sealed, SEALED_MSG);
        check_refused(&f, swapped, 1); /* message 0 in both places */
        f.run.first++;
        check_refused(&f, f.sealed, 0);
        f.run.first--;
        for (size_t k = 0; k < sizeof f.nonce; k++) {
            f.nonce[k] ^= 1;
            check_refused(&f, f.sealed, 0);
            f.nonce[k] ^= 1;
        }
        check_genuine(&f);
        f.key.impl->clear(&f.key);
        memcpy(other_key, raw_key, sizeof other_key);
        other_key[31] ^= 0x80;
        f.key = key_for(bs_gcm_impls[i], other_key);
        check_refused(&f, f.sealed, 0);
        f.key.impl->clear(&f.key);
    }
}

Test(gcm, message_borders_are_part_of_what_is_sealed)
{
    EACH_ENTRY(i)
    {
        struct forged f;

        forged_start(&f, bs_gcm_impls[i]);
        f.run.last_len = LAST - 1; /* cut: the tag is then read one byte early */
        cr_assert_not(f.key.impl->open(&f.key, &f.run, f.plain, f.sealed));
        f.key.impl->clear(&f.key);
    }
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/* @len readable and writable bytes that end at (@high) or start behind a page that faults. */
static uint8_t *guarded(size_t len, bool high)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (len + page - 1) / page * page;
    uint8_t *map = mmap(NULL, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    cr_assert_neq(map, MAP_FAILED);
    if (inner > 0)
        cr_assert_eq(mprotect(map + page, inner, PROT_READ | PROT_WRITE), 0);
    return map + page + (high ? inner - len : 0);
}

static void unguard(uint8_t *p, size_t len, bool high)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (len + page - 1) / page * page;

    cr_assert_eq(munmap(p - (high ? inner - len : 0) - page, inner + 2 * page), 0);
}

static void check_guarded(const struct bs_gcm_impl *impl, const struct bs_gcm_run *run, bool high)
{
    size_t len = plain_len(run), sealed_len = bs_gcm_sealed_len(run);
    uint8_t *plain = guarded(len, high), *sealed = guarded(sealed_len, high);
    struct bs_gcm_key key = key_for(impl, raw_key);

    cr_assert(impl->seal(&key, run, sealed, plain));
    cr_assert_eq(mprotect(sealed - (uintptr_t)sealed % (uintptr_t)sysconf(_SC_PAGESIZE), sealed_len, PROT_READ), 0);
    cr_assert(impl->open(&key, run, plain, sealed));
    impl->clear(&key);
    unguard(plain, len, high);
    unguard(sealed, sealed_len, high);
}

Test(gcm, touches_nothing_outside_its_buffers)
{
    const uint8_t nonce[BS_GCM_NONCE_LEN] = {3};

    EACH_ENTRY(i)
    for (unsigned high = 0; high < 2; high++) {
        for (size_t len = 0; len <= 300; len++) {
            const struct bs_gcm_run one = {nonce, 0, 1, len, len}, two = {nonce, 255, 2, 300, len};

            check_guarded(bs_gcm_impls[i], &one, high != 0);
            check_guarded(bs_gcm_impls[i], &two, high != 0);
        }
        const struct bs_gcm_run segment = {nonce, 64, 64, 16384, 16384};

        check_guarded(bs_gcm_impls[i], &segment, high != 0);
    }
}

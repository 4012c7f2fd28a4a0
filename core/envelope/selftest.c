/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Known answers for what OpenSSL computes for envelopes. If OpenSSL, the CPU or a provider computes wrongly, but in the
 * same way each time, a blob opens on this machine and nowhere else; only known answers show that. The payload's
 * AES-GCM has a self-test of its own (simd/selftest.c). The answers were computed with another implementation.
 */
#include <stdatomic.h>

#include "core/envelope/envelope.h"

/* Fill @p with bytes that differ for each @start. */
static void fill(uint8_t *p, size_t len, unsigned start)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(i * 7 + (i >> 8) + start);
}

/* ---- AES-256-GCM with additional data ---------------------------------------------------------------------------- */

#define MAX_AAD  1003
#define MAX_TEXT 701

/* Messages as long as an envelope, for code that only long inputs use, and a short one. */
static const struct message {
    size_t aad_len, text_len;
    uint8_t tag[BS_JWE_TAG_LEN];
} messages[] = {
    {MAX_AAD,
     MAX_TEXT,
     {0xB1, 0x3F, 0xB1, 0x62, 0xE2, 0x64, 0x7D, 0x69, 0x91, 0xB1, 0xB2, 0x51, 0x26, 0x37, 0x71, 0x64}},
    {20, 60, {0x47, 0x9C, 0x46, 0x7F, 0xBE, 0x5E, 0x37, 0x66, 0x49, 0x34, 0x62, 0x6C, 0x19, 0xE6, 0xFD, 0x91}},
};

static const uint8_t ciphertext_start[] = {0xE7, 0x10, 0x73, 0x3B, 0x58, 0xEF, 0x29, 0x8D};

/* Return true if OpenSSL refuses to decrypt a message. @failed tells whether it failed for another reason. */
static bool is_refused(const struct bs_a256gcm *g, struct bs_slice sealed, const uint8_t *tag, bool *failed)
{
    uint8_t back[MAX_TEXT];
    enum blobseal_status st = bs_a256gcm_open(g, back, sealed, tag);

    *failed = st == BLOBSEAL_E_NOMEM;
    return st == BLOBSEAL_E_AUTH;
}

/*
 * Encrypt a message and compare the tag, which depends on every byte; decrypt it; and check that it is refused if the
 * additional data or the tag is changed. @failed tells whether OpenSSL failed, which can be for lack of memory.
 */
static bool message_works(const struct message *m, bool *failed)
{
    uint8_t aad[MAX_AAD], text[MAX_TEXT], sealed[MAX_TEXT], back[MAX_TEXT], tag[BS_JWE_TAG_LEN], iv[BS_JWE_IV_LEN];
    struct blobseal_secret32 cek;
    const struct bs_slice in = {text, m->text_len}, out = {sealed, m->text_len};
    const struct bs_a256gcm g = {.cek = &cek, .iv = iv, .aad = {aad, m->aad_len}};
    enum blobseal_status st;

    for (unsigned i = 0; i < sizeof cek.b; i++)
        cek.b[i] = (uint8_t)i;
    for (unsigned i = 0; i < sizeof iv; i++)
        iv[i] = (uint8_t)(0xA0 + i);
    fill(text, m->text_len, 1);
    fill(aad, m->aad_len, 2);
    *failed = !bs_a256gcm_encrypt(&g, sealed, in, tag);
    if (*failed || memcmp(tag, m->tag, sizeof tag) != 0 ||
        memcmp(sealed, ciphertext_start, sizeof ciphertext_start) != 0)
        return false;
    st = bs_a256gcm_open(&g, back, out, tag);
    *failed = st == BLOBSEAL_E_NOMEM;
    if (st != BLOBSEAL_OK || memcmp(back, text, m->text_len) != 0)
        return false;
    aad[m->aad_len - 1] ^= 1;
    if (!is_refused(&g, out, tag, failed))
        return false;
    aad[m->aad_len - 1] ^= 1;
    tag[BS_JWE_TAG_LEN - 1] ^= 1;
    return is_refused(&g, out, tag, failed);
}

static bool gcm_works(bool *failed)
{
    for (size_t i = 0; i < BS_COUNT(messages); i++)
        if (!message_works(&messages[i], failed))
            return false;
    return true;
}

/* ---- SHA-256 and HKDF -------------------------------------------------------------------------------------------- */

/* Hash 1003 bytes in two pieces. */
static bool sha256_works(bool *failed)
{
    static const uint8_t want[BS_SHA256_LEN] = {0xCD, 0xE0, 0xB2, 0xE3, 0x7D, 0xF1, 0x8F, 0x42, 0xA8, 0x46, 0x2E,
                                                0xDF, 0xC3, 0x10, 0x71, 0xE5, 0x02, 0xC8, 0x62, 0xF5, 0x77, 0x24,
                                                0x17, 0xC4, 0x0E, 0x16, 0x75, 0x8F, 0x0A, 0x43, 0x43, 0x99};
    struct bs_sha256 h = bs_sha256_start();
    uint8_t text[1003], got[BS_SHA256_LEN];

    fill(text, sizeof text, 2);
    bs_sha256_add(&h, text, 100);
    bs_sha256_add(&h, text + 100, sizeof text - 100);
    *failed = !bs_sha256_end(&h, got);
    return !*failed && memcmp(got, want, sizeof want) == 0;
}

/* Derive keys (HKDF-Expand of RFC 5869) with a DEK and a context of bytes 0, 1, ... 31 and a salt of bytes 0 to 23. */
static bool derivation_works(bool *failed)
{
    static const struct bs_chunked_keys want = {
        .key = {0x78, 0x0D, 0x52, 0x21, 0xAF, 0x9E, 0x83, 0x52, 0x81, 0xB3, 0x64, 0x1A, 0x61, 0x62, 0x6A, 0xFD,
                0x70, 0xBE, 0x30, 0x53, 0xD0, 0x50, 0x7B, 0x54, 0x04, 0x5E, 0x7D, 0xC6, 0x1C, 0xA4, 0x78, 0x13},
        .nonce = {0xCA, 0x50, 0xE9, 0x8D, 0x8D, 0x96, 0x37, 0xAF, 0x3D, 0xDD, 0x43, 0xFF},
        .commitment = {0xDB, 0x9B, 0xE8, 0x3D, 0x37, 0x3D, 0x40, 0x3C, 0xCA, 0x11, 0x3C, 0x59, 0x8B, 0xF7, 0x7A, 0x39,
                       0xC1, 0x8B, 0xB0, 0x0F, 0x6C, 0x16, 0x16, 0x92, 0x07, 0x85, 0x79, 0x69, 0x2E, 0xF0, 0xE7, 0x63},
    };
    struct blobseal_secret32 dek;
    struct bs_chunked_keys keys;

    for (unsigned i = 0; i < sizeof dek.b; i++)
        dek.b[i] = (uint8_t)i;
    *failed = !bs_chunked_derive(&keys, &dek, dek.b, dek.b, sizeof dek.b);
    return !*failed && memcmp(&keys, &want, sizeof want) == 0;
}

/* ---- All of them ------------------------------------------------------------------------------------------------- */

/* Run a self-test. If OpenSSL failed, run it again, because memory may have been short for a moment. */
static enum blobseal_status judge(bool (*works)(bool *failed))
{
    bool failed = false;

    if (works(&failed) || (failed && works(&failed)))
        return BLOBSEAL_OK;
    return failed && bs_memory_is_exhausted() ? BLOBSEAL_E_NOMEM : BLOBSEAL_E_INTERNAL;
}

static enum blobseal_status test_gcm(void)
{
    return judge(gcm_works);
}

static enum blobseal_status test_sha256(void)
{
    return judge(sha256_works);
}

static enum blobseal_status test_derivation(void)
{
    return judge(derivation_works);
}

const struct bs_known_answer bs_known_answers[BS_NUM_KNOWN_ANSWERS] = {
    {"envelope cipher", "AES-256-GCM with additional data", "AES-256-GCM", test_gcm},
    {"sha-256", "SHA-256", "SHA-256", test_sha256},
    {"key derivation", "HKDF with SHA-512", "HKDF", test_derivation},
};

static enum blobseal_status run_all(struct blobseal_error *err)
{
    enum blobseal_status st = bs_algorithms_check(err);

    for (size_t i = 0; i < BS_NUM_KNOWN_ANSWERS && st == BLOBSEAL_OK; i++) {
        st = bs_known_answers[i].run();
        if (st == BLOBSEAL_E_NOMEM)
            return blobseal_fail(err, st, 0, "test %s: no memory", bs_known_answers[i].algorithm);
        if (st == BLOBSEAL_OK)
            continue;
        (void)blobseal_fail(err, st, 0, "the self-test of OpenSSL's %s failed", bs_known_answers[i].algorithm);
        blobseal_advise(err, BLOBSEAL_ADVICE_SELFTEST, NULL,
                        "the CPU, its microcode or a library produces wrong results");
    }
    return st;
}

/* The result is remembered for each provider that can serve this process: with FIPS mode and without. Threads that need
 * it at the same time may all run the tests, and tests that failed run again. */
enum blobseal_status bs_selftest_once(struct blobseal_error *err)
{
    static _Atomic unsigned passed;
    enum blobseal_status st = bs_openssl_start(err);
    unsigned mode;

    if (st != BLOBSEAL_OK)
        return st;
    mode = bs_fips_mode() ? 2 : 1;
    if ((atomic_load_explicit(&passed, memory_order_relaxed) & mode) != 0)
        return st;
    st = run_all(err);
    if (st == BLOBSEAL_OK)
        (void)atomic_fetch_or_explicit(&passed, mode, memory_order_relaxed);
    return st;
}

enum blobseal_status blobseal_selftest(struct blobseal_error *err)
{
    return bs_selftest_once(err);
}

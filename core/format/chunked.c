/* SPDX-License-Identifier: Apache-2.0 */
/*
 * C2SP chunked-encryption, instantiation Cobblestone-256: key derivation, commitment, and sealing and opening of runs
 * of chunks that may start at any chunk.
 *
 * A message can be processed as a single run with `last`, or as a sequence of runs. For random access, a run starts at
 * the first chunk needed; opening the last chunk authenticates the length of the message. This file depends on neither
 * core headers nor segments, so the C2SP test vectors apply to it directly.
 */
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "core/format/format.h"

static const char label[] = "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM"; /* includes the terminating zero byte */

_Static_assert(sizeof(struct bs_chunked_keys) == 76, "HKDF fills the whole struct, so it must have no padding");

/* ---- Key derivation ---------------------------------------------------------------------------------------------- */

#define SHA512_LEN 64
#define NUM_INFO   3 /* the parts of info */

/* Derive with OpenSSL's HKDF. */
static bool expand_with_kdf(struct bs_chunked_keys *keys, const struct blobseal_secret32 *dek,
                            const struct bs_slice info[NUM_INFO])
{
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    /* OpenSSL concatenates info parameters in order. The pointers are not const, but OpenSSL does not write to them. */
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA512", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)dek->b, sizeof dek->b),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info[0].p, info[0].len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info[1].p, info[1].len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info[2].p, info[2].len),
        OSSL_PARAM_construct_end(),
    };
    bool ok = ctx != NULL && EVP_KDF_derive(ctx, (uint8_t *)keys, sizeof *keys, params) == 1;

    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok;
}

/* HKDF-Expand (RFC 5869 section 2.3) to two outputs of HMAC, T(1) and T(2). */
static bool expand(uint8_t out[2 * SHA512_LEN], EVP_MAC_CTX *hmac, const struct blobseal_secret32 *dek,
                   const struct bs_slice info[NUM_INFO])
{
    bool ok = EVP_MAC_init(hmac, dek->b, sizeof dek->b, NULL) == 1;
    size_t len;

    for (uint8_t n = 1; n <= 2 && ok; n++, out += SHA512_LEN) {
        if (n > 1)
            ok = EVP_MAC_init(hmac, NULL, 0, NULL) == 1 && EVP_MAC_update(hmac, out - SHA512_LEN, SHA512_LEN) == 1;
        for (size_t i = 0; i < NUM_INFO; i++)
            ok = ok && EVP_MAC_update(hmac, info[i].p, info[i].len) == 1;
        ok = ok && EVP_MAC_update(hmac, &n, 1) == 1 && EVP_MAC_final(hmac, out, &len, SHA512_LEN) == 1;
    }
    return ok;
}

/* Derive with OpenSSL's HMAC, which takes three quarters of the time of its HKDF: OpenSSL 3.0 searches for the digest
 * each time that HKDF gets its parameters. */
static bool expand_with_hmac(struct bs_chunked_keys *keys, const struct blobseal_secret32 *dek,
                             const struct bs_slice info[NUM_INFO])
{
    EVP_MAC_CTX *hmac = bs_hmac_sha512();
    uint8_t out[2 * SHA512_LEN];
    bool ok = hmac != NULL && expand(out, hmac, dek, info);

    if (ok)
        memcpy(keys, out, sizeof *keys);
    EVP_MAC_CTX_free(hmac);
    blobseal_wipe(out, sizeof out);
    return ok;
}

/* Return true if expand() works: before OpenSSL 3.0.3, EVP_MAC_init() without a key does nothing, but returns 1. */
static bool hmac_starts_again(void)
{
    return OpenSSL_version_num() >= 0x30000030; /* the layout of 3.x.y is 0x3xx00yy0 */
}

bool bs_chunked_derive(struct bs_chunked_keys *keys, const struct blobseal_secret32 *dek,
                       const uint8_t salt[BS_SALT_LEN], const uint8_t *context, size_t context_len)
{
    const struct bs_slice info[NUM_INFO] = {
        {(const uint8_t *)label, sizeof label}, {salt, BS_SALT_LEN}, {context, context_len}};
    bool use_kdf = bs_fips_mode() || !hmac_starts_again();
    bool ok = use_kdf ? expand_with_kdf(keys, dek, info) : expand_with_hmac(keys, dek, info);

    if (!ok)
        blobseal_wipe(keys, sizeof *keys);
    return ok;
}

/* ---- The cipher -------------------------------------------------------------------------------------------------- */

/* Fill @err with the reason @why the kernel of implementation @name could not be initialised. Return the status. */
static enum blobseal_status report_no_kernel(enum bs_gcm_status why, const char *name, struct blobseal_error *err)
{
    enum blobseal_status st;

    switch (why) {
    case BS_GCM_BROKEN:
        st = blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "prepare AES-256-GCM: the self-test of %s failed", name);
        blobseal_advise(err, BLOBSEAL_ADVICE_SELFTEST, NULL,
                        "the CPU, its microcode or a library produces wrong results");
        return st;
    case BS_GCM_NO_CIPHER:
        return bs_no_provider("AES-256-GCM", err);
    default:
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "prepare AES-256-GCM: no memory");
    }
}

enum blobseal_status bs_chunked_init(struct bs_chunked *c, const struct bs_chunked_keys *keys,
                                     struct blobseal_error *err)
{
    c->gcm = blobseal_secret_alloc(sizeof *c->gcm);
    if (c->gcm == NULL)
        return report_no_kernel(BS_GCM_NO_MEMORY, "", err);
    return bs_chunked_rekey(c, keys, err);
}

enum blobseal_status bs_chunked_rekey(struct bs_chunked *c, const struct bs_chunked_keys *keys,
                                      struct blobseal_error *err)
{
    enum bs_gcm_status st = bs_gcm_init(c->gcm, keys->key);

    memcpy(c->nonce, keys->nonce, sizeof c->nonce);
    return st == BS_GCM_OK ? BLOBSEAL_OK : report_no_kernel(st, c->gcm->impl->name, err);
}

void bs_chunked_wipe(struct bs_chunked *c)
{
    bs_gcm_clear(c->gcm);
    blobseal_wipe(c->nonce, sizeof c->nonce);
}

void bs_chunked_clear(struct bs_chunked *c)
{
    if (c->gcm != NULL)
        bs_gcm_clear(c->gcm);
    blobseal_secret_free(c->gcm);
    blobseal_wipe(c, sizeof *c);
}

enum blobseal_status bs_chunked_new(struct bs_chunked **c, const struct bs_chunked_keys *keys,
                                    struct blobseal_error *err)
{
    enum blobseal_status st;

    *c = calloc(1, sizeof **c);
    if (*c == NULL)
        return report_no_kernel(BS_GCM_NO_MEMORY, "", err);
    st = bs_chunked_init(*c, keys, err);
    if (st != BLOBSEAL_OK) {
        bs_chunked_free(*c);
        *c = NULL;
    }
    return st;
}

void bs_chunked_free(struct bs_chunked *c)
{
    if (c == NULL)
        return;
    bs_chunked_clear(c);
    free(c);
}

size_t bs_segment_buffer_size(bool sequential, size_t plain_len)
{
    /* There is room for one additional chunk, because the short chunk that ends the message may follow a full run. */
    size_t most = (sequential ? BS_SEALED_SEGMENT_LEN : BS_SEALED_RUN_LEN) + BS_SEALED_CHUNK_LEN + BS_CHECKSUM_LEN;
    size_t needed = bs_sealed_tail_len(plain_len) + BS_CHECKSUM_LEN;

    return plain_len > 0 && needed < most ? needed : most;
}

/* Describe the run of chunks for @plain_len bytes. Return false if the length or a chunk number is impossible. */
static bool make_run(struct bs_gcm_run *run, const struct bs_chunked *c, uint64_t first, bool last, size_t plain_len)
{
    size_t rest = plain_len % BS_CHUNK_LEN;

    *run = (struct bs_gcm_run){
        .nonce = c->nonce,
        .first = first,
        .num = plain_len / BS_CHUNK_LEN + (last ? 1 : 0),
        .msg_len = BS_CHUNK_LEN,
        .last_len = last ? rest : BS_CHUNK_LEN,
    };
    if (!last && rest != 0)
        return false;
    return run->num > 0 && first < BS_MAX_CHUNKS && run->num <= BS_MAX_CHUNKS - first;
}

bool bs_chunked_seal(struct bs_chunked *c, uint64_t first, bool last, uint8_t *sealed, struct bs_slice plain)
{
    struct bs_gcm_run run;

    return make_run(&run, c, first, last, plain.len) && bs_gcm_seal(c->gcm, &run, sealed, plain.p);
}

bool bs_chunked_failed(const struct bs_chunked *c, struct blobseal_error *err)
{
    if (c->gcm->failed)
        (void)blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "open the payload: OpenSSL failed");
    return c->gcm->failed;
}

bool bs_chunked_open(struct bs_chunked *c, uint64_t first, bool last, uint8_t *plain, struct bs_slice sealed,
                     size_t *plain_len)
{
    struct bs_gcm_run run;
    uint64_t n;

    *plain_len = 0;
    c->gcm->failed = false;
    if (last) {
        if (!bs_tail_plain_len(sealed.len, &n))
            return false;
    } else {
        if (sealed.len % BS_SEALED_CHUNK_LEN != 0)
            return false;
        n = sealed.len / BS_SEALED_CHUNK_LEN * BS_CHUNK_LEN;
    }
    if (!make_run(&run, c, first, last, (size_t)n) || !bs_gcm_open(c->gcm, &run, plain, sealed.p))
        return false;
    *plain_len = (size_t)n;
    return true;
}

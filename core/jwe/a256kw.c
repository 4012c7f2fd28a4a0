/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES key wrap with the keys of encryption sets. Making a context and a key schedule takes longer than wrapping, so
 * both are kept with the key. OpenSSL 3.0 wraps keys without the AES instructions of the CPU, which takes three times
 * as long as the same steps over its AES-256-ECB. In FIPS mode its own key wrap is used. RFC 3394, RFC 7518
 * section 4.4.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "core/jwe/jwe.h"

#define NUM_SLOTS 4 /* threads that can use a key at the same time; others wait */

struct slot {
    pthread_mutex_t lock;
    EVP_CIPHER_CTX *ctx[2]; /* for unwrapping and wrapping; made when they are needed */
};

struct bs_a256kw {
    const struct blobseal_secret32 *key;
    bool fips;
    struct slot slots[NUM_SLOTS];
};

enum blobseal_status bs_a256kw_new(struct bs_a256kw **out, const struct blobseal_secret32 *key,
                                   struct blobseal_error *err)
{
    struct bs_a256kw *kw = calloc(1, sizeof *kw);

    *out = kw;
    if (kw == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "prepare the key of a set: no memory");
    kw->key = key;
    kw->fips = bs_fips_mode();
    for (size_t i = 0; i < NUM_SLOTS; i++)
        (void)pthread_mutex_init(&kw->slots[i].lock, NULL); /* cannot fail for a mutex without attributes on Linux */
    return BLOBSEAL_OK;
}

void bs_a256kw_free(struct bs_a256kw *kw)
{
    if (kw == NULL)
        return;
    for (size_t i = 0; i < NUM_SLOTS; i++) {
        (void)pthread_mutex_destroy(&kw->slots[i].lock);
        EVP_CIPHER_CTX_free(kw->slots[i].ctx[0]);
        EVP_CIPHER_CTX_free(kw->slots[i].ctx[1]);
    }
    free(kw);
}

/* Lock a slot: one that no other thread uses, if there is one. */
static struct slot *take_slot(struct bs_a256kw *kw)
{
    for (size_t i = 0; i < NUM_SLOTS; i++)
        if (pthread_mutex_trylock(&kw->slots[i].lock) == 0)
            return &kw->slots[i];
    (void)pthread_mutex_lock(&kw->slots[0].lock);
    return &kw->slots[0];
}

/* Return the context of @slot with the key, ready for the next message, or NULL if OpenSSL failed. */
static EVP_CIPHER_CTX *ready(const struct bs_a256kw *kw, struct slot *slot, bool wrap)
{
    EVP_CIPHER_CTX *ctx = slot->ctx[wrap];
    EVP_CIPHER *cipher;
    bool ok;

    if (ctx != NULL && (!kw->fips || EVP_CipherInit_ex2(ctx, NULL, NULL, NULL, wrap, NULL) == 1))
        return ctx; /* ECB keeps nothing of the last message */
    EVP_CIPHER_CTX_free(ctx);
    cipher = EVP_CIPHER_fetch(NULL, kw->fips ? "AES-256-WRAP" : "AES-256-ECB", NULL);
    slot->ctx[wrap] = ctx = EVP_CIPHER_CTX_new();
    if (ctx != NULL && kw->fips)
        EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    ok = cipher != NULL && ctx != NULL && EVP_CipherInit_ex2(ctx, cipher, kw->key->b, NULL, wrap, NULL) == 1 &&
         (kw->fips || EVP_CIPHER_CTX_set_padding(ctx, 0) == 1);
    EVP_CIPHER_free(cipher);
    if (!ok) {
        EVP_CIPHER_CTX_free(ctx);
        slot->ctx[wrap] = NULL;
    }
    return slot->ctx[wrap];
}

/* ---- RFC 3394 section 2.2 over single blocks --------------------------------------------------------------------- */

#define HALF       ((size_t)8) /* bytes of half a block */
#define NUM_HALVES ((size_t)4) /* in a secret */
#define NUM_ROUNDS 6

/* Encrypt or decrypt the block in place. */
static bool one_block(EVP_CIPHER_CTX *ctx, uint8_t block[16])
{
    int n = 0;

    return EVP_CipherUpdate(ctx, block, &n, block, 16) == 1 && n == 16;
}

/* XOR the number of a step to the first half of a block, big-endian. It is below 256. */
static void add_step(uint8_t block[16], unsigned step)
{
    block[7] ^= (uint8_t)step;
}

static bool wrap_blocks(EVP_CIPHER_CTX *ctx, uint8_t out[BS_A256KW_LEN], const uint8_t *secret)
{
    uint8_t block[16], *r = out + 8;
    bool ok = true;

    memset(block, 0xA6, 8);
    memcpy(r, secret, HALF * NUM_HALVES);
    for (unsigned step = 1; step <= NUM_ROUNDS * NUM_HALVES && ok; step++) {
        uint8_t *half = r + HALF * ((step - 1) % NUM_HALVES);

        memcpy(block + 8, half, 8);
        ok = one_block(ctx, block);
        add_step(block, step);
        memcpy(half, block + 8, 8);
    }
    memcpy(out, block, 8);
    blobseal_wipe(block, sizeof block);
    return ok;
}

/* Return E_AUTH if the initial value does not come out. */
static enum blobseal_status unwrap_blocks(EVP_CIPHER_CTX *ctx, uint8_t *secret, const uint8_t *wrapped)
{
    static const uint8_t initial[8] = {0xA6, 0xA6, 0xA6, 0xA6, 0xA6, 0xA6, 0xA6, 0xA6};
    uint8_t block[16];
    bool ok = true, same;

    memcpy(block, wrapped, 8);
    memcpy(secret, wrapped + 8, HALF * NUM_HALVES);
    for (unsigned step = (unsigned)(NUM_ROUNDS * NUM_HALVES); step > 0 && ok; step--) {
        uint8_t *half = secret + HALF * ((step - 1) % NUM_HALVES);

        memcpy(block + 8, half, 8);
        add_step(block, step);
        ok = one_block(ctx, block);
        memcpy(half, block + 8, 8);
    }
    same = blobseal_equal(block, initial, sizeof initial);
    blobseal_wipe(block, sizeof block);
    if (!ok)
        return BLOBSEAL_E_INTERNAL;
    return same ? BLOBSEAL_OK : BLOBSEAL_E_AUTH;
}

/* ---- Both directions --------------------------------------------------------------------------------------------- */

static enum blobseal_status with_context(const struct bs_a256kw *kw, EVP_CIPHER_CTX *ctx, bool wrap, uint8_t *out,
                                         const uint8_t *in)
{
    size_t in_len = wrap ? sizeof(struct blobseal_secret32) : BS_A256KW_LEN;
    int n = 0, want = wrap ? BS_A256KW_LEN : (int)sizeof(struct blobseal_secret32);

    if (kw->fips)
        return EVP_CipherUpdate(ctx, out, &n, in, (int)in_len) == 1 && n == want ? BLOBSEAL_OK : BLOBSEAL_E_AUTH;
    if (wrap)
        return wrap_blocks(ctx, out, in) ? BLOBSEAL_OK : BLOBSEAL_E_INTERNAL;
    return unwrap_blocks(ctx, out, in);
}

/* Wrap or unwrap. Return E_INTERNAL if OpenSSL failed, and E_AUTH if the wrapped key is not authentic. */
static enum blobseal_status convert(struct bs_a256kw *kw, bool wrap, uint8_t *out, const uint8_t *in)
{
    struct slot *slot = take_slot(kw);
    EVP_CIPHER_CTX *ctx;
    enum blobseal_status st = BLOBSEAL_E_INTERNAL;

    (void)ERR_set_mark();                                                  /* the host program shares this queue */
    for (int tries = 0; tries < 2 && st == BLOBSEAL_E_INTERNAL; tries++) { /* memory may be short for a moment */
        ctx = ready(kw, slot, wrap);
        if (ctx != NULL)
            st = with_context(kw, ctx, wrap, out, in);
    }
    if (st != BLOBSEAL_E_INTERNAL)
        (void)ERR_pop_to_mark();
    (void)pthread_mutex_unlock(&slot->lock);
    return st;
}

enum blobseal_status bs_a256kw_wrap(struct bs_a256kw *kw, uint8_t out[BS_A256KW_LEN],
                                    const struct blobseal_secret32 *secret, struct blobseal_error *err)
{
    if (convert(kw, true, out, secret->b) == BLOBSEAL_OK)
        return BLOBSEAL_OK;
    memset(out, 0, BS_A256KW_LEN);
    return bs_openssl_failed(err, "wrap a key with the key of a set");
}

enum blobseal_status bs_a256kw_unwrap(struct bs_a256kw *kw, struct blobseal_secret32 *secret, const uint8_t *wrapped,
                                      size_t len, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_E_AUTH;

    if (len == BS_A256KW_LEN)
        st = convert(kw, false, secret->b, wrapped);
    if (st != BLOBSEAL_OK)
        blobseal_wipe(secret, sizeof *secret);
    return st == BLOBSEAL_E_INTERNAL ? bs_openssl_failed(err, "unwrap a key with the key of a set") : st;
}

/* RFC 3394 section 4.6: 256 bits of key data with a 256-bit KEK. */
static enum blobseal_status known_answer(struct blobseal_error *err)
{
    static const uint8_t want[BS_A256KW_LEN] = {0x28, 0xC9, 0xF4, 0x04, 0xC4, 0xB8, 0x10, 0xF4, 0xCB, 0xCC,
                                                0xB3, 0x5C, 0xFB, 0x87, 0xF8, 0x26, 0x3F, 0x57, 0x86, 0xE2,
                                                0xD8, 0x0E, 0xD3, 0x26, 0xCB, 0xC7, 0xF0, 0xE7, 0x1A, 0x99,
                                                0xF4, 0x3B, 0xFB, 0x98, 0x8B, 0x9B, 0x7A, 0x02, 0xDD, 0x21};
    struct blobseal_secret32 key, data, back;
    uint8_t got[BS_A256KW_LEN];
    struct bs_a256kw *kw;
    enum blobseal_status st = bs_a256kw_new(&kw, &key, err);

    for (unsigned i = 0; i < sizeof key.b; i++) {
        key.b[i] = (uint8_t)i;
        data.b[i] = (uint8_t)(i < 16 ? i * 0x11 : i - 16);
    }
    if (st == BLOBSEAL_OK)
        st = bs_a256kw_wrap(kw, got, &data, err);
    if (st == BLOBSEAL_OK)
        st = bs_a256kw_unwrap(kw, &back, want, sizeof want, err);
    if (st == BLOBSEAL_E_AUTH ||
        (st == BLOBSEAL_OK && (memcmp(got, want, sizeof want) != 0 || memcmp(&back, &data, sizeof back) != 0)))
        st = blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "the self-test of OpenSSL's AES key wrap failed");
    if (st == BLOBSEAL_OK) {
        got[0] ^= 1;
        if (bs_a256kw_unwrap(kw, &back, got, sizeof got, err) != BLOBSEAL_E_AUTH)
            st = blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "OpenSSL's AES key wrap accepts a forgery");
    }
    bs_a256kw_free(kw);
    return st;
}

enum blobseal_status bs_a256kw_selftest(struct blobseal_error *err)
{
    static atomic_bool passed;
    enum blobseal_status st = bs_openssl_start(err);

    if (st != BLOBSEAL_OK || atomic_load_explicit(&passed, memory_order_relaxed))
        return st;
    st = known_answer(err);
    if (st == BLOBSEAL_OK)
        atomic_store_explicit(&passed, true, memory_order_relaxed);
    return st;
}

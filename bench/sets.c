/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small blobs under an encryption set, in memory, and next to them the sum of the primitives that they need, each as
 * OpenSSL offers it: random numbers in one call, HKDF, AES key wrap, AES-GCM of an envelope and of the content.
 */
#define _GNU_SOURCE /* mkostemp */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <blobseal_set.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>

#include "bench/bench.h"

#define CONTENT  4096
#define ENVELOPE 300 /* bytes of the JWK of an envelope */

/* ---- A set in memory --------------------------------------------------------------------------------------------- */

static struct {
    char object[BLOBSEAL_MAX_ENVELOPE];
    size_t len;
} kept;

static enum blobseal_status get(void *ctx, char **object, size_t *len, char token[BLOBSEAL_SET_MAX_TOKEN],
                                const struct blobseal_call *call, struct blobseal_error *err)
{
    (void)ctx;
    (void)call;
    (void)err;
    *object = kept.len > 0 ? malloc(kept.len) : NULL;
    if (*object == NULL)
        return BLOBSEAL_OK;
    memcpy(*object, kept.object, kept.len);
    *len = kept.len;
    token[0] = '1';
    return BLOBSEAL_OK;
}

/* NOLINTNEXTLINE(readability-function-size): the parameters of the function in struct blobseal_set_store */
static enum blobseal_status put(void *ctx, const char *object, size_t len, const char *token,
                                enum blobseal_set_put *result, const struct blobseal_call *call,
                                struct blobseal_error *err)
{
    (void)ctx;
    (void)token;
    (void)call;
    (void)err;
    memcpy(kept.object, object, len);
    kept.len = len;
    *result = BLOBSEAL_SET_STORED;
    return BLOBSEAL_OK;
}

static struct blobseal_kek *make_kek(void)
{
    static const struct blobseal_set_store store = {.get = get, .put = put};
    char path[] = "/tmp/blobseal-bench.XXXXXX";
    const struct blobseal_set_new how = {.size = sizeof how, .kek = path};
    const struct blobseal_set_options o = {.size = sizeof o, .store = &store};
    struct blobseal_keypair pair = {.size = sizeof pair};
    struct blobseal_set *set = NULL;
    struct blobseal_kek *kek = NULL;
    int fd = blobseal_keygen_rsa(&pair, 2048, NULL, NULL) == BLOBSEAL_OK ? mkostemp(path, 0) : -1;

    if (fd >= 0) {
        if (write(fd, pair.private_pem, pair.private_len) != (ssize_t)pair.private_len ||
            blobseal_set_create(&set, "bench", &how, &o, NULL) != BLOBSEAL_OK ||
            blobseal_set_kek(set, &kek, NULL) != BLOBSEAL_OK)
            kek = NULL;
        (void)close(fd);
        (void)unlink(path);
    }
    blobseal_set_close(set);
    blobseal_keypair_clear(&pair);
    return kek;
}

/* ---- Blobs ------------------------------------------------------------------------------------------------------- */

/* A sink of fixed size, so that no memory is allocated for it. */
struct room {
    uint8_t bytes[4 * CONTENT];
    size_t len;
};

static enum blobseal_status put_bytes(void *ctx, const void *buf, size_t len, struct blobseal_error *err)
{
    struct room *r = ctx;

    if (len > sizeof r->bytes - r->len)
        return blobseal_fail(err, BLOBSEAL_E_OUTPUT, 0, "no room");
    memcpy(r->bytes + r->len, buf, len);
    r->len += len;
    return BLOBSEAL_OK;
}

static bool seal_one(struct blobseal_kek *kek, struct room *blob, const uint8_t *content)
{
    const struct blobseal_seal_options o = {.size = sizeof o, .threads = 1};
    const struct blobseal_sink sink = {.ctx = blob, .write = put_bytes};
    struct blobseal_source source;
    struct blobseal_memory from;

    blob->len = 0;
    blobseal_source_memory(&source, &from, content, CONTENT);
    return blobseal_seal(&sink, &source, &kek, 1, &o, NULL, NULL) == BLOBSEAL_OK;
}

static bool open_one(struct blobseal_kek *kek, const struct room *blob, struct room *content)
{
    const struct blobseal_reader_options o = {.size = sizeof o, .threads = 1};
    const struct blobseal_sink sink = {.ctx = content, .write = put_bytes};
    struct blobseal_source source;
    struct blobseal_memory from;
    struct blobseal_reader *r = NULL;
    bool ok;

    content->len = 0;
    blobseal_source_memory(&source, &from, blob->bytes, blob->len);
    ok = blobseal_reader_open(&r, &source, &kek, 1, &o, NULL) == BLOBSEAL_OK &&
         blobseal_reader_stream(r, &sink, NULL, NULL) == BLOBSEAL_OK;
    blobseal_reader_close(r);
    return ok && content->len == CONTENT;
}

static void blob_of_set(struct bench *b, const void *arg)
{
    static struct blobseal_kek *kek; /* kept until the program ends */
    static uint8_t content[CONTENT];
    static struct room blob, back;
    bool open = *(const bool *)arg, ok;

    if (kek == NULL)
        kek = make_kek();
    ok = kek != NULL && seal_one(kek, &blob, content);
    while (ok && bench_next(b))
        ok = open ? open_one(kek, &blob, &back) : seal_one(kek, &blob, content);
    if (!ok)
        bench_fail(b, "the operation failed");
    else
        bench_items_each(b, 1);
}

/* ---- Primitives -------------------------------------------------------------------------------------------------- */

static bool derive(uint8_t out[76], uint8_t key[32])
{
    static char digest[] = "SHA512", mode[] = "EXPAND_ONLY";
    uint8_t info[105] = {0};
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_MODE, mode, 0),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, key, 32),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof info),
        OSSL_PARAM_END,
    };
    bool ok = ctx != NULL && EVP_KDF_derive(ctx, out, 76, params) == 1;

    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok;
}

/* Encrypt with a cipher that is fetched and set up for this message alone. */
static bool encrypt(const char *name, uint8_t *out, const uint8_t *in, size_t len, const uint8_t *key)
{
    static const uint8_t iv[12];
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool gcm = strstr(name, "GCM") != NULL, ok;
    uint8_t tag[16];
    int n = 0;

    if (ctx != NULL)
        EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    ok = cipher != NULL && ctx != NULL && EVP_EncryptInit_ex2(ctx, cipher, key, gcm ? iv : NULL, NULL) == 1 &&
         EVP_EncryptUpdate(ctx, out, &n, in, (int)len) == 1 && EVP_EncryptFinal_ex(ctx, out + n, &n) == 1 &&
         (!gcm || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, sizeof tag, tag) == 1);
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    return ok;
}

static void primitives(struct bench *b, const void *arg)
{
    static uint8_t content[CONTENT], out[CONTENT + 64];
    uint8_t random[116], keys[76];
    bool ok = true;

    (void)arg;
    while (ok && bench_next(b))
        ok = RAND_priv_bytes(random, sizeof random) == 1 && derive(keys, random) &&
             encrypt("AES-256-WRAP", out, random, 32, random + 32) &&
             encrypt("AES-256-GCM", out, content, ENVELOPE, random + 32) &&
             encrypt("AES-256-GCM", out, content, CONTENT, keys);
    if (!ok)
        bench_fail(b, "OpenSSL failed");
    else
        bench_items_each(b, 1);
}

void add_sets(void)
{
    static const bool seals = false, opens = true;

    bench_add(BENCH_CLOCK_CPU, blob_of_set, &seals, "set/seal/%d", CONTENT);
    bench_add(BENCH_CLOCK_CPU, blob_of_set, &opens, "set/open/%d", CONTENT);
    bench_add(BENCH_CLOCK_CPU, primitives, NULL, "set/primitives/%d", CONTENT);
}

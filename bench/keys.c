/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RSA: wrapping and unwrapping a data key with OAEP-256 by OpenSSL, including the setup of its context. This file also
 * makes the KEK with which other cases seal blobs.
 */
#define _GNU_SOURCE /* mkostemp */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <blobseal.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "bench/bench.h"

#define MAX_WRAPPED 512
#define KEK_BITS    3072

struct key_case {
    unsigned bits;
    bool unwrap;
    EVP_PKEY **key; /* generated when it is first needed */
};

static bool start(EVP_PKEY_CTX **ctx, EVP_PKEY *key, bool unwrap)
{
    *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    return *ctx != NULL && (unwrap ? EVP_PKEY_decrypt_init(*ctx) : EVP_PKEY_encrypt_init(*ctx)) == 1 &&
           EVP_PKEY_CTX_set_rsa_padding(*ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_oaep_md_name(*ctx, "SHA256", NULL) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md_name(*ctx, "SHA256", NULL) == 1;
}

static bool wrap(EVP_PKEY *key, uint8_t *out, size_t *len, const uint8_t secret[32])
{
    EVP_PKEY_CTX *ctx = NULL;
    bool ok;

    *len = MAX_WRAPPED;
    ok = start(&ctx, key, false) && EVP_PKEY_encrypt(ctx, out, len, secret, 32) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static bool unwrap(EVP_PKEY *key, const uint8_t *wrapped, size_t len)
{
    uint8_t secret[MAX_WRAPPED];
    size_t n = sizeof secret;
    EVP_PKEY_CTX *ctx = NULL;
    bool ok = start(&ctx, key, true) && EVP_PKEY_decrypt(ctx, secret, &n, wrapped, len) == 1 && n == 32;

    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static void key_operation(struct bench *b, const void *arg)
{
    const struct key_case *c = arg;
    uint8_t secret[32] = {7}, wrapped[MAX_WRAPPED], again[MAX_WRAPPED];
    size_t len, n;
    bool ok;

    if (*c->key == NULL)
        *c->key = EVP_RSA_gen(c->bits);
    ok = *c->key != NULL && wrap(*c->key, wrapped, &len, secret);
    while (ok && bench_next(b))
        ok = c->unwrap ? unwrap(*c->key, wrapped, len) : wrap(*c->key, again, &n, secret);
    if (!ok)
        bench_fail(b, "the operation failed");
    else
        bench_items_each(b, 1);
}

void add_keys(void)
{
    static const unsigned bits[] = {2048, 3072, 4096};
    static EVP_PKEY *keys[3]; /* kept until the program ends */
    static struct key_case cases[6];

    for (size_t i = 0; i < 6; i++) {
        cases[i] = (struct key_case){bits[i / 2], i % 2 != 0, &keys[i / 2]};
        bench_add(BENCH_CLOCK_CPU, key_operation, &cases[i], "rsa/%s/%u", cases[i].unwrap ? "unwrap" : "wrap",
                  cases[i].bits);
    }
}

/* ---- A key for blobs --------------------------------------------------------------------------------------------- */

/* Make a key and open it from a temporary file, because key references name files. */
static struct blobseal_kek *make_kek(void)
{
    char path[] = "/tmp/blobseal-bench.XXXXXX";
    struct blobseal_kek *kek = NULL;
    struct blobseal_keypair pair = {.size = sizeof pair};
    bool ok = blobseal_keygen_rsa(&pair, KEK_BITS, NULL, NULL) == BLOBSEAL_OK;
    int fd = ok ? mkostemp(path, 0) : -1;

    if (fd >= 0) {
        if (write(fd, pair.private_pem, pair.private_len) != (ssize_t)pair.private_len ||
            blobseal_kek_open(&kek, NULL, path, NULL, NULL) != BLOBSEAL_OK)
            kek = NULL;
        (void)close(fd);
        (void)unlink(path);
    }
    blobseal_keypair_clear(&pair);
    return kek;
}

struct blobseal_kek *bench_kek(void)
{
    static struct blobseal_kek *kek; /* kept until the program ends */

    if (kek == NULL)
        kek = make_kek();
    return kek;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4), computed by OpenSSL. */
#include <openssl/evp.h>

#include "core/base/base.h"

struct bs_sha256 bs_sha256_start(void)
{
    EVP_MD *md = bs_fetch_sha256();
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    struct bs_sha256 h = {ctx, md != NULL && ctx != NULL && EVP_DigestInit_ex2(ctx, md, NULL) == 1};

    EVP_MD_free(md); /* the context holds its own reference */
    return h;
}

void bs_sha256_add(struct bs_sha256 *h, const void *p, size_t len)
{
    h->ok = h->ok && EVP_DigestUpdate(h->ctx, p, len) == 1;
}

struct bs_sha256 bs_sha256_copy(const struct bs_sha256 *h)
{
    EVP_MD_CTX *ctx = h->ok ? EVP_MD_CTX_new() : NULL;

    return (struct bs_sha256){ctx, ctx != NULL && EVP_MD_CTX_copy_ex(ctx, h->ctx) == 1};
}

void bs_sha256_clear(struct bs_sha256 *h)
{
    EVP_MD_CTX_free(h->ctx);
    *h = (struct bs_sha256){NULL, false};
}

bool bs_sha256_end(struct bs_sha256 *h, uint8_t out[BS_SHA256_LEN])
{
    bool ok = h->ok && EVP_DigestFinal_ex(h->ctx, out, NULL) == 1;

    bs_sha256_clear(h);
    return ok;
}

bool bs_sha256(uint8_t out[BS_SHA256_LEN], const void *p, size_t len)
{
    struct bs_sha256 h = bs_sha256_start();

    bs_sha256_add(&h, p, len);
    return bs_sha256_end(&h, out);
}

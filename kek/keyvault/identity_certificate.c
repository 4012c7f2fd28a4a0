/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client certificate: the client signs a JWT (RFC 7519, RFC 7523) with its private key. PS256 (RFC 7518 section 3.5)
 * with the digest of the certificate in "x5t#S256" (RFC 7515 section 4.1.8).
 */
#include <stdio.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "kek/keyvault/identity.h"

#define MAX_JWT   4096
#define LIFE_S    600
#define SALT_LEN  32
#define MAX_BYTES 1024 /* of a signature */

/* A private key and the digest of its certificate. */
struct client {
    EVP_PKEY *key;
    uint8_t digest[BS_SHA256_LEN];
};

/* Answer a request for a passphrase: there is none. */
static int no_passphrase(char *buf, int size, int rwflag, void *ctx)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)ctx;
    return -1;
}

static bool digest_of(uint8_t out[BS_SHA256_LEN], struct bs_kv_text text)
{
    BIO *bio = BIO_new_mem_buf(text.p, (int)text.len);
    X509 *certificate = bio != NULL ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
    unsigned int len = 0;
    bool ok = certificate != NULL && X509_digest(certificate, EVP_sha256(), out, &len) == 1 && len == BS_SHA256_LEN;

    X509_free(certificate);
    (void)BIO_free(bio);
    return ok;
}

static enum blobseal_status load(struct client *c, const char *path, struct blobseal_error *err)
{
    struct bs_kv_text text;
    enum blobseal_status st = bs_kv_read_file(&text, path, false, err);
    BIO *bio;
    bool ok;

    if (st != BLOBSEAL_OK)
        return st;
    bio = BIO_new_mem_buf(text.p, (int)text.len);
    c->key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    (void)BIO_free(bio);
    ok = c->key != NULL && EVP_PKEY_get_base_id(c->key) == EVP_PKEY_RSA && digest_of(c->digest, text);
    blobseal_secret_free(text.p);
    ERR_clear_error();
    if (ok)
        return BLOBSEAL_OK;
    (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0,
                        "%.200s does not contain a certificate and its RSA private key, in PEM without a passphrase",
                        path);
    blobseal_hint(err, "put both into one file that only you can read");
    return BLOBSEAL_E_CONFIG;
}

static bool sign(EVP_PKEY *key, uint8_t out[MAX_BYTES], size_t *len, struct bs_slice in)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *options;
    bool ok = ctx != NULL && EVP_PKEY_get_size(key) <= MAX_BYTES &&
              EVP_DigestSignInit_ex(ctx, &options, "SHA256", NULL, NULL, key, NULL) == 1 &&
              EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1 &&
              EVP_PKEY_CTX_set_rsa_pss_saltlen(options, SALT_LEN) == 1;

    *len = MAX_BYTES;
    ok = ok && EVP_DigestSign(ctx, out, len, in.p, in.len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

/* Write a random UUID as the id of the JWT. */
static void put_id(struct bs_builder *w)
{
    uint8_t b[16] = {0};
    char text[40];

    (void)!blobseal_random(b, sizeof b, false);
    (void)snprintf(text, sizeof text, "%02x%02x%02x%02x-%02x%02x-4%x%02x-8%x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
                   b[2], b[3], b[4], b[5], b[6] & 15U, b[7], b[8] & 15U, b[9], b[10], b[11], b[12], b[13], b[14],
                   b[15]);
    bs_put_text(w, text);
}

/* Append a part of the JWT: its JSON in base64url. */
static void put_part(struct bs_builder *jwt, const struct bs_builder *json)
{
    jwt->ok = jwt->ok && json->ok;
    bs_put_base64url(jwt, json->p, json->len);
}

static void put_header(struct bs_builder *jwt, const struct client *c)
{
    uint8_t text[256];
    struct bs_builder w = bs_builder_start(text, sizeof text);

    bs_put_text(&w, "{\"alg\":\"PS256\",\"typ\":\"JWT\",\"x5t#S256\":\"");
    bs_put_base64url(&w, c->digest, sizeof c->digest);
    bs_put_text(&w, "\"}");
    put_part(jwt, &w);
}

static void put_claims(struct bs_builder *jwt, const char *client_id, const char *url)
{
    uint8_t text[MAX_JWT / 2];
    struct bs_builder w = bs_builder_start(text, sizeof text);
    long long now = (long long)time(NULL);
    char times[128];

    (void)snprintf(times, sizeof times, "\",\"nbf\":%lld,\"iat\":%lld,\"exp\":%lld}", now, now, now + LIFE_S);
    bs_put_text(&w, "{\"aud\":");
    bs_put_json_string(&w, url);
    bs_put_text(&w, ",\"iss\":");
    bs_put_json_string(&w, client_id);
    bs_put_text(&w, ",\"sub\":");
    bs_put_json_string(&w, client_id);
    bs_put_text(&w, ",\"jti\":\"");
    put_id(&w);
    bs_put_text(&w, times);
    put_part(jwt, &w);
}

/* Write the JWT, zero-terminated. */
static bool write_jwt(struct bs_builder *jwt, const struct client *c, const char *client_id, const char *url)
{
    uint8_t signature[MAX_BYTES];
    size_t len = 0;

    put_header(jwt, c);
    bs_put8(jwt, '.');
    put_claims(jwt, client_id, url);
    if (!jwt->ok || !sign(c->key, signature, &len, (struct bs_slice){jwt->p, jwt->len}))
        return false;
    bs_put8(jwt, '.');
    bs_put_base64url(jwt, signature, len);
    bs_put8(jwt, 0);
    return jwt->ok;
}

enum blobseal_status bs_kv_ask_certificate(const struct bs_kv_ask *ask, struct bs_kv_grant *grant,
                                           struct blobseal_error *err)
{
    struct bs_kv_proof_of_client proof = {.client_id = ask->identity.client_id};
    struct client c = {0};
    char url[512];
    uint8_t *text = NULL;
    struct bs_builder jwt;
    enum blobseal_status st = bs_kv_token_url(url, sizeof url, ask, err);

    if (st == BLOBSEAL_OK)
        st = load(&c, ask->identity.certificate_file, err);
    if (st == BLOBSEAL_OK)
        text = blobseal_secret_alloc(MAX_JWT);
    if (text != NULL) {
        jwt = bs_builder_start(text, MAX_JWT);
        if (!write_jwt(&jwt, &c, proof.client_id, url))
            st = bs_openssl_failed(err, "sign with the key of the certificate %.150s", ask->identity.certificate_file);
    } else if (st == BLOBSEAL_OK) {
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "get a token: no memory");
    }
    proof.assertion = (const char *)text;
    if (st == BLOBSEAL_OK)
        st = bs_kv_oauth(ask, &proof, grant, err);
    EVP_PKEY_free(c.key);
    blobseal_secret_free(text);
    return st;
}

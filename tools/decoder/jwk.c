/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RSA keys as JSON Web Keys (RFC 7517, RFC 7518 section 6.3). The JSON is parsed in memory for secrets. The numbers are
 * passed to OpenSSL, which checks that they belong together, so that none of them is used that does not fit.
 */
#include <string.h>

#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "tools/decoder/decoder.h"

/* Bytes of a number: 4096 bits, and the zero byte that some programs write in front. Primes have half of that: checking
 * larger ones would take seconds. */
#define MAX_NUMBER 513
#define MAX_PRIME  257

enum { N, E, D, P, Q, DP, DQ, QI, NUMBERS };

static const struct {
    const char *name, *param; /* in the JWK, and for OpenSSL */
    size_t max;               /* bytes                       */
} members[NUMBERS] = {
    {"n", OSSL_PKEY_PARAM_RSA_N, MAX_NUMBER},         {"e", OSSL_PKEY_PARAM_RSA_E, MAX_NUMBER},
    {"d", OSSL_PKEY_PARAM_RSA_D, MAX_NUMBER},         {"p", OSSL_PKEY_PARAM_RSA_FACTOR1, MAX_PRIME},
    {"q", OSSL_PKEY_PARAM_RSA_FACTOR2, MAX_PRIME},    {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1, MAX_PRIME},
    {"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2, MAX_PRIME}, {"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1, MAX_PRIME},
};

/* The numbers of a key, big-endian, in secret memory. */
struct numbers {
    size_t len[NUMBERS]; /* 0: not there */
    uint8_t bytes[NUMBERS][MAX_NUMBER];
};

static bool refuse(const struct key_text *k, const char *why, struct blobseal_error *err)
{
    return fail(err, BLOBSEAL_E_CONFIG, 0, "the key %s %s", k->name, why);
}

static bool no_memory(const struct key_text *k, struct blobseal_error *err)
{
    return fail(err, BLOBSEAL_E_NOMEM, 0, "read the key %s: no memory", k->name);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

/* Set when memory for jansson was refused. This program parses keys in one thread only. */
static bool memory_is_short;

static void *allocate(size_t len)
{
    void *p = blobseal_secret_alloc(len);

    memory_is_short = memory_is_short || p == NULL;
    return p;
}

/* Read the member for number @i. Return false if it is something else than a number of the accepted size. */
static bool read_number(struct numbers *v, size_t i, const json_t *jwk)
{
    const json_t *value = json_object_get(jwk, members[i].name);

    if (value == NULL)
        return true;
    return json_is_string(value) &&
           blobseal_base64url_decode(v->bytes[i], members[i].max, &v->len[i], json_string_value(value),
                                     json_string_length(value)) &&
           v->len[i] > 0;
}

/* Check what kind of key it is. */
static bool check_kind(const json_t *jwk, const struct key_text *k, struct blobseal_error *err)
{
    const char *kty = json_string_value(json_object_get(jwk, "kty"));

    if (kty == NULL)
        return refuse(k,
                      json_object_get(jwk, "keys") != NULL
                          ? "is a set of JSON Web Keys: give each key a file of its own"
                          : "is JSON, but not a JSON Web Key",
                      err);
    if (strcmp(kty, "RSA") != 0)
        return refuse(k,
                      strcmp(kty, "EC") == 0 ? "is an EC key, and an RSA key is needed"
                                             : "is not an RSA key, and an RSA key is needed",
                      err);
    return json_object_get(jwk, "oth") == NULL || refuse(k, "has more than two primes, which is not supported", err);
}

static bool read_members(struct numbers *v, const json_t *jwk, const struct key_text *k, struct blobseal_error *err)
{
    if (!check_kind(jwk, k, err))
        return false;
    for (size_t i = 0; i < NUMBERS; i++)
        if (!read_number(v, i, jwk))
            return fail(err, BLOBSEAL_E_CONFIG, 0,
                        "the key %s has a member %s that is not a number in base64url, or is too long", k->name,
                        members[i].name);
    if (v->len[N] == 0 || v->len[E] == 0)
        return refuse(k, "lacks one of the members n and e", err);
    if (v->len[D] != 0 && (v->len[P] == 0 || v->len[Q] == 0))
        return refuse(k, "lacks one of its primes, the members p and q", err);
    return true;
}

/* Parse the JSON. jansson's own message is not used, because it repeats a part of the text. */
static bool parse(struct numbers *v, const struct key_text *k, struct blobseal_error *err)
{
    json_malloc_t usual_malloc;
    json_free_t usual_free;
    json_t *jwk;
    bool ok;

    json_get_alloc_funcs(&usual_malloc, &usual_free);
    json_set_alloc_funcs(allocate, blobseal_secret_free);
    memory_is_short = false;
    jwk = json_loadb(k->text, k->len, JSON_REJECT_DUPLICATES, NULL);
    if (jwk != NULL)
        ok = read_members(v, jwk, k, err);
    else if (memory_is_short)
        ok = no_memory(k, err);
    else
        ok = refuse(k, "is not well-formed JSON, or has a member twice", err);
    json_decref(jwk);
    json_set_alloc_funcs(usual_malloc, usual_free);
    return ok;
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

static BIGNUM *get(BN_CTX *ctx, const struct numbers *v, size_t i)
{
    BIGNUM *n = BN_CTX_get(ctx);

    if (n != NULL && BN_bin2bn(v->bytes[i], (int)v->len[i], n) != NULL)
        BN_set_flags(n, BN_FLG_CONSTTIME);
    return n;
}

static bool put(struct numbers *v, size_t i, const BIGNUM *n)
{
    v->len[i] = members[i].max;
    return BN_bn2binpad(n, v->bytes[i], (int)v->len[i]) >= 0;
}

/* Compute the numbers after the primes if one of them is missing, because OpenSSL takes all of them or none. */
static bool complete(struct numbers *v)
{
    BN_CTX *ctx;
    BIGNUM *d, *p, *q, *one_less, *result;
    bool ok;

    if (v->len[DP] != 0 && v->len[DQ] != 0 && v->len[QI] != 0)
        return true;
    ctx = BN_CTX_secure_new();
    if (ctx == NULL)
        return false;
    BN_CTX_start(ctx);
    d = get(ctx, v, D);
    p = get(ctx, v, P);
    q = get(ctx, v, Q);
    one_less = BN_CTX_get(ctx);
    result = BN_CTX_get(ctx);
    ok = result != NULL && BN_sub(one_less, p, BN_value_one()) == 1 && BN_mod(result, d, one_less, ctx) == 1 &&
         put(v, DP, result) && BN_sub(one_less, q, BN_value_one()) == 1 && BN_mod(result, d, one_less, ctx) == 1 &&
         put(v, DQ, result) && BN_mod_inverse(result, q, p, ctx) != NULL && put(v, QI, result);
    BN_CTX_end(ctx);
    BN_CTX_free(ctx);
    return ok;
}

/* Turn a number into the order of bytes of this machine, as OpenSSL's parameters have it. */
static void make_native(uint8_t *bytes, size_t len)
{
    for (size_t i = 0; __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && i < len / 2; i++) {
        uint8_t b = bytes[i];

        bytes[i] = bytes[len - 1 - i];
        bytes[len - 1 - i] = b;
    }
}

/* Make the key of the numbers, which are changed. Return NULL if OpenSSL cannot. */
static EVP_PKEY *make(struct numbers *v)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM params[NUMBERS + 1];
    EVP_PKEY *key = NULL;

    for (size_t i = 0; i < NUMBERS; i++) {
        make_native(v->bytes[i], v->len[i]);
        params[i] = OSSL_PARAM_construct_BN(members[i].param, v->bytes[i], v->len[i]);
    }
    params[NUMBERS] = OSSL_PARAM_construct_end();
    if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* Return true if the numbers of a key belong together: the product of the primes, both exponents, the coefficient. */
static bool is_consistent(EVP_PKEY *key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool ok = ctx != NULL && EVP_PKEY_pairwise_check(ctx) == 1;

    EVP_PKEY_CTX_free(ctx);
    return ok;
}

/* Return true if OpenSSL's error queue has a lack of memory. Empties it. */
static bool memory_was_short(void)
{
    unsigned long e;
    bool found = false;

    while ((e = ERR_get_error()) != 0)
        found = found || ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE;
    return found;
}

bool jwk_read(EVP_PKEY **key, const struct key_text *k, struct blobseal_error *err)
{
    struct numbers *v = blobseal_secret_alloc(sizeof *v);
    bool ok;

    *key = NULL;
    if (v == NULL)
        return no_memory(k, err);
    memset(v, 0, sizeof *v);
    ok = parse(v, k, err);
    if (ok && v->len[D] != 0) {
        ERR_clear_error();
        if (complete(v))
            *key = make(v);
        if (*key == NULL || !is_consistent(*key)) {
            EVP_PKEY_free(*key);
            *key = NULL;
            ok = memory_was_short() ? no_memory(k, err)
                                    : refuse(k, "is damaged: its numbers do not belong together", err);
        }
    }
    blobseal_secret_free(v);
    return ok;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The public half of a key: from the public object, the private object, or a certificate. */
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

#include "core/base/base.h"
#include "kek/pkcs11/pkcs11.h"

#define MAX_CERTIFICATE 65536

#define TRIES 2 /* memory may be short for a moment, and OpenSSL does not report why it fails */

/* The search for the public half. */
struct reading {
    CK_FUNCTION_LIST *f;
    CK_SESSION_HANDLE s;
    EVP_PKEY *key;  /* NULL: not found yet */
    bool no_memory; /* an object could not be read for lack of memory */
};

/* Note that reading an object has failed with @rv, or inside OpenSSL for CKR_OK. */
static void note_failure(struct reading *r, CK_RV rv)
{
    if (rv == CKR_HOST_MEMORY || (rv == CKR_OK && bs_memory_is_exhausted()))
        r->no_memory = true;
}

/* Make an RSA public key of its numbers, which are big-endian. Return NULL if that fails. */
static EVP_PKEY *make_rsa(const CK_ATTRIBUTE *n, const CK_ATTRIBUTE *e)
{
    BIGNUM *bn = BN_bin2bn(n->pValue, (int)n->ulValueLen, NULL), *be = BN_bin2bn(e->pValue, (int)e->ulValueLen, NULL);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    EVP_PKEY *key = NULL;

    if (bn != NULL && be != NULL && ctx != NULL && build != NULL &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, bn) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, be) == 1)
        params = OSSL_PARAM_BLD_to_param(build);
    if (params == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    if (key != NULL && EVP_PKEY_get_bits(key) != BN_num_bits(bn)) { /* without memory OpenSSL may make an empty key */
        EVP_PKEY_free(key);
        key = NULL;
    }
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    BN_free(bn);
    BN_free(be);
    ERR_clear_error();
    return key;
}

/* Read the numbers of an RSA key from a public or private object. */
static void from_object(struct reading *r, CK_OBJECT_HANDLE object)
{
    uint8_t modulus[1024], exponent[1024];
    CK_ATTRIBUTE a[2] = {{CKA_MODULUS, modulus, sizeof modulus}, {CKA_PUBLIC_EXPONENT, exponent, sizeof exponent}};
    CK_RV rv;

    if (object == 0 || r->key != NULL)
        return;
    rv = r->f->C_GetAttributeValue(r->s, object, a, 2);
    if (rv == CKR_OK && (a[0].ulValueLen == 0 || a[0].ulValueLen > sizeof modulus || a[1].ulValueLen == 0 ||
                         a[1].ulValueLen > sizeof exponent))
        return;
    for (int i = 0; i < TRIES && rv == CKR_OK && r->key == NULL; i++)
        r->key = make_rsa(&a[0], &a[1]);
    if (r->key == NULL)
        note_failure(r, rv);
}

/* Return the key of a certificate, or NULL if that fails. */
static EVP_PKEY *decode(const uint8_t *der, CK_ULONG len)
{
    X509 *cert = d2i_X509(NULL, &der, (long)len);
    EVP_PKEY *key = cert != NULL ? X509_get_pubkey(cert) : NULL;

    X509_free(cert);
    ERR_clear_error();
    return key;
}

static void from_certificate(struct reading *r, CK_OBJECT_HANDLE object)
{
    CK_ATTRIBUTE a = {CKA_VALUE, NULL, 0};
    CK_RV rv;

    if (object == 0 || r->key != NULL)
        return;
    rv = r->f->C_GetAttributeValue(r->s, object, &a, 1);
    if (rv == CKR_OK && (a.ulValueLen == 0 || a.ulValueLen > MAX_CERTIFICATE))
        return;
    a.pValue = rv == CKR_OK ? malloc(a.ulValueLen) : NULL;
    if (rv == CKR_OK)
        rv = a.pValue != NULL ? r->f->C_GetAttributeValue(r->s, object, &a, 1) : CKR_HOST_MEMORY;
    for (int i = 0; i < TRIES && rv == CKR_OK && a.ulValueLen <= MAX_CERTIFICATE && r->key == NULL; i++)
        r->key = decode(a.pValue, a.ulValueLen);
    free(a.pValue);
    if (r->key == NULL)
        note_failure(r, rv);
}

/* Find the object of @class with the id of the key, which need not have its label. */
static CK_OBJECT_HANDLE with_same_id(struct reading *r, const struct bs_p11_found *k, CK_OBJECT_CLASS class)
{
    CK_ATTRIBUTE template[2] = {{CKA_CLASS, &class, sizeof class}, {CKA_ID, (void *)k->id, k->id_len}};
    struct bs_p11_objects objects;
    CK_RV rv;

    if (k->id_len == 0 || r->key != NULL)
        return 0;
    rv = bs_p11_find_objects(&objects, r->f, r->s, template, 2);
    if (rv != CKR_OK)
        note_failure(r, rv);
    return rv == CKR_OK && objects.num > 0 ? objects.list[0] : 0;
}

enum blobseal_status bs_p11_public_half(EVP_PKEY **key, const struct bs_p11_found *found, CK_SESSION_HANDLE s,
                                        struct blobseal_error *err)
{
    struct reading r = {.f = found->slot.f, .s = s};

    from_object(&r, found->public_key);
    from_object(&r, found->private_key);
    from_certificate(&r, found->certificate);
    from_object(&r, with_same_id(&r, found, CKO_PUBLIC_KEY));
    from_certificate(&r, with_same_id(&r, found, CKO_CERTIFICATE));
    *key = r.key;
    if (r.key == NULL && r.no_memory)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the public half of a key in a token: no memory");
    return BLOBSEAL_OK;
}

enum blobseal_status bs_p11_check_public(EVP_PKEY *key, const char *name, struct blobseal_error *err)
{
    uint8_t exponent[BS_P11_MAX_MODULUS];
    enum blobseal_status st;
    bool is_rsa = EVP_PKEY_is_a(key, "RSA") == 1;
    BIGNUM *e = NULL;

    if (!is_rsa) /* memory may have been short for a moment */
        is_rsa = EVP_PKEY_is_a(key, "RSA") == 1;
    if (!is_rsa && bs_memory_is_exhausted())
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "the key %.150s: no memory", name);
    if (!is_rsa) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the key %.150s: it is not an RSA key, which is needed", name);
        blobseal_advise(err, BLOBSEAL_ADVICE_RSA_KEY, NULL, "generate or choose an RSA key of 2048, 3072 or 4096 bits");
        return BLOBSEAL_E_CONFIG;
    }
    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) != 1 || BN_num_bytes(e) > (int)sizeof exponent)
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "the key %.150s: no memory", name);
    else
        st = bs_rsa_check((unsigned)EVP_PKEY_get_bits(key), (struct bs_slice){exponent, (size_t)BN_bn2bin(e, exponent)},
                          name, err);
    BN_free(e);
    ERR_clear_error();
    return st;
}

bool bs_p11_flag(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                 bool otherwise)
{
    CK_BBOOL value = CK_FALSE;
    CK_ATTRIBUTE a = {type, &value, sizeof value};

    if (f->C_GetAttributeValue(s, object, &a, 1) != CKR_OK || a.ulValueLen != sizeof value)
        return otherwise;
    return value != CK_FALSE;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The public half of a key: from the public object, the private object, or a certificate. */
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

#include "kek/pkcs11/pkcs11.h"

#define MAX_CERTIFICATE 65536

/* Make an RSA public key of its numbers, which are big-endian. Return NULL if there is no memory. */
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
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    BN_free(bn);
    BN_free(be);
    ERR_clear_error();
    return key;
}

/* Read the numbers of an RSA key from a public or private object. */
static EVP_PKEY *from_object(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object)
{
    uint8_t modulus[1024], exponent[1024];
    CK_ATTRIBUTE a[2] = {{CKA_MODULUS, modulus, sizeof modulus}, {CKA_PUBLIC_EXPONENT, exponent, sizeof exponent}};

    if (object == 0 || f->C_GetAttributeValue(s, object, a, 2) != CKR_OK || a[0].ulValueLen == 0 ||
        a[0].ulValueLen > sizeof modulus || a[1].ulValueLen == 0 || a[1].ulValueLen > sizeof exponent)
        return NULL;
    return make_rsa(&a[0], &a[1]);
}

static EVP_PKEY *from_certificate(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object)
{
    CK_ATTRIBUTE a = {CKA_VALUE, NULL, 0};
    const unsigned char *p;
    EVP_PKEY *key = NULL;
    X509 *cert = NULL;

    if (object == 0 || f->C_GetAttributeValue(s, object, &a, 1) != CKR_OK || a.ulValueLen == 0 ||
        a.ulValueLen > MAX_CERTIFICATE)
        return NULL;
    a.pValue = malloc(a.ulValueLen);
    if (a.pValue != NULL && f->C_GetAttributeValue(s, object, &a, 1) == CKR_OK && a.ulValueLen <= MAX_CERTIFICATE) {
        p = a.pValue;
        cert = d2i_X509(NULL, &p, (long)a.ulValueLen);
    }
    if (cert != NULL)
        key = X509_get_pubkey(cert);
    X509_free(cert);
    free(a.pValue);
    ERR_clear_error();
    return key;
}

/* Find the object of @class with the id of the key, which need not have its label. */
static CK_OBJECT_HANDLE with_same_id(const struct bs_p11_found *k, CK_SESSION_HANDLE s, CK_OBJECT_CLASS class)
{
    CK_ATTRIBUTE template[2] = {{CKA_CLASS, &class, sizeof class}, {CKA_ID, (void *)k->id, k->id_len}};
    struct bs_p11_objects objects;

    if (k->id_len == 0 || bs_p11_find_objects(&objects, k->slot.f, s, template, 2) != CKR_OK || objects.num == 0)
        return 0;
    return objects.list[0];
}

EVP_PKEY *bs_p11_public_half(const struct bs_p11_found *found, CK_SESSION_HANDLE s)
{
    CK_FUNCTION_LIST *f = found->slot.f;
    EVP_PKEY *key = from_object(f, s, found->public_key);

    if (key == NULL)
        key = from_object(f, s, found->private_key);
    if (key == NULL)
        key = from_certificate(f, s, found->certificate);
    if (key == NULL)
        key = from_object(f, s, with_same_id(found, s, CKO_PUBLIC_KEY));
    if (key == NULL)
        key = from_certificate(f, s, with_same_id(found, s, CKO_CERTIFICATE));
    return key;
}

enum blobseal_status bs_p11_check_public(EVP_PKEY *key, const char *name, struct blobseal_error *err)
{
    uint8_t exponent[BS_P11_MAX_MODULUS];
    enum blobseal_status st;
    BIGNUM *e = NULL;

    if (!EVP_PKEY_is_a(key, "RSA")) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "use the key %.150s: it is not an RSA key, which is needed",
                            name);
        blobseal_advise(err, BLOBSEAL_ADVICE_RSA_KEY, NULL, "generate or choose an RSA key of 2048, 3072 or 4096 bits");
        return BLOBSEAL_E_CONFIG;
    }
    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) != 1 || BN_num_bytes(e) > (int)sizeof exponent)
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "use the key %.150s: no memory", name);
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

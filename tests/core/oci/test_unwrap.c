/* SPDX-License-Identifier: Apache-2.0 */
/* Layers that stock tools have encrypted: the exact keys, and a clear answer for recipients of other kinds. */
#include "tests/core/oci/keys.h"

SUITE(unwrap);

static struct blobseal_error err;

static enum blobseal_status unwrap(struct blobseal_oci_layer **layer, const struct annotations *a,
                                   struct blobseal_kek *kek)
{
    memset(&err, 0, sizeof err);
    return blobseal_oci_unwrap(layer, a->list, a->num, &kek, 1, NULL, &err);
}

/* Unwrap with one key, and return the status. */
static enum blobseal_status outcome(const struct annotations *a, const char *key)
{
    struct blobseal_kek *kek = vector_key(key);
    struct blobseal_oci_layer *layer;
    enum blobseal_status st = unwrap(&layer, a, kek);

    cr_assert_eq(layer == NULL, st != BLOBSEAL_OK);
    blobseal_oci_layer_free(layer);
    blobseal_kek_close(kek);
    return st;
}

static void check_hex(const json_t *object, const char *name, const uint8_t *p, size_t len)
{
    struct vec_bytes expected = vec_member(object, name);

    cr_assert_eq(expected.len, len);
    cr_assert_eq(memcmp(expected.p, p, len), 0, "%s differs", name);
    free(expected.p);
}

Test(unwrap, gives_the_exact_keys_of_the_layers_of_skopeo)
{
    json_t *expected = vec_json("ocicrypt/enc-jwe-rsa.expected.json");
    json_t *manifest = vec_json("ocicrypt/enc-jwe-rsa/manifest.json"), *layers = vec_list(manifest, "layers");
    struct blobseal_kek *kek = vector_key("priv.pem");

    cr_assert_eq(json_array_size(layers), 2);
    for (size_t i = 0; i < json_array_size(layers); i++) {
        struct annotations a = annotations_of(json_array_get(layers, i));
        const json_t *e = json_array_get(expected, i);
        struct blobseal_oci_layer *layer;

        cr_assert_eq(unwrap(&layer, &a, kek), BLOBSEAL_OK, "%s", err.text);
        check_hex(e, "dek", layer->key.dek, sizeof layer->key.dek);
        check_hex(e, "nonce", layer->key.nonce, sizeof layer->key.nonce);
        check_hex(e, "hmac", layer->key.hmac, sizeof layer->key.hmac);
        cr_assert_str_eq(layer->key.digest, vec_text(e, "plain_digest"));
        blobseal_oci_layer_free(layer);
    }
    blobseal_kek_close(kek);
    json_decref(expected);
    json_decref(manifest);
}

Test(unwrap, each_rsa_recipient_of_three_gets_the_same_key)
{
    json_t *file = vec_json("ocicrypt/jwe-multi-recipient.json");
    struct annotations a = annotations_of(json_object_get(file, "layer_descriptor"));
    struct blobseal_kek *first = vector_key("priv.pem"), *second = vector_key("priv2.pem");
    struct blobseal_oci_layer *one, *two;

    cr_assert_eq(unwrap(&one, &a, first), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(unwrap(&two, &a, second), BLOBSEAL_OK, "%s", err.text);
    cr_assert(same_keys(one, two));
    blobseal_oci_layer_free(one);
    blobseal_oci_layer_free(two);
    cr_assert_eq(outcome(&a, "priv4096.pem"), BLOBSEAL_E_UNSUPPORTED, "%s", err.text);
    cr_assert(strstr(err.text, "ECDH-ES+A256KW") != NULL, "%s", err.text);
    blobseal_kek_close(first);
    blobseal_kek_close(second);
    json_decref(file);
}

Test(unwrap, other_kinds_of_recipients_are_named)
{
    json_t *ec = vec_json("ocicrypt/jwe-ec-p256.json");
    json_t *pkcs7 = vec_json("ocicrypt/blobs-pkcs/pkcs7-skopeo1.18.layer.json");
    struct annotations a = annotations_of(json_object_get(ec, "layer_descriptor"));

    cr_assert_eq(outcome(&a, "priv.pem"), BLOBSEAL_E_UNSUPPORTED);
    cr_assert(strstr(err.text, "jwe (ECDH-ES+A256KW (elliptic curves))") != NULL, "%s", err.text);
    a = annotations_of(pkcs7);
    cr_assert_eq(outcome(&a, "priv.pem"), BLOBSEAL_E_UNSUPPORTED);
    cr_assert(strstr(err.text, "pkcs7") != NULL, "%s", err.text);
    a.list[0].key = BS_OCI_KEYS_PREFIX "pgp";
    cr_assert_eq(outcome(&a, "priv.pem"), BLOBSEAL_E_UNSUPPORTED);
    cr_assert(strstr(err.text, "pgp") != NULL, "%s", err.text);
    a.list[0].key = BS_OCI_KEYS_PREFIX "provider.attestation-agent";
    cr_assert_eq(outcome(&a, "priv.pem"), BLOBSEAL_E_UNSUPPORTED);
    cr_assert(strstr(err.text, "provider.attestation-agent") != NULL, "%s", err.text);
    json_decref(ec);
    json_decref(pkcs7);
}

Test(unwrap, another_key_is_not_authentic_for_a_recipient_without_a_name)
{
    json_t *manifest = vec_json("ocicrypt/enc-jwe-rsa/manifest.json");
    struct annotations a = annotations_of(json_array_get(vec_list(manifest, "layers"), 0));

    cr_assert_eq(outcome(&a, "priv2.pem"), BLOBSEAL_E_AUTH);
    cr_assert_eq(outcome(&a, "priv4096.pem"), BLOBSEAL_E_NO_KEY);
    cr_assert_eq(outcome(&a, "pub.pem"), BLOBSEAL_E_NO_KEY);
    json_decref(manifest);
}

/* ---- What is refused or skipped in the annotations themselves ---------------------------------------------------- */

/* Change the value of the annotation that ends in @end, and return the status of unwrapping with the right key. */
static enum blobseal_status with_value(const char *end, const char *value)
{
    json_t *manifest = vec_json("ocicrypt/enc-jwe-rsa/manifest.json");
    struct annotations a = annotations_of(json_array_get(vec_list(manifest, "layers"), 0));
    enum blobseal_status st;

    for (size_t i = 0; i < a.num; i++)
        if (strstr(a.list[i].key, end) != NULL)
            a.list[i].value = value;
    st = outcome(&a, "priv.pem");
    json_decref(manifest);
    return st;
}

static enum blobseal_status with_public_options(const char *json)
{
    uint8_t buf[1024];
    struct bs_builder w = bs_builder_start(buf, sizeof buf - 1);

    bs_put_base64(&w, json, strlen(json));
    cr_assert(w.ok);
    buf[w.len] = '\0';
    return with_value("pubopts", (const char *)buf);
}

#define HMAC "\"EI+lST+eDge7LxNzrFPzB5SgBFZRVbsJgx+dayhyLwo=\""

Test(unwrap, a_public_nonce_must_be_the_private_one)
{
#define WITH_NONCE(nonce)                                                                                              \
    "{\"cipher\":\"AES_256_CTR_HMAC_SHA256\",\"hmac\":" HMAC ",\"cipheroptions\":{\"nonce\":\"" nonce "\"}}"
    cr_assert_eq(with_public_options(WITH_NONCE("sUqeg3jojM9ybEslUpoojg==")), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(with_public_options(WITH_NONCE("tUqeg3jojM9ybEslUpoojg==")), BLOBSEAL_E_FORMAT);
    cr_assert_eq(with_public_options(WITH_NONCE("sUqeg3jojM9ybEslUpoo")), BLOBSEAL_E_FORMAT); /* 15 bytes */
    cr_assert_eq(with_public_options(WITH_NONCE("")), BLOBSEAL_E_FORMAT);
}

Test(unwrap, public_options_that_mean_something_else_are_refused)
{
    cr_assert_eq(with_public_options("{\"cipher\":\"AES_128_CTR\",\"hmac\":" HMAC "}"), BLOBSEAL_E_UNSUPPORTED);
    cr_assert_eq(with_public_options("{\"cipher\":\"BLOBSEAL_V1\",\"hmac\":\"\"}"), BLOBSEAL_E_UNSUPPORTED);
    cr_assert_eq(with_public_options("{\"cipher\":\"AES_256_CTR_HMAC_SHA256\"}"), BLOBSEAL_E_FORMAT);
    cr_assert_eq(with_public_options("{\"cipher\":\"AES_256_CTR_HMAC_SHA256\",\"hmac\":null}"), BLOBSEAL_E_FORMAT);
    cr_assert_eq(with_public_options("{\"hmac\":" HMAC "}"), BLOBSEAL_E_FORMAT);
    cr_assert_eq(with_public_options("{\"cipher\":\"AES_256_CTR_HMAC_SHA256\",\"hmac\":" HMAC ",\"hmac\":" HMAC "}"),
                 BLOBSEAL_E_FORMAT);
    cr_assert_eq(with_public_options("[]"), BLOBSEAL_E_FORMAT);
    cr_assert_eq(with_value("pubopts", ""), BLOBSEAL_E_FORMAT);
    cr_assert_eq(with_value("pubopts", "e30"), BLOBSEAL_E_FORMAT); /* no padding */
    cr_assert_eq(with_public_options("{\"cipher\":\"AES_256_CTR_HMAC_SHA256\",\"hmac\":" HMAC
                                     ",\"cipheroptions\":null,\"later\":[true,-1.5e3,null,{\"a\":{}}]}"),
                 BLOBSEAL_OK, "%s", err.text);
}

Test(unwrap, an_element_that_is_garbage_is_skipped)
{
    json_t *manifest = vec_json("ocicrypt/enc-jwe-rsa/manifest.json");
    const struct annotations a = annotations_of(json_array_get(vec_list(manifest, "layers"), 0));
    const char *jwe = strstr(a.list[0].key, "jwe") != NULL ? a.list[0].value : a.list[1].value;
    size_t cap = strlen(jwe) + 100;
    char *text = malloc(cap);

    (void)snprintf(text, cap, "Z2FyYmFnZQ==,***,,%s", jwe);
    cr_assert_eq(with_value("keys.jwe", text), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(with_value("keys.jwe", "Z2FyYmFnZQ=="), BLOBSEAL_E_FORMAT);
    cr_assert_eq(with_value("keys.jwe", "***"), BLOBSEAL_E_FORMAT);
    cr_assert_eq(with_value("keys.jwe", ""), BLOBSEAL_E_FORMAT);
    free(text);
    json_decref(manifest);
}

Test(unwrap, an_annotation_that_appears_twice_is_refused)
{
    json_t *manifest = vec_json("ocicrypt/enc-jwe-rsa/manifest.json");
    struct annotations a = annotations_of(json_array_get(vec_list(manifest, "layers"), 0));

    a.list[a.num] = a.list[0];
    a.num++;
    cr_assert_eq(outcome(&a, "priv.pem"), BLOBSEAL_E_FORMAT);
    json_decref(manifest);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What blobseal_oci_wrap() writes, and that it is unwrapped again. */
#include "tests/core/oci/keys.h"

SUITE(wrap);

static struct blobseal_error err;

static struct blobseal_oci_annotations *wrap(const struct blobseal_oci_layer *layer, struct blobseal_kek *const *keks,
                                             size_t num, bool provider)
{
    const struct blobseal_oci_wrap_options o = {.size = sizeof o, .provider = provider};
    struct blobseal_oci_annotations *list;

    cr_assert_eq(blobseal_oci_wrap(layer, keks, num, &o, &list, &err), BLOBSEAL_OK, "%s", err.text);
    return list;
}

static void check_unwrap(const struct blobseal_oci_layer *layer, const struct blobseal_oci_annotations *list,
                         const char *name)
{
    struct blobseal_kek *kek = vector_key(name);
    struct blobseal_oci_layer *again;

    cr_assert_eq(blobseal_oci_unwrap(&again, list->list, list->num, &kek, 1, NULL, &err), BLOBSEAL_OK, "%s: %s", name,
                 err.text);
    cr_assert(same_keys(layer, again));
    blobseal_oci_layer_free(again);
    blobseal_kek_close(kek);
}

/* Decode the only element of an annotation, as text. */
static char *decoded(const struct blobseal_oci_annotations *list, const char *key)
{
    char *text = strdup(annotation(list, key));
    size_t len = strlen(text);

    cr_assert(bs_base64_decode((uint8_t *)text, &len));
    text[len] = '\0';
    return text;
}

static json_t *parsed(const struct blobseal_oci_annotations *list, const char *key)
{
    char *text = decoded(list, key);
    json_t *json = json_loads(text, 0, NULL);

    cr_assert(json != NULL, "%s", text);
    free(text);
    return json;
}

Test(wrap, one_recipient_gets_a_flattened_jwe_with_its_name)
{
    struct blobseal_kek *kek = vector_key("pub.pem");
    struct blobseal_oci_layer *layer = encrypted_layer();
    struct blobseal_oci_annotations *list = wrap(layer, &kek, 1, false);
    json_t *jwe = parsed(list, BS_OCI_KEYS_PREFIX "jwe");
    char *public = decoded(list, BS_OCI_PUBOPTS);

    cr_assert_eq(list->num, 2);
    cr_assert_str_eq(vec_text(jwe, "protected"), "eyJlbmMiOiJBMjU2R0NNIn0"); /* {"enc":"A256GCM"} */
    cr_assert_str_eq(vec_text(json_object_get(jwe, "header"), "kid"), blobseal_kek_kid(kek));
    cr_assert_str_eq(vec_text(json_object_get(jwe, "header"), "alg"), "RSA-OAEP-256");
    cr_assert_str_eq(public, "{\"cipher\":\"AES_256_CTR_HMAC_SHA256\",\"hmac\":"
                             "\"WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo=\",\"cipheroptions\":{}}");
    check_unwrap(layer, list, "priv.pem");
    free(public);
    json_decref(jwe);
    blobseal_oci_annotations_free(list);
    blobseal_oci_layer_free(layer);
    blobseal_kek_close(kek);
}

Test(wrap, many_recipients_share_one_jwe)
{
    struct blobseal_kek *keks[] = {vector_key("pub.pem"), vector_key("pub2.pem"), vector_key("pub4096.pem")};
    struct blobseal_oci_layer *layer = encrypted_layer();
    struct blobseal_oci_annotations *list = wrap(layer, keks, 3, true);
    json_t *jwe = parsed(list, BS_OCI_KEYS_PREFIX "jwe"), *ours = parsed(list, BS_OCI_KEYS_PREFIX "provider.blobseal");

    cr_assert_eq(list->num, 3);
    cr_assert_eq(json_array_size(vec_list(jwe, "recipients")), 3);
    cr_assert_eq(json_array_size(vec_list(ours, "recipients")), 3);
    check_unwrap(layer, list, "priv.pem");
    check_unwrap(layer, list, "priv2.pem");
    check_unwrap(layer, list, "priv4096.pem");
    for (size_t i = 0; i < 3; i++)
        blobseal_kek_close(keks[i]);
    json_decref(jwe);
    json_decref(ours);
    blobseal_oci_annotations_free(list);
    blobseal_oci_layer_free(layer);
}

/* Unwrap with nothing but the annotation of this library. */
Test(wrap, our_annotation_opens_alone)
{
    struct blobseal_kek *kek = vector_key("pub.pem");
    struct blobseal_oci_layer *layer = encrypted_layer();
    struct blobseal_oci_annotations *list = wrap(layer, &kek, 1, true);
    const struct blobseal_oci_annotation only[] = {
        {BS_OCI_PUBOPTS, annotation(list, BS_OCI_PUBOPTS)},
        {BS_OCI_KEYS_PREFIX "provider.blobseal", annotation(list, BS_OCI_KEYS_PREFIX "provider.blobseal")}};
    const struct blobseal_oci_annotations some = {2, only};

    check_unwrap(layer, &some, "priv.pem");
    blobseal_oci_annotations_free(list);
    blobseal_oci_layer_free(layer);
    blobseal_kek_close(kek);
}

Test(wrap, what_cannot_be_written_is_refused)
{
    struct blobseal_kek *keks[] = {vector_key("pub.pem"), vector_key("priv.pem")};
    struct blobseal_oci_layer *layer = encrypted_layer();
    struct blobseal_oci_annotations *list;

    cr_assert_eq(blobseal_oci_wrap(layer, keks, 2, NULL, &list, &err), BLOBSEAL_E_ARG); /* the same key twice */
    cr_assert_eq(blobseal_oci_wrap(layer, keks, 0, NULL, &list, &err), BLOBSEAL_E_ARG);
    layer->key.has_hmac = false;
    cr_assert_eq(blobseal_oci_wrap(layer, keks, 1, NULL, &list, &err), BLOBSEAL_E_ARG);
    blobseal_kek_close(keks[0]);
    blobseal_kek_close(keks[1]);
    blobseal_oci_layer_free(layer);
}

Test(wrap, the_envelope_of_a_chunked_layer_comes_back)
{
    static const char envelope[] = "{\"an\":\"envelope\"}";
    struct blobseal_oci_annotations *list;
    char *again, *public;
    size_t len;

    cr_assert_eq(blobseal_oci_chunked_annotations(envelope, strlen(envelope), &list, &err), BLOBSEAL_OK);
    public = decoded(list, BS_OCI_PUBOPTS);
    cr_assert_str_eq(public, "{\"cipher\":\"BLOBSEAL_V1\",\"hmac\":\"\",\"cipheroptions\":{}}");
    cr_assert_eq(blobseal_oci_envelope(list->list, list->num, &again, &len, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_str_eq(again, envelope);
    free(again);
    cr_assert_eq(blobseal_oci_envelope(list->list, 1, &again, &len, &err), BLOBSEAL_E_FORMAT);
    cr_assert_eq(again, NULL);
    free(public);
    blobseal_oci_annotations_free(list);
}

Test(wrap, recipients_are_listed_without_a_key)
{
    json_t *file = vec_json("ocicrypt/jwe-multi-recipient.json");
    struct annotations a = annotations_of(json_object_get(file, "layer_descriptor"));
    struct blobseal_oci_recipients *list;

    a.list[a.num++] = (struct blobseal_oci_annotation){BS_OCI_KEYS_PREFIX "pgp", "AAAA"};
    a.list[a.num++] = (struct blobseal_oci_annotation){"org.example", "x"};
    cr_assert_eq(blobseal_oci_recipients(a.list, a.num, &list, &err), BLOBSEAL_OK);
    cr_assert_eq(list->num, 4);
    cr_assert(list->has_cipher && !list->chunked);
    cr_assert_str_eq(list->list[0].scheme, "jwe");
    cr_assert_str_eq(list->list[0].alg, "RSA-OAEP");
    cr_assert(list->list[0].kid == NULL && list->list[0].supported);
    cr_assert_str_eq(list->list[1].alg, "ECDH-ES+A256KW");
    cr_assert(!list->list[1].supported && list->list[2].supported);
    cr_assert_str_eq(list->list[3].scheme, "pgp");
    cr_assert(!list->list[3].supported && !list->list[3].malformed);
    blobseal_oci_recipients_free(list);
    json_decref(file);
}

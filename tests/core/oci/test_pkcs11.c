/* SPDX-License-Identifier: Apache-2.0 */
/* The annotation `pkcs11`: what stock tools wrote gives the exact values, and what this library writes comes back. */
#include "tests/core/oci/keys.h"

SUITE(oci_pkcs11);

static struct blobseal_error err;

/* Unwrap a layer that has only the annotation pkcs11. */
static enum blobseal_status unwrap(struct blobseal_oci_layer **layer, const void *text, size_t len, const char *name)
{
    const uint8_t hmac[BS_OCI_HMAC_LEN] = {0};
    struct blobseal_kek *kek = vector_key(name);
    struct bs_oci_output out = {0};
    struct blobseal_oci_annotations *list;
    enum blobseal_status st;

    bs_oci_output_public(&out, hmac);
    bs_oci_output_bytes(&out, BS_OCI_KEYS_PREFIX "pkcs11", (struct bs_slice){text, len});
    cr_assert_eq(bs_oci_output_end(&out, &list, BLOBSEAL_OK, NULL), BLOBSEAL_OK);
    memset(&err, 0, sizeof err);
    st = blobseal_oci_unwrap(layer, list->list, list->num, &kek, 1, NULL, &err);
    blobseal_oci_annotations_free(list);
    blobseal_kek_close(kek);
    return st;
}

/* What openssl pkeyutl gives for the recorded wrapped keys. */
static const struct {
    const char *file, *key, *dek, *nonce, *digest;
} recorded[] = {
    {"pkcs11-rsa2048-sha1", "priv.pem", "83c32c1d823b22423197f185f51f41e7fdf7c5ed78ed60f578404e29a6aa0408",
     "84beacae273f0ab9c37f0c449f231438", "sha256:7f1eac24a100bfc55de64f90706644696c37f6577b64acd91d7b51af7f3cc161"},
    {"pkcs11-rsa4096-sha256", "priv4096.pem", "8ede618da813395f4cb6b5e06f973ed7ac75bc5cade2e8d1647bb5c0f94155d3",
     "5a1f372f2798e9da9647189a9faa7dca", "sha256:7f1eac24a100bfc55de64f90706644696c37f6577b64acd91d7b51af7f3cc161"},
};

Test(oci_pkcs11, recorded_annotations_give_the_exact_values)
{
    for (size_t i = 0; i < BS_COUNT(recorded); i++) {
        struct blobseal_oci_layer *layer;
        struct vec_bytes file, dek = vec_hex(recorded[i].dek), nonce = vec_hex(recorded[i].nonce);
        char path[128];

        (void)snprintf(path, sizeof path, "ocicrypt/blobs-pkcs/%s.annotation.json", recorded[i].file);
        file = vec_read(path);
        cr_assert_eq(unwrap(&layer, file.p, file.len, recorded[i].key), BLOBSEAL_OK, "%s", err.text);
        cr_assert(memcmp(layer->key.dek, dek.p, dek.len) == 0 && memcmp(layer->key.nonce, nonce.p, nonce.len) == 0);
        cr_assert_str_eq(layer->key.digest, recorded[i].digest);
        blobseal_oci_layer_free(layer);
        cr_assert_eq(unwrap(&layer, file.p, file.len, "priv2.pem"), i == 0 ? BLOBSEAL_E_AUTH : BLOBSEAL_E_NO_KEY);
        free(file.p);
        free(dek.p);
        free(nonce.p);
    }
}

static enum blobseal_status outcome(const char *text)
{
    struct blobseal_oci_layer *layer;
    enum blobseal_status st = unwrap(&layer, text, strlen(text), "priv.pem");

    blobseal_oci_layer_free(layer);
    return st;
}

Test(oci_pkcs11, other_versions_and_malformed_ones_are_refused)
{
    cr_assert_eq(outcome("{\"version\":1,\"recipients\":[]}"), BLOBSEAL_E_UNSUPPORTED);
    cr_assert_eq(outcome("{\"version\":0,\"recipients\":[{\"version\":2,\"blob\":\"AA==\"}]}"), BLOBSEAL_E_UNSUPPORTED);
    cr_assert_eq(outcome("{\"version\":0,\"recipients\":[{\"version\":0,\"blob\":\"AA==\",\"hash\":\"md5\"}]}"),
                 BLOBSEAL_E_UNSUPPORTED);
    cr_assert_eq(outcome("{\"version\":0,\"recipients\":[]}"), BLOBSEAL_E_FORMAT);
    cr_assert_eq(outcome("{\"version\":0,\"recipients\":[{\"version\":0}]}"), BLOBSEAL_E_FORMAT);
    cr_assert_eq(outcome("{\"version\":0,\"recipients\":[{\"version\":0,\"blob\":\"*\"}]}"), BLOBSEAL_E_FORMAT);
    cr_assert_eq(outcome("{\"version\":0,\"recipients\":[{\"blob\":\"AA==\"}]}"), BLOBSEAL_E_NO_KEY);
    cr_assert_eq(outcome("[]"), BLOBSEAL_E_FORMAT);
}

Test(oci_pkcs11, what_is_written_comes_back_also_for_short_keys)
{
    static const char *const names[] = {"pub.pem", "pub4096.pem"};
    const struct blobseal_oci_wrap_options o = {.size = sizeof o, .pkcs11 = true};
    struct blobseal_kek *keks[2];
    struct blobseal_oci_layer *layer = encrypted_layer(), *again;
    struct blobseal_oci_annotations *list;
    const char *text;
    size_t len;
    uint8_t *bytes;

    for (size_t i = 0; i < 2; i++)
        keks[i] = vector_key(names[i]);
    cr_assert_eq(blobseal_oci_wrap(layer, keks, 2, &o, &list, &err), BLOBSEAL_OK, "%s", err.text);
    text = annotation(list, BS_OCI_KEYS_PREFIX "pkcs11");
    len = strlen(text);
    bytes = (uint8_t *)strdup(text);
    cr_assert(bs_base64_decode(bytes, &len));
    /* With SHA-256, 2048 bits have room for 190 bytes, so the digest is left out. */
    cr_assert_eq(unwrap(&again, bytes, len, "priv.pem"), BLOBSEAL_OK, "%s", err.text);
    cr_assert(memcmp(layer->key.dek, again->key.dek, sizeof layer->key.dek) == 0 && again->key.digest[0] == '\0');
    blobseal_oci_layer_free(again);
    cr_assert_eq(unwrap(&again, bytes, len, "priv4096.pem"), BLOBSEAL_OK, "%s", err.text);
    cr_assert_str_eq(again->key.digest, layer->key.digest);
    blobseal_oci_layer_free(again);
    cr_assert_eq(unwrap(&again, bytes, len, "priv2.pem"), BLOBSEAL_E_NO_KEY);
    for (size_t i = 0; i < 2; i++)
        blobseal_kek_close(keks[i]);
    free(bytes);
    blobseal_oci_annotations_free(list);
    blobseal_oci_layer_free(layer);
}

Test(oci_pkcs11, a_recipient_is_removed_by_its_name)
{
    const struct blobseal_oci_wrap_options o = {.size = sizeof o, .pkcs11 = true};
    struct blobseal_kek *keks[] = {vector_key("pub.pem"), vector_key("pub2.pem")}, *keys[2];
    const char *kid = blobseal_kek_kid(keks[1]);
    const struct blobseal_oci_change change = {.size = sizeof change, .remove = &kid, .num_remove = 1};
    struct blobseal_oci_change_result r = {.size = sizeof r};
    struct blobseal_oci_layer *layer = encrypted_layer();
    struct blobseal_oci_annotations *list, *changed;
    struct blobseal_oci_recipients *after;

    keys[0] = vector_key("priv.pem");
    keys[1] = keks[1];
    cr_assert_eq(blobseal_oci_wrap(layer, keks, 2, &o, &list, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(blobseal_oci_change(list->list, list->num, keys, 2, &change, &changed, &r, &err), BLOBSEAL_OK, "%s",
                 err.text);
    cr_assert(r.changed && r.removed == 1 && r.kept == 1 && r.added == 0);
    cr_assert_eq(blobseal_oci_recipients(changed->list, changed->num, &after, &err), BLOBSEAL_OK);
    cr_assert_eq(after->num, 2);
    for (size_t i = 0; i < after->num; i++)
        cr_assert_str_eq(after->list[i].kid, blobseal_kek_kid(keks[0]));
    blobseal_oci_recipients_free(after);
    blobseal_oci_annotations_free(list);
    blobseal_oci_annotations_free(changed);
    blobseal_oci_layer_free(layer);
    blobseal_kek_close(keks[0]);
    blobseal_kek_close(keks[1]);
    blobseal_kek_close(keys[0]);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads that containerd and imgcrypt sent: annotations, keys, and that the keys open the layer. */
#include "tests/core/oci/keys.h"

SUITE(payload);

static struct blobseal_error err;

static struct blobseal_oci_payload *read_payload(const char *folder)
{
    struct blobseal_oci_payload *payload;
    struct vec_bytes file;
    char path[128];

    (void)snprintf(path, sizeof path, "ocicrypt/ctd-decoder/%s/payload.bin", folder);
    file = vec_read(path);
    cr_assert_eq(blobseal_oci_payload_read(&payload, file.p, file.len, &err), BLOBSEAL_OK, "%s", err.text);
    free(file.p);
    return payload;
}

static void check_layer(const struct blobseal_oci_payload *p, const char *folder, struct blobseal_kek *kek)
{
    struct blobseal_oci_layer *layer;
    char path[128];
    json_t *expected;
    struct vec_bytes dek;

    (void)snprintf(path, sizeof path, "ocicrypt/ctd-decoder/%s/expected.json", folder);
    expected = vec_json(path);
    dek = vec_member(expected, "dek");
    cr_assert_eq(blobseal_oci_unwrap(&layer, p->annotations, p->num_annotations, &kek, 1, NULL, &err), BLOBSEAL_OK,
                 "%s", err.text);
    cr_assert_eq(memcmp(layer->key.dek, dek.p, dek.len), 0);
    cr_assert_eq(p->size, (uint64_t)vec_int(expected, "size"));
    cr_assert_str_eq(p->media_type, vec_text(expected, "mediaType"));
    blobseal_oci_layer_free(layer);
    json_decref(expected);
    free(dek.p);
}

Test(payload, of_the_runtime_interface_has_no_keys)
{
    struct blobseal_oci_payload *p = read_payload("cri-small");
    struct vec_bytes pem = vec_read("ocicrypt/ctd-decoder/priv.pem");
    struct blobseal_kek *kek;
    size_t num = 1;

    cr_assert_eq(p->num_keys, 0);
    cr_assert_eq(p->num_annotations, 2);
    cr_assert_eq(blobseal_keks_from_pem(&kek, &num, (const char *)pem.p, pem.len, NULL, &err), BLOBSEAL_OK, "%s",
                 err.text);
    check_layer(p, "cri-small", kek);
    blobseal_kek_close(kek);
    blobseal_oci_payload_free(p);
    free(pem.p);
}

Test(payload, of_imgcrypt_has_keys)
{
    struct blobseal_oci_payload *p = read_payload("ctr-enc-small");
    struct blobseal_kek *kek;
    size_t num = 1;

    cr_assert_eq(p->num_keys, 1);
    cr_assert_eq(p->keys[0].passphrase, NULL);
    cr_assert_eq(blobseal_keks_from_pem(&kek, &num, p->keys[0].key, p->keys[0].key_len, NULL, &err), BLOBSEAL_OK, "%s",
                 err.text);
    check_layer(p, "ctr-enc-small", kek);
    blobseal_kek_close(kek);
    blobseal_oci_payload_free(p);
    p = read_payload("ctr-enc-two-keys-password");
    cr_assert_eq(p->num_keys, 2);
    cr_assert(p->keys[0].passphrase_len == 6 && memcmp(p->keys[0].passphrase, "secret", 6) == 0);
    cr_assert_eq(p->keys[1].passphrase, NULL);
    blobseal_oci_payload_free(p);
}

static enum blobseal_status outcome(const void *bytes, size_t len)
{
    struct vec_bytes copy = vec_copy(bytes, len); /* at the end of an allocation */
    struct blobseal_oci_payload *p;
    enum blobseal_status st = blobseal_oci_payload_read(&p, copy.p, copy.len, &err);

    cr_assert_eq(p != NULL, st == BLOBSEAL_OK);
    blobseal_oci_payload_free(p);
    free(copy.p);
    return st;
}

Test(payload, every_truncation_is_refused)
{
    struct vec_bytes file = vec_read("ocicrypt/ctd-decoder/ctr-enc-small/payload.bin");

    for (size_t len = 0; len < file.len; len++)
        cr_assert_eq(outcome(file.p, len), BLOBSEAL_E_FORMAT, "%zu bytes", len);
    cr_assert_eq(outcome(file.p, file.len), BLOBSEAL_OK);
    free(file.p);
}

/* Parse a message with this JSON. */
static enum blobseal_status with_json(const char *json)
{
    static const char type[] = "io.containerd.ocicrypt.v1.Payload";
    uint8_t message[1024];
    struct bs_builder w = bs_builder_start(message, sizeof message);

    bs_put8(&w, 0x18); /* a field that is not known: number 3, a varint */
    bs_put8(&w, 0x01);
    bs_put8(&w, 0x0A);
    bs_put8(&w, sizeof type - 1);
    bs_put(&w, type, sizeof type - 1);
    bs_put8(&w, 0x12);
    bs_put8(&w, (uint8_t)(0x80 | (strlen(json) & 0x7F)));
    bs_put8(&w, (uint8_t)(strlen(json) >> 7));
    bs_put_text(&w, json);
    cr_assert(w.ok);
    return outcome(message, w.len);
}

Test(payload, other_messages_are_refused)
{
    static const uint8_t other_type[] = {0x0A, 1, 'x', 0x12, 2, '{', '}'};
    static const uint8_t long_length[] = {0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01};
    static const uint8_t endless[] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    static const uint8_t group[] = {0x0B};

    cr_assert_eq(outcome(other_type, sizeof other_type), BLOBSEAL_E_UNSUPPORTED);
    cr_assert_eq(outcome(long_length, sizeof long_length), BLOBSEAL_E_FORMAT);
    cr_assert_eq(outcome(endless, sizeof endless), BLOBSEAL_E_FORMAT);
    cr_assert_eq(outcome(group, sizeof group), BLOBSEAL_E_FORMAT);
    cr_assert_eq(with_json("{\"Descriptor\":{\"annotations\":{\"a\":\"b\"},\"platform\":{\"os\":null}}}"), BLOBSEAL_OK,
                 "%s", err.text);
    cr_assert_eq(with_json("{\"DecryptConfig\":null,\"Descriptor\":{}}"), BLOBSEAL_OK);
    cr_assert_eq(with_json("{\"DecryptConfig\":null}"), BLOBSEAL_E_FORMAT);
    cr_assert_eq(with_json("{\"Descriptor\":{},\"Descriptor\":{}}"), BLOBSEAL_E_FORMAT);
    cr_assert_eq(with_json("{\"Descriptor\":{\"annotations\":{\"a\\u0000b\":\"c\"}}}"), BLOBSEAL_E_FORMAT);
    cr_assert_eq(with_json("{\"Descriptor\":{\"annotations\":{\"a\":7}}}"), BLOBSEAL_E_FORMAT);
    cr_assert_eq(with_json("{\"DecryptConfig\":{\"Parameters\":{\"privkeys\":[\"***\"]}},\"Descriptor\":{}}"),
                 BLOBSEAL_E_FORMAT);
    cr_assert_eq(with_json("not JSON"), BLOBSEAL_E_FORMAT);
}

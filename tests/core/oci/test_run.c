/* SPDX-License-Identifier: Apache-2.0 */
/* Encrypting and decrypting layers: known answers, all ways to read and write them, and what is refused. */
#include "tests/core/oci/layers.h"

SUITE(oci_run);

/* ---- Known answers ----------------------------------------------------------------------------------------------- */

Test(oci_run, known_layers_are_encrypted_to_the_byte)
{
    json_t *root = vec_json("ocicrypt/layer-cipher-kat.json"), *test;
    size_t i;

    json_array_foreach(root, i, test)
    {
        struct vec_bytes dek = vec_member(test, "dek"), nonce = vec_member(test, "nonce"),
                         plain = vec_member(test, "plaintext"), cipher = vec_member(test, "ciphertext"),
                         hmac = vec_member(test, "hmac_sha256");
        struct blobseal_oci_layer *layer = known_layer(dek.p, nonce.p);
        uint8_t *out = encrypt_bytes(layer, plain.p, plain.len);

        cr_expect(plain.len == 0 || memcmp(out, cipher.p, cipher.len) == 0, "%s", vec_text(test, "name"));
        cr_expect_eq(memcmp(layer->key.hmac, hmac.p, hmac.len), 0, "%s", vec_text(test, "name"));
        blobseal_oci_layer_free(layer);
        free(out);
        free(dek.p);
        free(nonce.p);
        free(plain.p);
        free(cipher.p);
        free(hmac.p);
    }
    cr_expect_eq(i, 4);
    json_decref(root);
}

static void open_stock_layer(const json_t *test)
{
    struct vec_bytes dek = vec_member(test, "dek"), nonce = vec_member(test, "nonce"), hmac = vec_member(test, "hmac"),
                     start = vec_member(test, "pt_first32"), cipher;
    struct blobseal_oci_layer *layer = known_layer(dek.p, nonce.p);
    struct blobseal_oci_digests d = {.size = sizeof d};
    struct blobseal_source source;
    struct blobseal_sink sink;
    struct blobseal_memory in, out = {0};
    char path[128], digest[72] = "sha256:";

    (void)snprintf(path, sizeof path, "ocicrypt/enc-jwe-rsa/blobs/sha256/%s", vec_text(test, "blob_digest") + 7);
    cipher = vec_read(path);
    memcpy(layer->key.hmac, hmac.p, hmac.len);
    layer->key.has_hmac = true;
    blobseal_source_memory(&source, &in, cipher.p, cipher.len);
    blobseal_sink_memory(&sink, &out);
    cr_assert_eq(blobseal_oci_decrypt_verified(layer, &source, &sink, NULL, &d, NULL), BLOBSEAL_OK);
    cr_expect_eq(d.bytes, cipher.len);
    cr_expect_eq(memcmp(out.data, start.p, start.len), 0);
    for (unsigned i = 0; i < 32; i++)
        (void)snprintf(digest + 7 + 2 * i, 3, "%02x", d.plain_sha256[i]);
    cr_expect_str_eq(digest, vec_text(test, "plain_digest"));
    for (unsigned i = 0; i < 32; i++)
        (void)snprintf(digest + 7 + 2 * i, 3, "%02x", d.stored_sha256[i]);
    cr_expect_str_eq(digest, vec_text(test, "blob_digest"));
    blobseal_oci_layer_free(layer);
    free(out.data);
    free(dek.p);
    free(nonce.p);
    free(hmac.p);
    free(start.p);
    free(cipher.p);
}

Test(oci_run, layers_of_a_stock_tool_are_decrypted)
{
    json_t *root = vec_json("ocicrypt/enc-jwe-rsa.expected.json"), *test;
    size_t i;

    json_array_foreach(root, i, test) open_stock_layer(test);
    cr_expect_eq(i, 2);
    json_decref(root);
}

/* ---- There and back ---------------------------------------------------------------------------------------------- */

/* How a layer is read and written. */
struct way {
    bool seekable_source, seekable_sink;
    size_t max_piece;
    unsigned threads;
};

static const struct way ways[] = {{true, true, 0, 1},      {true, true, 0, 0},     {false, false, 0, 0},
                                  {false, true, 70000, 2}, {true, false, 3000, 3}, {false, false, 100001, 8}};

/* Lengths around those of blocks and pieces. The last one has more pieces than there are buffers. */
static const size_t lengths[] = {0,
                                 1,
                                 15,
                                 16,
                                 17,
                                 63,
                                 64,
                                 65,
                                 5000,
                                 BS_OCI_PIECE_LEN - 1,
                                 BS_OCI_PIECE_LEN,
                                 BS_OCI_PIECE_LEN + 1,
                                 2 * BS_OCI_PIECE_LEN,
                                 3 * BS_OCI_PIECE_LEN + 4711,
                                 20 * BS_OCI_PIECE_LEN + 16};

struct ends {
    struct test_source in;
    struct test_sink out;
    struct blobseal_source source;
    struct blobseal_sink sink;
};

static void begin(struct ends *e, const struct way *w, const uint8_t *data, size_t len)
{
    *e = (struct ends){.in = {.data = data, .len = len, .seekable = w->seekable_source, .max_piece = w->max_piece},
                       .out = {.seekable = w->seekable_sink, .cap = len}};
    test_source_start(&e->source, &e->in);
    test_sink_start(&e->sink, &e->out);
}

static void end(struct ends *e)
{
    cr_expect_not(e->in.misused || e->out.misused);
    test_source_end(&e->in);
    test_sink_end(&e->out);
}

static void there_and_back(const struct way *w, const uint8_t *plain, size_t len)
{
    struct blobseal_oci_layer *layer = fresh_layer();
    struct blobseal_oci_digests d = {.size = sizeof d}, back = {.size = sizeof back};
    struct ends e;
    uint8_t *cipher = must_alloc(len + 1);

    begin(&e, w, plain, len);
    cr_assert_eq(blobseal_oci_encrypt(layer, &e.source, &e.sink, RUN(.threads = w->threads), &d, NULL), BLOBSEAL_OK);
    cr_assert_eq(e.out.bytes, len);
    memcpy(cipher, e.out.data, len);
    end(&e);
    cr_expect(len < 16 || memcmp(cipher, plain, len) != 0);
    cr_expect(d.bytes == len && is_sha256(d.plain_sha256, plain, len) && is_sha256(d.stored_sha256, cipher, len));

    begin(&e, w, cipher, len);
    cr_expect_eq(blobseal_oci_decrypt(layer, &e.source, &e.sink, RUN(.threads = w->threads), &back, NULL), BLOBSEAL_OK);
    cr_expect(test_sink_is(&e.out, plain, len));
    end(&e);
    cr_expect_eq(memcmp(&d, &back, sizeof d), 0);

    begin(&e, w, cipher, len);
    cr_expect_eq(blobseal_oci_decrypt(layer, &e.source, NULL, RUN(.threads = w->threads), NULL, NULL), BLOBSEAL_OK);
    end(&e);
    if (w->seekable_source) {
        back = (struct blobseal_oci_digests){.size = sizeof back};
        begin(&e, w, cipher, len);
        cr_expect_eq(blobseal_oci_decrypt_verified(layer, &e.source, &e.sink, RUN(.threads = w->threads), &back, NULL),
                     BLOBSEAL_OK);
        cr_expect(test_sink_is(&e.out, plain, len));
        cr_expect_eq(memcmp(&d, &back, sizeof d), 0);
        end(&e);
    }
    blobseal_oci_layer_free(layer);
    free(cipher);
}

Test(oci_run, every_length_there_and_back)
{
    uint8_t *plain = must_alloc(lengths[COUNT(lengths) - 1]);

    fill_random(plain, lengths[COUNT(lengths) - 1], 1);
    for (size_t w = 0; w < COUNT(ways); w++)
        for (size_t i = 0; i < COUNT(lengths); i++)
            there_and_back(&ways[w], plain, lengths[i]);
    free(plain);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Encrypting and decrypting a layer: the stages that its pieces pass through, for each of the public functions. */
#include "core/oci/oci.h"

/* ---- Stages ------------------------------------------------------------------------------------------------------ */

static enum blobseal_status read_piece(void *ctx, struct bs_oci_piece *piece, struct blobseal_error *err)
{
    struct bs_oci_pass *pass = ctx;
    enum blobseal_status st = bs_read(&pass->input, piece->p, BS_OCI_PIECE_LEN, &piece->len, err);

    piece->last = piece->len < BS_OCI_PIECE_LEN;
    pass->bytes += piece->len;
    return st;
}

static enum blobseal_status crypt_piece(void *ctx, struct bs_oci_piece *piece, struct blobseal_error *err)
{
    const struct bs_oci_pass *pass = ctx;

    if (bs_oci_crypt(pass->cipher, piece->index * BS_OCI_PIECE_LEN, piece->p, piece->len))
        return BLOBSEAL_OK;
    return bs_openssl_failed(err, "encrypt or decrypt a layer");
}

static enum blobseal_status add_hmac(void *ctx, struct bs_oci_piece *piece, struct blobseal_error *err)
{
    const struct bs_oci_pass *pass = ctx;

    (void)err;
    bs_oci_add_hmac(pass->cipher, piece->p, piece->len);
    return BLOBSEAL_OK;
}

static enum blobseal_status add_stored(void *ctx, struct bs_oci_piece *piece, struct blobseal_error *err)
{
    const struct bs_oci_pass *pass = ctx;

    (void)err;
    bs_oci_add_stored(pass->cipher, piece->p, piece->len);
    return BLOBSEAL_OK;
}

static enum blobseal_status add_plain(void *ctx, struct bs_oci_piece *piece, struct blobseal_error *err)
{
    const struct bs_oci_pass *pass = ctx;

    (void)err;
    bs_oci_add_plain(pass->cipher, piece->p, piece->len);
    return BLOBSEAL_OK;
}

static enum blobseal_status check_piece(void *ctx, struct bs_oci_piece *piece, struct blobseal_error *err)
{
    const struct bs_oci_pass *pass = ctx;

    return pass->check(pass->check_ctx, piece, err);
}

static enum blobseal_status write_piece(void *ctx, struct bs_oci_piece *piece, struct blobseal_error *err)
{
    const struct bs_oci_pass *pass = ctx;

    if (piece->len == 0)
        return BLOBSEAL_OK;
    return bs_write(pass->sink, piece->p, piece->len, piece->index * BS_OCI_PIECE_LEN, err);
}

/* ---- Passes ------------------------------------------------------------------------------------------------------ */

/* Add a stage that starts after those of @after, and return its bit. */
static uint32_t add_stage(struct bs_oci_pass *pass,
                          enum blobseal_status (*run)(void *ctx, struct bs_oci_piece *piece,
                                                      struct blobseal_error *err),
                          uint32_t after, bool may_block)
{
    pass->stages[pass->num] = (struct bs_oci_stage){run, after, may_block};
    return UINT32_C(1) << pass->num++;
}

/* Run a pass, and compute the HMAC and digests. */
static enum blobseal_status run_pass(struct bs_oci_pass *pass, const struct blobseal_oci_run_options *o,
                                     struct bs_oci_results *results, struct blobseal_error *err)
{
    const struct bs_oci_stages s = {
        .ctx = pass,
        .stages = pass->stages,
        .num = pass->num,
        .threads = o->threads,
        .source = pass->input.source,
        .size = pass->input.source->size,
        .progress = o->progress,
        .progress_ctx = o->progress_ctx,
    };
    enum blobseal_status st = bs_oci_stages_run(&s, err);

    return st == BLOBSEAL_OK ? bs_oci_cipher_end(pass->cipher, results, err) : st;
}

enum blobseal_status bs_oci_import_options(struct blobseal_oci_run_options *own,
                                           const struct blobseal_oci_run_options *theirs,
                                           struct blobseal_oci_digests *digests, struct blobseal_error *err)
{
    const struct blobseal_oci_digests none = {.size = sizeof none};

    if (bs_struct_export(digests, &none, sizeof none) && blobseal_struct_import(own, sizeof *own, theirs))
        return BLOBSEAL_OK;
    return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                         "the size of the options or of the digests of a layer is not set, or they are newer than the "
                         "library");
}

void bs_oci_report(uint64_t bytes, const struct bs_oci_results *results, struct blobseal_oci_digests *theirs)
{
    struct blobseal_oci_digests d = {.size = sizeof d, .bytes = bytes};

    memcpy(d.plain_sha256, results->plain, sizeof d.plain_sha256);
    memcpy(d.stored_sha256, results->stored, sizeof d.stored_sha256);
    if (!bs_struct_export(theirs, &d, sizeof d))
        return; /* not possible: its size has been checked */
}

/* ---- Encrypting -------------------------------------------------------------------------------------------------- */

static void put_digest(char out[72], const uint8_t sha256[BS_SHA256_LEN])
{
    static const char hex[] = "0123456789abcdef";
    char *at = out + 7;

    memcpy(out, "sha256:", 7);
    for (unsigned i = 0; i < BS_SHA256_LEN; i++) {
        *at++ = hex[sha256[i] >> 4];
        *at++ = hex[sha256[i] & 15];
    }
    *at = '\0';
}

static enum blobseal_status encrypt(struct blobseal_oci_layer *layer, struct bs_oci_pass *pass,
                                    const struct blobseal_oci_run_options *o, struct bs_oci_results *results,
                                    struct blobseal_error *err)
{
    const uint32_t parts = BS_OCI_CRYPT | BS_OCI_HMAC | BS_OCI_STORED_DIGEST | BS_OCI_PLAIN_DIGEST;
    enum blobseal_status st = bs_oci_cipher_new(&pass->cipher, &layer->key, parts, err);
    uint32_t read, plain, crypt;

    if (st != BLOBSEAL_OK)
        return st;
    read = add_stage(pass, read_piece, 0, !bs_seekable(pass->input.source));
    plain = add_stage(pass, add_plain, read, false);
    crypt = add_stage(pass, crypt_piece, plain, false); /* in place, so after the plaintext has been hashed */
    (void)add_stage(pass, add_hmac, crypt, false);
    (void)add_stage(pass, add_stored, crypt, false);
    (void)add_stage(pass, write_piece, crypt, pass->sink->pwrite == NULL);
    layer->used = true;
    st = run_pass(pass, o, results, err);
    bs_oci_cipher_free(pass->cipher);
    return st;
}

enum blobseal_status blobseal_oci_encrypt(struct blobseal_oci_layer *layer, const struct blobseal_source *source,
                                          const struct blobseal_sink *sink,
                                          const struct blobseal_oci_run_options *options,
                                          struct blobseal_oci_digests *digests, struct blobseal_error *err)
{
    struct blobseal_oci_run_options o = {.size = sizeof o};
    struct bs_oci_pass pass = {.input = {source, 0}, .sink = sink};
    struct bs_oci_results results;
    enum blobseal_status st = bs_oci_import_options(&o, options, digests, err);

    if (st == BLOBSEAL_OK)
        st = bs_check_process(layer->process, "layer", err);
    if (st == BLOBSEAL_OK && layer->used)
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0, "encrypt a layer: its key has been used already");
    if (st == BLOBSEAL_OK)
        st = bs_check_source(source, "encrypt a layer", err);
    if (st == BLOBSEAL_OK)
        st = bs_check_sink(sink, "encrypt a layer", err);
    if (st == BLOBSEAL_OK)
        st = encrypt(layer, &pass, &o, &results, err);
    if (st != BLOBSEAL_OK)
        return st;
    memcpy(layer->key.hmac, results.hmac, sizeof layer->key.hmac);
    put_digest(layer->key.digest, results.plain);
    layer->key.has_hmac = true;
    bs_oci_report(pass.bytes, &results, digests);
    return BLOBSEAL_OK;
}

/* ---- Decrypting -------------------------------------------------------------------------------------------------- */

enum blobseal_status bs_oci_decrypt_pass(struct bs_oci_pass *pass, const struct blobseal_oci_layer *layer,
                                         uint32_t parts, const struct blobseal_oci_run_options *o,
                                         struct bs_oci_results *results, struct blobseal_error *err)
{
    enum blobseal_status st = bs_oci_cipher_new(&pass->cipher, &layer->key, parts, err);
    uint32_t ready, crypt;

    if (st != BLOBSEAL_OK)
        return st;
    ready = add_stage(pass, read_piece, 0, !bs_seekable(pass->input.source));
    if (pass->check != NULL)
        ready = add_stage(pass, check_piece, ready, false);
    crypt = ready;
    if ((parts & BS_OCI_HMAC) != 0)
        crypt |= add_stage(pass, add_hmac, ready, false);
    if ((parts & BS_OCI_STORED_DIGEST) != 0)
        crypt |= add_stage(pass, add_stored, ready, false);
    if ((parts & BS_OCI_CRYPT) != 0)
        crypt = add_stage(pass, crypt_piece, crypt, false); /* in place, so after hashing the ciphertext */
    if ((parts & BS_OCI_PLAIN_DIGEST) != 0)
        (void)add_stage(pass, add_plain, crypt, false);
    if (pass->sink != NULL)
        (void)add_stage(pass, write_piece, crypt, pass->sink->pwrite == NULL);
    st = run_pass(pass, o, results, err);
    bs_oci_cipher_free(pass->cipher);
    if (st == BLOBSEAL_OK && (parts & BS_OCI_HMAC) != 0 &&
        !blobseal_equal(results->hmac, layer->key.hmac, sizeof results->hmac))
        st = blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "the layer is not authentic");
    return st;
}

enum blobseal_status bs_oci_check_layer(const struct blobseal_oci_layer *layer, struct blobseal_error *err)
{
    enum blobseal_status st = bs_check_process(layer->process, "layer", err);

    if (st == BLOBSEAL_OK && !layer->key.has_hmac)
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0, "decrypt a layer: it has no HMAC");
    return st;
}

enum blobseal_status blobseal_oci_decrypt(const struct blobseal_oci_layer *layer, const struct blobseal_source *source,
                                          const struct blobseal_sink *sink,
                                          const struct blobseal_oci_run_options *options,
                                          struct blobseal_oci_digests *digests, struct blobseal_error *err)
{
    const uint32_t all = BS_OCI_CRYPT | BS_OCI_HMAC | BS_OCI_STORED_DIGEST | BS_OCI_PLAIN_DIGEST;
    struct blobseal_oci_run_options o = {.size = sizeof o};
    struct bs_oci_pass pass = {.input = {source, 0}, .sink = sink};
    struct bs_oci_results results;
    enum blobseal_status st = bs_oci_import_options(&o, options, digests, err);
    uint32_t parts = digests != NULL ? all : sink != NULL ? BS_OCI_CRYPT | BS_OCI_HMAC : BS_OCI_HMAC;

    if (st == BLOBSEAL_OK)
        st = bs_oci_check_layer(layer, err);
    if (st == BLOBSEAL_OK)
        st = bs_check_source(source, "decrypt a layer", err);
    if (st == BLOBSEAL_OK && sink != NULL)
        st = bs_check_sink(sink, "decrypt a layer", err);
    if (st == BLOBSEAL_OK)
        st = bs_oci_decrypt_pass(&pass, layer, parts, &o, &results, err);
    if (st == BLOBSEAL_OK)
        bs_oci_report(pass.bytes, &results, digests);
    return st;
}

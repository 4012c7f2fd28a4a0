/* SPDX-License-Identifier: Apache-2.0 */
/* Encrypting and decrypting a layer: the stages that its pieces pass through, for each of the public functions. */
#include "core/oci/oci.h"

/*
 * A layer below this size is handled by the calling thread alone. Starting threads and handing over the first pieces
 * takes as long as hashing some 100 KiB.
 */
#define SMALL ((uint64_t)1 << 20)

#define EVERYTHING (BS_OCI_CRYPT | BS_OCI_HMAC | BS_OCI_STORED_DIGEST | BS_OCI_PLAIN_DIGEST)

/* ---- Stages ------------------------------------------------------------------------------------------------------ */

static enum blobseal_status read_piece(void *ctx, struct bs_oci_piece *piece, struct blobseal_error *err)
{
    struct bs_oci_pass *pass = ctx;
    enum blobseal_status st;

    piece->offset = pass->bytes;
    st = bs_read(&pass->input, piece->in, piece->cap, &piece->len, err);
    pass->bytes += piece->len;
    pass->ended = piece->len < piece->cap;
    return st;
}

static enum blobseal_status check_piece(void *ctx, struct bs_oci_piece *piece, struct blobseal_error *err)
{
    const struct bs_oci_pass *pass = ctx;

    return pass->check(pass->check_ctx, piece, err);
}

static enum blobseal_status crypt_piece(void *ctx, struct bs_oci_piece *piece, struct blobseal_error *err)
{
    const struct bs_oci_pass *pass = ctx;

    if (bs_oci_crypt(pass->cipher, piece->offset, piece->out, piece->in, piece->len))
        return BLOBSEAL_OK;
    return bs_openssl_failed(err, "encrypt or decrypt a layer");
}

static enum blobseal_status hash_stored(void *ctx, struct bs_oci_piece *piece, struct blobseal_error *err)
{
    const struct bs_oci_pass *pass = ctx;

    (void)err;
    bs_oci_add_stored(pass->cipher, pass->encrypts ? piece->out : piece->in, piece->len);
    return BLOBSEAL_OK;
}

static enum blobseal_status hash_plain(void *ctx, struct bs_oci_piece *piece, struct blobseal_error *err)
{
    const struct bs_oci_pass *pass = ctx;

    (void)err;
    bs_oci_add_plain(pass->cipher, pass->encrypts ? piece->in : piece->out, piece->len);
    return BLOBSEAL_OK;
}

static enum blobseal_status hash_both(void *ctx, struct bs_oci_piece *piece, struct blobseal_error *err)
{
    const struct bs_oci_pass *pass = ctx;

    (void)err;
    bs_oci_add_both(pass->cipher, pass->encrypts ? piece->out : piece->in, pass->encrypts ? piece->in : piece->out,
                    piece->len);
    return BLOBSEAL_OK;
}

static enum blobseal_status write_piece(void *ctx, struct bs_oci_piece *piece, struct blobseal_error *err)
{
    const struct bs_oci_pass *pass = ctx;

    return piece->len > 0 ? bs_write(pass->sink, piece->out, piece->len, piece->offset, err) : BLOBSEAL_OK;
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

/* Set the stages. If @together, plaintext and ciphertext are hashed in one stage, otherwise each in its own. */
static void set_stages(struct bs_oci_pass *pass, bool together)
{
    const bool stored = (pass->parts & (BS_OCI_HMAC | BS_OCI_STORED_DIGEST)) != 0;
    const bool plain = (pass->parts & BS_OCI_PLAIN_DIGEST) != 0;
    uint32_t ready, crypt;

    pass->num = 0;
    ready = add_stage(pass, read_piece, 0, !bs_seekable(pass->input.source));
    if (pass->check != NULL)
        ready = add_stage(pass, check_piece, ready, false);
    crypt = (pass->parts & BS_OCI_CRYPT) != 0 ? add_stage(pass, crypt_piece, ready, false) : ready;
    if (together && stored && plain) {
        (void)add_stage(pass, hash_both, crypt, false);
    } else {
        if (stored)
            (void)add_stage(pass, hash_stored, pass->encrypts ? crypt : ready, false);
        if (plain)
            (void)add_stage(pass, hash_plain, pass->encrypts ? ready : crypt, false);
    }
    if (pass->sink != NULL)
        (void)add_stage(pass, write_piece, crypt, pass->sink->pwrite == NULL);
}

/* Return the length of the first pieces. A small layer is one piece, which needs no more memory than it has bytes. */
static size_t first_piece_len(uint64_t size)
{
    return size < BS_OCI_FIRST_PIECE_LEN - 16 ? (size_t)(size + 16) / 16 * 16 : BS_OCI_FIRST_PIECE_LEN;
}

/*
 * Run the pieces through the stages. The first pieces are small, and the calling thread handles them alone, because
 * many layers have no others, and because the size of a stream is not known before.
 *
 * With one thread, plaintext and ciphertext are hashed together, which takes less time than one after the other. With
 * two threads it is the same if hashing both takes little more time than hashing one: then one thread hashes, and the
 * other one does the rest of the work. With more threads, the two are stages of their own.
 */
static enum blobseal_status run_stages(struct bs_oci_pass *pass, const struct blobseal_oci_run_options *o,
                                       struct blobseal_error *err)
{
    const uint64_t size = pass->input.source->size; /* a hint: sources are read up to their end */
    struct bs_oci_stages s = {
        .ctx = pass,
        .stages = pass->stages,
        .threads = 1,
        .piece_len = first_piece_len(size),
        .max = BS_OCI_FIRST_PIECES,
        .source = pass->input.source,
        .progress = o->progress,
        .progress_ctx = o->progress_ctx,
    };
    enum blobseal_status st;

    set_stages(pass, true);
    s.num = pass->num;
    st = bs_oci_stages_run(&s, err);
    if (st != BLOBSEAL_OK || pass->ended)
        return st;
    if (size >= SMALL)
        s.threads = o->threads != 0 ? o->threads : bs_count_cpus();
    set_stages(pass, s.threads == 1 || (s.threads == 2 && bs_oci_both_are_cheap(pass->cipher)));
    s.num = pass->num;
    s.piece_len = BS_OCI_PIECE_LEN;
    s.first = BS_OCI_FIRST_PIECES;
    s.max = UINT64_MAX;
    return bs_oci_stages_run(&s, err);
}

enum blobseal_status bs_oci_pass_run(struct bs_oci_pass *pass, const struct bs_oci_key *key,
                                     const struct blobseal_oci_run_options *o, struct bs_oci_results *results,
                                     struct blobseal_error *err)
{
    enum blobseal_status st = bs_oci_cipher_new(&pass->cipher, key, pass->parts, err);

    if (st == BLOBSEAL_OK)
        st = run_stages(pass, o, err);
    if (st == BLOBSEAL_OK)
        st = bs_oci_cipher_end(pass->cipher, results, err);
    bs_oci_cipher_free(pass->cipher);
    pass->cipher = NULL;
    return st;
}

enum blobseal_status bs_oci_check_hmac(const struct bs_oci_key *key, const struct bs_oci_results *results,
                                       struct blobseal_error *err)
{
    if (blobseal_equal(results->hmac, key->hmac, sizeof key->hmac))
        return BLOBSEAL_OK;
    return blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "the layer is not authentic");
}

/* ---- What the public functions share ----------------------------------------------------------------------------- */

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

    memcpy(out, "sha256:", sizeof "sha256:");
    for (unsigned i = 0; i < BS_SHA256_LEN; i++) {
        *at++ = hex[sha256[i] >> 4];
        *at++ = hex[sha256[i] & 15];
    }
    *at = '\0';
}

enum blobseal_status blobseal_oci_encrypt(struct blobseal_oci_layer *layer, const struct blobseal_source *source,
                                          const struct blobseal_sink *sink,
                                          const struct blobseal_oci_run_options *options,
                                          struct blobseal_oci_digests *digests, struct blobseal_error *err)
{
    struct blobseal_oci_run_options o = {.size = sizeof o};
    struct bs_oci_pass pass = {.input = {source, 0}, .sink = sink, .parts = EVERYTHING, .encrypts = true};
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
    if (st != BLOBSEAL_OK)
        return st;
    layer->used = true;
    st = bs_oci_pass_run(&pass, &layer->key, &o, &results, err);
    if (st != BLOBSEAL_OK)
        return st;
    memcpy(layer->key.hmac, results.hmac, sizeof layer->key.hmac);
    put_digest(layer->key.digest, results.plain);
    layer->key.has_hmac = true;
    bs_oci_report(pass.bytes, &results, digests);
    return BLOBSEAL_OK;
}

/* ---- Decrypting -------------------------------------------------------------------------------------------------- */

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
    struct blobseal_oci_run_options o = {.size = sizeof o};
    struct bs_oci_pass pass = {.input = {source, 0}, .sink = sink, .parts = BS_OCI_HMAC};
    struct bs_oci_results results;
    enum blobseal_status st = bs_oci_import_options(&o, options, digests, err);

    if (digests != NULL)
        pass.parts = EVERYTHING;
    else if (sink != NULL)
        pass.parts |= BS_OCI_CRYPT;

    if (st == BLOBSEAL_OK)
        st = bs_oci_check_layer(layer, err);
    if (st == BLOBSEAL_OK)
        st = bs_check_source(source, "decrypt a layer", err);
    if (st == BLOBSEAL_OK && sink != NULL)
        st = bs_check_sink(sink, "decrypt a layer", err);
    if (st == BLOBSEAL_OK)
        st = bs_oci_pass_run(&pass, &layer->key, &o, &results, err);
    if (st == BLOBSEAL_OK)
        st = bs_oci_check_hmac(&layer->key, &results, err);
    if (st == BLOBSEAL_OK)
        bs_oci_report(pass.bytes, &results, digests);
    return st;
}

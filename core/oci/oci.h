/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci: layers of OCI images in the format of ocicrypt: the cipher, and the options and annotations that carry its keys.
 */
#ifndef BLOBSEAL_CORE_OCI_H
#define BLOBSEAL_CORE_OCI_H

#include "blobseal_oci.h"
#include "core/base/base.h"
#include "core/io/io.h"

/* ---- layer.c: the key material of a layer ------------------------------------------------------------------------ */

#define BS_OCI_DEK_LEN   32
#define BS_OCI_NONCE_LEN 16
#define BS_OCI_HMAC_LEN  32
#define BS_OCI_CIPHER    "AES_256_CTR_HMAC_SHA256"

/* What the private and public options of a layer contain. */
struct bs_oci_key {
    uint8_t dek[BS_OCI_DEK_LEN];     /* private; also the key of the HMAC                                         */
    uint8_t nonce[BS_OCI_NONCE_LEN]; /* private; the first counter block                                          */
    uint8_t hmac[BS_OCI_HMAC_LEN];   /* public; of the ciphertext                                                 */
    char digest[72];                 /* private; "sha256:" and hex, or empty. Set by encrypting, else not trusted */
    bool has_hmac;
};

/* In secret memory, which is empty in a forked child. */
struct blobseal_oci_layer {
    uint64_t process; /* that made it */
    struct bs_oci_key key;
    bool used; /* the key has encrypted something, or comes from somebody else, so it must not encrypt */
};

/* Make a layer without keys, for somebody else's keys: it can decrypt once they and an HMAC are set. Errors: E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_layer_alloc(struct blobseal_oci_layer **layer,
                                                          struct blobseal_error *err);

/* ---- cipher.c: AES_256_CTR_HMAC_SHA256 over pieces of a layer ---------------------------------------------------- */

/* Which parts of a cipher are needed. */
enum {
    BS_OCI_CRYPT = 1 << 0,         /* encrypting, which is the same as decrypting */
    BS_OCI_HMAC = 1 << 1,          /* of the ciphertext                           */
    BS_OCI_STORED_DIGEST = 1 << 2, /* of the ciphertext                           */
    BS_OCI_PLAIN_DIGEST = 1 << 3,
};

struct bs_oci_cipher; /* in secret memory */

/*
 * Start a cipher with the @parts that are needed. Encrypting, adding ciphertext and adding plaintext may be done by
 * three threads at once, each of it by one thread at a time. Release it with bs_oci_cipher_free(), to which NULL may be
 * passed. Errors: E_NOMEM, E_CONFIG, E_INTERNAL.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_cipher_new(struct bs_oci_cipher **cipher, const struct bs_oci_key *key,
                                                         uint32_t parts, struct blobseal_error *err);
void bs_oci_cipher_free(struct bs_oci_cipher *c);

/* Encrypt or decrypt @len bytes that are at @offset in the layer, a multiple of 16. @out and @in must be identical or
 * must not overlap. Return false if OpenSSL failed. */
BLOBSEAL_MUST_USE bool bs_oci_crypt(struct bs_oci_cipher *c, uint64_t offset, uint8_t *out, const uint8_t *in,
                                    size_t len);

/* Add bytes, in order: ciphertext to the HMAC and to its digest, plaintext to its digest, or as many bytes of both in
 * one loop. Failures are reported at the end. */
void bs_oci_add_stored(struct bs_oci_cipher *c, const uint8_t *p, size_t len);
void bs_oci_add_plain(struct bs_oci_cipher *c, const uint8_t *p, size_t len);
void bs_oci_add_both(struct bs_oci_cipher *c, const uint8_t *stored, const uint8_t *plain, size_t len);

/* Return true if bs_oci_add_both() takes little longer than one of the other two. */
bool bs_oci_both_are_cheap(const struct bs_oci_cipher *c);

/* The results of a cipher. Those of parts that it does not have are zero. */
struct bs_oci_results {
    uint8_t hmac[BS_OCI_HMAC_LEN], stored[BS_SHA256_LEN], plain[BS_SHA256_LEN];
};

/* Complete the HMAC and the digests. Call it once. Errors: E_NOMEM, E_INTERNAL. */
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_cipher_end(struct bs_oci_cipher *c, struct bs_oci_results *results,
                                                         struct blobseal_error *err);

/* ---- stages.c: pieces of a layer pass through stages, on several threads ----------------------------------------- */

/* The first pieces are small, so that their buffers come from the heap. Lengths are multiples of 16. */
#define BS_OCI_FIRST_PIECES    16u
#define BS_OCI_FIRST_PIECE_LEN ((size_t)32 << 10)
#define BS_OCI_PIECE_LEN       ((size_t)256 << 10)
#define BS_OCI_MAX_STAGES      6

struct bs_oci_piece {
    uint8_t *in, *out; /* buffers of the same length                                   */
    size_t cap;        /* their length                                                 */
    size_t len;        /* set by the first stage: fewer than @cap only in the last one */
    uint64_t offset;   /* set by the first stage: position in the layer                */
    uint64_t index;    /* number of the piece                                          */
};

/* A stage handles one piece at a time, in order. */
struct bs_oci_stage {
    enum blobseal_status (*run)(void *ctx, struct bs_oci_piece *piece, struct blobseal_error *err);
    uint32_t after; /* the earlier stages, as bits, that must be done with a piece before this one starts */
    bool may_block; /* so there is one thread more, which computes meanwhile                              */
};

struct bs_oci_stages {
    void *ctx;
    const struct bs_oci_stage *stages; /* the first one reads */
    unsigned num;
    unsigned threads;                     /* at least 1                                       */
    size_t piece_len;                     /* a multiple of 16                                 */
    uint64_t first, max;                  /* the number of the first piece, and the most pieces to handle */
    const struct blobseal_source *source; /* to cancel a read that blocks                     */
    blobseal_progress_fn progress;        /* may be NULL                                      */
    void *progress_ctx;
};

/*
 * Run pieces through all stages, up to the last one, which is shorter than the others and may be empty. After a
 * failure, pieces before the one that failed are finished, and the error of the lowest piece is reported. All threads
 * have ended when this returns. Errors: E_NOMEM; E_CANCELED if progress() returned false; those of the stages.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_stages_run(const struct bs_oci_stages *stages,
                                                         struct blobseal_error *err);

/* ---- run.c: passes over a layer ---------------------------------------------------------------------------------- */

/* A function that looks at pieces, in order, right after they were read. */
typedef enum blobseal_status (*bs_oci_check_fn)(void *ctx, const struct bs_oci_piece *piece,
                                                struct blobseal_error *err);

struct bs_oci_pass {
    struct bs_input input;
    const struct blobseal_sink *sink; /* NULL: nothing is written           */
    uint32_t parts;                   /* what is computed: BS_OCI_ bits     */
    bool encrypts;                    /* the input is plaintext             */
    bs_oci_check_fn check;            /* may be NULL                        */
    void *check_ctx;
    uint64_t bytes; /* result: length of the layer        */

    /* Of run.c. */
    struct bs_oci_cipher *cipher;
    bool ended; /* the input has been read up to its end */
    struct bs_oci_stage stages[BS_OCI_MAX_STAGES];
    unsigned num;
};

/* Run a pass over a layer. Errors: those of source, sink and check(), E_NOMEM, E_CONFIG, E_INTERNAL, E_CANCELED. */
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_pass_run(struct bs_oci_pass *pass, const struct bs_oci_key *key,
                                                       const struct blobseal_oci_run_options *o,
                                                       struct bs_oci_results *results, struct blobseal_error *err);

/* Compare the HMAC of a layer with the one computed. Errors: E_AUTH. */
BLOBSEAL_MUST_USE enum blobseal_status
bs_oci_check_hmac(const struct bs_oci_key *key, const struct bs_oci_results *results, struct blobseal_error *err);

/* Check what the public functions have in common: options and digests, and that a layer can be decrypted. Errors:
 * E_ARG. */
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_import_options(struct blobseal_oci_run_options *own,
                                                             const struct blobseal_oci_run_options *theirs,
                                                             struct blobseal_oci_digests *digests,
                                                             struct blobseal_error *err);
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_check_layer(const struct blobseal_oci_layer *layer,
                                                          struct blobseal_error *err);

/* Copy results to the caller's digests, which may be NULL. */
void bs_oci_report(uint64_t bytes, const struct bs_oci_results *results, struct blobseal_oci_digests *theirs);

#endif

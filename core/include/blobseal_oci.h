/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blobseal_oci.h - encrypt and decrypt layers of OCI images in the format of ocicrypt, which stock container tools
 * read.
 *
 * The rules of blobseal.h hold here as well. A layer is encrypted with AES-256 in counter mode, and authenticated with
 * HMAC-SHA-256 over the ciphertext (AES_256_CTR_HMAC_SHA256). The ciphertext is as long as the plaintext and contains
 * nothing else; keys and HMAC are stored in annotations of the layer's descriptor.
 *
 * The HMAC of a layer is known to be right only after its last byte, because the format has just one. Functions that
 * decrypt say what they release before.
 */
#ifndef BLOBSEAL_OCI_H
#define BLOBSEAL_OCI_H

#include <blobseal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The cipher of layers ---------------------------------------------------------------------------------------- */

struct blobseal_oci_layer; /* the data key, nonce and HMAC of one layer, in secret memory */

/**
 * blobseal_oci_layer_new - make a layer with a fresh data key and a fresh nonce
 * @layer: receives the layer; release it with blobseal_oci_layer_free()
 *
 * Errors: E_CONFIG (OpenSSL has no random generator).
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_oci_layer_new(struct blobseal_oci_layer **layer,
                                                                           struct blobseal_error *err);

/* Wipe and release @layer. NULL is allowed. */
BLOBSEAL_API void blobseal_oci_layer_free(struct blobseal_oci_layer *layer);

struct blobseal_oci_run_options {
    size_t size;
    unsigned threads; /* threads that compute; 0: one per available CPU, of which at most six are of use */
    blobseal_progress_fn progress;
    void *progress_ctx;
};

/* What a run computed. */
struct blobseal_oci_digests {
    size_t size;
    uint64_t bytes;            /* length of the layer                                        */
    uint8_t plain_sha256[32];  /* of the plaintext, as stored in the image before encryption */
    uint8_t stored_sha256[32]; /* of the ciphertext                                         */
};

/**
 * blobseal_oci_encrypt - encrypt a layer
 * @layer: a layer from blobseal_oci_layer_new() that has not encrypted anything yet: one key encrypts one layer.
 * Receives the HMAC and the digest of the plaintext
 * @source: the plaintext, read once from its start to its end
 * @sink: receives the ciphertext, in order
 * @options: may be NULL
 * @digests: receives the digests; may be NULL. Compare the one of the plaintext with the descriptor of the source
 *
 * Starts threads for layers of more than a few hundred KiB. Memory: less than 8 MiB for any length.
 * Errors: E_ARG (the layer has been used), E_CONFIG (OpenSSL lacks an algorithm), E_CANCELED, those of source and sink.
 * Source: ocicrypt's AES_256_CTR_HMAC_SHA256; NIST SP 800-38A, FIPS 198-1.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_oci_encrypt(struct blobseal_oci_layer *layer, const struct blobseal_source *source,
                     const struct blobseal_sink *sink, const struct blobseal_oci_run_options *options,
                     struct blobseal_oci_digests *digests, struct blobseal_error *err);

/**
 * blobseal_oci_decrypt - decrypt a layer in one pass
 * @layer: the layer, with its HMAC
 * @source: the ciphertext, read once from its start to its end
 * @sink: receives the plaintext, in order, before it is verified: discard it unless this function succeeds. NULL: the
 * layer is only verified
 * @options: may be NULL
 * @digests: receives the digests; NULL: none is computed
 *
 * Threads and memory as for blobseal_oci_encrypt(). Many threads may decrypt with one layer at once.
 * Errors: E_AUTH (the HMAC does not match, reported after the last byte), E_ARG (the layer has no HMAC), E_CONFIG,
 * E_CANCELED, those of source and sink.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_oci_decrypt(const struct blobseal_oci_layer *layer, const struct blobseal_source *source,
                     const struct blobseal_sink *sink, const struct blobseal_oci_run_options *options,
                     struct blobseal_oci_digests *digests, struct blobseal_error *err);

/**
 * blobseal_oci_decrypt_verified - verify a layer, and then decrypt it
 * @source: the ciphertext, which must be seekable. It is read twice
 * @sink: receives the plaintext, in order, of which every byte has been verified
 * @layer, @options, @digests: as for blobseal_oci_decrypt()
 *
 * The first pass verifies the HMAC, the second one decrypts. The first pass also computes a keyed checksum of each
 * piece, which the second one compares before it releases the piece, so a source that others change meanwhile releases
 * no other bytes. Progress is reported during the second pass.
 * Memory: 64 bytes per MiB of the layer more than blobseal_oci_decrypt().
 * Errors: E_AUTH (nothing has been written), E_INPUT (the source changed between the passes: a part may have been
 * written), E_ARG (the source is not seekable, the layer has no HMAC), E_CONFIG, E_CANCELED, those of source and sink.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_oci_decrypt_verified(const struct blobseal_oci_layer *layer, const struct blobseal_source *source,
                              const struct blobseal_sink *sink, const struct blobseal_oci_run_options *options,
                              struct blobseal_oci_digests *digests, struct blobseal_error *err);

#ifdef __cplusplus
}
#endif

#endif

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
 * Starts threads for layers of 1 MiB and more. Memory: less than 8 MiB for any length.
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
 * no other bytes. Each pass counts as half of the progress.
 * Memory: 64 bytes per MiB of the layer more than blobseal_oci_decrypt().
 * Errors: E_AUTH (nothing has been written), E_INPUT (the source changed between the passes: a part may have been
 * written), E_ARG (the source is not seekable, the layer has no HMAC), E_CONFIG, E_CANCELED, those of source and sink.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_oci_decrypt_verified(const struct blobseal_oci_layer *layer, const struct blobseal_source *source,
                              const struct blobseal_sink *sink, const struct blobseal_oci_run_options *options,
                              struct blobseal_oci_digests *digests, struct blobseal_error *err);

/*
 * Return the digest of the plaintext that the keys of a layer came with, such as "sha256:...", or "": what the writer
 * of the layer says, and not verified. Valid as long as @layer.
 */
BLOBSEAL_API const char *blobseal_oci_layer_digest(const struct blobseal_oci_layer *layer);

/*
 * Replace that digest by the one of the plaintext in @digests, which blobseal_oci_decrypt() has computed with @layer.
 * Call it before blobseal_oci_wrap() wraps the keys of a layer from somebody else again, for an image that keeps its
 * ciphertext. Errors: E_ARG.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_oci_layer_confirm(struct blobseal_oci_layer *layer, const struct blobseal_oci_digests *digests,
                           struct blobseal_error *err);

/* ---- Keys of a layer, in its annotations ------------------------------------------------------------------------- */

/* An annotation of the layer's descriptor. */
struct blobseal_oci_annotation {
    const char *key;
    const char *value;
};

/* Annotations that the library made, in one allocation. Only the library makes it, so it may grow. */
struct blobseal_oci_annotations {
    size_t num;
    const struct blobseal_oci_annotation *list;
};

/* Release @list. NULL is allowed. */
BLOBSEAL_API void blobseal_oci_annotations_free(struct blobseal_oci_annotations *list);

/* Annotations with other keys than this one and those that begin with it belong to somebody else, and are ignored. */
#define BLOBSEAL_OCI_PREFIX "org.opencontainers.image.enc."

struct blobseal_oci_wrap_options {
    size_t size;
    uint32_t timeout_ms; /* see struct blobseal_call_options */
    const int *cancel;
    bool
        provider; /* wrap for all keys in the annotation of this library as well, so that its key provider finds them */
    bool pkcs11;  /* wrap for RSA keys in the annotation `pkcs11` as well                                             */
};

/**
 * blobseal_oci_wrap - write the annotations of an encrypted layer
 * @layer: what blobseal_oci_encrypt() has encrypted
 * @keks: the recipients, 1 to 64, each once
 * @options: may be NULL
 * @list: receives the public options and the wrapped keys; release it with blobseal_oci_annotations_free()
 *
 * All RSA keys whose public half the provider reveals are recipients of one JWE, which tools that know ocicrypt open
 * with the private key. Keys that are not in a file are recipients in the annotation of this library, too: such tools
 * open it through a key provider.
 * Cost: a wrap for each recipient and annotation.
 * Errors: E_ARG, also if a key appears twice or the layer was not encrypted; E_POLICY if there are too many recipients;
 * E_UNSUPPORTED if `pkcs11` is set and there is no RSA key; E_CONFIG if an RSA key is too short for `pkcs11`; those of
 * providers. Source: ocicrypt; section 12.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_oci_wrap(const struct blobseal_oci_layer *layer,
                                                                      struct blobseal_kek *const *keks, size_t num_keks,
                                                                      const struct blobseal_oci_wrap_options *options,
                                                                      struct blobseal_oci_annotations **list,
                                                                      struct blobseal_error *err);

/**
 * blobseal_oci_unwrap - get the keys of an encrypted layer
 * @layer: receives what blobseal_oci_decrypt() needs; release it with blobseal_oci_layer_free()
 * @annotations: all annotations of the descriptor
 * @keks: keys to try
 * @options: may be NULL
 *
 * Opens JWEs with RSA recipients, the annotation `pkcs11`, and that of this library. What comes first and opens counts.
 * At most 8 unwraps are attempted. The digest in the private options is not authentic for anybody but their writer, and
 * is only a hint.
 * Errors: E_NO_KEY; E_UNSUPPORTED if no key fits and there are recipients of another kind, which the error names, or if
 * the layer has another cipher; E_AUTH; E_FORMAT (malformed options; a nonce in the public options that is another one
 * than the private one; no public options); those of providers. Source: ocicrypt; section 12.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_oci_unwrap(struct blobseal_oci_layer **layer, const struct blobseal_oci_annotation *annotations, size_t num,
                    struct blobseal_kek *const *keks, size_t num_keks, const struct blobseal_call_options *options,
                    struct blobseal_error *err);

/* A recipient, as the annotations name it. Nothing of it is authentic. All strings are printable. */
struct blobseal_oci_recipient {
    const char *scheme; /* "jwe", "pkcs7", "pgp", "pkcs11", "provider.NAME"        */
    const char *alg;    /* NULL if the scheme does not say                         */
    const char *kid;    /* NULL if the recipient is not named                      */
    bool supported;     /* this version of the library can open it, given its key  */
    bool malformed;     /* what the annotation contains is not valid in its scheme */
};

/* Only the library makes it, so it may grow. */
struct blobseal_oci_recipients {
    size_t num;
    const struct blobseal_oci_recipient *list;
    bool chunked;    /* the cipher is BLOBSEAL_V1: see blobseal_oci_envelope()                            */
    bool has_cipher; /* the public options are there and valid, and name a cipher that this version knows */
};

/* Release @list. NULL is allowed. */
BLOBSEAL_API void blobseal_oci_recipients_free(struct blobseal_oci_recipients *list);

/* List the recipients of a layer, without a key. What is malformed is an entry, not an error. Errors: E_FORMAT if an
 * annotation appears twice or is too large. */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_oci_recipients(const struct blobseal_oci_annotation *annotations, size_t num,
                        struct blobseal_oci_recipients **list, struct blobseal_error *err);

/* What to change. */
struct blobseal_oci_change {
    size_t size;
    struct blobseal_kek *const *to; /* keys to add; those that are recipients already are left unchanged */
    size_t num_to;
    const char *const *remove; /* kids of recipients to remove; those that do not exist are ignored */
    size_t num_remove;
    bool replace;        /* rotation: remove all recipients, of any kind and named or not, that are not in @to */
    bool provider;       /* as in struct blobseal_oci_wrap_options, for the keys in @to */
    bool pkcs11;         /* likewise                                                    */
    uint32_t timeout_ms; /* see struct blobseal_call_options */
    const int *cancel;
};

/* What was done. */
struct blobseal_oci_change_result {
    size_t size;
    bool changed;
    size_t added, removed, kept; /* keys that are recipients; without a name, each recipient counts as a key */
};

/**
 * blobseal_oci_change - change the recipients of an encrypted layer, whose ciphertext stays as it is
 * @annotations: all annotations of the descriptor
 * @keks: keys that open the layer, and public keys of recipients who stay
 * @list: receives the annotations that replace all those with BLOBSEAL_OCI_PREFIX; release it with
 * blobseal_oci_annotations_free()
 * @result: receives what was done; may be NULL
 *
 * Who was a recipient keeps what he has: the keys of the layer do not change. Adding leaves what there is as it is, and
 * removing makes a new JWE for those who were in one with the removed recipient.
 * Errors: those of blobseal_oci_unwrap(); E_POLICY if no recipient would be left, if a public key is needed that was
 * not passed, or if a recipient is to be removed and there are recipients that are not named, so that it may be one of
 * them; E_CONFIG for a layer with BLOBSEAL_V1, whose envelope blobseal_change_envelope() changes.
 * Source: ocicrypt; section 12.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_oci_change(const struct blobseal_oci_annotation *annotations, size_t num, struct blobseal_kek *const *keks,
                    size_t num_keks, const struct blobseal_oci_change *change, struct blobseal_oci_annotations **list,
                    struct blobseal_oci_change_result *result, struct blobseal_error *err);

/* ---- Layers in the format of this library: cipher BLOBSEAL_V1 ---------------------------------------------------- */

/* Make the annotations of a layer that is a blob with bare segments, from its detached @envelope. Release @list with
 * blobseal_oci_annotations_free(). Errors: E_ARG if @envelope is empty or too large. Source: section 12. */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_oci_chunked_annotations(const char *envelope, size_t len, struct blobseal_oci_annotations **list,
                                 struct blobseal_error *err);

/* Get the envelope of such a layer, zero-terminated; release it with blobseal_free(). Errors: E_UNSUPPORTED for another
 * cipher, E_FORMAT. Source: section 12. */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_oci_envelope(const struct blobseal_oci_annotation *annotations, size_t num, char **envelope, size_t *len,
                      struct blobseal_error *err);

/* ---- Messages of other programs ---------------------------------------------------------------------------------- */

/*
 * How keys are found that a message names. @name is 1 to 64 letters, digits, '.', '-' and '_', the first a letter or
 * digit; NULL asks for all keys that may be used. The function adds up to *@num keys at @keks, and sets *@num to how
 * many; the library closes them. It decides which names are allowed: who sends a message may be less trusted than who
 * runs the program. May return E_CONFIG, E_POLICY, E_INPUT, E_NOMEM, E_UNAVAILABLE, E_DENIED, E_UNSUPPORTED and
 * E_CANCELED.
 */
typedef enum blobseal_status (*blobseal_oci_keys_fn)(void *ctx, const char *name, struct blobseal_kek **keks,
                                                     size_t *num, struct blobseal_error *err);

struct blobseal_oci_keyprovider_options {
    size_t size;
    blobseal_oci_keys_fn keys; /* NULL: only keys in the message */
    void *keys_ctx;
    uint32_t timeout_ms; /* see struct blobseal_call_options */
    const int *cancel;
};

#define BLOBSEAL_OCI_MAX_MESSAGE ((size_t)4 << 20) /* bytes of a message or payload */

/**
 * blobseal_oci_keyprovider - answer a message of ocicrypt's key-provider protocol
 * @request: the message, @len bytes, best in memory from blobseal_secret_alloc(). It is changed while it is parsed, and
 * wiped before this function returns
 * @reply: receives the answer, zero-terminated; release it with blobseal_secret_free()
 *
 * The message asks to wrap the private options of a layer (keywrap) or to unwrap them (keyunwrap). Bytes in it are
 * base64 strings or arrays of numbers; the answer has strings. Of the parameters only the entry "blobseal" is read.
 * Each of its values is the name of a key, a key in PEM, or "Enabled", which ocicrypt sends if the user passes no
 * value: it stands for all keys that may be used. If the entry is missing, all of them are tried for unwrapping.
 * Errors: E_FORMAT (malformed), E_UNSUPPORTED (another operation; another kind of wrapped key), E_POLICY (a value that
 * is neither, such as a path or a URI), E_CONFIG (no key was named for wrapping, and none may be used), those of
 * blobseal_oci_wrap(), blobseal_oci_unwrap() and options->keys. Source: ocicrypt; section 12.1.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_oci_keyprovider(char *request, size_t len, const struct blobseal_oci_keyprovider_options *options,
                         char **reply, size_t *reply_len, struct blobseal_error *err);

/* A private key that a payload contains, and its passphrase. Neither is zero-terminated. */
struct blobseal_oci_payload_key {
    const char *key;
    size_t key_len;
    const char *passphrase; /* NULL: none */
    size_t passphrase_len;
};

/* What a payload contains. Only the library makes it, so it may grow. */
struct blobseal_oci_payload {
    const char *media_type, *digest; /* of the descriptor; empty if it has none */
    uint64_t size;                   /* of the layer; BLOBSEAL_SIZE_UNKNOWN     */
    size_t num_annotations;
    const struct blobseal_oci_annotation *annotations;
    size_t num_keys;
    const struct blobseal_oci_payload_key *keys;
};

/**
 * blobseal_oci_payload_read - read the payload that containerd passes to a stream processor for encrypted layers
 * @payload: receives the payload, in secret memory; release it with blobseal_oci_payload_free()
 * @bytes: @len bytes of a protobuf message of the type Any, which the caller wipes
 *
 * Of the parameters for decrypting, only private keys and their passphrases are read.
 * Errors: E_FORMAT (malformed), E_UNSUPPORTED (another type). Source: containerd/imgcrypt.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_oci_payload_read(struct blobseal_oci_payload **payload,
                                                                              const void *bytes, size_t len,
                                                                              struct blobseal_error *err);

/* Wipe and release @payload. NULL is allowed. */
BLOBSEAL_API void blobseal_oci_payload_free(struct blobseal_oci_payload *payload);

#ifdef __cplusplus
}
#endif

#endif

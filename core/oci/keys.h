/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of a layer: private and public options, and the annotations in which the private options are wrapped for
 * recipients. FORMAT.md section 12 specifies what is not ocicrypt's.
 */
#ifndef BLOBSEAL_OCI_KEYS_H
#define BLOBSEAL_OCI_KEYS_H

#include "core/envelope/envelope.h"
#include "core/jwe/jwe.h"
#include "core/oci/oci.h"
#include "kek/kek.h"

/* ---- options.c: private and public options ----------------------------------------------------------------------- */

#define BS_OCI_MAX_OPTIONS 4096 /* of either kind, in bytes of JSON */

enum bs_oci_cipher_id { BS_OCI_CTR_HMAC, BS_OCI_CHUNKED };

/* The public options. */
struct bs_oci_public {
    enum bs_oci_cipher_id cipher;
    uint8_t hmac[BS_OCI_HMAC_LEN]; /* zero for BS_OCI_CHUNKED */
    bool has_nonce;
    uint8_t nonce[BS_OCI_NONCE_LEN];
};

/* Parse private options in place, in secret memory. @key is zero after a failure. Errors: E_FORMAT. */
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_private_read(struct bs_oci_key *key, uint8_t *text, size_t len,
                                                           struct blobseal_error *err);

/* Append private options as ocicrypt writes them. @digest may be empty. */
void bs_oci_private_write(struct bs_builder *out, const struct bs_oci_key *key, const char *digest);

/* Parse public options in place. Errors: E_FORMAT, E_UNSUPPORTED. */
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_public_read(struct bs_oci_public *options, uint8_t *text, size_t len,
                                                          struct blobseal_error *err);

/* Append public options as ocicrypt writes them. @hmac is NULL for BS_OCI_CHUNKED. */
void bs_oci_public_write(struct bs_builder *out, const uint8_t *hmac);

/* Check that the layer has the cipher of ocicrypt. Errors: E_UNSUPPORTED. */
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_check_cipher(const struct bs_oci_public *options,
                                                           struct blobseal_error *err);

/* Complete @key, which is from private options, with what the public ones say. Errors: E_FORMAT if they contain another
 * nonce, which ocicrypt would prefer; E_UNSUPPORTED. */
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_key_complete(struct bs_oci_key *key, const struct bs_oci_public *options,
                                                           struct blobseal_error *err);

/* ---- annotations.c: what the annotations of a layer contain ------------------------------------------------------ */

#define BS_OCI_KEYS_PREFIX "org.opencontainers.image.enc.keys."
#define BS_OCI_PUBOPTS     "org.opencontainers.image.enc.pubopts"
#define BS_OCI_MAX_ITEMS   128 /* wrapped keys of one layer, in all of its annotations */

enum bs_oci_scheme { BS_OCI_JWE, BS_OCI_OURS, BS_OCI_PKCS11, BS_OCI_PKCS7, BS_OCI_PGP, BS_OCI_OTHER };

/* One of the elements, separated by commas, of an annotation with wrapped keys. */
struct bs_oci_item {
    enum bs_oci_scheme scheme;
    const char *key;       /* of the annotation                                    */
    const char *name;      /* the part of it after BS_OCI_KEYS_PREFIX, as "pkcs7"   */
    struct bs_slice text;  /* as it stands in the annotation                       */
    struct bs_slice bytes; /* what it stands for; empty if it is not base64        */
};

struct bs_oci_items {
    size_t num;
    struct bs_oci_item list[BS_OCI_MAX_ITEMS]; /* in the order of bs_oci_scheme */
    const char *public_text;                   /* the annotation with the public options; NULL if there is none */
    uint8_t *buf;
};

/* Read the annotations of a layer, which must outlive @items. Release them with bs_oci_items_clear(), also after a
 * failure. Errors: E_FORMAT, E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_items_read(struct bs_oci_items *items,
                                                         const struct blobseal_oci_annotation *annotations, size_t num,
                                                         struct blobseal_error *err);
void bs_oci_items_clear(struct bs_oci_items *items);

/* Read the public options. Errors: E_FORMAT, also if there are none; E_UNSUPPORTED. */
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_items_public(const struct bs_oci_items *items,
                                                           struct bs_oci_public *options, struct blobseal_error *err);

/* Annotations that are being written. */
struct bs_oci_output {
    size_t num;
    struct {
        char *key, *value;
    } list[BS_OCI_MAX_ITEMS + 1];
    bool no_memory;
};

/* Append an element to the annotation @key, which is added if there is none yet: text that is base64 already, or bytes.
 * A lack of memory is reported by bs_oci_output_end(). */
void bs_oci_output_text(struct bs_oci_output *out, const char *key, struct bs_slice text);
void bs_oci_output_bytes(struct bs_oci_output *out, const char *key, struct bs_slice bytes);

/* Move all annotations to @list, unless @st is an error already, and clear @out. Errors: @st, E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_output_end(struct bs_oci_output *out,
                                                         struct blobseal_oci_annotations **list,
                                                         enum blobseal_status st, struct blobseal_error *err);

/* ---- seal.c: wrapping the private options for recipients --------------------------------------------------------- */

/* Return the annotation of a scheme that this library writes. */
const char *bs_oci_annotation_key(enum bs_oci_scheme scheme);

/*
 * Encrypt private options for all @keks, and append the element to the annotation of @scheme, which is BS_OCI_JWE or
 * BS_OCI_OURS. @generation is for the latter. Errors: E_ARG if a key appears twice; E_POLICY, E_NOMEM, E_INTERNAL,
 * those of providers.
 */
struct bs_oci_sealing {
    enum bs_oci_scheme scheme;
    uint64_t generation;
    struct bs_slice options; /* in secret memory */
};
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_seal(struct bs_oci_output *out, const struct bs_oci_sealing *sealing,
                                                   struct bs_keks keks, struct blobseal_error *err);

/* The same without an annotation, into @out. */
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_seal_jwe(struct bs_builder *out, const struct bs_oci_sealing *sealing,
                                                       struct bs_keks keks, struct blobseal_error *err);

/* ---- wrap.c: what a layer is given ------------------------------------------------------------------------------- */

/* Wrap private options in all annotations that fit @keks. Errors: those of bs_oci_seal(). */
struct bs_oci_wrapping {
    struct bs_slice options; /* in secret memory */
    uint64_t generation;
    bool provider, pkcs11; /* of struct blobseal_oci_wrap_options */
};
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_wrap_into(struct bs_oci_output *out, const struct bs_oci_wrapping *w,
                                                        struct bs_keks keks, struct blobseal_error *err);

/* Find out in which annotation the recipient of a KEK belongs. Errors: those of the provider. */
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_place(struct blobseal_kek *kek, const struct bs_oci_wrapping *w,
                                                    const struct blobseal_call *call, bool *in_jwe, bool *in_ours,
                                                    struct blobseal_error *err);

/* Append the public options. @hmac is NULL for BS_OCI_CHUNKED. */
void bs_oci_output_public(struct bs_oci_output *out, const uint8_t *hmac);

/* ---- jwe.c: JWEs with private options: ocicrypt's, and those of section 12.1 ------------------------------------- */

struct bs_oci_jwe {
    struct bs_jwe jwe;
    bool ours;
    uint64_t generation;         /* of section 12.1 */
    uint8_t rcpt[BS_SHA256_LEN]; /* of section 12.1 */
};

/* Parse a JWE of @scheme, BS_OCI_JWE or BS_OCI_OURS. Release it with bs_oci_jwe_clear(), also after a failure. Errors:
 * E_FORMAT, E_UNSUPPORTED (of ours: also the envelope of a blob), E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_jwe_parse(struct bs_oci_jwe *j, enum bs_oci_scheme scheme,
                                                        struct bs_slice text, struct blobseal_error *err);
void bs_oci_jwe_clear(struct bs_oci_jwe *j);

/* Write the protected header of section 12.1. Return its length, or 0 if @cap is too small. */
size_t bs_oci_header_write(char *out, size_t cap, uint64_t generation, const uint8_t rcpt[BS_SHA256_LEN]);

/* ---- pkcs11.c: the annotation `pkcs11` of ocicrypt: private options encrypted directly for RSA keys -------------- */

/* A recipient. The strings and bytes are in the memory of the list. */
struct bs_oci_blob {
    const char *alg; /* "RSA-OAEP" or "RSA-OAEP-256"                                    */
    const char *kid; /* NULL: not named. Only this library writes it; others ignore it */
    struct bs_slice blob;
};

struct bs_oci_blobs {
    size_t num;
    struct bs_oci_blob list[BLOBSEAL_MAX_RECIPIENTS];
    uint8_t *buf;
};

/* Parse an element of the annotation. Release it with bs_oci_blobs_clear(), also after a failure. Errors: E_FORMAT,
 * E_UNSUPPORTED (a version or a hash that is not known), E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_blobs_parse(struct bs_oci_blobs *blobs, struct bs_slice text,
                                                          struct blobseal_error *err);
void bs_oci_blobs_clear(struct bs_oci_blobs *blobs);

/*
 * Encrypt private options for all @keks, which are RSA keys with a public half, and append the element to the
 * annotation. If the options are too long for a key, they are written for it without the digest. Errors: E_CONFIG if
 * they are still too long; those of bs_kek_encrypt().
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_seal_blobs(struct bs_oci_output *out, struct bs_slice options,
                                                         struct bs_keks keks, struct blobseal_error *err);

/* ---- open.c: the search for something that opens ----------------------------------------------------------------- */

/* Private options that were opened, in secret memory. */
struct bs_oci_opened {
    struct bs_oci_key key;
    size_t item; /* which one was opened                 */
    size_t len;
    uint8_t text[BS_OCI_MAX_OPTIONS];   /* the private options as they were wrapped */
    uint8_t parsed[BS_OCI_MAX_OPTIONS]; /* room for parsing                         */
};

/* Return true if a key id names a key in one of the ways in which this library names keys, so that it can be compared
 * with theirs. @kid may be NULL. */
bool bs_oci_names_a_key(const char *kid);

/* What is known after some elements did not open. */
struct bs_oci_search {
    struct bs_keks keks;
    unsigned attempts, remote;       /* remote: those over a network                                 */
    uint64_t deadline_ms;            /* see bs_kek_limit()                                          */
    bool refused;                    /* something did not decrypt                                    */
    struct blobseal_error first;     /* the first provider that could not be asked, or denied        */
    struct blobseal_error malformed; /* the first element that is malformed                          */
    char foreign[80];                /* what kind of recipient cannot be opened; empty: there is none */
};

/* Try to open one element. Return E_NO_KEY if it does not open, which is noted in @s; other errors end the search. */
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_open_item(struct bs_oci_search *s, const struct bs_oci_item *item,
                                                        struct bs_oci_opened *opened, struct blobseal_error *err);

/* Report why nothing opened. */
enum blobseal_status bs_oci_open_failed(const struct bs_oci_search *s, struct blobseal_error *err);

/* Open the first element that opens. *@opened is from blobseal_secret_alloc(). Errors: those of blobseal_oci_unwrap().
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_oci_open(struct bs_oci_opened **opened, const struct bs_oci_items *items,
                                                   struct bs_keks keks, struct blobseal_error *err);

/* ---- message.c: bytes in the JSON of other programs -------------------------------------------------------------- */

/*
 * Read bytes that JSON contains as a base64 string or as an array of numbers, and decode them in place. `null` gives
 * out->p = NULL. Return false if it is anything else; then the JSON is malformed, too.
 */
bool bs_oci_read_bytes(struct bs_json *j, struct bs_slice *out);

/* Read an array of at most *@num such values, and set *@num. `null` is an empty array. Return false as above. */
bool bs_oci_read_list(struct bs_json *j, struct bs_slice *list, size_t *num);

/* Reads or skips the value of a parameter. */
typedef void (*bs_oci_parameter_fn)(void *ctx, struct bs_slice name, struct bs_json *j);

/* Read {"Parameters": {NAME: VALUE, ...}, ...}, where either object may be `null`, and call @fn for each parameter.
 * Other members are skipped. */
void bs_oci_read_parameters(struct bs_json *j, bs_oci_parameter_fn fn, void *ctx);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of blobseal-ctd-decoder share, one section per .c file. */
#ifndef BLOBSEAL_DECODER_H
#define BLOBSEAL_DECODER_H

#include <blobseal_config.h>
#include <blobseal_oci.h>
#include <openssl/types.h>

#include "tools/common/arguments.h"
#include "tools/common/common.h"
#include "tools/common/oci_keys.h"

/* ---- decode.c: from the payload and a layer to its plaintext ----------------------------------------------------- */

struct decoder {
    struct ui *ui;
    const char *folder;   /* --decryption-keys-path; NULL: none                                              */
    const char *spool;    /* the folder for ciphertext                                                       */
    uint64_t limit;       /* of what is spooled, in bytes                                                    */
    bool stream;          /* release larger layers before they are verified                                 */
    struct oci_keys keys; /* to try                                                                          */
    unsigned faults;      /* keys that were named and cannot be used, each with a warning                    */
    char digest[160];     /* of the layer, printable, for messages                                           */
};

/* Decrypt a layer from standard input to standard output. Errors: those of blobseal_oci_unwrap(), E_POLICY (it is too
 * large), E_AUTH, E_INPUT, E_OUTPUT. */
bool decode(struct decoder *d, struct blobseal_error *err);

/* ---- key_text.c: a private key in any form ----------------------------------------------------------------------- */

/* A key as it was given: PEM, DER of a private key, or a JSON Web Key. */
struct key_text {
    const char *name; /* for messages: a path, or where it is from */
    const char *text;
    size_t len;
    const char *passphrase; /* NULL: none */
    size_t passphrase_len;
};

/* Open the private keys in a text, and add them to @keys; public ones are left out. Errors: E_CONFIG, E_NOMEM. */
bool key_text_add(struct oci_keys *keys, const struct key_text *key, struct blobseal_error *err);

/* ---- jwk.c: JSON Web Keys ---------------------------------------------------------------------------------------- */

/* Read an RSA key that is a JSON Web Key. *@key is NULL for a public one. Errors: E_CONFIG, E_NOMEM. */
bool jwk_read(EVP_PKEY **key, const struct key_text *text, struct blobseal_error *err);

/* ---- key_folder.c: --decryption-keys-path ------------------------------------------------------------------------ */

/*
 * Add the keys in a folder and the folders in it. What cannot be used is reported with a warning and counted in
 * d->faults, so that one stray file does not disable all others. Errors: E_NOMEM.
 */
bool key_folder_add(struct decoder *d, const char *path, struct blobseal_error *err);

/* ---- spool.c: ciphertext that waits for its verification --------------------------------------------------------- */

/*
 * Copy standard input to a new file without a name, which only this user can read. Stop after @limit bytes: then
 * *@complete is false, and what follows is still to be read. Return the descriptor, or -1. Errors: E_INPUT, E_OUTPUT.
 */
int spool_input(const char *folder, uint64_t limit, bool *complete, struct blobseal_error *err);

/* A source that reads the spooled part and then the rest of standard input. */
struct spool_stream {
    int fd;
    bool at_end; /* of the file */
};
void spool_stream_source(struct blobseal_source *source, struct spool_stream *stream, int fd);

#endif

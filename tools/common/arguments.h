/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments that need more than parsing: keys with their passphrases, and metadata. */
#ifndef BLOBSEAL_ARGUMENTS_H
#define BLOBSEAL_ARGUMENTS_H

#include <blobseal_config.h>

#include "tools/common/common.h"

/* ---- config.c: the configuration --------------------------------------------------------------------------------- */

/* Name the file of --config, which must stay valid. */
void config_choose(const char *path);

/* Record the uses of keys in the file @path, which must stay valid, whatever the configuration says. */
void config_audit_to(const char *path);

/*
 * Get the configuration of this process, which is loaded at the first call and stays valid until config_free(). Any
 * thread may call this. Errors: E_CONFIG, E_POLICY (others can write a file).
 */
bool config_get(const struct blobseal_config **config, struct blobseal_error *err);

struct config_file {
    const char *path;
    bool was_read; /* false: there is no such file */
};
#define MAX_CONFIG_FILES 3

/* Return the files that config_get() has looked for, in their order. */
const struct config_file *config_files(size_t *num);

/* Return the audit file of the configuration, or NULL if there is none, or no configuration was loaded. */
const char *config_audit_file(void);

/* Return the reference that key:NAME stands for, or @ref itself if it is of another form, or not known (yet). */
const char *config_ref(const char *ref);

/* Release the configuration at the end. */
void config_free(void);

/* ---- keys.c: -k and passphrases ---------------------------------------------------------------------------------- */

struct key_arg {
    const char *ref;
    const char *passphrase_file;
    int passphrase_fd; /* -1: none */
    enum blobseal_oaep oaep;
    /* Found by get_passphrase(): */
    bool asked;      /* the passphrase came from the terminal, so it can be asked for again           */
    const char *odd; /* what nobody means as a part of a passphrase, such as "ends in a CR"; or NULL */
};

struct keys {
    size_t num;
    enum blobseal_use use;
    struct key_arg args[BLOBSEAL_MAX_RECIPIENTS];
    size_t num_keks; /* after keys_open(): a file can have several keys */
    struct blobseal_kek *keks[BLOBSEAL_MAX_RECIPIENTS];
    const struct key_arg *from[BLOBSEAL_MAX_RECIPIENTS]; /* where each of them is from */
    size_t num_lists;
    const char *lists[BLOBSEAL_MAX_RECIPIENTS]; /* files of recipients, which were read */
    char *texts[BLOBSEAL_MAX_RECIPIENTS];       /* references that were read from files of recipients */
    size_t num_texts;
};

/* Make the key of the environment variable BLOBSEAL_KEK, if it is set, the only one of @keys that has none yet. */
void keys_default(struct keys *keys);

/* Add @ref, which must stay valid. Return EXIT_OK, or report a usage error and return its exit code. */
int keys_add(const struct ui *ui, struct keys *keys, const char *ref);

/*
 * Take @option if it is one of KEY_OPTIONS, and return true if it is. *@code is then EXIT_OK, or that of a usage error
 * that was reported.
 */
bool keys_option(const struct ui *ui, struct keys *keys, int option, const char *arg, int *code);
/*
 * Do the same for the two options about the passphrase of @key. If @key is NULL, no key precedes the option, which is a
 * usage error.
 */
bool passphrase_option(const struct ui *ui, struct key_arg *key, int option, const char *arg, int *code);

/* Require that the vaults of keys that are opened from now on do not let them be purged, if something is wrapped for
 * them. */
void keys_require_purge_protection(void);

/* Return true if an argument where an id of a key is expected is a KEY instead. The id of a key in a vault is text like
 * its KEY, so it counts as an id. */
bool names_a_key(const char *text);

/*
 * Open the keys that stand for recipients, and add their ids to @kids, which has *@num of them and room for @cap. A
 * vault is not asked: the id of a key in it is its reference, which means all its versions if it names none. Errors:
 * E_CONFIG for a set, whose recipients have the ids of its set keys.
 */
bool keys_add_ids(struct keys *keys, const char **kids, size_t cap, size_t *num, struct blobseal_error *err);

/* Open all keys that the references name. */
bool keys_open(struct keys *keys, enum blobseal_oaep oaep, struct blobseal_error *err);

/* Warn of keys about which something important could not be found out. They are open, and used to wrap. */
void keys_warn(const struct ui *ui, const struct keys *keys);
void keys_close(struct keys *keys);

/* A blobseal_passphrase_fn over a struct key_arg: read the passphrase from its file, descriptor or the terminal. */
enum blobseal_status get_passphrase(void *key_arg, char *buf, size_t cap, size_t *len, struct blobseal_error *err);

/*
 * Ask twice on the terminal for the passphrase of a new key. Errors: E_CONFIG (no terminal, empty, not the same),
 * E_INPUT.
 */
bool ask_new_passphrase(char *buf, size_t cap, size_t *len, struct blobseal_error *err);

/* Set a hint if something odd in the file of @key's passphrase explains why the passphrase does not fit. */
void explain_passphrase(const struct key_arg *key, struct blobseal_error *err);
/* Complete @err after get_passphrase(), or a function that called it, has failed. */
void passphrase_failed(const struct key_arg *key, struct blobseal_error *err);

/* ---- recipients_file.c: -R --------------------------------------------------------------------------------------- */

/*
 * Add the keys that the file @path lists: one key reference in each line, or public keys in PEM, and comments that
 * start with '#'. A path in it is relative to the folder of @path. Return EXIT_OK, or report an error and return its
 * exit code.
 */
int recipients_file(const struct ui *ui, struct keys *keys, const char *path);

/* ---- metadata.c: --name, --type and --annotation ----------------------------------------------------------------- */

struct metadata_args {
    struct blobseal_metadata metadata;
    struct blobseal_annotation annotations[BLOBSEAL_MAX_ANNOTATIONS];
};

/* Take @option if it is --name, --type or --annotation. Return value and *@code are as for keys_option(). */
bool metadata_option(const struct ui *ui, struct metadata_args *m, int option, const char *arg, int *code);
void metadata_clear(struct metadata_args *m);
/* Print @metadata as lines of text, without characters that could control a terminal. If it is NULL, print nothing. */
void metadata_print(const struct blobseal_metadata *metadata);

#endif

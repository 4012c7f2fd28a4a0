/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blobseal_audit.h - a record of each use of a key.
 *
 * A configuration (blobseal_config.h) can name an audit file, or a callback can be set for it. Every key that is opened
 * with this configuration is then recorded when it is used: each wrap, unwrap and renewal of a lease, each refusal by
 * the owner of the key or by a rule, each reader that is opened with an unlocked key, and what is done to encryption
 * sets. Programs can record events of their own with blobseal_audit().
 *
 * An event is recorded before the caller receives the key or the first byte. If it cannot be recorded, the operation
 * fails, unless the configuration says that records are optional. Records contain no secrets. They are not protected
 * against somebody who can write to the file.
 */
#ifndef BLOBSEAL_AUDIT_H
#define BLOBSEAL_AUDIT_H

#include <blobseal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What happened. Members that do not apply are NULL. The strings are printable, and valid during a call only. */
struct blobseal_audit_event {
    size_t size;
    /* "wrap", "unwrap", "renew" (the lease of a key), "reopen" (a reader was opened with a key that had been unlocked
     * before), "refuse" (a rule of the configuration or of the caller forbids it), "set-create", "set-import",
     * "set-export", "set-rotate", "set-rekey", "set-check" (a set was changed, exported, or needed no change), or a
     * word of the program, of lower case letters, digits and '-' */
    const char *operation;
    enum blobseal_status result; /* BLOBSEAL_OK: it succeeded                                                    */
    const char *provider;        /* the scheme of the key's provider                                             */
    const char *kid;             /* the key                                                                      */
    const uint8_t *blob_id;      /* BLOBSEAL_BLOB_ID_LEN bytes: the blob                                         */
    bool claimed;                /* the blob did not open, so its id and the key id are only what it claims      */
    const char *request_id;      /* of the last request to the owner of the key, which appears in the owner's log */
    bool cached;                 /* no request was needed                                                        */
    const char *subject;         /* what it is about, if not a blob: the name of a set, for example              */
};

/*
 * Receives an event, on the thread that uses the key; several threads may call it at once. A failure makes the
 * operation fail. May return E_OUTPUT, E_NOMEM, E_CANCELED and statuses of its own. It must not use the keys of the
 * same configuration.
 */
typedef enum blobseal_status (*blobseal_audit_fn)(void *ctx, const struct blobseal_audit_event *event,
                                                  struct blobseal_error *err);

/*
 * Let @fn receive the events of @config, in addition to its audit file. @fn must stay valid until everything that was
 * opened with @config has been released. Errors: E_ARG (the configuration is already in use).
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_config_set_audit(struct blobseal_config *config, blobseal_audit_fn fn, void *ctx, struct blobseal_error *err);

/*
 * Record an event of the program. Does nothing if @config is NULL, or has neither an audit file nor a callback. Errors:
 * E_ARG for an operation that is not such a word, E_OUTPUT, those of the callback; none but E_ARG if records are
 * optional.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_audit(const struct blobseal_config *config,
                                                                   const struct blobseal_audit_event *event,
                                                                   struct blobseal_error *err);

#ifdef __cplusplus
}
#endif
#endif

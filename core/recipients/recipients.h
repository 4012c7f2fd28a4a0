/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recipients: changing the recipients of a sealed blob. change.c plans a change and writes the new envelope; in_place.c
 * stores it in the slots of a blob; attach.c copies a blob with another envelope; rewrite.c does both in a
 * copy. FORMAT.md sections 4.7 and 5.
 */
#ifndef BLOBSEAL_RECIPIENTS_H
#define BLOBSEAL_RECIPIENTS_H

#include "core/envelope/envelope.h"

/* ---- change.c: planning a change, and the new envelope (section 4.7) --------------------------------------------- */

/* What the caller asked for. All lists are borrowed from the caller. */
struct bs_change_request {
    struct blobseal_change wanted; /* all members of this version */
    struct bs_keks keks;
    struct blobseal_call call; /* the limits that the caller set */
};

/* Check @wanted and @keks, and store them in @request. Errors: E_ARG. */
BLOBSEAL_MUST_USE enum blobseal_status bs_change_check(struct bs_change_request *request,
                                                       const struct blobseal_change *wanted, struct bs_keks keks,
                                                       struct blobseal_error *err);

/* The current envelope and whether to change it. Points into the preamble or envelope that was passed, and into the
 * change. */
struct bs_change_plan {
    bool changed;                       /* the set of recipients will change                                     */
    struct bs_slice jwe;                /* the current envelope                                                  */
    uint64_t generation;                /* of the current envelope                                               */
    const uint8_t *core_header;         /* the copy in the envelope, BS_CORE_HEADER_LEN bytes; NULL if not opened */
    const struct bs_chunked_keys *keys; /* of the payload; NULL if not opened                             */
};

struct bs_change;

/*
 * Open an envelope of @preamble, or, if that is NULL, the one in request->wanted, and plan the change. @name is the
 * name of the blob, for messages. Release *@change with bs_change_free(), also after a failure. Errors: see
 * blobseal_change_envelope().
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_change_plan(struct bs_change **change,
                                                      const struct bs_change_request *request,
                                                      const struct bs_preamble *preamble, const char *name,
                                                      struct bs_change_plan *plan, struct blobseal_error *err);
void bs_change_free(struct bs_change *change);

/*
 * Write the envelope of the next generation. *@jwe points into @change. Errors: E_POLICY if there is no next generation
 * or the envelope is too large, E_NOMEM, those of providers.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_change_write(struct bs_change *change, struct bs_slice *jwe,
                                                       struct blobseal_error *err);

/*
 * Describe to the caller what was done. @finished: an earlier change was completed, or damage was repaired. Errors:
 * E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_change_report(struct blobseal_change_result **result,
                                                        const struct bs_change *change, bool finished,
                                                        struct blobseal_error *err);

#endif

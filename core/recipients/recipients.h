/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recipients: changing the recipients of a sealed blob. change.c plans a change and writes the new envelope; in_place.c
 * stores it in the slots of a blob; attach.c copies a blob with another envelope. FORMAT.md sections 4.7 and 5.
 */
#ifndef BLOBSEAL_RECIPIENTS_H
#define BLOBSEAL_RECIPIENTS_H

#include "core/envelope/envelope.h"

/* ---- change.c: what is there, what is wanted, and the envelope that follows (section 4.7) ------------------------ */

/* What a caller asked for. Its lists are borrowed. */
struct bs_change_request {
    struct blobseal_change wanted; /* all members of this version */
    struct bs_keks keks;
};

/* Check a request. Errors: E_ARG. */
BLOBSEAL_MUST_USE enum blobseal_status bs_change_check(struct bs_change_request *request,
                                                       const struct blobseal_change *wanted, struct bs_keks keks,
                                                       struct blobseal_error *err);

/* What the change found and is going to do. It points into the preamble or the envelope that were passed, and into the
 * change. */
struct bs_change_plan {
    bool changed;               /* the recipients will be others                                          */
    struct bs_slice jwe;        /* the envelope as it is                                                  */
    uint64_t generation;        /* of that envelope                                                       */
    const uint8_t *core_header; /* the copy in the envelope, BS_CORE_HEADER_LEN bytes; NULL if not opened */
};

struct bs_change;

/*
 * Open an envelope of @preamble, or, if that is NULL, the one in request->wanted, and find out what has to be done.
 * @name is that of the blob, for messages. Release with bs_change_free(), also after a failure. Errors: see
 * blobseal_change_envelope().
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_change_plan(struct bs_change **change,
                                                      const struct bs_change_request *request,
                                                      const struct bs_preamble *preamble, const char *name,
                                                      struct bs_change_plan *plan, struct blobseal_error *err);
void bs_change_free(struct bs_change *change);

/* Write the envelope of the next generation. *@jwe points into the change. Errors: E_POLICY, E_NOMEM, those of
 * providers. */
BLOBSEAL_MUST_USE enum blobseal_status bs_change_write(struct bs_change *change, struct bs_slice *jwe,
                                                       struct blobseal_error *err);

/* Describe what was done. @finished: an earlier change was completed, or damage repaired. Errors: E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_change_report(struct blobseal_change_result **result,
                                                        const struct bs_change *change, bool finished,
                                                        struct blobseal_error *err);

#endif

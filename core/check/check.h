/* SPDX-License-Identifier: Apache-2.0 */
/* check: looking for corruption without a key, and at what this machine can do. */
#ifndef BLOBSEAL_CHECK_H
#define BLOBSEAL_CHECK_H

#include "core/envelope/envelope.h"
#include "kek/kek.h"

/* ---- scrub_front.c, scrub.c: decay, found without a key ---------------------------------------------------------- */

/* Frame and core header at their longest. */
#define BS_MAX_PREAMBLE_LEN (BS_AB_SLOT_OFFSET + 2 * BS_MAX_SLOT_CAPACITY + BS_CORE_HEADER_LEN)

struct bs_scrub {
    const struct blobseal_source *source;
    struct blobseal_scrub_options options;
    struct blobseal_scrub_result result;
    struct bs_input input;             /* of a sequential source: behind `head`                                     */
    uint8_t head[BS_MAX_PREAMBLE_LEN]; /* the first bytes of the blob: all of its front, and often some payload     */
    size_t head_len, head_used;
    uint64_t unreadable;         /* bit i: 4 KiB of `head` from i * 4 KiB could not be read, and are zero             */
    struct bs_preamble preamble; /* its `frame` is `head`: do not clear it                                            */
    bool unrepairable;           /* something else than the front is damaged                                          */
    bool lost;                   /* the payload cannot be found                                                       */
    bool unsure;                 /* the core header is lost: whether and how the payload is summed has to be tried    */
};

/* Count damage and tell the caller. One at a time. */
void bs_scrub_report(struct bs_scrub *s, enum blobseal_damage_kind kind, uint64_t segment, uint64_t off, uint64_t len,
                     const char *format, ...) __attribute__((format(printf, 6, 7)));

/* Read and examine all that stands before the payload. FORMAT (not a blob), UNSUPPORTED, INPUT, NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_scrub_preamble(struct bs_scrub *s, struct blobseal_error *err);

/* ---- diagnose.c -------------------------------------------------------------------------------------------------- */

/* What the self-tests are made of: tests put broken parts in. */
struct bs_diagnosed {
    const struct bs_gcm_impl *gcm;
    uint64_t (*xxh3)(uint64_t seed, const void *p, size_t len);
    bool (*random)(void *p, size_t len, bool secret);
};

void bs_diagnose(const struct bs_diagnosed *what, blobseal_finding_fn fn, void *ctx);

#endif

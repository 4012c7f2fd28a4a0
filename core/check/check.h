/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check: finding corruption in blobs without a key (scrub.c, scrub_preamble.c), and checking the machine, the process
 * and the keys that blobseal uses (diagnose.c). FORMAT.md sections 2, 3 and 5.
 */
#ifndef BLOBSEAL_CHECK_H
#define BLOBSEAL_CHECK_H

#include "core/envelope/envelope.h"
#include "kek/kek.h"

/* ---- scrub_preamble.c, scrub.c: finding corruption without a key ------------------------------------------------- */

/* The length of the longest frame with its core header. */
#define BS_MAX_PREAMBLE_LEN (BS_AB_SLOT_OFFSET + 2 * BS_MAX_SLOT_CAPACITY + BS_CORE_HEADER_LEN)

struct bs_scrub {
    const struct blobseal_source *source;
    struct blobseal_scrub_options options;
    struct blobseal_scrub_result result;
    struct bs_input input;             /* of a sequential source: positioned after `head`                            */
    uint8_t head[BS_MAX_PREAMBLE_LEN]; /* the first bytes of the blob: the whole preamble, and often some payload    */
    size_t head_len;                   /* bytes in `head`                                                            */
    size_t head_used;                  /* bytes of `head` that are preamble or were taken as payload                 */
    uint64_t unreadable;               /* bit i: the 4 KiB of `head` at i * 4 KiB could not be read, and are zero    */
    struct bs_preamble preamble;       /* its `frame` points to `head`, so never call bs_preamble_clear()            */
    bool unrepairable;                 /* something is damaged that bs_preamble_salvage() cannot restore             */
    bool payload_lost;                 /* the position of the payload is unknown                                     */
    bool segments_unknown; /* the core header is lost, and it is unknown whether segments have checksums, or their seed
                            */
};

/* The position of damage, in bytes from the start of the blob. */
struct bs_place {
    uint64_t segment; /* BLOBSEAL_NO_SEGMENT for damage before the payload */
    uint64_t off, len;
};

/* Count damage and report it to the caller. Used by one thread at a time. */
void bs_scrub_report(struct bs_scrub *s, enum blobseal_damage_kind kind, struct bs_place place, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/*
 * Read and check everything before the payload. Damage is reported with bs_scrub_report() and is not an error. Errors:
 * E_FORMAT (not a blob), E_UNSUPPORTED, E_INPUT, E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_scrub_preamble(struct bs_scrub *s, struct blobseal_error *err);

/* ---- diagnose.c: checking the machine and the process ------------------------------------------------------------ */

/* The functions that the self-tests examine. Tests replace them with broken ones. */
struct bs_selftest_parts {
    const struct bs_gcm_impl *gcm;
    uint64_t (*xxh3)(uint64_t seed, const void *p, size_t len);
    bool (*random)(void *p, size_t len, bool secret);
};

/* Do what blobseal_diagnose() does, with @parts. */
void bs_diagnose(const struct bs_selftest_parts *parts, blobseal_finding_fn fn, void *ctx);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The push stream: sealing, and compressing if requested, what a program passes piece by piece, on its own thread. */
#include <stdlib.h>

#include "core/seal/seal.h"

struct blobseal_writer {
    struct bs_payload payload;
    struct blobseal_sink sink;
    struct bs_new_blob blob;
    struct bs_zstd_writer *zstd; /* NULL if it does not compress */
    struct blobseal_context *context;
    struct blobseal_call_options limits; /* for renewing its leases */
    uint64_t process;                    /* that made it */
    uint64_t plain_bytes;
    bool finished;
    enum blobseal_status failed; /* after a failure: what every later call returns */
    struct blobseal_error error;
};

/* Record the status of a step, because a blob cannot be completed after a failure, and return it. */
static enum blobseal_status record(struct blobseal_writer *w, enum blobseal_status st, struct blobseal_error *err)
{
    w->failed = st;
    w->error.status = st;
    if (st != BLOBSEAL_OK && err != NULL)
        *err = w->error;
    return st;
}

/*
 * Return the recorded failure, or E_ARG if the blob is finished or the writer belongs to the parent process, or the
 * error of a lease, which is not recorded: nothing has been done yet.
 */
static enum blobseal_status check_usable(const struct blobseal_writer *w, struct blobseal_error *err)
{
    enum blobseal_status st = bs_check_process(w->process, "writer", err);

    if (st != BLOBSEAL_OK)
        return st;
    if (w->failed != BLOBSEAL_OK && err != NULL)
        *err = w->error;
    if (w->failed == BLOBSEAL_OK && w->finished)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "seal: the blob is already finished");
    if (w->failed == BLOBSEAL_OK)
        return bs_context_count(w->context, BS_COUNTED_OTHER, bs_leases_check(&w->blob.leases, &w->limits, err));
    return w->failed;
}

enum blobseal_status blobseal_writer_open(struct blobseal_writer **writer, const struct blobseal_sink *sink,
                                          struct blobseal_kek *const *keks, size_t num_keks,
                                          const struct blobseal_seal_options *options, struct blobseal_error *err)
{
    struct blobseal_seal_options o = {.size = sizeof o};
    struct blobseal_context *context;
    struct blobseal_writer *w;
    struct blobseal_call call;
    enum blobseal_status st;

    *writer = NULL;
    if (!blobseal_struct_import(&o, sizeof o, options))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "seal: the size of the options is not set, or they are newer than the library");
    st = bs_context_ref(&context, o.context, err);
    if (st != BLOBSEAL_OK)
        return st;
    w = aligned_alloc(_Alignof(struct blobseal_writer), sizeof *w);
    if (w == NULL) {
        bs_context_unref(context);
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "seal: no memory");
    }
    *w = (struct blobseal_writer){.sink = *sink,
                                  .context = context,
                                  .limits = {sizeof w->limits, o.timeout_ms, o.cancel},
                                  .process = bs_process_id()};
    call = bs_call_start(o.timeout_ms, o.cancel);
    st = bs_new_blob_start(&w->blob, &w->sink, BLOBSEAL_SIZE_UNKNOWN, (struct bs_keks){keks, num_keks, &call}, &o, err);
    if (st == BLOBSEAL_OK)
        st = bs_payload_start(&w->payload, &w->blob, &w->sink, err);
    if (st == BLOBSEAL_OK && o.zstd && (w->zstd = bs_zstd_writer_new(o.zstd_level)) == NULL)
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "compress: no memory");
    if (st == BLOBSEAL_OK) {
        *writer = w;
        return st;
    }
    (void)bs_context_count(context, BS_COUNTED_SEAL, st);
    blobseal_writer_close(w);
    return st;
}

enum blobseal_status blobseal_writer_write(struct blobseal_writer *w, const void *buf, size_t len,
                                           struct blobseal_error *err)
{
    enum blobseal_status st = check_usable(w, err);

    if (st != BLOBSEAL_OK)
        return st;
    w->plain_bytes += len;
    bs_digests_add_plain(&w->blob.digests, buf, len);
    st = w->zstd != NULL ? bs_zstd_writer_add(w->zstd, &w->payload, buf, len, &w->error)
                         : bs_payload_add(&w->payload, buf, len, &w->error);
    return record(w, bs_context_count(w->context, BS_COUNTED_OTHER, st), err);
}

enum blobseal_status blobseal_writer_finish(struct blobseal_writer *w, struct blobseal_seal_result *result,
                                            struct blobseal_error *err)
{
    struct blobseal_seal_result none = {.size = sizeof none};
    enum blobseal_status st;

    if (!bs_struct_export(result, &none, sizeof none))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "seal: the size of the result is not set");
    if (result == NULL && w->blob.layout == BLOBSEAL_LAYOUT_DETACHED)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "seal: a detached envelope needs a result to be returned in");
    st = check_usable(w, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (w->zstd != NULL)
        st = bs_zstd_writer_end(w->zstd, &w->payload, &w->error);
    if (st == BLOBSEAL_OK)
        st = bs_payload_end(&w->payload, &w->error);
    if (st == BLOBSEAL_OK)
        st = bs_new_blob_report(&w->blob, w->plain_bytes, w->payload.total, result, &w->error);
    w->finished = true;
    return record(w, bs_context_count(w->context, BS_COUNTED_SEAL, st), err);
}

void blobseal_writer_close(struct blobseal_writer *w)
{
    if (w == NULL)
        return;
    bs_zstd_writer_free(w->zstd);
    bs_payload_clear(&w->payload);
    bs_new_blob_clear(&w->blob);
    bs_context_unref(w->context);
    free(w);
}

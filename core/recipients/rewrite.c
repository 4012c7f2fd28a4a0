/* SPDX-License-Identifier: Apache-2.0 */
/* Changing the recipients of a blob in a copy, for stores that cannot write in place. FORMAT.md sections 4.7 and 5. */
#include "core/recipients/recipients.h"

static enum blobseal_status import(struct blobseal_attach_options *o, const struct blobseal_attach_options *options,
                                   const struct blobseal_source *source, struct blobseal_error *err)
{
    if (!blobseal_struct_import(o, sizeof *o, options))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "change recipients: the size of the options is not set, or they are newer than the "
                             "library");
    if (o->envelope != NULL)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "change recipients: a copy gets the changed envelope, not another one");
    if (bs_seekable(source))
        return BLOBSEAL_OK;
    (void)blobseal_fail(err, BLOBSEAL_E_ARG, 0, "change recipients: the source is not seekable");
    blobseal_advise(err, BLOBSEAL_ADVICE_SEEKABLE, NULL, "a copy needs a seekable source, such as a file");
    return BLOBSEAL_E_ARG;
}

/* Write the blob with the envelope in @o, unless it was and stays detached, because its bytes do not change then. */
static enum blobseal_status write_copy(const struct blobseal_sink *sink, const struct blobseal_source *source,
                                       const struct blobseal_attach_options *o, struct blobseal_error *err)
{
    uint8_t head[BS_FRAME_HEADER_LEN];
    enum blobseal_status st = bs_pread(source, head, sizeof head, 0, err);

    if (st != BLOBSEAL_OK)
        return st;
    if (bs_core_magic(head, sizeof head) &&
        (o->layout == BLOBSEAL_LAYOUT_AUTO || o->layout == BLOBSEAL_LAYOUT_DETACHED))
        return BLOBSEAL_OK;
    if (sink == NULL)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "change recipients: no sink to write the copy to");
    return blobseal_attach(sink, source, o, err);
}

/* NOLINTNEXTLINE(readability-function-size): the parameters of two functions that are called together */
enum blobseal_status blobseal_change_rewrite(struct blobseal_change_result **result, const struct blobseal_sink *sink,
                                             const struct blobseal_source *source, struct blobseal_kek *const *keks,
                                             size_t num_keks, const struct blobseal_change *change,
                                             const struct blobseal_attach_options *options, struct blobseal_error *err)
{
    struct blobseal_attach_options o = {.size = sizeof o};
    struct blobseal_change wanted = {.size = sizeof wanted};
    enum blobseal_status st = import(&o, options, source, err);

    *result = NULL;
    if (st == BLOBSEAL_OK)
        st = blobseal_change_envelope(result, source, keks, num_keks, change, err);
    if (st != BLOBSEAL_OK || !blobseal_struct_import(&wanted, sizeof wanted, change) || wanted.dry_run)
        return st;
    o.envelope = (*result)->envelope;
    o.envelope_len = (*result)->envelope_len;
    st = write_copy(sink, source, &o, err);
    if (st == BLOBSEAL_OK)
        return st;
    blobseal_change_result_free(*result);
    *result = NULL;
    return st;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs say when they are done: on stdout for machines, notes on stderr for people. */
#include <errno.h>
#include <stdio.h>

#include "cli.h"

void hex_id(char out[2 * BLOBSEAL_BLOB_ID_LEN + 1], const uint8_t id[BLOBSEAL_BLOB_ID_LEN])
{
    for (size_t i = 0; i < BLOBSEAL_BLOB_ID_LEN; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", id[i]);
}

struct report report_of_reader(const char *schema, const struct job *j, uint64_t plain_bytes, double seconds)
{
    const struct blobseal_info *info = blobseal_reader_info(j->reader);
    bool zstd = info->content == CONTENT_ZSTD;

    return (struct report){.schema = schema,
                           .in = j->in.name,
                           .out = j->out.path,
                           .plain_bytes = zstd && j->raw ? BLOBSEAL_SIZE_UNKNOWN : plain_bytes,
                           .sealed_bytes = info->sealed_bytes,
                           .zstd = zstd,
                           .stored_bytes = zstd && j->raw && info->stored_bytes == BLOBSEAL_SIZE_UNKNOWN
                                               ? plain_bytes
                                               : info->stored_bytes,
                           .blob_id = info->blob_id,
                           .generation = info->generation,
                           .recipients = info->recipients,
                           .num_recipients = info->num_recipients,
                           .metadata = info->metadata,
                           .seconds = seconds};
}

const char *report_ratio(char buf[32], const struct report *r)
{
    buf[0] = '\0';
    if (r->zstd && r->plain_bytes != 0 && r->plain_bytes != BLOBSEAL_SIZE_UNKNOWN &&
        r->stored_bytes != BLOBSEAL_SIZE_UNKNOWN)
        (void)snprintf(buf, 32, "  zstd %.1f%%", 100.0 * (double)r->stored_bytes / (double)r->plain_bytes);
    return buf;
}

bool report_print(const struct report *r, struct blobseal_error *err)
{
    char id[2 * BLOBSEAL_BLOB_ID_LEN + 1];

    hex_id(id, r->blob_id);
    json_start(r->schema);
    json_text("in", r->in);
    if (r->out != NULL)
        json_text("out", r->out);
    if (r->is_range)
        json_range(r->range_off, r->range_len);
    json_number("plain_bytes", r->plain_bytes);
    json_number("sealed_bytes", r->sealed_bytes);
    if (r->zstd)
        json_number("stored_bytes", r->stored_bytes);
    json_text("blob_id", id);
    json_number("generation", r->generation);
    json_recipients(r->recipients, r->num_recipients);
    json_meta(r->metadata);
    json_seconds("seconds", r->seconds);
    return json_end() || stdout_failed(err);
}

/* ---- Notes ------------------------------------------------------------------------------------------------------ */

void report_notes(const char *name, uint32_t notes)
{
    if ((notes & BLOBSEAL_NOTE_SLOT_INVALID) != 0)
        warn("%s: one of the two envelope slots is damaged; the other one serves", name);
    if ((notes & BLOBSEAL_NOTE_TIE) != 0)
        warn("%s: two different envelopes have the same generation; the first one that opens counts", name);
    else if ((notes & BLOBSEAL_NOTE_UNFINISHED) != 0)
        warn("%s: a change of the envelope did not finish; the newer one counts", name);
    if ((notes & BLOBSEAL_NOTE_ENVELOPE) != 0)
        warn("%s: its envelope has something that this version does not know", name);
    if ((notes & BLOBSEAL_NOTE_LENGTH) != 0)
        warn("%s: no blob has this length: it is cut or extended", name);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs print about a blob: on stdout for programs, warnings on stderr for people. */
#include "tools/blobseal/verbs.h"

struct report report_of_reader(const char *schema, const struct job *j, uint64_t plain_bytes, double seconds)
{
    const struct blobseal_info *info = blobseal_reader_info(j->reader);
    bool zstd = info->content == BLOBSEAL_CONTENT_ZSTD;

    struct report r = {.schema = schema,
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
                       .envelope_sha256 = info->envelope_sha256,
                       .metadata = info->metadata,
                       .seconds = seconds};

    r.digests.size = sizeof r.digests;
    if (blobseal_reader_digests(j->reader, &r.digests, NULL) != BLOBSEAL_OK)
        r.digests.computed = 0;
    return r;
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
    struct json j;

    hex_id(id, r->blob_id);
    json_start(&j, r->schema);
    json_text(&j, "in", r->in);
    if (r->out != NULL)
        json_text(&j, "out", r->out);
    if (r->is_range)
        json_range(&j, r->range_off, r->range_len);
    json_number(&j, "plain_bytes", r->plain_bytes);
    json_number(&j, "sealed_bytes", r->sealed_bytes);
    if (r->zstd)
        json_number(&j, "stored_bytes", r->stored_bytes);
    json_text(&j, "blob_id", id);
    json_number(&j, "generation", r->generation);
    json_recipients(&j, r->recipients, r->num_recipients);
    digest_json_envelope(&j, r->envelope_sha256);
    json_meta(&j, r->metadata);
    digest_json(&j, &r->digests);
    json_seconds(&j, "seconds", r->seconds);
    return json_end(&j, err);
}

/* ---- For people -------------------------------------------------------------------------------------------------- */

void report_notes(const struct ui *ui, const char *name, uint32_t notes)
{
    if ((notes & BLOBSEAL_NOTE_SLOT_INVALID) != 0)
        warn(ui, "%s: one of the two envelope slots is damaged; the other one is used", name);
    if ((notes & BLOBSEAL_NOTE_TIE) != 0)
        warn(ui, "%s: two different envelopes have the same generation; the first one that opens is used", name);
    else if ((notes & BLOBSEAL_NOTE_UNFINISHED) != 0)
        warn(ui, "%s: a change of the envelope did not finish; the newer one is used", name);
    if ((notes & BLOBSEAL_NOTE_ENVELOPE) != 0)
        warn(ui, "%s: its envelope has a feature that this version does not know", name);
    if ((notes & BLOBSEAL_NOTE_LENGTH) != 0)
        warn(ui, "%s: no blob has this length: it is truncated or extended", name);
}

void report_recipient(const struct blobseal_recipient *r, int width)
{
    char kid[SHORT_KID];

    printf("%-*s  %s%s\n", width, r->alg, short_kid(kid, r->kid), r->unknown ? "  (unknown algorithm)" : "");
}

bool envelope_elsewhere(const char *name, struct blobseal_error *err)
{
    (void)fail(err, BLOBSEAL_E_CONFIG, 0, "%s was sealed detached: its recipients are in its envelope file", name);
    blobseal_hint(err, "name that file instead of the blob");
    return false;
}

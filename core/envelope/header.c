/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protected headers of all JWEs that this library makes: envelopes of blobs, and wrapped keys of applications. They
 * have the same members, and differ in type and in what `bs` contains. FORMAT.md sections 4.3 and 10.
 */
#include <stdio.h>

#include "core/envelope/envelope.h"

/* Members that every header has. Those of one type use the bits from BS_HEADER_OWN on. */
enum { SEEN_CTY = 1, SEEN_TYP = 2, SEEN_BS = 4, SEEN_V = 8, SEEN_RCPT = 16, SEEN_ALL = 31 };

/* Mark a member of the protected header as seen. Return false if it was seen before. */
static bool mark_seen(struct bs_header *h, unsigned bit)
{
    bool first = (h->seen & bit) == 0;

    h->seen |= bit;
    return first;
}

bool bs_header_first(struct bs_header *h, unsigned index)
{
    return mark_seen(h, BS_HEADER_OWN << index);
}

enum blobseal_status bs_header_unknown(struct blobseal_error *err)
{
    return bs_malformed(err, "a member of `bs` is not known, or appears twice");
}

static enum blobseal_status read_bs_member(struct bs_header *h, struct bs_slice name, struct bs_json *j,
                                           struct blobseal_error *err)
{
    uint64_t n;

    if (bs_slice_is(name, "v") && mark_seen(h, SEEN_V))
        return bs_json_uint(j, &n) && n != 1 ? h->type->other_version(err, n) : BLOBSEAL_OK;
    if (bs_slice_is(name, "rcpt") && mark_seen(h, SEEN_RCPT))
        return bs_json_fixed(j, h->rcpt, sizeof h->rcpt) ? BLOBSEAL_OK
                                                         : bs_malformed(err, "`rcpt` is not 32 bytes in base64url");
    return h->type->member(h, name, j, err);
}

static enum blobseal_status wrong_typ(const struct bs_header_type *t, struct blobseal_error *err)
{
    char what[160];

    (void)snprintf(what, sizeof what, "`typ` is not %s: this is not %s", t->typ, t->what);
    return bs_malformed(err, what);
}

static enum blobseal_status wrong_cty(const struct bs_header_type *t, struct blobseal_error *err)
{
    char what[80];

    (void)snprintf(what, sizeof what, "`cty` is not %s", t->cty);
    return bs_malformed(err, what);
}

static enum blobseal_status read_member(void *ctx, struct bs_slice name, struct bs_json *j, struct blobseal_error *err)
{
    struct bs_header *h = ctx;
    enum blobseal_status st = BLOBSEAL_OK;
    struct bs_slice value;

    if (bs_slice_is(name, "cty") && mark_seen(h, SEEN_CTY)) {
        if (bs_json_string(j, &value) && !bs_slice_is(value, h->type->cty))
            return wrong_cty(h->type, err);
    } else if (bs_slice_is(name, "typ") && mark_seen(h, SEEN_TYP)) {
        if (bs_json_string(j, &value) && !bs_slice_is(value, h->type->typ))
            return wrong_typ(h->type, err);
    } else if (bs_slice_is(name, "bs") && mark_seen(h, SEEN_BS)) {
        bs_json_object(j);
        while (st == BLOBSEAL_OK && bs_json_member(j, &name))
            st = read_bs_member(h, name, j, err);
    } else {
        return bs_malformed(err, "a member of the protected header is not known, or appears twice");
    }
    return st;
}

enum blobseal_status bs_header_parse(struct bs_header *h, struct bs_jwe *jwe, const char *text, size_t len,
                                     struct blobseal_error *err)
{
    const struct bs_jwe_profile profile = {.member = read_member, .ctx = h};
    unsigned all = SEEN_ALL | ((1u << h->type->num_members) - 1) * BS_HEADER_OWN;
    enum blobseal_status st = bs_jwe_parse(jwe, text, len, &profile, err);

    return st == BLOBSEAL_OK && h->seen != all ? bs_malformed(err, "the protected header lacks a member") : st;
}

void bs_header_start(struct bs_builder *out, const struct bs_header_type *type)
{
    bs_put_text(out, "{\"enc\":\"A256GCM\",\"cty\":\"");
    bs_put_text(out, type->cty);
    bs_put_text(out, "\",\"typ\":\"");
    bs_put_text(out, type->typ);
    bs_put_text(out, "\",\"bs\":{\"v\":1,");
}

void bs_header_end(struct bs_builder *out, const uint8_t rcpt[BS_SHA256_LEN])
{
    bs_put_text(out, ",\"rcpt\":\"");
    bs_put_base64url(out, rcpt, BS_SHA256_LEN);
    bs_put_text(out, "\"}}");
}

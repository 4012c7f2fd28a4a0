/* SPDX-License-Identifier: Apache-2.0 */
/* The content of an envelope: a JWK with the DEK, a copy of the core header, and what the sealer said of the blob. FORMAT.md 4.4. */
#include "internal.h"

#define MAX_META        4096
#define MAX_ANNOTATIONS 64

/* The object `ann`: strings under names that differ. */
static bool skip_annotations(struct bs_json *j)
{
    struct bs_slice names[MAX_ANNOTATIONS], value;
    size_t n = 0;

    bs_json_object(j);
    while (n < MAX_ANNOTATIONS && bs_json_member(j, &names[n])) {
        for (size_t i = 0; i < n; i++)
            if (names[i].len == names[n].len && memcmp(names[i].p, names[n].p, names[n].len) == 0)
                return false;
        bs_json_string(j, &value);
        n++;
    }
    return n < MAX_ANNOTATIONS || !bs_json_member(j, &value);
}

/* `meta` is checked like everything else; no verb shows it yet. */
static bool skip_meta(struct bs_json *j)
{
    const uint8_t *start;
    bool name_seen = false, type_seen = false, ann_seen = false, ok = true;
    struct bs_slice name, value;

    bs_json_object(j);
    start = j->p - 1; /* white space before an object is not of its text */
    while (ok && bs_json_member(j, &name)) {
        if (bs_slice_is(name, "name") && !name_seen)
            name_seen = bs_json_string(j, &value);
        else if (bs_slice_is(name, "type") && !type_seen)
            type_seen = bs_json_string(j, &value);
        else if (bs_slice_is(name, "ann") && !ann_seen)
            ann_seen = ok = skip_annotations(j);
        else
            ok = false;
    }
    return ok && j->p - start <= MAX_META;
}

bool bs_jwk_read(struct bs_jwk *jwk, uint8_t *text, size_t len)
{
    struct bs_json j = bs_json_start(text, len);
    bool kty = false, k = false, kid = false, hdr = false, meta = false, ok = true;
    struct bs_slice name, value;

    bs_json_object(&j);
    while (ok && bs_json_member(&j, &name)) {
        if (bs_slice_is(name, "kty") && !kty)
            ok = kty = bs_json_string(&j, &value) && bs_slice_is(value, "oct");
        else if (bs_slice_is(name, "k") && !k)
            ok = k = bs_json_fixed(&j, jwk->k.b, sizeof jwk->k.b);
        else if (bs_slice_is(name, "kid") && !kid)
            ok = kid = bs_json_fixed(&j, jwk->kid, sizeof jwk->kid);
        else if (bs_slice_is(name, "hdr") && !hdr)
            ok = hdr = bs_json_fixed(&j, jwk->hdr, sizeof jwk->hdr);
        else if (bs_slice_is(name, "meta") && !meta)
            ok = meta = skip_meta(&j);
        else
            ok = false;
    }
    return ok && bs_json_end(&j) && kty && k && kid && hdr;
}

size_t bs_jwk_write(uint8_t *out, size_t cap, const struct bs_core_header *core, const struct blobseal_secret32 *dek)
{
    struct bs_writer_cur w = bs_out(out, cap);

    bs_put_text(&w, "{\"kty\":\"oct\",\"k\":\"");
    bs_put_b64(&w, dek->b, sizeof dek->b);
    bs_put_text(&w, "\",\"kid\":\"");
    bs_put_b64(&w, core->blob_id, sizeof core->blob_id);
    bs_put_text(&w, "\",\"hdr\":\"");
    bs_put_b64(&w, core->raw, sizeof core->raw);
    bs_put_text(&w, "\"}");
    return w.ok ? w.len : 0;
}

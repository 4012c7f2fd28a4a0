/* SPDX-License-Identifier: Apache-2.0 */
/* The content of an envelope: a JWK with the DEK, a copy of the core header, and the metadata. FORMAT.md section 4.4.
 */
#include "core/envelope/envelope.h"

/* Read the member `meta`, and decode it in place. */
static bool read_metadata_text(struct bs_jwk *jwk, struct bs_json *j)
{
    struct bs_slice *text = &jwk->metadata_text;

    return bs_json_string(j, text) &&
           blobseal_base64url_decode((uint8_t *)text->p, BLOBSEAL_MAX_METADATA, &text->len, (const char *)text->p,
                                     text->len) &&
           text->len > 0;
}

bool bs_jwk_read(struct bs_jwk *jwk, uint8_t *text, size_t len)
{
    struct bs_json j = bs_json_start(text, len);
    bool kty = false, k = false, kid = false, hdr = false, ok = true;
    struct bs_slice name, value;

    jwk->has_metadata = false;
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
        else if (bs_slice_is(name, "meta") && !jwk->has_metadata)
            ok = jwk->has_metadata = read_metadata_text(jwk, &j);
        else
            ok = false;
    }
    return ok && bs_json_end(&j) && kty && k && kid && hdr;
}

size_t bs_jwk_write(uint8_t *out, size_t cap, const struct bs_core_header *core, const struct blobseal_secret32 *dek,
                    struct bs_slice metadata)
{
    struct bs_builder w = bs_builder_start(out, cap);

    bs_put_text(&w, "{\"kty\":\"oct\",\"k\":\"");
    bs_put_base64url(&w, dek->b, sizeof dek->b);
    bs_put_text(&w, "\",\"kid\":\"");
    bs_put_base64url(&w, core->blob_id, sizeof core->blob_id);
    bs_put_text(&w, "\",\"hdr\":\"");
    bs_put_base64url(&w, core->raw, sizeof core->raw);
    if (metadata.len > 0) {
        bs_put_text(&w, "\",\"meta\":\"");
        bs_put_base64url(&w, metadata.p, metadata.len);
    }
    bs_put_text(&w, "\"}");
    return w.ok ? w.len : 0;
}

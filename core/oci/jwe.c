/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JWEs whose content is the private options of a layer. Those of ocicrypt are flattened, general or compact. Those of
 * this library have the strict form of an envelope, and a type of their own (FORMAT.md section 12.1).
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/oci/keys.h"

/* ---- Ours -------------------------------------------------------------------------------------------------------- */

enum { MEMBER_GEN, NUM_MEMBERS };

static enum blobseal_status read_bs_member(struct bs_header *h, struct bs_slice name, struct bs_json *j,
                                           struct blobseal_error *err)
{
    struct bs_oci_jwe *own = h->ctx;

    if (!bs_slice_is(name, "gen") || !bs_header_first(h, MEMBER_GEN))
        return bs_header_unknown(err);
    if (bs_json_uint(j, &own->generation) && own->generation == 0)
        return bs_malformed(err, "generation 0");
    return BLOBSEAL_OK;
}

static enum blobseal_status other_version(struct blobseal_error *err, uint64_t version)
{
    return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "version %llu of the wrapped key of a layer is not supported",
                         (unsigned long long)version);
}

static const struct bs_header_type oci_type = {
    .typ = "blobseal-oci",
    .cty = "json",
    .what = "the wrapped key of a layer",
    .num_members = NUM_MEMBERS,
    .member = read_bs_member,
    .other_version = other_version,
};

/* Return E_UNSUPPORTED, and fill @err, if @text is the envelope of a blob; otherwise E_FORMAT. Errors: also E_NOMEM. */
static enum blobseal_status check_envelope(struct bs_slice text, struct blobseal_error *err)
{
    struct bs_envelope e;
    enum blobseal_status st = bs_envelope_parse(&e, (const char *)text.p, text.len, NULL);

    bs_envelope_clear(&e);
    if (st == BLOBSEAL_E_NOMEM)
        return blobseal_fail(err, st, 0, "read the wrapped key of a layer: no memory");
    if (st != BLOBSEAL_OK)
        return BLOBSEAL_E_FORMAT;
    st = blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0,
                       "the layer is a blob of this library (cipher BLOBSEAL_V1), whose envelope is no wrapped key for "
                       "ocicrypt");
    blobseal_advise(err, BLOBSEAL_ADVICE_CHUNKED_LAYER, NULL, "decrypt it with the tools of this library");
    return st;
}

static enum blobseal_status parse_ours(struct bs_oci_jwe *j, struct bs_slice text, struct blobseal_error *err)
{
    struct bs_header h = {.type = &oci_type, .ctx = j};
    enum blobseal_status st = bs_header_parse(&h, &j->jwe, (const char *)text.p, text.len, err);

    memcpy(j->rcpt, h.rcpt, sizeof j->rcpt);
    if (st == BLOBSEAL_E_FORMAT)
        st = bs_envelope_check_version((const char *)text.p, text.len, err);
    return st == BLOBSEAL_E_FORMAT ? check_envelope(text, err) : st;
}

size_t bs_oci_header_write(char *out, size_t cap, uint64_t generation, const uint8_t rcpt[BS_SHA256_LEN])
{
    struct bs_builder w = bs_builder_start((uint8_t *)out, cap);
    char number[24];

    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)generation);
    bs_header_start(&w, &oci_type);
    bs_put_text(&w, "\"gen\":");
    bs_put_text(&w, number);
    bs_header_end(&w, rcpt);
    return w.ok ? w.len : 0;
}

/* ---- ocicrypt's -------------------------------------------------------------------------------------------------- */

/* Return true for the characters of a compact JWE (RFC 7516 section 7.1), of which none needs escaping in JSON. */
static bool is_compact(struct bs_slice s)
{
    size_t dots = 0;

    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];

        dots += c == '.';
        if (c != '.' && c != '-' && c != '_' && !(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') &&
            !(c >= 'a' && c <= 'z'))
            return false;
    }
    return dots == 4;
}

/* Write the flattened form of a compact JWE, in memory from malloc(). Return NULL if there is no memory. */
static char *flatten(struct bs_slice s, size_t *len)
{
    static const char *const names[] = {"{\"protected\":\"", "\",\"encrypted_key\":\"", "\",\"iv\":\"",
                                        "\",\"ciphertext\":\"", "\",\"tag\":\""};
    struct bs_builder w = bs_builder_start(malloc(s.len + 128), s.len + 128);
    struct bs_slice rest = s;

    if (w.p == NULL)
        return NULL;
    for (size_t i = 0; i < BS_COUNT(names); i++) {
        const uint8_t *dot = rest.len > 0 ? memchr(rest.p, '.', rest.len) : NULL;
        size_t n = dot != NULL ? (size_t)(dot - rest.p) : rest.len;

        bs_put_text(&w, names[i]);
        bs_put(&w, rest.p, n);
        n += dot != NULL;
        rest = (struct bs_slice){rest.p + n, rest.len - n};
    }
    bs_put_text(&w, "\"}");
    *len = w.len;
    return (char *)w.p;
}

static enum blobseal_status parse_foreign(struct bs_oci_jwe *j, struct bs_slice text, struct blobseal_error *err)
{
    static const struct bs_jwe_profile profile = {.bare = true, .foreign = true};
    enum blobseal_status st;
    char *flat = NULL;
    size_t len = 0;

    if (!is_compact(text))
        return bs_jwe_parse(&j->jwe, (const char *)text.p, text.len, &profile, err);
    flat = flatten(text, &len);
    if (flat == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the wrapped key of a layer: no memory");
    st = bs_jwe_parse(&j->jwe, flat, len, &profile, err); /* copies the text */
    free(flat);
    return st;
}

enum blobseal_status bs_oci_jwe_parse(struct bs_oci_jwe *j, enum bs_oci_scheme scheme, struct bs_slice text,
                                      struct blobseal_error *err)
{
    enum blobseal_status st;

    memset(j, 0, sizeof *j);
    j->ours = scheme == BS_OCI_OURS;
    st = j->ours ? parse_ours(j, text, err) : parse_foreign(j, text, err);
    if (st == BLOBSEAL_OK && j->jwe.ciphertext.len > BS_OCI_MAX_OPTIONS)
        st = bs_malformed(err, "its content is longer than 4096 bytes");
    return st;
}

void bs_oci_jwe_clear(struct bs_oci_jwe *j)
{
    bs_jwe_clear(&j->jwe);
}

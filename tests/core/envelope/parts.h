/* SPDX-License-Identifier: Apache-2.0 */
/* Envelopes with correct cryptography, built from parts that a test edits before they are encrypted. */
#ifndef TESTS_ENVELOPE_PARTS_H
#define TESTS_ENVELOPE_PARTS_H

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/suite.h"

#define MAX_KEYS 12

/* The parts from which an envelope is built. */
struct parts {
    struct recipe r;
    struct bs_jwe jwe;
    uint8_t keys[MAX_KEYS][256];
    char kids[MAX_KEYS][32];
    char rcpt[48];
    char header[2048];
    char content[16384];
};

static inline void b64(char *out, const void *in, size_t len)
{
    blobseal_base64url_encode(out, in, len);
    out[BLOBSEAL_BASE64URL_LEN(len)] = '\0';
}

static inline size_t add_part(uint8_t *out, const void *p, size_t len)
{
    bs_store32(out, (uint32_t)len);
    memcpy(out + 4, p, len);
    return len + 4;
}

/* Set `rcpt` as described in section 4.3. */
static inline void set_rcpt(struct parts *p)
{
    static uint8_t text[MAX_KEYS * 512];
    uint8_t digest[32];
    size_t len = 0;

    for (size_t i = 0; i < p->jwe.num; i++) {
        const struct bs_jwe_recipient *r = &p->jwe.recipients[i];

        len += add_part(text + len, r->alg, strlen(r->alg));
        len += add_part(text + len, r->kid, strlen(r->kid));
        len += add_part(text + len, r->key, r->key_len);
    }
    cr_assert_eq(EVP_Digest(text, len, digest, NULL, EVP_sha256(), NULL), 1);
    b64(p->rcpt, digest, sizeof digest);
}

static inline void set_texts(struct parts *p)
{
    char blob[32], dek[64], hdr[160];

    b64(blob, p->r.core.blob_id, sizeof p->r.core.blob_id);
    b64(dek, p->r.dek.b, sizeof p->r.dek.b);
    b64(hdr, p->r.core.raw, sizeof p->r.core.raw);
    (void)snprintf(p->header, sizeof p->header,
                   "{\"enc\":\"A256GCM\",\"cty\":\"jwk+json\",\"typ\":\"blobseal\",\"bs\":{\"v\":1,\"blob\":\"%s\","
                   "\"layer\":1,\"gen\":1,\"rcpt\":\"%s\"}}",
                   blob, p->rcpt);
    (void)snprintf(p->content, sizeof p->content, "{\"kty\":\"oct\",\"k\":\"%s\",\"kid\":\"%s\",\"hdr\":\"%s\"}", dek,
                   blob, hdr);
}

/* Make a correct envelope for keys "key-0", "key-1", ... */
static inline void parts_make(struct parts *p, size_t num)
{
    *p = (struct parts){0};
    recipe_make(&p->r, 1, 1);
    for (size_t i = 0; i < num; i++) {
        fake_wrap(p->keys[i], sizeof p->keys[i], &p->r.cek);
        (void)snprintf(p->kids[i], sizeof p->kids[i], "key-%zu", i);
        p->jwe.recipients[i] =
            (struct bs_jwe_recipient){.alg = "RSA-OAEP-256", .kid = p->kids[i], .key = p->keys[i], .key_len = 256};
    }
    p->jwe.num = num;
    set_rcpt(p);
    set_texts(p);
}

/* Replace the only occurrence of @from. */
static inline void edit(char *text, size_t cap, const char *from, const char *to)
{
    char *at = strstr(text, from), *rest;

    cr_assert_not_null(at, "nothing to replace: %s", from);
    cr_assert_null(strstr(at + 1, from), "more than one place to replace: %s", from);
    rest = must_copy(at + strlen(from), strlen(at + strlen(from)) + 1);
    cr_assert_lt((size_t)(at - text) + strlen(to) + strlen(rest), cap);
    memcpy(at, to, strlen(to));
    memcpy(at + strlen(to), rest, strlen(rest) + 1);
    free(rest);
}

static inline void edit_header(struct parts *p, const char *from, const char *to)
{
    edit(p->header, sizeof p->header, from, to);
}

static inline void edit_content(struct parts *p, const char *from, const char *to)
{
    edit(p->content, sizeof p->content, from, to);
}

static inline char *parts_write(const struct parts *p)
{
    struct bs_builder w = bs_builder_start(must_alloc(BLOBSEAL_MAX_ENVELOPE + 1), BLOBSEAL_MAX_ENVELOPE);
    struct blobseal_error err;

    cr_assert_eq(bs_jwe_write(&w, &p->jwe, (struct bs_slice){(const uint8_t *)p->header, strlen(p->header)}, &p->r.cek,
                              (struct bs_slice){(const uint8_t *)p->content, strlen(p->content)}, &err),
                 BLOBSEAL_OK, "%s", err.text);
    w.p[w.len] = '\0';
    return (char *)w.p;
}

/* Parse and open @text for the core of @p. */
static inline enum blobseal_status open_text(const struct parts *p, const char *text, size_t len,
                                             struct blobseal_kek *const *keks, size_t num_keks,
                                             struct blobseal_error *err)
{
    struct bs_chunked_keys *keys = must_alloc(sizeof *keys);
    struct bs_envelope e;
    enum blobseal_status st;

    memset(keys, 0, sizeof *keys);
    *err = (struct blobseal_error){0};
    st = bs_envelope_parse(&e, text, len, err);
    if (st == BLOBSEAL_OK)
        st = open_envelope(&e, &p->r.core, keks, num_keks, keys, err);
    bs_envelope_clear(&e);
    if (st == BLOBSEAL_OK)
        cr_assert_arr_eq(keys, &p->r.keys, sizeof *keys, "the derived keys are those of the blob");
    else
        cr_assert(bs_all_zero((const uint8_t *)keys, sizeof *keys), "no keys after a failure");
    free(keys);
    return st;
}

static inline enum blobseal_status open_with(const struct parts *p, const char *kid, struct blobseal_error *err)
{
    struct fake_kek fake = {.kid = kid};
    struct blobseal_kek *kek = fake_kek_open(&fake);
    char *text = parts_write(p);
    enum blobseal_status st = open_text(p, text, strlen(text), &kek, 1, err);

    free(text);
    blobseal_kek_close(kek);
    return st;
}

static inline void expect(const struct parts *p, enum blobseal_status want, const char *what)
{
    struct blobseal_error err;
    enum blobseal_status st = open_with(p, "key-0", &err);

    cr_expect_eq(st, want, "%s: %s (%s)", what, blobseal_status_code(st), err.text);
    cr_expect_eq(err.status, st, "%s: the error says %s", what, blobseal_status_code(err.status));
    if (st == BLOBSEAL_E_AUTH) {
        cr_expect_str_eq(err.text, "the blob is not authentic", "%s", what);
        cr_expect_str_eq(err.hint, "it was modified, or sealed for another key with the same key id; "
                                   "fetch it again from its source");
    }
}

#endif

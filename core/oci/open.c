/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search for a wrapped copy of the private options that one of the keys opens. JWEs of stock tools do not name
 * their recipients, so a key may have to be tried with several of them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/oci/keys.h"

#define MAX_ATTEMPTS 8 /* unwraps for one layer */

/* ---- What is noted about elements that do not open --------------------------------------------------------------- */

/* Note why an element did not open, if the search goes on. Return E_NO_KEY if it does, otherwise @st. */
static enum blobseal_status note(struct bs_oci_search *s, enum blobseal_status st, const struct blobseal_error *e)
{
    switch (st) {
    case BLOBSEAL_E_NOT_MINE:
    case BLOBSEAL_E_NO_KEY:
        return BLOBSEAL_E_NO_KEY;
    case BLOBSEAL_E_AUTH:
        s->refused = true;
        return BLOBSEAL_E_NO_KEY;
    case BLOBSEAL_E_FORMAT:
        s->malformed = s->malformed.status == BLOBSEAL_OK ? *e : s->malformed;
        return BLOBSEAL_E_NO_KEY;
    case BLOBSEAL_E_UNAVAILABLE:
    case BLOBSEAL_E_DENIED:
    case BLOBSEAL_E_UNSUPPORTED:
        s->first = s->first.status == BLOBSEAL_OK ? *e : s->first;
        return BLOBSEAL_E_NO_KEY;
    default:
        return st;
    }
}

/* Note a recipient of a kind that cannot be opened. */
static void note_foreign(struct bs_oci_search *s, const char *scheme, const char *alg)
{
    if (s->foreign[0] != '\0')
        return;
    if (alg != NULL)
        (void)snprintf(s->foreign, sizeof s->foreign, "%.24s (%.32s%s)", scheme, alg, bs_jwe_remark(alg));
    else
        (void)snprintf(s->foreign, sizeof s->foreign, "%.48s", scheme);
}

enum blobseal_status bs_oci_open_failed(const struct bs_oci_search *s, struct blobseal_error *err)
{
    enum blobseal_status st;

    if (s->first.status != BLOBSEAL_OK && err != NULL)
        *err = s->first;
    if (s->first.status != BLOBSEAL_OK)
        return s->first.status;
    if (s->refused) {
        st = blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "the wrapped keys of the layer are not authentic");
        blobseal_hint(err,
                      "they were modified, or wrapped for another key; fetch the image again, or pass another key");
        return st;
    }
    if (s->malformed.status != BLOBSEAL_OK && err != NULL)
        *err = s->malformed;
    if (s->malformed.status != BLOBSEAL_OK)
        return s->malformed.status;
    if (s->foreign[0] != '\0') {
        st = blobseal_fail(
            err, BLOBSEAL_E_UNSUPPORTED, 0,
            "no key fits, and the layer is encrypted for a recipient of a kind that is not supported: %s", s->foreign);
        blobseal_hint(err, "decrypt it with the tool that made it, or ask for it to be encrypted for an RSA key");
        return st;
    }
    st = blobseal_fail(err, BLOBSEAL_E_NO_KEY, 0,
                       "no key fits: none of the given keys belongs to a recipient of the "
                       "layer");
    blobseal_hint(err, "list the recipients of the layer, and pass the key of one of them");
    return st;
}

/* ---- JWEs -------------------------------------------------------------------------------------------------------- */

bool bs_oci_names_a_key(const char *kid)
{
    static const char *const forms[] = {"urn:ietf:params:oauth:jwk-thumbprint:", "https://", "blobseal-set:"};

    for (size_t i = 0; kid != NULL && i < BS_COUNT(forms); i++)
        if (strncmp(kid, forms[i], strlen(forms[i])) == 0)
            return true;
    return false;
}

/* What one attempt needs, in secret memory. */
struct secrets {
    struct blobseal_secret32 cek, random; /* the second one replaces the first after a failure */
    uint8_t content[BS_OCI_MAX_OPTIONS];
};

/* One recipient of a JWE, one key to try it with, and whether the key must own the recipient's key id. */
struct pair {
    const struct bs_jwe_recipient *r;
    struct blobseal_kek *kek;
    bool named;
};

static enum blobseal_status unwrap_cek(const struct bs_oci_jwe *j, const struct pair *p, struct blobseal_secret32 *cek,
                                       const struct blobseal_call *call, struct blobseal_error *err)
{
    const struct blobseal_wrapped wrapped = {p->r->alg, p->named ? p->r->kid : NULL, p->r->key, p->r->key_len};
    size_t len = sizeof cek->b;
    enum blobseal_status st;

    if (j->jwe.cek_len == sizeof cek->b)
        return bs_kek_unwrap(p->kek, cek, &wrapped, NULL, call, err);
    st = bs_kek_decrypt(p->kek, cek->b, &len, &wrapped, call, err);
    return st == BLOBSEAL_OK && len != j->jwe.cek_len ? BLOBSEAL_E_AUTH : st;
}

/* Decrypt the private options, and check that no recipient of a JWE of this library was changed. */
static enum blobseal_status decrypt(const struct bs_oci_jwe *j, const struct bs_a256gcm *gcm, uint8_t *content,
                                    struct blobseal_error *err)
{
    enum blobseal_status st = bs_a256gcm_open(gcm, content, j->jwe.ciphertext, j->jwe.tag);
    uint8_t rcpt[BS_SHA256_LEN];

    if (st == BLOBSEAL_OK && j->ours) {
        if (!bs_jwe_recipients_digest(rcpt, &j->jwe))
            st = BLOBSEAL_E_NOMEM;
        else if (!blobseal_equal(rcpt, j->rcpt, sizeof rcpt))
            st = BLOBSEAL_E_AUTH;
    }
    return st != BLOBSEAL_E_NOMEM ? st : blobseal_fail(err, st, 0, "unwrap the key of a layer: no memory");
}

/* Unwrap and decrypt. If unwrapping fails, decrypt with a random CEK, so that both failures look the same. */
static enum blobseal_status attempt(const struct bs_oci_jwe *j, const struct pair *p, struct secrets *secrets,
                                    const struct blobseal_call *call, struct blobseal_error *err)
{
    struct bs_a256gcm gcm = {
        .cek = &secrets->cek, .cek_len = j->jwe.cek_len, .iv = j->jwe.iv, .aad = j->jwe.protected_text};
    struct blobseal_trace trace = {.size = sizeof trace};
    struct bs_kek_event event = {
        .operation = "unwrap", .kid = p->named ? p->r->kid : bs_kek_info(p->kek)->kid, .trace = &trace};
    struct blobseal_call own = *call;
    enum blobseal_status st = bs_random(&secrets->random, sizeof secrets->random, true, err);

    if (st != BLOBSEAL_OK)
        return st;
    own.trace = &trace;
    st = unwrap_cek(j, p, &secrets->cek, &own, err);
    if (st == BLOBSEAL_E_NOT_MINE)
        return st;
    if (st == BLOBSEAL_E_AUTH)
        gcm.cek = &secrets->random;
    if (st == BLOBSEAL_OK || st == BLOBSEAL_E_AUTH)
        st = decrypt(j, &gcm, secrets->content, err);
    event.claimed = st != BLOBSEAL_OK;
    return bs_kek_record(p->kek, &event, st, err);
}

/* Return true if it makes sense to try this pair: recipients that are named are for the key of that name only. */
static bool fits(const struct pair *p)
{
    const struct blobseal_kek_info *info = bs_kek_info(p->kek);

    if (!info->can_unwrap || !bs_jwe_knows(p->r) || (info->wrapped_len != 0 && info->wrapped_len != p->r->key_len))
        return false;
    if (p->named)
        return p->r->kid != NULL && bs_kek_owns(p->kek, p->r->alg, p->r->kid);
    return !bs_oci_names_a_key(p->r->kid);
}

/* Keep what was opened. */
static enum blobseal_status keep(struct bs_oci_opened *opened, const uint8_t *content, size_t len,
                                 struct blobseal_error *err)
{
    enum blobseal_status st;

    memcpy(opened->text, content, len);
    opened->len = len;
    memcpy(opened->parsed, content, len);
    st = bs_oci_private_read(&opened->key, opened->parsed, len, err);
    blobseal_wipe(opened->parsed, len);
    return st;
}

/* Try all recipients with all keys: first those that are @named. */
static enum blobseal_status try_pairs(struct bs_oci_search *s, const struct bs_oci_jwe *j, bool named,
                                      struct secrets *secrets, struct blobseal_error *err)
{
    for (size_t i = 0; i < j->jwe.num; i++)
        for (size_t k = 0; k < s->keks.num; k++) {
            const struct pair p = {&j->jwe.recipients[i], s->keks.list[k], named};
            struct blobseal_call call = bs_call_for_blob(s->keks.call, NULL);
            struct blobseal_error e = {0};
            enum blobseal_status st;

            if (!fits(&p) || s->attempts == MAX_ATTEMPTS ||
                (bs_kek_is_remote(p.kek) && s->remote == BS_MAX_REMOTE_ATTEMPTS))
                continue;
            bs_kek_limit(p.kek, &call, &s->deadline_ms);
            st = attempt(j, &p, secrets, &call, &e);
            s->attempts += st != BLOBSEAL_E_NOT_MINE;
            s->remote += st != BLOBSEAL_E_NOT_MINE && bs_kek_is_remote(p.kek);
            if (st == BLOBSEAL_OK)
                return st;
            st = note(s, st, &e);
            if (st != BLOBSEAL_E_NO_KEY) {
                if (err != NULL)
                    *err = e;
                return st;
            }
        }
    return BLOBSEAL_E_NO_KEY;
}

static enum blobseal_status open_jwe(struct bs_oci_search *s, const struct bs_oci_item *item,
                                     struct bs_oci_opened *opened, struct blobseal_error *err)
{
    struct secrets *secrets = blobseal_secret_alloc(sizeof *secrets);
    struct bs_oci_jwe j;
    enum blobseal_status st;

    if (secrets == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "unwrap the key of a layer: no memory");
    st = bs_oci_jwe_parse(&j, item->scheme, item->bytes, err);
    for (size_t i = 0; i < j.jwe.num && st == BLOBSEAL_OK; i++)
        if (!bs_jwe_knows(&j.jwe.recipients[i]))
            note_foreign(s, item->name, j.jwe.recipients[i].alg);
    if (st == BLOBSEAL_OK) {
        st = try_pairs(s, &j, true, secrets, err);
        if (st == BLOBSEAL_E_NO_KEY && !j.ours)
            st = try_pairs(s, &j, false, secrets, err);
        if (st == BLOBSEAL_OK)
            st = keep(opened, secrets->content, j.jwe.ciphertext.len, err);
    }
    bs_oci_jwe_clear(&j);
    blobseal_secret_free(secrets);
    return st;
}

/* ---- The annotation pkcs11 --------------------------------------------------------------------------------------- */

/* Decrypt the private options with one key. */
static enum blobseal_status decrypt_blob(struct bs_oci_search *s, const struct bs_oci_blob *b, struct blobseal_kek *kek,
                                         bool named, struct bs_oci_opened *opened, struct blobseal_error *err)
{
    const struct blobseal_wrapped wrapped = {b->alg, named ? b->kid : NULL, b->blob.p, b->blob.len};
    struct blobseal_trace trace = {.size = sizeof trace};
    struct bs_kek_event event = {.operation = "unwrap", .kid = named ? b->kid : bs_kek_info(kek)->kid, .trace = &trace};
    struct blobseal_call own = bs_call_for_blob(s->keks.call, NULL);
    enum blobseal_status st;

    own.trace = &trace;
    opened->len = sizeof opened->text;
    st = bs_kek_decrypt(kek, opened->text, &opened->len, &wrapped, &own, err);
    if (st == BLOBSEAL_E_NOT_MINE)
        return st;
    event.claimed = st != BLOBSEAL_OK;
    st = bs_kek_record(kek, &event, st, err);
    if (st != BLOBSEAL_OK)
        return st;
    memcpy(opened->parsed, opened->text, opened->len);
    st = bs_oci_private_read(&opened->key, opened->parsed, opened->len, err);
    blobseal_wipe(opened->parsed, opened->len);
    return st;
}

/* Try all recipients with all keys: first those that are @named. */
static enum blobseal_status try_blobs(struct bs_oci_search *s, const struct bs_oci_blobs *blobs, bool named,
                                      struct bs_oci_opened *opened, struct blobseal_error *err)
{
    for (size_t i = 0; i < blobs->num; i++)
        for (size_t k = 0; k < s->keks.num; k++) {
            const struct bs_oci_blob *b = &blobs->list[i];
            const struct bs_jwe_recipient r = {b->alg, b->kid, b->blob.p, b->blob.len};
            struct blobseal_error e = {0};
            enum blobseal_status st;

            if (!fits(&(const struct pair){&r, s->keks.list[k], named}) || s->attempts == MAX_ATTEMPTS)
                continue;
            st = decrypt_blob(s, b, s->keks.list[k], named, opened, &e);
            s->attempts += st != BLOBSEAL_E_NOT_MINE;
            if (st != BLOBSEAL_OK)
                st = note(s, st, &e);
            if (st == BLOBSEAL_E_NO_KEY)
                continue;
            if (st != BLOBSEAL_OK && err != NULL)
                *err = e;
            return st;
        }
    return BLOBSEAL_E_NO_KEY;
}

static enum blobseal_status open_blobs(struct bs_oci_search *s, const struct bs_oci_item *item,
                                       struct bs_oci_opened *opened, struct blobseal_error *err)
{
    struct bs_oci_blobs blobs;
    enum blobseal_status st = bs_oci_blobs_parse(&blobs, item->bytes, err);

    if (st == BLOBSEAL_OK) {
        st = try_blobs(s, &blobs, true, opened, err);
        if (st == BLOBSEAL_E_NO_KEY)
            st = try_blobs(s, &blobs, false, opened, err);
    }
    bs_oci_blobs_clear(&blobs);
    return st;
}

/* ---- Elements of any kind ---------------------------------------------------------------------------------------- */

static enum blobseal_status not_base64(const struct bs_oci_item *item, struct blobseal_error *err)
{
    return blobseal_fail(err, BLOBSEAL_E_FORMAT, 0,
                         "malformed annotations of a layer: an element of %.64s is not base64", item->name);
}

enum blobseal_status bs_oci_open_item(struct bs_oci_search *s, const struct bs_oci_item *item,
                                      struct bs_oci_opened *opened, struct blobseal_error *err)
{
    struct blobseal_error e = {0};
    enum blobseal_status st;

    if (item->scheme != BS_OCI_JWE && item->scheme != BS_OCI_OURS && item->scheme != BS_OCI_PKCS11) {
        note_foreign(s, item->name, NULL);
        return BLOBSEAL_E_NO_KEY;
    }
    if (item->bytes.len == 0)
        st = not_base64(item, &e);
    else
        st = (item->scheme == BS_OCI_PKCS11 ? open_blobs : open_jwe)(s, item, opened, &e);
    if (st == BLOBSEAL_OK)
        return st;
    st = note(s, st, &e);
    if (st != BLOBSEAL_E_NO_KEY && err != NULL)
        *err = e;
    return st;
}

enum blobseal_status bs_oci_open(struct bs_oci_opened **opened, const struct bs_oci_items *items, struct bs_keks keks,
                                 struct blobseal_error *err)
{
    struct bs_oci_opened *o = blobseal_secret_alloc(sizeof *o);
    struct bs_oci_search s = {.keks = keks};
    enum blobseal_status st = BLOBSEAL_E_NO_KEY;

    *opened = NULL;
    if (o == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "unwrap the key of a layer: no memory");
    memset(o, 0, sizeof *o);
    for (o->item = 0; o->item < items->num && st == BLOBSEAL_E_NO_KEY; o->item++)
        st = bs_oci_open_item(&s, &items->list[o->item], o, err);
    if (st == BLOBSEAL_E_NO_KEY)
        st = bs_oci_open_failed(&s, err);
    if (st == BLOBSEAL_OK) {
        o->item--; /* the loop has gone on */
        *opened = o;
    } else {
        blobseal_secret_free(o);
    }
    return st;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a JWE: the search for a recipient and a KEK, and the error if there is none. FORMAT.md section 4.6. */
#include "core/jwe/jwe.h"

#define MAX_ATTEMPTS 8 /* unwraps for one JWE */

enum blobseal_status bs_not_authentic(struct blobseal_error *err)
{
    enum blobseal_status st = blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "the blob is not authentic");

    blobseal_hint(err, "it was modified, or sealed for another key with the same key id; "
                       "fetch it again from its source");
    return st;
}

/* The state of a search for the recipient and the KEK that open a JWE. */
struct search {
    const struct bs_jwe *jwe;
    bool bare;
    uint8_t *content;
    struct blobseal_secret32 *cek; /* [0]: the unwrapped CEK; [1]: a random CEK that replaces it after a failure */
    struct blobseal_call call;
    struct bs_jwe_opener by;   /* without the CEK */
    unsigned attempts, remote; /* remote: those over a network */
    uint64_t deadline_ms;      /* see bs_kek_limit()           */
};

static enum blobseal_status decrypt(struct search *s, const struct bs_a256gcm *gcm, struct blobseal_error *err)
{
    enum blobseal_status st = bs_a256gcm_open(gcm, s->content, s->jwe->ciphertext, s->jwe->tag);

    return st == BLOBSEAL_E_NOMEM ? blobseal_fail(err, st, 0, "open the envelope: no memory") : st;
}

/*
 * Unwrap the CEK of one recipient with one KEK, and decrypt the content. If unwrapping fails, decrypt with a random
 * CEK, so that the failure cannot be distinguished from a wrong CEK (RFC 7516 section 11.5).
 */
static enum blobseal_status attempt(struct search *s, const struct bs_jwe_recipient *r, struct blobseal_kek *kek,
                                    struct blobseal_error *err)
{
    const struct blobseal_wrapped wrapped = {r->alg, s->bare ? NULL : r->kid, r->key, r->key_len};
    const struct bs_jwe *jwe = s->jwe;
    struct blobseal_trace trace = {.size = sizeof trace};
    struct blobseal_call call = s->call;
    struct bs_kek_event event = {.operation = "unwrap", .kid = r->kid, .blob_id = s->call.blob_id, .trace = &trace};
    struct bs_a256gcm gcm = {.cek = &s->cek[0], .iv = jwe->iv, .aad = jwe->protected_text};
    enum blobseal_status st;

    st = bs_random(&s->cek[1], sizeof s->cek[1], true, err);
    if (st != BLOBSEAL_OK)
        return st;
    s->by.denials = bs_kek_denials(kek);
    call.trace = &trace;
    bs_kek_limit(kek, &call, &s->deadline_ms);
    st = bs_kek_unwrap(kek, &s->cek[0], &wrapped, &s->by.lease, &call, err);
    if (st == BLOBSEAL_E_NOT_MINE)
        return st;
    if (st == BLOBSEAL_E_AUTH)
        gcm.cek = &s->cek[1];
    if (st == BLOBSEAL_OK || st == BLOBSEAL_E_AUTH)
        st = decrypt(s, &gcm, err);
    event.claimed = st != BLOBSEAL_OK;
    return bs_kek_record(kek, &event, st, err);
}

bool bs_jwe_knows(const struct bs_jwe_recipient *r)
{
    return bs_key_algorithm(r->alg, strlen(r->alg)) != NULL;
}

const char *bs_jwe_remark(const char *alg)
{
    static const struct {
        const char *name;
        size_t len; /* how much of the name to compare; with its zero byte: all of it */
        const char *text;
    } refused[] = {
        {"RSA1_5", sizeof "RSA1_5", " (unsafe padding)"},
        {"dir", sizeof "dir", " (a shared key)"},
        {"PBES2-", strlen("PBES2-"), " (a password)"},
        {"ECDH", strlen("ECDH"), " (elliptic curves)"},
    };

    for (size_t i = 0; i < BS_COUNT(refused); i++)
        if (strncmp(alg, refused[i].name, refused[i].len) == 0)
            return refused[i].text;
    return "";
}

/* Fill @err for a JWE that no key fits, if its recipient @r, whose algorithm is unknown, may be for one of them. Return
 * E_UNSUPPORTED. */
static enum blobseal_status report_unknown(const struct bs_jwe_recipient *r, struct blobseal_error *err)
{
    enum blobseal_status st = blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0,
                                            "no key fits, and key algorithm %.64s%s of a recipient is not supported",
                                            r->alg, bs_jwe_remark(r->alg));

    blobseal_hint(err, "this recipient is %.120s", r->kid != NULL ? r->kid : "not named");
    return st;
}

/* Fill @err for a JWE with no recipient for any of the given keys. Return E_NO_KEY, or E_UNSUPPORTED if a recipient has
 * an unknown algorithm. */
static enum blobseal_status report_no_key(const struct bs_jwe *jwe, struct blobseal_error *err)
{
    const char *kid = jwe->recipients[0].kid != NULL ? jwe->recipients[0].kid : "not named";
    enum blobseal_status st;

    for (size_t i = 0; i < jwe->num; i++)
        if (!bs_jwe_knows(&jwe->recipients[i]))
            return report_unknown(&jwe->recipients[i], err);
    st = blobseal_fail(err, BLOBSEAL_E_NO_KEY, 0,
                       "no key fits: none of the given keys belongs to a recipient of this blob");
    if (jwe->num == 1)
        blobseal_hint(err, "its only recipient is %.120s", kid);
    else
        blobseal_hint(err, "it has %zu recipients, the first is %.120s", jwe->num, kid);
    return st;
}

/*
 * Try each recipient with each key until one combination opens the JWE, an error ends the search, or MAX_ATTEMPTS is
 * reached. After success, s->by says which, and s->cek[0] is the CEK.
 */
static enum blobseal_status search(struct search *s, struct bs_keks keks, struct blobseal_error *err)
{
    struct blobseal_error unavailable = {0}; /* the first that a provider returned: see the header for providers */

    for (size_t i = 0; i < s->jwe->num; i++) {
        bool known = bs_jwe_knows(&s->jwe->recipients[i]);

        for (size_t k = 0; k < keks.num && known && s->attempts < MAX_ATTEMPTS; k++) {
            bool remote = bs_kek_is_remote(keks.list[k]);
            enum blobseal_status st;

            if (remote && s->remote == BS_MAX_REMOTE_ATTEMPTS)
                continue;
            st = attempt(s, &s->jwe->recipients[i], keks.list[k], err);
            s->by.recipient = i;
            s->by.kek = k;
            if (st == BLOBSEAL_E_NOT_MINE)
                continue;
            s->attempts++;
            s->remote += remote;
            if (st == BLOBSEAL_E_UNAVAILABLE || st == BLOBSEAL_E_DENIED || st == BLOBSEAL_E_UNSUPPORTED)
                unavailable = unavailable.status == BLOBSEAL_OK ? *err : unavailable;
            else if (st != BLOBSEAL_E_AUTH)
                return st;
        }
    }
    if (unavailable.status == BLOBSEAL_OK)
        return s->attempts > 0 ? bs_not_authentic(err) : report_no_key(s->jwe, err);
    *err = unavailable;
    return unavailable.status;
}

enum blobseal_status bs_jwe_open(const struct bs_jwe *jwe, bool bare, struct bs_keks keks, uint8_t *content,
                                 struct bs_jwe_opener *by, struct blobseal_error *err)
{
    struct search s = {.jwe = jwe, .bare = bare, .content = content};
    struct blobseal_error e = {0};
    enum blobseal_status st;

    s.call = bs_call_for_blob(keks.call, keks.call != NULL ? keks.call->blob_id : NULL);
    s.cek = blobseal_secret_alloc(2 * sizeof *s.cek);
    if (s.cek == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "open the envelope: no memory");
    st = search(&s, keks, &e);
    if (st == BLOBSEAL_OK && by != NULL) {
        *by = s.by;
        by->cek = s.cek[0];
    }
    blobseal_secret_free(s.cek);
    if (st != BLOBSEAL_OK && err != NULL)
        *err = e;
    return st;
}

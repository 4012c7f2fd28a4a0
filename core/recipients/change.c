/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing the recipients of a blob, up to the new envelope: compares the current recipients with the request, finds
 * out for which recipients a key must be wrapped, and writes the envelope. Storing it is left to in_place.c and to
 * callers. FORMAT.md section 4.7.
 */
#include <stdlib.h>

#include "core/recipients/recipients.h"

struct bs_change {
    struct blobseal_change wanted;
    struct blobseal_kek *keks[2 * BLOBSEAL_MAX_RECIPIENTS]; /* the caller's keys, then the keys to add */
    size_t num_keks;
    const struct blobseal_call *call;
    uint64_t deadline_ms; /* of what the new envelope needs, see bs_kek_limit() */
    /* The current envelope. */
    struct bs_opened_envelope opened; /* not unlocked if nothing has to be done and no key opens it */
    struct bs_slice jwe;
    /* The new envelope. */
    struct bs_jwe_recipient recipients[BLOBSEAL_MAX_RECIPIENTS];
    struct blobseal_kek *wrap[BLOBSEAL_MAX_RECIPIENTS]; /* keys to wrap the CEK with; NULL: keep the wrapped key */
    size_t num;
    struct blobseal_change_step steps[3 * BLOBSEAL_MAX_RECIPIENTS];
    size_t num_steps;
    bool changed, fresh; /* fresh: it gets a new CEK */
    uint64_t generation;
    struct bs_envelope made;   /* its recipients */
    struct bs_builder new_jwe; /* empty until it is written */
};

enum blobseal_status bs_change_check(struct bs_change_request *rq, const struct blobseal_change *wanted,
                                     struct bs_keks keks, struct blobseal_error *err)
{
    struct blobseal_change *w = &rq->wanted;

    *rq = (struct bs_change_request){.wanted = {.size = sizeof rq->wanted}, .keks = keks};
    rq->call = bs_call_start(0, NULL);
    if (wanted == NULL || !blobseal_struct_import(w, sizeof *w, wanted))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "change recipients: the size of the change is not set, or it is newer than the library");
    if (keks.num > BLOBSEAL_MAX_RECIPIENTS || w->num_add > BLOBSEAL_MAX_RECIPIENTS)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "change recipients: more than %u keys", BLOBSEAL_MAX_RECIPIENTS);
    if ((keks.num > 0 && keks.list == NULL) || (w->num_add > 0 && w->add == NULL) ||
        (w->num_remove > 0 && w->remove == NULL))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "change recipients: a list is NULL, but its length is not 0");
    if (w->replace && keks.num == 0)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "change recipients: no key to replace");
    if (w->repair && (w->num_add > 0 || w->num_remove > 0 || w->replace || w->only))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "change recipients: a repair cannot also change recipients");
    rq->call = bs_call_start(w->timeout_ms, w->cancel);
    return BLOBSEAL_OK;
}

static struct bs_change *new_change(const struct bs_change_request *rq)
{
    struct bs_change *c = calloc(1, sizeof *c);

    if (c == NULL)
        return NULL;
    c->wanted = rq->wanted;
    c->call = &rq->call;
    for (size_t i = 0; i < rq->keks.num; i++)
        c->keks[c->num_keks++] = rq->keks.list[i];
    for (size_t i = 0; i < c->wanted.num_add; i++)
        c->keks[c->num_keks++] = c->wanted.add[i];
    return c;
}

void bs_change_free(struct bs_change *c)
{
    if (c == NULL)
        return;
    free(c->new_jwe.p);
    bs_envelope_clear(&c->made);
    bs_opened_envelope_clear(&c->opened);
    free(c);
}

/* ---- The current envelope ---------------------------------------------------------------------------------------- */

/* Return true if @kek would wrap under the key id @kid. A key with versions owns more ids than this one. */
static bool has_kid(const struct blobseal_kek *kek, const char *kid)
{
    const char *own = bs_kek_info(kek)->kid;

    return own != NULL && strcmp(own, kid) == 0;
}

/* Return true if recipient @kid is one of those to add. */
static bool is_added(const struct bs_change *c, const char *kid)
{
    for (size_t i = 0; i < c->wanted.num_add; i++)
        if (has_kid(c->wanted.add[i], kid))
            return true;
    return false;
}

static bool is_recipient(const struct bs_jwe *jwe, const char *kid)
{
    for (size_t i = 0; i < jwe->num; i++)
        if (strcmp(jwe->recipients[i].kid, kid) == 0)
            return true;
    return false;
}

static bool has_unknown_recipient(const struct bs_jwe *jwe)
{
    for (size_t i = 0; i < jwe->num; i++)
        if (!bs_jwe_knows(&jwe->recipients[i]))
            return true;
    return false;
}

/* Return true if @st, the result of opening the envelope, means that no recipient is for any of the keys. */
static bool fits_no_key(const struct bs_change *c, enum blobseal_status st)
{
    return st == BLOBSEAL_E_NO_KEY || (st == BLOBSEAL_E_UNSUPPORTED && has_unknown_recipient(&c->opened.envelope.jwe));
}

/* Return true if all recipients to add are recipients already. */
static bool has_all_added(const struct bs_change *c)
{
    for (size_t i = 0; i < c->wanted.num_add; i++)
        if (!is_recipient(&c->opened.envelope.jwe, bs_kek_info(c->wanted.add[i])->kid))
            return false;
    return true;
}

/* Find out the ids of all keys to add. */
static enum blobseal_status describe_added(struct bs_change *c, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    for (size_t i = 0; i < c->wanted.num_add && st == BLOBSEAL_OK; i++) {
        struct blobseal_call call = *c->call;

        bs_kek_limit(c->wanted.add[i], &call, &c->deadline_ms);
        st = bs_kek_describe(c->wanted.add[i], &call, err);
    }
    return st;
}

/* Return true if the caller asked to remove the recipient @kid. */
static bool is_listed_for_removal(const struct bs_change *c, const char *kid)
{
    for (size_t k = 0; k < c->wanted.num_remove; k++)
        if (strcmp(c->wanted.remove[k], kid) == 0)
            return true;
    return false;
}

/* Open the envelope with the first @num of the keys. */
static enum blobseal_status unlock(struct bs_change *c, size_t num, const struct bs_preamble *f, const char *name,
                                   struct blobseal_error *err)
{
    const struct bs_keks keks = {c->keks, num, c->call};
    struct bs_opened_envelope *o = &c->opened;
    enum blobseal_status st;

    bs_opened_envelope_clear(o);
    if (f != NULL)
        return bs_preamble_unlock(f, name, keks, o, err);
    st = bs_envelope_parse(&o->envelope, c->wanted.envelope, c->wanted.envelope_len, err);
    return st == BLOBSEAL_OK ? bs_envelope_unlock(&o->unlocked, &o->envelope, NULL, keks, err) : st;
}

/* Return true if a recipient other than the replaced one would be removed. */
static bool removes_another(const struct bs_change *c)
{
    for (size_t i = 0; i < c->opened.envelope.jwe.num; i++) {
        const char *kid = c->opened.envelope.jwe.recipients[i].kid;

        if (!is_added(c, kid) && (c->wanted.only || is_listed_for_removal(c, kid)))
            return true;
    }
    return false;
}

/* Return true if the same change, made earlier, would have removed a key that was passed. */
static bool may_have_removed_key(const struct bs_change *c)
{
    for (size_t i = 0; i < c->num_keks; i++)
        for (size_t k = 0; k < c->wanted.num_remove; k++)
            if (has_kid(c->keks[i], c->wanted.remove[k]))
                return true;
    return c->wanted.replace;
}

/*
 * Open the envelope. When replacing, the first key must open it, because its recipient is the one replaced. If that key
 * is no longer a recipient but the new ones are, the same change was made earlier: nothing is left to replace, and any
 * other key may verify the envelope. The same applies without replacing, if a key that was passed is also one to remove
 * and none of the keys opens the envelope.
 */
static enum blobseal_status open_envelope(struct bs_change *c, const struct bs_preamble *f, const char *name,
                                          struct blobseal_error *err)
{
    enum blobseal_status st = unlock(c, c->wanted.replace ? 1 : c->num_keks, f, name, err);

    if (fits_no_key(c, st) && may_have_removed_key(c) && has_all_added(c)) {
        c->wanted.replace = false;
        st = unlock(c, c->num_keks, f, name, err);
        if (fits_no_key(c, st) && f != NULL && f->notes != 0)
            blobseal_hint(err, "an earlier change of this blob did not finish: pass a private key that opens it now");
        else if (fits_no_key(c, st) && !removes_another(c))
            st = BLOBSEAL_OK;
    }
    if (st == BLOBSEAL_OK)
        st = bs_check_generation(name, c->opened.envelope.generation, c->wanted.min_generation, err);
    return st;
}

/* ---- Planning the change ----------------------------------------------------------------------------------------- */

/* Return true if recipient @i is the one to replace: the one that the first key names, or else the one that it opened,
 * because a key with versions opens those of other versions, too. */
static bool is_replaced(const struct bs_change *c, size_t i)
{
    const struct bs_jwe *jwe = &c->opened.envelope.jwe;

    for (size_t k = 0; k < jwe->num; k++)
        if (has_kid(c->keks[0], jwe->recipients[k].kid))
            return k == i;
    return c->opened.unlocked->by.recipient == i;
}

static bool is_removed(const struct bs_change *c, size_t i)
{
    const char *kid = c->opened.envelope.jwe.recipients[i].kid;

    if (is_added(c, kid))
        return false;
    return c->wanted.only || (c->wanted.replace && is_replaced(c, i)) || is_listed_for_removal(c, kid);
}

/* Return true if what @kek wraps would be for a recipient who is removed: another version of the same key. */
static bool wraps_for_removed(const struct bs_change *c, const struct blobseal_kek *kek)
{
    for (size_t i = 0; i < c->opened.envelope.jwe.num; i++)
        if (has_kid(kek, c->opened.envelope.jwe.recipients[i].kid))
            return is_removed(c, i);
    return false;
}

/* Find the key of recipient @r, who stays: the one that has its id now, or else one that owns the id. */
static struct blobseal_kek *find_kek(const struct bs_change *c, const struct bs_jwe_recipient *r)
{
    for (size_t i = 0; i < c->num_keks; i++)
        if (has_kid(c->keks[i], r->kid))
            return c->keks[i];
    for (size_t i = 0; i < c->num_keks; i++)
        if (bs_kek_owns(c->keks[i], r->alg, r->kid) && !wraps_for_removed(c, c->keks[i]))
            return c->keks[i];
    return NULL;
}

static void add_step(struct bs_change *c, enum blobseal_action action, const struct bs_jwe_recipient *r)
{
    c->steps[c->num_steps++] =
        (struct blobseal_change_step){action, {.alg = r->alg, .kid = r->kid, .unknown = !bs_jwe_knows(r)}};
    c->changed = c->changed || action != BLOBSEAL_ACTION_KEEP;
    c->fresh = c->fresh || action == BLOBSEAL_ACTION_REMOVE;
}

/* Report that recipient @r, whose algorithm is unknown, stands in the way of the change. Return E_POLICY. */
static enum blobseal_status unknown_algorithm(const struct bs_jwe_recipient *r, const char *what,
                                              struct blobseal_error *err)
{
    (void)blobseal_fail(err, BLOBSEAL_E_POLICY, 0,
                        "the recipient %.120s uses key algorithm %.64s, which is unknown: %s", r->kid, r->alg, what);
    blobseal_advise(err, BLOBSEAL_ADVICE_REMOVE, r->kid, "remove %.120s, or use a newer version", r->kid);
    return BLOBSEAL_E_POLICY;
}

/* Check that recipient @kid, who is there already, can be the one that the caller wants to add. */
static enum blobseal_status check_existing(const struct bs_jwe *jwe, const char *kid, struct blobseal_error *err)
{
    for (size_t i = 0; i < jwe->num; i++)
        if (strcmp(jwe->recipients[i].kid, kid) == 0 && !bs_jwe_knows(&jwe->recipients[i]))
            return unknown_algorithm(&jwe->recipients[i], "it cannot be added again", err);
    return BLOBSEAL_OK;
}

static enum blobseal_status add_recipient(struct bs_change *c, struct blobseal_kek *kek, struct blobseal_error *err)
{
    const struct blobseal_kek_info *info = bs_kek_info(kek);
    const struct bs_jwe_recipient r = {.alg = info->alg, .kid = info->kid};

    if (is_recipient(&c->opened.envelope.jwe, info->kid))
        return check_existing(&c->opened.envelope.jwe, info->kid, err);
    for (size_t i = 0; i < c->num; i++)
        if (strcmp(c->recipients[i].kid, info->kid) == 0)
            return bs_duplicate_key(info->kid, err);
    if (c->num == BLOBSEAL_MAX_RECIPIENTS)
        return blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "a blob has at most %u recipients", BLOBSEAL_MAX_RECIPIENTS);
    c->wrap[c->num] = kek;
    c->recipients[c->num++] = r;
    add_step(c, BLOBSEAL_ACTION_ADD, &r);
    return BLOBSEAL_OK;
}

/* Report that the public key of recipient @kid, who stays, is missing. Return E_POLICY. */
static enum blobseal_status missing_public_key(const char *kid, struct blobseal_error *err)
{
    (void)blobseal_fail(err, BLOBSEAL_E_POLICY, 0,
                        "the recipient %.160s stays and needs a new wrapped key, but its public key was not passed",
                        kid);
    blobseal_advise(err, BLOBSEAL_ADVICE_PUBLIC_KEY, kid, "pass its public key as well, or remove %.120s", kid);
    return BLOBSEAL_E_POLICY;
}

/* Report that the key of recipient @r was opened for the algorithm @alg, which is not its own. Return E_CONFIG. */
static enum blobseal_status wrong_algorithm(const struct bs_jwe_recipient *r, const char *alg,
                                            struct blobseal_error *err)
{
    bool sha1 = strcmp(r->alg, "RSA-OAEP") == 0;

    (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the recipient %.160s uses %s, but its key was opened for %s",
                        r->kid, r->alg, alg);
    blobseal_advise(err, sha1 ? BLOBSEAL_ADVICE_OAEP_SHA1 : BLOBSEAL_ADVICE_OAEP_SHA256, NULL,
                    "open that key for OAEP with %s", sha1 ? "SHA-1" : "SHA-256");
    return BLOBSEAL_E_CONFIG;
}

/* Find the key of every recipient that stays: a fresh CEK must be wrapped for all of them. */
static enum blobseal_status wrap_for_all(struct bs_change *c, struct blobseal_error *err)
{
    for (size_t i = 0; i < c->num; i++) {
        struct bs_jwe_recipient *r = &c->recipients[i];
        const struct blobseal_kek_info *info;

        if (!bs_jwe_knows(r))
            return unknown_algorithm(r, "no new key can be wrapped for it", err);
        if (c->wrap[i] == NULL)
            c->wrap[i] = find_kek(c, r);
        if (c->wrap[i] == NULL)
            return missing_public_key(r->kid, err);
        info = bs_kek_info(c->wrap[i]);
        if (info->alg != NULL && strcmp(info->alg, r->alg) != 0)
            return wrong_algorithm(r, info->alg, err);
    }
    return BLOBSEAL_OK;
}

static enum blobseal_status plan(struct bs_change *c, struct blobseal_error *err)
{
    const struct bs_jwe *jwe = &c->opened.envelope.jwe;
    enum blobseal_status st = BLOBSEAL_OK;

    for (size_t i = 0; i < jwe->num; i++) {
        bool removed = is_removed(c, i);

        add_step(c, removed ? BLOBSEAL_ACTION_REMOVE : BLOBSEAL_ACTION_KEEP, &jwe->recipients[i]);
        if (!removed)
            c->recipients[c->num++] = jwe->recipients[i];
    }
    for (size_t i = 0; i < c->wanted.num_add && st == BLOBSEAL_OK; i++)
        st = add_recipient(c, c->wanted.add[i], err);
    if (st == BLOBSEAL_OK && c->num == 0) {
        st = blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "nobody would be left who can open the blob");
        blobseal_hint(err, "add another recipient first");
    }
    if (st == BLOBSEAL_OK && c->fresh)
        st = wrap_for_all(c, err);
    return st;
}

/* Record it if a rule forbids the change. Return @st. */
static enum blobseal_status record_refusal(const struct bs_change *c, enum blobseal_status st)
{
    return bs_keks_record_refusal((struct bs_keks){c->keks, c->num_keks, NULL}, c->opened.envelope.blob_id, st);
}

enum blobseal_status bs_change_plan(struct bs_change **change, const struct bs_change_request *request,
                                    const struct bs_preamble *f, const char *name, struct bs_change_plan *out,
                                    struct blobseal_error *err)
{
    struct bs_change *c = new_change(request);
    enum blobseal_status st;

    *change = c;
    *out = (struct bs_change_plan){0};
    if (c == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "change recipients: no memory");
    st = describe_added(c, err);
    if (st == BLOBSEAL_OK)
        st = open_envelope(c, f, name, err);
    if (st != BLOBSEAL_OK)
        return record_refusal(c, st);
    c->jwe = (struct bs_slice){(const uint8_t *)c->wanted.envelope, c->wanted.envelope_len};
    if (f != NULL)
        c->jwe = (struct bs_slice){(const uint8_t *)f->candidates[c->opened.candidate].text,
                                   f->candidates[c->opened.candidate].len};
    c->generation = c->opened.envelope.generation;
    st = plan(c, err);
    *out = (struct bs_change_plan){.changed = c->changed, .jwe = c->jwe, .generation = c->generation};
    if (c->opened.unlocked != NULL) {
        out->core_header = c->opened.unlocked->jwk.hdr;
        out->keys = &c->opened.unlocked->keys;
    }
    return record_refusal(c, st);
}

/* ---- The new envelope -------------------------------------------------------------------------------------------- */

/* Correct the steps after recipient @kid has become @r, the newest version of the same key. */
static void rename_step(struct bs_change *c, const char *kid, const struct bs_jwe_recipient *r)
{
    struct blobseal_change_step *step = c->steps;

    while (strcmp(step->recipient.kid, kid) != 0)
        step++;
    if (step->action == BLOBSEAL_ACTION_ADD) {
        step->recipient = (struct blobseal_recipient){.alg = r->alg, .kid = r->kid};
        return;
    }
    step->action = BLOBSEAL_ACTION_REMOVE;
    add_step(c, BLOBSEAL_ACTION_ADD, r);
}

/* Return true if the new envelope has a recipient @kid already, or is to have one. */
static bool will_have(const struct bs_change *c, const char *kid)
{
    for (size_t i = 0; i < c->num; i++)
        if (strcmp(c->recipients[i].kid, kid) == 0)
            return true;
    return is_recipient(&c->made.jwe, kid);
}

/* Correct the steps after recipient @kid has become the newest version of its key, which is a recipient as well. */
static void drop_step(struct bs_change *c, const char *kid)
{
    struct blobseal_change_step *step = c->steps;

    while (strcmp(step->recipient.kid, kid) != 0)
        step++;
    if (step->action == BLOBSEAL_ACTION_ADD)
        *step = c->steps[--c->num_steps];
    else
        step->action = BLOBSEAL_ACTION_REMOVE;
}

/*
 * Add recipient @i to the new envelope, with a wrapped key of its own unless it keeps the one that it has. Its key may
 * have a newer version than planned, whose id the recipient then gets. If there are two versions of one key, only the
 * newest one stays.
 */
static enum blobseal_status add_new(struct bs_change *c, size_t i, const struct blobseal_secret32 *cek,
                                    struct blobseal_error *err)
{
    const struct bs_jwe_recipient *r = &c->recipients[i];
    struct blobseal_call call = bs_call_for_blob(c->call, c->made.blob_id);
    struct bs_jwe *jwe = &c->made.jwe;
    struct blobseal_wrapping w;
    enum blobseal_status st;

    if (c->wrap[i] == NULL)
        return bs_jwe_add(jwe, r, err);
    bs_kek_limit(c->wrap[i], &call, &c->deadline_ms);
    st = bs_kek_wrap(c->wrap[i], &w, cek, &call, err);
    if (st == BLOBSEAL_OK && strcmp(r->kid, w.kid) != 0) {
        if (will_have(c, w.kid)) {
            drop_step(c, r->kid);
            return BLOBSEAL_OK;
        }
        if (is_recipient(&c->opened.envelope.jwe, w.kid)) /* it is removed, and does not come back for this one */
            return missing_public_key(r->kid, err);
    }
    if (st == BLOBSEAL_OK)
        st = bs_jwe_add_wrapped(jwe, &w, err);
    if (st == BLOBSEAL_OK && strcmp(r->kid, w.kid) != 0)
        rename_step(c, r->kid, &jwe->recipients[jwe->num - 1]);
    return st;
}

static enum blobseal_status encode(struct bs_change *c, const struct blobseal_secret32 *cek, struct blobseal_error *err)
{
    struct bs_envelope *e = &c->made;
    enum blobseal_status st = bs_jwe_new(&e->jwe, err);

    e->generation = c->generation;
    memcpy(e->blob_id, c->opened.envelope.blob_id, sizeof e->blob_id);
    for (size_t i = 0; i < c->num && st == BLOBSEAL_OK; i++)
        st = add_new(c, i, cek, err);
    if (st == BLOBSEAL_OK)
        st = bs_envelope_encode(&c->new_jwe, e, cek, c->opened.unlocked->content, err);
    return st;
}

enum blobseal_status bs_change_write(struct bs_change *c, struct bs_slice *jwe, struct blobseal_error *err)
{
    struct blobseal_secret32 *fresh = NULL;
    enum blobseal_status st;

    if (c->generation == BS_MAX_GENERATION) {
        (void)blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "the envelope has the last possible generation");
        blobseal_hint(err, "seal the data again");
        return BLOBSEAL_E_POLICY;
    }
    c->generation++;
    c->new_jwe = bs_builder_start(malloc(BLOBSEAL_MAX_ENVELOPE + 1), BLOBSEAL_MAX_ENVELOPE);
    fresh = c->fresh ? blobseal_secret_alloc(sizeof *fresh) : &c->opened.unlocked->by.cek;
    if (c->new_jwe.p == NULL || fresh == NULL)
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write the envelope: no memory");
    else
        st = c->fresh ? bs_random(fresh->b, sizeof fresh->b, true, err) : BLOBSEAL_OK;
    if (st == BLOBSEAL_OK)
        st = encode(c, fresh, err);
    if (c->fresh)
        blobseal_secret_free(fresh);
    *jwe = (struct bs_slice){c->new_jwe.p, c->new_jwe.len};
    return st;
}

/* ---- The result -------------------------------------------------------------------------------------------------- */

static void copy_steps(struct blobseal_change_result *r, const struct bs_change *c, struct bs_slice jwe)
{
    struct blobseal_change_step *steps = (struct blobseal_change_step *)(r + 1);
    char *at = (char *)(steps + c->num_steps);

    for (size_t i = 0; i < c->num_steps; i++) {
        steps[i].action = c->steps[i].action;
        steps[i].recipient = bs_pack_recipient(&at, &c->steps[i].recipient);
    }
    memcpy(at, jwe.p, jwe.len);
    at[jwe.len] = '\0';
    r->steps = steps;
    r->num_steps = c->num_steps;
    r->envelope = at;
    r->envelope_len = jwe.len;
}

enum blobseal_status bs_change_report(struct blobseal_change_result **result, const struct bs_change *c, bool finished,
                                      struct blobseal_error *err)
{
    struct bs_slice jwe = c->new_jwe.len > 0 ? (struct bs_slice){c->new_jwe.p, c->new_jwe.len} : c->jwe;
    size_t more = c->num_steps * sizeof(struct blobseal_change_step) + jwe.len + 1;

    for (size_t i = 0; i < c->num_steps; i++)
        more += bs_packed_recipient_len(&c->steps[i].recipient);
    *result = malloc(sizeof **result + more);
    if (*result == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "describe the change: no memory");
    **result = (struct blobseal_change_result){.changed = c->changed,
                                               .finished = finished,
                                               .fresh_key = c->fresh,
                                               .verified = c->opened.unlocked != NULL,
                                               .generation = c->generation};
    copy_steps(*result, c, jwe);
    if (bs_sha256((*result)->envelope_sha256, jwe.p, jwe.len))
        return BLOBSEAL_OK;
    blobseal_change_result_free(*result);
    *result = NULL;
    return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "compute the digest of the envelope: no memory");
}

void blobseal_change_result_free(struct blobseal_change_result *result)
{
    free(result);
}

/* ---- The public function ----------------------------------------------------------------------------------------- */

enum blobseal_status blobseal_change_envelope(struct blobseal_change_result **result,
                                              const struct blobseal_source *source, struct blobseal_kek *const *keks,
                                              size_t num_keks, const struct blobseal_change *change,
                                              struct blobseal_error *err)
{
    struct bs_input in = {source, 0};
    struct bs_preamble preamble = {0};
    struct bs_change_request rq;
    struct bs_change_plan plan;
    struct bs_change *c = NULL;
    struct bs_slice jwe;
    enum blobseal_status st = bs_change_check(&rq, change, (struct bs_keks){keks, num_keks, NULL}, err);
    bool tie = false;

    *result = NULL;
    if (st == BLOBSEAL_OK && source == NULL && rq.wanted.envelope == NULL)
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0, "change recipients: neither a blob nor an envelope was passed");
    if (st == BLOBSEAL_OK && source != NULL)
        st = bs_check_source(source, "change recipients", err);
    if (st == BLOBSEAL_OK && source != NULL)
        st = bs_preamble_read(&preamble, &in, rq.wanted.envelope, rq.wanted.envelope_len, err);
    if (st == BLOBSEAL_OK)
        st = bs_change_plan(&c, &rq, source != NULL ? &preamble : NULL,
                            source != NULL ? bs_source_name(source) : "the envelope", &plan, err);
    if (st == BLOBSEAL_OK) {
        tie = (preamble.notes & BLOBSEAL_NOTE_TIE) != 0;
        if (plan.changed || tie)
            st = bs_change_write(c, &jwe, err);
    }
    if (st == BLOBSEAL_OK)
        st = bs_change_report(result, c, tie, err);
    bs_change_free(c);
    bs_preamble_clear(&preamble);
    return st;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A change of the recipients of a blob, up to the new envelope: what is there, what is wanted, who needs a wrapped key. Where
 * the envelope is stored is the affair of rewrap.c and of the caller. FORMAT.md section 4.7.
 */
#include <stdlib.h>

#include "internal.h"
#include "kek.h"

enum blobseal_status bs_change_start(struct bs_change *c, const struct blobseal_change *wanted,
                                     struct blobseal_kek *const *keks, size_t num_keks, struct blobseal_error *err)
{
    *c = (struct bs_change){.wanted = {.size = sizeof c->wanted}};
    if (wanted == NULL || !blobseal_struct_import(&c->wanted, sizeof c->wanted, wanted))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "change recipients: a change without its size, or newer than the library");
    if (num_keks > BLOBSEAL_MAX_RECIPIENTS || c->wanted.num_add > BLOBSEAL_MAX_RECIPIENTS)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "change recipients: more than %u keys", BLOBSEAL_MAX_RECIPIENTS);
    if ((num_keks > 0 && keks == NULL) || (c->wanted.num_add > 0 && c->wanted.add == NULL) ||
        (c->wanted.num_remove > 0 && c->wanted.remove == NULL))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "change recipients: a list is missing");
    if (c->wanted.replace && num_keks == 0)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "change recipients: no key to replace");
    if (c->wanted.repair && (c->wanted.num_add > 0 || c->wanted.num_remove > 0 || c->wanted.replace || c->wanted.only))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "change recipients: a repair changes none");
    for (size_t i = 0; i < num_keks; i++)
        c->keks[c->num_keks++] = keks[i];
    for (size_t i = 0; i < c->wanted.num_add; i++)
        c->keks[c->num_keks++] = c->wanted.add[i];
    return BLOBSEAL_OK;
}

void bs_change_clear(struct bs_change *c)
{
    free(c->jwe.p);
    blobseal_secret_free(c->u);
    bs_envelope_clear(&c->envelope);
    *c = (struct bs_change){0};
}

/* ---- What is there --------------------------------------------------------------------------------------------- */

static struct blobseal_kek *kek_named(struct blobseal_kek *const *keks, size_t num, const char *kid)
{
    for (size_t i = 0; i < num; i++)
        if (strcmp(bs_kek_info(keks[i])->kid, kid) == 0)
            return keks[i];
    return NULL;
}

static bool is_recipient(const struct bs_jwe *jwe, const char *kid)
{
    for (size_t i = 0; i < jwe->num; i++)
        if (strcmp(jwe->recipients[i].kid, kid) == 0)
            return true;
    return false;
}

/* Whether all who are to be added are there already. */
static bool has_all(const struct bs_change *c)
{
    for (size_t i = 0; i < c->wanted.num_add; i++)
        if (!is_recipient(&c->envelope.jwe, bs_kek_info(c->wanted.add[i])->kid))
            return false;
    return true;
}

/* Whether @kid is among those who are to go. */
static bool is_named(const struct bs_change *c, const char *kid)
{
    for (size_t k = 0; k < c->wanted.num_remove; k++)
        if (strcmp(c->wanted.remove[k], kid) == 0)
            return true;
    return false;
}

/* Open with the first @num of the keys. */
static enum blobseal_status unlock(struct bs_change *c, size_t num, const struct bs_preamble *f, const char *name,
                                   struct blobseal_error *err)
{
    enum blobseal_status st;

    if (f != NULL)
        return bs_preamble_unlock(f, name, c->keks, num, &c->candidate, &c->envelope, &c->u, err);
    st = bs_envelope_parse(&c->envelope, c->text, c->text_len, err);
    if (st == BLOBSEAL_OK)
        st = bs_envelope_unlock(&c->u, &c->envelope, NULL, c->keks, num, err);
    return st;
}

/* Whether somebody would go who has to be named for that: not for being the one who is replaced. */
static bool somebody_goes(const struct bs_change *c)
{
    for (size_t i = 0; i < c->envelope.jwe.num; i++) {
        const char *kid = c->envelope.jwe.recipients[i].kid;

        if (kek_named(c->wanted.add, c->wanted.num_add, kid) == NULL && (c->wanted.only || is_named(c, kid)))
            return true;
    }
    return false;
}

/* Whether it is no wonder that no key opens: that of who is replaced, or one that is itself to go. */
static bool key_may_be_gone(const struct bs_change *c)
{
    for (size_t i = 0; i < c->num_keks; i++)
        if (is_named(c, bs_kek_info(c->keks[i])->kid))
            return true;
    return c->wanted.replace;
}

/*
 * Open the envelope. Replacing, it is the first key that must do it: who it is will be replaced. If that key is no recipient
 * (any more) and the new ones are, then there is nothing to replace, and another key may show that all is well. So it is with
 * a key that let itself out.
 */
static enum blobseal_status open_envelope(struct bs_change *c, const struct bs_preamble *f, const char *name,
                                          struct blobseal_error *err)
{
    enum blobseal_status st = unlock(c, c->wanted.replace ? 1 : c->num_keks, f, name, err);

    if (st == BLOBSEAL_E_NO_KEY && key_may_be_gone(c) && has_all(c)) {
        c->wanted.replace = false;
        bs_envelope_clear(&c->envelope);
        st = unlock(c, c->num_keks, f, name, err);
        if (st == BLOBSEAL_E_NO_KEY && f != NULL && f->notes != 0)
            blobseal_hint(err, "an earlier change of this blob did not finish: give a private key that opens it now");
        else if (st == BLOBSEAL_E_NO_KEY && !somebody_goes(c))
            st = BLOBSEAL_OK;
    }
    if (st == BLOBSEAL_OK)
        st = bs_check_generation(name, c->envelope.generation, c->wanted.min_generation, err);
    return st;
}

/* ---- What is to be done ---------------------------------------------------------------------------------------- */

static bool is_removed(const struct bs_change *c, size_t i)
{
    const char *kid = c->envelope.jwe.recipients[i].kid;

    if (kek_named(c->wanted.add, c->wanted.num_add, kid) != NULL)
        return false;
    if (c->wanted.only || (c->wanted.replace && c->u->by.recipient == i))
        return true;
    return is_named(c, kid);
}

static void note_step(struct bs_change *c, enum blobseal_action action, const struct bs_jwe_recipient *r)
{
    c->steps[c->num_steps++] =
        (struct blobseal_change_step){action, {.alg = r->alg, .kid = r->kid, .region = r->region}};
    c->changed = c->changed || action != BLOBSEAL_ACTION_KEEP;
    c->fresh = c->fresh || action == BLOBSEAL_ACTION_REMOVE;
}

static enum blobseal_status add_recipient(struct bs_change *c, struct blobseal_kek *kek, struct blobseal_error *err)
{
    const struct blobseal_kek_info *info = bs_kek_info(kek);
    const struct bs_jwe_recipient r = {.alg = info->alg, .kid = info->kid, .key_len = info->wrapped_len};

    if (is_recipient(&c->envelope.jwe, info->kid))
        return BLOBSEAL_OK;
    for (size_t i = 0; i < c->num; i++)
        if (strcmp(c->recipients[i].kid, info->kid) == 0) {
            (void)blobseal_fail(err, BLOBSEAL_E_ARG, 0, "the key %.160s is given twice", info->kid);
            blobseal_hint(err, "name each key once: the halves of a pair are the same key");
            return BLOBSEAL_E_ARG;
        }
    if (c->num == BLOBSEAL_MAX_RECIPIENTS)
        return blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "a blob has at most %u recipients", BLOBSEAL_MAX_RECIPIENTS);
    c->wrap[c->num] = kek;
    c->recipients[c->num++] = r;
    note_step(c, BLOBSEAL_ACTION_ADD, &r);
    return BLOBSEAL_OK;
}

/* With a fresh CEK everybody who stays needs a wrapped key of it. */
static enum blobseal_status wrap_for_all(struct bs_change *c, struct blobseal_error *err)
{
    for (size_t i = 0; i < c->num; i++) {
        struct bs_jwe_recipient *r = &c->recipients[i];

        if (c->wrap[i] == NULL)
            c->wrap[i] = kek_named(c->keks, c->num_keks, r->kid);
        if (c->wrap[i] == NULL) {
            (void)blobseal_fail(
                err, BLOBSEAL_E_POLICY, 0,
                "the recipient %.160s stays and needs a new wrapped key, but its public key is not at hand", r->kid);
            blobseal_advise(err, BLOBSEAL_ADVICE_PUBLIC_KEY, r->kid, "pass its public key as well, or remove %.120s",
                            r->kid);
            return BLOBSEAL_E_POLICY;
        }
        if (strcmp(bs_kek_info(c->wrap[i])->alg, r->alg) != 0) {
            bool sha1 = strcmp(r->alg, "RSA-OAEP") == 0;

            (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the recipient %.160s is for %s, its key was given for %s",
                                r->kid, r->alg, bs_kek_info(c->wrap[i])->alg);
            blobseal_advise(err, sha1 ? BLOBSEAL_ADVICE_OAEP_SHA1 : BLOBSEAL_ADVICE_OAEP_SHA256, NULL,
                            "open that key for OAEP with %s", sha1 ? "SHA-1" : "SHA-256");
            return BLOBSEAL_E_CONFIG;
        }
        r->key_len = bs_kek_info(c->wrap[i])->wrapped_len;
    }
    return BLOBSEAL_OK;
}

static enum blobseal_status plan(struct bs_change *c, struct blobseal_error *err)
{
    const struct bs_jwe *jwe = &c->envelope.jwe;
    enum blobseal_status st = BLOBSEAL_OK;

    for (size_t i = 0; i < jwe->num; i++) {
        bool removed = is_removed(c, i);

        note_step(c, removed ? BLOBSEAL_ACTION_REMOVE : BLOBSEAL_ACTION_KEEP, &jwe->recipients[i]);
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

enum blobseal_status bs_change_plan(struct bs_change *c, const struct bs_preamble *f, const char *name,
                                    const char *text, size_t len, struct blobseal_error *err)
{
    enum blobseal_status st;

    c->text = text;
    c->text_len = len;
    st = open_envelope(c, f, name, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (f != NULL) {
        c->text = f->candidates[c->candidate].text;
        c->text_len = f->candidates[c->candidate].len;
    }
    c->generation = c->envelope.generation;
    return plan(c, err);
}

/* ---- The new envelope ------------------------------------------------------------------------------------------ */

static enum blobseal_status encode(struct bs_change *c, const struct blobseal_secret32 *cek, struct blobseal_error *err)
{
    uint8_t keys[BLOBSEAL_MAX_RECIPIENTS][BLOBSEAL_MAX_WRAPPED];
    struct bs_jwe jwe = {.num = c->num};
    enum blobseal_status st;

    for (size_t i = 0; i < c->num; i++) {
        jwe.recipients[i] = c->recipients[i];
        if (c->wrap[i] == NULL)
            continue;
        st = bs_kek_wrap(c->wrap[i], keys[i], cek, err);
        if (st != BLOBSEAL_OK)
            return st;
        jwe.recipients[i].key = keys[i];
    }
    return bs_envelope_encode(&c->jwe, c->envelope.blob_id, c->generation, &jwe, cek, c->u->content, err);
}

enum blobseal_status bs_change_write(struct bs_change *c, struct blobseal_error *err)
{
    struct blobseal_secret32 *fresh = NULL;
    enum blobseal_status st;

    if (c->generation == BS_MAX_GENERATION) {
        (void)blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "the envelope is of the last generation there is");
        blobseal_hint(err, "seal the data again");
        return BLOBSEAL_E_POLICY;
    }
    c->generation++;
    c->jwe = bs_builder_start(malloc(BLOBSEAL_MAX_ENVELOPE + 1), BLOBSEAL_MAX_ENVELOPE);
    fresh = c->fresh ? blobseal_secret_alloc(sizeof *fresh) : &c->u->by.cek;
    if (c->jwe.p == NULL || fresh == NULL)
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write the envelope: no memory");
    else if (c->fresh && !blobseal_random(fresh->b, sizeof fresh->b, true))
        st = blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "the random number generator failed");
    else
        st = encode(c, fresh, err);
    if (c->fresh)
        blobseal_secret_free(fresh);
    return st;
}

/* ---- Telling --------------------------------------------------------------------------------------------------- */

static void copy_steps(struct blobseal_change_result *r, const struct bs_change *c, const char *text, size_t text_len)
{
    struct blobseal_change_step *steps = (struct blobseal_change_step *)(r + 1);
    char *at = (char *)(steps + c->num_steps);

    for (size_t i = 0; i < c->num_steps; i++) {
        const struct blobseal_recipient *from = &c->steps[i].recipient;

        steps[i].action = c->steps[i].action;
        steps[i].recipient.alg = bs_keep_text(&at, from->alg);
        steps[i].recipient.kid = bs_keep_text(&at, from->kid);
        steps[i].recipient.region = bs_keep_text(&at, from->region);
    }
    memcpy(at, text, text_len);
    at[text_len] = '\0';
    r->steps = steps;
    r->num_steps = c->num_steps;
    r->envelope = at;
    r->envelope_len = text_len;
}

enum blobseal_status bs_change_report(struct blobseal_change_result **result, const struct bs_change *c,
                                      struct blobseal_error *err)
{
    const char *text = c->jwe.len > 0 ? (const char *)c->jwe.p : c->text;
    size_t text_len = c->jwe.len > 0 ? c->jwe.len : c->text_len;
    size_t more = c->num_steps * sizeof(struct blobseal_change_step) + text_len + 1;

    for (size_t i = 0; i < c->num_steps; i++)
        more += bs_text_len(c->steps[i].recipient.alg) + bs_text_len(c->steps[i].recipient.kid) +
                bs_text_len(c->steps[i].recipient.region);
    *result = malloc(sizeof **result + more);
    if (*result == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "describe the change: no memory");
    **result = (struct blobseal_change_result){.changed = c->changed,
                                               .finished = c->finished,
                                               .fresh_key = c->fresh,
                                               .verified = c->u != NULL,
                                               .generation = c->generation};
    copy_steps(*result, c, text, text_len);
    return BLOBSEAL_OK;
}

void blobseal_change_result_free(struct blobseal_change_result *result)
{
    free(result);
}

enum blobseal_status blobseal_change_envelope(struct blobseal_change_result **result,
                                              const struct blobseal_source *source, const char *envelope,
                                              size_t envelope_len, struct blobseal_kek *const *keks, size_t num_keks,
                                              const struct blobseal_change *change, struct blobseal_error *err)
{
    struct bs_input in = {source, 0};
    struct bs_preamble preamble = {0};
    struct bs_change *c = malloc(sizeof *c);
    enum blobseal_status st;

    *result = NULL;
    if (c == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "change recipients: no memory");
    st = bs_change_start(c, change, keks, num_keks, err);
    if (st == BLOBSEAL_OK && source == NULL && envelope == NULL)
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0, "change recipients: neither a blob nor an envelope");
    if (st == BLOBSEAL_OK && source != NULL)
        st = bs_preamble_read(&preamble, &in, envelope, envelope_len, err);
    if (st == BLOBSEAL_OK)
        st = bs_change_plan(c, source != NULL ? &preamble : NULL,
                            source != NULL ? bs_source_name(source) : "the envelope", envelope, envelope_len, err);
    if (st == BLOBSEAL_OK && (c->changed || (preamble.notes & BLOBSEAL_NOTE_TIE) != 0)) {
        c->finished = (preamble.notes & BLOBSEAL_NOTE_TIE) != 0;
        st = bs_change_write(c, err);
    }
    if (st == BLOBSEAL_OK)
        st = bs_change_report(result, c, err);
    bs_change_clear(c);
    free(c);
    bs_preamble_clear(&preamble);
    return st;
}

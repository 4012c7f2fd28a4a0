/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing recipients: which keys open the blob before and after, which parts of the envelope stay, and how often the
 * keys are used.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "kek/kek.h"
#include "tests/support/changes.h"
#include "tests/support/suite.h"

SUITE_WITH(change, keys_start, keys_end);

/* ---- Parsing envelopes ------------------------------------------------------------------------------------------- */

/* An envelope and its decrypted content. */
struct look {
    struct bs_envelope e;
    struct bs_unlocked *u;
};

static void look(struct look *l, const struct kept *k, struct blobseal_kek *kek)
{
    size_t len;
    const char *text = kept_envelope(k, &len);

    cr_assert_eq(bs_envelope_parse(&l->e, text, len, NULL), BLOBSEAL_OK);
    cr_assert_eq(bs_envelope_unlock(&l->u, &l->e, NULL, (struct bs_keks){&kek, 1, NULL}, NULL), BLOBSEAL_OK);
}

static void look_away(struct look *l)
{
    blobseal_secret_free(l->u);
    bs_envelope_clear(&l->e);
}

static const struct bs_jwe_recipient *recipient(const struct look *l, const char *kid)
{
    for (size_t i = 0; i < l->e.jwe.num; i++)
        if (strcmp(l->e.jwe.recipients[i].kid, kid) == 0)
            return &l->e.jwe.recipients[i];
    return NULL;
}

static bool same_key(const struct bs_jwe_recipient *a, const struct bs_jwe_recipient *b)
{
    return a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0;
}

/* Return true if @cek decrypts the content, without any code of the library: RFC 7518 section 5.3. */
static bool decrypts(const struct bs_jwe *jwe, const struct blobseal_secret32 *cek)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t *out = must_alloc(jwe->ciphertext.len), tag[16];
    int n;
    bool ok;

    memcpy(tag, jwe->tag, sizeof tag);
    ok = EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, cek->b, jwe->iv) == 1 &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, tag) == 1 &&
         EVP_DecryptUpdate(ctx, NULL, &n, jwe->protected_text.p, (int)jwe->protected_text.len) == 1 &&
         EVP_DecryptUpdate(ctx, out, &n, jwe->ciphertext.p, (int)jwe->ciphertext.len) == 1 &&
         EVP_DecryptFinal_ex(ctx, out, &n) == 1;
    EVP_CIPHER_CTX_free(ctx);
    free(out);
    return ok;
}

/* ---- The matrix -------------------------------------------------------------------------------------------------- */

#define MAX_LIST 6

/* The recipients are keys 0, 1 and 2; key 0 opens. Lists contain key numbers and end with -1. */
struct verb {
    const char *name;
    int add[MAX_LIST], remove[MAX_LIST], at_hand[MAX_LIST];
    bool replace, only, repair;
    uint64_t min_generation;
    int opens[MAX_LIST]; /* the recipients afterwards, in this order */
    bool changed, fresh;
};

static const struct verb verbs[] = {
    {"add", {3, -1}, {-1}, {0, -1}, .opens = {0, 1, 2, 3, -1}, .changed = true},
    {"add two", {3, 4, -1}, {-1}, {0, -1}, .opens = {0, 1, 2, 3, 4, -1}, .changed = true},
    {"add with any key", {3, -1}, {-1}, {2, -1}, .opens = {0, 1, 2, 3, -1}, .changed = true},
    {"add one that exists", {1, -1}, {-1}, {0, -1}, .opens = {0, 1, 2, -1}},
    {"add one that exists and one that does not",
     {1, 3, -1},
     {-1},
     {0, -1},
     .opens = {0, 1, 2, 3, -1},
     .changed = true},
    {"remove", {-1}, {2, -1}, {0, 1, -1}, .opens = {0, 1, -1}, .changed = true, .fresh = true},
    {"remove one that does not exist", {-1}, {9, -1}, {0, -1}, .opens = {0, 1, 2, -1}},
    {"remove oneself", {-1}, {0, -1}, {0, 1, 2, -1}, .opens = {1, 2, -1}, .changed = true, .fresh = true},
    {"remove all but one", {-1}, {0, 2, -1}, {0, 1, -1}, .opens = {1, -1}, .changed = true, .fresh = true},
    {"add and remove", {3, -1}, {1, -1}, {0, 2, -1}, .opens = {0, 2, 3, -1}, .changed = true, .fresh = true},
    {"remove one that is added", {1, -1}, {1, -1}, {0, -1}, .opens = {0, 1, 2, -1}},
    {"replace", {3, -1}, {-1}, {0, 1, 2, -1}, .replace = true, .opens = {1, 2, 3, -1}, .changed = true, .fresh = true},
    {"replace and drop",
     {3, -1},
     {1, 2, -1},
     {0, -1},
     .replace = true,
     .opens = {3, -1},
     .changed = true,
     .fresh = true},
    {"replace by one that exists",
     {1, -1},
     {-1},
     {0, 2, -1},
     .replace = true,
     .opens = {1, 2, -1},
     .changed = true,
     .fresh = true},
    {"replace by oneself", {0, -1}, {-1}, {0, -1}, .replace = true, .opens = {0, 1, 2, -1}},
    {"replace without a new one",
     {-1},
     {-1},
     {0, 1, 2, -1},
     .replace = true,
     .opens = {1, 2, -1},
     .changed = true,
     .fresh = true},
    {"only", {3, -1}, {-1}, {0, -1}, .only = true, .opens = {3, -1}, .changed = true, .fresh = true},
    {"only some of them", {0, 1, -1}, {-1}, {0, -1}, .only = true, .opens = {0, 1, -1}, .changed = true, .fresh = true},
    {"only those that exist", {2, 1, 0, -1}, {-1}, {0, -1}, .only = true, .opens = {0, 1, 2, -1}},
    {"repair what is well", {-1}, {-1}, {0, -1}, .repair = true, .opens = {0, 1, 2, -1}},
    {"nothing", {-1}, {-1}, {0, -1}, .opens = {0, 1, 2, -1}},
    {"of generation 1 or later",
     {3, -1},
     {-1},
     {0, -1},
     .min_generation = 1,
     .opens = {0, 1, 2, 3, -1},
     .changed = true},
};

static bool in_list(const int *list, int i)
{
    for (size_t k = 0; k < MAX_LIST && list[k] >= 0; k++)
        if (list[k] == i)
            return true;
    return false;
}

/*
 * The arguments for a call of the library, made from a verb. The first available key is private, all others are public.
 */
struct call {
    struct blobseal_kek *keks[MAX_LIST], *add[MAX_LIST];
    const char *remove[MAX_LIST];
    size_t num;
    struct blobseal_change change;
};

static void call_make(struct call *c, const struct verb *v)
{
    *c = (struct call){.change = {.size = sizeof c->change,
                                  .add = c->add,
                                  .remove = c->remove,
                                  .replace = v->replace,
                                  .only = v->only,
                                  .repair = v->repair,
                                  .min_generation = v->min_generation}};
    for (size_t i = 0; i < MAX_LIST && v->at_hand[i] >= 0; i++)
        c->keks[c->num++] = i == 0 ? keys[v->at_hand[i]] : public_keys[v->at_hand[i]];
    for (size_t i = 0; i < MAX_LIST && v->add[i] >= 0; i++)
        c->add[c->change.num_add++] = public_keys[v->add[i]];
    for (size_t i = 0; i < MAX_LIST && v->remove[i] >= 0; i++)
        c->remove[c->change.num_remove++] = fakes[v->remove[i]].kid;
}

static void expect_recipients(const struct kept *k, const struct verb *v)
{
    for (int i = 0; i < 6; i++) {
        enum blobseal_status want = in_list(v->opens, i) ? BLOBSEAL_OK : BLOBSEAL_E_NO_KEY;

        cr_expect_eq(kept_open(k, keys[i]), want, "%s, %s: key %d", way_names[k->way], v->name, i);
    }
}

static void expect_steps(const struct blobseal_change_result *r, const struct verb *v)
{
    size_t kept = 0, want = 0;

    for (size_t i = 0; i < r->num_steps; i++) {
        const struct blobseal_change_step *s = &r->steps[i];

        cr_expect_str_eq(s->recipient.alg, "RSA-OAEP-256");
        if (s->action == BLOBSEAL_ACTION_REMOVE)
            continue;
        cr_assert(v->opens[kept] >= 0, "%s: too many stay", v->name);
        cr_expect_str_eq(s->recipient.kid, fakes[v->opens[kept++]].kid, "%s", v->name);
    }
    while (v->opens[want] >= 0)
        want++;
    cr_expect_eq(kept, want, "%s", v->name);
}

/* Compare the envelopes before and after: what stays and what does not. @by opens both. */
static void expect_kept(const struct look *was, const struct look *is, const struct verb *v, const char *where)
{
    cr_expect_eq(is->e.generation, was->e.generation + (v->changed ? 1 : 0), "%s, %s", where, v->name);
    cr_expect_eq(is->u->content.len, was->u->content.len);
    cr_expect_arr_eq(is->u->content.p, was->u->content.p, was->u->content.len, "%s, %s: content", where, v->name);
    cr_expect_eq(memcmp(was->e.jwe.iv, is->e.jwe.iv, 12) != 0, v->changed, "%s, %s: iv", where, v->name);
    cr_expect(decrypts(&is->e.jwe, &is->u->by.cek));
    cr_expect_eq(decrypts(&is->e.jwe, &was->u->by.cek), !v->fresh, "%s, %s: the old CEK", where, v->name);
    for (size_t i = 0; i < is->e.jwe.num; i++) {
        const struct bs_jwe_recipient *r = &is->e.jwe.recipients[i], *before = recipient(was, r->kid);

        if (before != NULL)
            cr_expect_eq(same_key(before, r), !v->fresh, "%s, %s: the wrapped key of %s", where, v->name, r->kid);
        for (size_t k = 0; v->fresh && k < was->e.jwe.num; k++)
            cr_expect_not(same_key(r, &was->e.jwe.recipients[k]), "%s, %s: an old wrapped key", where, v->name);
    }
}

static void try_verb(enum way way, const struct verb *v)
{
    struct blobseal_change_result *r, *again;
    struct blobseal_error err;
    struct look was, is;
    struct kept k;
    struct call c;

    kept_make(&k, way, 3);
    look(&was, &k, keys[1]);
    call_make(&c, v);
    cr_assert_eq(kept_change(&k, c.keks, c.num, &c.change, &r, &err), BLOBSEAL_OK, "%s, %s: %s", way_names[way],
                 v->name, err.text);
    cr_expect_eq(r->changed, v->changed, "%s, %s", way_names[way], v->name);
    cr_expect_eq(r->fresh_key, v->fresh, "%s, %s", way_names[way], v->name);
    cr_expect(r->verified && !r->finished);
    cr_expect_eq(r->generation, v->changed ? 2 : 1);
    cr_expect_eq(strlen(r->envelope), r->envelope_len);
    expect_steps(r, v);
    expect_recipients(&k, v);
    look(&is, &k, keys[v->opens[0]]);
    expect_kept(&was, &is, v, way_names[way]);
    look_away(&is);
    look_away(&was);

    c.keks[c.num++] = keys[v->opens[0]]; /* the same change again, with a key that opens the new envelope */
    if (!v->replace || v->changed == (v->add[0] >= 0)) {
        cr_assert_eq(kept_change(&k, c.keks, c.num, &c.change, &again, &err), BLOBSEAL_OK, "%s, %s again: %s",
                     way_names[way], v->name, err.text);
        cr_expect(!again->changed && again->verified && again->generation == r->generation, "%s, %s again",
                  way_names[way], v->name);
        cr_expect_str_eq(again->envelope, r->envelope);
        blobseal_change_result_free(again);
    }
    blobseal_change_result_free(r);
    kept_clear(&k);
}

Test(change, every_verb_in_every_layout)
{
    for (enum way way = WAY_COMPACT; way < NUM_WAYS; way++)
        for (size_t i = 0; i < COUNT(verbs); i++)
            try_verb(way, &verbs[i]);
}

/* Only the necessary wraps are made, because each may be a request to a vault. */
Test(change, wraps_no_more_than_it_must)
{
    struct blobseal_change_result *r;
    struct kept k;
    struct call c;

    for (size_t i = 0; i < COUNT(verbs); i++) {
        unsigned wraps = 0, want = 0;

        kept_make(&k, WAY_DETACHED, 3);
        for (size_t n = 0; n < NUM_KEYS; n++)
            fakes[n].wraps = public_fakes[n].wraps = fakes[n].unwraps = 0;
        call_make(&c, &verbs[i]);
        cr_assert_eq(kept_change(&k, c.keks, c.num, &c.change, &r, NULL), BLOBSEAL_OK);
        for (size_t n = 0; n < NUM_KEYS; n++)
            wraps += fakes[n].wraps + public_fakes[n].wraps;
        for (size_t n = 0; n < r->num_steps; n++)
            want += r->steps[n].action == BLOBSEAL_ACTION_ADD ||
                    (r->fresh_key && r->steps[n].action == BLOBSEAL_ACTION_KEEP);
        cr_expect_eq(wraps, want, "%s: %u wraps, %u are needed", verbs[i].name, wraps, want);
        cr_expect_eq(fakes[verbs[i].at_hand[0]].unwraps, 1, "%s", verbs[i].name);
        blobseal_change_result_free(r);
        kept_clear(&k);
    }
}

Test(change, a_dry_run_writes_nothing_and_says_the_same)
{
    for (size_t i = 0; i < COUNT(verbs); i++) {
        struct blobseal_change_result *dry, *real;
        struct kept k;
        struct call c;
        uint8_t *was;

        kept_make(&k, WAY_AB, 3);
        was = must_copy(k.blob, k.len);
        call_make(&c, &verbs[i]);
        c.change.dry_run = true;
        cr_assert_eq(kept_change(&k, c.keks, c.num, &c.change, &dry, NULL), BLOBSEAL_OK);
        cr_expect_arr_eq(k.blob, was, k.len);
        c.change.dry_run = false;
        cr_assert_eq(kept_change(&k, c.keks, c.num, &c.change, &real, NULL), BLOBSEAL_OK);
        cr_expect(dry->changed == real->changed && dry->fresh_key == real->fresh_key &&
                  dry->generation == real->generation && dry->num_steps == real->num_steps);
        blobseal_change_result_free(dry);
        blobseal_change_result_free(real);
        free(was);
        kept_clear(&k);
    }
}

/* ---- What stays -------------------------------------------------------------------------------------------------- */

/* Another writer may order the JWK as it likes. Every byte of it survives any number of changes. */
Test(change, the_content_stays_as_another_writer_made_it)
{
    static const char metadata[] = "{ \"ann\":{\"b\":\"\\u00e9\"},\"name\":\"x\" }";
    char hdr[200] = {0}, k64[64] = {0}, kid[32] = {0}, meta[100] = {0}, content[1200];
    struct blobseal_kek *both[] = {keys[0], public_keys[1]};
    uint8_t wrapped[2][256];
    struct bs_builder w;
    struct bs_jwe jwe = {.num = 2};
    struct recipe r;
    struct kept k;
    struct look l;
    int len;

    recipe_make(&r, 9, 1);
    r.metadata = metadata;
    recipe_derive(&r);
    blobseal_base64url_encode(meta, (const uint8_t *)metadata, strlen(metadata));
    blobseal_base64url_encode(hdr, r.core.raw, sizeof r.core.raw);
    blobseal_base64url_encode(k64, r.dek.b, sizeof r.dek.b);
    blobseal_base64url_encode(kid, r.core.blob_id, sizeof r.core.blob_id);
    len = snprintf(content, sizeof content,
                   "{\"meta\":\"%s\",\n \"hdr\" : \"%s\",\"kty\":\"oct\",\"kid\":\"%s\",\"k\":\"%s\"}\n", meta, hdr,
                   kid, k64);
    for (unsigned i = 0; i < 2; i++) {
        wrap_with(keys[i], wrapped[i], &r.cek);
        jwe.recipients[i] = (struct bs_jwe_recipient){"RSA-OAEP-256", fakes[i].kid, wrapped[i], 256};
    }
    w = bs_builder_start(must_alloc(BLOBSEAL_MAX_ENVELOPE + 1), BLOBSEAL_MAX_ENVELOPE);
    cr_assert_eq(bs_envelope_encode(&w, envelope_for(&r, 41, &jwe), &r.cek,
                                    (struct bs_slice){(uint8_t *)content, (size_t)len}, NULL),
                 BLOBSEAL_OK);
    w.p[w.len] = '\0';
    for (enum way way = WAY_COMPACT; way < NUM_WAYS; way++) {
        const struct blobseal_change changes[] = {
            {.size = sizeof changes[0], .add = &public_keys[2], .num_add = 1},
            {.size = sizeof changes[0], .remove = &fakes[2].kid, .num_remove = 1},
            {.size = sizeof changes[0], .add = &public_keys[1], .num_add = 1, .only = true},
        };

        kept_from(&k, way, &r, (const char *)w.p, 41);
        for (size_t i = 0; i < COUNT(changes); i++) {
            struct blobseal_change_result *result;

            cr_assert_eq(kept_change(&k, both, 2, &changes[i], &result, NULL), BLOBSEAL_OK);
            cr_expect(result->changed && result->generation == 42 + i);
            look(&l, &k, keys[1]);
            cr_expect_eq(l.u->content.len, (size_t)len);
            cr_expect_arr_eq(l.u->content.p, content, (size_t)len);
            look_away(&l);
            blobseal_change_result_free(result);
        }
        kept_clear(&k);
    }
    free(w.p);
}

/*
 * A recipient with an invalid wrapped key, which only someone with the CEK can make, does not prevent changes of the
 * others.
 */
Test(change, a_wrapped_key_that_is_rubbish)
{
    struct blobseal_change change = {.size = sizeof change, .add = &public_keys[2], .num_add = 1};
    struct blobseal_kek *all[] = {keys[0], keys[1]};
    struct blobseal_change_result *r;
    uint8_t wrapped[2][256];
    struct bs_jwe jwe = {.num = 2};
    struct recipe rec;
    struct kept k;
    struct look l;
    struct bs_builder w;
    uint8_t content[1024];
    size_t len;

    recipe_make(&rec, 10, 1);
    fill_random(wrapped[0], 256, 1);
    wrap_with(keys[1], wrapped[1], &rec.cek);
    for (unsigned i = 0; i < 2; i++)
        jwe.recipients[i] = (struct bs_jwe_recipient){"RSA-OAEP-256", fakes[i].kid, wrapped[i], 256};
    len = bs_jwk_write(content, sizeof content, &rec.core, &rec.dek, (struct bs_slice){0});
    w = bs_builder_start(must_alloc(BLOBSEAL_MAX_ENVELOPE + 1), BLOBSEAL_MAX_ENVELOPE);
    cr_assert_eq(bs_envelope_encode(&w, envelope_for(&rec, 1, &jwe), &rec.cek, (struct bs_slice){content, len}, NULL),
                 BLOBSEAL_OK);
    w.p[w.len] = '\0';
    for (enum way way = WAY_COMPACT; way < NUM_WAYS; way++) {
        kept_from(&k, way, &rec, (const char *)w.p, 1);
        cr_expect_eq(kept_change(&k, all, 1, &change, &r, NULL), BLOBSEAL_E_AUTH, "with that key alone");
        change.replace = true;
        cr_expect_eq(kept_change(&k, all, 2, &change, &r, NULL), BLOBSEAL_E_AUTH, "it is the first that is replaced");
        change.replace = false;
        cr_assert_eq(kept_change(&k, all, 2, &change, &r, NULL), BLOBSEAL_OK);
        look(&l, &k, keys[2]);
        cr_expect_arr_eq(recipient(&l, fakes[0].kid)->key, wrapped[0], 256, "adding leaves it");
        look_away(&l);
        blobseal_change_result_free(r);
        cr_expect_eq(kept_open(&k, keys[0]), BLOBSEAL_E_AUTH);
        change = (struct blobseal_change){.size = sizeof change, .remove = &fakes[2].kid, .num_remove = 1};
        cr_assert_eq(kept_change(&k, all, 2, &change, &r, NULL), BLOBSEAL_OK);
        cr_expect_eq(kept_open(&k, keys[0]), BLOBSEAL_OK, "a fresh CEK heals it");
        blobseal_change_result_free(r);
        change = (struct blobseal_change){.size = sizeof change, .add = &public_keys[2], .num_add = 1};
        kept_clear(&k);
    }
    free(w.p);
}

/* ---- Replacing --------------------------------------------------------------------------------------------------- */

/* A vault key without a version opens what was wrapped for any of its versions. The recipient names one version. */
Test(change, a_key_that_opens_under_another_kid_is_replaced)
{
    struct fake_kek any = {.kid = "vault/key", .twist = 1, .takes_any_kid = true};
    struct blobseal_kek *old = fake_kek_open(&any), *keks[] = {old, public_keys[1], public_keys[2]};
    const struct blobseal_change change = {
        .size = sizeof change, .add = &public_keys[5], .num_add = 1, .replace = true};
    struct blobseal_change_result *r;
    struct kept k;

    for (enum way way = WAY_COMPACT; way < NUM_WAYS; way++) {
        kept_make(&k, way, 3);
        cr_assert_eq(kept_change(&k, keks, 3, &change, &r, NULL), BLOBSEAL_OK);
        cr_expect(r->changed && r->fresh_key);
        cr_expect_eq(r->steps[0].action, BLOBSEAL_ACTION_REMOVE);
        cr_expect_str_eq(r->steps[0].recipient.kid, fakes[0].kid);
        cr_expect_eq(kept_open(&k, keys[0]), BLOBSEAL_E_NO_KEY);
        cr_expect_eq(kept_open(&k, old), BLOBSEAL_E_AUTH);
        for (unsigned i = 1; i < 6; i++)
            cr_expect_eq(kept_open(&k, keys[i]), i == 3 || i == 4 ? BLOBSEAL_E_NO_KEY : BLOBSEAL_OK);
        blobseal_change_result_free(r);
        kept_clear(&k);
    }
    blobseal_kek_close(old);
}

/*
 * The recipients who were to be removed with the old key are gone too. Repeat the change without a key that opens the
 * blob.
 */
static void expect_nothing_left_to_do(enum way way)
{
    struct blobseal_kek *added[] = {public_keys[1], public_keys[0]};
    const char *gone[] = {fakes[2].kid, fakes[3].kid}, *staying[] = {fakes[3].kid, fakes[0].kid};
    const struct {
        struct blobseal_change change;
        enum blobseal_status want;
    } again[] = {
        {{.add = added, .num_add = 2, .only = true}, BLOBSEAL_OK},
        {{.add = added, .num_add = 1, .only = true}, BLOBSEAL_E_NO_KEY},
        {{.add = added, .num_add = 1, .remove = gone, .num_remove = 2}, BLOBSEAL_OK},
        {{.add = added, .num_add = 1, .remove = staying, .num_remove = 2}, BLOBSEAL_E_NO_KEY},
        {{.add = added, .num_add = 2, .remove = staying, .num_remove = 2}, BLOBSEAL_OK}, /* added keys stay */
        {{.add = added, .num_add = 2, .remove = gone, .num_remove = 2, .only = true}, BLOBSEAL_OK},
    };

    for (size_t i = 0; i < COUNT(again); i++) {
        struct blobseal_change change = again[i].change;
        struct blobseal_change_result *r;
        struct blobseal_error err;
        struct kept k;

        kept_make(&k, way, 2);
        change.size = sizeof change;
        change.replace = true;
        cr_assert_eq(kept_change(&k, &keys[7], 1, &change, &r, &err), again[i].want, "%zu: %s", i, err.text);
        cr_expect(r == NULL || (!r->changed && !r->fresh_key && !r->finished && !r->verified && r->generation == 1));
        cr_expect(r == NULL || r->num_steps == 2);
        blobseal_change_result_free(r);
        kept_clear(&k);
    }
}

/* A key that removed itself opens nothing any more. It need not, because the requested change is already made. */
Test(change, removing_oneself_twice)
{
    const char *gone[] = {fakes[7].kid, fakes[8].kid}, *staying[] = {fakes[7].kid, fakes[1].kid};
    struct blobseal_change change = {.size = sizeof change, .remove = gone, .num_remove = 2};
    struct blobseal_change_result *r;
    struct kept k;

    for (enum way way = WAY_COMPACT; way < NUM_WAYS; way++) {
        kept_make(&k, way, 2);
        cr_expect_eq(kept_change(&k, &keys[7], 1, &change, &r, NULL), BLOBSEAL_OK);
        cr_expect(r != NULL && !r->changed && !r->verified && !r->finished);
        blobseal_change_result_free(r);
        cr_expect_eq(kept_change(&k, &keys[9], 1, &change, &r, NULL), BLOBSEAL_E_NO_KEY, "a key that is just wrong");
        change.remove = staying;
        cr_expect_eq(kept_change(&k, &keys[7], 1, &change, &r, NULL), BLOBSEAL_E_NO_KEY,
                     "another recipient is still there");
        change.remove = gone;
        change.add = &public_keys[9];
        change.num_add = 1;
        cr_expect_eq(kept_change(&k, &keys[7], 1, &change, &r, NULL), BLOBSEAL_E_NO_KEY,
                     "a recipient is not there yet");
        change.num_add = 0;
        kept_clear(&k);
    }
}

/*
 * The old key is no longer a recipient, and the new one is. Nothing is left to do, but only another key can verify
 * that.
 */
Test(change, replacing_a_key_that_is_gone)
{
    struct blobseal_kek *keks[] = {keys[7], keys[0]};
    struct blobseal_change change = {.size = sizeof change, .add = &public_keys[1], .num_add = 1, .replace = true};
    struct blobseal_change_result *r;
    struct blobseal_error err;
    struct kept k;

    for (enum way way = WAY_COMPACT; way < NUM_WAYS; way++) {
        for (size_t num = 1; num <= 2; num++) {
            kept_make(&k, way, 2);
            cr_assert_eq(kept_change(&k, keks, num, &change, &r, &err), BLOBSEAL_OK, "%s", err.text);
            cr_expect(!r->changed && !r->fresh_key && !r->finished && r->generation == 1);
            cr_expect_eq(r->verified, num == 2);
            cr_expect_eq(r->num_steps, 2);
            blobseal_change_result_free(r);
            change.min_generation = 2;
            cr_expect_eq(kept_change(&k, keks, num, &change, &r, &err), BLOBSEAL_E_POLICY,
                         "its age counts all the same");
            change.min_generation = 0;

            change.only = true; /* this would change something, so a key must open the blob */
            cr_expect_eq(kept_change(&k, keks, num, &change, &r, &err), num == 2 ? BLOBSEAL_OK : BLOBSEAL_E_NO_KEY);
            blobseal_change_result_free(r);
            change.only = false;
            kept_clear(&k);
        }
        expect_nothing_left_to_do(way);
        kept_make(&k, way, 2);
        change.add = &public_keys[9];
        cr_expect_eq(kept_change(&k, keks, 2, &change, &r, &err), BLOBSEAL_E_NO_KEY, "the new one is not there either");
        change.add = &public_keys[1];
        fakes[0].unwrap =
            (struct fault){.at_call = fakes[0].unwraps + 1, .status = BLOBSEAL_E_UNAVAILABLE, .once = true};
        cr_expect_eq(kept_change(&k, keks, 2, &change, &r, &err), BLOBSEAL_E_UNAVAILABLE, "no answer is not a yes");
        kept_clear(&k);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing the recipients of a layer by rewriting its annotations. What is not affected keeps its bytes. Who was a
 * recipient may have kept the keys of the layer, which do not change.
 */
#include <stdlib.h>

#include "core/oci/keys.h"

struct changing {
    const struct blobseal_oci_change *change;
    const struct bs_oci_items *items;
    struct bs_keks keks; /* that may open the layer, and those that are added */
    size_t num_to;       /* the last ones of them                             */
    struct bs_oci_wrapping wrapping;
    struct bs_oci_output *out;
    bool changed;
    bool no_memory; /* while looking for something */
    size_t left;    /* elements that the new annotations have */
};

/* The recipients of an element, whatever its scheme. */
struct element {
    struct bs_oci_jwe jwe;
    struct bs_oci_blobs blobs;
    size_t num;
    const struct bs_jwe_recipient *list;
    struct bs_jwe_recipient of_blobs[BLOBSEAL_MAX_RECIPIENTS];
};

static enum blobseal_status parse_element(struct element *e, const struct bs_oci_item *item, struct blobseal_error *err)
{
    enum blobseal_status st;

    memset(e, 0, sizeof *e);
    if (item->scheme != BS_OCI_PKCS11) {
        st = bs_oci_jwe_parse(&e->jwe, item->scheme, item->bytes, err);
        e->num = e->jwe.jwe.num;
        e->list = e->jwe.jwe.recipients;
        return st;
    }
    st = bs_oci_blobs_parse(&e->blobs, item->bytes, err);
    for (; e->num < e->blobs.num; e->num++) {
        const struct bs_oci_blob *b = &e->blobs.list[e->num];

        e->of_blobs[e->num] = (struct bs_jwe_recipient){b->alg, b->kid, b->blob.p, b->blob.len};
    }
    e->list = e->of_blobs;
    return st;
}

static void clear_element(struct element *e)
{
    bs_oci_jwe_clear(&e->jwe);
    bs_oci_blobs_clear(&e->blobs);
}

static bool in_list(const char *kid, const char *const *list, size_t num)
{
    for (size_t i = 0; i < num; i++)
        if (kid != NULL && strcmp(kid, list[i]) == 0)
            return true;
    return false;
}

/* Return the keys to add. */
static struct bs_keks added(const struct changing *c)
{
    return (struct bs_keks){c->keks.list + (c->keks.num - c->num_to), c->num_to, c->keks.call};
}

/* Return true if a key that is added would wrap for this recipient now: an older version of it is another recipient. */
static bool wraps_for(const struct blobseal_kek *kek, const struct bs_jwe_recipient *r)
{
    const char *now = bs_kek_info(kek)->kid;

    return r->kid != NULL && now != NULL && strcmp(r->kid, now) == 0 && bs_kek_owns(kek, r->alg, r->kid);
}

static bool is_added(const struct changing *c, const struct bs_jwe_recipient *r)
{
    const struct bs_keks to = added(c);

    for (size_t i = 0; i < to.num; i++)
        if (wraps_for(to.list[i], r))
            return true;
    return false;
}

/* Return true if a recipient is to be removed. */
static bool goes(const struct changing *c, const struct bs_jwe_recipient *r)
{
    return in_list(r->kid, c->change->remove, c->change->num_remove) && !is_added(c, r);
}

/* ---- Removing ---------------------------------------------------------------------------------------------------- */

static enum blobseal_status unnamed(const struct bs_oci_item *item, struct blobseal_error *err)
{
    (void)blobseal_fail(
        err, BLOBSEAL_E_POLICY, 0,
        "remove a recipient of a layer: the annotation %.64s has a recipient that is not named, and may "
        "be the one",
        item->name);
    blobseal_advise(err, BLOBSEAL_ADVICE_REPLACE, NULL,
                    "rewrap the layer for the recipients that it is to have, which replaces all of them");
    return BLOBSEAL_E_POLICY;
}

/*
 * Check that every recipient of a known kind has a key id that names its key, or is removed by the id that it has.
 * Otherwise it may belong to a key that is to be removed, without anybody seeing that.
 */
static enum blobseal_status check_names(const struct changing *c, const struct bs_oci_item *item,
                                        const struct element *e, struct blobseal_error *err)
{
    for (size_t i = 0; i < e->num; i++) {
        const struct bs_jwe_recipient *r = &e->list[i];

        if (bs_jwe_knows(r) && !bs_oci_names_a_key(r->kid) &&
            !in_list(r->kid, c->change->remove, c->change->num_remove))
            return unnamed(item, err);
    }
    return BLOBSEAL_OK;
}

/*
 * Find the key of a recipient who stays in a JWE that is made anew: the one that wraps for it now, or else one that
 * owns it, unless what that wraps would be for a recipient who is removed: another version of the same key.
 */
static enum blobseal_status find_key(const struct changing *c, const struct bs_jwe_recipient *r,
                                     struct blobseal_kek **kek, struct blobseal_error *err)
{
    const char *name = r->kid != NULL ? r->kid : "(not named)";
    enum blobseal_status st = BLOBSEAL_OK;

    *kek = NULL;
    for (size_t i = 0; i < c->keks.num && st == BLOBSEAL_OK; i++) {
        struct blobseal_kek *one = c->keks.list[i];

        if (r->kid == NULL || !bs_kek_owns(one, r->alg, r->kid))
            continue;
        st = bs_kek_describe(one, c->keks.call, err);
        if (st == BLOBSEAL_OK &&
            (wraps_for(one, r) ||
             (*kek == NULL && !in_list(bs_kek_info(one)->kid, c->change->remove, c->change->num_remove))))
            *kek = one;
    }
    if (st != BLOBSEAL_OK || *kek != NULL)
        return st;
    (void)blobseal_fail(err, BLOBSEAL_E_POLICY, 0,
                        "remove a recipient of a layer: the public key of %.160s is needed, who stays", name);
    blobseal_advise(err, BLOBSEAL_ADVICE_PUBLIC_KEY, name, "pass the public key of that recipient, or remove it too");
    return BLOBSEAL_E_POLICY;
}

/* Wrap the private options for @keks in an element of @scheme. */
static enum blobseal_status seal(struct changing *c, enum bs_oci_scheme scheme, struct blobseal_kek *const *list,
                                 size_t num, struct blobseal_error *err)
{
    const struct bs_oci_sealing sealing = {scheme, c->wrapping.generation, c->wrapping.options};
    const struct bs_keks keks = {list, num, c->keks.call};

    c->changed = true;
    c->left++;
    return scheme == BS_OCI_PKCS11 ? bs_oci_seal_blobs(c->out, sealing.options, keks, err)
                                   : bs_oci_seal(c->out, &sealing, keks, err);
}

/* Make an element anew for its recipients who stay, if there are any. */
static enum blobseal_status remake(struct changing *c, const struct bs_oci_item *item, const struct element *e,
                                   struct blobseal_error *err)
{
    struct blobseal_kek *stay[BLOBSEAL_MAX_RECIPIENTS];
    enum blobseal_status st = BLOBSEAL_OK;
    size_t num = 0;

    for (size_t i = 0; i < e->num && st == BLOBSEAL_OK; i++)
        if (!goes(c, &e->list[i])) {
            bool twice = false; /* two versions of one key become the newest one */

            st = find_key(c, &e->list[i], &stay[num], err);
            for (size_t k = 0; k < num; k++)
                twice = twice || stay[k] == stay[num];
            num += twice ? 0 : 1;
        }
    c->changed = true;
    return st == BLOBSEAL_OK && num > 0 ? seal(c, item->scheme, stay, num, err) : st;
}

static void keep(struct changing *c, const struct bs_oci_item *item)
{
    bs_oci_output_text(c->out, item->key, item->text);
    c->left++;
}

/* Keep an element, drop it, or make it anew. */
static enum blobseal_status change_item(struct changing *c, const struct bs_oci_item *item, struct blobseal_error *err)
{
    struct element e;
    enum blobseal_status st;
    bool affected = false;

    if (c->change->num_remove > 0 && item->scheme == BS_OCI_PKCS7)
        return unnamed(item, err);
    if (c->change->num_remove == 0 || item->scheme == BS_OCI_PGP || item->scheme == BS_OCI_OTHER) {
        keep(c, item);
        return BLOBSEAL_OK;
    }
    st = parse_element(&e, item, err);
    if (st == BLOBSEAL_OK)
        st = check_names(c, item, &e, err);
    for (size_t i = 0; i < e.num && st == BLOBSEAL_OK; i++)
        affected = affected || goes(c, &e.list[i]);
    if (st == BLOBSEAL_OK && affected)
        st = remake(c, item, &e, err);
    else if (st == BLOBSEAL_OK)
        keep(c, item);
    clear_element(&e);
    return st;
}

/* The schemes that this library writes. */
static const enum bs_oci_scheme written[] = {BS_OCI_JWE, BS_OCI_PKCS11, BS_OCI_OURS};

/* ---- Adding ------------------------------------------------------------------------------------------------------ */

/* Return true if a key is a recipient in an element of @scheme already. */
static bool is_recipient(struct changing *c, struct blobseal_kek *kek, enum bs_oci_scheme scheme)
{
    bool found = false;

    for (size_t i = 0; i < c->items->num && !found; i++) {
        struct element e;
        enum blobseal_status st;

        if (c->items->list[i].scheme != scheme)
            continue;
        st = parse_element(&e, &c->items->list[i], NULL);
        c->no_memory = c->no_memory || st == BLOBSEAL_E_NOMEM;
        if (st == BLOBSEAL_OK)
            for (size_t k = 0; k < e.num && !found; k++)
                found = wraps_for(kek, &e.list[k]);
        clear_element(&e);
    }
    return found;
}

/* Find out whether a key that is added belongs in an annotation of @scheme. Errors: those of bs_oci_place(). */
static enum blobseal_status belongs(const struct changing *c, struct blobseal_kek *kek, enum bs_oci_scheme scheme,
                                    bool *yes, struct blobseal_error *err)
{
    bool in_jwe, in_ours;
    enum blobseal_status st = bs_oci_place(kek, &c->wrapping, c->keks.call, &in_jwe, &in_ours, err);

    *yes = scheme == BS_OCI_OURS ? in_ours : in_jwe && (scheme == BS_OCI_JWE || c->wrapping.pkcs11);
    return st;
}

/* Add those of the keys to add that belong in @scheme and are not there yet. */
static enum blobseal_status add_to(struct changing *c, enum bs_oci_scheme scheme, struct blobseal_error *err)
{
    struct blobseal_kek *missing[BLOBSEAL_MAX_RECIPIENTS];
    const struct bs_keks to = added(c);
    size_t num = 0;

    for (size_t i = 0; i < to.num; i++) {
        bool yes;
        enum blobseal_status st = belongs(c, to.list[i], scheme, &yes, err);

        if (st != BLOBSEAL_OK)
            return st;
        if (yes && !is_recipient(c, to.list[i], scheme))
            missing[num++] = to.list[i];
    }
    return num > 0 ? seal(c, scheme, missing, num, err) : BLOBSEAL_OK;
}

/* ---- Replacing --------------------------------------------------------------------------------------------------- */

/* Return true if all recipients are named, and are those that are to replace them. */
static bool is_replaced(struct changing *c, const struct blobseal_oci_recipients *list)
{
    const struct bs_keks to = added(c);
    size_t expected = 0;

    for (size_t i = 0; i < list->num; i++) {
        const struct bs_jwe_recipient r = {.alg = list->list[i].alg, .kid = list->list[i].kid};

        if (r.alg == NULL || r.kid == NULL || !is_added(c, &r))
            return false;
    }
    for (size_t i = 0; i < to.num; i++)
        for (size_t k = 0; k < BS_COUNT(written); k++) {
            bool yes;

            if (belongs(c, to.list[i], written[k], &yes, NULL) != BLOBSEAL_OK ||
                (yes && !is_recipient(c, to.list[i], written[k])))
                return false;
            expected += yes;
        }
    return expected == list->num;
}

static enum blobseal_status replace_all(struct changing *c, const struct blobseal_oci_recipients *before,
                                        struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    if (c->num_to == 0)
        return BLOBSEAL_OK;
    c->left = 1;
    if (is_replaced(c, before)) {
        for (size_t i = 0; i < c->items->num; i++)
            keep(c, &c->items->list[i]);
    } else {
        st = bs_oci_wrap_into(c->out, &c->wrapping, added(c), err);
        c->changed = true;
    }
    return st;
}

/* ---- All of it --------------------------------------------------------------------------------------------------- */

static enum blobseal_status run(struct changing *c, const struct blobseal_oci_recipients *before,
                                struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    if (c->change->replace) {
        st = replace_all(c, before, err);
    } else {
        for (size_t i = 0; i < c->items->num && st == BLOBSEAL_OK; i++)
            st = change_item(c, &c->items->list[i], err);
        for (size_t i = 0; i < BS_COUNT(written) && st == BLOBSEAL_OK; i++)
            st = add_to(c, written[i], err);
    }
    if (st == BLOBSEAL_OK && c->no_memory)
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "change the recipients of a layer: no memory");
    if (st == BLOBSEAL_OK && c->left == 0) {
        st = blobseal_fail(err, BLOBSEAL_E_POLICY, 0,
                           "change the recipients of a layer: nobody would be left who can open it");
        blobseal_hint(err, "add another recipient first");
    }
    return st;
}

/* Return the generation of what is made now: one more than the highest that is there. */
static uint64_t next_generation(struct changing *c)
{
    uint64_t highest = 0;

    for (size_t i = 0; i < c->items->num; i++) {
        struct bs_oci_jwe j;
        enum blobseal_status st;

        if (c->items->list[i].scheme != BS_OCI_OURS)
            continue;
        st = bs_oci_jwe_parse(&j, BS_OCI_OURS, c->items->list[i].bytes, NULL);
        c->no_memory = c->no_memory || st == BLOBSEAL_E_NOMEM;
        if (st == BLOBSEAL_OK && j.generation > highest)
            highest = j.generation;
        bs_oci_jwe_clear(&j);
    }
    return highest < BS_MAX_GENERATION ? highest + 1 : highest;
}

/* Return true if a key id is that of a recipient in @list. */
static bool is_listed(const char *kid, const struct blobseal_oci_recipient *list, size_t num)
{
    for (size_t i = 0; i < num; i++)
        if (list[i].kid != NULL && strcmp(list[i].kid, kid) == 0)
            return true;
    return false;
}

/* Count the keys of @a by whether @b has them, each once. Return the number of recipients without a name. */
static size_t compare(const struct blobseal_oci_recipients *a, const struct blobseal_oci_recipients *b, size_t *both,
                      size_t *only_a)
{
    size_t without = 0;

    *both = *only_a = 0;
    for (size_t i = 0; i < a->num; i++) {
        const char *kid = a->list[i].kid;

        if (kid == NULL)
            without++;
        else if (!is_listed(kid, a->list, i))
            ++*(is_listed(kid, b->list, b->num) ? both : only_a);
    }
    return without;
}

static enum blobseal_status count(struct blobseal_oci_change_result *r, const struct blobseal_oci_recipients *before,
                                  const struct blobseal_oci_annotations *list, struct blobseal_error *err)
{
    struct blobseal_oci_recipients *after;
    enum blobseal_status st = blobseal_oci_recipients(list->list, list->num, &after, err);
    size_t both, old_unnamed, new_unnamed;

    if (st != BLOBSEAL_OK)
        return st;
    old_unnamed = compare(before, after, &r->kept, &r->removed);
    new_unnamed = compare(after, before, &both, &r->added);
    r->kept += new_unnamed;
    r->removed += old_unnamed > new_unnamed ? old_unnamed - new_unnamed : 0;
    blobseal_oci_recipients_free(after);
    return BLOBSEAL_OK;
}

/* What is needed during a change, on the heap. */
struct state {
    struct changing c;
    struct bs_oci_items items;
    struct bs_oci_output out;
    struct blobseal_oci_recipients *before;
    struct bs_oci_opened *opened;
    size_t num_keks;
    struct blobseal_kek **keks; /* both lists of the caller */
};

static enum blobseal_status prepare(struct state *s, const struct bs_keks keks, struct blobseal_error *err)
{
    const struct blobseal_oci_change *change = s->c.change;
    struct bs_oci_public public;
    enum blobseal_status st = bs_oci_items_public(&s->items, &public, err);

    if (st == BLOBSEAL_OK && public.cipher != BS_OCI_CTR_HMAC) {
        st =
            blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "change the recipients of a layer: it is a blob with an envelope");
        blobseal_hint(err, "change its envelope");
    }
    if (st == BLOBSEAL_OK)
        st = bs_selftest_once(err);
    if (st == BLOBSEAL_OK)
        st = bs_oci_open(&s->opened, &s->items, keks, err);
    if (st == BLOBSEAL_OK)
        st = bs_oci_key_complete(&s->opened->key, &public, err);
    if (st != BLOBSEAL_OK)
        return st;
    for (size_t i = 0; i < keks.num; i++)
        s->keks[i] = keks.list[i];
    for (size_t i = 0; i < change->num_to && st == BLOBSEAL_OK; i++) {
        s->keks[keks.num + i] = change->to[i];
        st = bs_kek_describe(change->to[i], keks.call, err);
    }
    if (st != BLOBSEAL_OK)
        return st;
    s->c.keks = (struct bs_keks){s->keks, keks.num + change->num_to, keks.call};
    s->c.num_to = change->num_to;
    s->c.items = &s->items;
    s->c.out = &s->out;
    s->c.wrapping = (struct bs_oci_wrapping){
        {s->opened->text, s->opened->len}, next_generation(&s->c), change->provider, change->pkcs11};
    bs_oci_output_text(&s->out, BS_OCI_PUBOPTS,
                       (struct bs_slice){(const uint8_t *)s->items.public_text, strlen(s->items.public_text)});
    return BLOBSEAL_OK;
}

static void clear(struct state *s)
{
    blobseal_secret_free(s->opened);
    blobseal_oci_recipients_free(s->before);
    bs_oci_items_clear(&s->items);
    free(s->keks);
    free(s);
}

/* NOLINTNEXTLINE(readability-function-size): no two of the eight belong together */
enum blobseal_status blobseal_oci_change(const struct blobseal_oci_annotation *annotations, size_t num,
                                         struct blobseal_kek *const *keks, size_t num_keks,
                                         const struct blobseal_oci_change *change,
                                         struct blobseal_oci_annotations **list,
                                         struct blobseal_oci_change_result *result, struct blobseal_error *err)
{
    struct blobseal_oci_change own = {.size = sizeof own};
    struct blobseal_oci_change_result r = {.size = sizeof r};
    struct blobseal_call call;
    struct state *s;
    enum blobseal_status st;

    *list = NULL;
    if (!blobseal_struct_import(&own, sizeof own, change) || !bs_struct_export(result, &r, sizeof r))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "change the recipients of a layer: a struct without its size, or "
                             "newer than the library");
    if (own.num_to > BLOBSEAL_MAX_RECIPIENTS)
        return blobseal_fail(err, BLOBSEAL_E_POLICY, 0,
                             "change the recipients of a layer: it has 1 to %u, and %zu would be added",
                             BLOBSEAL_MAX_RECIPIENTS, own.num_to);
    s = calloc(1, sizeof *s);
    if (s != NULL)
        s->keks = calloc(num_keks + own.num_to + 1, sizeof(void *));
    if (s == NULL || s->keks == NULL) {
        free(s);
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "change the recipients of a layer: no memory");
    }
    call = bs_call_start(own.timeout_ms, own.cancel);
    s->c.change = &own;
    st = blobseal_oci_recipients(annotations, num, &s->before, err);
    if (st == BLOBSEAL_OK)
        st = bs_oci_items_read(&s->items, annotations, num, err);
    if (st == BLOBSEAL_OK)
        st = prepare(s, (struct bs_keks){keks, num_keks, &call}, err);
    if (st == BLOBSEAL_OK)
        st = run(&s->c, s->before, err);
    st = bs_oci_output_end(&s->out, list, st, err);
    if (st == BLOBSEAL_OK) {
        r.changed = s->c.changed;
        st = count(&r, s->before, *list, err);
    }
    if (st != BLOBSEAL_OK) {
        blobseal_oci_annotations_free(*list);
        *list = NULL;
    }
    clear(s);
    (void)!bs_struct_export(result, &r, sizeof r);
    return st;
}

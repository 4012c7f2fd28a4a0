/* SPDX-License-Identifier: Apache-2.0 */
/* Another KEK or another identity for a set, while other threads use it. */
#include <stdio.h>
#include <stdlib.h>

#include "core/set/set.h"

/* The definition with other keys, and with the first of them open. */
static enum blobseal_status redefine(struct blobseal_set *set, struct bs_set_definition *d, const char *to,
                                     const struct blobseal_set_options *options, struct blobseal_error *err)
{
    struct blobseal_kek *kek, *old, *keks[BLOBSEAL_SET_MAX_KEKS];
    size_t at = 0;
    enum blobseal_status st = bs_set_open_kek(&kek, set, to, options, err);

    if (st != BLOBSEAL_OK)
        return st;
    while (at < d->num_keks && strcmp(d->keks[at], to) != 0)
        at++;
    if (at == d->num_keks && d->num_keks < BLOBSEAL_SET_MAX_KEKS)
        d->num_keks++;
    else if (at == d->num_keks)
        at--; /* the oldest one is forgotten */
    memcpy(keks, set->keks, sizeof keks);
    old = keks[at];
    for (; at > 0; at--) {
        d->keks[at] = d->keks[at - 1];
        keks[at] = keks[at - 1];
    }
    d->keks[0] = to;
    keks[0] = kek;
    (void)pthread_mutex_lock(&set->lock);
    memcpy(set->keks, keks, sizeof keks);
    (void)pthread_mutex_unlock(&set->lock);
    blobseal_kek_close(old);
    return BLOBSEAL_OK;
}

/* Let @keks take the place of the KEKs of the set, and release those. Other threads always find a first KEK. */
static void replace_keks(struct blobseal_set *set, struct blobseal_kek *const keks[BLOBSEAL_SET_MAX_KEKS])
{
    struct blobseal_kek *old[BLOBSEAL_SET_MAX_KEKS];

    (void)pthread_mutex_lock(&set->lock);
    memcpy(old, set->keks, sizeof old);
    memcpy(set->keks, keks, sizeof set->keks);
    (void)pthread_mutex_unlock(&set->lock);
    for (size_t i = 0; i < BLOBSEAL_SET_MAX_KEKS; i++)
        blobseal_kek_close(old[i]);
}

/* Open the KEKs again, with the identity of the definition. */
static enum blobseal_status reopen_keks(struct blobseal_set *set, const struct blobseal_set_options *options,
                                        struct blobseal_error *err)
{
    struct blobseal_kek *keks[BLOBSEAL_SET_MAX_KEKS] = {NULL};
    enum blobseal_status st = bs_set_open_keks(set, keks, options, err);

    for (size_t i = 0; i < BLOBSEAL_SET_MAX_KEKS && st != BLOBSEAL_OK; i++)
        blobseal_kek_close(keks[i]);
    if (st == BLOBSEAL_OK)
        replace_keks(set, keks);
    return st;
}

/* Try whether the set can be read and written with its KEKs as they are now, and read again afterwards. */
static enum blobseal_status try_keks(struct blobseal_set *set, const struct bs_set_plan *plan,
                                     const struct blobseal_call *call, struct blobseal_error *err)
{
    struct bs_set_loaded *l;
    struct bs_set_object o = {0};
    char kid[BLOBSEAL_MAX_KID + 1];
    enum blobseal_status st;

    set->denied_until_ms = 0;
    st = bs_set_load(set, &l, call, err);
    if (st == BLOBSEAL_OK)
        st = bs_set_object_parse(&o, l->object, l->len, set->definition.id, err);
    if (st == BLOBSEAL_OK)
        st = bs_set_check_strangers(set, &o, plan, err);
    bs_set_object_clear(&o);
    bs_set_loaded_unref(l);
    if (st == BLOBSEAL_OK)
        st = bs_set_ask_kid(set, kid, call, err);
    return st == BLOBSEAL_OK ? bs_set_try_kek(set->keks[0], call, err) : st;
}

/* After a failure, return to the definition @text and to @keks, which holds a reference to each. */
static void go_back(struct blobseal_set *set, const char *text, struct blobseal_kek *const keks[BLOBSEAL_SET_MAX_KEKS])
{
    struct bs_set_definition d;

    replace_keks(set, keks);
    set->denied_until_ms = 0;
    if (bs_set_definition_parse(&d, set->definition.name, text, strlen(text), NULL) != BLOBSEAL_OK)
        return;
    (void)!bs_set_define(set, &d, NULL);
    bs_set_definition_clear(&d);
}

/* Define the set with another KEK or identity, or both. The definition is saved only if the set can be used with it.
 * The lock for requests is held. */
/* NOLINTNEXTLINE(readability-function-size): no two of the seven belong together */
static enum blobseal_status exchange(struct blobseal_set *set, const char *to, const char *identity,
                                     struct bs_set_plan *plan, const struct blobseal_set_options *o,
                                     const struct blobseal_call *call, struct blobseal_error *err)
{
    struct blobseal_kek *keks[BLOBSEAL_SET_MAX_KEKS];
    struct bs_set_definition d = set->definition;
    char *before;
    enum blobseal_status st = bs_set_check_identity(set, identity, o, err);

    if (st != BLOBSEAL_OK)
        return st;
    before = strdup(set->definition_text);
    if (before == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "rotate a set: no memory");
    plan->moved = to != NULL && strcmp(to, d.keks[0]) != 0;
    for (size_t i = 0; i < BLOBSEAL_SET_MAX_KEKS; i++)
        keks[i] = set->keks[i] != NULL ? bs_kek_ref(set->keks[i]) : NULL;
    if (identity != NULL) {
        d.identity = identity;
        st = bs_set_define(set, &d, err);
        if (st == BLOBSEAL_OK)
            st = reopen_keks(set, o, err);
    }
    if (st == BLOBSEAL_OK && to != NULL) {
        d = set->definition;
        st = redefine(set, &d, to, o, err);
        if (st == BLOBSEAL_OK)
            st = bs_set_define(set, &d, err);
    }
    if (st == BLOBSEAL_OK)
        st = try_keks(set, plan, call, err);
    if (st == BLOBSEAL_OK) /* before the object, which this process could not read otherwise after a crash */
        st = bs_set_save_definition(set, true, err);
    if (st != BLOBSEAL_OK)
        go_back(set, before, keks);
    for (size_t i = 0; i < BLOBSEAL_SET_MAX_KEKS && st == BLOBSEAL_OK; i++)
        blobseal_kek_close(keks[i]);
    free(before);
    return st;
}

enum blobseal_status blobseal_set_rotate(struct blobseal_set *set, const char *to, const char *identity,
                                         const struct blobseal_set_options *options, struct blobseal_set_change *change,
                                         struct blobseal_error *err)
{
    struct blobseal_set_options own = {.size = sizeof own};
    struct blobseal_set_change how = {.size = sizeof how};
    struct bs_set_plan plan = {.poll = true};
    struct blobseal_call call;
    enum blobseal_status st;

    if (!blobseal_struct_import(&own, sizeof own, options) || !blobseal_struct_import(&how, sizeof how, change))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "rotate a set: options without their size, or newer than the library");
    plan.drop = how.drop;
    plan.num_drop = how.num_drop;
    call = bs_call_start(own.timeout_ms, own.cancel);
    st = bs_set_begin(set, &call, err);
    if (st == BLOBSEAL_OK) {
        st = exchange(set, to, identity, &plan, &own, &call, err);
        (void)pthread_mutex_unlock(&set->request);
    }
    return st == BLOBSEAL_OK ? bs_set_run(set, &plan, "set-rotate", change, err)
                             : bs_set_record(set, "set-rotate", st, err);
}

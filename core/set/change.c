/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing the object of a set: for another KEK or another version of it, with a new key, or with the keys of another
 * copy. Each change reads the object first, and starts over if somebody else has changed it meanwhile.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/set/set.h"

#define MAX_TRIES 16

/* ---- For whom ---------------------------------------------------------------------------------------------------- */

bool bs_set_knows_recipient(const struct blobseal_set *set, const struct bs_jwe_recipient *r)
{
    const struct bs_set_definition *d = &set->definition;

    for (size_t i = 0; i < d->num_keks; i++)
        if (set->keks[i] != NULL && bs_kek_owns(set->keks[i], r->alg, r->kid))
            return true;
    for (size_t i = 0; i < d->num_recovery; i++)
        if (strcmp(d->recovery[i].kid, r->kid) == 0)
            return true;
    return false;
}

static bool is_dropped(const struct bs_set_plan *plan, const char *kid)
{
    for (size_t i = 0; i < plan->num_drop; i++)
        if (strcmp(plan->drop[i], kid) == 0)
            return true;
    return false;
}

/* Every recipient stays, is an older KEK, or is dropped. An old KEK of the definition that could not be opened looks
 * like a stranger, so that it must be dropped as well. */
enum blobseal_status bs_set_check_strangers(const struct blobseal_set *set, const struct bs_set_object *o,
                                            const struct bs_set_plan *plan, struct blobseal_error *err)
{
    for (size_t i = 0; i < o->jwe.num; i++) {
        const struct bs_jwe_recipient *r = &o->jwe.recipients[i];

        if (bs_set_knows_recipient(set, r) || is_dropped(plan, r->kid))
            continue;
        (void)blobseal_fail(err, BLOBSEAL_E_POLICY, 0,
                            "the recipient %.120s of the set %s would be lost: its definition has no key for it",
                            r->kid, set->definition.name);
        blobseal_advise(err, BLOBSEAL_ADVICE_DROP, r->kid,
                        "if nobody needs it any more, drop it; otherwise add its public key to the definition");
        return BLOBSEAL_E_POLICY;
    }
    return BLOBSEAL_OK;
}

/* The newest key id of the KEK, and whether the object is for exactly the right recipients. */
struct target {
    char kid[BLOBSEAL_MAX_KID + 1];
    bool rotated; /* the KEK or its version is not a recipient yet */
    bool others;  /* a recovery key is missing, or a recipient is not wanted */
};

enum blobseal_status bs_set_ask_kid(struct blobseal_set *set, char kid[BLOBSEAL_MAX_KID + 1],
                                    const struct blobseal_call *call, struct blobseal_error *err)
{
    struct blobseal_secret32 unused = {{0}};
    struct blobseal_wrapping *w = calloc(1, sizeof *w);
    struct blobseal_kek *kek = NULL;
    enum blobseal_status st;

    if (w == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "check the set: no memory");
    st = bs_set_first_kek(set, &kek, err);
    if (st == BLOBSEAL_OK)
        st = bs_kek_wrap_now(kek, w, &unused, call, err);
    if (st == BLOBSEAL_OK)
        memcpy(kid, w->kid, sizeof w->kid);
    blobseal_kek_close(kek);
    free(w);
    return st;
}

enum blobseal_status bs_set_try_kek(struct blobseal_kek *kek, const struct blobseal_call *call,
                                    struct blobseal_error *err)
{
    struct trial {
        struct blobseal_secret32 secret, back;
        struct blobseal_wrapping w;
    } *t = blobseal_secret_alloc(sizeof *t);
    enum blobseal_status st;

    if (t == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "try the KEK of a set: no memory");
    st = bs_kek_describe(kek, call, err);
    if (st == BLOBSEAL_OK)
        st = bs_random(t->secret.b, sizeof t->secret.b, true, err);
    if (st == BLOBSEAL_OK)
        st = bs_kek_wrap(kek, &t->w, &t->secret, call, err);
    if (st == BLOBSEAL_OK && !blobseal_kek_can_unwrap(kek)) {
        st = blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the KEK of a set has to unwrap, but %.160s is a public key here",
                           t->w.kid);
        blobseal_hint(err, "name its private key, or a key in a token or a vault");
    }
    if (st == BLOBSEAL_OK) {
        const struct blobseal_wrapped wrapped = {
            .alg = t->w.alg, .kid = t->w.kid, .key = t->w.key, .key_len = t->w.key_len};

        st = bs_kek_unwrap(kek, &t->back, &wrapped, NULL, call, err);
    }
    if (st == BLOBSEAL_OK ? !blobseal_equal(t->back.b, t->secret.b, sizeof t->back.b)
                          : st == BLOBSEAL_E_NOT_MINE || st == BLOBSEAL_E_AUTH)
        st = blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the KEK %.160s does not unwrap what it has wrapped", t->w.kid);
    blobseal_secret_free(t);
    return st;
}

static bool has_recipient(const struct bs_set_object *o, const char *kid)
{
    for (size_t i = 0; i < o->jwe.num; i++)
        if (strcmp(o->jwe.recipients[i].kid, kid) == 0)
            return true;
    return false;
}

static enum blobseal_status find_target(struct blobseal_set *set, struct target *t, const struct bs_set_object *o,
                                        const struct blobseal_call *call, struct blobseal_error *err)
{
    const struct bs_set_definition *d = &set->definition;
    enum blobseal_status st = bs_set_ask_kid(set, t->kid, call, err);
    size_t wanted = 1;

    if (st != BLOBSEAL_OK)
        return st;
    t->rotated = !has_recipient(o, t->kid);
    for (size_t i = 0; i < d->num_recovery; i++) {
        wanted += strcmp(d->recovery[i].kid, t->kid) != 0;
        t->others = t->others || !has_recipient(o, d->recovery[i].kid);
    }
    t->others = t->others || o->jwe.num != wanted;
    return st;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

/* Encrypt @keys for the KEK and the recovery keys. */
/* NOLINTNEXTLINE(readability-function-size): no two of the seven belong together */
static enum blobseal_status encode(struct blobseal_set *set, char **object, size_t *len, const struct bs_set_keys *keys,
                                   uint64_t generation, const struct blobseal_call *call, struct blobseal_error *err)
{
    const struct bs_set_definition *d = &set->definition;
    struct blobseal_kek *keks[1 + BLOBSEAL_SET_MAX_RECOVERY] = {set->keks[0]};
    const char *kids[1 + BLOBSEAL_SET_MAX_RECOVERY] = {NULL};
    size_t num = 1;

    for (size_t i = 0; i < d->num_recovery; i++) {
        if (bs_kek_owns(set->keks[0], "RSA-OAEP-256", d->recovery[i].kid))
            continue; /* a recovery key that has become the KEK */
        keks[num] = set->recovery[i];
        kids[num++] = d->recovery[i].kid;
    }
    return bs_set_object_write(object, len, keys, generation, (struct bs_set_recipients){{keks, num, call}, kids}, err);
}

/* What became of a new object. */
enum outcome { STORED, START_OVER, FAILED };

/* The store does not know whether it has @object now: read it back to find out. */
static enum outcome read_back(struct blobseal_set *set, const char *object, size_t len,
                              const struct blobseal_call *call, struct blobseal_error *err)
{
    char token[BLOBSEAL_SET_MAX_TOKEN], *now;
    size_t now_len;
    bool same;

    if (bs_set_store_get(set, &now, &now_len, token, call, err) != BLOBSEAL_OK)
        return FAILED;
    same = now != NULL && now_len == len && memcmp(now, object, len) == 0;
    free(now);
    return same ? STORED : START_OVER;
}

/* Store the object of @l in the place of the one that has @token, and use its keys from now on if that worked. */
static enum outcome store(struct blobseal_set *set, struct bs_set_loaded *l, const char *token,
                          const struct blobseal_call *call, struct blobseal_error *err)
{
    uint8_t sha256[BS_SHA256_LEN];
    enum blobseal_set_put result;
    enum blobseal_status st;
    enum outcome outcome;

    if (!bs_sha256(sha256, l->object, l->len)) {
        (void)blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write the set: no memory");
        return FAILED;
    }
    st = bs_set_store_put(set, l->object, l->len, token, &result, call, err);
    outcome = st != BLOBSEAL_OK ? FAILED : result == BLOBSEAL_SET_STORED ? STORED : START_OVER;
    if (result == BLOBSEAL_SET_UNKNOWN) {
        struct blobseal_error unused;
        enum outcome found = read_back(set, l->object, l->len, call, st == BLOBSEAL_OK ? err : &unused);

        if (found == STORED) /* it can be used, but a store that failed has not promised to keep it */
            bs_set_accept(set, l, sha256, call);
        return st == BLOBSEAL_OK ? found : FAILED;
    }
    if (outcome == STORED)
        bs_set_accept(set, l, sha256, call);
    return outcome;
}

/* Make the keys of the next object. */
static enum blobseal_status next_keys(struct bs_set_keys **keys, const struct bs_set_keys *old,
                                      const struct bs_set_plan *plan, bool new_key, struct blobseal_error *err)
{
    size_t more = plan->merge != NULL ? plan->merge->num : 0;
    struct bs_set_keys *k = bs_set_keys_new(old->num + more + 1);
    enum blobseal_status st = BLOBSEAL_OK;

    *keys = k;
    if (k == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write the set: no memory");
    memcpy(k->id, old->id, sizeof k->id);
    memcpy(k->list, old->list, old->num * sizeof k->list[0]);
    k->num = old->num;
    k->rotated = old->rotated;
    if (plan->merge != NULL)
        st = bs_set_keys_merge(k, plan->merge, err);
    if (st == BLOBSEAL_OK && new_key)
        st = bs_set_keys_add(k, bs_set_now_s(), err);
    if (st != BLOBSEAL_OK) {
        blobseal_secret_free(k);
        *keys = NULL;
    }
    return st;
}

/* Return true if the set makes a new key by itself now. */
static bool is_due(const struct blobseal_set *set, const struct bs_set_keys *keys, const struct bs_set_plan *plan)
{
    uint64_t made = keys->list[keys->num - 1].made, now = bs_set_now_s();

    return plan->poll && !set->definition.manual && !set->definition.direct && now > made &&
           now - made >= set->timing.rekey_s;
}

/* What one try of a change found and did. */
struct change {
    struct bs_set_loaded *base;
    struct target target;
    bool new_key;
};

/* Write an object with @keys, which are taken over, also after a failure, for the next @generation of the set. */
static enum blobseal_status make_loaded(struct bs_set_loaded **l, struct blobseal_set *set, struct bs_set_keys *keys,
                                        uint64_t generation, const struct blobseal_call *call,
                                        struct blobseal_error *err)
{
    char *object;
    size_t len;
    enum blobseal_status st = encode(set, &object, &len, keys, generation, call, err);

    *l = NULL;
    if (st != BLOBSEAL_OK) {
        blobseal_secret_free(keys);
        return st;
    }
    st = bs_set_loaded_new(l, keys, object, len, err);
    if (st == BLOBSEAL_OK)
        (*l)->generation = generation;
    return st;
}

static enum blobseal_status write_next(struct blobseal_set *set, const struct change *c, const struct bs_set_plan *plan,
                                       enum outcome *outcome, const struct blobseal_call *call,
                                       struct blobseal_error *err)
{
    struct bs_set_loaded *l = NULL;
    struct bs_set_keys *keys;
    struct blobseal_error why = {0};
    enum blobseal_status st = next_keys(&keys, c->base->keys, plan, c->new_key, err);

    *outcome = FAILED;
    if (st != BLOBSEAL_OK)
        return st;
    if (c->target.rotated || plan->moved)
        keys->rotated = bs_set_now_s();
    st = make_loaded(&l, set, keys, c->base->generation + 1, call, err);
    if (st != BLOBSEAL_OK)
        return st;
    l->lease = c->base->lease;
    l->kek = c->base->kek != NULL ? bs_kek_ref(c->base->kek) : NULL;
    memcpy(l->kid, c->target.kid, sizeof l->kid);
    *outcome = store(set, l, c->base->token, call, &why);
    if (*outcome == FAILED) {
        st = why.status;
        if (err != NULL)
            *err = why;
    }
    bs_set_loaded_unref(l);
    return st;
}

/* Read the object and find out what has to be done. *@needed: whether anything has to be. */
static enum blobseal_status prepare(struct blobseal_set *set, struct change *c, const struct bs_set_plan *plan,
                                    bool *needed, const struct blobseal_call *call, struct blobseal_error *err)
{
    struct bs_set_object o = {0};
    enum blobseal_status st = bs_set_load(set, &c->base, call, err);
    bool merged = false;

    if (st == BLOBSEAL_OK)
        st = bs_set_object_parse(&o, c->base->object, c->base->len, set->definition.id, err);
    if (st == BLOBSEAL_OK)
        st = find_target(set, &c->target, &o, call, err);
    if (st == BLOBSEAL_OK) {
        for (size_t i = 0; plan->merge != NULL && i < plan->merge->num; i++)
            merged = merged || bs_set_find(c->base->keys, plan->merge->list[i].n, plan->merge->list[i].check) == NULL;
        c->new_key = plan->new_key || is_due(set, c->base->keys, plan);
        *needed = c->target.rotated || c->target.others || c->new_key || merged;
        if (*needed)
            st = bs_set_check_strangers(set, &o, plan, err);
        if (st == BLOBSEAL_E_POLICY && !plan->new_key && !c->target.rotated && !merged && !c->new_key) {
            *needed = false; /* the only difference is an unknown recipient, which can stay */
            st = BLOBSEAL_OK;
        }
    }
    bs_set_object_clear(&o);
    return st;
}

enum blobseal_status bs_set_apply(struct blobseal_set *set, const struct bs_set_plan *plan,
                                  const struct blobseal_call *call, struct blobseal_set_change *done,
                                  struct blobseal_error *err)
{
    for (unsigned tries = 0; tries < MAX_TRIES; tries++) {
        struct change c = {0};
        enum outcome outcome = FAILED;
        bool needed = false;
        enum blobseal_status st = prepare(set, &c, plan, &needed, call, err);

        if (st == BLOBSEAL_OK && needed)
            st = write_next(set, &c, plan, &outcome, call, err);
        if (done != NULL && st == BLOBSEAL_OK && outcome != START_OVER) {
            done->changed = needed;
            done->rotated = needed && (c.target.rotated || plan->moved);
            done->new_key = needed && c.new_key;
            done->generation = c.base->generation + (needed ? 1 : 0);
        }
        bs_set_loaded_unref(c.base);
        if (st != BLOBSEAL_OK || !needed || outcome == STORED)
            return st;
    }
    (void)blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0, "others change the set %s all the time", set->definition.name);
    return BLOBSEAL_E_UNAVAILABLE;
}

enum blobseal_status bs_set_write_first(struct blobseal_set *set, struct bs_set_keys *keys, uint64_t generation,
                                        const struct blobseal_call *call, struct blobseal_error *err)
{
    struct bs_set_loaded *l;
    enum outcome outcome;
    struct blobseal_error why = {0};
    enum blobseal_status st = make_loaded(&l, set, keys, generation, call, err);

    if (st != BLOBSEAL_OK)
        return st;
    l->lease.valid_until_unix_ms = 1; /* a time that has passed: only unwrapping starts a lease on set keys */
    outcome = store(set, l, "", call, &why);
    bs_set_loaded_unref(l);
    if (outcome == FAILED) {
        if (err != NULL)
            *err = why;
        return why.status;
    }
    if (outcome == STORED)
        return BLOBSEAL_OK;
    (void)blobseal_fail(err, BLOBSEAL_E_EXISTS, 0, "the store of the set %s has an object already",
                        set->definition.name);
    if (set->store.ctx == &set->files)
        blobseal_hint(err, "import %.160s, or remove it and its backup if an interrupted run left it", set->files.path);
    else
        blobseal_hint(err, "import it, or remove it if it is not needed");
    return BLOBSEAL_E_EXISTS;
}

/* ---- Checks from time to time ------------------------------------------------------------------------------------ */

/* Plan the next check in @ms milliseconds, minus a random time of up to @ms / @part, so that machines do not all ask
 * at once. The lock for requests is held. */
static void plan_check(struct blobseal_set *set, uint64_t ms, unsigned part)
{
    uint8_t r;

    if (!blobseal_random(&r, sizeof r, false))
        r = 0;
    ms -= ms / part * r / 255;
    atomic_store(&set->poll_at_unix_ms, bs_set_unix_ms() + ms);
    atomic_store(&set->poll_at_ms, bs_set_now_ms() + ms);
}

/* Plan the next check after one that ended with @st. After a failure it comes soon, and then at growing intervals,
 * so that an outage delays a rotation by minutes, and not by a whole interval. */
static void plan_next(struct blobseal_set *set, enum blobseal_status st)
{
    const struct bs_set_timing *t = &set->timing;
    uint64_t delay = set->poll_delay_ms == 0 ? t->first_retry_ms : 2 * set->poll_delay_ms;

    set->poll_delay_ms = st == BLOBSEAL_OK ? 0 : delay < t->max_retry_ms ? delay : t->max_retry_ms;
    if (set->poll_delay_ms == 0 || set->poll_delay_ms >= t->poll_ms)
        plan_check(set, t->poll_ms, 10);
    else
        plan_check(set, set->poll_delay_ms, 4);
}

/* Return true if it is time for a check, by either clock: that of a virtual machine which was stopped for a while has
 * stood still, but its wall clock is set again. If the wall clock was set back far, it is time as well. */
static bool is_time(const struct blobseal_set *set)
{
    uint64_t now = bs_set_unix_ms(), due = atomic_load_explicit(&set->poll_at_unix_ms, memory_order_relaxed);

    return bs_set_now_ms() >= atomic_load_explicit(&set->poll_at_ms, memory_order_relaxed) || now >= due ||
           now + set->timing.poll_ms + BS_SET_MAX_STEP_BACK_MS < due;
}

static enum blobseal_status check(struct blobseal_set *set, const struct bs_set_plan *plan,
                                  const struct blobseal_call *call, struct blobseal_set_change *done,
                                  struct blobseal_error *err)
{
    enum blobseal_status st = bs_set_apply(set, plan, call, done, err);

    if (st == BLOBSEAL_E_CANCELED)
        return st;
    set->seen.last_check = bs_set_now_s();
    (void)snprintf(set->seen.last_error, sizeof set->seen.last_error, "%s", st != BLOBSEAL_OK ? err->text : "");
    set->state_is_kept = bs_set_seen_save(&set->seen, &set->state_file, call);
    plan_next(set, st);
    return st;
}

/* Return the operation for the audit record of a check, by what it has done. */
static const char *name_of_check(const struct blobseal_set_change *done)
{
    return done->rotated ? "set-rotate" : done->new_key ? "set-rekey" : "set-check";
}

void bs_set_poll_if_due(struct blobseal_set *set, const struct blobseal_call *call)
{
    const struct bs_set_plan plan = {.poll = true};
    struct blobseal_set_change done = {.size = sizeof done};
    struct blobseal_call own;
    struct blobseal_error unused;
    enum blobseal_status st;

    if (!is_time(set) || pthread_mutex_trylock(&set->request) != 0)
        return;
    if (atomic_load(&set->poll_at_ms) == 0) { /* the keys were read just now: the first check is later */
        plan_check(set, set->timing.poll_ms, 10);
    } else if (is_time(set)) { /* no other thread has just done it */
        own = bs_call_aside(call, set->timing.aside_ms);
        st = check(set, &plan, &own, &done, &unused);
        if (st != BLOBSEAL_OK || done.changed) /* a check that found nothing to do is not worth a record */
            (void)!bs_set_record(set, name_of_check(&done), st, &unused);
    }
    (void)pthread_mutex_unlock(&set->request);
}

/* ---- For programs ------------------------------------------------------------------------------------------------ */

/* Take over the caller's limits. *@own has all members. Errors: E_ARG. */
static enum blobseal_status start_change(struct blobseal_set_change *own, const struct blobseal_set_change *theirs,
                                         struct bs_set_plan *plan, struct blobseal_call *call,
                                         struct blobseal_error *err)
{
    *own = (struct blobseal_set_change){.size = sizeof *own};
    if (!blobseal_struct_import(own, sizeof *own, theirs))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "change a set: the size of the change is not set, or it is newer than the library");
    *call = bs_call_start(own->timeout_ms, own->cancel);
    plan->drop = own->drop;
    plan->num_drop = own->num_drop;
    own->changed = own->rotated = own->new_key = false;
    own->generation = 0;
    return BLOBSEAL_OK;
}

/* Let an imported set make new keys by itself from now on. */
static enum blobseal_status make_automatic(struct blobseal_set *set, struct blobseal_error *err)
{
    struct bs_set_definition d = set->definition;
    enum blobseal_status st;

    d.manual = false;
    st = bs_set_define(set, &d, err);
    return st == BLOBSEAL_OK ? bs_set_save_definition(set, true, err) : st;
}

enum blobseal_status bs_set_run(struct blobseal_set *set, struct bs_set_plan *plan, const char *operation,
                                struct blobseal_set_change *change, struct blobseal_error *err)
{
    struct blobseal_set_change own;
    struct blobseal_call call;
    struct blobseal_error e = {0};
    enum blobseal_status st = start_change(&own, change, plan, &call, err);

    if (st != BLOBSEAL_OK)
        return st;
    st = bs_set_begin(set, &call, &e);
    if (st == BLOBSEAL_OK) {
        set->denied_until_ms = 0; /* somebody asks explicitly */
        st = check(set, plan, &call, &own, &e);
        if (st == BLOBSEAL_OK && plan->new_key && set->definition.manual)
            st = make_automatic(set, &e);
        (void)pthread_mutex_unlock(&set->request);
    }
    st = bs_set_record(set, operation != NULL ? operation : name_of_check(&own), st, &e);
    if (st != BLOBSEAL_OK && err != NULL)
        *err = e;
    return change == NULL || bs_struct_export(change, &own, sizeof own) ? st : BLOBSEAL_E_ARG;
}

enum blobseal_status blobseal_set_check(struct blobseal_set *set, struct blobseal_set_change *change,
                                        struct blobseal_error *err)
{
    struct bs_set_plan plan = {.poll = true};

    return bs_set_run(set, &plan, NULL, change, err);
}

enum blobseal_status blobseal_set_rekey(struct blobseal_set *set, struct blobseal_set_change *change,
                                        struct blobseal_error *err)
{
    struct bs_set_plan plan = {.new_key = true};

    return bs_set_run(set, &plan, "set-rekey", change, err);
}

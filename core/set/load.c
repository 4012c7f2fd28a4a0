/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the object of a set, and the lease on its keys. Keys are read when a call needs them and the lease has ended;
 * one thread sends the request, and others that arrived before it was sent share the answer. Only unwrapping starts a
 * lease. A refusal of the owner discards the keys at once, and no answer to an earlier request brings them back,
 * because there is one request at a time.
 */
#include <stdlib.h>

#include "core/set/set.h"

/* ---- The lease --------------------------------------------------------------------------------------------------- */

/* Return true if the lease has not ended. The lock is held. */
static bool is_valid(struct blobseal_set *set, const struct bs_set_loaded *l)
{
    const struct blobseal_lease *until = &l->lease;
    uint64_t now;

    if (l->process != bs_process_id())
        return false;
    if (until->valid_until_boottime_ms == 0 && until->valid_until_unix_ms == 0)
        return true;
    now = bs_set_unix_ms();
    if (now + BS_SET_MAX_STEP_BACK_MS < set->latest_unix_ms)
        return false;
    set->latest_unix_ms = now > set->latest_unix_ms ? now : set->latest_unix_ms;
    return (until->valid_until_unix_ms == 0 || now < until->valid_until_unix_ms) &&
           (until->valid_until_boottime_ms == 0 || bs_set_now_ms() < until->valid_until_boottime_ms);
}

/* Return a reference to the keys if they may be used, otherwise NULL. Keys whose lease has ended are discarded,
 * unless @ended is true: callers that arrived before the request was sent may use keys whose lease ended at once. */
static struct bs_set_loaded *current(struct blobseal_set *set, bool ended)
{
    struct bs_set_loaded *l = NULL, *old = NULL;

    (void)pthread_mutex_lock(&set->lock);
    if (set->loaded != NULL && (is_valid(set, set->loaded) || (ended && set->loaded->process == bs_process_id()))) {
        l = bs_set_loaded_ref(set->loaded);
    } else {
        old = set->loaded;
        set->loaded = NULL;
    }
    (void)pthread_mutex_unlock(&set->lock);
    bs_set_loaded_unref(old);
    return l;
}

void bs_set_accept(struct blobseal_set *set, struct bs_set_loaded *l, const uint8_t sha256[BS_SHA256_LEN],
                   const struct blobseal_call *call)
{
    struct bs_set_loaded *old;

    l->read = set->kept = set->read;
    set->seen.generation = l->generation;
    memcpy(set->seen.sha256, sha256, BS_SHA256_LEN);
    set->state_is_kept = bs_set_seen_save(&set->seen, &set->state_file, call);
    (void)pthread_mutex_lock(&set->lock);
    old = set->loaded;
    set->loaded = bs_set_loaded_ref(l);
    set->latest_unix_ms = bs_set_unix_ms();
    (void)pthread_mutex_unlock(&set->lock);
    bs_set_loaded_unref(old);
}

/* ---- Refusals of the owner --------------------------------------------------------------------------------------- */

/*
 * Return true if the owner of the KEK refuses, and not another service on the way, such as an authority that issues no
 * token. Only the provider can tell, when it renews a lease.
 */
static bool is_refused_by_owner(struct blobseal_set *set, const struct blobseal_call *call)
{
    struct bs_set_loaded *l = current(set, false);
    struct blobseal_lease lease;
    bool refused = true;

    if (l != NULL && l->kek != NULL && bs_kek_can_revoke(l->kek)) {
        lease = l->lease;
        refused = bs_kek_renew(l->kek, &lease, call, NULL) == BLOBSEAL_E_DENIED;
    }
    bs_set_loaded_unref(l);
    return refused;
}

/* Discard the keys, and ask again after a while that doubles with each refusal, so that blobs that come in meanwhile
 * send no requests, and a key that is restored works without a restart. */
static void note_denial(struct blobseal_set *set, const struct blobseal_error *err)
{
    struct bs_set_loaded *old;

    (void)pthread_mutex_lock(&set->lock);
    old = set->loaded;
    set->loaded = NULL;
    (void)pthread_mutex_unlock(&set->lock);
    bs_set_loaded_unref(old);
    set->denied_delay_ms = set->denied_delay_ms == 0 ? set->timing.first_delay_ms : 2 * set->denied_delay_ms;
    if (set->denied_delay_ms > set->timing.max_delay_ms)
        set->denied_delay_ms = set->timing.max_delay_ms;
    set->denied_until_ms = bs_set_now_ms() + set->denied_delay_ms;
    set->denial = *err;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

#define STORE_MAY_RETURN                                                                                               \
    (BS_MAY_RETURN(BLOBSEAL_E_INPUT) | BS_MAY_RETURN(BLOBSEAL_E_OUTPUT) | BS_MAY_RETURN(BLOBSEAL_E_UNAVAILABLE) |      \
     BS_MAY_RETURN(BLOBSEAL_E_DENIED) | BS_MAY_RETURN(BLOBSEAL_E_POLICY) | BS_MAY_RETURN(BLOBSEAL_E_CONFIG) |          \
     BS_MAY_RETURN(BLOBSEAL_E_NOMEM) | BS_MAY_RETURN(BLOBSEAL_E_CANCELED))

enum blobseal_status bs_set_store_get(struct blobseal_set *set, char **object, size_t *len,
                                      char token[BLOBSEAL_SET_MAX_TOKEN], const struct blobseal_call *call,
                                      struct blobseal_error *err)
{
    enum blobseal_status st = bs_call_check(call, err);

    *object = NULL;
    *len = 0;
    memset(token, 0, BLOBSEAL_SET_MAX_TOKEN);
    if (st != BLOBSEAL_OK)
        return st;
    set->read = atomic_fetch_add(&set->reads, 1) + 1;
    st = bs_callback_status(set->store.get(set->store.ctx, object, len, token, call, err), STORE_MAY_RETURN, err,
                            "read the stored object of the set %s", set->definition.name);
    if (st == BLOBSEAL_OK && memchr(token, 0, BLOBSEAL_SET_MAX_TOKEN) == NULL)
        st = blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "the store of the set %s returned a token that is too long",
                           set->definition.name);
    if (st != BLOBSEAL_OK) {
        free(*object);
        *object = NULL;
    }
    return st;
}

/* NOLINTNEXTLINE(readability-function-size): the parameters of the function in struct blobseal_set_store */
enum blobseal_status bs_set_store_put(struct blobseal_set *set, const char *object, size_t len, const char *token,
                                      enum blobseal_set_put *result, const struct blobseal_call *call,
                                      struct blobseal_error *err)
{
    enum blobseal_status st = bs_call_check(call, err);

    *result = BLOBSEAL_SET_UNKNOWN;
    if (st != BLOBSEAL_OK) {
        *result = BLOBSEAL_SET_CHANGED; /* nothing was sent */
        return st;
    }
    return bs_callback_status(set->store.put(set->store.ctx, object, len, token, result, call, err), STORE_MAY_RETURN,
                              err, "store the object of the set %s", set->definition.name);
}

size_t bs_set_permitted(const struct blobseal_set *set, struct blobseal_kek *list[BLOBSEAL_SET_MAX_KEKS])
{
    size_t num = 0;

    for (size_t i = 0; i < set->definition.num_keks; i++)
        if (set->keks[i] != NULL)
            list[num++] = set->keks[i];
    if (set->guest != NULL && num < BLOBSEAL_SET_MAX_KEKS)
        list[num++] = set->guest;
    return num;
}

/* Open what the store returned. Takes over @object. */
static enum blobseal_status open_object(struct blobseal_set *set, struct bs_set_loaded **l, char *object, size_t len,
                                        const struct blobseal_call *call, struct blobseal_error *err)
{
    struct blobseal_kek *keks[BLOBSEAL_SET_MAX_KEKS];
    const struct bs_keks list = {keks, bs_set_permitted(set, keks), call};
    struct bs_set_keys *keys = NULL;
    struct bs_jwe_opener *by = blobseal_secret_alloc(sizeof *by);
    struct bs_set_object o = {0};
    enum blobseal_status st;

    if (by == NULL) {
        free(object);
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the set: no memory");
    }
    st = bs_set_object_parse(&o, object, len, set->definition.id, err);
    if (st == BLOBSEAL_OK)
        st = bs_set_seen_check(&set->seen, &o, set->definition.min_generation, err);
    if (st == BLOBSEAL_OK)
        st = bs_set_object_open(&keys, &o, list, by, err);
    if (st == BLOBSEAL_OK) {
        st = bs_set_loaded_new(l, keys, object, len, err);
        object = NULL;
    }
    if (st == BLOBSEAL_OK) {
        (*l)->generation = o.generation;
        (*l)->lease = by->lease;
        (*l)->kek = bs_kek_ref(keks[by->kek]);
        memcpy((*l)->kid, o.jwe.recipients[by->recipient].kid, strlen(o.jwe.recipients[by->recipient].kid) + 1);
        bs_set_accept(set, *l, o.sha256, call);
    }
    bs_set_object_clear(&o);
    blobseal_secret_free(by);
    free(object);
    return st;
}

/* What bs_set_load() does, with an error that is never NULL. */
static enum blobseal_status load(struct blobseal_set *set, struct bs_set_loaded **l, const struct blobseal_call *call,
                                 struct blobseal_error *err)
{
    char token[BLOBSEAL_SET_MAX_TOKEN], *object;
    size_t len;
    enum blobseal_status st;

    if (bs_set_now_ms() < set->denied_until_ms) {
        *err = set->denial;
        return err->status;
    }
    st = bs_a256kw_selftest(err);
    if (st == BLOBSEAL_OK) /* before the object is read, which others may replace meanwhile */
        st = bs_set_seen_load(&set->seen, &set->state_file, err);
    if (st == BLOBSEAL_OK)
        st = bs_set_store_get(set, &object, &len, token, call, err);
    if (st == BLOBSEAL_OK && object == NULL) {
        st = blobseal_fail(err, BLOBSEAL_E_INPUT, 0, "the set %s has no stored object", set->definition.name);
        blobseal_hint(err, "restore it, or import an export of it");
    }
    if (st == BLOBSEAL_OK)
        st = open_object(set, l, object, len, call, err);
    if (st == BLOBSEAL_E_NO_KEY && set->keks[0] == NULL) {
        *err = set->kek_error;
        st = err->status;
    }
    if (st == BLOBSEAL_OK && *l != NULL)
        memcpy((*l)->token, token, sizeof token);
    if (st == BLOBSEAL_E_DENIED && is_refused_by_owner(set, call))
        note_denial(set, err);
    else if (st == BLOBSEAL_OK)
        set->denied_delay_ms = set->denied_until_ms = 0;
    return st;
}

enum blobseal_status bs_set_load(struct blobseal_set *set, struct bs_set_loaded **l, const struct blobseal_call *call,
                                 struct blobseal_error *err)
{
    const struct blobseal_call own = bs_call_for_blob(call, NULL); /* the object is not that of the blob */
    uint64_t number = atomic_fetch_add(&set->started, 1) + 1;
    struct blobseal_error answer = {0};
    enum blobseal_status st;

    *l = NULL;
    st = load(set, l, &own, &answer);
    /* A caller that canceled the read, or ran out of time, has learned nothing that others could share. */
    if (st == BLOBSEAL_OK || (st != BLOBSEAL_E_CANCELED && bs_call_check(call, NULL) == BLOBSEAL_OK)) {
        set->finished = number;
        set->answer = answer;
        set->answer.status = st;
    }
    if (st != BLOBSEAL_OK && err != NULL)
        *err = answer;
    return st;
}

enum blobseal_status bs_set_get(struct blobseal_set *set, struct bs_set_loaded **l, const struct blobseal_call *call,
                                struct blobseal_error *err)
{
    uint64_t arrived = atomic_load(&set->started);
    enum blobseal_status st;

    *l = current(set, false);
    if (*l != NULL)
        return BLOBSEAL_OK;
    st = bs_set_begin(set, call, err);
    if (st != BLOBSEAL_OK)
        return st;
    *l = current(set, set->finished > arrived && set->answer.status == BLOBSEAL_OK);
    if (*l == NULL && set->finished > arrived && set->answer.status != BLOBSEAL_OK) {
        st = set->answer.status;
        if (err != NULL)
            *err = set->answer;
    } else if (*l == NULL) {
        st = bs_set_load(set, l, call, err);
    }
    (void)pthread_mutex_unlock(&set->request);
    return st;
}

/* ---- Keys that are not known ------------------------------------------------------------------------------------- */

/*
 * Return in how many milliseconds an unknown key may cause a read of the store. Several may come at once, such as when
 * another machine has made some new keys; in the long run there is one in a while, because anybody can make blobs that
 * name keys of the set.
 */
static uint64_t next_turn(const struct blobseal_set *set)
{
    const struct bs_set_timing *t = &set->timing;
    uint64_t rested = atomic_load(&set->rested_at_ms), last = bs_set_now_ms() + (t->max_rereads - 1) * t->reread_ms;

    return rested > last ? rested - last : 0;
}

/* Take a turn. The lock for requests is held. */
static void take_turn(struct blobseal_set *set)
{
    uint64_t rested = atomic_load(&set->rested_at_ms), now = bs_set_now_ms();

    atomic_store(&set->rested_at_ms, (rested > now ? rested : now) + set->timing.reread_ms);
}

static enum blobseal_status too_often(const struct blobseal_set *set, uint64_t ms, struct blobseal_error *err)
{
    (void)blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0,
                        "the set %s does not have the key that the blob names, and was read a moment ago",
                        set->definition.name);
    blobseal_hint(err, "try again in %llu seconds, if another machine has made a new key just now",
                  (unsigned long long)ms / 1000 + 1);
    return BLOBSEAL_E_UNAVAILABLE;
}

/* Read the store. *@same: it still has the object of @now. */
static enum blobseal_status compare(struct blobseal_set *set, const struct bs_set_loaded *now, bool *same,
                                    const struct blobseal_call *call, struct blobseal_error *err)
{
    char token[BLOBSEAL_SET_MAX_TOKEN], *object = NULL;
    size_t len = 0;
    enum blobseal_status st = bs_set_seen_load(&set->seen, &set->state_file, err);

    *same = false;
    if (st == BLOBSEAL_OK)
        st = bs_set_store_get(set, &object, &len, token, call, err);
    if (st == BLOBSEAL_OK && object != NULL)
        *same = len == now->len && memcmp(object, now->object, len) == 0 && set->seen.generation == now->generation;
    free(object);
    return st;
}

/* Read the object, with as few requests as possible: none to the owner of the KEK if the object is still that of
 * @now. A read that finds a new object does not count for the limit, because only those who know the set can make
 * one. */
static enum blobseal_status read_again(struct blobseal_set *set, struct bs_set_loaded *now, struct bs_set_loaded **l,
                                       const struct blobseal_call *call, struct blobseal_error *err)
{
    bool same;
    enum blobseal_status st = compare(set, now, &same, call, err);

    *l = NULL;
    if (same) {
        set->kept = set->read;
        *l = bs_set_loaded_ref(now);
    } else if (st == BLOBSEAL_OK) {
        st = bs_set_load(set, l, call, err);
        if (st == BLOBSEAL_OK && *l != NULL && (*l)->generation > now->generation)
            atomic_fetch_sub(&set->rested_at_ms, set->timing.reread_ms);
    }
    return st;
}

enum blobseal_status bs_set_reread(struct blobseal_set *set, struct bs_set_loaded **l, uint64_t arrived,
                                   const struct blobseal_call *call, struct blobseal_error *err)
{
    struct bs_set_loaded *now = NULL, *newest = NULL;
    enum blobseal_status st = BLOBSEAL_OK;

    if ((*l)->read > arrived)
        return BLOBSEAL_OK;
    if (pthread_mutex_trylock(&set->request) != 0) /* a flood does not wait for it */
        st = next_turn(set) > 0 ? too_often(set, next_turn(set), err) : bs_set_begin(set, call, err);
    if (st == BLOBSEAL_OK) {
        now = current(set, false);
        if (now == NULL) { /* the lease has just ended, so that any blob would cause this read */
            st = bs_set_load(set, &newest, call, err);
        } else if (set->kept > arrived) {
            newest = bs_set_loaded_ref(now);
        } else if (next_turn(set) > 0) {
            st = too_often(set, next_turn(set), err);
        } else {
            take_turn(set);
            st = read_again(set, now, &newest, call, err);
        }
        (void)pthread_mutex_unlock(&set->request);
    }
    bs_set_loaded_unref(now);
    bs_set_loaded_unref(*l);
    *l = newest;
    return st;
}

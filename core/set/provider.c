/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets as a provider of KEKs: "set:NAME". It wraps with the newest set key, or, if the definition says "direct", with
 * the KEK, and unwraps what either has wrapped.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/set/set.h"

/*
 * Return the status for a blob. E_AUTH, E_FORMAT and E_NO_KEY would blame the blob for a stored object that cannot be
 * used, so they become other statuses.
 */
static enum blobseal_status fault_of_set(enum blobseal_status st, struct blobseal_error *err)
{
    enum blobseal_status other = st;

    if (st == BLOBSEAL_E_AUTH || st == BLOBSEAL_E_FORMAT)
        other = BLOBSEAL_E_POLICY;
    else if (st == BLOBSEAL_E_NO_KEY)
        other = BLOBSEAL_E_CONFIG;
    if (err != NULL && other != BLOBSEAL_OK)
        err->status = other;
    return other;
}

static enum blobseal_status get_keys(struct blobseal_set *set, struct bs_set_loaded **l,
                                     const struct blobseal_call *call, struct blobseal_error *err)
{
    return fault_of_set(bs_set_get(set, l, call, err), err);
}

/* Say how the set was loaded, with the result @st: whether a request was sent since set->started was @before, and that
 * a set whose KEK was refused is revoked as a whole. */
static void note_answer(const struct blobseal_set *set, uint64_t before, enum blobseal_status st,
                        const struct blobseal_call *call)
{
    if (call->trace == NULL)
        return;
    call->trace->cached = atomic_load(&set->started) == before;
    call->trace->revoked = st == BLOBSEAL_E_DENIED;
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

/* Return the number of KEKs of a set, each with a reference of the caller. */
static size_t take_keks(struct blobseal_set *set, struct blobseal_kek *list[BLOBSEAL_SET_MAX_KEKS])
{
    size_t num = 0;

    (void)pthread_mutex_lock(&set->lock);
    for (size_t i = 0; i < BLOBSEAL_SET_MAX_KEKS; i++)
        if (set->keks[i] != NULL)
            list[num++] = bs_kek_ref(set->keks[i]);
    (void)pthread_mutex_unlock(&set->lock);
    return num;
}

static struct blobseal_kek_info describe(struct blobseal_set *set)
{
    struct blobseal_kek_info info = {.size = sizeof info};

    if (!set->definition.direct) {
        info.alg = BS_A256KW_ALG;
        info.wrapped_len = BS_A256KW_LEN;
    }
    (void)pthread_mutex_lock(&set->lock);
    for (size_t i = 0; i < BLOBSEAL_SET_MAX_KEKS; i++) {
        if (set->keks[i] == NULL)
            continue;
        info.can_unwrap = info.can_unwrap || blobseal_kek_can_unwrap(set->keks[i]);
        if (set->definition.direct && bs_kek_is_remote(set->keks[i])) /* each blob takes a request */
            info.notes |= BLOBSEAL_KEK_NOTE_REMOTE;
    }
    (void)pthread_mutex_unlock(&set->lock);
    return info;
}

enum blobseal_status blobseal_set_kek(struct blobseal_set *set, struct blobseal_kek **kek, struct blobseal_error *err)
{
    const struct blobseal_kek_info info = describe(set);
    struct blobseal_kek *first;
    enum blobseal_status st = bs_set_first_kek(set, &first, err);

    *kek = NULL;
    blobseal_kek_close(first);
    if (st == BLOBSEAL_OK)
        st = blobseal_kek_new(kek, &bs_set_provider, set, &info, err);
    if (st == BLOBSEAL_OK) {
        bs_kek_set_config(*kek, set->config);
        (void)atomic_fetch_add(&set->references, 1);
    }
    return st;
}

static enum blobseal_status set_open(void **state, struct blobseal_kek_info *info, const char *name,
                                     const struct blobseal_kek_options *options, const struct blobseal_call *call,
                                     struct blobseal_error *err)
{
    const struct blobseal_set_options o = {
        .size = sizeof o,
        .config = options->config,
        .registry = options->registry,
        .passphrase = options->passphrase,
        .passphrase_ctx = options->passphrase_ctx,
        .timeout_ms = options->timeout_ms,
        .cancel = options->cancel,
        .require_purge_protection = options->require_purge_protection,
    };
    struct blobseal_kek *first = NULL;
    struct blobseal_set *set;
    enum blobseal_status st = blobseal_set_open(&set, name, &o, err);

    (void)call;
    if (st == BLOBSEAL_OK)
        st = bs_set_first_kek(set, &first, err);
    blobseal_kek_close(first);
    if (st == BLOBSEAL_OK) {
        *info = describe(set);
    } else {
        blobseal_set_close(set);
        set = NULL;
    }
    *state = set;
    return st;
}

static void set_close(void *state)
{
    blobseal_set_close(state);
}

/* Look at the first KEK, and set *@purgeable if its vault lets a deleted key be purged at once. It is looked up once.
 */
static enum blobseal_status look_at_kek(struct blobseal_set *set, bool *purgeable, const struct blobseal_call *call,
                                        struct blobseal_error *err)
{
    struct blobseal_kek *kek;
    enum blobseal_status st = bs_set_first_kek(set, &kek, err);

    if (st == BLOBSEAL_OK)
        st = bs_kek_describe(kek, call, err);
    *purgeable = st == BLOBSEAL_OK && (bs_kek_info(kek)->notes & BLOBSEAL_KEK_NOTE_PURGEABLE) != 0;
    blobseal_kek_close(kek);
    return st;
}

/* Refuse to seal if the caller requires purge protection, and the KEK does not have it. */
static enum blobseal_status check_purge_protection(struct blobseal_set *set, const struct blobseal_call *call,
                                                   struct blobseal_error *err)
{
    bool purgeable;
    enum blobseal_status st;

    if (!set->require_purge_protection)
        return BLOBSEAL_OK;
    st = look_at_kek(set, &purgeable, call, err);
    if (st != BLOBSEAL_OK || !purgeable)
        return st;
    (void)blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "seal with the set %s: the vault of its KEK has no purge protection",
                        set->definition.name);
    blobseal_hint(err,
                  "turn it on: without it, a deleted key can be destroyed at once, and all blobs of the set with it");
    return BLOBSEAL_E_POLICY;
}

/* ---- Key ids ----------------------------------------------------------------------------------------------------- */

static enum blobseal_status set_describe(void *state, struct blobseal_kek_info *info, const struct blobseal_call *call,
                                         struct blobseal_error *err)
{
    struct blobseal_set *set = state;
    struct blobseal_kek *list[BLOBSEAL_SET_MAX_KEKS];
    struct bs_set_loaded *l = NULL;
    char kid[BLOBSEAL_MAX_KID + 1] = "";
    enum blobseal_status st = BLOBSEAL_OK;

    *info = describe(set);
    if (set->definition.direct) {
        size_t num = take_keks(set, list);

        st = bs_kek_describe(list[0], call, err);
        if (st == BLOBSEAL_OK) {
            const struct blobseal_kek_info *of_kek = bs_kek_info(list[0]);

            (void)snprintf(kid, sizeof kid, "%s", of_kek->kid);
            info->alg = bs_key_algorithm(of_kek->alg, strlen(of_kek->alg))->name;
            info->wrapped_len = of_kek->wrapped_len;
        }
        for (size_t i = 0; i < num; i++)
            blobseal_kek_close(list[i]);
    } else {
        st = get_keys(set, &l, call, err);
        if (st == BLOBSEAL_OK) {
            const struct bs_set_key *newest = &l->keys->list[l->keys->num - 1];

            bs_set_kid(kid, l->keys->id, newest->n, newest->check);
        }
        bs_set_loaded_unref(l);
    }
    if (st != BLOBSEAL_OK)
        return st;
    (void)pthread_mutex_lock(&set->lock);
    if (set->described[0] == '\0')
        memcpy(set->described, kid, sizeof set->described);
    (void)pthread_mutex_unlock(&set->lock);
    info->kid = set->described;
    return BLOBSEAL_OK;
}

/* Return the KEK of the set that owns a recipient, with a reference, or NULL. */
static struct blobseal_kek *find_kek(struct blobseal_set *set, const char *alg, const char *kid)
{
    struct blobseal_kek *list[BLOBSEAL_SET_MAX_KEKS], *found = NULL;
    size_t num = take_keks(set, list);

    for (size_t i = 0; i < num; i++) {
        if (found == NULL && bs_kek_owns(list[i], alg, kid))
            found = list[i];
        else
            blobseal_kek_close(list[i]);
    }
    return found;
}

static bool set_owns(void *state, const char *alg, const char *kid)
{
    struct blobseal_set *set = state;
    uint8_t check[BS_SET_CHECK_LEN];
    struct blobseal_kek *kek;
    uint32_t n;

    if (strcmp(alg, BS_A256KW_ALG) == 0)
        return bs_set_kid_parse(kid, set->definition.id, &n, check);
    if (!set->definition.direct)
        return false;
    kek = find_kek(set, alg, kid);
    blobseal_kek_close(kek);
    return kek != NULL;
}

/* ---- Leases of blobs that the KEK wraps directly ----------------------------------------------------------------- */

/* Replace the tag of a lease that @kek gave by one from which the KEK can be found again. Without room for it, the
 * lease cannot be extended. */
static void tag_lease(struct blobseal_set *set, struct blobseal_lease *lease, struct blobseal_kek *kek)
{
    size_t i = 0;

    if (lease->valid_until_boottime_ms == 0 && lease->valid_until_unix_ms == 0)
        return;
    (void)pthread_mutex_lock(&set->lock);
    while (i < set->num_direct && (set->direct[i].kek != kek || set->direct[i].tag != lease->tag))
        i++;
    if (i == set->num_direct && i < BS_SET_MAX_DIRECT) {
        set->direct[i] = (struct bs_set_direct){bs_kek_ref(kek), lease->tag};
        set->num_direct++;
    }
    (void)pthread_mutex_unlock(&set->lock);
    lease->tag = 1 + i;
}

static enum blobseal_status renew_direct(struct blobseal_set *set, struct blobseal_lease *lease,
                                         const struct blobseal_call *call, struct blobseal_error *err)
{
    struct bs_set_direct d = {0};
    uint64_t tag = lease->tag;
    enum blobseal_status st;

    (void)pthread_mutex_lock(&set->lock);
    if (tag - 1 < set->num_direct) {
        d = set->direct[tag - 1];
        (void)bs_kek_ref(d.kek);
    }
    (void)pthread_mutex_unlock(&set->lock);
    if (d.kek == NULL || !bs_kek_can_revoke(d.kek)) {
        blobseal_kek_close(d.kek);
        return blobseal_fail(err, BLOBSEAL_E_DENIED, 0,
                             "the time for which the key was unlocked has ended, and it cannot be extended");
    }
    lease->tag = d.tag;
    st = bs_kek_renew(d.kek, lease, call, err);
    lease->tag = tag;
    blobseal_kek_close(d.kek);
    return st;
}

/* ---- Wrapping ---------------------------------------------------------------------------------------------------- */

static enum blobseal_status wrap_direct(struct blobseal_set *set, struct blobseal_wrapping *out,
                                        const struct blobseal_secret32 *secret, const struct blobseal_call *call,
                                        struct blobseal_error *err)
{
    struct blobseal_kek *kek;
    enum blobseal_status st;

    (void)pthread_mutex_lock(&set->lock);
    kek = bs_kek_ref(set->keks[0]);
    (void)pthread_mutex_unlock(&set->lock);
    st = bs_kek_wrap(kek, out, secret, call, err);
    if (st == BLOBSEAL_OK)
        tag_lease(set, &out->lease, kek);
    blobseal_kek_close(kek);
    return st;
}

static enum blobseal_status set_wrap(void *state, struct blobseal_wrapping *out, const struct blobseal_secret32 *secret,
                                     const struct blobseal_call *call, struct blobseal_error *err)
{
    struct blobseal_set *set = state;
    const struct bs_set_key *newest;
    struct bs_set_loaded *l;
    uint64_t before = atomic_load(&set->started);
    struct bs_a256kw *kw;
    enum blobseal_status st;

    st = check_purge_protection(set, call, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (set->definition.direct)
        return wrap_direct(set, out, secret, call, err);
    bs_set_poll_if_due(set, call);
    st = get_keys(set, &l, call, err);
    note_answer(set, before, st, call);
    if (st != BLOBSEAL_OK)
        return st;
    newest = &l->keys->list[l->keys->num - 1];
    st = bs_set_loaded_wrap(&kw, l, l->keys->num - 1, err);
    if (st == BLOBSEAL_OK)
        st = bs_a256kw_wrap(kw, out->key, secret, err);
    if (st == BLOBSEAL_OK) {
        memcpy(out->alg, BS_A256KW_ALG, sizeof BS_A256KW_ALG);
        bs_set_kid(out->kid, l->keys->id, newest->n, newest->check);
        out->key_len = BS_A256KW_LEN;
        out->lease = l->lease;
        out->lease.tag = 0;
    }
    bs_set_loaded_unref(l);
    return st;
}

/* ---- Unwrapping -------------------------------------------------------------------------------------------------- */

static enum blobseal_status unwrap_direct(struct blobseal_set *set, struct blobseal_secret32 *secret,
                                          const struct blobseal_wrapped *wrapped, struct blobseal_lease *lease,
                                          const struct blobseal_call *call, struct blobseal_error *err)
{
    struct blobseal_kek *kek = find_kek(set, wrapped->alg, wrapped->kid);
    enum blobseal_status st = BLOBSEAL_E_NOT_MINE;

    if (kek != NULL)
        st = bs_kek_unwrap(kek, secret, wrapped, lease, call, err);
    if (st == BLOBSEAL_OK)
        tag_lease(set, lease, kek);
    blobseal_kek_close(kek);
    return st;
}

/* Get keys among which is the one that a blob names. *@key is NULL if the set does not have it. */
static enum blobseal_status get_key(struct blobseal_set *set, struct bs_set_loaded **l, const char *kid,
                                    const struct bs_set_key **key, const struct blobseal_call *call,
                                    struct blobseal_error *err)
{
    uint64_t arrived = atomic_load(&set->reads);
    uint8_t check[BS_SET_CHECK_LEN];
    enum blobseal_status st;
    uint32_t n;

    *key = NULL;
    *l = NULL;
    if (!bs_set_kid_parse(kid, set->definition.id, &n, check))
        return BLOBSEAL_OK;
    st = get_keys(set, l, call, err);
    if (st == BLOBSEAL_OK)
        *key = bs_set_find((*l)->keys, n, check);
    if (st != BLOBSEAL_OK || *key != NULL)
        return st;
    st = fault_of_set(bs_set_reread(set, l, arrived, call, err), err);
    if (st == BLOBSEAL_OK)
        *key = bs_set_find((*l)->keys, n, check);
    return st;
}

static enum blobseal_status set_unwrap(void *state, struct blobseal_secret32 *secret,
                                       const struct blobseal_wrapped *wrapped, struct blobseal_lease *lease,
                                       const struct blobseal_call *call, struct blobseal_error *err)
{
    struct blobseal_set *set = state;
    const struct bs_set_key *key;
    uint64_t before = atomic_load(&set->started);
    struct bs_set_loaded *l;
    struct bs_a256kw *kw;
    enum blobseal_status st;

    if (wrapped->kid == NULL)
        return BLOBSEAL_E_NOT_MINE;
    if (strcmp(wrapped->alg, BS_A256KW_ALG) != 0)
        return unwrap_direct(set, secret, wrapped, lease, call, err);
    st = get_key(set, &l, wrapped->kid, &key, call, err);
    note_answer(set, before, st, call);
    if (st == BLOBSEAL_OK && key == NULL)
        st = BLOBSEAL_E_NOT_MINE;
    if (st == BLOBSEAL_OK)
        st = bs_set_loaded_wrap(&kw, l, (size_t)(key - l->keys->list), err);
    if (st == BLOBSEAL_OK)
        st = bs_a256kw_unwrap(kw, secret, wrapped->key, wrapped->key_len, err);
    if (st == BLOBSEAL_OK) {
        *lease = l->lease;
        lease->tag = 0;
    }
    bs_set_loaded_unref(l);
    return st;
}

/* ---- Leases, findings -------------------------------------------------------------------------------------------- */

static enum blobseal_status set_renew(void *state, struct blobseal_lease *lease, const struct blobseal_call *call,
                                      struct blobseal_error *err)
{
    struct blobseal_set *set = state;
    struct bs_set_loaded *l;
    enum blobseal_status st;

    if (lease->tag != 0)
        return renew_direct(set, lease, call, err);
    st = get_keys(set, &l, call, err);
    if (st == BLOBSEAL_OK) {
        *lease = l->lease;
        lease->tag = 0;
    }
    bs_set_loaded_unref(l);
    return st;
}

static void report(blobseal_finding_fn fn, void *ctx, const char *name, const char *value, enum blobseal_level level,
                   const char *hint)
{
    const struct blobseal_finding finding = {.name = name, .value = value, .level = level, .hint = hint};

    fn(ctx, &finding);
}

static enum blobseal_status set_diagnose(void *state, blobseal_finding_fn fn, void *ctx,
                                         const struct blobseal_call *call, struct blobseal_error *err)
{
    struct blobseal_set_info *info;
    char text[640];
    bool purgeable;
    enum blobseal_status st = bs_set_info(state, call, &info, err);

    if (st != BLOBSEAL_OK)
        return st;
    (void)snprintf(text, sizeof text, "%s, generation %llu, %zu key%s, KEK %.200s",
                   blobseal_set_state_name(info->state), (unsigned long long)info->generation, info->num_keys,
                   info->num_keys == 1 ? "" : "s", info->kid != NULL ? info->kid : info->kek);
    report(fn, ctx, "set", text, info->state == BLOBSEAL_SET_ACTIVE ? BLOBSEAL_LEVEL_OK : BLOBSEAL_LEVEL_WARNING,
           info->error.text);
    if ((info->notes & BLOBSEAL_SET_NOTE_NO_RECOVERY) != 0)
        report(fn, ctx, "set recovery", "no recovery key", BLOBSEAL_LEVEL_WARNING,
               "if the KEK is lost, all blobs of the set are lost");
    if ((info->notes & BLOBSEAL_SET_NOTE_NO_STATE) != 0)
        report(fn, ctx, "set state", "not kept", BLOBSEAL_LEVEL_WARNING,
               "an older object is not noticed after a restart: configure state_dir or min_generation");
    if (look_at_kek(state, &purgeable, call, NULL) == BLOBSEAL_OK && purgeable)
        report(fn, ctx, "purge protection", "off", BLOBSEAL_LEVEL_WARNING,
               "turn it on for the vault of the KEK: without it, a deleted key can be destroyed at once");
    blobseal_set_info_free(info);
    return BLOBSEAL_OK;
}

const struct blobseal_provider bs_set_provider = {
    .abi = BLOBSEAL_PROVIDER_ABI,
    .scheme = "set",
    .open = set_open,
    .describe = set_describe,
    .owns = set_owns,
    .wrap = set_wrap,
    .unwrap = set_unwrap,
    .renew = set_renew,
    .diagnose = set_diagnose,
    .close = set_close,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* A vault and a store in memory. */
#define _GNU_SOURCE /* CLOCK_BOOTTIME */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/support/blobs.h"
#include "tests/support/memory_vault.h"

struct vault vault;

void vault_reset(void)
{
    vault = (struct vault){.newest = 1};
}

/* ---- The provider ------------------------------------------------------------------------------------------------ */

struct vault_key {
    char name[64];
    unsigned version; /* 0: the newest */
    char kid[96];
};

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static enum blobseal_status vault_open(void **state, struct blobseal_kek_info *info, const char *ref,
                                       const struct blobseal_kek_options *options, const struct blobseal_call *call,
                                       struct blobseal_error *err)
{
    struct vault_key *k = calloc(1, sizeof *k);
    const char *slash = strchr(ref, '/');

    (void)options;
    (void)call;
    if (k == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "no memory");
    (void)snprintf(k->name, sizeof k->name, "%.*s", slash != NULL ? (int)(slash - ref) : 50, ref);
    k->version = slash != NULL ? (unsigned)atoi(slash + 1) : 0;
    info->alg = "RSA-OAEP-256";
    info->wrapped_len = 256;
    info->can_unwrap = true;
    info->notes = BLOBSEAL_KEK_NOTE_REMOTE;
    *state = k;
    return BLOBSEAL_OK;
}

/* Ask once for each call: another thread may make a newer version at any time. */
static unsigned version_of(const struct vault_key *k)
{
    return k->version != 0 ? k->version : vault.newest;
}

static enum blobseal_status answer(enum blobseal_status st, unsigned version, struct blobseal_error *err)
{
    const struct timespec wait = {.tv_sec = vault.wait_ms / 1000, .tv_nsec = (long)(vault.wait_ms % 1000) * 1000000};

    if (vault.wait_ms > 0)
        (void)nanosleep(&wait, NULL);
    if (st == BLOBSEAL_OK && vault.disabled[version % 16])
        st = BLOBSEAL_E_DENIED;
    return st == BLOBSEAL_OK ? st : blobseal_fail(err, st, 0, "the vault does not answer as it should");
}

static void start_lease(struct blobseal_lease *lease, uint64_t boottime, uint64_t unix_time)
{
    if (vault.lease_ms == 0 && !vault.ends_at_once)
        return;
    lease->valid_until_boottime_ms = boottime + vault.lease_ms;
    lease->valid_until_unix_ms = unix_time + vault.lease_ms;
}

static enum blobseal_status vault_describe(void *state, struct blobseal_kek_info *info,
                                           const struct blobseal_call *call, struct blobseal_error *err)
{
    struct vault_key *k = state;
    unsigned version = version_of(k);

    (void)call;
    vault.num_gets++;
    (void)snprintf(k->kid, sizeof k->kid, "vault:%s/%u", k->name, version);
    info->kid = k->kid;
    info->alg = "RSA-OAEP-256";
    info->wrapped_len = 256;
    return answer(vault.gets, version, err);
}

/* Versions of the key are told apart by a byte of what they wrap. */
static enum blobseal_status vault_wrap(void *state, struct blobseal_wrapping *out,
                                       const struct blobseal_secret32 *secret, const struct blobseal_call *call,
                                       struct blobseal_error *err)
{
    const struct vault_key *k = state;
    uint64_t boottime = clock_ms(CLOCK_BOOTTIME), unix_time = clock_ms(CLOCK_REALTIME);
    unsigned version = version_of(k);

    (void)call;
    (void)snprintf(out->alg, sizeof out->alg, "RSA-OAEP-256");
    (void)snprintf(out->kid, sizeof out->kid, "vault:%s/%u", k->name, version);
    out->key_len = 256;
    fake_wrap(out->key, out->key_len, secret);
    out->key[255] = (uint8_t)version;
    vault.num_gets++;
    start_lease(&out->lease, boottime, unix_time);
    return answer(vault.gets, version, err);
}

static bool vault_owns(void *state, const char *alg, const char *kid)
{
    const struct vault_key *k = state;
    size_t len = strlen(k->name);

    return strcmp(alg, "RSA-OAEP-256") == 0 && strncmp(kid, "vault:", 6) == 0 && strncmp(kid + 6, k->name, len) == 0 &&
           kid[6 + len] == '/';
}

static enum blobseal_status vault_unwrap(void *state, struct blobseal_secret32 *secret,
                                         const struct blobseal_wrapped *wrapped, struct blobseal_lease *lease,
                                         const struct blobseal_call *call, struct blobseal_error *err)
{
    uint64_t boottime = clock_ms(CLOCK_BOOTTIME), unix_time = clock_ms(CLOCK_REALTIME);
    unsigned version = (unsigned)atoi(strrchr(wrapped->kid, '/') + 1);
    struct blobseal_secret32 zero = {{0}};
    uint8_t pad[256];
    enum blobseal_status st;

    (void)state;
    (void)call;
    vault.num_unwraps++;
    st = answer(vault.unwraps, version, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (wrapped->key_len != 256 || wrapped->key[255] != (uint8_t)version)
        return BLOBSEAL_E_AUTH;
    fake_wrap(pad, sizeof pad, &zero);
    for (size_t i = 0; i < sizeof secret->b; i++)
        secret->b[i] = wrapped->key[i] ^ pad[i];
    start_lease(lease, boottime, unix_time);
    return BLOBSEAL_OK;
}

static enum blobseal_status vault_renew(void *state, struct blobseal_lease *lease, const struct blobseal_call *call,
                                        struct blobseal_error *err)
{
    const struct vault_key *k = state;
    uint64_t boottime = clock_ms(CLOCK_BOOTTIME), unix_time = clock_ms(CLOCK_REALTIME);
    enum blobseal_status st;

    (void)call;
    vault.num_gets++;
    st = answer(vault.gets, version_of(k), err);
    if (st == BLOBSEAL_OK)
        start_lease(lease, boottime, unix_time);
    return st;
}

const struct blobseal_provider vault_provider = {
    .abi = BLOBSEAL_PROVIDER_ABI,
    .scheme = "vault",
    .open = vault_open,
    .describe = vault_describe,
    .owns = vault_owns,
    .wrap = vault_wrap,
    .unwrap = vault_unwrap,
    .renew = vault_renew,
    .close = free,
};

struct blobseal_registry *vault_registry(void)
{
    struct blobseal_registry *registry;

    if (blobseal_registry_new(&registry, NULL) != BLOBSEAL_OK ||
        blobseal_registry_add(registry, &vault_provider, NULL) != BLOBSEAL_OK)
        test_support_failed("no registry");
    return registry;
}

/* ---- The store --------------------------------------------------------------------------------------------------- */

static enum blobseal_status memory_get(void *ctx, char **object, size_t *len, char token[BLOBSEAL_SET_MAX_TOKEN],
                                       const struct blobseal_call *call, struct blobseal_error *err)
{
    struct memory_store *m = ctx;

    (void)call;
    m->gets++;
    if (m->get_fails != BLOBSEAL_OK)
        return blobseal_fail(err, m->get_fails, 0, "the store does not answer");
    (void)pthread_mutex_lock(&m->lock);
    if (m->object != NULL) {
        *object = must_copy(m->object, m->len);
        *len = m->len;
        (void)snprintf(token, BLOBSEAL_SET_MAX_TOKEN, "etag-%u", m->version);
    }
    (void)pthread_mutex_unlock(&m->lock);
    return BLOBSEAL_OK;
}

/* Store an object. The lock is held. */
static void replace(struct memory_store *m, const char *object, size_t len)
{
    free(m->object);
    m->object = must_copy(object, len);
    m->len = len;
    m->version++;
}

void memory_store_plant(struct memory_store *m, const char *object, size_t len)
{
    (void)pthread_mutex_lock(&m->lock);
    replace(m, object, len);
    (void)pthread_mutex_unlock(&m->lock);
}

/* Take one of a number of faults. */
static bool takes(unsigned *faults)
{
    if (*faults == 0)
        return false;
    (*faults)--;
    return true;
}

static enum blobseal_status memory_put(void *ctx, const char *object, size_t len, const char *token,
                                       enum blobseal_set_put *result, const struct blobseal_call *call,
                                       struct blobseal_error *err)
{
    struct memory_store *m = ctx;
    void (*before)(void) = m->before_put;
    char now[BLOBSEAL_SET_MAX_TOKEN] = "";

    (void)call;
    m->puts++;
    if (before != NULL) {
        m->before_put = NULL;
        before();
    }
    if (m->put_fails != BLOBSEAL_OK)
        return blobseal_fail(err, m->put_fails, 0, "the store does not answer");
    (void)pthread_mutex_lock(&m->lock);
    if (m->object != NULL)
        (void)snprintf(now, sizeof now, "etag-%u", m->version);
    *result = BLOBSEAL_SET_CHANGED;
    if (strcmp(now, token) == 0) {
        *result = BLOBSEAL_SET_UNKNOWN;
        if (!takes(&m->lost)) {
            replace(m, object, len);
            if (!takes(&m->unknown))
                *result = BLOBSEAL_SET_STORED;
        }
    }
    (void)pthread_mutex_unlock(&m->lock);
    return BLOBSEAL_OK;
}

struct blobseal_set_store memory_store_start(struct memory_store *m)
{
    *m = (struct memory_store){0};
    (void)pthread_mutex_init(&m->lock, NULL);
    return (struct blobseal_set_store){.ctx = m, .get = memory_get, .put = memory_put};
}

void memory_store_end(struct memory_store *m)
{
    free(m->object);
    (void)pthread_mutex_destroy(&m->lock);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A set in a process: its definition, KEKs, store and state, and how they are released. */
#define _GNU_SOURCE /* CLOCK_BOOTTIME */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/set/set.h"

static uint64_t read_clock(clockid_t clock)
{
    struct timespec t;

    return clock_gettime(clock, &t) == 0 ? (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000 : UINT64_MAX;
}

uint64_t bs_set_now_ms(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

uint64_t bs_set_unix_ms(void)
{
    return read_clock(CLOCK_REALTIME);
}

uint64_t bs_set_now_s(void)
{
    return (uint64_t)time(NULL);
}

enum blobseal_status bs_set_begin(struct blobseal_set *set, const struct blobseal_call *call,
                                  struct blobseal_error *err)
{
    return bs_call_lock(&set->request, call, err);
}

/* ---- KEKs -------------------------------------------------------------------------------------------------------- */

/* A reference in a definition does not depend on the folder in which the program runs. */
static bool is_absolute(const char *ref)
{
    if (strncmp(ref, "file:", 5) == 0)
        return ref[5] == '/';
    return ref[0] == '/' || strchr(ref, ':') != NULL;
}

/* Return true if a reference is a set, or the name of one: a set whose KEK is the set itself could never be opened. */
static bool is_set(const struct blobseal_config *config, const char *ref)
{
    const struct bs_config_kek *named = strncmp(ref, "key:", 4) == 0 ? bs_config_kek(config, ref + 4) : NULL;

    return strncmp(named != NULL ? named->ref : ref, "set:", 4) == 0;
}

enum blobseal_status bs_set_open_kek(struct blobseal_kek **kek, const struct blobseal_set *set, const char *ref,
                                     const struct blobseal_set_options *o, struct blobseal_error *err)
{
    static const struct bs_config_origin nowhere;
    char list[160];
    const struct blobseal_kek_options options = {
        .size = sizeof options,
        .passphrase = o->passphrase,
        .passphrase_ctx = o->passphrase_ctx,
        .timeout_ms = o->timeout_ms,
        .cancel = o->cancel,
        .config = set->config,
        .listed_in = set->config != NULL ? bs_config_modules_file(list, set->config, &nowhere) : "the configuration",
        .identity = set->definition.identity,
        .require_purge_protection = set->require_purge_protection,
    };

    *kek = NULL;
    if (is_set(set->config, ref))
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the set %s: its KEK cannot be a set", set->definition.name);
    if (!is_absolute(ref))
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the set %s: the path of the key %.100s must be absolute",
                             set->definition.name, ref);
    return blobseal_kek_open(kek, o->registry, ref, &options, err);
}

enum blobseal_status bs_set_open_keks(const struct blobseal_set *set, struct blobseal_kek *keks[BLOBSEAL_SET_MAX_KEKS],
                                      const struct blobseal_set_options *options, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    for (size_t i = 0; i < set->definition.num_keks && st == BLOBSEAL_OK; i++) {
        if (keks[i] == NULL)
            st = bs_set_open_kek(&keks[i], set, set->definition.keks[i], options, err);
        if (i > 0 && st != BLOBSEAL_E_NOMEM && st != BLOBSEAL_E_CANCELED)
            st = BLOBSEAL_OK; /* an old KEK may have been removed */
    }
    return st;
}

/* Return true for failures to open the first KEK after which the set is DEGRADED or REVOKED, and can still be shown, or
 * moved to another KEK. */
static bool is_out_of_reach(enum blobseal_status st)
{
    return st == BLOBSEAL_E_UNAVAILABLE || st == BLOBSEAL_E_DENIED || st == BLOBSEAL_E_INPUT;
}

enum blobseal_status bs_set_first_kek(struct blobseal_set *set, struct blobseal_kek **kek, struct blobseal_error *err)
{
    (void)pthread_mutex_lock(&set->lock);
    *kek = set->keks[0] != NULL ? bs_kek_ref(set->keks[0]) : NULL;
    (void)pthread_mutex_unlock(&set->lock);
    if (*kek != NULL)
        return BLOBSEAL_OK;
    if (err != NULL)
        *err = set->kek_error;
    return set->kek_error.status;
}

enum blobseal_status bs_set_check_identity(const struct blobseal_set *set, const char *identity,
                                           const struct blobseal_set_options *options, struct blobseal_error *err)
{
    if (identity == NULL || options->registry != NULL ||
        (set->config != NULL && bs_config_identity(set->config, identity) != NULL))
        return BLOBSEAL_OK;
    (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the configuration has no identity named %.64s", identity);
    blobseal_hint(err, "define it under \"identities\"");
    return BLOBSEAL_E_CONFIG;
}

/* ---- Definitions ------------------------------------------------------------------------------------------------- */

static void close_recovery(struct blobseal_set *set)
{
    for (size_t i = 0; i < BLOBSEAL_SET_MAX_RECOVERY; i++) {
        blobseal_kek_close(set->recovery[i]);
        set->recovery[i] = NULL;
    }
}

static enum blobseal_status open_recovery(struct blobseal_set *set, struct blobseal_error *err)
{
    const struct bs_set_definition *d = &set->definition;
    enum blobseal_status st = BLOBSEAL_OK;

    close_recovery(set);
    for (size_t i = 0; i < d->num_recovery && st == BLOBSEAL_OK; i++)
        st = bs_kek_from_spki(&set->recovery[i], d->recovery[i].spki, d->recovery[i].spki_len, err);
    return st;
}

/* Find the place of the object, unless the program has a store of its own. */
static enum blobseal_status find_store(struct blobseal_set *set, struct blobseal_error *err)
{
    char path[2 * BS_SET_MAX_PATH];

    if (set->store.get != NULL && set->store.ctx != &set->files)
        return BLOBSEAL_OK;
    if (set->definition.store != NULL)
        (void)snprintf(path, sizeof path, "%s", set->definition.store);
    else
        (void)snprintf(path, sizeof path, "%s/%s.jwe", bs_config_text(set->config, BS_CONFIG_SETS_DIR),
                       set->definition.name);
    set->store = bs_set_files_store(&set->files);
    return bs_set_files_init(&set->files, path, err);
}

/* Take over a definition. Threads that hold no lock read the name, the id and how the set wraps, which stay as they are
 * and are not written again. */
static void take_over(struct bs_set_definition *d, const struct bs_set_definition *new)
{
    struct bs_set_definition old = *d;

    if (memcmp(d->id, new->id, sizeof d->id) != 0 || d->direct != new->direct || strcmp(d->name, new->name) != 0) {
        *d = *new; /* the set is being made */
    } else {
        d->num_keks = new->num_keks;
        memcpy(d->keks, new->keks, sizeof d->keks);
        d->identity = new->identity;
        d->store = new->store;
        d->num_recovery = new->num_recovery;
        memcpy(d->recovery, new->recovery, sizeof d->recovery);
        d->manual = new->manual;
        d->min_generation = new->min_generation;
        d->buf = new->buf;
    }
    bs_set_definition_clear(&old);
}

enum blobseal_status bs_set_define(struct blobseal_set *set, const struct bs_set_definition *d,
                                   struct blobseal_error *err)
{
    struct bs_set_definition copy;
    char *text;
    size_t len;
    enum blobseal_status st = bs_set_definition_write(&text, &len, d, err);

    if (st == BLOBSEAL_OK)
        st = bs_set_definition_parse(&copy, d->name, text, len, err);
    if (st != BLOBSEAL_OK) {
        free(text);
        return st;
    }
    free(set->definition_text);
    set->definition_text = text;
    take_over(&set->definition, &copy);
    if (!bs_set_state_file_init(&set->state_file, bs_config_text(set->config, BS_CONFIG_STATE_DIR), copy.id))
        st = blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the path of state_dir is too long");
    if (st == BLOBSEAL_OK)
        st = find_store(set, err);
    return st == BLOBSEAL_OK ? open_recovery(set, err) : st;
}

enum blobseal_status bs_set_save_definition(const struct blobseal_set *set, bool replace, struct blobseal_error *err)
{
    if (set->definition_path[0] == '\0')
        return BLOBSEAL_OK;
    return bs_set_file_write(set->definition_path, set->definition_text, strlen(set->definition_text), replace, err);
}

const char *blobseal_set_definition(struct blobseal_set *set)
{
    return set->definition_text;
}

/* ---- The audit record -------------------------------------------------------------------------------------------- */

enum blobseal_status bs_set_record(struct blobseal_set *set, const char *operation, enum blobseal_status st,
                                   struct blobseal_error *err)
{
    char kid[BLOBSEAL_MAX_KID + 1] = "";
    struct blobseal_audit_event event = {.size = sizeof event,
                                         .operation = operation,
                                         .result = st,
                                         .provider = bs_set_provider.scheme,
                                         .subject = set->definition.name};
    struct blobseal_error failure = {0};
    enum blobseal_status recorded;

    if (!bs_audit_is_on(set->config))
        return st;
    (void)pthread_mutex_lock(&set->lock);
    if (set->loaded != NULL)
        memcpy(kid, set->loaded->kid, sizeof kid);
    (void)pthread_mutex_unlock(&set->lock);
    event.kid = kid[0] != '\0' ? kid : NULL;
    recorded = bs_audit(set->config, &event, &failure);
    if (st != BLOBSEAL_OK || recorded == BLOBSEAL_OK)
        return st;
    if (err != NULL)
        *err = failure;
    return recorded;
}

/* ---- Opening and releasing --------------------------------------------------------------------------------------- */

static void set_limits(struct blobseal_set *set)
{
    set->timing = (struct bs_set_timing){
        .reread_ms = 10000,
        .max_rereads = 5,
        .poll_ms = bs_config_number(set->config, BS_CONFIG_POLL_INTERVAL) * 1000,
        .first_retry_ms = 30000,
        .max_retry_ms = 300000,
        .aside_ms = 10000,
        .first_delay_ms = 1000,
        .max_delay_ms = 60000,
        .rekey_s = (uint64_t)90 * 24 * 3600,
    };
}

enum blobseal_status bs_set_new(struct blobseal_set **out, const char *name, struct blobseal_set_options *own,
                                const struct blobseal_set_options *options, struct blobseal_error *err)
{
    struct blobseal_set *set;
    int n = 0;

    *out = NULL;
    *own = (struct blobseal_set_options){.size = sizeof *own};
    if (!blobseal_struct_import(own, sizeof *own, options))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "open a set: options without their size, or newer than the library");
    if (!bs_set_name_is_valid(name))
        return blobseal_fail(
            err, BLOBSEAL_E_CONFIG, 0,
            "set:%.80s does not name a set: its name has 1 to 64 letters, digits, '.', '-' and '_', and "
            "starts with a letter or digit",
            name);
    if (own->config == NULL && own->store == NULL)
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the set %s: there is no configuration that says where it is",
                             name);
    set = calloc(1, sizeof *set);
    if (set == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "open a set: no memory");
    set->references = 1;
    set->config = bs_config_ref(own->config);
    set->require_purge_protection = own->require_purge_protection;
    (void)pthread_mutex_init(&set->lock, NULL);
    (void)pthread_mutex_init(&set->request, NULL);
    (void)snprintf(set->definition.name, sizeof set->definition.name, "%s", name);
    set_limits(set);
    if (own->store != NULL)
        set->store = *own->store;
    if (own->definition == NULL)
        n = snprintf(set->definition_path, sizeof set->definition_path, "%s/%s.json",
                     bs_config_text(set->config, BS_CONFIG_SETS_DIR), name);
    if (n < 0 || (size_t)n >= sizeof set->definition_path) {
        blobseal_set_close(set);
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the path of sets_dir is too long");
    }
    *out = set;
    return BLOBSEAL_OK;
}

void blobseal_set_close(struct blobseal_set *set)
{
    if (set == NULL || atomic_fetch_sub(&set->references, 1) != 1)
        return;
    bs_set_loaded_unref(set->loaded);
    for (size_t i = 0; i < set->num_direct; i++)
        blobseal_kek_close(set->direct[i].kek);
    for (size_t i = 0; i < BLOBSEAL_SET_MAX_KEKS; i++)
        blobseal_kek_close(set->keks[i]);
    blobseal_kek_close(set->guest);
    close_recovery(set);
    bs_set_definition_clear(&set->definition);
    free(set->definition_text);
    (void)pthread_mutex_destroy(&set->lock);
    (void)pthread_mutex_destroy(&set->request);
    bs_config_unref(set->config);
    free(set);
}

/* Read the definition, from the program or from its file. */
static enum blobseal_status read_definition(struct blobseal_set *set, const char *text, struct blobseal_error *err)
{
    struct bs_set_definition d = {0};
    uint8_t *file = NULL;
    size_t len = text != NULL ? strlen(text) : 0;
    enum blobseal_status st = BLOBSEAL_OK;

    if (text == NULL) {
        st = bs_config_read(&file, &len, set->definition_path, err);
        if (st == BLOBSEAL_E_INPUT && err != NULL && err->sys_errno == ENOENT) {
            st = blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "there is no set %s: %.200s does not exist",
                               set->definition.name, set->definition_path);
            blobseal_hint(err, "check its name, and \"sets_dir\" in the configuration");
        }
        text = (const char *)file;
    }
    if (st == BLOBSEAL_OK)
        st = bs_set_definition_parse(&d, set->definition.name, text, len, err);
    if (st == BLOBSEAL_OK)
        st = bs_set_define(set, &d, err);
    bs_set_definition_clear(&d);
    free(file);
    return st;
}

enum blobseal_status blobseal_set_open(struct blobseal_set **set, const char *name,
                                       const struct blobseal_set_options *options, struct blobseal_error *err)
{
    struct blobseal_set_options own;
    enum blobseal_status st = bs_set_new(set, name, &own, options, err);

    if (*set == NULL)
        return st;
    if (own.config == NULL && own.definition == NULL)
        st = blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the set %s: there is no configuration that says where it is",
                           name);
    if (st == BLOBSEAL_OK)
        st = read_definition(*set, own.definition, err);
    if (st == BLOBSEAL_OK) {
        struct blobseal_error why = {0};

        st = bs_set_open_keks(*set, (*set)->keks, &own, &why);
        if (st != BLOBSEAL_OK && err != NULL)
            *err = why;
        if (is_out_of_reach(st)) {
            (*set)->kek_error = why;
            st = BLOBSEAL_OK;
        }
    }
    if (st != BLOBSEAL_OK) {
        blobseal_set_close(*set);
        *set = NULL;
    }
    return st;
}

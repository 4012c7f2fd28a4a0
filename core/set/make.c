/* SPDX-License-Identifier: Apache-2.0 */
/* Making sets: new ones, and from an exported object. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/set/set.h"

/* ---- What the caller asks for ------------------------------------------------------------------------------------ */

/* The public halves of recovery keys, until they are in the definition of the set. */
struct recovery {
    struct blobseal_kek *kek[BLOBSEAL_SET_MAX_RECOVERY];
    uint8_t *spki[BLOBSEAL_SET_MAX_RECOVERY];
};

static void recovery_clear(struct recovery *r)
{
    for (size_t i = 0; i < BLOBSEAL_SET_MAX_RECOVERY; i++) {
        blobseal_kek_close(r->kek[i]);
        free(r->spki[i]);
    }
}

/* Make the folder of the definitions if it is missing, and check that the caller may write there. */
static enum blobseal_status make_sets_dir(const struct blobseal_set *set, struct blobseal_error *err)
{
    const char *folder = bs_config_text(set->config, BS_CONFIG_SETS_DIR);

    if (bs_set_make_folder(folder, 0755) && access(folder, W_OK | X_OK) == 0)
        return BLOBSEAL_OK;
    (void)blobseal_fail(err, BLOBSEAL_E_OUTPUT, errno, "make a set in the folder %.200s", folder);
    blobseal_hint(err, "\"sets_dir\" in the configuration can name a folder of your own");
    return BLOBSEAL_E_OUTPUT;
}

/* Open the recovery keys, and put their names and public halves into the definition. */
static enum blobseal_status take_recovery(struct recovery *r, struct bs_set_definition *d,
                                          const struct blobseal_set *set, const struct blobseal_set_new *how,
                                          const struct blobseal_set_options *o, struct blobseal_error *err)
{
    const struct blobseal_call call = bs_call_start(o->timeout_ms, o->cancel);
    enum blobseal_status st = BLOBSEAL_OK;

    if (how->num_recovery > BLOBSEAL_SET_MAX_RECOVERY)
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "a set has at most %u recovery keys",
                             BLOBSEAL_SET_MAX_RECOVERY);
    for (size_t i = 0; i < how->num_recovery && st == BLOBSEAL_OK; i++) {
        struct bs_set_recovery *one = &d->recovery[d->num_recovery];

        st = bs_set_open_kek(&r->kek[i], set, how->recovery[i], o, err);
        if (st == BLOBSEAL_OK)
            st = bs_kek_describe(r->kek[i], &call, err);
        if (st == BLOBSEAL_OK)
            st = bs_kek_spki(r->kek[i], &r->spki[i], &one->spki_len, &call, err);
        one->kid = st == BLOBSEAL_OK ? bs_kek_info(r->kek[i])->kid : NULL;
        one->spki = r->spki[i];
        for (size_t k = 0; k < d->num_recovery && st == BLOBSEAL_OK; k++)
            if (strcmp(d->recovery[k].kid, one->kid) == 0)
                st = bs_duplicate_key(one->kid, err);
        d->num_recovery += st == BLOBSEAL_OK;
    }
    return st;
}

static enum blobseal_status import_how(struct blobseal_set_new *own, const struct blobseal_set_new *how,
                                       struct blobseal_error *err)
{
    *own = (struct blobseal_set_new){.size = sizeof *own};
    if (!blobseal_struct_import(own, sizeof *own, how) || own->kek == NULL ||
        (unsigned)own->wrap > BLOBSEAL_SET_WRAP_DIRECT)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "make a set: a size is not set, the KEK is missing, or it is newer than the library");
    if (own->store_path != NULL && own->store_path[0] != '/')
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the path of the object must be absolute: %.200s",
                             own->store_path);
    return BLOBSEAL_OK;
}

/* Define a set as the caller wants it, with the id in @d, and open its KEK. */
static enum blobseal_status define(struct blobseal_set *set, struct bs_set_definition *d,
                                   const struct blobseal_set_new *how, const struct blobseal_set_options *o,
                                   struct blobseal_error *err)
{
    struct recovery recovery = {0};
    enum blobseal_status st;

    memcpy(d->name, set->definition.name, sizeof d->name);
    d->num_keks = 1;
    d->keks[0] = how->kek;
    d->identity = how->identity;
    d->store = how->store_path;
    d->direct = how->wrap == BLOBSEAL_SET_WRAP_DIRECT;
    set->definition.identity = how->identity; /* with which recovery keys in a vault are opened */
    st = bs_set_check_identity(set, how->identity, o, err);
    if (st == BLOBSEAL_OK)
        st = take_recovery(&recovery, d, set, how, o, err);
    if (st == BLOBSEAL_OK)
        st = bs_set_define(set, d, err);
    if (st == BLOBSEAL_OK)
        st = bs_set_open_keks(set, set->keks, o, err);
    recovery_clear(&recovery);
    return st;
}

/* ---- New sets ---------------------------------------------------------------------------------------------------- */

static enum blobseal_status is_free(const struct blobseal_set *set, struct blobseal_error *err)
{
    char *text = NULL;
    size_t len;
    enum blobseal_status st = BLOBSEAL_OK;

    if (set->definition_path[0] != '\0') {
        st = make_sets_dir(set, err);
        if (st == BLOBSEAL_OK)
            st = bs_set_file_read(&text, &len, set->definition_path, 0, err);
    }
    if (st == BLOBSEAL_OK && text != NULL) {
        st = blobseal_fail(err, BLOBSEAL_E_EXISTS, 0, "there is a set %s already: %.200s", set->definition.name,
                           set->definition_path);
        blobseal_hint(err, "choose another name");
    }
    free(text);
    return st;
}

/* Refuse a recovery key that is the KEK: it would be lost together with it. */
static enum blobseal_status check_recovery(const struct blobseal_set *set, struct blobseal_error *err)
{
    const struct bs_set_definition *d = &set->definition;

    for (size_t i = 0; i < d->num_recovery; i++)
        if (bs_kek_owns(set->keks[0], "RSA-OAEP-256", d->recovery[i].kid)) {
            (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the recovery key %.160s is the KEK of the set itself",
                                d->recovery[i].kid);
            blobseal_hint(err, "use another key, which is kept elsewhere");
            return BLOBSEAL_E_CONFIG;
        }
    return BLOBSEAL_OK;
}

static enum blobseal_status create(struct blobseal_set *set, const struct blobseal_set_new *how,
                                   const struct blobseal_set_options *o, struct blobseal_error *err)
{
    const struct blobseal_call call = bs_call_start(o->timeout_ms, o->cancel);
    struct bs_set_definition d = {0};
    struct bs_set_keys *keys = bs_set_keys_new(1);
    enum blobseal_status st = bs_selftest_once(err);

    if (keys == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "make a set: no memory");
    if (st == BLOBSEAL_OK)
        st = bs_a256kw_selftest(err);
    if (st == BLOBSEAL_OK)
        st = is_free(set, err);
    if (st == BLOBSEAL_OK)
        st = bs_set_keys_add(keys, bs_set_now_s(), err);
    if (st != BLOBSEAL_OK) {
        blobseal_secret_free(keys);
        return st;
    }
    keys->rotated = keys->list[0].made;
    memcpy(d.id, keys->id, sizeof d.id);
    st = define(set, &d, how, o, err);
    if (st != BLOBSEAL_OK) {
        blobseal_secret_free(keys);
        return st;
    }
    st = check_recovery(set, err);
    if (st == BLOBSEAL_OK && !d.direct) /* who only seals directly needs no right to unwrap */
        st = bs_set_try_kek(set->keks[0], &call, err);
    if (st == BLOBSEAL_OK)
        st = bs_set_begin(set, &call, err);
    if (st != BLOBSEAL_OK) {
        blobseal_secret_free(keys);
        return st;
    }
    st = bs_set_write_first(set, keys, 1, &call, err);
    (void)pthread_mutex_unlock(&set->request);
    return st == BLOBSEAL_OK ? bs_set_save_definition(set, false, err) : st;
}

/* Make the object of a set. With a store of the caller there is no file for its definition. */
static enum blobseal_status start(struct blobseal_set **set, const char *name, struct blobseal_set_options *own,
                                  const struct blobseal_set_options *options, struct blobseal_error *err)
{
    enum blobseal_status st = bs_set_new(set, name, own, options, err);

    if (*set != NULL && own->store != NULL)
        (*set)->definition_path[0] = '\0';
    return st;
}

enum blobseal_status blobseal_set_create(struct blobseal_set **set, const char *name,
                                         const struct blobseal_set_new *how, const struct blobseal_set_options *options,
                                         struct blobseal_error *err)
{
    struct blobseal_set_options o;
    struct blobseal_set_new own;
    enum blobseal_status st = import_how(&own, how, err);

    *set = NULL;
    if (st == BLOBSEAL_OK)
        st = start(set, name, &o, options, err);
    if (*set == NULL)
        return st;
    st = bs_set_record(*set, "set-create", create(*set, &own, &o, err), err);
    if (st != BLOBSEAL_OK) {
        blobseal_set_close(*set);
        *set = NULL;
    }
    return st;
}

/* ---- Imported sets ----------------------------------------------------------------------------------------------- */

/* If the store of the set is empty, check that the exported object @o is not older than what was seen of the set: it
 * would be stored, but could not be used. */
static enum blobseal_status check_age(struct blobseal_set *set, const struct bs_set_object *o,
                                      const struct blobseal_call *call, struct blobseal_error *err)
{
    char token[BLOBSEAL_SET_MAX_TOKEN], *there;
    size_t len;
    enum blobseal_status st = bs_set_seen_load(&set->seen, &set->state_file, err);

    if (st == BLOBSEAL_OK)
        st = bs_set_store_get(set, &there, &len, token, call, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (there == NULL)
        st = bs_set_seen_check(&set->seen, o, set->definition.min_generation, err);
    free(there);
    return st;
}

/* Open an exported object with the KEKs of a set. */
static enum blobseal_status open_exported(struct blobseal_set *set, struct bs_set_keys **keys, struct bs_slice object,
                                          const struct blobseal_call *call, struct blobseal_error *err)
{
    struct blobseal_kek *keks[BLOBSEAL_SET_MAX_KEKS];
    const struct bs_keks list = {keks, bs_set_permitted(set, keks), call};
    struct bs_set_object o;
    enum blobseal_status st = bs_set_object_parse(&o, (const char *)object.p, object.len, set->definition.id, err);

    *keys = NULL;
    if (st == BLOBSEAL_OK)
        st = check_age(set, &o, call, err);
    if (st == BLOBSEAL_OK)
        st = bs_set_object_open(keys, &o, list, NULL, err);
    bs_set_object_clear(&o);
    return st;
}

/* Store the exported object as it is, if the store has none, or add its keys to the object that is there. */
static enum blobseal_status store_exported(struct blobseal_set *set, struct bs_slice object,
                                           const struct blobseal_call *call, struct blobseal_error *err)
{
    struct bs_set_keys *keys;
    enum blobseal_set_put result;
    enum blobseal_status st = open_exported(set, &keys, object, call, err);
    struct bs_set_plan plan = {.merge = keys};
    struct bs_set_loaded *l;

    if (st == BLOBSEAL_OK)
        st = bs_set_store_put(set, (const char *)object.p, object.len, "", &result, call, err);
    if (st == BLOBSEAL_OK && result == BLOBSEAL_SET_CHANGED) {
        st = bs_set_apply(set, &plan, call, NULL, err);
    } else if (st == BLOBSEAL_OK) { /* stored, or not known: read it back */
        st = bs_set_load(set, &l, call, err);
        bs_set_loaded_unref(l);
    }
    blobseal_secret_free(keys);
    return st;
}

static enum blobseal_status has_another_id(const struct blobseal_set *set, struct blobseal_error *err)
{
    (void)blobseal_fail(err, BLOBSEAL_E_EXISTS, 0, "there is a set %s already, which has another id",
                        set->definition.name);
    blobseal_hint(err, "import it under another name");
    return BLOBSEAL_E_EXISTS;
}

/* Return true if the definition permits the KEK @ref. */
static bool is_permitted(const struct bs_set_definition *d, const char *ref)
{
    for (size_t i = 0; i < d->num_keks; i++)
        if (strcmp(d->keks[i], ref) == 0)
            return true;
    return false;
}

/* Use the definition that exists, as it is. Its KEKs open the store; @how may name one more, which opens the exported
 * object during the import. */
static enum blobseal_status use_existing(struct blobseal_set *set, const struct blobseal_set_new *how,
                                         const struct blobseal_set_options *o, bool *exists, struct blobseal_error *err)
{
    struct bs_set_definition d = {0};
    struct blobseal_error why = {0};
    uint8_t id[BS_SET_ID_LEN], *text;
    size_t len;
    enum blobseal_status st;

    memcpy(id, set->definition.id, sizeof id);
    *exists = false;
    if (set->definition_path[0] == '\0')
        return BLOBSEAL_OK;
    st = make_sets_dir(set, err);
    if (st != BLOBSEAL_OK)
        return st;
    st = bs_config_read(&text, &len, set->definition_path, &why); /* which refuses what others can write */
    *exists = st == BLOBSEAL_OK;
    if (st == BLOBSEAL_OK)
        st = bs_set_definition_parse(&d, set->definition.name, (const char *)text, len, &why);
    free(text);
    if (st == BLOBSEAL_E_INPUT && why.sys_errno == ENOENT)
        return BLOBSEAL_OK;
    if (st != BLOBSEAL_OK && err != NULL)
        *err = why;
    if (st == BLOBSEAL_OK && memcmp(d.id, id, sizeof id) != 0)
        st = has_another_id(set, err);
    if (st == BLOBSEAL_OK)
        st = bs_set_define(set, &d, err);
    bs_set_definition_clear(&d);
    if (st == BLOBSEAL_OK)
        st = bs_set_open_keks(set, set->keks, o, err);
    if (st == BLOBSEAL_OK && !is_permitted(&set->definition, how->kek))
        st = bs_set_open_kek(&set->guest, set, how->kek, o, err);
    return st;
}

static enum blobseal_status import_set(struct blobseal_set *set, struct bs_slice object,
                                       const struct blobseal_set_new *how, const struct blobseal_set_options *o,
                                       struct blobseal_error *err)
{
    const struct blobseal_call call = bs_call_start(o->timeout_ms, o->cancel);
    struct bs_set_definition d = {.manual = true};
    bool exists;
    enum blobseal_status st = use_existing(set, how, o, &exists, err);

    memcpy(d.id, set->definition.id, sizeof d.id);
    if (st == BLOBSEAL_OK && !exists)
        st = define(set, &d, how, o, err);
    if (st == BLOBSEAL_OK)
        st = bs_set_begin(set, &call, err);
    if (st != BLOBSEAL_OK)
        return st;
    st = store_exported(set, object, &call, err);
    blobseal_kek_close(set->guest);
    set->guest = NULL;
    (void)pthread_mutex_unlock(&set->request);
    return st == BLOBSEAL_OK && !exists ? bs_set_save_definition(set, false, err) : st;
}

/* NOLINTNEXTLINE(readability-function-size): no two of the eight belong together */
enum blobseal_status blobseal_set_import(struct blobseal_set **set, const char *name, const uint8_t *id,
                                         const char *object, size_t len, const struct blobseal_set_new *how,
                                         const struct blobseal_set_options *options, struct blobseal_error *err)
{
    struct blobseal_set_options o;
    struct blobseal_set_new own;
    enum blobseal_status st = import_how(&own, how, err);

    *set = NULL;
    if (st == BLOBSEAL_OK)
        st = start(set, name, &o, options, err);
    if (*set == NULL)
        return st;
    memcpy((*set)->definition.id, id, BS_SET_ID_LEN);
    st = import_set(*set, (struct bs_slice){(const uint8_t *)object, len}, &own, &o, err);
    st = bs_set_record(*set, "set-import", st, err);
    if (st != BLOBSEAL_OK) {
        blobseal_set_close(*set);
        *set = NULL;
    }
    return st;
}

enum blobseal_status blobseal_set_export(struct blobseal_set *set, const struct blobseal_call_options *options,
                                         char **object, size_t *len, struct blobseal_error *err)
{
    struct bs_set_loaded *l = NULL;
    struct blobseal_call call;
    enum blobseal_status st = bs_call_import(&call, options, "export a set", err);

    *object = NULL;
    *len = 0;
    if (st == BLOBSEAL_OK)
        st = bs_set_begin(set, &call, err);
    if (st != BLOBSEAL_OK)
        return st;
    st = bs_set_load(set, &l, &call, err);
    (void)pthread_mutex_unlock(&set->request);
    st = bs_set_record(set, "set-export", st, err);
    if (st != BLOBSEAL_OK) {
        bs_set_loaded_unref(l);
        return st;
    }
    *object = malloc(l->len + 1);
    if (*object != NULL) {
        memcpy(*object, l->object, l->len);
        (*object)[l->len] = '\0';
        *len = l->len;
    } else {
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "export a set: no memory");
    }
    bs_set_loaded_unref(l);
    return st;
}

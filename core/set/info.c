/* SPDX-License-Identifier: Apache-2.0 */
/* What a set is like, for people: its KEK, its keys, and whether it can be used. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/set/set.h"

const char *blobseal_set_state_name(enum blobseal_set_state state)
{
    switch (state) {
    case BLOBSEAL_SET_ACTIVE:
        return "ACTIVE";
    case BLOBSEAL_SET_REVOKED:
        return "REVOKED";
    case BLOBSEAL_SET_LOST:
        return "LOST";
    default:
        return "DEGRADED";
    }
}

/* The description and all that it points to. */
struct made {
    struct blobseal_set_info info;
    struct bs_set_seen seen;
    char kid[BLOBSEAL_MAX_KID + 1], newest[BS_SET_MAX_KID + 1];
    const char *recovery[BLOBSEAL_SET_MAX_RECOVERY];
    struct bs_set_definition definition; /* a copy, with its own strings */
};

void blobseal_set_info_free(struct blobseal_set_info *info)
{
    struct made *m = (struct made *)info;

    if (m == NULL)
        return;
    bs_set_definition_clear(&m->definition);
    free(m);
}

/* Return true if a reference to a KEK follows its newest version: a key in a vault without a version. */
static bool has_no_version(const struct blobseal_set *set, const char *ref)
{
    const char *path;

    if (strncmp(ref, "key:", 4) == 0) {
        const char *named = blobseal_config_kek(set->config, ref + 4);

        return named != NULL && strncmp(named, "key:", 4) != 0 && has_no_version(set, named);
    }
    if (strncmp(ref, "https://", 8) != 0)
        return false;
    path = strstr(ref + 8, "/keys/");
    return path != NULL && (strchr(path + 6, '/') == NULL || strchr(path + 6, '/')[1] == '\0');
}

static void note_strangers(const struct blobseal_set *set, struct made *m, const struct bs_set_loaded *l)
{
    struct bs_set_object o;

    if (bs_set_object_parse(&o, l->object, l->len, set->definition.id, NULL) == BLOBSEAL_OK)
        for (size_t i = 0; i < o.jwe.num; i++)
            if (!bs_set_knows_recipient(set, &o.jwe.recipients[i]))
                m->info.notes |= BLOBSEAL_SET_NOTE_STRANGER;
    bs_set_object_clear(&o);
}

/* Fill in what is in the object. */
static void describe_object(const struct blobseal_set *set, struct made *m, const struct bs_set_loaded *l)
{
    const struct bs_set_key *newest = &l->keys->list[l->keys->num - 1];

    memcpy(m->kid, l->kid, sizeof m->kid);
    bs_set_kid(m->newest, l->keys->id, newest->n, newest->check);
    m->info.kid = m->kid;
    m->info.newest = m->newest;
    m->info.newest_made = newest->made;
    m->info.num_keys = l->keys->num;
    m->info.generation = l->generation;
    m->info.last_rotation = l->keys->rotated;
    m->info.valid_until = l->lease.valid_until_unix_ms;
    note_strangers(set, m, l);
}

/* Fill in what the definition says. */
static enum blobseal_status describe_definition(const struct blobseal_set *set, struct made *m,
                                                struct blobseal_error *err)
{
    struct bs_set_definition *d = &m->definition;
    enum blobseal_status st =
        bs_set_definition_parse(d, set->definition.name, set->definition_text, strlen(set->definition_text), err);

    if (st != BLOBSEAL_OK)
        return st;
    m->info.name = d->name;
    memcpy(m->info.id, d->id, sizeof m->info.id);
    m->info.kek = d->keks[0];
    m->info.identity = d->identity;
    m->info.automatic = has_no_version(set, d->keks[0]);
    m->info.wrap = d->direct ? BLOBSEAL_SET_WRAP_DIRECT : BLOBSEAL_SET_WRAP_HIERARCHY;
    m->info.num_recovery = d->num_recovery;
    for (size_t i = 0; i < d->num_recovery; i++)
        m->recovery[i] = d->recovery[i].kid;
    m->info.recovery = m->recovery;
    m->info.notes |= d->num_recovery == 0 ? BLOBSEAL_SET_NOTE_NO_RECOVERY : 0;
    m->info.notes |= d->manual ? BLOBSEAL_SET_NOTE_IMPORTED : 0;
    m->info.notes |= set->state_file.path[0] == '\0' && d->min_generation == 0 ? BLOBSEAL_SET_NOTE_NO_STATE : 0;
    return BLOBSEAL_OK;
}

/* Note what is known of the first KEK without asking its owner. The lock for requests is held. */
static void note_kek(const struct blobseal_set *set, struct made *m)
{
    if (set->keks[0] != NULL && (bs_kek_info(set->keks[0])->notes & BLOBSEAL_KEK_NOTE_PURGEABLE) != 0)
        m->info.notes |= BLOBSEAL_SET_NOTE_PURGEABLE;
}

static enum blobseal_set_state state_of(enum blobseal_status st, const struct blobseal_error *err)
{
    if (st == BLOBSEAL_OK)
        return BLOBSEAL_SET_ACTIVE;
    if (st != BLOBSEAL_E_DENIED)
        return BLOBSEAL_SET_DEGRADED;
    return err->advice == BLOBSEAL_ADVICE_NO_SUCH_KEY ? BLOBSEAL_SET_LOST : BLOBSEAL_SET_REVOKED;
}

/* Read the set, and fill in what was found. The lock for requests is held. */
static enum blobseal_status look(struct blobseal_set *set, struct made *m, const struct blobseal_call *call)
{
    struct bs_set_loaded *l;
    enum blobseal_status st;

    set->denied_until_ms = 0; /* somebody asks explicitly */
    st = bs_set_load(set, &l, call, &m->info.error);
    m->info.state = state_of(st, &m->info.error);
    if (st == BLOBSEAL_OK) {
        describe_object(set, m, l);
        m->info.error = (struct blobseal_error){0};
    }
    bs_set_loaded_unref(l);
    m->seen = set->seen;
    m->info.generation = st == BLOBSEAL_OK ? m->info.generation : m->seen.generation;
    m->info.last_check = m->seen.last_check;
    m->info.last_error = m->seen.last_error[0] != '\0' ? m->seen.last_error : NULL;
    note_kek(set, m);
    m->info.notes |= atomic_load(&set->files.from_backup) ? BLOBSEAL_SET_NOTE_BACKUP : 0;
    m->info.notes |= st == BLOBSEAL_OK && !set->state_is_kept && set->definition.min_generation == 0
                         ? BLOBSEAL_SET_NOTE_NO_STATE
                         : 0;
    return st == BLOBSEAL_E_NOMEM || st == BLOBSEAL_E_CANCELED ? st : BLOBSEAL_OK;
}

enum blobseal_status bs_set_info(struct blobseal_set *set, const struct blobseal_call *call,
                                 struct blobseal_set_info **info, struct blobseal_error *err)
{
    struct made *m = calloc(1, sizeof *m);
    enum blobseal_status st;

    *info = NULL;
    if (m == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "describe a set: no memory");
    st = bs_set_begin(set, call, err);
    if (st == BLOBSEAL_OK) {
        st = describe_definition(set, m, err);
        if (st == BLOBSEAL_OK)
            st = look(set, m, call);
        if (st != BLOBSEAL_OK && err != NULL && m->info.error.status == st)
            *err = m->info.error;
        (void)pthread_mutex_unlock(&set->request);
    }
    if (st != BLOBSEAL_OK) {
        blobseal_set_info_free(&m->info);
        return st;
    }
    *info = &m->info;
    return BLOBSEAL_OK;
}

enum blobseal_status blobseal_set_info_get(struct blobseal_set *set, const struct blobseal_call_options *options,
                                           struct blobseal_set_info **info, struct blobseal_error *err)
{
    struct blobseal_call call;
    enum blobseal_status st = bs_call_import(&call, options, "describe a set", err);

    *info = NULL;
    return st == BLOBSEAL_OK ? bs_set_info(set, &call, info, err) : st;
}

/* ---- All sets ---------------------------------------------------------------------------------------------------- */

/* Keep entries that are definitions. */
static int is_definition(const struct dirent *e)
{
    size_t len = strlen(e->d_name);
    char name[BLOBSEAL_SET_MAX_NAME + 1];

    if (len <= 5 || len - 5 > BLOBSEAL_SET_MAX_NAME || strcmp(e->d_name + len - 5, ".json") != 0)
        return 0;
    (void)snprintf(name, sizeof name, "%.*s", (int)(len - 5), e->d_name);
    return bs_set_name_is_valid(name) ? 1 : 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

enum blobseal_status blobseal_set_list(const struct blobseal_config *config, blobseal_set_name_fn fn, void *ctx,
                                       struct blobseal_error *err)
{
    const char *folder = bs_config_text(config, BS_CONFIG_SETS_DIR);
    struct dirent **list = NULL;
    bool more = true;
    int num = scandir(folder, &list, is_definition, by_name);

    if (num < 0 && errno == ENOENT)
        return BLOBSEAL_OK;
    if (num < 0)
        return blobseal_fail(err, BLOBSEAL_E_INPUT, errno, "read the folder %.200s", folder);
    for (int i = 0; i < num; i++) {
        list[i]->d_name[strlen(list[i]->d_name) - 5] = '\0';
        more = more && fn(ctx, list[i]->d_name);
        free(list[i]);
    }
    free(list);
    return BLOBSEAL_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration as an object: references, memory, and storing. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/config/config.h"

enum blobseal_status blobseal_config_new(struct blobseal_config **config, struct blobseal_error *err)
{
    struct blobseal_config *c = calloc(1, sizeof *c);

    *config = NULL;
    if (c != NULL)
        c->shared = calloc(1, sizeof *c->shared);
    if (c == NULL || c->shared == NULL) {
        free(c);
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "make a configuration: no memory");
    }
    atomic_init(&c->shared->references, 1);
    *config = c;
    return BLOBSEAL_OK;
}

static void destroy(struct blobseal_config *c)
{
    while (c->blocks != NULL) {
        struct bs_config_block *next = c->blocks->next;

        free(c->blocks);
        c->blocks = next;
    }
    free(c->shared);
    free(c);
}

void blobseal_config_free(struct blobseal_config *config)
{
    if (config != NULL && atomic_fetch_sub(&config->shared->references, 1) == 1)
        destroy(config);
}

void bs_config_use(const struct blobseal_config *config)
{
    if (config != NULL)
        atomic_store(&config->shared->in_use, true);
}

const struct blobseal_config *bs_config_ref(const struct blobseal_config *config)
{
    bs_config_use(config);
    if (config != NULL)
        atomic_fetch_add(&config->shared->references, 1);
    return config;
}

void bs_config_unref(const struct blobseal_config *config)
{
    blobseal_config_free((struct blobseal_config *)config); /* the owner cannot change it any more either */
}

enum blobseal_status bs_config_may_change(const struct blobseal_config *config, struct blobseal_error *err)
{
    if (!atomic_load(&config->shared->in_use))
        return BLOBSEAL_OK;
    return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "the configuration is in use, and cannot be changed any more");
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

void *bs_config_alloc(struct blobseal_config *c, size_t len)
{
    struct bs_config_block *b = calloc(1, sizeof *b + len);

    if (b == NULL)
        return NULL;
    b->next = c->blocks;
    c->blocks = b;
    return b->data;
}

const char *bs_config_copy(struct blobseal_config *c, const char *text)
{
    size_t len = strlen(text) + 1;
    char *copy = bs_config_alloc(c, len);

    return copy != NULL ? memcpy(copy, text, len) : NULL;
}

/* ---- Storing ----------------------------------------------------------------------------------------------------- */

static enum blobseal_status too_many(const struct bs_config_origin *from, const char *what, size_t max,
                                     struct blobseal_error *err)
{
    char place[160];

    return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "%s: more than %zu %s", bs_config_place(place, from), max, what);
}

enum blobseal_status bs_config_put_kek(struct blobseal_config *c, const struct bs_config_kek *kek,
                                       struct blobseal_error *err)
{
    size_t i = 0;

    while (i < c->num_keks && strcmp(c->keks[i].name, kek->name) != 0)
        i++;
    if (i == BLOBSEAL_CONFIG_MAX_KEKS)
        return too_many(&kek->from, "keys", i, err);
    c->keks[i] = *kek;
    c->num_keks += i == c->num_keks ? 1 : 0;
    return BLOBSEAL_OK;
}

enum blobseal_status bs_config_put_identity(struct blobseal_config *c, const struct bs_config_identity *identity,
                                            struct blobseal_error *err)
{
    size_t i = 0;

    while (i < c->num_identities && strcmp(c->identities[i].is.name, identity->is.name) != 0)
        i++;
    if (i == BLOBSEAL_CONFIG_MAX_LIST)
        return too_many(&identity->from, "identities", i, err);
    c->identities[i] = *identity;
    c->num_identities += i == c->num_identities ? 1 : 0;
    return BLOBSEAL_OK;
}

enum blobseal_status bs_config_put_vault(struct blobseal_config *c, const struct bs_config_vault *vault,
                                         struct blobseal_error *err)
{
    size_t i = 0;

    while (i < c->num_vaults && strcasecmp(c->vaults[i].is.host, vault->is.host) != 0)
        i++;
    if (i == BLOBSEAL_CONFIG_MAX_LIST)
        return too_many(&vault->from, "vaults", i, err);
    c->vaults[i] = *vault;
    c->num_vaults += i == c->num_vaults ? 1 : 0;
    return BLOBSEAL_OK;
}

enum blobseal_status bs_config_put_item(struct blobseal_config *c, enum bs_config_setting setting, const char *item,
                                        const struct bs_config_origin *from, struct blobseal_error *err)
{
    struct bs_config_value *v = &c->settings[setting];
    const char *name = bs_config_settings[setting].name;
    char place[160];

    if (v->num == BLOBSEAL_CONFIG_MAX_LIST)
        return too_many(from, name, v->num, err);
    if (bs_config_list_has(c, setting, item))
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "%s: %s: \"%.80s\" appears twice", bs_config_place(place, from),
                             name, item);
    if (v->items == NULL) {
        v->items = bs_config_alloc(c, BLOBSEAL_CONFIG_MAX_LIST * sizeof *v->items);
        v->lines = bs_config_alloc(c, BLOBSEAL_CONFIG_MAX_LIST * sizeof *v->lines);
    }
    item = bs_config_copy(c, item);
    if (v->items == NULL || v->lines == NULL || item == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "make a configuration: no memory");
    v->set = true;
    v->from.file = from->file;
    v->items[v->num] = item;
    v->lines[v->num++] = from->line;
    return BLOBSEAL_OK;
}

/* Count the entries of @b that @a does not have. */
static size_t new_entries(const struct blobseal_config *a, const struct blobseal_config *b, int kind)
{
    size_t num = 0;

    for (size_t i = 0; kind == 0 && i < b->num_keks; i++)
        num += bs_config_kek(a, b->keks[i].name) == NULL ? 1 : 0;
    for (size_t i = 0; kind == 1 && i < b->num_identities; i++)
        num += bs_config_identity(a, b->identities[i].is.name) == NULL ? 1 : 0;
    for (size_t i = 0; kind == 2 && i < b->num_vaults; i++)
        num += bs_config_vault(a, b->vaults[i].is.host) == NULL ? 1 : 0;
    return num;
}

/* Check that there is room for everything, so that a merge does not stop in the middle. */
static enum blobseal_status check_room(const struct blobseal_config *c, const struct blobseal_config *from,
                                       struct blobseal_error *err)
{
    if (c->num_keks + new_entries(c, from, 0) > BLOBSEAL_CONFIG_MAX_KEKS)
        return too_many(&from->keks[0].from, "keys", BLOBSEAL_CONFIG_MAX_KEKS, err);
    if (c->num_identities + new_entries(c, from, 1) > BLOBSEAL_CONFIG_MAX_LIST)
        return too_many(&from->identities[0].from, "identities", BLOBSEAL_CONFIG_MAX_LIST, err);
    if (c->num_vaults + new_entries(c, from, 2) > BLOBSEAL_CONFIG_MAX_LIST)
        return too_many(&from->vaults[0].from, "vaults", BLOBSEAL_CONFIG_MAX_LIST, err);
    return BLOBSEAL_OK;
}

enum blobseal_status bs_config_merge(struct blobseal_config *c, struct blobseal_config *from,
                                     struct blobseal_error *err)
{
    struct bs_config_block **last = &from->blocks;
    enum blobseal_status st = check_room(c, from, err);

    for (size_t i = 0; i < from->num_keks && st == BLOBSEAL_OK; i++)
        st = bs_config_put_kek(c, &from->keks[i], err);
    for (size_t i = 0; i < from->num_identities && st == BLOBSEAL_OK; i++)
        st = bs_config_put_identity(c, &from->identities[i], err);
    for (size_t i = 0; i < from->num_vaults && st == BLOBSEAL_OK; i++)
        st = bs_config_put_vault(c, &from->vaults[i], err);
    for (size_t i = 0; i < BS_CONFIG_NUM_SETTINGS && st == BLOBSEAL_OK; i++)
        if (from->settings[i].set)
            c->settings[i] = from->settings[i];
    if (st == BLOBSEAL_OK) { /* the memory of all these strings goes over */
        while (*last != NULL)
            last = &(*last)->next;
        *last = c->blocks;
        c->blocks = from->blocks;
        from->blocks = NULL;
    }
    destroy(from);
    return st;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What other modules ask a configuration. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/config/config.h"

bool bs_config_is_set(const struct blobseal_config *c, enum bs_config_setting setting)
{
    return c != NULL && c->settings[setting].set;
}

const char *bs_config_text(const struct blobseal_config *c, enum bs_config_setting setting)
{
    return bs_config_is_set(c, setting) ? c->settings[setting].text : bs_config_settings[setting].text;
}

uint64_t bs_config_number(const struct blobseal_config *c, enum bs_config_setting setting)
{
    return bs_config_is_set(c, setting) ? c->settings[setting].number : bs_config_settings[setting].number;
}

bool bs_config_list_has(const struct blobseal_config *c, enum bs_config_setting setting, const char *text)
{
    const struct bs_config_value *v = c != NULL ? &c->settings[setting] : NULL;

    for (size_t i = 0; v != NULL && i < v->num; i++)
        if (strcmp(v->items[i], text) == 0)
            return true;
    return false;
}

bool blobseal_config_has_oci_key(const struct blobseal_config *config, const char *name)
{
    return bs_config_list_has(config, BS_CONFIG_OCI_KEYS, name);
}

const struct bs_config_kek *bs_config_kek(const struct blobseal_config *c, const char *name)
{
    for (size_t i = 0; c != NULL && i < c->num_keks; i++)
        if (strcmp(c->keks[i].name, name) == 0)
            return &c->keks[i];
    return NULL;
}

const char *blobseal_config_kek(const struct blobseal_config *config, const char *name)
{
    const struct bs_config_kek *kek = bs_config_kek(config, name);

    return kek != NULL ? kek->ref : NULL;
}

const struct bs_config_identity *bs_config_identity(const struct blobseal_config *c, const char *name)
{
    for (size_t i = 0; c != NULL && i < c->num_identities; i++)
        if (strcmp(c->identities[i].is.name, name) == 0)
            return &c->identities[i];
    return NULL;
}

const struct bs_config_vault *bs_config_vault(const struct blobseal_config *c, const char *host)
{
    for (size_t i = 0; c != NULL && i < c->num_vaults; i++)
        if (strcasecmp(c->vaults[i].is.host, host) == 0)
            return &c->vaults[i];
    return NULL;
}

/* ---- For messages ------------------------------------------------------------------------------------------------ */

/* Return the end of a path of which at most @max bytes are shown, so that the name of the file always is. */
static const char *tail(const char *path, size_t max, const char **dots)
{
    size_t len = strlen(path);

    *dots = len > max ? "..." : "";
    return len > max ? path + len - max : path;
}

const char *bs_config_place(char buf[160], const struct bs_config_origin *from)
{
    const char *dots, *path = from->file != NULL ? tail(from->file, 120, &dots) : "";

    if (from->file == NULL)
        (void)snprintf(buf, 160, "the configuration");
    else
        (void)snprintf(buf, 160, "%s%s, line %zu", dots, path, from->line);
    return buf;
}

const char *bs_config_modules_file(char buf[160], const struct blobseal_config *c, const struct bs_config_origin *from)
{
    const char *file = bs_config_is_set(c, BS_CONFIG_MODULES) ? c->settings[BS_CONFIG_MODULES].from.file : from->file;
    const char *dots, *path = file != NULL ? tail(file, 120, &dots) : "";

    if (file == NULL)
        (void)snprintf(buf, 160, "the configuration");
    else
        (void)snprintf(buf, 160, "%s%s", dots, path);
    return buf;
}

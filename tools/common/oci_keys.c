/* SPDX-License-Identifier: Apache-2.0 */
/* Keys for programs that other programs run with messages from strangers: only names of the configuration are keys. */
#include "tools/common/oci_keys.h"

#include <string.h>

#include "tools/common/arguments.h"

bool oci_keys_add(struct oci_keys *keys, const char *name, struct blobseal_error *err)
{
    const struct blobseal_config *config;
    struct blobseal_kek_options o = {.size = sizeof o};
    size_t num = BLOBSEAL_MAX_RECIPIENTS - keys->num;
    char ref[BLOBSEAL_CONFIG_MAX_NAME + 8];

    if (!config_get(&config, err))
        return false;
    if (!blobseal_config_has_oci_key(config, name)) {
        (void)fail(err, BLOBSEAL_E_POLICY, 0, "the configuration does not allow the key %.64s for container images",
                   name);
        blobseal_hint(err, "give the key a name in `keks`, and list it in the member `keys` of `oci`");
        return false;
    }
    if (num == 0)
        return fail(err, BLOBSEAL_E_CONFIG, 0, "there are more than %u keys", BLOBSEAL_MAX_RECIPIENTS);
    o.config = config;
    (void)snprintf(ref, sizeof ref, "key:%s", name);
    if (blobseal_keks_open(keys->list + keys->num, &num, NULL, ref, &o, err) != BLOBSEAL_OK)
        return false;
    keys->num += num;
    return true;
}

/* A key that is opened for each name in the list. */
struct adding {
    struct oci_keys *keys;
    const struct ui *ui;
    unsigned *faults;
};

static bool add_value(void *ctx, const struct blobseal_config_value *value)
{
    struct adding *a = ctx;
    struct blobseal_error err = {0};

    if (strncmp(value->member, "oci.keys[", strlen("oci.keys[")) == 0 && !oci_keys_add(a->keys, value->text, &err)) {
        warn(a->ui, "%s", err.text);
        ++*a->faults;
    }
    return true;
}

bool oci_keys_add_all(struct oci_keys *keys, const struct ui *ui, unsigned *faults, struct blobseal_error *err)
{
    struct adding adding = {keys, ui, faults};
    const struct blobseal_config *config;

    if (!config_get(&config, err))
        return false;
    blobseal_config_list(config, add_value, &adding);
    return true;
}

void oci_keys_close(struct oci_keys *keys)
{
    for (size_t i = 0; i < keys->num; i++)
        blobseal_kek_close(keys->list[i]);
    keys->num = 0;
}

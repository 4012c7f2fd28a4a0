/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether tools for container images would find the key provider. They ignore a file that is missing, and report later
 * that no key was wrapped or none fits.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "tools/blobseal/verbs.h"

#define VARIABLE "OCICRYPT_KEYPROVIDER_CONFIG"

/* What was found out. */
struct provider {
    char value[512];
    const char *hint; /* NULL: all is well */
};

static void warn_of(struct provider *p, const char *file, const char *what, const char *hint)
{
    (void)snprintf(p->value, sizeof p->value, "%.300s %s", file, what);
    p->hint = hint;
}

/* Check what the file says about this program. */
static void check_entry(struct provider *p, const char *file, const json_t *config)
{
    const json_t *entry = json_object_get(json_object_get(config, "key-providers"), "blobseal");
    const json_t *cmd = json_object_get(entry, "cmd");
    const char *path = json_string_value(json_object_get(cmd, "path"));
    const char *verb = json_string_value(json_array_get(json_object_get(cmd, "args"), 0));
    if (path == NULL)
        warn_of(p, file, "has no command for the key provider blobseal",
                "the provider must have exactly this name: see man blobseal-keyprovider");
    else if (verb == NULL || strcmp(verb, "keyprovider") != 0)
        warn_of(p, file, "does not run the verb keyprovider", "\"args\" begins with \"keyprovider\"");
    else if (path[0] != '/' || access(path, X_OK) != 0)
        warn_of(p, file, "names a program that cannot be run", "\"path\" is the absolute path of blobseal");
    else
        (void)snprintf(p->value, sizeof p->value, "%.300s", file);
}

static bool find_key(void *ctx, const struct blobseal_config_value *value)
{
    bool *found = ctx;

    *found = *found || strncmp(value->member, "oci.keys[", strlen("oci.keys[")) == 0;
    return true;
}

/* Check that the configuration allows a key. */
static void check_keys(struct provider *p)
{
    const struct blobseal_config *config;
    struct blobseal_error err;
    bool found = false;

    if (p->hint != NULL)
        return;
    if (!config_get(&config, &err)) {
        warn_of(p, err.text, "", "correct the configuration");
        return;
    }
    blobseal_config_list(config, find_key, &found);
    if (!found)
        warn_of(p, "the configuration", "allows no key for container images",
                "list names of keys in the member `keys` of `oci`");
}

void doctor_oci(blobseal_finding_fn fn, void *ctx)
{
    const char *file = getenv(VARIABLE);
    struct provider p = {0};
    struct blobseal_finding finding = {.name = "key provider", .level = BLOBSEAL_LEVEL_OK, .hint = ""};
    json_t *config;

    if (file == NULL || file[0] == '\0') {
        (void)snprintf(p.value, sizeof p.value, "not used: " VARIABLE " is not set");
    } else {
        config = json_load_file(file, JSON_REJECT_DUPLICATES, NULL);
        if (config == NULL)
            warn_of(&p, file, "is missing, or not JSON: tools for images ignore that silently",
                    "correct the file that " VARIABLE " names");
        else
            check_entry(&p, file, config);
        json_decref(config);
        check_keys(&p);
    }
    blobseal_make_printable(p.value);
    finding.value = p.value;
    if (p.hint != NULL) {
        finding.level = BLOBSEAL_LEVEL_WARNING;
        finding.hint = p.hint;
    }
    fn(ctx, &finding);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Building a configuration with calls. Values are checked by the same rules as those of files. */
#include <stdio.h>
#include <string.h>

#include "core/config/config.h"

static const struct bs_config_origin by_call = {NULL, 0};

static enum blobseal_status no_memory(struct blobseal_error *err)
{
    return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "make a configuration: no memory");
}

static enum blobseal_status newer(const char *what, struct blobseal_error *err)
{
    return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "%s without its size, or newer than the library", what);
}

/* Check a text, of which @entry is part: "identities.ci.", or "". */
static enum blobseal_status check(const char *entry, const struct bs_config_rule *rule, const char *text,
                                  struct blobseal_error *err)
{
    if (bs_config_accepts(rule, text))
        return BLOBSEAL_OK;
    return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the configuration: %s%s %s", entry, rule->name, rule->expected);
}

enum blobseal_status blobseal_config_add_kek(struct blobseal_config *config, const char *name, const char *ref,
                                             struct blobseal_error *err)
{
    enum blobseal_status st = bs_config_may_change(config, err);
    struct bs_config_kek kek = {0};

    if (st == BLOBSEAL_OK)
        st = check("keks: ", &bs_config_name_rule, name, err);
    if (st == BLOBSEAL_OK)
        st = check("keks: ", &bs_config_ref_rule, ref, err);
    if (st == BLOBSEAL_OK && strstr(ref, "pin-value") != NULL)
        st = blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the configuration: keks: the key has a pin-value");
    if (st != BLOBSEAL_OK)
        return st;
    kek.name = bs_config_copy(config, name);
    kek.ref = bs_config_copy(config, ref);
    if (kek.name == NULL || kek.ref == NULL)
        return no_memory(err);
    return bs_config_put_kek(config, &kek, err);
}

static enum blobseal_status add_item(struct blobseal_config *config, enum bs_config_setting setting, const char *item,
                                     struct blobseal_error *err)
{
    enum blobseal_status st = bs_config_may_change(config, err);

    if (st == BLOBSEAL_OK)
        st = check("", &bs_config_settings[setting], item, err);
    if (st == BLOBSEAL_OK && !bs_config_list_has(config, setting, item))
        st = bs_config_put_item(config, setting, item, &by_call, err);
    return st;
}

enum blobseal_status blobseal_config_add_module(struct blobseal_config *config, const char *path,
                                                struct blobseal_error *err)
{
    return add_item(config, BS_CONFIG_MODULES, path, err);
}

enum blobseal_status blobseal_config_add_oci_key(struct blobseal_config *config, const char *name,
                                                 struct blobseal_error *err)
{
    return add_item(config, BS_CONFIG_OCI_KEYS, name, err);
}

/* ---- Entries ----------------------------------------------------------------------------------------------------- */

/* Check the texts of an entry, and replace each with a copy. */
static enum blobseal_status take_texts(struct blobseal_config *config, void *entry, const char *what,
                                       const struct bs_config_rule *rules, size_t num, struct blobseal_error *err)
{
    for (size_t i = 0; i < num; i++) {
        const struct bs_config_rule *rule = &rules[i];
        const char *text = rule->kind == BS_CONFIG_IS_TEXT ? bs_config_member_text(entry, rule) : NULL;
        enum blobseal_status st;

        if (text == NULL)
            continue;
        st = check(what, rule, text, err);
        if (st != BLOBSEAL_OK)
            return st;
        text = bs_config_copy(config, text);
        if (text == NULL)
            return no_memory(err);
        memcpy((uint8_t *)entry + rule->offset, &text, sizeof text);
    }
    return BLOBSEAL_OK;
}

/* Replace the command of an identity, which has been checked, with a copy. */
static enum blobseal_status take_command(struct blobseal_config *config, struct blobseal_config_identity *i,
                                         struct blobseal_error *err)
{
    const char **copy;

    if (i->command == NULL || i->num_command == 0)
        return BLOBSEAL_OK;
    copy = bs_config_alloc(config, (i->num_command + 1) * sizeof *copy);
    for (size_t n = 0; n < i->num_command && copy != NULL; n++) {
        copy[n] = bs_config_copy(config, i->command[n]);
        if (copy[n] == NULL)
            return no_memory(err);
    }
    i->command = copy;
    return copy != NULL ? BLOBSEAL_OK : no_memory(err);
}

enum blobseal_status blobseal_config_add_identity(struct blobseal_config *config,
                                                  const struct blobseal_config_identity *identity,
                                                  struct blobseal_error *err)
{
    struct bs_config_identity own = {.is.size = sizeof own.is};
    enum blobseal_status st = bs_config_may_change(config, err);
    const struct bs_config_rule *member;
    char what[BLOBSEAL_CONFIG_MAX_NAME + 16];
    const char *fault;

    if (st != BLOBSEAL_OK)
        return st;
    if (!blobseal_struct_import(&own.is, sizeof own.is, identity))
        return newer("an identity", err);
    st = check("identities: ", &bs_config_name_rule, own.is.name != NULL ? own.is.name : "", err);
    if (st != BLOBSEAL_OK)
        return st;
    (void)snprintf(what, sizeof what, "identities.%s.", own.is.name);
    if (own.is.num_command > BLOBSEAL_CONFIG_MAX_LIST || (own.is.num_command > 0) != (own.is.command != NULL))
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the configuration: %scommand has no words, or too many", what);
    fault = bs_config_identity_fault(&own.is, &member);
    if (fault != NULL)
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the configuration: %s%s %s", what,
                             member != NULL ? member->name : "type", fault);
    own.is.name = bs_config_copy(config, own.is.name);
    if (own.is.name == NULL)
        return no_memory(err);
    st = take_texts(config, &own.is, what, bs_config_identity_rules, BS_CONFIG_NUM_IDENTITY_RULES, err);
    if (st == BLOBSEAL_OK)
        st = take_command(config, &own.is, err);
    return st == BLOBSEAL_OK ? bs_config_put_identity(config, &own, err) : st;
}

enum blobseal_status blobseal_config_add_vault(struct blobseal_config *config,
                                               const struct blobseal_config_vault *vault, struct blobseal_error *err)
{
    struct bs_config_vault own = {.is.size = sizeof own.is};
    enum blobseal_status st = bs_config_may_change(config, err);

    if (st != BLOBSEAL_OK)
        return st;
    if (!blobseal_struct_import(&own.is, sizeof own.is, vault))
        return newer("a vault", err);
    st = check("vaults: ", &bs_config_vault_rules[0], own.is.host != NULL ? own.is.host : "", err);
    if (st == BLOBSEAL_OK && (unsigned)own.is.wrap > BLOBSEAL_VAULT_WRAP_REMOTE)
        st = blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the configuration: vaults: wrap is not valid");
    if (st == BLOBSEAL_OK)
        st = take_texts(config, &own.is, "vaults: ", bs_config_vault_rules, BS_CONFIG_NUM_VAULT_RULES, err);
    return st == BLOBSEAL_OK ? bs_config_put_vault(config, &own, err) : st;
}

/* ---- Single values ----------------------------------------------------------------------------------------------- */

static enum blobseal_status set_text(struct blobseal_config *config, enum bs_config_setting setting, const char *text,
                                     struct blobseal_error *err)
{
    struct bs_config_value *v = &config->settings[setting];
    const char *copy;

    if (text == NULL)
        return BLOBSEAL_OK;
    copy = bs_config_copy(config, text);
    if (copy == NULL)
        return no_memory(err);
    *v = (struct bs_config_value){.set = true, .text = copy};
    return BLOBSEAL_OK;
}

static void set_number(struct blobseal_config *config, enum bs_config_setting setting, uint64_t number)
{
    config->settings[setting] = (struct bs_config_value){.set = true, .number = number};
}

struct seconds {
    enum bs_config_setting setting;
    uint32_t value;
};

/* Check everything before anything is set. */
static enum blobseal_status check_settings(const struct blobseal_config_settings *s, const struct seconds *seconds,
                                           size_t num, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    if (s->identity != NULL)
        st = check("", &bs_config_settings[BS_CONFIG_IDENTITY], s->identity, err);
    if (st == BLOBSEAL_OK && s->sets_dir != NULL)
        st = check("", &bs_config_settings[BS_CONFIG_SETS_DIR], s->sets_dir, err);
    if (st == BLOBSEAL_OK && s->state_dir != NULL)
        st = check("", &bs_config_settings[BS_CONFIG_STATE_DIR], s->state_dir, err);
    if (st == BLOBSEAL_OK && s->audit_file != NULL)
        st = check("", &bs_config_settings[BS_CONFIG_AUDIT_FILE], s->audit_file, err);
    if (st == BLOBSEAL_OK &&
        ((unsigned)s->audit > BLOBSEAL_AUDIT_OPTIONAL || (unsigned)s->oaep > BLOBSEAL_CONFIG_OAEP_SHA1))
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0, "settings with an unknown value");
    for (size_t i = 0; i < num && st == BLOBSEAL_OK; i++) {
        const struct bs_config_rule *rule = &bs_config_settings[seconds[i].setting];
        uint64_t value = seconds[i].value == BLOBSEAL_CONFIG_ZERO ? 0 : seconds[i].value;

        if (seconds[i].value != 0 && (value < rule->min || value > rule->max))
            st = blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the configuration: %s %s", rule->name, rule->expected);
    }
    return st;
}

enum blobseal_status blobseal_config_set(struct blobseal_config *config,
                                         const struct blobseal_config_settings *settings, struct blobseal_error *err)
{
    struct blobseal_config_settings s = {.size = sizeof s};
    enum blobseal_status st = bs_config_may_change(config, err);

    if (st != BLOBSEAL_OK)
        return st;
    if (!blobseal_struct_import(&s, sizeof s, settings))
        return newer("settings", err);
    const struct seconds seconds[] = {{BS_CONFIG_POLL_INTERVAL, s.poll_interval_s},
                                      {BS_CONFIG_REVOKE_WITHIN, s.revoke_within_s},
                                      {BS_CONFIG_REQUEST_TIMEOUT, s.request_timeout_s},
                                      {BS_CONFIG_DEADLINE, s.deadline_s}};

    st = check_settings(&s, seconds, BS_COUNT(seconds), err);
    if (st == BLOBSEAL_OK)
        st = set_text(config, BS_CONFIG_IDENTITY, s.identity, err);
    if (st == BLOBSEAL_OK)
        st = set_text(config, BS_CONFIG_SETS_DIR, s.sets_dir, err);
    if (st == BLOBSEAL_OK)
        st = set_text(config, BS_CONFIG_STATE_DIR, s.state_dir, err);
    if (st == BLOBSEAL_OK)
        st = set_text(config, BS_CONFIG_AUDIT_FILE, s.audit_file, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (s.audit != BLOBSEAL_AUDIT_UNCHANGED)
        set_number(config, BS_CONFIG_AUDIT_REQUIRED, s.audit == BLOBSEAL_AUDIT_REQUIRED ? 1 : 0);
    if (s.oaep != BLOBSEAL_CONFIG_OAEP_UNCHANGED)
        set_number(config, BS_CONFIG_OAEP,
                   s.oaep == BLOBSEAL_CONFIG_OAEP_SHA1 ? BLOBSEAL_OAEP_SHA1 : BLOBSEAL_OAEP_SHA256);
    for (size_t i = 0; i < BS_COUNT(seconds); i++)
        if (seconds[i].value != 0)
            set_number(config, seconds[i].setting, seconds[i].value == BLOBSEAL_CONFIG_ZERO ? 0 : seconds[i].value);
    return BLOBSEAL_OK;
}

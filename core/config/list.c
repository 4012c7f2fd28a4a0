/* SPDX-License-Identifier: Apache-2.0 */
/* Reporting all values of a configuration, and checking that its names refer to something. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/config/config.h"

/* ---- Names ------------------------------------------------------------------------------------------------------- */

static enum blobseal_status missing(const struct bs_config_origin *from, const char *member, const char *name,
                                    const char *where, struct blobseal_error *err)
{
    char place[160];

    (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "%s: %s names \"%.64s\", which is not in %s",
                        bs_config_place(place, from), member, name, where);
    blobseal_hint(err, "correct the name, or define it in %s", where);
    return BLOBSEAL_E_CONFIG;
}

enum blobseal_status blobseal_config_check(const struct blobseal_config *c, struct blobseal_error *err)
{
    const struct bs_config_value *identity = &c->settings[BS_CONFIG_IDENTITY], *oci = &c->settings[BS_CONFIG_OCI_KEYS];

    if (identity->set && bs_config_identity(c, identity->text) == NULL)
        return missing(&identity->from, "identity", identity->text, "\"identities\"", err);
    for (size_t i = 0; i < c->num_vaults; i++) {
        const struct bs_config_vault *v = &c->vaults[i];

        if (v->is.identity != NULL && bs_config_identity(c, v->is.identity) == NULL)
            return missing(&v->from, "vaults.identity", v->is.identity, "\"identities\"", err);
    }
    for (size_t i = 0; i < oci->num; i++) {
        const struct bs_config_origin from = {oci->from.file, oci->lines[i]};

        if (bs_config_kek(c, oci->items[i]) == NULL)
            return missing(&from, "oci.keys", oci->items[i], "\"keks\"", err);
    }
    return BLOBSEAL_OK;
}

/* ---- Values ------------------------------------------------------------------------------------------------------ */

#define MAX_ENTRY (BLOBSEAL_CONFIG_MAX_NAME + 300) /* "vaults[HOST]"         */
#define MAX_PATH  (MAX_ENTRY + 40)                 /* "vaults[HOST].ca_file" */

struct listing {
    blobseal_config_value_fn fn;
    void *ctx;
    bool stop;
};

static void report(struct listing *l, const char *member, const char *text, bool is_text,
                   const struct bs_config_origin *from)
{
    static const struct bs_config_origin by_default = {NULL, 0};
    const struct blobseal_config_value v = {
        .member = member,
        .text = text,
        .is_text = is_text,
        .file = from != NULL ? from->file : by_default.file,
        .line = from != NULL ? from->line : 0,
        .is_default = from == NULL,
    };

    if (!l->stop)
        l->stop = !l->fn(l->ctx, &v);
}

static void report_list(struct listing *l, const char *member, const char *const *items, size_t num,
                        const struct bs_config_origin *from, const size_t *lines)
{
    for (size_t i = 0; i < num; i++) {
        const struct bs_config_origin origin = {from->file, lines != NULL ? lines[i] : from->line};
        char name[MAX_PATH + 24];

        (void)snprintf(name, sizeof name, "%s[%zu]", member, i);
        report(l, name, items[i], true, &origin);
    }
}

static void report_setting(struct listing *l, const struct bs_config_rule *rule, const struct bs_config_value *v)
{
    const struct bs_config_origin *from = v->set ? &v->from : NULL;
    uint64_t number = v->set ? v->number : rule->number;
    const char *text = v->set ? v->text : rule->text;
    char decimal[24];

    (void)snprintf(decimal, sizeof decimal, "%" PRIu64, number);
    if (rule->kind == BS_CONFIG_IS_LIST)
        report_list(l, rule->name, v->items, v->num, &v->from, v->lines);
    else if (rule->kind == BS_CONFIG_IS_NUMBER)
        report(l, rule->name, decimal, false, from);
    else if (rule->kind == BS_CONFIG_IS_FLAG)
        report(l, rule->name, number != 0 ? "true" : "false", false, from);
    else if (rule->kind == BS_CONFIG_IS_CHOICE)
        report(l, rule->name, rule->choices[number - rule->first], true, from);
    else if (text != NULL)
        report(l, rule->name, text, true, from);
}

/* An identity or a vault. */
struct entry {
    const void *at;
    const struct bs_config_rule *rules;
    size_t num_rules;
    const struct bs_config_origin *from;
    const size_t *lines;
    const struct blobseal_config_identity *identity; /* NULL: a vault */
};

static void report_entry(struct listing *l, const char *prefix, const struct entry *e)
{
    const struct bs_config_origin *from = e->from;
    const size_t *lines = e->lines;

    for (size_t i = 0; i < e->num_rules; i++) {
        const struct bs_config_origin origin = {from->file, lines[i] != 0 ? lines[i] : from->line};
        const struct bs_config_rule *rule = &e->rules[i];
        char name[MAX_PATH];
        unsigned choice;

        (void)snprintf(name, sizeof name, "%s.%s", prefix, rule->name);
        if (rule->kind == BS_CONFIG_IS_TEXT) {
            if (bs_config_member_text(e->at, rule) != NULL)
                report(l, name, bs_config_member_text(e->at, rule), true, &origin);
        } else if (rule->kind == BS_CONFIG_IS_CHOICE) {
            memcpy(&choice, (const uint8_t *)e->at + rule->offset, sizeof choice);
            report(l, name, rule->choices[choice - rule->first], true,
                   lines[i] == 0 && from->file != NULL ? NULL : &origin);
        } else if (e->identity != NULL) {
            report_list(l, name, e->identity->command, e->identity->num_command, &origin, NULL);
        }
    }
}

void blobseal_config_list(const struct blobseal_config *c, blobseal_config_value_fn fn, void *ctx)
{
    struct listing l = {fn, ctx, false};
    char name[MAX_ENTRY];

    for (size_t i = 0; i < c->num_keks; i++) {
        (void)snprintf(name, sizeof name, "keks.%s", c->keks[i].name);
        report(&l, name, c->keks[i].ref, true, &c->keks[i].from);
    }
    for (size_t i = 0; i < c->num_identities; i++) {
        const struct bs_config_identity *e = &c->identities[i];

        (void)snprintf(name, sizeof name, "identities.%s", e->is.name);
        report_entry(&l, name,
                     &(struct entry){&e->is, bs_config_identity_rules, BS_CONFIG_NUM_IDENTITY_RULES, &e->from, e->lines,
                                     &e->is});
    }
    for (size_t i = 0; i < c->num_vaults; i++) {
        const struct bs_config_vault *e = &c->vaults[i];

        (void)snprintf(name, sizeof name, "vaults[%s]", e->is.host);
        report_entry(
            &l, name,
            &(struct entry){&e->is, bs_config_vault_rules, BS_CONFIG_NUM_VAULT_RULES, &e->from, e->lines, NULL});
    }
    for (size_t i = 0; i < BS_CONFIG_NUM_SETTINGS; i++)
        report_setting(&l, &bs_config_settings[i], &c->settings[i]);
}

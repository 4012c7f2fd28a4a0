/* SPDX-License-Identifier: Apache-2.0 */
/* What a set is like, as text and as JSON, with the names that users of a registry's encryption settings know. */
#include <blobseal_set.h>

#include "tools/blobseal/verbs.h"

/* Write a set id in base64url. */
static const char *id_text(char buf[BLOBSEAL_BASE64URL_LEN(BLOBSEAL_SET_ID_LEN) + 1], const uint8_t *id)
{
    blobseal_base64url_encode(buf, id, BLOBSEAL_SET_ID_LEN);
    buf[BLOBSEAL_BASE64URL_LEN(BLOBSEAL_SET_ID_LEN)] = '\0';
    return buf;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

/* Say what was done to the object, by `set rotate` or by a check. */
static const char *what_changed(const struct blobseal_set_change *change, bool by_hand)
{
    if (change->rotated && by_hand)
        return change->new_key ? "rewrapped for the new KEK, with a new key" : "rewrapped for the new KEK";
    if (change->rotated)
        return change->new_key ? "rewrapped for the newest KEK, with a new key" : "rewrapped for the newest KEK";
    if (change->new_key)
        return "new key";
    if (change->changed)
        return "changed";
    return by_hand ? "the definition is changed, the object needs no change" : "nothing to do";
}

bool set_print_change(const struct ui *ui, const char *name, const struct blobseal_set_change *change, bool by_hand,
                      struct blobseal_error *err)
{
    struct json j;

    if (ui->json) {
        json_start(&j, "blobseal.set/1");
        json_text(&j, "name", name);
        json_number(&j, "generation", change->generation);
        json_bool(&j, "changed", change->changed);
        json_bool(&j, "rotated", change->rotated);
        json_bool(&j, "newKey", change->new_key);
        return json_end(&j, err);
    }
    if (!ui->quiet)
        printf("%s: %s, generation %llu\n", name, what_changed(change, by_hand),
               (unsigned long long)change->generation);
    return stdout_flush(err);
}

static bool print_json(const struct blobseal_set_info *s, struct blobseal_error *err)
{
    char id[32];
    struct json j;

    json_start(&j, "blobseal.set/1");
    json_text(&j, "name", s->name);
    json_text(&j, "id", id_text(id, s->id));
    json_number(&j, "generation", s->generation);
    json_text(&j, "status", "enabled"); /* what a set encrypts cannot be turned off */
    json_nested(&j, "keyVaultProperties");
    json_text(&j, "keyIdentifier", s->kek);
    json_text(&j, "versionedKeyIdentifier", s->kid);
    json_text(&j, "identity", s->identity);
    json_bool(&j, "keyRotationEnabled", s->automatic);
    json_time(&j, "lastKeyRotationTimestamp", s->last_rotation);
    json_nested_end(&j);
    json_text(&j, "state", blobseal_set_state_name(s->state));
    json_time(&j, "lastCheck", s->last_check);
    json_text(&j, "lastError", s->state != BLOBSEAL_SET_ACTIVE ? s->error.text : s->last_error);
    json_text(&j, "wrap", s->wrap == BLOBSEAL_SET_WRAP_DIRECT ? "direct" : "hierarchy");
    json_number(&j, "keys", s->num_keys);
    json_text(&j, "newestKey", s->newest);
    json_list(&j, "recovery");
    for (size_t i = 0; i < s->num_recovery; i++) {
        json_item(&j);
        json_text(&j, "kid", s->recovery[i]);
        json_item_end(&j);
    }
    json_list_end(&j);
    json_time(&j, "validUntil", s->valid_until / 1000);
    return json_end(&j, err);
}

/* ---- Text -------------------------------------------------------------------------------------------------------- */

static void line(const char *name, const char *value)
{
    char text[1024];

    printf("  %-25s %s\n", name, value != NULL ? printable(text, sizeof text, value) : "-");
}

static void time_line(const char *name, uint64_t seconds)
{
    char text[32];

    line(name, seconds != 0 ? utc_time(text, seconds) : NULL);
}

static void print_text(const struct blobseal_set_info *s)
{
    char id[32], text[256];

    printf("%s\n", s->name);
    line("status", "enabled");
    line("state", blobseal_set_state_name(s->state));
    line("keyIdentifier", s->kek);
    line("versionedKeyIdentifier", s->kid);
    line("identity", s->identity);
    line("keyRotationEnabled", s->automatic ? "true" : "false");
    time_line("lastKeyRotationTimestamp", s->last_rotation);
    time_line("lastCheck", s->last_check);
    line("lastError", s->state != BLOBSEAL_SET_ACTIVE ? s->error.text : s->last_error);
    line("id", id_text(id, s->id));
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)s->generation);
    line("generation", text);
    line("wrap", s->wrap == BLOBSEAL_SET_WRAP_DIRECT ? "direct" : "hierarchy");
    (void)snprintf(text, sizeof text, "%zu, the newest %.100s", s->num_keys, s->newest != NULL ? s->newest : "-");
    line("keys", text);
    if (s->num_recovery == 0)
        line("recovery", NULL);
    for (size_t i = 0; i < s->num_recovery; i++)
        line("recovery", s->recovery[i]);
    time_line("validUntil", s->valid_until / 1000);
}

static void warn_notes(const struct ui *ui, const struct blobseal_set_info *s)
{
    if ((s->notes & BLOBSEAL_SET_NOTE_NO_RECOVERY) != 0)
        warn(ui, "the set %s has no recovery key: if its KEK is lost, so are all of its blobs", s->name);
    if ((s->notes & BLOBSEAL_SET_NOTE_PURGEABLE) != 0)
        warn(ui,
             "the vault of the KEK of the set %s has no purge protection: a deleted key can be destroyed at once, and "
             "all blobs of the set with it",
             s->name);
    if ((s->notes & BLOBSEAL_SET_NOTE_NO_STATE) != 0)
        warn(ui,
             "the set %s keeps no state here, so that an older object is not noticed: set state_dir, or "
             "min_generation in the definition",
             s->name);
    if ((s->notes & BLOBSEAL_SET_NOTE_BACKUP) != 0)
        warn(ui, "the set %s was read from its backup: its file is damaged or missing", s->name);
    if ((s->notes & BLOBSEAL_SET_NOTE_IMPORTED) != 0)
        warn(ui, "the set %s was imported: it makes new keys only after blobseal set rekey %s", s->name, s->name);
    if ((s->notes & BLOBSEAL_SET_NOTE_STRANGER) != 0)
        warn(ui,
             "the object of the set %s has a recipient that the definition does not know: the next change of the KEK "
             "or of the keys names it",
             s->name);
}

bool set_print(const struct ui *ui, struct blobseal_set *set, struct blobseal_error *err)
{
    struct blobseal_set_info *info;
    bool ok;

    if (blobseal_set_info_get(set, NULL, &info, err) != BLOBSEAL_OK)
        return false;
    if (ui->json)
        ok = print_json(info, err);
    else {
        print_text(info);
        ok = stdout_flush(err);
    }
    if (ok && !ui->quiet)
        warn_notes(ui, info);
    blobseal_set_info_free(info);
    return ok;
}

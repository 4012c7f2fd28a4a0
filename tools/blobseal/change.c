/* SPDX-License-Identifier: Apache-2.0 */
/* What `recipients` and `rewrap` share: their options, and the report of each file that is changed. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tools/blobseal/verbs.h"

/* ---- Options ----------------------------------------------------------------------------------------------------- */

int change_remove(struct change_request *r, const char *kid)
{
    if (r->num_kids + r->kid_keys.num == COUNT(r->kids))
        return usage_error(r->ui, "remove recipients: more than %zu key ids: remove the others in another run",
                           COUNT(r->kids));
    if (names_a_key(kid)) {
        r->last = &r->kid_keys;
        return keys_add(r->ui, &r->kid_keys, kid);
    }
    r->kids[r->num_kids++] = kid;
    return EXIT_OK;
}

static int set_oaep(struct change_request *r, const char *arg)
{
    enum blobseal_oaep oaep;
    int code = oaep_option(r->ui, arg, &oaep);

    if (code != EXIT_OK)
        return code;
    if (r->last == NULL)
        return usage_error(r->ui, "--oaep belongs after the -k or --to of its key");
    r->last->args[r->last->num - 1].oaep = oaep;
    return EXIT_OK;
}

static int take_key(struct change_request *r, struct keys *keys, const char *arg)
{
    int code;

    r->last = keys;
    (void)keys_option(r->ui, keys, 'k', arg, &code);
    return code;
}

int change_option(struct change_request *r, int option, const char *arg)
{
    struct keys none = {0};
    int code;

    switch (option) {
    case 'k':
        return take_key(r, &r->keys, arg);
    case OPT_TO:
        return take_key(r, &r->to, arg);
    case OPT_PASSPHRASE_FILE:
    case OPT_PASSPHRASE_FD:
        (void)keys_option(r->ui, r->last != NULL ? r->last : &none, option, arg, &code);
        return code;
    case OPT_OAEP:
        return set_oaep(r, arg);
    case OPT_DROP:
        return change_remove(r, arg);
    case OPT_MIN_GENERATION:
        return min_generation_option(r->ui, arg, &r->change.min_generation);
    case OPT_SLOT_SIZE:
        r->rewrite = true;
        return slot_size_option(r->ui, arg, &r->slot_capacity);
    case OPT_REWRITE:
        r->rewrite = true;
        return EXIT_OK;
    case OPT_NO_LOCK:
        r->no_lock = true;
        return EXIT_OK;
    case 'n':
        r->change.dry_run = true;
        return EXIT_OK;
    default:
        return EXIT_OK;
    }
}

/* ---- Reporting --------------------------------------------------------------------------------------------------- */

static const char *action_name(enum blobseal_action action)
{
    switch (action) {
    case BLOBSEAL_ACTION_ADD:
        return "add";
    case BLOBSEAL_ACTION_REMOVE:
        return "remove";
    default:
        return "keep";
    }
}

static bool print_json(const char *name, const struct change_request *r, const struct blobseal_change_result *result,
                       struct blobseal_error *err)
{
    struct json j;

    json_start(&j, "blobseal.change/1");
    json_text(&j, "file", name);
    json_bool(&j, "changed", result->changed);
    json_bool(&j, "dry_run", r->change.dry_run);
    json_bool(&j, "finished", result->finished);
    json_bool(&j, "fresh_key", result->fresh_key);
    json_bool(&j, "verified", result->verified);
    json_number(&j, "generation", result->generation);
    digest_json_envelope(&j, r->change.dry_run ? NULL : result->envelope_sha256);
    json_list(&j, "recipients");
    for (size_t i = 0; i < result->num_steps; i++) {
        json_item(&j);
        json_text(&j, "action", action_name(result->steps[i].action));
        json_text(&j, "alg", result->steps[i].recipient.alg);
        json_text(&j, "kid", result->steps[i].recipient.kid);
        json_item_end(&j);
    }
    json_list_end(&j);
    return json_end(&j, err);
}

/* Print one line for people, and with --dry-run the plan. */
static void print_text(const char *file, const struct change_request *r, const struct blobseal_change_result *result)
{
    char name[320], kid[SHORT_KID];
    size_t counts[3] = {0};

    for (size_t i = 0; i < result->num_steps; i++)
        counts[result->steps[i].action]++;
    (void)printable(name, sizeof name, file);
    if (!result->changed && !result->finished)
        printf("%s: nothing to change, generation %llu%s\n", name, (unsigned long long)result->generation,
               result->verified ? "" : " (not verified: none of the keys opens it)");
    else
        printf("%s: %s%s, generation %llu: %zu added, %zu removed, %zu kept%s\n", name,
               r->change.dry_run ? "would be " : "", result->changed ? "changed" : "repaired",
               (unsigned long long)result->generation, counts[BLOBSEAL_ACTION_ADD], counts[BLOBSEAL_ACTION_REMOVE],
               counts[BLOBSEAL_ACTION_KEEP],
               result->changed && result->finished ? "; an earlier change was finished" : "");
    for (size_t i = 0; i < result->num_steps && r->change.dry_run; i++)
        printf("  %-6s  %-12s  %s\n", action_name(result->steps[i].action), result->steps[i].recipient.alg,
               short_kid(kid, result->steps[i].recipient.kid));
}

/* Warn of key ids to remove that no recipient has: removed before, or mistyped. */
static void warn_of_unknown_kids(const char *name, const struct change_request *r,
                                 const struct blobseal_change_result *result)
{
    for (size_t k = 0; k < r->num_kids; k++) {
        bool known = false;

        for (size_t i = 0; i < result->num_steps; i++)
            known = known || kid_matches(result->steps[i].recipient.kid, r->kids[k]);
        if (!known)
            warn(r->ui, "%s: no recipient has the key id %s", name, r->kids[k]);
    }
}

static bool report(const char *name, const struct change_request *r, const struct blobseal_change_result *result,
                   struct blobseal_error *err)
{
    if (!r->ui->quiet)
        warn_of_unknown_kids(name, r, result);
    if (r->ui->json)
        return print_json(name, r, result, err);
    if (!r->ui->quiet || r->change.dry_run)
        print_text(name, r, result);
    return stdout_flush(err);
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

/*
 * After an output got its name, output_commit() leaves signals blocked: unblock them when the change has been reported.
 */
static int change_file(void *ctx, const char *name)
{
    struct change_request *r = ctx;
    struct blobseal_change_result *result = NULL;
    struct blobseal_error err = {0};
    sigset_t before;
    bool ok;

    (void)sigprocmask(SIG_SETMASK, NULL, &before);
    ok = change_one_file(r, name, &result, &err);
    r->access_removed = r->access_removed || (ok && result->fresh_key && !r->change.dry_run);
    ok = ok && report(name, r, result, &err);
    blobseal_change_result_free(result);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return ok ? EXIT_OK : report_error(r->ui, &err);
}

/* Open all keys of the request. */
static bool open_keys(struct change_request *r, struct blobseal_error *err)
{
    if (!keys_open(&r->keys, BLOBSEAL_OAEP_SHA256, err) || !keys_open(&r->to, BLOBSEAL_OAEP_SHA256, err) ||
        !keys_add_ids(&r->kid_keys, r->kids, COUNT(r->kids), &r->num_kids, err))
        return false;
    if (r->change.replace && r->keys.num_keks > 1 && r->keys.from[0] == r->keys.from[1]) {
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "%s has several keys: which one is to be replaced is not clear",
                   r->keys.from[0]->ref);
        blobseal_hint(err, "name a file with the old key only first; files with several keys can follow with -k");
        return false;
    }
    r->change.add = r->to.keks;
    r->change.num_add = r->to.num_keks;
    r->change.remove = r->kids;
    r->change.num_remove = r->num_kids;
    return true;
}

/* Change the files, whose keys are open. */
static int change_all(struct change_request *r, char *const *paths, size_t num)
{
    if (!r->ui->quiet)
        keys_warn(r->ui, &r->to);
    return files_each(r->ui, paths, num, NULL, change_file, r);
}

int change_files(struct change_request *r, char *const *paths, size_t num)
{
    struct blobseal_error err = {0};
    int code;

    for (size_t i = 0; i < num; i++)
        if (strcmp(paths[i], "-") == 0)
            return usage_error(r->ui, "%s changes files, not streams", r->ui->verb);
    r->change.size = sizeof r->change;
    r->to.use = BLOBSEAL_USE_WRAP;
    if (open_keys(r, &err) && reads_add_keys(&r->reads, &r->keys, &err) && reads_add_keys(&r->reads, &r->to, &err) &&
        reads_add_keys(&r->reads, &r->kid_keys, &err))
        code = change_all(r, paths, num);
    else
        code = report_error(r->ui, &err);
    if (r->access_removed && !r->ui->quiet)
        warn(r->ui, "whoever has an old copy of a blob, or has opened it before, still has access to its content");
    keys_close(&r->keys);
    keys_close(&r->to);
    keys_close(&r->kid_keys);
    reads_free(&r->reads);
    return code;
}

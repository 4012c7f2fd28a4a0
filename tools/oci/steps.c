/* SPDX-License-Identifier: Apache-2.0 */
/* What a change of recipients consists of: who is added, removed or kept, and in how many layers. */
#include <string.h>

#include "tools/oci/oci.h"

static bool is_equal(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Return true if the first @num recipients of a layer include one like @r. */
static bool is_listed(const struct blobseal_oci_recipient *r, const struct blobseal_oci_recipients *recipients,
                      size_t num)
{
    for (size_t i = 0; i < num; i++) {
        const struct blobseal_oci_recipient *other = &recipients->list[i];

        if (is_equal(r->scheme, other->scheme) && is_equal(r->alg, other->alg) && is_equal(r->kid, other->kid))
            return true;
    }
    return false;
}

/* Count a layer in which @action was taken for a recipient. */
static bool add_step(json_t *steps, const char *action, const struct blobseal_oci_recipient *r)
{
    json_t *key =
        json_sprintf("%s\n%s\n%s\n%s", action, r->scheme, r->alg != NULL ? r->alg : "", r->kid != NULL ? r->kid : "");
    json_t *step = key != NULL ? json_object_get(steps, json_string_value(key)) : NULL;
    json_int_t layers = json_integer_value(json_object_get(step, "layers"));
    bool ok = key != NULL;

    if (ok && step == NULL) {
        step = json_pack("{s:s, s:s, s:s?, s:s?}", "action", action, "scheme", r->scheme, "alg", r->alg, "kid", r->kid);
        ok = json_object_set_new(steps, json_string_value(key), step) == 0;
    }
    ok = ok && json_object_set_new(step, "layers", json_integer(layers + 1)) == 0;
    json_decref(key);
    return ok;
}

bool oci_steps_add(json_t *steps, const struct blobseal_oci_recipients *before,
                   const struct blobseal_oci_annotations *list, struct blobseal_error *err)
{
    struct blobseal_oci_recipients *after = NULL;
    bool ok = true;

    if (blobseal_oci_recipients(list->list, list->num, &after, err) != BLOBSEAL_OK)
        return false;
    for (size_t i = 0; ok && i < after->num; i++)
        if (!is_listed(&after->list[i], after, i))
            ok = add_step(steps, is_listed(&after->list[i], before, before->num) ? "keep" : "add", &after->list[i]);
    for (size_t i = 0; ok && i < before->num; i++)
        if (!is_listed(&before->list[i], before, i) && !is_listed(&before->list[i], after, after->num))
            ok = add_step(steps, "remove", &before->list[i]);
    blobseal_oci_recipients_free(after);
    return ok || fail(err, BLOBSEAL_E_NOMEM, 0, "list the changes of a layer: no memory");
}

bool oci_steps_include(json_t *steps, const char *given)
{
    const char *key;
    json_t *step;

    json_object_foreach(steps, key, step)
    {
        const char *kid = oci_string(step, "kid");

        if (kid != NULL && kid_matches(kid, given))
            return true;
    }
    return false;
}

void oci_steps_print(json_t *steps, size_t all)
{
    const char *key;
    json_t *step;

    json_object_foreach(steps, key, step)
    {
        const char *alg = oci_string(step, "alg"), *kid = oci_string(step, "kid");
        json_int_t layers = json_integer_value(json_object_get(step, "layers"));
        char scheme[160], shown_alg[64], shown_kid[SHORT_KID], text[160];

        printf("  %-6s  %s  %-12s  %s", oci_string(step, "action"),
               printable(scheme, sizeof scheme, oci_string(step, "scheme")),
               alg != NULL ? printable(shown_alg, sizeof shown_alg, alg) : "-",
               kid != NULL ? short_kid(shown_kid, printable(text, sizeof text, kid)) : "(no key id)");
        if ((size_t)layers < all)
            printf("  (%lld of %zu layers)", (long long)layers, all);
        putchar('\n');
    }
}

json_t *oci_steps_list(json_t *steps)
{
    json_t *list = json_array(), *step;
    const char *key;

    json_object_foreach(steps, key, step)
    {
        if (json_array_append(list, step) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Adding, removing and replacing recipients: who can open the layer afterwards, and what is kept byte for byte. */
#include "tests/core/oci/keys.h"

#define NUM_KEYS 3

static struct blobseal_kek *public[NUM_KEYS], *private[NUM_KEYS];
static struct blobseal_oci_layer *layer;
static struct blobseal_error err;

static void begin(void)
{
    static const char *const names[NUM_KEYS] = {"", "2", "4096"};
    char name[32];

    for (size_t i = 0; i < NUM_KEYS; i++) {
        (void)snprintf(name, sizeof name, "pub%s.pem", names[i]);
        public[i] = vector_key(name);
        (void)snprintf(name, sizeof name, "priv%s.pem", names[i]);
        private[i] = vector_key(name);
    }
    layer = encrypted_layer();
}

static void end(void)
{
    for (size_t i = 0; i < NUM_KEYS; i++) {
        blobseal_kek_close(public[i]);
        blobseal_kek_close(private[i]);
    }
    blobseal_oci_layer_free(layer);
}

SUITE_WITH(change, begin, end);

static struct blobseal_oci_annotations *wrap(size_t num, bool provider)
{
    const struct blobseal_oci_wrap_options o = {.size = sizeof o, .provider = provider};
    struct blobseal_oci_annotations *list;

    cr_assert_eq(blobseal_oci_wrap(layer, public, num, &o, &list, &err), BLOBSEAL_OK, "%s", err.text);
    return list;
}

static bool opens(const struct blobseal_oci_annotations *list, size_t key)
{
    struct blobseal_oci_layer *again;
    enum blobseal_status st = blobseal_oci_unwrap(&again, list->list, list->num, &private[key], 1, NULL, &err);

    cr_assert(st == BLOBSEAL_OK || st == BLOBSEAL_E_NO_KEY, "%s", err.text);
    cr_assert(st != BLOBSEAL_OK || same_keys(layer, again));
    blobseal_oci_layer_free(again);
    return st == BLOBSEAL_OK;
}

#define CHANGE(...) (&(const struct blobseal_oci_change){.size = sizeof(struct blobseal_oci_change), __VA_ARGS__})

/* Apply a change with the first private key and all public ones. Releases @list. */
static struct blobseal_oci_annotations *apply(struct blobseal_oci_annotations *list,
                                              const struct blobseal_oci_change *change,
                                              struct blobseal_oci_change_result *result)
{
    struct blobseal_kek *keys[] = {private[0], public[1], public[2]};
    struct blobseal_oci_annotations *changed;

    *result = (struct blobseal_oci_change_result){.size = sizeof *result};
    cr_assert_eq(blobseal_oci_change(list->list, list->num, keys, 3, change, &changed, result, &err), BLOBSEAL_OK, "%s",
                 err.text);
    blobseal_oci_annotations_free(list);
    return changed;
}

#define CHECK_RESULT(r, c, a, d, k)                                                                                    \
    cr_assert((r).changed == (c) && (r).added == (a) && (r).removed == (d) && (r).kept == (k), "%d %zu %zu %zu",       \
              (r).changed, (r).added, (r).removed, (r).kept)

Test(change, adding_keeps_what_there_is)
{
    struct blobseal_oci_annotations *list = wrap(1, false);
    char *before = strdup(annotation(list, BS_OCI_KEYS_PREFIX "jwe")), *after;
    struct blobseal_oci_change_result r;

    list = apply(list, CHANGE(.to = &public[1], .num_to = 1), &r);
    CHECK_RESULT(r, true, 1, 0, 1);
    cr_assert(opens(list, 0) && opens(list, 1) && !opens(list, 2));
    after = strdup(annotation(list, BS_OCI_KEYS_PREFIX "jwe"));
    cr_assert_eq(strncmp(after, before, strlen(before)), 0);
    cr_assert_eq(after[strlen(before)], ',');
    list = apply(list, CHANGE(.to = &public[1], .num_to = 1), &r);
    CHECK_RESULT(r, false, 0, 0, 2);
    cr_assert_str_eq(annotation(list, BS_OCI_KEYS_PREFIX "jwe"), after);
    free(before);
    free(after);
    blobseal_oci_annotations_free(list);
}

Test(change, removing_leaves_the_others)
{
    const char *kid = blobseal_kek_kid(public[1]);
    struct blobseal_oci_annotations *list = wrap(3, true);
    struct blobseal_oci_change_result r;

    list = apply(list, CHANGE(.remove = &kid, .num_remove = 1), &r);
    CHECK_RESULT(r, true, 0, 1, 2);
    cr_assert(opens(list, 0) && !opens(list, 1) && opens(list, 2));
    list = apply(list, CHANGE(.remove = &kid, .num_remove = 1), &r);
    CHECK_RESULT(r, false, 0, 0, 2);
    blobseal_oci_annotations_free(list);
}

Test(change, removing_needs_the_keys_of_those_who_stay)
{
    const char *kids[] = {blobseal_kek_kid(public[1]), blobseal_kek_kid(public[2]), blobseal_kek_kid(public[0])};
    struct blobseal_oci_annotations *list = wrap(3, false), *changed;

    cr_assert_eq(blobseal_oci_change(list->list, list->num, &private[0], 1, CHANGE(.remove = kids, .num_remove = 1),
                                     &changed, NULL, &err),
                 BLOBSEAL_E_POLICY);
    cr_assert_eq(changed, NULL);
    cr_assert_eq(err.advice, BLOBSEAL_ADVICE_PUBLIC_KEY);
    cr_assert_str_eq(err.subject, kids[1]);
    cr_assert_eq(blobseal_oci_change(list->list, list->num, &private[0], 1, CHANGE(.remove = kids, .num_remove = 3),
                                     &changed, NULL, &err),
                 BLOBSEAL_E_POLICY);
    cr_assert(strstr(err.text, "nobody") != NULL, "%s", err.text);
    blobseal_oci_annotations_free(list);
}

Test(change, replacing_leaves_exactly_the_new_recipients)
{
    struct blobseal_oci_annotations *list = wrap(2, true);
    struct blobseal_oci_change_result r;

    list = apply(list, CHANGE(.replace = true, .to = &public[2], .num_to = 1), &r);
    CHECK_RESULT(r, true, 1, 2, 0);
    cr_assert(!opens(list, 0) && !opens(list, 1) && opens(list, 2));
    blobseal_oci_annotations_free(list);
    list = apply(wrap(2, false), CHANGE(.replace = true, .to = public, .num_to = 2), &r);
    CHECK_RESULT(r, false, 0, 0, 2);
    list = apply(list, CHANGE(.replace = true, .provider = true, .to = public, .num_to = 2), &r);
    CHECK_RESULT(r, true, 0, 0, 2);
    blobseal_oci_annotations_free(list);
}

/* ---- Layers of stock tools, whose recipients have no names ------------------------------------------------------- */

Test(change, recipients_without_a_name_can_only_be_replaced)
{
    const char *kid = blobseal_kek_kid(public[1]);
    json_t *file = vec_json("ocicrypt/jwe-multi-recipient.json");
    struct annotations a = annotations_of(json_object_get(file, "layer_descriptor"));
    struct blobseal_oci_change_result r = {.size = sizeof r};
    struct blobseal_oci_annotations *list;

    cr_assert_eq(
        blobseal_oci_change(a.list, a.num, private, 3, CHANGE(.remove = &kid, .num_remove = 1), &list, &r, &err),
        BLOBSEAL_E_POLICY);
    cr_assert(strstr(err.hint, "rewrap") != NULL, "%s", err.hint);
    cr_assert_eq(blobseal_oci_change(a.list, a.num, private, 3, CHANGE(.to = &public[2], .num_to = 1), &list, &r, &err),
                 BLOBSEAL_OK, "%s", err.text);
    CHECK_RESULT(r, true, 1, 0, 3);
    blobseal_oci_annotations_free(list);
    cr_assert_eq(blobseal_oci_change(a.list, a.num, private, 3, CHANGE(.replace = true, .to = &public[2], .num_to = 1),
                                     &list, &r, &err),
                 BLOBSEAL_OK, "%s", err.text);
    CHECK_RESULT(r, true, 1, 3, 0);
    blobseal_oci_annotations_free(list);
    json_decref(file);
}

Test(change, a_layer_that_no_key_opens_is_not_changed)
{
    struct blobseal_oci_annotations *list = wrap(1, false), *changed;

    cr_assert_eq(blobseal_oci_change(list->list, list->num, &private[1], 1, CHANGE(.to = &public[1], .num_to = 1),
                                     &changed, NULL, &err),
                 BLOBSEAL_E_NO_KEY);
    cr_assert_eq(changed, NULL);
    blobseal_oci_annotations_free(list);
}

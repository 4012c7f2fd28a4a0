/* SPDX-License-Identifier: Apache-2.0 */
/* Changing recipients that are versions of one key, as keys in a vault have them. */
#include <stdio.h>

#include "tests/support/changes.h"
#include "tests/support/suite.h"

SUITE(change_versions);

/* Seal for two versions of a key, and for another key. */
static void seal_for_versions(struct sealed *s, struct blobseal_source *source, struct blobseal_memory *memory)
{
    struct fake_kek v1 = {.kid = "key/1", .twist = 9}, v2 = {.kid = "key/2", .twist = 9}, other = {.kid = "other"};
    struct blobseal_kek *keks[] = {fake_kek_open(&v1), fake_kek_open(&v2), fake_kek_open(&other)};
    struct blobseal_error err;

    cr_assert_eq(seal_bytes(s, (const uint8_t *)"data", 4, keks, COUNT(keks), NULL, &err), BLOBSEAL_OK, "%s", err.text);
    blobseal_source_memory(source, memory, s->data, s->len);
    for (size_t i = 0; i < COUNT(keks); i++)
        blobseal_kek_close(keks[i]);
}

/* Return "action kid" of each step, separated by commas. */
static const char *steps_of(const struct blobseal_change_result *r)
{
    static const char *const actions[] = {"keep", "add", "remove"};
    static char text[200];
    int len = 0;

    text[0] = '\0';
    for (size_t i = 0; r != NULL && i < r->num_steps; i++)
        len += snprintf(text + len, sizeof text - (size_t)len, "%s%s %s", i > 0 ? ", " : "",
                        actions[r->steps[i].action], r->steps[i].recipient.kid);
    return text;
}

Test(change_versions, stay_are_removed_and_are_replaced)
{
    struct fake_kek newest = {.kid = "key/1", .newer_kid = "key/2", .twist = 9, .takes_any_kid = true};
    struct fake_kek second = {.kid = "key/2", .twist = 9, .takes_any_kid = true};
    struct fake_kek first = {.kid = "key/1", .twist = 9}, other = {.kid = "other"}, new = {.kid = "new"};
    struct blobseal_kek *any = fake_kek_open(&newest), *v2 = fake_kek_open(&second), *v1 = fake_kek_open(&first),
                        *to = fake_kek_open(&new), *public = fake_kek_open(&other), *keks[] = {v2, v1, public};
    const char *gone[] = {"other"};
    const struct blobseal_change removal = {.size = sizeof removal, .remove = gone, .num_remove = 1};
    const struct blobseal_change rotation = {.size = sizeof rotation, .add = &to, .num_add = 1, .replace = true};
    struct blobseal_change_result *r;
    struct blobseal_source source;
    struct blobseal_memory memory;
    struct blobseal_error err;
    struct sealed s;

    seal_for_versions(&s, &source, &memory);
    cr_assert_eq(blobseal_change_envelope(&r, &source, &any, 1, &removal, &err), BLOBSEAL_OK, "%s", err.text);
    cr_expect_str_eq(steps_of(r), "remove key/1, keep key/2, remove other", "only the newest version stays: %s",
                     steps_of(r));
    blobseal_change_result_free(r);
    cr_assert_eq(blobseal_change_envelope(&r, &source, keks, 3, &rotation, &err), BLOBSEAL_OK, "%s", err.text);
    cr_expect_str_eq(steps_of(r), "keep key/1, remove key/2, keep other, add new",
                     "exactly the version that was named");
    blobseal_change_result_free(r);
    keks[1] = public;
    cr_expect_eq(blobseal_change_envelope(&r, &source, keks, 2, &rotation, &err), BLOBSEAL_E_POLICY,
                 "what is removed does not come back for another version");
    cr_expect_eq(err.advice, BLOBSEAL_ADVICE_PUBLIC_KEY);
    cr_expect_str_eq(err.subject, "key/1");
    sealed_clear(&s);
    blobseal_kek_close(any);
    blobseal_kek_close(v1);
    blobseal_kek_close(v2);
    blobseal_kek_close(to);
    blobseal_kek_close(public);
}

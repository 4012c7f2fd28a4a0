/* SPDX-License-Identifier: Apache-2.0 */
/* What the audit record says about sets: what is done to them, and which uses of their keys took a request. */
#include "tests/support/two_machines.h"

#define MAX_EVENTS 32

static struct {
    unsigned num;
    char text[MAX_EVENTS][128]; /* "operation result provider subject", then "blob" or "claimed", and "cached" */
    bool fails;                 /* events of sets cannot be recorded */
} seen;

static struct blobseal_config *own_config;

static enum blobseal_status keep_event(void *ctx, const struct blobseal_audit_event *e, struct blobseal_error *err)
{
    (void)ctx;
    cr_assert_lt(seen.num, MAX_EVENTS);
    (void)snprintf(seen.text[seen.num++], sizeof seen.text[0], "%s %s %s %s%s%s", e->operation,
                   e->result == BLOBSEAL_OK ? "ok" : blobseal_status_code(e->result), e->provider,
                   e->subject != NULL ? e->subject : "-", e->blob_id == NULL ? "" : (e->claimed ? " claimed" : " blob"),
                   e->cached ? " cached" : "");
    return seen.fails && strncmp(e->operation, "set-", 4) == 0
               ? blobseal_fail(err, BLOBSEAL_E_OUTPUT, 0, "the recorder is full")
               : BLOBSEAL_OK;
}

static void begin(void)
{
    start();
    cr_assert_eq(blobseal_config_new(&own_config, NULL), BLOBSEAL_OK);
    cr_assert_eq(blobseal_config_set_audit(own_config, keep_event, NULL, NULL), BLOBSEAL_OK);
    config = own_config;
}

static void end(void)
{
    stop();
    blobseal_config_free(own_config);
}

SUITE_WITH(set_audit, begin, end);

/* Expect that the last event is @want, and forget all. */
static void expect_last(const char *want)
{
    cr_assert_gt(seen.num, 0);
    cr_expect_str_eq(seen.text[seen.num - 1], want);
    seen.num = 0;
}

static void expect_none_but(const char *const *want, unsigned num)
{
    cr_expect_eq(seen.num, num);
    for (unsigned i = 0; i < num && i < seen.num; i++)
        cr_expect_str_eq(seen.text[i], want[i]);
    seen.num = 0;
}
#define EXPECT(...) expect_none_but((const char *[]){__VA_ARGS__}, COUNT(((const char *[]){__VA_ARGS__})))

Test(set_audit, what_is_done_to_a_set)
{
    const struct blobseal_set_options o = options();

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    expect_last("set-create ok set s");
    cr_assert_eq(check(set), BLOBSEAL_OK);
    expect_last("set-check ok set s");
    vault.newest = 2;
    cr_assert_eq(check(set), BLOBSEAL_OK);
    expect_last("set-rotate ok set s");
    cr_assert_eq(rekey(set), BLOBSEAL_OK);
    expect_last("set-rekey ok set s");
    cr_assert_eq(blobseal_set_rotate(set, "vault:k/1", NULL, &o, NULL, NULL), BLOBSEAL_OK);
    expect_last("set-rotate ok set s");
    cr_assert_eq(blobseal_set_rotate(set, "set:t", NULL, &o, NULL, NULL), BLOBSEAL_E_CONFIG);
    expect_last("set-rotate E-CONFIG set s");
    vault.unwraps = BLOBSEAL_E_DENIED;
    cr_assert_eq(check(set), BLOBSEAL_E_DENIED);
    expect_last("set-check E-DENIED set s");
}

Test(set_audit, a_rotation_from_inside_a_call_that_seals)
{
    struct sealed s;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    s = must_seal(kek);
    sealed_clear(&s);
    vault.newest = 2;
    set->poll_at_ms = 1; /* the time has come */
    seen.num = 0;
    s = must_seal(kek);
    sealed_clear(&s);
    cr_assert_geq(seen.num, 2);
    cr_expect_str_eq(seen.text[seen.num - 2], "set-rotate ok set s");
    cr_expect_eq(strncmp(seen.text[seen.num - 1], "wrap ok set - blob", 18), 0);
}

Test(set_audit, an_export_and_an_import)
{
    const struct blobseal_set_new how = {.size = sizeof how, .kek = "vault:k"};
    struct blobseal_set_options o = options();
    struct memory_store empty;
    struct blobseal_set_store elsewhere = memory_store_start(&empty);
    struct blobseal_set *copy;
    char *text;
    size_t len;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    seen.fails = true;
    cr_expect_eq(blobseal_set_export(set, NULL, &text, &len, NULL), BLOBSEAL_E_OUTPUT);
    cr_expect_null(text, "nothing is handed out that was not recorded");
    seen.fails = false;
    cr_assert_eq(blobseal_set_export(set, NULL, &text, &len, NULL), BLOBSEAL_OK);
    expect_last("set-export ok set s");
    o.store = &elsewhere;
    cr_expect_eq(blobseal_set_import(&copy, "c", (uint8_t[BS_SET_ID_LEN]){0}, text, len, &how, &o, NULL),
                 BLOBSEAL_E_FORMAT);
    expect_last("set-import E-FORMAT set c");
    cr_assert_eq(blobseal_set_import(&copy, "c", set->definition.id, text, len, &how, &o, NULL), BLOBSEAL_OK);
    expect_last("set-import ok set c");
    blobseal_set_close(copy);
    memory_store_end(&empty);
    free(text);
}

Test(set_audit, a_success_that_is_not_recorded_is_none)
{
    struct blobseal_error err;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    seen.fails = true;
    cr_expect_eq(blobseal_set_rekey(set, NULL, &err), BLOBSEAL_E_OUTPUT);
    cr_expect_str_eq(err.text, "the recorder is full");
}

/* The blob vouches for nothing while the set is read because of it. */
Test(set_audit, a_blob_is_named_only_where_its_own_key_is_used)
{
    struct sealed s;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    vault.lease_ms = 3600000;
    s = must_seal(kek);
    end_lease(set);
    seen.num = 0;
    cr_assert_eq(open_blob(kek, &s), BLOBSEAL_OK);
    EXPECT("unwrap ok vault -", "unwrap ok set - blob");
    cr_assert_eq(open_blob(kek, &s), BLOBSEAL_OK);
    EXPECT("unwrap ok set - blob cached");
    sealed_clear(&s);
    s = must_seal(kek);
    EXPECT("wrap ok set - blob cached");
    sealed_clear(&s);
}

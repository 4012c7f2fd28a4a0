/* SPDX-License-Identifier: Apache-2.0 */
/* Keys in a vault: what is asked, what is refused, and what follows from it. */
#include <sys/wait.h>
#include <unistd.h>

#include "tests/kek/keyvault/live.h"

TestSuite(kv_provider, .init = live_start, .fini = live_stop);

Test(kv_provider, wraps_here_and_unwraps_there)
{
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK, "%s", live.err.text);
    cr_expect_eq(test_vault_count(&live.v, "{}"), 0, "opening asks nothing");
    cr_expect_null(blobseal_kek_kid(live.kek));
    cr_assert_eq(live_wrap(), BLOBSEAL_OK, "%s", live.err.text);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK);
    cr_expect_str_eq(live.wrapping.alg, "RSA-OAEP-256");
    cr_expect_not_null(strstr(live.wrapping.kid, live.v.host));
    cr_expect_eq(live.wrapping.key_len, 256);
    cr_expect_neq(live.wrapping.lease.valid_until_boottime_ms, 0);
    cr_assert_eq(live_unwrap(0), BLOBSEAL_OK, "%s", live.err.text);
    cr_expect_neq(live.lease.valid_until_unix_ms, 0);
    cr_expect_eq(live_count("get"), 1, "the description is kept");
    cr_expect_eq(live_count("unwrapkey"), 1);
    cr_expect_eq(live_count("identity"), 1, "so is the token");
}

Test(kv_provider, a_reader_needs_no_other_permission_than_unwrapKey)
{
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK, "%s", live.err.text);
    LIVE_DO("deny", "{\"permissions\": [\"get\", \"list\", \"wrapKey\"]}");
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_expect_eq(live_unwrap(0), BLOBSEAL_OK, "%s", live.err.text);
    cr_expect_eq(live_count("get"), 1);
}

Test(kv_provider, wraps_in_the_vault_if_wanted)
{
    live.vault.wrap = BLOBSEAL_VAULT_WRAP_REMOTE;
    live.options.oaep = BLOBSEAL_OAEP_SHA1;
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK, "%s", live.err.text);
    cr_expect_str_eq(live.wrapping.alg, "RSA-OAEP");
    cr_expect_eq(live_count("wrapkey"), 1);
    cr_expect_eq(live_unwrap(0), BLOBSEAL_OK, "%s", live.err.text);
    LIVE_DO("deny", "{\"permissions\": [\"wrapKey\"]}");
    cr_expect_eq(live_wrap(), BLOBSEAL_E_DENIED);
}

Test(kv_provider, every_version_is_the_same_key)
{
    char old[BLOBSEAL_MAX_KID + 1];

    cr_assert_eq(live_open("KEK"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK, "%s", live.err.text);
    (void)snprintf(old, sizeof old, "%s", live.wrapping.kid);
    LIVE_DO("rotate", "{\"name\": \"kek\"}");
    cr_expect_eq(live_unwrap(0), BLOBSEAL_OK, "%s", live.err.text);
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_expect_eq(live_unwrap(0), BLOBSEAL_OK, "%s", live.err.text);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK);
    cr_expect_str_neq(live.wrapping.kid, old);
    cr_expect_eq(live_unwrap(0), BLOBSEAL_OK);
    /* A key with a version wraps for this one, and unwraps all. */
    cr_assert_eq(live_open(strstr(old, "kek")), BLOBSEAL_OK);
    cr_expect_eq(live_unwrap(0), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK);
    cr_expect_str_eq(live.wrapping.kid, old);
}

/* ---- What a blob claims ------------------------------------------------------------------------------------------ */

Test(kv_provider, another_host_or_name_causes_no_request)
{
    static const char *const foreign[] = {
        "https://evil.example/keys/kek/0123456789abcdef0123456789abcdef",
        "https://kv.vault.azure.net/keys/kek/0123456789abcdef0123456789abcdef",
        "https://%s/keys/other/0123456789abcdef0123456789abcdef",
        "https://%s/keys/kek",
        "https://%s/keys/kek/0123456789abcdef0123456789abcdef?x",
        "https://%s@evil.example/keys/kek/0123456789abcdef0123456789abcdef",
        "urn:ietf:params:oauth:jwk-thumbprint:sha-256:x",
    };
    uint8_t key[256] = {1};

    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    for (size_t i = 0; i < BS_COUNT(foreign); i++) {
        char kid[256];
        const struct blobseal_wrapped w = {.alg = "RSA-OAEP-256", .kid = kid, .key = key, .key_len = sizeof key};
        size_t host = strcspn(foreign[i], "%");

        (void)snprintf(kid, sizeof kid, "%.*s%s%s", (int)host, foreign[i], foreign[i][host] != '\0' ? live.v.host : "",
                       foreign[i][host] != '\0' ? foreign[i] + host + 2 : "");
        cr_expect_not(bs_kek_owns(live.kek, "RSA-OAEP-256", kid), "%s", kid);
        cr_expect_eq(bs_kek_unwrap(live.kek, &live.again, &w, NULL, NULL, &live.err), BLOBSEAL_E_NOT_MINE, "%s", kid);
    }
    cr_expect_eq(test_vault_count(&live.v, "{}"), 0);
}

Test(kv_provider, damaged_keys_are_not_authentic)
{
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK);
    live.wrapping.key[9] ^= 1;
    cr_expect_eq(live_unwrap(0), BLOBSEAL_E_AUTH);
    cr_expect_str_eq(live.err.text, "unwrapping failed");
    cr_expect_eq(live_count("unwrapkey"), 2, "the vault has proved that it unwraps");
    cr_expect_eq(live_unwrap(0), BLOBSEAL_E_AUTH);
    cr_expect_eq(live_count("unwrapkey"), 3, "once is enough");
    live.wrapping.key_len = 255;
    cr_expect_eq(live_unwrap(0), BLOBSEAL_E_AUTH);
    cr_expect_eq(live_count("unwrapkey"), 3, "an impossible length is not sent");
}

Test(kv_provider, a_vault_that_accepts_no_request_is_not_damaged_data)
{
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK);
    LIVE_DO("fault", "{\"op\": \"unwrapkey\", \"kind\": \"error\", \"status\": 400, \"code\": \"BadParameter\"}");
    cr_expect_eq(live_unwrap(0), BLOBSEAL_E_UNSUPPORTED);
}

Test(kv_provider, a_vault_that_does_not_answer_is_not_damaged_data)
{
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK);
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK); /* nothing is known of it */
    live.wrapping.key[9] ^= 1;
    LIVE_DO("fault", "{\"op\": \"get\", \"kind\": \"garbage\"}");
    cr_expect_eq(live_unwrap(0), BLOBSEAL_E_UNAVAILABLE);
}

Test(kv_provider, answers_about_another_key_are_refused)
{
    static const char answer[] =
        "{\"op\": \"%s\", \"kind\": \"raw\", \"times\": 1, \"body\": {\"kid\": \"https://%s/keys/"
        "%s/0123456789abcdef0123456789abcdef\", \"value\": "
        "\"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc\"}}";

    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK);
    LIVE_DO("fault", answer, "unwrapkey", live.v.host, "kek");
    cr_expect_eq(live_unwrap(0), BLOBSEAL_E_UNAVAILABLE, "another version");
    LIVE_DO("fault", answer, "unwrapkey", "evil.example", "kek");
    cr_expect_eq(live_unwrap(0), BLOBSEAL_E_UNAVAILABLE);
    LIVE_DO("fault", answer, "unwrapkey", live.v.host, "other");
    cr_expect_eq(live_unwrap(0), BLOBSEAL_E_UNAVAILABLE);
    LIVE_DO("fault", "{\"op\": \"unwrapkey\", \"kind\": \"not_json\", \"times\": 1}");
    cr_expect_eq(live_unwrap(0), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_eq(live_unwrap(0), BLOBSEAL_OK);
}

/* ---- The owner's decisions --------------------------------------------------------------------------------------- */

Test(kv_provider, what_may_not_seal)
{
    static const struct {
        const char *change, *undo, *text;
        bool opens;
    } states[] = {
        {"\"enabled\": false", "\"enabled\": true", "disabled", false},
        {"\"nbf\": 4000000000", "\"nbf\": null", "not valid yet", true},
        {"\"exp\": 1600000000", "\"exp\": null", "expired", true},
        {"\"key_ops\": [\"wrapKey\"]", "\"key_ops\": [\"wrapKey\", \"unwrapKey\"]", "does not permit", false},
    };

    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK);
    for (size_t i = 0; i < BS_COUNT(states); i++) {
        LIVE_DO("change", "{\"name\": \"kek\", %s}", states[i].change);
        cr_expect_eq(live_unwrap(0), states[i].opens ? BLOBSEAL_OK : BLOBSEAL_E_DENIED, "%s: %s", states[i].text,
                     live.err.text);
        cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
        cr_expect_eq(bs_kek_describe(live.kek, NULL, &live.err), BLOBSEAL_OK, "its id can be seen");
        cr_expect_eq(bs_kek_wrap(live.kek, &(struct blobseal_wrapping){.size = 0}, &live.secret, NULL, &live.err),
                     BLOBSEAL_E_DENIED);
        cr_expect_not_null(strstr(live.err.text, states[i].text), "%s", live.err.text);
        LIVE_DO("change", "{\"name\": \"kek\", %s}", states[i].undo);
        cr_expect_eq(live_unwrap(0), BLOBSEAL_OK, "restored without opening it again: %s", live.err.text);
    }
}

Test(kv_provider, kinds_of_keys_that_are_not_accepted)
{
    static const char *const kinds[] = {"EC", "EC-HSM", "oct", "oct-HSM"};

    for (size_t i = 0; i < BS_COUNT(kinds); i++) {
        char name[8];

        (void)snprintf(name, sizeof name, "k%zu", i);
        LIVE_DO("create", "{\"name\": \"%s\", \"kty\": \"%s\"}", name, kinds[i]);
        cr_assert_eq(live_open(name), BLOBSEAL_OK);
        cr_expect_eq(live_wrap(), BLOBSEAL_E_CONFIG, "%s", kinds[i]);
        cr_expect_not_null(strstr(live.err.text, kinds[i]), "%s", live.err.text);
    }
    LIVE_DO("create", "{\"name\": \"cert\", \"managed\": true}");
    cr_assert_eq(live_open("cert"), BLOBSEAL_OK);
    cr_expect_eq(live_wrap(), BLOBSEAL_E_CONFIG);
    LIVE_DO("create", "{\"name\": \"small\", \"size\": 1024}");
    cr_assert_eq(live_open("small"), BLOBSEAL_OK);
    cr_expect_eq(live_wrap(), BLOBSEAL_E_CONFIG);
    LIVE_DO("create", "{\"name\": \"hsm\", \"kty\": \"RSA-HSM\"}");
    cr_assert_eq(live_open("hsm"), BLOBSEAL_OK);
    cr_expect_eq(live_wrap(), BLOBSEAL_OK, "%s", live.err.text);
}

Test(kv_provider, purge_protection_is_a_note_or_a_rule)
{
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_assert_eq(bs_kek_describe(live.kek, NULL, &live.err), BLOBSEAL_OK);
    cr_expect_eq(blobseal_kek_notes(live.kek), BLOBSEAL_KEK_NOTE_REMOTE);
    LIVE_DO("change", "{\"name\": \"kek\", \"recoveryLevel\": \"Recoverable+Purgeable\"}");
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK);
    cr_assert_eq(bs_kek_describe(live.kek, NULL, &live.err), BLOBSEAL_OK);
    cr_expect_eq(blobseal_kek_notes(live.kek), BLOBSEAL_KEK_NOTE_REMOTE | BLOBSEAL_KEK_NOTE_PURGEABLE);
    live.options.require_purge_protection = true;
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_expect_eq(live_wrap(), BLOBSEAL_E_POLICY);
    cr_expect_eq(live_unwrap(0), BLOBSEAL_E_NOT_MINE, "there is nothing to unwrap");
}

Test(kv_provider, a_deleted_key_and_one_that_never_was)
{
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK);
    LIVE_DO("delete", "{\"name\": \"kek\"}");
    cr_expect_eq(live_unwrap(0), BLOBSEAL_E_DENIED);
    cr_expect_not_null(strstr(live.err.text, "was deleted, and can be recovered"), "%s", live.err.text);
    LIVE_DO("recover", "{\"name\": \"kek\"}");
    cr_expect_eq(live_unwrap(0), BLOBSEAL_OK);
    cr_assert_eq(live_open("nothing"), BLOBSEAL_OK);
    cr_expect_eq(live_wrap(), BLOBSEAL_E_DENIED);
    cr_expect_not_null(strstr(live.err.text, "no such key"), "%s", live.err.text);
    cr_expect_eq(live.err.advice, BLOBSEAL_ADVICE_NO_SUCH_KEY);
    LIVE_DO("fault", "{\"op\": \"deletedkeys\", \"kind\": \"error\", \"status\": 403, \"code\": \"Forbidden\"}");
    cr_expect_eq(live_wrap(), BLOBSEAL_E_DENIED);
    cr_expect_eq(live.err.advice, BLOBSEAL_ADVICE_NONE, "it may have been deleted, and can come back");
}

/* ---- Time -------------------------------------------------------------------------------------------------------- */

Test(kv_provider, a_writer_asks_again_after_a_while)
{
    live.settings.revoke_within_s = 1;
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK);
    LIVE_DO("change", "{\"name\": \"kek\", \"enabled\": false}");
    live_sleep(1100);
    cr_expect_eq(live_wrap(), BLOBSEAL_E_DENIED);
    LIVE_DO("change", "{\"name\": \"kek\", \"enabled\": true}");
    cr_expect_eq(live_wrap(), BLOBSEAL_OK, "%s", live.err.text);
}

Test(kv_provider, a_child_asks_for_itself)
{
    int status;
    pid_t child;

    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK);
    child = fork();
    if (child == 0)
        _exit(live_wrap() == BLOBSEAL_OK ? 0 : 1);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect_eq(status, 0);
    cr_expect_eq(live_count("get"), 2);
}

Test(kv_provider, a_limit_of_0_asks_each_time)
{
    live.settings.revoke_within_s = BLOBSEAL_CONFIG_ZERO;
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    for (unsigned i = 1; i <= 3; i++) {
        cr_assert_eq(live_wrap(), BLOBSEAL_OK);
        cr_expect_eq(live_count("get"), i);
    }
}

/* Silence is no refusal: what the vault said before counts until its time is over. */
Test(kv_provider, a_vault_that_is_down_stops_writers_after_their_lease_only)
{
    struct blobseal_call call;
    enum blobseal_status st;
    uint64_t start;

    live.settings.poll_interval_s = 60;
    live.settings.revoke_within_s = 2;
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    start = bs_http_now_ms();
    cr_assert_eq(live_wrap(), BLOBSEAL_OK);
    LIVE_DO("fault", "{\"kind\": \"error\", \"status\": 503}");
    st = live_wrap();
    cr_expect(st == BLOBSEAL_OK || bs_http_now_ms() - start > 1500, "%s", live.err.text);
    live_sleep(2100);
    call = bs_call_start(1000, NULL); /* it does not try for long */
    cr_expect_eq(bs_kek_wrap(live.kek, &live.wrapping, &live.secret, &call, &live.err), BLOBSEAL_E_UNAVAILABLE);
    LIVE_DO("heal", "{}");
    for (unsigned i = 0; (st = live_wrap()) == BLOBSEAL_E_UNAVAILABLE && i < 600; i++)
        live_sleep(100); /* its silence is remembered for a moment */
    cr_expect_eq(st, BLOBSEAL_OK, "%s", live.err.text);
}

Test(kv_provider, a_lease_is_renewed_by_unwrapping_only)
{
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK);
    cr_assert_eq(live_unwrap(0), BLOBSEAL_OK);
    live.lease.valid_until_unix_ms = live.lease.valid_until_boottime_ms = 1;
    cr_assert_eq(bs_kek_renew(live.kek, &live.lease, NULL, &live.err), BLOBSEAL_OK, "%s", live.err.text);
    cr_expect(live.lease.valid_until_unix_ms > 1000000);
    cr_expect_eq(live_count("unwrapkey"), 2);
    /* A network that lets GET pass. */
    LIVE_DO("fault", "{\"op\": \"unwrapkey\", \"kind\": \"reset\"}");
    live.lease.valid_until_unix_ms = 1;
    cr_expect_eq(bs_kek_renew(live.kek, &live.lease,
                              &(struct blobseal_call){.size = sizeof(struct blobseal_call),
                                                      .deadline_ms = bs_http_now_ms() + 500,
                                                      .cancel = &(int){0}},
                              &live.err),
                 BLOBSEAL_E_UNAVAILABLE);
    cr_expect_eq(live.lease.valid_until_unix_ms, 1, "a failure extends nothing");
    LIVE_DO("heal", "{}");
    live_sleep(1100); /* its silence is remembered for a moment */
    LIVE_DO("change", "{\"name\": \"kek\", \"enabled\": false}");
    cr_expect_eq(bs_kek_renew(live.kek, &live.lease, NULL, &live.err), BLOBSEAL_E_DENIED);
    cr_expect_eq(live.lease.valid_until_unix_ms, 1);
}

/* An old answer is good enough for sealing, but not for who wants to know the newest version now. */
Test(kv_provider, who_asks_now_takes_no_old_answer)
{
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK);
    LIVE_DO("fault", "{\"op\": \"get\", \"kind\": \"not_json\"}");
    live.lease = live.wrapping.lease;
    live.lease.valid_until_unix_ms = live.lease.valid_until_boottime_ms = BLOBSEAL_LEASE_ASK_NOW;
    cr_expect_eq(bs_kek_renew(live.kek, &live.lease, NULL, &live.err), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_eq(live_wrap(), BLOBSEAL_OK, "%s", live.err.text);
    LIVE_DO("heal", "{}");
    cr_expect_eq(bs_kek_renew(live.kek, &live.lease, NULL, &live.err), BLOBSEAL_OK, "%s", live.err.text);
}

Test(kv_provider, an_authority_that_refuses_ends_no_lease)
{
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK);
    cr_assert_eq(live_unwrap(0), BLOBSEAL_OK);
    LIVE_DO("set", "{\"old_tokens_end\": true}");
    LIVE_DO("fault", "{\"op\": \"identity\", \"kind\": \"error\", \"status\": 403}");
    cr_expect_eq(bs_kek_renew(live.kek, &live.lease, NULL, &live.err), BLOBSEAL_E_UNAVAILABLE, "%s", live.err.text);
    cr_expect_eq(live.err.status, BLOBSEAL_E_UNAVAILABLE);
    cr_expect_eq(live_unwrap(0), BLOBSEAL_E_DENIED, "for somebody who opens, it is a refusal");
}

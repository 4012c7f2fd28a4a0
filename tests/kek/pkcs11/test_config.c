/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration decides for keys in tokens: which modules are loaded, the hash, and the time limit. */
#include <stdio.h>
#include <unistd.h>

#include "core/config/config.h"
#include "tests/support/token.h"

SUITE(pkcs11_config, .timeout = 60);

/* Make a configuration from @text, in which "@" is the path of the fake module. Use it for @t. */
static struct blobseal_config *configure(struct token_test *t, const char *text)
{
    struct blobseal_config *config;
    char path[VEC_PATH], whole[1024];
    size_t before = strcspn(text, "@");

    (void)snprintf(whole, sizeof whole, "%.*s%s%s", (int)before, text, text[before] != '\0' ? FAKE_MODULE : "",
                   text[before] != '\0' ? text + before + 1 : "");
    vec_temp_key(path, whole);
    cr_assert_eq(blobseal_config_new(&config, &t->err), BLOBSEAL_OK);
    cr_assert_eq(blobseal_config_load(config, path, &t->err), BLOBSEAL_OK, "%s: %s", whole, t->err.text);
    (void)unlink(path);
    t->options.config = config;
    return config;
}

static void use_name(struct token_test *t, struct blobseal_config *config)
{
    cr_assert_eq(blobseal_config_add_kek(config, "team", t->ref, &t->err), BLOBSEAL_OK, "%s", t->err.text);
    (void)snprintf(t->ref, sizeof t->ref, "key:team");
}

Test(pkcs11_config, a_listed_module_is_loaded)
{
    struct blobseal_config *config;
    struct token_test t;

    token_test_start(&t);
    config = configure(&t, "{\"pkcs11\": {\"modules\": [\"/another.so\", \"@\"]}}");
    use_name(&t, config);
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    blobseal_config_free(config); /* the key does not need it any more */
    cr_assert_eq(token_test_unwrap(&t, 0), BLOBSEAL_OK, "%s", t.err.text);
    token_test_close(&t);
}

Test(pkcs11_config, another_module_is_not_loaded)
{
    static const char *const texts[] = {"{}", "{\"pkcs11\": {\"modules\": []}}",
                                        "{\"pkcs11\": {\"modules\": [\"/another.so\"]}}",
                                        "{\"pkcs11\": {\"modules\": [\"@x\"]}}"};
    struct token_test t;
    char ref[sizeof t.ref];

    token_test_start(&t);
    memcpy(ref, t.ref, sizeof ref);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct blobseal_config *config;

        memcpy(t.ref, ref, sizeof ref);
        config = configure(&t, texts[i]);
        use_name(&t, config);
        cr_expect_eq(token_test_open(&t), BLOBSEAL_E_POLICY, "%s", texts[i]);
        cr_expect_not_null(strstr(t.err.text, "does not list its module"), "%s", t.err.text);
        cr_expect_not_null(strstr(t.err.hint, "add the module to the list \"modules\" of \"pkcs11\" in "), "%s",
                           t.err.hint);
        cr_expect_eq(t.token->scripts[FAKE_INITIALIZE].calls, 0);
        cr_expect_eq(t.asked, 0);
        blobseal_config_free(config);
    }
}

Test(pkcs11_config, a_module_that_the_user_typed_is_loaded)
{
    struct blobseal_config *config;
    struct token_test t;

    token_test_start(&t);
    config = configure(&t, "{\"pkcs11\": {\"modules\": [\"/another.so\"]}}");
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    token_test_close(&t);
    t.options.listed_in = "a definition"; /* the same for a program that found the reference somewhere */
    cr_assert_eq(token_test_open(&t), BLOBSEAL_E_POLICY);
    cr_assert_not_null(strstr(t.err.hint, " in a definition"), "%s", t.err.hint);
    t.options.config = NULL;
    cr_assert_eq(token_test_open(&t), BLOBSEAL_E_POLICY, "without a configuration none is listed");
    blobseal_config_free(config);
}

Test(pkcs11_config, the_configured_hash_is_used)
{
    struct blobseal_config *config;
    struct token_test t;

    token_test_start(&t);
    t.token->no_sha256 = true;
    config = configure(&t, "{\"pkcs11\": {\"oaep\": \"sha1\"}}");
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    cr_expect_str_eq(t.wrapping.alg, "RSA-OAEP");
    cr_expect_str_eq(blobseal_kek_alg(t.kek), "RSA-OAEP");
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_OK, "%s", t.err.text);
    token_test_close(&t);
    t.options.oaep = BLOBSEAL_OAEP_SHA256_ALWAYS;
    cr_expect_eq(token_test_open(&t), BLOBSEAL_E_UNSUPPORTED, "the token lacks what was asked for");
    token_test_close(&t);
    blobseal_config_free(config);
}

/* Return how long opening a key takes whose module hangs. */
static enum blobseal_status open_hanging(struct token_test *t)
{
    enum blobseal_status st;

    t->token->scripts[FAKE_GET_SLOT_LIST].hangs = true;
    st = token_test_open(t);
    t->token->scripts[FAKE_GET_SLOT_LIST].hangs = false;
    t->release();
    return st;
}

Test(pkcs11_config, limits_are_those_of_the_configuration)
{
    static const char *const texts[] = {"{\"limits\": {\"request_timeout_s\": 1}}",
                                        "{\"limits\": {\"request_timeout_s\": 600, \"deadline_s\": 1}}",
                                        "{\"limits\": {\"deadline_s\": 1}}"};
    struct token_test t;

    token_test_start(&t);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) { /* with another limit the test would time out */
        struct blobseal_config *config = configure(&t, texts[i]);

        cr_expect_eq(open_hanging(&t), BLOBSEAL_E_UNAVAILABLE, "%s", texts[i]);
        blobseal_config_free(config);
    }
}

Test(pkcs11_config, the_limit_of_the_caller_wins)
{
    struct blobseal_config *config;
    struct token_test t;

    token_test_start(&t);
    config = configure(&t, "{\"limits\": {\"request_timeout_s\": 600, \"deadline_s\": 600}}");
    t.options.timeout_ms = 200;
    cr_expect_eq(open_hanging(&t), BLOBSEAL_E_UNAVAILABLE);
    blobseal_config_free(config);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* key:NAME, and what a configuration decides when a key is opened. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/config/config.h"
#include "tests/support/suite.h"

/* ---- A provider that keeps what it is given ---------------------------------------------------------------------- */

static struct {
    char ref[128], listed_in[160];
    struct blobseal_kek_options options;
    unsigned opened;
} got;

static enum blobseal_status note_open(void **state, struct blobseal_kek_info *info, const char *ref,
                                      const struct blobseal_kek_options *options, const struct blobseal_call *call,
                                      struct blobseal_error *err)
{
    (void)state, (void)info, (void)call;
    got.opened++;
    got.options = *options;
    (void)snprintf(got.ref, sizeof got.ref, "%s", ref);
    (void)snprintf(got.listed_in, sizeof got.listed_in, "%s", options->listed_in != NULL ? options->listed_in : "");
    return blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0, "noted");
}

static struct blobseal_config *config;
static struct blobseal_registry *registry;
static struct blobseal_provider providers[2];
static struct blobseal_error err;

static void begin(void)
{
    static const char *const schemes[] = {"pkcs11", "note"};

    cr_assert_eq(blobseal_config_new(&config, &err), BLOBSEAL_OK);
    cr_assert_eq(blobseal_registry_new(&registry, &err), BLOBSEAL_OK);
    for (size_t i = 0; i < 2; i++) {
        providers[i] = fake_provider(schemes[i]);
        providers[i].open = note_open;
        cr_assert_eq(blobseal_registry_add(registry, &providers[i], &err), BLOBSEAL_OK, "%s", err.text);
    }
}

static void end(void)
{
    blobseal_registry_free(registry);
    blobseal_config_free(config);
}

SUITE_WITH(names, begin, end, .timeout = 60);

static enum blobseal_status open_with(const char *ref, enum blobseal_oaep oaep)
{
    const struct blobseal_kek_options o = {.size = sizeof o, .oaep = oaep, .config = config};
    struct blobseal_kek *kek;
    enum blobseal_status st = blobseal_kek_open(&kek, registry, ref, &o, &err);

    blobseal_kek_close(kek);
    return st;
}

static void add(const char *name, const char *ref)
{
    cr_assert_eq(blobseal_config_add_kek(config, name, ref, &err), BLOBSEAL_OK, "%s", err.text);
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

Test(names, a_name_stands_for_a_reference)
{
    add("team", "note:the key");
    cr_assert_eq(open_with("key:team", BLOBSEAL_OAEP_SHA256), BLOBSEAL_E_UNAVAILABLE);
    cr_assert_str_eq(got.ref, "the key");
    cr_assert_str_eq(got.listed_in, "the configuration");
    cr_assert_eq(got.options.config, config);
    cr_assert_eq(open_with("note:typed", BLOBSEAL_OAEP_SHA256), BLOBSEAL_E_UNAVAILABLE);
    cr_assert_null(got.options.listed_in, "a reference that was typed");
}

Test(names, the_file_with_the_list_is_known)
{
    char path[VEC_PATH];

    vec_temp_key(path, "{\"keks\": {\"team\": \"note:x\"}}");
    cr_assert_eq(blobseal_config_load(config, path, &err), BLOBSEAL_OK, "%s", err.text);
    (void)unlink(path);
    cr_assert_eq(open_with("key:team", BLOBSEAL_OAEP_SHA256), BLOBSEAL_E_UNAVAILABLE);
    cr_assert_str_eq(got.listed_in, path);
}

Test(names, names_that_are_not_there)
{
    struct blobseal_kek *keks[2];
    size_t num = 2;

    add("team", "note:x");
    cr_assert_eq(open_with("key:other", BLOBSEAL_OAEP_SHA256), BLOBSEAL_E_CONFIG);
    cr_assert_not_null(strstr(err.text, "no key named other"), "%s", err.text);
    cr_assert_eq(open_with("key:", BLOBSEAL_OAEP_SHA256), BLOBSEAL_E_CONFIG);
    cr_assert_eq(blobseal_kek_open(&keks[0], registry, "key:team", NULL, &err), BLOBSEAL_E_CONFIG);
    cr_assert_null(keks[0]);
    cr_assert_eq(blobseal_keks_open(keks, &num, NULL, "key:team", NULL, &err), BLOBSEAL_E_CONFIG);
    cr_assert_eq(num, 0);
    cr_assert_eq(got.opened, 0);
}

Test(names, a_name_does_not_stand_for_a_name)
{
    cr_assert_eq(blobseal_config_add_kek(config, "a", "key:b", &err), BLOBSEAL_E_CONFIG);
}

Test(names, a_path_is_absolute)
{
    add("lost", "nothing:x"); /* no provider has this scheme, so it is a path */
    cr_assert_eq(open_with("key:lost", BLOBSEAL_OAEP_SHA256), BLOBSEAL_E_CONFIG);
    cr_assert_not_null(strstr(err.text, "must be absolute"), "%s", err.text);
}

Test(names, no_provider_has_the_scheme_of_names)
{
    providers[0].scheme = "key";
    cr_assert_eq(blobseal_registry_add(registry, &providers[0], &err), BLOBSEAL_E_ARG);
}

Test(names, a_configuration_in_use_does_not_change)
{
    add("team", "note:x");
    cr_assert_eq(open_with("note:y", BLOBSEAL_OAEP_SHA256), BLOBSEAL_E_UNAVAILABLE);
    cr_assert_eq(blobseal_config_add_kek(config, "team", "note:z", &err), BLOBSEAL_E_ARG);
}

/* ---- The hash for tokens ----------------------------------------------------------------------------------------- */

Test(names, the_configured_hash_is_for_tokens_without_another)
{
    const struct blobseal_config_settings s = {.size = sizeof s, .oaep = BLOBSEAL_CONFIG_OAEP_SHA1};
    static const struct {
        const char *ref;
        enum blobseal_oaep asked, given;
    } cases[] = {
        {"pkcs11:x", BLOBSEAL_OAEP_SHA256, BLOBSEAL_OAEP_SHA1},
        {"pkcs11:x", BLOBSEAL_OAEP_SHA256_ALWAYS, BLOBSEAL_OAEP_SHA256},
        {"pkcs11:x", BLOBSEAL_OAEP_SHA1, BLOBSEAL_OAEP_SHA1},
        {"key:token", BLOBSEAL_OAEP_SHA256, BLOBSEAL_OAEP_SHA1},
        {"note:x", BLOBSEAL_OAEP_SHA256, BLOBSEAL_OAEP_SHA256},
        {"note:x", BLOBSEAL_OAEP_SHA256_ALWAYS, BLOBSEAL_OAEP_SHA256},
        {"note:x", BLOBSEAL_OAEP_SHA1, BLOBSEAL_OAEP_SHA1},
    };

    add("token", "pkcs11:x");
    cr_assert_eq(blobseal_config_set(config, &s, &err), BLOBSEAL_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_eq(open_with(cases[i].ref, cases[i].asked), BLOBSEAL_E_UNAVAILABLE);
        cr_expect_eq(got.options.oaep, cases[i].given, "case %zu", i);
    }
}
